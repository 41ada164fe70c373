//! Where the packets of an MP4 lie (ISO/IEC 14496-12). symphonia's demuxer holds the tables of that in memory, which grow with
//! the file, and adds up what they say for each packet anew. So it gets an index without them and tells what the tracks are;
//! the tables are read here, as they are needed. Of a film only the sound is read.

mod index;
mod pieces;
mod plain;

use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::errors::decode_error;
use symphonia::core::io::MediaSource;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use self::pieces::Pieces;
use self::plain::Plain;
use super::Packets;

pub(super) use self::index::Index;

/// Gives one packet of a track after the other.
pub(super) struct Samples {
    media: Box<dyn MediaSource>,
    len: u64,
    track: u32,
    plain: Option<Plain>,
    pieces: Option<Pieces>,
    time: u64,
    /// Bytes that packets may still have: there are no more than the file has.
    budget: u64,
    window: Window,
}

/// A packet.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: u64,
    size: u32,
    ticks: u32,
}

impl Samples {
    pub(super) fn next_packet(&mut self) -> Packets {
        let media = self.media.as_mut();
        let mut sample = match &mut self.plain {
            Some(plain) => plain.next(media)?,
            None => None,
        };
        if let (None, Some(pieces)) = (sample, &mut self.pieces) {
            self.plain = None;
            sample = pieces.next(media)?;
        }
        let Some(Sample { at, size, ticks }) = sample else { return Ok(None) };
        let time = self.time;
        self.time = time.saturating_add(ticks.into());
        if at.saturating_add(size.into()) > self.len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.budget = match self.budget.checked_sub(u64::from(size.max(1))) {
            Some(budget) if size <= MAX_PACKET => budget,
            _ => return self.lie(),
        };
        let data = self.window.read(media, at, size as usize, DATA)?;
        let time = Timestamp::new(i64::try_from(time).unwrap_or(i64::MAX));
        Ok(Some(Packet::new(self.track, time, Duration::new(ticks.into()), data)))
    }

    /// Nothing more can be believed.
    fn lie(&mut self) -> Packets {
        (self.plain, self.pieces) = (None, None);
        decode_error("its index announces more than the file holds")
    }
}

/// Entries of a table that are still to be read.
#[derive(Debug, Clone)]
struct Table {
    at: u64,
    left: u32,
    /// Bytes of an entry.
    entry: u8,
    window: Window,
}

impl Table {
    /// `None` if its box, which ends at `stop`, has no room for as many entries.
    fn new(at: u64, stop: u64, left: u32, entry: u8) -> Option<Self> {
        let size = u64::from(left) * u64::from(entry);
        (stop.checked_sub(at)? >= size).then(|| Self { at, left, entry, window: Window::default() })
    }

    /// The next entry.
    fn bytes(&mut self, media: &mut dyn MediaSource) -> io::Result<Option<&[u8]>> {
        let at = self.at;
        if !self.take() {
            return Ok(None);
        }
        self.window.read(media, at, self.entry.into(), TABLE).map(Some)
    }

    /// The numbers of the next entry.
    fn numbers<const N: usize>(&mut self, media: &mut dyn MediaSource) -> io::Result<Option<[u32; N]>> {
        debug_assert_eq!(usize::from(self.entry), 4 * N, "entries are read as they are");
        let Some(bytes) = self.bytes(media)? else { return Ok(None) };
        let mut numbers = [0; N];
        for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
            *number = u32::from_be_bytes(*bytes);
        }
        Ok(Some(numbers))
    }

    /// Goes over an entry, if there is one.
    fn take(&mut self) -> bool {
        let some = self.left > 0;
        self.left -= u32::from(some);
        self.at += u64::from(self.entry);
        some
    }
}

/// Some bytes of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    at: u64,
    bytes: Vec<u8>,
}

/// A box, without its header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) kind: [u8; 4],
    pub(super) start: u64,
    pub(super) stop: u64,
}

impl Window {
    /// The bytes at a place; others behind them, up to `room`, are read with them.
    fn read(
        &mut self,
        media: &mut (impl Read + Seek + ?Sized),
        at: u64,
        count: usize,
        room: usize,
    ) -> io::Result<&[u8]> {
        let held = at.checked_sub(self.at).and_then(|from| usize::try_from(from).ok());
        let held = held.filter(|from| from.saturating_add(count) <= self.bytes.len());
        let from = match held {
            Some(from) => from,
            None => {
                media.seek(SeekFrom::Start(at))?;
                self.bytes.clear();
                self.at = at;
                Read::take(&mut *media, count.max(room) as u64).read_to_end(&mut self.bytes)?;
                0
            }
        };
        self.bytes.get(from..from + count).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// The box at a place, cut off at `end`. `None` where there is none.
    pub(super) fn part(
        &mut self,
        media: &mut (impl Read + Seek + ?Sized),
        at: u64,
        end: u64,
    ) -> io::Result<Option<Part>> {
        let left = end.saturating_sub(at);
        if left < 8 {
            return Ok(None);
        }
        let [a, b, c, d, kind @ ..] = self.array::<8>(media, at)?;
        let (size, header) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (left, 8),
            1 if left >= 16 => (u64::from_be_bytes(self.array(media, at + 8)?), 16),
            size => (u64::from(size), 8),
        };
        let part = Part { kind, start: at + header, stop: at + size.min(left) };
        Ok((size >= header).then_some(part))
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        media: &mut (impl Read + Seek + ?Sized),
        at: u64,
    ) -> io::Result<[u8; N]> {
        let bytes = self.read(media, at, N, TABLE)?;
        bytes.first_chunk().copied().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    pub(super) fn number(&mut self, media: &mut (impl Read + Seek + ?Sized), at: u64) -> io::Result<u32> {
        self.array(media, at).map(u32::from_be_bytes)
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Bytes of a packet, at most.
const MAX_PACKET: u32 = 16 << 20;
/// Bytes of a table that are read at once, and of sound.
const TABLE: usize = 4 << 10;
const DATA: usize = 64 << 10;
