//! Joins the longest match of each source: what a point answers, given the facts of all subjects
//! that cover it.

use std::cmp::Reverse;

use super::{
    derive::Listed,
    values::{Facts, FactsId, Interned, Interner, Item, TextId, Value, ValueId},
};
use crate::model::{ReasonId, SightAge, SourceId, SubjectFamily};

/// The longest match of one source for one reason so far; and, for rules that do not count it
/// because it was last seen too long ago, each longest match that was seen later.
#[derive(Debug, Clone, Copy)]
struct Part {
    reason: ReasonId,
    source: SourceId,
    /// `None` for an exclusion.
    listed: Option<TextId>,
    len: u8,
    aged: SightAge,
    /// Whether it is the longest match.
    is_longest: bool,
}

/// The matches on the way from a wide range to a narrow one. Cloned where the way branches.
#[derive(Debug, Clone, Default)]
pub struct State {
    parts: Vec<Part>,
    exempt: bool,
}

impl State {
    /// Goes on into a subject of length `len` with these facts.
    pub fn enter(&mut self, facts: &Facts, len: u8) {
        self.exempt |= facts.exempt;
        self.hold(facts);
        for f in facts.facts.iter().filter(|f| f.source != SourceId::ALL) {
            let part = Part {
                reason: f.reason,
                source: f.source,
                listed: (!f.exclusion).then_some(f.text),
                len,
                aged: f.aged,
                is_longest: true,
            };
            let mut part = Some(part);
            self.parts.retain_mut(|p| {
                if (p.reason, p.source) != (f.reason, f.source) {
                    return true;
                }
                p.is_longest = false;
                if !f.exclusion && p.listed.is_some() && p.aged < f.aged {
                    return true;
                }
                part.take().map(|part| *p = part).is_some()
            });
            self.parts.extend(part);
        }
    }

    /// A hold for every source is an exclusion in all of them.
    fn hold(&mut self, facts: &Facts) {
        for f in facts.facts.iter().filter(|f| f.source == SourceId::ALL) {
            self.parts.retain(|p| p.reason != f.reason);
        }
    }

    /// Enters only the exclusions and the exemption of a host: its listings are entries of its own
    /// and cover nothing.
    pub fn enter_exclusions(&mut self, facts: &Facts) {
        self.exempt |= facts.exempt;
        self.hold(facts);
        for f in facts.facts.iter().filter(|f| f.exclusion) {
            self.parts
                .retain(|p| (p.reason, p.source) != (f.reason, f.source));
        }
    }

    /// What a point here answers. The text of a reason comes from the most specific listing; among
    /// equals from one that has a text, then from the first source.
    pub fn resolve(
        &self,
        family: SubjectFamily,
        interned: &mut Interned,
        interner: &mut Interner,
    ) -> ValueId {
        if self.exempt {
            return ValueId::EXEMPT;
        }
        let mut items: Vec<Candidate> = Vec::new();
        for p in self.parts.iter().filter(|p| p.is_longest) {
            let Some(text) = p.listed else { continue };
            let new = (
                Item::new(
                    p.reason,
                    p.len,
                    text,
                    (interned.path(text).hops(), p.source),
                ),
                p.source,
                p.source,
            );
            match items.iter_mut().find(|(i, ..)| i.reason == p.reason) {
                Some(old) => *old = joined(interned, *old, new),
                None => items.push(new),
            }
        }
        if items.is_empty() {
            return ValueId::EMPTY;
        }
        let mut items: Vec<Item> = items.into_iter().map(|(i, ..)| i).collect();
        let listings = self.parts.iter();
        let listings = listings.filter_map(|p| {
            let listed = Listed {
                reason: p.reason,
                source: p.source,
                aged: p.aged,
            };
            Some((listed, p.listed?, p.len))
        });
        items.extend(interner.derivations.items(family, interned, &listings));
        items.sort_by_key(|i| i.reason);
        interner.value(interned, Value::new(items))
    }

    /// Whether nothing is listed here.
    pub fn is_unlisted(&self) -> bool {
        self.exempt || self.parts.iter().all(|p| p.listed.is_none())
    }
}

/// One reason's item, the source that answers show, and the source of the listing that rows send.
type Candidate = (Item, SourceId, SourceId);

/// Joins the listings of two sources for one reason.
fn joined(interned: &Interned, a: Candidate, b: Candidate) -> Candidate {
    let has_text = |id: TextId| interned.own_text(id).is_some();
    let shown = |(i, s, _): &Candidate| (i.len, has_text(i.text), Reverse(*s));
    let own_word = |(i, _, s): &Candidate| (i.row_len, has_text(i.row), Reverse(*s));
    let (show, other) = if shown(&b) > shown(&a) {
        (b, a)
    } else {
        (a, b)
    };
    let item = match (a.0.hops, b.0.hops) {
        (0, 0) => {
            let send = if own_word(&b) > own_word(&a) { b } else { a };
            return (
                Item {
                    row_len: send.0.row_len,
                    row: send.0.row,
                    ..show.0
                },
                show.1,
                send.2,
            );
        }
        _ => show.0.with_shortest_path(&other.0),
    };
    (
        item,
        show.1,
        if item.row == show.0.row {
            show.2
        } else {
            other.2
        },
    )
}

/// The writer's tables of interned values, passed together.
pub struct InternContext<'a> {
    /// The snapshot's side.
    pub interned: &'a mut Interned,
    /// The writer's side.
    pub interner: &'a mut Interner,
    /// The table that is changed.
    pub family: SubjectFamily,
}

impl InternContext<'_> {
    /// What a state answers.
    pub fn resolve(&mut self, state: &State) -> ValueId {
        state.resolve(self.family, self.interned, self.interner)
    }

    /// Goes on into a subject with these facts.
    pub fn enter(&self, state: &mut State, facts: FactsId, len: u8) {
        state.enter(self.interned.facts(facts), len);
    }

    /// The parts of some values that a node of length `len` can give to everything below it: at
    /// most one for each reason, because a listing as short as that covers the whole node.
    pub fn common(&mut self, values: impl IntoIterator<Item = ValueId>, len: u8) -> ValueId {
        let mut items: Vec<Item> = Vec::new();
        let mut last = None;
        for id in values {
            if last == Some(id) {
                continue;
            }
            last = Some(id);
            for i in self
                .interned
                .value(id)
                .items
                .iter()
                .filter(|i| i.len <= len)
            {
                if !items.iter().any(|j| j.reason == i.reason) {
                    items.push(*i);
                }
            }
        }
        items.sort_by_key(|i| i.reason);
        if items.is_empty() {
            ValueId::EMPTY
        } else {
            self.interner.value(self.interned, Value::new(items))
        }
    }
}
