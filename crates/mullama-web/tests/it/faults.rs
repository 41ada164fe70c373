//! The faults of docs/reliability.md that a request can bring; each test is named after its fault.

mod bodies;
mod limits;
mod secrets;
mod strangers;
mod streams;
