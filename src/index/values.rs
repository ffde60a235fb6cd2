//! The values of the tables for a subject, each kept once however many subjects share it.
//!
//! *Facts* are the entries of all sources for one subject, as stored. A *Value* is what a whole
//! range answers after the longest match of each source was taken. Texts, facts and values are
//! interned and named by 32-bit numbers; a sweep frees those that are no longer used.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    sync::{Arc, LazyLock},
};

use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use super::{
    derive::{DerivedReason, Listed, PublishRules, WidenedReason},
    pvec::PersistentVec,
};
use crate::model::{
    EntryText, FeedPath, MAX_HOPS, MAX_REASONS, Mask, ReasonId, SightAge, SourceId, Subject,
    SubjectFamily,
};

/// The length that stands for "the very subject that was asked for": an IPv4 host's own entry.
pub const OWN: u8 = u8::MAX;

/// The number of an interned text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TextId(pub u32);
impl TextId {
    /// No text of its own.
    pub const NONE: TextId = TextId(u32::MAX);
}

/// The number of interned facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FactsId(pub u32);
impl FactsId {
    /// The subject has no entries.
    pub const NONE: FactsId = FactsId(0);
}

/// The number of an interned value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ValueId(pub u32);
impl ValueId {
    /// Not listed.
    pub const EMPTY: ValueId = ValueId(0);
    /// Not listed, and nothing inside is published either.
    pub const EXEMPT: ValueId = ValueId(1);
}

/// The entry of one source for a subject and a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fact {
    /// The reason.
    pub reason: ReasonId,
    /// The source.
    pub source: SourceId,
    /// An exclusion from that source's wider listing.
    pub exclusion: bool,
    /// Its own text, its path, and whether it is exact.
    pub text: TextId,
    /// The longest limit that it has outlived since it was last seen.
    pub aged: SightAge,
}

impl Fact {
    /// The listing that it is, unless it is an exclusion.
    fn listed(&self) -> Option<Listed> {
        (!self.exclusion).then_some(Listed {
            reason: self.reason,
            source: self.source,
            aged: self.aged,
        })
    }
}

/// One reason of an answer: its text and the length of the prefix (or the labels of the name) that
/// is listed.
///
/// Answers show the most specific listing. Rows ([`super::rows`]) send the listing with the
/// shortest path, and of several such the one of the first source, with its own length and text. If
/// anything that another server's rows can change decided between paths, such as the length,
/// servers that follow each other could change their minds for ever; and if text and path were of
/// different listings, a text could outlive its listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Item {
    /// The reason.
    pub reason: ReasonId,
    /// The listed subject's length: bits of a prefix, labels of a name, or [`OWN`].
    pub len: u8,
    /// The length of the listing with the shortest path.
    pub row_len: u8,
    /// The hops of that path ([`crate::model::FeedPath::hops`]).
    pub hops: u8,
    /// Which of several sources with paths as short; 0 without a path.
    pub row_source: SourceId,
    /// Its own text.
    pub text: TextId,
    /// The text and the path of the listing with the shortest path.
    pub row: TextId,
}

impl Item {
    /// A listing of its own: the same for answers and rows.
    pub fn new(reason: ReasonId, len: u8, text: TextId, (hops, source): (u8, SourceId)) -> Item {
        let row_source = if hops == 0 { SourceId(0) } else { source };
        Item {
            reason,
            len,
            row_len: len,
            hops,
            row_source,
            text,
            row: text,
        }
    }

    /// Sends the listing of `other` in rows, if its path is shorter.
    pub fn with_shortest_path(self, other: &Item) -> Item {
        if (self.hops, self.row_source) <= (other.hops, other.row_source) {
            return self;
        }
        Item {
            row_len: other.row_len,
            hops: other.hops,
            row_source: other.row_source,
            row: other.row,
            ..self
        }
    }

    /// The listing that rows send, without the one that answers show. `None` where rows do not have
    /// it: its path is not known, or has no room for one more store.
    pub fn sent(&self) -> Option<Item> {
        // The path is part of what `row` names, so `row_source` adds nothing.
        (usize::from(self.hops) < MAX_HOPS).then(|| {
            Item::new(
                self.reason,
                self.row_len,
                self.row,
                (self.hops, SourceId(0)),
            )
        })
    }
}

/// The facts of one subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Exempt: never published.
    pub exempt: bool,
    /// The entries of each source.
    pub facts: Box<[Fact]>,
    /// The reasons that list it.
    pub mask: Mask,
    /// One item for each of them, for an IPv4 host's answer.
    pub items: Box<[Item]>,
}

