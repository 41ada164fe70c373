//! How much memory this process has taken, and how much of it and of time an input may take.

/// The most that was resident at any time, in KiB.
pub(crate) fn kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Works, and tells how far the peak rose over what was held before, in MiB.
pub(crate) fn growth<T>(work: impl FnOnce() -> T) -> (T, u64) {
    // 5 sets the peak to what is held now; where the system refuses, an older peak may hide a part.
    let _refused = std::fs::write("/proc/self/clear_refs", "5");
    let before = kib();
    let done = work();
    (done, kib().saturating_sub(before) / 1024)
}

/// What no hostile input may take, in MiB.
pub(crate) const LIMIT: u64 = 200;
/// How long hostile input may take: 2 s, and five times that on a machine that has other work to do.
pub(crate) const SOON: std::time::Duration = std::time::Duration::from_secs(2 * 5);
