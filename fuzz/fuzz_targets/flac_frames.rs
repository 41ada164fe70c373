//! Our decoder of FLAC.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mullama_convert::fuzz::flac_frames(bytes));
