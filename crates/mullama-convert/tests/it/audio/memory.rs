//! Long sound takes no more memory than short sound.

use std::process::Command;

use mullama_convert::{AudioConverter, AudioFormatType, ConversionConfig};

use crate::peak;

/// The task that a child process of this test has: one conversion.
const TASK: &str = "MULLAMA_CONVERT_TASK";

/// Runs alone in a process of its own when [`TASK`] says so, and then tells its peak of resident memory.
#[test]
fn one_conversion_of_a_child_process() {
    let Ok(task) = std::env::var(TASK) else {
        // As a test of its own it proves that the parent's question would be answered.
        assert!(peak::kib() > 0);
        return;
    };
    let (input, output) = task.split_once('|').unwrap();
    AudioConverter::new().convert_file_blocking(input, output, &ConversionConfig::new().overwrite(true)).unwrap();
    println!("peak {} KiB", peak::kib());
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
fn length_costs_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let sound = |minutes: u32| {
        // Written by ffmpeg: two beating tones.
        let path = folder.path().join(format!("{minutes}.wav"));
        let sound = format!("aevalsrc=0.3*sin(440*2*PI*t)*sin(t)|0.3*sin(443*2*PI*t):s=44100:d={}", minutes * 60);
        super::tools::run("ffmpeg", &["-v", "error", "-f", "lavfi", "-i", &sound, path.to_str().unwrap()]);
        path
    };
    let (short, long) = (sound(6), sound(12));
    let mut table = Vec::new();
    for format in AudioFormatType::ALL {
        let peaks = [&short, &long].map(|input| {
            let there = folder.path().join(format!("there.{}", format.extension()));
            let back = folder.path().join("back.wav");
            [peak_of(input, &there), peak_of(&there, &back)]
        });
        table.push((format, peaks));
    }
    println!("peaks in KiB of 6 and of 12 minutes, to the format and from it: {table:?}");
    for (format, [short, long]) in table {
        for (short, long) in short.into_iter().zip(long) {
            assert!(long < 32 * 1024, "{format}: {long} KiB");
            // Twice the sound; what the allocator holds differs by a megabyte from run to run.
            assert!(long < short + 2 * 1024, "{format}: {short} KiB, then {long} KiB");
        }
    }
    // The longest MP3 whose bit reservoir is kept in memory.
    let edge = peak_of(&sound(4), &folder.path().join("edge.mp3"));
    assert!(edge < 32 * 1024, "{edge} KiB");
}
