//! The verdict on a subject: its present entries, holds and exemption, as its events make them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    entry_text::EntryText,
    event::EventKind,
    hold::Hold,
    reason::{ReasonId, SourceId},
    sight::{SightAge, SightLimits},
    subject::Subject,
    time::Time,
};

/// The longest text of an entry, in bytes: the length of one string of a TXT record (RFC 1035
/// section 3.3.14).
pub const MAX_TEXT: usize = 255;

/// The stored form of a text: cut to [`MAX_TEXT`], and with `$` in place of its own subject, so
/// that many subjects share one text. `$` stands for the subject as it is in answers, without the
/// mark of a domain's scope.
pub fn own_text(text: &str, subject: &Subject) -> String {
    let mut cut = MAX_TEXT.min(text.len());
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    let text = &text[..cut];
    if subject.is_address() && !text.bytes().any(|b| b.is_ascii_digit()) {
        return text.into(); // Fast path: without a digit the text cannot contain an address.
    }
    let shown = match subject {
        Subject::Domain(d) => Cow::Borrowed(d.name()),
        s => Cow::Owned(s.to_string()),
    };
    // Replace whole words only: a part of a longer name or number is not the subject.
    let part = |c: char| c.is_ascii_alphanumeric() || "-_.:$".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&*shown) {
        let (before, after) = (&rest[..at], &rest[at + shown.len()..]);
        // A full stop after it may end the sentence.
        let next = after.strip_prefix('.').unwrap_or(after);
        out += before;
        let inside = out.ends_with(part) || next.starts_with(part) || after.starts_with('/');
        out += if inside { &*shown } else { "$" };
        rest = after;
    }
    out + rest
}

/// An entry of one reason and source: a listing, or an exclusion from that source's wider listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredEntry", into = "StoredEntry")]
pub struct Entry {
    /// The reason.
    pub reason: ReasonId,
    /// The source.
    pub source: SourceId,
    /// The time since which it exists.
    pub since: Time,
    /// The end; `None` for entries of feeds, which end with their source.
    pub until: Option<Time>,
    /// Whether it is an exclusion from this source's listing of a wider prefix, not a listing.
    pub exclusion: bool,
    /// Its own text, with `$` for the subject, the stores through which it came, and whether it is
    /// exact.
    pub text: EntryText,
    /// When it was last listed or renewed. A feed sees all its entries with each import, so that
    /// this time of one of its entries does not count.
    pub seen: Time,
    /// The longest limit that it has outlived since then; 0 for entries of feeds.
    pub aged: SightAge,
}

/// An entry as it is stored. An entry that was never renewed and has not aged has the bytes that
/// stores up to version 8 have, whose fifth field was true for an exclusion.
#[derive(Serialize, Deserialize)]
struct StoredEntry {
    reason: ReasonId,
    source: SourceId,
    since: Time,
    until: Option<Time>,
    kind: StoredKind,
    text: EntryText,
}

/// The kind of a stored entry; the order of the variants is part of the format.
#[derive(Serialize, Deserialize)]
enum StoredKind {
    /// A listing that was last seen when it began to exist.
    Listing,
    /// An exclusion.
    Exclusion,
    /// A listing that was renewed or has aged.
    Sighted { seen: Time, aged: SightAge },
}

impl From<Entry> for StoredEntry {
    fn from(e: Entry) -> StoredEntry {
        let kind = match e.exclusion {
            true => StoredKind::Exclusion,
            false if (e.seen, e.aged) == (e.since, SightAge::default()) => StoredKind::Listing,
            false => StoredKind::Sighted {
                seen: e.seen,
                aged: e.aged,
            },
        };
        StoredEntry {
            reason: e.reason,
            source: e.source,
            since: e.since,
            until: e.until,
            kind,
            text: e.text,
        }
    }
}

impl From<StoredEntry> for Entry {
    fn from(e: StoredEntry) -> Entry {
        let (seen, aged) = match e.kind {
            StoredKind::Listing | StoredKind::Exclusion => (e.since, SightAge::default()),
            StoredKind::Sighted { seen, aged } => (seen, aged),
        };
        Entry {
            reason: e.reason,
            source: e.source,
            since: e.since,
            until: e.until,
            exclusion: matches!(e.kind, StoredKind::Exclusion),
            text: e.text,
            seen,
            aged,
        }
    }
}

impl Entry {
    /// Whether it ages by itself. An exclusion does not age, and an entry of a feed only with the
    /// whole feed.
    fn ages(&self) -> bool {
        !self.exclusion && !self.source.is_feed()
    }

    /// Its removal on request.
    pub fn delisted(&self) -> EventKind {
        EventKind::Delisted {
            reason: self.reason,
            source: self.source,
        }
    }

    /// Its end at its time.
    pub fn expired(&self) -> EventKind {
        EventKind::Expired {
            reason: self.reason,
            source: self.source,
        }
    }
}

/// An exemption: the subject is not published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exempt {
    /// The time since which it exists.
    pub since: Time,
    /// The end; `None`: it does not expire.
    pub until: Option<Time>,
}

/// The present entries, holds and exemption of a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// At most one for each reason and source, sorted by (reason, source).
    pub entries: Vec<Entry>,
    /// The exemption.
    pub exempt: Option<Exempt>,
    /// The holds, sorted by (reason, source).
    pub holds: Vec<Hold>,
}

