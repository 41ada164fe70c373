//! What others write, we read as they do: the same samples, the same length.

use std::path::{Path, PathBuf};

use mullama_convert::{AudioConverter, ConversionConfig};

use super::tools::{RATES, channel, ffmpeg, lag, run, snr, sound, wav};

/// Encodes with another program.
fn encode(input: &Path, output: PathBuf, args: &[&str]) -> PathBuf {
    let (from, to) = (input.to_str().unwrap(), output.to_str().unwrap());
    run("ffmpeg", &[&["-v", "error", "-y", "-i", from][..], args, &[to]].concat());
    output
}

/// Decodes and compares with what ffmpeg hears. Where the format knows its length it must be `frames`.
fn check(path: &Path, frames: Option<usize>, least: f64) {
    let what = path.file_name().unwrap().to_string_lossy().into_owned();
    let ours = AudioConverter::new().load_blocking(path, &ConversionConfig::default());
    let ours = ours.unwrap_or_else(|error| panic!("{what}: {error}"));
    let (theirs, rate, channels) = ffmpeg(path);
    assert_eq!((ours.sample_rate, ours.channels), (rate, channels), "{what}");
    assert_eq!(ours.frames(), frames.unwrap_or(ours.frames()), "{what}");
    // ffmpeg 5.1 plays the last packet of MP4 whole.
    let more = if what.ends_with(".m4a") || what == "mp3.mp4" { 1_151 } else { 0 };
    // And of Vorbis files, its own too, it drops the first 128 frames where they are short, else the last ones.
    let dropped = ours.samples.len().checked_sub(theirs.len()).filter(|_| what.ends_with(".ogg"));
    let ours = match dropped {
        Some(samples) if samples == 128 * usize::from(channels) => {
            let late = lag(&channel(&theirs, channels, 0), &channel(&ours.samples, channels, 0)).0;
            let start = if late == 128 { samples } else { 0 };
            ours.samples[start..start + theirs.len()].to_vec()
        }
        _ => ours.samples,
    };
    let surplus = theirs.len().checked_sub(ours.len()).map(|samples| samples / usize::from(channels));
    assert!(surplus.is_some_and(|surplus| surplus <= more), "{what}: {} and {}", ours.len(), theirs.len());
    for index in 0..usize::from(channels) {
        let (a, b) = (channel(&theirs, channels, index), channel(&ours, channels, index));
        let noise = snr(&a, &b);
        assert!(noise > least, "{what}, channel {index}: {noise:.1} dB, lag {:?}", lag(&a, &b));
    }
}

#[test]
fn what_ffmpeg_writes_we_decode_as_it_does() {
    let folder = tempfile::tempdir().unwrap();
    for rate in RATES {
        for channels in [1, 2, 6] {
            let name = format!("in-{rate}-{channels}");
            let length = rate as usize + 333;
            let (input, _) = wav(folder.path(), &name, rate, channels, &sound(rate, channels, length));
            let length = Some(length);
            let path = |extension: &str| folder.path().join(format!("{name}.{extension}"));
            check(&input, length, 120.0);
            check(&encode(&input, path("flac"), &[]), length, 120.0);
            if channels <= 2 && rate <= 48_000 {
                check(&encode(&input, path("mp3"), &["-c:a", "libmp3lame", "-b:a", "128k"]), length, 80.0);
            }
            if rate >= 16_000 {
                check(&encode(&input, path("ogg"), &["-c:a", "libvorbis", "-q:a", "6"]), length, 80.0);
            }
            // Noise substitution is random by design: the encoder is told to do without.
            check(&encode(&input, path("m4a"), &["-c:a", "aac", "-aac_pns", "0"]), length, 80.0);
            check(&encode(&input, path("aac"), &["-c:a", "aac", "-aac_pns", "0"]), None, 80.0);
            if rate == 48_000 {
                check(&encode(&input, path("opus"), &["-c:a", "libopus"]), length, 40.0);
                check(&encode(&input, path("mka"), &["-c:a", "flac"]), length, 120.0);
            }
            check(&encode(&input, path("aiff"), &[]), length, 120.0);
            check(&encode(&input, path("f32.wav"), &["-c:a", "pcm_f32le"]), length, 120.0);
        }
    }
}

