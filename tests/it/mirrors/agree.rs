//! Compares two servers of a zone by thousands of names, and by the content of the zone.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use super::{
    servers::Mirror,
    wire::{self, A, AAAA, ANY, Answer, CAA, TXT},
    worlds::{self, Random},
};

const TYPES: [u16; 5] = [A, TXT, CAA, AAAA, ANY];
/// How long a transfer from a mirror is retried if the mirror closes the connection.
const AGAIN: Duration = Duration::from_secs(10);
/// The most differences that a failed comparison prints.
const SHOWN: usize = 25;

/// The query types for each name.
fn questions(zone: &str, names: &[String]) -> Vec<(String, u16)> {
    let full = |n: &String| {
        if n.is_empty() {
            zone.to_string()
        } else {
            format!("{n}.{zone}")
        }
    };
    names
        .iter()
        .flat_map(|n| TYPES.map(|t| (full(n), t)))
        .collect()
}

/// Whether a mirror's answer equals that of the primary.
fn same(qtype: u16, ours: &Answer, theirs: &Answer) -> bool {
    let head = (ours.rcode, ours.aa) == (theirs.rcode, theirs.aa);
    if qtype != ANY {
        let negative = ours.records.is_empty();
        return head && ours.records == theirs.records && (!negative || ours.soa == theirs.soa);
    }
    // For ANY each server returns what it chooses (RFC 8482).
    let within = |a: &Answer, b: &Answer| a.records.iter().all(|r| b.records.contains(r));
    head && ours.records.is_empty() == theirs.records.is_empty()
        && (within(ours, theirs) || within(theirs, ours))
}

/// Queries all names at the primary and at every mirror, and compares the answers.
pub fn agree(ours: SocketAddr, mirrors: &[Mirror], zone: &str, names: &[String]) {
    let asked = questions(zone, names);
    let (we, they) = std::thread::scope(|s| {
        let each: Vec<_> = mirrors
            .iter()
            .map(|m| s.spawn(|| wire::ask_all(m.addr, &asked)))
            .collect();
        let we = wire::ask_all(ours, &asked).unwrap();
        let they = each.into_iter().map(|t| t.join().unwrap()).zip(mirrors);
        (
            we,
            they.map(|(r, m)| r.unwrap_or_else(|e| panic!("{:?}: {e}\n{}", m.kind, m.log())))
                .collect::<Vec<_>>(),
        )
    });
    let mut wrong = Vec::new();
    for (m, answers) in mirrors.iter().zip(&they) {
        let differ = asked
            .iter()
            .zip(we.iter().zip(answers))
            .filter(|((_, qtype), (a, b))| !same(*qtype, a, b));
        let all: Vec<String> = differ
            .map(|(q, (a, b))| format!("{} {}: ours {a:?}, {:?} {b:?}", q.0, q.1, m.kind))
            .collect();
        if !all.is_empty() {
            wrong.push(format!(
                "{:?}: {} of {} differ:\n{}",
                m.kind,
                all.len(),
                asked.len(),
                all[..all.len().min(SHOWN)].join("\n")
            ));
        }
    }
    assert!(wrong.is_empty(), "{zone}:\n{}", wrong.join("\n\n"));
}

/// Returns the records of a zone as sorted lines, by AXFR.
pub fn dump(at: SocketAddr, zone: &str) -> Vec<String> {
    wire::lines(
        &wire::take(at, zone, None)
            .unwrap_or_else(|e| panic!("AXFR of {zone} from {at}: {e}"))
            .records,
    )
}

