//! The time since the machine started, by which values end that are only in memory.

use super::time::Seconds;

/// Milliseconds since the machine started, suspend included. No adoption of a wall clock changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uptime(pub u64);

impl Uptime {
    /// Later than every end.
    pub const MAX: Uptime = Uptime(u64::MAX);

    /// This time plus a duration.
    #[must_use]
    pub fn plus(self, duration: Seconds) -> Uptime {
        Uptime(self.0.saturating_add(duration.0.saturating_mul(1000)))
    }

    /// The whole seconds from this time until an end; 0 if it has passed.
    pub fn seconds_until(self, end: Uptime) -> u64 {
        end.0.saturating_sub(self.0) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_until_an_end_are_whole_and_never_too_many() {
        let end = Uptime(1500).plus(Seconds(2));
        assert_eq!(end, Uptime(3500));
        for (now, left) in [
            (0, 3),
            (1500, 2),
            (1501, 1),
            (3499, 0),
            (3500, 0),
            (9000, 0),
        ] {
            assert_eq!(Uptime(now).seconds_until(end), left, "{now}");
        }
        assert_eq!(Uptime(5).plus(Seconds(u64::MAX)), Uptime::MAX);
    }
}
