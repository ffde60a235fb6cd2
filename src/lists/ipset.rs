//! Sets of ipset, in the form of `ipset save` and `ipset restore`, and of `ipset list`.

use std::collections::HashSet;

use super::{Input, report::Omission, text::words};

/// The most sets of other types.
const MAX_SETS: usize = 100_000;

/// Reads sets of addresses and networks: lists their entries; those with `nomatch` are exclusions.
/// Leaves out sets of other types, such as those with ports.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    // Sets whose entries are not only addresses.
    let mut others: HashSet<String> = HashSet::new();
    let (mut members, mut skips) = (false, false);
    while let Some(line) = input.next()? {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            members &= !text.is_empty();
            continue;
        }
        let words: Vec<(usize, &str)> = words(&line)
            .filter(|w| !matches!(w.1, "ipset" | "sudo" | "-exist" | "-!"))
            .collect();
        let plain: Vec<&str> = words.iter().map(|w| w.1).collect();
        match plain[..] {
            ["Name:", ..] => members = false,
            ["Type:", kind] => skips = !is_addresses(kind),
            ["Members:"] => members = true,
            [_, ..] if members && !skips => entry(input, &words, text)?,
            ["create" | "-N", _, kind, ..] if !is_addresses(kind) && others.len() >= MAX_SETS => {
                let why = format!("there are more than {MAX_SETS} sets of other types");
                return Err(input.located(why));
            }
            ["create" | "-N", set, kind, ..] if !is_addresses(kind) => {
                others.insert(set.into());
            }
            ["del" | "-D", ..] => input.problem_of(
                "a command that deletes an entry",
                1,
                &format!("`{text}` deletes an entry; save the set again with `ipset save`"),
            ),
            ["add" | "-A", set, _, ..] if !others.contains(set) => entry(input, &words[2..], text)?,
            [
                "create" | "-N" | "flush" | "-F" | "swap" | "-W" | "destroy" | "-X" | "COMMIT"
                | "rename",
                ..,
            ] => {}
            ["add" | "-A", ..] => input.leave_out(Omission::OtherLine, 1, text),
            [_, ..] if members => input.leave_out(Omission::OtherLine, 1, text),
            [key, ..] if key.ends_with(':') => {}
            _ => input.other_line(1, text),
        }
    }
    Ok(())
}

/// Whether entries of a type are addresses or networks and nothing else.
fn is_addresses(kind: &str) -> bool {
    matches!(
        kind,
        "hash:ip" | "hash:net" | "bitmap:ip" | "iphash" | "nethash" | "iptree" | "ipmap"
    )
}

fn entry(input: &mut Input, words: &[(usize, &str)], line: &str) -> Result<(), String> {
    let Some((column, what)) = words.first() else {
        return Ok(());
    };
    if what.contains(',') {
        input.leave_out(Omission::OtherLine, *column, line);
        return Ok(());
    }
    let except = words.iter().any(|w| w.1 == "nomatch");
    input.take_word(what, except, None, None, *column)
}
