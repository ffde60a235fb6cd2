//! NOTIFY (RFC 1996): tells each configured mirror of a new serial, at once, and again until it has
//! answered. A mirror that has answered and does not ask is told a few times more: name servers
//! drop a NOTIFY that comes while they are busy.
//!
//! One task for each zone and mirror: it has at most one NOTIFY outstanding, always tells the
//! newest serial, and waits longer each time nobody answers. The socket of a NOTIFY stays open
//! until the next one, so a late answer counts.

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

/// How many pairs of a zone and a mirror are told at most; each has a task and a socket.
const MAX_TARGETS: usize = 1024;
/// How soon after an answer the mirror is told of the next serial.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// How long the first answer is waited for; a new serial does not shorten that. Doubled with each
/// try.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait between tries.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// How often a serial is told before a mirror counts as unreachable.
const MAX_TRIES: u32 = 10;
/// How often an unreachable mirror, or one that refuses, is told while it is behind.
const SLOW: Duration = Duration::from_secs(15 * 60);
/// When a mirror that has acknowledged a serial, and has not asked for it, is told again: how long
/// after the NOTIFY before. The first of them goes to every mirror.
const REMINDERS: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];
/// How often the log names mirrors that need a forced transfer, in seconds, where nothing changes.
const NAMED_EVERY: Duration = Duration::from_secs(3600);
/// How many datagrams that are no answer are looked at in one try.
const MAX_STRAY: u32 = 64;
/// How often what is known of the mirrors is written, where it changed.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// SERVFAIL: no answer that ends it.
const SERVFAIL: u8 = 2;

/// A mirror of a zone, as configured.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Target {
    mirror: Configured,
    source: Option<IpAddr>,
}

/// What a mirror is to be told.
#[derive(Clone)]
struct Wanted {
    serial: Serial,
    /// A NOTIFY with an ID of nought.
    message: Arc<[u8]>,
    key: Option<Arc<TsigKey>>,
}

impl Wanted {
    fn same(&self, other: &Wanted) -> bool {
        self.message == other.message && self.key == other.key
    }
}

