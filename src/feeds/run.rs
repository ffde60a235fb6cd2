//! The thread of one feed: when it refreshes, and what it reports.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use super::{
    FeedSource,
    feed::{Feed, MAX_WAIT_SECONDS, MIN_WAIT_SECONDS},
    file_check::FileCheck,
    follow::{Following, RefreshKind, Refreshed},
    wire::Server,
};
use crate::{ledger::Ledger, lists::records::Mapping};

/// Refreshes, waits, and repeats, until it is told to stop.
pub(super) fn run(ledger: &Ledger, feed: &Feed) {
    while !feed.stop.load(Relaxed) {
        let wait = match (&feed.settings.kind, FileCheck::new(ledger, feed)) {
            (
                FeedSource::Zone {
                    server,
                    mapping,
                    transit,
                },
                _,
            ) => follow(ledger, feed, server, (*mapping, *transit)),
            (FeedSource::File { .. }, file_check) => {
                let result = file_check.map_or(Ok(None), |l| l.run());
                feed.record_result(
                    ledger.now(),
                    result.map(|changed| changed.map(|d| ("whole", d))),
                    None,
                    feed.settings.every.0,
                )
            }
        };
        feed.wait(Duration::from_secs(
            wait.clamp(MIN_WAIT_SECONDS, MAX_WAIT_SECONDS),
        ));
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
            kind,
            difference,
            looped,
            note,
        }) => {
            feed.state.lock().looped += looped;
            let change = match kind {
                RefreshKind::Same => None,
                RefreshKind::Changes => Some("changes"),
                RefreshKind::Whole => Some("whole"),
                RefreshKind::Remade => Some("remade"),
            };
            feed.record_result(
                ledger.now(),
                Ok(change.map(|c| (c, difference))),
                note,
                u64::from(soa.refresh),
            )
        }
        Err(e) => feed.record_result(ledger.now(), Err(e.text()), None, retry),
    }
}
