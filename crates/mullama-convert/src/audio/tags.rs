//! Tags and pictures: read with lofty, written where each format has them, before or behind the sound as it is written.
//! Nothing is rewritten afterwards, so a file of any size costs no memory.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use bytes::Bytes;
use lofty::config::{ParseOptions, WriteOptions};
use lofty::ogg::tag::VorbisComments;
use lofty::picture::PictureInformation;
use lofty::prelude::{ItemKey, TagExt as _, TaggedFileExt as _};
use lofty::probe::Probe;
use lofty::tag::{Tag, TagType};

use super::options::AudioFormatType;
use super::report::AudioWarning;
use crate::config::Limits;
use crate::error::{Error, Result};

/// The tags of a file, as its own format names them.
#[derive(Default)]
pub(crate) struct Tags {
    tag: Option<Tag>,
}

impl Tags {
    /// The tags of a file, or why there are none.
    pub(crate) fn file(path: &Path, limits: &Limits) -> (Self, Option<AudioWarning>) {
        match File::open(path) {
            Ok(file) => Self::read(BufReader::new(file), limits),
            Err(error) => (Self::default(), Some(AudioWarning::UnreadableTags { problem: error.to_string() })),
        }
    }

    /// The tags of a file in memory, or why there are none.
    pub(crate) fn bytes(bytes: &Bytes, limits: &Limits) -> (Self, Option<AudioWarning>) {
        Self::read(Cursor::new(bytes.clone()), limits)
    }

    fn read<R: Read + Seek>(reader: R, limits: &Limits) -> (Self, Option<AudioWarning>) {
        let unreadable = |problem: String| (Self::default(), Some(AudioWarning::UnreadableTags { problem }));
        let options = ParseOptions::new().read_properties(false);
        let probe = match Probe::new(reader).options(options).guess_file_type() {
            Ok(probe) => probe,
            Err(error) => return unreadable(error.to_string()),
        };
        if probe.file_type().is_none() {
            return (Self::default(), None);
        }
        let file = match probe.read() {
            Ok(file) => file,
            Err(error) => return unreadable(error.to_string()),
        };
        let Some(mut tag) = file.primary_tag().or_else(|| file.first_tag()).cloned() else {
            return (Self::default(), None);
        };
        // A second kind of tag may know what the first does not.
        for other in file.tags() {
            for item in other.items() {
                if other.tag_type() != tag.tag_type() && tag.get(item.key()).is_none() {
                    tag.insert(item.clone());
                }
            }
            if tag.pictures().is_empty() {
                other.pictures().iter().for_each(|picture| tag.push_picture(picture.clone()));
            }
        }
        // What made the old file did not make the new one.
        tag.retain(|item| !matches!(item.key(), ItemKey::EncoderSoftware | ItemKey::EncoderSettings));
        let bytes: usize = tag.pictures().iter().map(|picture| picture.data().len()).sum();
        if bytes as u64 > limits.max_metadata_bytes {
            return unreadable(format!("pictures of {bytes} bytes are more than {}", limits.max_metadata_bytes));
        }
        (Self { tag: Some(tag) }, None)
    }

    /// What the target cannot hold.
    pub(crate) fn dropped(&self, format: AudioFormatType) -> Vec<AudioWarning> {
        let kind = match format {
            AudioFormatType::WAV | AudioFormatType::MP3 | AudioFormatType::AAC => TagType::Id3v2,
            AudioFormatType::M4A => TagType::Mp4Ilst,
            AudioFormatType::FLAC | AudioFormatType::OGG | AudioFormatType::OPUS => TagType::VorbisComments,
        };
        let Some(tag) = &self.tag else { return Vec::new() };
        let mut target = Tag::new(kind);
        tag.items()
            .filter(|item| !target.push((*item).clone()))
            .map(|item| AudioWarning::DroppedTag { key: format!("{:?}", item.key()) })
            .collect()
    }

