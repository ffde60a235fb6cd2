//! NOTIFY (RFC 1996): announces a new serial to each configured mirror, at once, and again until the
//! mirror has answered. A mirror that answers but does not request the zone gets a few reminders:
//! name servers drop a NOTIFY that comes while they are busy.
//!
//! Each zone and mirror has a task with at most one NOTIFY outstanding. It always announces the
//! newest serial, and waits longer after each NOTIFY without an answer. The socket of a NOTIFY stays
//! open until the next one, so that a late answer counts.

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
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};

use super::mirrors::{Configured, Mirrors};
use crate::{
    clock::wall,
    dns::{
        UDP_SIZE,
        notify::{reply_rcode, request},
        tsig::TsigSession,
    },
    index::{Snapshot, ZoneSet, ZoneView},
    ledger::Ledger,
    model::{
        Keys, Serial, TsigKey,
        serial::{SeenMirror, left_behind},
        zone::Notify,
    },
};

/// The most pairs of a zone and a mirror that are notified; each has a task and a socket.
const MAX_TARGETS: usize = 1024;
/// The shortest time between an answer and the next NOTIFY to its mirror.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// How long the first NOTIFY waits for its answer, a new serial notwithstanding. Doubled with each
/// try.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait between tries.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// After how many tries without an answer a mirror counts as unreachable.
const MAX_TRIES: u32 = 10;
/// How often an unreachable mirror, or one that refuses, is notified while it is behind.
const SLOW_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// The reminders of a mirror that has acknowledged a serial and has not requested it: how long after
/// the NOTIFY before. Every mirror gets the first one.
const REMINDERS: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];
/// How often the log names mirrors that need a forced transfer, where nothing changes.
const LOG_INTERVAL: Duration = Duration::from_secs(3600);
/// The most datagrams that one try reads without finding its answer.
const MAX_STRAY: u32 = 64;
/// How often the state of the mirrors is written to its file, where it changed.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);
/// The response code SERVFAIL, after which a NOTIFY is tried again.
const SERVFAIL: u8 = 2;

/// A mirror of a zone, as configured.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Target {
    mirror: Configured,
    source: Option<IpAddr>,
}

/// A serial that a mirror is notified of.
#[derive(Clone)]
struct Announcement {
    serial: Serial,
    /// A NOTIFY with the ID 0.
    message: Arc<[u8]>,
    key: Option<Arc<TsigKey>>,
}

impl Announcement {
    fn is_same(&self, other: &Announcement) -> bool {
        self.message == other.message && self.key == other.key
    }
}

/// A task that ends with its handle.
struct Task {
    announcements: watch::Sender<Announcement>,
    handle: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// The parts of a snapshot that were applied last. Not its tables: the last owner of a snapshot frees
/// them, which takes long.
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
    let mut named = Named::default();
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
                named.log(&ledger.published.snapshot(), &mirrors);
                save_now(&mirrors).await;
            }
        }
    }
}

async fn save_now(mirrors: &Arc<Mirrors>) {
    let mirrors = mirrors.clone();
    let _ = tokio::task::spawn_blocking(move || mirrors.save()).await;
}

/// Which mirrors the log has named as those that need a forced transfer.
#[derive(Default)]
struct Named {
    last: Vec<(String, Vec<SeenMirror>)>,
    at: Option<Instant>,
}

impl Named {
    fn log(&mut self, snapshot: &Snapshot, mirrors: &Mirrors) {
        let left = |zone: &ZoneView| (zone.name.to_string(), mirrors.left_behind(&zone.name));
        let all: Vec<_> = snapshot
            .zones
            .all()
            .iter()
            .map(left)
            .filter(|(_, left)| !left.is_empty())
            .collect();
        let who = |all: &[(String, Vec<SeenMirror>)]| -> Vec<_> {
            all.iter()
                .flat_map(|(z, left)| {
                    left.iter()
                        .map(move |m| (z.clone(), m.address.clone(), m.key.clone()))
                })
                .collect()
        };
        if who(&all) == who(&self.last) && self.at.is_some_and(|at| at.elapsed() < LOG_INTERVAL) {
            return;
        }
        for (zone, left) in &all {
            let serial = snapshot
                .zones
                .by_name(zone)
                .and_then(|i| snapshot.serials.get(i))
                .copied()
                .unwrap_or_default();
            tracing::error!("{}", left_behind(zone, serial, left));
        }
        (self.last, self.at) = (all, Some(Instant::now()));
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
    for (i, (zone, serial)) in snapshot
        .zones
        .all()
        .iter()
        .zip(snapshot.serials.iter())
        .enumerate()
    {
        let place = if is_same {
            Some(i)
        } else {
            published.zones.by_name(&zone.name)
        };
        if place.and_then(|i| published.serials.get(i)) != Some(serial) {
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
                continue; // it is there twice
            }
            if all.len() == MAX_TARGETS {
                tracing::warn!(
                    "transfer.notify: only the first {MAX_TARGETS} mirrors of all zones are notified"
                );
                break;
            }
            all.push(target.mirror.clone());
            announcements.push((
                target,
                Announcement {
                    serial: *serial,
                    message: message.clone(),
                    key: tsig,
                },
            ));
        }
    }
    mirrors.configure(&all);
    tasks.retain(|t, _| announcements.iter().any(|(w, _)| w == t));
    for (target, announcement) in announcements {
        match tasks.get(&target) {
            Some(task) => update(&task.announcements, announcement),
            None => {
                let (tx, rx) = watch::channel(announcement);
                let handle = tokio::spawn(run_target(target.clone(), rx, mirrors.clone()));
                tasks.insert(
                    target,
                    Task {
                        announcements: tx,
                        handle,
                    },
                );
            }
        }
    }
}

