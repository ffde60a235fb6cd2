//! `delegated` files of the regional Internet registries, which list the addresses that they have
//! assigned.

use std::net::Ipv4Addr;

use super::{Input, report::Omission};

/// Reads a record: `registry|cc|ipv4|start|count|date|status` and `…|ipv6|start|length|…`. The
/// version and summary lines are skipped; AS numbers are left out.
pub(super) fn read_line(input: &mut Input, line: &str) -> Result<(), String> {
    let text = line.trim();
    let fields: Vec<&str> = text.split('|').map(str::trim).collect();
    let column = fields.iter().take(3).map(|f| f.len() + 1).sum::<usize>() + 1;
    match fields[..] {
        [version, ..] if version.starts_with(|c: char| c.is_ascii_digit()) => {}
        [.., "summary"] => {}
        [_, _, "ipv4", start, count, ..] => match range(start, count) {
            Some(range) => input.list_word(&range, column)?,
            None => input.problem_of(
                "not an address and a count",
                column,
                &format!("`{start}|{count}` is not an address and a number of addresses"),
            ),
        },
        [_, _, "ipv6", start, length, ..] => {
            input.list_word(&format!("{start}/{length}"), column)?;
        }
        [_, _, "asn", ..] => input.leave_out(Omission::AsNumber, column, text),
        _ => input.problem_of(
            "not a record of a delegated file",
            1,
            &format!("`{text}`: a record is written registry|cc|type|start|value|date|status"),
        ),
    }
    Ok(())
}

/// The range with a first address and a count.
fn range(start: &str, count: &str) -> Option<String> {
    let first: Ipv4Addr = start.parse().ok()?;
    let further = count.parse::<u32>().ok()?.checked_sub(1)?;
    let last = first.to_bits().checked_add(further)?;
    Some(format!("{first}-{}", Ipv4Addr::from(last)))
}
