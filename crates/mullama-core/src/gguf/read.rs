//! Reads a header, checking every count against the bytes that are left before anything is allocated.

use std::io::{self, Read};

use super::{
    Gguf,
    error::{GgufError, MetadataProblem, TensorProblem},
    tensor::GgufTensor,
    value::{GgufArray, GgufStrings, GgufValue},
};

/// Reads the header from the beginning of a source of `length` bytes.
pub(super) fn read(source: impl Read, length: u64) -> Result<Gguf, GgufError> {
    let mut header = Header { source, length, position: 0, hasher: blake3::Hasher::new() };
    let version = header.version()?;
    let tensor_count = header.count("number of tensors", MAX_TENSORS)?;
    let entry_count = header.count("number of metadata entries", MAX_ENTRIES)?;

    header.need("metadata", entry_count * MIN_ENTRY)?;
    let mut metadata = Vec::new();
    for _ in 0..entry_count {
        metadata.push(header.entry()?);
    }
    let index = index(&metadata, |(key, _)| key).map_err(|twice| duplicate_key(&metadata, twice))?;

    let mut gguf = Gguf {
        version,
        alignment: DEFAULT_ALIGNMENT,
        metadata,
        index,
        tensors: Vec::new(),
        data_offset: 0,
        file_size: length,
        fingerprint: [0; 32],
    };
    gguf.alignment = alignment(&gguf)?;

    header.need("list of tensors", tensor_count * MIN_TENSOR)?;
    for _ in 0..tensor_count {
        gguf.tensors.push(header.tensor()?);
    }
    if let Err(twice) = self::index(&gguf.tensors, |tensor| &tensor.name) {
        return Err(GgufError::Tensor { name: gguf.tensors[twice].name.clone(), problem: TensorProblem::Duplicate });
    }
    if tensor_count > 0 {
        header.pad(gguf.alignment)?;
    }
    gguf.data_offset = header.position;
    header.hasher.update(&length.to_le_bytes());
    gguf.fingerprint = *header.hasher.finalize().as_bytes();
    Ok(gguf)
}

/// A source that knows how much is left, and hashes what it gives out.
struct Header<R> {
    source: R,
    length: u64,
    position: u64,
    hasher: blake3::Hasher,
}

impl<R: Read> Header<R> {
    fn version(&mut self) -> Result<u32, GgufError> {
        let mut magic = [0; 4];
        if self.length < 4 {
            // Shorter than the magic: report what is there.
            let start = magic.split_at_mut(usize::try_from(self.length).unwrap_or(0)).0;
            self.source.read_exact(start)?;
            return Err(GgufError::NotGguf { magic });
        }
        self.fill(&mut magic)?;
        if magic != *b"GGUF" {
            return Err(GgufError::NotGguf { magic });
        }
        match u32::from_le_bytes(self.bytes("version")?) {
            found @ (2 | 3) => Ok(found),
            // Small numbers look like this when their bytes are swapped.
            found if found != 0 && found.trailing_zeros() >= 16 => Err(GgufError::BigEndian),
            found => Err(GgufError::Version { found }),
        }
    }

    fn entry(&mut self) -> Result<(String, GgufValue), GgufError> {
        let key = self.text("metadata key")?;
        let wrong = |key, problem| Err(GgufError::Metadata { key, problem });
        let key = match String::from_utf8(key) {
            Ok(key) if key.is_empty() => return wrong(key, MetadataProblem::EmptyKey),
            // llama.cpp looks keys up as C strings: a NUL would hide the rest from it but not from us.
            Ok(key) if key.contains('\0') => return wrong(key, MetadataProblem::InvalidKey),
            Ok(key) => key,
            Err(error) => return wrong(lossy(error.into_bytes()), MetadataProblem::InvalidKey),
        };
        let id = u32::from_le_bytes(self.bytes("metadata type")?);
        let value = if id == ARRAY { self.array(&key)? } else { self.scalar(&key, id)? };
        Ok((key, value))
    }

    fn scalar(&mut self, key: &str, id: u32) -> Result<GgufValue, GgufError> {
        const WHAT: &str = "metadata value";
        Ok(match id {
            0 => GgufValue::U8(u8::from_le_bytes(self.bytes(WHAT)?)),
            1 => GgufValue::I8(i8::from_le_bytes(self.bytes(WHAT)?)),
            2 => GgufValue::U16(u16::from_le_bytes(self.bytes(WHAT)?)),
            3 => GgufValue::I16(i16::from_le_bytes(self.bytes(WHAT)?)),
            4 => GgufValue::U32(u32::from_le_bytes(self.bytes(WHAT)?)),
            5 => GgufValue::I32(i32::from_le_bytes(self.bytes(WHAT)?)),
            6 => GgufValue::F32(f32::from_le_bytes(self.bytes(WHAT)?)),
            7 => GgufValue::Bool(u8::from_le_bytes(self.bytes(WHAT)?) != 0),
            8 => GgufValue::String(lossy(self.text(WHAT)?)),
            10 => GgufValue::U64(u64::from_le_bytes(self.bytes(WHAT)?)),
            11 => GgufValue::I64(i64::from_le_bytes(self.bytes(WHAT)?)),
            12 => GgufValue::F64(f64::from_le_bytes(self.bytes(WHAT)?)),
            id => {
                return Err(GgufError::Metadata { key: key.to_owned(), problem: MetadataProblem::UnknownType { id } });
            }
        })
    }

