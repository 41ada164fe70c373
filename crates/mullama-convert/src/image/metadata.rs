//! EXIF, ICC and XMP on their way from one file to another.

use image::ImageDecoder;
use image::metadata::Orientation;

use crate::config::{Limits, MetadataPolicy};
use crate::error::{Error, Result};

use super::exif;
use super::options::ImageFormatType;
use super::report::{DropReason, ImageWarning, Metadata};

/// What a file says beside its pixels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MetadataSet {
    /// A TIFF structure, without the `Exif` mark that some files put in front.
    pub(super) exif: Option<Vec<u8>>,
    pub(super) icc: Option<Vec<u8>>,
    pub(super) xmp: Option<Vec<u8>>,
}

impl MetadataSet {
    /// Takes what the decoder found. What it cannot read is told in a warning; the pixels may be good all the same.
    pub(super) fn read(
        decoder: &mut dyn ImageDecoder,
        (format, file): (ImageFormatType, &[u8]),
        limits: &Limits,
        warnings: &mut Vec<ImageWarning>,
    ) -> Result<Self> {
        let mut take = |what, found: image::ImageResult<Option<Vec<u8>>>| match found {
            // An empty profile is what some programs write for none.
            Ok(found) => found.filter(|bytes| !bytes.is_empty()),
            Err(_) => {
                warnings.push(dropped(what, DropReason::Damaged, 0));
                None
            }
        };
        let icc = take(Metadata::Icc, decoder.icc_profile());
        let xmp = take(Metadata::Xmp, decoder.xmp_metadata());
        let exif = match format {
            ImageFormatType::TIFF => {
                Ok(exif::from_tiff(file, usize::try_from(limits.max_metadata_bytes).unwrap_or(usize::MAX)))
            }
            _ => decoder.exif_metadata(),
        };
        let mut exif = take(Metadata::Exif, exif);
        if let Some(bytes) = exif.as_mut().filter(|bytes| bytes.starts_with(MARK)) {
            bytes.drain(..MARK.len());
        }
        let set = Self { exif, icc, xmp };
        let bytes = set.sizes().iter().sum();
        if bytes > limits.max_metadata_bytes {
            let limit = limits.max_metadata_bytes;
            return Err(Error::TooLarge { what: "EXIF, ICC and XMP", value: bytes, limit, unit: "bytes" });
        }
        Ok(set)
    }

    /// Bytes of EXIF, ICC and XMP.
    pub(super) fn sizes(&self) -> [u64; 3] {
        [&self.exif, &self.icc, &self.xmp].map(|part| part.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }

    /// Whether it says where the picture was taken.
    pub(super) fn has_location(&self) -> bool {
        self.exif.as_deref().is_some_and(exif::has_location) || self.xmp.as_deref().is_some_and(xmp_has_location)
    }

    /// Marks the pixels as upright, once they are.
    pub(super) fn set_upright(&mut self) {
        if let Some(exif) = &mut self.exif {
            // Where there is no orientation there is none to correct.
            let _ = Orientation::remove_from_exif_chunk(exif);
        }
    }

    /// Makes EXIF tell the size that the pixels have now.
    pub(super) fn set_size(&mut self, width: u32, height: u32) {
        if let Some(exif) = &mut self.exif {
            exif::set_size(exif, width, height);
        }
    }

    /// Leaves out what is not wanted.
    pub(super) fn apply(&mut self, policy: MetadataPolicy, warnings: &mut Vec<ImageWarning>) {
        match policy {
            MetadataPolicy::Keep => {}
            MetadataPolicy::StripLocation => self.strip_location(warnings),
            MetadataPolicy::Strip => {
                self.drop_exif(DropReason::Requested, warnings);
                self.drop_xmp(DropReason::Requested, warnings);
            }
        }
    }

    fn strip_location(&mut self, warnings: &mut Vec<ImageWarning>) {
        match self.exif.as_deref_mut().map(exif::remove_location) {
            Some(Some(bytes @ 1..)) => warnings.push(dropped(Metadata::Location, DropReason::Requested, bytes as u64)),
            Some(None) => self.drop_exif(DropReason::HoldsLocation, warnings),
            _ => {}
        }
        if self.xmp.as_deref().is_some_and(xmp_has_location) {
            self.drop_xmp(DropReason::HoldsLocation, warnings);
        }
    }

    /// Leaves out an ICC profile that is for other colours than the pixels have now.
    pub(super) fn match_icc(&mut self, gray: bool, warnings: &mut Vec<ImageWarning>) {
        let wanted: &[u8] = if gray { b"GRAY" } else { b"RGB " };
        // The colour space of the data, at offset 16 of every profile (ICC.1:2022, 7.2.6).
        if self.icc.as_ref().is_some_and(|icc| icc.get(16..20) != Some(wanted)) {
            self.drop_icc(DropReason::OtherPixels, warnings);
        }
    }

    /// Leaves out what the target has no place for.
    pub(super) fn fit(&mut self, target: ImageFormatType, warnings: &mut Vec<ImageWarning>) {
        let reason = |bytes: u64, limit: Option<u64>| match limit {
            None => Some(DropReason::Target),
            Some(limit) => (bytes > limit).then_some(DropReason::TooLarge),
        };
        let limits = match target {
            // A segment has a length of 16 bits that counts itself; an ICC profile may take 254 segments.
            ImageFormatType::JPEG => [Some(65_533 - 6), Some(254 * 65_519), Some(65_533 - 29)],
            ImageFormatType::BMP | ImageFormatType::GIF | ImageFormatType::QOI => [None; 3],
            _ => [Some(i32::MAX.unsigned_abs().into()); 3],
        };
        let [exif, icc, xmp] = self.sizes();
        if let Some(reason) = reason(exif, limits[0]) {
            self.drop_exif(reason, warnings);
        }
        if let Some(reason) = reason(icc, limits[1]) {
            self.drop_icc(reason, warnings);
        }
        if let Some(reason) = reason(xmp, limits[2]) {
            self.drop_xmp(reason, warnings);
        }
    }

    fn drop_exif(&mut self, reason: DropReason, warnings: &mut Vec<ImageWarning>) {
        warnings.extend(self.exif.take().map(|bytes| dropped(Metadata::Exif, reason, bytes.len() as u64)));
    }

    fn drop_icc(&mut self, reason: DropReason, warnings: &mut Vec<ImageWarning>) {
        warnings.extend(self.icc.take().map(|bytes| dropped(Metadata::Icc, reason, bytes.len() as u64)));
    }

    fn drop_xmp(&mut self, reason: DropReason, warnings: &mut Vec<ImageWarning>) {
        warnings.extend(self.xmp.take().map(|bytes| dropped(Metadata::Xmp, reason, bytes.len() as u64)));
    }
}

pub(super) const fn dropped(what: Metadata, reason: DropReason, bytes: u64) -> ImageWarning {
    ImageWarning::Dropped { what, reason, bytes }
}

/// Whether XMP has words of the schemas that say where: EXIF's, Photoshop's and IPTC's. One that is in UTF-16 or -32, which
/// the standard allows and nobody writes, counts as having them.
fn xmp_has_location(xmp: &[u8]) -> bool {
    const WORDS: [&[u8]; 7] =
        [b"GPS", b":City", b":State", b":Country", b":Location", b":Sublocation", b":CountryCode"];
    xmp.contains(&0) || WORDS.iter().any(|word| xmp.windows(word.len()).any(|window| window == *word))
}

/// What stands before EXIF in JPEG, and in the WebP of some programs.
const MARK: &[u8] = b"Exif\0\0";
