//! The loop's mind: which requests are computed, and what of them, step by step.
//!
//! Generic over the decoder, so that tests drive it with a script and a clock of their own. It never blocks.

mod bridge;
mod gather;
mod plan;
mod step;
#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cores::Threads;
use super::decoder::{Decoder, Slot};
use super::guess::Guess;
use super::pace::Pace;
use super::params::EngineParams;
use super::queue::{Priority, Verdict, Waiting};
use super::request::{Adapters, Job};
use super::service::ServiceTime;
use super::slots::Slots;
use super::stats::Recorder;
use crate::error::{Error, Result};
use crate::generate::{FinishReason, Spent, TokenEvent};
use crate::tokenizer::TokenId;

/// All requests of one context.
#[derive(Debug)]
pub(crate) struct Schedule<D: Decoder> {
    decoder: D,
    slots: Slots,
    waiting: Waiting<Job<D::Vocabulary>>,
    running: Vec<Sequence<D::Vocabulary>>,
    stats: Arc<Recorder>,
    service: Arc<ServiceTime>,
    pace: Pace,
    threads: Threads,
    guess: Guess,
    reader_timeout: Option<Duration>,
    /// What the context computes with now, and for how many steps it has.
    adapters: Arc<Adapters>,
    group_steps: u32,
    /// Steps that the oldest prompt has waited for shorter ones.
    passed_over: u32,
    /// Steps for which those that run were no neighbours.
    scattered: u32,
}

/// A request that has a sequence.
#[derive(Debug)]
struct Sequence<V> {
    job: Job<V>,
    slot: Slot,
    /// Guesses that are worth a try.
    eager: usize,
    /// How much later than the target its next token may come.
    credit: Duration,
    /// Where a state is to be kept, because another request has the same beginning (only where sequences cannot be cut).
    checkpoint: Option<usize>,
}

impl<V: crate::generate::Vocabulary> Sequence<V> {
    fn has_started(&self) -> bool {
        self.job.writer.generated() > 0
    }
}

/// What the loop does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another turn.
    Go,
    /// Sleep until something comes, or until then.
    Sleep(Option<Instant>),
}

impl<D: Decoder> Schedule<D> {
    pub(crate) fn new(
        decoder: D,
        params: &EngineParams,
        (threads, guess): (Threads, Guess),
        (stats, service): (Arc<Recorder>, Arc<ServiceTime>),
    ) -> Self {
        let shape = decoder.shape();
        let target = Duration::from_millis(params.inter_token_target_ms.into());
        let micro = (params.context.micro_batch as usize).clamp(1, shape.batch);
        stats.kv_tokens_capacity.set(shape.cells as u64);
        Self {
            slots: Slots::new(shape, params.host_cache_bytes),
            decoder,
            waiting: Waiting::new(),
            running: Vec::with_capacity(shape.slots),
            stats,
            service,
            pace: Pace::new(target, shape.batch, micro),
            threads,
            guess,
            reader_timeout: params.reader_timeout_ms.map(Duration::from_millis),
            adapters: Arc::default(),
            group_steps: 0,
            passed_over: 0,
            scattered: 0,
        }
    }

    /// Takes a request in.
    pub(crate) fn add(&mut self, job: Job<D::Vocabulary>) {
        self.waiting.push(job.priority, job);
    }

    /// One turn: ends what is to end, gives sequences to those that wait, computes one batch.
    pub(crate) fn turn(&mut self) -> Next {
        let now = self.decoder.now();
        self.sweep(now);
        self.admit(now);
        let running = self.running.len();
        let computed = self.compute();
        self.tell_gauges();
        // What ended before it was computed has left its place to those that wait.
        let left = self.running.len() < running && self.waiting.len() > 0;
        if computed || left {
            return Next::Go;
        }
        self.threads.rest(now);
        Next::Sleep(self.next_deadline())
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.len() == 0
    }

    /// Ends everything.
    pub(crate) fn end_all(&mut self, mut how: impl FnMut() -> Result<FinishReason>) {
        let now = self.decoder.now();
        for job in self.waiting.remove_if(|_| true) {
            self.finish(job, how(), now);
        }
        while let Some(sequence) = self.running.pop() {
            self.slots.release(sequence.slot);
            self.finish(sequence.job, how(), now);
        }
        self.tell_gauges();
    }

    /// Ends what was cancelled, has run out of time, or whose reader sleeps.
    fn sweep(&mut self, now: Instant) {
        let verdict = |job: &Job<D::Vocabulary>, limit: Option<Duration>| -> Option<Result<FinishReason>> {
            if job.outlet.is_cancelled() {
                return Some(Ok(FinishReason::Cancelled));
            }
            if job.deadline.is_some_and(|deadline| now >= deadline) {
                return Some(Ok(FinishReason::Timeout));
            }
            let (limit, since) = (limit?, job.progress.paused?);
            (job.outlet.is_paused() && now.duration_since(since) >= limit)
                .then_some(Err(Error::Timeout { what: "the reader of the answer", limit }))
        };
        let limit = self.reader_timeout;
        self.waiting.iter_mut().for_each(|job| job.note_reader(now));
        for job in self.waiting.remove_if(|job| verdict(job, limit).is_some()) {
            if let Some(end) = verdict(&job, limit) {
                self.finish(job, end, now);
            }
        }
        let mut index = 0;
        while let Some(sequence) = self.running.get_mut(index) {
            let job = &mut sequence.job;
            job.note_reader(now);
            match verdict(job, limit) {
                Some(end) => self.end(index, end, now),
                None => index += 1,
            }
        }
    }

