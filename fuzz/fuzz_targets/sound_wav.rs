//! Decodes WAV and RF64.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mullama_fuzz::sound(mullama_fuzz::Container::Wav, bytes));
