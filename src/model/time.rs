//! Times and durations in whole seconds, and their forms in text: a duration, a date or an RFC 3339
//! time. All command line options, configuration keys and API fields are parsed here.

use std::{fmt, marker::PhantomData, str::FromStr};

use jiff::{SignedDuration, Span, civil::DateTime, fmt::temporal::Pieces};

/// A point in time, in whole seconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub u64);

impl Time {
    /// This time plus `d`; saturates at the last second that can be represented.
    #[must_use]
    pub fn plus(self, d: Seconds) -> Time {
        Time(self.0.saturating_add(d.0))
    }
}

/// A time as date and time in UTC; `None` after the year 9999.
fn civil(time: Time) -> Option<DateTime> {
    let seconds = i64::try_from(time.0).ok()?;
    EPOCH.checked_add(SignedDuration::from_secs(seconds)).ok()
}

/// The seconds between 1970 and a date and time in UTC.
fn seconds_since_epoch(at: DateTime) -> i64 {
    EPOCH.duration_until(at).as_secs()
}

const EPOCH: DateTime = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);

impl fmt::Display for Time {
    /// RFC 3339 in UTC; the number of seconds after the year 9999.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match civil(*self) {
            Some(t) => write!(f, "{t}Z"),
            None => self.0.fmt(f),
        }
    }
}

impl FromStr for Time {
    type Err = String;
    /// A date (its first second in UTC) or an RFC 3339 time.
    fn from_str(s: &str) -> Result<Time, String> {
        let bad = |why: &str| {
            format!(
                "`{s}` is not a time{why}; write a date (2026-12-31) or an RFC 3339 time (2026-12-31T00:00:00Z)"
            )
        };
        let pieces = Pieces::parse(s.trim()).map_err(|_| bad(""))?;
        if pieces.time_zone_annotation().is_some() {
            return Err(bad(": a time zone in brackets is not supported"));
        }
        let offset = match (pieces.time(), pieces.to_numeric_offset()) {
            (Some(_), Some(offset)) => i64::from(offset.seconds()),
            (None, None) => 0,
            _ => return Err(bad(": it has no offset, such as Z for UTC or +01:00")),
        };
        let at = pieces.date().to_datetime(pieces.time().unwrap_or_default());
        let seconds = seconds_since_epoch(at) - offset;
        if seconds > seconds_since_epoch(DateTime::MAX) {
            return Err(format!("`{s}` is after the year 9999"));
        }
        u64::try_from(seconds)
            .map(Time)
            .map_err(|_| format!("`{s}` is before 1970"))
    }
}

/// Deserializes a [`Time`] from text in a configuration file.
pub fn text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
    from_text(
        from,
        "a date or time in quotes, such as \"2026-12-31\" or \"2026-12-31T00:00:00Z\"",
    )
}

/// Deserializes a value from text; `expected` describes it in the error about another type.
fn from_text<'de, T: FromStr<Err = String>, D: serde::Deserializer<'de>>(
    from: D,
    expected: &'static str,
) -> Result<T, D::Error> {
    struct Text<T>(&'static str, PhantomData<T>);
    impl<T: FromStr<Err = String>> serde::de::Visitor<'_> for Text<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }
    from.deserialize_str(Text(expected, PhantomData))
}

/// An optional [`Time`] in JSON: RFC 3339 in UTC. A number of seconds since 1970, as earlier versions
/// wrote it, is read too.
pub mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Time;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Seconds(u64),
        Text(String),
    }

    /// Writes the time as text.
    ///
    /// # Errors
    ///
    /// As the serializer.
    pub fn serialize<S: Serializer>(time: &Option<Time>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => to.collect_str(time),
            None => to.serialize_none(),
        }
    }

    /// Reads a text or a number.
    ///
    /// # Errors
    ///
    /// A text that is not a time.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Time>, D::Error> {
        match Option::<Either>::deserialize(from)? {
            None => Ok(None),
            Some(Either::Seconds(n)) => Ok(Some(Time(n))),
            Some(Either::Text(t)) => t.parse().map(Some).map_err(serde::de::Error::custom),
        }
    }
}

/// A span of time in seconds, written as `30s`, `5m`, `12h`, `90d`, `2w`, or joined (`1h30m`):
/// jiff's friendly format. A duration by itself starts at no date, so that a month (`mo`) has 30
/// days and a year (`y`) 365.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seconds(pub u64);