    /// Gives sequences to those that wait.
    fn admit(&mut self, now: Instant) {
        while self.waiting.len() > 0 && (self.slots.has_free() || self.could_set_back()) {
            let (slots, running, decoder, stats) = (&mut self.slots, &self.running, &mut self.decoder, &self.stats);
            let (mut placed, mut short) = (None, None);
            let job = self.waiting.take(LOOK, |job| {
                if job.outlet.is_paused() {
                    return Verdict::Skip;
                }
                if must_follow(job, running, slots, decoder.shape().partial_removal) {
                    return Verdict::Pass;
                }
                if slots.has_free() {
                    placed = slots.place(decoder, (&job.tokens, &job.key), job.cache, stats);
                }
                if placed.is_some() {
                    return Verdict::Take;
                }
                short = Some(job.priority);
                Verdict::Stop
            });
            match (job, placed, short) {
                (Some(job), Some(placed), _) => self.start(job, placed.slot, placed.cached, now),
                // The same one is asked again: what was set back for it stands behind it, or sleeps.
                (_, _, Some(priority)) if self.set_back_for(priority) => {}
                (_, _, Some(_)) if self.running.is_empty() => self.refuse_first(now),
                _ => return,
            }
        }
    }

    fn start(&mut self, mut job: Job<D::Vocabulary>, slot: Slot, cached: usize, now: Instant) {
        let first_time = job.progress.admitted.is_none();
        if first_time {
            job.progress.admitted = Some(now);
            job.progress.cached = cached;
            job.place = None;
            self.stats.queue_wait.record(now.duration_since(job.submitted));
            self.stats.prompt_tokens.add(job.tokens.len() as u64);
            self.stats.prompt_tokens_cached.add(cached as u64);
        }
        job.progress.behind = None;
        let checkpoint = (!self.decoder.shape().partial_removal && job.cache)
            .then(|| self.slots.known(&job.tokens[..job.tokens.len() - 1], &job.key))
            .filter(|at| *at > cached && *at < job.tokens.len());
        let credit = self.pace.most_credit();
        self.running.push(Sequence { job, slot, eager: self.guess.most(), credit, checkpoint });
    }

    /// Nothing runs and still the first that waits finds no place: it never will.
    fn refuse_first(&mut self, now: Instant) {
        let paused = |job: &mut Job<D::Vocabulary>| if job.outlet.is_paused() { Verdict::Pass } else { Verdict::Take };
        if let Some(job) = self.waiting.take(usize::MAX, paused) {
            let limit = self.decoder.shape().cells;
            self.finish(job, Err(Error::ContextFull { limit }), now);
        }
    }

    /// Would [`Schedule::set_back_for`] find one, for anybody who waits?
    fn could_set_back(&self) -> bool {
        let interactive = self.waiting.has_interactive();
        self.running.iter().any(|sequence| {
            sequence.job.outlet.is_paused() || (interactive && sequence.job.priority == Priority::Batch)
        })
    }

    /// Sets a running request back for one of this class that waits: one whose reader sleeps, or a batch request for an
    /// interactive one. False: there is none.
    fn set_back_for(&mut self, priority: Priority) -> bool {
        let asleep = self.running.iter().enumerate().filter(|(_, sequence)| sequence.job.outlet.is_paused());
        let asleep = asleep.min_by_key(|(_, sequence)| sequence.job.progress.paused).map(|(index, _)| index);
        let least = asleep.or_else(|| {
            let batch = self.running.iter().enumerate();
            let batch = batch.filter(|(_, sequence)| priority < sequence.job.priority);
            batch.max_by_key(|(_, sequence)| sequence.job.id).map(|(index, _)| index)
        });
        least.map(|index| self.set_back(index)).is_some()
    }

    /// Takes a request's sequence away; it goes on later, with what is then still held of it.
    fn set_back(&mut self, index: usize) {
        let sequence = self.running.remove(index);
        self.slots.release(sequence.slot);
        self.stats.preemptions.add(1);
        self.waiting.push_first(sequence.job.priority, sequence.job);
    }

    /// The one to set back when cells are short: one whose reader sleeps, of the lowest class, the youngest.
    fn youngest(&self) -> Option<usize> {
        let order = |sequence: &Sequence<D::Vocabulary>| {
            (sequence.job.outlet.is_paused(), sequence.job.priority, sequence.job.id)
        };
        (0..self.running.len()).max_by_key(|index| order(&self.running[*index]))
    }

    /// Ends a running request.
    fn end(&mut self, index: usize, how: Result<FinishReason>, now: Instant) {
        let sequence = self.running.remove(index);
        self.slots.release(sequence.slot);
        self.finish(sequence.job, how, now);
    }

