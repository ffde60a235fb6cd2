//! Feeds: sources that are refreshed automatically, each on its own thread.

mod feed;
pub mod file;
mod file_check;
mod file_list;
pub mod follow;
mod handle;
pub mod held;
mod run;
pub mod wire;
mod zone_text;

use std::path::PathBuf;

use crate::{imports::Reasons, lists::records::Mapping, model::time::Seconds};
pub use file_list::FileList;
pub use handle::Feeds;
use wire::Server;
pub use zone_text::ZoneText;

/// The most feeds; each has a thread.
pub const MAX_FEEDS: usize = 64;

/// What the public learns about the publisher of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedPublisher {
    /// The title of the list.
    pub title: Option<String>,
    /// The look-up page, with `{}` for the subject.
    pub lookup_url: Option<String>,
    /// The page about removals.
    pub removal_url: Option<String>,
}

/// A `[[feed]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedSettings {
    /// The source's name.
    pub name: String,
    /// Where its list comes from.
    pub kind: FeedSource,
    /// The reason or reasons of its subjects.
    pub reasons: Reasons,
    /// How often a file is checked, and how often a server that has never answered is queried.
    pub every: Seconds,
    /// What the public learns about the publisher.
    pub publisher: FeedPublisher,
    /// All listings end if the feed was not refreshed for this time.
    pub max_age: Option<Seconds>,
}

/// Where the list of a feed comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedSource {
    /// A local file.
    File {
        /// Its path.
        path: PathBuf,
        /// Its format; if empty, the format is recognised.
        format: String,
        /// How it is read, and how far a new list may differ.
        list: Box<FileList>,
    },
    /// Another server's zone.
    Zone {
        /// The server and the zone.
        server: Server,
        /// How its records become entries.
        mapping: Mapping,
        /// Whether entries of kind `axfr`, which have no path, are sent on in rows.
        transit: bool,
    },
}

impl FeedSource {
    /// The zone of another server, a DNSBL.
    pub fn zone(server: Server) -> FeedSource {
        FeedSource::Zone {
            server,
            mapping: Mapping::Names,
            transit: false,
        }
    }
    /// The zone of another orbsd, followed by rows; the zone's name is that of the zone of rows.
    pub fn rows(server: Server) -> FeedSource {
        FeedSource::Zone {
            server,
            mapping: Mapping::Rows,
            transit: false,
        }
    }
}
