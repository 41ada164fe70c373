//! `demo`: from a bare machine to answers of the embedded model.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::setup::{self, Mode, Purpose};
use crate::workspace;

pub(crate) fn run(sh: &Shell) -> Result<()> {
    setup::run(sh, Purpose::Demo, Mode::Install)?;
    let program = workspace::build_program(sh)?;
    for prompt in PROMPTS {
        answer(sh, &program, &[prompt])?;
    }
    answer(sh, &program, &["--tools", "xtask/demo/tools.json", "What is the weather in Paris?"])?;
    speed(sh, &program)
}

/// Runs `mullama run ARGS` with its answer on our stdout.
fn answer(sh: &Shell, program: &Path, args: &[&str]) -> Result<()> {
    let shown: Vec<String> =
        args.iter().map(|arg| if arg.contains(' ') { format!("{arg:?}") } else { arg.to_string() }).collect();
    println!("\n$ mullama run {}", shown.join(" "));
    cmd!(sh, "{program} run {args...}").quiet().run()?;
    Ok(())
}

fn speed(sh: &Shell, program: &Path) -> Result<()> {
    println!("\n$ mullama run --json \"{COUNT}\"");
    let text = cmd!(sh, "{program} run --json {COUNT}").quiet().read()?;
    let answer: Value = serde_json::from_str(&text).context("`mullama run --json` gave no JSON object")?;
    ensure!(answer["text"].as_str().is_some_and(|text| !text.trim().is_empty()), "the answer is empty: {text}");
    let rate = |field: &str| answer["timings"][field].as_f64().with_context(|| format!("no timings.{field}: {text}"));
    let (prompt, predicted) = (rate("prompt_per_second")?, rate("predicted_per_second")?);
    println!("prompt {prompt:.0} tokens/s, answer {predicted:.0} tokens/s");
    Ok(())
}

const COUNT: &str = "Count to 20.";
const PROMPTS: [&str; 4] = ["Who are you?", "What is 7 + 8?", COUNT, "Make JSON with name Anna and age 7."];