/// Parses a duration of zero or more whole seconds.
fn parse_span(s: &str) -> Option<Span> {
    let s = s.trim();
    // ISO 8601 (`P1D`) is case-sensitive here. Other durations are not: earlier versions accepted
    // `90D`.
    let lower = match s.starts_with(['P', 'p']) {
        true => s.to_string(),
        false => s.to_ascii_lowercase(),
    };
    let span: Span = lower.parse().ok()?;
    let fraction = (
        span.get_milliseconds(),
        span.get_microseconds(),
        span.get_nanoseconds(),
    );
    (!span.is_negative() && fraction == (0, 0, 0)).then_some(span)
}

/// Refuses the unit `M`, which can be read as minutes or as months. In ISO 8601 (`P1M`, `PT1M`) its
/// position decides.
fn check_unit(s: &str) -> Result<(), String> {
    let iso = s.trim_start().starts_with(['P', 'p']);
    let unit = s
        .split(|c: char| !c.is_alphabetic())
        .any(|word| word == "M");
    match unit && !iso && s.contains(|c: char| c.is_ascii_digit()) {
        true => Err(format!(
            "`{s}` may mean minutes or months; write {} or {}",
            s.replace('M', "m"),
            s.replace('M', "mo")
        )),
        false => Ok(()),
    }
}

impl FromStr for Seconds {
    type Err = String;
    fn from_str(s: &str) -> Result<Seconds, String> {
        check_unit(s)?;
        let bad = || format!("`{s}` is not a duration; write it as 30s, 5m, 12h, 90d, 2w or 1y");
        let span = parse_span(s).ok_or_else(bad)?;
        let parts = [
            (i64::from(span.get_years()), 365 * 86_400),
            (i64::from(span.get_months()), 30 * 86_400),
            (i64::from(span.get_weeks()), 7 * 86_400),
            (i64::from(span.get_days()), 86_400),
            (i64::from(span.get_hours()), 3600),
            (span.get_minutes(), 60),
            (span.get_seconds(), 1),
        ];
        let total = parts.iter().try_fold(0i64, |sum, (n, unit)| {
            sum.checked_add(n.checked_mul(*unit)?)
        });
        total
            .and_then(|t| u64::try_from(t).ok())
            .map(Seconds)
            .ok_or_else(bad)
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
        from_text(d, "a duration in quotes, such as \"90d\" or \"5m\"")
    }
}

