//! What is where on disk: column families, keys, and values that carry a version.
//!
//! The names on disk stay as they are; this table gives each its name in the code and its meaning.
//!
//! | family | constant | key | value |
//! | --- | --- | --- | --- |
//! | `verdicts` | [`VERDICTS`] | subject | [`Own`]: entries, holds and exemption that are decided one by one |
//! | `feeds` | [`FEEDS`] | source, generation, subject | [`FeedEntry`] list of a feed; only the generation that the source's record names counts |
//! | `events` | [`EVENTS`] | subject, sequence, place | [`Event`], kept for ever |
//! | `churn` | [`FEED_EVENTS`] | ten days, subject, sequence, place | [`Event`] of a feed, kept for a configured time |
//! | `records` | [`RECORDS`] | source, copy, a record of a followed zone | nothing; only the copy that the source's record names counts |
//! | `due` | [`DUE`] | time, subject | nothing: the next time at which something of the subject ends |
//! | `holds` | [`HOLDS`] | source, subject | nothing: the subjects that have a hold of the source |
//! | `people` | [`ACCOUNTS`] | see below | users, tokens and other values that have a name (`ledger::accounts`) |
//! | `audit` | [`AUDIT`] | a number | [`AuditRecord`], kept for ever |
//! | `outbox` | [`OUTBOX`] | webhook, 0, commit | a message that waits for delivery (`ledger::outbox`) |
//! | `probes` | [`RELAY`] | letter, host or number | rows of relay tests, in JSON; `relay::rows` has the table of letters |
//! | `once` | [`IDEMPOTENCY`] | day, key | [`StoredReceipt`] of an idempotent request, kept for a day or two |
//! | `once` | [`IDEMPOTENCY`] | day, key, 1 | the answer of an idempotent request: hash of the request, status, body |
//! | `journal` | [`JOURNAL`] | sequence | [`Commit`]: its subjects and their verdicts before |
//! | `meta` | [`META`] | see below | values that exist once |
//!
//! | key in `people` | value |
//! | --- | --- |
//! | `person/` name | a user |
//! | `token/` id | a token |
//! | `webhook/` id | a webhook |
//! | `proposal/` id | a proposal |
//! | `used/` token id | the time at which the token was last used, to the hour |
//! | `import/` id | the beginning and the report of an import |
//! | `held/` feed | a feed's list that a guard stopped, in JSON |
//!
//! | key in `meta` | value |
//! | --- | --- |
//! | `version`, `id` | the version of the forms; the store's identity |
//! | `seq` | the number of the last commit |
//! | `reasons`, `sources` | the dictionary: names by number; [`SourceRecord`] by number |
//! | `zone/` origin | [`ZoneRecord`] |
//! | `serial/` origin, 0, serial | the commit that gave the zone the serial |
//! | `accepted/` source | [`AcceptedList`] |
//! | `bulk/` commit | the source of a large import |
//! | `notes/` commit | [`FeedNote`] list: the notes of the commit's rows before it |
//! | `configured` | the names of the last accepted configuration (`store::configured`) |
//! | `removals`, `removals-sum`, `removals-gap` | the last known line of the removal log, its checksum, what the log has lost ([`RemovalGap`]) |
//!
//! Numbers in keys are big-endian, so that they sort.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{encoded::Encoded, extent::Extent};
use crate::model::{
    Entry, EntryText, Event, Exempt, FeedPath, Hold, Mask, ReasonId, Serial, SourceId, StoreId,
    Subject, Time, Verdict, history::EventKind,
};

/// The version of everything below; a store of a newer one is refused.
pub const VERSION: u32 = 6;
/// All column families.
pub const FAMILIES: [&str; 14] = [
    VERDICTS,
    FEEDS,
    RECORDS,
    EVENTS,
    FEED_EVENTS,
    DUE,
    HOLDS,
    JOURNAL,
    META,
    ACCOUNTS,
    AUDIT,
    IDEMPOTENCY,
    OUTBOX,
    RELAY,
];
/// A column family; see the table of this module.
pub const VERDICTS: &str = "verdicts";
/// A column family; see the table of this module.
pub const FEEDS: &str = "feeds";
/// A column family; see the table of this module.
pub const RECORDS: &str = "records";
/// A column family; see the table of this module.
pub const EVENTS: &str = "events";
/// A column family; see the table of this module.
pub const FEED_EVENTS: &str = "churn";
/// A column family; see the table of this module.
pub const DUE: &str = "due";
/// A column family; see the table of this module.
pub const HOLDS: &str = "holds";
/// A column family; see the table of this module.
pub const JOURNAL: &str = "journal";
/// A column family; see the table of this module.
pub const META: &str = "meta";
/// A column family; see the table of this module.
pub const ACCOUNTS: &str = "people";
/// A column family; see the table of this module.
pub const AUDIT: &str = "audit";
/// A column family; see the table of this module.
pub const IDEMPOTENCY: &str = "once";
/// A column family; see the table of this module.
pub const OUTBOX: &str = "outbox";
/// A column family; see the table of this module.
pub const RELAY: &str = "probes";

