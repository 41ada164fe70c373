//! What this process takes, as proc(5) tells it, under the names that Prometheus' client libraries give it.

use std::fs;
use std::sync::OnceLock;

use super::text::{Kind, Text, Value};

/// What cannot be read is left out.
pub(super) fn write(text: &mut Text) {
    let stat = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| Stat::parse(&stat));
    let resident = fs::read_to_string("/proc/self/status").ok().and_then(|status| resident_bytes(&status));
    let seconds = |ticks: u64| ticks as f64 / TICKS_PER_SECOND;
    let start = stat.as_ref().zip(boot_time()).map(|(stat, boot)| boot as f64 + seconds(stat.started_ticks));
    let rows: [(&str, Kind, &str, Option<Value>); 7] = [
        (
            "process_cpu_seconds_total",
            Kind::Counter,
            "Time on processors, of user and system.",
            stat.as_ref().map(|stat| seconds(stat.cpu_ticks).into()),
        ),
        ("process_resident_memory_bytes", Kind::Gauge, "Memory in use.", resident.map(Value::from)),
        (
            "process_virtual_memory_bytes",
            Kind::Gauge,
            "Memory mapped.",
            stat.as_ref().map(|stat| stat.virtual_bytes.into()),
        ),
        ("process_threads", Kind::Gauge, "Threads.", stat.as_ref().map(|stat| stat.threads.into())),
        ("process_open_fds", Kind::Gauge, "Open file descriptors.", open_files().map(Value::from)),
        ("process_max_fds", Kind::Gauge, "File descriptors at most.", max_files().map(Value::from)),
        ("process_start_time_seconds", Kind::Gauge, "Start, in seconds since 1970.", start.map(Value::from)),
    ];
    for (name, kind, help, value) in rows {
        if let Some(value) = value {
            text.family(name, kind, help);
            text.sample(name, &[], value);
        }
    }
}

/// Of /proc/self/stat.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    started_ticks: u64,
    virtual_bytes: u64,
}

impl Stat {
    /// The second field is the program's name in parentheses, which may have anything in it.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // The numbers of proc(5) begin at 1; `rest` begins with the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)?.checked_add(field(15)?)?,
            threads: field(20)?,
            started_ticks: field(22)?,
            virtual_bytes: field(23)?,
        })
    }
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

fn open_files() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    // Since Linux 6.2 the folder's length is the number; before it is 0.
    match fs::metadata(FOLDER).ok()?.len() {
        0 => fs::read_dir(FOLDER).ok().map(|entries| entries.count() as u64),
        known => Some(known),
    }
}

fn max_files() -> Option<u64> {
    static MAX: OnceLock<Option<u64>> = OnceLock::new();
    *MAX.get_or_init(|| {
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    })
}

/// In seconds since 1970. Read once: the file lists every interrupt.
fn boot_time() -> Option<u64> {
    static BOOT: OnceLock<Option<u64>> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
    })
}

/// `USER_HZ`: what Linux counts in towards programs, whatever it counts in itself.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_does_not_confuse() {
        let line = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 140 15 0 0 20 0 37 0 5000 1048576 99 18446744073709551615";
        let expected = Stat { cpu_ticks: 155, threads: 37, started_ticks: 5_000, virtual_bytes: 1 << 20 };
        assert_eq!(Stat::parse(line), Some(expected));
        assert_eq!(Stat::parse("42 (a) S 1 2"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn this_process_is_told_as_it_is() {
        let stat = Stat::parse(&fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
        let resident = resident_bytes(&fs::read_to_string("/proc/self/status").unwrap()).unwrap();
        assert!(resident > 100 << 10 && resident <= stat.virtual_bytes, "{resident} of {}", stat.virtual_bytes);
        assert!(stat.threads >= 1);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let start = boot_time().unwrap() as f64 + stat.started_ticks as f64 / TICKS_PER_SECOND;
        assert!((now - 3_600.0..now + 2.0).contains(&start), "started at {start}, now it is {now}");
        let before = open_files().unwrap();
        // Other tests open and close files at the same time.
        let many: Vec<_> = (0..200).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
        let after = open_files().unwrap();
        assert!(after > before + 100, "{before}, then {after} with {} more", many.len());
        assert!(max_files().is_none_or(|most| most >= after));
    }
}
