//! A schedule, its readers, and what must be true of them after every turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::naive::{Ask, Expected, expected, text};
use super::scripted::{Faults, Letters, Script, Scripted};
use crate::engine::cores::Threads;
use crate::engine::decoder::{Decoder as _, Shape};
use crate::engine::deliver::{Inlet, Outlet};
use crate::engine::guess::Guess;
use crate::engine::params::{EngineParams, Speculation};
use crate::engine::queue::{Places, Priority};
use crate::engine::request::{Adapters, Job, Progress};
use crate::engine::schedule::{Next, Schedule};
use crate::engine::service::ServiceTime;
use crate::engine::stats::Recorder;
use crate::error::Error;
use crate::generate::{FinishReason, GenerationParams, Summary, TokenEvent, Writer};
use crate::sampling::Sampler;
use crate::tokenizer::TokenId;

/// How an engine is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) shape: Shape,
    pub(crate) script: Script,
    pub(crate) faults: Faults,
    pub(crate) host: u64,
    pub(crate) speculation: Speculation,
    pub(crate) reader_timeout_ms: Option<u64>,
    pub(crate) micro_batch: u32,
}

impl Setup {
    /// Without limits that matter, without guesses and faults.
    pub(crate) fn new(slots: usize, unified: bool) -> Self {
        let shape = Shape {
            slots,
            length: 128,
            cells: 128 * slots,
            batch: 64,
            unified,
            partial_removal: true,
            gather_after: 30,
        };
        let (script, faults, speculation) = (Script::Whole, Faults::default(), Speculation::Off);
        Self { shape, script, faults, host: 0, speculation, reader_timeout_ms: None, micro_batch: 512 }
    }
}

/// Somebody who asked, and what came so far.
#[derive(Debug)]
pub(crate) struct Client {
    id: u64,
    pub(crate) ask: Ask,
    pub(crate) expected: Expected,
    /// `None`: gone.
    inlet: Option<Inlet>,
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) text: String,
    pub(crate) end: Option<Result<Summary, Error>>,
    deadline: Option<Instant>,
    cancelled: bool,
    cut: bool,
    /// When it last took something, and how long ago that was when its request ended.
    took: Instant,
    rests: Option<Duration>,
}

impl Client {
    fn has_ended(&self) -> bool {
        self.inlet.as_ref().is_none_or(Inlet::has_ended)
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.inlet.as_ref().is_some_and(Inlet::is_paused)
    }

