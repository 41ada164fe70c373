//! A model with random weights: real speed, meaningless text.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use mullama_core::gguf::{Gguf, GgufValue};

use super::gguf::{ALIGNMENT, BLOCK, Header, Kind, push_block};
use super::random::Random;
use crate::error::Result;
use crate::input;
use crate::interrupt::Work;
use crate::load::ModelSource;
use crate::terminal::Ui;

/// A llama model's sizes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    width: u32,
    layers: u32,
    heads: u32,
    kv_heads: u32,
    feed_forward: u32,
    length: u32,
}

/// About 78 million parameters with the embedded model's vocabulary.
pub(super) const FULL: Shape =
    Shape { width: 768, layers: 12, heads: 12, kv_heads: 4, feed_forward: 2_048, length: 8_192 };
/// As small as a file can be that has all parts.
pub(super) const TINY: Shape = Shape { width: 64, layers: 2, heads: 4, kv_heads: 2, feed_forward: 96, length: 512 };

/// The model in the user's cache, or at `path`; made if it is not there.
pub(super) fn provide(path: Option<&PathBuf>, ui: &Ui) -> Result<PathBuf> {
    let vocabulary = ModelSource::Embedded.header()?;
    let path = path.cloned().unwrap_or_else(|| {
        let print = vocabulary.fingerprint();
        let folder = input::cache_folder().unwrap_or_else(std::env::temp_dir);
        folder.join(format!("mullama-bench-{:02x}{:02x}{:02x}{:02x}-1.gguf", print[0], print[1], print[2], print[3]))
    });
    let plan = Plan::new(FULL, &vocabulary)?;
    let there = Gguf::open(&path).is_ok_and(|file| file.file_size() == plan.file_size());
    if !there {
        plan.write(&path, ui)?;
    }
    Ok(path)
}

/// Writes the model.
pub(super) fn make(shape: Shape, path: &Path, ui: &Ui) -> Result<()> {
    Plan::new(shape, &ModelSource::Embedded.header()?)?.write(path, ui)
}

/// What is to be written.
struct Plan {
    header: Header,
    tensors: Vec<Tensor>,
}

struct Tensor {
    columns: u32,
    rows: u32,
    content: Content,
}

enum Content {
    Ones,
    /// Normal numbers, so that what goes through them keeps its size.
    Random,
    /// The same, but zero in the rows that are not wanted.
    RandomRows(Vec<bool>),
}

impl Plan {
    fn new(shape: Shape, vocabulary: &Gguf) -> Result<Self> {
        let mut plan = Self { header: Header::default(), tensors: Vec::new() };
        let plain = plain_tokens(vocabulary);
        let size = u32::try_from(plain.len()).unwrap_or(u32::MAX);
        for (key, value) in shape.metadata(size) {
            plan.put(key, &value)?;
        }
        let tokenizer = vocabulary.metadata().filter(|(key, _)| key.starts_with("tokenizer."));
        for (key, value) in tokenizer.filter(|(key, _)| !key.contains("chat_template")) {
            plan.put(key, value)?;
        }
        plan.put("tokenizer.chat_template", &GgufValue::String(TEMPLATE.to_owned()))?;

        let Shape { width, feed_forward, .. } = shape;
        let kv = width / shape.heads * shape.kv_heads;
        plan.tensor("token_embd.weight", width, size, Content::Random);
        plan.tensor("output_norm.weight", width, 1, Content::Ones);
        plan.tensor("output.weight", width, size, Content::RandomRows(plain));
        for layer in 0..shape.layers {
            let mut tensor = |name: &str, columns, rows, content| {
                plan.tensor(&format!("blk.{layer}.{name}.weight"), columns, rows, content);
            };
            tensor("attn_norm", width, 1, Content::Ones);
            tensor("ffn_norm", width, 1, Content::Ones);
            tensor("attn_q", width, width, Content::Random);
            tensor("attn_k", width, kv, Content::Random);
            tensor("attn_v", width, kv, Content::Random);
            tensor("attn_output", width, width, Content::Random);
            tensor("ffn_gate", width, feed_forward, Content::Random);
            tensor("ffn_up", width, feed_forward, Content::Random);
            tensor("ffn_down", feed_forward, width, Content::Random);
        }
        Ok(plan)
    }

    fn put(&mut self, key: &str, value: &GgufValue) -> Result<()> {
        if self.header.put(key, value) {
            return Ok(());
        }
        let what = format!("the metadata entry {key} has a type that is not known here");
        Err(mullama_core::Error::Internal { what }.into())
    }

    /// One row: a vector and no matrix.
    fn tensor(&mut self, name: &str, columns: u32, rows: u32, content: Content) {
        let shape = [u64::from(columns), u64::from(rows)];
        match content {
            Content::Ones => self.header.tensor(name, &shape[..1], Kind::F32),
            Content::Random | Content::RandomRows(_) => self.header.tensor(name, &shape, Kind::Q8),
        }
        self.tensors.push(Tensor { columns, rows, content });
    }

