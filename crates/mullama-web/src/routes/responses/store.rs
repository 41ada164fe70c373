//! Responses that are kept for a time: in memory, bounded by their number, their bytes and their age.
//!
//! A conversation is a chain: each response keeps the items of its own turn and the turn that it follows. A turn lives
//! as long as a response that needs it, also when the response that it came with is gone; its bytes count as long.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::items::Item;

/// The responses of all keys. What was not used for longest goes first.
#[derive(Debug)]
pub(crate) struct ResponseStore {
    limits: StoreLimits,
    held: Arc<AtomicUsize>,
    shelf: Mutex<Shelf>,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoreLimits {
    /// Responses.
    pub(super) count: usize,
    /// Bytes of all of them, with what is needed to find them.
    pub(super) bytes: usize,
    /// Since the last use.
    pub(super) age: Duration,
}

#[derive(Debug, Default)]
struct Shelf {
    responses: HashMap<String, Kept>,
    /// Items by their ids: the response, and their place in its turn.
    items: HashMap<String, (String, usize)>,
    /// Responses by their last use.
    uses: BTreeMap<u64, String>,
    clock: u64,
}

#[derive(Debug)]
struct Kept {
    /// Who asked: for nobody else it is there.
    key: Option<String>,
    body: Bytes,
    turn: Arc<Turn>,
    items: Vec<String>,
    used: u64,
    used_at: Instant,
    _weight: Weight,
}

/// The items of one request and its response, and what came before.
#[derive(Debug)]
pub(crate) struct Turn {
    items: Vec<Arc<Item>>,
    previous: Option<Arc<Self>>,
    _weight: Weight,
}

/// Bytes that count until this is dropped.
#[derive(Debug)]
struct Weight {
    bytes: usize,
    held: Arc<AtomicUsize>,
}

/// A response to keep.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) key: Option<String>,
    /// JSON.
    pub(super) body: Bytes,
    /// Of the request, then of the response.
    pub(super) items: Vec<Arc<Item>>,
    /// The ids of the response's items: of the last ones.
    pub(super) item_ids: Vec<String>,
    pub(super) previous: Option<Arc<Turn>>,
}

impl Default for ResponseStore {
    fn default() -> Self {
        Self::new(StoreLimits { count: 1_000, bytes: 64 << 20, age: Duration::from_secs(30 * 60) })
    }
}

impl ResponseStore {
    pub(super) fn new(limits: StoreLimits) -> Self {
        Self { limits, held: Arc::default(), shelf: Mutex::default() }
    }

    /// Keeps a response; one that alone is over the limit is not kept.
    pub(super) fn put(&self, entry: Entry, now: Instant) {
        let Entry { id, key, body, items, item_ids, previous } = entry;
        let index = item_ids.iter().map(|item| 2 * item.len() + id.len() + PER_ITEM).sum::<usize>();
        let own = 3 * id.len() + key.as_ref().map_or(0, String::len) + body.len() + index + PER_RESPONSE;
        let told: usize = items.iter().map(|item| item.bytes() + size_of::<Arc<Item>>()).sum();
        let mut shelf = self.shelf();
        shelf.expire(now, self.limits.age);
        if own + told + size_of::<Turn>() > self.limits.bytes {
            tracing::warn!(%id, bytes = own + told, "a response is too large to be kept");
            return;
        }
        let turn = Turn { previous, _weight: self.weigh(told + size_of::<Turn>()), items };
        let first = turn.items.len().saturating_sub(item_ids.len());
        let used = shelf.tick();
        for (place, item) in (first..).zip(&item_ids) {
            shelf.items.insert(item.clone(), (id.clone(), place));
        }
        shelf.uses.insert(used, id.clone());
        let kept =
            Kept { key, body, turn: Arc::new(turn), items: item_ids, used, used_at: now, _weight: self.weigh(own) };
        shelf.responses.insert(id, kept);
        while shelf.responses.len() > self.limits.count || self.bytes() > self.limits.bytes {
            let Some(oldest) = shelf.uses.values().next().cloned() else { break };
            shelf.remove(&oldest);
        }
    }

    /// A response's JSON.
    pub(super) fn body(&self, id: &str, key: Option<&str>, now: Instant) -> Option<Bytes> {
        self.used(id, key, now, |kept| kept.body.clone())
    }

    /// The conversation up to a response, itself included.
    pub(super) fn turn(&self, id: &str, key: Option<&str>, now: Instant) -> Option<Arc<Turn>> {
        self.used(id, key, now, |kept| Arc::clone(&kept.turn))
    }

    /// An item of a response.
    pub(super) fn item(&self, id: &str, key: Option<&str>, now: Instant) -> Option<Arc<Item>> {
        let (response, place) = self.shelf().items.get(id).cloned()?;
        self.used(&response, key, now, |kept| kept.turn.items.get(place).cloned()).flatten()
    }

    /// Forgets a response. False: there was none.
    pub(super) fn remove(&self, id: &str, key: Option<&str>, now: Instant) -> bool {
        let mut shelf = self.shelf();
        shelf.expire(now, self.limits.age);
        let there = shelf.responses.get(id).is_some_and(|kept| kept.key.as_deref() == key);
        if there {
            shelf.remove(id);
        }
        there
    }

    fn used<T>(&self, id: &str, key: Option<&str>, now: Instant, what: impl FnOnce(&Kept) -> T) -> Option<T> {
        let mut shelf = self.shelf();
        shelf.expire(now, self.limits.age);
        let used = shelf.tick();
        let kept = shelf.responses.get_mut(id).filter(|kept| kept.key.as_deref() == key)?;
        let before = std::mem::replace(&mut kept.used, used);
        kept.used_at = now;
        let found = what(kept);
        if let Some(id) = shelf.uses.remove(&before) {
            shelf.uses.insert(used, id);
        }
        Some(found)
    }

    fn weigh(&self, bytes: usize) -> Weight {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Weight { bytes, held: Arc::clone(&self.held) }
    }

    fn bytes(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn expire(&mut self, now: Instant, age: Duration) {
        while let Some(oldest) = self.uses.values().next().cloned() {
            let old = |kept: &Kept| now.saturating_duration_since(kept.used_at) >= age;
            if !self.responses.get(&oldest).is_none_or(old) {
                break;
            }
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, id: &str) {
        if let Some(kept) = self.responses.remove(id) {
            self.uses.remove(&kept.used);
            for item in &kept.items {
                self.items.remove(item);
            }
        }
    }
}

impl Turn {
    /// All items of the conversation, oldest first.
    pub(super) fn conversation(&self) -> Vec<&Arc<Item>> {
        let mut turns = vec![self];
        let mut turn = self;
        while let Some(previous) = &turn.previous {
            turns.push(previous);
            turn = previous;
        }
        turns.into_iter().rev().flat_map(|turn| &turn.items).collect()
    }
}

impl Drop for Turn {
    /// One after the other: a long conversation, dropped link by link inside each other, would overflow the stack.
    fn drop(&mut self) {
        let mut next = self.previous.take();
        while let Some(mut turn) = next.and_then(Arc::into_inner) {
            next = turn.previous.take();
        }
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What the maps need for a response, about.
const PER_RESPONSE: usize = 512;
/// And for an item.
const PER_ITEM: usize = 128;

#[cfg(test)]
mod tests;
