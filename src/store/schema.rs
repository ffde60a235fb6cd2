//! The data on disk: column families, keys, and values with a version.
//!
//! The names of families on disk never change ([`FAMILIES`]); this table gives the constant and the
//! meaning of each.
//!
//! | family | constant | key | value |
//! | --- | --- | --- | --- |
//! | `verdicts` | [`VERDICTS`] | subject | [`Verdict`] without the entries of feeds ([`own_verdict`]) |
//! | `feeds` | [`FEEDS`] | source, generation, subject | [`FeedEntry`] list of a feed; only the generation that the source's record names counts |
//! | `events` | [`EVENTS`] | subject, sequence, place | [`Event`], never deleted |
//! | `churn` | [`FEED_EVENTS`] | bucket of ten days, subject, sequence, place | [`Event`] of a feed, kept for a configured time |
//! | `records` | [`RECORDS`] | source, copy, a record of a followed zone | nothing; only the copy that the source's record names counts |
//! | `due` | [`DUE`] | time, subject | nothing: the next time at which a listing, hold or exemption of the subject ends, or a listing outlives a limit of a zone |
//! | `holds` | [`HOLDS`] | source, subject | nothing: the subjects that have a hold of the source |
//! | `people` | [`ACCOUNTS`] | see below | users, tokens and other named values (`ledger::accounts`) |
//! | `audit` | [`AUDIT`] | a number | [`AuditRecord`], never deleted |
//! | `outbox` | [`OUTBOX`] | webhook, 0, commit | a message that waits for delivery (`ledger::outbox`) |
//! | `probes` | [`RELAY`] | letter, host or number | rows of relay tests, in JSON; `relay::tables` has the table of letters |
//! | `tickets` | [`TICKETS`] | letter, number or subject | tickets with all that is personal in them, in JSON; `tickets::tables` has the table of letters |
//! | `netblocks` | [`NETBLOCKS`] | letter, prefix | entries of listed networks, in JSON; `netblocks::tables` has the table of letters |
//! | `dynamic_ranges` | [`DYNAMIC_RANGES`] | letter, number or subject | providers with their entries and edits, in JSON; `dynamic_ranges::tables` has the table of letters |
//! | `once` | [`IDEMPOTENCY`] | day, key | [`StoredReceipt`] of an idempotent request, kept for one to two days |
//! | `once` | [`IDEMPOTENCY`] | day, key, 1 | the answer of an idempotent request: hash of the request, status, body |
//! | `journal` | [`JOURNAL`] | sequence | [`Commit`]: its subjects and their verdicts before it |
//! | `meta` | [`META`] | see below | other values |
//!
//! | key in `people` | value |
//! | --- | --- |
//! | `person/` name | a user |
//! | `token/` id | a token |
//! | `webhook/` id | a webhook |
//! | `proposal/` id | a proposal |
//! | `used/` token id | the time at which the token was last used, to the hour |
//! | `import/` id | the start time and the report of an import |
//! | `held/` feed | the list of a feed that a guard stopped, in JSON |
//! | `notice/` number | an announcement of operators (`ledger::notices`), in JSON |
//!
//! | key in `meta` | value |
//! | --- | --- |
//! | `version`, `id` | the version of the store; its identity |
//! | `seq` | the number of the last commit |
//! | `reasons`, `sources` | the dictionary: names by number; [`SourceRecord`] by number |
//! | `zone/` origin | [`ZoneRecord`] |
//! | `serial/` origin, 0, serial | the commit that gave the zone the serial |
//! | `accepted/` source | [`AcceptedList`] |
//! | `bulk/` commit | the source of a large import |
//! | `notes/` commit | [`FeedNote`] list: the notes that the commit's rows had before it |
//! | `erased/` name | the number of the last audit record that was read for an erasure (`store::retention`) |
//! | `configured` | the names of the last accepted configuration (`store::configured`) |
//! | `last-backup` | the last backup (`store::backup`) |
//! | `seen-within` | the [`SightLimits`](crate::model::SightLimits) by which the rows of `due` were made |
//! | `upgraded` | the part of the store that an upgrade has read, until its end (`store::upgrade`) |
//! | `removals`, `removals-sum`, `removals-gap` | the last recorded line of the removal log, its checksum, the lines that the log has lost ([`RemovalGap`]) |
//!
//! Numbers in keys are big-endian, so that they sort.
//!
//! [`Event`]: crate::model::Event

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use super::families::{
    ACCOUNTS, AUDIT, DUE, DYNAMIC_RANGES, EVENTS, FAMILIES, FEED_EVENTS, FEEDS, FeatureFamily,
    HOLDS, IDEMPOTENCY, JOURNAL, META, NETBLOCKS, OUTBOX, RECORDS, RELAY, TICKETS, VERDICTS,
};
use super::{encoded::EncodedRow, extent::Extent};
use crate::model::{
    Domain, Entry, EntryText, FeedPath, Mask, Prefix4, Prefix6, ReasonId, Scope, Serial, SightAge,
    SourceId, StoreId, Subject, Time, Verdict, history::EventKind,
};

