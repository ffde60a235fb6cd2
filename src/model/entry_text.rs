//! The text of an entry, with the servers that it came through, and whether it is exact.
//!
//! These are one value, because they are stored, interned and compared together, and nearly all
//! entries of a list have the same. Only a server that follows another one uses the path, and it
//! needs path and text. Only rules with a width use whether an entry is exact.

use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// The identity of a store: a random number that no other store has.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct StoreId(pub u64);

impl std::fmt::Display for StoreId {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The most stores in a path. An entry whose path is full is not accepted by a follower.
pub const MAX_HOPS: usize = 8;

/// The way by which an entry reached this server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FeedPath {
    /// The entry was decided on this server, or is from a list that was imported here.
    #[default]
    Own,
    /// The entry came in rows of other servers: the stores that it came through, the nearest first,
    /// at most [`MAX_HOPS`].
    Via(Box<[StoreId]>),
    /// The entry came by a zone transfer without paths, so that it may originate from this server.
    /// It is not sent on in rows.
    Untraced,
}

impl FeedPath {
    /// The hops of [`FeedPath::Untraced`]: more than any path has.
    pub const UNTRACED_HOPS: u8 = u8::MAX;

    /// The path of an entry that was received through these stores.
    pub fn via(stores: Vec<StoreId>) -> FeedPath {
        if stores.is_empty() {
            FeedPath::Own
        } else {
            FeedPath::Via(stores.into())
        }
    }

    /// The stores, the nearest first.
    pub fn stores(&self) -> &[StoreId] {
        match self {
            FeedPath::Via(stores) => stores,
            FeedPath::Own | FeedPath::Untraced => &[],
        }
    }

    /// The number of stores that the entry came through. Paths are compared by it.
    pub fn hops(&self) -> u8 {
        match self {
            FeedPath::Untraced => FeedPath::UNTRACED_HOPS,
            path => path.stores().len() as u8,
        }
    }
}

/// The text of an entry in answers, the path of the entry, and whether it is exact. Dereferences to
/// the text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryText {
    /// The text, in which `$` stands for the listed subject; `None`: the text of the reason.
    pub text: Option<Box<str>>,
    /// The path of the entry.
    pub path: FeedPath,
    /// Whether the listing of a single IPv6 address counts as the address alone in rules that count
    /// others as the network around them.
    pub exact: bool,
}

impl EntryText {
    /// The same text and path, exact or not.
    #[must_use]
    pub fn with_exact(self, exact: bool) -> EntryText {
        EntryText { exact, ..self }
    }
}

impl Deref for EntryText {
    type Target = Option<Box<str>>;
    fn deref(&self) -> &Option<Box<str>> {
        &self.text
    }
}

impl<T: Into<Box<str>>> From<Option<T>> for EntryText {
    fn from(text: Option<T>) -> EntryText {
        EntryText {
            text: text.map(Into::into),
            path: FeedPath::Own,
            exact: false,
        }
    }
}

impl From<&str> for EntryText {
    fn from(text: &str) -> EntryText {
        EntryText::from(Some(text))
    }
}

/// The first byte of a stored text that has a path before it, or is exact.
///
/// It is followed by `x` if the entry is exact, the number of stores (or `u` for [`FeedPath::Untraced`]), 16 hexadecimal
/// digits for each store, and, if there is a text, `.` and the text. A text without a path is
/// stored as it is, as in versions before paths; a text that itself starts with this byte gets an
/// empty path.
const MARK: char = '\u{1}';
/// Follows [`MARK`] in the stored text of an exact entry.
const EXACT: char = 'x';

impl EntryText {
    fn stored(&self) -> Option<String> {
        let text = self.text.as_deref();
        let is_plain = self.path == FeedPath::Own && !self.exact;
        if is_plain && !text.is_some_and(|t| t.starts_with(MARK)) {
            return None;
        }
        let mut out = String::from(MARK);
        if self.exact {
            out.push(EXACT);
        }
        match &self.path {
            FeedPath::Untraced => out.push('u'),
            path => out += &path.stores().len().to_string(),
        }
        self.path
            .stores()
            .iter()
            .for_each(|s| out += &s.to_string());
        if let Some(text) = text {
            out.push('.');
            out += text;
        }
        Some(out)
    }

    fn parse(stored: &str) -> Option<EntryText> {
        let Some(rest) = stored.strip_prefix(MARK) else {
            return Some(EntryText::from(stored));
        };
        let exact = rest.starts_with(EXACT);
        let rest = rest.strip_prefix(EXACT).unwrap_or(rest);
        let (kind, mut rest) = rest.split_at_checked(1)?;
        let mut stores = Vec::new();
        for _ in 0..kind.parse::<usize>().unwrap_or(0) {
            let (digits, tail) = rest.split_at_checked(16)?;
            stores.push(StoreId(u64::from_str_radix(digits, 16).ok()?));
            rest = tail;
        }
        let path = match kind {
            "u" => FeedPath::Untraced,
            _ => FeedPath::via(stores),
        };
        let text = match rest {
            "" => None,
            rest => Some(rest.strip_prefix('.')?.into()),
        };
        Some(EntryText { text, path, exact })
    }
}

impl Serialize for EntryText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.stored() {
            Some(stored) => Some(stored).serialize(to),
            None => self.text.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for EntryText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<EntryText, D::Error> {
        let Some(stored) = Option::<Box<str>>::deserialize(from)? else {
            return Ok(EntryText::default());
        };
        if !stored.starts_with(MARK) {
            return Ok(EntryText::from(Some(stored)));
        }
        EntryText::parse(&stored)
            .ok_or_else(|| D::Error::custom("the stored path of an entry is not valid"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path() -> impl Strategy<Value = FeedPath> {
        let via = prop::collection::vec(any::<u64>().prop_map(StoreId), 0..MAX_HOPS)
            .prop_map(FeedPath::via);
        prop_oneof![Just(FeedPath::Own), via, Just(FeedPath::Untraced)]
    }

    proptest! {
        #[test]
        fn stored_text_and_path_are_read_back(text in prop::option::of("\u{1}?x?.{0,20}"), path in path(), exact: bool) {
            let value = EntryText { text: text.map(Into::into), path, exact };
            let bytes = postcard::to_stdvec(&value).unwrap();
            prop_assert_eq!(postcard::from_bytes::<EntryText>(&bytes).unwrap(), value);
        }
    }

    /// Stores of versions before paths have plain texts.
    #[test]
    fn text_without_path_is_stored_as_plain_text() {
        for text in [None, Some("see $"), Some("")] {
            let text: Option<Box<str>> = text.map(Into::into);
            let plain = postcard::to_stdvec(&text).unwrap();
            assert_eq!(
                postcard::to_stdvec(&EntryText::from(text.clone())).unwrap(),
                plain
            );
            assert_eq!(
                postcard::from_bytes::<EntryText>(&plain).unwrap(),
                EntryText::from(text)
            );
        }
    }
}
