//! `mullama probe`: what files of sound and pictures hold.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use mullama::convert::{AudioConverter, ConversionConfig, ImageConverter, ImageFormatType};
use serde_json::{Map, Value};

use crate::cli::convert::Probe;
use crate::error::{Error, Result};
use crate::terminal::{Output, Ui, human_bytes, one_line};

pub(crate) fn run(args: &Probe, ui: &Ui) -> Result<()> {
    let mut output = Output::lock();
    let mut failed: Vec<Error> = Vec::new();
    for (index, path) in args.files.iter().enumerate() {
        match probe(path) {
            Ok(found) if args.json => output.json(&found)?,
            Ok(found) => {
                if index > 0 {
                    output.text("\n")?;
                }
                table(&mut output, &found)?;
            }
            Err(error) => {
                if args.files.len() > 1 {
                    ui.say(&format!("failed: {}: {}", path.display(), error.chain()));
                }
                failed.push(error);
            }
        }
    }
    output.flush()?;
    let (count, of) = (failed.len(), args.files.len());
    match failed.into_iter().next() {
        None => Ok(()),
        Some(error) if of == 1 => Err(error),
        Some(error) => Err(Error::Files { failed: count, of, kind: error.kind() }),
    }
}

/// What a file holds, by its content.
fn probe(path: &Path) -> Result<Map<String, Value>> {
    let config = ConversionConfig::new();
    let info = if begins_like_a_picture(path) {
        let info = ImageConverter::new().probe_blocking(path, &config).map_err(Error::Convert)?;
        ("image", serde_json::to_value(info))
    } else {
        let info = AudioConverter::new().probe_blocking(path, &config).map_err(Error::Convert)?;
        ("audio", serde_json::to_value(info))
    };
    let (media, Ok(Value::Object(info))) = info else {
        return Err(Error::usage(format!("`{}` holds numbers that are no JSON", path.display()), ""));
    };
    let mut found = Map::new();
    found.insert("file".to_owned(), path.display().to_string().into());
    found.insert("media".to_owned(), media.into());
    found.extend(info);
    Ok(found)
}

/// What cannot be read is told when it is probed.
fn begins_like_a_picture(path: &Path) -> bool {
    // Opening a pipe would wait for its writer.
    if !path.is_file() {
        return false;
    }
    let mut first = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut first));
    read.is_ok() && ImageFormatType::from_content(&first).is_some()
}

fn table(output: &mut Output, found: &Map<String, Value>) -> Result<()> {
    let rows: Vec<_> = found
        .iter()
        .map(|(key, value)| {
            let text = match value {
                Value::Null => "-".to_owned(),
                Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
                Value::Number(bytes) if key.ends_with("bytes") => {
                    let count = bytes.as_u64().unwrap_or(0);
                    if count == 0 { "-".to_owned() } else { format!("{} ({count} bytes)", human_bytes(count)) }
                }
                Value::String(text) => one_line(text, WIDTH),
                other => one_line(&other.to_string(), WIDTH),
            };
            vec![key.replace('_', " "), text]
        })
        .collect();
    output.table(&["", ""], &[], &rows)
}

const WIDTH: usize = 100;
