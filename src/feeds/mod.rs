//! Feeds: sources that are refreshed automatically, each on a thread of its own.

mod feed;
pub mod file;
mod file_check;
mod file_list;
pub mod follow;
mod handle;
pub mod held;
mod run;
mod state;
pub mod wire;

use std::path::PathBuf;

use crate::{imports::Reasons, lists::records::Mapping, model::time::Seconds};
pub use file_list::FileList;
pub use handle::Feeds;
pub use state::FeedState;
use wire::Server;

/// How many feeds there can be; each has a thread.
pub const MAX_FEEDS: usize = 64;

/// A `[[feed]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedSettings {
    /// The source's name.
    pub name: String,
    /// Where its list comes from.
    pub kind: FeedSource,
    /// The reason or reasons of its subjects.
    pub reasons: Reasons,
    /// How often a file is checked, and how often a server that has never answered is asked.
    pub every: Seconds,
    /// After which time without a refresh all of its listings end.
    pub max_age: Option<Seconds>,
}

/// Where the list of a feed comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedSource {
    /// A local file; if the format is empty, it is recognised.
    File {
        /// Its path.
        path: PathBuf,
        /// Its format.
        format: String,
        /// How it is read, and what may replace it.
        list: Box<FileList>,
    },
    /// Another server's zone.
    Zone {
        /// The server and the zone.
        server: Server,
        /// How its records become entries. Another way to write rows into a zone would be another
        /// variant.
        mapping: Mapping,
        /// Whether entries of a transfer without paths are sent on in rows.
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
    /// The zone of another orbsd, by its rows; the zone's name is the one under which that server
    /// has them.
    pub fn rows(server: Server) -> FeedSource {
        FeedSource::Zone {
            server,
            mapping: Mapping::Rows,
            transit: false,
        }
    }
}
