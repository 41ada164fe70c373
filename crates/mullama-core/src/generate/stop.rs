//! Stop strings across token borders.

/// Lets text through up to the first stop string, and holds back what may become one.
#[derive(Debug, Clone)]
pub(crate) struct StopMatcher {
    stops: Vec<String>,
    held: String,
}

impl StopMatcher {
    pub(crate) fn new(stops: Vec<String>) -> Self {
        Self { stops, held: String::new() }
    }

    /// Takes the next text; returns what can be told, and the stop string that ended the text, if one did. The text
    /// before it is told, it and what follows it is not.
    pub(crate) fn push(&mut self, text: &str) -> (String, Option<String>) {
        if self.stops.is_empty() {
            return (text.to_owned(), None);
        }
        self.held.push_str(text);
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str()).map(|at| (at, stop)));
        if let Some((at, stop)) = found.min_by_key(|(at, _)| *at) {
            let stop = stop.clone();
            let told = self.held[..at].to_owned();
            self.held.clear();
            return (told, Some(stop));
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, rest), None)
    }

    /// The text has ended: what was held back became no stop string.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Length of the longest end of `text` that `stop` begins with.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len().saturating_sub(1));
    let lengths = (1..=longest).rev();
    lengths.into_iter().find(|length| text.as_bytes().ends_with(&stop.as_bytes()[..*length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn in_any_pieces_as_in_one(
            text in "[abc€]{0,24}",
            stops in prop::collection::vec("[abc€]{1,4}", 0..3),
            cuts in prop::collection::vec(0_usize..4, 0..24),
        ) {
            let mut matcher = StopMatcher::new(stops.clone());
            let (mut told, mut stopped) = (String::new(), None);
            let mut characters = text.chars();
            let pieces = cuts.into_iter().map(|cut| characters.by_ref().take(cut).collect()).collect::<Vec<String>>();
            for piece in pieces.into_iter().chain([characters.collect()]) {
                let (more, stop) = matcher.push(&piece);
                told.push_str(&more);
                stopped = stop;
                if stopped.is_some() {
                    break;
                }
            }
            if stopped.is_none() {
                told.push_str(&matcher.finish());
            }
            // The naive reading: the first end of any stop string as the text grows, then the earliest beginning.
            let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
            let hit = ends.into_iter().find_map(|end| {
                let found = stops.iter().filter(|stop| text[..end].ends_with(stop.as_str()));
                found.map(|stop| end - stop.len()).min()
            });
            match hit {
                None => prop_assert_eq!((told, stopped), (text, None)),
                Some(_) => {
                    let stop = stopped.expect("a stop string is in the text");
                    prop_assert!(text[told.len()..].starts_with(&stop));
                    prop_assert!(stops.iter().all(|stop| !told.contains(stop.as_str())));
                }
            }
        }
    }
}
