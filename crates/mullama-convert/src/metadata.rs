//! What files say about themselves in words.

use serde::Serialize;

/// One thing that a file says about its content: a tag of sound, a field of EXIF, ICC or XMP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MetadataItem {
    /// What it is, in lower case: `title`, `artist`, `exposure_time`, ...
    pub name: String,
    /// What the file says, in one form for all formats. It comes from outside: it may be long and hold any character.
    pub value: String,
}

impl MetadataItem {
    pub(crate) fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// A picture among the tags of sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TagPicture {
    /// What it shows, as ID3v2 calls it: `cover_front`, `artist`, ...
    pub kind: String,
    /// Its media type, such as `image/png`; empty if the file does not say.
    pub media_type: String,
    /// Bytes of it.
    pub bytes: u64,
}

/// The tags of a sound file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AudioTags {
    /// In the order of the file; a name may come several times.
    pub items: Vec<MetadataItem>,
    /// Covers and the like.
    pub pictures: Vec<TagPicture>,
    /// Why tags could not be read, where that is so.
    pub problem: Option<String>,
}

/// `CoverFront` as `cover_front`.
pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