impl Verdict {
    /// Whether it has no entry, hold or exemption.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.exempt.is_none() && self.holds.is_empty()
    }

    /// The entry of a reason and source.
    pub fn entry(&self, reason: ReasonId, source: SourceId) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|e| (e.reason, e.source) == (reason, source))
    }

    /// Whether a source lists the subject for a reason, in force or suppressed.
    pub fn lists(&self, reason: ReasonId, source: SourceId) -> bool {
        self.entry(reason, source).is_some_and(|e| !e.exclusion)
    }

    /// Whether a hold suppresses a reason of a source.
    pub fn is_suppressed(&self, reason: ReasonId, source: SourceId) -> bool {
        self.holds.iter().any(|h| h.suppresses(reason, source))
    }

    /// The entries that list the subject now: without exclusions and suppressed entries; none if
    /// the subject is exempt.
    pub fn in_force(&self) -> impl Iterator<Item = &Entry> + Clone {
        let exempt = self.exempt.is_some();
        self.entries
            .iter()
            .filter(move |e| !exempt && !e.exclusion && !self.is_suppressed(e.reason, e.source))
    }

    /// The next time at which an entry, a hold or the exemption ends, or an entry outlives one of
    /// the limits.
    pub fn next_due(&self, limits: &SightLimits) -> Option<Time> {
        let aging = self.entries.iter().filter(|e| e.ages());
        let aging = aging.filter_map(|e| limits.next(e.seen, e.aged));
        let entries = self.entries.iter().filter_map(|e| e.until).chain(aging);
        let holds = self.holds.iter().map(|h| h.until);
        entries
            .chain(holds)
            .chain(self.exempt.as_ref().and_then(|e| e.until))
            .min()
    }

    /// Notes which limits its entries have outlived. Their other properties stay.
    pub fn age(&mut self, limits: &SightLimits, now: Time) {
        for e in self.entries.iter_mut().filter(|e| e.ages()) {
            e.aged = e.aged.max(limits.outlived(e.seen, now));
        }
    }

    /// The verdict as if its listings had never been renewed and had not aged.
    #[must_use]
    pub fn without_sights(&self) -> Verdict {
        let mut out = self.clone();
        for e in &mut out.entries {
            (e.seen, e.aged) = (e.since, SightAge::default());
        }
        out
    }

    /// Sets the entry of its reason and source.
    pub fn put(&mut self, entry: Entry) {
        let place = self
            .entries
            .binary_search_by_key(&(entry.reason, entry.source), |e| (e.reason, e.source));
        match place {
            Ok(i) => self.entries[i] = entry,
            Err(i) => self.entries.insert(i, entry),
        }
    }

    fn end_hold(&mut self, reason: ReasonId, source: SourceId) {
        let same = |h: &Hold| (h.reason, h.source) == (reason, source);
        self.holds.retain(|h| !same(h));
    }

    /// Applies an event. An event for an entry, hold or exemption that does not exist has no
    /// effect.
    pub fn fold(&mut self, at: Time, what: &EventKind) {
        match what {
            EventKind::Listed {
                reason,
                source,
                until,
                exclusion,
                text,
            } => {
                let since = self
                    .entry(*reason, *source)
                    .filter(|e| e.exclusion == *exclusion)
                    .map_or(at, |e| e.since);
                self.put(Entry {
                    reason: *reason,
                    source: *source,
                    since,
                    until: *until,
                    exclusion: *exclusion,
                    text: text.clone(),
                    seen: match *exclusion || source.is_feed() {
                        true => since,
                        false => at,
                    },
                    aged: SightAge::default(),
                });
            }
            EventKind::Delisted { reason, source }
            | EventKind::Expired { reason, source }
            | EventKind::Dropped { reason, source } => {
                self.entries
                    .retain(|e| (e.reason, e.source) != (*reason, *source));
            }
            EventKind::Held {
                reason,
                source,
                until,
            } => {
                self.end_hold(*reason, *source);
                self.holds.push(Hold {
                    reason: *reason,
                    source: *source,
                    since: at,
                    until: *until,
                });
                self.holds.sort_by_key(|h| (h.reason, h.source));
            }
            EventKind::HoldEnded { reason, source } => self.end_hold(*reason, *source),
            EventKind::Exempted { until } => {
                self.exempt = Some(Exempt {
                    since: at,
                    until: *until,
                });
            }
            EventKind::ExemptEnded => self.exempt = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Verdict {
        /// The reasons in force.
        pub fn reasons(&self) -> crate::model::reason::Mask {
            self.in_force().fold(0, |m, e| m | e.reason.bit())
        }
    }

    #[test]
    fn own_subject_is_replaced_only_as_a_whole_word() {
        let own = |t: &str, s: &str| own_text(t, &s.parse().unwrap());
        assert_eq!(
            own("see https://x.example/?ip=45.1.1.1", "45.1.1.1"),
            "see https://x.example/?ip=$"
        );
        assert_eq!(own("45.1.1.1.", "45.1.1.1"), "$.");
        assert_eq!(
            own("45.1.1.12 and 45.1.1.1/24 and 145.1.1.1", "45.1.1.1"),
            "45.1.1.12 and 45.1.1.1/24 and 145.1.1.1"
        );
        assert_eq!(own("cost: $45.1.1.1", "45.1.1.1"), "cost: $45.1.1.1");
        assert_eq!(
            own("see www.spam.example", ".spam.example"),
            "see www.spam.example"
        );
        assert_eq!(own("spam.example is bad", "*.spam.example"), "$ is bad");
        assert_eq!(own("net 45.1.0.0/16, all", "45.1.0.0/16"), "net $, all");
        assert_eq!(own(&"ü".repeat(200), "45.1.1.1").len(), 254);
    }
}
