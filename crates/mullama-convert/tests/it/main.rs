//! Sound and pictures, against other programs that read and write them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod audio;
mod batch;
mod image;
