//! The entries of a list: addresses and prefixes of both families, and names with their scopes.

use std::{
    io::{self, Write},
    net::IpAddr,
    path::Path,
};

use super::{
    keys::{Key4, Key6, NameKey, SCOPES},
    runs::{Merge, Runs},
};
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

/// The entries of a list, in any order, in little memory: what does not fit into it is written to
/// files without names, with some three bytes for an IPv4 address and fifteen for a name.
#[derive(Debug)]
pub struct EntrySet {
    ip4: Runs<Key4>,
    ip6: Runs<Key6>,
    names: Runs<NameKey>,
    /// The key of the name that is added, whose memory is used again.
    name: NameKey,
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

/// An entry of a list.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry<'e> {
    /// An IPv4 address or prefix.
    Ip4(Span),
    /// An IPv6 address or prefix.
    Ip6(Span),
    /// A name: its labels, as in [`NameKey::labels`], and its scope.
    Name(&'e [u8], Scope),
}

impl Entry<'_> {
    pub(super) fn subject(self) -> Subject {
        match self {
            Entry::Ip4(span) => Subject::V4(Prefix4::new(span.first as u32, span.len)),
            Entry::Ip6(span) => Subject::V6(Prefix6::new(span.first, span.len)),
            Entry::Name(labels, scope) => {
                let mut text = Vec::new();
                write_name(labels, &mut text);
                // The labels are those of a name, which is ASCII.
                let name: String = text.iter().map(|b| char::from(*b)).collect();
                Subject::Domain(Domain::from_canonical(&name, scope))
            }
        }
    }

    /// The address of an entry that is a single one.
    pub(super) fn host(self) -> Option<IpAddr> {
        match self {
            Entry::Ip4(s) if s.len == Prefix4::BITS => Some(IpAddr::V4((s.first as u32).into())),
            Entry::Ip6(s) if s.len == Prefix6::BITS => Some(IpAddr::V6(s.first.into())),
            _ => None,
        }
    }

    /// Appends the text of the subject.
    pub(super) fn write(self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            // A list has millions of these, and the formatter of the standard library is slow.
            Entry::Ip4(span) => {
                let [a, b, c, d] = (span.first as u32).to_be_bytes();
                for (octet, end) in [(a, Some(b'.')), (b, Some(b'.')), (c, Some(b'.')), (d, None)] {
                    write_octet(octet, out);
                    out.extend(end);
                }
                match span.len == Prefix4::BITS {
                    true => Ok(()),
                    false => write!(out, "/{}", span.len),
                }
            }
            Entry::Ip6(span) => write!(out, "{}", Prefix6::new(span.first, span.len)),
            Entry::Name(labels, scope) => {
                out.extend(["", "*.", "."][scope as usize].as_bytes());
                write_name(labels, out);
                Ok(())
            }
        }
    }
}

fn write_octet(octet: u8, out: &mut Vec<u8>) {
    if octet >= 100 {
        out.push(b'0' + octet / 100);
    }
    if octet >= 10 {
        out.push(b'0' + octet / 10 % 10);
    }
    out.push(b'0' + octet % 10);
}

/// Appends a name, whose labels are as in [`NameKey::labels`].
fn write_name(labels: &[u8], out: &mut Vec<u8>) {
    let labels = labels.strip_suffix(&[0]).unwrap_or(labels);
    for (i, label) in labels.rsplit(|b| *b == 0).enumerate() {
        if i > 0 {
            out.push(b'.');
        }
        out.extend(label);
    }
}

impl EntrySet {
    /// Creates an empty list. Entries that do not fit into memory are written to files without
    /// names in a folder, which has to exist then.
    pub fn in_folder(folder: &Path) -> EntrySet {
        EntrySet {
            ip4: Runs::in_folder(folder),
            ip6: Runs::in_folder(folder),
            names: Runs::in_folder(folder),
            name: NameKey::default(),
        }
    }

    /// Adds an entry; an exclusion if it is not `listed`.
    ///
    /// # Errors
    ///
    /// The list is too long, or a file cannot be written.
    pub fn push(&mut self, subject: &Subject, listed: bool) -> io::Result<()> {
        match subject {
            Subject::V4(p) => {
                let mark = u64::from(Mark::of(p.len(), !listed));
                self.ip4
                    .push(&Key4(u64::from(p.first()) << Mark::BITS | mark))
            }
            Subject::V6(p) => self.ip6.push(&Key6(p.first(), Mark::of(p.len(), !listed))),
            Subject::Domain(domain) => {
                self.name.set(domain, !listed);
                self.names.push(&self.name)
            }
        }
    }

    /// Ends the list. Only what was added before is read.
    ///
    /// # Errors
    ///
    /// As for [`EntrySet::push`].
    pub fn finish(mut self) -> io::Result<EntrySet> {
        self.ip4.finish()?;
        self.ip6.finish()?;
        self.names.finish()?;
        Ok(self)
    }

    /// Reports a failure to read the entries, which has ended them.
    ///
    /// # Errors
    ///
    /// A file could not be read.
    pub(super) fn check(&self) -> io::Result<()> {
        self.ip4.check()?;
        self.ip6.check()?;
        self.names.check()
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
        once(self.ip4.merge().map(span))
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
        once(self.ip6.merge().map(span))
    }

