//! The feature list's snippet 2, Web Framework Integration: serves until Ctrl-C.
//!
//! `cargo run --release -p mullama-examples --example web [MODEL.gguf]`
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example")]

use mullama::Server;
use mullama::{AppState, create_router};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let model = mullama_examples::model()?;
    println!("http://127.0.0.1:3000/v1/models");

    let app_state = AppState::new(model);
    let app = create_router(app_state);
    Server::bind(&"127.0.0.1:3000".parse()?).serve(app.into_make_service()).await?;
    Ok(())
}
