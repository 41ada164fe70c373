//! Opens a file: what it is by its content, which track, which decoder, where the sound begins and how long it is.

use std::io;

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::errors::Error as MediaError;
use symphonia::core::formats::Track;

use super::codec::{self, PacketDecoder, Wish};
use super::demuxer::Demuxer;
use super::opus::Head;
use super::{Decoder, Facts, Health};
use crate::audio::options::AudioFormatType;
use crate::audio::pcm::{MAX_CHANNELS, Samples, Spec};
use crate::audio::report::AudioWarning;
use crate::audio::source::{Source, TooLong};
use crate::audio::wave::STREAMED;
use crate::config::{ConversionConfig, Damaged};
use crate::error::{Error, Media, Result};

impl Decoder {
    /// Opens a source and decodes its first block. Codecs that have integers give integers.
    pub(crate) fn open(mut source: Source, config: &ConversionConfig) -> Result<Self> {
        if config.damaged == Damaged::Accept && source.head.starts_with(b"OggS") {
            source = source.forward();
        }
        let (demuxer, track) = Demuxer::open(source.media, &source.head, config)?;
        let container = demuxer.container();
        let params = audio(&track)?;
        let adts = container == "aac";
        // Without the encoder's delay the number of frames is a guess, which must not cut anything off.
        let gapless = container != "mp3" || track.delay.is_some();
        let (codec, decoder) = codec::make(params, &Wish { gapless, adts })?;
        // MP4 has 16 bits for the rate and 0 beyond; there the codec knows it.
        if container != "isomp4" {
            check_rate(params.sample_rate)?;
        }

        let exact = codec::is_exact(&codec);
        let mut this = Self {
            track: track.id,
            codec: decoder,
            facts: Facts {
                format: format(container, codec.name),
                container: container_name(container),
                codec,
                spec: Spec { rate: 0, channels: 0 },
                announced: None,
                guessed: None,
                bytes: source.bytes.unwrap_or(0),
                alone: demuxer.tracks() == 1,
            },
            first: None,
            skip: 0,
            limit: None,
            delivered: 0,
            max_frames: 0,
            damaged: config.damaged,
            health: Health::default(),
            warnings: Vec::new(),
            open_ended: false,
            finished: false,
            demuxer,
        };
        this.first_block(exact, params).map_err(|error| match (error, track.num_frames) {
            (Error::NoAudioFrames, Some(expected)) if expected > 0 => {
                Error::Truncated { what: "the sound in frames", expected, got: 0 }
            }
            (error, _) => error,
        })?;
        let edit = source.edits.iter().find(|edit| edit.track == track.id);
        let rate = this.facts.spec.rate;
        if let Some(edit) = edit {
            (this.skip, this.limit) = edit.frames(rate, track.duration.map(|ticks| ticks.get()));
        } else if let Some(head) = (codec.name == "Opus").then(|| Head::parse(params)).flatten() {
            this.skip = head.pre_skip.into();
        } else if codec.name == "AAC" {
            this.skip = track.delay.unwrap_or(0).into();
        }
        this.lengths(container, &track, params);
        // A WAV that came through a pipe cannot know its length.
        let frame = u64::from(this.facts.spec.channels) * u64::from(codec.bits.unwrap_or(8).div_ceil(8));
        let streamed = |frames: u64| container == "wave" && frames.saturating_mul(frame) >= STREAMED - frame;
        if let Some(sound) = source.tail.long.filter(|_| frame > 0) {
            (this.facts.announced, this.facts.guessed) = (Some(sound.bytes / frame), Some(sound.bytes / frame));
        }
        let streamed = source.bytes.is_none() && this.facts.announced.is_some_and(streamed);
        if source.tail.unknown_length || streamed {
            (this.facts.announced, this.facts.guessed) = (None, None);
            this.warnings.push(AudioWarning::UnknownLength);
            this.open_ended = true;
        }
        this.open_ended |= matches!(container, "caf" | "matroska");
        if source.tail.trailing > 0 {
            this.warnings.push(AudioWarning::TrailingData { bytes: source.tail.trailing });
        }
        if let Some(extension) = source.extension {
            this.compare(extension);
        }
        this.max_frames = config.limits.max_duration_s.saturating_mul(rate.into());
        Ok(this)
    }

