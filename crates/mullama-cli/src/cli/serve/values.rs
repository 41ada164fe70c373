//! Times and amounts of memory, as people write them.

use std::time::Duration;

/// "300", "1.5", "90s", "5m", "2h", "7d": a time from a millisecond to a year; without a unit in seconds.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    match time_or_none(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        time => Ok(time),
    }
}

/// As [`time`], or 0.
pub(super) fn time_or_none(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0), ("d", 86_400.0)];
    let (number, unit) = split(text);
    let factor = if unit.is_empty() { Some(1.0) } else { find(&units, unit) };
    let seconds = number.parse::<f64>().ok().zip(factor).map(|(number, factor)| number * factor);
    let seconds = seconds.filter(|seconds| *seconds == 0.0 || (0.001..=MAX_SECONDS).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "must be a time like 300, 90s, 5m or 2h, up to 365d".to_owned())
}

/// "8G", "512MiB", "1000000": bytes, in units of 1,024.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let unit = unit.to_lowercase();
    let factors = [("", 1.0), ("k", KIB), ("m", KIB * KIB), ("g", KIB * KIB * KIB), ("t", KIB * KIB * KIB * KIB)];
    let factor = find(&factors, unit.trim_end_matches('b').trim_end_matches('i'));
    let bytes = number.parse::<f64>().ok().zip(factor).map(|(number, factor)| number * factor);
    let bytes = bytes.filter(|bytes| (1.0..=MAX_BYTES).contains(bytes));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 1..=2^50")]
    bytes
        .map(|bytes| bytes as u64)
        .ok_or_else(|| "must be an amount like 8G, 512M or 1000000000, up to 1024T".to_owned())
}

/// A number and its unit.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    (text[..end].trim_end(), &text[end..])
}

fn find(factors: &[(&str, f64)], unit: &str) -> Option<f64> {
    factors.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

const KIB: f64 = 1_024.0;
const MAX_BYTES: f64 = KIB * KIB * KIB * KIB * KIB;
const MAX_SECONDS: f64 = 365.0 * 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let cases =
            [("300", 300_000), ("1.5", 1_500), ("90s", 90_000), ("5m", 300_000), ("2 h", 7_200_000), ("250ms", 250)];
        for (text, ms) in cases {
            assert_eq!(time(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for wrong in ["", "0", "-1", "m", "5x", "1e99", "NaN", "inf", "366d", "5mm"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert_eq!(time_or_none("0"), Ok(Duration::ZERO));
        assert!(time_or_none("-1").is_err());
    }

    #[test]
    fn memory_has_units() {
        let cases =
            [("1000", 1_000), ("1k", 1_024), ("512M", 512 << 20), ("8GiB", 8 << 30), ("1.5 gb", 3 << 29), ("5b", 5)];
        for (text, expected) in cases {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for wrong in ["", "0", "-1", "G", "8X", "1e99", "2000T", "NaN"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
