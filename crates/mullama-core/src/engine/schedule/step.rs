//! Computing a batch, and telling of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::bridge::Bridge;
use super::plan::Part;
use super::{Schedule, Sequence};
use crate::engine::decoder::{Decoder, Outcome};
use crate::engine::slots::Slots;
use crate::engine::stats::Recorder;
use crate::error::{Error, Result};
use crate::generate::FinishReason;

impl<D: Decoder> Schedule<D> {
    /// Computes one step. False: there was nothing to compute.
    pub(super) fn compute(&mut self) -> bool {
        self.gather();
        let mut parts = self.plan();
        if parts.is_empty() {
            return false;
        }
        // llama.cpp computes neighbours together only in rising order.
        parts.sort_by_key(|part| part.slot);
        let (streams, prompts): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(|part| self.is_stream(part));
        let (streams, prompt) = (streams.len(), prompts.iter().map(|part| part.tokens).sum());
        let kind = self.kind(prompts.into_iter().filter_map(|part| self.find(part.id)));
        let start = self.decoder.now();
        self.threads.begin(start);
        for batch in self.batches(parts) {
            if !self.compute_batch(&batch) {
                return true;
            }
        }
        self.pace.step(kind, streams, prompt, self.decoder.now().duration_since(start));
        true
    }

