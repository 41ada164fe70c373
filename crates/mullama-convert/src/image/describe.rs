//! What EXIF, ICC and XMP say, in words.

use super::exif::{self, Entry, Exif};
use super::metadata::MetadataSet;
use crate::metadata::MetadataItem;

/// The fields that people ask for, in the order of the tables below.
pub(super) fn items(metadata: &MetadataSet) -> Vec<MetadataItem> {
    let mut items = Vec::new();
    if let Some(exif) = metadata.exif.as_deref().and_then(Exif::new)
        && let Some(first) = exif.first()
    {
        fields(&exif, &first, DESCRIPTION, &mut items);
        if let Some(inner) = exif.child(&first, exif::EXIF_POINTER) {
            fields(&exif, &inner, EXPOSURE, &mut items);
        }
        if let Some(place) = exif.child(&first, exif::GPS_POINTER) {
            location(&exif, &place, &mut items);
        }
    }
    let profile = metadata.icc.as_deref().and_then(profile_name);
    items.extend(profile.map(|name| MetadataItem::new("color_profile", name)));
    if let Some(xmp) = metadata.xmp.as_deref().and_then(|xmp| std::str::from_utf8(xmp).ok()) {
        let found = XMP.iter().filter_map(|(word, name)| Some(MetadataItem::new(*name, xmp_value(xmp, word)?)));
        items.extend(found);
    }
    items
}

/// How the value of a field is told.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Number,
    /// A fraction of a second, or seconds.
    Seconds,
    /// The aperture.
    Stop,
    Millimetres,
}

/// Of the first directory (TIFF 6.0, section 8).
const DESCRIPTION: &[(u16, &str, Form)] = &[
    (0x010e, "description", Form::Text),
    (0x010f, "make", Form::Text),
    (0x0110, "model", Form::Text),
    (0x0131, "software", Form::Text),
    (0x0132, "modified", Form::Text),
    (0x013b, "artist", Form::Text),
    (0x8298, "copyright", Form::Text),
];

/// Of EXIF's own directory (EXIF 2.32, 4.6.5).
const EXPOSURE: &[(u16, &str, Form)] = &[
    (0x9003, "taken", Form::Text),
    (0x829a, "exposure_time", Form::Seconds),
    (0x829d, "aperture", Form::Stop),
    (0x8827, "iso", Form::Number),
    (0x920a, "focal_length", Form::Millimetres),
    (0xa433, "lens_make", Form::Text),
    (0xa434, "lens", Form::Text),
];

fn fields(exif: &Exif<'_>, entries: &[Entry], table: &[(u16, &str, Form)], items: &mut Vec<MetadataItem>) {
    for (tag, name, form) in table {
        let Some(entry) = entries.iter().find(|entry| entry.tag == *tag) else { continue };
        let value = match form {
            Form::Text => text(exif.value(entry)),
            Form::Number => exif.number(entry).map(|number| number.to_string()),
            Form::Seconds => exif.ratio(entry, 0).map(|(over, under)| seconds(over, under)),
            Form::Stop => exif.ratio(entry, 0).map(|(over, under)| format!("f/{}", decimal(over, under))),
            Form::Millimetres => exif.ratio(entry, 0).map(|(over, under)| format!("{} mm", decimal(over, under))),
        };
        items.extend(value.map(|value| MetadataItem::new(*name, value)));
    }
}

/// Latitude and longitude in degrees, north and east positive (EXIF 2.32, 4.6.6).
fn location(exif: &Exif<'_>, entries: &[Entry], items: &mut Vec<MetadataItem>) {
    let entry = |tag| entries.iter().find(move |entry| entry.tag == tag);
    for (name, side, place, negative) in [("latitude", 1, 2, b'S'), ("longitude", 3, 4, b'W')] {
        let Some(place) = entry(place) else { continue };
        let parts = [0, 1, 2].map(|index| exif.ratio(place, index).map(|(a, b)| f64::from(a) / f64::from(b)));
        let [Some(degrees), minutes, seconds] = parts else { continue };
        let degrees = degrees + minutes.unwrap_or(0.0) / 60.0 + seconds.unwrap_or(0.0) / 3600.0;
        let is_negative = entry(side).is_some_and(|side| exif.value(side).first() == Some(&negative));
        items.push(MetadataItem::new(name, format!("{:.6}", if is_negative { -degrees } else { degrees })));
    }
}

/// Text up to its end mark; bytes that are no UTF-8 are replaced. `None` if nothing is said.
fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]);
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Less than a second as one part of it.
fn seconds(over: u32, under: u32) -> String {
    match over {
        1.. if over < under => format!("1/{} s", (u64::from(under) + u64::from(over / 2)) / u64::from(over)),
        _ => format!("{} s", decimal(over, under)),
    }
}

/// A fraction with at most two digits behind the point.
fn decimal(over: u32, under: u32) -> String {
    let text = format!("{:.2}", f64::from(over) / f64::from(under));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What an ICC profile calls itself (ICC.1:2022, 7.3, 9.2.41; `desc` before version 4).
fn profile_name(icc: &[u8]) -> Option<String> {
    let number = |at: usize| -> Option<usize> {
        let bytes = icc.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(bytes)).ok()
    };
    let tags = number(128)?.min(MAX_PROFILE_TAGS);
    let entry = (0..tags).map(|index| 132 + index * 12).find(|at| icc.get(*at..*at + 4) == Some(b"desc"))?;
    let (at, length) = (number(entry + 4)?, number(entry + 8)?);
    let element = icc.get(at..at.checked_add(length)?)?;
    match element.get(..4)? {
        b"desc" => text(element.get(12..)?),
        b"mluc" => {
            let (length, start) = (number(at + 20)?, number(at + 24)?);
            let words = element.get(start..start.checked_add(length)?)?.as_chunks::<2>().0;
            let words: Vec<u16> = words.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            text(String::from_utf16_lossy(&words).as_bytes())
        }
        _ => None,
    }
}

/// Words of XMP, and what they are called here.
const XMP: &[(&str, &str)] = &[
    ("dc:title", "title"),
    ("dc:creator", "creator"),
    ("dc:description", "caption"),
    ("dc:rights", "rights"),
    ("xmp:Rating", "rating"),
    ("xmp:CreatorTool", "creator_tool"),
];

/// The value of an attribute or an element of XMP, of a list the first one.
fn xmp_value(xmp: &str, word: &str) -> Option<String> {
    if let Some(at) = xmp.find(&format!("{word}=")) {
        let rest = &xmp[at + word.len() + 1..];
        let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        return plain(rest[1..].split(quote).next()?);
    }
    let start = xmp.find(&format!("<{word}>"))? + word.len() + 2;
    let content = &xmp[start..];
    let mut content = &content[..content.find(&format!("</{word}>"))?];
    if let Some(item) = content.find("<rdf:li") {
        let item = &content[item..];
        content = &item[item.find('>')? + 1..];
    }
    plain(content.split('<').next()?)
}

/// Text without the five escapes of XML.
fn plain(text: &str) -> Option<String> {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    let text = text.replace("&amp;", "&");
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Real profiles have some dozens.
const MAX_PROFILE_TAGS: usize = 256;

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times_are_told_as_cameras_tell_them() {
        assert_eq!([seconds(10, 2_500), seconds(3, 2), seconds(0, 7)], ["1/250 s", "1.5 s", "0 s"]);
        // The sum of both passes 32 bits.
        assert_eq!(seconds(2, u32::MAX), "1/2147483648 s");
    }
}
