//! Text out of C: the shim's error buffer and strings that it hands over.

use std::ffi::{CStr, c_char};

/// A buffer for the message of a caught C++ exception.
pub(crate) struct ErrorText([c_char; 512]);

impl ErrorText {
    pub(crate) const fn new() -> Self {
        Self([0; 512])
    }

    /// The buffer and its length, as the last two arguments of every shim function.
    pub(super) fn parts(&mut self) -> (*mut c_char, usize) {
        (self.0.as_mut_ptr(), self.0.len())
    }

    /// The message, or the last error that llama.cpp logged on this thread, or `otherwise`.
    pub(crate) fn or(&self, logged: Option<String>, otherwise: &str) -> String {
        // SAFETY: the shim terminates whatever it writes within the buffer, which starts as zeros.
        let text = unsafe { CStr::from_ptr(self.0.as_ptr()) }.to_string_lossy().into_owned();
        if !text.is_empty() {
            return text;
        }
        logged.filter(|text| !text.is_empty()).unwrap_or_else(|| otherwise.to_owned())
    }

    /// The message alone.
    pub(crate) fn message(&self) -> String {
        self.or(None, "unknown error")
    }
}

/// Takes a string that the shim allocated.
///
/// # Safety
/// `text` must be a terminated string that the shim returned and that nobody else frees.
pub(super) unsafe fn take_string(text: *mut c_char) -> String {
    // SAFETY: the caller's promise.
    let copy = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: allocated by the shim (the caller's promise), freed once, not used again.
    unsafe { mullama_sys::mullama_string_free(text) };
    copy
}

/// Copies a string that C keeps; an empty one for null.
///
/// # Safety
/// `text` must be null or a terminated string that lives through this call.
pub(super) unsafe fn copy_str(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
