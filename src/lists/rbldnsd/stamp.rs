//! `$TIMESTAMP stamp [expires]`: when a list was made, and when it expires.

use crate::{
    lists::text::is_digits,
    model::{Time, time::Seconds},
};

/// The two times of a line: when the list was made, and when it expires. The second is a time, or
/// `+` and a duration after the first.
pub(super) fn timestamp(text: &str) -> Result<(Option<Time>, Option<Time>), String> {
    let mut words = text.split_whitespace();
    let stamp = moment(words.next().unwrap_or(""))?;
    let Some(end) = words.next() else {
        return Ok((stamp, None));
    };
    let Some(span) = end.strip_prefix('+') else {
        return Ok((stamp, moment(end)?));
    };
    let span = seconds(span)?;
    match stamp {
        Some(start) => Ok((stamp, Some(start.plus(span)))),
        None => Err(format!("$TIMESTAMP `{text}`: `+` needs a first time")),
    }
}

/// A duration; a number alone is in seconds.
pub(super) fn seconds(text: &str) -> Result<Seconds, String> {
    let unit = if text.ends_with(|c: char| c.is_ascii_digit()) {
        "s"
    } else {
        ""
    };
    format!("{text}{unit}").parse()
}

/// `yyyy:mm:dd[:hh[:mi[:ss]]]` with `:` or `-` between, where a number may have one digit; or
/// yyyymmdd[hh[mi[ss]]]; `0` or `-` for none.
fn moment(text: &str) -> Result<Option<Time>, String> {
    if matches!(text, "0" | "-") {
        return Ok(None);
    }
    let bad = || format!("`{text}` is not a time; it is written yyyy:mm:dd:hh:mi:ss");
    let parts: Vec<&str> = match text.contains([':', '-']) {
        true => text.split([':', '-']).collect(),
        false if matches!(text.len(), 8 | 10 | 12 | 14) && text.is_ascii() => {
            [0..4, 4..6, 6..8, 8..10, 10..12, 12..14]
                .into_iter()
                .filter_map(|r| text.get(r))
                .collect()
        }
        false => return Err(bad()),
    };
    let right = (3..=6).contains(&parts.len())
        && parts[0].len() == 4
        && parts[1..].iter().all(|p| p.len() <= 2);
    if !right || !parts.iter().all(|p| is_digits(p)) {
        return Err(bad());
    }
    let part = |i: usize| parts.get(i).map_or("0", |p| p);
    let (y, mo, d, h, mi, s) = (part(0), part(1), part(2), part(3), part(4), part(5));
    format!("{y}-{mo:0>2}-{d:0>2}T{h:0>2}:{mi:0>2}:{s:0>2}Z")
        .parse()
        .map(Some)
        .map_err(|_| bad())
}
