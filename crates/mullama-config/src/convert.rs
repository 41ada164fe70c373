//! Into the parameters of the crates that do the work. Every field is named: one that is added there is missed here.

use mullama_core::{
    ContextParams, EngineParams, FlashAttention, GenerationParams, ModelParams, SamplingParams, Speculation,
};
use mullama_web::{ServerConfig, WebConfig};

use crate::config::MullamaConfig;
use crate::error::{Error, Result};
use crate::section::{ModelConfig, SpeculationKind};

impl ModelConfig {
    /// How it is loaded. Reads the chat template.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn params(&self) -> Result<ModelParams> {
        let read = |path: &std::path::PathBuf| match crate::file::read(path) {
            Ok(text) => Ok(text.to_string()),
            Err(source) => Err(Error::File { path: path.clone(), source }),
        };
        let chat_template = self.chat_template_file.as_ref().map(read).transpose()?;
        Ok(ModelParams { chat_template, ..self.plain_params() })
    }

    /// The same without the chat template: reads nothing.
    #[must_use]
    pub fn plain_params(&self) -> ModelParams {
        ModelParams {
            gpu_layers: self.gpu_layers,
            split_mode: self.split_mode,
            main_gpu: self.main_gpu,
            tensor_split: self.tensor_split.clone(),
            devices: self.devices.clone(),
            mmap: self.mmap,
            mlock: self.mlock,
            vocab_only: false,
            check_tensors: self.check_tensors,
            kv_overrides: self.kv_overrides.clone(),
            lora: self.lora.clone(),
            chat_template: None,
        }
    }

    /// What it is called: by its name, or as its file, without `.gguf`.
    #[must_use]
    pub fn label(&self) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        let stem = std::path::Path::new(&self.path).file_stem();
        stem.map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

impl MullamaConfig {
    /// The context of a model.
    #[must_use]
    pub fn context_params(&self, model: &ModelConfig) -> ContextParams {
        let context = &self.context;
        ContextParams {
            length: if context.n_ctx > 0 { context.n_ctx } else { model.context_size },
            batch: context.n_batch,
            micro_batch: context.n_ubatch,
            threads: context.n_threads,
            threads_batch: if context.n_threads_batch > 0 { context.n_threads_batch } else { context.n_threads },
            flash_attention: match (context.flash_attn, context.flash_attn_required) {
                (_, true) => FlashAttention::On,
                (true, false) => FlashAttention::Auto,
                (false, false) => FlashAttention::Off,
            },
            kv_type_k: context.type_k,
            kv_type_v: context.type_v,
            offload_kv: context.offload_kqv,
            rope_freq_base: context.rope_freq_base,
            rope_freq_scale: context.rope_freq_scale,
        }
    }

    /// The engine of a model.
    #[must_use]
    pub fn engine_params(&self, model: &ModelConfig) -> EngineParams {
        let engine = &self.engine;
        EngineParams {
            sequences: engine.sequences,
            queue: engine.queue,
            kv_layout: engine.kv_layout,
            kv_capacity: engine.kv_capacity,
            host_cache_bytes: engine.host_cache_bytes,
            inter_token_target_ms: engine.inter_token_target_ms,
            event_buffer: engine.event_buffer,
            reader_timeout_ms: Some(engine.reader_timeout_ms).filter(|time| *time > 0),
            thread_policy: engine.thread_policy,
            speculation: match engine.speculation.kind {
                SpeculationKind::Off => Speculation::Off,
                SpeculationKind::PromptLookup => {
                    Speculation::PromptLookup { ngram: engine.speculation.ngram, tokens: engine.speculation.tokens }
                }
            },
            context: self.context_params(model),
        }
    }

