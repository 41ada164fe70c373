//! What goes into one batch.

use super::{Schedule, Sequence};
use crate::engine::decoder::{Decoder, Slot};
use crate::engine::pace::Kind;
use crate::engine::queue::Priority;
use crate::engine::request::Adapters;
use crate::error::Error;
use crate::tokenizer::TokenId;
use std::sync::Arc;
use std::time::Duration;

/// A sequence's share of a batch.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// The request's number.
    pub(super) id: u64,
    /// The sequence that it has now.
    pub(super) slot: Slot,
    /// Tokens to compute.
    pub(super) tokens: usize,
    /// What may follow them.
    pub(super) guesses: Vec<TokenId>,
    /// Is this the end of what is known, so that a token is to be chosen?
    pub(super) output: bool,
}

impl Part {
    pub(super) fn rows(&self) -> usize {
        self.tokens + self.guesses.len()
    }
}

impl<D: Decoder> Schedule<D> {
    /// Chooses what to compute, having made room for it. Empty: nothing can be.
    pub(super) fn plan(&mut self) -> Vec<Part> {
        loop {
            if !self.choose_group() {
                return Vec::new();
            }
            let parts = self.parts();
            let need = parts.iter().map(Part::rows).sum();
            if parts.is_empty() || self.slots.make_room(&mut self.decoder, need, &self.stats) {
                return parts;
            }
            // Cells are short: the youngest gives its own.
            let Some(youngest) = self.youngest() else { return Vec::new() };
            if self.running.len() > 1 {
                self.set_back(youngest);
            } else {
                self.end_without_room(youngest, self.decoder.now());
            }
        }
    }

    /// What all interactive streams can bear to wait beyond the target; `None` where there are none.
    fn patience(&self) -> Option<Duration> {
        let urgent = self.running.iter().filter(|sequence| {
            sequence.has_started() && sequence.job.priority == Priority::Interactive && Self::is_ready(sequence)
        });
        urgent.map(|sequence| sequence.credit).min().map(|credit| self.pace.usable(credit))
    }

    pub(super) fn is_ready(sequence: &Sequence<D::Vocabulary>) -> bool {
        !sequence.job.outlet.is_paused()
    }

    /// Chooses the adapters of this step: all rows of a batch are computed with the same. False: nobody is ready.
    fn choose_group(&mut self) -> bool {
        loop {
            let ready = |sequence: &&Sequence<D::Vocabulary>| Self::is_ready(sequence);
            let same = |sequence: &&Sequence<D::Vocabulary>| sequence.job.adapters.identity == self.adapters.identity;
            let stays = self.running.iter().filter(ready).any(|sequence| same(&sequence));
            let others = self.running.iter().filter(ready).filter(|sequence| !same(sequence));
            // In turns: the group whose request is the oldest that this group has kept waiting.
            let next = others.min_by_key(|sequence| {
                (sequence.job.progress.last.or(sequence.job.progress.admitted), sequence.job.id)
            });
            match next {
                Some(next) if !stays || self.group_steps >= GROUP_STEPS => {
                    let adapters = Arc::clone(&next.job.adapters);
                    if self.adapt(adapters) {
                        return true;
                    }
                }
                _ => {
                    self.group_steps += 1;
                    return stays;
                }
            }
        }
    }

    /// False: the adapters cannot be used, and those that wanted them have been told.
    fn adapt(&mut self, adapters: Arc<Adapters>) -> bool {
        self.group_steps = 0;
        let Err(error) = self.decoder.adapt(&adapters.list) else {
            self.adapters = adapters;
            return true;
        };
        // What the context has now is not known.
        self.adapters = Arc::new(Adapters::unknown());
        let now = self.decoder.now();
        let (path, reason) = match error {
            Error::Lora { path, reason } => (path, reason),
            other => (std::path::PathBuf::new(), other.to_string()),
        };
        while let Some(index) =
            self.running.iter().position(|sequence| sequence.job.adapters.identity == adapters.identity)
        {
            self.end(index, Err(Error::Lora { path: path.clone(), reason: reason.clone() }), now);
        }
        false
    }

