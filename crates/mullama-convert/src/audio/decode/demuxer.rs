//! What a file is by its content, and the packets in it: symphonia's demuxers, and for MP4 its index with our reading.

use std::io::Cursor;

use symphonia::core::common::Limit;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use super::mp4::{Index, Samples};
use super::{Packets, open};
use crate::config::ConversionConfig;
use crate::error::{Error, Result};
use crate::job;

/// Finds the packets of a file.
pub(super) struct Demuxer {
    reader: Box<dyn FormatReader>,
    /// Where the reader has an index alone, what gives the packets.
    samples: Option<Samples>,
}

impl Demuxer {
    /// Finds out what a file is, and its track of sound.
    pub(super) fn open(
        mut media: Box<dyn MediaSource>,
        head: &[u8],
        config: &ConversionConfig,
    ) -> Result<(Self, Track)> {
        let len = media.byte_len().filter(|_| media.is_seekable() && head.get(4..8) == Some(b"ftyp"));
        if let Some(len) = len {
            let mut index = Index::read(media.as_mut(), len)?;
            let bytes = std::mem::take(&mut index.bytes);
            let (reader, mut track) = probe(Box::new(Cursor::new(bytes)), head, config)?;
            let samples = index.samples(media, len, &mut track)?;
            return Ok((Self { reader, samples: Some(samples) }, track));
        }
        let (reader, track) = probe(media, head, config)?;
        Ok((Self { reader, samples: None }, track))
    }

    /// symphonia's short name of the container.
    pub(super) fn container(&self) -> &'static str {
        self.reader.format_info().short_name
    }

    /// Tracks of any kind.
    pub(super) fn tracks(&self) -> usize {
        self.reader.tracks().len()
    }

    /// The track of sound that is meant to be heard; of chained files that of the link that is read.
    pub(super) fn track(&self) -> Result<&Track> {
        self.reader.default_track(TrackType::Audio).ok_or(Error::NoAudioTrack)
    }

    /// The next packet. Demuxers assert of places in the file what hostile ones break.
    pub(super) fn next_packet(&mut self, container: &'static str) -> Result<Packets> {
        job::parsed(container, || {
            Ok(match &mut self.samples {
                Some(samples) => samples.next_packet(),
                None => self.reader.next_packet(),
            })
        })
    }
}

fn probe(
    media: Box<dyn MediaSource>,
    head: &[u8],
    config: &ConversionConfig,
) -> Result<(Box<dyn FormatReader>, Track)> {
    let stream = MediaSourceStream::new(media, MediaSourceStreamOptions::default());
    let bytes = usize::try_from(config.limits.max_metadata_bytes).unwrap_or(usize::MAX);
    let metadata =
        MetadataOptions::default().limit_tag_bytes(Limit::Maximum(bytes)).limit_visual_bytes(Limit::Maximum(bytes));
    let reader = job::parsed("sound", || {
        let probe = symphonia::default::get_probe();
        let opened = probe.probe(&Hint::new(), stream, FormatOptions::default(), metadata);
        opened.map_err(|error| open::unreadable(error, head))
    })?;
    let track = reader.default_track(TrackType::Audio).ok_or(Error::NoAudioTrack)?.clone();
    Ok((reader, track))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::audio::encode::UnitWriter;
    use crate::audio::pcm::Spec;
    use crate::audio::sink::Sink;
    use crate::audio::tags::Tags;

    fn unit(at: usize) -> Vec<u8> {
        (0..1 + at * 7 % 400).map(|byte| (at + byte).to_le_bytes()[0]).collect()
    }

    /// An M4A with units that nobody could decode.
    fn file() -> Vec<u8> {
        let spec = Spec { rate: 44_100, channels: 2 };
        let mut writer = UnitWriter::m4a(spec, &[0x12, 0x10], &Tags::default(), Sink::memory(u64::MAX)).unwrap();
        (0..UNITS).for_each(|at| writer.put(&unit(at)).unwrap());
        writer.finish(1024, 1024 * UNITS as u64 - 1024).and_then(Sink::finish).unwrap()
    }

    fn open(file: Vec<u8>) -> Demuxer {
        let head = file[..64].to_vec();
        Demuxer::open(Box::new(Cursor::new(Bytes::from(file))), &head, &ConversionConfig::default()).unwrap().0
    }

    #[test]
    fn the_tables_of_plain_files_are_read_here() {
        let mut demuxer = open(file());
        assert!(demuxer.samples.is_some());
        for at in 0..UNITS {
            let packet = demuxer.next_packet("MP4").unwrap().unwrap().unwrap();
            let start = i64::try_from(1024 * at).unwrap();
            assert_eq!((packet.data.as_ref(), packet.pts.get()), (unit(at).as_slice(), start));
        }
        assert!(demuxer.next_packet("MP4").unwrap().unwrap().is_none());
    }

    #[test]
    fn tables_that_are_too_long_are_refused() {
        let place = |file: &[u8], kind: &[u8; 4]| file.windows(4).position(|bytes| bytes == kind).unwrap();
        // More units than the box has room for.
        let mut file = file();
        let sizes = place(&file, b"stsz");
        file[sizes + 12] = 1;
        let read = |file: &[u8]| Index::read(&mut Cursor::new(Bytes::copy_from_slice(file)), file.len() as u64);
        assert!(matches!(read(&file), Err(Error::Corrupt { .. })));
        file[sizes + 12] = 0;
        assert!(read(&file).is_ok());
    }

    /// More than a window of each table holds.
    const UNITS: usize = 5_000;
}
