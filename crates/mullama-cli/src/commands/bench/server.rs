//! A server with OpenAI's completions, as one side of a bench.

use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::http::{Address, malformed};
use super::side::{OWN_NAME, Request, Seen, Side};
use crate::error::{Error, Result};
use crate::terminal::one_line;

/// The other side.
#[derive(Debug)]
pub(super) struct Server {
    address: Address,
    pub(super) about: About,
    restart: Option<String>,
}

/// What a server says of itself.
#[derive(Debug, Clone, Serialize)]
pub(super) struct About {
    pub(super) url: String,
    pub(super) name: String,
    pub(super) version: Option<String>,
    /// The model that requests name.
    pub(super) model: String,
}

impl Server {
    /// Asks who it is.
    pub(super) fn find(url: &str, name: Option<&str>, restart: Option<&str>) -> Result<Self> {
        let address = Address::parse(url)?;
        let models = address.fetch(MODELS)?;
        let header = models.header("server").map(str::to_owned);
        let model = json_of(models).and_then(|list| Some(list["data"][0]["id"].as_str()?.to_owned()));
        // llama-server tells its version here; for others it is in the header, or unknown.
        let version = address.fetch("/props").ok().and_then(json_of);
        let version = version.and_then(|props| Some(props["build_info"].as_str()?.to_owned()));
        let told = header.unwrap_or_else(|| "server".to_owned());
        let mut name = one_line(name.unwrap_or(&told), 60);
        if name == OWN_NAME {
            name.push_str(" (server)");
        }
        let about = About {
            url: address.url(""),
            name,
            version: version.map(|version| one_line(&version, 60)),
            model: model.unwrap_or_else(|| "default".to_owned()),
        };
        Ok(Self { address, about, restart: restart.map(str::to_owned) })
    }

    /// Restarts it, where a command for that was given: it then knows no prompt.
    pub(super) fn forget(&self) -> Result<()> {
        let Some(command) = &self.restart else { return Ok(()) };
        let fault = |why: String| {
            let hint = "the command must end once the server is started, and with status 0";
            Error::usage(format!("--restart-cmd failed: {why}"), hint)
        };
        let mut shell = if cfg!(windows) { Command::new("cmd") } else { Command::new("sh") };
        let status = shell.args([if cfg!(windows) { "/C" } else { "-c" }, command]).stdout(io::stderr()).status();
        let status = status.map_err(|error| fault(error.to_string()))?;
        if !status.success() {
            return Err(fault(status.to_string()));
        }
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            // Where there is no /health, the list of models tells that it is up.
            let answer = match self.address.fetch("/health") {
                Ok(answer) if answer.status == 404 => self.address.fetch(MODELS),
                other => other,
            };
            match answer {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Ok(answer) if Instant::now() > deadline => return Err(self.refused(MODELS, answer.status, "")),
                Ok(_) | Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn refused(&self, path: &str, status: u16, body: &str) -> Error {
        Error::Refused { url: self.address.url(path), status, body: one_line(body.trim(), 200) }
    }

    /// Reads events until the last.
    fn read(
        &self,
        body: &mut impl BufRead,
        seen: &mut Seen,
        each: &mut dyn FnMut(Instant) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut finished = false;
        let mut line = Vec::new();
        loop {
            line.clear();
            let fault = |source| self.address.fault(COMPLETIONS, source);
            body.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(fault)?;
            if line.is_empty() {
                let cut = io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ended before the answer did");
                return if finished { Ok(()) } else { Err(fault(cut)) };
            }
            let Some(data) = line.strip_prefix(b"data:") else { continue };
            let data = data.trim_ascii();
            if data == b"[DONE]" {
                return Ok(());
            }
            let event: Value =
                serde_json::from_slice(data).map_err(|_| fault(malformed("an event of the stream is no JSON")))?;
            if let Some(error) = event.get("error").filter(|error| !error.is_null()) {
                return Err(self.refused(COMPLETIONS, 200, &error.to_string()));
            }
            let choice = &event["choices"][0];
            finished |= choice["finish_reason"].is_string();
            count(&event, seen);
            if seen.push(choice["text"].as_str().unwrap_or_default(), each).is_break() {
                return Ok(());
            }
        }
    }
}

impl Side for Server {
    fn name(&self) -> &str {
        &self.about.name
    }

    fn ask(&self, request: &Request, each: &mut dyn FnMut(Instant) -> ControlFlow<()>) -> Result<Seen> {
        let body = json!({
            "model": self.about.model,
            "prompt": request.prompt,
            "max_tokens": request.tokens,
            "temperature": 0,
            "seed": 1,
            "ignore_eos": true,
            "cache_prompt": true,
            "stream": true,
            "stream_options": { "include_usage": true },
        })
        .to_string();
        let mut seen = Seen::begin();
        let mut answer = self.address.post(COMPLETIONS, body.as_bytes())?;
        if answer.status != 200 {
            let (status, body) = (answer.status, answer.text().unwrap_or_default());
            return Err(self.refused(COMPLETIONS, status, &body));
        }
        self.read(&mut answer.body, &mut seen, each)?;
        Ok(seen.end())
    }
}

/// Takes over what an event says of tokens: OpenAI's `usage`, or llama-server's `timings`.
fn count(event: &Value, seen: &mut Seen) {
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let (usage, timings) = (&event["usage"], &event["timings"]);
    let mut take = |place: fn(&mut Seen) -> &mut u32, values: [&Value; 2]| {
        if let Some(value) = values.into_iter().find_map(number) {
            *place(seen) = value;
        }
    };
    take(|seen| &mut seen.tokens, [&usage["completion_tokens"], &timings["predicted_n"]]);
    take(|seen| &mut seen.prompt, [&usage["prompt_tokens"], &Value::Null]);
    take(|seen| &mut seen.cached, [&usage["prompt_tokens_details"]["cached_tokens"], &timings["cache_n"]]);
}

fn json_of(answer: super::http::Answer) -> Option<Value> {
    let text = (answer.status == 200).then(|| answer.text().ok())??;
    serde_json::from_str(&text).ok()
}

const COMPLETIONS: &str = "/v1/completions";
const MODELS: &str = "/v1/models";
const MAX_LINE: u64 = 16 << 20;
const START_PATIENCE: Duration = Duration::from_secs(120);
