//! How many threads a decode call uses: fewer while other programs take cores, all of them while the cores are free.
//!
//! ggml's threads wait for each other by spinning, many times in a call. When one of them loses its core to another
//! program, the call takes 10 to 100 times as long, so one thread fewer is far better than one too many.

mod load;
mod pace;
mod room;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use pace::Paces;
use room::Room;

pub(crate) use load::LoadMeter;

/// How an engine chooses its number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ThreadPolicy {
    /// Fewer threads while other programs use the cores, up to the number configured while they do not.
    ///
    /// It sees the load of other programs on Linux; elsewhere only that calls take longer, so there it finds out by
    /// trying. Engines in one process are not "other programs": give them numbers that add up to the cores.
    #[default]
    Adaptive,
    /// Always the number configured.
    Fixed,
}

/// One decode call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// The threads it was made with.
    pub(crate) threads: u32,
    /// Tokens in the batch.
    pub(crate) tokens: u32,
    /// The time it took.
    pub(crate) elapsed: Duration,
}

/// Decides on the number of threads from the time that calls take and from the load of other programs.
///
/// One limit holds for both kinds of calls. It falls at once: when two of three calls took much longer than is usual
/// for their size, or when others are seen to use the cores. It rises by a quarter of the maximum at a time: when
/// others have left the cores alone for a second or, where that is unknown, to see whether it helps. Every change but
/// one that the load demands is a [`Trial`]: what it claims is measured, and if it is not so, the change is undone.
///
/// It reads no clock: `now` is handed in, and does not go back.
#[derive(Debug)]
pub(crate) struct ThreadGovernor {
    /// The most threads for one token, and for more.
    maximum: (u32, u32),
    /// 1: nothing to decide.
    ceiling: u32,
    limit: u32,
    paces: Paces,
    /// How many times as long as usual the last calls took.
    recent: [f64; 3],
    /// From how many times on a call is slow.
    tolerance: f64,
    /// When slow calls proved to be heavier work and not lost cores.
    false_alarm: Option<Instant>,
    trial: Option<Trial>,
    room: Room,
    /// How long to wait before the next rise; doubled when one was wrong.
    backoff: Duration,
    not_before: Option<Instant>,
    raised: Option<Instant>,
    /// A limit that was tried and too high. The next attempt goes half the way.
    failed: Option<u32>,
    /// When it was last looked whether fewer threads are faster, and the time until the next look.
    checked: Option<Instant>,
    check_wait: Duration,
    /// The longest call since then.
    longest: Duration,
}

/// A limit that must prove itself.
#[derive(Debug)]
struct Trial {
    claim: Claim,
    /// The limit before, and its usual times.
    back: u32,
    reference: Paces,
    steps: u32,
    sum: f64,
    /// Calls that could not be compared.
    idle: u32,
}

#[derive(Debug, Clone, Copy)]
enum Claim {
    /// More threads are not slower.
    Raise,
    /// The calls took so many times as long as usual because cores were lost: fewer threads take less.
    Drop { slow: f64 },
    /// Calls may have been slow from the start, which nothing here would know: fewer threads might take less.
    Check,
}

impl ThreadGovernor {
    /// `cores`: how many the process may run on ([`LoadMeter::cores`]), which others' load is taken from.
    pub(crate) fn new(max_threads: u32, max_threads_batch: u32, policy: ThreadPolicy, cores: u32) -> Self {
        let maximum = (max_threads.max(1), max_threads_batch.max(1));
        let highest = maximum.0.max(maximum.1);
        let ceiling = if policy == ThreadPolicy::Fixed { 1 } else { highest };
        Self {
            maximum,
            ceiling,
            limit: highest,
            paces: Paces::default(),
            recent: [0.0; 3],
            tolerance: TOLERANCE,
            false_alarm: None,
            trial: None,
            room: Room::new(cores, ceiling),
            backoff: SECOND,
            not_before: None,
            raised: None,
            failed: None,
            checked: None,
            check_wait: FIRST_CHECK,
            longest: Duration::ZERO,
        }
    }

    /// The threads to use now: for a call with one token, and for one with more.
    pub(crate) fn threads(&self) -> (u32, u32) {
        (self.limit.min(self.maximum.0), self.limit.min(self.maximum.1))
    }

    /// Takes a decode call into account. Answers with the new numbers of threads if they changed.
    pub(crate) fn step(&mut self, now: Instant, step: Step) -> Option<(u32, u32)> {
        let before = self.threads();
        // A call with other numbers than these was begun before the last change.
        if self.ceiling == 1 || step.tokens == 0 || step.threads != self.at(self.limit, step.tokens) {
            return None;
        }
        self.longest = self.longest.max(step.elapsed);
        match self.trial.take() {
            Some(trial) => self.judge(trial, now, step),
            None => self.watch(now, step),
        }
        self.changed(before)
    }

