//! What the server costs over its backend: time of a request, CPU of a streamed token, thousands of streams at once, kept
//! connections, a scrape.
//!
//! `cargo bench --workspace --bench web -- [overhead] [tokens] [streams] [pool] [scrape] [--full]`; without a name all of
//! them. `--full` runs 2,000 streams for a minute instead of 50 for a second, which takes 4,000 file descriptors. `--test`
//! runs each once and shortly. The backend is a script, server and client are in one process on loopback: the server's
//! two threads have a runtime of their own and are counted by their name (Linux), the client has one thread more.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a bench fails where it unwraps")]
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

#[path = "web/bare.rs"]
mod bare;
#[path = "web/client.rs"]
mod client;
#[path = "web/load.rs"]
mod load;
#[path = "web/system.rs"]
mod system;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use mullama_async::{BackendRequest, InferenceBackend, Script, ScriptedBackend};
use mullama_web::{AppState, Server, WebConfig, create_router};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tower::{Service as _, ServiceExt as _};

use client::{Connection, get, post};
use load::load;

/// How much of each.
struct Sizes {
    requests: usize,
    /// Streams and tokens of each, for the CPU of a token.
    streams: (usize, u32),
    /// Streams at once, and for how many seconds.
    many: (usize, u32),
    pooled: usize,
    scrapes: usize,
}

/// What is measured, by name.
type Question = (&'static str, fn(&Served, &Sizes));

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let sizes = if has("--test") {
        Sizes { requests: 50, streams: (8, 100), many: (50, 1), pooled: 200, scrapes: 20 }
    } else {
        let many = if has("--full") { (2_000, 60) } else { (50, 1) };
        Sizes { requests: 10_000, streams: (64, 2_000), many, pooled: 10_000, scrapes: 1_000 }
    };
    let questions: [Question; 5] =
        [("overhead", overhead), ("tokens", tokens), ("streams", streams), ("pool", pool), ("scrape", scrape)];
    let named = questions.iter().any(|(name, _)| has(name));
    let served = Served::start();
    for (name, measure) in questions {
        if !named || has(name) {
            measure(&served, &sizes);
        }
    }
}

/// A server of three scripts: `one` token, a `burst` of tokens, and `paced` ones.
struct Served {
    backend: ScriptedBackend,
    router: Router,
    address: SocketAddr,
    server: Runtime,
    client: Runtime,
}

impl Served {
    fn start() -> Self {
        let server = Builder::new_multi_thread().worker_threads(2).thread_name(SERVER).enable_all().build().unwrap();
        let backend = ["one", "burst", "paced"]
            .into_iter()
            .fold(ScriptedBackend::new(), |backend, name| backend.model(name, Script::tokens(1, Duration::ZERO)));
        let state = AppState::with_backend(Arc::new(backend.clone()), WebConfig::default()).unwrap();
        let router = create_router(state.clone());
        let entered = server.enter();
        let listening = Server::bind(&"127.0.0.1:0".parse().unwrap()).state(&state).listen().unwrap();
        let address = listening.address();
        server.spawn(listening.serve(router.clone().into_make_service()));
        drop(entered);
        let client = Builder::new_current_thread().enable_all().build().unwrap();
        Self { backend, router, address, server, client }
    }

    /// What the server hands to the backend for the last request of this model.
    fn handed_in(&self, model: &str) -> BackendRequest {
        self.backend.last_request(model).unwrap()
    }

    /// The server's CPU time since then, for each of so many.
    fn cpu_since(before: Option<Duration>, count: usize) -> Option<Duration> {
        let used = system::cpu(SERVER)?.checked_sub(before?)?;
        Some(used / u32::try_from(count).unwrap())
    }
}