    /// Decodes until there are samples: only they tell what HE-AAC sounds like.
    fn first_block(&mut self, exact: bool, params: &AudioCodecParameters) -> Result<()> {
        let mut block = if exact { Samples::Int(Vec::new()) } else { Samples::Float(Vec::new()) };
        loop {
            let packet = match self.next_packet()? {
                Ok(Some(packet)) => packet,
                Ok(None) => return Err(Error::NoAudioFrames),
                Err(MediaError::IoError(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    let (expected, got) = (1, 0);
                    return Err(Error::Truncated { what: "the first packet", expected, got });
                }
                Err(MediaError::IoError(error)) => return Err(io(error)),
                Err(error) => {
                    self.health.note(error.to_string());
                    self.health.stuck += 1;
                    if self.health.stuck > super::MAX_STUCK {
                        return Err(self.corrupt(error.to_string()));
                    }
                    continue;
                }
            };
            if packet.track_id != self.track {
                continue;
            }
            self.health.packets += 1;
            match self.codec.decode(&packet, &mut block) {
                Ok(None) => {}
                Ok(Some(spec)) => {
                    check_rate(Some(spec.rate))?;
                    if spec.channels == 0 || spec.channels > MAX_CHANNELS {
                        let channels = spec.channels.into();
                        return Err(Error::InvalidChannels { channels, max: MAX_CHANNELS });
                    }
                    self.facts.spec = spec;
                    self.health.usual = block.len();
                    self.first = Some(block);
                    return Ok(());
                }
                Err(damage) => {
                    self.health.note(damage.0);
                    if self.health.damaged > super::MAX_STUCK.into() {
                        return Err(self.corrupt(self.health.first_problem.clone().unwrap_or_default()));
                    }
                }
            }
            // Until the first block nobody can say how long a damaged one would have been.
            if self.health.packets > MAX_SILENT && params.sample_rate.is_some() {
                return Err(Error::NoAudioFrames);
            }
        }
    }

    fn lengths(&mut self, container: &str, track: &Track, params: &AudioCodecParameters) {
        let frames = track.num_frames.map(|frames| match Head::parse(params) {
            Some(head) if self.facts.codec.name == "Opus" => frames.saturating_sub(head.pre_skip.into()),
            _ => frames,
        });
        self.facts.guessed = self.limit.or(frames.map(|frames| match self.facts.codec.name {
            // The header's rate is the core's; HE-AAC plays at twice that.
            "AAC" if container == "aac" => {
                let core = u64::from(params.sample_rate.unwrap_or(1).max(1));
                frames.saturating_mul(self.facts.spec.rate.into()) / core
            }
            _ => frames,
        }));
        self.facts.announced = match container {
            "isomp4" => self.limit,
            "mp3" if track.delay.is_some() => frames,
            // Some writers announce the last packet of a CAF as a whole one.
            "caf" if self.facts.codec.name == "ALAC" => {
                let packet = self.health.usual / usize::from(self.facts.spec.channels);
                frames.map(|frames| frames.saturating_sub(packet.saturating_sub(1) as u64))
            }
            "wave" | "flac" | "ogg" | "aiff" | "caf" => frames,
            _ => None,
        };
    }

    fn compare(&mut self, extension: String) {
        let named = AudioFormatType::from_path(std::path::Path::new(&format!("x.{extension}")));
        let Some(named) = named else { return };
        // .ogg stands for Opus in Ogg too, .mp4 for M4A, and no extension stands for what cannot be written.
        let same = self.facts.format == Some(named)
            || matches!((named, self.facts.format), (AudioFormatType::OGG, Some(AudioFormatType::OPUS)))
            || (named == AudioFormatType::OGG && self.facts.container == "Ogg")
            || (named == AudioFormatType::M4A && self.facts.container == "MP4");
        if !same {
            let found = self.facts.format.map_or(self.facts.container, AudioFormatType::name);
            self.warnings.push(AudioWarning::ExtensionMismatch { extension, found });
        }
    }
}

/// The next link of a chained file.
pub(super) struct Link {
    pub(super) track: u32,
    pub(super) codec: Box<dyn PacketDecoder>,
    /// Frames to drop before the first that counts.
    pub(super) skip: u64,
}

/// The track and decoder of the next link of a chained file.
pub(super) fn link(demuxer: &Demuxer, facts: &Facts) -> Result<Link> {
    let track = demuxer.track()?;
    let params = audio(track)?;
    let (codec, decoder) = codec::make(params, &Wish { gapless: true, adts: false })?;
    if codec.name != facts.codec.name {
        let problem = format!("the codec changes from {} to {}", facts.codec.name, codec.name);
        return Err(Error::Corrupt { format: "Ogg", problem });
    }
    let head = (codec.name == "Opus").then(|| Head::parse(params)).flatten();
    Ok(Link { track: track.id, codec: decoder, skip: head.map_or(0, |head| head.pre_skip.into()) })
}

/// An error of reading: ours where we made it, else the system's.
pub(super) fn io(source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::ConnectionAborted {
        return Error::Cancelled;
    }
    match source.get_ref().and_then(|inner| inner.downcast_ref::<TooLong>()) {
        Some(TooLong { limit }) => {
            Error::TooLarge { what: "the stream", value: limit.saturating_add(1), limit: *limit, unit: "bytes" }
        }
        None => Error::Stream { action: "read", source },
    }
}

pub(super) fn audio(track: &Track) -> Result<&AudioCodecParameters> {
    track.codec_params.as_ref().and_then(|params| params.audio()).ok_or(Error::NoAudioTrack)
}

fn check_rate(rate: Option<u32>) -> Result<()> {
    match rate {
        Some(rate) if !(1_000..=768_000).contains(&rate) => Err(Error::InvalidSampleRate { rate }),
        _ => Ok(()),
    }
}

pub(super) fn unreadable(error: MediaError, head: &[u8]) -> Error {
    let format = guess(head);
    match (error, format) {
        (MediaError::Unsupported(problem), Some("MP4")) if problem.contains("missing moov") => {
            Error::Truncated { what: "the file's index (moov)", expected: 1, got: 0 }
        }
        (MediaError::Unsupported(_), None) => Error::unknown(Media::Audio, head),
        (MediaError::Unsupported(problem), Some(format)) if problem.contains("no suitable format") => {
            Error::Corrupt { format, problem: "its beginning cannot be read".to_owned() }
        }
        (MediaError::Unsupported(problem), _) => Error::UnsupportedCodec { codec: problem.to_owned() },
        (MediaError::IoError(error), format) if error.kind() == io::ErrorKind::UnexpectedEof => match format {
            Some(_) => Error::Truncated { what: "the header", expected: 1, got: 0 },
            None => Error::unknown(Media::Audio, head),
        },
        (MediaError::IoError(error), _) => io(error),
        (MediaError::LimitError(_), _) => {
            Error::Corrupt { format: format.unwrap_or("file"), problem: "its header passes all limits".to_owned() }
        }
        (error, Some(format)) => Error::Corrupt { format, problem: error.to_string() },
        (_, None) => Error::unknown(Media::Audio, head),
    }
}

/// What a file is by its first bytes; only for errors.
fn guess(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] | [b'R', b'F', b'6', b'4', ..] => "WAV",
        [b'f', b'L', b'a', b'C', ..] => "FLAC",
        [b'O', b'g', b'g', b'S', ..] => "Ogg",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "MP4",
        [b'F', b'O', b'R', b'M', ..] => "AIFF",
        [b'c', b'a', b'f', b'f', ..] => "CAF",
        [0x1a, 0x45, 0xdf, 0xa3, ..] => "Matroska",
        [b'I', b'D', b'3', ..] => "MP3",
        _ => return None,
    })
}

fn container_name(short: &str) -> &'static str {
    match short {
        "wave" => "WAV",
        "aiff" => "AIFF",
        "caf" => "CAF",
        "flac" => "FLAC",
        "mp1" | "mp2" | "mp3" => "MPEG audio",
        "aac" => "ADTS",
        "isomp4" => "MP4",
        "ogg" => "Ogg",
        "matroska" => "Matroska",
        _ => "another container",
    }
}

fn format(container: &str, codec: &str) -> Option<AudioFormatType> {
    Some(match (container, codec) {
        ("wave", "PCM") => AudioFormatType::WAV,
        ("flac", "FLAC") => AudioFormatType::FLAC,
        ("mp3", "MP3") => AudioFormatType::MP3,
        ("aac", "AAC") => AudioFormatType::AAC,
        ("isomp4", "AAC") => AudioFormatType::M4A,
        ("ogg", "Vorbis") => AudioFormatType::OGG,
        ("ogg", "Opus") => AudioFormatType::OPUS,
        _ => return None,
    })
}

/// Packets without a sample after which a file is taken for empty.
const MAX_SILENT: u64 = 10_000;
