//! What an MP4 says of its tracks, for symphonia's demuxer: the index without its tables.

use std::io;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecId, well_known as id};
use symphonia::core::formats::Track;
use symphonia::core::io::MediaSource;
use symphonia::core::units::Duration;

use super::pieces::Pieces;
use super::plain::{Plain, Tables};
use super::{Part, Samples, Table, Window, number};
use crate::audio::decode::open;
use crate::error::{Error, Result};

/// An index whose tables are empty, and where they are.
#[derive(Debug, Default)]
pub(in crate::audio::decode) struct Index {
    /// What the demuxer gets.
    pub(in crate::audio::decode) bytes: Vec<u8>,
    tracks: Vec<Trak>,
    /// Of files in pieces: for each track how long its packets are and how many bytes they have where nothing else is said.
    usual: Vec<(u32, [u32; 2])>,
    in_pieces: bool,
}

/// What is known of a track.
#[derive(Debug, Default)]
struct Trak {
    id: u32,
    /// Samples as they are have their highest byte first. The demuxer thinks that none have, where QuickTime's need to say
    /// that they do not.
    big_endian: bool,
    times: Option<Table>,
    sizes: Option<(u32, Table)>,
    runs: Option<Table>,
    chunks: Option<Table>,
}

impl Index {
    /// Reads the index of a file.
    pub(in crate::audio::decode) fn read(media: &mut dyn MediaSource, len: u64) -> Result<Self> {
        let mut walk = Walk { media, window: Window::default(), left: MAX_BOXES, index: Self::default() };
        walk.boxes(0, len, 0)?;
        Ok(walk.index)
    }

    /// The packets of a track, which is told how long they are in all, as the demuxer would do it.
    pub(in crate::audio::decode) fn samples(
        self,
        mut media: Box<dyn MediaSource>,
        len: u64,
        track: &mut Track,
    ) -> Result<Samples> {
        let known = self.tracks.into_iter().find(|known| known.id == track.id);
        let known = known.ok_or_else(|| corrupt("its tracks have no numbers"))?;
        if let Some(CodecParameters::Audio(params)) = track.codec_params.as_mut().filter(|_| known.big_endian) {
            params.codec = turned(params.codec);
        }
        let plain = match known {
            Trak {
                times: Some(times), sizes: Some((fixed, sizes)), runs: Some(runs), chunks: Some(chunks), ..
            } => Some(Plain::new(Tables { times, fixed, sizes, runs, chunks }, media.as_mut()).map_err(unread)?),
            _ if self.in_pieces => None,
            _ => return Err(corrupt("the index of its sound is not whole")),
        };
        let usual = self.usual.iter().find(|(id, _)| *id == track.id).map_or([0; 2], |(_, usual)| *usual);
        let pieces = || self.in_pieces.then(|| Pieces::new(track.id, usual, len));
        let mut total = match &plain {
            Some(plain) => plain.total(media.as_mut()).map_err(unread)?,
            None => 0,
        };
        if let Some(pieces) = pieces() {
            // What cannot be read of them is told when it is reached.
            total = total.saturating_add(pieces.total(media.as_mut()).unwrap_or(0));
        }
        let pieces = pieces();
        let params = track.codec_params.as_ref().and_then(|params| params.audio());
        let rate = params.and_then(|params| params.sample_rate);
        track.duration = Some(Duration::new(total));
        track.num_frames = track.time_base.filter(|base| Some(base.denom.get()) == rate).map(|_| total);
        Ok(Samples { media, len, track: track.id, plain, pieces, time: 0, budget: len, window: Window::default() })
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

/// Goes through the boxes of a file.
struct Walk<'a> {
    media: &'a mut dyn MediaSource,
    window: Window,
    left: u32,
    index: Index,
}

impl Walk<'_> {
    fn boxes(&mut self, mut at: u64, end: u64, depth: u8) -> Result<()> {
        while let Some(part) = self.window.part(self.media, at, end).map_err(unread)? {
            self.left = self.left.checked_sub(1).ok_or_else(|| corrupt("it has too many boxes"))?;
            // What follows are pieces.
            if part.kind == *b"moof" && !self.index.tracks.is_empty() {
                self.index.in_pieces = true;
                break;
            }
            self.one(part, depth)?;
            at = part.stop;
        }
        Ok(())
    }

