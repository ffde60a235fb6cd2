//! Response policy zones (draft-vixie-dnsop-dns-rpz), with or without an SOA: names and addresses
//! to which a resolver applies a policy.

use super::{
    Input, entry,
    master::{self, Line},
};

/// The most name servers of the zone that are stored.
const MAX_SERVERS: usize = 64;

/// Reads a policy zone: lists names and addresses of answers, clients and name servers, with any
/// action except `rpz-passthru.`, which is an exclusion.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    let mut origin = master::origin(input.options).unwrap_or_default();
    let mut owner = String::new();
    // Addresses of the zone's own name servers are not triggers.
    let mut servers: Vec<String> = Vec::new();
    // The records of an owner are adjacent; they list it only once.
    let mut listed = String::new();
    let mut written_owner = None;
    while let Some(line) = master::next(input, &mut written_owner)? {
        let record = match line {
            Line::Record(record) => record,
            Line::Directive(words) => {
                if words[0].text.eq_ignore_ascii_case("$ORIGIN") {
                    let new = words.get(1).map_or("", |w| &w.text);
                    origin = new.trim_end_matches('.').to_ascii_lowercase();
                }
                continue;
            }
        };
        if let Some(written) = record.owner {
            owner = written.to_ascii_lowercase();
        }
        let (kind, column) = (record.kind.as_str(), record.column);
        if kind == "SOA" && origin.is_empty() && owner.ends_with('.') {
            origin = owner.trim_end_matches('.').into();
        }
        let relative_owner = relative(&owner, &origin);
        let Some(data) = record.data.first().map(|w| w.text.to_ascii_lowercase()) else {
            let what = format!("the record {kind} of `{owner}` has no data");
            input.problem_of("a record without data", column, &what);
            continue;
        };
        if kind == "NS" && servers.len() < MAX_SERVERS {
            servers.push(relative(&data, &origin));
        }
        if relative_owner.is_empty()
            || servers.contains(&relative_owner)
            || matches!(kind, "SOA" | "NS" | "TXT")
            || listed == owner
        {
            continue;
        }
        listed.clone_from(&owner);
        let passes = kind == "CNAME" && data == "rpz-passthru.";
        let now = std::mem::replace(&mut input.line, record.line);
        take(input, &relative_owner, passes, column)?;
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
        "rpz-ip" | "rpz-client-ip" | "rpz-nsip" => match entry::policy_address(head) {
            Some(subject) => input.take(subject, passes, None, None, column),
            None => {
                let what = format!("`{owner}` is not a prefix length and a reversed address");
                input.problem_of("not the owner of an address trigger", column, &what);
                Ok(())
            }
        },
        "rpz-nsdname" => input.take_word(head, passes, None, None, column),
        _ => input.take_word(owner, passes, None, None, column),
    }
}
