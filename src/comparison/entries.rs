//! The entries of a list: addresses and prefixes of both families, and names with their scopes.

use super::runs::{Key4, Key6, ListTooLong, Merge, NameKey, Runs};
use crate::model::{Domain, Prefix4, Prefix6, Scope, Subject};

/// The length of a prefix, and whether it is an exclusion, as the lowest bits of a key: a wider
/// prefix sorts before those inside it that begin with the same address.
pub(super) struct Mark;

impl Mark {
    /// The bits of a mark.
    const BITS: u32 = 9;

    fn of(len: u8, is_exclusion: bool) -> u16 {
        u16::from(len) << 1 | u16::from(is_exclusion)
    }

    fn read(mark: u16) -> (u8, bool) {
        ((mark >> 1) as u8, mark & 1 == 1)
    }
}

/// The entries of a list, in any order, in little memory: some three bytes for an IPv4 address.
#[derive(Debug, Clone, Default)]
pub struct EntrySet {
    ip4: Runs<Key4>,
    ip6: Runs<Key6>,
    names: Runs<NameKey>,
}

/// An address or prefix of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// The first address, as a number of its family.
    pub first: u128,
    /// The last address.
    pub last: u128,
    /// The length in bits.
    pub len: u8,
    /// Whether it excludes its addresses from a wider entry.
    pub is_exclusion: bool,
}

/// A name of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedName {
    /// The labels from the top-level domain on, each with a zero byte behind it.
    pub labels: Vec<u8>,
    /// What of the name is listed.
    pub scope: Scope,
    /// Whether it excludes its names from a wider entry.
    pub is_exclusion: bool,
}

impl ListedName {
    /// The key of the subject, and a byte that says whether it is an exclusion.
    fn key(name: &Subject, is_exclusion: bool) -> NameKey {
        let mut key = name.key();
        key.push(u8::from(is_exclusion));
        NameKey(key)
    }

    fn read(NameKey(mut key): NameKey) -> Option<ListedName> {
        let is_exclusion = key.pop()? == 1;
        let scope = SCOPES.get(usize::from(key.pop()?).checked_sub(1)?)?;
        key.remove(0);
        Some(ListedName {
            labels: key,
            scope: *scope,
            is_exclusion,
        })
    }

    pub(super) fn subject(&self) -> Subject {
        name_subject(&self.labels, self.scope)
    }
}

/// The scopes of a name by their numbers.
pub(super) const SCOPES: [Scope; 3] = [Scope::Name, Scope::Below, Scope::Tree];

/// The subject of a name, whose labels are as in [`ListedName::labels`].
pub(super) fn name_subject(labels: &[u8], scope: Scope) -> Subject {
    let labels = labels.strip_suffix(&[0]).unwrap_or(labels);
    let mut name = String::with_capacity(labels.len());
    for label in labels.rsplit(|b| *b == 0) {
        if !name.is_empty() {
            name.push('.');
        }
        // The labels are those of a name, which is ASCII.
        name.extend(label.iter().map(|b| char::from(*b)));
    }
    Subject::Domain(Domain::from_canonical(&name, scope))
}

impl EntrySet {
    /// Adds an entry; an exclusion if it is not `listed`.
    ///
    /// # Errors
    ///
    /// The list is too long.
    pub fn push(&mut self, subject: &Subject, listed: bool) -> Result<(), ListTooLong> {
        match subject {
            Subject::V4(p) => {
                let mark = u64::from(Mark::of(p.len(), !listed));
                self.ip4
                    .push(Key4(u64::from(p.first()) << Mark::BITS | mark))
            }
            Subject::V6(p) => self.ip6.push(Key6(p.first(), Mark::of(p.len(), !listed))),
            name => self.names.push(ListedName::key(name, !listed)),
        }
    }

    /// Ends the list. Only what was added before is read.
    ///
    /// # Errors
    ///
    /// The list is too long.
    pub fn finish(mut self) -> Result<EntrySet, ListTooLong> {
        self.ip4.write_run()?;
        self.ip6.write_run()?;
        self.names.write_run()?;
        Ok(self)
    }