/// The version of the store; a store of a newer version is refused.
pub const VERSION: u32 = 10;
/// The span of one bucket of feed events, in seconds. Old events are removed by whole buckets.
pub const BUCKET: u64 = 10 * 86_400;

/// The first byte of every value; the rest is in postcard.
const FORM: u8 = 1;

/// Encodes a value.
pub fn encode<T: Serialize>(value: &T) -> EncodedRow {
    EncodedRow::new(FORM, value)
}

/// Decodes a value; `None` if this version cannot read it.
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

/// The stored part of a verdict; `None` if it is empty. Entries of feeds are in their own family.
pub fn own_verdict(v: &Verdict) -> Option<Verdict> {
    let mut own = v.clone();
    own.entries.retain(|e| !e.source.is_feed());
    (!own.is_empty()).then_some(own)
}

/// One entry of a feed's row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FeedEntry {
    /// The reason.
    pub reason: ReasonId,
    /// An exclusion from the feed's wider listing.
    pub exclusion: bool,
    /// Only while the entry is staged: an exclusion that a listing of the same subject overrides,
    /// and that is dropped if nothing wider is listed.
    pub implied: bool,
    /// When the feed first had it.
    pub since: Time,
    /// Its own text, and its path.
    pub text: EntryText,
    /// The note of the list about the entry, for operators; never published.
    pub note: Option<Box<str>>,
}

impl FeedEntry {
    /// Whether both entries are published in the same way: they may differ in note and time.
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
const EXACT: u8 = 1 << 5;

/// The longest note of an entry, in bytes; a longer note is truncated.
pub const MAX_NOTE_BYTES: usize = 255;

/// Writes a feed's row: the version byte, then for each entry reason, flags, since, path, text,
/// note.
pub fn write_feed(entries: &[FeedEntry], out: &mut Vec<u8>) {
    out.push(FORM);
    for e in entries {
        let EntryText { text, path, exact } = &e.text;
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(e.exclusion, EXCLUSION)
            | flag(text.is_some(), HAS_TEXT)
            | flag(e.implied, IMPLIED)
            | flag(e.note.is_some(), HAS_NOTE)
            | flag(*path != FeedPath::Own, HAS_PATH)
            | flag(*exact, EXACT);
        out.extend([e.reason.0, flags]);
        out.extend((e.since.0 as u32).to_be_bytes());
        if *path != FeedPath::Own {
            // The number of stores, and their identities.
            out.push(path.hops());
            path.stores()
                .iter()
                .for_each(|s| out.extend(s.0.to_be_bytes()));
        }
        if let Some(text) = text {
            // Readers truncate texts; truncate here too, so that the length fits its field.
            let text = &text[..text.floor_char_boundary(usize::from(u16::MAX))];
            out.extend((text.len() as u16).to_be_bytes());
            out.extend(text.as_bytes());
        }
        if let Some(note) = &e.note {
            let note = &note[..note.floor_char_boundary(MAX_NOTE_BYTES)];
            out.push(note.len() as u8);
            out.extend(note.as_bytes());
        }
    }
}

/// One entry of a feed's row as it is stored.
struct StoredEntry<'b> {
    reason: ReasonId,
    flags: u8,
    since: Time,
    path: FeedPath,
    text: Option<&'b [u8]>,
    note: Option<&'b [u8]>,
}

