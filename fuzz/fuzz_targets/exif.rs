//! EXIF and the directories of TIFF.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mullama_convert::fuzz::exif(bytes));
