//! Both layouts of the memory for keys and values, on prompts that share their beginning and on prompts that do not.

use mullama_core::KvLayout;

use super::prefix::{Case, load_on, title};
use crate::commands::bench::Running;
use crate::commands::bench::measure::Metric;
use crate::commands::bench::report::{Chart, Point, Sweep};
use crate::error::Result;

pub(super) fn run(bench: &Running<'_>) -> Result<Sweep> {
    let charts = vec![Chart::bars("Throughput", "tokens/s", Metric::Throughput)];
    let mut sweep = Sweep::new("layout", title(bench), "prompts", charts);
    let cases = [Case::Shared, Case::Unshared];
    sweep.points = cases.iter().map(|case| Point::new(case.label(bench))).collect();
    bench.pairs(sweep.name, |pair, counts| {
        for (case, point) in cases.iter().zip(&mut sweep.points) {
            let requests = case.requests(bench, pair);
            for (name, layout) in LAYOUTS {
                bench.settle();
                let local = bench.setup.start_as(name, |params| params.kv_layout = layout)?;
                let run = load_on(bench, &local, &requests)?;
                if counts {
                    point.push(name, run.rates_and_cache());
                }
            }
        }
        Ok(())
    })?;
    for point in &mut sweep.points {
        point.sum_up();
        point.ratio(Metric::Throughput, LAYOUTS[1].0, LAYOUTS[0].0);
    }
    Ok(sweep)
}

const LAYOUTS: [(&str, KvLayout); 2] = [("per sequence", KvLayout::PerSequence), ("unified", KvLayout::Unified)];
