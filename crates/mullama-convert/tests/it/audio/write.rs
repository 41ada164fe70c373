//! What we write, ffmpeg reads: exact length, nothing late, little noise.

use mullama_convert::{AudioConverter, AudioFormatType, AudioWarning, BitDepth, ConversionConfig, Method};

use super::tools::{RATES, channel, convert, ffmpeg, lag, run, snr, sound, takes, wav};

/// Every format at every rate with every layout that it takes.
#[test]
fn ffmpeg_reads_all_that_we_write_in_its_exact_length() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = String::new();
    for rate in RATES {
        for channels in [1, 2, 6] {
            let frames = rate as usize * 2 + 777;
            let samples = sound(rate, channels, frames);
            let (input, samples) = wav(folder.path(), &format!("in-{rate}-{channels}"), rate, channels, &samples);
            for format in AudioFormatType::ALL {
                if !takes(format, rate) || (format == AudioFormatType::MP3 && channels == 6) {
                    continue;
                }
                let output = folder.path().join(format!("out-{rate}-{channels}.{}", format.extension()));
                let report = convert(&input, &output, &ConversionConfig::new().overwrite(true)).unwrap();
                let what = format!("{format} at {rate} Hz with {channels} channels");
                assert_eq!(report.output.frames, frames as u64, "{what}");

                let (heard, out_rate, out_channels) = ffmpeg(&output);
                assert_eq!(out_channels, channels, "{what}");
                let scale = out_rate / rate;
                assert_eq!(out_rate, if format == AudioFormatType::OPUS { 48_000 } else { rate }, "{what}");
                let got = heard.len() / usize::from(channels) / scale as usize;
                // ADTS has no way to say where the sound begins and ends; of M4A ffmpeg 5.1 plays the last packet whole.
                let (late, most) = match format {
                    AudioFormatType::AAC => (1024, 2112),
                    AudioFormatType::M4A => (0, 1023),
                    _ => (0, 0),
                };
                assert!((frames..=frames + most).contains(&got), "{what}: {got} frames of {frames}");
                for index in 0..usize::from(channels) {
                    // The low effects have less to compare in lossy formats.
                    if channels == 6 && index == 3 && !format.is_lossless() {
                        continue;
                    }
                    let reference = channel(&samples, channels, index);
                    let other: Vec<f32> =
                        channel(&heard, channels, index).into_iter().step_by(scale as usize).collect();
                    let (shift, likeness) = lag(&reference, &other);
                    assert_eq!(shift, late, "{what}, channel {index}: {likeness}");
                    // Six channels at 8 kHz leave AAC few bits for each.
                    let least = if channels == 6 && rate == 8_000 { 0.5 } else { 0.9 };
                    assert!(likeness > least, "{what}, channel {index}: {likeness}");
                    let noise = snr(&reference, &other[late.unsigned_abs()..]);
                    if index == 0 {
                        table += &format!("{what}: {noise:.1} dB\n");
                    }
                    if format.is_lossless() {
                        assert_eq!(reference, other, "{what}");
                    } else if channels == 2 && rate >= 44_100 {
                        let floor = match format {
                            AudioFormatType::MP3 | AudioFormatType::OGG => 28.0,
                            AudioFormatType::OPUS => 20.0,
                            _ => 22.0,
                        };
                        assert!(noise >= floor, "{what}: {noise:.1} dB are less than {floor}");
                    }
                }
            }
        }
    }
    println!("{table}");
}

