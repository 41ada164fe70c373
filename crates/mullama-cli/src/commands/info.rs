//! `mullama info`: what a GGUF file holds.

use mullama_core::gguf::{Gguf, GgufTensor, GgufValue};
use serde_json::{Map, Value, json};

use crate::cli::Info;
use crate::error::{Error, Result};
use crate::load::ModelSource;
use crate::terminal::{Output, Ui, human_bytes, one_line};

pub(crate) fn run(args: &Info, ui: &Ui) -> Result<()> {
    let source = ModelSource::from_argument(args.model.as_ref());
    source.announce(ui);
    let files = files(&source)?;
    let Some(header) = files.first() else { return Ok(()) };
    let fault = if args.check { check(&source, header) } else { None };

    let mut output = Output::lock();
    if args.json {
        let mut object = summary(&source, &files);
        let metadata: Map<_, _> = header.metadata().map(|(key, value)| (key.to_owned(), value.to_json())).collect();
        object.insert("metadata".to_owned(), metadata.into());
        object.insert("tensors".to_owned(), tensors(&files).map(tensor_json).collect());
        if args.check {
            let found = fault.as_ref().map_or_else(|| "ok".to_owned(), Error::chain);
            object.insert("check".to_owned(), found.into());
        }
        output.json(&object)?;
    } else {
        print(&mut output, &source, &files)?;
        if args.tensors {
            output.text("\n")?;
            let rows: Vec<_> = tensors(&files).map(tensor_row).collect();
            output.table(&["tensor", "type", "shape", "bytes"], &[3], &rows)?;
        }
        if args.check && fault.is_none() {
            output.line("\ncheck: ok")?;
        }
    }
    output.flush()?;
    fault.map_or(Ok(()), Err)
}

/// The headers of all parts of the model. Of a split model whose parts are not all there, the first alone.
fn files(source: &ModelSource) -> Result<Vec<Gguf>> {
    let header = source.header()?;
    let mut files = vec![header];
    if let ModelSource::File(path) = source
        && let Ok(paths) = files[0].split_paths(path)
    {
        for path in paths.into_iter().skip(1) {
            files.push(ModelSource::File(path).header()?);
        }
    }
    Ok(files)
}

fn check(source: &ModelSource, header: &Gguf) -> Option<Error> {
    let found = match source {
        ModelSource::Embedded => header.check(),
        ModelSource::File(path) => Gguf::open_checked(path).map(drop),
    };
    found.err().map(|fault| source.fault(fault).into())
}

fn print(output: &mut Output, source: &ModelSource, files: &[Gguf]) -> Result<()> {
    let rows: Vec<_> = summary(source, files)
        .into_iter()
        .map(|(key, value)| {
            let text = match (&value, key.as_str()) {
                (Value::Null, _) => "-".to_owned(),
                (Value::Bool(yes), _) => if *yes { "yes" } else { "no" }.to_owned(),
                (Value::Number(bytes), "size") => {
                    format!("{} ({bytes} bytes)", human_bytes(bytes.as_u64().unwrap_or(0)))
                }
                (Value::String(text), _) => one_line(text, WIDTH),
                (other, _) => one_line(&other.to_string(), WIDTH),
            };
            vec![key.replace('_', " "), text]
        })
        .collect();
    output.table(&["", ""], &[], &rows)?;
    output.text("\n")?;
    let Some(header) = files.first() else { return Ok(()) };
    let rows: Vec<_> = header
        .metadata()
        .map(|(key, value)| vec![one_line(key, WIDTH), kind(value), one_line(&value.to_string(), WIDTH)])
        .collect();
    output.table(&["metadata", "type", "value"], &[], &rows)
}

