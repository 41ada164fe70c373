//! One model of a scripted backend: its script, whether it is up, what runs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::task::AtomicWaker;
use mullama_core::{EngineStats, FinishReason};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Script, ScriptedBackend};
use crate::backend::{BackendModel, BackendRequest, GenerationControl, ModelInfo};
use crate::error::{Error, Result};
use crate::pool::ModelState;

pub(super) struct Model {
    pub(super) name: String,
    created: u64,
    state: Mutex<State>,
    /// Of this life of the engine.
    generated: AtomicU64,
    /// A stream has ended, or something about the model is different.
    pub(super) changed: Notify,
}

pub(super) struct State {
    aliases: Vec<String>,
    script: Script,
    down_until: Option<Instant>,
    loaded: bool,
    /// Takes nothing any more.
    closed: bool,
    pub(super) running: HashMap<u64, Arc<Control>>,
    next: u64,
    stats: EngineStats,
    pub(super) submitted: u64,
    pub(super) dropped: u64,
    pub(super) restarts: u64,
    pub(super) last: Option<BackendRequest>,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Finished(FinishReason),
    Failed,
    /// Nobody waited for the end.
    Dropped,
}

/// Steers one stream.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub(super) id: u64,
    pub(super) prompt_tokens: u32,
    stopped: AtomicBool,
    killed: AtomicBool,
    thought_enough: AtomicBool,
    waker: AtomicWaker,
}

impl Control {
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(super) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    pub(super) fn has_thought_enough(&self) -> bool {
        self.thought_enough.load(Ordering::Acquire)
    }