    fn array(&mut self, key: &str) -> Result<GgufValue, GgufError> {
        let id = u32::from_le_bytes(self.bytes("array type")?);
        let count = u64::from_le_bytes(self.bytes("array length")?);
        let array = match id {
            0 => GgufArray::U8(self.list(count, u8::from_le_bytes)?),
            1 => GgufArray::I8(self.list(count, i8::from_le_bytes)?),
            2 => GgufArray::U16(self.list(count, u16::from_le_bytes)?),
            3 => GgufArray::I16(self.list(count, i16::from_le_bytes)?),
            4 => GgufArray::U32(self.list(count, u32::from_le_bytes)?),
            5 => GgufArray::I32(self.list(count, i32::from_le_bytes)?),
            6 => GgufArray::F32(self.list(count, f32::from_le_bytes)?),
            7 => GgufArray::Bool(self.list(count, |[byte]: [u8; 1]| byte != 0)?),
            8 => GgufArray::String(self.strings(count)?),
            10 => GgufArray::U64(self.list(count, u64::from_le_bytes)?),
            11 => GgufArray::I64(self.list(count, i64::from_le_bytes)?),
            12 => GgufArray::F64(self.list(count, f64::from_le_bytes)?),
            id => {
                let problem =
                    if id == ARRAY { MetadataProblem::NestedArray } else { MetadataProblem::UnknownType { id } };
                return Err(GgufError::Metadata { key: key.to_owned(), problem });
            }
        };
        Ok(GgufValue::Array(array))
    }

    /// Numbers of `N` bytes each; allocates as much as the file holds of them.
    fn list<T, const N: usize>(&mut self, count: u64, convert: fn([u8; N]) -> T) -> Result<Vec<T>, GgufError> {
        let count = self.fit("array", count, N as u64)?;
        let mut list = Vec::with_capacity(count);
        let mut chunk = [0; 4_096];
        while list.len() < count {
            let take = (count - list.len()).min(chunk.len() / N);
            let (bytes, _) = chunk.split_at_mut(take * N);
            self.fill(bytes)?;
            list.extend(bytes.as_chunks::<N>().0.iter().map(|&bytes| convert(bytes)));
        }
        Ok(list)
    }

    /// Texts, each with its length before it: 4 bytes are kept for each where the file has 8.
    fn strings(&mut self, count: u64) -> Result<GgufStrings, GgufError> {
        let count = self.fit("array of strings", count, 8)?;
        let mut ends = Vec::with_capacity(count);
        let mut bytes = Vec::new();
        for _ in 0..count {
            let length = u64::from_le_bytes(self.bytes("string length")?);
            let length = self.fit("string", length, 1)?;
            let start = bytes.len();
            bytes.resize(start + length, 0);
            self.fill(&mut bytes[start..])?;
            // The header limit of 512 MiB, which `fit` keeps, is far below 2^32.
            ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        }
        bytes.shrink_to_fit();
        Ok(GgufStrings::new(bytes, ends))
    }

    fn tensor(&mut self) -> Result<GgufTensor, GgufError> {
        let length = u64::from_le_bytes(self.bytes("tensor name")?);
        if length > MAX_NAME {
            let problem = TensorProblem::LongName { bytes: length };
            return Err(GgufError::Tensor { name: format!("at byte {}", self.position), problem });
        }
        let name = self.raw("tensor name", length)?;
        // As with keys: C would see the name end at a NUL.
        let name = match String::from_utf8(name) {
            Ok(name) if !name.contains('\0') => name,
            Ok(name) => return Err(GgufError::Tensor { name, problem: TensorProblem::InvalidName }),
            Err(error) => {
                let name = lossy(error.into_bytes());
                return Err(GgufError::Tensor { name, problem: TensorProblem::InvalidName });
            }
        };
        let count = u32::from_le_bytes(self.bytes("tensor shape")?);
        if count > MAX_DIMENSIONS {
            return Err(GgufError::Tensor { name, problem: TensorProblem::Dimensions { count } });
        }
        let dimensions = self.list(u64::from(count), u64::from_le_bytes)?;
        let type_id = u32::from_le_bytes(self.bytes("tensor type")?);
        let offset = u64::from_le_bytes(self.bytes("tensor offset")?);
        GgufTensor::new(name, dimensions, type_id, offset)
    }

