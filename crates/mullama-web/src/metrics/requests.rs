//! Numbers of requests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::histogram::Times;
use super::text::{Kind, Text};

/// How the answer to a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Its last byte was handed over.
    Complete,
    /// Nobody took it to its end.
    Disconnected,
    /// It broke off.
    Failed,
}

impl Outcome {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Disconnected => "disconnected",
            Self::Failed => "failed",
        }
    }
}

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finished<'a> {
    /// The pattern of its route.
    pub(crate) route: &'a str,
    pub(crate) method: &'static str,
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    /// From its head to the end of the answer.
    pub(crate) time: Duration,
    /// Of the answer's body.
    pub(crate) bytes: u64,
}

/// All numbers of requests.
#[derive(Debug, Default)]
pub(super) struct Requests {
    routes: Series<Route>,
    first_tokens: Series<Times>,
    errors: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    in_flight: AtomicU64,
    bytes: AtomicU64,
    panics: AtomicU64,
    ignored_fields: AtomicU64,
}

/// Requests of one route.
#[derive(Debug, Default)]
struct Route {
    counts: Mutex<BTreeMap<(&'static str, u16, Outcome), u64>>,
    times: Times,
}

impl Requests {
    pub(super) fn began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn finished(&self, request: &Finished<'_>) {
        let Finished { route, method, status, outcome, time, bytes } = *request;
        let route = self.routes.of(route);
        *route.counts.lock().unwrap_or_else(PoisonError::into_inner).entry((method, status, outcome)).or_default() += 1;
        route.times.record(time);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn error(&self, kind: &'static str, code: Option<&'static str>) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        *errors.entry((kind, code.unwrap_or_default())).or_default() += 1;
    }

    pub(super) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ignored_fields(&self, count: u64) {
        self.ignored_fields.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn first_token(&self, model: &str, time: Duration) {
        self.first_tokens.of(model).record(time);
    }

    pub(super) fn write(&self, text: &mut Text) {
        let routes = self.routes.all();
        let name = "mullama_http_requests_total";
        text.family(name, Kind::Counter, "Requests whose answer has ended; status 499: nobody waited for it.");
        for (route, numbers) in &routes {
            for (&(method, status, outcome), &count) in &*numbers.counts.lock().unwrap_or_else(PoisonError::into_inner)
            {
                let status = status.to_string();
                let labels =
                    [("route", route.as_str()), ("method", method), ("status", &status), ("outcome", outcome.name())];
                text.sample(name, &labels, count);
            }
        }
        let name = "mullama_http_request_duration_seconds";
        text.family(name, Kind::Histogram, "From the head of a request to the last byte of its answer.");
        for (route, numbers) in &routes {
            numbers.times.write(text, name, &[("route", route)]);
        }
        let name = "mullama_http_time_to_first_token_seconds";
        text.family(name, Kind::Histogram, "From taking a request up to its first token, by model.");
        for (model, times) in &self.first_tokens.all() {
            times.write(text, name, &[("model", model)]);
        }
        let name = "mullama_http_errors_total";
        text.family(name, Kind::Counter, "Errors that were answered, by type and code.");
        for (&(kind, code), &count) in &*self.errors.lock().unwrap_or_else(PoisonError::into_inner) {
            text.sample(name, &[("type", kind), ("code", code)], count);
        }
        let name = "mullama_http_requests_in_flight";
        text.family(name, Kind::Gauge, "Requests whose answer has not ended.");
        text.sample(name, &[], self.in_flight.load(Ordering::Relaxed));
        for (name, help, value) in [
            ("mullama_http_response_bytes_total", "Bytes of the bodies of answers that have ended.", &self.bytes),
            ("mullama_http_panics_total", "Panics that were caught.", &self.panics),
            ("mullama_http_ignored_fields_total", "Fields in requests that nobody reads.", &self.ignored_fields),
        ] {
            text.family(name, Kind::Counter, help);
            text.sample(name, &[], value.load(Ordering::Relaxed));
        }
    }
}

/// Numbers by name, of which there are only so many.
#[derive(Debug)]
struct Series<T>(RwLock<BTreeMap<String, Arc<T>>>);

impl<T> Default for Series<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T: Default> Series<T> {
    fn of(&self, name: &str) -> Arc<T> {
        if let Some(numbers) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(numbers);
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let name = if all.len() < MAX_SERIES { name } else { OTHER };
        Arc::clone(all.entry(name.to_owned()).or_default())
    }

    fn all(&self) -> Vec<(String, Arc<T>)> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(name, numbers)| (name.clone(), Arc::clone(numbers))).collect()
    }
}

/// Routes and models are far fewer; what would be more is counted together.
const MAX_SERIES: usize = 512;
const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_end_become_one_series() {
        let requests = Requests::default();
        for number in 0..2 * MAX_SERIES {
            requests.first_token(&format!("model {number}"), Duration::from_millis(5));
        }
        let all = requests.first_tokens.all();
        assert_eq!(all.len(), MAX_SERIES + 1);
        let mut text = Text::with_capacity(0);
        requests.write(&mut text);
        let line = format!("mullama_http_time_to_first_token_seconds_count{{model=\"other\"}} {MAX_SERIES}\n");
        assert!(text.finish().contains(&line));
    }
}
