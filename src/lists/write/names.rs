//! A domain zone as names that give the same result to both kinds of readers: by the rules of DNS
//! (RFC 4592: the closest existing name decides), or by removing labels until a wildcard fits.
//! Resolvers use the one or the other with policies.
//!
//! So every name that is not listed below a listed wildcard is written: names with others below
//! them, and what is below those.

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

/// Reports a name, or what is below one, with what lists it; no listing for an exclusion.
pub(super) type NameSink<'t> = &'t mut dyn FnMut(&Domain, &Items) -> io::Result<()>;

/// A name on the way to the current one, and the value of what is below it so far.
struct Above {
    name: String,
    own: Items,
    below: Items,
    /// Whether what is below it was reported.
    is_reported: bool,
}

struct Walk<'t> {
    sink: NameSink<'t>,
    /// The current name and those above it: at most as many as a name has labels.
    open_names: Vec<Above>,
    result: io::Result<()>,
}

impl Walk<'_> {
    /// Takes what is at a name or below it. A name comes before everything below it.
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
        // Without a listed wildcard above, nothing has to be excluded.
        let wild = above.last().is_some_and(|a| !a.below.is_empty());
        for (scope, items) in [(Scope::Name, &at.own), (Scope::Below, &at.below)] {
            if self.result.is_ok() && (wild || !items.is_empty()) {
                self.result = (self.sink)(&Domain::from_canonical(&at.name, scope), items);
            }
        }
    }

    /// Goes to a name: leaves the names that it is not below of, and enters those in between, which
    /// only have others below them.
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

/// Reports all names of a domain zone, those above before those below them.
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
