//! NOTIFY (RFC 1996): announces a new serial to each configured mirror, at once, and again until
//! the mirror has answered. A mirror that answers but does not request the zone gets a few
//! reminders: name servers drop a NOTIFY that comes while they are busy.
//!
//! Each zone and mirror has a task with at most one NOTIFY outstanding. It always announces the
//! newest serial, and waits longer after each NOTIFY without an answer. The socket of a NOTIFY
//! stays open until the next one, so that a late answer counts.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::UdpSocket,
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use super::mirrors::{ConfiguredMirror, Mirrors};
use crate::{
    clock::wall,
    dns::{
        UDP_SIZE,
        notify::{reply_rcode, request},
        tsig::TsigSession,
    },
    index::{Snapshot, ZoneSet, ZoneView},
    ledger::Ledger,
    model::{Keys, Serial, TsigKey, serial::left_behind, zone::Notify},
};

/// The most pairs of a zone and a mirror that are notified; each has a task and a socket.
const MAX_TARGETS: usize = 1024;
/// The shortest time between an answer and the next NOTIFY to its mirror.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// How long the first NOTIFY waits for its answer, even if there is a new serial. The wait doubles
/// with each try.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait between tries.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// After how many tries without an answer a mirror counts as unreachable.
const MAX_TRIES: u32 = 10;
/// How often a mirror that is unreachable, or that refuses NOTIFY, is notified while it is behind.
const SLOW_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// The reminders of a mirror that has acknowledged a serial and has not requested it: the time
/// since the previous NOTIFY. Every mirror gets the first reminder.
const REMINDERS: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];
/// How often the log repeats the mirrors that need a forced transfer.
const LOG_INTERVAL: Duration = Duration::from_secs(3600);
/// The most datagrams without a valid answer that one try reads.
const MAX_STRAY: u32 = 64;
/// How often the state of the mirrors is written to its file, if it has changed.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);
/// The response code SERVFAIL, after which a NOTIFY is tried again.
const SERVFAIL: u8 = 2;

/// A mirror of a zone, as configured.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Target {
    mirror: ConfiguredMirror,
    source: Option<IpAddr>,
}

/// A serial that a mirror is notified of.
#[derive(Clone, PartialEq)]
struct Announcement {
    serial: Serial,
    /// A NOTIFY with the ID 0.
    message: Arc<[u8]>,
    key: Option<Arc<TsigKey>>,
}

/// The task of a target, which is aborted when this is dropped.
struct Task {
    announcements: watch::Sender<Announcement>,
    _handle: AbortOnDropHandle<()>,
}

/// The parts of the snapshot that was applied last, without its tables: freeing them takes long,
/// and the last owner of a snapshot has to do it.
#[derive(Default)]
struct PublishedState {
    zones: Arc<ZoneSet>,
    serials: Arc<[Serial]>,
    keys: Arc<Keys>,
}

/// Follows the ledger's commits and keeps the mirrors informed until it is dropped.
pub async fn run(ledger: Ledger, mirrors: Arc<Mirrors>) {
    let mut commits = ledger.commits.clone();
    let mut tasks: HashMap<Target, Task> = HashMap::new();
    let mut published = PublishedState::default();
    let mut save = interval(SAVE_INTERVAL);
    save.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut logged = LoggedMirrors::default();
    loop {
        commits.borrow_and_update();
        published = apply_snapshot(
            &ledger.published.snapshot(),
            &published,
            &mirrors,
            &mut tasks,
        );
        if mirrors.has_jumped() {
            save_now(&mirrors).await;
        }
        tokio::select! {
            changed = commits.changed() => if changed.is_err() { return },
            _ = save.tick() => {
                logged.log(&ledger.published.snapshot(), &mirrors);
                save_now(&mirrors).await;
            }
        }
    }
}

async fn save_now(mirrors: &Arc<Mirrors>) {
    let mirrors = mirrors.clone();
    let _ = tokio::task::spawn_blocking(move || mirrors.save()).await;
}

/// The mirrors that the log has named as in need of a forced transfer.
#[derive(Default)]
struct LoggedMirrors {
    /// Zone, address and key of each mirror.
    last: Vec<(String, String, Option<String>)>,
    at: Option<Instant>,
}

impl LoggedMirrors {
    fn log(&mut self, snapshot: &Snapshot, mirrors: &Mirrors) {
        let zones = snapshot.zones.all().iter().zip(snapshot.serials.iter());
        let left = |(zone, serial): (&ZoneView, &Serial)| {
            (
                zone.name.to_string(),
                *serial,
                mirrors.left_behind(&zone.name),
            )
        };
        let all: Vec<_> = zones
            .map(left)
            .filter(|(.., left)| !left.is_empty())
            .collect();
        let mut identities = Vec::new();
        for (zone, _, left) in &all {
            let of_zone = left
                .iter()
                .map(|m| (zone.clone(), m.address.clone(), m.key.clone()));
            identities.extend(of_zone);
        }
        if identities == self.last && self.at.is_some_and(|at| at.elapsed() < LOG_INTERVAL) {
            return;
        }
        for (zone, serial, left) in &all {
            tracing::error!("{}", left_behind(zone, *serial, left));
        }
        (self.last, self.at) = (identities, Some(Instant::now()));
    }
}

