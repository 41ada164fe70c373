//! Our MP4 file: what goes in comes out.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mullama_convert::fuzz::mp4_units(bytes));
