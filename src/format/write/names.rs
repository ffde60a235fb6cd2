//! A zone of domains as names that a reader can look up either way: by the rules of DNS (RFC 4592:
//! the closest name that exists speaks), or by taking labels off until a wildcard fits. Resolvers
//! do the one or the other with policies.
//!
//! For that, whatever is not listed below a listed wildcard is said: names with others below them,
//! and what is below those.

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

/// Tells a name, or what is below one, with what lists it; nothing for an exception.
pub(super) type Tell<'t> = &'t mut dyn FnMut(&Domain, &Items) -> io::Result<()>;

/// A name on the way to the one that is told: what is below it, as far as it is known.
struct Above {
    name: String,
    own: Items,
    below: Items,
    /// Whether what is below it has been told.
    told: bool,
}

struct Walk<'t> {
    tell: Tell<'t>,
    /// The name in work and those above it: at most as many as a name has labels.
    way: Vec<Above>,
    result: io::Result<()>,
}

impl Walk<'_> {
    /// Takes what stands at a name or below it. A name comes before all that is below it.
    fn take(&mut self, name: &str, scope: Scope, items: Items) {
        if self.way.last().is_none_or(|a| a.name != name) {
            self.finish();
            self.enter(name);
        }
        if let Some(at) = self.way.last_mut() {
            match scope {
                Scope::Name => at.own = items,
                _ => at.below = items,
            }
        }
    }

    /// Tells the name in work.
    fn finish(&mut self) {
        let Some((at, above)) = self.way.split_last_mut() else {
            return;
        };
        if at.told {
            return;
        }
        at.told = true;
        // Without a listed wildcard above there is nothing that has to be excepted.
        let wild = above.last().is_some_and(|a| !a.below.is_empty());
        for (scope, items) in [(Scope::Name, &at.own), (Scope::Below, &at.below)] {
            if self.result.is_ok() && (wild || !items.is_empty()) {
                self.result = (self.tell)(&Domain::from_canonical(&at.name, scope), items);
            }
        }
    }

    /// Goes to a name: back from what it is not below of, and through the names between, which only
    /// have others below.
    fn enter(&mut self, name: &str) {
        let within = |a: &Above| {
            name.strip_suffix(&a.name)
                .is_some_and(|rest| rest.ends_with('.'))
        };
        while self.way.last().is_some_and(|a| !within(a)) {
            self.way.pop();
        }
        let known = self.way.last().map_or(0, |a| a.name.len());
        let starts: Vec<usize> = [0]
            .into_iter()
            .chain(name.match_indices('.').map(|(i, _)| i + 1))
            .collect();
        for start in starts.into_iter().rev().filter(|s| name.len() - s > known) {
            self.finish();
            self.way.push(Above {
                name: name[start..].into(),
                own: Items::default(),
                below: Items::default(),
                told: false,
            });
        }
    }
}

/// Tells all names of a zone of domains, those above before those below them.
pub(super) fn names(e: &Export, tell: Tell) -> io::Result<()> {
    let mut walk = Walk {
        tell,
        way: Vec::new(),
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
