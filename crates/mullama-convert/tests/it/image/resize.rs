//! Other sizes, as ImageMagick makes them.

use mullama_convert::{ConversionConfig, Error, FitMode, ImageConverter, ImageFormatType, Resize, ResizeFilter};

use super::tools::{Scene, convert, picture, pixels, psnr};

#[test]
fn fit_modes_give_the_sizes_and_pixels_of_imagemagick() {
    let scene = Scene::opaque();
    for (width, height) in [(100, 100), (50, 120), (160, 107), (64, 10), (33, 77), (500, 400), (400, 200), (321, 214)] {
        let crop = format!("{width}x{height}");
        for (fit, args) in [
            (FitMode::Contain, vec![format!("{crop}")]),
            (FitMode::Fill, vec![format!("{crop}!")]),
            (FitMode::ScaleDown, vec![format!("{crop}>")]),
            (
                FitMode::Cover,
                vec![format!("{crop}^"), "-gravity".into(), "center".into(), "-extent".into(), crop.clone()],
            ),
        ] {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let theirs = pixels(&scene.master, &[&["-filter", "Lanczos", "-resize"], &args[..]].concat());
            let config = ConversionConfig::new().resize(width, height, fit).overwrite(true);
            let output = scene.converted(&scene.master, "resized.png", config);
            let ours = pixels(&output, &[]);
            assert_eq!((ours.width, ours.height), (theirs.width, theirs.height), "{fit:?} {crop}");
            // ImageMagick crops at whole pixels after resizing, we between pixels before: half a pixel apart.
            let floor = if fit == FitMode::Cover { 28.0 } else { 40.0 };
            assert!(psnr(&ours, &theirs) > floor, "{fit:?} {crop}: {:.1} dB", psnr(&ours, &theirs));
        }
    }
}

#[test]
fn one_side_is_enough() {
    let scene = Scene::opaque();
    let size = |width, height, fit| {
        let mut config = ConversionConfig::new();
        config.image.resize = Some(Resize { width, height, fit, filter: ResizeFilter::Bilinear });
        let output = convert(&scene.master, ImageFormatType::BMP, config).report().output.clone();
        (output.width, output.height)
    };
    assert_eq!(size(Some(100), None, FitMode::Contain), (100, 67));
    assert_eq!(size(None, Some(100), FitMode::Cover), (150, 100));
    assert_eq!(size(Some(1_000), None, FitMode::ScaleDown), (321, 214));
    assert_eq!(size(Some(1), None, FitMode::Contain), (1, 1));
}

#[test]
fn each_filter_is_the_one_it_is_called() {
    let scene = Scene::opaque();
    for (filter, name, floor) in [
        (ResizeFilter::Bilinear, "Triangle", 45.0),
        (ResizeFilter::CatmullRom, "Catrom", 45.0),
        (ResizeFilter::Mitchell, "Mitchell", 45.0),
        (ResizeFilter::Lanczos3, "Lanczos", 40.0),
        (ResizeFilter::Nearest, "Point", 30.0),
    ] {
        let theirs = pixels(&scene.master, &["-filter", name, "-resize", "107x71!"]);
        let mut config = ConversionConfig::new().overwrite(true);
        config.image.resize = Some(Resize { width: Some(107), height: Some(71), fit: FitMode::Fill, filter });
        let ours = pixels(&scene.converted(&scene.master, "filtered.png", config), &[]);
        assert!(psnr(&ours, &theirs) > floor, "{filter:?}: {:.1} dB", psnr(&ours, &theirs));
    }
}

#[test]
fn the_colour_of_transparent_pixels_does_not_bleed() {
    let scene = Scene::new(picture(160, 120, true));
    let theirs =
        pixels(&scene.master, &["-filter", "Lanczos", "-resize", "53x40!", "-background", "black", "-alpha", "remove"]);
    let output = scene.converted(&scene.master, "small.png", ConversionConfig::new().resize(53, 40, FitMode::Fill));
    let ours = pixels(&output, &["-background", "black", "-alpha", "remove"]);
    assert!(psnr(&ours, &theirs) > 38.0, "{:.1} dB", psnr(&ours, &theirs));
}

#[test]
fn impossible_sizes_are_refused() {
    let scene = Scene::opaque();
    let refused = |width, height, target| {
        let config = ConversionConfig::new().resize(width, height, FitMode::Fill);
        ImageConverter::new().load_and_convert_blocking(&scene.master, target, &config).unwrap_err()
    };
    assert!(matches!(refused(0, 10, ImageFormatType::PNG), Error::InvalidParameter { name: "resize.width", .. }));
    assert!(matches!(refused(10, 0, ImageFormatType::PNG), Error::InvalidParameter { name: "resize.height", .. }));
    assert!(matches!(refused(16_384, 10, ImageFormatType::WEBP), Error::TooLarge { limit: 16_383, .. }));
    assert!(matches!(refused(65_536, 10, ImageFormatType::JPEG), Error::TooLarge { limit: 65_535, .. }));
    assert!(matches!(refused(20_000, 20_000, ImageFormatType::PNG), Error::TooLarge { unit: "pixels", .. }));
    assert!(matches!(refused(u32::MAX, u32::MAX, ImageFormatType::TIFF), Error::TooLarge { unit: "pixels", .. }));
    let mut config = ConversionConfig::new();
    config.image.resize = Some(Resize::default());
    let error =
        ImageConverter::new().load_and_convert_blocking(&scene.master, ImageFormatType::PNG, &config).unwrap_err();
    assert!(matches!(error, Error::InvalidParameter { name: "resize", .. }));
}
