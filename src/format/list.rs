//! One subject a line: IPsum, FireHOL netsets, Spamhaus DROP, plain lists. What follows the first word is not read.

use std::net::IpAddr;

use super::Input;

/// Reads a plain list. `#` and `;` start comments; further columns are left alone, but `first - last` is a range.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    while let Some(line) = input.next()? {
        let text = line.split(['#', ';']).next().unwrap_or("");
        let Some(word) = text.split([' ', '\t', ',', '|']).find(|w| !w.is_empty()) else { continue };
        let start = text.find(word).unwrap_or(0);
        let range = spaced_range(&text[start..]);
        input.take_word(range.as_deref().unwrap_or(word), false, None, None, start + 1)?;
    }
    Ok(())
}

/// A range with spaces around its dash, without them. A dash before anything but an address starts a remark.
fn spaced_range(text: &str) -> Option<String> {
    let (first, rest) = text.split_once('-')?;
    let last = rest.trim_start().split([' ', '\t', ',', '|']).next()?;
    let (first, last): (IpAddr, IpAddr) = (first.trim().parse().ok()?, last.parse().ok()?);
    Some(format!("{first}-{last}"))
}
