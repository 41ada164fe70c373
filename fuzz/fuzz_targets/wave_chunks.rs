//! The chunks of WAV and RF64 files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mullama_convert::fuzz::wave_chunks(bytes));
