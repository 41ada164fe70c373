//! Tags of all formats, read and written.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mullama_convert::fuzz::tags(bytes));