/// Returns the zone of a mirror. NSD restarts at each change and closes connections that its old
/// process has not served yet; then the transfer is retried.
pub fn mirrored(m: &Mirror, zone: &str) -> Vec<String> {
    let until = Instant::now() + AGAIN;
    loop {
        match wire::take(m.addr, zone, None) {
            Ok(taken) => return wire::lines(&taken.records),
            Err(e) => assert!(
                Instant::now() < until,
                "AXFR of {zone} from {:?}: {e}\n{}",
                m.kind,
                m.log()
            ),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Checks that the zone of each mirror equals that of the primary, record by record. Returns the
/// records of the primary.
pub fn equal(ours: SocketAddr, mirrors: &[Mirror], zone: &str) -> Vec<String> {
    let we = dump(ours, zone);
    for m in mirrors {
        let they = mirrored(m, zone);
        if we != they {
            let (a, b): (BTreeSet<_>, BTreeSet<_>) = (we.iter().collect(), they.iter().collect());
            let only = |x: &BTreeSet<&String>, y: &BTreeSet<&String>| {
                x.difference(y)
                    .take(SHOWN)
                    .map(|l| format!("  {l}\n"))
                    .collect::<String>()
            };
            panic!(
                "{zone} at {:?}: {} records, ours {}\nonly ours:\n{}only theirs:\n{}",
                m.kind,
                they.len(),
                we.len(),
                only(&a, &b),
                only(&b, &a)
            );
        }
    }
    we
}

/// Returns the owner names of a dump, relative to the zone.
pub fn owners(zone: &str, dump: &[String]) -> BTreeSet<String> {
    let relative = |l: &String| {
        l.split(' ')
            .next()?
            .trim_end_matches('.')
            .strip_suffix(zone)
            .map(|n| n.trim_end_matches('.').to_string())
    };
    dump.iter().filter_map(relative).collect()
}

/// Returns the name of an address in a zone.
pub fn reversed(a: IpAddr) -> String {
    match a {
        IpAddr::V4(a) => a
            .octets()
            .iter()
            .rev()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("."),
        IpAddr::V6(a) => format!("{:032x}", a.to_bits())
            .chars()
            .rev()
            .map(String::from)
            .collect::<Vec<_>>()
            .join("."),
    }
}

/// Returns the first and last addresses of a prefix, and its neighbours.
fn around(subject: &str, r: &mut Random) -> Vec<String> {
    let Ok(net) = subject
        .parse::<ipnet::IpNet>()
        .or_else(|_| subject.parse::<IpAddr>().map(Into::into))
    else {
        let bare = subject.trim_start_matches("*.").trim_start_matches('.');
        return [
            bare.into(),
            format!("w.{bare}"),
            format!("q.w.{bare}"),
            format!("q{bare}"),
            bare.split_once('.').map_or("", |(_, up)| up).into(),
        ]
        .into();
    };
    match net {
        ipnet::IpNet::V4(n) => {
            let (first, last) = (u32::from(n.network()), u32::from(n.broadcast()));
            let inside = first.wrapping_add(r.below(u64::from(last - first) + 1) as u32);
            [
                first,
                last,
                first.wrapping_sub(1),
                last.wrapping_add(1),
                inside,
            ]
            .map(|a| reversed(Ipv4Addr::from(a).into()))
            .into()
        }
        ipnet::IpNet::V6(n) => {
            let (first, last) = (n.network().to_bits(), n.broadcast().to_bits());
            let inside = first | (last ^ first) & (u128::from(r.below(1 << 53)) << r.below(75));
            [
                first,
                last,
                first.wrapping_sub(1),
                last.wrapping_add(1),
                inside,
            ]
            .map(|a| reversed(Ipv6Addr::from(a).into()))
            .into()
        }
    }
}

/// Returns names in and around a wildcard or a branch.
fn below(name: &str, r: &mut Random) -> Vec<String> {
    let labels: Vec<&str> = name.split('.').filter(|l| !l.is_empty()).collect();
    let digits = |r: &mut Random, n: usize| {
        (0..n)
            .map(|_| r.below(if r.0 & 4 == 0 { 10 } else { 256 }).to_string())
            .collect::<Vec<_>>()
            .join(".")
    };
    let mut out = vec![
        format!("zz.{name}"),
        format!("{}.{name}", r.below(10)),
        format!("{:x}.{name}", r.below(16)),
        format!("*.{name}"),
    ];
    if labels.len() < 4 {
        out.push(format!("{}.{name}", digits(r, 4 - labels.len())));
        out.push(format!("9.{}.{name}", digits(r, 4 - labels.len())));
    }
    if labels.len() < 32 {
        let nibbles: Vec<String> = (labels.len()..32)
            .map(|_| format!("{:x}", r.below(16)))
            .collect();
        out.push(format!("{}.{name}", nibbles.join(".")));
    }
    out
}

/// Returns at least `want` names of a zone: owner names, all branches, names next to and below them,
/// listed addresses and their neighbours, names of both families, test points, and random names.
pub fn names(
    zone: &str,
    owners: &BTreeSet<String>,
    subjects: &[String],
    r: &mut Random,
    want: usize,
) -> Vec<String> {
    let mut sure: BTreeSet<String> = BTreeSet::new();
    let mut more: BTreeSet<String> = BTreeSet::new();
    for owner in owners {
        let bare = owner.strip_prefix("*.").unwrap_or(owner);
        more.insert(owner.clone());
        let mut branch = bare;
        while let Some((_, up)) = branch.split_once('.') {
            sure.insert(up.into());
            branch = up;
        }
        sure.insert(branch.into());
        if owner.starts_with('*') {
            sure.insert(owner.clone());
            more.extend(below(bare, r));
        } else if let Some((first, rest)) = bare.split_once('.') {
            let near = first
                .parse::<u16>()
                .map_or(format!("{first}x"), |n| (n ^ 1).to_string());
            more.extend([
                format!("{near}.{rest}"),
                format!("0.{bare}"),
                format!("{}.{rest}", r.below(256)),
            ]);
        }
    }
    let branches: Vec<String> = sure.iter().cloned().collect();
    branches.iter().for_each(|b| more.extend(below(b, r)));
    subjects.iter().for_each(|s| sure.extend(around(s, r)));
    sure.extend(
        [
            "",
            "test",
            "invalid",
            "www.info",
            "info",
            "*",
            "foo",
            "x.test",
            "TEST",
            "256.0.0.127",
            "02.0.0.127",
            "-1.0.0.127",
        ]
        .map(String::from),
    );
    sure.extend((0..12).map(|i| format!("{i}.0.0.127")));
    sure.extend([1u128, 2, 3].map(|i| reversed(Ipv6Addr::from(0xffff_7f00_0000 | i).into())));
    more.extend(
        (0..500)
            .map(|_| reversed(Ipv4Addr::from(0xffff_0000 & (r.below(1 << 31) as u32) | 7).into())),
    );
    while sure.len() + more.len() < want + want / 8 {
        let n = 1 + r.below(8) as usize;
        let labels: Vec<String> = (0..n).map(|_| label(r).to_string()).collect();
        more.insert(labels.join("."));
        let mapped = 0xffff_0000_0000u128 | u128::from(r.below(1 << 32));
        more.insert(reversed(Ipv6Addr::from(mapped).into()));
        let s = if zone.starts_with("dbl") {
            worlds::domain(r)
        } else if zone.starts_with("ebl") {
            worlds::digest(r)
        } else if r.chance(50) {
            worlds::v4(r)
        } else {
            worlds::v6(r)
        };
        more.extend(around(&s, r));
    }
    let mut more: Vec<String> = more.difference(&sure).cloned().collect();
    r.shuffle(&mut more);
    let mut out: Vec<String> = sure.into_iter().collect();
    r.shuffle(&mut out);
    // The required names may be many; some of both kinds are always included.
    let share = want.saturating_sub(out.len()).max(want / 3);
    out.truncate(want - share.min(more.len()));
    out.extend(more.into_iter().take(share));
    out.retain(|n| {
        n.len() + zone.len() < 250
            && n.split('.')
                .all(|l| l.len() < 64 && (!l.is_empty() || n.is_empty()))
    });
    // Letter case must not matter.
    out.iter_mut()
        .step_by(7)
        .for_each(|n| *n = n.to_ascii_uppercase());
    out
}

/// A label of digits: a nibble or an octet.
fn label(r: &mut Random) -> u64 {
    let range = if r.chance(60) { 10 } else { 256 };
    r.below(range)
}
