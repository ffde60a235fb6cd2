//! The state of a feed, as `orbsd status` shows it.

use std::net::IpAddr;

use serde::Serialize;

use super::{FeedSettings, FeedSource, held::HeldState};
use crate::{lists::records::Mapping, model::Serial};

/// The state of a feed, as `orbsd status` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FeedState {
    /// Its name.
    pub feed: String,
    /// `file` or `axfr`.
    pub kind: &'static str,
    /// The file, or zone and server.
    pub from: String,
    /// The serial of the zone from which its listings were made.
    pub serial: Option<Serial>,
    /// When it was last checked.
    pub checked: Option<String>,
    /// When a check last succeeded.
    pub refreshed: Option<String>,
    /// How the last change was transferred: `whole`, `changes`, `remade`.
    pub how: Option<&'static str>,
    /// When it is checked next.
    pub next: Option<String>,
    /// Why the last check failed, and what to do.
    pub problem: Option<String>,
    /// Rows of another server that were left out because they came through this server or through
    /// as many servers as a row may; counted each time that they are read, since the daemon's
    /// start.
    #[serde(skip_serializing_if = "is_zero")]
    pub looped: u64,
    /// A warning.
    pub note: Option<String>,
    /// The list that a guard stopped.
    pub held: Option<HeldState>,
    /// The server's addresses, which may send a NOTIFY.
    #[serde(skip)]
    pub(super) addresses: Vec<IpAddr>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl FeedState {
    pub(super) fn of(s: &FeedSettings) -> FeedState {
        let (kind, from) = match &s.kind {
            FeedSource::File { path, .. } => ("file", path.display().to_string()),
            FeedSource::Zone {
                server, mapping, ..
            } => {
                let kind = if *mapping == Mapping::Rows {
                    "orbsd"
                } else {
                    "axfr"
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