    /// Takes into account how many cores other programs kept busy since the last time, `None` where that is unknown.
    /// Answers with the new numbers of threads if they changed.
    pub(crate) fn load(&mut self, now: Instant, others_busy_cores: Option<f64>) -> Option<(u32, u32)> {
        let before = self.threads();
        if self.ceiling == 1 {
            return None;
        }
        let Some(others) = others_busy_cores.filter(|others| others.is_finite()) else {
            self.room.forget();
            return None;
        };
        self.room.note(now, others);
        if self.room.fits() < self.limit {
            self.yield_to_others(now);
        } else if let Some(most) = self.room.lasting(now).filter(|most| *most > self.limit)
            && self.trial.is_none()
            && self.may_rise(now)
        {
            self.raise(now, most);
        }
        self.changed(before)
    }

    fn changed(&self, before: (u32, u32)) -> Option<(u32, u32)> {
        let threads = self.threads();
        (threads != before).then_some(threads)
    }

    /// The threads of a call under a limit. llama.cpp's rule: one number for one token, the other for more.
    fn at(&self, limit: u32, tokens: u32) -> u32 {
        limit.min(if tokens > 1 { self.maximum.1 } else { self.maximum.0 })
    }

    fn may_rise(&self, now: Instant) -> bool {
        self.limit < self.ceiling && self.not_before.is_none_or(|time| now >= time)
    }

    /// No trial is on.
    fn watch(&mut self, now: Instant, step: Step) {
        if self.false_alarm.is_some_and(|time| now.saturating_duration_since(time) > LONGEST) {
            self.false_alarm = None;
            self.tolerance = TOLERANCE;
        }
        let ratio = self.paces.ratio(step.tokens, step.elapsed);
        if let Some(ratio) = ratio {
            self.recent = [self.recent[1], self.recent[2], ratio];
        }
        let is_slow = |ratio: &&f64| **ratio > self.tolerance;
        let slow = self.recent.iter().filter(is_slow).count();
        // Below one thread there is nothing, and what takes longer there is only learned.
        if step.threads > 1 && ratio.as_ref().is_some_and(|ratio| is_slow(&ratio)) {
            if slow >= 2 {
                let slow = self.recent.iter().filter(is_slow).sum::<f64>() / slow as f64;
                self.descend(Claim::Drop { slow }, step.threads / 2);
            }
            return;
        }
        self.paces.learn(step.tokens, step.elapsed);
        if self.room.is_known() {
            return; // then the load says when to rise, and calls slow from the start show in it
        }
        if self.may_rise(now) {
            self.raise(now, self.ceiling);
        } else if self.limit == self.ceiling && self.check_is_due(now) {
            self.checked = Some(now);
            self.check_wait = (self.check_wait * 32).min(LONGEST);
            self.longest = Duration::ZERO;
            self.descend(Claim::Check, step.threads.isqrt());
        }
    }

    /// The first check comes soon; the others wait until they cost little, even if they meet the longest calls.
    fn check_is_due(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(*self.checked.get_or_insert(now));
        since >= self.check_wait && (self.check_wait == FIRST_CHECK || since / 40 >= self.longest)
    }

    fn raise(&mut self, now: Instant, most: u32) {
        let mut limit = most.min(self.limit + self.ceiling.div_ceil(4));
        if let Some(failed) = self.failed.filter(|failed| *failed > self.limit) {
            limit = limit.min(self.limit + (failed - self.limit).div_ceil(2));
        }
        // The times at fewer threads stay as an upper bound for more.
        self.begin(Claim::Raise, limit);
        self.raised = Some(now);
    }

    fn descend(&mut self, claim: Claim, limit: u32) {
        let from = self.limit;
        self.begin(claim, limit.clamp(1, from));
        self.stretch_paces(from);
    }

    fn begin(&mut self, claim: Claim, limit: u32) {
        let reference = self.paces.clone();
        self.trial = Some(Trial { claim, back: self.limit, reference, steps: 0, sum: 0.0, idle: 0 });
        self.limit = limit;
        self.recent = [0.0; 3];
    }

    /// What calls take at the limit if they took what the paces say at `from` threads: at most in proportion.
    fn stretch_paces(&mut self, from: u32) {
        let (maximum, limit) = (self.maximum, self.limit);
        self.paces.stretch(|tokens| {
            let maximum = if tokens > 1 { maximum.1 } else { maximum.0 };
            (f64::from(from.min(maximum)) / f64::from(limit.min(maximum))).max(1.0)
        });
    }