#[test]
fn sound_is_found_in_films_and_in_what_else_apple_writes() {
    let folder = tempfile::tempdir().unwrap();
    let length = 5 * 44_100 + 333;
    let (input, _) = wav(folder.path(), "in", 44_100, 2, &sound(44_100, 2, length));
    let film = ["-f", "lavfi", "-i", "testsrc=d=5:s=320x200:r=25", "-map", "0:a", "-map", "1:v", "-c:v", "mpeg4"];
    let plain = ["-c:a", "aac", "-aac_pns", "0"];
    let file = |name: &str, args: &[&[&str]]| encode(&input, folder.path().join(name), &args.concat());
    let length = Some(length);
    check(&file("alac.m4a", &[&["-c:a", "alac"]]), length, 120.0);
    check(&file("alac.caf", &[&["-c:a", "alac"]]), length, 120.0);
    check(&file("pcm.mov", &[&["-c:a", "pcm_s16le"]]), length, 120.0);
    for codec in ["s24be", "s24le", "s32be", "s32le", "f32be", "f32le", "f64be", "f64le", "s16be", "u8"] {
        let least = if codec == "u8" { 35.0 } else { 120.0 };
        check(&file(&format!("{codec}.mov"), &[&["-c:a", &format!("pcm_{codec}")]]), length, least);
    }
    check(&file("flac.mp4", &[&["-c:a", "flac", "-strict", "-2"]]), length, 120.0);
    check(&file("mp3.mp4", &[&["-c:a", "libmp3lame"]]), length, 80.0);
    check(&file("film.mp4", &[&film, &["-c:a", "alac"]]), length, 120.0);
    check(&file("fast.mp4", &[&film, &["-c:a", "alac", "-movflags", "+faststart"]]), length, 120.0);
    check(&file("fast.m4a", &[&plain, &["-movflags", "+faststart"]]), length, 80.0);
    // An index for each piece, without and with one of the whole before it.
    let pieces = ["-frag_duration", "700000", "-c:a", "alac", "-movflags"];
    for (name, flags) in
        [("a", "empty_moov"), ("b", "empty_moov+default_base_moof"), ("c", "dash"), ("d", "frag_every_frame")]
    {
        let whole = file(&format!("{name}.mp4"), &[&pieces, &[flags]]);
        check(&whole, None, 120.0);
        let told = AudioConverter::new().probe_blocking(&whole, &ConversionConfig::default()).unwrap();
        assert_eq!(Some(told.frames), length.map(|frames| frames as u64), "{name}");
        check(&file(&format!("film-{name}.mp4"), &[&film, &pieces, &[flags]]), None, 120.0);
    }
    check(&file("half.mp4", &[&["-frag_duration", "700000", "-c:a", "pcm_s16le", "-f", "mov"]]), length, 120.0);
}

#[test]
fn lame_and_opusenc_are_read_in_their_exact_length() {
    let folder = tempfile::tempdir().unwrap();
    let (input, samples) = wav(folder.path(), "in", 44_100, 2, &sound(44_100, 2, 55_555));
    let mp3 = folder.path().join("lame.mp3");
    run("lame", &["--quiet", "-V", "2", input.to_str().unwrap(), mp3.to_str().unwrap()]);
    check(&mp3, Some(55_555), 80.0);
    let ours = AudioConverter::new().load_blocking(&mp3, &ConversionConfig::default()).unwrap();
    assert_eq!(ours.frames(), 55_555);
    assert_eq!(lag(&channel(&samples, 2, 0), &channel(&ours.samples, 2, 0)).0, 0);

    let opus = folder.path().join("enc.opus");
    run("opusenc", &["--quiet", input.to_str().unwrap(), opus.to_str().unwrap()]);
    let wav = folder.path().join("dec.wav");
    run("opusdec", &["--quiet", "--float", "--rate", "48000", opus.to_str().unwrap(), wav.to_str().unwrap()]);
    let (theirs, rate, _) = ffmpeg(&wav);
    let ours = AudioConverter::new().load_blocking(&opus, &ConversionConfig::default()).unwrap();
    assert_eq!((ours.sample_rate, ours.samples.len()), (rate, theirs.len()));
    assert!(snr(&theirs, &ours.samples) > 60.0, "{}", snr(&theirs, &ours.samples));
}

