//! EXIF as bytes: directories in the way of TIFF. What is read here comes from outside: every offset is checked, and
//! nothing is followed twice.

use std::ops::Range;

/// A TIFF structure: a whole TIFF file, or the EXIF of another file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exif<'a> {
    bytes: &'a [u8],
    order: Order,
}

/// The order of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) tag: u16,
    pub(super) kind: u16,
    /// Where its 12 bytes are.
    at: usize,
    /// Where its value is, in the entry or elsewhere.
    pub(super) value: Range<usize>,
}

/// A directory of these sits behind a pointer in the first.
pub(super) const EXIF_POINTER: u16 = 0x8769;
pub(super) const GPS_POINTER: u16 = 0x8825;
pub(super) const INTEROP_POINTER: u16 = 0xa005;
pub(super) const ORIENTATION: u16 = 0x0112;
const IMAGE_WIDTH: u16 = 0x0100;
const IMAGE_HEIGHT: u16 = 0x0101;
const PIXEL_WIDTH: u16 = 0xa002;
const PIXEL_HEIGHT: u16 = 0xa003;
const THUMBNAIL: u16 = 0x0201;
const THUMBNAIL_LENGTH: u16 = 0x0202;
const ICC: u16 = 0x8773;
const XMP: u16 = 0x02bc;
/// Entries in a directory beyond this are not read; real ones have some dozens.
const MAX_ENTRIES: usize = 1_024;
/// Directories in a chain beyond this are not followed.
const MAX_PAGES: usize = 65_536;
/// Pointers to a location beyond this are a sign of harm; real files have one.
const MAX_LOCATIONS: usize = 4;

impl<'a> Exif<'a> {
    /// Reads the header. `None` if it is not one.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let order = match bytes {
            [b'I', b'I', 42, 0, ..] => Order::Little,
            [b'M', b'M', 0, 42, ..] => Order::Big,
            _ => return None,
        };
        Some(Self { bytes, order })
    }

    pub(super) const fn order(&self) -> Order {
        self.order
    }

    /// The first directory.
    pub(super) fn first(&self) -> Option<Vec<Entry>> {
        self.directory(usize::try_from(self.u32(4)?).ok()?).map(|(entries, _)| entries)
    }

    /// The directory that a pointer in this one leads to.
    pub(super) fn child(&self, parent: &[Entry], pointer: u16) -> Option<Vec<Entry>> {
        let at = self.pointer(parent, pointer)?;
        self.directory(at).map(|(entries, _)| entries)
    }

    /// Directories in the main chain: pages of a TIFF file.
    pub(super) fn pages(&self) -> u32 {
        let (mut pages, mut seen) = (0, std::collections::HashSet::new());
        let mut next = self.u32(4);
        while let Some(at) = next.filter(|at| *at != 0 && seen.len() < MAX_PAGES && seen.insert(*at)) {
            let Some((at, count)) = usize::try_from(at).ok().and_then(|at| Some((at, self.u16(at)?))) else { break };
            pages += 1;
            next = self.u32(at + 2 + usize::from(count) * 12);
        }
        pages
    }

    /// Where the first directory points to the one of the thumbnail, and where the thumbnail is.
    fn thumbnail(&self) -> Option<(usize, Range<usize>)> {
        let first = usize::try_from(self.u32(4)?).ok()?;
        let next = first + 2 + usize::from(self.u16(first)?) * 12;
        let (entries, _) = self.directory(usize::try_from(self.u32(next)?).ok().filter(|at| *at != 0)?)?;
        let number = |tag| entries.iter().find(|entry| entry.tag == tag).and_then(|entry| self.number(entry));
        let start = usize::try_from(number(THUMBNAIL).unwrap_or(0)).ok()?;
        let length = usize::try_from(number(THUMBNAIL_LENGTH).unwrap_or(0)).ok()?;
        // What lies before the directory's own end may be anything else.
        let end = start.checked_add(length)?;
        Some((next, if start > next + 4 { start..end } else { 0..0 }))
    }

    pub(super) fn value(&self, entry: &Entry) -> &'a [u8] {
        &self.bytes[entry.value.clone()]
    }

    /// A number of 16 or 32 bits.
    pub(super) fn number(&self, entry: &Entry) -> Option<u32> {
        match entry.kind {
            3 => self.u16(entry.value.start).map(u32::from),
            4 | 13 => self.u32(entry.value.start),
            _ => None,
        }
    }

    /// The fraction at this place of a list; one below the line that is 0 is none.
    pub(super) fn ratio(&self, entry: &Entry, index: usize) -> Option<(u32, u32)> {
        let at = entry.value.start + index * 8;
        let is_one = entry.kind == 5 && at + 8 <= entry.value.end;
        let (over, under) = is_one.then(|| Some((self.u32(at)?, self.u32(at + 4)?))).flatten()?;
        (under > 0).then_some((over, under))
    }

    fn pointer(&self, entries: &[Entry], pointer: u16) -> Option<usize> {
        let entry = entries.iter().find(|entry| entry.tag == pointer)?;
        usize::try_from(self.number(entry)?).ok()
    }

    /// The entries that are whole, and where the next directory is.
    fn directory(&self, at: usize) -> Option<(Vec<Entry>, Option<u32>)> {
        let count = usize::from(self.u16(at)?);
        let entries = (0..count.min(MAX_ENTRIES)).map_while(|index| {
            let at = at + 2 + index * 12;
            self.bytes.get(at..at + 12).map(|_| self.entry(at))
        });
        let entries = entries.flatten().collect();
        Some((entries, self.u32(at + 2 + count * 12)))
    }

    fn entry(&self, at: usize) -> Option<Entry> {
        let (tag, kind, count) = (self.u16(at)?, self.u16(at + 2)?, self.u32(at + 4)?);
        let bytes = usize::try_from(count).ok()?.checked_mul(width(kind)?)?;
        let start = if bytes <= 4 { at + 8 } else { usize::try_from(self.u32(at + 8)?).ok()? };
        let value = start..start.checked_add(bytes)?;
        self.bytes.get(value.clone())?;
        Some(Entry { tag, kind, at, value })
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.order == Order::Little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.order == Order::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }
}

