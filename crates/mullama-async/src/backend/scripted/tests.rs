//! Tests of the scripts, in paused time.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::FutureExt as _;
use mullama_core::{
    ChatMessage, ChatRequest, EmbedInput, EncodeOptions, Error as CoreError, FinishReason, GenerationParams,
    ToolCallDelta,
};
use tokio::time::Instant;

use super::*;
use crate::backend::{BackendEvent, BackendPrompt, BackendStream, BackendSummary, InferenceBackend, TokenDelta};
use crate::pool::ModelState;

const TICK: Duration = Duration::from_millis(100);

fn plain(max_tokens: Option<u32>) -> BackendRequest {
    let params = GenerationParams { max_tokens, ..GenerationParams::default() };
    BackendRequest { params, ..BackendRequest::new(BackendPrompt::Text("four".to_owned())) }
}

fn chat() -> BackendRequest {
    let messages = [ChatMessage::system("be brief"), ChatMessage::user("hé?")];
    BackendRequest::new(BackendPrompt::Chat(Box::new(ChatRequest::new(messages))))
}

/// Everything until the end of the stream: tokens, the summary, the error.
async fn all(mut stream: BackendStream) -> (Vec<TokenDelta>, Vec<BackendSummary>, Option<Error>) {
    let (mut tokens, mut done) = (Vec::new(), Vec::new());
    while let Some(event) = stream.next().await {
        match event {
            Ok(BackendEvent::Tokens(delta)) => tokens.push(delta),
            Ok(BackendEvent::Done(summary)) => done.push(*summary),
            Err(error) => return (tokens, done, Some(error)),
        }
    }
    (tokens, done, None)
}

