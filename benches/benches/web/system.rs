//! What Linux tells of this process; `None` on other systems.

use std::fs;
use std::time::Duration;

/// CPU time of the threads whose names begin so; of those that have ended it is not known any more.
pub(crate) fn cpu(name: &str) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir("/proc/self/task").ok()? {
        let path = task.ok()?.path();
        if !fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.starts_with(name)) {
            continue;
        }
        // A thread may have ended meanwhile.
        let Ok(told) = fs::read_to_string(path.join("schedstat")) else { continue };
        sum += Duration::from_nanos(told.split_ascii_whitespace().next()?.parse().ok()?);
    }
    Some(sum)
}

/// Bytes of memory in use.
pub(crate) fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}
