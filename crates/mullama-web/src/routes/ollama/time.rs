//! Times as Ollama writes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now.
pub(super) fn now() -> String {
    rfc3339(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// RFC 3339, section 5.6, in UTC and with microseconds, of a time since 1970.
///
/// Days to dates: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`. A year has its leap day
/// at its end there: it begins in March.
pub(super) fn rfc3339(since: Duration) -> String {
    let seconds = since.as_secs();
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", since.subsec_micros())
}

/// In ns, as far as u64 goes.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Of a time in ms.
pub(super) fn nanos_of_ms(ms: f64) -> u64 {
    Duration::try_from_secs_f64(ms / 1e3).map_or(0, nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_times() {
        // From `date --utc --date=@N +%FT%T`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_secs(seconds)), text);
        }
        assert_eq!(rfc3339(Duration::new(1, 2_345_678)), "1970-01-01T00:00:01.002345Z");
        assert!(rfc3339(Duration::MAX).ends_with('Z'));
        assert_eq!((nanos_of_ms(1.5), nanos_of_ms(-1.0), nanos_of_ms(f64::NAN)), (1_500_000, 0, 0));
    }

    proptest! {
        /// A later second is a later text, and the day after a day is the next date.
        #[test]
        fn order_is_kept(seconds in 0_u64..250_000_000_000, more in 1_u64..1_000_000) {
            let (early, late) = (Duration::from_secs(seconds), Duration::from_secs(seconds + more));
            prop_assert!(rfc3339(early) < rfc3339(late));
            let next = rfc3339(Duration::from_secs(seconds + 86_400));
            prop_assert_eq!(&rfc3339(early)[10..], &next[10..]);
            prop_assert_ne!(&rfc3339(early)[..10], &next[..10]);
        }
    }
}