/// A conversation of one token, one client: what the server adds to the backend's time.
fn overhead(served: &Served, sizes: &Sizes) {
    let request = post("one", false);
    let (answer, http) = served.client.block_on(async {
        let mut connection = Connection::open(served.address, 16 << 10).await.unwrap();
        let answer = connection.exchange(&request).await.unwrap().to_vec();
        let mut times = Vec::with_capacity(sizes.requests);
        for _ in 0..sizes.requests {
            let start = Instant::now();
            connection.exchange(&request).await.unwrap();
            times.push(start.elapsed());
        }
        (answer, times)
    });
    let handed_in = served.handed_in("one");
    let backend = served.client.block_on(async {
        let mut times = Vec::with_capacity(sizes.requests);
        for _ in 0..sizes.requests {
            let request = handed_in.clone();
            let start = Instant::now();
            assert_eq!(drain(&served.backend, "one", request).await, 1);
            times.push(start.elapsed());
        }
        times
    });
    let body = request.split(|byte| *byte == b'\n').next_back().unwrap().to_vec();
    let oneshot = served.client.block_on(async {
        let mut times = Vec::with_capacity(sizes.requests);
        for _ in 0..sizes.requests {
            let request = Request::post("/v1/chat/completions")
                .header("host", "localhost")
                .header("content-type", "application/json")
                .body(Body::from(body.clone()))
                .unwrap();
            let start = Instant::now();
            let response = served.router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), 200);
            response.into_body().collect().await.unwrap();
            times.push(start.elapsed());
        }
        times
    });
    let echo = served.server.block_on(bare::echo(request.len(), answer)).unwrap();
    let socket = served.client.block_on(async {
        let mut connection = Connection::open(echo, 16 << 10).await.unwrap();
        let mut times = Vec::with_capacity(sizes.requests);
        for _ in 0..sizes.requests {
            let start = Instant::now();
            connection.exchange(&request).await.unwrap();
            times.push(start.elapsed());
        }
        times
    });
    println!("a conversation of one token, {} times, one client:", sizes.requests);
    let [http, backend, oneshot, socket] = [http, backend, oneshot, socket].map(sorted);
    for (what, times) in [
        ("over HTTP", &http),
        ("the same bytes over a bare socket", &socket),
        ("the router without a socket", &oneshot),
        ("the backend alone", &backend),
    ] {
        println!("  {what}: p50 {:.1} us, p99 {:.1} us", micros(part(times, 0.5)), micros(part(times, 0.99)));
    }
    let added = micros(part(&http, 0.5)) - micros(part(&backend, 0.5));
    println!("  what the server adds: p50 {added:.1} us ({})", bar(added, 150.0, "us"));
}

/// The server's CPU time for each token of a stream, at full speed and at the pace of a model.
fn tokens(served: &Served, sizes: &Sizes) {
    let (streams, tokens) = sizes.streams;
    let count = streams * tokens as usize;
    println!("{streams} streams of {tokens} tokens, CPU time for each token:");
    for (model, interval) in [("burst", Duration::ZERO), ("paced", Duration::from_millis(5))] {
        served.backend.script(model, Script::tokens(tokens, interval));
        let before = system::cpu(SERVER);
        let start = Instant::now();
        let outcome = load(served.address, model, (streams, tokens), Duration::ZERO, interval);
        let outcome = served.client.block_on(outcome);
        assert_eq!(outcome.errors, 0, "{:?}", outcome.first_error);
        let rate = count as f64 / start.elapsed().as_secs_f64();
        let server = Served::cpu_since(before, count);

        let request = served.handed_in(model);
        let before = system::cpu(SERVER);
        served.server.block_on(async {
            let mut all = JoinSet::new();
            for _ in 0..streams {
                let (backend, request) = (served.backend.clone(), request.clone());
                all.spawn(async move { drain(&backend, model, request).await });
            }
            assert!(all.join_all().await.into_iter().all(|seen| seen == tokens));
        });
        let backend = Served::cpu_since(before, count);

        let pour = served.server.block_on(bare::pour((streams, tokens), interval)).unwrap();
        let before = system::cpu(SERVER);
        let outcome = served.client.block_on(load(pour, model, (streams, tokens), Duration::ZERO, interval));
        assert_eq!(outcome.errors, 0, "{:?}", outcome.first_error);
        let bare = Served::cpu_since(before, count);
        let pace = if interval.is_zero() { "as fast as it goes".to_owned() } else { format!("one in {interval:?}") };
        let [server, backend, bare] = [server, backend, bare].map(|time| time.map_or(f64::NAN, micros));
        println!("  {pace}, {rate:.0} tokens/s: {server:.2} us ({})", bar(server, 10.0, "us"));
        println!("    the backend alone {backend:.2} us; timers and bare sockets with the same bytes {bare:.2} us");
    }
}

