//! The edit lists of MP4 files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mullama_convert::fuzz::edit_lists(bytes));
