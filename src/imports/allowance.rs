//! The number of lines with errors that a list may have.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// The share of entries that may be errors by default, in percent.
const DEFAULT_PERCENT: u64 = 5;
/// The number of errors that are always allowed by default, however short the list is.
const DEFAULT_LINES: u64 = 3;

/// The number of lines with errors that a list may have. An entry that a rule leaves out, such as a
/// special-purpose range, is not an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ErrorAllowance {
    /// None.
    #[default]
    None,
    /// 5 % of the lines that have entries, and at least 3 lines.
    Default,
    /// This many lines.
    Lines(u64),
    /// This share of the lines that have entries, in percent.
    Percent(u8),
}

impl ErrorAllowance {
    /// The number of allowed errors in a list with this many entries and errors together.
    pub fn allowed(self, entries: u64) -> u64 {
        let part = |percent: u64| (u128::from(entries) * u128::from(percent) / 100) as u64;
        match self {
            ErrorAllowance::None => 0,
            ErrorAllowance::Default => part(DEFAULT_PERCENT).max(DEFAULT_LINES),
            ErrorAllowance::Lines(n) => n,
            ErrorAllowance::Percent(p) => part(p.into()),
        }
    }
}

impl fmt::Display for ErrorAllowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorAllowance::None => f.write_str("false"),
            ErrorAllowance::Default => f.write_str("true"),
            ErrorAllowance::Lines(n) => write!(f, "{n}"),
            ErrorAllowance::Percent(p) => write!(f, "{p}%"),
        }
    }
}

impl FromStr for ErrorAllowance {
    type Err = String;
    fn from_str(text: &str) -> Result<ErrorAllowance, String> {
        let allowance = match (text, text.strip_suffix('%').map(str::parse)) {
            ("false", _) => Some(ErrorAllowance::None),
            ("true", _) => Some(ErrorAllowance::Default),
            (_, Some(percent)) => percent
                .ok()
                .filter(|p| *p <= 100)
                .map(ErrorAllowance::Percent),
            (lines, None) => lines.parse().ok().map(ErrorAllowance::Lines),
        };
        allowance.ok_or_else(|| {
            format!(
                "`{text}` is not valid; write true, false, a number of lines, or a share such as 2%"
            )
        })
    }
}

/// Deserializes a boolean, a number, or a text as [`FromStr`] reads it.
impl<'de> Deserialize<'de> for ErrorAllowance {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<ErrorAllowance, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ErrorAllowance;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("true, false, a number of lines, or a share such as \"2%\"")
            }
            fn visit_bool<E>(self, skip: bool) -> Result<ErrorAllowance, E> {
                Ok(if skip {
                    ErrorAllowance::Default
                } else {
                    ErrorAllowance::None
                })
            }
            fn visit_u64<E>(self, lines: u64) -> Result<ErrorAllowance, E> {
                Ok(ErrorAllowance::Lines(lines))
            }
            fn visit_i64<E: de::Error>(self, lines: i64) -> Result<ErrorAllowance, E> {
                u64::try_from(lines)
                    .map(ErrorAllowance::Lines)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(lines), &self))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ErrorAllowance, E> {
                text.parse().map_err(E::custom)
            }
        }
        d.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowance_is_parsed_and_printed_alike() {
        for (text, is) in [
            ("true", ErrorAllowance::Default),
            ("false", ErrorAllowance::None),
            ("0", ErrorAllowance::Lines(0)),
            ("12", ErrorAllowance::Lines(12)),
            ("2%", ErrorAllowance::Percent(2)),
            ("100%", ErrorAllowance::Percent(100)),
        ] {
            assert_eq!(text.parse(), Ok(is));
            assert_eq!(is.to_string(), text);
        }
        for bad in ["", "yes", "-1", "101%", "%", "2.5%", "1e3"] {
            assert!(
                bad.parse::<ErrorAllowance>()
                    .unwrap_err()
                    .contains("number of lines"),
                "{bad}"
            );
        }
    }

    #[test]
    fn default_allowance_is_5_percent_and_at_least_3_lines() {
        for (allowance, entries, allowed) in [
            (ErrorAllowance::None, 1000, 0),
            (ErrorAllowance::Default, 4, 3),
            (ErrorAllowance::Default, 79, 3),
            (ErrorAllowance::Default, 80, 4),
            (ErrorAllowance::Default, 1000, 50),
            (ErrorAllowance::Lines(7), 4, 7),
            (ErrorAllowance::Percent(10), 19, 1),
            (ErrorAllowance::Percent(100), u64::MAX, u64::MAX),
        ] {
            assert_eq!(
                allowance.allowed(entries),
                allowed,
                "{allowance} of {entries}"
            );
        }
    }

    #[test]
    fn allowance_in_a_file_is_a_boolean_a_number_or_a_text() {
        #[derive(Deserialize)]
        struct Row {
            skip_errors: ErrorAllowance,
        }
        let read = |text: &str| {
            serde_json::from_str::<Row>(&format!("{{\"skip_errors\": {text}}}"))
                .map(|r| r.skip_errors)
        };
        assert_eq!(read("true").unwrap(), ErrorAllowance::Default);
        assert_eq!(read("20").unwrap(), ErrorAllowance::Lines(20));
        assert_eq!(read("\"1%\"").unwrap(), ErrorAllowance::Percent(1));
        assert!(read("-1").is_err() && read("\"some\"").is_err() && read("[]").is_err());
    }
}
