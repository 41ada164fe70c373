//! Requests that come, go and stop in any order get what each would get alone.

mod caching;
mod churn;
mod naive;
mod order;
pub(crate) mod random;
mod room;
pub(crate) mod scripted;
mod world;