/// The target of a line of `transfer.notify`, and its key's name; `None` where it cannot be read,
/// which `check` says.
fn target(zone: &ZoneView, n: &Notify) -> Option<(Target, Option<String>)> {
    let (address, source, key) = match n {
        Notify::Plain(address) => (address, None, None),
        Notify::Full(t) => (&t.address, t.source.as_ref(), t.key.clone()),
    };
    let source = source.and_then(|s| s.parse().ok());
    let mirror = Configured {
        zone: zone.name.to_string(),
        address: address.parse().ok()?,
        key: None,
    };
    Some((Target { mirror, source }, key))
}

fn update(sender: &watch::Sender<Announcement>, announcement: Announcement) {
    sender.send_if_modified(|w| {
        let other = !w.is_same(&announcement);
        if other {
            *w = announcement;
        }
        other
    });
}

/// Announces a zone's new serial to its mirrors.
fn announce(zone: &ZoneView, serial: Serial, mirrors: &Mirrors, tasks: &HashMap<Target, Task>) {
    mirrors.published(&zone.name, serial);
    let mut message: Option<Arc<[u8]>> = None;
    for (_, task) in tasks.iter().filter(|(t, _)| t.mirror.zone == *zone.name) {
        let message = message
            .get_or_insert_with(|| request(zone, serial, 0).into())
            .clone();
        let key = task.announcements.borrow().key.clone();
        update(
            &task.announcements,
            Announcement {
                serial,
                message,
                key,
            },
        );
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
        mirrors.sent(mirror, announcement.serial);
        let answer = tokio::select! {
            answer = attempt(&target, &announcement, &mirrors) => answer,
            () = sleep(wait) => None,
            // The next try announces a newer serial, and then need not wait as long.
            () = newer(&announcements, sent + FIRST_WAIT) => None,
        };
        tries += 1;
        let acknowledged = answer == Some(0);
        let (next, floor) = match answer {
            Some(rcode) => {
                mirrors.answered(mirror, rcode, sent.elapsed());
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
            // and requests it. One reminder is sent all the same: NSD drops transfers that come
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

/// Resolves when there is a newer announcement, and not before a time.
async fn newer(announcements: &watch::Receiver<Announcement>, floor: Instant) {
    sleep_until(floor).await;
    let mut announcements = announcements.clone();
    let _ = announcements.changed().await;
}

/// Sends one NOTIFY and reads until its answer comes: returns the RCODE. Never returns without one;
/// errors are reported to `mirrors`.
async fn attempt(target: &Target, announcement: &Announcement, mirrors: &Mirrors) -> Option<u8> {
    let failed = |why: &str| mirrors.failed(&target.mirror, why);
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
            signed.ok_or_else(|| io::Error::other("the NOTIFY has no room for its signature"))?;
        (session, len) = (Some(s), end);
    }
    let message = &message[..len];
    socket.send(message).await?;
    let mut buf = vec![0; UDP_SIZE];
    for _ in 0..MAX_STRAY {
        let reply = match socket.recv(&mut buf).await {
            Ok(n) => &buf[..n],
            // The error says that nobody listens there now; an answer may still come.
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
            // Each answer is checked on its own: a forged one must not spoil the next.
            Some(s) => match s.clone().check(reply, wall()) {
                Ok(_) => return Ok(rcode),
                Err(wrong) => failed(&wrong.to_string()),
            },
        }
    }
    Err(io::Error::other("what comes from there is no answer"))
}