    /// What is computed together. Where sequences have cells of their own, llama.cpp computes in one pass as many tokens of
    /// each as the shortest has: one of a long piece of a prompt beside a stream, then the rest. So pieces of different
    /// lengths go one after the other, the streams first.
    fn batches(&self, parts: Vec<Part>) -> Vec<Vec<Part>> {
        if self.decoder.shape().unified {
            return vec![parts];
        }
        let mut batches: Vec<Vec<Part>> = Vec::new();
        let (streams, prompts): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| self.is_stream(part));
        if !streams.is_empty() {
            batches.push(streams);
        }
        for part in prompts {
            match batches.iter_mut().find(|batch| batch[0].tokens == part.tokens && part.tokens > 1) {
                Some(batch) => batch.push(part),
                None => batches.push(vec![part]),
            }
        }
        batches
    }

    /// False: it failed, and what was planned no longer holds.
    fn compute_batch(&mut self, parts: &[Part]) -> bool {
        let bridges = self.bridges(parts);
        let rows = self.fill_batch(parts, &bridges);
        let start = self.decoder.now();
        let outcome = self.decoder.decode();
        let now = self.decoder.now();
        self.note_batch(parts, start, now);
        self.leave(&bridges, outcome == Outcome::Done);
        match outcome {
            Outcome::Done => {
                self.slots.settle();
                self.take_results(parts, &rows, now);
                return true;
            }
            Outcome::NoRoom => self.recover_room(parts, now),
            Outcome::Aborted => self.fail(parts, now, || Ok(FinishReason::Cancelled)),
            Outcome::Failed { code, reason } => {
                self.fail(parts, now, || Err(Error::Decode { code, reason: reason.clone() }));
            }
        }
        false
    }

    pub(super) fn find(&self, id: u64) -> Option<usize> {
        self.running.iter().position(|sequence| sequence.job.id == id)
    }

    /// Returns the row of each part's last known token.
    fn fill_batch(&mut self, parts: &[Part], bridges: &[Bridge]) -> Vec<i32> {
        self.decoder.begin();
        let mut row = 0;
        let mut rows = Vec::with_capacity(parts.len());
        let mut bridges = bridges.iter().peekable();
        for part in parts {
            let Some(index) = self.find(part.id) else { continue };
            let sequence = &self.running[index];
            while let Some(Bridge { slot, token, position, .. }) = bridges.next_if(|bridge| bridge.slot < part.slot) {
                let fits = self.decoder.push(*token, *position, *slot, false);
                debug_assert!(fits, "bridges take what is left of a batch");
                row += 1;
            }
            let from = self.slots.length(sequence.slot);
            let known = &sequence.job.tokens[from..from + part.tokens];
            for (at, token) in known.iter().chain(&part.guesses).enumerate() {
                let output = part.output && at + 1 >= part.tokens;
                let fits = self.decoder.push(*token, from + at, sequence.slot, output);
                debug_assert!(fits, "the plan is no longer than a batch");
                row += 1;
            }
            rows.push(row - 1 - i32::try_from(part.guesses.len()).unwrap_or(0));
        }
        rows
    }

    fn note_batch(&mut self, parts: &[Part], start: Instant, now: Instant) {
        let took = now.duration_since(start);
        let total: usize = parts.iter().map(Part::rows).sum();
        let prompt: usize = parts.iter().filter(|part| !self.is_stream(part)).map(|part| part.tokens).sum();
        self.stats.decoded(total as u64, took);
        self.stats.prompt_tokens_computed.add(prompt as u64);
        self.stats.drafted_tokens.add(parts.iter().map(|part| part.guesses.len() as u64).sum());
        self.pay(parts, now);
        if let Some((single, batch)) = self.threads.step(now, total, took) {
            self.decoder.threads(single, batch);
            self.stats.threads.set(single.into());
            self.stats.threads_batch.set(batch.into());
        }
    }

    /// Those that waited longer than the target have less to wait with.
    fn pay(&mut self, parts: &[Part], now: Instant) {
        for part in parts.iter().filter(|part| part.output) {
            let Some(sequence) = self.running.iter_mut().find(|sequence| sequence.job.id == part.id) else { continue };
            if let Some(last) = sequence.job.progress.last {
                sequence.credit = self.pace.credit(sequence.credit, now.duration_since(last));
            }
        }
    }

    fn is_stream(&self, part: &Part) -> bool {
        part.output && part.tokens == 1 && self.find(part.id).is_some_and(|index| self.running[index].has_started())
    }

    /// Takes what was computed, and a token for each part that ends in one.
    fn take_results(&mut self, parts: &[Part], rows: &[i32], now: Instant) {
        for part in parts {
            let Some(index) = self.find(part.id) else { continue };
            let sequence = &self.running[index];
            let from = self.slots.length(sequence.slot);
            self.slots.append(sequence.slot, &sequence.job.tokens[from..from + part.tokens]);
            self.slots.append(sequence.slot, &part.guesses);
            if sequence.checkpoint == Some(self.slots.length(sequence.slot)) {
                self.slots.checkpoint(&mut self.decoder, sequence.slot, &self.stats);
            }
        }
        for (part, row) in parts.iter().zip(rows).filter(|(part, _)| part.output) {
            let Some(index) = self.find(part.id) else { continue };
            let (sequence, slots, decoder, stats) =
                (&mut self.running[index], &mut self.slots, &mut self.decoder, &*self.stats);
            // One request's panic is one request's end.
            let outcome =
                catch_unwind(AssertUnwindSafe(|| sequence.take_tokens(part, *row, (slots, decoder, stats), now)));
            let outcome =
                outcome.unwrap_or_else(|_| Err(Error::Internal { what: "a panic while a token was taken".to_owned() }));
            match outcome {
                Ok(None) => {
                    if sequence.job.outlet.is_paused() {
                        sequence.job.pause(now);
                        self.stats.reader_stalls.add(1);
                    }
                }
                Ok(Some(reason)) => self.end(index, Ok(reason), now),
                Err(error) => {
                    let slot = sequence.slot;
                    // What a failed step leaves there may not be what the index says.
                    self.slots.reset(&mut self.decoder, slot);
                    self.end(index, Err(error), now);
                }
            }
        }
        self.stats.sampling.record(self.decoder.now().duration_since(now));
    }

    /// llama.cpp found no cells although they were counted: the youngest gives its own.
    fn recover_room(&mut self, parts: &[Part], now: Instant) {
        tracing::warn!("no cells for a batch of {} tokens", parts.iter().map(Part::rows).sum::<usize>());
        self.take_back(parts);
        let Some(youngest) = self.youngest() else { return };
        let idle = self.slots.cells_used() > self.slots.cells_busy();
        if self.running.len() > 1 {
            self.set_back(youngest);
        } else if !idle {
            self.end_without_room(youngest, now);
        }
        self.slots.drop_idle(&mut self.decoder);
    }

    fn fail(&mut self, parts: &[Part], now: Instant, mut how: impl FnMut() -> Result<FinishReason>) {
        self.take_back(parts);
        for part in parts {
            if let Some(index) = self.find(part.id) {
                self.end(index, how(), now);
            }
        }
    }

    /// A batch that failed may be computed in part: takes back what is not counted.
    fn take_back(&mut self, parts: &[Part]) {
        for part in parts {
            let Some(index) = self.find(part.id) else { continue };
            let slot = self.running[index].slot;
            if !self.decoder.remove(slot, self.slots.length(slot)) {
                self.slots.reset(&mut self.decoder, slot);
            }
        }
    }
}

