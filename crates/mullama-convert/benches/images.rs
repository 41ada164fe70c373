//! How fast are pictures converted and resized? Against ImageMagick and libvips, each as a whole process on one thread.
//!
//! `cargo bench -p mullama-convert --bench images`; with `-- --test` once each, on a small picture.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench fails where it unwraps, and prints what it found; the samples that it makes fit"
)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use mullama_convert::{ConversionConfig, FitMode, ImageConverter};

/// What is done: source, target, the width that it is resized to, and how the others are told to do the same.
struct Case {
    from: &'static str,
    to: &'static str,
    /// The result has one quarter of the sides.
    resize: bool,
    magick: &'static [&'static str],
    vips: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case { from: "jpg", to: "png", resize: false, magick: &[], vips: &["pngsave", "IN", "OUT"] },
    Case {
        from: "png",
        to: "jpg",
        resize: false,
        magick: &["-quality", "90"],
        vips: &["jpegsave", "IN", "OUT", "--Q", "90"],
    },
    Case {
        from: "jpg",
        to: "webp",
        resize: false,
        magick: &["-quality", "80"],
        vips: &["webpsave", "IN", "OUT", "--Q", "80"],
    },
    Case {
        from: "jpg",
        to: "tiff",
        resize: false,
        magick: &["-compress", "Zip"],
        vips: &["tiffsave", "IN", "OUT", "--compression", "deflate", "--predictor", "horizontal"],
    },
    Case { from: "png", to: "bmp", resize: false, magick: &[], vips: &["magicksave", "IN", "OUT"] },
    Case { from: "tiff", to: "png", resize: false, magick: &[], vips: &["pngsave", "IN", "OUT"] },
    Case {
        from: "webp",
        to: "jpg",
        resize: false,
        magick: &["-quality", "90"],
        vips: &["jpegsave", "IN", "OUT", "--Q", "90"],
    },
    Case {
        from: "bmp",
        to: "png",
        resize: true,
        magick: &["-filter", "Lanczos", "-resize", "25%"],
        vips: &["resize", "IN", "OUT", "0.25"],
    },
    Case {
        from: "jpg",
        to: "jpg",
        resize: true,
        magick: &["-filter", "Lanczos", "-resize", "25%", "-quality", "90"],
        vips: &["resize", "IN", "OUT[Q=90]", "0.25"],
    },
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, input, output, width] = &args[..]
        && flag == "--one"
    {
        return one(Path::new(input), Path::new(output), width.parse().unwrap());
    }
    let test = args.iter().any(|argument| argument == "--test");
    let (width, height, runs) = if test { (200, 150, 1) } else { (4_000, 3_000, 5) };
    let folder = tempfile::tempdir().unwrap();
    sources(folder.path(), width, height);
    let megapixels = f64::from(width) * f64::from(height) / 1e6;
    println!("{width} x {height} pixels, best of {runs}; a ratio above 1: mullama is that much faster");
    println!(
        "{:<22}{:>12}{:>12}{:>12}{:>14}{:>12}   bytes of the three",
        "", "mullama", "magick", "vips", "to magick", "to vips"
    );
    for case in CASES {
        let input = folder.path().join(format!("source.{}", case.from));
        let (input, name) = (
            input.to_str().unwrap(),
            format!("{} to {}{}", case.from, case.to, if case.resize { ", 1/4" } else { "" }),
        );
        let output = |who: &str| folder.path().join(format!("{who}.{}", case.to)).to_str().unwrap().to_owned();
        let (ours, theirs, vips) = (output("ours"), output("magick"), output("vips"));
        let target = if case.resize { (width / 4).to_string() } else { "0".to_owned() };
        let exe = std::env::current_exe().unwrap();
        let exe = exe.to_str().unwrap();
        let vips_args: Vec<String> =
            case.vips.iter().map(|word| word.replace("IN", input).replace("OUT", &vips)).collect();
        let magick_args: Vec<&str> = [&[input][..], case.magick, &[&theirs]].concat();
        let mut best = [Duration::MAX; 3];
        // One after the other, so that a slow moment of the machine meets all.
        for _ in 0..runs {
            best[0] = best[0].min(time(exe, &["--one", input, &ours, &target]));
            best[1] = best[1].min(time(magick(), &magick_args));
            best[2] = best[2].min(time("vips", &vips_args));
        }
        let [ours_s, magick_s, vips_s] = best.map(|time| time.as_secs_f64());
        let bytes = [&ours, &theirs, &vips].map(|path| std::fs::metadata(path).unwrap().len());
        println!(
            "{name:<22}{:>7.0} MP/s{:>7.0} MP/s{:>7.0} MP/s{:>14.2}{:>12.2}   {bytes:?}",
            megapixels / ours_s,
            megapixels / magick_s,
            megapixels / vips_s,
            magick_s / ours_s,
            vips_s / ours_s,
        );
    }
}

/// One conversion, as a process of its own.
fn one(input: &Path, output: &Path, width: u32) {
    let mut config = ConversionConfig::new().overwrite(true);
    if width > 0 {
        config = config.resize(width, width, FitMode::Contain);
    }
    ImageConverter::new().convert_file_blocking(input, output, &config).unwrap();
}

fn time<S: AsRef<std::ffi::OsStr>>(program: &str, args: &[S]) -> Duration {
    let mut command = Command::new(program);
    command.args(args).env("MAGICK_THREAD_LIMIT", "1").env("OMP_NUM_THREADS", "1").env("VIPS_CONCURRENCY", "1");
    let start = Instant::now();
    let output = command.output().unwrap();
    let time = start.elapsed();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    time
}

/// ImageMagick's main program: version 7, or 6 as Debian has it.
fn magick() -> &'static str {
    let on_path = |name: &&str| {
        std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|folder| folder.join(name).is_file())
    };
    ["magick", "convert-im6.q16"].iter().find(|name| on_path(name)).copied().unwrap_or("convert")
}

/// The same picture in each format, with slopes, edges and a little noise.
fn sources(folder: &Path, width: u32, height: u32) {
    let mut noise = 0x2545_f491_u32;
    let picture = RgbImage::from_fn(width, height, |x, y| {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        let (fx, fy) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
        let wave = (fx * 400.0).sin() * (fy * 300.0).cos() * 20.0;
        let circle = if (fx * 8.0).fract().hypot((fy * 6.0).fract()) < 0.7 { 60.0 } else { 0.0 };
        let light = |base: f64| (base + wave + circle + f64::from(noise % 6)).clamp(0.0, 255.0).round() as u8;
        Rgb([light(20.0 + 150.0 * fx), light(60.0), light(40.0 + 120.0 * fy)])
    });
    let png = folder.join("source.png");
    picture.save(&png).unwrap();
    for (format, args) in
        [("jpg", &["-quality", "90"][..]), ("webp", &["-quality", "85"]), ("tiff", &["-compress", "Zip"]), ("bmp", &[])]
    {
        let output = folder.join(format!("source.{format}"));
        time(magick(), &[&[png.to_str().unwrap()], args, &[output.to_str().unwrap()]].concat());
    }
}
