//! Edit lists of MP4 files: where the sound of a track begins and how long it is (ISO/IEC 14496-12, 8.6.6). The demuxer
//! leaves them out.

use std::io::{self, Read, Seek};

use super::mp4::{Part, Window};

/// What a track's edit list says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TrackEdit {
    pub(crate) track: u32,
    /// Where the sound begins, in the track's own ticks.
    pub(crate) media_time: u64,
    /// How long it is, in the movie's ticks; 0 if that is not said.
    pub(crate) duration: u64,
    /// The movie's ticks in a second.
    pub(crate) movie_scale: u32,
    /// The track's ticks in a second.
    pub(crate) media_scale: u32,
}

impl TrackEdit {
    /// Frames to drop at the start, and how many are left, at `rate` frames a second. `coded` are the track's frames before
    /// any edit, in the track's own ticks.
    pub(crate) fn frames(&self, rate: u32, coded: Option<u64>) -> (u64, Option<u64>) {
        if self.media_scale == 0 || self.movie_scale == 0 {
            return (0, None);
        }
        let scaled = |ticks: u64, scale: u32| {
            u64::try_from(u128::from(ticks) * u128::from(rate) / u128::from(scale)).unwrap_or(u64::MAX)
        };
        let skip = scaled(self.media_time, self.media_scale);
        if self.duration == 0 {
            return (skip, None);
        }
        let listed = scaled(self.duration, self.movie_scale);
        if self.movie_scale >= rate {
            return (skip, Some(listed));
        }
        let tick = u64::from(rate.div_ceil(self.movie_scale));
        let rest = coded.map(|ticks| scaled(ticks, self.media_scale).saturating_sub(skip));
        // A movie's tick is often a millisecond: too coarse for the last frames. Where what is coded agrees within a tick,
        // it is the true length; else the list cuts padding off, and then it is.
        match rest {
            Some(rest) if rest.abs_diff(listed) <= tick => (skip, Some(rest)),
            _ => (skip, Some(listed)),
        }
    }
}

/// Reads the edit lists of all tracks. What is not understood is left out: the demuxer will say what is wrong with it.
pub(crate) fn read<R: Read + Seek>(reader: &mut R, len: u64) -> io::Result<Vec<TrackEdit>> {
    let mut walk = Walk { reader, window: Window::default(), left: MAX_BOXES, edits: Vec::new(), movie_scale: 0 };
    walk.boxes(0, len, 0)?;
    let movie_scale = walk.movie_scale;
    walk.edits.iter_mut().for_each(|edit| edit.movie_scale = movie_scale);
    walk.edits.retain(|edit| edit.track != 0 && (edit.media_time > 0 || edit.duration > 0));
    Ok(walk.edits)
}

struct Walk<'a, R> {
    reader: &'a mut R,
    window: Window,
    left: u32,
    edits: Vec<TrackEdit>,
    movie_scale: u32,
}

impl<R: Read + Seek> Walk<'_, R> {
    fn boxes(&mut self, mut at: u64, end: u64, depth: u8) -> io::Result<()> {
        while let Some(Part { kind, start, stop }) = self.window.part(self.reader, at, end)?
            && self.left > 0
        {
            self.left -= 1;
            match &kind {
                b"moov" | b"mdia" | b"edts" if depth < 4 => self.boxes(start, stop, depth + 1)?,
                b"trak" if depth < 4 => {
                    self.edits.push(TrackEdit::default());
                    self.boxes(start, stop, depth + 1)?;
                }
                b"mvhd" | b"mdhd" | b"tkhd" if stop - start >= 24 => self.header(kind, start)?,
                b"elst" if stop - start >= 8 => self.list(start, stop)?,
                _ => {}
            }
            at = stop;
        }
        Ok(())
    }

    /// The time scale of a movie or a track, or the number of a track.
    fn header(&mut self, kind: [u8; 4], start: u64) -> io::Result<()> {
        let long = self.bytes::<1>(start)? == [1];
        let value = u32::from_be_bytes(self.bytes(start + if long { 20 } else { 12 })?);
        match (&kind, self.edits.last_mut()) {
            (b"mvhd", _) => self.movie_scale = value,
            (b"mdhd", Some(edit)) => edit.media_scale = value,
            (b"tkhd", Some(edit)) => edit.track = value,
            _ => {}
        }
        Ok(())
    }

    fn list(&mut self, start: u64, stop: u64) -> io::Result<()> {
        let long = self.bytes::<1>(start)? == [1];
        let entry = if long { 20 } else { 12 };
        let count = u64::from(u32::from_be_bytes(self.bytes(start + 4)?)).min((stop - start - 8) / entry).min(16);
        let mut sounds = 0;
        for index in 0..count {
            let at = start + 8 + index * entry;
            let (duration, media_time) = if long {
                (u64::from_be_bytes(self.bytes(at)?), i64::from_be_bytes(self.bytes(at + 8)?))
            } else {
                let duration = u32::from_be_bytes(self.bytes(at)?);
                (duration.into(), i32::from_be_bytes(self.bytes(at + 4)?).into())
            };
            // A negative time is silence before the sound: nothing of the sound is cut by it.
            let Ok(media_time) = u64::try_from(media_time) else { continue };
            sounds += 1;
            if let Some(edit) = self.edits.last_mut() {
                if sounds == 1 {
                    (edit.media_time, edit.duration) = (media_time, duration);
                } else {
                    // Several pieces: only the start can be told without cutting the sound to pieces.
                    edit.duration = 0;
                }
            }
        }
        Ok(())
    }

    fn bytes<const N: usize>(&mut self, at: u64) -> io::Result<[u8; N]> {
        self.window.array(self.reader, at)
    }
}

/// Boxes that are looked at.
const MAX_BOXES: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_follow_the_rule_of_the_movies_tick() {
        // 12.3457 s at 44.1 kHz as ffmpeg writes it: 12 346 ms in the list, 545 469 coded, 1024 of them priming.
        let edit = TrackEdit { track: 1, media_time: 1024, duration: 12_346, movie_scale: 1000, media_scale: 44_100 };
        assert_eq!(edit.frames(44_100, Some(545_469)), (1024, Some(544_445)));
        // An exact list in the track's own scale, with padding behind.
        let edit =
            TrackEdit { track: 1, media_time: 1024, duration: 2_646_000, movie_scale: 44_100, media_scale: 44_100 };
        assert_eq!(edit.frames(44_100, Some(2_648_064)), (1024, Some(2_646_000)));
        // One frame less than what is coded is one frame less where the movie ticks with every frame.
        let edit = TrackEdit { duration: 1023, ..edit };
        assert_eq!(edit.frames(44_100, Some(2_048)), (1024, Some(1023)));
        assert_eq!(TrackEdit::default().frames(44_100, None), (0, None));
    }

    #[test]
    fn hostile_boxes_end_the_walk() {
        let mut nested = Vec::new();
        for _ in 0..50_000 {
            nested.extend_from_slice(&[0, 0, 0, 8]);
            nested.extend_from_slice(b"trak");
        }
        let len = nested.len() as u64;
        assert!(read(&mut io::Cursor::new(nested), len).unwrap().is_empty());
        let liar = [&[0xff, 0xff, 0xff, 0xff], &b"moov"[..], &[0; 64]].concat();
        assert!(read(&mut io::Cursor::new(liar), 72).unwrap().is_empty());
    }
}
