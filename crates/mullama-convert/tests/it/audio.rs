//! Sound, against ffmpeg, flac, lame and opusenc.

mod api;
mod bad;
mod memory;
mod read;
mod streams;
mod tags;
mod tools;
mod write;
