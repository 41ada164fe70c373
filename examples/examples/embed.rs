//! Which of some sentences mean the same?
//!
//! `cargo run --release -p mullama-examples --example embed EMBEDDING-MODEL.gguf`
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example")]

use anyhow::Context as _;
use mullama::Model;

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).context("name an embedding model, such as all-MiniLM-L6-v2.gguf")?;
    let mut embedder = Model::load(path)?.embedder().build()?;
    let sentences = ["The cat sits on the mat.", "A feline rests on a rug.", "Stock markets fell sharply today."];
    let vectors = embedder.embed(&sentences)?;
    for (index, a) in vectors.iter().enumerate() {
        for (other, b) in vectors.iter().enumerate().skip(index + 1) {
            let cosine: f32 = a.vector.iter().zip(&b.vector).map(|(a, b)| a * b).sum();
            println!("{cosine:.3}  {} / {}", sentences[index], sentences[other]);
        }
    }
    Ok(())
}