    fn parts(&mut self) -> Vec<Part> {
        let (mut streams, mut prompts) = (Vec::new(), Vec::new());
        for (index, sequence) in self.running.iter().enumerate() {
            if !Self::is_ready(sequence) || sequence.job.adapters.identity != self.adapters.identity {
                continue;
            }
            let left = sequence.job.tokens.len() - self.slots.length(sequence.slot);
            if sequence.has_started() && left == 1 {
                streams.push(index);
            } else {
                prompts.push((index, left));
            }
        }
        let batch = self.decoder.shape().batch;
        let mut free = batch - streams.len().min(batch);
        let guesses = self.guesses(&streams, free.min(batch / 2));
        let mut parts = Vec::with_capacity(streams.len() + prompts.len());
        for (index, guesses) in streams.iter().zip(guesses) {
            free -= guesses.len();
            let Sequence { job, slot, .. } = &self.running[*index];
            parts.push(Part { id: job.id, slot: *slot, tokens: 1, guesses, output: true });
        }
        for (index, tokens) in self.shares(streams.len(), &prompts, free) {
            let sequence = &self.running[index];
            let computed = self.slots.length(sequence.slot);
            // A piece ends where a state is to be kept.
            let stop = sequence.checkpoint.filter(|at| *at > computed && *at < computed + tokens);
            let tokens = stop.map_or(tokens, |at| at - computed);
            let output = computed + tokens == sequence.job.tokens.len();
            parts.push(Part { id: sequence.job.id, slot: sequence.slot, tokens, guesses: Vec::new(), output });
        }
        parts
    }

    /// How many tokens of which prompts.
    fn shares(&mut self, streams: usize, prompts: &[(usize, usize)], free: usize) -> Vec<(usize, usize)> {
        let Some(&(first, first_left)) = prompts.first() else { return Vec::new() };
        let Some(patience) = self.patience() else {
            let budget = self.pace.prompt_tokens(Kind::Calm, Duration::ZERO);
            // The end of a prompt in a step of its own would cost more than it does here.
            let budget = if first_left <= 2 * budget { budget.max(first_left) } else { budget };
            return share(prompts, budget.min(free));
        };
        // Short ones first, and alone: tokens of long prompts cost more, and would make all wait. But not for ever.
        let ends = self.that_end(streams, prompts, patience, free);
        let first_ends = ends.iter().any(|(index, _)| *index == first);
        if !ends.is_empty() && (first_ends || self.passed_over < PASSED_OVER) {
            self.passed_over = if first_ends { 0 } else { self.passed_over + 1 };
            return ends;
        }
        self.passed_over = 0;
        let kind = if self.is_deep(first) { Kind::Deep } else { Kind::Shallow };
        let budget = self.pace.prompt_tokens(kind, patience);
        in_turn(prompts, budget.min(free))
    }

    /// The prompts that are to be ended in this step, shortest first.
    fn that_end(
        &self,
        streams: usize,
        prompts: &[(usize, usize)],
        patience: Duration,
        free: usize,
    ) -> Vec<(usize, usize)> {
        // Where many wait, a long step that gives some of them their first token is worth its time: small steps cost more, and
        // the fewer streams run beside prompts that crawl, the less all of them get.
        let many = prompts.len() >= streams.div_ceil(3).max(MANY);
        let some = |kind| {
            let ending = self.ending(kind, prompts, self.pace.most_credit(), free);
            (many && ending.len() >= SOME).then_some(ending)
        };
        let ordinary = || self.ending(Kind::Shallow, prompts, patience, free);
        some(Kind::Shallow).unwrap_or_else(|| {
            let ending = ordinary();
            if ending.is_empty() { some(Kind::Deep).unwrap_or_default() } else { ending }
        })
    }

    /// Those of one kind of which all that is left can be computed in a step so much longer than the target.
    fn ending(&self, kind: Kind, prompts: &[(usize, usize)], longer: Duration, free: usize) -> Vec<(usize, usize)> {
        let of_kind = |(index, _): &(usize, usize)| self.is_deep(*index) == (kind == Kind::Deep);
        let mut ending: Vec<_> = prompts.iter().copied().filter(of_kind).collect();
        ending.sort_by_key(|(index, left)| (*left, *index));
        let mut rest = self.pace.prompt_tokens(kind, longer).min(free);
        let fits = |(_, left): &&(usize, usize)| {
            let fits = *left <= rest;
            rest = rest.saturating_sub(*left);
            fits
        };
        let count = ending.iter().take_while(fits).count();
        ending.truncate(count);
        ending
    }

    /// What tokens of these prompts are now.
    pub(super) fn kind(&self, mut prompts: impl Iterator<Item = usize>) -> Kind {
        match self.patience() {
            None => Kind::Calm,
            Some(_) if prompts.any(|index| self.is_deep(index)) => Kind::Deep,
            Some(_) => Kind::Shallow,
        }
    }

    fn is_deep(&self, index: usize) -> bool {
        self.running.get(index).is_some_and(|sequence| self.slots.length(sequence.slot) >= DEEP)
    }

