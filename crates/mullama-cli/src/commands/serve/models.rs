//! Which models are served, under which names, and how.

use std::sync::Arc;

use mullama::{LocalBackend, ModelSource as AsyncSource};
use mullama_core::{EngineParams, KvLayout, ModelParams};

use crate::cli::serve::Serve;
use crate::error::{Error, Result};
use crate::load::ModelSource;

/// A model with its names, the first of which is what the server calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) source: ModelSource,
    pub(super) names: Vec<String>,
    pub(super) does: Does,
}

/// What a model is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    Text,
    Vectors,
    Ranking,
}

impl Served {
    pub(super) fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }
}

/// The models of the command line. Their headers are read, so that a wrong path is told before anything starts.
pub(super) fn chosen(args: &Serve) -> Result<Vec<Served>> {
    let mut sources: Vec<ModelSource> = args.paths().map(|path| ModelSource::File(path.clone())).collect();
    if sources.is_empty() {
        sources.push(ModelSource::Embedded);
    }
    let mut served: Vec<Served> = Vec::with_capacity(sources.len());
    for source in sources {
        let does = purpose(&source)?;
        let named = served.is_empty() && !args.alias.is_empty();
        let names = if named { aliases(args)? } else { vec![stem(&source)] };
        let known = served.iter().flat_map(|other| &other.names);
        if let Some(twice) = known.into_iter().find(|known| names.contains(known)) {
            let problem = format!("two models would be called `{twice}`");
            return Err(Error::usage(
                problem,
                "--alias gives the first model another name; others are called as their files",
            ));
        }
        served.push(Served { source, names, does });
    }
    // Where no other model has it, the first one's own name stays beside those of --alias.
    let taken = |name: &String| served.iter().any(|model| model.names.contains(name));
    if let Some(own) = served.first().map(|first| stem(&first.source)).filter(|own| !taken(own)) {
        served[0].names.push(own);
    }
    check_purposes(args, &served)?;
    Ok(served)
}

/// Whoever computes. Nothing is loaded.
pub(super) fn backend(args: &Serve, served: &[Served]) -> Result<Arc<LocalBackend>> {
    let params = engine_params(args)?;
    let mut load = args.with.model()?;
    if args.engine.lora_init_without_apply {
        load.lora.iter_mut().for_each(|adapter| adapter.scale = 0.0);
    }
    let mut builder = LocalBackend::builder().keep_alive(args.engine.keep_alive);
    if let Some(bytes) = args.engine.max_memory {
        builder = builder.max_memory_bytes(bytes);
    }
    let mut template = load.chat_template.take();
    for model in served {
        // The first model's, as the names of --alias.
        let load = ModelParams { chat_template: template.take(), ..load.clone() };
        let source = match &model.source {
            ModelSource::Embedded => AsyncSource::bytes(crate::load::embedded()?),
            ModelSource::File(path) => AsyncSource::path(path),
        };
        builder = builder.model(model.name(), source.params(load), params.clone());
        for alias in model.names.iter().skip(1) {
            builder = builder.alias(model.name(), alias);
        }
    }
    Ok(Arc::new(builder.build()?))
}

/// How requests of one model share its engine.
fn engine_params(args: &Serve) -> Result<EngineParams> {
    let default = EngineParams::default();
    let mut params = EngineParams {
        sequences: args.engine.parallel.unwrap_or(default.sequences),
        queue: args.engine.queue.unwrap_or(default.queue),
        kv_layout: args.engine.kv_layout.unwrap_or(default.kv_layout),
        inter_token_target_ms: args.engine.inter_token_target.unwrap_or(default.inter_token_target_ms),
        host_cache_bytes: args.engine.cache_ram.map_or(default.host_cache_bytes, |mib| mib << 20),
        context: args.with.context.params(),
        ..default
    };
    let asked = params.context.length;
    if params.kv_layout == KvLayout::Unified {
        // As with llama.cpp: each request may have all of it, and all together have no more.
        params.kv_capacity = asked;
    } else if args.engine.parallel.is_some() && asked > 0 {
        params.context.length = asked / params.sequences;
        if params.context.length == 0 {
            let problem = format!("--ctx-size is {asked}, but must be at least --parallel, {}", params.sequences);
            return Err(Error::usage(problem, "with --parallel it is what all requests have together"));
        }
    }
    params.validate()?;
    Ok(params)
}

/// The names of `--alias`.
fn aliases(args: &Serve) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for alias in args.alias.iter().map(|alias| alias.trim()).filter(|alias| !alias.is_empty()) {
        if !names.iter().any(|name| name == alias) {
            names.push(alias.to_owned());
        }
    }
    if names.is_empty() {
        return Err(Error::usage("--alias is empty, but must have a name", "leave it out for the file's name"));
    }
    Ok(names)
}

