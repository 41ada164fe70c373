//! WAV: PCM of 8 to 32 bits and floats, RF64 beyond 4 GiB (EBU Tech 3306).

use super::{Encoded, FloatEncoder, IntEncoder, Target};
use crate::audio::options::BitDepth;
use crate::audio::pcm::{low_bytes, wave_mask};
use crate::audio::sink::Sink;
use crate::audio::tags::Tags;
use crate::error::{Error, Result};

/// The chunks around the samples.
struct Frame {
    sink: Sink,
    /// Where the data chunk's length stands.
    data_at: u64,
    /// Where the number of frames stands, for floats.
    fact_at: Option<u64>,
    /// Where RF64's lengths may be written.
    reserve_at: Option<u64>,
    bytes_per_frame: u64,
    /// The largest length that its field of 32 bits is trusted with.
    limit: u64,
    /// Written behind the samples.
    tail: Vec<u8>,
    data_bytes: u64,
    scratch: Vec<u8>,
}

impl Frame {
    fn new(target: &Target, tags: &Tags, mut sink: Sink) -> Result<Self> {
        let channels = target.spec.channels;
        let float = target.bits == BitDepth::Float32;
        let bytes = target.bits.bits() / 8;
        let align = u32::from(channels) * bytes;
        let mut head = Vec::with_capacity(128);
        head.extend_from_slice(b"RIFF\xff\xff\xff\xffWAVE");
        let expected = target.frames.map(|frames| frames.saturating_mul(align.into()));
        // A place for the lengths of RF64 where the sound may become longer than a 32-bit number can say.
        let reserve_at =
            (sink.can_patch() && expected.is_none_or(|bytes| bytes > u64::from(u32::MAX) / 2)).then(|| {
                let at = head.len() as u64;
                head.extend_from_slice(b"JUNK\x1c\0\0\0");
                head.extend_from_slice(&[0; 28]);
                at
            });
        let extensible = channels > 2 || (!float && bytes > 2);
        let tag: u16 = if float { 3 } else { 1 };
        head.extend_from_slice(b"fmt ");
        let size: u32 = if extensible {
            40
        } else if float {
            18
        } else {
            16
        };
        head.extend_from_slice(&size.to_le_bytes());
        head.extend_from_slice(&if extensible { 0xfffe } else { tag }.to_le_bytes());
        head.extend_from_slice(&channels.to_le_bytes());
        head.extend_from_slice(&target.spec.rate.to_le_bytes());
        head.extend_from_slice(&target.spec.rate.saturating_mul(align).to_le_bytes());
        head.extend_from_slice(&low16(align).to_le_bytes());
        head.extend_from_slice(&low16(bytes * 8).to_le_bytes());
        if extensible {
            head.extend_from_slice(&22u16.to_le_bytes());
            head.extend_from_slice(&low16(bytes * 8).to_le_bytes());
            head.extend_from_slice(&wave_mask(channels).to_le_bytes());
            head.extend_from_slice(&tag.to_le_bytes());
            head.extend_from_slice(b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
        } else if float {
            head.extend_from_slice(&[0, 0]);
        }
        let fact_at = float.then(|| {
            head.extend_from_slice(b"fact\x04\0\0\0");
            head.extend_from_slice(&u32::MAX.to_le_bytes());
            head.len() as u64 - 4
        });
        let chunks = tags.wave()?;
        // A stream has no end yet that a reader could look for: tags go before the sound.
        let tail = if sink.can_patch() {
            chunks
        } else {
            head.extend_from_slice(&chunks);
            Vec::new()
        };
        head.extend_from_slice(b"data\xff\xff\xff\xff");
        sink.put(&head)?;
        Ok(Self {
            sink,
            data_at: head.len() as u64 - 4,
            fact_at,
            reserve_at,
            bytes_per_frame: align.into(),
            limit: u32::MAX.into(),
            tail,
            data_bytes: 0,
            scratch: Vec::new(),
        })
    }

    fn put(&mut self) -> Result<()> {
        self.data_bytes += self.scratch.len() as u64;
        self.sink.put(&self.scratch)
    }

    fn finish(mut self) -> Result<Encoded> {
        if self.data_bytes % 2 == 1 {
            self.sink.put(&[0])?;
        }
        if !self.sink.can_patch() {
            return Ok(Encoded::exact(self.sink));
        }
        let tail = std::mem::take(&mut self.tail);
        self.sink.put(&tail)?;
        let (riff, frames) = (self.sink.written() - 8, self.data_bytes / self.bytes_per_frame);
        let short = |length: u64| u32::try_from(length).ok().filter(|_| length <= self.limit);
        match (short(riff), short(self.data_bytes), self.reserve_at) {
            (Some(riff), Some(data), _) => {
                self.sink.patch(4, &riff.to_le_bytes())?;
                self.sink.patch(self.data_at, &data.to_le_bytes())?;
            }
            (_, _, Some(at)) => {
                self.sink.patch(0, b"RF64\xff\xff\xff\xff")?;
                let mut lengths = b"ds64\x1c\0\0\0".to_vec();
                lengths.extend_from_slice(&riff.to_le_bytes());
                lengths.extend_from_slice(&self.data_bytes.to_le_bytes());
                lengths.extend_from_slice(&frames.to_le_bytes());
                lengths.extend_from_slice(&[0; 4]);
                self.sink.patch(at, &lengths)?;
            }
            // The source announced less than half of this: it lied.
            (_, _, None) => {
                let (value, limit) = (self.data_bytes, self.limit);
                return Err(Error::TooLarge { what: "the WAV file", value, limit, unit: "bytes" });
            }
        }
        if let Some(at) = self.fact_at {
            self.sink.patch(at, &u32::try_from(frames).unwrap_or(u32::MAX).to_le_bytes())?;
        }
        Ok(Encoded::exact(self.sink))
    }
}

/// Integers.
pub(super) struct IntWav {
    frame: Frame,
    bits: BitDepth,
}

impl IntWav {
    pub(super) fn new(target: &Target, tags: &Tags, sink: Sink) -> Result<Self> {
        Ok(Self { frame: Frame::new(target, tags, sink)?, bits: target.bits })
    }
}

impl IntEncoder for IntWav {
    fn write(&mut self, samples: &[i32], shift: u32) -> Result<()> {
        let out = &mut self.frame.scratch;
        match self.bits {
            BitDepth::Int8 => {
                low_bytes::<1>(samples, shift, out);
                // 8 bits are unsigned in WAV.
                out.iter_mut().for_each(|byte| *byte ^= 0x80);
            }
            BitDepth::Int16 => low_bytes::<2>(samples, shift, out),
            BitDepth::Int24 => low_bytes::<3>(samples, shift, out),
            BitDepth::Int32 | BitDepth::Float32 => low_bytes::<4>(samples, shift, out),
        }
        self.frame.put()
    }

