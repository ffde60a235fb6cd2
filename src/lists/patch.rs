//! Computes the changes of a list from changed records of its zone: the affected subjects, and all
//! their entries after the change. The result is the same as after reading the whole zone again; a
//! property test compares them.
//!
//! A record affects its owner. If an owner is added or removed, names above it may begin or cease
//! to exist, and so may exclusions from wildcards (RFC 4592 section 2.2.1). If a wildcard begins or
//! ceases to list, all nodes below it are read, because exclusions are only kept below a wider
//! listing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem::discriminant,
    ops::Bound,
};

use super::{
    Input, ListEntry, ListReport, Options, master,
    records::{Mapping, Owner, input, own},
};
use crate::{
    dns::incoming::{name, node, parts},
    model::Subject,
};

/// The most nodes that are read one by one; with more, the whole zone is read.
pub const MAX_NODES: usize = 10_000;

/// The rows of a zone in order.
pub trait Rows {
    /// Goes to the first row at or after `from`.
    fn seek(&mut self, from: &[u8]) -> Result<(), String>;
    /// The current row; `None` after the last one.
    fn row(&self) -> Option<&[u8]>;
    /// Goes to the next row.
    fn next(&mut self) -> Result<(), String>;
}

/// Rows that are added (true) or removed (false).
pub type Net = BTreeMap<Vec<u8>, bool>;

/// Rows with changes applied to them.
pub struct MergedRows<'a, R> {
    base: R,
    net: &'a Net,
    /// The next row of the changes.
    next: Option<(&'a Vec<u8>, bool)>,
}

impl<'a, R: Rows> MergedRows<'a, R> {
    /// Creates the cursor; call `seek` before reading.
    pub fn new(base: R, net: &'a Net) -> MergedRows<'a, R> {
        MergedRows {
            base,
            net,
            next: None,
        }
    }

    /// Skips removed rows.
    fn settle(&mut self) -> Result<(), String> {
        while let Some((row, false)) = self.next {
            match self.base.row() {
                Some(b) if b < row.as_slice() => return Ok(()),
                Some(b) if b == row.as_slice() => self.base.next()?,
                _ => {}
            }
            self.step();
        }
        Ok(())
    }

    fn step(&mut self) {
        let Some((row, _)) = self.next else { return };
        let behind = (Bound::Excluded(row.clone()), Bound::Unbounded);
        self.next = self.net.range(behind).next().map(|(r, there)| (r, *there));
    }
}

impl<R: Rows> Rows for MergedRows<'_, R> {
    fn seek(&mut self, from: &[u8]) -> Result<(), String> {
        self.base.seek(from)?;
        self.next = self
            .net
            .range(from.to_vec()..)
            .next()
            .map(|(r, there)| (r, *there));
        self.settle()
    }

    fn row(&self) -> Option<&[u8]> {
        match (self.base.row(), self.next) {
            (Some(b), Some((n, true))) => Some(b.min(n)),
            (None, Some((n, true))) => Some(n),
            (b, _) => b,
        }
    }

    fn next(&mut self) -> Result<(), String> {
        let added = self.next.filter(|n| n.1).map(|n| n.0.as_slice());
        let (on_base, on_net) = match (self.base.row(), added) {
            (Some(base), Some(added)) => (base <= added, added <= base),
            (base, added) => (base.is_some(), added.is_some()),
        };
        if on_net {
            self.step();
        }
        if on_base {
            self.base.next()?;
        }
        self.settle()
    }
}

/// The affected subjects, and their entries after the change.
#[derive(Debug, Default)]
pub struct Patch {
    /// The subjects that may have changed.
    pub touched: BTreeSet<Subject>,
    /// All their entries after the change.
    pub entries: Vec<ListEntry>,
}

/// The followed zone.
pub struct FollowedZone<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// How its records become entries.
    pub mapping: Mapping,
    /// How the list is read.
    pub options: &'a Options,
}