#[tokio::test(start_paused = true)]
async fn tokens_come_at_their_interval_and_end_at_the_limit() {
    let backend = ScriptedBackend::new().model("m", Script::tokens(10, TICK));
    let begun = Instant::now();
    let stream = backend.submit("m", plain(None)).await.unwrap();
    assert_eq!((stream.prompt_tokens(), backend.running("m")), (4, 1));
    let (tokens, done, error) = all(stream).await;
    assert!(error.is_none());
    assert_eq!(tokens.len(), 10);
    assert!(tokens.iter().all(|delta| delta.text == "word " && delta.tokens.len() == 1 && delta.deltas.is_empty()));
    assert_eq!(begun.elapsed().as_millis(), 1_000);
    let [done] = done.as_slice() else { panic!("{done:?}") };
    let usage = done.summary.usage;
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (4, 10, 14));
    assert_eq!(done.summary.finish_reason, FinishReason::Stop);
    assert!((done.summary.timings.prompt_ms - 100.0).abs() < 1.0, "{:?}", done.summary.timings);
    assert!((done.summary.timings.predicted_ms - 900.0).abs() < 1.0, "{:?}", done.summary.timings);

    let (tokens, done, _) = all(backend.submit("m", plain(Some(3))).await.unwrap()).await;
    assert_eq!((tokens.len(), done[0].summary.finish_reason), (3, FinishReason::Length));
    let mut request = plain(None);
    request.params.timeout_ms = Some(250);
    let begun = Instant::now();
    let (tokens, done, _) = all(backend.submit("m", request).await.unwrap()).await;
    assert_eq!((tokens.len(), done[0].summary.finish_reason), (2, FinishReason::Timeout));
    assert_eq!(begun.elapsed().as_millis(), 250);

    let stats = &backend.stats()[0].stats;
    assert_eq!((stats.requests_submitted, stats.generated_tokens, stats.prompt_tokens), (3, 15, 12));
    assert_eq!((stats.requests_finished_stop, stats.requests_finished_length), (1, 1));
    assert_eq!((stats.requests_finished_timeout, stats.sequences_running), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_an_answer_and_a_drop_is_counted() {
    let backend = ScriptedBackend::new().model("m", Script::tokens(1_000, TICK));
    let mut stream = backend.submit("m", plain(None)).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(BackendEvent::Tokens(_)))));
    let control = stream.control();
    let begun = Instant::now();
    let (end, ()) = tokio::join!(all(stream), async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        control.stop();
    });
    assert_eq!(begun.elapsed().as_millis(), 10);
    assert_eq!(end.1[0].summary.finish_reason, FinishReason::Cancelled);
    assert_eq!(backend.cancelled("m"), 0);

    let mut stream = backend.submit("m", plain(None)).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(BackendEvent::Tokens(_)))));
    drop(stream);
    assert_eq!((backend.running("m"), backend.cancelled("m"), backend.submitted("m")), (0, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_pieces_becomes_a_message() {
    let call = |id: Option<&str>, arguments: &str| {
        let name = id.map(|_| "weather".to_owned());
        ChatDelta::ToolCall(ToolCallDelta {
            index: 0,
            id: id.map(str::to_owned),
            name,
            arguments: arguments.to_owned(),
        })
    };
    let deltas = vec![
        ChatDelta::ReasoningContent("Hm. ".to_owned()),
        ChatDelta::Content("Let me see. ".to_owned()),
        call(Some("call_1"), ""),
        call(None, "{\"city\":"),
        call(None, "\"Rome\"}"),
    ];
    let backend = ScriptedBackend::new().model("m", Script::Answer { deltas: deltas.clone(), interval: TICK });
    let stream = backend.submit("m", chat()).await.unwrap();
    assert_eq!(stream.prompt_tokens(), 11);
    let (tokens, done, _) = all(stream).await;
    assert_eq!(tokens.iter().flat_map(|delta| delta.deltas.clone()).collect::<Vec<_>>(), deltas);
    assert_eq!(done[0].summary.finish_reason, FinishReason::ToolCalls);
    let message = done[0].message.as_ref().unwrap();
    assert_eq!((message.text().as_str(), message.reasoning_content.as_deref()), ("Let me see. ", Some("Hm. ")));
    let [call] = message.tool_calls.as_slice() else { panic!("{message:?}") };
    assert_eq!((call.id.as_str(), call.function.name.as_str()), ("call_1", "weather"));
    assert_eq!(call.function.arguments, "{\"city\":\"Rome\"}");
    // Their tokens go back into text.
    let ids = tokens.iter().flat_map(|delta| delta.tokens.clone()).collect();
    assert_eq!(backend.detokenize("m", ids).await.unwrap(), "Hm. Let me see. {\"city\":\"Rome\"}");
}

#[tokio::test(start_paused = true)]
async fn thoughts_are_ended_once_when_they_come() {
    let text = |text: &str| ChatDelta::Content(text.to_owned());
    let thought = |text: &str| ChatDelta::ReasoningContent(text.to_owned());
    let deltas =
        vec![text("a"), thought("1"), thought("2"), text("b"), text("c"), thought("3"), thought("4"), text("d")];
    let backend = ScriptedBackend::new().model("m", Script::Answer { deltas, interval: TICK });
    let begin = async |control: bool, max_tokens: Option<u32>| {
        let mut request = chat();
        request.params.max_tokens = max_tokens;
        let BackendPrompt::Chat(chat) = &mut request.prompt else { panic!("a conversation") };
        chat.reasoning_control = control;
        let stream = backend.submit("m", request).await.unwrap();
        // Before there is any thought: the wish waits for it.
        stream.control().end_reasoning();
        stream
    };
    let told = |(tokens, done, _): (Vec<TokenDelta>, Vec<BackendSummary>, _)| {
        let text: String = tokens.iter().map(|delta| delta.text.as_str()).collect();
        (text, done[0].summary.finish_reason)
    };
    assert_eq!(told(all(begin(true, None).await).await), ("abc34d".to_owned(), FinishReason::Stop));
    assert_eq!(told(all(begin(true, Some(4)).await).await), ("abc3".to_owned(), FinishReason::Length));
    assert_eq!(told(all(begin(true, Some(6)).await).await), ("abc34d".to_owned(), FinishReason::Stop));
    assert_eq!(told(all(begin(false, None).await).await), ("a12bc34d".to_owned(), FinishReason::Stop));

    // In their midst, and once more.
    let mut stream = begin(true, None).await;
    for _ in 0..4 {
        stream.next().await.unwrap().unwrap();
    }
    stream.control().end_reasoning();
    assert_eq!(told(all(stream).await), ("d".to_owned(), FinishReason::Stop));
}

#[tokio::test(start_paused = true)]
async fn what_hangs_hangs_and_what_stalls_stalls() {
    let stall = Script::Stall { after: 2, interval: TICK, text: "x".to_owned() };
    let backend = ScriptedBackend::new().model("hang", Script::Hang).model("stall", stall);
    let hour = Duration::from_secs(3_600);
    let mut stream = backend.submit("hang", plain(None)).await.unwrap();
    stream.control().stop();
    assert!(tokio::time::timeout(hour, stream.next()).await.is_err());
    assert!(tokio::time::timeout(hour, backend.embed("hang", vec!["a".into()])).await.is_err());
    let mut stream = backend.submit("stall", plain(None)).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(stream.next().await, Some(Ok(BackendEvent::Tokens(_)))));
    }
    assert!(tokio::time::timeout(hour, stream.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn errors_and_garbage_come_as_written() {
    let broken = || Error::from(CoreError::Internal { what: "broken".to_owned() });
    let backend = ScriptedBackend::new()
        .model("refuse", Script::Refuse(broken))
        .model("fail", Script::FailAfter { tokens: 2, interval: TICK, error: broken })
        .model("no done", Script::NoDone { tokens: 3 })
        .model("twice", Script::DoneTwice { tokens: 1 })
        .model("noise", Script::Noise)
        .model("full", Script::Overloaded);
    assert!(matches!(backend.submit("refuse", plain(None)).await, Err(Error::Core(CoreError::Internal { .. }))));
    assert!(matches!(backend.submit("full", plain(None)).await, Err(Error::Core(CoreError::Overloaded { .. }))));
    assert!(matches!(backend.submit("none", plain(None)).await, Err(Error::NoSuchModel { .. })));
    let (tokens, done, error) = all(backend.submit("fail", plain(None)).await.unwrap()).await;
    assert!(tokens.len() == 2 && done.is_empty() && matches!(error, Some(Error::Core(CoreError::Internal { .. }))));
    let (tokens, done, error) = all(backend.submit("no done", plain(None)).await.unwrap()).await;
    assert!(tokens.len() == 3 && done.is_empty() && error.is_none());
    let (tokens, done, error) = all(backend.submit("twice", plain(None)).await.unwrap()).await;
    assert!(tokens.len() == 2 && done.len() == 2 && error.is_none());
    let (tokens, done, error) = all(backend.submit("noise", chat()).await.unwrap()).await;
    assert!(tokens.len() > 5 && done.len() == 1 && error.is_none());
    assert_eq!(done[0].message.as_ref().unwrap().tool_calls, []);
    assert!(tokens.iter().any(|delta| delta.text.contains("[DONE]")));
    assert_eq!(backend.running("fail") + backend.running("no done") + backend.running("twice"), 0);
    let full = backend.stats().into_iter().find(|one| one.model == "full").unwrap().stats;
    assert_eq!((full.requests_submitted, full.requests_rejected), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_kill_ends_all_streams_at_once_and_the_model_comes_back() {
    let backend = ScriptedBackend::new().model("m", Script::tokens(100, TICK)).model("other", Script::tokens(2, TICK));
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(backend.submit("m", plain(None)).await.unwrap());
    }
    let mut waiting = Box::pin(streams[0].next());
    assert!(waiting.as_mut().now_or_never().is_none());
    backend.kill("m", Duration::from_secs(2));
    let begun = Instant::now();
    assert!(matches!(waiting.await, Some(Err(Error::BackendDown { .. }))));
    for stream in &mut streams[1..] {
        assert!(matches!(stream.next().await, Some(Err(Error::BackendDown { .. }))));
        assert!(stream.next().await.is_none());
    }
    assert!(begun.elapsed().is_zero());
    assert_eq!((backend.running("m"), backend.restarts("m"), backend.cancelled("m")), (0, 1, 0));
    let refused = backend.submit("m", plain(None)).await.unwrap_err();
    assert!(
        matches!(refused, Error::BackendDown { retry_after, .. } if retry_after == Duration::from_secs(2)),
        "{refused}"
    );
    assert_eq!(backend.models()[0].state, ModelState::Loading);
    assert_eq!(backend.stats().len(), 1);
    assert_eq!(all(backend.submit("other", plain(None)).await.unwrap()).await.0.len(), 2);

    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(backend.models()[0].state, ModelState::Ready);
    assert_eq!(backend.stats()[0].stats.requests_submitted, 0);
    assert_eq!(all(backend.submit("m", plain(Some(1))).await.unwrap()).await.0.len(), 1);
    backend.kill("m", Duration::from_secs(3_600));
    backend.revive("m");
    assert_eq!(all(backend.submit("m", plain(Some(1))).await.unwrap()).await.0.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_a_load_and_a_shutdown_waits_for_requests() {
    let backend = ScriptedBackend::new().model("m", Script::Loading);
    assert_eq!(backend.models()[0].state, ModelState::Loading);
    let (stream, ()) = tokio::join!(backend.submit("m", plain(None)), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        backend.script("m", Script::tokens(4, TICK));
    });
    let begun = Instant::now();
    let (end, in_time) = tokio::join!(all(stream.unwrap()), backend.shutdown(Duration::from_secs(5)));
    assert!(in_time && end.0.len() == 4);
    assert_eq!(begun.elapsed().as_millis(), 400);
    assert!(matches!(backend.submit("m", plain(None)).await, Err(Error::ShutDown)));

    let backend = ScriptedBackend::new().model("m", Script::tokens(100, TICK));
    let stream = backend.submit("m", plain(None)).await.unwrap();
    let (end, in_time) = tokio::join!(all(stream), backend.shutdown(Duration::from_millis(250)));
    assert!(!in_time);
    assert_eq!((end.0.len(), end.1[0].summary.finish_reason), (2, FinishReason::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn texts_and_tokens_vectors_and_ranks_fit_together() {
    let backend = ScriptedBackend::new().model("m", Script::tokens(1, TICK)).alias("m", "gpt");
    assert_eq!(backend.resolve(Some("gpt")).as_deref(), Some("m"));
    assert_eq!(backend.resolve(Some("gpt-5")), None);
    let text = "a\u{1f600}\u{e9}\n".to_owned();
    let tokens = backend.tokenize("gpt", text.clone(), EncodeOptions::default()).await.unwrap();
    assert_eq!(tokens.len(), 4);
    assert_eq!(backend.detokenize("m", tokens.clone()).await.unwrap(), text);
    assert_eq!(backend.pieces("m", tokens).await.unwrap().concat(), text.as_bytes());
    for id in [-1, 0xd800, 0x11_0001] {
        let unknown = backend.detokenize("m", vec![mullama_core::TokenId(id)]).await;
        assert!(matches!(unknown, Err(Error::Core(CoreError::UnknownToken { .. }))), "{id}");
    }
    let texts: Vec<EmbedInput> = vec!["one".into(), "two".into(), "one".into(), "".into()];
    let vectors = backend.embed("m", texts).await.unwrap();
    for one in &vectors {
        let length: f32 = one.vector.iter().map(|number| number * number).sum();
        assert!((length - 1.0).abs() < 1e-5 && one.vector.len() == ScriptedBackend::DIMENSIONS);
    }
    assert_eq!(vectors[0], vectors[2]);
    let near: f32 = vectors[0].vector.iter().zip(&vectors[1].vector).map(|(a, b)| a * b).sum();
    assert!(near < 0.9, "{near}");
    let documents = ["green tea", "the red car", "a red Car of mine"].map(str::to_owned).to_vec();
    let ranked = backend.rerank("m", "red car".to_owned(), documents).await.unwrap();
    assert_eq!(ranked.scores.iter().map(|score| score.index).collect::<Vec<_>>(), [1, 2, 0]);
    let BackendPrompt::Chat(request) = chat().prompt else { panic!("a conversation") };
    let rendered = backend.apply_template("m", request).await.unwrap();
    assert_eq!((rendered.text.as_str(), rendered.tokens), ("system: be brief\nuser: hé?\nassistant: ", 38));
}

#[tokio::test(start_paused = true)]
async fn two_thousand_streams_run_side_by_side() {
    static TOKENS: AtomicUsize = AtomicUsize::new(0);
    let backend = ScriptedBackend::new().model("m", Script::tokens(10, TICK));
    let begun = Instant::now();
    let streams = (0..2_000).map(|_| async {
        let (tokens, done, _) = all(backend.submit("m", plain(None)).await.unwrap()).await;
        TOKENS.fetch_add(tokens.len(), Ordering::Relaxed);
        done.len()
    });
    let ends: usize = futures_util::future::join_all(streams).await.into_iter().sum();
    assert_eq!((ends, TOKENS.load(Ordering::Relaxed)), (2_000, 20_000));
    assert!(begun.elapsed() < Duration::from_millis(1_200), "{:?}", begun.elapsed());
}
