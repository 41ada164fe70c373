//! Sound and pictures, against other programs that read and write them.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "helpers of tests; the samples that they make fit"
)]

mod audio;
mod batch;
mod found;
mod image;
mod peak;
