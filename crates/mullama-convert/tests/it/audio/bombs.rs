//! Little files with much sound in them, and files that go round in circles.

use std::time::Instant;

use mullama_convert::{AudioConverter, ConversionConfig, Damaged, Error, Limits};

use super::tools::{run, sound, wav};
use crate::peak;

/// A server's limits: ten minutes, 64 MiB of samples.
fn strict() -> Limits {
    Limits { max_duration_s: 600, max_audio_bytes: 64 << 20, ..Limits::default() }
}

/// Decodes into memory, soon and with little of it.
fn decode(bytes: &[u8], config: ConversionConfig) -> Result<mullama_core::AudioBuffer, Error> {
    let started = Instant::now();
    let (result, grown) = peak::growth(|| AudioConverter::new().decode_blocking(bytes.to_vec(), &config));
    assert!(grown < peak::LIMIT, "{grown} MiB: {:?}", result.err());
    assert!(started.elapsed() < peak::SOON, "{:?}: {:?}", started.elapsed(), result.err());
    result
}

/// Twenty minutes of silence in eight channels: 3.7 GB of samples.
fn silence(name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let silence = ["-f", "lavfi", "-i", "anullsrc=r=96000:cl=7.1:n=65535", "-t", "1200"];
    run("ffmpeg", &[&["-v", "error"][..], &silence, &[path.to_str().unwrap()]].concat());
    std::fs::read(path).unwrap()
}

#[test]
fn flac_bombs_are_defused() {
    let mut bomb = silence("bomb.flac");
    assert!(bomb.len() < 8 << 20, "{} bytes are no bomb", bomb.len());
    let error = decode(&bomb, ConversionConfig::new()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { unit: "bytes", .. }), "{error:?}");
    let error = decode(&bomb, ConversionConfig::new().limits(strict())).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    // The count of frames, 36 bits of STREAMINFO, says nothing any more: what comes out is counted.
    bomb[21] &= 0xf0;
    bomb[22..26].fill(0);
    for damaged in [Damaged::Refuse, Damaged::Accept] {
        let error = decode(&bomb, ConversionConfig::new().damaged(damaged).limits(strict())).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    }
}

#[test]
fn pages_of_ogg_that_come_again_are_no_sound() {
    let folder = tempfile::tempdir().unwrap();
    let (input, _) = wav(folder.path(), "in", 48_000, 2, &sound(48_000, 2, 240_000));
    for name in ["a.ogg", "a.opus"] {
        let path = folder.path().join(name);
        run("ffmpeg", &["-v", "error", "-i", input.to_str().unwrap(), path.to_str().unwrap()]);
        let good = std::fs::read(&path).unwrap();
        let places: Vec<usize> =
            good.windows(4).enumerate().filter(|(_, at)| *at == b"OggS").map(|(at, _)| at).collect();
        let [.., from, to] = places[..] else { panic!("{name} has few pages") };
        // The page before the last, a thousand times: it counts once.
        let looped = [&good[..from], &good[from..to].repeat(1_000), &good[to..]].concat();
        let expected = decode(&good, ConversionConfig::new()).unwrap();
        for damaged in [Damaged::Refuse, Damaged::Accept] {
            let found = decode(&looped, ConversionConfig::new().damaged(damaged)).unwrap();
            assert_eq!(found.frames(), 240_000, "{name}");
            assert!(found == expected, "{name}, {damaged:?}");
        }
    }
}
