//! Tags and pictures: read with lofty, written where each format has them, before or behind the sound as it is written.
//! Nothing is rewritten afterwards, so a file of any size costs no memory.

mod own;

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use lofty::config::{ParseOptions, WriteOptions};
use lofty::id3::v2::Id3v2Tag;
use lofty::mp4::Ilst;
use lofty::ogg::tag::VorbisComments;
use lofty::picture::PictureInformation;
use lofty::prelude::{ItemKey, TagExt, TaggedFileExt as _};
use lofty::probe::Probe;
use lofty::tag::{ItemValue, Tag, TagItem, TagType};

use self::own::Own;
use super::options::AudioFormatType;
use super::report::AudioWarning;
use super::wave;
use crate::config::Limits;
use crate::error::{Error, Result};
use crate::metadata::{MetadataItem, TagPicture, snake_case};

/// The tags of a file, as its own format names them.
#[derive(Default)]
pub(crate) struct Tags {
    tag: Option<Tag>,
    own: Own,
}

/// What a conversion did to the sound that its tags tell about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changed {
    /// It is louder or quieter than before.
    pub(crate) level: bool,
    /// It has other channels.
    pub(crate) channels: bool,
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

    fn read<R: Read + Seek>(mut reader: R, limits: &Limits) -> (Self, Option<AudioWarning>) {
        let unreadable = |problem: String| (Self::default(), Some(AudioWarning::UnreadableTags { problem }));
        let mut first = [0; 4];
        let read = reader.read_exact(&mut first).and_then(|()| reader.rewind());
        if read.is_ok() && first == *b"RF64" {
            let tail = reader.seek(SeekFrom::End(0)).and_then(|len| wave::tail(&mut reader, len));
            return match tail {
                Ok(tail) if !tail.tagged => (Self::default(), None),
                Ok(_) => unreadable("those of RF64 are not read".to_owned()),
                Err(error) => unreadable(error.to_string()),
            };
        }
        let options = ParseOptions::new().read_properties(false);
        let probe = match Probe::new(&mut reader).options(options).guess_file_type() {
            Ok(probe) => probe,
            Err(error) => return unreadable(error.to_string()),
        };
        let Some(kind) = probe.file_type() else { return (Self::default(), None) };
        let (own, file) = match own::read(probe, kind, options) {
            Ok(found) => found,
            Err(error) => return unreadable(error.to_string()),
        };
        let Some(mut tag) = file.primary_tag().or_else(|| file.first_tag()).cloned() else {
            return (Self { tag: None, own }, None);
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
        (Self { tag: Some(tag), own }, None)
    }

    /// Takes out what is no longer true of sound that was changed, and tells what that was.
    pub(crate) fn drop_untrue(&mut self, changed: Changed) -> Vec<AudioWarning> {
        let mut dropped = Vec::new();
        let mut holds = |name: String| {
            let untrue = (changed.level && LEVELS.iter().any(|level| name.starts_with(level)))
                || (changed.channels && name == CHANNEL_MASK);
            if untrue {
                dropped.push(AudioWarning::DroppedTag { key: name });
            }
            !untrue
        };
        if let Some(tag) = &mut self.tag {
            tag.retain(|item| holds(name(item.key())));
        }
        self.own.words.retain(|(key, _)| holds(key.to_ascii_lowercase()));
        dropped
    }

    /// What they say, each under one name for all formats.
    pub(crate) fn items(&self) -> Vec<MetadataItem> {
        let items = self.tag.iter().flat_map(Tag::items);
        items
            .map(|item| {
                let value = match item.value() {
                    ItemValue::Text(text) | ItemValue::Locator(text) => text.clone(),
                    ItemValue::Binary(bytes) => format!("{} bytes", bytes.len()),
                };
                MetadataItem::new(name(item.key()), value)
            })
            .chain(self.own.words.iter().map(|(key, value)| MetadataItem::new(key.to_ascii_lowercase(), value)))
            .collect()
    }

    /// The pictures among them.
    pub(crate) fn pictures(&self) -> Vec<TagPicture> {
        let pictures = self.tag.iter().flat_map(Tag::pictures);
        pictures
            .map(|picture| TagPicture {
                kind: snake_case(&format!("{:?}", picture.pic_type())),
                media_type: picture.mime_type().map_or(String::new(), ToString::to_string),
                bytes: picture.data().len() as u64,
            })
            .collect()
    }

    /// What the target cannot hold.
    pub(crate) fn dropped(&self, format: AudioFormatType) -> Vec<AudioWarning> {
        let kind = match format {
            AudioFormatType::WAV | AudioFormatType::MP3 | AudioFormatType::AAC => TagType::Id3v2,
            AudioFormatType::M4A => TagType::Mp4Ilst,
            AudioFormatType::FLAC | AudioFormatType::OGG | AudioFormatType::OPUS => TagType::VorbisComments,
        };
        let mut target = Tag::new(kind);
        let items = self.tag.iter().flat_map(Tag::items).filter(|item| !put(&mut target, item));
        let words = self.own.no_comments().filter(|_| kind == TagType::VorbisComments).map(str::to_ascii_lowercase);
        items
            .map(|item| name(item.key()))
            .chain(words)
            .chain(self.own.bound.iter().cloned())
            .map(|key| AudioWarning::DroppedTag { key })
            .collect()
    }

    /// An ID3v2 tag, empty if there is nothing to say.
    pub(crate) fn id3(&self) -> Result<Vec<u8>> {
        let mut tag = Id3v2Tag::from(self.mapped(TagType::Id3v2).unwrap_or_else(|| Tag::new(TagType::Id3v2)));
        self.own.put_frames(&mut tag);
        dump(&tag)
    }

    /// The `ilst` box of an MP4, empty if there is nothing to say.
    pub(crate) fn ilst(&self) -> Result<Vec<u8>> {
        let mut tag = Ilst::from(self.mapped(TagType::Mp4Ilst).unwrap_or_else(|| Tag::new(TagType::Mp4Ilst)));
        self.own.put_atoms(&mut tag);
        dump(&tag)
    }

    /// Chunks for WAV: RIFF INFO, which most programs read, and ID3v2, which holds all.
    pub(crate) fn wave(&self) -> Result<Vec<u8>> {
        let mut chunks = self.mapped(TagType::RiffInfo).map_or(Ok(Vec::new()), |tag| dump(&tag))?;
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
        let Some(tag) = self.comments() else { return Ok(Vec::new()) };
        let mut comments = VorbisComments::default();
        comments.set_vendor(VENDOR.to_owned());
        for (key, value) in self.texts(&tag) {
            comments.push(key, value);
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
        let Some(tag) = self.comments() else { return Vec::new() };
        let texts = self.texts(&tag);
        let pictures = tag.pictures().iter().filter_map(|picture| {
            let information = PictureInformation::from_picture(picture).unwrap_or_default();
            let text = String::from_utf8(picture.as_flac_bytes(information, true)).ok()?;
            Some(("METADATA_BLOCK_PICTURE".to_owned(), text))
        });
        texts.into_iter().chain(pictures).collect()
    }

    /// The tags as Vorbis comments name them; `None` if nothing is said.
    fn comments(&self) -> Option<Tag> {
        let empty = || self.own.comments().next().map(|_| Tag::new(TagType::VorbisComments));
        self.mapped(TagType::VorbisComments).or_else(empty)
    }

    fn texts(&self, tag: &Tag) -> Vec<(String, String)> {
        let comments = VorbisComments::from(without_pictures(tag));
        let known = comments.items().map(|(key, value)| (key.to_owned(), value.to_owned()));
        known.chain(self.own.comments().cloned()).collect()
    }

    /// The tags as another kind names them; `None` if nothing is left.
    fn mapped(&self, kind: TagType) -> Option<Tag> {
        let source = self.tag.as_ref()?;
        let mut tag = Tag::new(kind);
        for item in source.items() {
            put(&mut tag, item);
        }
        if kind != TagType::RiffInfo {
            source.pictures().iter().for_each(|picture| tag.push_picture(picture.clone()));
        }
        (tag.item_count() > 0 || tag.picture_count() > 0).then_some(tag)
    }
}

/// Puts an item into a tag. `false` if that has no name for it.
fn put(tag: &mut Tag, item: &TagItem) -> bool {
    // Some have a name for one of these only, and mean both.
    let whole = || item.value().text().is_some_and(|text| text.parse::<u32>().is_ok());
    let other = match item.key() {
        ItemKey::Label => Some(ItemKey::Publisher),
        ItemKey::Publisher => Some(ItemKey::Label),
        ItemKey::Lyrics => Some(ItemKey::UnsyncLyrics),
        ItemKey::UnsyncLyrics => Some(ItemKey::Lyrics),
        ItemKey::IntegerBpm => Some(ItemKey::Bpm),
        ItemKey::Bpm if whole() => Some(ItemKey::IntegerBpm),
        _ => None,
    };
    tag.push(item.clone()) || other.is_some_and(|key| tag.push(TagItem::new(key, item.value().clone())))
}

/// The name of a tag, as Vorbis comments have it where they do.
pub(crate) fn name(key: ItemKey) -> String {
    let known = key.map_key(TagType::VorbisComments).map(str::to_ascii_lowercase);
    known.unwrap_or_else(|| snake_case(&format!("{key:?}")))
}

fn without_pictures(tag: &Tag) -> Tag {
    let mut tag = tag.clone();
    while tag.picture_count() > 0 {
        tag.remove_picture(0);
    }
    tag
}

/// A tag in bytes, none if there is nothing to say.
fn dump(tag: &impl TagExt) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if !tag.is_empty() {
        tag.dump_to(&mut bytes, options()).map_err(unwritable)?;
    }
    Ok(bytes)
}

fn options() -> WriteOptions {
    WriteOptions::default().preferred_padding(0)
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Tags { action: "write", source: Box::new(error) }
}

const VENDOR: &str = concat!("mullama ", env!("CARGO_PKG_VERSION"));

/// How the names of tags begin that say how loud the sound is.
const LEVELS: [&str; 2] = ["replaygain_", "r128_"];
/// FLAC's own name for the places of the loudspeakers.
const CHANNEL_MASK: &str = "waveformatextensible_channel_mask";