/// Computes the patch of the changes `net`; `old` and `new` are the rows before and after. `None`
/// if the caller has to read the whole zone.
pub fn patch(
    zone: &FollowedZone,
    net: &Net,
    old: &mut dyn Rows,
    new: &mut dyn Rows,
    report: &mut ListReport,
) -> Result<Option<Patch>, String> {
    if zone.mapping == Mapping::Rows {
        return rows(zone, net, new, report);
    }
    // The subject of an IPv4-mapped address is also that of another node. Usually only test points
    // are mapped.
    if mapped(old)? || mapped(new)? {
        return Ok(None);
    }
    let mut nodes = BTreeSet::new();
    for owner in owners(net) {
        touch(zone, owner?, old, new, &mut nodes)?;
        if nodes.len() > MAX_NODES {
            return Ok(None);
        }
    }
    let mut out = Patch::default();
    let mut lists = HashMap::new();
    for n in &nodes {
        add_node(zone, n, new, report, &mut lists, &mut out)?;
    }
    Ok(Some(out))
}

/// The owners of changed rows, each once.
fn owners(net: &Net) -> impl Iterator<Item = Result<&[u8], String>> {
    let mut last: &[u8] = &[];
    net.keys().filter_map(move |row| match parts(row) {
        Some((owner, ..)) if owner == last => None,
        Some((owner, ..)) => {
            last = owner;
            Some(Ok(owner))
        }
        None => Some(Err("a changed row cannot be read".into())),
    })
}

/// Computes the patch of a zone of rows, which are independent of each other.
fn rows(
    zone: &FollowedZone,
    net: &Net,
    new: &mut dyn Rows,
    report: &mut ListReport,
) -> Result<Option<Patch>, String> {
    let mut out = Patch::default();
    for owner in owners(net) {
        let owner = owner?;
        let name = name(owner);
        if name == super::rows::IDENTITY {
            return Ok(None); // the identity is checked when the whole zone is read
        }
        out.touched
            .extend(super::rows::subjects(&name).unwrap_or_default());
        if out.touched.len() > MAX_NODES {
            return Ok(None);
        }
        let (records, exists) = records(new, owner)?;
        let mut sink = |e: ListEntry| {
            out.entries.push(e);
            Ok(())
        };
        if exists {
            let mut input = input(zone.name, zone.options, report, &mut sink);
            super::rows::take(&mut input, &name, &records.row)?;
        }
    }
    Ok(Some(out))
}

/// Whether there are IPv4-mapped addresses outside 127.0.0.0/8.
fn mapped(rows: &mut dyn Rows) -> Result<bool, String> {
    let under = node(&format!("f.f.f.f.{}", ["0"; 20].join(".")));
    let local = [&under[..], &[1, b'7', 1, b'f']].concat();
    rows.seek(&under)?;
    if rows.row().is_some_and(|r| r.starts_with(&local)) {
        rows.seek(&after(&local))?;
    }
    Ok(rows.row().is_some_and(|r| r.starts_with(&under)))
}

/// The first key after all that start with `prefix`. A prefix ends with a byte of a label, which is
/// never the largest byte.
fn after(prefix: &[u8]) -> Vec<u8> {
    let mut out = prefix.to_vec();
    while let Some(last) = out.pop() {
        if last < u8::MAX {
            out.push(last + 1);
            break;
        }
    }
    out
}

/// The node of an owner, and whether the owner is the wildcard below the node.
fn split(owner: &[u8]) -> (&[u8], bool) {
    let bare = &owner[..owner.len() - 1];
    match bare.strip_suffix(b"\x01*") {
        // These bytes must be a whole label.
        Some(n) if !n.is_empty() && starts(bare).last() == Some(&n.len()) => (n, true),
        _ => (bare, false),
    }
}

/// The offsets at which the labels of a node start.
fn starts(node: &[u8]) -> Vec<usize> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < node.len() {
        out.push(at);
        at += 1 + usize::from(node[at]);
    }
    out
}

/// The records of an owner, and whether there are any.
fn records(rows: &mut dyn Rows, owner: &[u8]) -> Result<(Owner, bool), String> {
    let (mut out, mut any) = (Owner::default(), false);
    rows.seek(owner)?;
    while let Some(row) = rows.row().filter(|r| r.starts_with(owner)) {
        if let Some((_, kind, data)) = parts(row) {
            out.add(kind, data);
        }
        any = true;
        rows.next()?;
    }
    Ok((out, any))
}

