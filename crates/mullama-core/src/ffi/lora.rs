//! `llama_adapter_lora`.

use std::ffi::CStr;
use std::ptr::NonNull;
use std::sync::Arc;

use mullama_sys as sys;

use super::capture_errors;
use super::model::ModelPtr;
use super::text::ErrorText;

/// An adapter's weights, freed on drop, before its model.
#[derive(Debug)]
pub(crate) struct LoraPtr {
    ptr: NonNull<sys::llama_adapter_lora>,
    model: Arc<ModelPtr>,
}

// SAFETY: a heap object without thread affinity.
unsafe impl Send for LoraPtr {}
// SAFETY: read-only after loading (contexts keep scales of their own); freeing is behind the model's lock.
unsafe impl Sync for LoraPtr {}

impl LoraPtr {
    pub(crate) fn load(model: &Arc<ModelPtr>, path: &CStr) -> Result<Self, String> {
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        let _changing = model.adapters_changing();
        // SAFETY: model and path live through the call; the lock keeps every context of the model from computing.
        let (ptr, logged) =
            capture_errors(|| unsafe { sys::mullama_lora_load(model.as_ptr(), path.as_ptr(), text, len) });
        let ptr = NonNull::new(ptr).ok_or_else(|| error.or(logged, "llama.cpp refused it"))?;
        Ok(Self { ptr, model: Arc::clone(model) })
    }

    pub(super) fn as_ptr(&self) -> *mut sys::llama_adapter_lora {
        self.ptr.as_ptr()
    }

    pub(crate) fn belongs_to(&self, model: &Arc<ModelPtr>) -> bool {
        Arc::ptr_eq(&self.model, model)
    }
}

impl Drop for LoraPtr {
    fn drop(&mut self) {
        let _changing = self.model.adapters_changing();
        // SAFETY: freed once; the model is still live (held here), and a context that uses the adapter holds an Arc of it.
        unsafe { sys::llama_adapter_lora_free(self.ptr.as_ptr()) };
    }
}
