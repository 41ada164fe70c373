//! llama.cpp's spellings of flags in those of this program: clap has no short flags of two letters.

use std::ffi::OsString;

/// The arguments of the process, where they are for `serve` with llama.cpp's spellings replaced.
pub(crate) fn spelled_out(arguments: Vec<OsString>) -> Vec<OsString> {
    let command = arguments.iter().skip(1).position(|argument| !argument.to_string_lossy().starts_with('-'));
    let Some(start) = command.map(|at| at + 2).filter(|at| arguments[at - 1] == "serve") else { return arguments };
    let mut spelled = arguments[..start].to_vec();
    let mut rest = arguments[start..].iter().cloned().peekable();
    while let Some(argument) = rest.next() {
        let Some(text) = argument.to_str() else {
            spelled.push(argument);
            continue;
        };
        if text == "--" {
            spelled.push(argument);
            spelled.extend(rest);
            break;
        }
        let (flag, given) = match text.split_once('=') {
            Some((flag, value)) if flag.starts_with('-') => (flag, Some(value.to_owned())),
            _ => (text, None),
        };
        if given.is_none() && ALWAYS.contains(&flag) {
            continue;
        }
        if TEXTS.contains(&flag) && given.is_none() {
            // What follows is a text, even where it looks like a flag.
            spelled.push(argument);
            spelled.extend(rest.next());
            continue;
        }
        let long = SPELLINGS.iter().find(|(theirs, _)| *theirs == flag).map_or(flag, |(_, ours)| ours);
        if let Some((name, value)) = long.split_once(' ') {
            spelled.extend([name.into(), value.into()]);
        } else if VALUES.contains(&long) {
            let value = given.or_else(|| rest.next_if(|next| next.to_str().is_some())?.into_string().ok());
            match value {
                Some(value) => spelled.extend(translated(long, &value)),
                None => spelled.push(long.into()),
            }
        } else {
            spelled.push(given.map_or_else(|| long.into(), |value| format!("{long}={value}").into()));
        }
    }
    spelled
}

/// A flag and its value in this program's words; empty where that is the default.
fn translated(flag: &str, value: &str) -> Vec<OsString> {
    let pair = |flag: &str, value: &str| vec![flag.into(), value.into()];
    let each = |flag: &str, value: &str, convert: &dyn Fn(&str) -> String| {
        value.split(',').flat_map(|one| pair(flag, &convert(one))).collect()
    };
    let negative = value.parse::<i64>().is_ok_and(|number| number < 0);
    match flag {
        "--gpu-layers" | "--n-gpu-layers" if value == "all" || value == "auto" => pair(flag, "-1"),
        "--samplers" => pair(flag, &value.replace(';', ",")),
        "--lora" => each(flag, value, &str::to_owned),
        "--lora-scaled" => each("--lora", value, &|one| match one.rsplit_once(':') {
            Some((path, scale)) => format!("{path}={scale}"),
            None => one.to_owned(),
        }),
        "--sleep-idle-seconds" if value == "-1" => Vec::new(),
        "--sleep-idle-seconds" => pair("--keep-alive", value),
        "-n" | "--predict" | "--n-predict" | "--parallel" if value == "-1" => Vec::new(),
        "-t" | "--threads" | "--threads-batch" if negative => Vec::new(),
        _ => pair(flag, value),
    }
}

/// llama.cpp's, and this program's; with a value where theirs has none.
const SPELLINGS: &[(&str, &str)] = &[
    ("-cram", "--cache-ram"),
    ("-ctk", "--cache-type-k"),
    ("-ctv", "--cache-type-v"),
    ("-dev", "--devices"),
    ("-fa", "--flash-attn"),
    ("-kvu", "--kv-layout unified"),
    ("--kv-unified", "--kv-layout unified"),
    ("-mg", "--main-gpu"),
    ("-ngl", "--gpu-layers"),
    ("-nkvo", "--no-kv-offload"),
    ("-no-kvu", "--kv-layout per_sequence"),
    ("--no-kv-unified", "--kv-layout per_sequence"),
    ("-nocb", "--no-cont-batching"),
    ("-np", "--parallel"),
    ("-sm", "--split-mode"),
    ("-tb", "--threads-batch"),
    ("-to", "--timeout"),
    ("-ts", "--tensor-split"),
    ("-ub", "--ubatch-size"),
];

/// Flags whose values may have to be translated.
const VALUES: &[&str] = &[
    "--gpu-layers",
    "--lora",
    "--lora-scaled",
    "--n-gpu-layers",
    "--n-predict",
    "--parallel",
    "--predict",
    "--samplers",
    "--sleep-idle-seconds",
    "--threads",
    "--threads-batch",
    "-n",
    "-t",
];

/// Flags whose value may be any text.
const TEXTS: &[&str] = &["--dry-sequence-breaker", "--dry-sequence-breakers", "--stop"];

/// Flags of llama.cpp's server for what this one always does.
const ALWAYS: &[&str] = &[
    "--cache-prompt",
    "--cont-batching",
    "--jinja",
    "--kv-offload",
    "--metrics",
    "--mmap",
    "--no-context-shift",
    "--no-ui",
    "--no-webui",
    "--offline",
    "--slots",
    "--warmup",
    "-cb",
    "-kvo",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &str, expected: &str) {
        let words = |text: &str| text.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(spelled_out(words(given)), words(expected), "{given}");
    }

    #[test]
    fn their_spellings_become_ours() {
        check("m serve -np 4 -ngl 99", "m serve --parallel 4 --gpu-layers 99");
        check("m -v serve -ngl=auto x.gguf", "m -v serve --gpu-layers -1 x.gguf");
        check("m serve -kvu -fa=on -nkvo", "m serve --kv-layout unified --flash-attn=on --no-kv-offload");
        check("m serve -t -1 -np -1 -n -1 --sleep-idle-seconds -1", "m serve");
        check("m serve --metrics -cb --jinja --port 1", "m serve --port 1");
        check("m serve --lora-scaled a:1,b:0.5", "m serve --lora a=1 --lora b=0.5");
    }

    #[test]
    fn the_rest_stays_as_it_is() {
        for same in [
            "m",
            "m run -np",
            "m run serve -np 1",
            "m serve",
            "m serve -np",
            "m serve --stop -np",
            "m serve -- -np 1",
            "m serve --api-key=-cb --metrics=1",
        ] {
            check(same, if same == "m serve -np" { "m serve --parallel" } else { same });
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_argument_may_be_no_text() {
        use std::os::unix::ffi::OsStringExt;
        let odd = OsString::from_vec(vec![0xff]);
        let given = vec!["m".into(), "serve".into(), "-n".into(), odd.clone()];
        assert_eq!(spelled_out(given.clone()), given);
    }

    #[test]
    fn each_flag_that_is_spelled_out_is_there() {
        use clap::CommandFactory;
        let cli = crate::cli::Cli::command();
        let serve = cli.find_subcommand("serve").unwrap();
        let known = |flag: &str| {
            let long = flag.strip_prefix("--");
            long.is_some() && serve.get_arguments().any(|arg| arg.get_long() == long)
        };
        for (_, ours) in SPELLINGS {
            let flag = ours.split(' ').next().unwrap_or(ours);
            assert!(known(flag), "{flag}");
        }
        for flag in ALWAYS {
            assert!(!known(flag), "{flag} would never arrive");
        }
    }
}
