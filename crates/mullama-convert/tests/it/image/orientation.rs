//! Pixels come out upright, as ImageMagick turns them, and are marked so.

use image::DynamicImage;
use mullama_convert::ConversionConfig;

use super::tools::{Scene, exiftool, picture, pixels, psnr, text};

fn orientation_of(path: &std::path::Path) -> String {
    String::from_utf8(exiftool(&["-n", "-s3", "-Orientation", text(path)])).unwrap().trim().to_owned()
}

#[test]
fn all_eight_orientations_are_applied() {
    // Not square, so that a picture that was not turned has another size.
    let scene = Scene::new(DynamicImage::from(picture(96, 64, false)).into_rgb8());
    for orientation in 1..=8 {
        for (source, floor) in [("jpg", 45.0), ("png", f64::INFINITY), ("webp", f64::INFINITY), ("tiff", f64::INFINITY)]
        {
            let input = scene.made(
                &format!("turned-{orientation}.{source}"),
                &["-quality", "95", "-sampling-factor", "4:4:4", "-define", "webp:lossless=true"],
            );
            exiftool(&["-q", "-n", "-overwrite_original", &format!("-Orientation={orientation}"), text(&input)]);
            assert_eq!(orientation_of(&input), orientation.to_string());
            // ImageMagick 6 does not read the orientation of PNG and WebP: the tag is taken from a JPEG.
            let names = [
                "Undefined",
                "TopLeft",
                "TopRight",
                "BottomRight",
                "BottomLeft",
                "LeftTop",
                "RightTop",
                "RightBottom",
                "LeftBottom",
            ];
            let upright = pixels(&input, &["-orient", names[orientation], "-auto-orient"]);
            for target in ["jpg", "png", "webp", "tiff", "bmp"] {
                let mut config = ConversionConfig::new();
                config.image.webp = mullama_convert::WebpMode::Lossless;
                let output = scene.converted(&input, &format!("upright-{orientation}-{source}.{target}"), config);
                let found = psnr(&upright, &pixels(&output, &[]));
                let floor = if target == "jpg" { 35.0 } else { floor };
                assert!(found >= floor, "{orientation}, {source} to {target}: {found:.1} dB");
                let kept = orientation_of(&output);
                assert!(kept.is_empty() || kept == "1", "{orientation}, {source} to {target} is marked {kept}");
            }
        }
    }
}