    /// The names in order.
    pub(super) fn names(&self) -> NameReader<'_> {
        NameReader::new(self.names.merge())
    }
}

/// Reads the names of a list, each with its entries of all scopes.
pub(super) struct NameReader<'r> {
    names: Merge<'r, NameKey>,
    next: NameKey,
    has_next: bool,
}

impl NameReader<'_> {
    fn new(names: Merge<'_, NameKey>) -> NameReader<'_> {
        let mut reader = NameReader {
            names,
            next: NameKey::default(),
            has_next: false,
        };
        reader.advance();
        reader
    }

    fn advance(&mut self) {
        self.has_next = self.names.read(&mut self.next);
    }

    /// The labels of the next name.
    pub(super) fn peek(&self) -> Option<&[u8]> {
        self.has_next.then(|| self.next.labels())
    }

    /// Replaces labels by those of the next name. Returns, for each scope that the list has of it,
    /// whether it is an exclusion: if it is listed and excluded, it is excluded.
    pub(super) fn take(&mut self, labels: &mut Vec<u8>) -> [Option<bool>; SCOPES.len()] {
        let mut exclusions = [None; SCOPES.len()];
        labels.clear();
        labels.extend(self.next.labels());
        while self.has_next && self.next.labels() == labels.as_slice() {
            let (scope, is_exclusion) = self.next.mark();
            // An exclusion sorts behind the listing of the same scope.
            exclusions[scope] = Some(is_exclusion);
            self.advance();
        }
        exclusions
    }
}

/// The last of each group of equal prefixes. Of a listing and an exclusion of the same prefix, that
/// is the exclusion, which sorts last.
fn once(spans: impl Iterator<Item = Span>) -> impl Iterator<Item = Span> {
    let mut spans = spans.peekable();
    std::iter::from_fn(move || {
        let mut span = spans.next()?;
        while let Some(next) = spans.next_if(|s| (s.first, s.len) == (span.first, span.len)) {
            span = next;
        }
        Some(span)
    })
}

/// Calls a function with the entry of a subject.
#[cfg(test)]
pub(super) fn with_entry<R>(subject: &Subject, f: impl FnOnce(Entry) -> R) -> R {
    let span = |first, last, len| Span {
        first,
        last,
        len,
        is_exclusion: false,
    };
    match subject {
        Subject::V4(p) => f(Entry::Ip4(span(p.first().into(), p.last().into(), p.len()))),
        Subject::V6(p) => f(Entry::Ip6(span(p.first(), p.last(), p.len()))),
        Subject::Domain(domain) => {
            let mut key = NameKey::default();
            key.set(domain, false);
            f(Entry::Name(key.labels(), domain.scope()))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(entry: Entry) -> String {
        let mut text = Vec::new();
        entry.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    proptest! {
        #[test]
        fn text_of_an_entry_is_that_of_its_subject(first: u32, len in 0..=32u8, wide: u128, len6 in 0..=128u8) {
            let place = tempfile::tempdir().unwrap();
            let mut set = EntrySet::in_folder(place.path());
            let subjects = [
                Subject::V4(Prefix4::new(first, len)),
                Subject::host4(first),
                Subject::V6(Prefix6::new(wide, len6)),
                Subject::V6(Prefix6::host(wide)),
            ];
            subjects.iter().for_each(|s| set.push(s, true).unwrap());
            let set = set.finish().unwrap();
            let entries = set.ip4().map(Entry::Ip4).chain(set.ip6().map(Entry::Ip6));
            let mut found = 0;
            for entry in entries {
                prop_assert!(subjects.contains(&entry.subject()));
                prop_assert_eq!(text(entry), entry.subject().to_string());
                let expected = match entry.subject() {
                    Subject::V4(p) => p.is_host().then(|| IpAddr::V4(p.first().into())),
                    Subject::V6(p) => p.is_host().then(|| IpAddr::V6(p.first().into())),
                    Subject::Domain(_) => None,
                };
                prop_assert_eq!(entry.host(), expected);
                found += 1;
            }
            prop_assert!(found >= 2);
        }
    }

    #[test]
    fn names_are_read_with_their_scopes_and_an_exclusion_before_a_listing() {
        let place = tempfile::tempdir().unwrap();
        let mut set = EntrySet::in_folder(place.path());
        for (text, listed) in [
            ("www.bad.example", true),
            (".bad.example", true),
            ("bad.example", false),
            ("bad.example", true),
            ("bad.example", true),
            ("*.below.example", true),
        ] {
            set.push(&text.parse().unwrap(), listed).unwrap();
        }
        let set = set.finish().unwrap();
        let (mut names, mut labels, mut read) = (set.names(), Vec::new(), Vec::new());
        while names.peek().is_some() {
            let exclusions = names.take(&mut labels);
            for (scope, is_exclusion) in SCOPES.into_iter().zip(exclusions) {
                if let Some(is_exclusion) = is_exclusion {
                    let entry = Entry::Name(&labels, scope);
                    assert_eq!(text(entry), entry.subject().to_string());
                    read.push((text(entry), is_exclusion));
                }
            }
        }
        let expected = [
            ("bad.example", true),
            (".bad.example", false),
            ("www.bad.example", false),
            ("*.below.example", false),
        ];
        assert_eq!(read, expected.map(|(t, e)| (t.to_string(), e)));
        set.check().unwrap();
    }
}
