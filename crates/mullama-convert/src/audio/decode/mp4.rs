//! Where the packets of an MP4 lie (ISO/IEC 14496-12). The demuxer holds the tables of that in memory, which grow with the
//! file: it gets an index without them, and here they are read as they are needed. Of a film only the sound is read.

use std::io::{self, Read as _, SeekFrom};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecId, well_known as id};
use symphonia::core::errors::{Error as MediaError, decode_error};
use symphonia::core::formats::Track;
use symphonia::core::io::MediaSource;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::Packets;

/// An index whose tables are empty, and where they are.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) bytes: Vec<u8>,
    tracks: Vec<Tables>,
}

/// The tables of a track (8.6.1.2, 8.7.3 to 8.7.5).
#[derive(Debug, Default)]
struct Tables {
    track: u32,
    /// Samples as they are have their highest byte first. The demuxer thinks that none have, where QuickTime's need to say
    /// that they do not.
    big_endian: bool,
    /// `stts`: how long packets last.
    times: Option<Table>,
    /// `stsz`: their bytes; all have as many where the first number is not 0.
    sizes: Option<(u32, Table)>,
    /// `stsc`: how many are in the chunks.
    runs: Option<Table>,
    /// `stco` and `co64`: where the chunks are.
    chunks: Option<Table>,
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

/// Gives one packet of a track after the other.
pub(super) struct Samples {
    media: Box<dyn MediaSource>,
    len: u64,
    track: u32,
    fixed: u32,
    sizes: Table,
    times: Table,
    runs: Table,
    chunks: Table,
    /// How many packets last as long as the next one, and how long.
    lasting: [u32; 2],
    time: u64,
    /// The number of the chunk, from 1 on.
    chunk: u32,
    /// Packets of each chunk, and from which chunk on there are others.
    each: u32,
    next: Option<[u32; 2]>,
    /// Packets that are left in the chunk, and where the next one is.
    left: u32,
    at: u64,
    window: Window,
}

/// Some bytes of a file.
#[derive(Debug, Clone, Default)]
struct Window {
    at: u64,
    bytes: Vec<u8>,
}

impl Index {
    /// Reads the index of a file. `None` for all but plain ones: fragments and what nobody understands are the demuxer's.
    pub(super) fn read(media: &mut dyn MediaSource, len: u64) -> Option<Self> {
        let mut walk = Walk { media, window: Window::default(), left: MAX_BOXES, index: Self::default() };
        walk.boxes(0, len, 0)?;
        let index = walk.index;
        (!index.tracks.is_empty()).then_some(index)
    }

    /// The packets of a track, which is told how long they are in all, as the demuxer would do it. Gives the file back where
    /// that cannot be.
    pub(super) fn samples(
        self,
        mut media: Box<dyn MediaSource>,
        len: u64,
        track: &mut Track,
    ) -> Result<Samples, Box<dyn MediaSource>> {
        let tables = self.tracks.into_iter().find(|tables| tables.track == track.id);
        let Some(Tables {
            times: Some(times),
            sizes: Some((fixed, sizes)),
            runs: Some(mut runs),
            chunks: Some(chunks),
            big_endian,
            ..
        }) = tables
        else {
            return Err(media);
        };
        let (Ok(total), Ok(next)) = (total(times.clone(), media.as_mut()), run(&mut runs, media.as_mut())) else {
            return Err(media);
        };
        if let Some(CodecParameters::Audio(params)) = track.codec_params.as_mut().filter(|_| big_endian) {
            params.codec = turned(params.codec);
        }
        track.duration = Some(Duration::new(total));
        let rate = track.codec_params.as_ref().and_then(|params| params.audio()).and_then(|params| params.sample_rate);
        let is_rate = |scale: u32| Some(scale) == rate;
        track.num_frames = track.time_base.is_some_and(|base| is_rate(base.denom.get())).then_some(total);
        Ok(Samples {
            media,
            len,
            track: track.id,
            fixed,
            sizes,
            times,
            runs,
            chunks,
            lasting: [0; 2],
            time: 0,
            chunk: 0,
            each: 0,
            next,
            left: 0,
            at: 0,
            window: Window::default(),
        })
    }
}

/// The same with its bytes in the other order.
fn turned(codec: AudioCodecId) -> AudioCodecId {
    match codec {
        id::CODEC_ID_PCM_S24LE => id::CODEC_ID_PCM_S24BE,
        id::CODEC_ID_PCM_S32LE => id::CODEC_ID_PCM_S32BE,
        id::CODEC_ID_PCM_F32LE => id::CODEC_ID_PCM_F32BE,
        id::CODEC_ID_PCM_F64LE => id::CODEC_ID_PCM_F64BE,
        other => other,
    }
}

/// How long all packets are together.
fn total(mut times: Table, media: &mut dyn MediaSource) -> io::Result<u64> {
    let mut total = 0u64;
    while let Some([count, ticks]) = times.numbers(media)? {
        total = total.saturating_add(u64::from(count) * u64::from(ticks));
    }
    Ok(total)
}

/// The next entry of the runs: its first chunk and how many packets each has.
fn run(runs: &mut Table, media: &mut dyn MediaSource) -> io::Result<Option<[u32; 2]>> {
    Ok(runs.numbers(media)?.map(|[first, each, _description]| [first, each]))
}

impl Samples {
    pub(super) fn next_packet(&mut self) -> Packets {
        while self.left == 0 {
            if !self.next_chunk()? {
                return Ok(None);
            }
        }
        while self.lasting[0] == 0 {
            let Some(lasting) = self.times.numbers(self.media.as_mut())? else { return Ok(None) };
            self.lasting = lasting;
        }
        let size = match self.fixed {
            0 => match self.sizes.numbers(self.media.as_mut())? {
                Some([size]) => size,
                None => return Ok(None),
            },
            size if self.sizes.take() => size,
            _ => return Ok(None),
        };
        let (at, time, ticks) = (self.at, self.time, self.lasting[1]);
        self.left -= 1;
        self.lasting[0] -= 1;
        self.time = time.saturating_add(ticks.into());
        self.at = self.at.saturating_add(size.into());
        if self.at > self.len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if size > MAX_PACKET {
            return decode_error("a packet has more than 16 MiB");
        }
        let data = self.window.read(self.media.as_mut(), at, size as usize, DATA)?;
        let time = Timestamp::new(i64::try_from(time).unwrap_or(i64::MAX));
        Ok(Some(Packet::new(self.track, time, Duration::new(ticks.into()), data)))
    }

