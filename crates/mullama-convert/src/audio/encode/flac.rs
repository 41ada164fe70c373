//! FLAC through flacenc's frames, written as they come; the header is mended at the end.

use flacenc::bitsink::ByteSink;
use flacenc::component::{BitRepr as _, StreamInfo};
use flacenc::error::{Verified, Verify as _};
use flacenc::source::{Context, Fill as _, FrameBuf};

use super::{Encoded, IntEncoder, Target};
use crate::audio::sink::Sink;
use crate::audio::tags::Tags;
use crate::error::{Error, Result};

pub(super) struct Flac {
    sink: Sink,
    config: Verified<flacenc::config::Encoder>,
    info: StreamInfo,
    frame: FrameBuf,
    context: Context,
    channels: usize,
    /// Samples of a block that is not full.
    waiting: Vec<i32>,
    frames: usize,
    bytes: ByteSink,
    /// Where STREAMINFO begins.
    info_at: u64,
}

impl Flac {
    pub(super) fn new(target: &Target, tags: &Tags, mut sink: Sink) -> Result<Self> {
        let bits = usize::try_from(target.bits.bits()).unwrap_or(usize::MAX);
        let channels = usize::from(target.spec.channels);
        let rate = usize::try_from(target.spec.rate).unwrap_or(usize::MAX);
        let mut config = flacenc::config::Encoder::default();
        config.block_size = BLOCK;
        let config = config.into_verified().map_err(|(_, error)| failed(error))?;
        let mut info = StreamInfo::new(rate, channels, bits).map_err(failed)?;
        info.set_block_sizes(BLOCK, BLOCK).map_err(failed)?;
        sink.put(b"fLaC")?;
        let mut blocks = vec![(0u8, stream_info(&info)?)];
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
        Ok(Self {
            sink,
            config,
            info,
            frame: FrameBuf::with_size(channels, BLOCK).map_err(failed)?,
            context: Context::new(bits, channels),
            channels,
            waiting: Vec::with_capacity(BLOCK * channels),
            frames: 0,
            bytes: ByteSink::new(),
            info_at: 8,
        })
    }

    fn block(&mut self) -> Result<()> {
        self.frame.fill_interleaved(&self.waiting).map_err(failed)?;
        self.context.fill_interleaved(&self.waiting).map_err(failed)?;
        self.waiting.clear();
        let frame =
            flacenc::encode_fixed_size_frame(&self.config, &self.frame, self.frames, &self.info).map_err(failed)?;
        self.frames += 1;
        self.info.update_frame_info(&frame);
        self.bytes.clear();
        frame.write(&mut self.bytes).map_err(failed)?;
        self.sink.put(self.bytes.as_slice())
    }
}

impl IntEncoder for Flac {
    fn write(&mut self, mut samples: &[i32]) -> Result<()> {
        let full = BLOCK * self.channels;
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(full - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            samples = later;
            if self.waiting.len() == full {
                self.block()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Encoded> {
        if !self.waiting.is_empty() {
            self.frame.resize(self.waiting.len() / self.channels);
            self.block()?;
        }
        if self.sink.can_patch() {
            self.info.set_total_samples(self.context.total_samples());
            self.info.set_md5_digest(&self.context.md5_digest());
            self.info.set_block_sizes(BLOCK, BLOCK).map_err(failed)?;
            self.sink.patch(self.info_at, &stream_info(&self.info)?)?;
        }
        Ok(Encoded::exact(self.sink))
    }
}

/// STREAMINFO's bytes. Without frames the sizes of frames are written as not known.
fn stream_info(info: &StreamInfo) -> Result<Vec<u8>> {
    let mut info = info.clone();
    if info.max_frame_size() == 0 {
        info.set_frame_sizes(0, 0).map_err(failed)?;
    }
    let mut bytes = ByteSink::new();
    info.write(&mut bytes).map_err(failed)?;
    Ok(bytes.as_slice().to_vec())
}

/// The encoder's errors stay on their thread: their words go on.
fn failed(error: impl std::fmt::Display) -> Error {
    Error::Encode { format: "FLAC", source: error.to_string().into() }
}

/// Frames in a block, as in the reference encoder.
const BLOCK: usize = 4096;
