//! ggml's CPU thread pool.

use std::ptr::NonNull;

use mullama_sys as sys;

/// Worker threads that outlive one graph: without a pool ggml starts threads anew for each token.
#[derive(Debug)]
pub(crate) struct ThreadPoolPtr(NonNull<sys::ggml_threadpool>);

// SAFETY: the pool is a heap object without thread affinity; it is used by one context at a time, which `&mut` holds.
unsafe impl Send for ThreadPoolPtr {}

impl ThreadPoolPtr {
    /// `None` when there is no CPU backend. ggml aborts the process where the system gives no threads.
    pub(crate) fn new(threads: i32, poll: u32) -> Option<Self> {
        debug_assert!((1..=512).contains(&threads), "GGML_MAX_N_THREADS");
        // SAFETY: plain numbers, in range by the caller's validation; the result is checked for null.
        NonNull::new(unsafe { sys::mullama_threadpool_new(threads, poll) }).map(Self)
    }

    pub(super) fn as_ptr(&self) -> *mut sys::ggml_threadpool {
        self.0.as_ptr()
    }
}

impl Drop for ThreadPoolPtr {
    fn drop(&mut self) {
        // SAFETY: made by `mullama_threadpool_new`, freed once; `Context` frees its llama_context, the only user, first.
        unsafe { sys::mullama_threadpool_free(self.0.as_ptr()) };
    }
}
