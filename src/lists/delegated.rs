//! `delegated` files of the regional Internet registries, which list the addresses that they have
//! assigned.

use std::net::Ipv4Addr;

use super::{Input, report::Omission};

/// Reads records: `registry|cc|ipv4|start|count|date|status` and `…|ipv6|start|length|…`. The
/// version and summary lines are skipped; AS numbers are left out.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    while let Some(line) = input.next()? {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = text.split('|').map(str::trim).collect();
        let column = fields.iter().take(3).map(|f| f.len() + 1).sum::<usize>() + 1;
        match fields[..] {
            [version, ..] if version.starts_with(|c: char| c.is_ascii_digit()) => {}
            [.., "summary"] => {}
            [_, _, "ipv4", start, count, ..] => match range(start, count) {
                Some(range) => input.take_word(&range, false, None, None, column)?,
                None => input.problem_of(
                    "not an address and a count",
                    column,
                    &format!("`{start}|{count}` is not an address and a number of addresses"),
                ),
            },
            [_, _, "ipv6", start, length, ..] => {
                input.take_word(&format!("{start}/{length}"), false, None, None, column)?;
            }
            [_, _, "asn", ..] => input.leave_out(Omission::AsNumber, column, text),
            _ => input.problem_of(
                "not a record of a delegated file",
                1,
                &format!("`{text}`: a record is written registry|cc|type|start|value|date|status"),
            ),
        }
    }
    Ok(())
}

/// The range with a first address and a count.
fn range(start: &str, count: &str) -> Option<String> {
    let first: Ipv4Addr = start.parse().ok()?;
    let last = first
        .to_bits()
        .checked_add(count.parse::<u32>().ok()?.checked_sub(1)?)?;
    Some(format!("{first}-{}", Ipv4Addr::from(last)))
}
