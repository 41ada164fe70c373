//! EXIF, ICC and XMP in our JPEG, PNG and WebP files: what goes in comes out.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mullama_convert::fuzz::containers(bytes));