impl Facts {
    fn new(
        exempt: bool,
        facts: Box<[Fact]>,
        interned: &Interned,
        derivations: &Derivations,
    ) -> Facts {
        let mut items: Vec<Item> = Vec::new();
        for f in facts.iter().filter(|f| !f.exclusion) {
            let own = Item::new(f.reason, OWN, f.text, (interned.hops(f.text), f.source));
            match items.iter_mut().find(|i| i.reason == f.reason) {
                Some(i) => {
                    *i = i.with_shortest_path(&own);
                    // The first source counts, unless only a later one has a text.
                    if interned.own_text(i.text).is_none() {
                        i.text = f.text;
                    }
                    if (i.hops, own.hops) == (0, 0) && interned.own_text(i.row).is_none() {
                        i.row = f.text;
                    }
                }
                None => items.push(own),
            }
        }
        let own = facts.iter();
        let own = own.filter_map(|f| Some((f.listed()?, f.text, OWN)));
        items.extend(derivations.items(SubjectFamily::Ipv4, interned, &own));
        let mask = items.iter().fold(0, |m, i| m | i.reason.bit());
        Facts {
            exempt,
            facts,
            mask,
            items: items.into(),
        }
    }

    /// Whether it changes a wider listing: then it belongs to the covering table too.
    pub fn overrides_parent(&self) -> bool {
        self.exempt || self.facts.iter().any(|f| f.exclusion)
    }
}

/// What a range (or a name) answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Value {
    /// The reasons that list it.
    pub mask: Mask,
    /// One item for each, sorted by reason.
    pub items: Box<[Item]>,
}

impl Value {
    /// From items sorted by reason.
    pub fn new(items: Vec<Item>) -> Value {
        Value {
            mask: items.iter().fold(0, |m, i| m | i.reason.bit()),
            items: items.into(),
        }
    }

    /// The reasons whose part differs between two values: only one has it, or text or length
    /// differ.
    pub fn differs(&self, other: &Value) -> Mask {
        let lone = self.mask ^ other.mask;
        let both = self
            .items
            .iter()
            .filter(|i| other.mask & i.reason.bit() != 0);
        both.filter(|i| !other.items.contains(i))
            .fold(lone, |m, i| m | i.reason.bit())
    }

    /// The reasons that are listed by something longer than `len`.
    pub fn longer_than(&self, len: u8) -> Mask {
        self.items
            .iter()
            .filter(|i| i.len > len)
            .fold(0, |m, i| m | i.reason.bit())
    }
}

/// The interned texts, facts and values of a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Interned {
    texts: PersistentVec<EntryText>,
    facts: PersistentVec<Facts>,
    values: PersistentVec<Value>,
}

static NO_FACTS: LazyLock<Facts> = LazyLock::new(Facts::default);
static NO_VALUE: LazyLock<Value> = LazyLock::new(Value::default);

impl Interned {
    /// The text of an entry; `None` where it has none of its own.
    pub fn own_text(&self, id: TextId) -> Option<&str> {
        self.texts.get(id.0 as usize).and_then(|t| t.as_deref())
    }
    /// The path of an entry; [`FeedPath::Own`] for [`TextId::NONE`].
    pub fn path(&self, id: TextId) -> &FeedPath {
        self.texts
            .get(id.0 as usize)
            .map_or(&FeedPath::Own, |t| &t.path)
    }
    /// Whether an entry is exact ([`EntryText::exact`]).
    pub(super) fn is_exact(&self, id: TextId) -> bool {
        self.texts.get(id.0 as usize).is_some_and(|t| t.exact)
    }
    fn hops(&self, id: TextId) -> u8 {
        self.path(id).hops()
    }
    /// The facts of a number; empty for an unknown number.
    pub fn facts(&self, id: FactsId) -> &Facts {
        self.facts.get(id.0 as usize).unwrap_or_else(|| &NO_FACTS)
    }
    /// The value of a number; empty for an unknown number.
    pub fn value(&self, id: ValueId) -> &Value {
        self.values.get(id.0 as usize).unwrap_or_else(|| &NO_VALUE)
    }
    /// Facts with their texts, as [`Interner::raw`] takes them.
    pub fn raw(&self, facts: &Facts) -> RawFacts {
        let raw = facts.facts.iter().map(|f| RawFact {
            reason: f.reason,
            source: f.source,
            exclusion: f.exclusion,
            aged: f.aged,
            text: self
                .texts
                .get(f.text.0 as usize)
                .cloned()
                .unwrap_or_default(),
        });
        RawFacts {
            exempt: facts.exempt,
            facts: raw.collect(),
        }
    }
    /// How many texts, facts and values there are, free places included.
    pub fn counts(&self) -> [usize; 3] {
        [self.texts.len(), self.facts.len(), self.values.len()]
    }
    /// All texts in order of number.
    pub fn texts(&self) -> impl Iterator<Item = &EntryText> {
        self.texts.iter()
    }
    /// All facts in order of number.
    pub fn all_facts(&self) -> impl Iterator<Item = &Facts> {
        self.facts.iter()
    }
    /// All values in order of number.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.values.iter()
    }
}

