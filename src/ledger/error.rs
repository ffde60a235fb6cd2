//! The errors of the ledger.

use crate::{
    model::{Hold, history::RuleViolation, special::Unlistable, time::Seconds},
    store::StoreError,
};

/// Why the ledger refused a command. Each kind is one that a caller handles in its own way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerError {
    /// A rule forbids the change in the present state of the subject.
    Rule(RuleViolation),
    /// The subject must not be listed without a permission.
    Unlistable(Unlistable),
    /// The subject is not at the expected revision. Has the present revision.
    PreconditionFailed(u64),
    /// Another request has used the same idempotency key.
    IdempotencyKeyReused,
    /// The same idempotent request was processed before, or is being processed.
    Duplicate,
    /// There is nothing with this name, or the commit is not in the journal.
    NotFound(String),
    /// The request or the configuration is not valid.
    Invalid(String),
    /// The request conflicts with the state of the ledger: the name is taken, or something has
    /// changed meanwhile.
    Conflict(String),
    /// A serial is not newer than that of the zone or of a mirror.
    SerialNotNewer(String),
    /// A limit is reached.
    LimitReached {
        /// The limit, as a sentence.
        why: String,
        /// The time after which the request can succeed, if waiting helps.
        wait: Option<Seconds>,
    },
    /// The store failed during the commit, which may be stored or not. The ledger refuses writes
    /// until it has found out.
    OutcomeUnknown(String),
    /// The ledger refuses writes until its store or its removal log works again. Nothing was
    /// written.
    Unavailable(String),
    /// The ledger has stopped.
    Stopped,
}

impl LedgerError {
    /// The message for users; `dictionary` has the names of sources.
    pub fn text(&self, dictionary: &crate::store::Dictionary) -> String {
        match self {
            LedgerError::Rule(RuleViolation::NotListed) => {
                "the subject has no such listing of its own; if a wider listing covers it (see `orbsd lookup`), delist that listing or exempt the subject"
                    .into()
            }
            LedgerError::Rule(RuleViolation::NotExempt) => "the subject has no exemption of its own; `orbsd lookup` shows what covers it".into(),
            LedgerError::Rule(RuleViolation::FeedOwned(s)) => {
                format!("the source `{}` is a feed, whose listings come only from imports; use another source", dictionary.sources.name(*s))
            }
            LedgerError::Rule(RuleViolation::EndInPast(t)) => format!("the end {t} is in the past; use a later time"),
            LedgerError::Rule(RuleViolation::Held(Hold::WITH_COVER)) => {
                "the subject was removed from a wider listing, and a hold suppresses it as long as that listing exists; an operator can break the hold".into()
            }
            LedgerError::Rule(RuleViolation::Held(t)) => {
                format!("a removal was granted, and its hold suppresses the listing until {t}; an operator can break the hold")
            }
            LedgerError::Rule(RuleViolation::NoDelivery) => {
                "the source `prober` lists only hosts whose relaying a test has proved by a delivered message; use another source".into()
            }
            LedgerError::Rule(RuleViolation::NotHeld) => "the subject has no hold".into(),
            LedgerError::PreconditionFailed(now) => format!("the subject has changed: its revision is now {now:016x}; look it up, then try again"),
            LedgerError::IdempotencyKeyReused => "another request has used this Idempotency-Key; use a new key".into(),
            LedgerError::Duplicate => "a request with this Idempotency-Key was just processed; send it again to get its answer".into(),
            LedgerError::Unlistable(u) => u.to_string(),
            LedgerError::Invalid(why) | LedgerError::Conflict(why) | LedgerError::SerialNotNewer(why) | LedgerError::NotFound(why) | LedgerError::LimitReached { why, .. } => why.clone(),
            LedgerError::OutcomeUnknown(why) => format!("outcome unknown: the store failed during the commit ({why}); check whether the change was stored before you repeat it"),
            LedgerError::Unavailable(why) => format!("writes are refused: {why}"),
            LedgerError::Stopped => "the daemon is stopping".into(),
        }
    }
}

impl From<StoreError> for LedgerError {
    fn from(e: StoreError) -> LedgerError {
        LedgerError::Unavailable(e.to_string())
    }
}
