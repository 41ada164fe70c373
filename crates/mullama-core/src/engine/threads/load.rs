//! How many cores other programs keep busy, read from Linux' `/proc`.

use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

/// Measures what other programs take of the cores that this process may run on.
///
/// `/proc/stat` and `/proc/self/stat` count in the same ticks, so the share of the ticks of these cores that were busy
/// and not ours is all that is needed, and not how long a tick is. Times: proc(5).
#[derive(Debug, Default)]
pub(crate) struct LoadMeter {
    last: Option<(Instant, Sample)>,
    busy: Option<f64>,
    text: String,
}

impl LoadMeter {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The cores that others kept busy, on average, between the two last looks that were at least 200 ms apart.
    ///
    /// Called sooner it repeats its last answer. `None` before the second look, where the cores were changed between
    /// the looks, and on systems without these files. A look opens and reads three files of `/proc`.
    pub(crate) fn read(&mut self, now: Instant) -> Option<f64> {
        if self.last.as_ref().is_some_and(|(then, _)| now.saturating_duration_since(*then) < APART) {
            return self.busy;
        }
        let sample = self.sample();
        self.busy = match (&self.last, &sample) {
            (Some((_, last)), Some(sample)) => sample.others_since(last),
            _ => None,
        };
        self.last = sample.map(|sample| (now, sample));
        self.busy
    }

    /// Measures from now on: what others did before does not count, as while this process rested. The last answer holds
    /// until the next look.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.last = self.sample().map(|sample| (now, sample));
    }

    /// How many cores this process may run on, if the last look told. The measure for [`LoadMeter::read`]'s answer:
    /// a quota of a container bounds the threads of one process, not what the cores can bear.
    pub(crate) fn cores(&self) -> Option<u32> {
        self.last.as_ref().and_then(|(_, sample)| u32::try_from(sample.cores.len()).ok())
    }

    fn sample(&mut self) -> Option<Sample> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let allowed = allowed_cores(self.file("/proc/self/status")?)?;
        let own = own_ticks(self.file("/proc/self/stat")?)?;
        let cores = core_ticks(self.file("/proc/stat")?, &allowed);
        (!cores.is_empty()).then_some(Sample { own, cores })
    }

    fn file(&mut self, path: &str) -> Option<&str> {
        self.text.clear();
        // The name of a process may be any bytes, and it stands in two of the files.
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        File::open(path).ok()?.read_to_end(&mut bytes).ok()?;
        self.text = String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into());
        Some(&self.text)
    }
}

/// Ticks since the start of the system.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    /// Of this process, its threads that have ended included.
    own: u64,
    cores: Vec<CoreTicks>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct CoreTicks {
    core: u32,
    busy: u64,
    idle: u64,
}

impl Sample {
    fn others_since(&self, last: &Self) -> Option<f64> {
        let same = self.cores.iter().map(|ticks| ticks.core).eq(last.cores.iter().map(|ticks| ticks.core));
        if !same {
            return None;
        }
        let (mut busy, mut idle) = (0_u64, 0_u64);
        for (now, then) in self.cores.iter().zip(&last.cores) {
            // proc(5): the time spent waiting for a disk can fall.
            busy = busy.saturating_add(now.busy.saturating_sub(then.busy));
            idle = idle.saturating_add(now.idle.saturating_sub(then.idle));
        }
        let total = busy.saturating_add(idle);
        // The two files are not read at the same moment, so that our own ticks may exceed the busy ones.
        let others = busy.saturating_sub(self.own.saturating_sub(last.own));
        (total > 0).then(|| others as f64 / total as f64 * self.cores.len() as f64)
    }
}

/// `/proc/<pid>/stat`: user and system time, the 14th and 15th field. The second, the program's name in parentheses,
/// may hold blanks and parentheses.
fn own_ticks(text: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// `/proc/<pid>/status`: the cores of `Cpus_allowed_list`, such as `0-3,8,10-11`, as ranges that include both ends.
fn allowed_cores(text: &str) -> Option<Vec<(u32, u32)>> {
    let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
    };
    list.split(',').map(range).collect()
}

/// `/proc/stat`: a line for each core that is online. Lines that cannot be read are left out.
///
/// `cpu0 user nice system idle iowait irq softirq steal guest guest_nice`: the time of guests is part of `user` and
/// `nice` already. What a hypervisor took away (`steal`) is as lost to us as what another program took.
fn core_ticks(text: &str, allowed: &[(u32, u32)]) -> Vec<CoreTicks> {
    let mut cores = Vec::new();
    for line in text.lines().skip_while(|line| !line.starts_with("cpu")).take_while(|line| line.starts_with("cpu")) {
        let mut words = line["cpu".len()..].split(' ');
        // The first line, without a number, is the sum of all.
        let Some(Ok(core)) = words.next().map(str::parse::<u32>) else { continue };
        if !allowed.iter().any(|(first, last)| (*first..=*last).contains(&core)) {
            continue;
        }
        let ticks: Option<Vec<u64>> =
            words.filter(|word| !word.is_empty()).take(8).map(|word| word.parse().ok()).collect();
        let Some(&[user, nice, system, idle, ref later @ ..]) = ticks.as_deref() else { continue };
        let (wait, later) = later.split_first().map_or((0, [].as_slice()), |(wait, later)| (*wait, later));
        let sum = |numbers: &[u64]| numbers.iter().fold(0_u64, |sum, n| sum.saturating_add(*n));
        cores.push(CoreTicks {
            core,
            busy: sum(&[user, nice, system]).saturating_add(sum(later)),
            idle: idle.saturating_add(wait),
        });
    }
    cores
}

