//! The part of the configuration that the ledger needs.

use std::{collections::BTreeMap, sync::Arc};

use super::{proposals::ProposalLimits, removal_log::OnLoss, serials::SeenSerials};
use crate::model::{Keys, Subject, Zone, time::Seconds};

/// A configured reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasonSettings {
    /// Its name.
    pub name: String,
    /// Its text, `$` standing for the listed subject.
    pub text: String,
    /// How long a single listing lasts where nobody says.
    pub lifetime: Option<Seconds>,
    /// Whether a listing takes a second person.
    pub two_persons: bool,
}

/// What the ledger takes from the configuration; a reload replaces it as a whole.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The reasons.
    pub reasons: Vec<ReasonSettings>,
    /// The zones.
    pub zones: Vec<Zone>,
    /// The sources that a `[[feed]]` refreshes.
    pub feeds: Vec<String>,
    /// Special ranges that may be listed all the same.
    pub special: Vec<Subject>,
    /// The name for NSID.
    pub nsid: String,
    /// The keys for TSIG.
    pub keys: Arc<Keys>,
    /// Where the log of removals lies; none: none is kept.
    pub removals: Option<std::path::PathBuf>,
    /// What is done when that log is lost or damaged.
    pub on_loss: OnLoss,
    /// What the mirrors were seen to have. It is no part of the configuration: a reload leaves it
    /// as it is.
    pub mirrors: SeenSerials,
    /// How many proposals an author may have.
    pub proposals: ProposalLimits,
    /// The users of this machine who are users here, by uid.
    pub socket_users: BTreeMap<u32, String>,
}