    fn finish(self: Box<Self>) -> Result<Encoded> {
        self.frame.finish()
    }
}

/// Floats.
pub(super) struct FloatWav {
    frame: Frame,
}

impl FloatWav {
    pub(super) fn new(target: &Target, tags: &Tags, sink: Sink) -> Result<Self> {
        Ok(Self { frame: Frame::new(target, tags, sink)? })
    }
}

impl FloatEncoder for FloatWav {
    fn write(&mut self, samples: &[f32]) -> Result<()> {
        self.frame.scratch.clear();
        self.frame.scratch.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        self.frame.put()
    }

    fn finish(self: Box<Self>) -> Result<Encoded> {
        self.frame.finish()
    }
}

/// A small number into a field of 16 bits: at most 8 channels of 4 bytes.
fn low16(value: u32) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::audio::decode::Decoder;
    use crate::audio::options::AudioFormatType;
    use crate::audio::pcm::{Samples, Spec};
    use crate::audio::source::Source;
    use crate::config::{ConversionConfig, Limits};

    fn target(frames: Option<u64>) -> Target {
        let spec = Spec { rate: 44_100, channels: 2 };
        Target { format: AudioFormatType::WAV, spec, bits: BitDepth::Int16, bitrate: 0, quality: 0.0, frames }
    }

    #[test]
    fn sound_beyond_the_limit_becomes_rf64() {
        let samples: Vec<i32> = (0..2_000).map(|at| at * 13 - 9_000).collect();
        for (limit, mark) in [(4_071, b"RF64"), (4_072, b"RIFF")] {
            let mut wav = Box::new(IntWav::new(&target(None), &Tags::default(), Sink::memory(u64::MAX)).unwrap());
            wav.frame.limit = limit;
            wav.write(&samples, 0).unwrap();
            let file = wav.finish().unwrap().sink.finish().unwrap();
            assert!(file.starts_with(mark), "{limit}: {} bytes", file.len());

            let source = Source::bytes(file.clone().into(), &Limits::default()).unwrap();
            let mut decoder = Decoder::open(source, &ConversionConfig::default()).unwrap();
            assert_eq!(decoder.info().frames, 1_000);
            let (mut block, mut back) = (Samples::Int(Vec::new()), Vec::new());
            while decoder.next_block(&mut block).unwrap() {
                let Samples::Int(block) = &block else { panic!("WAV gives integers") };
                back.extend(block.iter().map(|sample| sample >> 16));
            }
            assert_eq!((back, decoder.take_warnings()), (samples.clone(), vec![]));

            // As another program reads it: a thousand frames of both channels, none damaged.
            let path = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(path.path(), &file).unwrap();
            let probe = ["-v", "error", "-show_entries", "stream=duration_ts,channels", "-of", "csv=p=0"];
            let told = Command::new("ffprobe").args(probe).arg(path.path()).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&told.stdout).trim(), "2,1000", "{told:?}");
            let raw = ["-f", "s16le", "-"];
            let heard = Command::new("ffmpeg").args(["-v", "error", "-i"]).arg(path.path()).args(raw).output().unwrap();
            let mut expected = Vec::new();
            low_bytes::<2>(&samples, 0, &mut expected);
            assert!(heard.stderr.is_empty() && heard.stdout == expected, "{heard:?}");
        }
    }

    #[test]
    fn a_source_that_lied_about_its_length_is_told() {
        let mut wav = Box::new(IntWav::new(&target(Some(10)), &Tags::default(), Sink::memory(u64::MAX)).unwrap());
        wav.frame.limit = 1_000;
        wav.write(&[0; 2_000], 0).unwrap();
        let refused = wav.finish().map(drop);
        assert!(matches!(refused, Err(Error::TooLarge { value: 4_000, limit: 1_000, .. })), "{refused:?}");
    }
}