impl<'b> StoredEntry<'b> {
    /// Takes the first entry of the rest of a row; `None` if this version cannot read it.
    fn take(rest: &mut &'b [u8]) -> Option<StoredEntry<'b>> {
        let [reason, flags, since @ ..] = take(rest, 6)? else {
            return None;
        };
        let has = |bit: u8| flags & bit != 0;
        let path = if has(HAS_PATH) {
            read_path(rest)?
        } else {
            FeedPath::Own
        };
        let (mut text, mut note) = (None, None);
        if has(HAS_TEXT) {
            let len = u16::from_be_bytes(take(rest, 2)?.try_into().ok()?);
            text = Some(take(rest, usize::from(len))?);
        }
        if has(HAS_NOTE) {
            let len = take(rest, 1)?[0];
            note = Some(take(rest, usize::from(len))?);
        }
        Some(StoredEntry {
            reason: ReasonId(*reason),
            flags: *flags,
            since: Time(u64::from(u32::from_be_bytes(since.try_into().ok()?))),
            path,
            text,
            note,
        })
    }

    fn has(&self, bit: u8) -> bool {
        self.flags & bit != 0
    }
}

/// Passes each entry of a feed's row to `f`. `None` if this version cannot read the row, or if `f`
/// has returned it.
fn each_entry<'b>(row: &'b [u8], mut f: impl FnMut(StoredEntry<'b>) -> Option<()>) -> Option<()> {
    let (form, mut rest) = row.split_first()?;
    if *form != FORM {
        return None;
    }
    while !rest.is_empty() {
        f(StoredEntry::take(&mut rest)?)?;
    }
    Some(())
}

/// A stored text, if there is one; `None` if it is not UTF-8.
fn read_text(bytes: Option<&[u8]>) -> Option<Option<Box<str>>> {
    Some(match bytes {
        Some(bytes) => Some(std::str::from_utf8(bytes).ok()?.into()),
        None => None,
    })
}

/// Reads a feed's row.
pub fn read_feed(row: &[u8]) -> Option<Vec<FeedEntry>> {
    let mut out = Vec::with_capacity(1);
    each_entry(row, |e| {
        out.push(FeedEntry {
            reason: e.reason,
            exclusion: e.has(EXCLUSION),
            implied: e.has(IMPLIED),
            since: e.since,
            note: read_text(e.note)?,
            text: EntryText {
                text: read_text(e.text)?,
                exact: e.has(EXACT),
                path: e.path,
            },
        });
        Some(())
    })?;
    Some(out)
}

/// The reasons that a feed's row lists, and those that it excludes; none for an empty row. `None` if
/// this version cannot read the row.
pub fn feed_masks(row: &[u8]) -> Option<[Mask; 2]> {
    let mut masks = [0; 2];
    if !row.is_empty() {
        each_entry(row, |e| {
            masks[usize::from(e.has(EXCLUSION))] |= e.reason.bit();
            Some(())
        })?;
    }
    Some(masks)
}

/// Whether the first entry of a feed's row is [implied](FeedEntry::implied).
pub fn is_implied(row: &[u8]) -> bool {
    row.get(2).is_some_and(|flags| flags & IMPLIED != 0)
}

/// Where a row has the time of its first entry: after the version byte, its reason and its flags.
const SINCE: std::ops::Range<usize> = 3..7;

/// Whether two rows differ at most in the time of their first entry.
pub fn differs_only_in_time(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && a.len() >= SINCE.end
        && a[..SINCE.start] == b[..SINCE.start]
        && a[SINCE.end..] == b[SINCE.end..]
}

/// Takes the first `len` bytes.
fn take<'b>(bytes: &mut &'b [u8], len: usize) -> Option<&'b [u8]> {
    bytes.split_off(..len)
}