/// The span of one bucket of feed events: old ones are removed by whole buckets.
pub const BUCKET: u64 = 10 * 86_400;

/// The form of every value below: this byte, then postcard.
const FORM: u8 = 1;

/// Writes a value with its version.
pub fn encode<T: Serialize>(value: &T) -> Encoded {
    Encoded::new(FORM, value)
}

/// Reads a value; `None` if this version cannot read it.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (form, rest) = bytes.split_first()?;
    if *form != FORM {
        return None;
    }
    match postcard::take_from_bytes(rest) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}

/// The stored part of a verdict: what is decided subject by subject. Entries of feeds are in their
/// own family.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Own {
    /// Entries of sources that are not feeds.
    pub entries: Vec<Entry>,
    /// The exemption.
    pub exempt: Option<Exempt>,
    /// Holds.
    pub holds: Vec<Hold>,
}

impl Own {
    /// The stored part of a verdict; `None` if it is empty.
    pub fn of(v: &Verdict) -> Option<Own> {
        let entries = v
            .entries
            .iter()
            .filter(|e| !e.source.is_feed())
            .cloned()
            .collect();
        let own = Own {
            entries,
            exempt: v.exempt.clone(),
            holds: v.holds.clone(),
        };
        (!own.entries.is_empty() || own.exempt.is_some() || !own.holds.is_empty()).then_some(own)
    }
}

/// One entry of a feed's row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FeedEntry {
    /// The reason.
    pub reason: ReasonId,
    /// An exclusion from the feed's wider listing.
    pub exclusion: bool,
    /// Only while it is staged: an exclusion that yields to a listing of the same subject, and that
    /// is dropped where nothing wider is listed.
    pub implied: bool,
    /// Since when the feed has it.
    pub since: Time,
    /// Its own text, and its path.
    pub text: EntryText,
    /// The list's note about the entry, for operators; never published.
    pub note: Option<Box<str>>,
}

impl FeedEntry {
    /// Whether both publish the same: all but the note and the time.
    pub fn publishes_as(&self, other: &FeedEntry) -> bool {
        (self.reason, self.exclusion, &self.text) == (other.reason, other.exclusion, &other.text)
    }
}

/// The flags of an entry in a feed's row.
const EXCLUSION: u8 = 1;
const HAS_TEXT: u8 = 1 << 1;
const IMPLIED: u8 = 1 << 2;
const HAS_NOTE: u8 = 1 << 3;
const HAS_PATH: u8 = 1 << 4;

/// The longest note of an entry, in bytes; the rest is cut off.
pub const MAX_NOTE_BYTES: usize = 255;

/// Writes a feed's row: the version byte, then for each entry reason, flags, since, path, text,
/// note.
pub fn write_feed(entries: &[FeedEntry], out: &mut Vec<u8>) {
    out.push(FORM);
    for e in entries {
        write_entry(
            (e.reason, e.exclusion, e.implied, e.since),
            e.text.as_deref(),
            &e.text.path,
            e.note.as_deref(),
            out,
        );
    }
}

/// Writes the row of one entry.
#[cfg(feature = "daemon")]
pub(super) fn write_single(
    head: EntryHead,
    text: Option<&str>,
    path: &FeedPath,
    note: Option<&str>,
    out: &mut Vec<u8>,
) {
    out.push(FORM);
    write_entry(head, text, path, note, out);
}

/// Reason, whether it is an exclusion, whether it is a weak one, since when.
pub(super) type EntryHead = (ReasonId, bool, bool, Time);

