//! Dates, times and numbers as each language writes them. All times are UTC.

use jiff::{SignedDuration, civil::DateTime};

use crate::{
    model::Time,
    texts::{FluentValue, Language, text},
};

const EPOCH: DateTime = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
const MONTHS_EN: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const MONTHS_DE: [&str; 12] = [
    "Jan.", "Feb.", "März", "Apr.", "Mai", "Juni", "Juli", "Aug.", "Sep.", "Okt.", "Nov.", "Dez.",
];

fn civil(time: Time) -> DateTime {
    let seconds = i64::try_from(time.0).unwrap_or(i64::MAX);
    EPOCH
        .checked_add(SignedDuration::from_secs(seconds))
        .unwrap_or(DateTime::MAX)
}

/// A day: with its year unless it is the current one.
pub(super) fn day(language: Language, time: Time, now: Time) -> String {
    let (at, now) = (civil(time), civil(now));
    let month = usize::try_from(at.month() - 1).unwrap_or_default();
    let (year, day) = (at.year(), at.day());
    let same_year = year == now.year();
    match language {
        Language::En if same_year => format!("{day} {}", MONTHS_EN[month]),
        Language::En => format!("{day} {} {year}", MONTHS_EN[month]),
        Language::De if same_year => format!("{day}. {}", MONTHS_DE[month]),
        Language::De => format!("{day}. {} {year}", MONTHS_DE[month]),
        Language::Ja if same_year => format!("{}月{day}日", at.month()),
        Language::Ja => format!("{year}年{}月{day}日", at.month()),
    }
}

/// A day and a time to the minute: "28 Nov, 03:12 UTC".
pub(super) fn minute(language: Language, time: Time, now: Time) -> String {
    let (day, at) = (day(language, time, now), civil(time));
    let (hour, minute) = (at.hour(), at.minute());
    match language {
        Language::En => format!("{day}, {hour:02}:{minute:02} UTC"),
        Language::De => format!("{day}, {hour:02}:{minute:02} Uhr UTC"),
        Language::Ja => format!("{day} {hour:02}:{minute:02} (UTC)"),
    }
}

/// A time of day to the second: "03:12:09 UTC".
pub(super) fn second(language: Language, time: Time) -> String {
    let at = civil(time);
    let clock = format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second());
    match language {
        Language::En | Language::De => format!("{clock} UTC"),
        Language::Ja => format!("{clock} (UTC)"),
    }
}

/// The unit that describes a duration, and how many of it.
fn unit(seconds: u64) -> (&'static str, u64) {
    match seconds {
        0..60 => ("second", seconds),
        60..3600 => ("minute", seconds / 60),
        3600..172_800 => ("hour", seconds / 3600),
        172_800..5_184_000 => ("day", seconds / 86_400),
        5_184_000..63_072_000 => ("month", seconds / 2_629_800),
        _ => ("year", seconds / 31_557_600),
    }
}

/// How long ago a time was, or how long it is until then: "3 hours ago", "in 2 days".
pub(super) fn age(language: Language, time: Time, now: Time) -> String {
    let (key, seconds) = match time.0 > now.0 {
        true => ("time-in", time.0 - now.0),
        false => ("time-ago", now.0 - time.0),
    };
    let (unit, count) = unit(seconds);
    match (key, unit) {
        ("time-ago", "second") => text(language, "time-just-now", &[]),
        ("time-in", "second") => text(language, "time-in-a-moment", &[]),
        _ => amount(language, key, unit, count),
    }
}

/// A duration in words: "5 minutes".
pub(super) fn duration(language: Language, seconds: u64) -> String {
    let (unit, count) = unit(seconds);
    amount(language, "time-for", unit, count)
}

fn amount(language: Language, key: &str, unit: &'static str, count: u64) -> String {
    let args = [("unit", FluentValue::from(unit)), ("count", count.into())];
    text(language, key, &args)
}

/// A whole number with separators between groups of three digits.
pub(super) fn number(language: Language, n: u64) -> String {
    let digits = n.to_string();
    let separator = match language {
        Language::En | Language::Ja => ',',
        Language::De => '.',
    };
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(separator);
        }
        out.push(digit);
    }
    out
}

/// A decimal number as a language writes it. `n` is written with a point.
pub(super) fn decimal(language: Language, n: &str) -> String {
    match language {
        Language::En | Language::Ja => n.into(),
        Language::De => n.replace('.', ","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_796_012_345); // 2026-11-30T04:19:05Z

    #[test]
    fn times_are_written_as_each_language_does() {
        let at: Time = "2026-11-28T03:12:09Z".parse().unwrap();
        let old: Time = "2024-03-01T23:05:00Z".parse().unwrap();
        for (language, expected, expected_old) in [
            (Language::En, "28 Nov, 03:12 UTC", "1 Mar 2024, 23:05 UTC"),
            (
                Language::De,
                "28. Nov., 03:12 Uhr UTC",
                "1. März 2024, 23:05 Uhr UTC",
            ),
            (
                Language::Ja,
                "11月28日 03:12 (UTC)",
                "2024年3月1日 23:05 (UTC)",
            ),
        ] {
            assert_eq!(minute(language, at, NOW), expected);
            assert_eq!(minute(language, old, NOW), expected_old);
        }
        assert_eq!(second(Language::En, at), "03:12:09 UTC");
        assert_eq!(minute(Language::En, Time(u64::MAX), NOW).len(), 22);
    }

    #[test]
    fn ages_are_written_in_the_largest_unit_that_fits() {
        let ago = |language, seconds| age(language, Time(NOW.0 - seconds), NOW);
        for (seconds, expected) in [
            (5, "just now"),
            (60, "1 minute ago"),
            (3 * 3600 + 59, "3 hours ago"),
            (47 * 3600, "47 hours ago"),
            (2 * 86_400, "2 days ago"),
            (70 * 86_400, "2 months ago"),
            (900 * 86_400, "2 years ago"),
        ] {
            assert_eq!(ago(Language::En, seconds), expected);
        }
        assert_eq!(age(Language::En, Time(NOW.0 + 300), NOW), "in 5 minutes");
        assert_eq!(ago(Language::De, 7200), "vor 2 Stunden");
        assert_eq!(ago(Language::De, 2 * 86_400), "vor 2 Tagen");
        assert_eq!(ago(Language::Ja, 7200), "2時間前");
        assert_eq!(duration(Language::En, 300), "5 minutes");
    }

    #[test]
    fn large_numbers_have_separators() {
        assert_eq!(number(Language::En, 1_234_567), "1,234,567");
        assert_eq!(number(Language::De, 12_345), "12.345");
        assert_eq!(number(Language::Ja, 999), "999");
        assert_eq!(decimal(Language::En, "99.4"), "99.4");
        assert_eq!(decimal(Language::De, "99.4"), "99,4");
    }
}
