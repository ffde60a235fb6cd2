//! Why the ledger did not make a change.

use crate::{
    model::{Hold, history::Refusal, special::Unlistable, time::Seconds},
    store::StoreError,
};

/// Why a change was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The rules say no; nothing was written.
    Rule(Refusal),
    /// It cannot be listed as it stands.
    Unlistable(Unlistable),
    /// The subject is no longer as the author has seen it; its revision now.
    Changed(u64),
    /// The same key came with another request before.
    OtherBody,
    /// The same request was done before, or is being done.
    Again,
    /// There is nothing of that name.
    Unknown(String),
    /// The configuration does not fit.
    Settings(String),
    /// A serial is not newer for a zone, or for mirrors of it.
    Serial(String),
    /// A limit is reached; with how long to wait where time alone helps.
    Limit {
        /// Which limit.
        why: String,
        /// Until it may be tried again.
        wait: Option<Seconds>,
    },
    /// The store failed while it was written: it may be there or not. The ledger finds out before
    /// it takes more.
    InDoubt(String),
    /// The ledger takes no writes until its store works again.
    Poisoned(String),
    /// The ledger has stopped.
    Stopped,
}

impl Refused {
    /// In words for people; `vocabulary` gives the names.
    pub fn text(&self, vocabulary: &crate::store::Vocabulary) -> String {
        match self {
            Refused::Rule(Refusal::NotListed) => {
                "it has no such listing of its own; where a wider one covers it (`orbsd lookup` shows it), delist that or exempt this"
                    .into()
            }
            Refused::Rule(Refusal::NotExempt) => "it is not exempt itself (`orbsd lookup` shows what covers it)".into(),
            Refused::Rule(Refusal::FeedOwned(s)) => {
                format!("the source `{}` is a feed: its listings come from its imports alone", vocabulary.sources.name(*s))
            }
            Refused::Rule(Refusal::AlreadyOver(t)) => format!("{t} is over already"),
            Refused::Rule(Refusal::Held(Hold::WITH_COVER)) => {
                "it was taken out of a wider listing and is held down as long as that stands; an operator can break the hold".into()
            }
            Refused::Rule(Refusal::Held(t)) => {
                format!("a removal was granted, and holds it down until {t}; an operator can break the hold")
            }
            Refused::Rule(Refusal::NoDelivery) => {
                "the source `prober` lists what a relay test has proved by delivery, and nothing else; take another source".into()
            }
            Refused::Rule(Refusal::NotHeld) => "nothing of it is held down".into(),
            Refused::Changed(now) => format!("it has changed since you looked: its revision is {now:016x} now; look again"),
            Refused::OtherBody => "another request came with the same Idempotency-Key before; take a new key".into(),
            Refused::Again => "a request with this Idempotency-Key was just done; send it again to see what it was told".into(),
            Refused::Unlistable(u) => u.to_string(),
            Refused::Settings(why) | Refused::Serial(why) | Refused::Unknown(why) | Refused::Limit { why, .. } => why.clone(),
            Refused::InDoubt(why) => format!("in doubt: the store failed while this was written ({why}); look it up before you repeat it"),
            Refused::Poisoned(why) => format!("no writes are taken: {why}"),
            Refused::Stopped => "the daemon is stopping".into(),
        }
    }
}

impl From<StoreError> for Refused {
    fn from(e: StoreError) -> Refused {
        Refused::Poisoned(e.to_string())
    }
}