/// Adds the nodes that the change of an owner affects.
fn touch(
    zone: &FollowedZone,
    owner: &[u8],
    old: &mut dyn Rows,
    new: &mut dyn Rows,
    nodes: &mut BTreeSet<Vec<u8>>,
) -> Result<(), String> {
    let (n, wild) = split(owner);
    let ((before, was), (after, is)) = (records(old, owner)?, records(new, owner)?);
    nodes.insert(n.to_vec());
    if was != is {
        nodes.extend(starts(n).into_iter().skip(1).map(|at| n[..at].to_vec()));
    }
    let name = name(owner);
    if !wild || listed(zone, &name, &before)? == listed(zone, &name, &after)? {
        return Ok(());
    }
    new.seek(n)?;
    while let Some(row) = new
        .row()
        .filter(|r| r.starts_with(n) && nodes.len() <= MAX_NODES)
    {
        let Some((below, ..)) = parts(row) else { break };
        let (below, _) = split(below);
        let ends = starts(below)
            .into_iter()
            .chain([below.len()])
            .filter(|at| *at > n.len());
        nodes.extend(ends.map(|at| below[..at].to_vec()));
        new.next()?;
    }
    Ok(())
}

/// The subject that an owner lists; `None` if it lists none.
fn listed(zone: &FollowedZone, name: &str, owner: &Owner) -> Result<Option<Subject>, String> {
    let (mut report, mut out) = (ListReport::default(), None);
    let mut sink = |e: ListEntry| {
        out = Some(e.subject).filter(|_| !e.exclusion).or(out.take());
        Ok(())
    };
    own(
        &mut input(zone.name, zone.options, &mut report, &mut sink),
        name,
        owner,
    )?;
    Ok(out)
}

/// Adds the entries of a node and of the wildcard below it.
fn add_node(
    zone: &FollowedZone,
    n: &[u8],
    rows: &mut dyn Rows,
    report: &mut ListReport,
    lists: &mut HashMap<Vec<u8>, Option<Subject>>,
    out: &mut Patch,
) -> Result<(), String> {
    let (own_rows, wild_rows) = ([n, &[0]].concat(), [n, b"\x01*\0"].concat());
    let (own_records, exists) = records(rows, &own_rows)?;
    let (wild_records, wild) = records(rows, &wild_rows)?;
    // A name below other than the wildcard makes the node an encloser.
    rows.seek(&[n, &[1]].concat())?;
    if rows.row().is_some_and(|r| r.starts_with(&wild_rows)) {
        rows.seek(&after(&wild_rows))?;
    }
    let below = rows
        .row()
        .and_then(|r| r.strip_prefix(n))
        .is_some_and(|r| !r.starts_with(&[0]));
    let text = name(n);
    let mut found = Vec::new();
    let mut sink = |e: ListEntry| {
        found.push(e);
        Ok(())
    };
    report.lines += (own_records.codes.len() + wild_records.codes.len()) as u64;
    let mut input: Input = input(zone.name, zone.options, report, &mut sink);
    if exists {
        own(&mut input, &text, &own_records)?;
    }
    if wild {
        own(&mut input, &format!("*.{text}"), &wild_records)?;
    }
    if below {
        master::encloser(&mut input, &text)?;
    }
    drop(input);
    out.touched.extend(master::subject(&text));
    out.touched.extend(master::subject(&format!("*.{text}")));
    let mut above = Vec::new();
    if found.iter().any(|e| e.implied) {
        for at in starts(n).into_iter().skip(1) {
            if !lists.contains_key(&n[..at]) {
                let owner = [&n[..at], b"\x01*\0"].concat();
                let (records, _) = records(rows, &owner)?;
                lists.insert(n[..at].to_vec(), listed(zone, &name(&owner), &records)?);
            }
            above.extend(lists.get(&n[..at]).cloned().flatten());
        }
    }
    let covered = |s: &Subject| above.iter().any(|a| discriminant(a) == discriminant(s));
    out.entries.extend(
        found
            .into_iter()
            .filter(|e| !e.implied || covered(&e.subject)),
    );
    Ok(())
}

#[cfg(test)]
mod tests;
