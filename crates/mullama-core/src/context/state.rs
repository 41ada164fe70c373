//! Saving what a context has computed, and taking it up again.
//!
//! llama.cpp takes any bytes of the right length for a state, so these carry what they belong to and a checksum. That
//! finds damage, not malice: load states from where only you can write.

use std::path::Path;

use super::Context;
use crate::error::{Error, Result};
use crate::tokenizer::TokenId;

impl Context {
    /// What has been computed so far, as bytes: with [`Context::load_state`] another context of the same model and
    /// parameters goes on from here without computing the prompt again. Copies the keys and values: megabytes.
    ///
    /// # Errors
    /// [`Error::State`] when llama.cpp gives none.
    pub fn save_state(&mut self) -> Result<Vec<u8>> {
        let state = self.ptr.state(0).ok_or(Error::State { reason: "llama.cpp gave none" })?;
        let mut bytes = Vec::with_capacity(state.len() + self.tokens.len() * 4 + 256);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.identity());
        bytes.extend_from_slice(&(self.tokens.len() as u64).to_le_bytes());
        for token in &self.tokens {
            bytes.extend_from_slice(&token.0.to_le_bytes());
        }
        bytes.extend_from_slice(&state);
        let sum = blake3::hash(&bytes);
        bytes.extend_from_slice(sum.as_bytes());
        Ok(bytes)
    }

    /// Takes up a saved state. What this context held before is forgotten, also on failure.
    ///
    /// # Errors
    /// [`Error::State`] when the bytes are damaged, or belong to another model, adapter, context length, number format
    /// or version.
    pub fn load_state(&mut self, bytes: &[u8]) -> Result<()> {
        self.clear();
        let (tokens, state) = self.read_state(bytes)?;
        if !self.ptr.set_state(0, state) {
            self.clear();
            return Err(Error::State { reason: "llama.cpp refused it" });
        }
        self.tokens = tokens; // without logits: a state has none
        Ok(())
    }

    /// [`Context::save_state`] to a file; written beside it first, then renamed, so that no half-written file remains.
    ///
    /// # Errors
    /// As [`Context::save_state`], and [`Error::File`].
    pub fn save_state_file(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let failed = |source| Error::File { action: "write", path: path.to_owned(), source };
        let bytes = self.save_state()?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(name);
        std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path)).map_err(|error| {
            // Nothing more can be done about the part; the first error is the one to tell.
            let _ = std::fs::remove_file(&part);
            failed(error)
        })
    }

    /// [`Context::load_state`] from a file.
    ///
    /// # Errors
    /// As [`Context::load_state`], and [`Error::File`].
    pub fn load_state_file(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let failed = |source| Error::File { action: "read", path: path.to_owned(), source };
        let bytes = std::fs::read(path).map_err(failed)?;
        self.load_state(&bytes)
    }

    fn read_state<'a>(&self, bytes: &'a [u8]) -> Result<(Vec<TokenId>, &'a [u8])> {
        let state = |reason| Error::State { reason };
        let body = bytes.len().checked_sub(32).ok_or(state("it is cut off"))?;
        let (body, sum) = bytes.split_at(body);
        let body_after_magic = body.strip_prefix(MAGIC).ok_or(state("it is not a saved state of this version"))?;
        if blake3::hash(body).as_bytes() != sum {
            return Err(state("its checksum is wrong: it is damaged or cut off"));
        }
        let (identity, rest) = body_after_magic.split_at_checked(32).ok_or(state("it is cut off"))?;
        if identity != self.identity() {
            return Err(state("it belongs to another model, adapter, context length, number format or version"));
        }
        let (count, rest) = rest.split_first_chunk::<8>().ok_or(state("it is cut off"))?;
        let count = usize::try_from(u64::from_le_bytes(*count)).map_err(|_| state("it is cut off"))?;
        let tokens = count.checked_mul(4).and_then(|length| rest.split_at_checked(length));
        let (tokens, rest) = tokens.ok_or(state("it is cut off"))?;
        let tokens: Vec<_> = tokens.as_chunks::<4>().0.iter().map(|four| TokenId(i32::from_le_bytes(*four))).collect();
        let tokenizer = self.model.tokenizer();
        if tokens.len() > self.length() || tokens.iter().any(|token| tokenizer.check("state", *token).is_err()) {
            return Err(state("its tokens are not this model's"));
        }
        Ok((tokens, rest))
    }

    /// What a state depends on.
    fn identity(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(VERSION.as_bytes());
        hasher.update(&self.model.fingerprint());
        let params = &self.params;
        let shape =
            format!("{} {:?} {:?} {:?}", params.length, params.kv_type_k, params.kv_type_v, params.flash_attention);
        hasher.update(shape.as_bytes());
        hasher.update(&params.rope_freq_base.to_le_bytes());
        hasher.update(&params.rope_freq_scale.to_le_bytes());
        for (adapter, scale) in &self.adapters {
            hasher.update(&adapter.fingerprint());
            hasher.update(&scale.to_le_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

const MAGIC: &[u8] = b"mullama state 1\n";
/// Of this crate, which pins llama.cpp exactly.
const VERSION: &str = env!("CARGO_PKG_VERSION");
