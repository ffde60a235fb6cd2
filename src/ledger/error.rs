//! Why the ledger did not make a change.

use crate::{
    model::{Hold, history::RuleViolation, special::Unlistable, time::Seconds},
    store::StoreError,
};

/// Why the ledger did not do what it was asked for, by what the caller can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerError {
    /// A rule forbids the change in the state in which the subject is.
    Rule(RuleViolation),
    /// The subject must not be listed: change the subject, or permit it.
    Unlistable(Unlistable),
    /// The subject is not at the revision that the caller expects. Has the revision that it is at:
    /// read it again.
    PreconditionFailed(u64),
    /// Another request has used the same idempotency key: take a new key.
    IdempotencyKeyReused,
    /// The same idempotent request was done before, or is being done: read its result.
    Duplicate,
    /// Nothing has the name, or the commit is not in the journal.
    NotFound(String),
    /// The request or the configuration is wrong: change it.
    Invalid(String),
    /// The request does not fit the state of the ledger: something has the name already, or has
    /// changed meanwhile. Read the state, then decide again.
    Conflict(String),
    /// A serial is not newer than that of the zone or of a mirror.
    SerialNotNewer(String),
    /// A limit is reached.
    LimitReached {
        /// The limit, for people.
        why: String,
        /// How long to wait, if waiting helps.
        wait: Option<Seconds>,
    },
    /// The store failed during the commit: it may be stored or not. The ledger refuses writes until
    /// it knows.
    OutcomeUnknown(String),
    /// The ledger refuses writes until its store or its removal log works again. Nothing was
    /// written.
    Unavailable(String),
    /// The ledger has stopped.
    Stopped,
}

impl LedgerError {
    /// The message for people; `dictionary` has the names of sources.
    pub fn text(&self, dictionary: &crate::store::Dictionary) -> String {
        match self {
            LedgerError::Rule(RuleViolation::NotListed) => {
                "the subject has no such listing of its own; if a wider listing covers it (see `orbsd lookup`), delist that one or exempt the subject"
                    .into()
            }
            LedgerError::Rule(RuleViolation::NotExempt) => "the subject is not exempt itself (`orbsd lookup` shows what covers it)".into(),
            LedgerError::Rule(RuleViolation::FeedOwned(s)) => {
                format!("the source `{}` is a feed: its listings come from its imports alone", dictionary.sources.name(*s))
            }
            LedgerError::Rule(RuleViolation::AlreadyOver(t)) => format!("{t} is over already"),
            LedgerError::Rule(RuleViolation::Held(Hold::WITH_COVER)) => {
                "it was taken out of a wider listing and is held down as long as that stands; an operator can break the hold".into()
            }
            LedgerError::Rule(RuleViolation::Held(t)) => {
                format!("a removal was granted, and holds it down until {t}; an operator can break the hold")
            }
            LedgerError::Rule(RuleViolation::NoDelivery) => {
                "the source `prober` lists what a relay test has proved by delivery, and nothing else; take another source".into()
            }
            LedgerError::Rule(RuleViolation::NotHeld) => "nothing of it is held down".into(),
            LedgerError::PreconditionFailed(now) => format!("the subject has changed: its revision is now {now:016x}; look it up, then try again"),
            LedgerError::IdempotencyKeyReused => "another request has used this Idempotency-Key; use a new key".into(),
            LedgerError::Duplicate => "a request with this Idempotency-Key was just done; send it again to get its answer".into(),
            LedgerError::Unlistable(u) => u.to_string(),
            LedgerError::Invalid(why) | LedgerError::Conflict(why) | LedgerError::SerialNotNewer(why) | LedgerError::NotFound(why) | LedgerError::LimitReached { why, .. } => why.clone(),
            LedgerError::OutcomeUnknown(why) => format!("outcome unknown: the store failed during the commit ({why}); check whether it was stored before you repeat it"),
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