/// Ticks are 10 ms: closer together, rounding would be a good part of the answer.
const APART: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn own_time_is_found_behind_any_name() {
        let rest = " R 8560 8560 7527 0 -1 4194304 100 0 0 0 120 34 5 6 20 0 1 0 97523 3133440";
        for name in ["cat", "a b c", "x) R 1 2 3 (y", "(((", ")", "", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"] {
            assert_eq!(own_ticks(&format!("8575 ({name}){rest}")), Some(154), "{name}");
        }
        assert_eq!(own_ticks("8575 (cat) R 8560 8560"), None);
        assert_eq!(own_ticks("8575 (cat) R 1 2 3 4 5 6 7 8 9 10 -4 5"), None);
    }

    #[test]
    fn lists_of_cores_are_read() {
        let list =
            |text: &str| allowed_cores(&format!("Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t{text}\nA:\t1"));
        assert_eq!(list("0-3,8,10-11"), Some(vec![(0, 3), (8, 8), (10, 11)]));
        assert_eq!(list("5"), Some(vec![(5, 5)]));
        assert_eq!(list(""), None);
        assert_eq!(list("a-b"), None);
        assert_eq!(allowed_cores("Name:\tx\n"), None);
    }

    #[test]
    fn cores_are_read_and_others_left_out() {
        let text = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 20 3 4000 50 6 7 8 90 10\ncpu1 1 1 1 1 1 1 1 1 1 1\n\
                    cpu2 5 0 5 100\ncpu3 bad 0 5 100\ncpu12 1 2 3 4 5\nintr 5 5 5\nctxt 7\n";
        let expected = [
            CoreTicks { core: 0, busy: 100 + 20 + 3 + 6 + 7 + 8, idle: 4050 },
            CoreTicks { core: 2, busy: 10, idle: 100 },
            CoreTicks { core: 12, busy: 6, idle: 9 },
        ];
        assert_eq!(core_ticks(text, &[(0, 0), (2, 3), (12, 12)]), expected);
        assert_eq!(core_ticks("", &[(0, 9)]), []);
    }

    fn sample(own: u64, cores: &[(u64, u64)]) -> Sample {
        let ticks = |(core, (busy, idle)): (u32, &(u64, u64))| CoreTicks { core, busy: *busy, idle: *idle };
        Sample { own, cores: (0..).zip(cores).map(ticks).collect() }
    }

    #[test]
    fn what_is_busy_and_not_ours_is_the_others() {
        let first = sample(1_000, &[(500, 900), (700, 300)]);
        // 25 ticks on each core: both busy, 30 of the 50 ticks ours.
        assert_eq!(sample(1_030, &[(525, 900), (725, 300)]).others_since(&first), Some(0.8));
        assert_eq!(sample(1_000, &[(500, 925), (700, 325)]).others_since(&first), Some(0.0));
        assert_eq!(sample(1_000, &[(525, 900), (700, 325)]).others_since(&first), Some(1.0));
        // Our ticks are ahead by one; idle time went back on one core.
        assert_eq!(sample(1_051, &[(525, 900), (725, 300)]).others_since(&first), Some(0.0));
        assert_eq!(sample(1_000, &[(525, 899), (725, 300)]).others_since(&first), Some(2.0));
        // No time went by; a core came.
        assert_eq!(first.others_since(&first), None);
        assert_eq!(sample(1_000, &[(525, 900)]).others_since(&first), None);
    }

    proptest! {
        #[test]
        fn no_text_ends_the_process(text in "(cpu[0-9]{0,3}[ 0-9a-z)(-]{0,60}\n|[ -~]{0,40}\n){0,6}") {
            let _ = (own_ticks(&text), allowed_cores(&text), core_ticks(&text, &[(0, u32::MAX)]));
        }

        #[test]
        fn the_answer_is_between_none_and_all_cores(
            ticks in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()), 1..5),
            own in any::<(u64, u64)>(),
        ) {
            let first = sample(own.0, &ticks.iter().map(|t| (t.0, t.1)).collect::<Vec<_>>());
            let second = sample(own.1, &ticks.iter().map(|t| (t.2, t.3)).collect::<Vec<_>>());
            if let Some(others) = second.others_since(&first) {
                prop_assert!((0.0..=ticks.len() as f64).contains(&others), "{}", others);
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_is_read() {
        let mut meter = LoadMeter::new();
        let start = Instant::now();
        assert_eq!(meter.read(start), None);
        let cores = meter.cores().unwrap();
        while start.elapsed() < Duration::from_millis(250) {
            std::thread::yield_now();
        }
        let then = Instant::now();
        let others = meter.read(then).unwrap();
        assert!((0.0..=f64::from(cores)).contains(&others), "{others} of {cores}");
        assert_eq!(meter.read(then + Duration::from_millis(100)), Some(others));
        // After a rest the last answer holds until there is something to tell of the time since.
        let later = then + Duration::from_secs(10);
        meter.restart(later);
        assert_eq!(meter.read(later + Duration::from_millis(100)), Some(others));
    }
}
