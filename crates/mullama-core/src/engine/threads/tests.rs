//! The governor on a simulated machine, whose threads spin when they lose a core.

use proptest::prelude::*;

use super::*;

/// A machine, what runs beside the engine, and what the engine computes.
#[derive(Debug, Clone)]
struct Machine {
    cores: u32,
    /// From when on others keep how many cores busy: in milliseconds, rising.
    others: Vec<(u64, f64)>,
    /// Whether the governor can see it.
    visible: bool,
    /// Milliseconds of a call with one token on all cores.
    base: f64,
    /// The share of a call that more threads make no faster.
    serial: f64,
    /// How many times as long a call takes whose threads have not a core each.
    spin: f64,
    /// Sizes of the batches, in turn.
    batches: Vec<u32>,
    /// Factors of the times, in turn.
    noise: Vec<f64>,
}

/// What a run gave.
#[derive(Debug, Default)]
struct Outcome {
    tokens: f64,
    /// When, in milliseconds, and to what.
    changes: Vec<(f64, u32)>,
    threads: u32,
}

impl Machine {
    fn quiet(cores: u32, visible: bool) -> Self {
        Self {
            cores,
            others: vec![(0, 0.0)],
            visible,
            base: 5.0,
            serial: 0.1,
            spin: 20.0,
            batches: vec![1],
            noise: vec![1.0, 1.1, 0.9, 1.05, 0.95],
        }
    }

    fn others_at(&self, time: f64) -> f64 {
        self.others.iter().take_while(|(from, _)| *from as f64 <= time).last().map_or(0.0, |(_, others)| *others)
    }

    /// Milliseconds. Small batches read the same weights; then arithmetic tells.
    fn call(&self, time: f64, threads: u32, tokens: u32, noise: f64) -> f64 {
        let shared = (1.0 - self.serial) / f64::from(threads) + self.serial;
        let full = (1.0 - self.serial) / f64::from(self.cores) + self.serial;
        let spin = if f64::from(threads) > f64::from(self.cores) - self.others_at(time) { self.spin } else { 1.0 };
        self.base * (0.8 + 0.2 * f64::from(tokens)) * shared / full * spin * noise
    }

    fn run(&self, governor: &mut ThreadGovernor, milliseconds: f64) -> Outcome {
        let start = Instant::now();
        let at = |time: f64| start + Duration::from_secs_f64(time / 1e3);
        let mut outcome = Outcome::default();
        let mut batches = self.batches.iter().cycle();
        let mut noise = self.noise.iter().cycle();
        let (mut time, mut looked, mut seen) = (0.0, 0.0, 0.0);
        while time < milliseconds {
            let tokens = *batches.next().unwrap();
            let (decode, batch) = governor.threads();
            let threads = if tokens > 1 { batch } else { decode };
            let taken = self.call(time, threads, tokens, *noise.next().unwrap());
            // What the meter counts, looking each 10 ms.
            let looks = std::iter::successors(Some(time), |at| Some(at + 10.0)).take_while(|at| *at < time + taken);
            seen += looks.map(|at| self.others_at(at) * (time + taken - at).min(10.0)).sum::<f64>();
            time += taken;
            outcome.tokens += f64::from(tokens);
            let step = Step { threads, tokens, elapsed: Duration::from_secs_f64(taken / 1e3) };
            let mut changes = vec![governor.step(at(time), step)];
            if time - looked >= 250.0 {
                let others = self.visible.then(|| seen / (time - looked));
                (looked, seen) = (time, 0.0);
                changes.push(governor.load(at(time), others));
            }
            outcome.changes.extend(changes.into_iter().flatten().map(|(_, batch)| (time, batch)));
        }
        outcome.threads = governor.threads().1;
        outcome
    }

    fn adaptive(&self) -> ThreadGovernor {
        ThreadGovernor::new(self.cores, self.cores, ThreadPolicy::Adaptive, self.cores)
    }

    fn best_fixed(&self, milliseconds: f64) -> f64 {
        let fixed = |threads| {
            let mut governor = ThreadGovernor::new(threads, threads, ThreadPolicy::Fixed, self.cores);
            self.run(&mut governor, milliseconds).tokens
        };
        (1..=self.cores).map(fixed).fold(0.0, f64::max)
    }
}

fn small_batches() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(1_u32..9, 1..60)
}

fn noise() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(0.6..=1.4_f64, 7..200)
}

