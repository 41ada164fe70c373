//! How much memory does a conversion take? The peak of a process of its own for each, for an hour of stereo, and for one and
//! ten hours of mono, into each format and back into WAV.
//!
//! `cargo bench -p mullama-convert --bench memory` takes an hour and 10 GB of disk; with `-- --test` minutes for hours.
//! `-- --only=mp3` measures one format.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench fails where it unwraps, and prints what it found"
)]

use std::process::Command;

use mullama_convert::{AudioConverter, AudioFormatType, ConversionConfig};

/// What no conversion may pass.
const LIMIT_KIB: u64 = 32 << 10;
/// What ten times the sound may take more. What the allocator holds differs from run to run.
const GROWTH_KIB: u64 = 1 << 10;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, input, output] = &args[..]
        && flag == "--one"
    {
        AudioConverter::new().convert_file_blocking(input, output, &ConversionConfig::new().overwrite(true)).unwrap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        println!("{}", line.split_whitespace().nth(1).unwrap());
        return;
    }
    let test = args.iter().any(|arg| arg == "--test");
    let only = args.iter().find_map(|arg| arg.strip_prefix("--only="));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let hour = if test { 60 } else { 3_600 };
    let measure = |seconds: u32, channels: usize| {
        let tones = ["0.3*sin(440*2*PI*t)*sin(t)", "0.3*sin(443*2*PI*t)"][..channels].join("|");
        let (minute, wav) = (path("minute.wav"), path("in.wav"));
        ffmpeg(&["-f", "lavfi", "-i", &format!("aevalsrc={tones}:s=44100:d=60"), "-c:a", "pcm_s16le", &minute]);
        // A minute again and again: working out the tones of ten hours would take longer than all conversions.
        ffmpeg(&["-stream_loop", "-1", "-i", &minute, "-t", &seconds.to_string(), "-c", "copy", &wav]);
        println!("{seconds} s of 44.1 kHz with {channels} channels, peaks of resident memory in KiB:");
        let formats = AudioFormatType::ALL.into_iter();
        let formats = formats.filter(|format| only.is_none_or(|only| only == format.extension()));
        let peaks = formats.map(|format| {
            let (there, back) = (path(&format!("there.{}", format.extension())), path("back.wav"));
            let peaks = [peak(&wav, &there), peak(&there, &back)];
            println!("  {:<12} to it {:>6}, from it {:>6}", format.name(), peaks[0], peaks[1]);
            assert!(peaks.iter().all(|peak| *peak < LIMIT_KIB), "{format}: {peaks:?} KiB");
            [there, back].iter().for_each(|path| std::fs::remove_file(path).unwrap());
            (format, peaks)
        });
        peaks.collect::<Vec<_>>()
    };
    measure(hour, 2);
    for ((format, short), (_, long)) in measure(hour, 1).into_iter().zip(measure(10 * hour, 1)) {
        for (short, long) in short.into_iter().zip(long) {
            assert!(long < short + GROWTH_KIB, "{format}: {short} KiB, ten times as long {long} KiB");
        }
    }
}

fn ffmpeg(args: &[&str]) {
    assert!(Command::new("ffmpeg").args(["-v", "error", "-y"]).args(args).status().unwrap().success());
}

fn peak(input: &str, output: &str) -> u64 {
    let done = Command::new(std::env::current_exe().unwrap()).args(["--one", input, output]).output().unwrap();
    assert!(done.status.success(), "{input} to {output}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().parse().unwrap()
}
