//! The other programs, and pictures to convert.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{DynamicImage, Rgba, RgbaImage};
use mullama_convert::{ConversionConfig, ConvertedImage, ImageConverter, ImageFormatType};
use tempfile::TempDir;

/// Runs a program that must be there and must succeed; gives its output.
pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(program: &str, args: &[S]) -> Vec<u8> {
    let output: Output = Command::new(program)
        .args(args)
        .output()
        .map_err(|error| format!("`{program}` does not run ({error}); do: cargo xtask setup"))
        .unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// ImageMagick's main program: version 7, or 6 as Debian has it.
pub(crate) fn magick(args: &[&str]) -> Vec<u8> {
    let on_path = |name: &str| {
        std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
    };
    let program = ["magick", "convert-im6.q16", "convert"].into_iter().find(|name| on_path(name));
    run(program.expect("ImageMagick is missing; do: cargo xtask setup"), args)
}

pub(crate) fn exiftool(args: &[&str]) -> Vec<u8> {
    run("exiftool", args)
}

/// Pixels as ImageMagick reads them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pixels {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Red, green, blue and alpha, 16 bits each.
    pub(crate) rgba: Vec<u16>,
}

/// What ImageMagick sees in the first picture of a file.
pub(crate) fn pixels(path: &Path, args: &[&str]) -> Pixels {
    let input = format!("{}[0]", text(path));
    // One call for both, so that options which turn or resize count for the size too.
    let options = [&[&input[..]], args].concat();
    let size = magick(&[&options[..], &["-format", "%w %h", "info:"]].concat());
    let size = String::from_utf8(size).unwrap();
    let (width, height) = size.trim().split_once(' ').unwrap();
    let raw = magick(&[&options[..], &["-depth", "16", "-endian", "LSB", "RGBA:-"]].concat());
    let rgba: Vec<u16> = raw.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect();
    let (width, height) = (width.parse().unwrap(), height.parse().unwrap());
    assert_eq!(rgba.len(), width as usize * height as usize * 4, "{}", path.display());
    Pixels { width, height, rgba }
}

/// Peak signal-to-noise ratio in dB over all four channels; infinite if both are the same.
pub(crate) fn psnr(one: &Pixels, other: &Pixels) -> f64 {
    assert_eq!((one.width, one.height), (other.width, other.height));
    let square = |(one, other): (&u16, &u16)| (f64::from(*one) - f64::from(*other)).powi(2);
    let sum: f64 = one.rgba.iter().zip(&other.rgba).map(square).sum();
    10.0 * (65_535_f64.powi(2) * one.rgba.len() as f64 / sum).log10()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A picture with edges, slopes and a little noise: 8 bits, transparent towards the right if `alpha`.
pub(crate) fn picture(width: u32, height: u32, alpha: bool) -> RgbaImage {
    let mut noise = 0x2545_f491_u32;
    RgbaImage::from_fn(width, height, |x, y| {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        let (fx, fy) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
        let circle = (fx - 0.4).hypot(fy - 0.5) < 0.25;
        let wave = (fx * 40.0).sin() * (fy * 30.0).cos();
        let light = |base: f64| (base + wave * 12.0 + f64::from(noise % 5)).clamp(0.0, 255.0).round() as u8;
        let color =
            if circle { [200.0, 60.0 + 100.0 * fy, 40.0] } else { [40.0 + 180.0 * fx, 120.0, 60.0 + 150.0 * fy] };
        let opacity = if alpha { (255.0 * (1.2 - fx).clamp(0.0, 1.0)).round() as u8 } else { 255 };
        Rgba([light(color[0]), light(color[1]), light(color[2]), opacity])
    })
}

/// A folder with a picture in it, as a PNG.
pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) master: PathBuf,
}

impl Scene {
    pub(crate) fn new(image: impl Into<DynamicImage>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let master = folder.path().join("master.png");
        image.into().save(&master).unwrap();
        Self { folder, master }
    }

    /// Without transparency.
    pub(crate) fn opaque() -> Self {
        Self::new(DynamicImage::from(picture(321, 214, false)).into_rgb8())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The master in another format, by ImageMagick.
    pub(crate) fn made(&self, name: &str, args: &[&str]) -> PathBuf {
        let path = self.path(name);
        magick(&[&[text(&self.master)], args, &[text(&path)]].concat());
        path
    }

    /// Converts to a file.
    pub(crate) fn converted(&self, input: &Path, name: &str, config: ConversionConfig) -> PathBuf {
        let output = self.path(name);
        ImageConverter::new().convert_file_blocking(input, &output, &config).unwrap();
        output
    }
}

/// Converts without a file.
pub(crate) fn convert(input: &Path, target: ImageFormatType, config: ConversionConfig) -> ConvertedImage {
    ImageConverter::new().load_and_convert_blocking(input, target, &config).unwrap()
}
