//! How many threads fit beside other programs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What others leave of the cores.
#[derive(Debug)]
pub(super) struct Room {
    cores: u32,
    /// The most threads there can be; more than the cores if someone wants it so.
    ceiling: u32,
    fits: Option<u32>,
    /// From when on how many threads could be risked: the last second, and what held when it began.
    history: VecDeque<(Instant, u32)>,
}

impl Room {
    pub(super) fn new(cores: u32, ceiling: u32) -> Self {
        Self { cores: cores.max(1), ceiling, fits: None, history: VecDeque::new() }
    }

    /// Notes how many cores others kept busy of late.
    pub(super) fn note(&mut self, now: Instant, others: f64) {
        // A quarter of a core is overlooked: the system itself always uses a little.
        let fits = if others < 0.5 { self.ceiling } else { self.without(others - 0.25) };
        self.fits = Some(fits);
        // At a distance from that, so that a load that stays at a border does not swing the number.
        let risk = if others < 0.3 { self.ceiling } else { self.without(others - 0.15) };
        if self.history.back().is_none_or(|(_, last)| *last != risk) {
            self.history.push_back((now, risk));
        }
        while self.history.get(1).is_some_and(|(from, _)| now.saturating_duration_since(*from) >= LASTING) {
            self.history.pop_front();
        }
    }

    /// From here on it is not known what others do.
    pub(super) fn forget(&mut self) {
        self.fits = None;
        self.history.clear();
    }

    pub(super) fn is_known(&self) -> bool {
        self.fits.is_some()
    }

    /// The most threads that fit now; all where that is unknown.
    pub(super) fn fits(&self) -> u32 {
        self.fits.unwrap_or(self.ceiling)
    }

    /// The threads that could have been risked for all of the last second.
    pub(super) fn lasting(&self, now: Instant) -> Option<u32> {
        let (from, _) = self.history.front()?;
        let known = now.saturating_duration_since(*from) >= LASTING;
        known.then(|| self.history.iter().map(|(_, room)| *room).min()).flatten()
    }

    fn without(&self, cores: f64) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates at both ends")]
        let cores = cores.ceil().max(1.0) as u32;
        self.cores.saturating_sub(cores).clamp(1, self.ceiling)
    }
}

/// How long cores must have been free before they are taken.
const LASTING: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_shrinks_at_once_and_grows_after_a_second() {
        let start = Instant::now();
        let mut room = Room::new(8, 8);
        let mut look = |milliseconds, others| {
            let now = start + Duration::from_millis(milliseconds);
            room.note(now, others);
            (room.fits(), room.lasting(now))
        };
        assert_eq!(look(0, 0.4), (8, None));
        assert_eq!(look(250, 0.1), (8, None));
        assert_eq!(look(1_000, 0.1), (8, Some(7)));
        assert_eq!(look(1_250, 0.1), (8, Some(8)));
        assert_eq!(look(1_500, 2.6), (5, Some(5)));
        assert_eq!(look(1_750, 80.0), (1, Some(1)));
        assert_eq!(look(2_000, 0.0), (8, Some(1)));
        assert_eq!(look(2_900, 0.0), (8, Some(1)));
        assert_eq!(look(3_000, 0.0), (8, Some(8)));
    }

    #[test]
    fn what_fits_is_never_less_than_what_can_be_risked() {
        for (cores, ceiling) in [(1, 1), (8, 8), (8, 4), (4, 8)] {
            for hundredth in 0..1_000 {
                let mut room = Room::new(cores, ceiling);
                let now = Instant::now();
                room.note(now, f64::from(hundredth) / 100.0);
                let risked = room.lasting(now + LASTING).unwrap();
                assert!(1 <= risked && risked <= room.fits() && room.fits() <= ceiling, "{hundredth}");
            }
        }
    }
}
