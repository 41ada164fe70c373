//! Benches of mullama; see `benches/`. What mullama costs over plain llama.cpp is measured in mullama-sys's bench
//! `decode`.
#![forbid(unsafe_code)]
