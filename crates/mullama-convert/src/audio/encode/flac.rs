//! FLAC (RFC 9639): frames as they come; the header is mended at the end.

mod bits;
mod frame;
mod predict;
mod rice;

use md5::{Digest as _, Md5};

use self::frame::Framer;
use super::blocks::Blocks;
use super::{Encoded, IntEncoder, Target};
use crate::audio::pcm::{Spec, low_bytes};
use crate::audio::sink::Sink;
use crate::audio::tags::Tags;
use crate::error::{Error, Result};

pub(super) struct Flac {
    blocks: Blocks<i32>,
    stream: Stream,
    shifted: Vec<i32>,
}

struct Stream {
    sink: Sink,
    framer: Framer,
    info: Info,
    md5: Md5,
    /// Samples as the checksum takes them.
    bytes: Vec<u8>,
}

/// What the first block of metadata says.
#[derive(Debug, Clone, Copy)]
struct Info {
    spec: Spec,
    depth: u32,
    /// Bytes of the shortest and the longest frame; 0 where that is not known.
    shortest: u32,
    longest: u32,
    frames: u64,
}

impl Flac {
    pub(super) fn new(target: &Target, tags: &Tags, mut sink: Sink) -> Result<Self> {
        let (spec, depth) = (target.spec, target.bits.bits());
        let info = Info { spec, depth, shortest: 0, longest: 0, frames: 0 };
        sink.put(b"fLaC")?;
        let mut blocks = vec![(0u8, info.bytes([0; 16]).to_vec())];
        blocks.extend(tags.flac()?);
        let last = blocks.len() - 1;
        for (at, (kind, content)) in blocks.iter().enumerate() {
            let size = u32::try_from(content.len()).ok().filter(|size| *size < 1 << 24);
            let size = size.ok_or(Error::TooLarge {
                what: "a tag or picture for FLAC",
                value: content.len() as u64,
                limit: (1 << 24) - 1,
                unit: "bytes",
            })?;
            let [_, a, b, c] = size.to_be_bytes();
            sink.put(&[kind | if at == last { 0x80 } else { 0 }, a, b, c])?;
            sink.put(content)?;
        }
        let stream = Stream { sink, framer: Framer::new(spec, depth), info, md5: Md5::new(), bytes: Vec::new() };
        Ok(Self { blocks: Blocks::new(BLOCK * usize::from(spec.channels)), stream, shifted: Vec::new() })
    }
}

impl Stream {
    fn block(&mut self, samples: &[i32]) -> Result<()> {
        match self.info.depth {
            8 => low_bytes::<1>(samples, 0, &mut self.bytes),
            16 => low_bytes::<2>(samples, 0, &mut self.bytes),
            _ => low_bytes::<3>(samples, 0, &mut self.bytes),
        }
        self.md5.update(&self.bytes);
        let frame = self.framer.frame(samples);
        let size = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let info = &mut self.info;
        info.shortest = if info.frames == 0 { size } else { info.shortest.min(size) };
        info.longest = info.longest.max(size);
        info.frames += (samples.len() / usize::from(info.spec.channels)) as u64;
        self.sink.put(frame)
    }
}

impl IntEncoder for Flac {
    fn write(&mut self, samples: &[i32], shift: u32) -> Result<()> {
        let samples = if shift == 0 {
            samples
        } else {
            self.shifted.clear();
            self.shifted.extend(samples.iter().map(|sample| sample >> shift));
            &self.shifted
        };
        self.blocks.push(samples, |block| self.stream.block(block))
    }

    fn finish(self: Box<Self>) -> Result<Encoded> {
        let Self { blocks, mut stream, .. } = *self;
        if !blocks.rest().is_empty() {
            stream.block(blocks.rest())?;
        }
        if stream.sink.can_patch() {
            let info = stream.info.bytes(stream.md5.finalize().into());
            // Behind the mark and the block's own header.
            stream.sink.patch(8, &info)?;
        }
        Ok(Encoded::exact(stream.sink))
    }
}

