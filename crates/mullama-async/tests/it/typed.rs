//! Answers as Rust types.

use mullama_async::{AsyncContext, Error};
use mullama_core::{FinishReason, GenerationParams};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::shared::{model, question};

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Person {
    name: String,
    #[schemars(range(max = 150))]
    age: u8,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Size {
    Small,
    Large,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Thing {
    size: Size,
    /// Nested, and perhaps not there.
    owner: Option<Person>,
    flags: (bool, bool),
}

const QUESTION: &str = "Make JSON with name Anna and age 7.";

#[tokio::test]
async fn a_conversation_gives_a_value() {
    let person: Person = model().await.generate_as(question(QUESTION), &GenerationParams::greedy(100)).await.unwrap();
    assert_eq!(person, Person { name: "Anna".to_owned(), age: 7 });
}

#[tokio::test]
async fn a_text_gives_a_value_of_any_shape() {
    let model = model().await;
    let mut context = AsyncContext::new(&model).await.unwrap();
    let mut params = GenerationParams::greedy(200);
    // Without sense, as the prompt has none: the form is what counts.
    params.sampling.temperature = 0.8;
    params.sampling.samplers = Default::default();
    for seed in 0..4 {
        params.sampling.seed = Some(seed);
        let thing = context.generate_as::<Thing>("Thing: ", &params).await;
        match thing {
            Ok(Thing { size: Size::Small | Size::Large, .. }) => {}
            Err(Error::Answer { finish_reason: FinishReason::Length, .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_cut_comes_back_as_text() {
    let model = model().await;
    let error = model.generate_as::<Person>(question(QUESTION), &GenerationParams::greedy(5)).await.unwrap_err();
    let Error::Answer { wanted, text, finish_reason, .. } = error else { panic!("{error:?}") };
    assert!(wanted.ends_with("Person") && finish_reason == FinishReason::Length, "{wanted} {finish_reason}");
    assert!(text.starts_with('{'), "{text}");
}

#[tokio::test]
async fn a_schema_that_is_no_grammar_is_refused() {
    #[derive(Debug, Deserialize)]
    struct Broken;
    impl JsonSchema for Broken {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "Broken".into()
        }
        fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
            schemars::json_schema!({ "$ref": "https://example.com/other.json" })
        }
    }
    let model = model().await;
    for prompt in [question(QUESTION).into(), mullama_core::RequestPrompt::from("x")] {
        let error = model.generate_as::<Broken>(prompt, &GenerationParams::greedy(5)).await.unwrap_err();
        assert!(matches!(error, Error::Core(mullama_core::Error::Grammar { .. })), "{error:?}");
    }
}
