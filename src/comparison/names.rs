//! Compares the names of two lists in one pass. A name is a point, and the names below it are a
//! range, so each name of either list has two parts: itself, and what is below it. The nearest entry
//! of a list decides about a part.

use std::{cmp::Ordering, io, iter::Peekable};

use super::presence::{Owner, Presence, Presences};
use crate::model::{Domain, Scope, Subject};

/// The scopes by their numbers.
const SCOPES: [Scope; 3] = [Scope::Name, Scope::Below, Scope::Tree];
/// The lists, in the order of all arrays by list.
const OWNERS: [Owner; 2] = [Owner::Theirs, Owner::Ours];

/// An entry of a list for a name.
#[derive(Debug, Clone, Copy)]
struct NameEntry {
    is_exclusion: bool,
    presences: Presences,
}

/// The place of an entry: the number of its name among the open ones, and its scope.
type EntryPlace = (usize, usize);

/// A name of either list, whose subtree is read.
struct OpenName {
    name: Box<str>,
    /// The entries by list and scope.
    entries: [[Option<NameEntry>; 3]; 2],
    /// The entry of each list that decides about the names below.
    below: [Option<EntryPlace>; 2],
}

/// A name with the entries of a list by scope.
struct NameGroup {
    name: Box<str>,
    entries: [Option<NameEntry>; 3],
}

/// Groups the entries of a list by name.
struct NameGroups<I: Iterator<Item = (Subject, bool)>>(Peekable<I>);

impl<I: Iterator<Item = (Subject, bool)>> NameGroups<I> {
    fn peek(&mut self) -> Option<&str> {
        match self.0.peek() {
            Some((Subject::Domain(d), _)) => Some(d.name()),
            _ => None,
        }
    }

    fn take(&mut self) -> Option<NameGroup> {
        let name: Box<str> = self.peek()?.into();
        let mut entries = [None; 3];
        let is_same = |s: &Subject| matches!(s, Subject::Domain(d) if d.name() == &*name);
        while let Some((Subject::Domain(d), is_exclusion)) = self.0.next_if(|(s, _)| is_same(s)) {
            entries[d.scope() as usize] = Some(NameEntry {
                is_exclusion,
                presences: Presences::default(),
            });
        }
        Some(NameGroup { name, entries })
    }
}

/// The names of both lists that are read at present.
struct OpenNames<'f> {
    open: Vec<OpenName>,
    on_entry: &'f mut dyn FnMut(Owner, &Subject, Presence) -> io::Result<()>,
}

impl OpenNames<'_> {
    fn entry(&mut self, list: usize, (name, scope): EntryPlace) -> Option<&mut NameEntry> {
        self.open.get_mut(name)?.entries[list][scope].as_mut()
    }

    /// Whether the entry at a place lists its names.
    fn is_listed(&mut self, list: usize, place: Option<EntryPlace>) -> bool {
        let entry = place.and_then(|place| self.entry(list, place));
        entry.is_some_and(|e| !e.is_exclusion)
    }

    /// Notes, for the entries that decide about a part, whether the other list has the part.
    fn mark(&mut self, deciding: [Option<EntryPlace>; 2]) {
        let listed = [0, 1].map(|list| self.is_listed(list, deciding[list]));
        for list in [0, 1] {
            if listed[list]
                && let Some(entry) = deciding[list].and_then(|place| self.entry(list, place))
            {
                entry.presences.mark(listed[1 - list]);
            }
        }
    }

    /// Begins the subtree of a name.
    fn push(&mut self, name: Box<str>, entries: [[Option<NameEntry>; 3]; 2]) {
        let number = self.open.len();
        let above = self.open.last().map_or([None; 2], |n| n.below);
        let deciding = |list: usize, own: Scope| {
            let own = [own, Scope::Tree].map(|scope| scope as usize);
            let found = own.into_iter().find(|s| entries[list][*s].is_some());
            found.map(|scope| (number, scope)).or(above[list])
        };
        let point = [0, 1].map(|list| deciding(list, Scope::Name));
        let below = [0, 1].map(|list| deciding(list, Scope::Below));
        self.open.push(OpenName {
            name,
            entries,
            below,
        });
        self.mark(point);
        self.mark(below);
    }

    /// Ends the subtrees that a name is not in; all of them without one.
    fn close_until(&mut self, name: Option<&str>) -> io::Result<()> {
        let is_outside = |above: &OpenName| name.is_none_or(|n| !is_below(n, &above.name));
        while let Some(closed) = self.open.pop_if(|n| is_outside(n)) {
            let above = self.open.last().map_or([None; 2], |n| n.below);
            for (list, mut entries) in closed.entries.into_iter().enumerate() {
                for scope in SCOPES {
                    let entry = entries[scope as usize].filter(|e| !e.is_exclusion);
                    let Some(entry) = entry else { continue };
                    // The subtree of the same name is around the name, and around what is below it.
                    let own = Scope::Tree as usize;
                    let outer = match (scope, &mut entries[own]) {
                        (Scope::Name | Scope::Below, Some(tree)) => Some(tree),
                        _ => above[list].and_then(|place| self.entry(list, place)),
                    };
                    if let Some(outer) = outer.filter(|e| !e.is_exclusion) {
                        outer.presences.add(entry.presences);
                    }
                    if let Some(presence) = entry.presences.presence() {
                        let domain = Domain::from_canonical(&closed.name, scope);
                        (self.on_entry)(OWNERS[list], &Subject::Domain(domain), presence)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn is_below(name: &str, above: &str) -> bool {
    let prefix = name.strip_suffix(above);
    prefix.is_some_and(|rest| rest.ends_with('.'))
}

/// Visits each entry of both lists with how far the other list has it.
pub(super) fn compare_names(
    theirs: impl Iterator<Item = (Subject, bool)>,
    ours: impl Iterator<Item = (Subject, bool)>,
    on_entry: &mut dyn FnMut(Owner, &Subject, Presence) -> io::Result<()>,
) -> io::Result<()> {
    let (mut theirs, mut ours) = (NameGroups(theirs.peekable()), NameGroups(ours.peekable()));
    let mut names = OpenNames {
        open: Vec::new(),
        on_entry,
    };
    loop {
        let order = match (theirs.peek(), ours.peek()) {
            (None, None) => return names.close_until(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.rsplit('.').cmp(b.rsplit('.')),
        };
        let their_group = order.is_le().then(|| theirs.take()).flatten();
        let our_group = order.is_ge().then(|| ours.take()).flatten();
        let entries = [&their_group, &our_group];
        let entries = entries.map(|g| g.as_ref().map_or([None; 3], |g| g.entries));
        if let Some(NameGroup { name, .. }) = their_group.or(our_group) {
            names.close_until(Some(&name))?;
            names.push(name, entries);
        }
    }
}
