//! Parameters of entries in files for rspamd's rbldnsd: `1.2.3.4 :2:text @
//! ts=1790000000;delay=60s;key=require`.

use crate::model::{Time, time::Seconds};

/// Whether an entry is active by its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Active {
    /// It is active for all clients.
    Yes,
    /// Its delay has not passed, or it is only active for clients with a key.
    No,
}

/// The known parameters.
const KEYS: [&str; 3] = ["ts", "delay", "key"];

/// Splits the value of an entry from its parameters, and returns whether the entry is active.
/// Parameters start with an `@` after a blank. If none of the known keys follows, the `@` is part
/// of the text.
///
/// # Errors
///
/// A parameter is unknown or malformed, so the entry must not be published.
pub(super) fn split(value: &str, now: Time) -> Result<(&str, Active), String> {
    if !value.contains('@') {
        return Ok((value, Active::Yes));
    }
    let at = value.char_indices().find(|(i, c)| {
        *c == '@'
            && value[..*i]
                .chars()
                .next_back()
                .is_none_or(char::is_whitespace)
    });
    let Some((at, _)) = at else {
        return Ok((value, Active::Yes));
    };
    let pairs: Vec<(&str, &str)> = value[at + 1..]
        .split([';', ':'])
        .map(str::trim)
        .filter(|p| !p.is_empty())
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .collect();
    if !pairs.iter().any(|(k, _)| KEYS.contains(&k.trim())) {
        return Ok((value, Active::Yes));
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
            ("delay", d) => {
                let d = if d.ends_with(|c: char| c.is_ascii_digit()) {
                    format!("{d}s")
                } else {
                    d.to_string()
                };
                delay = Some(d.parse::<Seconds>().map_err(|_| bad())?);
            }
            ("key", "require") => keyed = true,
            ("key", "nodelay") => {}
            _ => return Err(bad()),
        }
    }
    let waits = since.zip(delay).is_some_and(|(t, d)| Time(t).plus(d) > now);
    Ok((
        value[..at].trim_end(),
        if keyed || waits {
            Active::No
        } else {
            Active::Yes
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_not_part_of_the_text_and_unknown_ones_are_errors() {
        let read = |v| split(v, Time(1_000));
        assert_eq!(
            read(":2:why @ ts=900;delay=60s"),
            Ok((":2:why", Active::Yes))
        );
        assert_eq!(read(":2:why @ ts=990;delay=60"), Ok((":2:why", Active::No)));
        assert_eq!(read("@ key=require"), Ok(("", Active::No)));
        assert_eq!(
            read("why @ ts=990;delay=1m;key=nodelay"),
            Ok(("why", Active::No))
        );
        assert_eq!(
            read("why @ delay=5s"),
            Ok(("why", Active::Yes)),
            "a delay without a time has no effect"
        );
        assert_eq!(
            read("write to abuse @ list.example"),
            Ok(("write to abuse @ list.example", Active::Yes))
        );
        assert_eq!(
            read("abuse@list.example"),
            Ok(("abuse@list.example", Active::Yes))
        );
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