fn write_entry(
    (reason, exclusion, implied, since): EntryHead,
    text: Option<&str>,
    path: &FeedPath,
    note: Option<&str>,
    out: &mut Vec<u8>,
) {
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let flags = flag(exclusion, EXCLUSION)
        | flag(text.is_some(), HAS_TEXT)
        | flag(implied, IMPLIED)
        | flag(note.is_some(), HAS_NOTE);
    out.extend([reason.0, flags | flag(*path != FeedPath::Own, HAS_PATH)]);
    out.extend((since.0 as u32).to_be_bytes());
    if *path != FeedPath::Own {
        // The number of stores, and their identities.
        out.push(path.hops());
        path.stores()
            .iter()
            .for_each(|s| out.extend(s.0.to_be_bytes()));
    }
    if let Some(text) = text {
        // Readers cut texts; a longer one is cut here, so that the row reads back.
        let text = &text[..text.floor_char_boundary(usize::from(u16::MAX))];
        out.extend((text.len() as u16).to_be_bytes());
        out.extend(text.as_bytes());
    }
    if let Some(note) = note {
        let note = &note[..note.floor_char_boundary(MAX_NOTE_BYTES)];
        out.push(note.len() as u8);
        out.extend(note.as_bytes());
    }
}

/// Reads a feed's row.
pub fn read_feed(bytes: &[u8]) -> Option<Vec<FeedEntry>> {
    let mut out = Vec::with_capacity(1);
    let (form, mut rest) = bytes.split_first()?;
    while let Some((head, tail)) = rest.split_at_checked(6) {
        let since = Time(u64::from(u32::from_be_bytes(head[2..].try_into().ok()?)));
        let has = |bit: u8| head[1] & bit != 0;
        rest = tail;
        let (mut text, mut note, mut path) = (None, None, FeedPath::Own);
        if has(HAS_PATH) {
            let (hops, tail) = rest.split_first()?;
            path = FeedPath::Untraced;
            rest = tail;
            if *hops != FeedPath::UNTRACED_HOPS {
                let (stores, tail) = rest.split_at_checked(usize::from(*hops) * 8)?;
                path = FeedPath::via(
                    stores
                        .as_chunks::<8>()
                        .0
                        .iter()
                        .map(|id| StoreId(u64::from_be_bytes(*id)))
                        .collect(),
                );
                rest = tail;
            }
        }
        if has(HAS_TEXT) {
            let (len, tail) = rest.split_at_checked(2)?;
            let (bytes, tail) =
                tail.split_at_checked(usize::from(u16::from_be_bytes(len.try_into().ok()?)))?;
            text = Some(std::str::from_utf8(bytes).ok()?.into());
            rest = tail;
        }
        if has(HAS_NOTE) {
            let (len, tail) = rest.split_first()?;
            let (bytes, tail) = tail.split_at_checked(usize::from(*len))?;
            note = Some(std::str::from_utf8(bytes).ok()?.into());
            rest = tail;
        }
        out.push(FeedEntry {
            reason: ReasonId(head[0]),
            exclusion: has(EXCLUSION),
            implied: has(IMPLIED),
            since,
            text: EntryText { text, path },
            note,
        });
    }
    (*form == FORM && rest.is_empty()).then_some(out)
}

impl FeedEntry {
    /// The row as an entry of a verdict.
    pub fn entry(self, source: SourceId) -> Entry {
        Entry {
            reason: self.reason,
            source,
            since: self.since,
            until: None,
            exclusion: self.exclusion,
            text: self.text,
        }
    }
}

/// The record of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Its name.
    pub name: String,
    /// Whether it is a feed, which imports replace as a whole.
    pub feed: bool,
    /// The current generation of its rows; 0 for none.
    pub generation: u32,
    /// The next generation to stage.
    pub next: u32,
    /// Generations that were staged and never named by a commit; their events do not count.
    pub dead: Vec<u32>,
    /// When it was last imported.
    pub refreshed: Time,
    /// When its lifetime ends unless it is imported again.
    pub expires: Option<Time>,
    /// The reasons that it has ever listed: of addresses, and of domains.
    pub masks: [Mask; 2],
    /// When its lifetime ended without an event for each subject, because there were too many.
    pub ends: Vec<Time>,
    /// The zone from which its rows were made, if any.
    pub followed: Option<Followed>,
    /// The rows that a large import replaced, so that it can be undone until the next import.
    pub kept: Option<ReplacedRows>,
}

