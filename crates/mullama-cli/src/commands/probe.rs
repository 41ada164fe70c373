//! `mullama probe`: what files of sound and pictures hold.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use mullama::convert::{AudioConverter, ConversionConfig, ImageConverter, ImageFormatType};
use serde_json::{Map, Value};

use crate::cli::convert::Probe;
use crate::error::{Error, Result};
use crate::settings;
use crate::terminal::{Output, Ui, human_bytes, one_line};

pub(crate) fn run(args: &Probe, ui: &Ui) -> Result<()> {
    let config = settings::conversion(&args.config)?;
    let mut output = Output::lock();
    let mut failed: Vec<Error> = Vec::new();
    for (index, path) in args.files.iter().enumerate() {
        match probe(path, &config, ui) {
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
fn probe(path: &Path, config: &ConversionConfig, ui: &Ui) -> Result<Map<String, Value>> {
    let mut found = Map::new();
    found.insert("file".to_owned(), path.display().to_string().into());
    let mut seconds = None;
    let (info, tags, pictures) = if begins_like_a_picture(path) {
        found.insert("media".to_owned(), "image".into());
        let (info, words) = ImageConverter::new().describe_blocking(path, config).map_err(Error::Convert)?;
        (serde_json::to_value(info), words, None)
    } else {
        found.insert("media".to_owned(), "audio".into());
        let converter = AudioConverter::new();
        let info = converter.probe_blocking(path, config).map_err(Error::Convert)?;
        let tags = converter.tags_blocking(path, config).map_err(Error::Convert)?;
        if let Some(problem) = tags.problem {
            ui.notice(&format!("note: {}: tags cannot be read: {problem}", path.display()));
        }
        seconds = Some(info.duration().as_secs_f64());
        (serde_json::to_value(info), tags.items, Some(tags.pictures))
    };
    let Ok(Value::Object(info)) = info else {
        return Err(Error::usage(format!("`{}` holds numbers that are no JSON", path.display()), ""));
    };
    found.extend(info);
    found.extend(seconds.map(|seconds| ("seconds".to_owned(), seconds.into())));
    found.insert("tags".to_owned(), serde_json::json!(tags));
    found.extend(pictures.map(|pictures| ("pictures".to_owned(), serde_json::json!(pictures))));
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
    let mut rows: Vec<_> = found
        .iter()
        .filter(|(key, _)| !matches!(&***key, "tags" | "pictures"))
        .map(|(key, value)| {
            let text = match value {
                Value::Null => "-".to_owned(),
                Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
                Value::Number(seconds) if key == "seconds" => format!("{:.3}", seconds.as_f64().unwrap_or(0.0)),
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
    let list = |key: &str| found.get(key).and_then(Value::as_array).into_iter().flatten();
    let text = |item: &Value, key: &str| item[key].as_str().map_or(String::new(), |text| one_line(text, WIDTH));
    // Set in, so that a tag that is called like a number above is told from it.
    rows.extend(list("tags").map(|tag| vec![format!("  {}", text(tag, "name").replace('_', " ")), text(tag, "value")]));
    rows.extend(list("pictures").map(|picture| {
        let size = human_bytes(picture["bytes"].as_u64().unwrap_or(0));
        vec![
            format!("  {}", text(picture, "kind").replace('_', " ")),
            format!("{}, {size}", text(picture, "media_type")),
        ]
    }));
    output.table(&["", ""], &[], &rows)
}

const WIDTH: usize = 100;
