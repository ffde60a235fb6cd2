//! Entries of a table in the order of their keys, and what each of them answers: its own facts
//! joined with those of the entries around it.
//!
//! Keys are ordered so that an entry stands before everything inside it, and so that everything
//! inside it stands together. One pass with a stack therefore knows, at each entry, all those
//! around it.

use super::{
    cover::{InternContext, State},
    values::{FactsId, ValueId},
};

/// The key of an entry.
pub(super) trait Key: Copy + Ord + std::fmt::Debug {
    /// Whether another key is inside this one and inherits from it. A key is not inside itself.
    fn contains(self, other: Self) -> bool;
    /// The length of the subject, as an item counts it: bits of a prefix, labels of a name.
    fn level(self) -> u8;
    /// Whether two keys stand at the same place, and so always in the same leaf.
    fn same_place(self, other: Self) -> bool;
}

/// An entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<K> {
    /// Its key.
    pub key: K,
    /// Its facts; [`FactsId::NONE`] for an entry that has just been removed.
    pub facts: FactsId,
    /// What it answers and gives to what is inside it.
    pub value: ValueId,
    /// Whether its facts have changed, so that its value is out of date.
    pub changed: bool,
}

/// Merges changes into entries; both are in order. A key that has no facts any more stays as a
/// changed entry without facts.
pub(super) fn merge<K: Key>(old: Vec<Entry<K>>, changes: &[(K, FactsId)]) -> Vec<Entry<K>> {
    let mut out = Vec::with_capacity(old.len() + changes.len());
    let mut old = old.into_iter().peekable();
    for (key, facts) in changes {
        while let Some(e) = old.next_if(|e| e.key < *key) {
            out.push(e);
        }
        let there = old.next_if(|e| e.key == *key);
        if let Some(same) = there.filter(|e| e.facts == *facts) {
            out.push(same);
        } else if there.is_some() || *facts != FactsId::NONE {
            out.push(Entry {
                key: *key,
                facts: *facts,
                value: ValueId::EMPTY,
                changed: true,
            });
        }
    }
    out.extend(old);
    out
}

/// An entry on the way to the one that is looked at.
#[derive(Debug, Clone)]
pub(super) struct Around<K> {
    /// Its key.
    pub key: K,
    /// Its facts.
    pub facts: FactsId,
    /// What it gives.
    pub value: ValueId,
    /// Whether it, or something around it, has changed.
    pub changed: bool,
    /// The facts up to here, joined; made when they are needed.
    state: Option<State>,
}

impl<K> Around<K> {
    /// An entry whose value is up to date unless it has changed.
    pub fn new(key: K, facts: FactsId, value: ValueId, changed: bool) -> Around<K> {
        Around {
            key,
            facts,
            value,
            changed,
            state: None,
        }
    }
}

/// Computes the values of all entries that have changed or are inside one that has; the entries
/// around the first one are given from the outside in, and get their values too.
pub(super) fn compile<K: Key>(
    around: &mut [Around<K>],
    entries: &mut [Entry<K>],
    context: &mut InternContext,
) {
    let mut stack: Vec<Around<K>> = Vec::with_capacity(around.len() + 8);
    for outer in around {
        let changed = outer.changed || stack.last().is_some_and(|top| top.changed);
        outer.changed = changed;
        stack.push(outer.clone());
        if changed {
            outer.value = value_of(&mut stack, context);
            if let Some(top) = stack.last_mut() {
                top.value = outer.value;
            }
        }
    }
    // Many entries with the same facts and nothing around them have the same value.
    let mut last: Option<(FactsId, u8, ValueId)> = None;
    for e in entries {
        while stack.last().is_some_and(|top| !top.key.contains(e.key)) {
            stack.pop();
        }
        let (alone, level) = (stack.is_empty(), e.key.level());
        let changed = e.changed || stack.last().is_some_and(|top| top.changed);
        stack.push(Around::new(e.key, e.facts, e.value, changed));
        if !changed {
            continue;
        }
        e.value = match last {
            Some((facts, at, value)) if alone && (facts, at) == (e.facts, level) => value,
            _ => value_of(&mut stack, context),
        };
        if alone {
            last = Some((e.facts, level, e.value));
        }
        if let Some(top) = stack.last_mut() {
            top.value = e.value;
        }
    }
}

/// The value of the top of the stack.
fn value_of<K: Key>(stack: &mut [Around<K>], context: &mut InternContext) -> ValueId {
    let known = stack
        .iter()
        .rposition(|a| a.state.is_some())
        .map_or(0, |i| i + 1);
    for i in known..stack.len() {
        let mut state = match i.checked_sub(1) {
            Some(above) => stack[above].state.clone().unwrap_or_default(),
            None => State::default(),
        };
        context.enter(&mut state, stack[i].facts, stack[i].key.level());
        stack[i].state = Some(state);
    }
    match stack.last().and_then(|top| top.state.as_ref()) {
        Some(state) => context.resolve(state),
        None => ValueId::EMPTY,
    }
}
