//! A domain zone as names that give the same result to readers of both kinds: by the rules of DNS
//! (RFC 4592: the closest existing name decides), or by removing labels until a wildcard matches.
//! Resolvers apply policies in one way or the other.
//!
//! So every unlisted name below a listed wildcard is written as an exclusion: also names that only
//! have names below them.

use std::io;

use super::Export;
use crate::{
    index::{
        Items,
        find::labels_in,
        render::{Rendered, render},
    },
    model::{Domain, Scope},
};

/// Receives a name or the wildcard below one, with its listings; without listings it is an
/// exclusion.
pub(super) type NameSink<'t> = &'t mut dyn FnMut(&Domain, &Items) -> io::Result<()>;

/// The current name or one above it, with the listings of the name and of the wildcard below it.
struct Above {
    name: String,
    own: Items,
    below: Items,
    /// Whether the name and the wildcard were reported.
    is_reported: bool,
}

struct Walk<'t> {
    sink: NameSink<'t>,
    /// The current name and those above it: at most as many as a name has labels.
    open_names: Vec<Above>,
    result: io::Result<()>,
}

impl Walk<'_> {
    /// Sets the listings of a name or of the wildcard below it. A name comes before all names below
    /// it.
    fn take(&mut self, name: &str, scope: Scope, items: Items) {
        if self.open_names.last().is_none_or(|a| a.name != name) {
            self.finish();
            self.enter(name);
        }
        if let Some(at) = self.open_names.last_mut() {
            match scope {
                Scope::Name => at.own = items,
                _ => at.below = items,
            }
        }
    }

    /// Reports the current name.
    fn finish(&mut self) {
        let Some((at, above)) = self.open_names.split_last_mut() else {
            return;
        };
        if at.is_reported {
            return;
        }
        at.is_reported = true;
        // Exclusions are only needed below a listed wildcard.
        let wild = above.last().is_some_and(|a| !a.below.is_empty());
        for (scope, items) in [(Scope::Name, &at.own), (Scope::Below, &at.below)] {
            if self.result.is_ok() && (wild || !items.is_empty()) {
                self.result = (self.sink)(&Domain::from_canonical(&at.name, scope), items);
            }
        }
    }

    /// Goes to a name: leaves the names that are not above it, and enters those between, which only
    /// have names below them.
    fn enter(&mut self, name: &str) {
        let within = |a: &Above| {
            name.strip_suffix(&a.name)
                .is_some_and(|rest| rest.ends_with('.'))
        };
        while self.open_names.last().is_some_and(|a| !within(a)) {
            self.open_names.pop();
        }
        let known = self.open_names.last().map_or(0, |a| a.name.len());
        let starts: Vec<usize> = [0]
            .into_iter()
            .chain(name.match_indices('.').map(|(i, _)| i + 1))
            .collect();
        for start in starts.into_iter().rev().filter(|s| name.len() - s > known) {
            self.finish();
            self.open_names.push(Above {
                name: name[start..].into(),
                own: Items::default(),
                below: Items::default(),
                is_reported: false,
            });
        }
    }
}

/// Visits all names of a domain zone, each before the names below it.
pub(super) fn names(e: &Export, sink: NameSink) -> io::Result<()> {
    let mut walk = Walk {
        sink,
        open_names: Vec::new(),
        result: Ok(()),
    };
    render(&e.snapshot.tables, e.view, &mut |owner, at| {
        if walk.result.is_err() {
            return;
        }
        let labels: Vec<&str> = labels_in(owner)
            .map(|l| std::str::from_utf8(l).unwrap_or("?"))
            .collect();
        let (scope, labels) = match labels.split_first() {
            Some((&"*", rest)) => (Scope::Below, rest),
            _ => (Scope::Name, &labels[..]),
        };
        let mut items = Items::default();
        match at {
            Rendered::Fixed(_) | Rendered::Row(_) | Rendered::Identity(_) => return,
            Rendered::Blank => {}
            Rendered::Listed(l) => {
                items.extend(l.own, e.view.mask);
                items.extend(l.cover, e.view.mask);
            }
        }
        walk.take(&labels.join("."), scope, items);
    });
    walk.finish();
    walk.result
}