/// Bytes of one value of this type.
pub(super) const fn width(kind: u16) -> Option<usize> {
    Some(match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 => 8,
        _ => return None,
    })
}

/// Whether EXIF says where the picture was taken.
pub(super) fn has_location(bytes: &[u8]) -> bool {
    let Some(exif) = Exif::new(bytes) else { return false };
    exif.first().is_some_and(|first| first.iter().any(|entry| entry.tag == GPS_POINTER))
}

/// Takes the location out, in place: its values become 0, its entries and the pointer to them vanish. All other bytes
/// stay where they are, as camera makers' notes hold offsets that nobody else knows. Gives the bytes that were cleared, or
/// `None` if the directories are so odd that the location cannot be told from the rest.
pub(super) fn remove_location(bytes: &mut [u8]) -> Option<usize> {
    let mut cleared = 0;
    for _ in 0..MAX_LOCATIONS {
        let Some((clear, directory, at, count)) = location(bytes) else { return Some(cleared) };
        // Values that overlap many times over would take for ever.
        if clear.iter().map(Range::len).sum::<usize>() > bytes.len() {
            return None;
        }
        for range in clear {
            cleared += range.len();
            bytes[range].fill(0);
        }
        // The entries behind the pointer move up by one; so does the offset of the next directory.
        let end = (directory + 2 + count * 12 + 4).min(bytes.len());
        bytes.copy_within(at + 12..end, at);
        bytes[end - 12..end].fill(0);
        let left = u16::try_from(count.checked_sub(1)?).ok()?;
        let left = if bytes[0] == b'I' { left.to_le_bytes() } else { left.to_be_bytes() };
        bytes[directory..directory + 2].copy_from_slice(&left);
        cleared += 12;
    }
    (!has_location(bytes)).then_some(cleared)
}

/// Makes EXIF fit pixels of another size or direction than it was written for, in place: the size that it tells becomes the
/// new one, and the thumbnail, which shows the old picture, is cleared.
pub(super) fn set_size(bytes: &mut [u8], width: u32, height: u32) {
    let mut changes = Vec::new();
    let mut clear = None;
    if let Some((exif, first)) = Exif::new(bytes).and_then(|exif| exif.first().map(|first| (exif, first))) {
        let inner = exif.child(&first, EXIF_POINTER).unwrap_or_default();
        for entry in first.iter().chain(&inner) {
            let side = match entry.tag {
                IMAGE_WIDTH | PIXEL_WIDTH => width,
                IMAGE_HEIGHT | PIXEL_HEIGHT => height,
                _ => continue,
            };
            let mut value = Vec::new();
            match (entry.kind, u16::try_from(side)) {
                (3, Ok(side)) => exif.put_u16(&mut value, side),
                (4, _) => exif.put_u32(&mut value, side),
                // A side that its 16 bits do not hold is not told.
                _ => value.resize(entry.value.len(), 0),
            }
            changes.push((entry.value.start, value));
        }
        if let Some((next, thumbnail)) = exif.thumbnail() {
            changes.push((next, vec![0; 4]));
            clear = Some(thumbnail);
        }
    }
    for (at, value) in changes {
        // An entry that says it has no value has no bytes of its own.
        if let Some(place) = bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(&value);
        }
    }
    if let Some(place) = clear.and_then(|range| bytes.get_mut(range)) {
        place.fill(0);
    }
}

/// What to clear, and where the first directory, the pointer in it, and how many entries it has.
fn location(bytes: &[u8]) -> Option<(Vec<Range<usize>>, usize, usize, usize)> {
    let exif = Exif::new(bytes)?;
    let directory = usize::try_from(exif.u32(4)?).ok()?;
    let count = usize::from(exif.u16(directory)?);
    let first = exif.first()?;
    let pointer = first.iter().find(|entry| entry.tag == GPS_POINTER)?;
    let mut clear = Vec::new();
    if let Some(start) = exif.pointer(&first, GPS_POINTER) {
        for entry in exif.child(&first, GPS_POINTER).unwrap_or_default() {
            clear.push(entry.value.clone());
            clear.push(entry.at..entry.at + 12);
        }
        clear.push(start..start.saturating_add(2).min(bytes.len()));
    }
    // A hostile location may lie about where it is: what it shares with the first directory or the header stays.
    let kept = directory..directory + 2 + count * 12 + 4;
    clear.retain(|range| {
        range.start >= 8 && (range.end <= kept.start || range.start >= kept.end) && range.start <= range.end
    });
    Some((clear, directory, pointer.at, count))
}

