//! Which held sequence shares the longest prefix with a prompt.

use std::collections::HashMap;

use crate::tokenizer::TokenId;

/// Names an entry; the caller chooses it.
pub(crate) type EntryId = u64;

/// What sequences must have in common besides their tokens: adapters with their scales, the cache salt. Entries under
/// different keys never match.
pub(crate) type SaltKey = [u8; 32];

/// The index as the engine uses it.
pub(crate) type PrefixIndex = BlockIndex<BLOCK>;

/// A radix tree over blocks of `B` tokens, under each key one.
///
/// Answers are exact, to the token: tokens are compared with tokens, never hashes with hashes, and the tokens after the
/// last full block are compared too. An entry lies at the node of its last full block, and every node on its path
/// lists it, so that a match needs no walk below the node that it ends at.
///
/// Memory: an entry owns its tokens, and adds its id to each node of its path; a node holds the tokens of its block
/// once for all its entries, and is freed with the last of them. Slots of freed nodes are used again, so the arena
/// stays as long as it was at its longest; a free slot owns nothing.
///
/// Cost, for a sequence of n tokens and a node with e entries: a walk down compares each block with log₂(e) children,
/// so it is O(n log e); a change of a node's list moves at most e ids.
#[derive(Debug, Default)]
pub(crate) struct BlockIndex<const B: usize> {
    tree: Tree,
    roots: HashMap<SaltKey, usize>,
    entries: HashMap<EntryId, Entry>,
}

impl<const B: usize> BlockIndex<B> {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Holds `tokens`, of which there may be none, under `id`, in place of what the id held.
    pub(crate) fn insert(&mut self, id: EntryId, key: &SaltKey, tokens: &[TokenId]) {
        self.remove(id);
        let root = *self.roots.entry(*key).or_insert_with(|| self.tree.add(Node::default()));
        list(&mut self.tree.nodes[root].held, id);
        let node = self.tree.enter(root, tokens.as_chunks::<B>().0, id);
        list(&mut self.tree.nodes[node].ends, id);
        self.entries.insert(id, Entry { key: *key, tokens: tokens.to_vec(), node });
    }

