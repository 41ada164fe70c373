//! Requests that wait: how many may, and in which order they are served.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

/// Which requests go first. Within a class, those that came first do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Priority {
    /// Somebody waits for the answer.
    #[default]
    Interactive,
    /// Only when nothing interactive waits; set back, and gone on with later, when something does.
    Batch,
}

/// Counts places; each [`Place`] takes one until it is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    taken: Arc<AtomicUsize>,
    capacity: usize,
}

/// One place, taken.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Places {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { taken: Arc::new(AtomicUsize::new(0)), capacity }
    }

    /// `None` when all are taken.
    pub(crate) fn take(&self) -> Option<Place> {
        let more = |taken| (taken < self.capacity).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.is_ok().then(|| Place(Arc::clone(&self.taken)))
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What waits, in the order of its service.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    interactive: VecDeque<T>,
    batch: VecDeque<T>,
}

/// What is to be done with one that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is served now.
    Take,
    /// It stays; the next may be served before it.
    Pass,
    /// As `Pass`, and it does not count among those that were asked.
    Skip,
    /// It stays, and so do all behind it.
    Stop,
}

impl<T> Waiting<T> {
    pub(crate) fn new() -> Self {
        Self { interactive: VecDeque::new(), batch: VecDeque::new() }
    }

    fn class(&mut self, priority: Priority) -> &mut VecDeque<T> {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Batch => &mut self.batch,
        }
    }

    pub(crate) fn push(&mut self, priority: Priority, item: T) {
        self.class(priority).push_back(item);
    }

    /// For what was set back: it came before all that wait.
    pub(crate) fn push_first(&mut self, priority: Priority, item: T) {
        self.class(priority).push_front(item);
    }

    /// Goes through those that wait, in order, until one is to be taken; at most `look` of each class are asked.
    pub(crate) fn take(&mut self, look: usize, mut judge: impl FnMut(&mut T) -> Verdict) -> Option<T> {
        for class in [&mut self.interactive, &mut self.batch] {
            let mut asked = 0;
            for index in 0..class.len() {
                if asked >= look {
                    break;
                }
                match judge(&mut class[index]) {
                    Verdict::Take => return class.remove(index),
                    Verdict::Pass => asked += 1,
                    Verdict::Skip => {}
                    Verdict::Stop => return None,
                }
            }
        }
        None
    }

    /// Takes out all that are not to stay.
    pub(crate) fn remove_if(&mut self, mut goes: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut gone = Vec::new();
        for class in [&mut self.interactive, &mut self.batch] {
            // Looked at first: most of the time nobody goes, and nothing is moved.
            if class.iter().any(&mut goes) {
                let (out, stay): (VecDeque<T>, VecDeque<T>) = std::mem::take(class).into_iter().partition(&mut goes);
                gone.extend(out);
                *class = stay;
            }
        }
        gone
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.interactive.iter().chain(&self.batch)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.interactive.iter_mut().chain(&mut self.batch)
    }

    pub(crate) fn has_interactive(&self) -> bool {
        !self.interactive.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.interactive.len() + self.batch.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Action {
        Push(bool, u32),
        PushFirst(bool, u32),
        /// Pass those that are divisible, stop at those that are divisible by the other.
        Take(u32, u32),
        RemoveIf(u32),
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            (any::<bool>(), 0_u32..50).prop_map(|(batch, item)| Action::Push(batch, item)),
            (any::<bool>(), 0_u32..50).prop_map(|(batch, item)| Action::PushFirst(batch, item)),
            (2_u32..5, 5_u32..9).prop_map(|(pass, stop)| Action::Take(pass, stop)),
            (2_u32..5).prop_map(Action::RemoveIf),
        ]
    }

    proptest! {
        #[test]
        fn serves_in_the_order_of_a_sorted_list(actions in prop::collection::vec(action(), 0..60)) {
            let mut waiting = Waiting::new();
            // Naive: one list, interactive ones first.
            let mut list: Vec<(bool, u32)> = Vec::new();
            for action in actions {
                match action {
                    Action::Push(batch, item) => {
                        waiting.push(if batch { Priority::Batch } else { Priority::Interactive }, item);
                        let at = list.iter().position(|(other, _)| *other && !batch).unwrap_or(list.len());
                        list.insert(at, (batch, item));
                    }
                    Action::PushFirst(batch, item) => {
                        waiting.push_first(if batch { Priority::Batch } else { Priority::Interactive }, item);
                        let at = list.iter().position(|(other, _)| *other >= batch).unwrap_or(list.len());
                        list.insert(at, (batch, item));
                    }
                    Action::Take(pass, stop) => {
                        let judge = |item: u32| if item.is_multiple_of(stop) { Verdict::Stop } else if item.is_multiple_of(pass) { Verdict::Pass } else { Verdict::Take };
                        let first = list.iter().position(|(_, item)| judge(*item) != Verdict::Pass);
                        let naive = first.filter(|at| judge(list[*at].1) == Verdict::Take).map(|at| list.remove(at).1);
                        prop_assert_eq!(waiting.take(usize::MAX, |item| judge(*item)), naive);
                    }
                    Action::RemoveIf(divisor) => {
                        let (gone, stay): (Vec<_>, Vec<_>) = list.into_iter().partition(|(_, item)| item % divisor == 0);
                        list = stay;
                        let gone: Vec<_> = gone.into_iter().map(|(_, item)| item).collect();
                        prop_assert_eq!(waiting.remove_if(|item| item % divisor == 0), gone);
                    }
                }
                prop_assert_eq!(waiting.len(), list.len());
                prop_assert_eq!(waiting.has_interactive(), list.iter().any(|(batch, _)| !batch));
                prop_assert_eq!(waiting.iter().copied().collect::<Vec<_>>(), list.iter().map(|(_, item)| *item).collect::<Vec<_>>());
            }
        }

        #[test]
        fn places_are_as_many_as_said(capacity in 1_usize..20, takes in 0_usize..40) {
            let places = Places::new(capacity);
            let held: Vec<_> = (0..takes).map_while(|_| places.take()).collect();
            prop_assert_eq!(held.len(), takes.min(capacity));
            prop_assert_eq!(places.taken(), held.len());
            drop(held);
            prop_assert_eq!(places.taken(), 0);
        }
    }
}
