//! The shim's sampler: llama.cpp's `common_sampler`.

use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;

use mullama_sys as sys;

use super::context::ContextPtr;
use super::model::ModelPtr;
use super::text::{ErrorText, take_string};
use super::{EXCEPTION, capture_errors};

/// Sampler chain, grammar and random state of one generation, freed on drop, before its model.
#[derive(Debug)]
pub(crate) struct SamplerPtr {
    ptr: NonNull<sys::mullama_sampler>,
    #[expect(dead_code, reason = "keeps the vocabulary that the grammar points to")]
    model: Arc<ModelPtr>,
}

// SAFETY: a heap object without thread affinity. Not Sync: sampling and accepting take `&mut self`.
unsafe impl Send for SamplerPtr {}

/// Why no token came.
#[derive(Debug)]
pub(crate) enum SampleError {
    /// Nothing is left to choose from.
    NoToken,
    Failed(String),
}

impl SamplerPtr {
    /// `params`: a JSON object, see shim.h.
    pub(crate) fn new(model: &Arc<ModelPtr>, params: &str) -> Result<Self, String> {
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        // SAFETY: model and text live through the call; the error buffer is live.
        let (ptr, logged) = capture_errors(|| unsafe {
            sys::mullama_sampler_new(model.as_ptr(), params.as_ptr().cast(), params.len(), text, len)
        });
        let ptr = NonNull::new(ptr).ok_or_else(|| error.or(logged, "llama.cpp gave no reason"))?;
        Ok(Self { ptr, model: Arc::clone(model) })
    }

    /// Chooses from output row `index` of the last decode (-1: the last row). Does not accept.
    pub(crate) fn sample(&mut self, context: &mut ContextPtr, index: i32) -> Result<i32, SampleError> {
        // C asserts that the row is there, and sorts it: a NaN has no place in an order.
        match context.logits(index) {
            None => return Err(SampleError::Failed("no logits were computed for this row".to_owned())),
            Some(row) if row.iter().any(|logit| logit.is_nan()) => return Err(SampleError::NoToken),
            Some(_) => {}
        }
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        // SAFETY: both live; the row is there (checked above).
        match unsafe { sys::mullama_sampler_sample(self.ptr.as_ptr(), context.as_ptr(), index, text, len) } {
            EXCEPTION => Err(SampleError::Failed(error.message())),
            token if token < 0 => Err(SampleError::NoToken),
            token => Ok(token),
        }
    }

    /// Tells the chain about a token; `generated` ones also move the grammar. Only sampled tokens may be `generated`.
    pub(crate) fn accept(&mut self, token: i32, generated: bool) -> Result<(), String> {
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        // SAFETY: the sampler is live. A generated token was sampled by this sampler just before, so the grammar allows
        // it (C would abort on an end token that the grammar forbids; the one sampler that makes up an end token of its
        // own, infill, is not built together with a grammar).
        match unsafe { sys::mullama_sampler_accept(self.ptr.as_ptr(), token, generated, text, len) } {
            0 => Ok(()),
            _ => Err(error.message()),
        }
    }

    /// Makes the model end its thoughts with the next tokens. False: it is not thinking.
    pub(crate) fn end_reasoning(&mut self) -> bool {
        // SAFETY: the sampler is live; the function changes one state of it and does not throw.
        unsafe { sys::mullama_sampler_end_reasoning(self.ptr.as_ptr()) }
    }

    /// The seed in use; the one drawn when none was given.
    pub(crate) fn seed(&self) -> u32 {
        // SAFETY: the sampler is live.
        unsafe { sys::mullama_sampler_seed(self.ptr.as_ptr()) }
    }
}

impl Drop for SamplerPtr {
    fn drop(&mut self) {
        // SAFETY: made by mullama_sampler_new, freed once; the model goes after this.
        unsafe { sys::mullama_sampler_free(self.ptr.as_ptr()) };
    }
}

impl ModelPtr {
    /// Parses a GBNF grammar against this vocabulary.
    pub(crate) fn check_grammar(&self, grammar: &str) -> Result<(), String> {
        let grammar = CString::new(grammar).map_err(|_| "it contains a NUL character".to_owned())?;
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        // SAFETY: vocabulary and text live through the call.
        match unsafe { sys::mullama_grammar_check(self.vocab(), grammar.as_ptr(), text, len) } {
            0 => Ok(()),
            _ => Err(error.message()),
        }
    }
}

/// llama.cpp's GBNF for a JSON schema.
pub(crate) fn json_schema_to_grammar(schema: &str) -> Result<String, String> {
    let mut error = ErrorText::new();
    let (text, len) = error.parts();
    // SAFETY: the text lives through the call; the error buffer is live.
    let grammar = unsafe { sys::mullama_json_schema_to_grammar(schema.as_ptr().cast(), schema.len(), text, len) };
    if grammar.is_null() {
        return Err(error.message());
    }
    // SAFETY: a string that the shim allocated for us.
    Ok(unsafe { take_string(grammar) })
}