    /// Ends one that has no room even by itself.
    fn end_without_room(&mut self, index: usize, now: Instant) {
        let started = self.running[index].has_started();
        let limit = self.decoder.shape().cells;
        self.end(index, if started { Ok(FinishReason::Length) } else { Err(Error::ContextFull { limit }) }, now);
    }

    fn finish(&mut self, mut job: Job<D::Vocabulary>, how: Result<FinishReason>, now: Instant) {
        let counter = match &how {
            Ok(FinishReason::Stop | FinishReason::ToolCalls) => &self.stats.requests_finished_stop,
            Ok(FinishReason::Length) => &self.stats.requests_finished_length,
            Ok(FinishReason::Cancelled) => &self.stats.requests_finished_cancelled,
            Ok(FinishReason::Timeout) => &self.stats.requests_finished_timeout,
            Err(_) => &self.stats.requests_finished_failed,
        };
        counter.add(1);
        let progress = job.progress;
        let generated = job.writer.generated();
        if let Some(first) = progress.first {
            let time = now.duration_since(first);
            if generated > 1 && !time.is_zero() {
                self.stats.tokens_per_second.record_rate(u64::from(generated) - 1, time);
            }
        }
        if let Some(admitted) = progress.admitted {
            self.service.note(now.duration_since(admitted));
        }
        // Before the last event: who has read it finds the numbers without this request.
        self.tell_gauges();
        drop(job.place.take());
        match how {
            Ok(reason) => {
                let text = job.writer.rest_of_text();
                if !text.is_empty() {
                    job.outlet.send(Ok(TokenEvent::Text { text }));
                }
                let first = progress.first.unwrap_or(now);
                let spent = Spent {
                    prompt: progress.admitted.map(|admitted| first.duration_since(admitted)).unwrap_or_default(),
                    generation: now.duration_since(first),
                };
                let done = job.writer.summary(reason, job.prompt, progress.cached, spent);
                job.outlet.send(Ok(done));
            }
            Err(error) => job.outlet.send(Err(error)),
        }
    }

    /// When the next request runs out of time.
    fn next_deadline(&self) -> Option<Instant> {
        let jobs = self.waiting.iter().chain(self.running.iter().map(|sequence| &sequence.job));
        let times = jobs.flat_map(|job| {
            let paused = job.progress.paused.filter(|_| job.outlet.is_paused());
            let asleep = paused.zip(self.reader_timeout).map(|(since, limit)| since + limit);
            [job.deadline, asleep]
        });
        times.flatten().min()
    }

    fn tell_gauges(&self) {
        let paused = self.running.iter().filter(|sequence| sequence.job.outlet.is_paused()).count();
        self.stats.queue_depth.set(self.waiting.len() as u64);
        self.stats.sequences_running.set(self.running.len() as u64);
        self.stats.sequences_paused.set(paused as u64);
        self.stats.kv_tokens_used.set(self.slots.cells_busy() as u64);
        self.stats.kv_tokens_held.set(self.slots.cells_used() as u64);
    }
}

/// Is another request just computing a prefix that this one has too? Then it waits for it, instead of computing the same
/// beside it.
fn must_follow<V: crate::generate::Vocabulary>(
    job: &mut Job<V>,
    running: &[Sequence<V>],
    slots: &Slots,
    partial_removal: bool,
) -> bool {
    if !job.cache || !partial_removal {
        return false;
    }
    // Whoever's reader sleeps may sleep long.
    let leads = |sequence: &Sequence<V>| !sequence.job.outlet.is_paused();
    if let Some((leader, tokens)) = job.progress.behind {
        let comes = |sequence: &Sequence<V>| {
            let length = slots.length(sequence.slot);
            // One that has all but its last token computed has forgotten the rest, in a shift.
            length < tokens && length + 1 < sequence.job.tokens.len()
        };
        if running.iter().any(|sequence| sequence.job.id == leader && leads(sequence) && comes(sequence)) {
            return true;
        }
        job.progress.behind = None;
    }
    let usable = job.tokens.len() - 1;
    let ahead = |sequence: &Sequence<V>| {
        let common = common(&sequence.job.tokens, &job.tokens).min(usable);
        (common > slots.length(sequence.slot)).then_some((sequence.job.id, common))
    };
    let leaders = running.iter().filter(|sequence| sequence.job.cache && sequence.job.key == job.key);
    let best = leaders.filter(|sequence| leads(sequence)).filter_map(ahead).max_by_key(|(_, common)| *common);
    let Some((leader, tokens)) = best else { return false };
    let follows = tokens >= slots.longest(&job.tokens, &job.key) + WORTH_WAITING;
    job.progress.behind = follows.then_some((leader, tokens));
    follows
}

fn common(a: &[TokenId], b: &[TokenId]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Those behind are not asked in this turn, so that a long queue costs no more than a short one.
const LOOK: usize = 64;
/// Tokens that must be saved by waiting for another request's prefix.
const WORTH_WAITING: usize = 32;
