//! Numbers of flags. A flag that takes one takes any word (`allow_hyphen_values`), so that -1 is told what is wrong with
//! it and not taken for a flag.

use std::ops::RangeInclusive;

use clap::builder::TypedValueParser;

/// A whole number in a range.
pub(super) fn whole<T>(range: RangeInclusive<i64>) -> impl TypedValueParser<Value = T>
where
    T: TryFrom<i64> + Clone + Send + Sync + 'static,
{
    move |text: &str| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("must be a whole number, {}..={}", range.start(), range.end()))
    }
}

/// A whole number that is not negative.
pub(super) fn count() -> impl TypedValueParser<Value = u32> {
    whole(0..=i64::from(u32::MAX))
}

/// A whole number; the inference crate knows its range.
pub(super) fn signed() -> impl TypedValueParser<Value = i32> {
    whole(i64::from(i32::MIN)..=i64::from(i32::MAX))
}

/// Any number; the inference crate knows its range.
pub(super) fn float() -> impl TypedValueParser<Value = f32> {
    |text: &str| text.parse::<f32>().map_err(|_| "must be a number")
}
