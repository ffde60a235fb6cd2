//! The longest match of each source, joined: what a point answers, given the facts of all that covers it.

use super::values::{Facts, FactsId, Interned, Interner, Item, TextId, Value, ValueId};
use crate::model::{ReasonId, SourceId};

/// What one source says at a point for one reason: the longest match so far.
#[derive(Debug, Clone, Copy)]
struct Part {
    reason: ReasonId,
    source: SourceId,
    /// `None` for a hole.
    listed: Option<TextId>,
    len: u8,
}

/// What is known on the way from a wide range to a narrow one. Cloned where the way branches.
#[derive(Debug, Clone, Default)]
pub struct State {
    parts: Vec<Part>,
    exempt: bool,
}

impl State {
    /// Goes on into a subject of length `len` of which `facts` are said.
    pub fn enter(&mut self, facts: &Facts, len: u8) {
        self.exempt |= facts.exempt;
        self.hold(facts);
        for f in facts.facts.iter().filter(|f| f.source != SourceId::ALL) {
            let part = Part { reason: f.reason, source: f.source, listed: (!f.hole).then_some(f.text), len };
            match self.parts.iter_mut().find(|p| (p.reason, p.source) == (f.reason, f.source)) {
                Some(p) => *p = part,
                None => self.parts.push(part),
            }
        }
    }

    /// What is held down for every source is a hole in all of them.
    fn hold(&mut self, facts: &Facts) {
        for f in facts.facts.iter().filter(|f| f.source == SourceId::ALL) {
            self.parts.retain(|p| p.reason != f.reason);
        }
    }

    /// Only the holes and the exemption of a host: its listings are own entries and no cover.
    pub fn enter_holes(&mut self, facts: &Facts) {
        self.exempt |= facts.exempt;
        self.hold(facts);
        for f in facts.facts.iter().filter(|f| f.hole) {
            self.parts.retain(|p| (p.reason, p.source) != (f.reason, f.source));
        }
    }

    /// What a point here answers. A reason is said by the most specific listing; among equals by one that has a text,
    /// then by the first source.
    pub fn resolve(&self, interned: &mut Interned, interner: &mut Interner) -> ValueId {
        if self.exempt {
            return ValueId::EXEMPT;
        }
        let mut items: Vec<(Item, SourceId)> = Vec::new();
        for p in &self.parts {
            let Some(text) = p.listed else { continue };
            let new = (Item { reason: p.reason, len: p.len, text }, p.source);
            let rank = |(i, s): &(Item, SourceId)| (i.len, i.text != TextId::NONE, std::cmp::Reverse(*s));
            match items.iter_mut().find(|(i, _)| i.reason == p.reason) {
                Some(old) if rank(&new) > rank(old) => *old = new,
                Some(_) => {}
                None => items.push(new),
            }
        }
        if items.is_empty() {
            return ValueId::EMPTY;
        }
        items.sort_by_key(|(i, _)| i.reason);
        interner.value(interned, Value::new(items.into_iter().map(|(i, _)| i).collect()))
    }
}

/// The writer's tables of interned things, handed down together.
pub struct Pool<'a> {
    /// The snapshot's side.
    pub interned: &'a mut Interned,
    /// The writer's side.
    pub interner: &'a mut Interner,
}

impl Pool<'_> {
    /// What a state answers.
    pub fn resolve(&mut self, state: &State) -> ValueId {
        state.resolve(self.interned, self.interner)
    }

    /// Goes on into a subject of which `facts` are said.
    pub fn enter(&self, state: &mut State, facts: FactsId, len: u8) {
        state.enter(self.interned.facts(facts), len);
    }

    /// The parts of some values that a node of length `len` can give to everything below it: at most one for each reason,
    /// since what is listed by something that short covers the whole node.
    pub fn common(&mut self, values: impl IntoIterator<Item = ValueId>, len: u8) -> ValueId {
        let mut items: Vec<Item> = Vec::new();
        let mut last = None;
        for id in values {
            if last == Some(id) {
                continue;
            }
            last = Some(id);
            for i in self.interned.value(id).items.iter().filter(|i| i.len <= len) {
                if !items.iter().any(|j| j.reason == i.reason) {
                    items.push(*i);
                }
            }
        }
        items.sort_by_key(|i| i.reason);
        if items.is_empty() { ValueId::EMPTY } else { self.interner.value(self.interned, Value::new(items)) }
    }
}