/// What one wants to know first.
fn summary(source: &ModelSource, files: &[Gguf]) -> Map<String, Value> {
    let mut object = Map::new();
    let Some(header) = files.first() else { return object };
    let architecture = header.architecture().unwrap_or_default();
    let of = |key: &str| header.get(&format!("{architecture}.{key}")).map_or(Value::Null, GgufValue::to_json);
    let vocabulary = header.get("tokenizer.ggml.tokens").and_then(GgufValue::as_array).map(|tokens| tokens.len());
    let parameters = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.parameter_count()));
    let size = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.file_size()));
    let mut put = |key: &str, value| object.insert(key.to_owned(), value);
    put("model", source.name().into());
    put("architecture", json!(header.architecture()));
    put("name", json!(header.get("general.name").and_then(GgufValue::as_str)));
    put("parameters", parameters.into());
    put("size", size.into());
    put("files", files.len().into());
    put("file_type", json!(file_type(header)));
    put("context_length", of("context_length"));
    put("embedding_length", of("embedding_length"));
    put("layers", of("block_count"));
    put("heads", of("attention.head_count"));
    put("heads_kv", of("attention.head_count_kv"));
    put("vocabulary_size", vocabulary.map_or_else(|| of("vocab_size"), Value::from));
    put("chat_template", header.get("tokenizer.chat_template").is_some().into());
    put("gguf_version", header.version().into());
    object
}

fn tensors(files: &[Gguf]) -> impl Iterator<Item = &GgufTensor> {
    files.iter().flat_map(Gguf::tensors)
}

fn tensor_row(tensor: &GgufTensor) -> Vec<String> {
    let shape: Vec<_> = tensor.dimensions.iter().map(u64::to_string).collect();
    vec![one_line(&tensor.name, WIDTH), tensor.kind.name().to_owned(), shape.join(" x "), tensor.bytes.to_string()]
}

fn tensor_json(tensor: &GgufTensor) -> Value {
    json!({
        "name": tensor.name,
        "type": tensor.kind.name(),
        "shape": tensor.dimensions,
        "offset": tensor.offset,
        "bytes": tensor.bytes,
    })
}

/// GGUF's name of a value's type.
fn kind(value: &GgufValue) -> String {
    let name = match value {
        GgufValue::U8(_) => "u8",
        GgufValue::I8(_) => "i8",
        GgufValue::U16(_) => "u16",
        GgufValue::I16(_) => "i16",
        GgufValue::U32(_) => "u32",
        GgufValue::I32(_) => "i32",
        GgufValue::F32(_) => "f32",
        GgufValue::Bool(_) => "bool",
        GgufValue::String(_) => "string",
        GgufValue::U64(_) => "u64",
        GgufValue::I64(_) => "i64",
        GgufValue::F64(_) => "f64",
        GgufValue::Array(array) => {
            return format!("{}[{}]", array.get(0).map_or_else(String::new, |v| kind(&v)), array.len());
        }
        _ => "?",
    };
    name.to_owned()
}

/// llama.cpp's name of the number in `general.file_type`; where it is not there, of the type that takes most bytes.
fn file_type(header: &Gguf) -> Option<String> {
    if let Some(number) = header.get("general.file_type").and_then(GgufValue::as_u64) {
        let known = FILE_TYPES.iter().find(|(known, _)| *known == number);
        return Some(known.map_or_else(|| format!("unknown ({number})"), |(_, name)| (*name).to_owned()));
    }
    let largest = header.tensors().iter().max_by_key(|tensor| tensor.bytes)?;
    Some(format!("mostly {}", largest.kind.name()))
}

/// `llama_ftype` in llama.h.
const FILE_TYPES: &[(u64, &str)] = &[
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (19, "IQ2_XXS"),
    (20, "IQ2_XS"),
    (21, "Q2_K_S"),
    (22, "IQ3_XS"),
    (23, "IQ3_XXS"),
    (24, "IQ1_S"),
    (25, "IQ4_NL"),
    (26, "IQ3_S"),
    (27, "IQ3_M"),
    (28, "IQ2_S"),
    (29, "IQ2_M"),
    (30, "IQ4_XS"),
    (31, "IQ1_M"),
    (32, "BF16"),
    (36, "TQ1_0"),
    (37, "TQ2_0"),
    (38, "MXFP4_MOE"),
    (39, "NVFP4"),
    (40, "Q1_0"),
    (41, "Q2_0"),
];

const WIDTH: usize = 60;