    /// Appends to an entry; nothing where there is none. The tree changes only with each full block, so token by token
    /// this costs one lookup and an amortised push.
    pub(crate) fn extend(&mut self, id: EntryId, tokens: &[TokenId]) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let before = entry.tokens.len() / B;
        entry.tokens.extend_from_slice(tokens);
        let new = &entry.tokens.as_chunks::<B>().0[before..];
        if new.is_empty() {
            return;
        }
        unlist(&mut self.tree.nodes[entry.node].ends, id);
        entry.node = self.tree.enter(entry.node, new, id);
        list(&mut self.tree.nodes[entry.node].ends, id);
    }

    /// Cuts an entry to its first `length` tokens; nothing where it has no more, or is not there. Costs by the blocks
    /// cut off.
    pub(crate) fn truncate(&mut self, id: EntryId, length: usize) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let before = entry.tokens.len() / B;
        entry.tokens.truncate(length);
        // A rejected draft takes a few tokens back at every step and must not reallocate; a deep cut frees its memory.
        if entry.tokens.len() < entry.tokens.capacity() / 4 {
            entry.tokens.shrink_to(entry.tokens.len() * 2);
        }
        let levels = before - entry.tokens.len() / B;
        if levels == 0 {
            return;
        }
        unlist(&mut self.tree.nodes[entry.node].ends, id);
        entry.node = self.tree.leave(entry.node, levels, id);
        list(&mut self.tree.nodes[entry.node].ends, id);
    }

    /// Forgets an entry; nothing where there is none.
    pub(crate) fn remove(&mut self, id: EntryId) {
        let Some(entry) = self.entries.remove(&id) else { return };
        unlist(&mut self.tree.nodes[entry.node].ends, id);
        let root = self.tree.leave(entry.node, entry.tokens.len() / B, id);
        unlist(&mut self.tree.nodes[root].held, id);
        if self.tree.nodes[root].held.is_empty() {
            self.tree.vacate(root);
            self.roots.remove(&entry.key);
        }
    }

    /// The tokens of an entry.
    pub(crate) fn tokens(&self, id: EntryId) -> Option<&[TokenId]> {
        self.entries.get(&id).map(|entry| entry.tokens.as_slice())
    }

    /// Tokens that an entry and the prompt begin with alike: 0 under another key, and where there is no entry. Compares
    /// token by token, without the tree.
    pub(crate) fn common(&self, id: EntryId, key: &SaltKey, prompt: &[TokenId]) -> usize {
        let entry = self.entries.get(&id).filter(|entry| entry.key == *key);
        entry.map_or(0, |entry| shared(&entry.tokens, prompt))
    }

    /// The longest prefix of the prompt that any entry begins with, and the entries that begin with it, at most so many
    /// and the smallest ids first. Nothing where not one token matches.
    ///
    /// Costs a walk down the prompt, one comparison with each entry whose last full block is the last that matches, and
    /// `at_most` ids for each child that has the whole match.
    pub(crate) fn longest(&self, key: &SaltKey, prompt: &[TokenId], at_most: usize) -> Match {
        let Some(&(mut at)) = self.roots.get(key) else { return Match::default() };
        let mut rest = prompt;
        for block in prompt.as_chunks::<B>().0 {
            let Ok(position) = self.tree.find(at, block) else { break };
            at = self.tree.nodes[at].children[position];
            rest = &rest[B..];
        }
        let node = &self.tree.nodes[at];
        // No child has all of the next block. What agrees longest in a sorted list is beside where `rest` would be.
        let (Ok(beside) | Err(beside)) = self.tree.find(at, rest);
        let near = node.children[beside.saturating_sub(1)..].iter().take(2);
        let near = near.map(|child| shared(&self.tree.nodes[*child].block, rest));
        let tails = node.ends.iter().map(|id| shared(self.entries[id].tail::<B>(), rest));
        let more = near.chain(tails).max().unwrap_or(0);
        let length = prompt.len() - rest.len() + more;
        if length == 0 {
            return Match::default();
        }
        let start = &rest[..more];
        let below = self.tree.agreeing(at, start).flat_map(|child| child.held.iter().take(at_most));
        let here = node.ends.iter().filter(|id| self.entries[*id].tail::<B>().starts_with(start));
        let mut entries: Vec<EntryId> = here.chain(below).copied().collect();
        entries.sort_unstable();
        entries.truncate(at_most);
        Match { length, entries }
    }

    /// Whether another entry under the same key begins with the whole of this one, so that losing this one loses
    /// nothing. Two equal entries cover each other: lose one, then ask again. One without tokens is covered by any.
    pub(crate) fn is_covered(&self, id: EntryId) -> bool {
        let Some(entry) = self.entries.get(&id) else { return false };
        let tail = entry.tail::<B>();
        let mut beside = self.tree.nodes[entry.node].ends.iter().filter(|other| **other != id);
        beside.any(|other| self.entries[other].tail::<B>().starts_with(tail))
            || self.tree.agreeing(entry.node, tail).next().is_some()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The longest prefix found, and entries that begin with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Match {
    /// Tokens.
    pub(crate) length: usize,
    /// Ascending.
    pub(crate) entries: Vec<EntryId>,
}

/// A sequence, and the node of its last full block.
#[derive(Debug)]
struct Entry {
    key: SaltKey,
    tokens: Vec<TokenId>,
    node: usize,
}

impl Entry {
    /// The tokens after the last full block.
    fn tail<const B: usize>(&self) -> &[TokenId] {
        self.tokens.as_chunks::<B>().1
    }
}

/// The nodes of all trees. Nodes are named by their place, and a free one is empty.
#[derive(Debug, Default)]
struct Tree {
    nodes: Vec<Node>,
    free: Vec<usize>,
}

impl Tree {
    fn add(&mut self, node: Node) -> usize {
        if let Some(at) = self.free.pop() {
            self.nodes[at] = node;
            return at;
        }
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn vacate(&mut self, at: usize) {
        self.nodes[at] = Node::default();
        self.free.push(at);
    }

    /// Lists an entry along `blocks` below `at`, and makes the nodes that are missing. Returns the last.
    fn enter<const B: usize>(&mut self, mut at: usize, blocks: &[[TokenId; B]], id: EntryId) -> usize {
        for block in blocks {
            at = match self.find(at, block) {
                Ok(position) => self.nodes[at].children[position],
                Err(position) => {
                    let child = self.add(Node { block: Box::new(*block), parent: at, ..Node::default() });
                    self.nodes[at].children.insert(position, child);
                    child
                }
            };
            list(&mut self.nodes[at].held, id);
        }
        at
    }

    /// Takes an entry off `levels` nodes, from `at` upwards and no more than there are above the root, and frees those
    /// that hold no other. Returns the next one up.
    fn leave(&mut self, mut at: usize, levels: usize, id: EntryId) -> usize {
        for _ in 0..levels {
            let parent = self.nodes[at].parent;
            unlist(&mut self.nodes[at].held, id);
            if self.nodes[at].held.is_empty() {
                if let Ok(position) = self.find(parent, &self.nodes[at].block) {
                    self.nodes[parent].children.remove(position);
                }
                self.vacate(at);
            }
            at = parent;
        }
        at
    }

    /// Where `block` is among the children of `at`, or would be.
    fn find(&self, at: usize, block: &[TokenId]) -> Result<usize, usize> {
        self.nodes[at].children.binary_search_by(|child| (*self.nodes[*child].block).cmp(block))
    }

    /// The children of `at` whose block begins with `start`, which is no longer than a block.
    fn agreeing(&self, at: usize, start: &[TokenId]) -> impl Iterator<Item = &Node> {
        let children = &self.nodes[at].children;
        let first = children.partition_point(|child| self.nodes[*child].block[..start.len()] < *start);
        let sorted = children[first..].iter().map(|child| &self.nodes[*child]);
        sorted.take_while(move |child| child.block.starts_with(start))
    }
}

/// A block at its place after the blocks above it.
#[derive(Debug, Default)]
struct Node {
    /// None in a root.
    block: Box<[TokenId]>,
    /// Of no meaning in a root.
    parent: usize,
    /// Sorted by their blocks.
    children: Vec<usize>,
    /// The entries whose path has this node, ascending. Never empty: the last one takes the node with it.
    held: Vec<EntryId>,
    /// Those of them whose last full block this is, ascending.
    ends: Vec<EntryId>,
}

/// Adds to an ascending list.
fn list(ids: &mut Vec<EntryId>, id: EntryId) {
    if let Err(position) = ids.binary_search(&id) {
        ids.insert(position, id);
    }
}

/// Takes out of an ascending list.
fn unlist(ids: &mut Vec<EntryId>, id: EntryId) {
    if let Ok(position) = ids.binary_search(&id) {
        ids.remove(position);
    }
}

/// Tokens that both begin with.
fn shared(one: &[TokenId], other: &[TokenId]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

/// Tokens in a block: a longer one makes fewer nodes, a shorter one fewer comparisons after the last full block.
const BLOCK: usize = 32;

#[cfg(test)]
mod tests;
