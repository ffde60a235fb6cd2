//! The thread of one feed: when it refreshes, and what it reports.

use std::{
    net::IpAddr,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use super::{
    Feed, Kind, Settings,
    follow::{Following, How, Refreshed},
    look::Look,
    wire::Server,
};
use crate::{
    api::{FeedKind, FeedResponse, HeldListResponse},
    ledger::Ledger,
    lists::records::Mapping,
    model::{Serial, Time},
    store::stage::ImportDifference,
};

/// The shortest and the longest time between two refreshes, whatever an SOA says, in seconds.
const WAITS: (u64, u64) = (1, 7 * 86_400);

/// The state of a feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Its name.
    pub feed: String,
    /// How it gets its list.
    pub kind: FeedKind,
    /// The file, or zone and server.
    pub from: String,
    /// The serial of the zone that its listings are made from.
    pub serial: Option<Serial>,
    /// When it was last checked.
    pub checked: Option<Time>,
    /// When a check last succeeded.
    pub refreshed: Option<Time>,
    /// How the last change came: `whole`, `changes`, `remade`.
    pub how: Option<&'static str>,
    /// When it is checked next.
    pub next: Option<Time>,
    /// Why the last check failed, and what to do.
    pub problem: Option<String>,
    /// Items of another server's rows that were left out, since they came through this server or
    /// through as many servers as an item may; counted each time that they are read, since the
    /// daemon's start.
    pub looped: u64,
    /// Something that an operator may want to look at.
    pub note: Option<String>,
    /// The list that a guard stopped.
    pub held: Option<HeldListResponse>,
    /// The server's addresses, which may send a NOTIFY.
    pub(super) addresses: Vec<IpAddr>,
}

impl State {
    /// The state as the API sends it.
    pub(super) fn response(&self) -> FeedResponse {
        FeedResponse {
            feed: self.feed.clone(),
            kind: self.kind,
            from: self.from.clone(),
            serial: self.serial.map(|s| s.0),
            checked: self.checked.map(Into::into),
            refreshed: self.refreshed.map(Into::into),
            how: self.how.map(Into::into),
            next: self.next.map(Into::into),
            problem: self.problem.clone(),
            looped: self.looped,
            note: self.note.clone(),
            held: self.held.clone(),
        }
    }

    pub(super) fn of(s: &Settings) -> State {
        let (kind, from) = match &s.kind {
            Kind::File { path, .. } => (FeedKind::File, path.display().to_string()),
            Kind::Zone {
                server, mapping, ..
            } => {
                let kind = if *mapping == Mapping::Rows {
                    FeedKind::Orbsd
                } else {
                    FeedKind::Axfr
                };
                (kind, format!("{} at {}", server.zone, server.address))
            }
        };
        State {
            feed: s.name.clone(),
            kind,
            from,
            ..State::default()
        }
    }
}

/// Refreshes, waits, and repeats, until it is told to stop.
pub(super) fn run(ledger: &Ledger, feed: &Feed) {
    while !feed.stop.load(Relaxed) {
        let wait = match (&feed.settings.kind, Look::new(ledger, feed)) {
            (
                Kind::Zone {
                    server,
                    mapping,
                    transit,
                },
                _,
            ) => follow(ledger, feed, server, (*mapping, *transit)),
            (Kind::File { .. }, look) => {
                let looked = look.map_or(Ok(None), |l| l.run());
                feed.settle(
                    ledger.now(),
                    looked.map(|changed| changed.map(|d| ("whole", d))),
                    None,
                    feed.settings.every.0,
                )
            }
        };
        feed.wait(Duration::from_secs(wait.clamp(WAITS.0, WAITS.1)));
    }
}

/// Refreshes a zone; returns how long to wait.
fn follow(
    ledger: &Ledger,
    feed: &Feed,
    server: &Server,
    (mapping, transit): (Mapping, bool),
) -> u64 {
    let s = &feed.settings;
    if let Ok(addresses) = server.addresses() {
        feed.state.lock().addresses = addresses.iter().map(|a| a.ip().to_canonical()).collect();
    }
    let following = Following {
        ledger,
        name: &s.name,
        server,
        mapping,
        transit,
        reasons: &s.reasons,
        max_age: s.max_age,
        stop: &feed.stop,
    };
    let result = following.refresh();
    let v = ledger.store.dictionary();
    let followed = v
        .sources
        .get(&s.name)
        .and_then(|id| v.records.get(usize::from(id.0)))
        .and_then(|r| r.followed.as_ref());
    feed.state.lock().serial = followed.map(|f| f.serial);
    // By the zone's own timers, or, before the first answer, by the configuration.
    let retry = followed.map_or(s.every.0, |f| u64::from(f.timers[1]));
    match result {
        Ok(Refreshed {
            soa,
            how,
            difference,
            looped,
            note,
        }) => {
            feed.state.lock().looped += looped;
            let change = match how {
                How::Same => None,
                How::Changes => Some("changes"),
                How::Whole => Some("whole"),
                How::Remade => Some("remade"),
            };
            feed.settle(
                ledger.now(),
                Ok(change.map(|c| (c, difference))),
                note,
                u64::from(soa.refresh),
            )
        }
        Err(e) => feed.settle(ledger.now(), Err(e.text()), None, retry),
    }
}

impl Feed {
    /// Records the result of a check and logs it if it is new; returns the time to wait.
    fn settle(
        &self,
        at: Time,
        looked: Result<Option<(&'static str, ImportDifference)>, String>,
        note: Option<String>,
        wait: u64,
    ) -> u64 {
        let mut state = self.state.lock();
        let wait = wait.clamp(WAITS.0, WAITS.1);
        state.checked = Some(at);
        state.next = Some(Time(at.0 + wait));
        let name = &self.settings.name;
        if self.stop.load(Relaxed) {
            return wait; // whatever went wrong did so because of that
        }
        match looked {
            Ok(change) => {
                if state.problem.take().is_some() {
                    tracing::info!(feed = name, "the feed is refreshed again");
                }
                if note.is_some() && note != state.note {
                    tracing::warn!(
                        feed = name,
                        note,
                        "the feed was refreshed, and there is something to look at"
                    );
                }
                if state.held.is_none() {
                    state.refreshed = state.checked;
                }
                if let Some((how, d)) = change {
                    state.how = Some(how);
                    state.note = note;
                    let serial = state.serial.map(|s| s.0);
                    tracing::info!(
                        feed = name,
                        how,
                        serial,
                        added = d.added,
                        changed = d.changed,
                        removed = d.removed,
                        "refreshed"
                    );
                } else if note.is_some() {
                    state.note = note;
                }
            }
            Err(why) => {
                if state.problem.as_ref() != Some(&why) {
                    tracing::warn!(feed = name, "the feed cannot be refreshed: {why}");
                }
                state.problem = Some(why);
            }
        }
        wait
    }

    /// Waits for a time or until it is woken; never less than the shortest time, so that a stream
    /// of NOTIFY cannot make it refresh all the time.
    fn wait(&self, time: Duration) {
        let start = Instant::now();
        let mut woken = self.woken.lock();
        loop {
            let least = start.elapsed() >= Duration::from_secs(WAITS.0);
            let left = time.saturating_sub(start.elapsed());
            if self.stop.load(Relaxed) || left.is_zero() || (*woken && least) {
                break;
            }
            let left = if *woken {
                Duration::from_secs(WAITS.0).saturating_sub(start.elapsed())
            } else {
                left
            };
            self.bell
                .wait_for(&mut woken, left.max(Duration::from_millis(1)));
        }
        *woken = false;
    }
}
