//! The thread of one feed: refreshes it at its times, and records the results.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use super::{
    FeedSource,
    feed::{Feed, MAX_WAIT_SECONDS, MIN_WAIT_SECONDS},
    file_check::FileCheck,
    follow::{FollowTask, RefreshKind},
};
use crate::ledger::Ledger;

/// Refreshes the feed and waits, until the feed is stopped.
pub(super) fn run(ledger: &Ledger, feed: &Feed) {
    while !feed.stop.load(Relaxed) {
        let wait = match FileCheck::new(ledger, feed) {
            None => follow(ledger, feed),
            Some(file_check) => {
                let result = file_check
                    .run()
                    .map(|changed| changed.map(|d| ("whole", d)));
                feed.record_result(ledger.now(), result, None, feed.settings.every.0)
            }
        };
        feed.wait(Duration::from_secs(
            wait.clamp(MIN_WAIT_SECONDS, MAX_WAIT_SECONDS),
        ));
    }
}

/// Refreshes a zone; returns the seconds to wait.
fn follow(ledger: &Ledger, feed: &Feed) -> u64 {
    let s = &feed.settings;
    let FeedSource::Zone {
        server,
        mapping,
        transit,
    } = &s.kind
    else {
        return s.every.0;
    };
    if let Ok(addresses) = server.addresses() {
        *feed.addresses.lock() = addresses.iter().map(|a| a.ip().to_canonical()).collect();
    }
    let following = FollowTask {
        ledger,
        name: &s.name,
        server,
        mapping: *mapping,
        transit: *transit,
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
    feed.state.lock().serial = followed.map(|f| f.serial.0);
    match result {
        Ok(refreshed) => {
            feed.state.lock().looped += refreshed.looped;
            let change = match refreshed.kind {
                RefreshKind::Same => None,
                RefreshKind::Changes => Some("changes"),
                RefreshKind::Whole => Some("whole"),
                RefreshKind::Remade => Some("remade"),
            };
            let change = change.map(|c| (c, refreshed.difference));
            let wait = u64::from(refreshed.soa.refresh);
            feed.record_result(ledger.now(), Ok(change), refreshed.note, wait)
        }
        Err(e) => {
            // The zone's retry timer, or the configured interval before the first answer.
            let retry = followed.map_or(s.every.0, |f| u64::from(f.timers[1]));
            feed.record_result(ledger.now(), Err(e.text()), None, retry)
        }
    }
}
