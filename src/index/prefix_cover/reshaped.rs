//! Which listed prefixes an export does not write as they are listed.

use crate::{
    index::Items,
    model::{Prefix4, Prefix6, Subject},
};

/// How a listed prefix is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As a part of a wider prefix, with its neighbours or with the prefix that holds it.
    Merged,
    /// In several parts, because something inside it is listed or excluded separately.
    Split,
}

/// Called with each listed prefix that is not written as it is listed.
pub type OnReshaped<'a> = &'a mut dyn FnMut(Shape, Subject);

/// A prefix of either family: its first address and its length.
type Prefix = (u128, u8);

/// Compares the listed prefixes of one family with the runs that are written as the fewest
/// prefixes. Memory is bounded by the depth to which prefixes nest, not by their number.
pub(super) struct Reshaped<'a> {
    bits: u8,
    emit: Option<OnReshaped<'a>>,
    /// The listed prefixes that hold the current address and were already counted.
    open: Vec<Prefix>,
    /// Prefixes whose shape depends on where the run ends.
    pending: Vec<Prefix>,
    run: Option<(u128, u128)>,
}

impl<'a> Reshaped<'a> {
    /// Starts a family whose addresses have `bits` bits.
    pub(super) fn new(bits: u8, emit: Option<OnReshaped<'a>>) -> Reshaped<'a> {
        Reshaped {
            bits,
            emit,
            open: Vec::new(),
            pending: Vec::new(),
            run: None,
        }
    }

    /// Gives the receiver back, for the other family.
    pub(super) fn finish(self) -> Option<OnReshaped<'a>> {
        self.emit
    }

    /// Adds a stretch of addresses to the current run, or starts one.
    pub(super) fn add(&mut self, first: u128, last: u128, items: &Items) {
        if self.emit.is_none() {
            return;
        }
        let start = self.run.map_or(first, |r| r.0);
        self.run = Some((start, last));
        for item in items.as_slice() {
            let len = item.len.min(self.bits);
            let mask = host_mask(self.bits, len);
            let mut at = Some(first & !mask);
            while let Some(prefix) = at.filter(|a| *a <= last) {
                self.count((prefix, len), first.max(prefix));
                at = (prefix | mask).checked_add(1);
            }
        }
        self.settle(false);
    }

    fn count(&mut self, prefix: Prefix, current: u128) {
        let bits = self.bits;
        self.open.retain(|p| last(bits, *p) >= current);
        if !self.open.contains(&prefix) {
            self.open.push(prefix);
            self.pending.push(prefix);
        }
    }

    /// Ends the current run.
    pub(super) fn end(&mut self) {
        if self.emit.is_some() {
            self.settle(true);
            self.run = None;
        }
    }

    /// Reports the pending prefixes whose shape is known: all of them if the run has ended.
    fn settle(&mut self, ended: bool) {
        let (Some((start, end)), Some(emit)) = (self.run, &mut self.emit) else {
            return;
        };
        let bits = self.bits;
        self.pending.retain(|prefix| {
            let parent = prefix
                .1
                .checked_sub(1)
                .map(|len| (prefix.0 & !host_mask(bits, len), len));
            let whole = prefix.0 >= start && last(bits, *prefix) <= end;
            let grows = !ended && parent.is_some_and(|p| p.0 >= start);
            match () {
                () if parent.is_some_and(|p| p.0 >= start && last(bits, p) <= end) => {
                    emit(Shape::Merged, subject(bits, *prefix));
                }
                () if grows || (!whole && !ended && prefix.0 >= start) => return true,
                () if whole => {}
                () => emit(Shape::Split, subject(bits, *prefix)),
            }
            false
        });
    }
}

/// The bits of an address that follow a prefix of a length.
fn host_mask(bits: u8, len: u8) -> u128 {
    let host = u32::from(bits.saturating_sub(len));
    1u128.checked_shl(host).map_or(u128::MAX, |size| size - 1)
}

fn last(bits: u8, (first, len): Prefix) -> u128 {
    first | host_mask(bits, len)
}

fn subject(bits: u8, (first, len): Prefix) -> Subject {
    match bits {
        Prefix4::BITS => Subject::V4(Prefix4::new(first as u32, len)),
        _ => Subject::V6(Prefix6::new(first, len)),
    }
}