/// Reads the number of stores on a path, and their identities.
fn read_path(bytes: &mut &[u8]) -> Option<FeedPath> {
    let hops = take(bytes, 1)?[0];
    if hops == FeedPath::UNTRACED_HOPS {
        return Some(FeedPath::Untraced);
    }
    let (stores, _) = take(bytes, usize::from(hops) * 8)?.as_chunks::<8>();
    let ids = stores.iter().map(|id| StoreId(u64::from_be_bytes(*id)));
    Some(FeedPath::via(ids.collect()))
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
            seen: self.since,
            aged: SightAge::default(),
        }
    }
}

/// The record of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Its name.
    pub name: String,
    /// Whether it is a feed, whose list each import replaces as a whole.
    pub feed: bool,
    /// The current generation of its rows; 0 for none.
    pub generation: u32,
    /// The number of the next generation to stage.
    pub next: u32,
    /// Generations that were staged and never named by a commit; their events do not count.
    pub dead: Vec<u32>,
    /// When it was last imported.
    pub refreshed: Time,
    /// When its listings end unless it is imported again.
    pub expires: Option<Time>,
    /// The reasons that it has ever listed: for addresses, and for domains.
    pub masks: [Mask; 2],
    /// When its listings ended without an event for each subject, because there were too many.
    pub ends: Vec<Time>,
    /// The zone from which its rows were made, if any.
    pub followed: Option<FollowState>,
    /// The rows that a large import replaced, so that it can be undone until the next one.
    pub kept: Option<ReplacedRows>,
}

/// Rows that a large import has replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedRows {
    /// The commit of that import.
    pub commit: u64,
    /// The generation of the rows; 0 if there were none.
    pub generation: u32,
    /// When the source's listings would have ended.
    pub expires: Option<Time>,
}

/// A zone that a source follows: the version from which the source's rows were made, and where its
/// records are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowState {
    /// The zone's name.
    pub zone: String,
    /// Its version.
    pub serial: Serial,
    /// The timers of its SOA, in seconds: refresh, retry, expire.
    pub timers: [u32; 3],
    /// The current copy of its records.
    pub copy: u32,
    /// A hash of the rules by which records become rows. If the rules change, the rows are made
    /// again.
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
    /// Whether the list ended with a record that describes it.
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

/// The key, in the family `meta`, of the notes that a commit's rows had before it.
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

/// The key, in the family `meta`, of the checksum of the last recorded line of the removal log.
pub const REMOVALS_SUM: &[u8] = b"removals-sum";
/// The key, in the family `meta`, of the lines that the removal log has lost.
pub const REMOVALS_GAP: &[u8] = b"removals-gap";

/// Lines that the removal log has lost: a restore of an older copy cannot replay them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalGap {
    /// The first line of the restarted log.
    pub line: u64,
    /// When the log was restarted.
    pub at: Time,
    /// The first and last number of each run of missing lines.
    pub missing: Vec<(u64, u64)>,
    /// Why lines are missing.
    pub why: String,
}

/// How many times of [`SourceRecord::ends`] are kept.
pub const MAX_ENDS: usize = 32;

/// The record of a zone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneRecord {
    /// The current serial.
    pub serial: Serial,
    /// A hash of the configuration that affects the zone's records.
    pub hash: u64,
}

