//! The feature list's snippet on format conversion: files, pictures, a stream.
//!
//! `cargo run --release -p mullama-examples --example format_conversion [SOUND.mp3 PICTURE.jpg]`
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example")]

use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use mullama::AudioBuffer;
use mullama::{AudioConverter, AudioFormatType, ConversionConfig, ImageConverter, StreamingConverter};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut files = std::env::args_os().skip(1).map(PathBuf::from);
    let (sound, picture) = match (files.next(), files.next()) {
        (Some(sound), Some(picture)) => (sound, picture),
        _ => made_in(folder.path())?,
    };
    let config = ConversionConfig::new();

    let audio_converter = AudioConverter::new();
    let wav_data = audio_converter.mp3_to_wav(&sound, config).await?;
    println!("WAV: {} frames, {} bytes", wav_data.report().output.frames, wav_data.bytes().len());

    let image_converter = ImageConverter::new();
    let png_data = image_converter.jpeg_to_png(&picture, config).await?;
    let size = &png_data.report().output;
    println!("PNG: {} x {}, {} bytes", size.width, size.height, png_data.bytes().len());

    // As it would come from a network, in pieces.
    let pieces: Vec<Vec<u8>> = std::fs::read(&sound)?.chunks(700).map(<[u8]>::to_vec).collect();
    let input_stream = futures_util::stream::iter(pieces);
    let streaming_converter = StreamingConverter::new(1024);
    let mut converted_stream = streaming_converter
        .convert_audio_stream(input_stream, AudioFormatType::MP3, AudioFormatType::WAV, config)
        .await?;
    let mut bytes = 0;
    while let Some(piece) = converted_stream.next().await {
        bytes += piece?.len();
    }
    println!("stream: {bytes} bytes of WAV");

    // What a speech model takes: 16 kHz, one channel.
    let speech = ConversionConfig::new().sample_rate(16_000).channels(1);
    let audio_data = audio_converter.load_and_convert_with(&sound, AudioFormatType::WAV, speech).await?;
    let audio_input = audio_data.to_audio_input()?;
    println!("for a model: {} samples at {} Hz", audio_input.samples.len(), audio_input.sample_rate);
    Ok(())
}

/// A second of a tone, and a picture of a gradient.
fn made_in(folder: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let config = ConversionConfig::new();
    let tone = (0_u16..44_100).map(|at| (f32::from(at) * 440.0 * std::f32::consts::TAU / 44_100.0).sin() * 0.5);
    let tone = AudioBuffer::new(tone.collect(), 44_100, 1)?;
    let mp3 = AudioConverter::new().encode_blocking(&tone, AudioFormatType::MP3, &config)?;
    let (sound, bitmap, picture) = (folder.join("tone.mp3"), folder.join("gradient.bmp"), folder.join("gradient.jpg"));
    std::fs::write(&sound, mp3.bytes())?;
    std::fs::write(&bitmap, gradient())?;
    ImageConverter::new().convert_file_blocking(&bitmap, &picture, &config)?;
    Ok((sound, picture))
}

/// A bitmap of 256 x 256 pixels, 24 bits each.
fn gradient() -> Vec<u8> {
    let mut file = b"BM".to_vec();
    for number in [54 + 256 * 256 * 3, 0, 54, 40, 256, 256, 1 | 24 << 16, 0, 0, 2_835, 2_835, 0, 0_u32] {
        file.extend(number.to_le_bytes());
    }
    file.extend((0..=255).flat_map(|y| (0..=255).flat_map(move |x| [128, y, x])));
    file
}
