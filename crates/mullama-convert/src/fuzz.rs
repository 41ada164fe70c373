//! Doors for the fuzz targets (`fuzz/`), into parsers and writers that no public call reaches alone. They assert what must hold
//! for any bytes; that nothing panics is the fuzzer's own check.

use std::io::Cursor;

use bytes::Bytes;

pub use crate::audio::fuzz::{
    adts_units, edit_lists, flac_frames, flac_samples, mp4_units, stream, tags, wave_chunks, wave_samples,
};
pub use crate::image::fuzz::{containers, exif, profiles, structure};

pub(crate) fn cursor(bytes: &[u8]) -> (Cursor<Bytes>, u64) {
    (Cursor::new(Bytes::copy_from_slice(bytes)), bytes.len() as u64)
}
