//! Parameters of entries in files for rspamd's rbldnsd: `1.2.3.4 :2:text @
//! ts=1790000000;delay=60s;key=require`.

use super::stamp::seconds;
use crate::model::Time;

/// The known parameters.
const KEYS: [&str; 3] = ["ts", "delay", "key"];

/// The value of an entry without its parameters; `None` if the entry is not active for all clients:
/// its delay has not passed, or clients need a key. Parameters start with an `@` after a blank. If
/// none of the known keys follows, the `@` is part of the text.
///
/// # Errors
///
/// A parameter is unknown or malformed, so the entry must not be published.
pub(super) fn active_value(value: &str, now: Time) -> Result<Option<&str>, String> {
    let starts = |at: &usize| {
        value[..*at]
            .chars()
            .next_back()
            .is_none_or(char::is_whitespace)
    };
    let Some(at) = value.match_indices('@').map(|(at, _)| at).find(starts) else {
        return Ok(Some(value));
    };
    let pairs: Vec<(&str, &str)> = value[at + 1..]
        .split([';', ':'])
        .map(str::trim)
        .filter(|p| !p.is_empty())
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .collect();
    if !pairs.iter().any(|(k, _)| KEYS.contains(&k.trim())) {
        return Ok(Some(value));
    }
    let (mut since, mut delay, mut keyed) = (None, None, false);
    for (key, setting) in &pairs {
        let bad = || {
            format!(
                "unknown parameter `{key}={setting}` of rspamd's rbldnsd; remove it, or the entry"
            )
        };
        match (key.trim(), setting.trim()) {
            ("ts", t) => since = Some(t.parse::<u64>().map_err(|_| bad())?),
            ("delay", d) => delay = Some(seconds(d).map_err(|_| bad())?),
            ("key", "require") => keyed = true,
            ("key", "nodelay") => {}
            _ => return Err(bad()),
        }
    }
    let waits = since.zip(delay).is_some_and(|(t, d)| Time(t).plus(d) > now);
    Ok(Some(value[..at].trim_end()).filter(|_| !keyed && !waits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_not_part_of_the_text_and_unknown_ones_are_errors() {
        let read = |v| active_value(v, Time(1_000));
        assert_eq!(read(":2:why @ ts=900;delay=60s"), Ok(Some(":2:why")));
        assert_eq!(read(":2:why @ ts=990;delay=60"), Ok(None));
        assert_eq!(read("@ key=require"), Ok(None));
        assert_eq!(read("why @ ts=990;delay=1m;key=nodelay"), Ok(None));
        assert_eq!(
            read("why @ delay=5s"),
            Ok(Some("why")),
            "a delay without a time has no effect"
        );
        assert_eq!(
            read("write to abuse @ list.example"),
            Ok(Some("write to abuse @ list.example"))
        );
        assert_eq!(read("abuse@list.example"), Ok(Some("abuse@list.example")));
        for bad in [
            "@ ts=soon",
            "x @ delay=60parsecs",
            "x @ key=other",
            "x @ ts=1;mode=odd",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
