//! Reasons and sources as small numbers, and their names.

use std::collections::HashMap;

/// How many reasons a store can have: each is one bit in the masks of the index.
pub const MAX_REASONS: usize = 64;
/// How many sources a store can have.
pub const MAX_SOURCES: usize = 4096;

/// A set of reasons, one bit each.
pub type Mask = u64;

/// A reason's number in this store. It is never reused for another name.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct ReasonId(pub u8);

impl ReasonId {
    /// The set with this reason alone.
    pub fn bit(self) -> Mask {
        1 << (self.0 & 63)
    }

    /// The reasons of a set, in order of number.
    pub fn all_of(mask: Mask) -> impl Iterator<Item = ReasonId> {
        (0..Mask::BITS as u8)
            .map(ReasonId)
            .filter(move |r| mask & r.bit() != 0)
    }
}

/// A source's number in this store. It is never reused for another name.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct SourceId(pub u16);

impl SourceId {
    /// The operator: number 0 in every store.
    pub const OPERATOR: SourceId = SourceId(0);
    /// The results of relay tests.
    pub const PROBER: SourceId = SourceId(1);
    /// Spam traps.
    pub const TRAP: SourceId = SourceId(2);
    /// All present and future sources; used only in holds.
    pub const ALL: SourceId = SourceId(u16::MAX);
    /// The sources whose listings are decided one by one, in order of number. All other sources are
    /// feeds, whose listings come from imports.
    pub const DECIDING: [&str; 3] = ["operator", "prober", "trap"];

    /// Whether the source's listings come from imports.
    pub fn is_feed(self) -> bool {
        usize::from(self.0) >= SourceId::DECIDING.len()
    }
}

/// A table of names: names by number, and numbers by name.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct NameTable {
    names: Vec<String>,
    #[serde(skip)]
    numbers: HashMap<String, usize>,
}

impl NameTable {
    /// Makes a table of names in order of number.
    pub fn new(names: Vec<String>) -> NameTable {
        let numbers = names
            .iter()
            .cloned()
            .enumerate()
            .map(|(i, n)| (n, i))
            .collect();
        NameTable { names, numbers }
    }
    /// All names in order of number.
    pub fn all(&self) -> &[String] {
        &self.names
    }
    fn get(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }
    fn rename(&mut self, from: &str, to: &str, what: &str) -> Result<(), String> {
        check_name(to, what)?;
        let i = self
            .get(from)
            .ok_or_else(|| format!("there is no {what} `{from}`"))?;
        if let Some(other) = self.get(to) {
            self.names[other] = from.into();
            self.numbers.insert(from.into(), other);
        } else {
            self.numbers.remove(from);
        }
        self.names[i] = to.into();
        self.numbers.insert(to.into(), i);
        Ok(())
    }
    fn add(&mut self, name: &str, limit: usize, what: &str) -> Result<usize, String> {
        if let Some(i) = self.get(name) {
            return Ok(i);
        }
        check_name(name, what)?;
        if self.names.len() >= limit {
            return Err(format!(
                "cannot add the {what} `{name}`: a store has at most {limit}"
            ));
        }
        self.names.push(name.into());
        self.numbers.insert(name.into(), self.names.len() - 1);
        Ok(self.names.len() - 1)
    }
}

/// A reason's or source's name: 1 to 64 of `a-z 0-9 - _ .`, a letter or digit first.
fn check_name(name: &str, what: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let first = name
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphanumeric());
    if name.len() <= 64 && first && name.chars().all(fine) {
        return Ok(());
    }
    Err(format!(
        "`{name}` is not a valid name for a {what}: use 1 to 64 of a-z, 0-9, `-`, `_` and `.`, a letter or digit first"
    ))
}

macro_rules! dictionary {
    ($name:ident, $id:ident, $int:ty, $limit:ident, $what:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Default)]
        pub struct $name(pub NameTable);

        impl $name {
            /// The number of a name.
            pub fn get(&self, name: &str) -> Option<$id> {
                self.0.get(name).map(|i| $id(i as $int))
            }
            /// The number of a name; a new name gets one.
            ///
            /// # Errors
            ///
            /// There are too many names, or the name is not valid.
            pub fn add(&mut self, name: &str) -> Result<$id, String> {
                self.0.add(name, $limit, $what).map(|i| $id(i as $int))
            }
            /// Gives a number another name. If that name exists, the two swap their numbers.
            ///
            /// # Errors
            ///
            /// There is no such name, or the new one is not a valid name.
            pub fn rename(&mut self, from: &str, to: &str) -> Result<(), String> {
                self.0.rename(from, to, $what)
            }
            /// The name of a number; `?` for a number that the store has not assigned.
            pub fn name(&self, id: $id) -> &str {
                self.0.all().get(id.0 as usize).map_or("?", |s| s)
            }
        }
    };
}

dictionary!(
    Reasons,
    ReasonId,
    u8,
    MAX_REASONS,
    "reason",
    "All reasons that a store has had, by number."
);
dictionary!(
    Sources,
    SourceId,
    u16,
    MAX_SOURCES,
    "source",
    "All sources that a store has had, by number."
);

/// The source of listings by generic reverse names. It is a feed of this server: look-ups change its
/// entries, and a removal on request suppresses an entry until the name changes.
pub const GENERIC_NAME_SOURCE: &str = "reverse-names";

impl Sources {
    /// Whether a source is the list of another publisher: a feed, except for that of generic names.
    pub fn is_of_others(&self, source: SourceId) -> bool {
        source.is_feed() && self.name(source) != GENERIC_NAME_SOURCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_numbers_are_stable_and_limited() {
        let mut r = Reasons::default();
        for i in 0..MAX_REASONS {
            assert_eq!(r.add(&format!("r{i}")).unwrap().0 as usize, i);
        }
        assert!(r.add("one-more").unwrap_err().contains("64"));
        assert_eq!(r.add("r3").unwrap(), ReasonId(3));
        assert_eq!(r.name(ReasonId(3)), "r3");
        assert!(Sources::default().add("Bad Name").is_err());
    }

    #[test]
    fn source_of_generic_names_is_a_feed_and_not_of_others() {
        let mut sources = Sources(NameTable::new(
            SourceId::DECIDING.map(String::from).to_vec(),
        ));
        let [own, other] = [GENERIC_NAME_SOURCE, "xbl"].map(|n| sources.add(n).unwrap());
        assert!(own.is_feed() && !sources.is_of_others(own));
        assert!(sources.is_of_others(other) && !sources.is_of_others(SourceId::OPERATOR));
    }
}
