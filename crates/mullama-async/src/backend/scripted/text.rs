//! Tokens, vectors and ranks of a scripted backend.

use std::collections::HashSet;

use mullama_core::{
    ChatDelta, ChatMessage, ChatRequest, EmbedInput, Embedding, Error as CoreError, RerankScore, TokenId, ToolCallDelta,
};

use super::{Script, ScriptedBackend};
use crate::backend::{BackendPrompt, RerankOutput};
use crate::error::Result;

/// The first token that is a piece of a script; those below are characters.
pub(super) const SCRIPT: u32 = 0x11_0000;

/// One token for each character.
pub(super) fn tokenize(text: &str) -> Vec<TokenId> {
    text.chars().map(|character| id(character.into())).collect()
}

pub(super) fn count(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

/// The token of a piece of a script.
pub(super) fn piece_id(index: usize) -> TokenId {
    id(SCRIPT.saturating_add(u32::try_from(index).unwrap_or(u32::MAX)))
}

fn id(number: u32) -> TokenId {
    TokenId(i32::try_from(number).unwrap_or(i32::MAX))
}

/// The text of a token.
pub(super) fn piece(script: &Script, token: TokenId) -> Result<String> {
    let unknown =
        || CoreError::UnknownToken { name: "tokens", id: token.0, n_vocab: i32::try_from(SCRIPT).unwrap_or(i32::MAX) };
    let number = u32::try_from(token.0).map_err(|_| unknown())?;
    if let Some(character) = char::from_u32(number) {
        return Ok(character.to_string());
    }
    let index = number.checked_sub(SCRIPT).and_then(|index| usize::try_from(index).ok()).ok_or_else(unknown)?;
    let text = match script {
        Script::Tokens { text, .. } | Script::Stall { text, .. } if index == 0 => Some(text.clone()),
        Script::FailAfter { .. } | Script::NoDone { .. } | Script::DoneTwice { .. } if index == 0 => {
            Some(WORD.to_owned())
        }
        Script::Answer { deltas, .. } => deltas.get(index).map(|delta| text_of(delta).to_owned()),
        Script::Noise => noise().get(index).map(|delta| text_of(delta).to_owned()),
        _ => None,
    };
    text.ok_or_else(|| unknown().into())
}

/// A delta's text, as a model would have written it.
pub(super) fn text_of(delta: &ChatDelta) -> &str {
    match delta {
        ChatDelta::Content(text) | ChatDelta::ReasoningContent(text) => text,
        ChatDelta::ToolCall(call) => &call.arguments,
        _ => "",
    }
}

/// The tokens of a prompt: of a conversation, those of its texts.
pub(super) fn prompt_tokens(prompt: &BackendPrompt) -> u32 {
    match prompt {
        BackendPrompt::Text(text) => count(text),
        BackendPrompt::Tokens(tokens) => u32::try_from(tokens.len()).unwrap_or(u32::MAX),
        BackendPrompt::Chat(chat) => {
            chat.messages.iter().map(|message| count(&message.text())).fold(0, u32::saturating_add)
        }
        BackendPrompt::Infill { prefix, suffix } => count(prefix).saturating_add(count(suffix)),
    }
}

/// `role: text`, a line for each message.
pub(super) fn render(request: &ChatRequest) -> String {
    let role = |message: &ChatMessage| serde_json::to_value(message.role).unwrap_or_default();
    let line = |message: &ChatMessage| format!("{}: {}\n", role(message).as_str().unwrap_or_default(), message.text());
    let mut text: String = request.messages.iter().map(line).collect();
    if request.add_generation_prompt {
        text.push_str("assistant: ");
    }
    text
}

/// A vector of length 1 that depends on the text alone.
pub(super) fn embed(input: &EmbedInput) -> Embedding {
    let (bytes, tokens) = if let EmbedInput::Text(text) = input {
        (text.as_bytes().to_vec(), count(text))
    } else if let EmbedInput::Tokens(tokens) = input {
        let bytes = tokens.iter().flat_map(|token| token.0.to_le_bytes()).collect();
        (bytes, u32::try_from(tokens.len()).unwrap_or(u32::MAX))
    } else {
        (Vec::new(), 0)
    };
    let numbers = (0..ScriptedBackend::DIMENSIONS as u64).map(|dimension| {
        let [a, b, ..] = fnv(dimension, &bytes).to_le_bytes();
        f32::from(u16::from_le_bytes([a, b])) / 32_768.0 - 1.0
    });
    let mut vector: Vec<f32> = numbers.collect();
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|number| *number /= length);
    }
    Embedding { vector, tokens }
}

/// FNV-1a, folded once more so that the last byte reaches the low ones.
fn fnv(seed: u64, bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24
}

/// By the share of the query's words that a document has, best first; those that are equal in their order.
pub(super) fn rank(query: &str, documents: &[String]) -> RerankOutput {
    let words = |text: &str| text.split_whitespace().map(str::to_lowercase).collect::<HashSet<String>>();
    let wanted = words(query);
    let share = |document: &String| {
        let shared = u16::try_from(words(document).intersection(&wanted).count()).unwrap_or(u16::MAX);
        f32::from(shared) / f32::from(u16::try_from(wanted.len().max(1)).unwrap_or(u16::MAX))
    };
    let mut scores: Vec<RerankScore> =
        documents.iter().enumerate().map(|(index, document)| RerankScore { index, score: share(document) }).collect();
    scores.sort_by(|a, b| b.score.total_cmp(&a.score));
    let asked = u64::from(count(query));
    RerankOutput::new(scores, documents.iter().map(|document| asked + u64::from(count(document))).sum())
}

/// What [`Script::Noise`] sends.
pub(super) fn noise() -> Vec<ChatDelta> {
    let call = |index, arguments: &str| {
        ChatDelta::ToolCall(ToolCallDelta { index, id: None, name: None, arguments: arguments.to_owned() })
    };
    let text = |text: &str| ChatDelta::Content(text.to_owned());
    vec![
        text("\n\ndata: [DONE]\n\nevent: error\ndata: {}\r\n\r\n"),
        text(""),
        text("\0\u{1}\u{7f}\u{85}\u{2028}\u{2029}\u{feff}\u{fffd}\u{ffff}\u{202e}\u{10ffff}"),
        text("\"}]}\\\\ </script><!--"),
        call(7, "{\"a\":"),
        call(0, "\u{0}]]"),
        ChatDelta::ReasoningContent("</think>".to_owned()),
        text("\u{e9}e\u{301}\u{1f468}\u{200d}\u{1f469}"),
    ]
}

pub(super) const WORD: &str = "word ";
