//! What a check found.

use serde::Serialize;

/// The area of a check.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    clap::ValueEnum,
    strum::Display,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub(in crate::cli) enum Area {
    // The files of the configuration
    Configuration,
    // The state of the running daemon
    Daemon,
    // Delegations in the parent zones, and their glue
    Delegation,
    // The name servers of each zone: answers, serials, agreement
    Servers,
    // Listeners of this machine
    Listeners,
    // Disk, file modes and open files of this machine
    Machine,
    // The clock and its synchronisation
    Clock,
    // The certificate of the encrypted listeners
    Certificates,
    // Feeds: their age and their problems
    Feeds,
    // The last backup, and the removal log
    Backup,
    // The relay tester: its DNS records, mail and web pages
    Tester,
    // The public site
    Site,
}

/// The state of what was checked. Later states are worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub(in crate::cli) enum State {
    /// It works.
    Good,
    /// It could not be checked from here.
    NotSeen,
    /// It works, and will not for long or not for all.
    Warning,
    /// It does not work.
    Fault,
}

/// What a check found, and an element of the output of `orbsd doctor --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Finding {
    /// The area of the check.
    pub area: Area,
    /// The name of the check, unique in its area.
    pub check: &'static str,
    /// What was checked: a zone, a server, a file.
    pub target: String,
    /// Its state.
    pub state: State,
    /// What was found, in a sentence without a full stop.
    pub what: String,
    /// What to do; empty if the state is good.
    pub remedy: String,
}

/// A check of one target, which becomes a finding.
#[derive(Debug, Clone)]
pub(super) struct Examination {
    area: Area,
    check: &'static str,
    target: String,
}

impl Examination {
    pub(super) fn new(area: Area, check: &'static str, target: impl Into<String>) -> Examination {
        Examination {
            area,
            check,
            target: target.into(),
        }
    }

    fn found(self, state: State, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            area: self.area,
            check: self.check,
            target: self.target,
            state,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    pub(super) fn good(self, what: impl Into<String>) -> Finding {
        self.found(State::Good, what, "")
    }

    pub(super) fn not_seen(self, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        self.found(State::NotSeen, what, remedy)
    }

    pub(super) fn warning(self, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        self.found(State::Warning, what, remedy)
    }

    pub(super) fn fault(self, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        self.found(State::Fault, what, remedy)
    }
}