    /// Goes to the next chunk. `false` if there is none.
    fn next_chunk(&mut self) -> Result<bool, MediaError> {
        let long = self.chunks.entry == 8;
        let media = self.media.as_mut();
        let at = if long {
            self.chunks.numbers(media)?.map(|[high, low]| u64::from(high) << 32 | u64::from(low))
        } else {
            self.chunks.numbers(media)?.map(|[at]| u64::from(at))
        };
        let Some(at) = at else { return Ok(false) };
        self.chunk += 1;
        if let Some([_, each]) = self.next.filter(|[first, _]| *first <= self.chunk) {
            self.each = each;
            self.next = run(&mut self.runs, media)?;
        }
        (self.at, self.left) = (at, self.each);
        Ok(true)
    }
}

impl Table {
    /// The numbers of the next entry.
    fn numbers<const N: usize>(&mut self, media: &mut dyn MediaSource) -> io::Result<Option<[u32; N]>> {
        debug_assert_eq!(usize::from(self.entry), 4 * N, "entries are read as they are");
        let at = self.at;
        if !self.take() {
            return Ok(None);
        }
        let bytes = self.window.read(media, at, 4 * N, TABLE)?;
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

impl Window {
    /// The bytes at a place; others behind them, up to `room`, are read with them.
    fn read(&mut self, media: &mut dyn MediaSource, at: u64, count: usize, room: usize) -> io::Result<&[u8]> {
        let held = at.checked_sub(self.at).and_then(|from| usize::try_from(from).ok());
        let held = held.filter(|from| from.saturating_add(count) <= self.bytes.len());
        let from = match held {
            Some(from) => from,
            None => {
                media.seek(SeekFrom::Start(at))?;
                self.bytes.clear();
                self.at = at;
                media.take(count.max(room) as u64).read_to_end(&mut self.bytes)?;
                0
            }
        };
        self.bytes.get(from..from + count).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Goes through the boxes of a file.
struct Walk<'a> {
    media: &'a mut dyn MediaSource,
    window: Window,
    left: u32,
    index: Index,
}

impl Walk<'_> {
    fn boxes(&mut self, mut at: u64, end: u64, depth: u8) -> Option<()> {
        while end - at >= 8 {
            self.left = self.left.checked_sub(1)?;
            let head = self.bytes(at, 8)?;
            let kind = *head.last_chunk::<4>()?;
            let (size, header) = match number(&head)? {
                0 => (end - at, 8),
                1 if end - at >= 16 => (u64::from_be_bytes(*self.bytes(at + 8, 8)?.first_chunk()?), 16),
                size => (u64::from(size), 8),
            };
            if size < header || size > end - at {
                return None;
            }
            let (start, stop) = (at + header, at + size);
            self.one(kind, start, stop, depth)?;
            at = stop;
        }
        Some(())
    }

    fn one(&mut self, kind: [u8; 4], start: u64, stop: u64, depth: u8) -> Option<()> {
        match &kind {
            b"moov" | b"trak" | b"mdia" | b"minf" | b"stbl" if depth < 5 => {
                if kind == *b"trak" {
                    self.index.tracks.push(Tables::default());
                }
                let begin = self.index.bytes.len();
                self.put(&kind, &[]);
                self.boxes(start, stop, depth + 1)?;
                let size = u32::try_from(self.index.bytes.len() - begin).ok()?;
                self.index.bytes[begin..begin + 4].copy_from_slice(&size.to_be_bytes());
            }
            b"stts" | b"stsc" | b"stco" | b"co64" => {
                let entry = match &kind {
                    b"stts" | b"co64" => 8,
                    b"stsc" => 12,
                    _ => 4,
                };
                let count = number(&self.bytes(start + 4, 4)?)?;
                let table = Table::new(start + 8, stop, count, entry)?;
                let tables = self.index.tracks.last_mut()?;
                let place = match &kind {
                    b"stts" => &mut tables.times,
                    b"stsc" => &mut tables.runs,
                    _ => &mut tables.chunks,
                };
                if place.replace(table).is_some() {
                    return None;
                }
                self.put(&kind, &[0; 8]);
            }
            b"stsz" => {
                let (fixed, count) = (number(&self.bytes(start + 4, 4)?)?, number(&self.bytes(start + 8, 4)?)?);
                // Without a table its end is no limit.
                let table = Table::new(start + 12, if fixed == 0 { stop } else { u64::MAX }, count, 4)?;
                if self.index.tracks.last_mut()?.sizes.replace((fixed, table)).is_some() {
                    return None;
                }
                self.put(&kind, &[0; 12]);
            }
            // Other tables, and what makes fragments.
            b"stz2" | b"mvex" | b"moof" => return None,
            // Pictures' tables, tags (which others read), the sound itself.
            b"ctts" | b"stss" | b"sdtp" | b"sbgp" | b"sgpd" | b"udta" | b"meta" | b"mdat" | b"free" | b"skip"
            | b"wide" => {}
            _ => {
                let content = self.bytes(start, usize::try_from(stop - start).ok().filter(|size| *size <= MAX_BOX)?)?;
                if kind == *b"tkhd" {
                    let at = if content.first() == Some(&1) { 20 } else { 12 };
                    self.index.tracks.last_mut()?.track = number(content.get(at..)?)?;
                } else if kind == *b"stsd" {
                    self.index.tracks.last_mut()?.big_endian = is_big_endian(&content);
                }
                if self.index.bytes.len() + content.len() > MAX_INDEX {
                    return None;
                }
                self.put(&kind, &content);
            }
        }
        Some(())
    }

    /// Appends a box.
    fn put(&mut self, kind: &[u8; 4], content: &[u8]) {
        // What is appended is shorter than `MAX_BOX`; of what holds others the length is mended.
        let size = u32::try_from(content.len() + 8).unwrap_or(u32::MAX);
        self.index.bytes.extend_from_slice(&size.to_be_bytes());
        self.index.bytes.extend_from_slice(kind);
        self.index.bytes.extend_from_slice(content);
    }

    fn bytes(&mut self, at: u64, count: usize) -> Option<Vec<u8>> {
        self.window.read(self.media, at, count, TABLE).ok().map(<[u8]>::to_vec)
    }
}

impl Table {
    /// `None` if its box has no room for as many entries.
    fn new(at: u64, stop: u64, left: u32, entry: u8) -> Option<Self> {
        let size = u64::from(left) * u64::from(entry);
        (stop.checked_sub(at)? >= size).then(|| Self { at, left, entry, window: Window::default() })
    }
}

/// Whether a description of samples (QuickTime File Format, "Sound Sample Descriptions") is of a kind that has its highest
/// byte first unless an atom `enda` says otherwise.
fn is_big_endian(description: &[u8]) -> bool {
    let kind = description.get(12..16);
    let little = description.windows(6).any(|bytes| bytes == b"enda\0\x01");
    kind.is_some_and(|kind| [b"in24", b"in32", b"fl32", b"fl64"].iter().any(|known| kind == *known)) && !little
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Boxes that are looked at.
const MAX_BOXES: u32 = 10_000;
/// Bytes of a box that goes to the demuxer, at most.
const MAX_BOX: usize = 1 << 20;
/// Bytes of all that goes to the demuxer, at most.
const MAX_INDEX: usize = 4 << 20;
/// Bytes of a packet, at most.
const MAX_PACKET: u32 = 16 << 20;
/// Bytes of a table that are read at once, and of sound.
const TABLE: usize = 4 << 10;
const DATA: usize = 64 << 10;
