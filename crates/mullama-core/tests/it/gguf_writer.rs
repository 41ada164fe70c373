//! Writes and changes small GGUF files: models and adapters that are not to be had.

use std::path::{Path, PathBuf};

/// A metadata value.
pub(crate) enum Meta<'a> {
    U32(u32),
    F32(f32),
    Str(&'a str),
}

/// A tensor of `f32` numbers.
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dimensions: Vec<u64>,
    pub(crate) numbers: Vec<f32>,
}

/// Writes a whole file.
pub(crate) fn write(path: &Path, metadata: &[(&str, Meta<'_>)], tensors: &[Tensor]) {
    write_with(path, (&[], 0), metadata, tensors);
}

/// Writes another model with the vocabulary of one that is there.
pub(crate) fn write_with_vocabulary(from: &Path, to: &Path, metadata: &[(&str, Meta<'_>)], tensors: &[Tensor]) {
    let bytes = std::fs::read(from).unwrap();
    let mut reader = Reader { bytes: &bytes, at: 8 };
    let (_, key_count) = (reader.u64(), reader.u64());
    let (mut keys, mut count) = (Vec::new(), 0);
    for _ in 0..key_count {
        let start = reader.at;
        let key = reader.text();
        let kind = reader.u32();
        reader.skip_value(kind);
        if key.starts_with("tokenizer.") {
            keys.extend_from_slice(&bytes[start..reader.at]);
            count += 1;
        }
    }
    write_with(to, (&keys, count), metadata, tensors);
}

fn write_with(path: &Path, (keys, count): (&[u8], usize), metadata: &[(&str, Meta<'_>)], tensors: &[Tensor]) {
    let mut file = header(tensors.len(), metadata.len() + count);
    file.extend_from_slice(keys);
    for (key, value) in metadata {
        push_text(&mut file, key);
        match value {
            Meta::U32(number) => push_all(&mut file, &[&4_u32.to_le_bytes(), &number.to_le_bytes()]),
            Meta::F32(number) => push_all(&mut file, &[&6_u32.to_le_bytes(), &number.to_le_bytes()]),
            Meta::Str(text) => {
                file.extend_from_slice(&8_u32.to_le_bytes());
                push_text(&mut file, text);
            }
        }
    }
    let (infos, data) = lay_out(tensors, 0);
    finish(path, file, &infos, &data);
}

/// A change to a file.
pub(crate) enum Edit<'a> {
    /// Gives a key that is there this value.
    SetU32(&'a str, u32),
    /// Adds a key.
    AddU32(&'a str, u32),
    /// Adds a tensor: name, dimensions, numbers.
    AddTensor(&'a str, Vec<u64>, Vec<f32>),
}

/// Copies a GGUF file with changes.
pub(crate) fn edit(from: &Path, to: &Path, edits: &[Edit<'_>]) {
    let bytes = std::fs::read(from).unwrap();
    let mut reader = Reader { bytes: &bytes, at: 8 };
    let (tensor_count, key_count) = (reader.u64(), reader.u64());
    let keys_start = reader.at;
    let mut changed = bytes.clone();
    for _ in 0..key_count {
        let key = reader.text();
        let kind = reader.u32();
        for edit in edits {
            if let Edit::SetU32(name, value) = edit
                && *name == key
            {
                assert_eq!(kind, 4, "{key} is no u32");
                changed[reader.at..reader.at + 4].copy_from_slice(&value.to_le_bytes());
            }
        }
        reader.skip_value(kind);
    }
    let keys_end = reader.at;
    for _ in 0..tensor_count {
        reader.text();
        let dimensions = reader.u32();
        reader.at += dimensions as usize * 8 + 4 + 8;
    }
    let infos_end = reader.at;
    let data = bytes[infos_end.next_multiple_of(32)..].to_vec();

    let mut added = Vec::new();
    for edit in edits {
        if let Edit::AddTensor(name, dimensions, numbers) = edit {
            added.push(Tensor { name: (*name).to_owned(), dimensions: dimensions.clone(), numbers: numbers.clone() });
        }
    }
    let mut keys = changed[keys_start..keys_end].to_vec();
    let mut count = usize::try_from(key_count).unwrap();
    for edit in edits {
        if let Edit::AddU32(key, value) = edit {
            push_text(&mut keys, key);
            push_all(&mut keys, &[&4_u32.to_le_bytes(), &value.to_le_bytes()]);
            count += 1;
        }
    }
    let mut file = header(usize::try_from(tensor_count).unwrap() + added.len(), count);
    file.extend(keys);
    let start = data.len().next_multiple_of(32);
    let (infos, more) = lay_out(&added, start);
    let mut all_infos = bytes[keys_end..infos_end].to_vec();
    all_infos.extend(infos);
    let mut all_data = data;
    all_data.resize(start, 0);
    all_data.extend(more);
    finish(to, file, &all_infos, &all_data);
}

/// Cuts a model into two files named as llama.cpp names them; returns the first.
pub(crate) fn split(from: &Path, folder: &Path) -> PathBuf {
    let bytes = std::fs::read(from).unwrap();
    let mut reader = Reader { bytes: &bytes, at: 8 };
    let (tensor_count, key_count) = (reader.u64(), reader.u64());
    let keys_start = reader.at;
    for _ in 0..key_count {
        reader.text();
        let kind = reader.u32();
        reader.skip_value(kind);
    }
    let keys = bytes[keys_start..reader.at].to_vec();
    // Name, dimensions and type as they stand; offset apart.
    let mut infos = Vec::new();
    for _ in 0..tensor_count {
        let start = reader.at;
        reader.text();
        let dimensions = reader.u32();
        reader.at += dimensions as usize * 8 + 4;
        let info = bytes[start..reader.at].to_vec();
        infos.push((info, usize::try_from(reader.u64()).unwrap()));
    }
    let data = &bytes[reader.at.next_multiple_of(32)..];
    let half = infos.len() / 2;
    let paths = [1, 2].map(|number| folder.join(format!("model-{number:05}-of-00002.gguf")));
    for (number, path) in paths.iter().enumerate() {
        let range = if number == 0 { 0..half } else { half..infos.len() };
        let (base, end) = (infos[range.start].1, infos.get(range.end).map_or(data.len(), |next| next.1));
        let mut of_this = Vec::new();
        if number == 0 {
            of_this.extend_from_slice(&keys);
        }
        for (key, value) in [("split.no", number), ("split.count", 2)] {
            push_text(&mut of_this, key);
            push_all(&mut of_this, &[&2_u32.to_le_bytes(), &u16::try_from(value).unwrap().to_le_bytes()]);
        }
        push_text(&mut of_this, "split.tensors.count");
        push_all(&mut of_this, &[&5_u32.to_le_bytes(), &i32::try_from(infos.len()).unwrap().to_le_bytes()]);
        let count = 3 + if number == 0 { usize::try_from(key_count).unwrap() } else { 0 };
        let mut file = header(range.len(), count);
        file.extend(of_this);
        let mut table = Vec::new();
        for (info, offset) in &infos[range] {
            push_all(&mut table, &[info, &((offset - base) as u64).to_le_bytes()]);
        }
        finish(path, file, &table, &data[base..end]);
    }
    paths[0].clone()
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.bytes[self.at..self.at + N].try_into().unwrap();
        self.at += N;
        taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn text(&mut self) -> String {
        let length = usize::try_from(self.u64()).unwrap();
        let text = String::from_utf8_lossy(&self.bytes[self.at..self.at + length]).into_owned();
        self.at += length;
        text
    }

    fn skip_value(&mut self, kind: u32) {
        match kind {
            0 | 1 | 7 => self.at += 1,
            2 | 3 => self.at += 2,
            4..=6 => self.at += 4,
            10..=12 => self.at += 8,
            8 => drop(self.text()),
            9 => {
                let inner = self.u32();
                for _ in 0..self.u64() {
                    self.skip_value(inner);
                }
            }
            other => panic!("no GGUF type {other}"),
        }
    }
}

fn header(tensors: usize, keys: usize) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    push_all(&mut file, &[&3_u32.to_le_bytes(), &(tensors as u64).to_le_bytes(), &(keys as u64).to_le_bytes()]);
    file
}

/// Tensor table and data, the data beginning at `start`.
fn lay_out(tensors: &[Tensor], start: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut infos, mut data) = (Vec::new(), Vec::new());
    for tensor in tensors {
        push_text(&mut infos, &tensor.name);
        infos.extend_from_slice(&u32::try_from(tensor.dimensions.len()).unwrap().to_le_bytes());
        tensor.dimensions.iter().for_each(|side| infos.extend_from_slice(&side.to_le_bytes()));
        let offset = (start + data.len()) as u64;
        push_all(&mut infos, &[&0_u32.to_le_bytes(), &offset.to_le_bytes()]);
        assert_eq!(tensor.dimensions.iter().product::<u64>(), tensor.numbers.len() as u64, "{}", tensor.name);
        tensor.numbers.iter().for_each(|number| data.extend_from_slice(&number.to_le_bytes()));
        data.resize(data.len().next_multiple_of(32), 0);
    }
    (infos, data)
}

fn finish(path: &Path, mut file: Vec<u8>, infos: &[u8], data: &[u8]) {
    file.extend_from_slice(infos);
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend_from_slice(data);
    std::fs::write(path, file).unwrap();
}

fn push_all(file: &mut Vec<u8>, pieces: &[&[u8]]) {
    pieces.iter().for_each(|piece| file.extend_from_slice(piece));
}

fn push_text(file: &mut Vec<u8>, text: &str) {
    push_all(file, &[&(text.len() as u64).to_le_bytes(), text.as_bytes()]);
}
