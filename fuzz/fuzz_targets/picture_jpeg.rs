//! Converts JPEG into every format.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mullama_fuzz::picture(mullama_convert::ImageFormatType::JPEG, bytes));
