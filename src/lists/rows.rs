//! Reads the rows of another orbsd ([`crate::index::rows`]) as a list: a row is one prefix, or a
//! name and all names below it.

use std::{collections::BTreeSet, net::Ipv4Addr};

use super::{Input, ListEntry, ReasonMapping};
use crate::{
    index::rows::{Listed, read, read_identity},
    model::{Domain, FeedPath, MAX_HOPS, Prefix4, Prefix6, ReasonId, Scope, StoreId, Subject},
};

/// The owner of the row with the server's identity ([`crate::index::rows::IDENTITY`]), in text.
pub(super) const IDENTITY: &str = "_id";

/// Checks the identity of the server whose rows are read: `data` is the row at [`IDENTITY`], empty
/// if there is none.
///
/// # Errors
///
/// The rows have no identity, or that of this store, so the list must not be accepted.
pub(super) fn check_identity(own: StoreId, data: &[u8]) -> Result<(), String> {
    match read_identity(data) {
        None => Err("the server sends rows of a form that this version does not read; bring both servers to the same version".into()),
        Some(id) if id == own => Err(format!(
            "the server has the identity of this server's own store, {id}: the feed follows this server itself or a copy of its store; remove the feed, or give the copy a new identity with `orbsd restore --new-identity`"
        )),
        Some(_) => Ok(()),
    }
}

/// Whether a follower leaves a row out, because it came through the follower itself or through the
/// maximum number of servers.
fn is_looped(own: StoreId, path: &[StoreId]) -> bool {
    path.contains(&own) || path.len() >= MAX_HOPS
}

/// The subjects of a row's owner, relative to the zone of the rows: a prefix, or a name and all
/// names below it.
pub(super) fn subjects(owner: &str) -> Result<Vec<Subject>, String> {
    let wrong = || format!("`{owner}` is not the owner of a row");
    let (rest, kind) = owner.rsplit_once('.').ok_or_else(wrong)?;
    if kind == "d" {
        let name = Domain::parse_any(rest)?;
        let both = [Scope::Name, Scope::Below]
            .map(|s| Subject::Domain(Domain::from_canonical(name.name(), s)));
        return Ok(both.into());
    }
    let mut parts = rest.split('.');
    let len: u8 = parts
        .next()
        .and_then(|l| l.parse().ok())
        .ok_or_else(wrong)?;
    let subject = match kind {
        "4" if len <= 32 => {
            let octets: Vec<u8> = parts.map_while(|o| o.parse().ok()).collect();
            let octets: [u8; 4] = octets.try_into().map_err(|_| wrong())?;
            Subject::V4(Prefix4::new(u32::from_le_bytes(octets), len))
        }
        "6" if len <= 128 => {
            let digits: Vec<u32> = parts
                .map_while(|n| n.chars().next().filter(|_| n.len() == 1)?.to_digit(16))
                .collect();
            let digits: [u32; 32] = digits.try_into().map_err(|_| wrong())?;
            let addr = digits
                .iter()
                .rev()
                .fold(0u128, |a, n| a << 4 | u128::from(*n));
            Subject::V6(Prefix6::new(addr, len))
        }
        _ => return Err(wrong()),
    };
    Ok(vec![subject])
}

/// Accepts the entries of a row.
pub(super) fn take(input: &mut Input, owner: &str, data: &[u8]) -> Result<(), String> {
    input.alone = true;
    owner.clone_into(&mut input.owner);
    let values = subjects(owner).and_then(|subjects| {
        let values = read(data).filter(|v| v.len() == subjects.len());
        let values = values.ok_or("the row has a form that this version does not know")?;
        Ok(subjects.into_iter().zip(values))
    });
    let Some(values) = input.valid(0, values) else {
        return Ok(());
    };
    for (subject, (exception, all)) in values {
        for Listed { code, path, text } in &all {
            if is_looped(input.options.store, path) {
                input.report.looped += 1;
                continue;
            }
            input.path = FeedPath::via(path.clone());
            let text = String::from_utf8_lossy(text);
            input.take(subject.clone(), false, Some((*code).into()), Some(&text), 0)?;
        }
        input.path = FeedPath::Own;
        if exception {
            for reason in others(&input.options.reasoning, &all) {
                input.emit(ListEntry::exclusion(subject.clone(), reason, false))?;
            }
        }
    }
    Ok(())
}

/// The reasons of the list that a row does not list.
fn others(reasoning: &ReasonMapping, listed: &[Listed]) -> BTreeSet<ReasonId> {
    let is_listed = |code: &Ipv4Addr| listed.iter().any(|l| l.code == code.octets());
    let given: Vec<ReasonId> = match reasoning {
        ReasonMapping::One(_) if listed.is_empty() => Vec::new(),
        ReasonMapping::One(reason) => vec![*reason],
        ReasonMapping::Codes(codes) | ReasonMapping::Bits(codes) => codes
            .iter()
            .filter(|c| is_listed(&c.0))
            .map(|c| c.1)
            .collect(),
    };
    reasoning.reasons().filter(|r| !given.contains(r)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_prefixes_and_names() {
        let shown = |o: &str| {
            subjects(o).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(shown("24.0.2.0.192.4").unwrap(), ["192.0.2.0/24"]);
        assert_eq!(shown("32.1.2.3.4.4").unwrap(), ["4.3.2.1"]);
        let zeros = ["0"; 24].join(".");
        assert_eq!(
            shown(&format!("32.{zeros}.8.b.d.0.1.0.0.2.6")).unwrap(),
            ["2001:db8::/32"]
        );
        assert_eq!(shown("bad.test.d").unwrap(), ["bad.test", "*.bad.test"]);
        for bad in [
            "",
            "4",
            "33.1.2.3.4.4",
            "24.0.2.0.4",
            "24.0.2.0.256.4",
            "129.0.6",
            "24.0.2.0.192.5",
            "..d",
        ] {
            assert!(subjects(bad).is_err(), "{bad}");
        }
    }
}