/// A fact whose text is not interned yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RawFact {
    /// The reason.
    pub reason: ReasonId,
    /// The source.
    pub source: SourceId,
    /// An exclusion from that source's wider listing.
    pub exclusion: bool,
    /// Its own text, its path, and whether it is exact.
    pub text: EntryText,
    /// The longest limit that it has outlived since it was last seen; 0 for entries of feeds.
    pub aged: SightAge,
}

/// The facts of one subject, as the ledger passes them. Empty: remove the subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RawFacts {
    /// Exempt: never published.
    pub exempt: bool,
    /// The entries of each source, sorted by reason and source.
    pub facts: Vec<RawFact>,
}

impl RawFacts {
    /// The facts of a verdict. A hold counts as an exclusion, so that the subject also stays out of
    /// a wider listing.
    pub fn of(v: &crate::model::Verdict) -> RawFacts {
        let facts = v.entries.iter().map(|e| {
            let exclusion = e.exclusion || v.is_suppressed(e.reason, e.source);
            RawFact {
                reason: e.reason,
                source: e.source,
                exclusion,
                text: e.text.clone(),
                aged: if exclusion {
                    SightAge::default()
                } else {
                    e.aged
                },
            }
        });
        // A hold without an entry keeps the subject out of what is wider.
        let lone = v
            .holds
            .iter()
            .filter(|h| v.entry(h.reason, h.source).is_none());
        let lone = lone.map(|h| RawFact {
            reason: h.reason,
            source: h.source,
            exclusion: true,
            text: EntryText::default(),
            aged: SightAge::default(),
        });
        let mut facts: Vec<RawFact> = facts.chain(lone).collect();
        facts.sort_by_key(|f| (f.reason, f.source));
        RawFacts {
            exempt: v.exempt.is_some(),
            facts,
        }
    }

    /// The fact of a reason and source.
    pub fn fact(&self, reason: ReasonId, source: SourceId) -> Option<&RawFact> {
        let mut facts = self.facts.iter();
        facts.find(|f| (f.reason, f.source) == (reason, source))
    }
}

type Map<K> = HashMap<K, u32, FxBuildHasher>;

/// The derived reasons of all zones.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Derivations {
    all: Arc<[Arc<DerivedReason>]>,
    /// The widened reasons of all, each once, in order of number.
    widened: Arc<[WidenedReason]>,
}

impl FromIterator<Arc<DerivedReason>> for Derivations {
    fn from_iter<I: IntoIterator<Item = Arc<DerivedReason>>>(all: I) -> Derivations {
        let all: Arc<[Arc<DerivedReason>]> = all.into_iter().collect();
        let widened = all.iter().flat_map(|derived| derived.widened());
        let widened: BTreeSet<WidenedReason> = widened.copied().collect();
        Derivations {
            all,
            widened: widened.into_iter().collect(),
        }
    }
}

impl From<&PublishRules> for Derivations {
    fn from(rules: &PublishRules) -> Derivations {
        rules.derived().cloned().collect()
    }
}

impl Derivations {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them, in order.
    pub fn all(&self) -> &[Arc<DerivedReason>] {
        &self.all
    }

    /// The widened reasons that they count.
    pub fn widened(&self) -> &[WidenedReason] {
        &self.widened
    }

    /// The networks around a single IPv6 address as which rules count its listings.
    pub fn networks_around(&self, subject: &Subject) -> impl Iterator<Item = Subject> {
        let address = match subject {
            Subject::V6(p) if p.is_host() => Some(*p),
            _ => None,
        };
        let widths: BTreeSet<u8> = self.widened.iter().map(|w| w.width).collect();
        address.into_iter().flat_map(move |address| {
            let widths = widths.clone().into_iter();
            widths.map(move |width| Subject::V6(address.widen(width)))
        })
    }

