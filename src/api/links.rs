//! Pages of others about open relays, and the lists of other operators.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::advice::{Link, LinkGroup, LinkState};

/// A page of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkResponse {
    /// Its title, or the name of what has ended.
    pub title: String,
    /// Its address; null if no page remains.
    pub url: Option<String>,
    /// Whether it still exists.
    pub state: LinkState,
    /// Since when it is closed: a year, a month or a day; null if that is not known.
    pub since: Option<String>,
    /// What it is, or was; in English.
    pub note: String,
}

/// Pages of others about one matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkGroupResponse {
    /// The matter.
    pub group: LinkGroup,
    /// The pages.
    pub links: Vec<LinkResponse>,
}

/// A DNS blocklist of another operator, or the private list of a large receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlocklistLinkResponse {
    /// The name of the list.
    pub name: String,
    /// The main zone of the list; null if mail servers of others cannot query it.
    pub zone: Option<String>,
    /// The page where an address can be looked up.
    pub lookup_url: Option<String>,
    /// The page about removals.
    pub removal_url: Option<String>,
    /// Whether the list still exists.
    pub state: LinkState,
    /// Since when it is closed: a year, a month or a day.
    pub since: Option<String>,
    /// A remark for the owner of a listed host; in English.
    pub note: Option<String>,
}

/// Pages of others about open relays, and the lists of other operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinksResponse {
    /// The pages, by what they are about.
    pub groups: Vec<LinkGroupResponse>,
    /// The lists of other operators; those that are closed come last.
    pub lists: Vec<BlocklistLinkResponse>,
}

impl From<&Link> for LinkResponse {
    fn from(link: &Link) -> LinkResponse {
        LinkResponse {
            title: link.title.clone(),
            url: link.url.clone(),
            state: link.state,
            since: link.since.clone(),
            note: link.note.clone(),
        }
    }
}
