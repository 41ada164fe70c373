//! `mullama convert` and `mullama probe`, as they are typed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::{command, mullama as run};

/// A BMP of 24 bits: the file's header, and rows from the bottom up.
fn bmp(width: u32, height: u32) -> Vec<u8> {
    let row = (width * 3).next_multiple_of(4);
    let size = 54 + row * height;
    let mut file =
        [b"BM".as_slice(), &size.to_le_bytes(), &[0; 4], &54_u32.to_le_bytes(), &40_u32.to_le_bytes()].concat();
    file.extend(
        [width.to_le_bytes(), height.to_le_bytes(), [1, 0, 24, 0], [0; 4], (row * height).to_le_bytes()].concat(),
    );
    file.extend([0; 16]);
    file.extend(
        (0..row * height).map(|n| (n.wrapping_mul(2_654_435_761) >> 27).wrapping_add(n / row).to_le_bytes()[0]),
    );
    file
}

/// One second of silence and a click, mono, 16 bits, 8000 Hz.
fn wav() -> Vec<u8> {
    let mut file =
        [b"RIFF".as_slice(), &16_036_u32.to_le_bytes(), b"WAVEfmt ", &16_u32.to_le_bytes(), &[1, 0, 1, 0]].concat();
    file.extend([8_000_u32.to_le_bytes(), 16_000_u32.to_le_bytes(), [2, 0, 16, 0]].concat());
    file.extend([b"data".as_slice(), &16_000_u32.to_le_bytes(), &[0; 15_998], &[0, 64]].concat());
    file
}

/// A folder with pictures in it and below it, sound, and text.
fn album() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("in/deep/deeper")).unwrap();
    for name in ["in/a.bmp", "in/b.bmp", "in/deep/c.bmp", "in/deep/deeper/d.bmp"] {
        fs::write(path(name), bmp(64, 48)).unwrap();
    }
    fs::write(path("in/talk.wav"), wav()).unwrap();
    fs::write(path("in/notes.txt"), "no picture").unwrap();
    folder
}

