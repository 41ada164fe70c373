//! OpenAI's request to core's.

use std::collections::HashMap;
use std::sync::Arc;

use mullama_core::{
    ChatMessage, ChatRequest, ContentPart, FunctionCall, GenerationParams, Grammar, ResponseFormat as CoreFormat, Role,
    Tool, ToolCall, ToolChoice as CoreChoice,
};
use serde_json::{Map, Value};

use crate::error::{ApiError, ApiResult};
use crate::state::AppState;
use crate::structured::{self, Checks, Validator};
use crate::wire::chat::{
    ChatCompletionRequest, Message, MessageContent, MessagePart, MessageRole, ReasoningEffort, ResponseFormat,
    ToolChoice, ToolSpec,
};
use crate::wire::sampling::{limit, range};

/// A conversation, and how its answer is to be.
#[derive(Debug)]
pub(crate) struct Translated {
    pub(crate) chat: ChatRequest,
    pub(crate) params: GenerationParams,
    pub(crate) checks: Checks,
    pub(crate) warnings: Vec<String>,
}

pub(crate) fn translate(state: &AppState, mut request: ChatCompletionRequest) -> ApiResult<Translated> {
    let messages = request.messages.take().unwrap_or_default();
    if messages.is_empty() {
        return Err(ApiError::invalid("messages", "`messages` is empty; give at least one message."));
    }
    let mut params = request.sampling().over(&state.config().defaults)?;
    params.max_tokens = match limit("max_completion_tokens", request.max_completion_tokens)? {
        Some(tokens) => Some(tokens),
        None => limit("max_tokens", request.max_tokens)?.or(params.max_tokens),
    };
    params.top_logprobs = logprobs(request.logprobs, request.top_logprobs)?;
    // The conversation carries it: the engine of the template decides where it begins.
    let grammar = params.sampling.grammar.take();
    let messages = messages.into_iter().enumerate().map(|(index, one)| message(index, one));
    let mut chat = ChatRequest::new(messages.collect::<ApiResult<Vec<_>>>()?);
    let mut warnings = Vec::new();
    let mut checks = Checks::default();
    if let Some((schema, strict, param)) = form(request.response_format.take(), request.json_schema.take())? {
        let plan = structured::plan(&schema, strict, param)?;
        warnings.extend(plan.warnings);
        checks = Checks::of_text(param, plan.validator);
        chat.response_format = CoreFormat::JsonSchema { schema };
    }
    let formed = chat.response_format != CoreFormat::Text;
    checks.arguments =
        tools(&mut chat, request.tools.take().unwrap_or_default(), request.tool_choice.take(), &mut warnings)?;
    if formed && !chat.tools.is_empty() && chat.tool_choice != CoreChoice::None {
        // Templates with tools may let the model answer in another form.
        checks.text = checks.text.filter(|validator| validator.is_strict());
        if chat.tool_choice == CoreChoice::Auto {
            tracing::warn!(param = checks.form, "{FORM_OR_TOOLS}");
            warnings.push(FORM_OR_TOOLS.to_owned());
        }
    }
    if chat.tool_choice == CoreChoice::Required {
        // llama.cpp would hold the answer to the schema, and let it call nothing.
        chat.response_format = CoreFormat::Text;
    }
    chat.parallel_tool_calls = request.parallel_tool_calls;
    if checks.form.is_empty() && !chat.tools.is_empty() {
        // What tools ask for becomes a grammar, too.
        checks.form = "tools";
    }
    if let Some(grammar) = grammar {
        checks.form = "grammar";
        combine(&mut chat, grammar, formed)?;
    }
    reasoning(&mut chat, &request)?;
    chat.add_generation_prompt = request.add_generation_prompt.unwrap_or(true);
    chat.continue_final_message = request.continue_final_message.unwrap_or(false);
    if let Some(values) = request.chat_template_kwargs {
        template_args(&mut chat, values)?;
    }
    Ok(Translated { chat, params, checks, warnings })
}

/// `logprobs` and `top_logprobs`.
fn logprobs(wanted: Option<bool>, top: Option<i64>) -> ApiResult<Option<u8>> {
    match (wanted, top) {
        (Some(true), top) => {
            let top = top.unwrap_or(0);
            let count = u8::try_from(top).ok().filter(|count| *count <= 20);
            count.map(Some).ok_or_else(|| range("top_logprobs", top, "0 to 20"))
        }
        (_, Some(top)) if top > 0 => {
            Err(ApiError::invalid("top_logprobs", "`top_logprobs` needs `logprobs` to be true."))
        }
        _ => Ok(None),
    }
}