    /// Guesses for each stream, together no more than `free`.
    fn guesses(&mut self, streams: &[usize], free: usize) -> Vec<Vec<TokenId>> {
        let shape = self.decoder.shape();
        if self.guess.most() == 0 || !shape.partial_removal || streams.len() > MAX_GUESSING {
            return vec![Vec::new(); streams.len()];
        }
        let (each, most) = (free / streams.len().max(1), self.guess.most());
        let wants: Vec<_> = streams
            .iter()
            .map(|index| {
                let sequence = &self.running[*index];
                let room = shape.length - sequence.job.tokens.len().min(shape.length);
                // The last token is chosen, not guessed.
                let useful = sequence.job.writer.remaining().map_or(usize::MAX, |left| left.saturating_sub(1) as usize);
                (
                    sequence.slot,
                    sequence.job.tokens.as_slice(),
                    sequence.eager.min(most).min(each).min(room).min(useful),
                )
            })
            .collect();
        self.guess.propose(&wants)
    }
}

impl Adapters {
    fn unknown() -> Self {
        Self { list: Vec::new(), identity: [0xFF; 32] }
    }
}

/// Divides `budget` between prompts of which so many tokens are left. If the first can be ended: one after the other, which
/// costs least. Else half at least goes to it, so that it ends some time; of the other half as many others as can be ended
/// with it, shortest first, so that short ones do not wait for long ones. What remains goes to the first, then on.
fn share(prompts: &[(usize, usize)], budget: usize) -> Vec<(usize, usize)> {
    let Some(&(first, left)) = prompts.first() else { return Vec::new() };
    if left <= budget {
        return in_turn(prompts, budget);
    }
    let mut rest = budget - left.min(budget.div_ceil(2));
    let mut others = prompts[1..].to_vec();
    others.sort_by_key(|(index, left)| (*left, *index));
    let mut shares = vec![(first, 0)];
    for (index, left) in others.iter().filter(|(_, left)| *left > 0) {
        if *left > rest {
            break;
        }
        rest -= left;
        shares.push((*index, *left));
    }
    let taken = shares.len() - 1;
    let others_share: usize = shares.iter().map(|(_, tokens)| tokens).sum();
    shares[0].1 = left.min(budget - others_share);
    rest = budget - others_share - shares[0].1;
    for (index, left) in &others[taken..] {
        if rest == 0 {
            break;
        }
        shares.push((*index, rest.min(*left)));
        rest -= rest.min(*left);
    }
    shares
}

/// One prompt after the other.
fn in_turn(prompts: &[(usize, usize)], mut budget: usize) -> Vec<(usize, usize)> {
    let mut shares = Vec::new();
    for (index, left) in prompts {
        let tokens = budget.min(*left);
        // A small piece costs as much as a large one: it goes with what follows of it.
        if tokens == 0 || (tokens < *left && tokens < SMALL && !shares.is_empty()) {
            break;
        }
        shares.push((*index, tokens));
        budget -= tokens;
    }
    shares
}

/// llama.cpp's attention on the CPU computes 64 tokens of a sequence or more in another way, which costs less for each.
const SMALL: usize = 64;
/// Steps that the oldest prompt waits for shorter ones, at most, before it has one.
const PASSED_OVER: u32 = 2;
/// Where a prompt is computed so far, attention costs as much as all else, or more.
const DEEP: usize = 512;
/// Prompts that are many.
const MANY: usize = 3;
/// Of these, those that must end for a long step.
const SOME: usize = 2;
/// Steps after which another group of adapters has its turn: changing them rebuilds llama.cpp's graphs.
const GROUP_STEPS: u32 = 8;
/// With more streams than this the batch is full enough without guesses.
const MAX_GUESSING: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::share;

    proptest! {
        #[test]
        fn prompts_share_a_budget(lefts in prop::collection::vec(1_usize..300, 1..10), budget in 1_usize..400) {
            let prompts: Vec<_> = lefts.iter().copied().enumerate().collect();
            let shares = share(&prompts, budget);
            let total: usize = shares.iter().map(|(_, tokens)| tokens).sum();
            let most = budget.min(lefts.iter().sum());
            prop_assert!(total <= most && total + super::SMALL > most, "little is left unused");
            for (index, tokens) in &shares {
                prop_assert!(*tokens > 0 && *tokens <= lefts[*index]);
            }
            let first = shares.iter().find(|(index, _)| *index == 0).map_or(0, |(_, tokens)| *tokens);
            prop_assert!(first >= lefts[0].min(budget.div_ceil(2)), "the first always goes on");
        }
    }
}