impl<V: crate::generate::Vocabulary> Sequence<V> {
    /// Chooses a token from `row`, and one more for each guess that came true. Returns why the request ends, if it does.
    fn take_tokens<D: Decoder<Vocabulary = V>>(
        &mut self,
        part: &Part,
        row: i32,
        (slots, decoder, stats): (&mut Slots, &mut D, &Recorder),
        now: Instant,
    ) -> Result<Option<FinishReason>> {
        let known = self.job.tokens.len();
        for taken in 0..=part.guesses.len() {
            let chosen = self.job.writer.choose(decoder, row + i32::try_from(taken).unwrap_or(0))?;
            let token = chosen.token;
            self.note_token(stats, now);
            let guessed = part.guesses.get(taken) == Some(&token);
            if guessed {
                stats.accepted_draft_tokens.add(1);
            } else if slots.length(self.slot) > known + taken {
                // Before anything else happens to the sequence: what was computed of wrong guesses goes.
                self.eager = taken + 1;
                slots.truncate(decoder, self.slot, known + taken);
            }
            let job = &mut self.job;
            let (tokens, slot) = (&mut job.tokens, self.slot);
            let has_room = || {
                let length = decoder.shape().length;
                if tokens.len() < length {
                    return Ok(true);
                }
                let shifted = job.context_shift && shift(tokens, job.keep, slot, slots, decoder);
                if shifted {
                    stats.context_shifts.add(1);
                }
                Ok(shifted)
            };
            let (event, end) = job.writer.tell(chosen, has_room)?;
            job.outlet.send(Ok(event));
            if end.is_some() {
                slots.truncate(decoder, self.slot, known + taken);
                return Ok(end);
            }
            job.tokens.push(token);
            if !guessed {
                return Ok(None);
            }
            self.eager = self.eager.max(2 * (taken + 1));
        }
        Ok(None)
    }

    fn note_token(&mut self, stats: &Recorder, now: Instant) {
        let progress = &mut self.job.progress;
        stats.generated_tokens.add(1);
        if progress.first.is_none() {
            progress.first = Some(now);
            stats.time_to_first_token.record(now.duration_since(self.job.submitted));
            if let Some(admitted) = progress.admitted {
                stats.prefill.record(now.duration_since(admitted));
            }
        } else if let Some(last) = progress.last {
            stats.inter_token.record(now.duration_since(last));
        }
        progress.last = Some(now);
    }
}

/// Forgets half of what follows the first `keep` tokens. Where positions cannot be moved because others share them, what
/// stays is computed again; not so where they never can be, so that nobody's answer depends on who else is there.
fn shift(
    tokens: &mut Vec<crate::tokenizer::TokenId>,
    keep: usize,
    slot: usize,
    slots: &mut Slots,
    decoder: &mut impl Decoder,
) -> bool {
    let held = slots.length(slot);
    let keep = keep.min(held);
    let discard = (held - keep) / 2;
    if discard == 0 || held != tokens.len() || !decoder.shape().partial_removal {
        return false;
    }
    let shared = slots.shares(slot);
    if !shared && !slots.shift(decoder, slot, keep, keep + discard) && slots.length(slot) > 0 {
        return false;
    }
    if shared {
        slots.reset(decoder, slot);
    }
    tokens.drain(keep..keep + discard);
    true
}