#[test]
fn lengths_that_no_millisecond_can_say_are_exact_in_m4a() {
    let folder = tempfile::tempdir().unwrap();
    for frames in [544_445, 342_966, 44_100, 1_000] {
        let (input, _) = wav(folder.path(), &format!("{frames}"), 44_100, 1, &sound(44_100, 1, frames));
        let m4a = encode(&input, folder.path().join(format!("{frames}.m4a")), &["-c:a", "aac"]);
        let ours = AudioConverter::new().load_blocking(&m4a, &ConversionConfig::default()).unwrap();
        assert_eq!(ours.frames(), frames);
    }
}

#[test]
fn aac_with_noise_substitution_has_the_right_length_place_and_bands() {
    let folder = tempfile::tempdir().unwrap();
    let (input, _) = wav(folder.path(), "in", 44_100, 2, &sound(44_100, 2, 132_300));
    let m4a = encode(&input, folder.path().join("pns.m4a"), &["-c:a", "aac", "-b:a", "48k", "-aac_pns", "1"]);
    let ours = AudioConverter::new().load_blocking(&m4a, &ConversionConfig::default()).unwrap();
    let (theirs, _, _) = ffmpeg(&m4a);
    let frames = ours.frames();
    assert_eq!(frames, 132_300);
    let (a, b) = (channel(&theirs[..frames * 2], 2, 0), channel(&ours.samples, 2, 0));
    assert_eq!(lag(&a, &b).0, 0);
    let energy = |samples: &[f32]| samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
    // First differences weigh high frequencies, sums low ones.
    let high = |samples: &[f32]| samples.windows(2).map(|pair| f64::from(pair[1] - pair[0]).powi(2)).sum::<f64>();
    for (ours, theirs) in [(energy(&b), energy(&a)), (high(&b), high(&a))] {
        assert!((10.0 * (ours / theirs).log10()).abs() < 0.5, "{ours} {theirs}");
    }
}

#[test]
fn he_aac_is_heard_at_its_true_rate() {
    let folder = tempfile::tempdir().unwrap();
    // ffmpeg has no encoder for it; the oracle here is ffmpeg's decoder.
    let planes: Vec<Vec<f32>> = (0..2).map(|index| channel(&sound(44_100, 2, 100_000), 2, index)).collect();
    for (name, options) in [
        ("v1", syom::EncodeOptions::adts().with_he(true).with_bitrate_bps(64_000)),
        ("v2", syom::EncodeOptions::adts().with_he_v2(true).with_bitrate_bps(32_000)),
        ("lc", syom::EncodeOptions::adts().with_bitrate_bps(128_000)),
    ] {
        let path = folder.path().join(format!("{name}.aac"));
        std::fs::write(&path, syom::encode_with(&planes, 44_100, &options).unwrap()).unwrap();
        let remuxed = folder.path().join(format!("{name}.m4a"));
        run("ffmpeg", &["-v", "error", "-i", path.to_str().unwrap(), "-c", "copy", remuxed.to_str().unwrap()]);
        for path in [path, remuxed] {
            let info = AudioConverter::new().probe_blocking(&path, &ConversionConfig::default()).unwrap();
            assert_eq!(info.sample_rate, 44_100, "{}", path.display());
            let ours = AudioConverter::new().load_blocking(&path, &ConversionConfig::default()).unwrap();
            let (theirs, rate, channels) = ffmpeg(&path);
            assert_eq!((ours.sample_rate, ours.channels), (rate, channels), "{}", path.display());
            let (a, b) = (channel(&theirs, 2, 0), channel(&ours.samples, 2, 0));
            let (shift, likeness) = lag(&a, &b);
            assert!(shift.abs() <= 1 && likeness > 0.99, "{}: {shift} {likeness}", path.display());
            assert!(a.len().abs_diff(b.len()) <= 4_096, "{}: {} {}", path.display(), a.len(), b.len());
        }
    }
}
