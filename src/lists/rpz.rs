//! Response policy zones (draft-vixie-dnsop-dns-rpz), with or without an SOA: names and addresses
//! to which a resolver applies a policy.

use super::{Input, master, word};

/// The most name servers of the zone that are stored.
const MAX_SERVERS: usize = 64;

/// Reads a policy zone: lists names and addresses of answers, clients and name servers, with any
/// action except `rpz-passthru.`, which is an exclusion.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    let mut origin = input
        .options
        .origin
        .as_ref()
        .map(|o| o.trim_end_matches('.').to_ascii_lowercase())
        .unwrap_or_default();
    let mut owner = String::new();
    // Addresses of the zone's own name servers are not triggers.
    let mut servers: Vec<String> = Vec::new();
    // The records of an owner are adjacent; they list it only once.
    let mut listed = String::new();
    while let Some((words, starts_blank)) = master::record(input)? {
        let Some(first) = words.first() else { continue };
        if first.text.starts_with('$') && !starts_blank {
            if first.text.eq_ignore_ascii_case("$ORIGIN") {
                origin = words
                    .get(1)
                    .map_or("", |w| &w.text)
                    .trim_end_matches('.')
                    .to_ascii_lowercase();
            }
            continue;
        }
        let (line, column) = (first.line, first.column);
        let mut rest = &words[..];
        if !starts_blank {
            owner = first.text.to_ascii_lowercase();
            rest = &words[1..];
        }
        let skips = |w: &master::Word| {
            w.text.eq_ignore_ascii_case("IN") || w.text.starts_with(|c: char| c.is_ascii_digit())
        };
        while rest.first().is_some_and(skips) {
            rest = &rest[1..];
        }
        let [kind, data @ ..] = rest else {
            input.problem(column, "a record has an owner, a type and data");
            continue;
        };
        let kind = kind.text.to_ascii_uppercase();
        if kind == "SOA" && origin.is_empty() && owner.ends_with('.') {
            origin = owner.trim_end_matches('.').into();
        }
        if kind == "NS" && servers.len() < MAX_SERVERS {
            servers.extend(
                data.first()
                    .map(|d| relative(&d.text.to_ascii_lowercase(), &origin)),
            );
        }
        let relative = relative(&owner, &origin);
        if data.is_empty() {
            input.problem_of(
                "a record without data",
                column,
                &format!("the record {kind} of `{owner}` has no data"),
            );
            continue;
        }
        if relative.is_empty()
            || servers.contains(&relative)
            || matches!(kind.as_str(), "SOA" | "NS" | "TXT")
            || listed == owner
        {
            continue;
        }
        listed.clone_from(&owner);
        let passes = kind == "CNAME"
            && data
                .first()
                .is_some_and(|d| d.text.eq_ignore_ascii_case("rpz-passthru."));
        let now = std::mem::replace(&mut input.line, line);
        take(input, &relative, passes, column)?;
        input.line = now;
    }
    Ok(())
}

/// An owner without the zone's name; empty for the apex.
fn relative(owner: &str, origin: &str) -> String {
    if owner == "@" {
        return String::new();
    }
    let Some(absolute) = owner.strip_suffix('.') else {
        return owner.into();
    };
    match absolute.strip_suffix(origin) {
        Some(rest) if !origin.is_empty() && (rest.is_empty() || rest.ends_with('.')) => {
            rest.trim_end_matches('.').into()
        }
        _ => absolute.into(),
    }
}

fn take(input: &mut Input, owner: &str, passes: bool, column: usize) -> Result<(), String> {
    let (head, trigger) = owner.rsplit_once('.').unwrap_or(("", owner));
    match trigger {
        "rpz-ip" | "rpz-client-ip" | "rpz-nsip" => match word::policy_address(head) {
            Some(subject) => input.take(subject, passes, None, None, column),
            None => {
                input.problem_of(
                    "not the owner of an address trigger",
                    column,
                    &format!("`{owner}` is not a prefix length and a reversed address"),
                );
                Ok(())
            }
        },
        "rpz-nsdname" => input.take_word(head, passes, None, None, column),
        _ => input.take_word(owner, passes, None, None, column),
    }
}
