//! Every format into every other, at every rate and layout: ffmpeg hears the sound at its place and in its length.

use mullama_convert::{AudioFormatType, ConversionConfig, Method};

use super::tools::{RATES, channel, convert, ffmpeg, lag, sound, takes, wav};

#[test]
fn every_pair_keeps_stereo_at_every_rate() {
    for rate in RATES {
        pairs(rate, 2);
    }
}

#[test]
fn every_pair_keeps_mono() {
    pairs(16_000, 1);
    pairs(44_100, 1);
}

#[test]
fn every_pair_keeps_six_channels() {
    pairs(48_000, 6);
}

/// All pairs of the formats that take this sound as it is.
fn pairs(rate: u32, channels: u16) {
    let folder = tempfile::tempdir().unwrap();
    // Of a Vorbis file with one page ffmpeg 5.1 hears another length.
    let frames = (rate as usize * 3 / 4).max(36_000) + 77;
    let (input, samples) = wav(folder.path(), "in", rate, channels, &sound(rate, channels, frames));
    let left = channel(&samples, channels, 0);
    let takes = |format: &AudioFormatType| takes(*format, rate) && (*format != AudioFormatType::MP3 || channels <= 2);
    let formats: Vec<_> = AudioFormatType::ALL.into_iter().filter(takes).collect();
    for from in &formats {
        let source = folder.path().join(format!("from.{}", from.extension()));
        convert(&input, &source, &ConversionConfig::new()).unwrap();
        // Opus is 48 kHz inside, whatever it was made from.
        let inner = if *from == AudioFormatType::OPUS { 48_000 } else { rate };
        for to in &formats {
            let what = format!("{from} to {to} at {rate} Hz with {channels} channels");
            let target = folder.path().join(format!("to.{}", to.extension()));
            let config = ConversionConfig::new().overwrite(true);
            let config = if *to == AudioFormatType::OPUS { config } else { config.sample_rate(rate) };
            let report = convert(&source, &target, &config).unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let (heard, out_rate, out_channels) = ffmpeg(&target);
            let scale = if *to == AudioFormatType::OPUS { 48_000 / rate } else { 1 };
            assert_eq!((out_rate, out_channels), (rate * scale, channels), "{what}");
            assert_eq!(report.input.sample_rate, inner, "{what}");
            // ADTS cannot say where its sound begins and ends; of M4A ffmpeg 5.1 plays the last packet whole.
            let adts = [from, to].iter().filter(|format| ***format == AudioFormatType::AAC).count();
            let steps = if report.method == Method::Copied { adts.min(1) } else { adts };
            let got = heard.len() / usize::from(channels) / scale as usize;
            let last = if *to == AudioFormatType::M4A { 1_023 } else { 0 };
            assert!((frames..=frames + steps * 2_112 + last).contains(&got), "{what}: {got} of {frames}");
            let heard: Vec<f32> = channel(&heard, channels, 0).into_iter().step_by(scale as usize).collect();
            let (shift, likeness) = lag(&left, &heard);
            assert_eq!(shift, isize::try_from(steps).unwrap() * 1_024, "{what}");
            let lossless = [from, to].iter().all(|format| format.is_lossless());
            assert!(if lossless { left == heard } else { likeness > 0.98 }, "{what}: {likeness}");
        }
    }
}
