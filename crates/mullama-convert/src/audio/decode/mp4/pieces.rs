//! Files in pieces, each with an index of its own (8.8).

use std::collections::VecDeque;

use symphonia::core::errors::{Error as MediaError, decode_error};
use symphonia::core::io::MediaSource;

use super::{Part, Sample, Table, Window, number};

/// Walks through the pieces of a file, and in each through the packets of a track.
#[derive(Debug)]
pub(super) struct Pieces {
    track: u32,
    /// What packets last and have where nothing else is said: `trex`.
    usual: [u32; 2],
    /// The next box of the file, and where that ends.
    at: u64,
    len: u64,
    /// Boxes that may still be looked at.
    left: u32,
    runs: VecDeque<Run>,
    /// Behind the last packet.
    behind: u64,
    window: Window,
}

/// Packets that lie side by side: `trun`.
#[derive(Debug)]
struct Run {
    /// `None`: behind those before.
    at: Option<u64>,
    flags: u32,
    usual: [u32; 2],
    entries: Table,
}

impl Pieces {
    pub(super) fn new(track: u32, usual: [u32; 2], len: u64) -> Self {
        let (runs, window) = (VecDeque::new(), Window::default());
        Self { track, usual, at: 0, len, left: MAX_BOXES, runs, behind: 0, window }
    }

    pub(super) fn next(&mut self, media: &mut dyn MediaSource) -> Result<Option<Sample>, MediaError> {
        loop {
            let Some(run) = self.runs.front_mut() else {
                if self.next_piece(media)? {
                    continue;
                }
                return Ok(None);
            };
            if let Some(at) = run.at.take() {
                self.behind = at;
            }
            let (flags, mut sample) = (run.flags, [run.usual[0], run.usual[1]]);
            let Some(entry) = run.entries.bytes(media)? else {
                self.runs.pop_front();
                continue;
            };
            let mut numbers = entry.as_chunks().0.iter().map(|bytes| u32::from_be_bytes(*bytes));
            for (bit, place) in [DURATIONS, SIZES].into_iter().zip(&mut sample) {
                if flags & bit != 0 {
                    *place = numbers.next().unwrap_or(0);
                }
            }
            let [ticks, size] = sample;
            let at = self.behind;
            self.behind = at.saturating_add(size.into());
            return Ok(Some(Sample { at, size, ticks }));
        }
    }

    /// How long all packets are together, in the track's ticks. Goes through all pieces, and through those packets that say
    /// for themselves how long they are.
    pub(super) fn total(mut self, media: &mut dyn MediaSource) -> Result<u64, MediaError> {
        let mut total = 0u64;
        while self.next_piece(media)? {
            for mut run in self.runs.drain(..) {
                if run.flags & DURATIONS == 0 {
                    total = total.saturating_add(u64::from(run.entries.left) * u64::from(run.usual[0]));
                    continue;
                }
                while let Some(entry) = run.entries.bytes(media)? {
                    total = total.saturating_add(number(entry).unwrap_or(0).into());
                }
            }
        }
        Ok(total)
    }

    /// Reads the index of the next piece. `false` if there is none.
    fn next_piece(&mut self, media: &mut dyn MediaSource) -> Result<bool, MediaError> {
        while let Some(part) = self.part(media, self.at, self.len)? {
            let begin = self.at;
            self.at = part.stop;
            if part.kind == *b"moof" {
                let mut at = part.start;
                while let Some(track) = self.part(media, at, part.stop)? {
                    at = track.stop;
                    if track.kind == *b"traf" {
                        self.track(media, track, begin)?;
                    }
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a piece that begins at `begin` has of a track.
    fn track(&mut self, media: &mut dyn MediaSource, track: Part, begin: u64) -> Result<(), MediaError> {
        let (mut base, mut usual, mut ours) = (begin, self.usual, false);
        let mut at = track.start;
        while let Some(part) = self.part(media, at, track.stop)? {
            at = part.stop;
            match &part.kind {
                b"tfhd" => {
                    let flags = self.window.number(media, part.start)?;
                    ours = self.window.number(media, part.start + 4)? == self.track;
                    let mut field = part.start + 8;
                    if flags & 1 != 0 {
                        base = u64::from_be_bytes(self.window.array(media, field)?);
                        field += 8;
                    }
                    // The description of the samples: there is but one that can be read.
                    field += if flags & 2 != 0 { 4 } else { 0 };
                    for (bit, place) in [8, 16].into_iter().zip(&mut usual) {
                        if flags & bit != 0 {
                            *place = self.window.number(media, field)?;
                            field += 4;
                        }
                    }
                }
                b"trun" if ours => self.run(media, part, base, usual)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn run(&mut self, media: &mut dyn MediaSource, part: Part, base: u64, usual: [u32; 2]) -> Result<(), MediaError> {
        let flags = self.window.number(media, part.start)? & 0xff_ffff;
        let count = self.window.number(media, part.start + 4)?;
        let mut field = part.start + 8;
        let mut at = None;
        if flags & 1 != 0 {
            let offset = self.window.number(media, field)?.cast_signed();
            at = Some(base.saturating_add_signed(offset.into()));
            field += 4;
        } else if self.runs.is_empty() {
            at = Some(base);
        }
        field += if flags & 4 != 0 { 4 } else { 0 };
        let entry = [DURATIONS, SIZES, 0x400, 0x800].iter().filter(|bit| flags & **bit != 0).count() * 4;
        let entries = u8::try_from(entry).ok().and_then(|entry| Table::new(field, part.stop, count, entry));
        let Some(entries) = entries else { return decode_error("a piece announces more packets than its index holds") };
        if self.runs.len() >= MAX_RUNS {
            return decode_error("a piece has too many runs of packets");
        }
        self.runs.push_back(Run { at, flags, usual, entries });
        Ok(())
    }

    fn part(&mut self, media: &mut dyn MediaSource, at: u64, end: u64) -> Result<Option<Part>, MediaError> {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return Ok(None),
        }
        Ok(self.window.part(media, at, end)?)
    }
}

/// Each packet says how long it is, and how many bytes it has.
const DURATIONS: u32 = 0x100;
const SIZES: u32 = 0x200;
/// Boxes that are looked at: those of a hundred hours in pieces of a tenth of a second.
const MAX_BOXES: u32 = 1 << 25;
/// Runs of one piece.
const MAX_RUNS: usize = 1 << 14;
