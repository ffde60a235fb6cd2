//! What is known of each mirror: what it was told, what it asked for, what it has. Kept in a file beside the store, so that
//! a restart knows it. Nobody on the way of a query comes here.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs, io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    dns::notify::rcode_name,
    index::Snapshot,
    ledger::now,
    model::{Serial, Time, time::Seconds},
};

/// How many mirrors are kept that ask without being configured; the one that was silent for longest goes first.
const MAX_OTHERS: usize = 1024;
/// How many times of publication are kept of a zone; when there are more, every second one goes.
const MAX_LOG: usize = 4096;
/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;
/// How long a completed transfer reserves places for its address.
const RESERVED_FOR: Seconds = Seconds(7 * 86_400);
/// How many addresses with completed transfers are kept; the one whose transfer is oldest goes first.
const MAX_TRANSFERRED: usize = 1024;
/// The version of the file's form.
const VERSION: u32 = 1;

/// Which mirror: one of `transfer.notify` by its address, or one that is only known from what it asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Who {
    Configured(SocketAddr),
    Other(IpAddr, Option<String>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Notified {
    serial: Serial,
    at: Time,
    tries: u32,
    rcode: Option<u8>,
    answer_ms: Option<u64>,
    problem: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Asked {
    serial: Option<Serial>,
    at: Time,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Transferred {
    from: Option<Serial>,
    to: Serial,
    at: Time,
    bytes: u64,
    took_ms: u64,
}

/// How often something was done since the file began.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
struct Counts {
    notified: u64,
    answered: u64,
    transfers: u64,
    bytes: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Row {
    /// The key it is notified with, where it is configured.
    key: Option<String>,
    seen: Time,
    has: Option<Serial>,
    /// Since when it lacks a serial, as far as the times of publication were known when the file was written.
    lacks_since: Option<Time>,
    notified: Option<Notified>,
    asked: Option<Asked>,
    transfer: Option<Transferred>,
    counts: Counts,
}

/// When a zone came to which serials.
#[derive(Debug, Default)]
struct Log {
    current: Serial,
    /// The first serial of a second, and the second.
    entries: VecDeque<(Serial, Time)>,
}

impl Log {
    fn push(&mut self, serial: Serial, at: Time) {
        if self.entries.back().is_some_and(|(_, last)| self.current == serial || *last == at) {
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

    /// When the serial after this one came, as far as that is known.
    fn after(&self, serial: Serial) -> Option<Time> {
        let before_now = |s: Serial| self.current.0.wrapping_sub(s.0);
        let wanted = before_now(serial.next());
        let upto = self.entries.partition_point(|(s, _)| before_now(*s) >= wanted);
        upto.checked_sub(1).map(|i| self.entries[i].1)
    }
}

#[derive(Debug, Default)]
struct Inner {
    rows: BTreeMap<(String, Who), Row>,
    logs: HashMap<String, Log>,
    /// When an address completed its last transfer.
    transferred: BTreeMap<IpAddr, Time>,
    changed: bool,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    mirrors: Vec<(String, Who, Row)>,
    #[serde(default)]
    transferred: BTreeMap<IpAddr, Time>,
}

/// All mirrors of all zones.
#[derive(Debug)]
pub struct Mirrors {
    path: PathBuf,
    inner: Mutex<Inner>,
}

impl Mirrors {
    /// With what the file at `path` says; a damaged one is warned of, and nothing is known then.
    pub fn open(path: PathBuf) -> Mirrors {
        let (rows, transferred) = read(&path).unwrap_or_else(|e| {
            tracing::warn!("{}: {e}; what was known of the mirrors is lost", path.display());
            Default::default()
        });
        Mirrors { path, inner: Mutex::new(Inner { rows, transferred, ..Inner::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Takes the configured mirrors: zone, address, key. What is known of others that were configured is dropped.
    pub(super) fn configure(&self, all: &[(String, SocketAddr, Option<String>)]) {
        let mut inner = self.lock();
        inner.rows.retain(|(zone, who), _| match who {
            Who::Configured(addr) => all.iter().any(|(z, a, _)| z == zone && a == addr),
            Who::Other(..) => true,
        });
        for (zone, addr, key) in all {
            inner.rows.entry((zone.clone(), Who::Configured(*addr))).or_default().key = key.clone();
        }
        inner.changed = true;
    }

    /// A zone has come to a serial.
    pub(super) fn published(&self, zone: &str, serial: Serial) {
        self.lock().published(zone, serial, now());
    }

    /// A mirror is being told of a serial.
    pub(super) fn sent(&self, zone: &str, addr: SocketAddr, serial: Serial) {
        self.lock().configured(zone, addr, |row| {
            let again = row.notified.as_ref().filter(|n| n.serial == serial && n.rcode.is_none()).map_or(0, |n| n.tries);
            row.notified = Some(Notified { serial, at: now(), tries: again + 1, rcode: None, answer_ms: None, problem: None });
            row.counts.notified += 1;
        });
    }

    /// It has answered after a time, with an RCODE.
    pub(super) fn answered(&self, zone: &str, addr: SocketAddr, rcode: u8, took: Duration) {
        self.lock().configured(zone, addr, |row| {
            row.counts.answered += 1;
            if let Some(n) = &mut row.notified {
                (n.rcode, n.answer_ms, n.problem) = (Some(rcode), Some(took.as_millis() as u64), None);
            }
        });
    }

    /// Something is wrong with telling it.
    pub(super) fn failed(&self, zone: &str, addr: SocketAddr, problem: &str) {
        self.lock().configured(zone, addr, |row| {
            if let Some(n) = &mut row.notified {
                n.problem = Some(problem.into());
            }
        });
    }

    /// The serial that a configured mirror is known to have.
    pub(super) fn has(&self, zone: &str, addr: SocketAddr) -> Option<Serial> {
        self.lock().rows.get(&(zone.to_string(), Who::Configured(addr))).and_then(|r| r.has)
    }

    /// An address has completed an authorised transfer, or was told that it is up to date.
    pub(super) fn completed(&self, addr: IpAddr) {
        self.lock().completed(addr.to_canonical(), now());
    }

    /// Whether an address completed an authorised transfer in the last days.
    pub(super) fn has_transferred(&self, addr: IpAddr) -> bool {
        self.lock().transferred.get(&addr.to_canonical()).is_some_and(|t| t.plus(RESERVED_FOR) > now())
    }

    /// A mirror has asked for a zone's SOA, or for what changed since the serial that it has.
    pub fn asked(&self, zone: &str, addr: IpAddr, key: Option<&str>, serial: Option<Serial>) {
        self.lock().known(zone, addr, key, now(), |row, at| {
            row.asked = Some(Asked { serial, at });
            if serial.is_some() && row.has != serial {
                (row.has, row.lacks_since) = (serial, None);
            }
        });
    }

    /// A mirror has been given a zone up to a serial: the whole of it, or what changed since `from`.
    #[allow(clippy::too_many_arguments)] // they are one record, and this is its only use
    pub fn transferred(&self, zone: &str, addr: IpAddr, key: Option<&str>, from: Option<Serial>, to: Serial, bytes: u64, took: Duration) {
        self.lock().known(zone, addr, key, now(), |row, at| {
            row.transfer = Some(Transferred { from, to, at, bytes, took_ms: took.as_millis() as u64 });
            (row.has, row.lacks_since) = (Some(to), None);
            row.counts.transfers += 1;
            row.counts.bytes += bytes;
        });
    }

    /// All that is known, for people and programs; the zones' serials are those of the snapshot.
    pub fn report(&self, snapshot: &Snapshot) -> Value {
        let (inner, at) = (self.lock(), now());
        let zones = snapshot.zones.all().iter().zip(snapshot.serials.iter());
        let serials: HashMap<&str, Serial> = zones.map(|(z, s)| (&*z.name, *s)).collect();
        let mirrors = inner.rows.iter().filter_map(|((zone, who), row)| {
            let current = *serials.get(zone.as_str())?;
            let (address, key) = match who {
                Who::Configured(addr) => (addr.to_string(), &row.key),
                Who::Other(addr, key) => (addr.to_string(), key),
            };
            let notified = row.notified.as_ref().map(|n| {
                json!({
                    "serial": n.serial, "at": n.at.to_string(), "tries": n.tries, "acknowledged": n.rcode == Some(0),
                    "rcode": n.rcode.map(rcode_name), "answer_ms": n.answer_ms, "problem": n.problem,
                })
            });
            let asked = row.asked.as_ref().map(|a| json!({"serial": a.serial, "at": a.at.to_string()}));
            let transfer = row.transfer.as_ref().map(|t| {
                let kind = if t.from.is_some() { "incremental" } else { "whole" };
                json!({"kind": kind, "from": t.from, "to": t.to, "at": t.at.to_string(), "bytes": t.bytes, "ms": t.took_ms})
            });
            Some(json!({
                "zone": zone, "serial": current, "address": address, "configured": matches!(who, Who::Configured(_)), "key": key,
                "notified": notified, "asked": asked, "has": row.has, "transfer": transfer, "counts": row.counts,
                "behind": inner.behind(zone, row, current, at).map(|(serials, seconds)| json!({"serials": serials, "seconds": seconds})),
            }))
        });
        json!({"now": at.to_string(), "mirrors": mirrors.collect::<Vec<_>>()})
    }

    /// Writes the file if there is something new to say.
    pub fn save(&self) {
        let saved = {
            let mut inner = self.lock();
            if !std::mem::take(&mut inner.changed) {
                return;
            }
            inner.saved()
        };
        if let Err(e) = write(&self.path, &saved) {
            tracing::warn!("{}: {e}; what is known of the mirrors is not kept", self.path.display());
            self.lock().changed = true;
        }
    }
}

impl Inner {
    fn published(&mut self, zone: &str, serial: Serial, at: Time) {
        self.logs.entry(zone.into()).or_default().push(serial, at);
        self.changed = true;
    }

    fn configured(&mut self, zone: &str, addr: SocketAddr, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.rows.get_mut(&(zone.to_string(), Who::Configured(addr))) {
            change(row);
            self.changed = true;
        }
    }

    /// The row of whoever asks. A configured mirror is known by its key where no other has it, else by its address where no
    /// other has that; anybody else has a row of its own.
    fn known(&mut self, zone: &str, addr: IpAddr, key: Option<&str>, at: Time, change: impl FnOnce(&mut Row, Time)) {
        let addr = addr.to_canonical();
        let mine = || {
            let here = self.rows.iter().filter(|((z, _), _)| z == zone);
            here.filter_map(|((_, who), row)| match who {
                Who::Configured(a) => Some((*a, a.ip().to_canonical() == addr, row.key.as_deref())),
                Who::Other(..) => None,
            })
        };
        let found = only(mine().filter(|(_, _, k)| key.is_some() && *k == key))
            .or_else(|| only(mine().filter(|(_, here, k)| *here && *k == key)))
            .or_else(|| only(mine().filter(|(_, here, k)| *here && (key.is_none() || k.is_none()))))
            .map(|(a, ..)| a);
        let who = found.map_or_else(|| Who::Other(addr, key.map(Into::into)), Who::Configured);
        let place = (zone.to_string(), who);
        if !self.rows.contains_key(&place) {
            self.make_room();
        }
        let row = self.rows.entry(place).or_default();
        row.seen = at;
        change(row, at);
        self.changed = true;
    }

    fn completed(&mut self, addr: IpAddr, at: Time) {
        if self.transferred.len() >= MAX_TRANSFERRED
            && !self.transferred.contains_key(&addr)
            && let Some(oldest) = self.transferred.iter().min_by_key(|(_, t)| **t).map(|(a, _)| *a)
        {
            self.transferred.remove(&oldest);
        }
        self.transferred.insert(addr, at);
        self.changed = true;
    }

    fn make_room(&mut self) {
        let others = self.rows.iter().filter(|((_, who), _)| matches!(who, Who::Other(..)));
        if others.clone().count() >= MAX_OTHERS
            && let Some(oldest) = others.min_by_key(|(_, row)| row.seen).map(|(place, _)| place.clone())
        {
            self.rows.remove(&oldest);
        }
    }

    /// How far a mirror is behind: serials, and seconds since the first that it lacks. `None` where that is not known.
    fn behind(&self, zone: &str, row: &Row, current: Serial, at: Time) -> Option<(u32, u64)> {
        let has = row.has?;
        match has.partial_cmp(&current)? {
            std::cmp::Ordering::Less => {
                Some((current.0.wrapping_sub(has.0), self.lacks_since(zone, row).map_or(0, |t| at.0.saturating_sub(t.0))))
            }
            std::cmp::Ordering::Equal => Some((0, 0)),
            std::cmp::Ordering::Greater => None,
        }
    }

    fn lacks_since(&self, zone: &str, row: &Row) -> Option<Time> {
        let log = self.logs.get(zone);
        let known = log.and_then(|l| l.after(row.has?));
        known.or(row.lacks_since).or_else(|| log?.entries.front().map(|(_, t)| *t))
    }

    fn saved(&self) -> Saved {
        let one = |((zone, who), row): (&(String, Who), &Row)| {
            let current = self.logs.get(zone).map(|l| l.current);
            let lacks = row.has.zip(current).is_some_and(|(has, current)| has < current);
            let lacks_since = if lacks || current.is_none() { self.lacks_since(zone, row) } else { None };
            (zone.clone(), who.clone(), Row { lacks_since, ..row.clone() })
        };
        Saved { version: VERSION, mirrors: self.rows.iter().map(one).collect(), transferred: self.transferred.clone() }
    }
}

/// The one of its kind; `None` where there is none, or another.
fn only<T>(mut found: impl Iterator<Item = T>) -> Option<T> {
    found.next().filter(|_| found.next().is_none())
}

/// What the file keeps: the mirrors, and when addresses completed transfers.
type Kept = (BTreeMap<(String, Who), Row>, BTreeMap<IpAddr, Time>);

fn read(path: &std::path::Path) -> Result<Kept, String> {
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
        Ok(m) if m.len() > MAX_FILE => return Err(format!("longer than {MAX_FILE} bytes")),
        _ => {}
    }
    let text = fs::read(path).map_err(|e| e.to_string())?;
    let saved: Saved = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    match saved.version {
        VERSION => Ok((saved.mirrors.into_iter().map(|(zone, who, row)| ((zone, who), row)).collect(), saved.transferred)),
        other => Err(format!("version {other} of its form is not known here")),
    }
}

fn write(path: &std::path::Path, saved: &Saved) -> io::Result<()> {
    let new = path.with_extension("json.new");
    let mut file = fs::File::create(&new)?;
    io::Write::write_all(&mut file, &serde_json::to_vec(saved)?)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests;
