//! POST /v1/completions.

pub(crate) mod native;
mod stream;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use mullama_async::{BackendPrompt, BackendRequest};
use mullama_core::{GenerationParams, Grammar, TokenId, TokenLogprob};
use serde_json::{Map, Value};

use super::chat::choices;
use crate::answering::{Answering, Caller, Work, priority};
use crate::error::{ApiError, ApiResult};
use crate::extract::ApiJson;
use crate::state::AppState;
use crate::structured::{self, Checks};
use crate::wire::completion::{Completion, CompletionChoice, CompletionLogprobs, CompletionRequest};
use crate::wire::logprobs::{finite, text};
use crate::wire::loose::TextOrTokens;
use crate::wire::sampling::{limit, range};
use crate::wire::usage::{Timings, Usage};

/// Continues a text.
#[utoipa::path(
    post, path = "/v1/completions", tag = "OpenAI", request_body = CompletionRequest,
    responses(
        (status = 200, description = "The answer; with `stream` as server-sent events", content(
            (Completion = "application/json"),
            (String = "text/event-stream"),
        )),
        crate::wire::error::Failures,
    ),
)]
pub(crate) async fn completions(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(request): ApiJson<CompletionRequest>,
) -> ApiResult<Response> {
    let stream = request.stream == Some(true);
    let usage = request.stream_options.and_then(|options| options.include_usage) == Some(true);
    let (work, plan) = plan(&state, request).await?;
    if stream && plan.keep < plan.computed {
        return Err(ApiError::invalid(
            "best_of",
            "`best_of` above `n` cannot be streamed: which is best shows at the end.",
        ));
    }
    let mut answering = Answering::start(&state, &caller, work).await?;
    if stream {
        answering.first().await?;
        return Ok(stream::response(&state, answering, plan, usage));
    }
    Ok(Json(whole(answering, &plan).await?).into_response())
}

/// How choices stand to prompts.
#[derive(Debug)]
struct Plan {
    /// The prompts' texts, where they are to be given back.
    echo: Vec<String>,
    /// Answers that are computed for each prompt, and those that are given.
    computed: usize,
    keep: usize,
}

async fn plan(state: &AppState, mut request: CompletionRequest) -> ApiResult<(Work, Plan)> {
    let model = state.resolve(request.model.as_deref())?;
    let prompts = request.prompt.take().map(crate::wire::loose::Inputs::into_vec).unwrap_or_default();
    if prompts.is_empty() {
        return Err(ApiError::invalid("prompt", "`prompt` is empty; give a text or tokens."));
    }
    let keep = choices(state, request.n)?;
    let computed =
        request.best_of.map_or(Ok(keep), |best| choices(state, Some(best)).map_err(|error| error.param("best_of")))?;
    if computed < keep {
        return Err(ApiError::invalid(
            "best_of",
            format!("`best_of` is {computed}, but must be at least `n`, which is {keep}."),
        ));
    }
    if prompts.len().saturating_mul(computed as usize) > state.config().max_inputs {
        let message =
            format!("{} prompts times {computed} answers are more than {}.", prompts.len(), state.config().max_inputs);
        return Err(ApiError::invalid("prompt", message));
    }
    let mut params = request.sampling().over(&state.config().defaults)?;
    params.max_tokens = Some(limit("max_tokens", request.max_tokens)?.unwrap_or(16));
    params.top_logprobs = logprobs(request.logprobs, computed > keep)?;
    let (checks, warnings) = form(&mut params, request.json_schema.take(), "json_schema")?;
    let adapters = request.lora.take().map(|list| list.iter().map(|one| (one.id, one.scale)).collect::<Vec<_>>());
    let mut echo = Vec::new();
    if request.echo == Some(true) {
        for prompt in &prompts {
            echo.push(match prompt {
                TextOrTokens::Text(text) => text.clone(),
                TextOrTokens::Tokens(tokens) => {
                    state.backend().detokenize(&model, tokens.iter().copied().map(TokenId).collect()).await?
                }
            });
        }
    }
    let priority = priority(request.service_tier.as_deref());
    let mut requests = Vec::with_capacity(prompts.len() * computed as usize);
    for prompt in prompts {
        let prompt = to_prompt(prompt, request.suffix.as_deref())?;
        for choice in 0..computed {
            let mut params = params.clone();
            params.sampling.seed = params.sampling.seed.map(|seed| seed.wrapping_add(choice));
            requests.push(BackendRequest {
                prompt: prompt.clone(),
                params,
                priority,
                adapters: adapters.clone(),
                cache_salt: None,
                event_buffer: None,
            });
        }
    }
    let plan = Plan { echo, computed: computed as usize, keep: keep as usize };
    Ok((Work { model, prefix: "cmpl-", requests, checks, warnings }, plan))
}