    /// The listed subjects in order: IPv4, IPv6, names. Those that are in the list twice, or are
    /// excluded by the same list, are not repeated.
    pub fn listed(&self) -> impl Iterator<Item = Subject> {
        let ip4 = self.ip4().map(|s| (s.ip4(), s.is_exclusion));
        let ip6 = self.ip6().map(|s| (s.ip6(), s.is_exclusion));
        let names = self.names().map(|n| (n.subject(), n.is_exclusion));
        let all = ip4.chain(ip6).chain(names);
        all.filter_map(|(subject, is_exclusion)| (!is_exclusion).then_some(subject))
    }

    /// The IPv4 addresses and prefixes in order, each once.
    pub(super) fn ip4(&self) -> impl Iterator<Item = Span> {
        let span = |key: Key4| {
            let first = (key.0 >> Mark::BITS) as u32;
            let (len, is_exclusion) = Mark::read(key.0 as u16 & ((1 << Mark::BITS) - 1));
            Span {
                first: u128::from(first),
                last: u128::from(Prefix4::new(first, len).last()),
                len,
                is_exclusion,
            }
        };
        once(self.ip4.merge().map(span), |a, b| {
            (a.first, a.len) == (b.first, b.len)
        })
    }

    /// The IPv6 addresses and prefixes in order, each once.
    pub(super) fn ip6(&self) -> impl Iterator<Item = Span> {
        let span = |key: Key6| {
            let (len, is_exclusion) = Mark::read(key.1);
            Span {
                first: key.0,
                last: Prefix6::new(key.0, len).last(),
                len,
                is_exclusion,
            }
        };
        once(self.ip6.merge().map(span), |a, b| {
            (a.first, a.len) == (b.first, b.len)
        })
    }

    /// The names in order, each scope of a name once.
    pub(super) fn names(&self) -> impl Iterator<Item = ListedName> {
        let names: Merge<'_, NameKey> = self.names.merge();
        once(names.filter_map(ListedName::read), |a, b| {
            (&a.labels, a.scope as u8) == (&b.labels, b.scope as u8)
        })
    }
}

impl Span {
    pub(super) fn ip4(self) -> Subject {
        Subject::V4(Prefix4::new(self.first as u32, self.len))
    }

    pub(super) fn ip6(self) -> Subject {
        Subject::V6(Prefix6::new(self.first, self.len))
    }
}

/// The last of each group of equal items. Of a listing and an exclusion of the same subject, that
/// is the exclusion, which sorts last.
fn once<T>(items: impl Iterator<Item = T>, same: fn(&T, &T) -> bool) -> impl Iterator<Item = T> {
    let mut items = items.peekable();
    std::iter::from_fn(move || {
        let mut item = items.next()?;
        while let Some(next) = items.next_if(|next| same(&item, next)) {
            item = next;
        }
        Some(item)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_subjects_are_in_order_once_and_without_exclusions() {
        let mut set = EntrySet::default();
        for (text, listed) in [
            ("www.bad.example", true),
            ("2001:db8::/32", true),
            ("192.0.2.1", true),
            ("192.0.2.0/24", true),
            ("192.0.2.1", true),
            ("10.0.0.0/8", true),
            ("192.0.2.7", true),
            ("192.0.2.7", false),
            (".bad.example", true),
            ("bad.example", true),
        ] {
            set.push(&text.parse().unwrap(), listed).unwrap();
        }
        let set = set.finish().unwrap();
        let listed: Vec<String> = set.listed().map(|s| s.to_string()).collect();
        let expected = [
            "10.0.0.0/8",
            "192.0.2.0/24",
            "192.0.2.1",
            "2001:db8::/32",
            "bad.example",
            ".bad.example",
            "www.bad.example",
        ];
        assert_eq!(listed, expected);
    }
}
