//! Finds the columns of a table, or the keys of an object, that hold the subject or a part of it.

use super::{
    entry::{self, EntryError},
    input::is_subject,
    list,
};

/// Names of columns and keys that hold the subject, the best first.
pub(super) const SUBJECTS: [&str; 13] = [
    "subject",
    "cidr",
    "ip",
    "address",
    "prefix",
    "network",
    "domain",
    "host",
    "hostname",
    "ioc_value",
    "indicator",
    "start",
    "first",
];

/// The meaning of a column that belongs to the subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// The last address of a range.
    Last,
    /// A netmask, or a prefix length.
    Mask,
    /// The number of addresses.
    Count,
}

/// Names of columns that belong to the subject.
const PARTS: [(&str, Column); 8] = [
    ("end", Column::Last),
    ("last", Column::Last),
    ("to", Column::Last),
    ("mask", Column::Mask),
    ("netmask", Column::Mask),
    ("prefix", Column::Mask),
    ("prefixlen", Column::Mask),
    ("count", Column::Count),
];

/// The column of the subject, by its usual names. If there is a column of addresses, a column
/// `prefix` is a length.
pub(super) fn subject(names: &[impl AsRef<str>]) -> Option<usize> {
    SUBJECTS
        .iter()
        .find_map(|s| names.iter().position(|n| n.as_ref() == *s))
}

/// The meaning of a column that belongs to the subject, by its name.
pub(super) fn part(name: &str) -> Option<Column> {
    PARTS.iter().find(|p| p.0 == name).map(|p| p.1)
}

/// The columns that belong to the subject.
pub(super) fn parts(names: &[impl AsRef<str>], subject: usize) -> Vec<(usize, Column)> {
    let others = names.iter().enumerate().filter(|(at, _)| *at != subject);
    others
        .filter_map(|(at, n)| part(n.as_ref()).map(|c| (at, c)))
        .collect()
}

/// Joins a subject and its other columns to one entry in text form. `chosen`: the caller named the
/// subject's column, so that a count which is not the number of addresses is ignored.
///
/// # Errors
///
/// Columns contradict each other, or a count is ambiguous.
pub(super) fn join(
    subject: &str,
    parts: &[(Column, &str)],
    chosen: bool,
) -> Result<String, EntryError> {
    let disagree = |text| EntryError {
        class: "columns that disagree",
        text,
    };
    let rules = entry::Rules::default();
    let mut wholes: Vec<String> = Vec::new();
    let given = || parts.iter().filter(|(_, v)| !v.is_empty());
    for (column, value) in given() {
        match column {
            Column::Last => wholes.push(format!("{subject}-{value}")),
            Column::Mask if subject.contains('/') => {
                let length = subject.rsplit('/').next().unwrap_or("");
                if length != *value && !value.contains('/') {
                    return Err(disagree(format!(
                        "`{subject}` and the length column `{value}` disagree"
                    )));
                }
            }
            Column::Mask => wholes.push(format!("{subject}/{}", value.trim_start_matches('/'))),
            Column::Count => {}
        }
    }
    let whole = wholes.first().cloned().unwrap_or_else(|| subject.into());
    if wholes.is_empty() && given().all(|(c, _)| *c != Column::Count) {
        return Ok(whole);
    }
    // The caller reports an entry that cannot be parsed.
    let Ok(read) = entry::parse(&whole, &rules) else {
        return Ok(whole);
    };
    if let Some(other) = wholes
        .iter()
        .find(|w| entry::parse(w, &rules).as_ref() != Ok(&read))
    {
        return Err(disagree(format!(
            "the columns of one row disagree: `{whole}` and `{other}`"
        )));
    }
    let addresses = entry::addresses(&read);
    match given().find(|(c, v)| *c == Column::Count && v.parse() != Ok(addresses)) {
        Some((_, count)) if !wholes.is_empty() => Err(disagree(format!(
            "`{whole}` has {addresses} addresses, but the count column is `{count}`"
        ))),
        Some((_, count)) if !chosen => Err(disagree(format!(
            "the count column of `{whole}` is `{count}`; if that is not a number of addresses, choose the column of the addresses with --column"
        ))),
        _ => Ok(whole),
    }
}

/// The error for a table or object in which several columns or keys may hold the subject.
pub(super) fn several(what: &str, all: &[String]) -> String {
    format!(
        "several {what} hold addresses or names: {}; choose one with --column; nothing was changed",
        all.join(", ")
    )
}

/// Whether a value of another column is an address, or a name below a suffix that exists or is
/// reserved (RFC 2606), so that the column may hold the subject.
pub(super) fn holds_subject(value: &str) -> bool {
    if entry::starts_with_address(value) {
        return true;
    }
    if value.contains(char::is_whitespace)
        || list::is_number(value)
        || entry::is_address_form(value)
        || !value.contains('.')
    {
        return false;
    }
    let last = value.trim_end_matches('.').rsplit('.').next().unwrap_or("");
    let last = last.to_ascii_lowercase();
    let known = psl::Psl::suffix(&psl::List, last.as_bytes()).is_some_and(|s| s.is_known());
    (known || ["example", "test", "invalid"].contains(&last.as_str())) && is_subject(value)
}