/// Rows that a large import has replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedRows {
    /// The commit of that import.
    pub commit: u64,
    /// The generation of the rows; 0 if there were none.
    pub generation: u32,
    /// When the source's lifetime would have ended.
    pub expires: Option<Time>,
}

/// A zone that a source follows: the version from which the source's rows were made, and where its
/// records are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// The zone's name.
    pub zone: String,
    /// Its version.
    pub serial: Serial,
    /// The timers of its SOA, in seconds: refresh, retry, expire.
    pub timers: [u32; 3],
    /// The current copy of its records.
    pub copy: u32,
    /// A hash of the rules by which records become rows: with other rules the rows are made anew.
    pub mapping: u64,
}

/// The shape of one list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListShape {
    /// Entries that list IPv4 addresses.
    pub ipv4: u64,
    /// Entries that list IPv6 addresses.
    pub ipv6: u64,
    /// Entries that list names.
    pub names: u64,
    /// Entries that list digests.
    pub digests: u64,
    /// Entries that exclude something from a wider listing.
    pub exclusions: u64,
    /// Whether the list ended with a record about itself.
    pub final_record: bool,
}

impl ListShape {
    /// Entries that list addresses.
    pub fn addresses(&self) -> u64 {
        self.ipv4 + self.ipv6
    }

    /// Entries that list names or digests.
    pub fn labels(&self) -> u64 {
        self.names + self.digests
    }
}

/// The last accepted list of a source, with which the next one is compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedList {
    /// Its shape.
    pub shape: ListShape,
    /// For each hour of the last day with an accepted list: the hour since 1970 and the largest
    /// extent in it.
    pub peaks: Vec<(u64, Extent)>,
}

/// The key of a source's last accepted list, in the family `meta`.
pub fn accepted_key(source: SourceId) -> Vec<u8> {
    [b"accepted/", &source.0.to_be_bytes()[..]].concat()
}

/// The key, in the family `meta`, of the source of a large import, by its commit.
pub fn bulk_key(seq: u64) -> Vec<u8> {
    [b"bulk/", &seq.to_be_bytes()[..]].concat()
}

/// The key, in the family `meta`, of the notes of a commit's rows before it.
pub fn notes_key(seq: u64) -> Vec<u8> {
    [b"notes/", &seq.to_be_bytes()[..]].concat()
}

/// The note of a feed's entry before a commit; before-images of verdicts have none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedNote {
    /// The subject's key.
    pub subject: Vec<u8>,
    /// The entry's source.
    pub source: SourceId,
    /// The entry's reason.
    pub reason: ReasonId,
    /// The note.
    pub note: Box<str>,
}

/// The key, in the family `meta`, of the checksum of the last line of the removal log that the
/// store knows.
pub const REMOVALS_SUM: &[u8] = b"removals-sum";
/// The key, in the family `meta`, of what the removal log has lost.
pub const REMOVALS_GAP: &[u8] = b"removals-gap";

/// Lines that the removal log has lost: a restore of an older copy cannot replay them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalGap {
    /// The line with which the log began anew.
    pub line: u64,
    /// When the log began anew.
    pub at: Time,
    /// The first and last number of each run of missing lines.
    pub missing: Vec<(u64, u64)>,
    /// What happened to the log.
    pub why: String,
}

/// How many ends of a source's lifetime are remembered.
pub const MAX_ENDS: usize = 32;

/// The record of a zone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneRecord {
    /// The serial that was last handed out.
    pub serial: Serial,
    /// The hash of the configuration that is rendered.
    pub hash: u64,
}

/// A commit in the journal.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Commit {
    /// Its time.
    pub at: Time,
    /// Bytes of the journal up to and with this row, since the store was made.
    pub bytes: u64,
    /// True if the change is too large to list (a large import, a configuration): a transfer across
    /// it is a full one.
    pub barrier: bool,
    /// True if the tables cannot be brought past it from the rows; a start from before it scans the
    /// store.
    pub bulk: bool,
    /// The serials that moved: origin, before, after.
    pub serials: Vec<(String, Serial, Serial)>,
    /// The subjects' keys, and their verdicts before.
    pub before: Vec<(Vec<u8>, Verdict)>,
}

