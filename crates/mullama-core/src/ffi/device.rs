//! The compute devices that ggml's backends offer.

use mullama_sys as sys;

use super::text::copy_str;

/// One device, as ggml describes it.
#[derive(Debug)]
pub(crate) struct DeviceInfo {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) kind: u32,
    pub(crate) free: usize,
    pub(crate) total: usize,
}

pub(crate) fn device_count() -> usize {
    // SAFETY: no arguments; reads the registry that `init` filled.
    unsafe { sys::ggml_backend_dev_count() }
}

pub(crate) fn device_info(index: usize) -> Option<DeviceInfo> {
    if index >= device_count() {
        return None;
    }
    // SAFETY: the index was checked; devices are never removed from the registry.
    let device = unsafe { sys::ggml_backend_dev_get(index) };
    let (mut free, mut total) = (0, 0);
    // SAFETY: `device` comes from the registry; both out pointers are live locals.
    unsafe { sys::ggml_backend_dev_memory(device, &raw mut free, &raw mut total) };
    // SAFETY: `device` comes from the registry; ggml keeps the string.
    let name = unsafe { sys::ggml_backend_dev_name(device) };
    // SAFETY: as above.
    let description = unsafe { sys::ggml_backend_dev_description(device) };
    // SAFETY: as above.
    let kind = unsafe { sys::ggml_backend_dev_type(device) };
    // SAFETY: a terminated string that ggml keeps for the life of the device.
    let name = unsafe { copy_str(name) };
    // SAFETY: as above.
    let description = unsafe { copy_str(description) };
    Some(DeviceInfo { name, description, kind, free, total })
}

/// llama.cpp's line about the CPU features and backends that it was built with.
pub(crate) fn system_info() -> String {
    // SAFETY: no arguments; returns a string that llama.cpp keeps until the next call. `init` has run, and the lock of
    // the caller serialises calls.
    let text = unsafe { sys::llama_print_system_info() };
    // SAFETY: a terminated string, copied before anyone calls again (see above).
    unsafe { copy_str(text) }
}

/// Looks a device up by the name that [`DeviceInfo`] gives.
pub(super) fn by_name(name: &std::ffi::CStr) -> Option<sys::ggml_backend_dev_t> {
    // SAFETY: a terminated string that lives through the call; the registry was filled by `init`.
    let device = unsafe { sys::ggml_backend_dev_by_name(name.as_ptr()) };
    (!device.is_null()).then_some(device)
}
