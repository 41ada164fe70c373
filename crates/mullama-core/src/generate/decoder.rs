//! Bytes of tokens to text.

/// Turns bytes that come in pieces into text, without splitting characters: an incomplete character is held back until
/// the rest of it comes. Bytes that can be no UTF-8 become U+FFFD, one for each maximal part of a character, as
/// [`String::from_utf8_lossy`] does.
///
/// ```
/// use mullama_core::TextDecoder;
///
/// let mut decoder = TextDecoder::new();
/// assert_eq!(decoder.push(b"caf\xC3"), "caf");
/// assert_eq!(decoder.push(b"\xA9"), "é");
/// assert_eq!(decoder.finish(), "");
/// ```
#[derive(Debug, Clone, Default)]
pub struct TextDecoder {
    held: Vec<u8>,
}

impl TextDecoder {
    /// A decoder at the beginning of a text.
    #[must_use]
    pub const fn new() -> Self {
        Self { held: Vec::new() }
    }

    /// Takes the next bytes and returns the characters that are complete.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        if self.held.is_empty()
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            return text.to_owned();
        }
        self.held.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.held.len());
        let mut rest = self.held.as_slice();
        while !rest.is_empty() {
            let Err(error) = std::str::from_utf8(rest) else {
                text.push_str(&String::from_utf8_lossy(rest));
                rest = &[];
                break;
            };
            let (valid, after) = rest.split_at(error.valid_up_to());
            text.push_str(&String::from_utf8_lossy(valid));
            rest = after;
            match error.error_len() {
                Some(broken) => {
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &rest[broken..];
                }
                None => break, // the beginning of a character
            }
        }
        let held = rest.len();
        self.held.drain(..self.held.len() - held);
        text
    }

    /// The text has ended: what is held back is U+FFFD, if anything is.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.held).into_owned();
        self.held.clear();
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_lossy_text(bytes in prop::collection::vec(any::<u8>(), 0..64), cuts in prop::collection::vec(1_usize..6, 0..64)) {
            check(&bytes, &cuts)?;
        }

        #[test]
        fn any_text_in_any_pieces_comes_whole(text in "\\PC{0,32}", cuts in prop::collection::vec(1_usize..6, 0..64)) {
            check(text.as_bytes(), &cuts)?;
        }
    }

    fn check(bytes: &[u8], cuts: &[usize]) -> Result<(), TestCaseError> {
        let mut decoder = TextDecoder::new();
        let (mut text, mut rest) = (String::new(), bytes);
        for cut in cuts {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            text.push_str(&decoder.push(piece));
            prop_assert!(decoder.held.len() < 4);
            rest = after;
        }
        text.push_str(&decoder.push(rest));
        text.push_str(&decoder.finish());
        prop_assert_eq!(text, String::from_utf8_lossy(bytes));
        Ok(())
    }
}