/// A commit in the journal.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Commit {
    /// Its time.
    pub at: Time,
    /// Bytes of the journal up to this row, with it, since the store was created.
    pub bytes: u64,
    /// True if the change is too large to list (a large import, a configuration). A transfer across
    /// it is an AXFR.
    pub barrier: bool,
    /// True for a large import, whose subjects are not listed. A start from an older image scans
    /// the store.
    pub bulk: bool,
    /// The serials that changed: origin, before, after.
    pub serials: Vec<(String, Serial, Serial)>,
    /// The subjects' keys, and their verdicts before the commit.
    pub before: Vec<(Vec<u8>, Verdict)>,
}

/// An audit record: one write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// The time.
    pub at: Time,
    /// The author.
    pub author: String,
    /// Where the request came from: an address, or the socket.
    pub from: String,
    /// The action, in one word.
    pub action: String,
    /// The object: a subject, a name.
    pub target: String,
    /// Details, such as reason and source or counts.
    pub detail: String,
    /// The author's note.
    pub note: Option<String>,
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
    /// The serials that changed: origin and new serial.
    pub serials: Vec<(String, Serial)>,
    /// The subject's revision after the commit.
    pub revision: u64,
}

/// The key of an idempotent request, in the family `once`.
pub fn idempotency_key(at: Time, key: &[u8; 16]) -> Vec<u8> {
    let day = (at.0 / DAY) as u32;
    [&day.to_be_bytes()[..], key].concat()
}

/// The key of the stored answer to an idempotent request, in the family `once`.
pub fn answer_key(at: Time, key: &[u8; 16]) -> Vec<u8> {
    [&idempotency_key(at, key)[..], &[1]].concat()
}

/// The span of one bucket of idempotent requests, in seconds.
pub const DAY: u64 = 86_400;

/// The revision of a verdict: a hash that differs from those of the subject's other verdicts. When
/// its listings were last seen is not part of it.
pub fn revision(v: &Verdict) -> u64 {
    // A verdict that cannot be encoded cannot be committed either.
    let bytes = encode(&v.without_sights()).into_bytes().unwrap_or_default();
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
    [&subject.key()[..], &seq.to_be_bytes(), &place.to_be_bytes()].concat()
}

/// The number in the keys of a large import's events, in place of a sequence number: the events are
/// staged before their commit has a number, and count if a commit names their generation.
pub fn staged_seq(source: SourceId, generation: u32) -> u64 {
    1 << 63 | u64::from(source.0) << 32 | u64::from(generation)
}

/// The key of a feed's event.
pub fn feed_event_key(at: Time, subject: &Subject, seq: u64, place: u32) -> Vec<u8> {
    let key = event_key(subject, seq, place);
    [&feed_event_bucket(at)[..], &key].concat()
}

/// The bucket of a feed's event, with which its key begins.
pub fn feed_event_bucket(at: Time) -> [u8; 4] {
    ((at.0 / BUCKET) as u32).to_be_bytes()
}

/// The key of a due date.
pub fn due_key(at: Time, subject: &Subject) -> Vec<u8> {
    [&at.0.to_be_bytes()[..], &subject.key()].concat()
}

/// The key of a hold.
pub fn hold_key(source: SourceId, subject: &Subject) -> Vec<u8> {
    [&source.0.to_be_bytes()[..], &subject.key()].concat()
}

