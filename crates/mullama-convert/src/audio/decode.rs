//! Files into samples: demuxing, decoding, trimming to the exact length, and the verdict on what was damaged.

mod aac;
mod codec;
mod demuxer;
pub(crate) mod edit;
pub(crate) mod flac;
mod md5;
mod mp4;
mod open;
mod opus;
mod units;

use symphonia::core::errors::Error as MediaError;
use symphonia::core::packet::Packet;

pub(crate) use self::aac::RATES as AAC_RATES;
pub(crate) use self::codec::Codec;
use self::codec::{Damage, PacketDecoder};
use self::demuxer::Demuxer;
pub(crate) use self::units::Units;
use super::options::AudioFormatType;
use super::pcm::{Samples, Spec};
use super::report::{AudioInfo, AudioWarning};
use crate::config::Damaged;
use crate::error::{Error, Result};

/// Reads one track of a file, block after block.
pub(crate) struct Decoder {
    demuxer: Demuxer,
    track: u32,
    codec: Box<dyn PacketDecoder>,
    facts: Facts,
    /// The first block, decoded when the file was opened.
    first: Option<Samples>,
    /// Frames to drop before the first that counts.
    skip: u64,
    /// Frames that count, where a list of edits says so.
    limit: Option<u64>,
    delivered: u64,
    max_frames: u64,
    damaged: Damaged,
    health: Health,
    warnings: Vec<AudioWarning>,
    /// Whether the file may end anywhere.
    open_ended: bool,
    finished: bool,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facts {
    pub(crate) format: Option<AudioFormatType>,
    pub(crate) container: &'static str,
    pub(crate) codec: Codec,
    pub(crate) spec: Spec,
    /// Frames that the file announces, where such a number can be relied on.
    pub(crate) announced: Option<u64>,
    /// Frames that the file announces, perhaps by a guess.
    pub(crate) guessed: Option<u64>,
    pub(crate) bytes: u64,
    /// Whether the file holds nothing beside this sound: no picture track, no second language.
    pub(crate) alone: bool,
}

#[derive(Debug, Default)]
struct Health {
    packets: u64,
    damaged: u64,
    first_problem: Option<String>,
    /// Errors of the demuxer without a packet between them.
    stuck: u32,
    ended_early: bool,
    /// Where the next packet should begin, in Ogg's frames.
    next: Option<i64>,
    /// Frames between packets of Ogg that should follow one another.
    missing: u64,
    /// Frames that a packet had last: as many are silent where one is damaged.
    usual: usize,
}

impl Decoder {
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) fn take_warnings(&mut self) -> Vec<AudioWarning> {
        std::mem::take(&mut self.warnings)
    }

    /// The numbers of the file; after the end they are counted ones.
    pub(crate) fn info(&self) -> AudioInfo {
        AudioInfo {
            format: self.facts.format,
            container: self.facts.container,
            codec: self.facts.codec.name,
            sample_rate: self.facts.spec.rate,
            channels: self.facts.spec.channels,
            bits: self.facts.codec.bits,
            frames: if self.finished { self.delivered } else { self.facts.guessed.unwrap_or(0) },
            counted: self.finished,
            bytes: self.facts.bytes,
        }
    }

