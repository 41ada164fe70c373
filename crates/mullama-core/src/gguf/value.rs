//! Values of metadata entries.

use std::{borrow::Cow, fmt};

use serde_json::{Number, Value};

/// Value of a metadata entry.
///
/// ```
/// use mullama_core::gguf::GgufValue;
///
/// let value = GgufValue::U32(4_096);
/// assert_eq!(value.as_u64(), Some(4_096));
/// assert_eq!(value.as_str(), None);
/// assert_eq!(value.to_string(), "4096");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum GgufValue {
    /// Unsigned 8-bit number.
    U8(u8),
    /// Signed 8-bit number.
    I8(i8),
    /// Unsigned 16-bit number.
    U16(u16),
    /// Signed 16-bit number.
    I16(i16),
    /// Unsigned 32-bit number, GGUF's usual one.
    U32(u32),
    /// Signed 32-bit number.
    I32(i32),
    /// 32-bit floating-point number.
    F32(f32),
    /// Truth value.
    Bool(bool),
    /// Text; bytes that are not UTF-8 are replaced.
    String(String),
    /// Many values of one type.
    Array(GgufArray),
    /// Unsigned 64-bit number.
    U64(u64),
    /// Signed 64-bit number.
    I64(i64),
    /// 64-bit floating-point number.
    F64(f64),
}

impl GgufValue {
    /// The same number in the type of `other`, where it fits.
    #[expect(clippy::cast_possible_truncation, reason = "llama.cpp narrows a number for a key of 32 bits, too")]
    pub(crate) fn in_type_of(self, other: &Self) -> Self {
        match (&self, other) {
            (Self::I64(n), Self::U32(_)) => u32::try_from(*n).map_or(self, Self::U32),
            (Self::I64(n), Self::I32(_)) => i32::try_from(*n).map_or(self, Self::I32),
            (Self::I64(n), Self::U16(_)) => u16::try_from(*n).map_or(self, Self::U16),
            (Self::I64(n), Self::U64(_)) => u64::try_from(*n).map_or(self, Self::U64),
            (Self::F64(n), Self::F32(_)) => Self::F32(*n as f32),
            _ => self,
        }
    }

    /// The value if it is a whole number of any width that is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U64(n) => Some(n),
            ref other => other.as_i64().and_then(|n| u64::try_from(n).ok()),
        }
    }

    /// The value if it is a whole number of any width that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::U8(n) => Some(n.into()),
            Self::I8(n) => Some(n.into()),
            Self::U16(n) => Some(n.into()),
            Self::I16(n) => Some(n.into()),
            Self::U32(n) => Some(n.into()),
            Self::I32(n) => Some(n.into()),
            Self::U64(n) => i64::try_from(n).ok(),
            Self::I64(n) => Some(n),
            Self::F32(_) | Self::F64(_) | Self::Bool(_) | Self::String(_) | Self::Array(_) => None,
        }
    }

    /// The value if it is a number; whole numbers beyond 2⁵³ are rounded.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(x) => Some(x.into()),
            Self::F64(x) => Some(x),
            Self::U64(n) => Some(n as f64),
            ref other => other.as_i64().map(|n| n as f64),
        }
    }

    /// The value if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value if it is a truth value.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The value if it is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&GgufArray> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// Copies the value into JSON, arrays in full. Numbers that JSON lacks (infinite, not a number) become `null`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::U8(n) => (*n).into(),
            Self::I8(n) => (*n).into(),
            Self::U16(n) => (*n).into(),
            Self::I16(n) => (*n).into(),
            Self::U32(n) => (*n).into(),
            Self::I32(n) => (*n).into(),
            Self::F32(x) => float(f64::from(*x)),
            Self::Bool(value) => (*value).into(),
            Self::String(text) => text.as_str().into(),
            Self::Array(array) => (0..array.len()).filter_map(|i| array.get(i)).map(|value| value.to_json()).collect(),
            Self::U64(n) => (*n).into(),
            Self::I64(n) => (*n).into(),
            Self::F64(x) => float(*x),
        }
    }
}

impl fmt::Display for GgufValue {
    /// Writes the value, of an array the first four elements and the length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U8(n) => n.fmt(f),
            Self::I8(n) => n.fmt(f),
            Self::U16(n) => n.fmt(f),
            Self::I16(n) => n.fmt(f),
            Self::U32(n) => n.fmt(f),
            Self::I32(n) => n.fmt(f),
            Self::F32(x) => x.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::String(text) => f.write_str(text),
            Self::Array(array) => array.fmt(f),
            Self::U64(n) => n.fmt(f),
            Self::I64(n) => n.fmt(f),
            Self::F64(x) => x.fmt(f),
        }
    }
}

