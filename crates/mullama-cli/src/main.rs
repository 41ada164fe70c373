//! The program `mullama`.
#![forbid(unsafe_code)]

fn main() {}
