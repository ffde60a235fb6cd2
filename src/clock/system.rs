//! The clocks of this machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use super::TimeSource;
use crate::model::{Time, Uptime};

/// The kernel's boot id.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

fn wall_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_millis() as i64,
        Err(before) => -(before.duration().as_millis() as i64),
    }
}

/// The wall clock. Use it only for times that another machine compares with its own clock (TSIG,
/// signatures of webhooks, mail), never for listings and their ends.
pub fn wall() -> Time {
    super::time(wall_ms())
}

/// Milliseconds since the machine started, suspend included.
fn boottime_ms() -> i64 {
    // Linux has CLOCK_BOOTTIME since 2.6.39. CLOCK_MONOTONIC is the same without suspend.
    let read =
        clock_gettime(ClockId::CLOCK_BOOTTIME).or_else(|_| clock_gettime(ClockId::CLOCK_MONOTONIC));
    read.map_or(0, |t| t.tv_sec() * 1000 + t.tv_nsec() / 1_000_000)
}

/// The time since the machine started, from which trusted time is computed. Values that are only in
/// memory end by it, because no adoption of a wall clock moves it.
pub fn uptime() -> Uptime {
    Uptime(boottime_ms().max(0) as u64)
}

/// The CPU time that the calling thread has used, which does not count the time in which other
/// threads had its core.
pub fn thread_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// The clocks of this machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemTimeSource {
    /// Asks the kernel whether the wall clock is synchronised.
    pub synchronised: fn() -> bool,
}

impl Default for SystemTimeSource {
    /// The clocks of this machine, without knowledge of whether the wall clock is synchronised.
    fn default() -> SystemTimeSource {
        SystemTimeSource {
            synchronised: || false,
        }
    }
}

impl TimeSource for SystemTimeSource {
    fn wall_ms(&self) -> i64 {
        wall_ms()
    }

    fn boottime_ms(&self) -> i64 {
        boottime_ms()
    }

    fn boot_id(&self) -> Option<String> {
        let id = std::fs::read_to_string(BOOT_ID).ok()?;
        Some(id.trim().to_string()).filter(|id| !id.is_empty() && !id.contains(char::is_whitespace))
    }

    fn is_synchronised(&self) -> bool {
        (self.synchronised)()
    }
}