/// An audit record: one write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// The time.
    pub at: Time,
    /// The author.
    pub who: String,
    /// Where the request came from: an address, or the socket.
    pub from: String,
    /// The action, in one word.
    pub what: String,
    /// The object: a subject, a name.
    pub about: String,
    /// Details, such as reason and source, or counts.
    pub detail: String,
    /// The author's note.
    pub why: Option<String>,
    /// The commit.
    pub commit: Option<u64>,
    /// The idempotent request that this record belongs to; it has a row of its own.
    #[serde(skip)]
    pub idempotency: Option<crate::model::history::IdempotencyKey>,
}

/// The outcome of an idempotent request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredReceipt {
    /// A hash of the request.
    pub body: u64,
    /// The commit that it made.
    pub commit: u64,
    /// The serials that moved: origin, serial.
    pub serials: Vec<(String, Serial)>,
    /// The subject's revision after it.
    pub revision: u64,
}

/// The key of an idempotent request, in the family of those.
pub fn idempotency_key(at: Time, key: &[u8; 16]) -> Vec<u8> {
    let day = (at.0 / DAY) as u32;
    [&day.to_be_bytes()[..], key].concat()
}

/// The key of the stored answer to such a request.
pub fn answer_key(at: Time, key: &[u8; 16]) -> Vec<u8> {
    [&idempotency_key(at, key)[..], &[1]].concat()
}

/// The span of one bucket of such requests.
pub const DAY: u64 = 86_400;

/// A revision distinguishes a subject's verdict from those before and after.
pub fn revision(v: &Verdict) -> u64 {
    // A verdict that cannot be encoded cannot be committed either.
    let bytes = encode(v).into_bytes().unwrap_or_default();
    short_digest(&bytes)
}

/// The first eight bytes of SHA-256: an identity that is the same in every version.
pub fn short_digest(bytes: &[u8]) -> u64 {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest
        .as_ref()
        .first_chunk()
        .map_or(0, |b| u64::from_be_bytes(*b))
}

/// `source, generation` before a feed's rows, and `source, copy` before a followed zone's records.
pub fn feed_prefix(source: SourceId, generation: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(26);
    key.extend(source.0.to_be_bytes());
    key.extend(generation.to_be_bytes());
    key
}

/// The key, in the family `meta`, of the commit that gave a zone a serial.
pub fn serial_key(origin: &str, serial: Serial) -> Vec<u8> {
    [
        b"serial/",
        origin.as_bytes(),
        b"\0",
        &serial.0.to_be_bytes(),
    ]
    .concat()
}

/// The key of an event.
pub fn event_key(subject: &Subject, seq: u64, place: u32) -> Vec<u8> {
    let mut key = subject.key();
    key.extend(seq.to_be_bytes());
    key.extend(place.to_be_bytes());
    key
}

/// Takes the place of a sequence number in the keys of a large import's events: they are staged
/// before their commit has a number, and count if a commit named their generation.
pub fn staged_seq(source: SourceId, generation: u32) -> u64 {
    1 << 63 | u64::from(source.0) << 32 | u64::from(generation)
}

/// How many bytes an event's key has after the subject.
pub const EVENT_TAIL: usize = 12;

/// The key of a feed's event.
pub fn feed_event_key(at: Time, subject: &Subject, seq: u64, place: u32) -> Vec<u8> {
    let mut key = ((at.0 / BUCKET) as u32).to_be_bytes().to_vec();
    key.extend(event_key(subject, seq, place));
    key
}

/// The key of a due date.
pub fn due_key(at: Time, subject: &Subject) -> Vec<u8> {
    let mut key = at.0.to_be_bytes().to_vec();
    subject.write_key(&mut key);
    key
}

/// The key of a hold.
pub fn hold_key(source: SourceId, subject: &Subject) -> Vec<u8> {
    let mut key = source.0.to_be_bytes().to_vec();
    subject.write_key(&mut key);
    key
}

/// The first key after all keys that start with `prefix`.
pub fn after(prefix: &[u8]) -> Vec<u8> {
    let mut out = prefix.to_vec();
    while let Some(last) = out.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return out;
        }
        out.pop();
    }
    vec![u8::MAX; 32]
}

/// An event in its stored form.
pub fn event_value(event: &Event) -> Encoded {
    encode(event)
}

