//! The state of a feed, and its form in the API.

use std::net::IpAddr;

use super::{FeedSettings, FeedSource};
use crate::{
    api::{FeedKind, FeedResponse, HeldListResponse},
    lists::records::Mapping,
    model::{Serial, Time},
};

/// The state of a feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedState {
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
    /// How the last change was transferred: `whole`, `changes` or `remade`.
    pub how: Option<&'static str>,
    /// When it is checked next.
    pub next: Option<Time>,
    /// Why the last check failed, and what to do.
    pub problem: Option<String>,
    /// Rows of another server that were left out because they came through this server or through
    /// too many servers; counted at each refresh since the start of the daemon.
    pub looped: u64,
    /// A warning about the last refresh.
    pub note: Option<String>,
    /// The held list.
    pub held: Option<HeldListResponse>,
    /// The server's addresses, which may send a NOTIFY.
    pub(super) addresses: Vec<IpAddr>,
}

impl FeedState {
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

    pub(super) fn of(s: &FeedSettings) -> FeedState {
        let (kind, from) = match &s.kind {
            FeedSource::File { path, .. } => (FeedKind::File, path.display().to_string()),
            FeedSource::Zone {
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
        FeedState {
            feed: s.name.clone(),
            kind,
            from,
            ..FeedState::default()
        }
    }
}