/// Starts and ends tasks for the mirrors of a snapshot, and announces its new serials.
fn apply_snapshot(
    snapshot: &Snapshot,
    published: &PublishedState,
    mirrors: &Arc<Mirrors>,
    tasks: &mut HashMap<Target, Task>,
) -> PublishedState {
    if !Arc::ptr_eq(&snapshot.zones, &published.zones)
        || !Arc::ptr_eq(&snapshot.keys, &published.keys)
    {
        configure(snapshot, mirrors, tasks);
    }
    let is_same = Arc::ptr_eq(&snapshot.zones, &published.zones);
    let zones = snapshot.zones.all().iter().zip(snapshot.serials.iter());
    for (i, (zone, serial)) in zones.enumerate() {
        let index = match is_same {
            true => Some(i),
            false => published.zones.by_name(&zone.name),
        };
        if index.and_then(|i| published.serials.get(i)) != Some(serial) {
            announce(zone, *serial, mirrors, tasks);
        }
    }
    PublishedState {
        zones: snapshot.zones.clone(),
        serials: snapshot.serials.clone(),
        keys: snapshot.keys.clone(),
    }
}

/// Starts and ends tasks, so that there is one for each configured mirror.
fn configure(snapshot: &Snapshot, mirrors: &Arc<Mirrors>, tasks: &mut HashMap<Target, Task>) {
    let (mut all, mut announcements) = (Vec::new(), Vec::new());
    for (zone, serial) in snapshot.zones.all().iter().zip(snapshot.serials.iter()) {
        let message: Arc<[u8]> = request(zone, *serial, 0).into();
        for n in &zone.spec.transfer.notify {
            let Some((mut target, key)) = target(zone, n) else {
                continue;
            };
            let tsig = key.as_deref().and_then(|k| snapshot.keys.get(k)).cloned();
            target.mirror.key = tsig.as_ref().map(|k| k.name().to_string());
            if all.contains(&target.mirror) {
                continue; // a duplicate
            }
            if all.len() == MAX_TARGETS {
                tracing::warn!(
                    "transfer.notify: only the first {MAX_TARGETS} mirrors of all zones are notified"
                );
                break;
            }
            all.push(target.mirror.clone());
            let announcement = Announcement {
                serial: *serial,
                message: message.clone(),
                key: tsig,
            };
            announcements.push((target, announcement));
        }
    }
    mirrors.configure(&all);
    tasks.retain(|t, _| announcements.iter().any(|(w, _)| w == t));
    for (target, announcement) in announcements {
        match tasks.get(&target) {
            Some(task) => update(&task.announcements, announcement),
            None => {
                let (tx, rx) = watch::channel(announcement);
                let run = tokio::spawn(run_target(target.clone(), rx, mirrors.clone()));
                let task = Task {
                    announcements: tx,
                    _handle: AbortOnDropHandle::new(run),
                };
                tasks.insert(target, task);
            }
        }
    }
}

/// The target of an entry of `transfer.notify`, and the name of its key; `None` if it is invalid,
/// which `orbsd check` reports.
fn target(zone: &ZoneView, n: &Notify) -> Option<(Target, Option<String>)> {
    let (address, source, key) = match n {
        Notify::Plain(address) => (address, None, None),
        Notify::Full(t) => (&t.address, t.source.as_ref(), t.key.clone()),
    };
    let source = source.and_then(|s| s.parse().ok());
    let mirror = ConfiguredMirror {
        zone: zone.name.to_string(),
        address: address.parse().ok()?,
        key: None,
    };
    Some((Target { mirror, source }, key))
}

fn update(sender: &watch::Sender<Announcement>, announcement: Announcement) {
    sender.send_if_modified(|last| {
        let differs = *last != announcement;
        *last = announcement;
        differs
    });
}

/// Announces a zone's new serial to its mirrors.
fn announce(zone: &ZoneView, serial: Serial, mirrors: &Mirrors, tasks: &HashMap<Target, Task>) {
    mirrors.record_published(&zone.name, serial);
    let mut message: Option<Arc<[u8]>> = None;
    for (_, task) in tasks.iter().filter(|(t, _)| t.mirror.zone == *zone.name) {
        let message = message.get_or_insert_with(|| request(zone, serial, 0).into());
        let announcement = Announcement {
            serial,
            message: message.clone(),
            key: task.announcements.borrow().key.clone(),
        };
        update(&task.announcements, announcement);
    }
}

