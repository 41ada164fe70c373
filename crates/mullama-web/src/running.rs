//! Answers that are being given, by their ids: so that they can be steered.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mullama_async::GenerationControl;

/// All answers that are being given, and the ids of the last ones that ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    going: HashMap<String, Answer>,
    /// So that "it has ended" can be told from "there never was one".
    ended: VecDeque<(String, Option<String>)>,
}

#[derive(Debug)]
struct Answer {
    controls: Vec<Arc<dyn GenerationControl>>,
    /// Who asked: nobody else may steer it.
    key: Option<String>,
    /// Was it begun so that its thoughts can be ended?
    thoughts_end: bool,
    stopped: bool,
}

/// What is to be done with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Steer {
    /// End it.
    Stop,
    /// End its thoughts.
    EndReasoning,
}

/// What became of an attempt to steer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Steered {
    Done,
    Ended,
    Unknown,
    /// It was not begun so that this can be done.
    Unprepared,
}

/// Takes the answer off the list when it is dropped.
#[derive(Debug)]
pub(crate) struct Listed {
    running: Running,
    id: String,
}

impl Running {
    /// Lists an answer until what this gives is dropped. `thoughts_end`: whether they can be ended.
    pub(crate) fn list(
        &self,
        id: &str,
        controls: Vec<Arc<dyn GenerationControl>>,
        key: Option<&str>,
        thoughts_end: bool,
    ) -> Listed {
        let answer = Answer { controls, key: key.map(str::to_owned), thoughts_end, stopped: false };
        self.state().going.insert(id.to_owned(), answer);
        Listed { running: self.clone(), id: id.to_owned() }
    }

    /// Steers an answer of this key.
    pub(crate) fn steer(&self, id: &str, key: Option<&str>, how: Steer) -> Steered {
        let mut state = self.state();
        if let Some(answer) = state.going.get_mut(id).filter(|answer| answer.key.as_deref() == key) {
            match how {
                Steer::Stop => {
                    answer.stopped = true;
                    answer.controls.iter().for_each(|control| control.stop());
                }
                Steer::EndReasoning if !answer.thoughts_end => return Steered::Unprepared,
                Steer::EndReasoning => answer.controls.iter().for_each(|control| control.end_reasoning()),
            }
            return Steered::Done;
        }
        let ended = state.ended.iter().any(|(ended, owner)| ended == id && owner.as_deref() == key);
        if ended { Steered::Ended } else { Steered::Unknown }
    }

    pub(crate) fn count(&self) -> usize {
        self.state().going.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listed {
    /// Was it stopped by its caller?
    pub(crate) fn is_stopped(&self) -> bool {
        self.running.state().going.get(&self.id).is_some_and(|answer| answer.stopped)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut state = self.running.state();
        if let Some(answer) = state.going.remove(&self.id) {
            if state.ended.len() == REMEMBERED {
                state.ended.pop_front();
            }
            state.ended.push_back((std::mem::take(&mut self.id), answer.key));
        }
    }
}

const REMEMBERED: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Flag(std::sync::atomic::AtomicBool);

    impl GenerationControl for Flag {
        fn stop(&self) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }

        fn end_reasoning(&self) {}
    }

    #[test]
    fn only_who_asked_may_steer_and_the_end_is_remembered() {
        let running = Running::default();
        let flag = Arc::new(Flag::default());
        let listed = running.list("a", vec![flag.clone()], Some("key"), false);
        assert_eq!(running.steer("a", Some("other"), Steer::Stop), Steered::Unknown);
        assert_eq!(running.steer("a", None, Steer::Stop), Steered::Unknown);
        assert!(!listed.is_stopped());
        assert_eq!(running.steer("a", Some("key"), Steer::Stop), Steered::Done);
        assert!(listed.is_stopped() && flag.0.load(std::sync::atomic::Ordering::Relaxed));
        drop(listed);
        assert_eq!(running.steer("a", Some("key"), Steer::Stop), Steered::Ended);
        assert_eq!(running.steer("a", Some("other"), Steer::Stop), Steered::Unknown);
        assert_eq!(running.steer("b", Some("key"), Steer::Stop), Steered::Unknown);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let running = Running::default();
        for number in 0..2 * REMEMBERED {
            drop(running.list(&number.to_string(), Vec::new(), None, false));
        }
        assert_eq!(running.count(), 0);
        assert_eq!(running.state().ended.len(), REMEMBERED);
        assert_eq!(running.steer("0", None, Steer::Stop), Steered::Unknown);
    }
}
