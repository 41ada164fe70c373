//! Tests of mullama-async on the embedded model, through its public API.
#![expect(clippy::unwrap_used, reason = "tests")]

mod calm;
mod change;
mod loading;
mod pool;
mod shared;
mod streams;
mod tasks;
mod text;
#[cfg(feature = "typed")]
mod typed;