fn message(index: usize, from: Message) -> ApiResult<ChatMessage> {
    let role = match from.role {
        MessageRole::System => Role::System,
        MessageRole::Developer => Role::Developer,
        MessageRole::User => Role::User,
        MessageRole::Assistant => Role::Assistant,
        MessageRole::Tool | MessageRole::Function => Role::Tool,
    };
    let content = match from.content {
        Some(MessageContent::Text(text)) => vec![ContentPart::Text { text }],
        Some(MessageContent::Parts(parts)) => {
            let parts = parts.into_iter().enumerate().map(|(at, part)| content_part(index, at, part));
            parts.collect::<ApiResult<_>>()?
        }
        None => from.refusal.map(|text| ContentPart::Text { text }).into_iter().collect(),
    };
    let tool_calls: Vec<ToolCall> = from.tool_calls.unwrap_or_default().into_iter().map(call).collect();
    if content.is_empty() && tool_calls.is_empty() && role != Role::Assistant {
        let param = format!("messages[{index}].content");
        return Err(ApiError::invalid(param, "A message of this role needs content."));
    }
    Ok(ChatMessage {
        role,
        content,
        reasoning_content: from.reasoning_content.or(from.reasoning),
        tool_calls,
        tool_call_id: from.tool_call_id,
        name: from.name,
    })
}

fn content_part(message: usize, at: usize, part: MessagePart) -> ApiResult<ContentPart> {
    match part {
        MessagePart::Text { text } | MessagePart::Refusal { refusal: text } => Ok(ContentPart::Text { text }),
        MessagePart::ImageUrl { .. } | MessagePart::InputAudio { .. } => {
            let param = format!("messages[{message}].content[{at}]");
            Err(ApiError::unsupported(param, "This server reads text only: it takes no pictures and no sound."))
        }
    }
}

fn call(from: crate::wire::chat::ToolCall) -> ToolCall {
    let function = FunctionCall { name: from.function.name, arguments: from.function.arguments };
    ToolCall { id: from.id, function }
}