    /// Puts the next samples into `block`. `false` at the end, when it has been checked that all was there.
    pub(crate) fn next_block(&mut self, block: &mut Samples) -> Result<bool> {
        if let Some(first) = self.first.take() {
            *block = first;
            if self.trim(block)? {
                return Ok(true);
            }
        }
        while !self.finished {
            if self.limit.is_some_and(|limit| self.delivered >= limit) || !self.decode(block)? {
                self.finished = true;
                self.verdict()?;
                return Ok(false);
            }
            if self.trim(block)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Cuts off what does not count. `false` if nothing is left.
    fn trim(&mut self, block: &mut Samples) -> Result<bool> {
        let channels = usize::from(self.facts.spec.channels);
        let frames = (block.len() / channels) as u64;
        let skip = self.skip.min(frames);
        self.skip -= skip;
        let left = self.limit.map_or(u64::MAX, |limit| limit - self.delivered);
        let keep = (frames - skip).min(left);
        let samples = |frames: u64| usize::try_from(frames).unwrap_or(usize::MAX).saturating_mul(channels);
        block.drop_front(samples(skip));
        block.truncate(samples(keep));
        self.delivered += keep;
        if self.delivered > self.max_frames {
            let rate = u64::from(self.facts.spec.rate);
            let (value, limit) = (self.delivered.div_ceil(rate), self.max_frames / rate);
            return Err(Error::TooLarge { what: "the sound", value, limit, unit: "s" });
        }
        Ok(keep > 0)
    }

    /// Decodes packets until one gives samples. `false` at the end.
    fn decode(&mut self, block: &mut Samples) -> Result<bool> {
        loop {
            let packet = match self.next_packet()? {
                Ok(Some(packet)) => packet,
                Ok(None) => return Ok(false),
                Err(MediaError::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    self.health.ended_early = true;
                    return Ok(false);
                }
                Err(MediaError::IoError(error)) => return Err(open::io(error)),
                Err(MediaError::ResetRequired) => {
                    self.next_link()?;
                    continue;
                }
                Err(error) => {
                    self.health.note(error.to_string());
                    self.health.stuck += 1;
                    if self.health.stuck > MAX_STUCK {
                        return Err(self.corrupt(format!("nothing can be read any more: {error}")));
                    }
                    continue;
                }
            };
            if packet.track_id != self.track {
                continue;
            }
            self.health.stuck = 0;
            self.health.packets += 1;
            if self.facts.container == "Ogg" {
                self.health.follow(packet.pts.get(), packet.block_dur().get());
            }
            let decoded = self.codec.decode(&packet, block).and_then(|spec| match spec {
                Some(spec) if spec != self.facts.spec => Err(Damage(format!(
                    "the sound changes from {} Hz and {} channels to {} Hz and {}",
                    self.facts.spec.rate, self.facts.spec.channels, spec.rate, spec.channels
                ))),
                other => Ok(other),
            });
            match decoded {
                Ok(None) => {}
                Ok(Some(_)) => {
                    self.health.usual = block.len();
                    return Ok(true);
                }
                Err(Damage(problem)) => {
                    self.health.note(format!("{problem} (packet {})", self.health.packets));
                    if self.facts.codec.lossless && self.damaged == Damaged::Refuse {
                        return Err(self.corrupt(problem));
                    }
                    // What a decoder left in it may be of another rate.
                    block.clear();
                    block.resize(self.health.usual);
                    if self.health.usual > 0 {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Goes on with the next of several files in one, as Ogg allows them.
    fn next_link(&mut self) -> Result<()> {
        let link = open::link(&self.demuxer, &self.facts)?;
        (self.track, self.codec, self.skip) = (link.track, link.codec, link.skip);
        self.health.next = None;
        // The length that was announced was that of the first.
        self.facts.announced = None;
        Ok(())
    }

    /// What is to be said about the whole.
    fn verdict(&mut self) -> Result<()> {
        let verified = self.codec.verified();
        let refuse = self.damaged == Damaged::Refuse;
        if self.delivered == 0 {
            return Err(if self.health.damaged > 0 {
                self.corrupt(self.health.first_problem.clone().unwrap_or_default())
            } else {
                Error::NoAudioFrames
            });
        }
        if self.health.damaged > 0 {
            // A decoder hides a lost packet of lossy sound; more than one in a hundred is no longer an accident.
            let (damaged, of) = (self.health.damaged, self.health.packets);
            let problem = self.health.first_problem.clone().unwrap_or_default();
            if refuse && (self.facts.codec.lossless || damaged > 1 + of / 100) {
                return Err(self.corrupt(format!("{damaged} of {of} packets cannot be decoded, first: {problem}")));
            }
            self.warnings.push(AudioWarning::Damaged { packets: damaged, of, problem });
        }
        let got = self.delivered;
        if self.health.missing >= MISSING {
            // The demuxer leaves out pages whose checksum is wrong, without a word.
            let missing = self.health.missing;
            if refuse {
                return Err(self.corrupt(format!("{missing} frames are missing within")));
            }
            self.warnings.push(AudioWarning::Truncated { expected: got.saturating_add(missing), got });
        }
        match self.facts.announced {
            Some(expected) if got < expected => {
                let cut = self.health.ended_early || !self.facts.codec.lossless;
                if refuse && cut {
                    return Err(Error::Truncated { what: "the sound in frames", expected, got });
                } else if refuse {
                    return Err(self.corrupt(format!("{} of {expected} frames are missing", expected - got)));
                }
                self.warnings.push(AudioWarning::Truncated { expected, got });
            }
            None if self.health.ended_early && !self.open_ended => {
                if refuse {
                    return Err(Error::Truncated { what: "the last packet", expected: 1, got: 0 });
                }
                let (of, problem) = (self.health.packets + 1, "the file ends within a packet".to_owned());
                self.warnings.push(AudioWarning::Damaged { packets: 1, of, problem });
            }
            _ if verified == Some(false) => {
                self.warnings.push(AudioWarning::ChecksumMismatch { checksum: "MD5 of the samples" });
            }
            _ => {}
        }
        Ok(())
    }

    /// The demuxer's next packet.
    fn next_packet(&mut self) -> Result<Packets> {
        self.demuxer.next_packet(self.facts.container)
    }

    fn corrupt(&self, problem: String) -> Error {
        Error::Corrupt { format: self.facts.codec.name, problem }
    }
}

/// What a demuxer gives, or says.
type Packets = std::result::Result<Option<Packet>, MediaError>;

impl Health {
    fn follow(&mut self, start: i64, frames: u64) {
        let gap = self.next.map_or(0, |next| start.saturating_sub(next));
        // Hostile positions leap over all that 64 bits can say, again and again.
        self.missing = self.missing.saturating_add(u64::try_from(gap).unwrap_or(0));
        self.next = Some(start.saturating_add_unsigned(frames));
    }

    fn note(&mut self, problem: String) {
        self.damaged += 1;
        self.first_problem.get_or_insert(problem);
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("facts", &self.facts)
            .field("delivered", &self.delivered)
            .finish_non_exhaustive()
    }
}

/// Frames of a gap from which on it is no encoder's rounding.
const MISSING: u64 = 64;

/// Errors of the demuxer in a row after which no more packets are expected.
const MAX_STUCK: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::Health;

    #[test]
    fn positions_that_leap_to_and_fro_do_not_wrap() {
        let mut health = Health::default();
        for _ in 0..3 {
            health.follow(i64::MIN, 0);
            health.follow(i64::MAX, u64::MAX);
        }
        assert_eq!(health.missing, u64::MAX);
    }
}
