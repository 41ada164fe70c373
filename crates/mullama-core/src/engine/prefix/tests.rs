//! Against a list that is compared from end to end.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Change {
    Insert(EntryId, u8, Vec<i32>),
    Extend(EntryId, Vec<i32>),
    Truncate(EntryId, usize),
    Remove(EntryId),
}

/// Half of them zeros up to about a border of blocks, so that long prefixes are shared, then a few of any.
fn tokens(block: usize) -> impl Strategy<Value = Vec<i32>> {
    let zeros = (0_usize..4, 0_usize..3).prop_map(move |(blocks, more)| (blocks * block + more).saturating_sub(1));
    let zeros = prop_oneof![Just(0), zeros];
    (zeros, vec(0..3, 0..block + 2)).prop_map(|(zeros, any)| vec![0; zeros].into_iter().chain(any).collect())
}

fn changes(block: usize) -> impl Strategy<Value = Vec<Change>> {
    let id = || 0_u64..8;
    let few = prop_oneof![3 => vec(0..2, 0..3), 1 => tokens(block)];
    let change = prop_oneof![
        4 => (id(), 0_u8..2, tokens(block)).prop_map(|(id, key, tokens)| Change::Insert(id, key, tokens)),
        4 => (id(), few).prop_map(|(id, tokens)| Change::Extend(id, tokens)),
        2 => (id(), 0..4 * block).prop_map(|(id, length)| Change::Truncate(id, length)),
        1 => id().prop_map(Change::Remove),
    ];
    vec(change, 0..24)
}

/// What the index must answer like.
#[derive(Default)]
struct Naive(BTreeMap<EntryId, (u8, Vec<TokenId>)>);

impl Naive {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Insert(id, key, tokens) => drop(self.0.insert(*id, (*key, typed(tokens)))),
            Change::Extend(id, more) => {
                self.0.entry(*id).and_modify(|(_, tokens)| tokens.extend(typed(more)));
            }
            Change::Truncate(id, length) => {
                self.0.entry(*id).and_modify(|(_, tokens)| tokens.truncate(*length));
            }
            Change::Remove(id) => drop(self.0.remove(id)),
        }
    }

    fn common(&self, id: EntryId, key: u8, prompt: &[TokenId]) -> usize {
        let Some((_, tokens)) = self.0.get(&id).filter(|(salt, _)| *salt == key) else { return 0 };
        (0..=tokens.len().min(prompt.len())).rev().find(|length| tokens[..*length] == prompt[..*length]).unwrap()
    }

    fn longest(&self, key: u8, prompt: &[TokenId], at_most: usize) -> Match {
        let length = self.0.keys().map(|id| self.common(*id, key, prompt)).max().unwrap_or(0);
        let entries = self.0.keys().copied().filter(|id| length > 0 && self.common(*id, key, prompt) == length);
        Match { length, entries: entries.take(at_most).collect() }
    }

    fn is_covered(&self, id: EntryId) -> bool {
        let Some((key, tokens)) = self.0.get(&id) else { return false };
        self.0.iter().any(|(other, (salt, longer))| *other != id && salt == key && longer.starts_with(tokens))
    }

    /// A root for each key, and a node for each distinct start of full blocks.
    fn nodes(&self, block: usize) -> usize {
        let starts = self
            .0
            .values()
            .flat_map(|(key, tokens)| (0..=tokens.len() / block).map(move |blocks| (key, &tokens[..blocks * block])));
        starts.collect::<BTreeSet<_>>().len()
    }
}

impl<const B: usize> BlockIndex<B> {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Insert(id, key, tokens) => self.insert(*id, &[*key; 32], &typed(tokens)),
            Change::Extend(id, tokens) => self.extend(*id, &typed(tokens)),
            Change::Truncate(id, length) => self.truncate(*id, *length),
            Change::Remove(id) => self.remove(*id),
        }
    }

    fn live(&self) -> usize {
        self.tree.nodes.len() - self.tree.free.len()
    }

    /// Every node is reached once and lists what the entries say, and free slots own nothing.
    fn check_invariants(&self) {
        let ascending = |ids: &[EntryId]| ids.is_sorted_by(|a, b| a < b);
        let mut expected = HashMap::<usize, (BTreeSet<EntryId>, BTreeSet<EntryId>)>::new();
        for (id, entry) in &self.entries {
            let mut at = self.roots[&entry.key];
            expected.entry(at).or_default().0.insert(*id);
            for block in entry.tokens.as_chunks::<B>().0 {
                at = self.tree.nodes[at].children[self.tree.find(at, block).expect("the path of an entry is there")];
                expected.entry(at).or_default().0.insert(*id);
            }
            assert_eq!(at, entry.node);
            expected.entry(at).or_default().1.insert(*id);
        }
        assert_eq!(expected.len(), self.live(), "a node without entries");
        for (at, (held, ends)) in expected {
            let node = &self.tree.nodes[at];
            assert!(ascending(&node.held) && ascending(&node.ends));
            assert!(node.held.iter().eq(&held) && node.ends.iter().eq(&ends));
            assert!(node.children.is_sorted_by(|a, b| self.tree.nodes[*a].block < self.tree.nodes[*b].block));
            assert!(node.children.iter().all(|child| self.tree.nodes[*child].parent == at));
        }
        let free = self.tree.free.iter().collect::<BTreeSet<_>>();
        assert_eq!(free.len(), self.tree.free.len(), "a slot freed twice");
        for node in free.into_iter().map(|at| &self.tree.nodes[*at]) {
            let own = node.children.capacity() + node.held.capacity() + node.ends.capacity() + node.block.len();
            assert_eq!(own, 0, "a free slot owns memory");
        }
    }
}

