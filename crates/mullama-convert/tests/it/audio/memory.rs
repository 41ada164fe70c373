//! An hour of stereo through every format takes no more memory than a minute.

use std::process::Command;

use mullama_convert::{AudioConverter, AudioFormatType, ConversionConfig};

/// The task that a child process of this test has: one conversion.
const TASK: &str = "MULLAMA_CONVERT_TASK";

/// Runs alone in a process of its own when [`TASK`] says so, and then tells its peak of resident memory.
#[test]
fn one_conversion_of_a_child_process() {
    let Ok(task) = std::env::var(TASK) else {
        // As a test of its own it proves that the parent's question would be answered.
        assert!(peak_kib() > 0);
        return;
    };
    let (input, output) = task.split_once('|').unwrap();
    AudioConverter::new().convert_file_blocking(input, output, &ConversionConfig::new().overwrite(true)).unwrap();
    println!("peak {} KiB", peak_kib());
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn peak_of(input: &std::path::Path, output: &std::path::Path) -> u64 {
    let task = format!("{}|{}", input.display(), output.display());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "audio::memory::one_conversion_of_a_child_process", "--nocapture"])
        .env(TASK, task)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    let peak = text.split("peak ").nth(1).unwrap_or_else(|| panic!("{text}"));
    peak.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn an_hour_of_stereo_stays_under_32_mb() {
    let folder = tempfile::tempdir().unwrap();
    let hour = folder.path().join("hour.wav");
    // Written by ffmpeg: an hour of two beating tones.
    let sound = "aevalsrc=0.3*sin(440*2*PI*t)*sin(t)|0.3*sin(443*2*PI*t):s=44100:d=3600";
    super::tools::run("ffmpeg", &["-v", "error", "-f", "lavfi", "-i", sound, hour.to_str().unwrap()]);
    let mut table = Vec::new();
    for format in AudioFormatType::ALL {
        let there = folder.path().join(format!("there.{}", format.extension()));
        let back = folder.path().join("back.wav");
        table.push((format, peak_of(&hour, &there), peak_of(&there, &back)));
        std::fs::remove_file(there).unwrap();
        std::fs::remove_file(back).unwrap();
    }
    println!("{table:?}");
    for (format, to, from) in table {
        assert!(to < 32 * 1024 && from < 32 * 1024, "{format}: {to} KiB to it, {from} KiB from it");
    }
}
