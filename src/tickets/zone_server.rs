//! The public name servers of zones, as the service of tickets gets them.

use std::sync::Arc;

use crate::model::Serial;

/// A public name server of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneServer {
    /// The name of the zone.
    pub zone: String,
    /// The name of the server, or its address.
    pub name: String,
    /// The serial that the server is known to have.
    pub serial: Option<Serial>,
    /// Whether the server answered when it was last asked; `None` if it was not asked yet.
    pub answers: Option<bool>,
}

/// Returns the public name servers of all zones, this server left out.
pub type ZoneServers = Arc<dyn Fn() -> Vec<ZoneServer> + Send + Sync>;