    pub(super) fn thoughts_ended(&self) {
        self.thought_enough.store(false, Ordering::Release);
    }

    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl GenerationControl for Control {
    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn end_reasoning(&self) {
        self.thought_enough.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl Model {
    pub(super) fn new(name: String, script: Script) -> Self {
        let state = State {
            aliases: Vec::new(),
            script,
            down_until: None,
            loaded: true,
            closed: false,
            running: HashMap::new(),
            next: 0,
            stats: EngineStats::default(),
            submitted: 0,
            dropped: 0,
            restarts: 0,
            last: None,
        };
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { name, created, state: Mutex::new(state), generated: AtomicU64::new(0), changed: Notify::new() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_named(&self, name: &str) -> bool {
        self.name == name || self.state().aliases.iter().any(|alias| alias == name)
    }

    pub(super) fn alias(&self, alias: String) {
        self.state().aliases.push(alias);
    }

    pub(super) fn set(&self, script: Script) {
        self.state().script = script;
        self.changed.notify_waiters();
    }

    pub(super) fn script(&self) -> Script {
        self.state().script.clone()
    }

    pub(super) fn kill(&self, down_for: Duration) {
        let streams: Vec<Arc<Control>> = {
            let mut state = self.state();
            let now = Instant::now();
            state.down_until = Some(now.checked_add(down_for).unwrap_or(now + LONG));
            state.restarts += 1;
            state.stats = EngineStats::default();
            self.generated.store(0, Ordering::Relaxed);
            state.running.drain().map(|(_, control)| control).collect()
        };
        streams.iter().for_each(|control| control.kill());
        self.changed.notify_waiters();
    }

    pub(super) fn revive(&self) {
        self.state().down_until = None;
        self.changed.notify_waiters();
    }

    /// Waits until it takes requests, for as long as it is being loaded.
    pub(super) async fn enter(&self) -> Result<()> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut state = self.state();
                if state.closed {
                    return Err(Error::ShutDown);
                }
                if let Some(left) = state.down_for() {
                    return Err(Error::BackendDown { model: self.name.clone(), retry_after: left });
                }
                if !matches!(state.script, Script::Loading) {
                    state.loaded = true;
                    return Ok(());
                }
            }
            changed.await;
        }
    }

    /// Notes a request that is handed in.
    pub(super) fn hand_in(&self, request: &BackendRequest) {
        let mut state = self.state();
        state.submitted += 1;
        state.last = Some(request.clone());
    }

    /// Counts a request that found the queue full.
    pub(super) fn reject(&self) {
        let mut state = self.state();
        state.stats.requests_submitted += 1;
        state.stats.requests_rejected += 1;
    }

    /// Lists a stream; an engine that died meanwhile takes none.
    pub(super) fn begin(&self, prompt_tokens: u32) -> Result<Arc<Control>> {
        let mut state = self.state();
        if let Some(left) = state.down_for() {
            return Err(Error::BackendDown { model: self.name.clone(), retry_after: left });
        }
        let id = state.next;
        state.next += 1;
        let control = Arc::new(Control { id, prompt_tokens, ..Control::default() });
        state.running.insert(id, Arc::clone(&control));
        state.stats.requests_submitted += 1;
        state.stats.prompt_tokens += u64::from(prompt_tokens);
        state.stats.prompt_tokens_computed += u64::from(prompt_tokens);
        Ok(control)
    }

    pub(super) fn generate(&self) {
        self.generated.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a stream off the list. One that was killed is on it no more.
    pub(super) fn end(&self, id: u64, outcome: Outcome) {
        {
            let mut state = self.state();
            if state.running.remove(&id).is_none() {
                return;
            }
            let stats = &mut state.stats;
            let counter = match outcome {
                Outcome::Finished(FinishReason::Length) => &mut stats.requests_finished_length,
                Outcome::Finished(FinishReason::Timeout) => &mut stats.requests_finished_timeout,
                Outcome::Finished(FinishReason::Cancelled) | Outcome::Dropped => &mut stats.requests_finished_cancelled,
                Outcome::Finished(_) => &mut stats.requests_finished_stop,
                Outcome::Failed => &mut stats.requests_finished_failed,
            };
            *counter += 1;
            if outcome == Outcome::Dropped {
                state.dropped += 1;
            }
        }
        self.changed.notify_waiters();
    }

    /// When it is likely to be back, after a kill.
    pub(super) fn down_for(&self) -> Duration {
        self.state().down_for().unwrap_or_default()
    }

    /// The numbers of its engine, if one runs.
    pub(super) fn stats(&self) -> Option<EngineStats> {
        let mut state = self.state();
        if state.down_for().is_some() || !state.loaded || matches!(state.script, Script::Loading) {
            return None;
        }
        let mut stats = state.stats.clone();
        stats.generated_tokens = self.generated.load(Ordering::Relaxed);
        stats.sequences_running = state.running.len() as u64;
        stats.kv_tokens_used = state.running.values().map(|control| u64::from(control.prompt_tokens)).sum();
        stats.kv_tokens_held = stats.kv_tokens_used;
        stats.kv_tokens_capacity = u64::from(ScriptedBackend::CONTEXT) * u64::from(SEQUENCES);
        Some(stats)
    }

    pub(super) fn describe(&self) -> BackendModel {
        let mut state = self.state();
        let loading = state.down_for().is_some() || matches!(state.script, Script::Loading);
        let model_state = match (loading, state.loaded) {
            (true, _) => ModelState::Loading,
            (false, true) => ModelState::Ready,
            (false, false) => ModelState::Unloaded,
        };
        let loaded = model_state == ModelState::Ready;
        BackendModel {
            name: self.name.clone(),
            aliases: state.aliases.clone(),
            state: model_state,
            load: state.running.len(),
            restarts: state.restarts,
            memory_bytes: if loaded { SIZE } else { 0 },
            created: self.created,
            unloads_in_ms: None,
            info: Some(info(&self.name)),
            adapters: Vec::new(),
        }
    }

    /// Takes requests again, where it was unloaded.
    pub(super) fn load(&self) {
        self.state().loaded = true;
    }

    /// Waits until nothing runs, at most until `deadline`; then it stops what does. True: nothing had to be stopped.
    pub(super) async fn drain(&self, deadline: Instant) -> bool {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.state().running.is_empty() {
                return true;
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                break;
            }
        }
        let streams: Vec<Arc<Control>> = self.state().running.values().cloned().collect();
        streams.iter().for_each(|control| control.stop());
        streams.is_empty()
    }

    pub(super) fn unload(&self) {
        self.state().loaded = false;
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_waiters();
    }
}

impl State {
    fn down_for(&mut self) -> Option<Duration> {
        let until = self.down_until?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.down_until = None;
            return None;
        }
        Some(left)
    }
}

fn info(name: &str) -> ModelInfo {
    ModelInfo {
        description: "a script".to_owned(),
        architecture: "scripted".to_owned(),
        file: format!("{name}.script"),
        size: SIZE,
        vocabulary: u64::from(super::text::SCRIPT),
        context_trained: ScriptedBackend::CONTEXT,
        context: ScriptedBackend::CONTEXT,
        sequences: SEQUENCES,
        embedding_length: u32::try_from(ScriptedBackend::DIMENSIONS).unwrap_or(u32::MAX),
        generates: true,
        ranks: true,
        chat_template: Some("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}".to_owned()),
        fingerprint: "5c71970000000000".to_owned(),
        ..ModelInfo::default()
    }
}

/// Bytes that it says to take.
const SIZE: u64 = 1 << 20;
/// What it says to compute together; it takes any number.
const SEQUENCES: u32 = 4_096;
const LONG: Duration = Duration::from_secs(3_600 * 24 * 365);
