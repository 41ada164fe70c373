//! What of a vocabulary tells how costly a text is before it is tokenized.

use std::collections::HashSet;

use super::{TokenId, Tokenizer};

/// Found by one look at all tokens.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Bytes of the longest token.
    longest: usize,
    /// Characters that are tokens of their own.
    characters: HashSet<char>,
}

impl Facts {
    pub(crate) fn of(tokenizer: &Tokenizer) -> Self {
        let (mut longest, mut characters) = (1, HashSet::new());
        for id in 0..i32::try_from(tokenizer.vocabulary_size()).unwrap_or(i32::MAX) {
            let token = TokenId(id);
            let Ok(piece) = tokenizer.piece(token, true) else { continue };
            longest = longest.max(piece.len());
            let text = str::from_utf8(&piece).unwrap_or_default();
            let mut all = text.chars();
            if let (Some(character), None) = (all.next(), all.next())
                && !tokenizer.model.ptr().is_byte(id)
            {
                characters.insert(character);
            }
        }
        Self { longest, characters }
    }

    /// The fewest tokens that a text of so many bytes can have.
    pub(super) fn fewest(&self, bytes: usize) -> usize {
        bytes.div_ceil(self.longest)
    }

    /// Characters of a text that only bytes can stand for.
    pub(super) fn unknown(&self, text: &str) -> usize {
        // The model's mark for a blank stands for it.
        text.chars().filter(|character| *character != ' ' && !self.characters.contains(character)).count()
    }
}
