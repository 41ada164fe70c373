//! Requests that come, go and stop in any order get what each would get alone.

mod naive;
mod random;
mod scripted;
mod world;

pub(crate) use scripted::Scripted;