/// All files in a folder and below, by their path within it.
fn tree(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn folders_are_converted_with_and_without_those_below() {
    let album = album();
    let (input, out) = (album.path().join("in"), album.path().join("out"));
    let args = |more: &[&str]| {
        let mut args = vec!["convert", input.to_str().unwrap(), "--to", "png", "--out", out.to_str().unwrap()];
        args.extend(more);
        run(&args)
    };
    let summary = args(&[]).ok();
    assert!(summary.starts_with("2 converted: "), "{summary}");
    assert_eq!(tree(&out), ["a.png", "b.png"]);
    let summary = args(&["--recursive", "--resume"]).ok();
    assert!(summary.starts_with("2 converted, 2 skipped: "), "{summary}");
    assert_eq!(tree(&out), ["a.png", "b.png", "deep/c.png", "deep/deeper/d.png"]);
    assert!(fs::read(out.join("deep/c.png")).unwrap().starts_with(b"\x89PNG"));
    // Sound, of the same folder.
    let outcome = run(&["convert", input.to_str().unwrap(), "--to", "flac", "--out", out.to_str().unwrap()]);
    assert!(outcome.ok().starts_with("1 converted"));
    assert!(fs::read(out.join("talk.flac")).unwrap().starts_with(b"fLaC"));
}

#[test]
fn what_is_there_stays_unless_it_is_forced() {
    let album = album();
    let input = album.path().join("in/a.bmp");
    let input = input.to_str().unwrap();
    let target = album.path().join("in/a.png");
    fs::write(&target, "precious").unwrap();
    let outcome = run(&["convert", input, "--to", "png"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.err.contains("exists already") && outcome.err.contains("(--force)"), "{outcome:?}");
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    run(&["convert", input, "--to", "png", "--force"]).ok();
    assert!(fs::read(&target).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn one_that_fails_does_not_hold_up_the_others() {
    let album = album();
    let input = album.path().join("in");
    fs::write(input.join("broken.bmp"), "no picture at all").unwrap();
    let out = album.path().join("out");
    let pattern = input.join("*.bmp");
    let outcome =
        run(&["convert", pattern.to_str().unwrap(), "--to", "webp", "--json", "--out", out.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.err.contains("broken.bmp") && outcome.err.contains("unknown format"), "{outcome:?}");
    let report: serde_json::Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!((&report["converted"], &report["failed"]), (&2.into(), &1.into()));
    assert_eq!(tree(&out), ["a.webp", "b.webp"]);
    let outcomes: Vec<_> =
        report["files"].as_array().unwrap().iter().map(|file| file["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["converted", "converted", "failed"]);
    // One at which another's parser panics is told as any other.
    let hostile = concat!(env!("CARGO_MANIFEST_DIR"), "/../mullama-convert/tests/found/ogg-codebook.ogg");
    let outcome = run(&["convert", hostile, "--to", "wav", "--out", out.to_str().unwrap()]);
    assert!(outcome.code == Some(2) && outcome.err.contains("damaged sound"), "{outcome:?}");
    assert!(!outcome.err.contains("panicked"), "{outcome:?}");
    // One that breaks off, without and with the flag that the failure names.
    let short = input.join("short.wav");
    fs::write(&short, &wav()[..8_044]).unwrap();
    let args = ["convert", short.to_str().unwrap(), "--to", "flac", "--out", out.to_str().unwrap()];
    let outcome = run(&args);
    assert!(outcome.code == Some(2) && outcome.err.contains("(--accept-damaged)"), "{outcome:?}");
    let outcome = run(&[&args[..], &["--accept-damaged"]].concat());
    assert!(outcome.err.contains("8000 frames are announced, 4000 are there"), "{outcome:?}");
    assert!(outcome.ok().starts_with("1 converted: "));
    // A missing file among others, and patterns that fit nothing.
    let missing = input.join("missing.bmp");
    let outcome = run(&["convert", missing.to_str().unwrap(), "--to", "png"]);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    let nothing = input.join("*.jpg");
    run(&["convert", nothing.to_str().unwrap(), "--to", "png"]).fails(2, "no file that can become PNG");
    run(&["convert", input.to_str().unwrap(), "--to", "gif"]).fails(2, "no format is called `gif`");
}

#[test]
fn flags_reach_the_pictures() {
    let album = album();
    let input = album.path().join("in/a.bmp");
    let input = input.to_str().unwrap();
    run(&["convert", input, "--to", "jpg", "--width", "32", "--quality", "60"]).ok();
    let small = album.path().join("in/a.jpg");
    let found = run(&["probe", "--json", small.to_str().unwrap()]).json();
    assert_eq!((&found["width"], &found["height"], &found["format"]), (&32.into(), &24.into(), &"jpeg".into()));
    run(&["convert", input, "--to", "jpg", "--quality", "60.5", "--force"]).fails(2, "whole number");
    run(&["convert", input, "--to", "jpg", "--fit", "cover", "--force"]).fails(2, "--fit");
    for (to, flag, value) in [
        ("png", "--quality", "3"),
        ("png", "--rate", "8000"),
        ("bmp", "--background", "ffffff"),
        ("bmp", "--effort", "small"),
    ] {
        run(&["convert", input, "--to", to, flag, value]).fails(2, "says nothing about");
    }
    let sound = album.path().join("in/talk.wav");
    for (to, flag, value) in [("flac", "--bitrate", "128"), ("mp3", "--bits", "16"), ("wav", "--width", "3")] {
        run(&["convert", sound.to_str().unwrap(), "--to", to, flag, value]).fails(2, flag);
    }
}

#[test]
fn probe_tells_sound_from_pictures_by_their_content() {
    let album = album();
    let sound = album.path().join("in/talk.wav");
    let found = run(&["probe", "--json", sound.to_str().unwrap()]).json();
    let told = ["media", "sample_rate", "channels", "frames", "seconds"].map(|key| found[key].clone());
    assert_eq!(serde_json::Value::from(told.to_vec()), serde_json::json!(["audio", 8_000, 1, 8_000, 1.0]));
    // A title, in the chunk that WAV files have it in.
    let mut titled = wav();
    titled.extend_from_slice(b"LIST\x12\0\0\0INFOINAM\x06\0\0\0A talk");
    let talk = album.path().join("in/titled.wav");
    fs::write(&talk, titled).unwrap();
    let found = run(&["probe", "--json", talk.to_str().unwrap()]).json();
    assert_eq!(found["tags"], serde_json::json!([{ "name": "title", "value": "A talk" }]));
    let table = run(&["probe", talk.to_str().unwrap()]).ok();
    assert!(table.lines().any(|line| line.split_whitespace().eq(["title", "A", "talk"])), "{table}");
    let lying = album.path().join("in/picture.wav");
    fs::write(&lying, bmp(64, 48)).unwrap();
    let table = run(&["probe", lying.to_str().unwrap()]).ok();
    assert!(table.lines().any(|line| line.split_whitespace().eq(["width", "64"])), "{table}");
    let text = album.path().join("in/notes.txt");
    run(&["probe", text.to_str().unwrap()]).fails(2, "unknown format");
    let outcome = run(&["probe", "--json", text.to_str().unwrap(), sound.to_str().unwrap()]);
    assert_eq!((outcome.code, outcome.out.lines().count()), (Some(2), 1), "{outcome:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_whole_files_and_resume_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in");
    fs::create_dir(&input).unwrap();
    let large = bmp(1_500, 1_000);
    (0..40).for_each(|number| fs::write(input.join(format!("{number:02}.bmp")), &large).unwrap());
    let out = folder.path().join("out");
    let args = [
        "convert",
        input.to_str().unwrap(),
        "--to",
        "png",
        "--threads",
        "1",
        "--resume",
        "--out",
        out.to_str().unwrap(),
    ];
    let mut child =
        command(&args).stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while tree(&out).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20), "nothing was converted");
        std::thread::sleep(Duration::from_millis(5));
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let pressed = Instant::now();
    let status = child.wait().unwrap();
    assert!(pressed.elapsed() < Duration::from_secs(5), "{:?}", pressed.elapsed());
    assert_eq!(status.code(), Some(130));
    let done = tree(&out);
    assert!(done.len() < 40 && done.iter().all(|name| name.ends_with(".png")), "{done:?}");
    let summary = run(&args).ok();
    assert!(summary.starts_with(&format!("{} converted, {} skipped", 40 - done.len(), done.len())), "{summary}");
    assert_eq!(tree(&out).len(), 40);
}
