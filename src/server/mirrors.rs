//! What is known of each mirror: what it was told, what it asked for, what it has. Kept in a file
//! beside the store's folder, so that a restart and a restore know it. Not used on the query path.

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
    ledger::SeenSerials,
    model::{
        Serial, Time,
        serial::{SeenMirror, forced_transfers},
        time::Seconds,
    },
};

/// How many mirrors are kept that ask without being configured; the one that was silent for longest
/// goes first.
const MAX_OTHERS: usize = 1024;
/// How many times of publication are kept of a zone; when there are more, every second one goes.
const MAX_LOG: usize = 4096;
/// For how long a mirror that does not ask any more counts when a serial jumps.
const REMEMBERED: Seconds = Seconds(30 * 86_400);
/// How long a completed transfer reserves places for its address.
const RESERVED_FOR: Seconds = Seconds(7 * 86_400);
/// From which step on a serial has jumped: the file is written at once then.
const JUMP: u32 = 4096;
/// How many addresses with completed transfers are kept; the one whose transfer is oldest goes
/// first.
const MAX_TRANSFERRED: usize = 1024;

/// Which mirror: one of `transfer.notify` by its address and key, or one that is only known from
/// what it asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum MirrorId {
    Configured(SocketAddr, Option<String>),
    Other(IpAddr, Option<String>),
}

/// A mirror of `transfer.notify`: two behind one address are told apart by their keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Configured {
    /// The zone's name.
    pub(super) zone: String,
    /// Where it is notified.
    pub(super) address: SocketAddr,
    /// The name of the key that it is notified with.
    pub(super) key: Option<String>,
}

impl Configured {
    fn row_key(&self) -> (String, MirrorId) {
        (
            self.zone.clone(),
            MirrorId::Configured(self.address, self.key.clone()),
        )
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
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

/// How often something was done since the file began.
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
    /// Whether `has` is the claim of an unsigned datagram, whose sender may be anybody.
    unproved: bool,
    /// The serial of ours that was not newer than what it has: until it has taken a whole zone, its
    /// copy is another one, whatever its serial says.
    left_at: Option<Serial>,
    /// Since when it lacks a serial, as far as the times of publication were known when the file
    /// was written.
    lacks_since: Option<Time>,
    notified: Option<NotifyState>,
    #[serde(rename = "asked")]
    request: Option<MirrorRequest>,
    transfer: Option<MirrorTransfer>,
    counts: Counts,
}

/// The last serial that each zone has given out, and when, by origin.
pub type GivenOut = BTreeMap<String, (Serial, Time)>;

/// When a zone came to which serials.
#[derive(Debug, Default)]
struct Log {
    current: Serial,
    /// The newest serial that anybody was seen to have from us; a transfer can be ahead of
    /// `current` for a moment.
    newest: Option<Serial>,
    /// The first serial of a second, and the second.
    entries: VecDeque<(Serial, Time)>,
}

impl Log {
    fn push(&mut self, serial: Serial, at: Time) {
        if self
            .entries
            .back()
            .is_some_and(|(_, last)| self.current == serial || *last == at)
        {
            self.current = serial;
            return;
        }
        self.current = serial;
        self.entries.push_back((serial, at));
        if self.entries.len() > MAX_LOG {
            let mut n = 0;
            self.entries.retain(|_| {
                n += 1;
                n % 2 == 1
            });
        }
    }

    /// Notes a serial that we have given out; the newest one.
    fn note(&mut self, serial: Serial) -> Serial {
        let newest = self.newest.map_or(serial, |n| n.max(serial));
        self.newest = Some(newest);
        newest
    }

    /// When the serial after this one came, as far as that is known.
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
    /// When an address completed its last transfer.
    transferred: BTreeMap<IpAddr, Time>,
    given_out: GivenOut,
    changed: bool,
    /// Whether a serial has jumped since the file was written: a restore that does not know it
    /// would go back.
    jumped: bool,
}

/// What a mirror asks for.
#[derive(Debug, Clone, Copy)]
pub struct TransferRequest<'a> {
    /// The zone's name.
    pub zone: &'a str,
    /// Who asks.
    pub addr: IpAddr,
    /// The TSIG key that signed the request.
    pub key: Option<&'a str>,
    /// The serial that it says it has; `None` for an AXFR.
    pub serial: Option<Serial>,
    /// Whether the request is signed or came by a stream, so that nobody else can have sent it.
    pub proved: bool,
    /// Our serial.
    pub current: Serial,
}

