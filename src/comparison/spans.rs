//! Compares the addresses of two lists in one pass. Both lists are read in order; at each point the
//! open entries of a list are nested, and the innermost one says whether the list has the address.

use std::{io, iter::Peekable};

use super::{
    coverage::Coverage,
    entries::Span,
    presence::{Owner, Presence, Presences},
};

/// An entry that begins before the current address and has not ended.
struct OpenSpan {
    span: Span,
    presences: Presences,
}

/// One of the lists.
struct SpanList<I: Iterator<Item = Span>> {
    next: Peekable<I>,
    open: Vec<OpenSpan>,
}

impl<I: Iterator<Item = Span>> SpanList<I> {
    fn new(spans: I) -> SpanList<I> {
        SpanList {
            next: spans.peekable(),
            open: Vec::new(),
        }
    }

    fn next_first(&mut self) -> Option<u128> {
        self.next.peek().map(|s| s.first)
    }

    /// Opens the entries that begin at an address.
    fn open_at(
        &mut self,
        address: u128,
        on_open: &mut dyn FnMut(Span) -> io::Result<()>,
    ) -> io::Result<()> {
        while let Some(span) = self.next.next_if(|s| s.first == address) {
            on_open(span)?;
            let presences = Presences::default();
            self.open.push(OpenSpan { span, presences });
        }
        Ok(())
    }

    /// The last address up to which nothing changes in this list, from an address on.
    fn unchanged_until(&mut self) -> u128 {
        let open = self.open.last().map_or(u128::MAX, |o| o.span.last);
        let before = self.next_first().map_or(u128::MAX, |f| f - 1);
        open.min(before)
    }

    fn lists(&self) -> bool {
        self.open.last().is_some_and(|o| !o.span.is_exclusion)
    }

    /// Closes the entries that end at an address.
    fn close_at(
        &mut self,
        address: u128,
        on_entry: &mut dyn FnMut(Span, Presence) -> io::Result<()>,
    ) -> io::Result<()> {
        while let Some(closed) = self.open.pop_if(|o| o.span.last == address) {
            if closed.span.is_exclusion {
                continue;
            }
            if let Some(outer) = self.open.last_mut() {
                outer.presences.add(closed.presences);
            }
            if let Some(presence) = closed.presences.presence() {
                on_entry(closed.span, presence)?;
            }
        }
        Ok(())
    }
}

/// Visits each entry of both lists with how far the other list has it, and the listed entries of the
/// other list in order. Counts the addresses.
pub(super) fn compare_spans(
    theirs: impl Iterator<Item = Span>,
    ours: impl Iterator<Item = Span>,
    on_listed: &mut dyn FnMut(Span) -> io::Result<()>,
    on_entry: &mut dyn FnMut(Owner, Span, Presence) -> io::Result<()>,
) -> io::Result<Coverage> {
    let (mut theirs, mut ours) = (SpanList::new(theirs), SpanList::new(ours));
    let mut coverage = Coverage::default();
    let mut address = 0;
    loop {
        if theirs.open.is_empty() && ours.open.is_empty() {
            let next = theirs.next_first().into_iter().chain(ours.next_first());
            match next.min() {
                Some(first) => address = first,
                None => return Ok(coverage),
            }
        }
        theirs.open_at(address, &mut |span| match span.is_exclusion {
            true => Ok(()),
            false => on_listed(span),
        })?;
        ours.open_at(address, &mut |_| Ok(()))?;
        let last = theirs.unchanged_until().min(ours.unchanged_until());
        let listed = [theirs.lists(), ours.lists()];
        coverage.add((last - address).saturating_add(1), listed);
        for (list, other) in [(&mut theirs.open, listed[1]), (&mut ours.open, listed[0])] {
            let innermost = list.last_mut().filter(|o| !o.span.is_exclusion);
            innermost.into_iter().for_each(|o| o.presences.mark(other));
        }
        theirs.close_at(last, &mut |s, p| on_entry(Owner::Theirs, s, p))?;
        ours.close_at(last, &mut |s, p| on_entry(Owner::Ours, s, p))?;
        match last.checked_add(1) {
            Some(next) => address = next,
            None => return Ok(coverage),
        }
    }
}