/// A task that ends with its handle.
struct Task {
    wanted: watch::Sender<Wanted>,
    handle: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// What was looked at last. Not the tables: whoever holds on to them may have to free them.
#[derive(Default)]
struct Seen {
    zones: Arc<ZoneSet>,
    serials: Arc<[Serial]>,
    keys: Arc<Keys>,
}

/// Follows the ledger's commits and keeps the mirrors informed until it is dropped.
pub async fn run(ledger: Ledger, mirrors: Arc<Mirrors>) {
    let mut commits = ledger.commits.clone();
    let mut tasks: HashMap<Target, Task> = HashMap::new();
    let mut seen = Seen::default();
    let mut save = interval(SAVE_EVERY);
    save.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut named = Named::default();
    loop {
        commits.borrow_and_update();
        seen = look(&ledger.published.snapshot(), &seen, &mirrors, &mut tasks);
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
        if who(&all) == who(&self.last) && self.at.is_some_and(|at| at.elapsed() < NAMED_EVERY) {
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

/// Brings the tasks to what a snapshot says.
fn look(
    snapshot: &Snapshot,
    seen: &Seen,
    mirrors: &Arc<Mirrors>,
    tasks: &mut HashMap<Target, Task>,
) -> Seen {
    if !Arc::ptr_eq(&snapshot.zones, &seen.zones) || !Arc::ptr_eq(&snapshot.keys, &seen.keys) {
        configure(snapshot, mirrors, tasks);
    }
    let same = Arc::ptr_eq(&snapshot.zones, &seen.zones);
    for (i, (zone, serial)) in snapshot
        .zones
        .all()
        .iter()
        .zip(snapshot.serials.iter())
        .enumerate()
    {
        let place = if same {
            Some(i)
        } else {
            seen.zones.by_name(&zone.name)
        };
        if place.and_then(|i| seen.serials.get(i)) != Some(serial) {
            tell(zone, *serial, mirrors, tasks);
        }
    }
    Seen {
        zones: snapshot.zones.clone(),
        serials: snapshot.serials.clone(),
        keys: snapshot.keys.clone(),
    }
}

/// Starts and ends tasks, so that there is one for each configured mirror.
fn configure(snapshot: &Snapshot, mirrors: &Arc<Mirrors>, tasks: &mut HashMap<Target, Task>) {
    let (mut all, mut wanted) = (Vec::new(), Vec::new());
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
            wanted.push((
                target,
                Wanted {
                    serial: *serial,
                    message: message.clone(),
                    key: tsig,
                },
            ));
        }
    }
    mirrors.configure(&all);
    tasks.retain(|t, _| wanted.iter().any(|(w, _)| w == t));
    for (target, want) in wanted {
        match tasks.get(&target) {
            Some(task) => update(&task.wanted, want),
            None => {
                let (tx, rx) = watch::channel(want);
                let handle = tokio::spawn(keep_told(target.clone(), rx, mirrors.clone()));
                tasks.insert(target, Task { wanted: tx, handle });
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

fn update(sender: &watch::Sender<Wanted>, want: Wanted) {
    sender.send_if_modified(|w| {
        let other = !w.same(&want);
        if other {
            *w = want;
        }
        other
    });
}

/// A zone has come to a serial.
fn tell(zone: &ZoneView, serial: Serial, mirrors: &Mirrors, tasks: &HashMap<Target, Task>) {
    mirrors.published(&zone.name, serial);
    let mut message: Option<Arc<[u8]>> = None;
    for (_, task) in tasks.iter().filter(|(t, _)| t.mirror.zone == *zone.name) {
        let message = message
            .get_or_insert_with(|| request(zone, serial, 0).into())
            .clone();
        let key = task.wanted.borrow().key.clone();
        update(
            &task.wanted,
            Wanted {
                serial,
                message,
                key,
            },
        );
    }
}

/// Tells one mirror of what is wanted, until nobody wants anything any more.
async fn keep_told(target: Target, mut wanted: watch::Receiver<Wanted>, mirrors: Arc<Mirrors>) {
    let mirror = &target.mirror;
    let (mut tries, mut reminders, mut last) = (0, 0, None);
    loop {
        let want = wanted.borrow_and_update().clone();
        if last != Some(want.serial) {
            (tries, reminders, last) = (0, 0, Some(want.serial));
        }
        let (sent, asked) = (Instant::now(), mirrors.times_asked(mirror));
        let wait = FIRST_WAIT.saturating_mul(1 << tries.min(16)).min(MAX_WAIT);
        mirrors.sent(mirror, want.serial);
        let answer = tokio::select! {
            answer = attempt(&target, &want, &mirrors) => answer,
            () = sleep(wait) => None,
            // A newer serial is told with the next try, which then need not wait as long.
            () = newer(&wanted, sent + FIRST_WAIT) => None,
        };
        tries += 1;
        let acknowledged = answer == Some(0);
        let (next, floor) = match answer {
            Some(rcode) => {
                mirrors.answered(mirror, rcode, sent.elapsed());
                let again = match rcode {
                    0 => REMINDERS.get(reminders).map(|pause| sent + *pause),
                    SERVFAIL if tries < MAX_TRIES => Some(sent + wait),
                    _ => Some(sent + SLOW),
                };
                (again, Instant::now() + MIN_INTERVAL)
            }
            None if tries >= MAX_TRIES => (Some(sent + SLOW), sent + FIRST_WAIT),
            None => (Some(Instant::now()), sent + FIRST_WAIT),
        };
        reminders += usize::from(acknowledged);
        let patience = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
            // A mirror that was given this serial needs no NOTIFY, nor does one that has
            // acknowledged it and asks. But for one reminder: NSD drops transfers that come while
            // it puts others in place, and waits for minutes then.
            let has = mirrors.has(mirror).is_some_and(|has| has >= want.serial);
            let follows = has || acknowledged && mirrors.times_asked(mirror) != asked;
            if follows && !(acknowledged && reminders == 1) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = patience => {}
            () = newer(&wanted, floor) => {}
        }
        if wanted.has_changed().is_err() {
            return;
        }
    }
}

/// Resolves when something newer is wanted, and not before a time.
async fn newer(wanted: &watch::Receiver<Wanted>, floor: Instant) {
    sleep_until(floor).await;
    let mut wanted = wanted.clone();
    let _ = wanted.changed().await;
}

/// Sends one NOTIFY and reads until its answer is there: the RCODE. Ends only then; what is wrong
/// meanwhile is told to `mirrors`.
async fn attempt(target: &Target, want: &Wanted, mirrors: &Mirrors) -> Option<u8> {
    let failed = |why: &str| mirrors.failed(&target.mirror, why);
    match exchange(target, want, &failed).await {
        Ok(rcode) => Some(rcode),
        Err(e) => {
            failed(&e.to_string());
            std::future::pending().await
        }
    }
}

async fn exchange(target: &Target, want: &Wanted, failed: &impl Fn(&str)) -> io::Result<u8> {
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
    let mut len = want.message.len();
    message[..len].copy_from_slice(&want.message);
    crate::random::Random::system().fill(&mut message[..2])?;
    let mut session = None;
    if let Some(key) = &want.key {
        let signed = TsigSession::request(key.clone(), &mut message, len, wall());
        let (s, end) =
            signed.ok_or_else(|| io::Error::other("the NOTIFY has no room for its signature"))?;
        (session, len) = (Some(s), end);
    }
    let message = &message[..len];
    socket.send(message).await?;
    let mut buf = vec![0; UDP_SIZE];
    for _ in 0..MAX_STRAY {
        let got = match socket.recv(&mut buf).await {
            Ok(n) => &buf[..n],
            // What comes back as an error is that nobody listens there now; an answer may still
            // come.
            Err(e) => {
                failed(&e.to_string());
                continue;
            }
        };
        let Some(rcode) = reply_rcode(message, got) else {
            continue;
        };
        match &session {
            None => return Ok(rcode),
            // Each answer is checked on its own: a forged one must not spoil the next.
            Some(s) => match s.clone().check(got, wall()) {
                Ok(_) => return Ok(rcode),
                Err(wrong) => failed(&wrong.to_string()),
            },
        }
    }
    Err(io::Error::other("what comes from there is no answer"))
}
