//! Doors for the fuzz targets into the parsers and writers of sound.

use std::io::Cursor;

use bytes::Bytes;

use super::decode::{self, Units, edit};
use super::encode::{AdtsUnits, Encoder, Target, UnitWriter};
use super::options::{AudioFormatType, BitDepth};
use super::pcm::Spec;
use super::sink::Sink;
use super::source::Source;
use super::tags::Tags;
use super::wave;
use crate::config::{ConversionConfig, Limits};
use crate::fuzz::cursor;

/// Edit lists of MP4.
pub fn edit_lists(bytes: &[u8]) {
    let (mut cursor, len) = cursor(bytes);
    for edit in edit::read(&mut cursor, len).unwrap_or_default() {
        for coded in [None, Some(0), Some(u64::MAX)] {
            edit.frames(44_100, coded);
        }
    }
}

/// Chunks of WAV and RF64.
pub fn wave_chunks(bytes: &[u8]) {
    let (mut cursor, len) = cursor(bytes);
    if let Ok(tail) = wave::tail(&mut cursor, len) {
        assert!(tail.trailing <= len);
    }
}

/// Tags of any format, read and written in all.
pub fn tags(bytes: &[u8]) {
    let (tags, _) = Tags::bytes(&Bytes::copy_from_slice(bytes), &Limits::default());
    let (_, _) = (tags.items(), tags.pictures());
    for format in AudioFormatType::ALL {
        tags.dropped(format);
    }
    let _refused = (tags.id3(), tags.ilst(), tags.wave(), tags.flac(), tags.vorbis());
}

/// Units through our MP4 file come back as they were, under one length for each: the first byte of what is left.
pub fn mp4_units(bytes: &[u8]) {
    let sink = Sink::memory(u64::MAX);
    let mut writer = UnitWriter::m4a(CD, &[0x12, 0x10], &Tags::default(), sink).expect("memory takes all");
    let units = put(bytes, &mut writer);
    if units.is_empty() {
        return;
    }
    let file = writer.finish(7, 1024 * units.len() as u64 - 7).and_then(Sink::finish).expect("memory takes all");
    let source = Source::bytes(file.into(), &Limits::default()).expect("it is not empty");
    let read = Units::open(source, CD, &ConversionConfig::default()).expect("our own file is read");
    let mut read = read.expect("it holds plain AAC");
    assert_eq!(read.skip(), 7);
    let mut back = Vec::new();
    while let Some(unit) = read.next_unit().expect("our own file is whole") {
        back.push(unit);
    }
    assert!(back.iter().map(|unit| &unit[..]).eq(units), "other units came back");
}

/// Units through ADTS come back as they were. A demuxer would take some for the beginning of another format, so the headers
/// are read here (ISO/IEC 14496-3, 1.A.3.2).
pub fn adts_units(bytes: &[u8]) {
    let units = AdtsUnits::new(CD).expect("ADTS takes CD sound");
    let mut writer = UnitWriter::adts(units, &Tags::default(), Sink::memory(u64::MAX)).expect("memory takes all");
    let units = put(bytes, &mut writer);
    let file = writer.finish(0, 0).and_then(Sink::finish).expect("memory takes all");
    let (mut rest, mut back) = (&file[..], Vec::new());
    while let [0xff, flags, codec, high, middle, low, _, ..] = *rest {
        // MPEG-4 or MPEG-2 without a checksum; LC at 44.1 kHz with two channels.
        assert_eq!((flags & 0xf7, codec & 0xfd, codec & 1, high >> 6), (0xf1, 0x50, 0, 2), "{rest:02x?}");
        let length = usize::from(high & 3) << 11 | usize::from(middle) << 3 | usize::from(low >> 5);
        let (unit, behind) = rest.split_at(length);
        back.push(&unit[7..]);
        rest = behind;
    }
    assert!(rest.is_empty() && back == units, "other units came back");
}