/// What a model is called without a flag: its file, without folder and `.gguf`.
fn stem(source: &ModelSource) -> String {
    match source {
        ModelSource::Embedded => source.name(),
        ModelSource::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// What the header says that a model is made for.
fn purpose(source: &ModelSource) -> Result<Does> {
    let header = source.header()?;
    let architecture = header.architecture().unwrap_or_default();
    if architecture == "clip" {
        return Err(source.no_language_model());
    }
    let pooling = header.get(&format!("{architecture}.pooling_type")).and_then(mullama_core::gguf::GgufValue::as_u64);
    Ok(match pooling {
        None | Some(0) => Does::Text,
        Some(4) => Does::Ranking,
        Some(_) => Does::Vectors,
    })
}

/// A flag that asks for what no model does is no silent wish.
fn check_purposes(args: &Serve, served: &[Served]) -> Result<()> {
    let one = |what: fn(Does) -> bool| served.iter().any(|model| what(model.does));
    if args.engine.reranking && !one(|does| does == Does::Ranking) {
        let hint = "give a .gguf file made for ranking, or leave --reranking out";
        return Err(Error::usage("--reranking is given, but no model ranks", hint));
    }
    if args.engine.embeddings && !one(|does| does != Does::Ranking) {
        let hint = "give a .gguf file made for embeddings, or leave --embeddings out";
        return Err(Error::usage("--embeddings is given, but no model makes vectors", hint));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(flags: &[&str]) -> Serve {
        match Cli::try_parse_from(["mullama", "serve"].iter().chain(flags)).unwrap().command {
            Command::Serve(serve) => *serve,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_context_is_divided_among_parallel_requests() {
        let length = |flags: &[&str]| {
            let params = engine_params(&args(flags)).unwrap();
            (params.context.length, params.sequences, params.kv_capacity)
        };
        assert_eq!(length(&[]), (0, 4, 0));
        assert_eq!(length(&["-c", "4096"]), (4_096, 4, 0));
        assert_eq!(length(&["-c", "4096", "--parallel", "2"]), (2_048, 2, 0));
        assert_eq!(length(&["--parallel", "2"]), (0, 2, 0));
        assert_eq!(length(&["-c", "4096", "--parallel", "2", "--kv-layout", "unified"]), (4_096, 2, 4_096));
        assert!(engine_params(&args(&["-c", "3", "--parallel", "4"])).is_err());
        assert!(engine_params(&args(&["--queue", "0"])).is_err());
    }

    #[cfg(feature = "demo-models")]
    #[test]
    fn a_template_is_read_when_the_server_starts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("template.jinja");
        let flags = ["--chat-template-file", file.to_str().unwrap()];
        let build = || backend(&args(&flags), &chosen(&args(&flags)).unwrap()).map(drop);
        assert!(build().unwrap_err().to_string().contains("template.jinja"));
        std::fs::write(&file, "  ").unwrap();
        assert!(build().unwrap_err().to_string().contains("--chat-template-file is"));
        std::fs::write(&file, "{{ messages[0].content }}").unwrap();
        build().unwrap();
    }

    #[cfg(feature = "demo-models")]
    #[test]
    fn the_first_alias_is_the_name() {
        let names = |flags: &[&str]| chosen(&args(flags)).unwrap()[0].names.clone();
        assert_eq!(names(&[]), ["mullama-tiny"]);
        assert_eq!(names(&["-a", "gpt-4o, small,,small"]), ["gpt-4o", "small", "mullama-tiny"]);
        assert_eq!(names(&["-a", "x,mullama-tiny"]), ["x", "mullama-tiny"]);
        assert!(chosen(&args(&["--reranking"])).is_err());
        assert_eq!(chosen(&args(&["--embeddings"])).unwrap()[0].does, Does::Text);
    }

    #[cfg(feature = "demo-models")]
    #[test]
    fn two_models_have_two_names() {
        let folder = tempfile::tempdir().unwrap();
        let places = ["a", "b"].map(|name| folder.path().join(name).join("m.gguf"));
        for place in &places {
            std::fs::create_dir(place.parent().unwrap()).unwrap();
            std::fs::write(place, mullama_demo_models::CHAT).unwrap();
        }
        let [one, two] = places.each_ref().map(|place| place.to_str().unwrap());
        let error = chosen(&args(&[one, two])).unwrap_err();
        assert_eq!(error.to_string(), "two models would be called `m`");
        let named: Vec<_> =
            chosen(&args(&["-a", "x", one, two])).unwrap().into_iter().map(|model| model.names).collect();
        assert_eq!(named, [["x"], ["m"]]);
        assert!(chosen(&args(&["-a", "x,m", one, two])).is_err());
        assert!(chosen(&args(&["-a", ",", one])).is_err());
    }
}
