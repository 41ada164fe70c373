//! Decodes MP4: AAC and ALAC.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mullama_fuzz::sound(mullama_fuzz::Container::M4a, bytes));
