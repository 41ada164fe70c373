//! TIFF: the pixels by the tiff crate, with EXIF as directories, ICC and XMP as tags.

use std::io::{Cursor, Seek, Write};

use image::DynamicImage;
use tiff::encoder::colortype::{ColorType, Gray8, Gray16, RGB8, RGB16, RGBA8, RGBA16};
use tiff::encoder::{
    Compression, DeflateLevel, DirectoryEncoder, ImageEncoder, Predictor, TiffEncoder, TiffKind, TiffValue,
};
use tiff::tags::{ByteOrder, ExtraSamples, Tag, Type};

use crate::image::exif::{self, Entry, Exif, Order};
use crate::image::metadata::MetadataSet;
use crate::image::options::Effort;

use super::Encoded;

const XMP: Tag = Tag::Unknown(700);

pub(super) fn encode(image: &DynamicImage, effort: Effort, metadata: &MetadataSet) -> Encoded {
    let compression = match effort {
        Effort::Fast => Compression::Uncompressed,
        Effort::Normal => Compression::Deflate(DeflateLevel::Fast),
        Effort::Small => Compression::Deflate(DeflateLevel::Best),
    };
    let predict = effort != Effort::Fast;
    let mut file = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut file)?.with_compression(compression).with_predictor(if predict {
        Predictor::Horizontal
    } else {
        Predictor::None
    });
    let exif = metadata.exif.as_deref().and_then(Exif::new);
    let exif = exif.and_then(|exif| exif.first().map(|first| (exif, first)));
    let mut pointers = Vec::new();
    if let Some((exif, first)) = &exif {
        for pointer in [exif::EXIF_POINTER, exif::GPS_POINTER] {
            let Some(entries) = exif.child(first, pointer) else { continue };
            let interop = exif.child(&entries, exif::INTEROP_POINTER);
            let interop =
                interop.map(|interop| directory(encoder.extra_directory()?, exif, &interop, None)).transpose()?;
            let offset = directory(encoder.extra_directory()?, exif, &entries, interop)?;
            pointers.push((pointer, offset));
        }
    }
    let (width, height) = (image.width(), image.height());
    let rest = Rest { exif, pointers, metadata };
    match image {
        DynamicImage::ImageLuma8(pixels) => rest.write(encoder.new_image::<Gray8>(width, height)?, pixels, false),
        DynamicImage::ImageLuma16(pixels) => rest.write(encoder.new_image::<Gray16>(width, height)?, pixels, false),
        DynamicImage::ImageRgb8(pixels) => rest.write(encoder.new_image::<RGB8>(width, height)?, pixels, false),
        DynamicImage::ImageRgb16(pixels) => rest.write(encoder.new_image::<RGB16>(width, height)?, pixels, false),
        DynamicImage::ImageRgba8(pixels) => rest.write(encoder.new_image::<RGBA8>(width, height)?, pixels, true),
        DynamicImage::ImageRgba16(pixels) => rest.write(encoder.new_image::<RGBA16>(width, height)?, pixels, true),
        other => Err(format!("TIFF takes no {:?}", other.color()).into()),
    }?;
    Ok(file.into_inner())
}

/// What stands beside the pixels.
struct Rest<'a> {
    exif: Option<(Exif<'a>, Vec<Entry>)>,
    /// Directories that are written already, and where.
    pointers: Vec<(u16, u32)>,
    metadata: &'a MetadataSet,
}

impl Rest<'_> {
    fn write<W: Write + Seek, K: TiffKind, C: ColorType>(
        &self,
        mut image: ImageEncoder<'_, W, C, K>,
        pixels: &[C::Inner],
        alpha: bool,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
    where
        [C::Inner]: TiffValue,
    {
        let encoder = image.encoder();
        if let Some((exif, first)) = &self.exif {
            for entry in first.iter().filter(|entry| exif::is_description(entry.tag)) {
                put(encoder, exif, entry)?;
            }
        }
        for (pointer, offset) in &self.pointers {
            encoder.write_tag(Tag::from_u16_exhaustive(*pointer), *offset)?;
        }
        if alpha {
            encoder.write_tag(Tag::ExtraSamples, &[ExtraSamples::UnassociatedAlpha.to_u16()][..])?;
        }
        if let Some(icc) = &self.metadata.icc {
            let entry = encoder.write_entry_bytes(Type::UNDEFINED, icc)?;
            insert(encoder, Tag::IccProfile, entry);
        }
        if let Some(xmp) = &self.metadata.xmp {
            let entry = encoder.write_entry_bytes(Type::BYTE, xmp)?;
            insert(encoder, XMP, entry);
        }
        image.write_data(pixels)?;
        Ok(())
    }
}

/// Writes a directory that no other follows, and tells where it is.
fn directory<W: Write + Seek, K: TiffKind>(
    mut encoder: DirectoryEncoder<'_, W, K>,
    exif: &Exif<'_>,
    entries: &[Entry],
    interop: Option<u32>,
) -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
    for entry in entries.iter().filter(|entry| entry.tag != exif::INTEROP_POINTER) {
        put(&mut encoder, exif, entry)?;
    }
    if let Some(offset) = interop {
        encoder.write_tag(Tag::from_u16_exhaustive(exif::INTEROP_POINTER), offset)?;
    }
    Ok(u32::try_from(encoder.finish_with_offsets()?.pointer.0)?)
}

fn put<W: Write + Seek, K: TiffKind>(
    encoder: &mut DirectoryEncoder<'_, W, K>,
    exif: &Exif<'_>,
    entry: &Entry,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let Some(kind) = Type::from_u16(entry.kind) else { return Ok(()) };
    let mut value = exif.value(entry).to_vec();
    let order = match exif.order() {
        Order::Little => ByteOrder::LittleEndian,
        Order::Big => ByteOrder::BigEndian,
    };
    order.convert(kind, &mut value, ByteOrder::native());
    let written = encoder.write_entry_bytes(kind, &value)?;
    insert(encoder, Tag::from_u16_exhaustive(entry.tag), written);
    Ok(())
}

fn insert<W: Write + Seek, K: TiffKind>(
    encoder: &mut DirectoryEncoder<'_, W, K>,
    tag: Tag,
    entry: tiff::decoder::ifd::Entry,
) {
    let mut directory = tiff::Directory::empty();
    directory.extend([(tag, entry)]);
    encoder.extend_from(&directory);
}
