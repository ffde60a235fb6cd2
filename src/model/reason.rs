//! Reason and Source: the configured vocabulary of why, and the names of who says so, as small
//! numbers.

use std::collections::HashMap;

/// How many reasons a store can know: one bit each in the masks of the index.
pub const MAX_REASONS: usize = 64;
/// How many sources a store can know.
pub const MAX_SOURCES: usize = 4096;

/// A set of reasons, one bit each.
pub type Mask = u64;

/// A reason's number in this store; given once, never reused for another name.
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
}

/// A source's number in this store; given once, never reused for another name.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct SourceId(pub u16);

impl SourceId {
    /// The operator: number 0 in every store.
    pub const OPERATOR: SourceId = SourceId(0);
    /// What relay tests have proved.
    pub const PROBER: SourceId = SourceId(1);
    /// What spam traps have received.
    pub const TRAP: SourceId = SourceId(2);
    /// Every source there is or will be: what a hold on a whole reason names.
    pub const ALL: SourceId = SourceId(u16::MAX);
    /// The sources that decide one by one, in order of number. Every other source is a feed,
    /// replaced by its imports.
    pub const DECIDING: [&str; 3] = ["operator", "prober", "trap"];

    /// Whether a feed replaces this source's listings.
    pub fn is_feed(self) -> bool {
        usize::from(self.0) >= SourceId::DECIDING.len()
    }
}

/// Names by number and numbers by name: the store's memory of a vocabulary.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Names {
    names: Vec<String>,
    #[serde(skip)]
    numbers: HashMap<String, usize>,
}

impl Names {
    /// From the names in order of number.
    pub fn new(names: Vec<String>) -> Names {
        let numbers = names
            .iter()
            .cloned()
            .enumerate()
            .map(|(i, n)| (n, i))
            .collect();
        Names { names, numbers }
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
                "no room for the {what} `{name}`: a store knows at most {limit}"
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
        "`{name}` is no name for a {what}: 1 to 64 of a-z, 0-9, `-`, `_` and `.`, a letter or digit first"
    ))
}

macro_rules! vocabulary {
    ($name:ident, $id:ident, $int:ty, $limit:ident, $what:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Default)]
        pub struct $name(pub Names);

        impl $name {
            /// The number of a name.
            pub fn get(&self, name: &str) -> Option<$id> {
                self.0.get(name).map(|i| $id(i as $int))
            }
            /// The number of a name, given now if it has none; an error where there is no room or
            /// the name is bad.
            pub fn add(&mut self, name: &str) -> Result<$id, String> {
                self.0.add(name, $limit, $what).map(|i| $id(i as $int))
            }
            /// Gives a number another name. Where that exists the two change their numbers.
            ///
            /// # Errors
            ///
            /// There is no such name, or the new one cannot be a name.
            pub fn rename(&mut self, from: &str, to: &str) -> Result<(), String> {
                self.0.rename(from, to, $what)
            }
            /// The name of a number; `?` where this store never gave it.
            pub fn name(&self, id: $id) -> &str {
                self.0.all().get(id.0 as usize).map_or("?", |s| s)
            }
        }
    };
}

vocabulary!(
    Reasons,
    ReasonId,
    u8,
    MAX_REASONS,
    "reason",
    "The reasons a store has ever known."
);
vocabulary!(
    Sources,
    SourceId,
    u16,
    MAX_SOURCES,
    "source",
    "The sources a store has ever known."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_and_the_limit_holds() {
        let mut r = Reasons::default();
        for i in 0..MAX_REASONS {
            assert_eq!(r.add(&format!("r{i}")).unwrap().0 as usize, i);
        }
        assert!(r.add("one-more").unwrap_err().contains("64"));
        assert_eq!(r.add("r3").unwrap(), ReasonId(3));
        assert_eq!(r.name(ReasonId(3)), "r3");
        assert!(Sources::default().add("Bad Name").is_err());
    }
}
