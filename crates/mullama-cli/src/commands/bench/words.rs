//! Prompts made of common words, so that every side counts the same tokens in them.

use mullama_core::{EncodeOptions, Tokenizer};

use super::random::Random;
use crate::error::Result;

/// So many words; the same for the same seed.
pub(super) fn words(count: u32, random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..count {
        push(&mut text, random);
    }
    text
}

/// Words of so many tokens together, or a word more.
pub(super) fn tokens(count: u32, random: &mut Random, tokenizer: &Tokenizer) -> Result<String> {
    let options = EncodeOptions::default();
    let mut text = words(count.div_ceil(4).max(1), random);
    loop {
        let have = tokenizer.encode(&text, options)?.len();
        let Some(missing) = (count as usize).checked_sub(have).filter(|missing| *missing > 0) else { return Ok(text) };
        // A word has fewer than four tokens.
        for _ in 0..missing.div_ceil(4) {
            push(&mut text, random);
        }
    }
}

fn push(text: &mut String, random: &mut Random) {
    let words = WORDS.split_ascii_whitespace();
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(words.clone().nth(random.below(words.count())).unwrap_or_default());
}

const WORDS: &str = "the of and to in is you that it he was for on are as with his they I at be this have from or one \
    had by word but not what all were we when your can said there use an each which she do how their if will up other \
    about out many then them these so some her would make like him into time has look two more write go see number no \
    way could people my than first water been call who oil its now find long down day did get come made may part";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_words_and_another_others() {
        let one = |seed| words(40, &mut Random::new(&[seed]));
        assert_eq!(one(1), one(1));
        assert_ne!(one(1), one(2));
        assert_eq!(one(3).split(' ').count(), 40);
    }
}
