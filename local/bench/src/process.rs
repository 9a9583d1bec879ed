//! What the kernel counted of another process. Linux only: elsewhere there is nothing to read.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// A running process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// The time it spent on a processor so far, in user and kernel mode, by all threads that are still there.
    ///
    /// From `schedstat`, in nanoseconds; `stat` counts in hundredths of a second
    /// (<https://docs.kernel.org/scheduler/sched-stats.html>).
    pub(crate) fn cpu(self) -> Option<Duration> {
        let tasks = fs::read_dir(self.path("task")).ok()?;
        let nanoseconds = tasks
            .map(|task| {
                let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
                text.split_whitespace().next()?.parse::<u64>().ok()
            })
            .sum::<Option<u64>>()?;
        Some(Duration::from_nanos(nanoseconds))
    }

    /// The bytes it has in memory, mapped files included. From `smaps_rollup`, which counts pages now; the sums in
    /// `status` lag behind by some hundred kilobytes.
    pub(crate) fn resident_bytes(self) -> Option<u64> {
        self.bytes("smaps_rollup", "Rss:")
    }

    /// The most that it ever had in memory. From `status`, which is the only place to tell.
    pub(crate) fn peak_bytes(self) -> Option<u64> {
        self.bytes("status", "VmHWM:")
    }

    fn bytes(self, file: &str, name: &str) -> Option<u64> {
        let text = fs::read_to_string(self.path(file)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024)
    }

    fn path(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }
}

/// A thread of this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Thread(u32);

impl Thread {
    /// The one that asks.
    pub(crate) fn current() -> Option<Self> {
        let link = fs::read_link("/proc/thread-self").ok()?;
        Some(Self(link.file_name()?.to_str()?.parse().ok()?))
    }

    /// The time it spent on a processor so far, as of a [`Process`].
    pub(crate) fn cpu(self) -> Option<Duration> {
        let text = fs::read_to_string(format!("/proc/self/task/{}/schedstat", self.0)).ok()?;
        let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
        Some(Duration::from_nanos(nanoseconds))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn work_and_memory_of_a_process_are_seen() {
        let process = Process(std::process::id());
        let (cpu, resident) = (process.cpu().unwrap(), process.resident_bytes().unwrap());
        let block = vec![1_u8; 32 * 1024 * 1024];
        assert!(process.resident_bytes().unwrap() > resident + 31 * 1024 * 1024);
        assert_eq!(
            block.iter().map(|byte| u64::from(*byte)).sum::<u64>(),
            33_554_432
        );
        assert!(process.cpu().unwrap() > cpu);
        // Memory that is given back does not lower the peak.
        drop(block);
        assert!(process.peak_bytes().unwrap() > resident + 31 * 1024 * 1024);
    }

    #[test]
    fn of_a_process_that_is_not_there_nothing_is_known() {
        let nobody = Process(u32::MAX);
        assert_eq!(
            (nobody.cpu(), nobody.resident_bytes(), nobody.peak_bytes()),
            (None, None, None)
        );
    }
}