/// Announces serials to one mirror until the sender of announcements is dropped.
async fn run_target(
    target: Target,
    mut announcements: watch::Receiver<Announcement>,
    mirrors: Arc<Mirrors>,
) {
    let mirror = &target.mirror;
    let (mut tries, mut reminders, mut last) = (0, 0, None);
    loop {
        let announcement = announcements.borrow_and_update().clone();
        if last != Some(announcement.serial) {
            (tries, reminders, last) = (0, 0, Some(announcement.serial));
        }
        let (sent, requests) = (Instant::now(), mirrors.request_count(mirror));
        let wait = FIRST_WAIT.saturating_mul(1 << tries.min(16)).min(MAX_WAIT);
        mirrors.record_notify(mirror, announcement.serial);
        let answer = tokio::select! {
            answer = attempt(&target, &announcement, &mirrors) => answer,
            () = sleep(wait) => None,
            // A newer serial is announced by the next try, which need not wait as long.
            () = newer(&announcements, sent + FIRST_WAIT) => None,
        };
        tries += 1;
        let acknowledged = answer == Some(0);
        let (next, floor) = match answer {
            Some(rcode) => {
                mirrors.record_reply(mirror, rcode, sent.elapsed());
                let next_try = match rcode {
                    0 => REMINDERS.get(reminders).map(|pause| sent + *pause),
                    SERVFAIL if tries < MAX_TRIES => Some(sent + wait),
                    _ => Some(sent + SLOW_INTERVAL),
                };
                (next_try, Instant::now() + MIN_INTERVAL)
            }
            None if tries >= MAX_TRIES => (Some(sent + SLOW_INTERVAL), sent + FIRST_WAIT),
            None => (Some(Instant::now()), sent + FIRST_WAIT),
        };
        reminders += usize::from(acknowledged);
        let retry = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
            // A mirror that has this serial needs no NOTIFY, nor does one that has acknowledged it
            // and requests it. One reminder is sent in any case: NSD drops transfers that arrive
            // while it applies others, and then waits for minutes.
            let has = mirrors
                .has(mirror)
                .is_some_and(|has| has >= announcement.serial);
            let follows = has || acknowledged && mirrors.request_count(mirror) != requests;
            if follows && !(acknowledged && reminders == 1) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = retry => {}
            () = newer(&announcements, floor) => {}
        }
        if announcements.has_changed().is_err() {
            return;
        }
    }
}

/// Resolves when there is a newer announcement, but not before a time.
async fn newer(announcements: &watch::Receiver<Announcement>, floor: Instant) {
    sleep_until(floor).await;
    let mut announcements = announcements.clone();
    let _ = announcements.changed().await;
}

/// Sends one NOTIFY, waits for its answer, and returns the RCODE. It never returns without one;
/// errors are recorded in `mirrors`.
async fn attempt(target: &Target, announcement: &Announcement, mirrors: &Mirrors) -> Option<u8> {
    let failed = |why: &str| mirrors.record_failure(&target.mirror, why);
    match exchange(target, announcement, &failed).await {
        Ok(rcode) => Some(rcode),
        Err(e) => {
            failed(&e.to_string());
            std::future::pending().await
        }
    }
}

async fn exchange(
    target: &Target,
    announcement: &Announcement,
    failed: &impl Fn(&str),
) -> io::Result<u8> {
    let any = if target.mirror.address.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let source = SocketAddr::new(target.source.unwrap_or(any), 0);
    let socket = UdpSocket::bind(source)
        .await
        .map_err(|e| io::Error::new(e.kind(), format!("source {}: {e}", source.ip())))?;
    socket.connect(target.mirror.address).await?;
    let mut message = vec![0; UDP_SIZE];
    let mut len = announcement.message.len();
    message[..len].copy_from_slice(&announcement.message);
    crate::random::Random::system().fill(&mut message[..2])?;
    let mut session = None;
    if let Some(key) = &announcement.key {
        let signed = TsigSession::request(key.clone(), &mut message, len, wall());
        let (s, end) =
            signed.ok_or_else(|| io::Error::other("the signature does not fit in the NOTIFY"))?;
        (session, len) = (Some(s), end);
    }
    let message = &message[..len];
    socket.send(message).await?;
    let mut buf = vec![0; UDP_SIZE];
    for _ in 0..MAX_STRAY {
        let reply = match socket.recv(&mut buf).await {
            Ok(n) => &buf[..n],
            // The error can mean that no process listens there now; an answer may still come.
            Err(e) => {
                failed(&e.to_string());
                continue;
            }
        };
        let Some(rcode) = reply_rcode(message, reply) else {
            continue;
        };
        match &session {
            None => return Ok(rcode),
            // Each answer is checked with a copy of the session, so that a forged one does not
            // invalidate the next.
            Some(s) => match s.clone().check(reply, wall()) {
                Ok(_) => return Ok(rcode),
                Err(error) => failed(&error.to_string()),
            },
        }
    }
    Err(io::Error::other(
        "the mirror sends datagrams, but no valid answer",
    ))
}
