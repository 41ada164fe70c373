//! Sound, against ffmpeg, flac, lame and opusenc.
#![expect(
    clippy::panic,
    clippy::needless_range_loop,
    reason = "helpers of tests fail where they panic, and two sounds are compared by place"
)]

mod api;
mod bad;
mod bombs;
mod edges;
mod flac;
mod memory;
mod pairs;
mod read;
mod streams;
mod tags;
mod tools;
mod write;
