//! `llama_model` and its vocabulary.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use mullama_sys as sys;

use super::text::{ErrorText, copy_str};
use super::{capture_errors, device};

/// Weights and vocabulary, freed on drop.
#[derive(Debug)]
pub(crate) struct ModelPtr {
    ptr: NonNull<sys::llama_model>,
    /// Loading or freeing an adapter changes a set in the model that building a graph reads.
    adapters: RwLock<()>,
}

// SAFETY: a heap object without thread affinity; llama_model_free may run on any thread.
unsafe impl Send for ModelPtr {}
// SAFETY: after loading, llama.cpp reads the model through `const` paths only (llama.h: one model, many contexts); the one
// exception, its set of adapters, is behind `adapters`.
unsafe impl Sync for ModelPtr {}

/// Where the weights come from.
pub(crate) enum LoadSource<'a> {
    Files(&'a [CString]),
    Bytes(&'a [u8]),
}

/// An override of one metadata value. `key` has at most 127 bytes, as has a string value.
pub(crate) enum RawKvOverride {
    Int(CString, i64),
    Float(CString, f64),
    Bool(CString, bool),
    Str(CString, CString),
}

/// What [`ModelPtr::load`] passes on.
pub(crate) struct RawModelParams<'a> {
    pub(crate) devices: &'a [CString],
    pub(crate) gpu_layers: i32,
    pub(crate) split_mode: i32,
    pub(crate) main_gpu: i32,
    pub(crate) tensor_split: &'a [f32],
    pub(crate) mmap: bool,
    pub(crate) mlock: bool,
    pub(crate) vocab_only: bool,
    pub(crate) check_tensors: bool,
    pub(crate) kv_overrides: &'a [RawKvOverride],
}

/// Called with 0.0..=1.0; `Break` stops the load.
pub(crate) type Progress<'a> = &'a mut (dyn FnMut(f32) -> ControlFlow<()> + Send);

struct ProgressState<'a> {
    call: Option<Progress<'a>>,
    panic: Option<Box<dyn std::any::Any + Send>>,
}

