//! How fast is sound converted? Against `ffmpeg -threads 1`, each as a whole process, in turns.
//!
//! `cargo bench -p mullama-convert --bench sounds`; with `-- --test` once each, on a short sound.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench fails where it unwraps, and prints what it found"
)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use mullama_convert::{AudioConverter, ConversionConfig};

/// What is done: source, target, another rate, and how ffmpeg is told to do the same.
struct Case {
    from: &'static str,
    to: &'static str,
    rate: Option<u32>,
    ffmpeg: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case { from: "wav", to: "flac", rate: None, ffmpeg: &["-c:a", "flac", "-compression_level", "5"] },
    Case { from: "wav", to: "mp3", rate: None, ffmpeg: &["-c:a", "libmp3lame", "-b:a", "192k"] },
    Case { from: "wav", to: "ogg", rate: None, ffmpeg: &["-c:a", "libvorbis", "-q:a", "6"] },
    Case { from: "wav", to: "m4a", rate: None, ffmpeg: &["-c:a", "aac", "-b:a", "160k"] },
    Case { from: "wav", to: "opus", rate: Some(48_000), ffmpeg: &["-c:a", "libopus", "-b:a", "128k", "-ar", "48000"] },
    Case { from: "flac", to: "wav", rate: None, ffmpeg: &[] },
    Case { from: "mp3", to: "wav", rate: Some(16_000), ffmpeg: &["-ar", "16000"] },
    Case { from: "mp3", to: "wav", rate: None, ffmpeg: &[] },
    Case { from: "m4a", to: "wav", rate: None, ffmpeg: &[] },
    Case { from: "ogg", to: "wav", rate: None, ffmpeg: &[] },
    Case { from: "opus", to: "wav", rate: None, ffmpeg: &[] },
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, input, output, rate] = &args[..]
        && flag == "--one"
    {
        let mut config = ConversionConfig::new().overwrite(true);
        if let Ok(rate) = rate.parse() {
            config = config.sample_rate(rate);
        }
        AudioConverter::new().convert_file_blocking(input, output, &config).unwrap();
        return;
    }
    let test = args.iter().any(|arg| arg == "--test");
    // Long enough that nobody's start counts: ffmpeg's takes 60 ms.
    let (seconds, turns) = if test { (5, 1) } else { (600, 5) };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // Tones, noise and a beat: something for every part of an encoder to do.
    let sound = format!(
        "aevalsrc=0.2*sin(440*2*PI*t)+0.1*sin(1330*2*PI*t)*sin(3*t)+0.05*random(0)*gt(sin(12*t)\\,0)|\
         0.2*sin(443*2*PI*t)+0.05*random(1)*gt(sin(9*t)\\,0):s=44100:d={seconds}"
    );
    ffmpeg(&["-f", "lavfi", "-i", &sound, "-c:a", "pcm_s16le", &path("in.wav")]);
    for (name, codec) in
        [("flac", "flac"), ("mp3", "libmp3lame"), ("ogg", "libvorbis"), ("m4a", "aac"), ("opus", "libopus")]
    {
        ffmpeg(&["-i", &path("in.wav"), "-c:a", codec, &path(&format!("in.{name}"))]);
    }
    println!("{seconds} s of 44.1 kHz stereo; medians of {turns}; the ratio is ffmpeg's time over ours");
    for case in CASES {
        let (input, output) = (path(&format!("in.{}", case.from)), path(&format!("out.{}", case.to)));
        let rate = case.rate.map_or_else(|| "same".to_owned(), |rate| rate.to_string());
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..turns {
            ours.push(timed(|| {
                let this = std::env::current_exe().unwrap();
                let done = Command::new(this).args(["--one", &input, &output, &rate]).status().unwrap();
                assert!(done.success());
            }));
            theirs.push(timed(|| {
                ffmpeg(
                    &[
                        &["-threads", "1", "-i", &input],
                        case.ffmpeg,
                        &["-threads", "1", &path(&format!("other.{}", case.to))],
                    ]
                    .concat(),
                );
            }));
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let what =
            format!("{} to {}{}", case.from, case.to, case.rate.map_or(String::new(), |rate| format!(" at {rate} Hz")));
        println!(
            "{what:<22} ours {:>7.3} s ({:>6.0}x real time)  ffmpeg {:>7.3} s  ratio {:.2}",
            ours.as_secs_f64(),
            f64::from(seconds) / ours.as_secs_f64(),
            theirs.as_secs_f64(),
            theirs.as_secs_f64() / ours.as_secs_f64(),
        );
        assert!(Path::new(&output).metadata().unwrap().len() > 0);
    }
}

fn ffmpeg(args: &[&str]) {
    let done = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(args).status().unwrap();
    assert!(done.success(), "ffmpeg {args:?}");
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
