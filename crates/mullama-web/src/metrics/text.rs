//! Writes Prometheus' text format: <https://prometheus.io/docs/instrumenting/exposition_formats/>, "Text-based format".

use std::fmt::Write as _;

/// What becomes the answer to a scrape.
#[derive(Debug)]
pub(super) struct Text(String);

/// What kind of numbers a family has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only rises.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts below bounds.
    Histogram,
}

/// A name and a value.
pub(super) type Label<'a> = (&'a str, &'a str);

/// A sample's value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
}

/// Bounds of a histogram, each twice the one before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) scale: Scale,
    /// Powers of two: of the first bound and of the last.
    pub(super) first: u32,
    pub(super) last: u32,
}

/// What the powers of two count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Nanoseconds; told in seconds.
    Time,
    /// Whole amounts: those below 2^n are told as those up to 2^n - 1.
    Whole,
    /// Rates.
    Rate,
}

/// A histogram's numbers.
pub(super) struct Counts<F> {
    pub(super) bounds: Bounds,
    /// How many values are below 2 to this power.
    pub(super) below: F,
    pub(super) count: u64,
    pub(super) sum: f64,
}

impl Text {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// What follows belongs to this family, until the next one. Each name once.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        for part in ["# HELP ", name, " "] {
            self.0.push_str(part);
        }
        escape(&mut self.0, help, false);
        for part in ["\n# TYPE ", name, " ", kind, "\n"] {
            self.0.push_str(part);
        }
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[Label<'_>], value: impl Into<Value>) {
        self.line((name, ""), labels, None, value.into());
    }

    pub(super) fn histogram<F: Fn(u32) -> u64>(&mut self, name: &str, labels: &[Label<'_>], counts: &Counts<F>) {
        let Bounds { scale, first, last } = counts.bounds;
        let mut bound = String::new();
        for power in first..=last {
            bound.clear();
            write_bound(&mut bound, scale, power);
            self.line((name, "_bucket"), labels, Some(&bound), Value::Whole((counts.below)(power)));
        }
        self.line((name, "_bucket"), labels, Some("+Inf"), Value::Whole(counts.count));
        self.line((name, "_sum"), labels, None, Value::Real(counts.sum));
        self.line((name, "_count"), labels, None, Value::Whole(counts.count));
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, (name, suffix): (&str, &str), labels: &[Label<'_>], le: Option<&str>, value: Value) {
        let out = &mut self.0;
        out.push_str(name);
        out.push_str(suffix);
        let mut before = '{';
        for (name, value) in labels.iter().copied().chain(le.map(|bound| ("le", bound))) {
            out.push(before);
            out.push_str(name);
            out.push_str("=\"");
            escape(out, value, true);
            out.push('"');
            before = ',';
        }
        if before == ',' {
            out.push('}');
        }
        let _ = match value {
            Value::Whole(value) => writeln!(out, " {value}"),
            Value::Real(value) if value.is_nan() => writeln!(out, " NaN"),
            Value::Real(value) if value.is_infinite() => writeln!(out, " {}Inf", if value > 0.0 { '+' } else { '-' }),
            Value::Real(value) => writeln!(out, " {value}"),
        };
    }
}

impl Bounds {
    /// A bound in the unit of the values: below a bound of [`HistogramSnapshot`](mullama_core::HistogramSnapshot) by less
    /// than any of its buckets is wide, since what crosses between processes as text may be off by a last digit.
    pub(super) fn value(self, power: u32) -> f64 {
        let unit = if self.scale == Scale::Time { 1e-9 } else { 1.0 };
        (1_u64 << power.min(63)) as f64 * unit * (1.0 - 1e-9)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

fn write_bound(out: &mut String, scale: Scale, power: u32) {
    let bound = 1_u64 << power.min(63);
    let _ = match scale {
        Scale::Whole => write!(out, "{}", bound - 1),
        Scale::Rate => write!(out, "{bound}"),
        Scale::Time => write!(out, "{}.{:09}", bound / 1_000_000_000, bound % 1_000_000_000),
    };
    if scale == Scale::Time {
        out.truncate(out.trim_end_matches('0').len());
    }
}

fn escape(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}