    /// What requests get that do not say otherwise.
    #[must_use]
    pub fn generation_params(&self) -> GenerationParams {
        let generation = &self.generation;
        GenerationParams {
            max_tokens: generation.max_tokens,
            stop: generation.stop.clone(),
            // Each request says for itself.
            top_logprobs: None,
            cache_prompt: generation.cache_prompt,
            context_shift: generation.context_shift,
            keep: generation.keep,
            // The server's own limit is `limits.request_timeout_ms`.
            timeout_ms: None,
            sampling: SamplingParams { grammar: None, ..self.sampling.clone() },
        }
    }

    /// How requests are answered. The keys are copied in the clear; `mullama_web` keeps their digests only.
    #[must_use]
    pub fn web_config(&self) -> WebConfig {
        let server = &self.server;
        WebConfig {
            api_keys: server.auth.api_keys.iter().map(|key| key.expose().to_owned()).collect(),
            admin_keys: server.auth.admin_keys.iter().map(|key| key.expose().to_owned()).collect(),
            api_key_file: server.auth.api_key_file.clone(),
            admin_key_file: server.auth.admin_key_file.clone(),
            allowed_hosts: server.auth.allowed_hosts.clone(),
            cors_origins: server.cors.origins.clone(),
            max_body_bytes: server.limits.max_body_bytes,
            max_choices: server.limits.max_choices,
            max_inputs: server.limits.max_inputs,
            max_concurrent: server.limits.max_concurrent,
            requests_per_minute: server.limits.requests_per_minute,
            request_timeout_ms: server.limits.request_timeout_ms,
            first_event_timeout_ms: server.http.first_event_timeout_ms,
            keep_alive_ms: server.http.keep_alive_ms,
            metrics: self.performance.enable_monitoring,
            slots: self.performance.slots,
            metrics_aliases: self.performance.metrics_aliases,
            embedding_tokens: server.embeddings.tokens,
            embedding_truncation: server.embeddings.truncation,
            defaults: self.generation_params(),
            cache_by_key: server.auth.cache_by_key,
        }
    }

    /// How connections are served.
    #[must_use]
    pub fn server_config(&self) -> ServerConfig {
        let (http, tls) = (&self.server.http, &self.server.tls);
        ServerConfig {
            max_connections: http.max_connections,
            max_connections_per_address: http.max_connections_per_address,
            max_head_bytes: http.max_head_bytes,
            max_headers: http.max_headers,
            head_timeout_ms: http.head_timeout_ms,
            body_timeout_ms: http.body_timeout_ms,
            write_timeout_ms: http.write_timeout_ms,
            idle_timeout_ms: http.idle_timeout_ms,
            shutdown_grace_ms: http.shutdown_grace_ms,
            shutdown_timeout_ms: http.shutdown_timeout_ms,
            allow_unauthenticated: self.server.auth.allow_unauthenticated,
            tls_certificate: tls.certificate.clone(),
            tls_key: tls.key.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_crates_that_do_the_work() {
        let config = MullamaConfig::default();
        assert_eq!(config.model.params().unwrap(), ModelParams::default());
        assert_eq!(config.engine_params(&config.model), EngineParams::default());
        assert_eq!(config.server_config(), ServerConfig::default());
        assert!(config.web_config() == WebConfig::default(), "{:?}", config.web_config());
    }

    #[test]
    fn a_length_is_that_of_the_context_or_of_the_model() {
        let length = |n_ctx, context_size| {
            let mut config = MullamaConfig::default();
            config.context.n_ctx = n_ctx;
            config.context_params(&ModelConfig { context_size, ..ModelConfig::default() }).length
        };
        assert_eq!([length(0, 0), length(4_096, 0), length(0, 2_048), length(512, 512)], [0, 4_096, 2_048, 512]);
    }

    #[test]
    fn threads_for_prompts_are_those_for_text_unless_they_are_said() {
        let mut config = MullamaConfig::default();
        config.context.n_threads = 3;
        assert_eq!(config.context_params(&config.model).threads_batch, 3);
        config.context.n_threads_batch = 5;
        assert_eq!(config.context_params(&config.model).threads_batch, 5);
    }
}
