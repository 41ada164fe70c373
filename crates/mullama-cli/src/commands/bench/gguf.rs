//! Writes GGUF files: the header here, the tensors' data by who has it.

use mullama_core::gguf::{GgufArray, GgufValue};

/// What stands before the tensors' data.
#[derive(Debug, Default)]
pub(super) struct Header {
    metadata: Vec<u8>,
    metadata_count: u64,
    tensors: Vec<u8>,
    tensor_count: u64,
    /// Where the next tensor's data begins.
    offset: u64,
}

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    /// Blocks of 32: a scale in 16 bits, and 8 bits for each number.
    Q8,
}

impl Kind {
    /// ggml's number of the type.
    fn id(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::Q8 => 8,
        }
    }

    /// Bytes of so many numbers.
    pub(super) fn bytes(self, numbers: u64) -> u64 {
        match self {
            Self::F32 => numbers * 4,
            Self::Q8 => numbers / BLOCK as u64 * (BLOCK as u64 + 2),
        }
    }
}

impl Header {
    /// Adds a metadata entry. False: a value of a type that is not known here.
    #[must_use]
    pub(super) fn put(&mut self, key: &str, value: &GgufValue) -> bool {
        let mut bytes = Vec::new();
        push_text(&mut bytes, key.as_bytes());
        if push_value(&mut bytes, value).is_none() {
            return false;
        }
        self.metadata.extend(bytes);
        self.metadata_count += 1;
        true
    }

    /// Adds a tensor; `shape` has the contiguous dimension first. Its data follows that of the last, padded.
    pub(super) fn tensor(&mut self, name: &str, shape: &[u64], kind: Kind) {
        push_text(&mut self.tensors, name.as_bytes());
        self.tensors.extend(u32::try_from(shape.len()).unwrap_or(u32::MAX).to_le_bytes());
        shape.iter().for_each(|length| self.tensors.extend(length.to_le_bytes()));
        self.tensors.extend(kind.id().to_le_bytes());
        self.tensors.extend(self.offset.to_le_bytes());
        self.tensor_count += 1;
        self.offset = (self.offset + kind.bytes(shape.iter().product())).next_multiple_of(ALIGNMENT);
    }

    /// The header's bytes; data may follow at once.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(self.tensor_count.to_le_bytes());
        bytes.extend(self.metadata_count.to_le_bytes());
        bytes.extend(&self.metadata);
        bytes.extend(&self.tensors);
        while !(bytes.len() as u64).is_multiple_of(ALIGNMENT) {
            bytes.push(0);
        }
        bytes
    }

    /// Bytes of all data, the last padding included.
    pub(super) fn data_bytes(&self) -> u64 {
        self.offset
    }
}

/// Appends one block of Q8_0.
pub(super) fn push_block(bytes: &mut Vec<u8>, numbers: &[f32; BLOCK]) {
    let largest = numbers.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let scale = largest / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    bytes.extend(half(scale).to_le_bytes());
    #[expect(clippy::cast_possible_truncation, reason = "-127..=127")]
    bytes.extend(numbers.iter().map(|x| ((x * inverse).round() as i8).cast_unsigned()));
}

/// A number that is not negative in 16 bits, rounded to the nearest.
fn half(x: f32) -> u16 {
    if x >= 65_520.0 {
        return 0x7c00;
    }
    // Below the normal numbers the step is 2^-24; from 2^e on it is 2^(e-10).
    let exponent = if x < 6.103_515_6e-5 { -14 } else { (x.to_bits() >> 23).cast_signed() - 127 };
    let steps = (f64::from(x) * 2_f64.powi(10 - exponent)).round_ties_even();
    let base = if x < 6.103_515_6e-5 { 0.0 } else { f64::from(exponent + 14) * 1_024.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0..=0x7c00")]
    let bits = (base + steps) as u16;
    bits
}

fn push_text(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text);
}

fn push_value(bytes: &mut Vec<u8>, value: &GgufValue) -> Option<()> {
    let mut put = |kind: u32, value: &[u8]| {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(value);
    };
    match value {
        GgufValue::U8(n) => put(0, &n.to_le_bytes()),
        GgufValue::I8(n) => put(1, &n.to_le_bytes()),
        GgufValue::U16(n) => put(2, &n.to_le_bytes()),
        GgufValue::I16(n) => put(3, &n.to_le_bytes()),
        GgufValue::U32(n) => put(4, &n.to_le_bytes()),
        GgufValue::I32(n) => put(5, &n.to_le_bytes()),
        GgufValue::F32(x) => put(6, &x.to_le_bytes()),
        GgufValue::Bool(yes) => put(7, &[u8::from(*yes)]),
        GgufValue::String(text) => {
            put(8, &[]);
            push_text(bytes, text.as_bytes());
        }
        GgufValue::Array(array) => {
            put(9, &[]);
            push_array(bytes, array)?;
        }
        GgufValue::U64(n) => put(10, &n.to_le_bytes()),
        GgufValue::I64(n) => put(11, &n.to_le_bytes()),
        GgufValue::F64(x) => put(12, &x.to_le_bytes()),
        _ => return None,
    }
    Some(())
}

/// The arrays that tokenizers have.
fn push_array(bytes: &mut Vec<u8>, array: &GgufArray) -> Option<()> {
    let mut begin = |kind: u32| {
        bytes.extend(kind.to_le_bytes());
        bytes.extend((array.len() as u64).to_le_bytes());
    };
    match array {
        GgufArray::U8(list) => {
            begin(0);
            bytes.extend(list);
        }
        GgufArray::U32(list) => {
            begin(4);
            list.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
        }
        GgufArray::I32(list) => {
            begin(5);
            list.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
        }
        GgufArray::F32(list) => {
            begin(6);
            list.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
        }
        GgufArray::String(list) => {
            begin(8);
            (0..list.len()).filter_map(|index| list.bytes(index)).for_each(|text| push_text(bytes, text));
        }
        _ => return None,
    }
    Some(())
}

/// Numbers of a block of Q8_0.
pub(super) const BLOCK: usize = 32;
/// GGUF's own, where a file names no other.
pub(super) const ALIGNMENT: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_those_of_ieee_754() {
        let cases = [
            (0.0, 0),
            (1.0, 0x3c00),
            (0.5, 0x3800),
            (1.0 / 3.0, 0x3555),
            (65_504.0, 0x7bff),
            (1e6, 0x7c00),
            (6.103_515_6e-5, 0x0400),
            (5.960_464_5e-8, 1),
            (4.3e-4, 0x0f0c),
            // Half way between two: the even one. And up to the next power of two.
            (1.0 + 1.0 / 2_048.0, 0x3c00),
            (1.999_9, 0x4000),
        ];
        for (x, bits) in cases {
            assert_eq!(half(x), bits, "{x}");
        }
    }

    #[test]
    fn a_block_gives_its_numbers_back() {
        let numbers = std::array::from_fn(|index| (index as f32 - 10.0) / 7.0);
        let mut bytes = Vec::new();
        push_block(&mut bytes, &numbers);
        assert_eq!(bytes.len() as u64, Kind::Q8.bytes(32));
        // 3 / 127, to 11 bits.
        let scale = 3.0 / 127.0;
        for (x, byte) in numbers.iter().zip(&bytes[2..]) {
            assert!((x - f32::from(byte.cast_signed()) * scale).abs() <= scale / 2.0 + 1e-6);
        }
        let mut nothing = Vec::new();
        push_block(&mut nothing, &[0.0; BLOCK]);
        assert_eq!(nothing, [0; 34]);
    }
}