/// Many streams at the pace of readers: how late their tokens come.
fn streams(served: &Served, sizes: &Sizes) {
    const INTERVAL: Duration = Duration::from_millis(100);
    let (streams, seconds) = sizes.many;
    let tokens = seconds * 10;
    served.backend.script("paced", Script::tokens(tokens, INTERVAL));
    let before = (system::cpu(SERVER), system::resident());
    let start = Instant::now();
    // The first end when the last have begun, at the earliest.
    let spread = Duration::from_secs(u64::from(seconds)) / 12;
    let outcome = served.client.block_on(load(served.address, "paced", (streams, tokens), spread, INTERVAL));
    let wall = start.elapsed();
    assert_eq!(outcome.errors, 0, "{:?}", outcome.first_error);
    let count = streams * tokens as usize;
    assert_eq!(outcome.late.len(), count);
    let late = sorted(outcome.late);
    println!("{streams} streams of 10 tokens/s for {seconds} s: {} errors", outcome.errors);
    println!(
        "  tokens come p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, at most {:.2} ms late",
        millis(part(&late, 0.5)),
        millis(part(&late, 0.99)),
        millis(part(&late, 0.999)),
        millis(part(&late, 1.0))
    );
    if let Some((used, each)) = Served::cpu_since(before.0, 1).zip(Served::cpu_since(before.0, count)) {
        let share = 100.0 * used.as_secs_f64() / wall.as_secs_f64();
        println!("  the server's CPU: {share:.1} % of one core, {:.2} us a token", micros(each));
    }
    if let Some((before, most)) = before.1.zip(outcome.resident) {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let each = most.saturating_sub(before) as f64 / 1024.0 / streams as f64;
        println!(
            "  memory, the client's included: {:.1} MiB before, {:.1} MiB at most, {each:.1} KiB a stream",
            mib(before),
            mib(most)
        );
    }
}

/// Requests through a client with a pool of connections.
fn pool(served: &Served, sizes: &Sizes) {
    const TASKS: usize = 16;
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&opened);
    let connector = tower::service_fn(move |uri| {
        counted.fetch_add(1, Ordering::Relaxed);
        HttpConnector::new().call(uri)
    });
    // A request that failed on a closed connection would be sent again unseen.
    let client = Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build(connector);
    let start = Instant::now();
    let errors: usize = served.client.block_on(async {
        let mut all = JoinSet::new();
        for task in 0..TASKS {
            let (client, address) = (client.clone(), served.address);
            let share = sizes.pooled / TASKS + usize::from(task < sizes.pooled % TASKS);
            all.spawn(async move {
                let mut errors = 0;
                for _ in 0..share {
                    let request = Request::post(format!("http://{address}/v1/chat/completions"))
                        .header("content-type", "application/json")
                        .body(Full::<bytes::Bytes>::from(client::body("one", false)))
                        .unwrap();
                    let whole = match client.request(request).await {
                        Ok(response) if response.status() == 200 => response.into_body().collect().await.is_ok(),
                        _ => false,
                    };
                    errors += usize::from(!whole);
                }
                errors
            });
        }
        all.join_all().await.into_iter().sum()
    });
    let rate = sizes.pooled as f64 / start.elapsed().as_secs_f64();
    let opened = opened.load(Ordering::Relaxed);
    println!(
        "{} requests of {TASKS} tasks through a pool: {errors} errors, {opened} connections, {rate:.0}/s",
        sizes.pooled
    );
    assert_eq!(errors, 0);
    // While one is being opened another may come back, so that a task can have begun a second one.
    assert!(opened <= 2 * TASKS, "{opened} connections: they are not kept");
}

/// `GET /metrics` with three models.
fn scrape(served: &Served, sizes: &Sizes) {
    let request = get("/metrics");
    let (bytes, times) = served.client.block_on(async {
        let mut connection = Connection::open(served.address, 256 << 10).await.unwrap();
        let bytes = connection.exchange(&request).await.unwrap().len();
        let mut times = Vec::with_capacity(sizes.scrapes);
        for _ in 0..sizes.scrapes {
            let start = Instant::now();
            connection.exchange(&request).await.unwrap();
            times.push(start.elapsed());
        }
        (bytes, times)
    });
    let times = sorted(times);
    let p50 = micros(part(&times, 0.5));
    let p99 = micros(part(&times, 0.99));
    println!("a scrape of three models, {bytes} bytes: p50 {p50:.0} us ({}), p99 {p99:.0} us", bar(p50, 1_000.0, "us"));
}

/// Tokens of a request without a server between.
async fn drain(backend: &ScriptedBackend, model: &str, request: BackendRequest) -> u32 {
    let mut stream = backend.submit(model, request).await.unwrap();
    let mut events = 0;
    while let Some(event) = stream.next().await {
        event.unwrap();
        events += 1;
    }
    // One is the end.
    events - 1
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort_unstable();
    times
}

fn part(sorted: &[Duration], share: f64) -> Duration {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
    let at = (share * sorted.len() as f64) as usize;
    sorted[at.min(sorted.len() - 1)]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn bar(value: f64, most: f64, unit: &str) -> String {
    format!("bar {most:.0} {unit}: {}", if value <= most { "held" } else { "MISSED" })
}

/// Name of the server's threads.
const SERVER: &str = "bench-server";