    fn one(&mut self, Part { kind, start, stop }: Part, depth: u8) -> Result<()> {
        match &kind {
            b"moov" | b"trak" | b"mdia" | b"minf" | b"stbl" if depth < 5 => {
                if kind == *b"trak" {
                    self.index.tracks.push(Trak::default());
                }
                let begin = self.index.bytes.len();
                self.put(&kind, &[])?;
                self.boxes(start, stop, depth + 1)?;
                let size = u32::try_from(self.index.bytes.len() - begin).unwrap_or(u32::MAX);
                self.index.bytes[begin..begin + 4].copy_from_slice(&size.to_be_bytes());
            }
            b"stts" | b"stsc" | b"stco" | b"co64" => {
                let entry = match &kind {
                    b"stts" | b"co64" => 8,
                    b"stsc" => 12,
                    _ => 4,
                };
                let count = self.number(start + 4)?;
                let table = Table::new(start + 8, stop, count, entry).ok_or_else(too_long)?;
                let Some(track) = self.index.tracks.last_mut() else { return Ok(()) };
                match &kind {
                    b"stts" => track.times = Some(table),
                    b"stsc" => track.runs = Some(table),
                    _ => track.chunks = Some(table),
                }
                self.put(&kind, &[0; 8])?;
            }
            b"stsz" => {
                let (fixed, count) = (self.number(start + 4)?, self.number(start + 8)?);
                // Without a table its end is no limit.
                let stop = if fixed == 0 { stop } else { u64::MAX };
                let table = Table::new(start + 12, stop, count, 4).ok_or_else(too_long)?;
                let Some(track) = self.index.tracks.last_mut() else { return Ok(()) };
                track.sizes = Some((fixed, table));
                self.put(&kind, &[0; 12])?;
            }
            b"mvex" if depth < 5 => {
                self.index.in_pieces = true;
                self.boxes(start, stop, depth + 1)?;
            }
            b"trex" if self.index.in_pieces => {
                let usual = [self.number(start + 12)?, self.number(start + 16)?];
                let id = self.number(start + 4)?;
                self.index.usual.push((id, usual));
            }
            // The tables of pictures, tags (which others read), pieces before their index, the sound itself.
            b"ctts" | b"stss" | b"sdtp" | b"sbgp" | b"sgpd" | b"udta" | b"meta" | b"mdat" | b"moof" | b"free"
            | b"skip" | b"wide" => {}
            _ => {
                let size = usize::try_from(stop - start).unwrap_or(usize::MAX);
                // Whatever it is, the demuxer can do without.
                if size > MAX_BOX {
                    return Ok(());
                }
                let content = self.window.read(self.media, start, size, 0).map_err(unread)?.to_vec();
                if let (b"tkhd" | b"stsd", Some(track)) = (&kind, self.index.tracks.last_mut()) {
                    if kind == *b"stsd" {
                        track.big_endian = is_big_endian(&content);
                    } else {
                        let at = if content.first() == Some(&1) { 20 } else { 12 };
                        track.id = content.get(at..).and_then(number).unwrap_or(0);
                    }
                }
                self.put(&kind, &content)?;
            }
        }
        Ok(())
    }

    /// Appends a box; of what holds others the length is mended later.
    fn put(&mut self, kind: &[u8; 4], content: &[u8]) -> Result<()> {
        let bytes = &mut self.index.bytes;
        if bytes.len() + content.len() > MAX_INDEX {
            return Err(corrupt("what it says of its tracks is too long"));
        }
        let size = u32::try_from(content.len() + 8).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(content);
        Ok(())
    }

    fn number(&mut self, at: u64) -> Result<u32> {
        self.window.number(self.media, at).map_err(unread)
    }
}

/// Whether a description of samples (QuickTime File Format, "Sound Sample Descriptions") is of a kind that has its highest
/// byte first unless an atom `enda` says otherwise.
fn is_big_endian(description: &[u8]) -> bool {
    let kind = description.get(12..16);
    let little = description.windows(6).any(|bytes| bytes == b"enda\0\x01");
    kind.is_some_and(|kind| [b"in24", b"in32", b"fl32", b"fl64"].iter().any(|known| kind == *known)) && !little
}

fn corrupt(problem: &str) -> Error {
    Error::Corrupt { format: "MP4", problem: problem.to_owned() }
}

fn unread(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::Truncated { what: "the file's index (moov)", expected: 1, got: 0 },
        _ => open::io(error),
    }
}

fn too_long() -> Error {
    corrupt("a table has more entries than room for them")
}

/// Boxes that are looked at.
const MAX_BOXES: u32 = 100_000;
/// Bytes of a box that goes to the demuxer, at most, and of all.
const MAX_BOX: usize = 1 << 20;
const MAX_INDEX: usize = 4 << 20;