/// The schema that the answer is to follow, whether strictly, and the field that it came with.
type Form = (Value, bool, &'static str);

fn form(format: Option<ResponseFormat>, json_schema: Option<Value>) -> ApiResult<Option<Form>> {
    let any_object = || serde_json::json!({ "type": "object" });
    let form = match format {
        None | Some(ResponseFormat::Text) => None,
        Some(ResponseFormat::JsonObject { schema }) => {
            Some((schema.unwrap_or_else(any_object), false, "response_format.schema"))
        }
        Some(ResponseFormat::JsonSchema { json_schema }) => {
            let param = "response_format.json_schema.schema";
            let schema = json_schema.schema.ok_or_else(|| ApiError::invalid(param, "`schema` is missing."))?;
            Some((schema, json_schema.strict == Some(true), param))
        }
    };
    match (form, json_schema) {
        (Some(_), Some(_)) => Err(ApiError::invalid(
            "json_schema",
            "Give the schema in `response_format` or in `json_schema`, not in both.",
        )),
        (None, Some(schema)) => Ok(Some((schema, false, "json_schema"))),
        (form, None) => Ok(form),
    }
}

fn tools(
    chat: &mut ChatRequest,
    specs: Vec<ToolSpec>,
    choice: Option<ToolChoice>,
    warnings: &mut Vec<String>,
) -> ApiResult<HashMap<String, Arc<Validator>>> {
    let has = |name: &str| specs.iter().any(|spec| spec.function.name == name);
    let (choice, only) = match choice {
        None | Some(ToolChoice::Auto) => (CoreChoice::Auto, None),
        Some(ToolChoice::None) => (CoreChoice::None, None),
        Some(ToolChoice::Required) => (CoreChoice::Required, None),
        // The model sees one tool and must call one: it calls this.
        Some(ToolChoice::Named(name)) => (CoreChoice::Required, Some(vec![name])),
        Some(ToolChoice::Allowed { required, names }) => {
            (if required { CoreChoice::Required } else { CoreChoice::Auto }, Some(names))
        }
    };
    if let Some(name) = only.iter().flatten().find(|name| !has(name)) {
        return Err(ApiError::invalid(
            "tool_choice",
            format!("`tool_choice` names `{name}`, which is not in `tools`."),
        ));
    }
    if choice == CoreChoice::Required && specs.is_empty() {
        return Err(ApiError::invalid("tool_choice", "`tool_choice` asks for a call, but there are no `tools`."));
    }
    let mut validators = HashMap::new();
    for (index, spec) in specs.into_iter().enumerate() {
        let function = spec.function;
        if only.as_ref().is_some_and(|names| !names.contains(&function.name)) {
            continue;
        }
        if let Some(schema) = &function.parameters {
            let param = format!("tools[{index}].function.parameters");
            if function.strict == Some(true) {
                validators.insert(function.name.clone(), structured::strictly(schema, param)?);
            } else {
                warnings.extend(structured::warnings(schema));
            }
        }
        chat.tools.push(Tool {
            name: function.name,
            description: function.description.unwrap_or_default(),
            parameters: function.parameters.unwrap_or(Value::Null),
        });
    }
    chat.tool_choice = choice;
    Ok(validators)
}

fn combine(chat: &mut ChatRequest, grammar: Grammar, formed: bool) -> ApiResult<()> {
    if formed || (!chat.tools.is_empty() && chat.tool_choice != CoreChoice::None) {
        let message = "`grammar` cannot be had together with tools or a response format.";
        return Err(ApiError::invalid("grammar", message));
    }
    chat.grammar = Some(grammar);
    Ok(())
}

fn reasoning(chat: &mut ChatRequest, request: &ChatCompletionRequest) -> ApiResult<()> {
    if let Some(format) = request.reasoning_format {
        chat.reasoning_format = format.into();
    }
    if let Some(effort) = request.reasoning_effort {
        chat.enable_thinking = effort != ReasoningEffort::None;
        let name = serde_json::to_value(effort).unwrap_or_default();
        chat.template_args.insert("reasoning_effort".to_owned(), name);
    }
    chat.reasoning_control = request.reasoning_control == Some(true);
    chat.reasoning_budget = match request.reasoning_budget {
        None | Some(-1) => None,
        Some(budget) => {
            Some(u32::try_from(budget).map_err(|_| range("reasoning_budget", budget, "-1, or 0 and more tokens"))?)
        }
    };
    Ok(())
}

/// Templates are programs: only values that they are known to read are handed to them, and only scalars.
fn template_args(chat: &mut ChatRequest, values: Map<String, Value>) -> ApiResult<()> {
    for (name, value) in values {
        let param = format!("chat_template_kwargs.{name}");
        if !TEMPLATE_ARGS.contains(&name.as_str()) {
            let known = TEMPLATE_ARGS.join(", ");
            return Err(ApiError::unsupported(param, format!("`{name}` is not handed to templates; {known} are.")));
        }
        if value.is_array() || value.is_object() {
            return Err(ApiError::invalid(param, format!("`{name}` must be a text, a number, true, false or null.")));
        }
        if name == "enable_thinking"
            && let Some(think) = value.as_bool()
        {
            chat.enable_thinking = think;
        }
        chat.template_args.insert(name, value);
    }
    Ok(())
}

/// llama.cpp's grammar for most templates holds the answer to its form, and admits no calls; for some it is the other way
/// round.
const FORM_OR_TOOLS: &str = "the answer has a form, and there are tools that the model may call: it depends on the model's \
                             template whether the form is enforced, in which case no tool is called, or not";
const TEMPLATE_ARGS: [&str; 7] = [
    "enable_thinking",
    "thinking",
    "reasoning_effort",
    "preserve_reasoning",
    "clear_thinking",
    "thinking_budget",
    "date_string",
];

#[cfg(test)]
mod tests {
    use mullama_async::ScriptedBackend;
    use serde_json::json;

    use super::*;
    use crate::config::WebConfig;
    use crate::heard::Heard;

    #[test]
    fn a_form_beside_tools_is_warned_of() {
        let state = AppState::with_backend(Arc::new(ScriptedBackend::new()), WebConfig::default()).unwrap();
        let heard = Heard::listen();
        let warnings = |more: Value| {
            let mut body = json!({
                "messages": [{ "role": "user", "content": "Hello!" }],
                "tools": [{ "type": "function", "function": { "name": "f" } }],
                "response_format": { "type": "json_object" },
            });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let (request, _) = crate::extract::read(body.to_string().as_bytes()).unwrap();
            let told = translate(&state, request).unwrap().warnings.len();
            (told, heard.take().iter().filter(|line| line.level == tracing::Level::WARN).count())
        };
        for loud in [json!({}), json!({ "tool_choice": "auto" }), json!({ "response_format": null, "json_schema": {} })]
        {
            assert_eq!(warnings(loud.clone()), (1, 1), "{loud}");
        }
        for quiet in [
            json!({ "tool_choice": "none" }),
            json!({ "tool_choice": "required" }),
            json!({ "tools": [] }),
            json!({ "response_format": { "type": "text" } }),
        ] {
            assert_eq!(warnings(quiet.clone()), (0, 0), "{quiet}");
        }
    }
}