/// Appends a feed's event in the form of [`event_value`], without making an `Event`.
pub fn write_event(
    at: Time,
    author: &str,
    what: &EventKind,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        at: Time,
        author: &'a str,
        what: &'a EventKind,
        evidence: Option<()>,
    }
    out.push(FORM);
    let written = postcard::to_extend(
        &Borrowed {
            at,
            author,
            what,
            evidence: None,
        },
        std::mem::take(out),
    );
    *out = written.map_err(|e| e.to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn feed_rows_read_back(entries in prop::collection::vec((0u8..64, any::<bool>(), any::<u32>(), prop::option::of(".{0,20}"), prop::option::of(".{0,20}"), 0u8..10), 0..4)) {
            let entries: Vec<_> = entries
                .into_iter()
                .map(|(r, exclusion, since, text, note, hops)| {
                    let path = if hops == 9 { FeedPath::Untraced } else { FeedPath::via((0..u64::from(hops)).map(StoreId).collect()) };
                    FeedEntry { reason: ReasonId(r), exclusion, implied: false, since: Time(u64::from(since)), text: EntryText { text: text.map(Into::into), path }, note: note.map(Into::into) }
                })
                .collect();
            let mut row = Vec::new();
            write_feed(&entries, &mut row);
            prop_assert_eq!(read_feed(&row), Some(entries));
        }

        #[test]
        fn any_bytes_decode_to_a_value_or_none(bytes: Vec<u8>) {
            let _ = (read_feed(&bytes), decode::<Own>(&bytes), decode::<Event>(&bytes), decode::<Commit>(&bytes), decode::<SourceRecord>(&bytes));
        }
    }

    #[test]
    fn an_event_of_every_kind_reads_back() {
        let (reason, source, until) = (ReasonId(3), SourceId(9), Time(7));
        let all = [
            EventKind::Listed {
                reason,
                source,
                until: Some(until),
                exclusion: true,
                text: "t $".into(),
            },
            EventKind::Delisted { reason, source },
            EventKind::Expired { reason, source },
            EventKind::Dropped { reason, source },
            EventKind::Held {
                reason,
                source,
                until,
            },
            EventKind::HoldEnded { reason, source },
            EventKind::Exempted { until: None },
            EventKind::ExemptEnded,
        ];
        for what in all {
            let evidence = Some(crate::model::Evidence::word("seen"));
            let event = Event {
                at: Time(1),
                author: "uid:0".into(),
                what,
                evidence,
            };
            let value = event_value(&event).into_bytes().unwrap();
            assert_eq!(decode::<Event>(&value), Some(event.clone()));
            let plain = Event {
                evidence: None,
                ..event
            };
            let mut written = Vec::new();
            write_event(plain.at, &plain.author, &plain.what, &mut written).unwrap();
            assert_eq!(Ok(written), event_value(&plain).into_bytes());
        }
    }

    /// Rows of versions before notes have no bit for them.
    #[test]
    fn a_row_without_notes_reads_as_before() {
        let row = [
            FORM, 3, HAS_TEXT, 0, 0, 0, 9, 0, 1, b't', 4, EXCLUSION, 0, 0, 0, 7,
        ];
        let entry = |reason, exclusion, since, text: Option<&str>| FeedEntry {
            reason: ReasonId(reason),
            exclusion,
            implied: false,
            since: Time(since),
            text: text.into(),
            note: None,
        };
        let entries = vec![entry(3, false, 9, Some("t")), entry(4, true, 7, None)];
        assert_eq!(read_feed(&row), Some(entries.clone()));
        let mut written = Vec::new();
        write_feed(&entries, &mut written);
        assert_eq!(written, row);
    }

    #[test]
    fn a_long_note_is_cut_and_the_row_reads_back() {
        let entry = FeedEntry {
            reason: ReasonId(1),
            exclusion: false,
            implied: false,
            since: Time(1),
            text: EntryText::default(),
            note: Some("é".repeat(500).into()),
        };
        let mut row = Vec::new();
        write_feed(&[entry], &mut row);
        assert_eq!(
            read_feed(&row).unwrap()[0].note.as_ref().map(|n| n.len()),
            Some(254)
        );
    }

    #[test]
    fn after_is_greater_than_every_key_with_the_prefix() {
        assert_eq!(after(&[1, 2]), [1, 3]);
        assert_eq!(after(&[1, 255]), [2]);
    }
}
