//! A project outside the workspace that uses text only.

use mullama::prelude::*;

fn main() -> Result<(), MullamaError> {
    let model = Model::from_bytes(mullama::demo_models::CHAT).load()?;
    let prompt = model.chat_template()?.render(&ChatRequest::new([ChatMessage::user("What is 7 + 8?")]))?;
    let answer = model.context().build()?.generate(&prompt, &GenerationParams::greedy(64))?.text()?;
    assert_eq!(answer, "7 + 8 = 15.");
    println!("text: {answer}");
    Ok(())
}
