//! The sweeps: each puts one kind of load on the sides.

mod clients;
mod concurrency;
mod contended;
mod layout;
mod mixed;
mod prefix;
mod slow_reader;
mod speculation;

use super::Running;
use super::report::Sweep;
use crate::cli::bench::SweepName;
use crate::error::Result;

/// A sweep, or two that are told together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chosen {
    /// Shared and own beginnings of prompts: which of them.
    Prefix { shared: bool, unshared: bool },
    /// Any other.
    One(SweepName),
}

/// The sweeps to run: those that were named, or all that apply.
pub(super) fn chosen(named: &[SweepName], server: bool) -> Vec<Chosen> {
    use SweepName::{Concurrency, Contended, Layout, Mixed, SharedPrefix, SlowReader, Speculation, Unshared};
    let of_any_side = [Concurrency, SharedPrefix, Unshared, Mixed];
    let all = [Concurrency, SharedPrefix, Unshared, Mixed, SlowReader, Contended, Layout, Speculation];
    let wanted = match named {
        [] if server => &of_any_side[..],
        [] => &all,
        named => named,
    };
    let has = |name| wanted.contains(&name);
    let prefix = Chosen::Prefix { shared: has(SharedPrefix), unshared: has(Unshared) };
    let mut chosen = Vec::new();
    for name in wanted {
        let sweep = if matches!(name, SharedPrefix | Unshared) { prefix } else { Chosen::One(*name) };
        if !chosen.contains(&sweep) {
            chosen.push(sweep);
        }
    }
    chosen
}

/// Runs a sweep.
pub(super) fn run(sweep: Chosen, bench: &Running<'_>) -> Result<Sweep> {
    match sweep {
        Chosen::Prefix { shared, unshared } => prefix::run(bench, shared, unshared),
        Chosen::One(name) => match name {
            SweepName::Concurrency => concurrency::run(bench),
            SweepName::SharedPrefix => prefix::run(bench, true, false),
            SweepName::Unshared => prefix::run(bench, false, true),
            SweepName::Mixed => mixed::run(bench),
            SweepName::SlowReader => slow_reader::run(bench),
            SweepName::Contended => contended::run(bench),
            SweepName::Layout => layout::run(bench),
            SweepName::Speculation => speculation::run(bench),
        },
    }
}

/// What the prompts of a sweep are drawn from, beside the seed, the pair and the request.
#[derive(Debug, Clone, Copy)]
enum Stream {
    Concurrency = 1,
    Prefix,
    Mixed,
    SlowReader,
    Contended,
    Speculation,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_apply_run_once() {
        let together = Chosen::Prefix { shared: true, unshared: true };
        let against = [Chosen::One(SweepName::Concurrency), together, Chosen::One(SweepName::Mixed)];
        assert_eq!(chosen(&[], true), against);
        assert_eq!(chosen(&[], false).len(), 7);
        let named = [SweepName::Unshared, SweepName::Layout, SweepName::Layout, SweepName::Unshared];
        let alone = Chosen::Prefix { shared: false, unshared: true };
        assert_eq!(chosen(&named, true), [alone, Chosen::One(SweepName::Layout)]);
    }
}