    /// The facts of a subject without those for widened reasons.
    pub(super) fn own_facts(&self, mut facts: RawFacts) -> RawFacts {
        let is_widened = |f: &RawFact| self.widened.iter().any(|w| w.number == f.reason);
        facts.facts.retain(|f| !is_widened(f));
        facts
    }

    /// A number that differs between different derived reasons; 0 for none.
    pub fn fingerprint(&self) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let bytes = postcard::to_stdvec(&self.all.iter().map(|d| &**d).collect::<Vec<_>>());
        // Plain values cannot fail to serialize; two sets that did would share a number.
        super::fnv::fnv(&bytes.unwrap_or_default())
    }

    /// The items of a point that has these listings, each with its text and the length of the
    /// subject.
    pub fn items(
        &self,
        family: SubjectFamily,
        interned: &Interned,
        listings: &(impl Iterator<Item = (Listed, TextId, u8)> + Clone),
    ) -> Vec<Item> {
        let mut out = Vec::new();
        for derived in self.all.iter() {
            let counted = listings.clone().filter_map(|(fact, text, len)| {
                let listed = derived.listing_of_fact(family, fact)?;
                let counts = derived.counts(family, listed);
                counts.then_some((listed, text, len))
            });
            if !derived.is_listed(counted.clone().map(|(listed, ..)| listed)) {
                continue;
            }
            let best = counted.max_by_key(|(listed, text, len)| {
                let has_text = interned.own_text(*text).is_some();
                (*len, has_text, Reverse(listed.source))
            });
            if let Some((listed, text, len)) = best {
                let path = (interned.hops(text), listed.source);
                out.push(Item::new(derived.reason, len, text, path));
            }
        }
        out
    }

    /// The derived reasons of a subject by its own facts alone.
    pub fn mask(&self, family: SubjectFamily, facts: &Facts) -> Mask {
        let listed = facts.facts.iter().filter_map(Fact::listed);
        let derived = self.all.iter().filter(|derived| {
            let listed = listed.clone();
            let listed = listed.filter_map(|fact| derived.listing_of_fact(family, fact));
            let counted = listed.filter(|l| derived.counts(family, *l));
            derived.is_listed(counted)
        });
        derived.fold(0, |mask, derived| mask | derived.reason.bit())
    }
}

/// Gives numbers to texts, facts and values: the writer's side of [`Interned`].
#[derive(Debug, Default, Clone)]
pub struct Interner {
    /// The derived reasons.
    pub derivations: Derivations,
    texts: Map<EntryText>,
    facts: Map<(bool, Box<[Fact]>)>,
    values: Map<Box<[Item]>>,
    free: [Vec<u32>; 3],
}

fn place<T: Clone>(vec: &mut PersistentVec<T>, free: &mut Vec<u32>, item: T) -> u32 {
    match free.pop() {
        Some(i) => {
            vec.set(i as usize, item);
            i
        }
        None => vec.push(item) as u32,
    }
}

impl Interner {
    /// An interner for an empty table; it assigns the fixed numbers.
    pub fn new(to: &mut Interned) -> Interner {
        to.facts.push(Facts::default());
        to.values.push(Value::default());
        to.values.push(Value::default());
        let mut new = Interner::default();
        new.facts.insert((false, Box::new([])), FactsId::NONE.0);
        new.values.insert(Box::new([]), ValueId::EMPTY.0);
        new
    }

    /// The interned values of an image, each with the number that it had; free places are empty.
    /// `None` if they name each other wrongly.
    pub fn restore(
        texts: Vec<EntryText>,
        facts: Vec<(bool, Box<[Fact]>)>,
        values: Vec<Box<[Item]>>,
        derivations: Derivations,
    ) -> Option<(Interned, Interner)> {
        let mut to = Interned::default();
        let mut new = Interner {
            derivations,
            ..Interner::default()
        };
        let known = |id: TextId| id == TextId::NONE || (id.0 as usize) < texts.len();
        let is_reason = |r: ReasonId| usize::from(r.0) < MAX_REASONS;
        let is_fact = |f: &Fact| is_reason(f.reason) && known(f.text);
        let is_item = |i: &Item| is_reason(i.reason) && known(i.text) && known(i.row);
        let fixed = facts
            .first()
            .is_some_and(|(exempt, f)| !exempt && f.is_empty())
            && values.len() >= 2
            && values[..2].iter().all(|v| v.is_empty());
        let sound = facts.iter().all(|(_, f)| f.iter().all(is_fact))
            && values.iter().all(|v| v.iter().all(is_item));
        if !fixed || !sound {
            return None;
        }
        for (i, text) in texts.into_iter().enumerate() {
            if text == EntryText::default() {
                new.free[0].push(i as u32);
            } else {
                new.texts.insert(text.clone(), i as u32);
            }
            to.texts.push(text);
        }
        for (i, (exempt, list)) in facts.into_iter().enumerate() {
            let free = i > 0 && !exempt && list.is_empty();
            let fact = Facts::new(exempt, list.clone(), &to, &new.derivations);
            to.facts.push(fact);
            if free {
                new.free[1].push(i as u32);
            } else {
                new.facts.insert((exempt, list), i as u32);
            }
        }
        for (i, items) in values.into_iter().enumerate() {
            to.values.push(Value::new(items.to_vec()));
            match i {
                0 => drop(new.values.insert(items, ValueId::EMPTY.0)),
                1 => {}
                i if items.is_empty() => new.free[2].push(i as u32),
                i => drop(new.values.insert(items, i as u32)),
            }
        }
        Some((to, new))
    }