impl Info {
    /// STREAMINFO (RFC 9639, 8.2).
    fn bytes(self, md5: [u8; 16]) -> [u8; 34] {
        let block = u16::try_from(BLOCK).unwrap_or(u16::MAX).to_be_bytes();
        let [_, shortest @ ..] = self.shortest.min(0xff_ffff).to_be_bytes();
        let [_, longest @ ..] = self.longest.min(0xff_ffff).to_be_bytes();
        // 36 bits; 0 stands for a length that is not known.
        let frames = if self.frames >> 36 == 0 { self.frames } else { 0 };
        let numbers = u64::from(self.spec.rate) << 44
            | u64::from(self.spec.channels - 1) << 41
            | u64::from(self.depth - 1) << 36
            | frames;
        let mut bytes = [0; 34];
        let parts = [&block[..], &block, &shortest, &longest, &numbers.to_be_bytes(), &md5].concat();
        bytes.copy_from_slice(&parts);
        bytes
    }
}

/// Frames in a block, as in the reference encoder.
const BLOCK: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audio::decode::Decoder;
    use crate::audio::options::{AudioFormatType, BitDepth};
    use crate::audio::pcm::Samples;
    use crate::audio::source::Source;
    use crate::config::{ConversionConfig, Limits};

    /// Sound of a kind: noise, tones, steps, silence, full scale.
    fn sound(kind: usize, channels: usize, frames: usize, top: i32, seed: u32) -> Vec<i32> {
        let mut noise = seed | 1;
        let mut samples = Vec::with_capacity(frames * channels);
        for at in 0..frames {
            for channel in 0..channels {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let random = (noise >> 8).cast_signed() % top;
                let turn = at as f64 * (0.01 + 0.003 * channel as f64);
                #[expect(clippy::cast_possible_truncation, reason = "below the top")]
                let tone = (turn.sin() * f64::from(top) * 0.9) as i32;
                samples.push(match kind {
                    0 => random,
                    1 => tone,
                    2 => tone / 4 + random / 200,
                    3 => {
                        if at / 100 % 2 == 0 {
                            top
                        } else {
                            -top - 1
                        }
                    }
                    4 => {
                        if at == frames / 2 {
                            1
                        } else {
                            0
                        }
                    }
                    5 => random & !15,
                    6 => {
                        if noise >> 31 == 0 {
                            top
                        } else {
                            -top - 1
                        }
                    }
                    _ => 7,
                });
            }
        }
        samples
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_sample_comes_back(
            kind in 0..8usize,
            channels in 1..=8u16,
            frames in prop_oneof![1..40usize, 4090..4100usize, 1..9000usize],
            depth in 0..3usize,
            rate in prop_oneof![Just(44_100u32), Just(96_000), Just(11_025), Just(655_350), Just(123_457), Just(96_010)],
            seed in any::<u32>(),
        ) {
            let (bits, wide) = [(BitDepth::Int8, 24), (BitDepth::Int16, 16), (BitDepth::Int24, 8)][depth];
            let samples = sound(kind, channels.into(), frames, i32::MAX >> wide, seed);
            let spec = Spec { rate, channels };
            let target = Target { format: AudioFormatType::FLAC, spec, bits, bitrate: 0, quality: 0.0, frames: None };
            let mut flac = Box::new(Flac::new(&target, &Tags::default(), Sink::memory(u64::MAX)).unwrap());
            samples.chunks(777 * usize::from(channels)).for_each(|piece| flac.write(piece, 0).unwrap());
            let file = flac.finish().unwrap().sink.finish().unwrap();
            let raw = samples.len() * usize::try_from(bits.bits()).unwrap() / 8;
            // The difference of two channels takes a bit more for each frame.
            let most = raw + frames / 8 + 100 + frames.div_ceil(BLOCK) * (20 + 2 * usize::from(channels));
            prop_assert!(file.len() <= most, "{} of {most}", file.len());
            let source = Source::bytes(file.into(), &Limits::default()).unwrap();
            let mut decoder = Decoder::open(source, &ConversionConfig::default()).unwrap();
            let (mut block, mut back) = (Samples::Int(Vec::new()), Vec::new());
            while decoder.next_block(&mut block).unwrap() {
                let Samples::Int(block) = &block else { panic!("FLAC gives integers") };
                back.extend(block.iter().map(|sample| sample >> wide));
            }
            prop_assert!(back == samples);
            // The checksum is right, too.
            prop_assert_eq!(decoder.take_warnings(), []);
        }
    }
}
