//! Compares the names of two lists in one pass. A name is a point, and the names below it are a
//! range, so each name of either list has two parts: itself, and what is below it. The nearest entry
//! of a list decides about a part.

use std::{cmp::Ordering, io};

use super::{
    entries::NameReader,
    keys::SCOPES,
    presence::{Owner, Presence, Presences},
};
use crate::model::Scope;

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

/// Receives an entry of a list: the labels of its name and its scope, and how far the other list has
/// it.
pub(super) type OnName<'f> = &'f mut dyn FnMut(Owner, (&[u8], Scope), Presence) -> io::Result<()>;

/// Receives an entry that the other list lists, in the order of the names.
pub(super) type OnListedName<'f> = &'f mut dyn FnMut(&[u8], Scope) -> io::Result<()>;

/// A name of either list, whose subtree is read.
struct OpenName {
    /// The labels, as in [`NameKey::labels`](super::keys::NameKey::labels).
    labels: Vec<u8>,
    /// The entries by list and scope.
    entries: [[Option<NameEntry>; 3]; 2],
    /// The entry of each list that decides about the names below.
    below: [Option<EntryPlace>; 2],
}

/// The names of both lists that are read at present.
struct OpenNames<'f> {
    open: Vec<OpenName>,
    /// The memory of labels that are not used any more.
    unused: Vec<Vec<u8>>,
    on_entry: OnName<'f>,
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
    fn push(&mut self, labels: Vec<u8>, entries: [[Option<NameEntry>; 3]; 2]) {
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
            labels,
            entries,
            below,
        });
        self.mark(point);
        self.mark(below);
    }

    /// Ends the subtrees that a name is not in; all of them without one.
    fn close_until(&mut self, name: Option<&[u8]>) -> io::Result<()> {
        // Each label ends with a zero byte, so a name that begins with these labels is below them.
        let is_outside = |above: &OpenName| name.is_none_or(|n| !n.starts_with(&above.labels));
        while let Some(closed) = self.open.pop_if(|n| is_outside(n)) {
            let above = self.open.last().map_or([None; 2], |n| n.below);
            for (list, mut entries) in closed.entries.into_iter().enumerate() {
                if entries.iter().all(Option::is_none) {
                    continue;
                }
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
                        (self.on_entry)(OWNERS[list], (&closed.labels, scope), presence)?;
                    }
                }
            }
            self.unused.push(closed.labels);
        }
        Ok(())
    }
}

/// Visits each entry of both lists with how far the other list has it, and the listed entries of
/// the other list.
pub(super) fn compare_names(
    mut theirs: NameReader<'_>,
    mut ours: NameReader<'_>,
    on_listed: OnListedName<'_>,
    on_entry: OnName<'_>,
) -> io::Result<()> {
    let mut names = OpenNames {
        open: Vec::new(),
        unused: Vec::new(),
        on_entry,
    };
    loop {
        let order = match (theirs.peek(), ours.peek()) {
            (None, None) => return names.close_until(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.cmp(b),
        };
        let mut labels = names.unused.pop().unwrap_or_default();
        let mut exclusions = [[None; SCOPES.len()]; 2];
        if order.is_le() {
            exclusions[0] = theirs.take(&mut labels);
            for (scope, is_exclusion) in SCOPES.into_iter().zip(exclusions[0]) {
                if is_exclusion == Some(false) {
                    on_listed(&labels, scope)?;
                }
            }
        }
        if order.is_ge() {
            exclusions[1] = ours.take(&mut labels);
        }
        let entry = |is_exclusion| NameEntry {
            is_exclusion,
            presences: Presences::default(),
        };
        names.close_until(Some(&labels))?;
        names.push(
            labels,
            exclusions.map(|list| list.map(|scope| scope.map(entry))),
        );
    }
}