unsafe extern "C" fn on_progress(done: f32, state: *mut c_void) -> bool {
    // SAFETY: `load` passes a pointer to a `ProgressState` on its stack, which outlives the C call, and nothing else
    // touches it meanwhile.
    let state = unsafe { &mut *state.cast::<ProgressState<'_>>() };
    let Some(call) = state.call.as_mut() else { return true };
    match catch_unwind(AssertUnwindSafe(|| call(done))) {
        Ok(flow) => flow.is_continue(),
        Err(panic) => {
            state.panic = Some(panic);
            false
        }
    }
}

impl ModelPtr {
    /// Loads; the error is llama.cpp's message.
    pub(crate) fn load(
        source: &LoadSource<'_>,
        params: &RawModelParams<'_>,
        progress: Option<Progress<'_>>,
    ) -> Result<Self, String> {
        let mut devices = Vec::with_capacity(params.devices.len() + 1);
        for name in params.devices {
            devices.push(device::by_name(name).ok_or_else(|| format!("no device named {name:?}"))?);
        }
        devices.push(std::ptr::null_mut()); // the list ends with null
        let mut overrides: Vec<_> = params.kv_overrides.iter().map(raw_override).collect();
        if !overrides.is_empty() {
            // The list ends with an empty key.
            overrides.push(raw_override(&RawKvOverride::Bool(CString::default(), false)));
        }
        // C reads llama_max_devices() numbers.
        // SAFETY: no arguments, a constant.
        let max_devices = unsafe { sys::llama_max_devices() };
        let mut tensor_split = params.tensor_split.to_vec();
        tensor_split.resize(max_devices.max(params.tensor_split.len()), 0.0);

        let mut state = ProgressState { call: progress, panic: None };
        // SAFETY: no arguments, a plain struct comes back.
        let mut raw = unsafe { sys::llama_model_default_params() };
        if devices.len() > 1 {
            raw.devices = devices.as_mut_ptr();
        }
        if !overrides.is_empty() {
            raw.kv_overrides = overrides.as_ptr();
        }
        if !params.tensor_split.is_empty() {
            raw.tensor_split = tensor_split.as_ptr();
        }
        raw.n_gpu_layers = params.gpu_layers;
        raw.split_mode = sys::llama_split_mode::try_from(params.split_mode).unwrap_or(sys::LLAMA_SPLIT_MODE_LAYER);
        raw.main_gpu = params.main_gpu;
        raw.load_mode = match (params.mmap, params.mlock) {
            (true, true) => sys::LLAMA_LOAD_MODE_MMAP_MLOCK,
            // Not where a device cannot read mapped memory.
            (true, false) => sys::LLAMA_LOAD_MODE_AUTO,
            (false, true) => sys::LLAMA_LOAD_MODE_MLOCK,
            (false, false) => sys::LLAMA_LOAD_MODE_NONE,
        };
        raw.vocab_only = params.vocab_only;
        raw.check_tensors = params.check_tensors;
        raw.progress_callback = Some(on_progress);
        raw.progress_callback_user_data = (&raw mut state).cast();

        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        let (model, logged) = capture_errors(|| match source {
            LoadSource::Files(paths) => {
                let mut paths: Vec<*const c_char> = paths.iter().map(|path| path.as_ptr()).collect();
                // SAFETY: `paths` holds as many terminated strings as it says; every pointer in `raw` is to a local that
                // outlives the call; the error buffer is live.
                unsafe { sys::mullama_model_load_files(paths.as_mut_ptr(), paths.len(), raw, text, len) }
            }
            LoadSource::Bytes(bytes) => {
                // SAFETY: `bytes` is readable for its length and is copied; the rest as above.
                unsafe { sys::mullama_model_load_bytes(bytes.as_ptr().cast(), bytes.len(), raw, text, len) }
            }
        });
        if let Some(panic) = state.panic.take() {
            // The load was stopped by the callback's own panic, which goes on from here, in Rust frames only.
            if let Some(model) = NonNull::new(model) {
                drop(Self { ptr: model, adapters: RwLock::new(()) });
            }
            resume_unwind(panic);
        }
        match NonNull::new(model) {
            Some(ptr) => Ok(Self { ptr, adapters: RwLock::new(()) }),
            None => Err(error.or(logged, "the file could not be loaded")),
        }
    }

    pub(super) fn as_ptr(&self) -> *mut sys::llama_model {
        self.ptr.as_ptr()
    }

    /// Held while a context computes: no adapter comes or goes meanwhile.
    pub(super) fn adapters_fixed(&self) -> RwLockReadGuard<'_, ()> {
        self.adapters.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while an adapter is loaded or freed.
    pub(super) fn adapters_changing(&self) -> RwLockWriteGuard<'_, ()> {
        self.adapters.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn vocab(&self) -> *const sys::llama_vocab {
        // SAFETY: the model is live; the vocabulary is part of it.
        unsafe { sys::llama_model_get_vocab(self.as_ptr()) }
    }
}

impl Drop for ModelPtr {
    fn drop(&mut self) {
        // SAFETY: made by a load function, freed once; contexts and adapters hold an Arc of this, so none is left.
        unsafe { sys::mullama_model_free(self.ptr.as_ptr()) };
    }
}

/// Getters that take the model and cannot fail.
macro_rules! model_getters {
    ($($name:ident: $ty:ty = $function:ident;)*) => {
        impl ModelPtr {
            $(pub(crate) fn $name(&self) -> $ty {
                // SAFETY: the model is live, and the function only reads it.
                unsafe { sys::$function(self.as_ptr()) }
            })*
        }
    };
}

model_getters! {
    n_ctx_train: i32 = llama_model_n_ctx_train;
    n_embd: i32 = llama_model_n_embd;
    n_embd_out: i32 = llama_model_n_embd_out;
    n_layer: i32 = llama_model_n_layer;
    n_head: i32 = llama_model_n_head;
    n_head_kv: i32 = llama_model_n_head_kv;
    n_cls_out: u32 = llama_model_n_cls_out;
    n_params: u64 = llama_model_n_params;
    size: u64 = llama_model_size;
    has_encoder: bool = llama_model_has_encoder;
    has_decoder: bool = llama_model_has_decoder;
    is_recurrent: bool = llama_model_is_recurrent;
    is_hybrid: bool = llama_model_is_hybrid;
    meta_count: i32 = llama_model_meta_count;
}

/// Calls a C function that writes a string of unknown length into a buffer and returns that length, or -1.
fn growing(call: impl Fn(*mut c_char, usize) -> i32) -> Option<String> {
    let mut buffer = vec![0_u8; 256];
    loop {
        let length = usize::try_from(call(buffer.as_mut_ptr().cast(), buffer.len())).ok()?;
        if length < buffer.len() {
            buffer.truncate(length);
            return Some(String::from_utf8_lossy(&buffer).into_owned());
        }
        buffer.resize(length + 1, 0);
    }
}

impl ModelPtr {
    pub(crate) fn description(&self) -> String {
        // SAFETY: the model is live; the buffer is as long as said.
        growing(|buffer, len| unsafe { sys::llama_model_desc(self.as_ptr(), buffer, len) }).unwrap_or_default()
    }

    /// The name of the file's quantization: "Q8_0", "all F32", ...
    pub(crate) fn file_type(&self) -> String {
        // SAFETY: the model is live.
        let file_type = unsafe { sys::llama_model_ftype(self.as_ptr()) };
        // SAFETY: any number is accepted; a static string comes back.
        let name = unsafe { sys::llama_ftype_name(file_type) };
        // SAFETY: static and terminated.
        unsafe { copy_str(name) }
    }

    pub(crate) fn meta(&self, index: i32) -> Option<(String, String)> {
        // SAFETY: the model is live, the buffer as long as said, and a wrong index gives -1.
        let key =
            growing(|buffer, len| unsafe { sys::llama_model_meta_key_by_index(self.as_ptr(), index, buffer, len) })?;
        // SAFETY: as above.
        let value = growing(|buffer, len| unsafe {
            sys::llama_model_meta_val_str_by_index(self.as_ptr(), index, buffer, len)
        })?;
        Some((key, value))
    }

    pub(crate) fn meta_value(&self, key: &CStr) -> Option<String> {
        // SAFETY: the model and the key live through the call; the buffer is as long as said.
        growing(|buffer, len| unsafe { sys::llama_model_meta_val_str(self.as_ptr(), key.as_ptr(), buffer, len) })
    }

    /// The default template, or the named one.
    pub(crate) fn chat_template(&self, name: Option<&CStr>) -> Option<String> {
        let name = name.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: the model is live; `name` is null or terminated; the result belongs to the model.
        let text = unsafe { sys::llama_model_chat_template(self.as_ptr(), name) };
        // SAFETY: null or terminated, and kept by the model.
        (!text.is_null()).then(|| unsafe { copy_str(text) })
    }
}

/// Getters of the vocabulary that cannot fail.
macro_rules! vocab_getters {
    ($($name:ident: $ty:ty = $function:ident;)*) => {
        impl ModelPtr {
            $(pub(crate) fn $name(&self) -> $ty {
                // SAFETY: the vocabulary lives as long as the model, and the function only reads it.
                unsafe { sys::$function(self.vocab()) }
            })*
        }
    };
}

vocab_getters! {
    n_vocab: i32 = llama_vocab_n_tokens;
    vocab_type: sys::llama_vocab_type = llama_vocab_type;
    bos: i32 = llama_vocab_bos;
    eos: i32 = llama_vocab_eos;
    eot: i32 = llama_vocab_eot;
    sep: i32 = llama_vocab_sep;
    nl: i32 = llama_vocab_nl;
    pad: i32 = llama_vocab_pad;
    mask: i32 = llama_vocab_mask;
    add_bos: bool = llama_vocab_get_add_bos;
    add_eos: bool = llama_vocab_get_add_eos;
    add_sep: bool = llama_vocab_get_add_sep;
    fim_pre: i32 = llama_vocab_fim_pre;
    fim_suf: i32 = llama_vocab_fim_suf;
    fim_mid: i32 = llama_vocab_fim_mid;
    fim_pad: i32 = llama_vocab_fim_pad;
    fim_rep: i32 = llama_vocab_fim_rep;
    fim_sep: i32 = llama_vocab_fim_sep;
}

impl ModelPtr {
    /// Is this one of the tokens that end a generation? `token` must be in the vocabulary.
    pub(crate) fn is_eog(&self, token: i32) -> bool {
        debug_assert!((0..self.n_vocab()).contains(&token));
        // SAFETY: the vocabulary is live; the id is one of its own (every `TokenId` is checked before it comes here).
        unsafe { sys::llama_vocab_is_eog(self.vocab(), token) }
    }

    /// `token` must be in the vocabulary.
    pub(crate) fn is_control(&self, token: i32) -> bool {
        debug_assert!((0..self.n_vocab()).contains(&token));
        // SAFETY: as above.
        unsafe { sys::llama_vocab_is_control(self.vocab(), token) }
    }

    /// Does it stand for a byte? `token` must be in the vocabulary.
    pub(crate) fn is_byte(&self, token: i32) -> bool {
        debug_assert!((0..self.n_vocab()).contains(&token));
        // SAFETY: the vocabulary lives as long as the model; the token is in it, so that nothing is thrown.
        let attributes = unsafe { sys::llama_vocab_get_attr(self.vocab(), token) };
        attributes & sys::LLAMA_TOKEN_ATTR_BYTE != 0
    }

    /// Tokens of `text`, or what went wrong. `text` must fit an i32.
    pub(crate) fn tokenize(&self, text: &str, add_special: bool, parse_special: bool) -> Result<Vec<i32>, String> {
        let text_len = i32::try_from(text.len()).map_err(|_| "longer than 2 GiB".to_owned())?;
        let mut tokens = vec![0_i32; text.len() + 2];
        loop {
            let max = i32::try_from(tokens.len()).unwrap_or(i32::MAX);
            let mut error = ErrorText::new();
            let (message, len) = error.parts();
            // SAFETY: vocabulary and text live through the call; `tokens` has `max` places; the error buffer is live.
            let written = unsafe {
                sys::mullama_tokenize(
                    self.vocab(),
                    text.as_ptr().cast(),
                    text_len,
                    tokens.as_mut_ptr(),
                    max,
                    add_special,
                    parse_special,
                    message,
                    len,
                )
            };
            match written {
                super::EXCEPTION => return Err(error.message()),
                i32::MIN => return Err("too many tokens".to_owned()),
                0.. => {
                    tokens.truncate(usize::try_from(written).unwrap_or(0));
                    return Ok(tokens);
                }
                _ => tokens.resize(written.unsigned_abs() as usize, 0),
            }
        }
    }

    /// Appends the bytes of one token. `token` must be in the vocabulary.
    pub(crate) fn token_bytes(&self, token: i32, special: bool, into: &mut Vec<u8>) -> Result<(), String> {
        debug_assert!((0..self.n_vocab()).contains(&token));
        let start = into.len();
        let mut room = 32;
        loop {
            into.resize(start + room, 0);
            let mut error = ErrorText::new();
            let (message, len) = error.parts();
            let free = i32::try_from(room).unwrap_or(i32::MAX);
            // SAFETY: the vocabulary is live; `into` has `room` bytes from `start` on; the error buffer is live.
            let written = unsafe {
                sys::mullama_token_to_piece(
                    self.vocab(),
                    token,
                    into[start..].as_mut_ptr().cast(),
                    free,
                    special,
                    message,
                    len,
                )
            };
            if written == super::EXCEPTION {
                into.truncate(start);
                return Err(error.message());
            }
            if let Ok(written) = usize::try_from(written) {
                into.truncate(start + written);
                return Ok(());
            }
            room = written.unsigned_abs() as usize;
        }
    }

    /// The bytes of a text. Every token must be in the vocabulary.
    pub(crate) fn detokenize(&self, tokens: &[i32], remove_special: bool, special: bool) -> Result<Vec<u8>, String> {
        let n = i32::try_from(tokens.len()).map_err(|_| "too many tokens".to_owned())?;
        let mut bytes = vec![0_u8; tokens.len() * 8 + 16];
        loop {
            let max = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
            let mut error = ErrorText::new();
            let (message, len) = error.parts();
            // SAFETY: `tokens` holds `n` ids, checked by the caller; `bytes` has `max` places; the error buffer is live.
            let written = unsafe {
                sys::mullama_detokenize(
                    self.vocab(),
                    tokens.as_ptr(),
                    n,
                    bytes.as_mut_ptr().cast(),
                    max,
                    remove_special,
                    special,
                    message,
                    len,
                )
            };
            match written {
                super::EXCEPTION => return Err(error.message()),
                0.. => {
                    bytes.truncate(usize::try_from(written).unwrap_or(0));
                    return Ok(bytes);
                }
                _ => bytes.resize(written.unsigned_abs() as usize, 0),
            }
        }
    }
}

fn raw_override(from: &RawKvOverride) -> sys::llama_model_kv_override {
    let (tag, key, value) = match from {
        RawKvOverride::Int(key, value) => {
            (sys::LLAMA_KV_OVERRIDE_TYPE_INT, key, sys::llama_model_kv_override__bindgen_ty_1 { val_i64: *value })
        }
        RawKvOverride::Float(key, value) => {
            (sys::LLAMA_KV_OVERRIDE_TYPE_FLOAT, key, sys::llama_model_kv_override__bindgen_ty_1 { val_f64: *value })
        }
        RawKvOverride::Bool(key, value) => {
            (sys::LLAMA_KV_OVERRIDE_TYPE_BOOL, key, sys::llama_model_kv_override__bindgen_ty_1 { val_bool: *value })
        }
        RawKvOverride::Str(key, value) => {
            let val_str = fixed(value);
            (sys::LLAMA_KV_OVERRIDE_TYPE_STR, key, sys::llama_model_kv_override__bindgen_ty_1 { val_str })
        }
    };
    sys::llama_model_kv_override { tag, key: fixed(key), __bindgen_anon_1: value }
}

/// A terminated string in C's fixed array; longer ones are refused before they come here.
fn fixed(text: &CStr) -> [c_char; 128] {
    debug_assert!(text.count_bytes() < 128);
    let mut array = [0; 128];
    for (to, from) in array.iter_mut().zip(text.to_bytes().iter().take(127)) {
        *to = c_char::from_ne_bytes([*from]);
    }
    array
}
