//! Errors of the inference crate in the words of the command line.

use std::borrow::Cow;
use std::io;
use std::num::NonZero;
use std::thread;

use mullama::WebError;
use mullama_core::Error as Core;
use mullama_core::gguf::GgufError;

/// The message.
pub(super) fn text(error: &Core) -> String {
    match error {
        Core::InvalidParameter { name: "allow_requantize", value, .. } => {
            let found = value.strip_prefix("false, and ").unwrap_or("the input is quantized already");
            format!("{found}; to quantize it again loses more than from F16")
        }
        Core::InvalidParameter { name, value, expected } => {
            format!("{} is {}, but must be {}", flag(name), given(name, value), range(name, expected))
        }
        // The program loads no other model from memory.
        Core::LoadModel { path, reason } if path.as_os_str() == "<memory>" => {
            format!("llama.cpp cannot load the embedded model: {reason}")
        }
        Core::NoChatTemplate => "the model has no chat template".to_owned(),
        // Where it was given is plain: there is one flag for tokens in each command.
        Core::UnknownToken { id, n_vocab, .. } => {
            format!("token {id} does not exist: the vocabulary has {n_vocab} tokens")
        }
        other => other.to_string(),
    }
}

/// What the user can do about it.
pub(super) fn hint(error: &Core) -> Option<&'static str> {
    Some(match error {
        Core::File { source, action: "open", .. } if source.kind() == io::ErrorKind::NotFound => {
            "check the path; models and their adapters are .gguf files"
        }
        Core::File { source, .. } if source.kind() == io::ErrorKind::NotFound => "check the path",
        Core::File { source, .. } if source.kind() == io::ErrorKind::IsADirectory => "give a file, not a folder",
        Core::InvalidModel { source: GgufError::NotGguf { .. }, .. } => {
            "mullama reads GGUF files; llama.cpp's convert_hf_to_gguf.py makes them"
        }
        Core::LoadModel { reason, .. } if reason.contains("device") => "`mullama devices` lists the devices",
        Core::InvalidParameter { name: "devices", .. } => "`mullama devices` lists the devices",
        Core::LoadModel { .. } => "-v shows llama.cpp's log",
        Core::PromptTooLong { .. } => "--ctx-size makes the context larger",
        Core::NoChatTemplate => "`mullama run --raw` sends a text as it is",
        Core::InvalidParameter { name: "max_tokens", .. } => "leave --max-tokens out for no limit",
        Core::InvalidParameter { name: "allow_requantize", .. } => "--allow-requantize does so all the same",
        Core::Unsupported { what: "ranking with this model", .. } => "`mullama embed` makes vectors with other models",
        Core::Unsupported { what: "generation with this model", .. } => "`mullama embed` makes vectors with it",
        Core::Unsupported { what: "embedding with this model", reason } if reason.contains("ranks") => {
            "`mullama rerank` ranks texts with it"
        }
        _ => return None,
    })
}

/// The message of an error of the server.
pub(super) fn web_text(error: &WebError) -> String {
    match error {
        WebError::InvalidConfig { name, value, expected } => {
            let value = if name.ends_with("_ms") { format!("{value} ms") } else { value.clone() };
            format!("{} is {value}, but must be {expected}", flag(name))
        }
        other => other.to_string(),
    }
}

/// What the user can do about an error of the server.
pub(super) fn web_hint(error: &WebError) -> Option<&'static str> {
    Some(match error {
        WebError::Bind { source, .. } => match source.kind() {
            io::ErrorKind::AddrInUse => "another program listens there; --port takes another one, 0 any that is free",
            io::ErrorKind::PermissionDenied => "ports below 1024 need more rights; --port takes another one",
            io::ErrorKind::AddrNotAvailable => "--host must be an address of this machine",
            _ => return None,
        },
        WebError::Exposed { .. } => {
            "MULLAMA_API_KEY or --api-key-file sets keys; --allow-unauthenticated does without them"
        }
        _ => return None,
    })
}

