//! The shim's view of llama.cpp's chat engine.

use std::ffi::CStr;
use std::ptr::NonNull;
use std::sync::Arc;

use mullama_sys as sys;

use super::capture_errors;
use super::model::ModelPtr;
use super::text::{ErrorText, take_string};

/// Parsed templates, freed on drop.
#[derive(Debug)]
pub(crate) struct ChatTemplatesPtr {
    ptr: NonNull<sys::mullama_chat_templates>,
    #[expect(dead_code, reason = "the templates may point to the model's vocabulary")]
    model: Option<Arc<ModelPtr>>,
}

// SAFETY: a heap object without thread affinity.
unsafe impl Send for ChatTemplatesPtr {}
// SAFETY: common_chat_templates_apply takes the templates by const pointer and keeps its state on the stack (chat.h).
unsafe impl Sync for ChatTemplatesPtr {}

impl ChatTemplatesPtr {
    /// An empty `source` takes the model's own template; empty `bos` and `eos` take the model's.
    pub(crate) fn new(model: Option<&Arc<ModelPtr>>, source: &CStr, bos: &CStr, eos: &CStr) -> Result<Self, String> {
        let raw = model.map_or(std::ptr::null_mut(), |model| model.as_ptr());
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        // SAFETY: the model is live or null; the strings are terminated and live through the call.
        let (ptr, logged) = capture_errors(|| unsafe {
            sys::mullama_chat_templates_new(raw, source.as_ptr(), bos.as_ptr(), eos.as_ptr(), text, len)
        });
        let ptr = NonNull::new(ptr).ok_or_else(|| error.or(logged, "it could not be read"))?;
        Ok(Self { ptr, model: model.map(Arc::clone) })
    }

    /// Was the template given (by the model or the caller), or is it llama.cpp's fallback?
    pub(crate) fn is_explicit(&self) -> bool {
        // SAFETY: the templates are live.
        unsafe { sys::mullama_chat_templates_explicit(self.ptr.as_ptr()) }
    }

    /// Capabilities, as a JSON object of booleans.
    pub(crate) fn caps(&self) -> Result<String, String> {
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        // SAFETY: the templates are live.
        let json = unsafe { sys::mullama_chat_templates_caps(self.ptr.as_ptr(), text, len) };
        if json.is_null() {
            return Err(error.message());
        }
        // SAFETY: a string that the shim allocated for us.
        Ok(unsafe { take_string(json) })
    }

    /// JSON in, JSON out.
    pub(crate) fn render(&self, request: &str) -> Result<String, String> {
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        // SAFETY: the templates are live; the text lives through the call.
        let json =
            unsafe { sys::mullama_chat_render(self.ptr.as_ptr(), request.as_ptr().cast(), request.len(), text, len) };
        if json.is_null() {
            return Err(error.message());
        }
        // SAFETY: a string that the shim allocated for us.
        Ok(unsafe { take_string(json) })
    }
}

impl Drop for ChatTemplatesPtr {
    fn drop(&mut self) {
        // SAFETY: made by mullama_chat_templates_new, freed once.
        unsafe { sys::mullama_chat_templates_free(self.ptr.as_ptr()) };
    }
}

/// A parser for the answers to one rendered prompt, freed on drop.
#[derive(Debug)]
pub(crate) struct ChatParserPtr(NonNull<sys::mullama_chat_parser>);

// SAFETY: a heap object without thread affinity.
unsafe impl Send for ChatParserPtr {}
// SAFETY: common_chat_parse takes the parameters by const reference and keeps its state on the stack.
unsafe impl Sync for ChatParserPtr {}

impl ChatParserPtr {
    /// `rendered`: what [`ChatTemplatesPtr::render`] returned.
    pub(crate) fn new(rendered: &str) -> Result<Self, String> {
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        // SAFETY: the text lives through the call.
        let ptr = unsafe { sys::mullama_chat_parser_new(rendered.as_ptr().cast(), rendered.len(), text, len) };
        NonNull::new(ptr).map(Self).ok_or_else(|| error.message())
    }

    /// A message in OpenAI's shape, as JSON.
    pub(crate) fn parse(&self, answer: &str, partial: bool) -> Result<String, String> {
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        // SAFETY: the parser is live; the text lives through the call.
        let json = unsafe {
            sys::mullama_chat_parse(self.0.as_ptr(), answer.as_ptr().cast(), answer.len(), partial, text, len)
        };
        if json.is_null() {
            return Err(error.message());
        }
        // SAFETY: a string that the shim allocated for us.
        Ok(unsafe { take_string(json) })
    }
}

impl Drop for ChatParserPtr {
    fn drop(&mut self) {
        // SAFETY: made by mullama_chat_parser_new, freed once.
        unsafe { sys::mullama_chat_parser_free(self.0.as_ptr()) };
    }
}
