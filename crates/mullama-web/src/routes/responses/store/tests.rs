//! The store against a list that is searched from end to end.

use proptest::prelude::*;

use super::*;
use crate::wire::responses::input::InputRole;

const LIMITS: StoreLimits = StoreLimits { count: 6, bytes: 12_000, age: Duration::from_secs(10) };
const KEYS: [Option<&str>; 3] = [None, Some("a"), Some("b")];

fn said(text: &str) -> Arc<Item> {
    Arc::new(Item::Message { role: InputRole::User, texts: vec![text.to_owned()] })
}

fn entry(number: usize, key: Option<&str>, size: usize, previous: Option<Arc<Turn>>) -> Entry {
    Entry {
        id: format!("resp_{number}"),
        key: key.map(str::to_owned),
        body: Bytes::from(format!("body {number}")),
        items: vec![said(&"x".repeat(size)), said(&format!("answer {number}"))],
        item_ids: vec![format!("msg_{number}")],
        previous,
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put { key: usize, size: usize, previous: Option<usize> },
    Body { key: usize, number: usize },
    Item { key: usize, number: usize },
    Remove { key: usize, number: usize },
    Wait { seconds: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (key, number) = (0..KEYS.len(), 0..30_usize);
    let size = prop_oneof![9 => 0..2_500_usize, 1 => 11_000..14_000_usize];
    let previous = prop::option::weighted(0.6, number.clone());
    let step = prop_oneof![
        4 => (key.clone(), size, previous).prop_map(|(key, size, previous)| Step::Put { key, size, previous }),
        1 => (key.clone(), number.clone()).prop_map(|(key, number)| Step::Body { key, number }),
        1 => (key.clone(), number.clone()).prop_map(|(key, number)| Step::Item { key, number }),
        1 => (key, number).prop_map(|(key, number)| Step::Remove { key, number }),
        1 => (0..6_u64).prop_map(|seconds| Step::Wait { seconds }),
    ];
    prop::collection::vec(step, 1..60)
}

/// A response of the list. The turns are numbers of responses, its own last.
#[derive(Debug, Clone)]
struct Known {
    number: usize,
    key: usize,
    turns: Vec<usize>,
    own: usize,
    used_at: Instant,
}

/// The list, oldest use first, and what each turn weighs.
#[derive(Default)]
struct List {
    known: Vec<Known>,
    weights: Vec<usize>,
}

impl List {
    fn bytes(&self) -> usize {
        let mut turns: Vec<usize> = self.known.iter().flat_map(|known| known.turns.clone()).collect();
        turns.sort_unstable();
        turns.dedup();
        turns.iter().map(|turn| self.weights[*turn]).sum::<usize>()
            + self.known.iter().map(|known| known.own).sum::<usize>()
    }

    fn expire(&mut self, now: Instant) {
        self.known.retain(|known| now.duration_since(known.used_at) < LIMITS.age);
    }

    fn find(&mut self, number: usize, key: usize, now: Instant) -> Option<Known> {
        self.expire(now);
        let at = self.known.iter().position(|known| known.number == number && known.key == key)?;
        let mut found = self.known.remove(at);
        found.used_at = now;
        self.known.push(found.clone());
        Some(found)
    }

    fn put(&mut self, entry: &Entry, key: usize, before: Vec<usize>, now: Instant) {
        self.expire(now);
        let turn =
            entry.items.iter().map(|item| item.bytes() + size_of::<Arc<Item>>()).sum::<usize>() + size_of::<Turn>();
        let ids = 3 * entry.id.len() + entry.key.as_ref().map_or(0, String::len);
        let index = 2 * entry.item_ids[0].len() + entry.id.len() + PER_ITEM;
        let own = ids + entry.body.len() + index + PER_RESPONSE;
        let number = self.weights.len();
        self.weights.push(turn);
        if own + turn > LIMITS.bytes {
            return;
        }
        let turns = before.into_iter().chain([number]).collect();
        self.known.push(Known { number, key, turns, own, used_at: now });
        while self.known.len() > LIMITS.count || self.bytes() > LIMITS.bytes {
            self.known.remove(0);
        }
    }
}

proptest! {
    #[test]
    fn the_store_keeps_what_a_plain_list_keeps(steps in steps()) {
        let store = ResponseStore::new(LIMITS);
        let mut list = List::default();
        let mut now = Instant::now();
        let mut puts = 0;
        for step in steps {
            match step {
                Step::Wait { seconds } => now += Duration::from_secs(seconds),
                Step::Put { key, size, previous } => {
                    let before = previous.and_then(|number| {
                        let turn = store.turn(&format!("resp_{number}"), KEYS[key], now);
                        let known = list.find(number, key, now);
                        assert_eq!(turn.is_some(), known.is_some());
                        turn.zip(known)
                    });
                    let (turn, turns) = before.map(|(turn, known)| (turn, known.turns)).unzip();
                    let entry = entry(puts, KEYS[key], size, turn);
                    list.put(&entry, key, turns.unwrap_or_default(), now);
                    store.put(entry, now);
                    puts += 1;
                }
                Step::Body { key, number } => {
                    let body = store.body(&format!("resp_{number}"), KEYS[key], now);
                    let known = list.find(number, key, now);
                    prop_assert_eq!(body, known.map(|known| Bytes::from(format!("body {}", known.number))));
                }
                Step::Item { key, number } => {
                    let item = store.item(&format!("msg_{number}"), KEYS[key], now);
                    // An item that is not there at all is not looked for, so that nothing expires.
                    let known = list.known.iter().any(|known| known.number == number);
                    let known = if known { list.find(number, key, now) } else { None };
                    prop_assert_eq!(item, known.map(|known| said(&format!("answer {}", known.number))));
                }
                Step::Remove { key, number } => {
                    list.expire(now);
                    let at = list.known.iter().position(|known| known.number == number && known.key == key);
                    at.map(|at| list.known.remove(at));
                    prop_assert_eq!(store.remove(&format!("resp_{number}"), KEYS[key], now), at.is_some());
                }
            }
            prop_assert_eq!(store.bytes(), list.bytes());
            prop_assert!(store.bytes() <= LIMITS.bytes);
            let shelf = store.shelf();
            let mut there: Vec<String> = shelf.responses.keys().cloned().collect();
            let mut expected: Vec<String> = list.known.iter().map(|known| format!("resp_{}", known.number)).collect();
            there.sort();
            expected.sort();
            prop_assert_eq!(there, expected);
            prop_assert_eq!(shelf.uses.len(), shelf.responses.len());
            prop_assert_eq!(shelf.items.len(), shelf.responses.len());
        }
    }
}

#[test]
fn a_conversation_outlives_the_responses_that_it_came_with() {
    let store = ResponseStore::default();
    let now = Instant::now();
    store.put(entry(0, None, 3, None), now);
    store.put(entry(1, None, 4, store.turn("resp_0", None, now)), now);
    let before = store.bytes();
    assert!(store.remove("resp_0", None, now));
    let after = store.bytes();
    assert!(after < before && after > 0);
    let turn = store.turn("resp_1", None, now).unwrap();
    let texts = ["xxx", "answer 0", "xxxx", "answer 1"].map(said);
    assert!(turn.conversation().into_iter().eq(&texts));
    drop(turn);
    assert!(store.remove("resp_1", None, now));
    assert_eq!(store.bytes(), 0);
}

#[test]
fn a_long_conversation_is_dropped_without_depth() {
    let store = ResponseStore::new(StoreLimits { count: 1, bytes: 1 << 30, age: Duration::from_secs(1) });
    let now = Instant::now();
    let mut previous = None;
    for number in 0..200_000 {
        store.put(entry(number, None, 0, previous.take()), now);
        previous = store.turn(&format!("resp_{number}"), None, now);
    }
    assert_eq!(previous.as_ref().unwrap().conversation().len(), 400_000);
    drop(previous);
    assert!(store.remove("resp_199999", None, now));
    assert_eq!(store.bytes(), 0);
}