    fn read(&mut self, most: usize, now: Instant) {
        for _ in 0..most {
            let Some(event) = self.inlet.as_ref().and_then(Inlet::take) else { return };
            self.took = now;
            assert!(self.end.is_none(), "{event:?} after the end");
            match event {
                Ok(TokenEvent::Token { token, text, .. }) => {
                    self.tokens.push(token);
                    self.text.push_str(&text);
                }
                Ok(TokenEvent::Text { text }) => self.text.push_str(&text),
                Ok(TokenEvent::Done(summary)) => self.end = Some(Ok(summary)),
                Err(error) => self.end = Some(Err(error)),
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) schedule: Schedule<Scripted>,
    pub(crate) clients: Vec<Client>,
    pub(crate) stats: Arc<Recorder>,
    places: Places,
    /// Of all that were ever here: how many, and what each ever had, with its number and class of sharers.
    submitted: u64,
    contexts: Vec<(u64, (u8, u8), Vec<TokenId>)>,
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        let mut params = EngineParams {
            host_cache_bytes: setup.host,
            reader_timeout_ms: setup.reader_timeout_ms,
            ..EngineParams::default()
        };
        params.context.micro_batch = setup.micro_batch;
        let decoder = Scripted::new(setup.shape, setup.script, setup.faults);
        let stats = Arc::new(Recorder::default());
        let guess = Guess::new(setup.speculation, None);
        let numbers = (Arc::clone(&stats), Arc::new(ServiceTime::default()));
        let schedule = Schedule::new(decoder, &params, (Threads::fixed(), guess), numbers);
        Self {
            setup,
            schedule,
            clients: Vec::new(),
            stats,
            places: Places::new(usize::MAX),
            submitted: 0,
            contexts: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.schedule.decoder.now()
    }

    /// Hands a request in as [`Engine::submit`](crate::Engine::submit) does. Returns the client's number.
    pub(crate) fn submit(&mut self, ask: Ask) -> usize {
        let params = GenerationParams { max_tokens: ask.max_tokens, ..GenerationParams::default() };
        let sampler = Sampler::Argmax { banned: Arc::default() };
        let (outlet, inlet) = Outlet::new(ask.buffer);
        let now = self.now();
        let adapters = Adapters { list: Vec::new(), identity: [ask.adapters; 32] };
        let salt = (ask.salt > 0).then(|| ask.salt.to_string());
        let deadline = ask.timeout_ms.map(|ms| now + Duration::from_millis(ms));
        self.submitted += 1;
        self.schedule.add(Job {
            id: self.submitted,
            tokens: ask.prompt.clone(),
            prompt: ask.prompt.len(),
            writer: Writer::new(Letters, sampler, ask.stop.clone(), Vec::new(), &params),
            key: adapters.key(salt.as_deref()),
            adapters: Arc::new(adapters),
            priority: if ask.batch { Priority::Batch } else { Priority::Interactive },
            cache: ask.cache,
            context_shift: ask.shift,
            keep: ask.keep,
            submitted: now,
            deadline,
            outlet,
            place: self.places.take(),
            progress: Progress::default(),
        });
        let expected = expected(self.setup.script, self.setup.shape, &ask);
        let contexts = expected.contexts.iter().cloned();
        self.contexts.extend(contexts.map(|context| (self.submitted, (ask.salt, ask.adapters), context)));
        self.clients.push(Client {
            id: self.submitted,
            ask,
            expected,
            inlet: Some(inlet),
            tokens: Vec::new(),
            text: String::new(),
            end: None,
            deadline,
            cancelled: false,
            cut: false,
            took: now,
            rests: None,
        });
        self.clients.len() - 1
    }

    pub(crate) fn turn(&mut self) -> Next {
        let start = self.now();
        self.schedule.decoder.be_patient();
        self.schedule.decoder.rows.clear();
        let next = self.schedule.turn();
        self.check(start, next);
        let now = self.now();
        for client in &mut self.clients {
            if client.has_ended() && client.rests.is_none() {
                client.rests = Some(start.duration_since(client.took));
            }
            if client.ask.reads {
                client.read(usize::MAX, now);
            }
        }
        next
    }

    pub(crate) fn turns(&mut self, number: usize) {
        for _ in 0..number {
            self.turn();
        }
    }

    /// How many turns it took.
    pub(crate) fn turns_until(&mut self, mut done: impl FnMut(&Self) -> bool) -> usize {
        for turn in 0..1_000 {
            if done(self) {
                return turn;
            }
            self.turn();
        }
        panic!("still not after 1,000 turns: {:?}", self.clients);
    }

    pub(crate) fn turns_until_end(&mut self, client: usize) -> usize {
        self.turns_until(|world| world.clients[client].end.is_some())
    }

    pub(crate) fn summary(&self, client: usize) -> &Summary {
        self.clients[client].end.as_ref().expect("it has ended").as_ref().expect("without an error")
    }

    pub(crate) fn read(&mut self, client: usize, most: usize) {
        let now = self.now();
        self.clients[client].read(most, now);
    }

    /// Cancels, and goes away or stays for what is still told.
    pub(crate) fn cancel(&mut self, client: usize, goes: bool) {
        let client = &mut self.clients[client];
        client.cancelled = true;
        if let Some(inlet) = &client.inlet {
            inlet.cancel();
        }
        if goes {
            client.inlet = None;
        }
    }

    /// It is to end as if it were cancelled, by another's doing.
    pub(crate) fn cut(&mut self, client: usize) {
        self.clients[client].cut = true;
    }

    /// From here on everybody reads; turns until all is done, which must not take forever. Then looks at every answer.
    pub(crate) fn finish(&mut self) {
        for client in 0..self.clients.len() {
            self.clients[client].ask.reads = true;
            self.read(client, usize::MAX);
        }
        // The first of them goes on in every turn.
        let work = self
            .clients
            .iter()
            .map(|client| client.expected.contexts.iter().map(Vec::len).sum::<usize>() + client.expected.tokens.len());
        let most = 4 * work.sum::<usize>() + 100;
        for turn in 0.. {
            let next = self.turn();
            if next != Next::Go {
                assert!(self.schedule.is_idle(), "{next:?} while somebody waits");
                break;
            }
            assert!(turn < most, "not done after {most} turns");
        }
        self.check_answers();
        self.check_nothing_is_left();
    }

    /// After every turn, which began at `start`.
    fn check(&self, start: Instant, next: Next) {
        let schedule = &self.schedule;
        schedule.slots.check(&schedule.decoder);
        let busy: Vec<_> = schedule.running.iter().map(|sequence| sequence.slot).collect();
        schedule.slots.check_busy(&busy);
        for sequence in &schedule.running {
            let held = schedule.slots.tokens(sequence.slot);
            assert!(sequence.job.tokens.starts_with(held) && held.len() < sequence.job.tokens.len());
            let computed = schedule.decoder.rows.iter().any(|row| row.slot == sequence.slot);
            assert!(!computed || sequence.job.adapters.identity == schedule.adapters.identity, "in another's group");
        }
        let new = schedule.waiting.iter().filter(|job| job.progress.admitted.is_none());
        assert_eq!(self.places.taken(), new.count(), "a place is for those who had no sequence yet");
        let going = self.clients.iter().filter(|client| !client.has_ended());
        for client in going.clone() {
            assert!(!client.cancelled, "it was cancelled before this turn");
            assert!(client.deadline.is_none_or(|deadline| deadline > start), "its time was over before this turn");
        }
        let guesses = self.setup.speculation.tokens() as usize;
        for client in &self.clients {
            let held = client.inlet.as_ref().map_or(0, Inlet::held);
            assert!(held <= client.ask.buffer + guesses + 2, "{held} events for a buffer of {}", client.ask.buffer);
        }
        if let Next::Sleep(until) = next {
            assert!(until.is_none_or(|until| until > self.now()), "it sleeps until a time that has passed");
            for client in going {
                assert!(client.is_behind(), "it sleeps, and one could go on: {client:?}");
                let limit = client.deadline.is_some() || self.setup.reader_timeout_ms.is_some();
                assert!(until.is_some() || !limit, "it sleeps beyond a limit");
            }
        }
    }

    fn check_answers(&self) {
        for (number, client) in self.clients.iter().enumerate().filter(|(_, client)| client.inlet.is_some()) {
            let Client { ask, expected, tokens, .. } = client;
            assert!(expected.tokens.starts_with(tokens), "client {number}: {tokens:?} of {expected:?}");
            match client.end.as_ref().expect("all have ended") {
                Ok(summary) => {
                    match summary.finish_reason {
                        FinishReason::Cancelled => assert!(client.cancelled || client.cut),
                        FinishReason::Timeout => assert!(client.deadline.is_some()),
                        // Without room for the only one there is.
                        FinishReason::Length if tokens.len() < expected.tokens.len() => {
                            assert!(self.schedule.decoder.counts.no_room > 0, "client {number} ends early: {client:?}");
                        }
                        reason => {
                            assert_eq!((reason, &summary.stop), (expected.reason, &expected.stop), "client {number}");
                            assert_eq!(*tokens, expected.tokens, "client {number}");
                        }
                    }
                    let whole = if tokens.len() < expected.tokens.len() { text(tokens) } else { expected.text.clone() };
                    assert_eq!(client.text, whole, "client {number}");
                    assert_eq!(summary.usage.completion_tokens as usize, tokens.len(), "client {number}");
                    assert_eq!(summary.usage.prompt_tokens as usize, ask.prompt.len(), "client {number}");
                    let cached = summary.usage.cached_tokens as usize;
                    assert!(cached <= self.could_be_cached(client), "client {number}: {cached} cached");
                }
                Err(Error::Decode { .. }) => assert!(self.setup.faults.failed > 0),
                Err(Error::Lora { .. }) => assert!(self.setup.faults.adapt > 0),
                Err(Error::ContextFull { .. }) => assert!(self.schedule.decoder.counts.no_room > 0),
                Err(Error::Timeout { limit, .. }) => {
                    let rests = client.rests.expect("it has ended");
                    assert!(rests >= *limit, "client {number} took something {rests:?} before its end");
                }
                Err(error) => panic!("client {number}: {error}"),
            }
        }
    }

    /// What any other with the same key has ever had of its prompt.
    fn could_be_cached(&self, Client { id, ask, .. }: &Client) -> usize {
        let others = self.contexts.iter().filter(|(other, key, _)| other != id && *key == (ask.salt, ask.adapters));
        let common = others.map(|(_, _, context)| context.iter().zip(&ask.prompt).take_while(|(a, b)| a == b).count());
        if ask.cache { common.max().unwrap_or(0).min(ask.prompt.len() - 1) } else { 0 }
    }

    fn check_nothing_is_left(&mut self) {
        let schedule = &mut self.schedule;
        assert!(schedule.is_idle() && schedule.running.is_empty() && schedule.waiting.len() == 0);
        assert_eq!(self.places.taken(), 0, "places are given back");
        let stats = self.stats.snapshot();
        let ended = stats.requests_finished_stop
            + stats.requests_finished_length
            + stats.requests_finished_cancelled
            + stats.requests_finished_timeout
            + stats.requests_finished_failed;
        assert_eq!(ended, self.submitted, "each ended once");
        assert_eq!((stats.sequences_running, stats.queue_depth, stats.kv_tokens_used), (0, 0, 0));
        assert!(stats.host_bytes_used <= self.setup.host);
        schedule.slots.check_busy(&[]);
        schedule.slots.drop_idle(&mut schedule.decoder);
        schedule.slots.check(&schedule.decoder);
        assert_eq!((schedule.decoder.used(), schedule.slots.cells_used()), (0, 0));
    }
}
