//! What is counted, and how Prometheus reads it: text format 0.0.4.
//!
//! Labels come from closed sets: patterns of routes, methods and codes that are known, names of models that the backend
//! has. Nothing that a client makes up becomes a series.

mod aliases;
mod engines;
mod histogram;
mod load;
#[cfg(target_os = "linux")]
mod process;
mod requests;
#[cfg(test)]
mod tests;
mod text;

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use mullama_async::{BackendModel, BackendStats};

use crate::error::ApiError;
use crate::state::AppState;
use load::Load;
use requests::Requests;
pub(crate) use requests::{Finished, Outcome};
use text::{Kind, Text};

/// What this server has counted since its start. Engines count by themselves.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Requests,
    load: Load,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self { requests: Requests::default(), load: Load::default() }
    }

    /// A request has come.
    pub(crate) fn began(&self) {
        self.requests.began();
    }

    /// The last byte of its answer is written, or nobody takes it.
    pub(crate) fn finished(&self, request: &Finished<'_>) {
        self.requests.finished(request);
    }

    /// A request was answered with an error.
    pub(crate) fn error(&self, kind: &'static str, code: Option<&'static str>) {
        self.requests.error(kind, code);
    }

    /// A handler, or the body of an answer, panicked.
    pub(crate) fn panicked(&self) {
        self.requests.panicked();
    }

    /// Fields of a body that nobody reads.
    pub(crate) fn ignored_fields(&self, count: u64) {
        self.requests.ignored_fields(count);
    }

    /// From taking a request up to its first token. `model`: a name that the backend has.
    pub(crate) fn first_token(&self, model: &str, time: Duration) {
        self.requests.first_token(model, time);
    }

    /// How much there is to do, as the header `endpoint-load-metrics` tells it; at most a tenth of a second old. `None`
    /// where names of other servers are not wanted.
    pub(crate) fn load(&self, state: &AppState) -> Option<HeaderValue> {
        state.config().metrics_aliases.then(|| self.load.header(state))
    }
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(state): State<AppState>) -> Response {
    if !state.config().metrics {
        return ApiError::not_found("Metrics are switched off here.").into_response();
    }
    let mut response = render(&state).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// All numbers as they are now. Well below a millisecond; waits for nothing.
pub(crate) fn render(state: &AppState) -> String {
    write(state, &state.backend().stats(), &state.backend().models())
}

fn write(state: &AppState, stats: &[BackendStats], models: &[BackendModel]) -> String {
    let mut text = Text::with_capacity(CAPACITY);
    server(&mut text, state);
    state.metrics().requests.write(&mut text);
    engines::models(&mut text, models);
    engines::engines(&mut text, stats);
    if state.config().metrics_aliases {
        aliases::write(&mut text, stats, models);
    }
    #[cfg(target_os = "linux")]
    process::write(&mut text);
    text.finish()
}

fn server(text: &mut Text, state: &AppState) {
    text.family("mullama_build_info", Kind::Gauge, "1, with the version of this build.");
    text.sample("mullama_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
    let gauges: [(&str, &str, f64); 6] = [
        ("mullama_uptime_seconds", "Time since the start of the server.", state.uptime().as_secs_f64()),
        ("mullama_live", "0 when only a new start can help.", if state.is_live() { 1.0 } else { 0.0 }),
        (
            "mullama_draining",
            "1 while the server lets its last requests end.",
            if state.is_draining() { 1.0 } else { 0.0 },
        ),
        ("mullama_answers_running", "Answers being given.", state.running().count() as f64),
        ("mullama_places_taken", "Requests for work being answered.", state.limits().taken() as f64),
        (
            "mullama_places_capacity",
            "Requests for work that are answered at once, at most.",
            state.limits().capacity() as f64,
        ),
    ];
    for (name, help, value) in gauges {
        text.family(name, Kind::Gauge, help);
        text.sample(name, &[], value);
    }
    if let Some(reloads) = state.configuration().map(|configuration| configuration.reloads()) {
        let counters = [
            ("mullama_config_reloads_total", "Times that the configuration was read again and taken.", reloads.taken),
            (
                "mullama_config_reload_failures_total",
                "Times that it was refused, or could not be put in force, and the old one stayed.",
                reloads.refused,
            ),
        ];
        for (name, help, value) in counters {
            text.family(name, Kind::Counter, help);
            text.sample(name, &[], value);
        }
    }
}

const CAPACITY: usize = 64 << 10;
