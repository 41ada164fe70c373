//! Our WAV file: what goes in comes out.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mullama_convert::fuzz::wave_samples(bytes));
