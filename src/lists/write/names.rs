//! A domain zone as names that give the same result to readers of both kinds: by the rules of DNS
//! (RFC 4592: the closest existing name decides), or by removing labels until a wildcard matches.
//! Resolvers apply policies in one way or the other.
//!
//! So every unlisted name below a listed wildcard is written as an exclusion: also names that only
//! have names below them.

use std::io;

use super::{Export, text_of};
use crate::{
    index::{Items, render::Rendered},
    lists::text::is_below,
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
}

impl Walk<'_> {
    /// Sets the listings of a name or of the wildcard below it. A name comes before all names below
    /// it.
    fn take(&mut self, name: &str, scope: Scope, items: Items) -> io::Result<()> {
        if self.open_names.last().is_none_or(|a| a.name != name) {
            self.finish()?;
            self.enter(name)?;
        }
        if let Some(at) = self.open_names.last_mut() {
            match scope {
                Scope::Name => at.own = items,
                _ => at.below = items,
            }
        }
        Ok(())
    }

    /// Reports the current name.
    fn finish(&mut self) -> io::Result<()> {
        let Some((at, above)) = self.open_names.split_last_mut() else {
            return Ok(());
        };
        if std::mem::replace(&mut at.is_reported, true) {
            return Ok(());
        }
        // Exclusions are only needed below a listed wildcard.
        let wild = above.last().is_some_and(|a| !a.below.is_empty());
        for (scope, items) in [(Scope::Name, &at.own), (Scope::Below, &at.below)] {
            if wild || !items.is_empty() {
                (self.sink)(&Domain::from_canonical(&at.name, scope), items)?;
            }
        }
        Ok(())
    }

    /// Goes to a name: leaves the names that are not above it, and enters those between, which only
    /// have names below them.
    fn enter(&mut self, name: &str) -> io::Result<()> {
        let above = self
            .open_names
            .iter()
            .take_while(|a| is_below(name, &a.name));
        self.open_names.truncate(above.count());
        let known = self.open_names.last().map_or(0, |a| a.name.len());
        let starts = name.rmatch_indices('.').map(|(i, _)| i + 1).chain([0]);
        for start in starts.filter(|s| name.len() - s > known) {
            self.finish()?;
            self.open_names.push(Above {
                name: name[start..].into(),
                own: Items::default(),
                below: Items::default(),
                is_reported: false,
            });
        }
        Ok(())
    }
}

/// Visits all names of a domain zone, each before the names below it.
pub(super) fn names(e: &Export, sink: NameSink) -> io::Result<()> {
    visit(e, sink, &|f| e.render_names(f))
}

/// The same, with the names by which clients ask for the zone's addresses.
pub(super) fn asked_names(e: &Export, sink: NameSink) -> io::Result<()> {
    visit(e, sink, &|f| e.render(f))
}

/// Receives an owner with what it has.
type OwnerSink<'t> = &'t mut dyn FnMut(&[u8], Rendered) -> io::Result<()>;

fn visit(
    e: &Export,
    sink: NameSink,
    render: &dyn Fn(OwnerSink) -> io::Result<()>,
) -> io::Result<()> {
    let mut walk = Walk {
        sink,
        open_names: Vec::new(),
    };
    render(&mut |owner, at| {
        let name = text_of(owner);
        let (scope, name) = match name.strip_prefix("*.") {
            Some(rest) => (Scope::Below, rest),
            None => (Scope::Name, name.as_str()),
        };
        let mut items = Items::default();
        match at {
            Rendered::Static(_) | Rendered::Row(_) | Rendered::Identity(_) => return Ok(()),
            Rendered::Excluded => {}
            Rendered::Listed(l) => {
                items.extend(l.own, e.view.mask);
                items.extend(l.cover, e.view.mask);
            }
        }
        walk.take(name, scope, items)
    })?;
    walk.finish()
}