impl serde::Serialize for Seconds {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Parses an end, such as `--until`: a duration from `now` by the calendar in UTC (`1y` ends on the
/// same day of the next year), a date (its first second in UTC), or an RFC 3339 time.
///
/// # Errors
///
/// The text has none of these forms, or the time is before 1970 or after the year 9999.
pub fn parse_end(s: &str, now: Time) -> Result<Time, String> {
    check_unit(s)?;
    match parse_span(s) {
        Some(span) => {
            let end = civil(now).and_then(|now| now.checked_add(span).ok());
            let end = end.ok_or_else(|| {
                format!("`{s}` from now is after the year 9999; leave it out for no end")
            })?;
            u64::try_from(seconds_since_epoch(end))
                .map(Time)
                .map_err(|_| format!("`{s}` is before 1970"))
        }
        None => point(s),
    }
}

/// Whether a text is a duration, which [`parse_end`] reads as a time relative to now.
pub fn is_relative(s: &str) -> bool {
    parse_span(s).is_some()
}

/// Parses a start, such as `--since`: a duration before `now` by the calendar in UTC, a date, or an
/// RFC 3339 time.
///
/// # Errors
///
/// As [`parse_end`].
pub fn parse_start(s: &str, now: Time) -> Result<Time, String> {
    check_unit(s)?;
    match parse_span(s) {
        Some(span) => {
            let start = civil(now).and_then(|now| now.checked_sub(span).ok());
            let seconds = start.and_then(|s| u64::try_from(seconds_since_epoch(s)).ok());
            seconds
                .map(Time)
                .ok_or_else(|| format!("`{s}` ago is before 1970"))
        }
        None => point(s),
    }
}

/// Parses a date or time; the error also names durations, which the callers accept.
fn point(s: &str) -> Result<Time, String> {
    s.parse()
        .map_err(|e: String| match e.split_once("; write a date") {
            Some((what, forms)) => {
                format!("{what}; write a duration (90d, 12h, 1y), a date{forms}")
            }
            None => e,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_and_printed() {
        for (text, seconds, shown) in [
            ("90d", 7_776_000, "90d"),
            ("5m", 300, "5m"),
            ("1h30m", 5400, "90m"),
            ("30s", 30, "30s"),
            ("0s", 0, "0s"),
            ("90D", 7_776_000, "90d"),
            ("2w", 1_209_600, "14d"),
            ("1w2d", 777_600, "9d"),
            ("1y", 31_536_000, "365d"),
            ("1mo", 2_592_000, "30d"),
            ("2 weeks", 1_209_600, "14d"),
            ("1h 30m", 5400, "90m"),
            ("P1DT12H", 129_600, "36h"),
        ] {
            assert_eq!(text.parse::<Seconds>().unwrap().0, seconds, "{text}");
            assert_eq!(Seconds(seconds).to_string(), shown);
            assert_eq!(shown.parse::<Seconds>().unwrap().0, seconds);
        }
        for bad in [
            "",
            "90",
            "d",
            "-5m",
            "5m ago",
            "99999999999999999999d",
            "1.5s",
            "20ms",
            "1 potato",
            "2026-12-31",
            "5m;",
            "1d1d",
        ] {
            let e = bad.parse::<Seconds>().unwrap_err();
            assert!(
                e.contains(&format!("`{bad}` is not a duration; write it as 30s, 5m")),
                "{e}"
            );
        }
    }

    #[test]
    fn ambiguous_unit_m_is_refused() {
        let wrong = "`5M` may mean minutes or months; write 5m or 5mo";
        assert_eq!("5M".parse::<Seconds>().unwrap_err(), wrong);
        assert_eq!(parse_end("5M", Time(0)).unwrap_err(), wrong);
        assert_eq!(parse_start("5M", Time(10_000_000)).unwrap_err(), wrong);
        for text in ["1h5M", "5 M", "1M"] {
            assert!(
                text.parse::<Seconds>()
                    .unwrap_err()
                    .contains("minutes or months"),
                "{text}"
            );
        }
        for (text, seconds) in [
            ("PT5M", 300),
            ("P1M", 2_592_000),
            ("5MIN", 300),
            ("1MO", 2_592_000),
            ("5m", 300),
        ] {
            assert_eq!(text.parse::<Seconds>().unwrap().0, seconds, "{text}");
        }
    }

    #[test]
    fn end_is_a_duration_a_date_or_an_rfc_3339_time() {
        let now: Time = "2027-11-30T10:00:00Z".parse().unwrap();
        for (text, end) in [
            ("1d", "2027-12-01T10:00:00Z"),
            ("1y", "2028-11-30T10:00:00Z"),
            ("3mo", "2028-02-29T10:00:00Z"),
            ("2026-12-31", "2026-12-31T00:00:00Z"),
            ("2026-12-31T12:00:00Z", "2026-12-31T12:00:00Z"),
            ("2026-12-31T12:00:00+01:00", "2026-12-31T11:00:00Z"),
            ("2026-12-31 12:00:00Z", "2026-12-31T12:00:00Z"),
            ("9999-12-31", "9999-12-31T00:00:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            ("9999-12-31T23:59:59+00:00", "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(
                parse_end(text, now).map(|t| t.to_string()),
                Ok(end.into()),
                "{text}"
            );
        }
        for (text, part) in [
            (
                "soon",
                "`soon` is not a time; write a duration (90d, 12h, 1y), a date (2026-12-31) or an RFC 3339 time",
            ),
            ("", "is not a time"),
            ("2026-13-01", "is not a time"),
            ("2026-12-31T12:00:00", "no offset, such as Z"),
            (
                "2026-12-31T12:00:00Z[Europe/Berlin]",
                "time zone in brackets",
            ),
            ("9999-12-31T23:59:59-01:00", "after the year 9999"),
            ("10000-01-01T00:00:00Z", "is not a time"),
            ("9000y", "`9000y` from now is after the year 9999"),
            ("1969-12-31", "before 1970"),
            ("-1d", "is not a time"),
        ] {
            let e = parse_end(text, now).unwrap_err();
            assert!(e.contains(part) && !e.contains("neither"), "{text}: {e}");
        }
    }

    #[test]
    fn start_is_a_duration_before_now_or_a_date() {
        let now: Time = "2028-02-29T10:00:00Z".parse().unwrap();
        for (text, start) in [
            ("1y", "2027-02-28T10:00:00Z"),
            ("7d", "2028-02-22T10:00:00Z"),
            ("2028-01-01", "2028-01-01T00:00:00Z"),
        ] {
            assert_eq!(
                parse_start(text, now).map(|t| t.to_string()),
                Ok(start.into()),
                "{text}"
            );
        }
        assert!(
            parse_start("100y", now)
                .unwrap_err()
                .contains("before 1970")
        );
        assert!(
            parse_start("lately", now)
                .unwrap_err()
                .contains("a duration (90d")
        );
    }

    #[test]
    fn time_after_the_year_9999_prints_as_a_number() {
        assert_eq!(Time(86_400).to_string(), "1970-01-02T00:00:00Z");
        assert_eq!(Time(253_402_300_799).to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(Time(253_402_300_800).to_string(), "253402300800");
        assert_eq!(Time(u64::MAX).to_string(), u64::MAX.to_string());
    }
}
