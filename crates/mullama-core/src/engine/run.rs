//! The engine's thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use super::Shared;
use super::cores::Threads;
use super::decoder::{Decoder as _, Llama};
use super::guess::{Drafter, Guess};
use super::params::EngineParams;
use super::schedule::{Next, Schedule};
use crate::error::{Error, Result};
use crate::generate::FinishReason;
use crate::model::Model;
use crate::prepare::STACK;

/// Makes the context and starts the thread that owns it. Returns how many tokens a request may have.
pub(super) fn start(
    model: &Model,
    params: &EngineParams,
    draft: Option<&Model>,
    shared: &Arc<Shared>,
) -> Result<usize> {
    let decoder = Llama::new(model, params, &params.context, &shared.abort)?;
    let drafter = draft.map(|draft| Drafter::new(draft, model, params, &params.context)).transpose()?;
    let shape = decoder.shape();
    let length = shape.length.min(shape.cells);
    let threads = Threads::new(params.context.threads, params.context.threads_batch, params.thread_policy);
    let guess = Guess::new(params.speculation, drafter);
    let stats = Arc::clone(&shared.stats);
    stats.threads.set(params.context.threads.into());
    stats.threads_batch.set(params.context.threads_batch.into());
    let schedule = Schedule::new(decoder, params, (threads, guess), (stats, Arc::clone(&shared.service)));
    let theirs = Arc::clone(shared);
    // Grammars walk their stacks here: no deep recursion, but as much room for it as elsewhere costs nothing.
    let thread = thread::Builder::new().name("mullama-engine".to_owned()).stack_size(STACK);
    let handle = thread.spawn(move || body(schedule, &theirs)).map_err(Error::Thread)?;
    // Set before `start` returns, and so before anybody can submit.
    let _ = shared.thread.set(handle.thread().clone());
    Ok(length)
}

fn body(mut schedule: Schedule<Llama>, shared: &Shared) {
    let outcome = catch_unwind(AssertUnwindSafe(|| turns(&mut schedule, shared)));
    let reason = match outcome {
        Ok(()) => "it was shut down",
        Err(_) => "its thread panicked, which is a bug; please report it",
    };
    let jobs = {
        let mut inbox = shared.inbox();
        inbox.over = Some(reason.to_owned());
        std::mem::take(&mut inbox.jobs)
    };
    jobs.into_iter().for_each(|job| schedule.add(job));
    let cut = shared.cutting.load(Ordering::Acquire);
    let how =
        || if cut { Ok(FinishReason::Cancelled) } else { Err(Error::EngineStopped { reason: reason.to_owned() }) };
    let _ = catch_unwind(AssertUnwindSafe(|| schedule.end_all(how)));
    // Freed before `shutdown` returns.
    drop(schedule);
    shared.ended.notify_all();
}

fn turns(schedule: &mut Schedule<Llama>, shared: &Shared) {
    loop {
        let jobs = std::mem::take(&mut shared.inbox().jobs);
        jobs.into_iter().for_each(|job| schedule.add(job));
        if shared.cutting.load(Ordering::Acquire) {
            return;
        }
        match schedule.turn() {
            Next::Go => continue,
            Next::Sleep(until) => {
                if shared.closing.load(Ordering::Acquire) && schedule.is_idle() && shared.inbox().jobs.is_empty() {
                    return;
                }
                // A wake-up that comes before this is not lost: `park` then returns at once.
                match until {
                    None => thread::park(),
                    Some(until) => thread::park_timeout(until.saturating_duration_since(std::time::Instant::now())),
                }
            }
        }
    }
}