/// The half-open ranges of keys that contain everything that a subject covers, the widest subjects
/// first: start and end of each. They can contain keys besides.
pub fn covered_ranges(within: &Subject) -> Vec<(Vec<u8>, Vec<u8>)> {
    let behind = |mut key: Vec<u8>| {
        key.push(u8::MAX);
        key
    };
    match within {
        Subject::V4(p) => {
            let last = Subject::host4(p.last()).key();
            let hosts = (Subject::host4(p.first()).key(), behind(last));
            if p.is_host() {
                return vec![hosts];
            }
            let last = Subject::V4(Prefix4::new(p.last(), 31)).key();
            vec![(within.key(), behind(last)), hosts]
        }
        Subject::V6(p) => {
            let last = Subject::V6(Prefix6::host(p.last())).key();
            vec![(within.key(), behind(last))]
        }
        Subject::Domain(d) => {
            let mut from = Subject::Domain(Domain::from_canonical(d.name(), Scope::Name)).key();
            from.pop(); // the scope
            let to = after(&from);
            vec![(from, to)]
        }
    }
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

/// Appends the encoded event of a feed, without making an [`Event`](crate::model::Event).
pub fn write_event(
    at: Time,
    author: &str,
    what: &EventKind,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    // postcard encodes a tuple as it does a structure with the same fields.
    let evidence: Option<()> = None;
    out.push(FORM);
    let written = postcard::to_extend(&(at, author, what, evidence), std::mem::take(out));
    *out = written.map_err(|e| e.to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Event;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn feed_rows_read_back(entries in prop::collection::vec((0u8..64, any::<bool>(), any::<u32>(), prop::option::of(".{0,20}"), prop::option::of(".{0,20}"), 0u8..10, any::<bool>()), 0..4)) {
            let entries: Vec<_> = entries
                .into_iter()
                .map(|(r, exclusion, since, text, note, hops, exact)| {
                    let path = if hops == 9 { FeedPath::Untraced } else { FeedPath::via((0..u64::from(hops)).map(StoreId).collect()) };
                    FeedEntry { reason: ReasonId(r), exclusion, implied: false, since: Time(u64::from(since)), text: EntryText { text: text.map(Into::into), path, exact }, note: note.map(Into::into) }
                })
                .collect();
            let mut row = Vec::new();
            write_feed(&entries, &mut row);
            prop_assert_eq!(read_feed(&row), Some(entries));
        }

        #[test]
        fn any_bytes_decode_to_a_value_or_none(bytes: Vec<u8>) {
            let _ = (read_feed(&bytes), decode::<Verdict>(&bytes), decode::<Event>(&bytes), decode::<Commit>(&bytes), decode::<SourceRecord>(&bytes));
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
            let evidence = Some(crate::model::Evidence::statement("seen"));
            let event = Event {
                at: Time(1),
                author: "uid:0".into(),
                kind: what,
                evidence,
            };
            let value = encode(&event).into_bytes().unwrap();
            assert_eq!(decode::<Event>(&value), Some(event.clone()));
            let plain = Event {
                evidence: None,
                ..event
            };
            let mut written = Vec::new();
            write_event(plain.at, &plain.author, &plain.kind, &mut written).unwrap();
            assert_eq!(Ok(written), encode(&plain).into_bytes());
        }
    }

    /// Stores up to version 8 have a flag for exclusions where later ones have the kind of an entry.
    #[test]
    fn entries_without_a_later_sight_have_the_bytes_of_earlier_versions() {
        let text: EntryText = Some("t").into();
        let entry = |exclusion| Entry {
            reason: ReasonId(3),
            source: SourceId::OPERATOR,
            since: Time(300),
            until: Some(Time(900)),
            exclusion,
            text: text.clone(),
            seen: Time(300),
            aged: SightAge::default(),
        };
        for exclusion in [false, true] {
            let e = entry(exclusion);
            let earlier = (e.reason, e.source, e.since, e.until, exclusion, &e.text);
            let bytes = encode(&e).into_bytes();
            assert_eq!(bytes, encode(&earlier).into_bytes());
            assert_eq!(decode(&bytes.unwrap()), Some(e));
        }
        for (seen, aged) in [(300, 60), (400, 0), (500, 60)] {
            let e = Entry {
                seen: Time(seen),
                aged: SightAge(aged),
                ..entry(false)
            };
            assert_eq!(decode(&encode(&e).into_bytes().unwrap()), Some(e));
        }
    }

    /// Rows that were written before notes existed have no bit for them.
    #[test]
    fn row_without_notes_reads_back() {
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
    fn long_note_is_truncated() {
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
