//! Doors for the fuzz targets into the parsers and writers of pictures.

use bytes::Bytes;

use super::exif::{self, Exif};
use super::metadata::MetadataSet;
use super::options::{ImageFormatType, ImageOptions};
use super::{decode, describe, encode, structure};
use crate::config::{Limits, MetadataPolicy};

/// The structure of a file of any format.
pub fn structure(bytes: &[u8]) {
    let file = Bytes::copy_from_slice(bytes);
    for format in ImageFormatType::READ {
        assert!(structure::read(format, &file).frames >= 1);
    }
}

/// EXIF, or the directories of a TIFF file: read, changed, written anew.
pub fn exif(bytes: &[u8]) {
    if let Some(exif) = Exif::new(bytes) {
        let (_, _) = (exif.first(), exif.pages());
    }
    let mut changed = bytes.to_vec();
    exif::set_size(&mut changed, 640, 70_000);
    assert_eq!(changed.len(), bytes.len());
    let mut nowhere = bytes.to_vec();
    if exif::remove_location(&mut nowhere).is_some() {
        assert!(!exif::has_location(&nowhere), "the location is still there");
    }
    if let Some(own) = exif::from_tiff(bytes, 1 << 20) {
        assert!(own.len() < 4 << 20, "{} bytes", own.len());
        assert!(Exif::new(&own).and_then(|exif| exif.first()).is_some(), "what we wrote is not read");
        let again = exif::from_tiff(&own, 1 << 20);
        assert!(again.as_ref() == Some(&own), "what we wrote is not what we read");
    }
    describe::items(&MetadataSet { exif: Some(bytes.to_vec()), icc: None, xmp: None });
}

/// ICC profiles and XMP in words.
pub fn profiles(bytes: &[u8]) {
    let set = MetadataSet { exif: None, icc: Some(bytes.to_vec()), xmp: Some(bytes.to_vec()) };
    let _whole = (describe::items(&set), set.has_location());
    let mut set = set;
    set.apply(MetadataPolicy::StripLocation, &mut Vec::new());
    assert!(!set.has_location());
}

/// What is put into a file as EXIF, ICC and XMP comes out of it as it was, or is reported.
pub fn containers(bytes: &[u8]) {
    let [format, first, second, rest @ ..] = bytes else { return };
    let format = [ImageFormatType::JPEG, ImageFormatType::PNG, ImageFormatType::WEBP][usize::from(*format) % 3];
    let (exif, rest) = rest.split_at(usize::from(*first).min(rest.len()));
    let (icc, xmp) = rest.split_at(usize::from(*second).min(rest.len()));
    let part = |bytes: &[u8]| (!bytes.is_empty()).then(|| bytes.to_vec());
    // A mark in front would be taken off, and text ends where PNG's does.
    let exif = part(exif).filter(|exif| !exif.starts_with(b"Exif\0\0"));
    let xmp = part(xmp).filter(|xmp| std::str::from_utf8(xmp).is_ok() && !xmp.contains(&0));
    let mut set = MetadataSet { exif, icc: part(icc), xmp };
    set.fit(format, &mut Vec::new());
    let image = image::RgbImage::new(2, 2).into();
    let file = encode::encode(&image, format, &ImageOptions::default(), (false, &set)).expect("it holds all");
    let file = Bytes::from(file);
    let limits = Limits::default();
    let opened = decode::open(&file, &limits).expect("what we wrote is read");
    assert!(opened.metadata == set, "{format}: {:?} became {:?}", set, opened.metadata);
}