    /// An ID3v2 tag, empty if there is nothing to say.
    pub(crate) fn id3(&self) -> Result<Vec<u8>> {
        self.dump(TagType::Id3v2)
    }

    /// The `ilst` box of an MP4, empty if there is nothing to say.
    pub(crate) fn ilst(&self) -> Result<Vec<u8>> {
        self.dump(TagType::Mp4Ilst)
    }

    /// Chunks for WAV: RIFF INFO, which most programs read, and ID3v2, which holds all.
    pub(crate) fn wave(&self) -> Result<Vec<u8>> {
        let mut chunks = self.dump(TagType::RiffInfo)?;
        let id3 = self.id3()?;
        if !id3.is_empty() {
            let size = u32::try_from(id3.len()).map_err(|_| Error::TooLarge {
                what: "the tags",
                value: id3.len() as u64,
                limit: u32::MAX.into(),
                unit: "bytes",
            })?;
            chunks.extend_from_slice(b"id3 ");
            chunks.extend_from_slice(&size.to_le_bytes());
            chunks.extend_from_slice(&id3);
            chunks.resize(chunks.len().next_multiple_of(2), 0);
        }
        Ok(chunks)
    }

    /// Metadata blocks of FLAC: their kinds and contents.
    pub(crate) fn flac(&self) -> Result<Vec<(u8, Vec<u8>)>> {
        let Some(tag) = self.mapped(TagType::VorbisComments) else { return Ok(Vec::new()) };
        let mut comments = VorbisComments::default();
        comments.set_vendor(VENDOR.to_owned());
        for (key, value) in VorbisComments::from(without_pictures(&tag)).items() {
            comments.push(key.to_owned(), value.to_owned());
        }
        let mut content = Vec::new();
        comments.dump_to(&mut content, options()).map_err(unwritable)?;
        let pictures = tag.pictures().iter().map(|picture| {
            (6, picture.as_flac_bytes(PictureInformation::from_picture(picture).unwrap_or_default(), false))
        });
        Ok(std::iter::once((4, content)).chain(pictures).collect())
    }

    /// Comments of Vorbis and Opus, pictures among them.
    pub(crate) fn vorbis(&self) -> Vec<(String, String)> {
        let Some(tag) = self.mapped(TagType::VorbisComments) else { return Vec::new() };
        let comments = VorbisComments::from(without_pictures(&tag));
        let texts = comments.items().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let pictures = tag.pictures().iter().filter_map(|picture| {
            let information = PictureInformation::from_picture(picture).unwrap_or_default();
            let text = String::from_utf8(picture.as_flac_bytes(information, true)).ok()?;
            Some(("METADATA_BLOCK_PICTURE".to_owned(), text))
        });
        texts.chain(pictures).collect()
    }

    fn dump(&self, kind: TagType) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(tag) = self.mapped(kind) {
            tag.dump_to(&mut bytes, options()).map_err(unwritable)?;
        }
        Ok(bytes)
    }

    /// The tags as another kind names them; `None` if nothing is left.
    fn mapped(&self, kind: TagType) -> Option<Tag> {
        let source = self.tag.as_ref()?;
        let mut tag = Tag::new(kind);
        for item in source.items() {
            tag.push(item.clone());
        }
        if kind != TagType::RiffInfo {
            source.pictures().iter().for_each(|picture| tag.push_picture(picture.clone()));
        }
        (tag.item_count() > 0 || tag.picture_count() > 0).then_some(tag)
    }
}

fn without_pictures(tag: &Tag) -> Tag {
    let mut tag = tag.clone();
    while tag.picture_count() > 0 {
        tag.remove_picture(0);
    }
    tag
}

fn options() -> WriteOptions {
    WriteOptions::default().preferred_padding(0)
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Tags { action: "write", source: Box::new(error) }
}

const VENDOR: &str = concat!("mullama ", env!("CARGO_PKG_VERSION"));
