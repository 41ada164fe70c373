//! Tags that go by names of their own: words that each kind of tag keeps under any name, and what no other kind can hold.

use std::borrow::Cow;
use std::io::{Read, Seek};

use lofty::aac::AacFile;
use lofty::config::ParseOptions;
use lofty::error::FileParseError;
use lofty::file::{FileType, TaggedFile};
use lofty::flac::FlacFile;
use lofty::id3::v2::{Frame, Id3v2Tag};
use lofty::iff::aiff::AiffFile;
use lofty::iff::wav::WavFile;
use lofty::mp4::{Atom, AtomData, AtomIdent, Ilst, Mp4File};
use lofty::mpeg::MpegFile;
use lofty::ogg::tag::VorbisComments;
use lofty::ogg::{OpusFile, VorbisFile};
use lofty::prelude::{AudioFile as _, SplitTag as _};
use lofty::probe::Probe;

/// What a tag holds besides what lofty has keys for.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Names and values, in their order.
    pub(super) words: Vec<(String, String)>,
    /// Names of what only its own kind of tag can hold.
    pub(super) bound: Vec<String>,
}

/// Reads a file with all of its tags.
pub(super) fn read<R: Read + Seek>(
    probe: Probe<R>,
    kind: FileType,
    options: ParseOptions,
) -> Result<(Own, TaggedFile), FileParseError> {
    macro_rules! file {
        ($kind:ty, $own:expr) => {{
            let file = <$kind>::read_from(&mut probe.into_inner(), options)?;
            let own: fn(&$kind) -> Own = $own;
            Ok((own(&file), file.into()))
        }};
    }
    match kind {
        FileType::Flac => file!(FlacFile, |file| file.vorbis_comments().map_or_else(Own::default, comments)),
        FileType::Vorbis => file!(VorbisFile, |file| comments(file.vorbis_comments())),
        FileType::Opus => file!(OpusFile, |file| comments(file.vorbis_comments())),
        FileType::Mpeg => file!(MpegFile, |file| file.id3v2().map_or_else(Own::default, frames)),
        FileType::Aac => file!(AacFile, |file| file.id3v2().map_or_else(Own::default, frames)),
        FileType::Wav => file!(WavFile, |file| file.id3v2().map_or_else(Own::default, frames)),
        FileType::Aiff => file!(AiffFile, |file| file.id3v2().map_or_else(Own::default, frames)),
        FileType::Mp4 => file!(Mp4File, |file| file.ilst().map_or_else(Own::default, atoms)),
        _ => Ok((Own::default(), probe.read()?)),
    }
}

/// Those of FLAC, Vorbis and Opus.
fn comments(comments: &VorbisComments) -> Own {
    // A copy without pictures, which may be large; here as below.
    let mut words = VorbisComments::default();
    comments.items().for_each(|(key, value)| words.push(key.to_owned(), value.to_owned()));
    let words = words.split_tag().0;
    Own { words: words.items().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(), bound: Vec::new() }
}

/// Those of ID3v2: frames of text with a description are words, under that name.
fn frames(tag: &Id3v2Tag) -> Own {
    let mut own = Own::default();
    let mut rest = Id3v2Tag::default();
    tag.into_iter().filter(|frame| !matches!(frame, Frame::Picture(_))).for_each(|frame| {
        rest.insert(frame.clone());
    });
    for frame in &*rest.split_tag().0 {
        let id = frame.id_str();
        let of = match frame {
            Frame::UserText(text) if !text.description.is_empty() => {
                let name = &text.description;
                // Several values stand in one frame.
                own.words.extend(text.content.split('\0').map(|value| (name.to_string(), value.to_owned())));
                continue;
            }
            Frame::Comment(comment) => &comment.description,
            Frame::UnsynchronizedText(text) => &text.description,
            Frame::UserUrl(url) => &url.description,
            Frame::Private(private) => &private.owner,
            Frame::UniqueFileIdentifier(identifier) => &identifier.owner,
            _ => &Cow::Borrowed(""),
        };
        if of != GAPS {
            own.bound.push(if of.is_empty() { id.to_lowercase() } else { format!("{}:{of}", id.to_lowercase()) });
        }
    }
    own
}

/// Those of MP4: atoms with a free name and text are words.
fn atoms(tag: &Ilst) -> Own {
    let mut own = Own::default();
    let mut rest = Ilst::default();
    let pictures = |atom: &Atom<'_>| atom.data().all(|data| matches!(data, AtomData::Picture(_)));
    tag.into_iter().filter(|atom| !pictures(atom)).for_each(|atom| rest.insert(atom.clone()));
    for atom in &*rest.split_tag().0 {
        let name = match atom.ident() {
            AtomIdent::Freeform { name, .. } if name == GAPS => continue,
            AtomIdent::Freeform { name, .. } => name.to_string(),
            AtomIdent::Fourcc(name) => name.iter().map(|byte| char::from(*byte)).collect(),
        };
        for data in atom.data() {
            match (data, atom.ident()) {
                (AtomData::UTF8(value) | AtomData::UTF16(value), AtomIdent::Freeform { .. }) => {
                    own.words.push((name.clone(), value.clone()));
                }
                _ => own.bound.push(name.to_lowercase()),
            }
        }
    }
    own
}

impl Own {
    /// The words that Vorbis comments can hold: their names are printable ASCII without `=`.
    pub(super) fn comments(&self) -> impl Iterator<Item = &(String, String)> {
        self.words.iter().filter(|(name, _)| is_comment(name))
    }

    /// The names of those that they cannot.
    pub(super) fn no_comments(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|(name, _)| &**name).filter(|name| !is_comment(name))
    }

    pub(super) fn put_frames(&self, tag: &mut Id3v2Tag) {
        for (name, value) in &self.words {
            let values = match tag.get_user_text(name) {
                Some(before) => format!("{before}\0{value}"),
                None => value.clone(),
            };
            tag.insert_user_text(name.clone(), values);
        }
    }

    pub(super) fn put_atoms(&self, tag: &mut Ilst) {
        for (name, value) in &self.words {
            let ident = AtomIdent::Freeform { mean: "com.apple.iTunes".into(), name: name.clone().into() };
            tag.insert(Atom::new(ident, AtomData::UTF8(value.clone())));
        }
    }
}

fn is_comment(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| matches!(byte, 0x20..=0x7d) && byte != b'=')
}

/// The priming and padding of the old file: the new one has its own.
const GAPS: &str = "iTunSMPB";