fn check<const B: usize>(changes: &[Change], mut prompts: Vec<Vec<TokenId>>) {
    let (mut index, mut naive) = (BlockIndex::<B>::new(), Naive::default());
    let given = prompts.len();
    for change in changes {
        index.apply(change);
        naive.apply(change);
        index.check_invariants();
        assert_eq!(index.live(), naive.nodes(B));
        assert_eq!((index.len(), index.is_empty()), (naive.0.len(), naive.0.is_empty()));
        // Beside the given prompts: each entry, one token more, and its last token changed.
        prompts.truncate(given);
        for (_, tokens) in naive.0.values() {
            let longer = tokens.iter().copied().chain([TokenId(1)]).collect::<Vec<_>>();
            let mut other = tokens.clone();
            other.last_mut().into_iter().for_each(|last| last.0 = 2 - last.0);
            prompts.extend([tokens.clone(), longer, other]);
        }
        for (prompt, key) in prompts.iter().flat_map(|prompt| (0..3).map(move |key| (prompt, key))) {
            for at_most in [0, 1, 2, usize::MAX] {
                assert_eq!(index.longest(&[key; 32], prompt, at_most), naive.longest(key, prompt, at_most));
            }
            for id in 0..9 {
                assert_eq!(index.common(id, &[key; 32], prompt), naive.common(id, key, prompt));
            }
        }
        for id in 0..9 {
            assert_eq!(index.tokens(id), naive.0.get(&id).map(|(_, tokens)| tokens.as_slice()));
            assert_eq!(index.is_covered(id), naive.is_covered(id), "entry {id}");
        }
    }
    for id in 0..8 {
        index.remove(id);
        index.check_invariants();
    }
    assert_eq!((index.live(), index.roots.len(), index.len()), (0, 0, 0));
}

fn typed(tokens: &[i32]) -> Vec<TokenId> {
    tokens.iter().copied().map(TokenId).collect()
}

proptest! {
    #[test]
    fn blocks_of_two_answer_like_a_list(changes in changes(2), prompts in vec(tokens(2), 1..4)) {
        check::<2>(&changes, prompts.iter().map(|prompt| typed(prompt)).collect());
    }

    #[test]
    fn blocks_of_three_answer_like_a_list(changes in changes(3), prompts in vec(tokens(3), 1..4)) {
        check::<3>(&changes, prompts.iter().map(|prompt| typed(prompt)).collect());
    }

    #[test]
    fn blocks_of_the_engine_answer_like_a_list(changes in changes(BLOCK), prompts in vec(tokens(BLOCK), 1..4)) {
        check::<BLOCK>(&changes, prompts.iter().map(|prompt| typed(prompt)).collect());
    }
}

#[test]
fn a_growing_entry_has_one_node_for_each_full_block() {
    let mut index = PrefixIndex::new();
    index.insert(1, &[0; 32], &[]);
    for length in 1..=10_000 {
        index.extend(1, &[TokenId(7)]);
        assert_eq!(index.live(), 1 + length / BLOCK);
    }
    // A second one shares the nodes up to where it parts.
    let mut other = vec![TokenId(7); 5_000];
    other.extend([TokenId(8); 5_000]);
    index.insert(2, &[0; 32], &other);
    assert_eq!(index.live(), 1 + 10_000 / BLOCK + (10_000 / BLOCK - 5_000 / BLOCK));
    assert_eq!(index.longest(&[0; 32], &other, 9), Match { length: 10_000, entries: vec![2] });
    assert_eq!(index.longest(&[0; 32], &other[..5_000], 9), Match { length: 5_000, entries: vec![1, 2] });
    index.remove(1);
    assert_eq!(index.live(), 1 + 10_000 / BLOCK);
    index.check_invariants();
}

#[test]
fn freed_slots_are_used_again() {
    let mut index = PrefixIndex::new();
    for id in 0..100 {
        index.insert(id, &[0; 32], &[TokenId(3); 10 * BLOCK]);
        index.truncate(id, 5 * BLOCK);
        index.extend(id, &[TokenId(4); 5 * BLOCK]);
        index.remove(id);
    }
    assert_eq!((index.tree.nodes.len(), index.live()), (11, 0));
}

#[test]
fn a_deep_cut_frees_the_tokens() {
    let mut index = PrefixIndex::new();
    index.insert(1, &[0; 32], &[TokenId(3); 10_000]);
    index.truncate(1, 9_000);
    assert_eq!(index.entries[&1].tokens.capacity(), 10_000);
    index.truncate(1, 100);
    assert!(index.entries[&1].tokens.capacity() < 1_000);
}