/// The EXIF of a TIFF file, as it stands in other files: a header, the first directory without what describes the pixels
/// and where they are, and the directories behind it. `None` if nothing is left, or more than `budget` bytes.
pub(super) fn from_tiff(file: &[u8], mut budget: usize) -> Option<Vec<u8>> {
    let exif = Exif::new(file)?;
    let first = exif.first()?;
    let mut own = |entries: &[Entry], wanted: fn(u16) -> bool| -> Option<Vec<Owned>> {
        let wanted = entries.iter().filter(|entry| wanted(entry.tag));
        wanted.map(|entry| exif.own(entry, &mut budget)).collect()
    };
    let mut root = own(&first, is_description)?;
    for pointer in [EXIF_POINTER, GPS_POINTER] {
        let Some(entries) = exif.child(&first, pointer) else { continue };
        let mut directory = own(&entries, |tag| tag != INTEROP_POINTER)?;
        if let Some(interop) = exif.child(&entries, INTEROP_POINTER) {
            let value = Value::Directory(own(&interop, |_| true)?);
            directory.push(Owned { tag: INTEROP_POINTER, kind: 4, value });
        }
        root.push(Owned { tag: pointer, kind: 4, value: Value::Directory(directory) });
    }
    if root.is_empty() {
        return None;
    }
    let mut bytes = match exif.order {
        Order::Little => b"II\x2a\0".to_vec(),
        Order::Big => b"MM\0\x2a".to_vec(),
    };
    exif.put_u32(&mut bytes, 8);
    exif.write(&mut bytes, root)?;
    Some(bytes)
}

/// Whether a tag of a TIFF file's first directory says something about the picture, rather than how its pixels are kept.
pub(super) const fn is_description(tag: u16) -> bool {
    matches!(
        tag,
        0x010d..=0x0110 | ORIENTATION | 0x011a | 0x011b | 0x0128 | 0x0131 | 0x0132 | 0x013b | 0x013c | 0x013e | 0x013f
            | 0x8298 | 0x9c9b..=0x9c9f | 0x9286
    ) && tag != ICC
        && tag != XMP
}

struct Owned {
    tag: u16,
    kind: u16,
    value: Value,
}

enum Value {
    Bytes(Vec<u8>),
    Directory(Vec<Owned>),
}

impl Exif<'_> {
    fn own(&self, entry: &Entry, budget: &mut usize) -> Option<Owned> {
        *budget = budget.checked_sub(entry.value.len() + 12)?;
        Some(Owned { tag: entry.tag, kind: entry.kind, value: Value::Bytes(self.value(entry).to_vec()) })
    }

    fn put_u16(&self, bytes: &mut Vec<u8>, value: u16) {
        bytes.extend(if self.order == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() });
    }

    fn put_u32(&self, bytes: &mut Vec<u8>, value: u32) {
        bytes.extend(if self.order == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() });
    }

    /// Writes a directory at the end, its long values behind it, and then the directories that it points to.
    fn write(&self, bytes: &mut Vec<u8>, mut entries: Vec<Owned>) -> Option<()> {
        entries.sort_by_key(|entry| entry.tag);
        self.put_u16(bytes, u16::try_from(entries.len()).ok()?);
        let (mut later, mut values) = (Vec::new(), bytes.len() + entries.len() * 12 + 4);
        let mut long = Vec::new();
        for entry in entries {
            self.put_u16(bytes, entry.tag);
            self.put_u16(bytes, entry.kind);
            match entry.value {
                Value::Bytes(value) => {
                    self.put_u32(bytes, u32::try_from(value.len() / width(entry.kind)?).ok()?);
                    if value.len() <= 4 {
                        bytes.extend(value.iter().copied().chain([0; 4]).take(4));
                    } else {
                        self.put_u32(bytes, u32::try_from(values).ok()?);
                        values += value.len() + value.len() % 2;
                        long.push(value);
                    }
                }
                Value::Directory(entries) => {
                    self.put_u32(bytes, 1);
                    later.push((bytes.len(), entries));
                    self.put_u32(bytes, 0);
                }
            }
        }
        self.put_u32(bytes, 0);
        for value in long {
            bytes.extend(&value);
            bytes.extend(&[0][..value.len() % 2]);
        }
        for (at, entries) in later {
            let mut offset = Vec::new();
            self.put_u32(&mut offset, u32::try_from(bytes.len()).ok()?);
            bytes[at..at + 4].copy_from_slice(&offset);
            self.write(bytes, entries)?;
        }
        Some(())
    }
}