#[test]
fn every_length_at_the_edge_of_a_block_is_exact() {
    let folder = tempfile::tempdir().unwrap();
    for frames in [1usize, 2, 15, 16, 31, 32, 63, 575, 576, 1023, 1024, 1025, 1151, 1152, 1153, 4095, 4096, 4097, 4127]
    {
        let samples = sound(44_100, 2, frames);
        let (input, _) = wav(folder.path(), &format!("in-{frames}"), 44_100, 2, &samples);
        for format in [AudioFormatType::WAV, AudioFormatType::FLAC, AudioFormatType::MP3, AudioFormatType::M4A] {
            let output = folder.path().join(format!("out-{frames}.{}", format.extension()));
            convert(&input, &output, &ConversionConfig::new().bits(BitDepth::Int16)).unwrap();
            let (heard, _, _) = ffmpeg(&output);
            if format == AudioFormatType::M4A {
                assert!((frames..frames + 1024).contains(&(heard.len() / 2)), "{frames} of {format}: {}", heard.len());
                let ours = AudioConverter::new().load_blocking(&output, &ConversionConfig::new()).unwrap();
                assert_eq!(ours.frames(), frames, "{format}");
            } else {
                assert_eq!(heard.len() / 2, frames, "{format}");
            }
        }
        // ffmpeg 5.1 drops the start of short Vorbis files, its own too; sox does not.
        let output = folder.path().join(format!("out-{frames}.ogg"));
        convert(&input, &output, &ConversionConfig::new()).unwrap();
        let raw = run("sox", &["-V1", output.to_str().unwrap(), "-t", "raw", "-e", "signed", "-b", "16", "-"]);
        assert_eq!(raw.len() / 4, frames, "OGG Vorbis");
        // Opus is 48 kHz: every frame of 44.1 kHz becomes 48/44.1 of them, rounded up.
        let output = folder.path().join(format!("out-{frames}.opus"));
        convert(&input, &output, &ConversionConfig::new()).unwrap();
        let decoded = folder.path().join("opus.wav");
        run("opusdec", &["--quiet", "--rate", "48000", output.to_str().unwrap(), decoded.to_str().unwrap()]);
        assert_eq!(ffmpeg(&decoded).0.len() / 2, (frames * 48_000).div_ceil(44_100), "Opus");
    }
}

#[test]
fn the_reference_programs_find_nothing_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (input, _) = wav(folder.path(), "in", 44_100, 2, &sound(44_100, 2, 100_000));
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for name in ["a.flac", "a.ogg", "a.opus"] {
        convert(&input, &folder.path().join(name), &ConversionConfig::new()).unwrap();
    }
    run("flac", &["-t", "-s", "-w", &path("a.flac")]);
    let ogg = String::from_utf8(run("ogginfo", &[&path("a.ogg")])).unwrap();
    assert!(!ogg.contains("WARNING") && ogg.contains("Playback length: 0m:02.26"), "{ogg}");
    let opus = String::from_utf8(run("opusinfo", &[&path("a.opus")])).unwrap();
    assert!(!opus.contains("WARNING") && opus.contains("Playback length: 0m:02.26"), "{opus}");
}

#[test]
fn lossless_pairs_keep_every_bit_and_dither_comes_only_where_depth_shrinks() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (_, samples) = wav(folder.path(), "in", 48_000, 2, &sound(48_000, 2, 30_000));
    for (codec, bits) in [("pcm_u8", 8), ("pcm_s16le", 16), ("pcm_s24le", 24), ("pcm_s32le", 32)] {
        let source = path(&format!("{bits}.wav"));
        run(
            "ffmpeg",
            &[
                "-v",
                "error",
                "-i",
                path("in.wav").to_str().unwrap(),
                "-af",
                "volume=0.77",
                "-c:a",
                codec,
                source.to_str().unwrap(),
            ],
        );
        let expected = md5(&source);
        let again = path(&format!("{bits}-again.wav"));
        let first = convert(&source, &again, &ConversionConfig::new()).unwrap();
        assert_eq!((first.method, md5(&again)), (Method::Copied, expected.clone()), "{bits}");
        if bits < 32 {
            let (flac, back) = (path(&format!("{bits}.flac")), path(&format!("{bits}-back.wav")));
            let there = convert(&source, &flac, &ConversionConfig::new()).unwrap();
            let home = convert(&flac, &back, &ConversionConfig::new()).unwrap();
            assert_eq!((there.method, home.method), (Method::Lossless, Method::Lossless));
            assert_eq!((md5(&flac), md5(&back)), (expected.clone(), expected), "{bits}");
        }
    }
    let narrow = convert(&path("24.wav"), &path("narrow.wav"), &ConversionConfig::new().bits(BitDepth::Int16)).unwrap();
    assert!(narrow.warnings.contains(&AudioWarning::DepthReduced { from: 24, to: 16 }), "{narrow:?}");
    let (heard, _, _) = ffmpeg(&path("narrow.wav"));
    let (source, _, _) = ffmpeg(&path("24.wav"));
    let noise = snr(&source, &heard);
    // Triangular dither of 16 bits lies at -96.3 dBFS; the sound at about -16.
    assert!((70.0..90.0).contains(&noise), "{noise}");
    assert_ne!(heard, samples);
}