/// Array of a metadata entry, stored as compactly as in the file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum GgufArray {
    /// Unsigned 8-bit numbers.
    U8(Vec<u8>),
    /// Signed 8-bit numbers.
    I8(Vec<i8>),
    /// Unsigned 16-bit numbers.
    U16(Vec<u16>),
    /// Signed 16-bit numbers.
    I16(Vec<i16>),
    /// Unsigned 32-bit numbers.
    U32(Vec<u32>),
    /// Signed 32-bit numbers.
    I32(Vec<i32>),
    /// 32-bit floating-point numbers.
    F32(Vec<f32>),
    /// Truth values.
    Bool(Vec<bool>),
    /// Texts.
    String(GgufStrings),
    /// Unsigned 64-bit numbers.
    U64(Vec<u64>),
    /// Signed 64-bit numbers.
    I64(Vec<i64>),
    /// 64-bit floating-point numbers.
    F64(Vec<f64>),
}

/// Evaluates an expression for the list in whichever variant of [`GgufArray`] it is.
macro_rules! each {
    ($array:expr, $list:ident => $body:expr) => {
        match $array {
            GgufArray::U8($list) => $body,
            GgufArray::I8($list) => $body,
            GgufArray::U16($list) => $body,
            GgufArray::I16($list) => $body,
            GgufArray::U32($list) => $body,
            GgufArray::I32($list) => $body,
            GgufArray::F32($list) => $body,
            GgufArray::Bool($list) => $body,
            GgufArray::String($list) => $body,
            GgufArray::U64($list) => $body,
            GgufArray::I64($list) => $body,
            GgufArray::F64($list) => $body,
        }
    };
}

impl GgufArray {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        each!(self, list => list.len())
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies out one element.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<GgufValue> {
        match self {
            Self::U8(list) => list.get(index).copied().map(GgufValue::U8),
            Self::I8(list) => list.get(index).copied().map(GgufValue::I8),
            Self::U16(list) => list.get(index).copied().map(GgufValue::U16),
            Self::I16(list) => list.get(index).copied().map(GgufValue::I16),
            Self::U32(list) => list.get(index).copied().map(GgufValue::U32),
            Self::I32(list) => list.get(index).copied().map(GgufValue::I32),
            Self::F32(list) => list.get(index).copied().map(GgufValue::F32),
            Self::Bool(list) => list.get(index).copied().map(GgufValue::Bool),
            Self::String(list) => list.get(index).map(|text| GgufValue::String(text.into_owned())),
            Self::U64(list) => list.get(index).copied().map(GgufValue::U64),
            Self::I64(list) => list.get(index).copied().map(GgufValue::I64),
            Self::F64(list) => list.get(index).copied().map(GgufValue::F64),
        }
    }

    /// The texts if it is an array of them.
    #[must_use]
    pub fn as_strings(&self) -> Option<&GgufStrings> {
        match self {
            Self::String(list) => Some(list),
            _ => None,
        }
    }
}

impl fmt::Display for GgufArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, value) in (0..SHOWN.min(self.len())).filter_map(|i| self.get(i)).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            match value {
                GgufValue::String(text) => write!(f, "{comma}{text:?}")?,
                value => write!(f, "{comma}{value}")?,
            }
        }
        if self.len() > SHOWN { write!(f, ", … {} in all]", self.len()) } else { f.write_str("]") }
    }
}

/// Many texts in one buffer: a vocabulary has hundreds of thousands.
///
/// The bytes are kept as they are in the file, which is not always UTF-8.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct GgufStrings {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl GgufStrings {
    /// Takes the concatenated texts and, for each, the place where it ends; the places rise and end with the buffer.
    pub(super) fn new(bytes: Vec<u8>, ends: Vec<u32>) -> Self {
        debug_assert!(ends.is_sorted() && ends.last().map_or(0, |&end| end as usize) == bytes.len());
        Self { bytes, ends }
    }

    /// Number of texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no texts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// One text, with replacement characters where it is not UTF-8.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Cow<'_, str>> {
        self.bytes(index).map(String::from_utf8_lossy)
    }

    /// The bytes of one text.
    #[must_use]
    pub fn bytes(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |&end| end as usize);
        self.bytes.get(start..end)
    }

    /// All texts in order, with replacement characters where they are not UTF-8.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, str>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl fmt::Debug for GgufStrings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn float(x: f64) -> Value {
    Number::from_f64(x).map_or(Value::Null, Value::Number)
}

/// Elements of an array that are written out.
const SHOWN: usize = 4;
