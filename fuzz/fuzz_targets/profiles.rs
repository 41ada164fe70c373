//! ICC profiles and XMP in words.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mullama_convert::fuzz::profiles(bytes));
