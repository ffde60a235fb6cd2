//! The part of the configuration that the ledger needs.

use std::{collections::BTreeMap, sync::Arc};

use super::{proposals::ProposalLimits, removal_log::OnLoss, serials::MirrorSerials};
use crate::model::{Keys, Retention, Subject, Zone, time::Seconds};

/// A configured reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasonSettings {
    /// The name.
    pub name: String,
    /// The text, in which `$` stands for the listed subject.
    pub text: String,
    /// How long a listing lasts if its request names no end.
    pub lifetime: Option<Seconds>,
    /// Whether a listing needs the approval of a second user.
    pub two_persons: bool,
}

/// Which listings need an entry of a netblock, which two persons have approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetblockRule {
    /// The reason of netblocks.
    pub reason: String,
    /// Whether no prefix is listed without an entry.
    pub required: bool,
}

impl Default for NetblockRule {
    fn default() -> NetblockRule {
        NetblockRule {
            reason: "netblock".into(),
            required: false,
        }
    }
}

/// The settings of the ledger; a reload replaces all of them.
#[derive(Debug, Clone, Default)]
pub struct LedgerSettings {
    /// The reasons.
    pub reasons: Vec<ReasonSettings>,
    /// The zones.
    pub zones: Vec<Zone>,
    /// The sources that a `[[feed]]` refreshes.
    pub feeds: Vec<String>,
    /// Special-purpose ranges that may be listed.
    pub special: Vec<Subject>,
    /// The name for NSID.
    pub nsid: String,
    /// The keys for TSIG.
    pub keys: Arc<Keys>,
    /// The file of the removal log; `None`: there is no removal log.
    pub removals: Option<std::path::PathBuf>,
    /// What to do if the removal log is lost or damaged.
    pub on_loss: OnLoss,
    /// The serials of the mirrors. They are not part of the configuration, and a reload keeps them.
    pub mirrors: MirrorSerials,
    /// The limits of proposals of an author.
    pub proposals: ProposalLimits,
    /// The orbsd user names of users of this machine, by uid.
    pub socket_users: BTreeMap<u32, String>,
    /// How long data that can be personal is kept.
    pub retention: Retention,
    /// The size of the commits that end what is due.
    pub expiry_batch: ExpiryBatch,
    /// Which listings need an entry of a netblock.
    pub netblocks: NetblockRule,
}

/// The most subjects that one commit ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiryBatch(pub usize);

impl Default for ExpiryBatch {
    fn default() -> ExpiryBatch {
        ExpiryBatch(4096)
    }
}