/// All mirrors of all zones.
#[derive(Debug)]
pub struct Mirrors {
    /// Where the file may lie: at the first place that can be written to.
    paths: Vec<PathBuf>,
    /// What is wrong with files that could not be read at the start.
    problems: Vec<String>,
    clock: Clock,
    inner: Mutex<Inner>,
}

impl Mirrors {
    /// With what the files at these places say, the newer of two; a damaged one is warned of, and
    /// left out.
    pub fn open(paths: Vec<PathBuf>, clock: Clock) -> Mirrors {
        let mut rows: BTreeMap<(String, MirrorId), Row> = BTreeMap::new();
        let mut transferred: BTreeMap<IpAddr, Time> = BTreeMap::new();
        let (mut given_out, mut problems) = (GivenOut::new(), Vec::new());
        for path in &paths {
            let found = file::read(path).unwrap_or_else(|e| {
                problems.push(format!(
                    "{}: {e}; what it had of the mirrors and of serials is not used",
                    path.display()
                ));
                file::Saved::default()
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
    pub fn given_out(&self) -> GivenOut {
        self.lock().given_out.clone()
    }

    /// Whether any serial is known, of a mirror or of a zone.
    pub fn knows_serials(&self) -> bool {
        let inner = self.lock();
        !inner.given_out.is_empty() || inner.rows.values().any(|row| row.has.is_some())
    }

    /// Keeps the serials that a restore gives out, so that the next restore of the same copy does
    /// not give them again.
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

    /// Where the file is written first.
    pub fn path(&self) -> &std::path::Path {
        self.paths.first().map_or(std::path::Path::new(""), |p| p)
    }

    /// What the ledger asks before a serial jumps.
    pub fn seen_serials(self: &std::sync::Arc<Mirrors>) -> SeenSerials {
        let mirrors = self.clone();
        SeenSerials(Some(std::sync::Arc::new(move |zone| {
            mirrors.recent_mirrors(zone, mirrors.clock.now())
        })))
    }

    /// The mirrors of a zone that were seen in the last 30 days, with the serials that they have
    /// for certain.
    fn recent_mirrors(&self, zone: &str, at: Time) -> Vec<SeenMirror> {
        let inner = self.lock();
        inner
            .rows
            .iter()
            .filter(|((z, _), row)| z == zone && !row.unproved)
            .filter_map(|(key, row)| seen_mirror(key, row, at))
            .collect()
    }

    /// The mirrors for which a serial was not newer, and which have not taken a whole zone since.
    pub(super) fn left_behind(&self, zone: &str) -> Vec<SeenMirror> {
        let (inner, at) = (self.lock(), self.clock.now());
        inner
            .rows
            .iter()
            .filter(|((z, _), r)| z == zone && r.left_at.is_some())
            .filter_map(|(p, r)| seen_mirror(p, r, at))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Takes the configured mirrors. One that is configured no more is known on by what it asked
    /// for.
    pub(super) fn configure(&self, all: &[Configured]) {
        self.lock().configure(all);
    }

    /// A zone has come to a serial.
    pub(super) fn published(&self, zone: &str, serial: Serial) {
        self.lock().published(zone, serial, self.clock.now());
    }

    /// A mirror is being told of a serial.
    pub(super) fn sent(&self, mirror: &Configured, serial: Serial) {
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
                rcode: None,
                answer_ms: None,
                problem: None,
            });
            row.counts.notified += 1;
        });
    }

    /// It has answered after a time, with an RCODE.
    pub(super) fn answered(&self, mirror: &Configured, rcode: u8, took: Duration) {
        self.lock().configured(mirror, |row| {
            row.counts.answered += 1;
            if let Some(n) = &mut row.notified {
                (n.rcode, n.answer_ms, n.problem) =
                    (Some(rcode), Some(took.as_millis() as u64), None);
            }
        });
    }

    /// Something is wrong with telling it.
    pub(super) fn failed(&self, mirror: &Configured, problem: &str) {
        self.lock().configured(mirror, |row| {
            if let Some(n) = &mut row.notified {
                n.problem = Some(problem.into());
            }
        });
    }

    /// The serial that a configured mirror is known to have.
    pub(super) fn has(&self, mirror: &Configured) -> Option<Serial> {
        self.lock().rows.get(&mirror.row_key()).and_then(|r| r.has)
    }

    /// How often a configured mirror has asked for a transfer.
    pub(super) fn request_count(&self, mirror: &Configured) -> u64 {
        self.lock()
            .rows
            .get(&mirror.row_key())
            .map_or(0, |r| r.counts.requests)
    }

    /// An address has completed a transfer that its key or certificate allows, or was told that it
    /// is up to date. A transfer that anybody of a wide prefix may make does not count: strangers
    /// would fill the reserved places.
    pub(super) fn completed(&self, addr: IpAddr) {
        self.lock().completed(addr.to_canonical(), self.clock.now());
    }

    /// Whether an address completed such a transfer in the last days.
    pub(super) fn has_transferred(&self, addr: IpAddr) -> bool {
        self.lock()
            .transferred
            .get(&addr.to_canonical())
            .is_some_and(|t| t.plus(RESERVED_FOR) > self.clock.now())
    }

    /// A mirror has asked for a transfer: of what changed since the serial that it has, or of the
    /// whole zone. True where it has to take the whole zone, because its copy is not what its
    /// serial stands for here.
    pub fn record_request(&self, request: &TransferRequest) -> bool {
        let TransferRequest {
            zone,
            addr,
            key,
            serial,
            proved,
            current,
        } = *request;
        let mut inner = self.lock();
        let newest = inner.logs.entry(zone.into()).or_default().note(current);
        inner.update_row(zone, addr, key, self.clock.now(), |row, at| {
            row.request = Some(MirrorRequest { serial, at });
            row.counts.requests += 1;
            if serial.is_some() && row.has != serial {
                (row.has, row.lacks_since, row.unproved) = (serial, None, !proved);
            }
            row.unproved &= !proved;
            row.mark(newest);
            row.left_at.is_some()
        })
    }

    /// A mirror has been given a zone up to a serial: the whole of it, or what changed since
    /// `from`.
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
            let (address, key) = match id {
                MirrorId::Configured(addr, key) => (addr.to_string(), key),
                MirrorId::Other(addr, key) => (addr.to_string(), key),
            };
            let left = row.left_at.filter(|_| row.last_seen.plus(REMEMBERED) >= at);
            let commands = |_| {
                let all = forced_transfers(zone).into_iter();
                all.map(|(software, command)| (software.to_string(), command))
                    .collect()
            };
            let behind = inner.behind(zone, row, current, at);
            Some(MirrorResponse {
                zone: zone.clone(),
                address,
                configured: matches!(id, MirrorId::Configured(..)),
                key: key.clone(),
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

    /// Whether the file has to be written now: it lacks a jump of a serial.
    pub(super) fn has_jumped(&self) -> bool {
        self.lock().jumped
    }

    /// Writes the file if there is something new to say.
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
            tracing::warn!("{e}; what is known of the mirrors is not kept");
            self.lock().changed = true;
        }
    }
}

/// Takes a serial as a zone's last one, unless a newer one is known.
fn note_given_out(all: &mut GivenOut, zone: &str, serial: Serial, at: Time) {
    let last = all.entry(zone.into()).or_insert((serial, at));
    // A step of a zone is newer by RFC 1982; that of another store at the same place may not be.
    if last.0 < serial || (last.1 < at && last.0 == serial) {
        *last = (serial, at);
    }
}

impl Row {
    /// Notes that our serial is not newer than what the mirror has for certain.
    fn mark(&mut self, ours: Serial) {
        let follows = self.has.is_none_or(|has| {
            matches!(
                has.partial_cmp(&ours),
                Some(Ordering::Less | Ordering::Equal)
            )
        });
        if !follows && !self.unproved && self.left_at.is_none() {
            self.left_at = Some(ours);
        }
    }
}

/// What a serial is held against; `None` for a mirror without a serial, or that was not seen for
/// long.
fn seen_mirror((_, id): &(String, MirrorId), row: &Row, at: Time) -> Option<SeenMirror> {
    let (address, key) = match id {
        MirrorId::Configured(address, key) => (address.to_string(), key.clone()),
        MirrorId::Other(address, key) => (address.to_string(), key.clone()),
    };
    let serial = row.has.filter(|_| row.last_seen.plus(REMEMBERED) >= at)?;
    Some(SeenMirror {
        address,
        key,
        serial,
        seen: row.last_seen,
    })
}

impl Inner {
    fn published(&mut self, zone: &str, serial: Serial, at: Time) {
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

    fn configure(&mut self, all: &[Configured]) {
        let keys: Vec<(String, MirrorId)> = all.iter().map(Configured::row_key).collect();
        let gone = |key: &(String, MirrorId)| {
            matches!(key.1, MirrorId::Configured(..)) && !keys.contains(key)
        };
        let mut old: Vec<_> = self.rows.extract_if(.., |key, _| gone(key)).collect();
        for key in keys {
            // With another key it is the same mirror.
            let before = old.iter().position(|((zone, id), _)| match (id, &key.1) {
                (MirrorId::Configured(a, _), MirrorId::Configured(b, _)) => {
                    *zone == key.0 && a == b
                }
                _ => false,
            });
            let row = if self.rows.contains_key(&key) {
                None
            } else {
                before.map(|i| old.swap_remove(i).1)
            };
            self.rows
                .entry(key)
                .or_insert_with(|| row.unwrap_or_default());
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

    fn configured(&mut self, mirror: &Configured, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.rows.get_mut(&mirror.row_key()) {
            change(row);
            self.changed = true;
        }
    }

    /// The row of whoever asks. A configured mirror is known by its key where no other has it, else
    /// by its address where no other has that; anybody else has a row of its own.
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
            let here = self.rows.keys().filter(|(z, _)| z == zone);
            here.filter_map(|(_, id)| match id {
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

    fn completed(&mut self, addr: IpAddr, at: Time) {
        if self.transferred.len() >= MAX_TRANSFERRED
            && !self.transferred.contains_key(&addr)
            && let Some(oldest) = self
                .transferred
                .iter()
                .min_by_key(|(_, t)| **t)
                .map(|(a, _)| *a)
        {
            self.transferred.remove(&oldest);
        }
        self.transferred.insert(addr, at);
        self.changed = true;
    }

    fn make_room(&mut self) {
        let others = self
            .rows
            .iter()
            .filter(|((_, id), _)| matches!(id, MirrorId::Other(..)));
        if others.clone().count() >= MAX_OTHERS
            && let Some(oldest) = others
                .min_by_key(|(_, row)| row.last_seen)
                .map(|(key, _)| key.clone())
        {
            self.rows.remove(&oldest);
        }
    }

    /// How far a mirror is behind: serials, and seconds since the first that it lacks. `None` where
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

    fn saved(&self) -> file::Saved {
        let one = |((zone, id), row): (&(String, MirrorId), &Row)| {
            let current = self
                .logs
                .get(zone)
                .filter(|l| !l.entries.is_empty())
                .map(|l| l.current);
            let lacks = row
                .has
                .zip(current)
                .is_some_and(|(has, current)| has < current);
            let lacks_since = if lacks || current.is_none() {
                self.lacks_since(zone, row)
            } else {
                None
            };
            (
                zone.clone(),
                id.clone(),
                Row {
                    lacks_since,
                    ..row.clone()
                },
            )
        };
        file::Saved::new(
            self.rows.iter().map(one).collect(),
            self.transferred.clone(),
            self.given_out.clone(),
        )
    }
}

/// The one of its kind; `None` where there is none, or another.
fn single<T>(mut found: impl Iterator<Item = T>) -> Option<T> {
    found.next().filter(|_| found.next().is_none())
}

#[cfg(test)]
mod tests;