    /// Skips to the next multiple of `alignment`, where the tensor data begins.
    fn pad(&mut self, alignment: u32) -> Result<(), GgufError> {
        let padding = self.position.next_multiple_of(u64::from(alignment)) - self.position;
        self.need("padding before the tensor data", padding)?;
        let mut chunk = [0; 4_096];
        let mut left = usize::try_from(padding).unwrap_or(usize::MAX);
        while left > 0 {
            let take = left.min(chunk.len());
            self.fill(&mut chunk[..take])?;
            left -= take;
        }
        Ok(())
    }

    fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, GgufError> {
        let value = u64::from_le_bytes(self.bytes(what)?);
        if value <= limit { Ok(value) } else { Err(GgufError::TooLarge { what, value, limit }) }
    }

    /// A length-prefixed text.
    fn text(&mut self, what: &'static str) -> Result<Vec<u8>, GgufError> {
        let length = u64::from_le_bytes(self.bytes(what)?);
        self.raw(what, length)
    }

    fn raw(&mut self, what: &'static str, length: u64) -> Result<Vec<u8>, GgufError> {
        let mut bytes = vec![0; self.fit(what, length, 1)?];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn bytes<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], GgufError> {
        self.need(what, N as u64)?;
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// `count` as a `usize` if that many pieces of `size` bytes are left.
    fn fit(&self, what: &'static str, count: u64, size: u64) -> Result<usize, GgufError> {
        self.need(what, count.saturating_mul(size))?;
        usize::try_from(count).map_err(|_| GgufError::TooLarge { what, value: count, limit: MAX_HEADER })
    }

    /// Fails unless `need` more bytes are within the file and within the limit for headers.
    fn need(&self, what: &'static str, need: u64) -> Result<(), GgufError> {
        let have = self.length.saturating_sub(self.position);
        if need > have {
            return Err(GgufError::Truncated { what, offset: self.position, need, have });
        }
        if need > MAX_HEADER.saturating_sub(self.position) {
            return Err(GgufError::TooLarge {
                what: "size of the header",
                value: self.position + need,
                limit: MAX_HEADER,
            });
        }
        Ok(())
    }

    /// Reads; the caller has asked [`need`](Self::need) before.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.source.read_exact(bytes)?;
        self.hasher.update(bytes);
        self.position += bytes.len() as u64;
        Ok(())
    }
}

/// Numbers of the items in the order of their names; the number of an item whose name was there before as an error.
fn index<T>(items: &[T], name: impl Fn(&T) -> &String) -> Result<Vec<u32>, usize> {
    let mut order: Vec<u32> = (0..).take(items.len()).collect();
    order.sort_by_key(|&i| name(&items[i as usize]));
    match order.windows(2).find(|pair| name(&items[pair[0] as usize]) == name(&items[pair[1] as usize])) {
        Some(pair) => Err(pair[1] as usize),
        None => Ok(order),
    }
}

fn duplicate_key(metadata: &[(String, GgufValue)], twice: usize) -> GgufError {
    GgufError::Metadata { key: metadata[twice].0.clone(), problem: MetadataProblem::Duplicate }
}

fn alignment(gguf: &Gguf) -> Result<u32, GgufError> {
    match gguf.get("general.alignment") {
        Some(&GgufValue::U32(found)) if found.is_power_of_two() => Ok(found),
        Some(&GgufValue::U32(found)) => Err(GgufError::Alignment { found }),
        // llama.cpp refuses any other type.
        Some(_) => Err(GgufError::Alignment { found: 0 }),
        None => Ok(DEFAULT_ALIGNMENT),
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Type number of arrays.
const ARRAY: u32 = 9;
/// `GGUF_DEFAULT_ALIGNMENT`.
const DEFAULT_ALIGNMENT: u32 = 32;
/// `GGML_MAX_DIMS`.
const MAX_DIMENSIONS: u32 = 4;
/// `GGML_MAX_NAME` less the NUL.
const MAX_NAME: u64 = 63;
/// Ours: a vocabulary of a million tokens with merges is below 64 MiB.
const MAX_HEADER: u64 = 512 << 20;
/// Ours: the largest models have a few thousand tensors.
const MAX_TENSORS: u64 = 65_536;
/// Ours: models have below a hundred entries.
const MAX_ENTRIES: u64 = 65_536;
/// Bytes of the smallest entry: length, one byte of key, type, one byte of value.
const MIN_ENTRY: u64 = 8 + 1 + 4 + 1;
/// Bytes of the smallest tensor: length of the name, number of dimensions, type, offset.
const MIN_TENSOR: u64 = 8 + 4 + 4 + 8;
