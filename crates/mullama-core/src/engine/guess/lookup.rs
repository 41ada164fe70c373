//! Prompt lookup: what followed the last few tokens where they stood before.

use crate::tokenizer::TokenId;

/// Up to `most` tokens that followed the latest earlier place of the last `ngram` tokens, or of as many more as are the
/// same there. Looks at the last [`WINDOW`] tokens, newest first: costs a pass over them.
pub(super) fn follow(tokens: &[TokenId], ngram: usize, most: usize) -> &[TokenId] {
    if most == 0 || tokens.len() <= ngram {
        return &[];
    }
    let tail = &tokens[tokens.len() - ngram..];
    let window = &tokens[tokens.len().saturating_sub(WINDOW)..];
    let mut best: (usize, &[TokenId]) = (0, &[]);
    for end in (ngram..window.len()).rev() {
        if window[end - ngram..end] != *tail {
            continue;
        }
        let longer = window[..end].iter().rev().zip(tokens.iter().rev()).take_while(|(a, b)| a == b).count();
        if longer > best.0 {
            best = (longer, &window[end..(end + most).min(window.len())]);
        }
        if longer >= ngram + LONG {
            break;
        }
    }
    best.1
}

const WINDOW: usize = 8_192;
/// So many tokens more than asked for are as good as any.
const LONG: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(numbers: &[i32]) -> Vec<TokenId> {
        numbers.iter().copied().map(TokenId).collect()
    }

    #[test]
    fn finds_the_place_with_most_in_common() {
        let tokens = ids(&[9, 1, 2, 3, 7, 8, 1, 2, 3, 4, 5, 9, 1, 2, 3]);
        assert_eq!(follow(&tokens, 2, 3), ids(&[7, 8, 1]), "9 1 2 3 stood at the beginning");
        assert_eq!(follow(&tokens, 2, 0), ids(&[]));
        assert_eq!(follow(&ids(&[1, 2, 3]), 2, 3), ids(&[]));
        assert_eq!(follow(&ids(&[4, 4, 4]), 2, 3), ids(&[4]), "a repetition overlaps itself");
    }

    proptest! {
        #[test]
        fn what_is_guessed_did_follow(numbers in prop::collection::vec(0_i32..3, 0..40), ngram in 1_usize..4, most in 0_usize..5) {
            let tokens = ids(&numbers);
            let guess = follow(&tokens, ngram, most);
            prop_assert!(guess.len() <= most);
            let places = (ngram..tokens.len()).filter(|end| tokens[end - ngram..*end] == tokens[tokens.len() - ngram..]);
            let follows: Vec<_> = places.filter(|end| tokens[*end..].starts_with(guess)).collect();
            prop_assert_eq!(guess.is_empty(), follows.is_empty() || most == 0 || guess.is_empty());
            if most > 0 {
                let any = (ngram..tokens.len()).any(|end| tokens[end - ngram..end] == tokens[tokens.len() - ngram..]);
                prop_assert_eq!(!guess.is_empty(), any);
            }
            prop_assert!(guess.is_empty() || !follows.is_empty());
        }
    }
}