/// Mostly answers, with prompts in between.
fn batches() -> impl Strategy<Value = Vec<u32>> {
    let size = prop_oneof![3 => Just(1_u32), 4 => 2_u32..9, 1 => 100_u32..600];
    prop::collection::vec(size, 5..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn a_quiet_machine_keeps_all_threads(
        cores in 1_u32..17, visible: bool, base in 0.5..20.0_f64, serial in 0.0..0.9_f64,
        noise in noise(), batches in batches(),
    ) {
        let machine = Machine { base, serial, noise, batches, ..Machine::quiet(cores, visible) };
        let outcome = machine.run(&mut machine.adaptive(), 120_000.0);
        let first = outcome.changes.iter().filter(|(time, _)| *time < 60e3).count();
        prop_assert!(first <= 8 && outcome.changes.len() - first <= 6, "{:?}", outcome.changes);
        prop_assert!(cores > 1 || outcome.changes.is_empty());
        let best = machine.best_fixed(120_000.0);
        prop_assert!(outcome.tokens >= 0.9 * best, "{} of {}: {:?}", outcome.tokens, best, outcome.changes);
    }

    #[test]
    fn a_quiet_machine_whose_load_is_seen_never_changes(
        cores in 1_u32..65, base in 0.5..50.0_f64, noise in noise(), others in 0.0..0.3_f64,
    ) {
        let machine = Machine { base, noise, ..Machine::quiet(cores, true) };
        let mut governor = machine.adaptive();
        let start = Instant::now();
        prop_assert_eq!(governor.load(start, Some(others)), None);
        prop_assert_eq!(machine.run(&mut governor, 60_000.0).changes, vec![]);
    }

    #[test]
    fn beside_visible_load_it_is_near_the_best_fixed_number(
        cores in 2_u32..17, taken in 0.01..0.99_f64, from in prop_oneof![Just(0_u64), 0_u64..5_000],
        single in 2.0..15.0_f64, serial in 0.0..0.5_f64, noise in noise(),
        batches in small_batches(), spin in 18.0..50.0_f64,
    ) {
        let taken = (taken * f64::from(cores)).floor().max(1.0).min(f64::from(cores - 1));
        let machine = Machine {
            others: vec![(0, 0.0), (from, taken)], base: single / f64::from(cores), serial, noise, batches, spin,
            ..Machine::quiet(cores, true)
        };
        // From the arrival of the load on: no fixed number is best before and after.
        let outcome = machine.run(&mut machine.adaptive(), from as f64 + 10e3);
        let (start, all) = (from as f64, outcome.tokens);
        let before = machine.run(&mut machine.adaptive(), start).tokens;
        let steady = Machine { others: vec![(0, taken)], ..machine.clone() };
        let best = steady.best_fixed(10e3);
        prop_assert!(all - before >= 0.8 * best, "{} of {}: {:?}", all - before, best, outcome.changes);
        prop_assert!(outcome.changes.len() <= 12, "{:?}", outcome.changes);
        prop_assert_eq!(f64::from(outcome.threads), f64::from(cores) - taken, "{:?}", outcome.changes);
    }

    #[test]
    fn beside_invisible_load_it_finds_the_best_number_by_trying(
        cores in 2_u32..5, from in prop_oneof![Just(0_u64), 1_000_u64..5_000],
        base in 0.5..2.5_f64, serial in 0.0..0.5_f64, noise in noise(),
        batches in small_batches(), spin in 18.0..35.0_f64,
    ) {
        let machine = Machine {
            others: vec![(0, 0.0), (from, 1.0)], base, serial, noise, batches, spin, ..Machine::quiet(cores, false)
        };
        let outcome = machine.run(&mut machine.adaptive(), from as f64 + 10e3);
        let before = machine.run(&mut machine.adaptive(), from as f64).tokens;
        let steady = Machine { others: vec![(0, 1.0)], ..machine.clone() };
        let best = steady.best_fixed(10e3);
        let reached = outcome.tokens - before;
        prop_assert!(reached >= 0.8 * best, "{} of {}: {:?}", reached, best, outcome.changes);
    }

    #[test]
    fn all_threads_are_back_within_three_seconds(
        cores in 2_u32..33, taken in 0.01..0.99_f64, busy in 1_000_u64..60_000,
        base in 0.5..5.0_f64, serial in 0.0..0.5_f64, noise in noise(), batches in small_batches(),
    ) {
        let taken = (taken * f64::from(cores)).ceil().min(f64::from(cores - 1));
        let machine = Machine {
            others: vec![(0, 0.0), (1_500, taken), (1_500 + busy, 0.0)], base, serial, noise, batches,
            ..Machine::quiet(cores, true)
        };
        let end = 1_500.0 + busy as f64;
        let mut governor = machine.adaptive();
        let outcome = machine.run(&mut governor, end + 3_000.0);
        prop_assert!(outcome.changes.iter().any(|(time, _)| *time < end), "it never reacted");
        prop_assert_eq!(outcome.threads, cores, "{:?}", outcome.changes);
    }

    #[test]
    fn whatever_comes_the_numbers_stay_in_range(
        maxima in (0_u32..40, 0_u32..40), cores in 0_u32..40,
        events in prop::collection::vec(
            (0_u64..3_000, 0_u32..40, any::<u32>(), any::<u64>(), any::<Option<f64>>()), 0..200,
        ),
    ) {
        let mut governor = ThreadGovernor::new(maxima.0, maxima.1, ThreadPolicy::Adaptive, cores);
        let mut now = Instant::now();
        for (later, threads, tokens, nanos, others) in events {
            now += Duration::from_millis(later);
            let before = governor.threads();
            let used = if threads % 4 == 0 { threads } else if tokens > 1 { before.1 } else { before.0 };
            let step = Step { threads: used, tokens, elapsed: Duration::from_nanos(nanos) };
            let changed = if later % 3 == 0 { governor.load(now, others) } else { governor.step(now, step) };
            let (decode, batch) = governor.threads();
            prop_assert_eq!(changed, (before != (decode, batch)).then_some((decode, batch)));
            prop_assert!((1..=maxima.0.max(1)).contains(&decode) && (1..=maxima.1.max(1)).contains(&batch));
        }
    }
}

#[test]
fn two_slow_calls_of_three_are_enough() {
    let mut governor = ThreadGovernor::new(2, 2, ThreadPolicy::Adaptive, 2);
    let start = Instant::now();
    let mut call = |n: u64, milliseconds: u64| {
        let (threads, _) = governor.threads();
        let step = Step { threads, tokens: 1, elapsed: Duration::from_millis(milliseconds) };
        governor.step(start + Duration::from_millis(n), step)
    };
    (0..20).for_each(|n| assert_eq!(call(n, 5), None));
    assert_eq!([call(20, 100), call(21, 5), call(22, 100)], [None, None, Some((1, 1))]);
    // One thread takes 9 ms: that helped. A second later two are tried, and at once given up.
    (23..1_000).for_each(|n| assert_eq!(call(n, 9), None, "{n}"));
    assert_eq!((1_000..1_200).find_map(|n| call(n, 9)), Some((2, 2)));
    assert_eq!(call(1_201, 100), Some((1, 1)));
    // The next attempt comes later, and now two are faster.
    assert_eq!((1_202..3_100).find_map(|n| call(n, 9).map(|_| n)), None);
    assert_eq!((3_100..3_300).find_map(|n| call(n, 9)), Some((2, 2)));
    let changes = (3_300..6_000).filter_map(|n| call(n, 5)).collect::<Vec<_>>();
    assert!(matches!(changes[..], [] | [(1, 1), (2, 2)]), "{changes:?}");
}

#[test]
fn heavier_work_is_not_taken_for_a_lost_core() {
    for visible in [true, false] {
        let mut machine = Machine::quiet(8, visible);
        let mut governor = machine.adaptive();
        machine.run(&mut governor, 5_000.0);
        machine.base *= 8.0;
        let outcome = machine.run(&mut governor, 6_000.0);
        // It tries fewer threads, once; where it sees that others are quiet, half of them is enough to know.
        let limits: Vec<u32> = outcome.changes.iter().map(|(_, limit)| *limit).collect();
        let expected: &[u32] = if visible { &[4, 8] } else { &[4, 2, 1, 8] };
        assert!(limits.starts_with(expected) && limits.len() <= 6, "{visible}: {outcome:?}");
        assert!(outcome.tokens > 0.8 * machine.best_fixed(6_000.0), "{visible}: {outcome:?}");
    }
}

#[test]
fn work_that_is_heavier_at_times_is_tried_only_at_first() {
    let mut machine = Machine::quiet(8, true);
    let mut governor = machine.adaptive();
    let mut changes = Vec::new();
    for _ in 0..20 {
        machine.base = if machine.base == 5.0 { 20.0 } else { 5.0 };
        changes.extend(machine.run(&mut governor, 500.0).changes);
    }
    assert!(changes.len() <= 4, "{changes:?}");
}

#[test]
fn fewer_threads_may_take_longer_in_proportion() {
    let mut governor = ThreadGovernor::new(8, 8, ThreadPolicy::Adaptive, 8);
    let start = Instant::now();
    let at = |n: u64| start + Duration::from_millis(n);
    let call = |governor: &mut ThreadGovernor, n: u64, milliseconds: u64| {
        let elapsed = Duration::from_millis(milliseconds);
        governor.step(at(n), Step { threads: governor.threads().0, tokens: 1, elapsed })
    };
    assert_eq!(governor.load(at(0), Some(0.0)), None);
    (0..20).for_each(|n| assert_eq!(call(&mut governor, n, 5), None));
    // What two calls showed, the others' load shows later.
    assert_eq!([200, 200].map(|long| call(&mut governor, 20, long)), [None, Some((4, 4))]);
    (21..30).for_each(|n| assert_eq!(call(&mut governor, n, 19), None));
    assert_eq!(governor.load(at(250), Some(7.0)), Some((1, 1)));
    (250..300).for_each(|n| assert_eq!(call(&mut governor, n, 60), None));
    // A rise is followed by the next when calls have shown that it was right.
    assert_eq!([500, 1_000, 1_500].map(|n| governor.load(at(n), Some(0.0))), [None, None, Some((3, 3))]);
    assert_eq!([1_750, 2_000].map(|n| governor.load(at(n), Some(0.0))), [None, None]);
    (2_000..2_006).for_each(|n| assert_eq!(call(&mut governor, n, 20), None));
    assert_eq!(governor.load(at(2_250), Some(0.0)), Some((5, 5)));
    // From all threads at once to two.
    let mut governor = ThreadGovernor::new(8, 8, ThreadPolicy::Adaptive, 8);
    (0..20).for_each(|n| assert_eq!(call(&mut governor, n, 5), None));
    assert_eq!(governor.load(at(250), Some(6.0)), Some((2, 2)));
    (250..350).for_each(|n| assert_eq!(call(&mut governor, n, 28), None));
}

#[test]
fn attempts_close_in_on_the_number_that_fits() {
    let machine = Machine { others: vec![(0, 0.0), (1_000, 5.0)], ..Machine::quiet(16, false) };
    let mut governor = machine.adaptive();
    let outcome = machine.run(&mut governor, 60_000.0);
    assert!((10..=11).contains(&outcome.threads), "{outcome:?}");
    assert!(outcome.changes.len() < 30, "{outcome:?}");
}

#[test]
fn others_that_stay_at_a_border_do_not_swing_the_number() {
    for border in [0.25, 0.3, 0.4, 0.5, 1.0, 1.25] {
        let mut governor = ThreadGovernor::new(8, 8, ThreadPolicy::Adaptive, 8);
        let start = Instant::now();
        let swing = |n: u64| border + if n.is_multiple_of(2) { 0.04 } else { -0.04 };
        let look = |n: u64| governor.load(start + Duration::from_millis(n * 250), Some(swing(n)));
        let changes = (0..400).filter_map(look).count();
        assert!(changes <= 2, "{changes} changes at {border}");
    }
}

#[test]
fn load_takes_only_the_threads_that_no_longer_fit() {
    let start = Instant::now();
    let at = |milliseconds| start + Duration::from_millis(milliseconds);
    // Decoding uses half of the cores: there is room for others.
    let mut governor = ThreadGovernor::new(4, 8, ThreadPolicy::Adaptive, 8);
    assert_eq!(governor.load(at(0), Some(2.0)), Some((4, 6)));
    assert_eq!(governor.load(at(250), Some(7.9)), Some((1, 1)));
    // Room is filled as it comes, after a second of it.
    assert_eq!([500, 750, 1_000, 1_250].map(|time| governor.load(at(time), Some(4.0))), [None; 4]);
    assert_eq!(governor.load(at(1_500), Some(4.0)), Some((3, 3)));
}

#[test]
fn fixed_and_single_threads_never_change() {
    for (threads, policy) in [(1, ThreadPolicy::Adaptive), (6, ThreadPolicy::Fixed)] {
        let machine = Machine { others: vec![(0, 5.5)], ..Machine::quiet(6, true) };
        let mut governor = ThreadGovernor::new(threads, threads, policy, 6);
        assert_eq!(machine.run(&mut governor, 10_000.0).changes, []);
        assert_eq!(governor.threads(), (threads, threads));
    }
}

#[test]
fn policies_have_the_names_of_the_configuration() {
    assert_eq!(serde_json::to_string(&ThreadPolicy::default()).unwrap(), "\"adaptive\"");
    assert_eq!(serde_json::from_str::<ThreadPolicy>("\"fixed\"").unwrap(), ThreadPolicy::Fixed);
}

const CASES: u32 = 32;