    fn file_size(&self) -> u64 {
        self.header.bytes().len() as u64 + self.header.data_bytes()
    }

    /// Writes it under another name first, so that there never is half a model under its own.
    fn write(&self, path: &Path, ui: &Ui) -> Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(name);
        ui.notice(&format!("writing a model with random weights to {}", path.display()));
        if let Some(folder) = path.parent() {
            // What is wrong with it is told when the file is made.
            let _ = std::fs::create_dir_all(folder);
        }
        let written = ui.interrupt.during(Work::Writing(part.clone()), || {
            let written = self.write_to(&part, ui).and_then(|()| std::fs::rename(&part, path));
            if written.is_err() {
                let _ = std::fs::remove_file(&part);
            }
            written
        });
        Ok(written.map_err(|source| mullama_core::Error::File { action: "write", path: path.to_owned(), source })?)
    }

    fn write_to(&self, path: &Path, ui: &Ui) -> io::Result<()> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        file.write_all(&self.header.bytes())?;
        let mut random = Random::new(&[SEED]);
        let mut bar = ui.bar("writing the model");
        let mut done = 0;
        for tensor in &self.tensors {
            let length = tensor.write(&mut file, &mut random)?;
            let padding = length.next_multiple_of(ALIGNMENT) - length;
            io::copy(&mut io::Read::take(io::repeat(0), padding), &mut file)?;
            done += length + padding;
            bar.set(done, self.header.data_bytes());
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

impl Tensor {
    fn write(&self, file: &mut impl Write, random: &mut Random) -> io::Result<u64> {
        let mut bytes = Vec::new();
        if matches!(self.content, Content::Ones) {
            (0..self.columns).for_each(|_| bytes.extend(1.0_f32.to_le_bytes()));
            file.write_all(&bytes)?;
            return Ok(bytes.len() as u64);
        }
        let deviation = 0.6 / (self.columns as f32).sqrt();
        let mut length = 0;
        for row in 0..self.rows {
            bytes.clear();
            let wanted = match &self.content {
                Content::RandomRows(wanted) => wanted.get(row as usize).copied().unwrap_or(true),
                Content::Ones | Content::Random => true,
            };
            for _ in 0..self.columns as usize / BLOCK {
                let mut block = [0.0; BLOCK];
                if wanted {
                    for pair in block.chunks_exact_mut(2) {
                        let (one, two) = random.normal();
                        (pair[0], pair[1]) = (one * deviation, two * deviation);
                    }
                }
                push_block(&mut bytes, &block);
            }
            file.write_all(&bytes)?;
            length += bytes.len() as u64;
        }
        Ok(length)
    }
}

impl Shape {
    fn metadata(self, vocabulary: u32) -> Vec<(&'static str, GgufValue)> {
        let text = |text: &str| GgufValue::String(text.to_owned());
        vec![
            ("general.architecture", text("llama")),
            ("general.name", GgufValue::String(format!("random-{}-{}", self.width, self.layers))),
            // Mostly Q8_0.
            ("general.file_type", GgufValue::U32(7)),
            ("general.quantization_version", GgufValue::U32(2)),
            ("llama.vocab_size", GgufValue::U32(vocabulary)),
            ("llama.context_length", GgufValue::U32(self.length)),
            ("llama.embedding_length", GgufValue::U32(self.width)),
            ("llama.block_count", GgufValue::U32(self.layers)),
            ("llama.feed_forward_length", GgufValue::U32(self.feed_forward)),
            ("llama.attention.head_count", GgufValue::U32(self.heads)),
            ("llama.attention.head_count_kv", GgufValue::U32(self.kv_heads)),
            ("llama.attention.layer_norm_rms_epsilon", GgufValue::F32(1e-5)),
            ("llama.rope.dimension_count", GgufValue::U32(self.width / self.heads)),
        ]
    }
}

/// Which tokens are whole ASCII characters. Only these have weights in the output, so that every token is text at once:
/// no half characters, no control tokens, no end.
fn plain_tokens(vocabulary: &Gguf) -> Vec<bool> {
    let array = |key: &str| vocabulary.get(key).and_then(GgufValue::as_array);
    let Some(tokens) = array("tokenizer.ggml.tokens").and_then(|array| array.as_strings()) else { return Vec::new() };
    let kinds = array("tokenizer.ggml.token_type");
    let normal = |index| {
        let kind = kinds.and_then(|kinds| kinds.get(index)).and_then(|kind| kind.as_i64());
        kind.is_none_or(|kind| kind == NORMAL)
    };
    // The two ways to write a space.
    let character = |c: char| c.is_ascii_graphic() || c == '\u{2581}' || c == '\u{120}';
    tokens.iter().enumerate().map(|(index, text)| normal(index) && text.chars().all(character)).collect()
}

const SEED: u64 = 1;
/// `LLAMA_TOKEN_TYPE_NORMAL`.
const NORMAL: i64 = 1;
/// Turns, and nothing else.
const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