/// Puts units, and gives them.
fn put<'a>(mut bytes: &'a [u8], writer: &mut UnitWriter) -> Vec<&'a [u8]> {
    let mut units = Vec::new();
    while let [length, rest @ ..] = bytes {
        let (unit, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        bytes = rest;
        if !unit.is_empty() {
            writer.put(unit).expect("units are short");
            units.push(unit);
        }
    }
    units
}

const CD: Spec = Spec { rate: 44_100, channels: 2 };

/// Integers through WAV come back as they were.
pub fn wave_samples(bytes: &[u8]) {
    lossless(AudioFormatType::WAV, bytes);
}

/// A frame of FLAC behind a byte that says how deep its samples are.
pub fn flac_frames(bytes: &[u8]) {
    if let [depth, frame @ ..] = bytes {
        decode::flac::fuzz(frame, u32::from(depth % 32) + 1);
    }
}

/// Integers through our encoder of FLAC come back as they were.
pub fn flac_samples(bytes: &[u8]) {
    lossless(AudioFormatType::FLAC, bytes);
}

fn lossless(format: AudioFormatType, bytes: &[u8]) {
    let [depth, narrow, bytes @ ..] = bytes else { return };
    let (bits, wide) = match depth % 4 {
        0 => (BitDepth::Int8, 24),
        1 => (BitDepth::Int16, 16),
        3 if format == AudioFormatType::WAV => (BitDepth::Int32, 0),
        _ => (BitDepth::Int24, 8),
    };
    let channels = u16::from(depth >> 4) % 8 + 1;
    // Quiet sound, and sound whose lowest bits are all zeros.
    let (quiet, zeros) = (u32::from(narrow & 15), u32::from(narrow >> 4));
    let sample =
        |bytes: &[u8; 4]| (i32::from_le_bytes(*bytes) >> wide >> quiet) << zeros.min(32 - wide - 1) << wide >> wide;
    let samples: Vec<i32> = bytes.as_chunks::<4>().0.iter().map(sample).collect();
    let samples = &samples[..samples.len() / usize::from(channels) * usize::from(channels)];
    if samples.is_empty() {
        return;
    }
    let spec = Spec { rate: 48_000, channels };
    let target = Target { format, spec, bits, bitrate: 0, quality: 0.0, frames: None };
    let mut encoder = Encoder::new(&target, &Tags::default(), Sink::memory(u64::MAX)).expect("memory takes all");
    let Encoder::Int(int) = &mut encoder else { unreachable!("these take integers") };
    int.write(samples, 0).expect("memory takes all");
    let file = encoder.finish().and_then(|encoded| encoded.sink.finish()).expect("memory takes all");
    let source = Source::bytes(file.into(), &Limits::default()).expect("it is not empty");
    let mut decoder = decode::Decoder::open(source, &ConversionConfig::default()).expect("our own file is read");
    let mut block = super::pcm::Samples::Int(Vec::new());
    let mut back = Vec::new();
    while decoder.next_block(&mut block).expect("our own file is whole") {
        let super::pcm::Samples::Int(block) = &block else { unreachable!("these give integers") };
        back.extend(block.iter().map(|sample| sample >> wide));
    }
    assert!(back == samples, "other samples came back");
    assert!(decoder.take_warnings().is_empty(), "the checksum is wrong");
}

/// A stream of a format that the first byte chooses.
pub fn stream(bytes: &[u8]) {
    let [which, bytes @ ..] = bytes else { return };
    let from = AudioFormatType::ALL[usize::from(*which) % AudioFormatType::ALL.len()];
    let mut config = ConversionConfig::default();
    config.limits.max_duration_s = 60;
    config.limits.max_metadata_bytes = 1 << 20;
    let reader = Cursor::new(bytes.to_vec());
    let _refused = super::stream::convert(reader, std::io::sink(), from, AudioFormatType::WAV, &config);
}