/// What a parameter of the inference crate is called on the command line.
fn flag(parameter: &str) -> Cow<'static, str> {
    Cow::Borrowed(match parameter {
        "length" => "--ctx-size",
        "batch" => "--batch-size",
        "micro_batch" => "--ubatch-size",
        "flash_attention" => "--flash-attn",
        "kv_type_k" => "--cache-type-k",
        "kv_type_v" => "--cache-type-v",
        "kv_overrides" => "--kv-override",
        "chat_template" => "--chat-template-file",
        "offload_kv" => "--no-kv-offload",
        "timeout_ms" => "--timeout",
        "sequences" => "--parallel",
        "inter_token_target_ms" => "--inter-token-target",
        "host_cache_bytes" => "--cache-ram",
        "kv_capacity" => "--ctx-size",
        "api_keys" => "--api-key",
        "body_timeout_ms" | "write_timeout_ms" => "--timeout",
        "request_timeout_ms" => "--request-timeout",
        "shutdown_grace_ms" => "--shutdown-grace",
        "shutdown_timeout_ms" => "--shutdown-timeout",
        "tls_certificate" => "--ssl-cert-file",
        "tls_key" => "--ssl-key-file",
        "file_type" => "TYPE",
        "output" => "OUTPUT",
        "path" => "the path",
        "messages" => "the conversation",
        other => return Cow::Owned(format!("--{}", other.replace('_', "-"))),
    })
}

/// A value as the flag takes it.
fn given<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    match name {
        "kv_type_k" | "kv_type_v" => value.to_lowercase().into(),
        "timeout_ms" => format!("{value} ms").into(),
        _ => value.into(),
    }
}

/// What is accepted.
fn range(name: &str, expected: &'static str) -> Cow<'static, str> {
    match name {
        "threads" | "threads_batch" if expected.contains("cores") => {
            let cores = thread::available_parallelism().map_or(1, NonZero::get);
            let limit = cores.saturating_mul(4).min(MAX_THREADS);
            format!("0 (automatic) to {limit}; this machine has {cores} cores").into()
        }
        "max_tokens" => "at least 1".into(),
        "micro_batch" => "1 up to --batch-size tokens".into(),
        _ => expected.into(),
    }
}

/// `GGML_MAX_N_THREADS`.
const MAX_THREADS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn invalid(name: &'static str, value: &str, expected: &'static str) -> String {
        text(&Core::InvalidParameter { name, value: value.to_owned(), expected })
    }

    #[test]
    fn every_parameter_has_a_flag_that_there_is() {
        let cli = crate::cli::Cli::command();
        let flags: Vec<_> = cli.get_subcommands().flat_map(clap::Command::get_arguments).collect();
        let params = serde_json::json!([
            mullama_core::ContextParams::default(),
            mullama_core::ModelParams::default(),
            mullama_core::GenerationParams::default(),
            mullama_core::SamplingParams::default(),
        ]);
        let fields = params.as_array().unwrap().iter().flat_map(|one| one.as_object().unwrap().keys());
        let elsewhere = ["mmap", "vocab_only", "cache_prompt", "sampling"];
        for name in fields.filter(|name| !elsewhere.contains(&name.as_str())) {
            let flag = flag(name);
            let exists = flags.iter().any(|arg| arg.get_long() == flag.strip_prefix("--"));
            assert!(exists, "{name}: {flag}");
        }
    }

    #[test]
    fn the_messages_speak_of_flags_and_commands() {
        assert_eq!(invalid("batch", "0", "1..=65,536 tokens"), "--batch-size is 0, but must be 1..=65,536 tokens");
        assert_eq!(
            invalid("micro_batch", "0", "1..=`batch` tokens"),
            "--ubatch-size is 0, but must be 1 up to --batch-size tokens"
        );
        assert!(!invalid("allow_requantize", "false, and the input is Q8_0 already", "true").contains("false"));
    }
}
