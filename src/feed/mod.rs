//! Feeds: sources that are refreshed by themselves, each on a thread of its own that waits, looks
//! and imports.

pub mod file;
mod file_list;
pub mod follow;
mod handle;
pub mod held;
mod look;
mod run;
pub mod wire;

use std::path::PathBuf;

use crate::{format::records::Mapping, intake::Reasons, model::time::Seconds};
pub use file_list::FileList;
pub use handle::Feeds;
use handle::{Feed, lock};
pub use run::State;
use wire::Server;

/// How many feeds there can be: each has a thread.
pub const MAX_FEEDS: usize = 64;

/// A `[[feed]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The source's name.
    pub name: String,
    /// What it is made from.
    pub kind: Kind,
    /// Why its subjects are listed.
    pub reasons: Reasons,
    /// How often a file is looked at, and a server that has never answered is asked.
    pub every: Seconds,
    /// When all of it ends unless it was refreshed.
    pub max_age: Option<Seconds>,
}

/// What a feed is made from.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A local file; the format is guessed where it is empty.
    File {
        /// Where it lies.
        path: PathBuf,
        /// Its format.
        format: String,
        /// How it is read, and what may replace it.
        list: Box<FileList>,
    },
    /// Another server's zone.
    Zone {
        /// Whom to ask for what.
        server: Server,
        /// How its records become entries. Another way to write rows into a zone is another variant
        /// there.
        mapping: Mapping,
        /// Whether what a transfer without paths brings is sent on in rows.
        transit: bool,
    },
}

impl Kind {
    /// A local file that is read as usual.
    pub fn file(path: PathBuf, format: &str) -> Kind {
        Kind::File {
            path,
            format: format.into(),
            list: Box::default(),
        }
    }
    /// Another server's zone, a DNSBL's.
    pub fn zone(server: Server) -> Kind {
        Kind::Zone {
            server,
            mapping: Mapping::Names,
            transit: false,
        }
    }
    /// Another orbsd's zone, by its rows; the server's zone is the name under which it has them.
    pub fn rows(server: Server) -> Kind {
        Kind::Zone {
            server,
            mapping: Mapping::Rows,
            transit: false,
        }
    }
}