    fn judge(&mut self, mut trial: Trial, now: Instant, step: Step) {
        let comparable = self.at(trial.back, step.tokens) != step.threads;
        let ratio = trial.reference.ratio(step.tokens, step.elapsed).filter(|_| comparable);
        self.paces.learn(step.tokens, step.elapsed);
        let Some(ratio) = ratio else {
            let checking = self.checked.map(|checked| now.saturating_duration_since(checked));
            trial.idle += 1;
            match trial.claim {
                Claim::Check if checking >= Some(FIRST_CHECK) => self.undo(trial),
                Claim::Raise if trial.idle == PATIENCE => {}
                Claim::Drop { .. } if trial.idle == PATIENCE => self.lowered(now, LONGEST),
                Claim::Raise | Claim::Drop { .. } | Claim::Check => self.trial = Some(trial),
            }
            return;
        };
        trial.steps += 1;
        trial.sum += ratio;
        let mean = trial.sum / f64::from(trial.steps);
        // Where others are seen to be quiet, only a call that is as slow as one with a lost core speaks against a rise.
        let (worst, worst_mean) = if self.room.is_known() { (TOLERANCE, TOLERANCE) } else { (2.0, 1.2) };
        match trial.claim {
            Claim::Raise if ratio > worst || (trial.steps == RAISE_STEPS && mean > worst_mean) => {
                self.failed = Some(self.limit);
                self.backoff = (self.backoff * 2).min(LONGEST);
                // A call that was slow may be very slow: attempts may together cost a twentieth of the time.
                let cost = step.elapsed.saturating_mul(20).min(LONGEST * 10);
                self.not_before = Some(now + self.backoff.max(cost));
                self.undo(trial);
            }
            Claim::Raise if trial.steps == RAISE_STEPS => self.failed = self.failed.filter(|at| *at > self.limit),
            Claim::Drop { slow } if ratio <= 0.6 * slow => self.lowered(now, LONGEST),
            Claim::Drop { slow } if ratio > slow || trial.steps == 2 => self.no_help(trial, now),
            Claim::Check if ratio > 0.7 || (trial.steps == CHECK_STEPS && mean > 0.5) => self.undo(trial),
            Claim::Check if trial.steps == CHECK_STEPS => self.lowered(now, LONGEST),
            Claim::Raise | Claim::Drop { .. } | Claim::Check => self.trial = Some(trial),
        }
    }

    /// Half of the threads did not help.
    fn no_help(&mut self, trial: Trial, now: Instant) {
        if !self.room.is_known() && self.limit > 1 {
            // Others may have taken more than half of the cores.
            let to = if self.limit > 3 { self.limit.isqrt() } else { 1 };
            (self.limit, self.paces) = (trial.back, trial.reference);
            self.descend(trial.claim, to);
            return;
        }
        // The work grew (a long context joined, say): what took long is the usual from now on, and such jumps are
        // taken for lost cores less readily.
        self.tolerance = (self.tolerance * 2.0).min(LARGEST_TOLERANCE);
        self.false_alarm = Some(now);
        self.undo(trial);
        self.paces = Paces::default();
    }

    fn undo(&mut self, trial: Trial) {
        self.limit = trial.back.min(self.room.fits());
        self.paces = trial.reference;
    }

    fn yield_to_others(&mut self, now: Instant) {
        let mut from = self.limit;
        if let Some(trial) = self.trial.take() {
            (from, self.paces) = (trial.back, trial.reference);
        }
        self.limit = self.room.fits();
        self.stretch_paces(from);
        self.recent = [0.0; 3];
        self.lowered(now, LONGEST_FOR_LOAD);
    }

    /// The limit fell, rightly. If it had risen only just before, that was wrong.
    fn lowered(&mut self, now: Instant, longest: Duration) {
        let lasted = self.raised.map(|raised| now.saturating_duration_since(raised));
        self.backoff = match lasted {
            Some(lasted) if lasted < self.backoff * 4 => self.backoff.max((self.backoff * 2).min(longest)),
            _ => SECOND,
        };
        self.not_before = Some(now + self.backoff);
    }
}

const SECOND: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// Load that comes and goes: while it can be seen, the cores are not left idle for long.
const LONGEST_FOR_LOAD: Duration = Duration::from_secs(2);
/// Late enough for the load to be known, where it can be.
const FIRST_CHECK: Duration = Duration::from_millis(400);
/// Above what the time of equal calls varies by: 1.4 against 0.6.
const TOLERANCE: f64 = 2.5;
/// Below what a lost core costs.
const LARGEST_TOLERANCE: f64 = 10.0;
/// With times that vary by 40 %, the mean of so many tells 1.2 from 1.
const RAISE_STEPS: u32 = 6;
const CHECK_STEPS: u32 = 3;
/// Calls after which a trial that none of them could judge is over.
const PATIENCE: u32 = 64;

#[cfg(test)]
mod tests;
