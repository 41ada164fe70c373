//! `mullama config`: shows, checks and makes the configuration.

use std::fs::File;
use std::io::Write as _;

use mullama::config::{Entry, Loaded, Loader, schema, template};

use super::serve::look;
use crate::cli::config::{Check, Config, Init, Show, What};
use crate::error::{Error, Result};
use crate::terminal::{Output, Ui};

pub(crate) fn run(args: &Config, ui: &Ui) -> Result<()> {
    match &args.what {
        What::Show(args) => show(args, ui),
        What::Check(args) => check(args, ui),
        What::Schema => ui.print(&format!("{:#}\n", schema())),
        What::Init(args) => init(args, ui),
    }
}

/// Says what should be looked at.
pub(crate) fn warn(loaded: &Loaded, ui: &Ui) {
    loaded.warnings().iter().for_each(|warning| ui.notice(&format!("warning: {warning}")));
}

fn show(args: &Show, ui: &Ui) -> Result<()> {
    let mut loader = Loader::standard();
    if let Some(file) = &args.config {
        loader = loader.file(file);
    }
    let loaded = loader.load()?;
    warn(&loaded, ui);
    let mut output = Output::lock();
    if args.json {
        output.json(loaded.config())?;
    } else {
        output.text(&document(&loaded.entries(), args.origin))?;
    }
    output.flush()
}

fn check(args: &Check, ui: &Ui) -> Result<()> {
    let loaded = Loader::new().file(&args.file).load()?;
    warn(&loaded, ui);
    look::at_start(&loaded)?;
    ui.print(&format!("{}: nothing is wrong\n", args.file.display()))
}

fn init(args: &Init, ui: &Ui) -> Result<()> {
    let Some(path) = &args.file else { return ui.print(&template()) };
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        let problem = format!("`{}` would be read as JSON, which has no comments", path.display());
        return Err(Error::usage(problem, "give a name that ends in .toml"));
    }
    let failed = |source| mullama_core::Error::File { action: "write", path: path.clone(), source };
    let mut file = File::create_new(path).map_err(failed)?;
    file.write_all(template().as_bytes()).map_err(failed)?;
    ui.notice(&format!("wrote {}", path.display()));
    Ok(())
}

/// TOML that can be read again, but for secrets. Fields that are unset are comments.
fn document(entries: &[Entry], origin: bool) -> String {
    // A table is written once, with all its own fields.
    let mut tables: Vec<(&str, String)> = Vec::new();
    for entry in entries {
        let (table, name) = entry.path.rsplit_once('.').unwrap_or(("", &entry.path));
        let mut line = match &entry.value {
            Some(value) => format!("{name} = {value}"),
            None => format!("# {name} is unset"),
        };
        if origin {
            let gap = COLUMN.saturating_sub(line.chars().count()).max(2);
            line.push_str(&format!("{:gap$}# {}; {}", "", entry.origin, entry.apply));
        }
        line.push('\n');
        match tables.iter_mut().find(|(known, _)| *known == table) {
            Some((_, lines)) => lines.push_str(&line),
            None => tables.push((table, line)),
        }
    }
    let tables = tables.iter().map(|(table, lines)| {
        let head = match table.split_once('[') {
            Some((list, _)) => format!("[[{list}]]"),
            None => format!("[{table}]"),
        };
        format!("{head}\n{lines}")
    });
    tables.collect::<Vec<_>>().join("\n")
}

/// Where the remarks begin.
const COLUMN: usize = 48;
