//! Time: whole seconds since 1970 UTC, and the two ways people write it: a duration or an RFC 3339 time.

use std::{fmt, str::FromStr};

/// A point in time, in whole seconds since 1970-01-01T00:00:00Z. Nobody here reads a clock; it is handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Time(pub u64);

impl Time {
    /// This time and `d` seconds; stays at the last representable second.
    #[must_use]
    pub fn plus(self, d: Seconds) -> Time {
        Time(self.0.saturating_add(d.0))
    }
}

impl fmt::Display for Time {
    /// RFC 3339 in UTC, or the plain number where the calendar ends.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.0).ok().and_then(|s| jiff::Timestamp::from_second(s).ok()) {
            Some(t) => t.fmt(f),
            None => self.0.fmt(f),
        }
    }
}

impl FromStr for Time {
    type Err = String;
    fn from_str(s: &str) -> Result<Time, String> {
        let t: jiff::Timestamp = s.parse().map_err(|_| format!("`{s}` is not a time; write it as 2026-12-31T00:00:00Z"))?;
        u64::try_from(t.as_second()).map(Time).map_err(|_| format!("`{s}` lies before 1970"))
    }
}

/// A span of time in seconds, written `30s`, `5m`, `12h`, `90d`, `2w`, or joined (`1h30m`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seconds(pub u64);

impl FromStr for Seconds {
    type Err = String;
    fn from_str(s: &str) -> Result<Seconds, String> {
        let bad = || format!("`{s}` is not a duration; write it as 30s, 5m, 12h, 90d or 2w");
        let (mut total, mut n, mut digits) = (0u64, 0u64, false);
        for c in s.trim().chars() {
            if let Some(d) = c.to_digit(10) {
                n = n.checked_mul(10).and_then(|n| n.checked_add(u64::from(d))).ok_or_else(bad)?;
                digits = true;
                continue;
            }
            let unit = match c.to_ascii_lowercase() {
                's' => 1,
                'm' => 60,
                'h' => 3600,
                'd' => 86_400,
                'w' => 604_800,
                _ => return Err(bad()),
            };
            if !digits {
                return Err(bad());
            }
            total = n.checked_mul(unit).and_then(|n| total.checked_add(n)).ok_or_else(bad)?;
            (n, digits) = (0, false);
        }
        if digits || s.trim().is_empty() { Err(bad()) } else { Ok(Seconds(total)) }
    }
}

impl fmt::Display for Seconds {
    /// The largest unit that divides it: `90d`, `5m`, `30s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, name) in [(86_400, 'd'), (3600, 'h'), (60, 'm')] {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        write!(f, "{}s", self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Seconds {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Seconds, D::Error> {
        let s = String::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Seconds {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// `--until` and its like: a duration from `now`, or an RFC 3339 time.
pub fn until(s: &str, now: Time) -> Result<Time, String> {
    let end = any_until(s, now)?;
    if end > LAST { Err(format!("`{s}` lies behind the year 9999; leave it out for no end")) } else { Ok(end) }
}

/// The last second that RFC 3339 can write.
const LAST: Time = Time(253_402_300_799);

fn any_until(s: &str, now: Time) -> Result<Time, String> {
    match (s.parse::<Seconds>(), s.parse::<Time>()) {
        (Ok(d), _) => Ok(now.plus(d)),
        (_, Ok(t)) => Ok(t),
        _ => Err(format!("`{s}` is neither a duration (90d, 12h) nor a time (2026-12-31T00:00:00Z)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        for (text, secs, shown) in [("90d", 7_776_000, "90d"), ("5m", 300, "5m"), ("1h30m", 5400, "90m"), ("30s", 30, "30s")] {
            assert_eq!(text.parse::<Seconds>().unwrap().0, secs);
            assert_eq!(Seconds(secs).to_string(), shown);
        }
        for bad in ["", "90", "d", "5 m", "1y", "-5m", "99999999999999999999d"] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad}");
        }
    }

    #[test]
    fn until_takes_both_forms() {
        assert_eq!(until("1d", Time(100)), Ok(Time(86_500)));
        assert_eq!(until("1970-01-02T00:00:00Z", Time(100)), Ok(Time(86_400)));
        assert!(until("soon", Time(0)).unwrap_err().contains("soon"));
        assert_eq!(Time(86_400).to_string(), "1970-01-02T00:00:00Z");
    }
}
