//! The state of each mirror: its last NOTIFY, request and transfer, and its serial. It is kept in a
//! file next to the store's folder, so that it survives a restart and a restore. Not used on the
//! query path.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

mod file;

use crate::{
    api::{
        LagResponse, MirrorCounts, MirrorNotifyResponse, MirrorRequestResponse, MirrorResponse,
        MirrorTransferResponse, TransferScope,
    },
    clock::Clock,
    dns::notify::rcode_name,
    index::Snapshot,
    ledger::MirrorSerials,
    model::{
        Serial, Time,
        serial::{MirrorSerial, forced_transfers},
        time::Seconds,
    },
};

/// The most unconfigured mirrors that are kept; beyond them, the one that was not seen for longest
/// is dropped.
const MAX_OTHERS: usize = 1024;
/// The most publication times that are kept of a zone; beyond them, every second one is dropped.
const MAX_LOG: usize = 4096;
/// For how long a mirror that sends no requests is considered when a serial jumps.
const SEEN_WITHIN: Seconds = Seconds(30 * 86_400);
/// How long a completed transfer reserves connections for its address.
const RESERVED_FOR: Seconds = Seconds(7 * 86_400);
/// The least step of a serial that counts as a jump, after which the file is written at once.
const JUMP: u32 = 4096;
/// The most addresses with completed transfers that are kept; beyond them, the one with the oldest
/// transfer is dropped.
const MAX_TRANSFERRED: usize = 1024;

/// The identity of a mirror: one of `transfer.notify` by its address and key, or one that is known
/// only by its requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum MirrorId {
    Configured(SocketAddr, Option<String>),
    Other(IpAddr, Option<String>),
}

impl MirrorId {
    /// The address of a mirror of `transfer.notify`.
    fn configured(&self) -> Option<SocketAddr> {
        match self {
            MirrorId::Configured(address, _) => Some(*address),
            MirrorId::Other(..) => None,
        }
    }

    /// The address as text, and the key.
    fn parts(&self) -> (String, Option<String>) {
        match self {
            MirrorId::Configured(address, key) => (address.to_string(), key.clone()),
            MirrorId::Other(address, key) => (address.to_string(), key.clone()),
        }
    }
}

/// A mirror of `transfer.notify`. Two mirrors at one address are distinguished by their keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ConfiguredMirror {
    /// The zone's name.
    pub(super) zone: String,
    /// The address to which NOTIFY is sent.
    pub(super) address: SocketAddr,
    /// The name of the key that signs NOTIFY.
    pub(super) key: Option<String>,
}