#[test]
fn rates_and_channels_are_changed_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (input, samples) = wav(folder.path(), "in", 44_100, 6, &sound(44_100, 6, 88_200));
    let output = folder.path().join("out.wav");
    let config = ConversionConfig::new().sample_rate(16_000).channels(2);
    let report = convert(&input, &output, &config).unwrap();
    assert!(report.warnings.contains(&AudioWarning::Resampled { from: 44_100, to: 16_000 }), "{report:?}");
    assert!(report.warnings.contains(&AudioWarning::Remixed { from: 6, to: 2 }), "{report:?}");
    let (heard, rate, channels) = ffmpeg(&output);
    assert_eq!((rate, channels, heard.len() / 2), (16_000, 2, 32_000));
    // The same by ffmpeg; it scales the mix so that nothing clips where its samples are integers, as we always do.
    let other = folder.path().join("other.wav");
    run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-i",
            input.to_str().unwrap(),
            "-ac",
            "2",
            "-ar",
            "16000",
            "-c:a",
            "pcm_s16le",
            other.to_str().unwrap(),
        ],
    );
    let (expected, _, _) = ffmpeg(&other);
    for index in 0..2 {
        let (ours, theirs) = (channel(&heard, 2, index), channel(&expected, 2, index));
        assert_eq!(lag(&theirs, &ours).0, 0);
        let noise = snr(&theirs[1_000..30_000], &ours[1_000..30_000]);
        assert!(noise > 40.0, "channel {index}: {noise:.1} dB");
    }
    assert!(samples.len() == 88_200 * 6);
}

#[test]
fn loudness_is_what_ffmpeg_measures_and_nothing_clips() {
    let folder = tempfile::tempdir().unwrap();
    let (input, _) = wav(folder.path(), "in", 48_000, 2, &sound(48_000, 2, 240_000));
    let output = folder.path().join("out.wav");
    let report = convert(&input, &output, &ConversionConfig::new().loudness(-23.0)).unwrap();
    assert!(report.gain_db.abs() > 1.0, "{report:?}");
    let log = std::process::Command::new("ffmpeg")
        .args(["-nostats", "-i", output.to_str().unwrap(), "-af", "ebur128", "-f", "null", "-"])
        .output()
        .unwrap();
    let log = String::from_utf8(log.stderr).unwrap();
    let measured = log.rsplit("I:").next().unwrap().split_whitespace().next().unwrap().parse::<f64>().unwrap();
    assert!((measured + 23.0).abs() < 0.15, "{measured}");

    let loud = folder.path().join("loud.wav");
    let report = convert(&input, &loud, &ConversionConfig::new().loudness(-5.0)).unwrap();
    assert!(report.warnings.iter().any(|warning| matches!(warning, AudioWarning::GainLimited { .. })), "{report:?}");
    assert!(ffmpeg(&loud).0.iter().all(|sample| sample.abs() < 0.95));
}

/// The MD5 of a file's samples, as ffmpeg finds it.
fn md5(path: &std::path::Path) -> String {
    let args = ["-v", "error", "-i", path.to_str().unwrap(), "-c:a", "pcm_s32le", "-f", "md5", "-"];
    String::from_utf8(run("ffmpeg", &args)).unwrap()
}