fn to_prompt(prompt: TextOrTokens, suffix: Option<&str>) -> ApiResult<BackendPrompt> {
    match (prompt, suffix) {
        (TextOrTokens::Text(prefix), Some(suffix)) => Ok(BackendPrompt::Infill { prefix, suffix: suffix.to_owned() }),
        (TextOrTokens::Text(text), None) => Ok(BackendPrompt::Text(text)),
        (TextOrTokens::Tokens(tokens), None) => Ok(BackendPrompt::Tokens(tokens.into_iter().map(TokenId).collect())),
        (TextOrTokens::Tokens(_), Some(_)) => {
            Err(ApiError::invalid("suffix", "`suffix` needs a prompt that is text, not tokens."))
        }
    }
}

/// `logprobs`; the choice among several answers needs those of the chosen tokens too.
fn logprobs(wanted: Option<i64>, compare: bool) -> ApiResult<Option<u8>> {
    match wanted {
        None => Ok(compare.then_some(0)),
        Some(top) => {
            let count = u8::try_from(top).ok().filter(|count| *count <= 5);
            count.map(Some).ok_or_else(|| range("logprobs", top, "0 to 5"))
        }
    }
}

type Formed = (Checks, Vec<String>);

/// A schema becomes a grammar. `param`: the field that it came with.
pub(crate) fn form(params: &mut GenerationParams, schema: Option<Value>, param: &'static str) -> ApiResult<Formed> {
    let Some(schema) = schema else { return Ok((Checks { form: "grammar", ..Checks::default() }, Vec::new())) };
    if params.sampling.grammar.is_some() {
        return Err(ApiError::invalid(param, format!("Give `grammar` or `{param}`, not both.")));
    }
    let plan = structured::plan(&schema, false, param)?;
    let grammar = Grammar::json_schema(&schema).map_err(|error| ApiError::from(error).param(param))?;
    params.sampling.grammar = Some(grammar);
    Ok((Checks::of_text(param, plan.validator), plan.warnings))
}

async fn whole(mut answering: Answering, plan: &Plan) -> ApiResult<Completion> {
    let mut ends = answering.whole().await?;
    let mut usages = Usage::default();
    let (mut prompt_tokens, mut timings) = (0_u32, None);
    for (index, end) in ends.iter().enumerate() {
        usages.add(&end.done.summary.usage, 0);
        if index % plan.computed == 0 {
            prompt_tokens = prompt_tokens.saturating_add(end.done.summary.usage.prompt_tokens);
        }
        timings.get_or_insert_with(|| Timings::of(&end.done.summary));
    }
    usages.prompt_tokens = prompt_tokens;
    usages.total_tokens = prompt_tokens.saturating_add(usages.completion_tokens);
    let mut choices = Vec::new();
    for (prompt, group) in ends.chunks_mut(plan.computed).enumerate() {
        if plan.keep < plan.computed {
            group.sort_by(|a, b| mean(&b.done.last.logprobs).total_cmp(&mean(&a.done.last.logprobs)));
        }
        for one in group.iter().take(plan.keep) {
            let before = plan.echo.get(prompt).map_or("", String::as_str);
            choices.push(CompletionChoice {
                index: u32::try_from(choices.len()).unwrap_or(u32::MAX),
                text: format!("{before}{}", one.done.last.text),
                finish_reason: Some(one.finish_reason),
                logprobs: told(&one.done.last.logprobs, before.chars().count()),
            });
        }
    }
    Ok(Completion {
        object: "text_completion",
        created: answering.created,
        choices,
        usage: Some(usages),
        system_fingerprint: answering.fingerprint.to_string(),
        timings,
        warnings: std::mem::take(&mut answering.warnings),
        id: std::mem::take(&mut answering.id),
        model: std::mem::take(&mut answering.model),
    })
}

/// Per token: else short answers would always win.
fn mean(logprobs: &[TokenLogprob]) -> f64 {
    let sum: f64 = logprobs.iter().map(|token| f64::from(token.logprob)).sum();
    #[expect(clippy::cast_precision_loss, reason = "tokens of an answer")]
    let count = logprobs.len().max(1) as f64;
    sum / count
}

/// In the older form; `None` of none. `offset`: characters before the first token.
fn told(logprobs: &[TokenLogprob], mut offset: usize) -> Option<CompletionLogprobs> {
    if logprobs.is_empty() {
        return None;
    }
    let mut told = CompletionLogprobs::default();
    for token in logprobs {
        let name = text(&token.bytes);
        told.text_offset.push(offset);
        offset += name.chars().count();
        told.tokens.push(name);
        told.token_logprobs.push(finite(token.logprob));
        let top = token.top_logprobs.iter().map(|top| (text(&top.bytes), Value::from(finite(top.logprob))));
        told.top_logprobs.push(top.collect::<Map<_, _>>());
    }
    Some(told)
}