impl ConfiguredMirror {
    fn row_key(&self) -> (String, MirrorId) {
        (
            self.zone.clone(),
            MirrorId::Configured(self.address, self.key.clone()),
        )
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct NotifyState {
    serial: Serial,
    at: Time,
    tries: u32,
    rcode: Option<u8>,
    answer_ms: Option<u64>,
    problem: Option<String>,
}

impl NotifyState {
    fn response(&self) -> MirrorNotifyResponse {
        MirrorNotifyResponse {
            serial: self.serial.0,
            at: self.at.into(),
            tries: self.tries,
            acknowledged: self.rcode == Some(0),
            rcode: self.rcode.map(|r| rcode_name(r).to_string()),
            answer_ms: self.answer_ms,
            problem: self.problem.clone(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct MirrorRequest {
    serial: Option<Serial>,
    at: Time,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct MirrorTransfer {
    from: Option<Serial>,
    to: Serial,
    at: Time,
    bytes: u64,
    took_ms: u64,
}

impl MirrorTransfer {
    fn response(&self) -> MirrorTransferResponse {
        MirrorTransferResponse {
            kind: match self.from {
                Some(_) => TransferScope::Incremental,
                None => TransferScope::Whole,
            },
            from: self.from.map(|s| s.0),
            to: self.to.0,
            at: self.at.into(),
            bytes: self.bytes,
            ms: self.took_ms,
        }
    }
}

/// The counters of a mirror since the file was created.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
struct Counts {
    notified: u64,
    answered: u64,
    transfers: u64,
    bytes: u64,
    /// Requests for a transfer.
    #[serde(rename = "asked")]
    requests: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Row {
    /// When a request of the mirror came last.
    #[serde(rename = "seen")]
    last_seen: Time,
    has: Option<Serial>,
    /// Whether `has` is the claim of an unsigned datagram, which any host can have sent.
    unproved: bool,
    /// Our serial that was not newer than the mirror's. Until the mirror transfers the whole zone,
    /// its copy differs from ours, whatever its serial is.
    left_at: Option<Serial>,
    /// Since when the mirror lacks a serial, by the publication times that were known when the file
    /// was written.
    lacks_since: Option<Time>,
    notified: Option<NotifyState>,
    #[serde(rename = "asked")]
    request: Option<MirrorRequest>,
    transfer: Option<MirrorTransfer>,
    counts: Counts,
}

/// The last serial that each zone has published, and when, by origin.
pub type PublishedSerials = BTreeMap<String, (Serial, Time)>;

/// The serials of a zone, and when each was published.
#[derive(Debug, Default)]
struct Log {
    current: Serial,
    /// The newest serial that was sent to any mirror; a transfer can be ahead of `current` for a
    /// moment.
    newest: Option<Serial>,
    /// The first serial of a second, and the second.
    entries: VecDeque<(Serial, Time)>,
}

impl Log {
    fn push(&mut self, serial: Serial, at: Time) {
        let last = self.entries.back();
        let is_new = last.is_none_or(|(_, last)| self.current != serial && *last != at);
        self.current = serial;
        if is_new {
            self.entries.push_back((serial, at));
        }
        if self.entries.len() > MAX_LOG {
            let mut keeps = false;
            self.entries.retain(|_| {
                keeps = !keeps;
                keeps
            });
        }
    }

    /// Records a serial that was published. Returns the newest one.
    fn note(&mut self, serial: Serial) -> Serial {
        let newest = self.newest.map_or(serial, |n| n.max(serial));
        self.newest = Some(newest);
        newest
    }

    /// When the serial after this one was published, if that is known.
    fn after(&self, serial: Serial) -> Option<Time> {
        let before_now = |s: Serial| self.current.0.wrapping_sub(s.0);
        let wanted = before_now(serial.next());
        let upto = self
            .entries
            .partition_point(|(s, _)| before_now(*s) >= wanted);
        upto.checked_sub(1).map(|i| self.entries[i].1)
    }
}

#[derive(Debug, Default)]
struct Inner {
    rows: BTreeMap<(String, MirrorId), Row>,
    logs: HashMap<String, Log>,
    /// When each address completed its last transfer.
    transferred: BTreeMap<IpAddr, Time>,
    given_out: PublishedSerials,
    changed: bool,
    /// Whether a serial has jumped since the file was written. Without it, a restore would set an
    /// older serial.
    jumped: bool,
}

/// The request of a mirror for a transfer.
#[derive(Debug, Clone, Copy)]
pub struct TransferRequest<'a> {
    /// The zone's name.
    pub zone: &'a str,
    /// The address of the mirror.
    pub addr: IpAddr,
    /// The TSIG key that signed the request.
    pub key: Option<&'a str>,
    /// The serial that the mirror claims to have; `None` for an AXFR.
    pub serial: Option<Serial>,
    /// Whether the request is signed or came over a stream, so that its sender is proved.
    pub proved: bool,
    /// Our serial.
    pub current: Serial,
}

/// All mirrors of all zones.
#[derive(Debug)]
pub struct Mirrors {
    /// The possible paths of the file: the first that can be written to is used.
    paths: Vec<PathBuf>,
    /// What is wrong with files that could not be read at the start.
    problems: Vec<String>,
    clock: Clock,
    inner: Mutex<Inner>,
}

impl Mirrors {
    /// Reads the state from the files at these paths, the newer of two. A damaged file is reported
    /// by a warning and ignored.
    pub fn open(paths: Vec<PathBuf>, clock: Clock) -> Mirrors {
        let mut rows: BTreeMap<(String, MirrorId), Row> = BTreeMap::new();
        let mut transferred: BTreeMap<IpAddr, Time> = BTreeMap::new();
        let (mut given_out, mut problems) = (PublishedSerials::new(), Vec::new());
        for path in &paths {
            let found = file::read(path).unwrap_or_else(|e| {
                problems.push(format!(
                    "{}: {e}; its state of mirrors and serials is ignored",
                    path.display()
                ));
                file::MirrorsFile::default()
            });
            found.given_out.iter().for_each(|(zone, (serial, at))| {
                note_given_out(&mut given_out, zone, *serial, *at);
            });
            for (addr, at) in found.transferred {
                let last = transferred.entry(addr).or_insert(at);
                *last = at.max(*last);
            }
            for (zone, id, row) in found.mirrors {
                let key = (zone, id);
                if rows.get(&key).is_none_or(|r| r.last_seen < row.last_seen) {
                    rows.insert(key, row);
                }
            }
        }
        problems.iter().for_each(|p| tracing::warn!("{p}"));
        Mirrors {
            paths,
            problems,
            clock,
            inner: Mutex::new(Inner {
                rows,
                transferred,
                given_out,
                ..Inner::default()
            }),
        }
    }

    /// What is wrong with files that could not be read at the start.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The last serial of each zone.
    pub fn given_out(&self) -> PublishedSerials {
        self.lock().given_out.clone()
    }

    /// Whether any serial is known, of a mirror or of a zone.
    pub fn knows_serials(&self) -> bool {
        let inner = self.lock();
        !inner.given_out.is_empty() || inner.rows.values().any(|row| row.has.is_some())
    }

    /// Saves the serials that a restore publishes, so that the next restore of the same copy does
    /// not publish them again.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_restored(&self, serials: &[(String, Serial)]) -> Result<(), String> {
        let mut inner = self.lock();
        serials.iter().for_each(|(zone, serial)| {
            note_given_out(&mut inner.given_out, zone, *serial, self.clock.now());
        });
        let saved = inner.saved();
        drop(inner);
        file::write(&self.paths, &saved)
    }

    /// The preferred path of the file.
    pub fn path(&self) -> &std::path::Path {
        self.paths.first().map_or(std::path::Path::new(""), |p| p)
    }

    /// The look-up of mirrors that the ledger uses before a serial jumps.
    pub fn mirror_serials(self: &std::sync::Arc<Mirrors>) -> MirrorSerials {
        let mirrors = self.clone();
        MirrorSerials(Some(std::sync::Arc::new(move |zone| {
            mirrors.recent_mirrors(zone, mirrors.clock.now())
        })))
    }

    /// The mirrors of a zone that were seen in the last 30 days, with their proved serials.
    fn recent_mirrors(&self, zone: &str, at: Time) -> Vec<MirrorSerial> {
        self.serials_of(zone, at, |row| !row.unproved)
    }

    /// The mirrors of a zone that were seen in the last 30 days and whose state `is_wanted`.
    fn serials_of(
        &self,
        zone: &str,
        at: Time,
        is_wanted: impl Fn(&Row) -> bool,
    ) -> Vec<MirrorSerial> {
        let inner = self.lock();
        let rows = inner.rows.iter();
        rows.filter(|((z, _), row)| z == zone && is_wanted(row))
            .filter_map(|(key, row)| mirror_serial(key, row, at))
            .collect()
    }

    /// The mirrors for which a serial was not newer, and which have not transferred the whole zone
    /// since.
    pub(super) fn left_behind(&self, zone: &str) -> Vec<MirrorSerial> {
        self.serials_of(zone, self.clock.now(), |row| row.left_at.is_some())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Sets the configured mirrors. One that is no longer configured is kept as an unconfigured
    /// mirror.
    pub(super) fn configure(&self, all: &[ConfiguredMirror]) {
        self.lock().configure(all);
    }

    /// Records that a zone has published a serial.
    pub(super) fn record_published(&self, zone: &str, serial: Serial) {
        self.lock().record_published(zone, serial, self.clock.now());
    }

    /// Records that a NOTIFY of a serial is sent to a mirror.
    pub(super) fn record_notify(&self, mirror: &ConfiguredMirror, serial: Serial) {
        self.lock().configured(mirror, |row| {
            let again = row
                .notified
                .as_ref()
                .filter(|n| n.serial == serial)
                .map_or(0, |n| n.tries);
            row.notified = Some(NotifyState {
                serial,
                at: self.clock.now(),
                tries: again + 1,
                ..NotifyState::default()
            });
            row.counts.notified += 1;
        });
    }

    /// Records the reply of a mirror to NOTIFY: its RCODE, and how long it took.
    pub(super) fn record_reply(&self, mirror: &ConfiguredMirror, rcode: u8, took: Duration) {
        self.lock().configured(mirror, |row| {
            row.counts.answered += 1;
            if let Some(n) = &mut row.notified {
                (n.rcode, n.answer_ms, n.problem) =
                    (Some(rcode), Some(took.as_millis() as u64), None);
            }
        });
    }

    /// Records why a mirror cannot be notified.
    pub(super) fn record_failure(&self, mirror: &ConfiguredMirror, problem: &str) {
        self.lock().configured(mirror, |row| {
            if let Some(n) = &mut row.notified {
                n.problem = Some(problem.into());
            }
        });
    }

    /// The serial that a configured mirror is known to have.
    pub(super) fn has(&self, mirror: &ConfiguredMirror) -> Option<Serial> {
        self.lock().rows.get(&mirror.row_key()).and_then(|r| r.has)
    }

    /// How often a configured mirror has requested a transfer.
    pub(super) fn request_count(&self, mirror: &ConfiguredMirror) -> u64 {
        self.lock()
            .rows
            .get(&mirror.row_key())
            .map_or(0, |r| r.counts.requests)
    }

    /// Records that an address has completed a transfer that its key or certificate allows, or was
    /// up to date. A transfer that is allowed by address alone does not count, since unrelated
    /// clients of a wide prefix would use up the reserved connections.
    pub(super) fn record_completed(&self, addr: IpAddr) {
        self.lock()
            .record_completed(addr.to_canonical(), self.clock.now());
    }

    /// Whether an address completed such a transfer in the last seven days.
    pub(super) fn has_transferred(&self, addr: IpAddr) -> bool {
        self.lock()
            .transferred
            .get(&addr.to_canonical())
            .is_some_and(|t| t.plus(RESERVED_FOR) > self.clock.now())
    }

    /// Records the request of a mirror for a transfer. Returns true if the mirror has to transfer
    /// the whole zone, because its copy differs from ours at its serial.
    pub fn record_request(&self, request: &TransferRequest) -> bool {
        let (zone, serial, mut inner) = (request.zone, request.serial, self.lock());
        let log = inner.logs.entry(zone.into()).or_default();
        let newest = log.note(request.current);
        let now = self.clock.now();
        inner.update_row(zone, request.addr, request.key, now, |row, at| {
            row.request = Some(MirrorRequest { serial, at });
            row.counts.requests += 1;
            if serial.is_some() && row.has != serial {
                (row.has, row.lacks_since, row.unproved) = (serial, None, !request.proved);
            }
            row.unproved &= !request.proved;
            row.mark(newest);
            row.left_at.is_some()
        })
    }

    /// Records a transfer to a mirror: of the whole zone, or of the changes since `from`.
    #[allow(clippy::too_many_arguments)] // they are one record, and this is its only use
    pub fn record_transfer(
        &self,
        zone: &str,
        addr: IpAddr,
        key: Option<&str>,
        from: Option<Serial>,
        to: Serial,
        bytes: u64,
        took: Duration,
    ) {
        let mut inner = self.lock();
        inner.logs.entry(zone.into()).or_default().note(to);
        inner.update_row(zone, addr, key, self.clock.now(), |row, at| {
            row.transfer = Some(MirrorTransfer {
                from,
                to,
                at,
                bytes,
                took_ms: took.as_millis() as u64,
            });
            (row.has, row.lacks_since, row.unproved) = (Some(to), None, false);
            if from.is_none() {
                row.left_at = None;
            }
            row.counts.transfers += 1;
            row.counts.bytes += bytes;
        });
    }

    /// The state of each mirror; the zones' serials are those of the snapshot.
    pub fn report(&self, snapshot: &Snapshot) -> Vec<MirrorResponse> {
        let (inner, at) = (self.lock(), self.clock.now());
        let zones = snapshot.zones.all().iter().zip(snapshot.serials.iter());
        let serials: HashMap<&str, Serial> = zones.map(|(z, s)| (&*z.name, *s)).collect();
        let mirrors = inner.rows.iter().filter_map(|((zone, id), row)| {
            let current = *serials.get(zone.as_str())?;
            let (address, key) = id.parts();
            let left = row
                .left_at
                .filter(|_| row.last_seen.plus(SEEN_WITHIN) >= at);
            let commands = |_| {
                let all = forced_transfers(zone).into_iter();
                all.map(|(software, command)| (software.to_string(), command))
                    .collect()
            };
            let behind = inner.behind(zone, row, current, at);
            Some(MirrorResponse {
                zone: zone.clone(),
                address,
                configured: id.configured().is_some(),
                key,
                serial: current.0,
                mirror_serial: row.has.map(|s| s.0),
                behind: behind.map(|(serials, seconds)| LagResponse { serials, seconds }),
                needs_transfer: left.map(commands),
                last_notify: row.notified.as_ref().map(NotifyState::response),
                last_request: row.request.as_ref().map(|a| MirrorRequestResponse {
                    serial: a.serial.map(|s| s.0),
                    at: a.at.into(),
                }),
                last_transfer: row.transfer.as_ref().map(MirrorTransfer::response),
                counts: MirrorCounts {
                    notified: row.counts.notified,
                    answered: row.counts.answered,
                    transfers: row.counts.transfers,
                    bytes: row.counts.bytes,
                    requests: row.counts.requests,
                },
            })
        });
        mirrors.collect()
    }

    /// Whether the file has to be written now, since it lacks a jump of a serial.
    pub(super) fn has_jumped(&self) -> bool {
        self.lock().jumped
    }

    /// Writes the file if the state has changed.
    pub fn save(&self) {
        let saved = {
            let mut inner = self.lock();
            if !std::mem::take(&mut inner.changed) {
                return;
            }
            inner.jumped = false;
            inner.saved()
        };
        if let Err(e) = file::write(&self.paths, &saved) {
            tracing::warn!("{e}; the state of the mirrors was not saved");
            self.lock().changed = true;
        }
    }
}

/// Records a serial as the last one of a zone, unless a newer one is known.
fn note_given_out(all: &mut PublishedSerials, zone: &str, serial: Serial, at: Time) {
    let last = all.entry(zone.into()).or_insert((serial, at));
    // The next serial of a zone is newer by RFC 1982; that of another store at the same path may
    // not be.
    if last.0 < serial || (last.1 < at && last.0 == serial) {
        *last = (serial, at);
    }
}

impl Row {
    /// Marks the mirror as left behind if our serial is not newer than its proved one.
    fn mark(&mut self, ours: Serial) {
        let follows = self.has.is_none_or(|has| has <= ours);
        if !follows && !self.unproved && self.left_at.is_none() {
            self.left_at = Some(ours);
        }
    }
}

/// The serial of a mirror; `None` if it has none, or was not seen for 30 days.
fn mirror_serial((_, id): &(String, MirrorId), row: &Row, at: Time) -> Option<MirrorSerial> {
    let (address, key) = id.parts();
    let serial = row.has.filter(|_| row.last_seen.plus(SEEN_WITHIN) >= at)?;
    Some(MirrorSerial {
        address,
        key,
        serial,
        seen: row.last_seen,
    })
}

impl Inner {
    fn record_published(&mut self, zone: &str, serial: Serial, at: Time) {
        let log = self.logs.entry(zone.into()).or_default();
        log.push(serial, at);
        let newest = log.note(serial);
        let last = self
            .given_out
            .get(zone)
            .map_or(Serial::default(), |(serial, _)| *serial);
        self.jumped |= serial.0.wrapping_sub(last.0) >= JUMP;
        note_given_out(&mut self.given_out, zone, serial, at);
        self.rows
            .iter_mut()
            .filter(|((z, _), _)| z == zone)
            .for_each(|(_, row)| row.mark(newest));
        self.changed = true;
    }

    fn configure(&mut self, all: &[ConfiguredMirror]) {
        let keys: Vec<(String, MirrorId)> = all.iter().map(ConfiguredMirror::row_key).collect();
        let gone = |key: &(String, MirrorId)| key.1.configured().is_some() && !keys.contains(key);
        let mut old: Vec<_> = self.rows.extract_if(.., |key, _| gone(key)).collect();
        for (zone, id) in keys {
            // A mirror whose key was changed keeps its state.
            let before = |((z, old), _): &((String, MirrorId), Row)| {
                *z == zone && old.configured() == id.configured()
            };
            self.rows
                .entry((zone.clone(), id.clone()))
                .or_insert_with(|| {
                    let before = old.iter().position(before);
                    before.map_or_else(Row::default, |i| old.swap_remove(i).1)
                });
        }
        for ((zone, id), row) in old {
            if let (MirrorId::Configured(address, key), true) = (id, row.has.is_some()) {
                let key = (zone, MirrorId::Other(address.ip().to_canonical(), key));
                if self
                    .rows
                    .get(&key)
                    .is_none_or(|r| r.last_seen < row.last_seen)
                {
                    self.make_room();
                    self.rows.insert(key, row);
                }
            }
        }
        self.changed = true;
    }

    fn configured(&mut self, mirror: &ConfiguredMirror, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.rows.get_mut(&mirror.row_key()) {
            change(row);
            self.changed = true;
        }
    }

    /// Updates the row of the client that sent a request. A configured mirror is identified by its
    /// key if no other has it, otherwise by its address if no other has that; any other client has
    /// a row of its own.
    fn update_row<T>(
        &mut self,
        zone: &str,
        addr: IpAddr,
        key: Option<&str>,
        at: Time,
        change: impl FnOnce(&mut Row, Time) -> T,
    ) -> T {
        let addr = addr.to_canonical();
        let mine = || {
            let of_zone = self.rows.keys().filter(|(z, _)| z == zone);
            of_zone.filter_map(|(_, id)| match id {
                MirrorId::Configured(a, k) => {
                    Some((id, a.ip().to_canonical() == addr, k.as_deref()))
                }
                MirrorId::Other(..) => None,
            })
        };
        let found = single(mine().filter(|(_, _, k)| key.is_some() && *k == key))
            .or_else(|| single(mine().filter(|(_, here, k)| *here && *k == key)))
            .or_else(|| {
                single(mine().filter(|(_, here, k)| *here && (key.is_none() || k.is_none())))
            })
            .map(|(id, ..)| id.clone());
        let key = (
            zone.to_string(),
            found.unwrap_or_else(|| MirrorId::Other(addr, key.map(Into::into))),
        );
        if !self.rows.contains_key(&key) {
            self.make_room();
        }
        let row = self.rows.entry(key).or_default();
        row.last_seen = at;
        self.changed = true;
        change(row, at)
    }

    fn record_completed(&mut self, addr: IpAddr, at: Time) {
        if self.transferred.len() >= MAX_TRANSFERRED && !self.transferred.contains_key(&addr) {
            let oldest = self.transferred.iter().min_by_key(|(_, t)| **t);
            let oldest = oldest.map(|(a, _)| *a);
            oldest.map(|a| self.transferred.remove(&a));
        }
        self.transferred.insert(addr, at);
        self.changed = true;
    }

    fn make_room(&mut self) {
        let rows = self.rows.iter();
        let others = rows.filter(|((_, id), _)| id.configured().is_none());
        if others.clone().count() >= MAX_OTHERS {
            let oldest = others.min_by_key(|(_, row)| row.last_seen);
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.map(|key| self.rows.remove(&key));
        }
    }

    /// How far a mirror is behind: serials, and seconds since the first that it lacks; `None` if
    /// that is not known.
    fn behind(&self, zone: &str, row: &Row, current: Serial, at: Time) -> Option<(u32, u64)> {
        let has = row.has?;
        match has.partial_cmp(&current)? {
            Ordering::Less => Some((
                current.0.wrapping_sub(has.0),
                self.lacks_since(zone, row)
                    .map_or(0, |t| at.0.saturating_sub(t.0)),
            )),
            Ordering::Equal => Some((0, 0)),
            Ordering::Greater => None,
        }
    }

    fn lacks_since(&self, zone: &str, row: &Row) -> Option<Time> {
        let log = self.logs.get(zone);
        let published = log.and_then(|l| l.after(row.has?));
        published
            .or(row.lacks_since)
            .or_else(|| log?.entries.front().map(|(_, t)| *t))
    }

    fn saved(&self) -> file::MirrorsFile {
        let one = |((zone, id), row): (&(String, MirrorId), &Row)| {
            let log = self.logs.get(zone).filter(|l| !l.entries.is_empty());
            let lacks = log.is_none_or(|log| row.has.is_some_and(|has| has < log.current));
            let lacks_since = self.lacks_since(zone, row).filter(|_| lacks);
            let row = Row {
                lacks_since,
                ..row.clone()
            };
            (zone.clone(), id.clone(), row)
        };
        file::MirrorsFile {
            version: file::VERSION,
            mirrors: self.rows.iter().map(one).collect(),
            transferred: self.transferred.clone(),
            given_out: self.given_out.clone(),
        }
    }
}

/// The only item of an iterator; `None` if it has none, or more than one.
fn single<T>(mut found: impl Iterator<Item = T>) -> Option<T> {
    found.next().filter(|_| found.next().is_none())
}

#[cfg(test)]
mod tests;