    /// The number of a text.
    pub fn text(&mut self, to: &mut Interned, text: &EntryText) -> TextId {
        if *text == EntryText::default() {
            return TextId::NONE;
        }
        if let Some(i) = self.texts.get(text) {
            return TextId(*i);
        }
        let i = place(&mut to.texts, &mut self.free[0], text.clone());
        self.texts.insert(text.clone(), i);
        TextId(i)
    }

    /// The number of a subject's facts.
    pub fn raw(&mut self, to: &mut Interned, raw: &RawFacts) -> FactsId {
        let facts = raw.facts.iter();
        let facts = facts
            .map(|f| Fact {
                reason: f.reason,
                source: f.source,
                exclusion: f.exclusion,
                text: self.text(to, &f.text),
                aged: f.aged,
            })
            .collect();
        self.facts(to, raw.exempt, facts)
    }

    /// The number of facts whose texts have numbers.
    pub fn facts(&mut self, to: &mut Interned, exempt: bool, facts: Box<[Fact]>) -> FactsId {
        let key = (exempt, facts);
        if let Some(i) = self.facts.get(&key) {
            return FactsId(*i);
        }
        let facts = Facts::new(exempt, key.1.clone(), to, &self.derivations);
        let i = place(&mut to.facts, &mut self.free[1], facts);
        self.facts.insert(key, i);
        FactsId(i)
    }

    /// The number of a value.
    pub fn value(&mut self, to: &mut Interned, value: Value) -> ValueId {
        if let Some(i) = self.values.get(&value.items) {
            return ValueId(*i);
        }
        let i = place(&mut to.values, &mut self.free[2], value.clone());
        self.values.insert(value.items, i);
        ValueId(i)
    }

    /// Frees every number that is not in use. `facts` and `values` report the numbers that the
    /// tables use; texts follow from them.
    pub fn sweep(&mut self, to: &mut Interned, mut facts: Vec<bool>, mut values: Vec<bool>) {
        facts.resize(to.facts.len().max(1), false);
        values.resize(to.values.len().max(2), false);
        (facts[0], values[0], values[1]) = (true, true, true);
        let mut texts = vec![false; to.texts.len()];
        let mut mark = |id: TextId| {
            if let Some(t) = texts.get_mut(id.0 as usize) {
                *t = true;
            }
        };
        to.facts
            .iter()
            .zip(&facts)
            .filter(|(_, used)| **used)
            .for_each(|(f, _)| f.facts.iter().for_each(|f| mark(f.text)));
        to.values
            .iter()
            .zip(&values)
            .filter(|(_, used)| **used)
            .for_each(|(v, _)| {
                v.items.iter().for_each(|i| {
                    mark(i.text);
                    mark(i.row);
                });
            });
        let dead = |used: &[bool]| {
            (0..used.len() as u32)
                .filter(|i| !used[*i as usize])
                .collect()
        };
        self.texts.retain(|_, i| texts[*i as usize]);
        self.facts.retain(|_, i| facts[*i as usize]);
        self.values.retain(|_, i| values[*i as usize]);
        self.free = [dead(&texts), dead(&facts), dead(&values)];
        // The memory goes at once; a reader of an older snapshot has its own copy of the leaf.
        for i in &self.free[0] {
            to.texts.set(*i as usize, EntryText::default());
        }
        for i in &self.free[1] {
            to.facts.set(*i as usize, Facts::default());
        }
        for i in &self.free[2] {
            to.values.set(*i as usize, Value::default());
        }
    }
}
