//! Reads the rows of another orbsd ([`crate::index::rows`]) as a list: a row is one prefix, or a
//! name and all names below it.

use super::{Input, ListEntry, Reasoning};
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
    input.owner.clear();
    input.owner.push_str(owner);
    let subjects = match subjects(owner) {
        Ok(s) => s,
        Err(why) => {
            input.problem(0, &why);
            return Ok(());
        }
    };
    let Some(values) = read(data).filter(|v| v.len() == subjects.len()) else {
        input.problem(0, "the row has a form that this version does not know");
        return Ok(());
    };
    for (subject, (exception, all)) in subjects.into_iter().zip(values) {
        for Listed { code, path, text } in &all {
            if is_looped(input.options.store, path) {
                input.report.looped += 1;
                continue;
            }
            input.path = FeedPath::via(path.clone());
            let text = String::from_utf8_lossy(text);
            let own = Some(&*text).filter(|t| !t.is_empty());
            input.take(subject.clone(), false, Some((*code).into()), own, 0)?;
        }
        input.path = FeedPath::Own;
        if exception {
            for reason in others(&input.options.reasoning, &all) {
                input.emit(ListEntry {
                    subject: subject.clone(),
                    reason,
                    exclusion: true,
                    implied: false,
                    text: None,
                    path: FeedPath::Own,
                    note: None,
                })?;
            }
        }
    }
    Ok(())
}

/// The reasons of the list that a row does not list.
fn others(reasoning: &Reasoning, listed: &[Listed]) -> Vec<ReasonId> {
    match reasoning {
        Reasoning::One(r) => {
            if listed.is_empty() {
                vec![*r]
            } else {
                vec![]
            }
        }
        Reasoning::Codes(codes) => {
            let given: Vec<ReasonId> = codes
                .iter()
                .filter(|(c, _)| listed.iter().any(|l| l.code == c.octets()))
                .map(|c| c.1)
                .collect();
            let mut out: Vec<ReasonId> = codes
                .iter()
                .map(|c| c.1)
                .filter(|r| !given.contains(r))
                .collect();
            out.sort_unstable();
            out.dedup();
            out
        }
    }
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
