//! llama.cpp's log: to `tracing`, and per thread to whoever asks for the messages of one call.

use std::cell::RefCell;
use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use mullama_sys as sys;

type InfoSink<'a> = &'a mut dyn FnMut(&str);

thread_local! {
    static LAST_ERROR: RefCell<Option<String>> = const { RefCell::new(None) };
    static INFO: RefCell<Option<InfoSink<'static>>> = const { RefCell::new(None) };
    /// Level and text of the line being built: llama.cpp logs some lines in pieces.
    static LINE: RefCell<(u32, String)> = const { RefCell::new((0, String::new())) };
}

/// Sends llama.cpp's and ggml's log lines to `tracing`.
pub(crate) fn install() {
    // SAFETY: `on_log` lives as long as the program, never unwinds, and takes no user data.
    unsafe { sys::llama_log_set(Some(on_log), std::ptr::null_mut()) };
}

/// Runs `call` and returns with its result the last error that llama.cpp logged on this thread meanwhile.
pub(crate) fn capture_errors<R>(call: impl FnOnce() -> R) -> (R, Option<String>) {
    LAST_ERROR.with_borrow_mut(|last| *last = None);
    let result = call();
    (result, LAST_ERROR.with_borrow_mut(Option::take))
}

/// Runs `call`; each information line that llama.cpp logs on this thread meanwhile is also given to `sink`.
pub(crate) fn with_info<R>(sink: InfoSink<'_>, call: impl FnOnce() -> R) -> R {
    struct Restore;
    impl Drop for Restore {
        fn drop(&mut self) {
            INFO.with_borrow_mut(|slot| *slot = None);
        }
    }
    // SAFETY: only the lifetime changes. `Restore` empties the slot before this function returns or unwinds, so the
    // reference is never used after it ends; the slot is of this thread, and `sink` is not otherwise used meanwhile.
    let sink = unsafe { std::mem::transmute::<InfoSink<'_>, InfoSink<'static>>(sink) };
    INFO.with_borrow_mut(|slot| *slot = Some(sink));
    let _restore = Restore;
    call()
}

unsafe extern "C" fn on_log(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    // A panic (a subscriber's, say) must not unwind into C.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: ggml passes a terminated string that lives through the call.
        let text = unsafe { super::text::copy_str(text) };
        LINE.with_borrow_mut(|(pending, line)| {
            if level != sys::GGML_LOG_LEVEL_CONT {
                flush(*pending, line);
                *pending = level;
            }
            line.push_str(&text);
            if line.ends_with('\n') {
                flush(*pending, line);
            }
        });
    }));
}

fn flush(level: sys::ggml_log_level, line: &mut String) {
    let text = line.trim_end();
    // Dots are the loader's progress bar.
    if !text.is_empty() && !text.chars().all(|character| character == '.') {
        emit(level, text);
    }
    line.clear();
}

fn emit(level: sys::ggml_log_level, text: &str) {
    match level {
        sys::GGML_LOG_LEVEL_ERROR => {
            LAST_ERROR.with_borrow_mut(|last| *last = Some(without_function(text).to_owned()));
            tracing::error!(target: "llama.cpp", "{text}");
        }
        sys::GGML_LOG_LEVEL_WARN => tracing::warn!(target: "llama.cpp", "{text}"),
        sys::GGML_LOG_LEVEL_INFO => {
            INFO.with_borrow_mut(|sink| {
                if let Some(sink) = sink {
                    sink(text);
                }
            });
            tracing::debug!(target: "llama.cpp", "{text}");
        }
        _ => tracing::trace!(target: "llama.cpp", "{text}"),
    }
}

/// llama.cpp starts its messages with the name of the C++ function: `llama_model_load: error loading model: ...`.
fn without_function(text: &str) -> &str {
    match text.split_once(": ") {
        Some((function, rest)) if function.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':') => rest,
        _ => text,
    }
}
