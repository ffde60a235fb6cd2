//! The way to the writer: jobs and their replies.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};

use super::removal_log::OnLoss;
use crate::{
    clock::Clock,
    index::Published,
    model::{
        Change, Hold, Keys, Serial, SourceId, Subject, Time, Zone, history::Refusal,
        special::Unlistable, time::Seconds,
    },
    store::{
        Store, StoreError,
        schema::{self, Audit, Made},
        stage::Difference,
    },
};

/// How many changes wait for the writer at most; who brings more waits.
pub(super) const QUEUE: usize = 4096;
/// How many changes one commit takes at most.
pub(super) const GROUP: usize = 1024;

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
    pub mirrors: super::SeenSerials,
    /// How many proposals an author may have.
    pub proposals: super::ProposalLimits,
    /// The users of this machine who are users here, by uid.
    pub socket_users: BTreeMap<u32, String>,
}

/// What a commit did: its number, and the serials that moved.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Receipt {
    /// The commit's number.
    pub commit: u64,
    /// New serials by origin.
    pub serials: BTreeMap<String, Serial>,
    /// The subject's revision after it, where it was about one.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex")]
    pub revision: Option<u64>,
    /// The ends of the listing, where it renewed one.
    #[serde(skip)]
    pub renewal: Option<Renewal>,
}

/// The ends of a listing that was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// When it would have ended before; none: never.
    pub was: Option<Time>,
    /// When it ends now; none: never.
    pub until: Option<Time>,
}

impl From<Made> for Receipt {
    fn from(m: Made) -> Receipt {
        Receipt {
            commit: m.commit,
            serials: m.serials.into_iter().collect(),
            revision: Some(m.revision),
            renewal: None,
        }
    }
}

/// Revisions as text: sixteen hexadecimal digits.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(r: &Option<u64>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{:016x}", r.unwrap_or_default()))
    }
    pub fn deserialize<'d, D: Deserializer<'d>>(d: D) -> Result<Option<u64>, D::Error> {
        let text = String::deserialize(d)?;
        u64::from_str_radix(&text, 16)
            .map(Some)
            .map_err(serde::de::Error::custom)
    }
}

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

pub(super) type Reply<T> = oneshot::Sender<Result<T, Refused>>;

#[allow(clippy::large_enum_variant)] // changes are what nearly all jobs are; a box for each would cost more
pub(super) enum Job {
    Change(Change, Reply<Receipt>),
    Import(Box<super::import::Ready>, Reply<super::import::Handed>),
    /// A copy of the tables' builder, and the commit it stands at.
    Fork(Reply<(Box<crate::index::Builder>, u64)>),
    /// A number for a generation that is about to be staged.
    Generation(SourceId, Reply<u32>),
    /// The number of a source's name, given now if it has none.
    Source(String, Reply<SourceId>),
    Configure(Box<Settings>, Reply<Receipt>),
    /// A serial for a zone.
    Serial(Box<super::SerialRequest>, Reply<super::SerialChange>),
    /// A reason or source gets another name, with the configuration that has it and the audit
    /// record.
    Rename(Box<(super::Rename, Settings, Audit)>, Reply<Receipt>),
    /// The tables of the past, and the snapshot of now, for a difference.
    Past(Box<super::past::Asked>, Reply<Option<super::past::Both>>),
    /// Many changes as one commit, and their line in the audit log.
    Many(Box<(Vec<Change>, Audit)>, Reply<Receipt>),
    /// Rows of relay tests, with the changes and the audit record that belong to them.
    Record(Box<RelayRows>, Reply<Option<Receipt>>),
    /// What webhooks are told about a feed.
    FeedEvent(Box<super::held::FeedEvent>, Reply<()>),
    /// What came of sending a message: the webhook, the message's commit.
    Tried(Box<(String, u64, super::outbox::Tried)>, Reply<()>),
    /// A person or a token, and the line in the audit log.
    Keep(Box<(super::Keep, Option<Audit>)>, Reply<()>),
    /// Reads the whole log of removals, and acts on what is wrong with it.
    VerifyRemovals(Reply<()>),
    /// A copy of the store was made that knows the log of removals up to this line.
    BackedUp(u64, Reply<()>),
    Tick,
    Stop(Reply<()>),
}

/// How the log of removals is.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct RemovalsHealth {
    /// Why nothing can be written to it, so that no writes are taken.
    pub problem: Option<String>,
    /// What it lost when it began anew; until a backup knows all that is missing.
    pub gap: Option<schema::RemovalGap>,
}

/// What the outside may know of the writer.
#[derive(Debug, Default)]
pub struct Health {
    poisoned: Mutex<Option<String>>,
    removals: Mutex<RemovalsHealth>,
    /// Commits since the start.
    pub commits: AtomicU64,
    /// Changes since the start.
    pub changes: AtomicU64,
    webhook_backlog: Mutex<std::collections::HashMap<String, u64>>,
}

impl Health {
    /// Why the store cannot be written; `None` where all is well.
    pub fn poisoned(&self) -> Option<String> {
        self.poisoned
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .clone()
    }
    /// Why no changes of listings are taken: the store, or the log of removals. `None` where all is
    /// well.
    pub fn writes_refused(&self) -> Option<String> {
        self.poisoned().or_else(|| self.removals().problem)
    }
    /// How the log of removals is.
    pub fn removals(&self) -> RemovalsHealth {
        self.removals
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .clone()
    }
    pub(super) fn set_removals(&self, health: RemovalsHealth) {
        *self.removals.lock().unwrap_or_else(|e| e.into_inner()) = health;
    }
    /// How many messages wait for each webhook, dead letters too; none for a webhook that is not in
    /// it.
    pub fn webhook_backlog(&self) -> std::collections::HashMap<String, u64> {
        self.webhook_backlog
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .clone()
    }
    pub(super) fn set_webhook_backlog(&self, waiting: impl Iterator<Item = (String, u64)>) {
        *self
            .webhook_backlog
            .lock()
            .unwrap_or_else(|e| e.into_inner()) = waiting.collect();
    }
    pub(crate) fn set(&self, why: Option<String>) {
        *self.poisoned.lock().unwrap_or_else(|e| e.into_inner()) = why;
    }
}

/// The way to the writer. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    pub(super) jobs: mpsc::Sender<Job>,
    /// What answers come from.
    pub published: Arc<Published>,
    /// What can be read.
    pub store: Arc<Store>,
    /// How it is.
    pub health: Arc<Health>,
    /// Trusted time.
    pub clock: Clock,
    /// The number of the last commit, told after it is published and acknowledged; also told,
    /// whatever the number, when a configuration was taken.
    pub commits: watch::Receiver<u64>,
    pub(super) book: Arc<ArcSwap<super::Book>>,
    pub(super) busy: Arc<Mutex<HashSet<SourceId>>>,
    pub(super) settings: Arc<Mutex<Arc<Settings>>>,
    /// What the configuration in force has left behind, and when that was found out.
    pub(super) left: Arc<Mutex<FoundLeftBehind>>,
}

/// What a configuration has left behind, and when that was found out; `None` where it was not
/// looked for.
pub(super) type FoundLeftBehind = Option<(std::time::Instant, Vec<super::LeftBehind>)>;

/// A change on its way; its receipt comes when it is synced and answered.
pub struct Pending(oneshot::Receiver<Result<Receipt, Refused>>);

impl Pending {
    /// Waits for the receipt.
    pub async fn receipt(self) -> Result<Receipt, Refused> {
        self.0.await.unwrap_or(Err(Refused::Stopped))
    }
    /// Waits for the receipt on a thread that may block.
    pub fn wait(self) -> Result<Receipt, Refused> {
        self.0.blocking_recv().unwrap_or(Err(Refused::Stopped))
    }
}

/// Rows of relay tests, which the ledger stores as they are, with the changes and the audit record
/// that are committed with them.
#[derive(Debug, Default)]
pub struct RelayRows {
    /// Keys and values; none removes a row.
    pub rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Changes of listings.
    pub changes: Vec<Change>,
    /// The audit record.
    pub audit: Option<Audit>,
}

impl RelayRows {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.changes.is_empty() && self.audit.is_none()
    }
}

impl Ledger {
    /// Commits rows of relay tests with the changes that belong to them, all or none. Returns the
    /// receipt where a listing was changed.
    pub fn commit_relay_rows(&self, rows: RelayRows) -> Result<Option<Receipt>, Refused> {
        self.call(|r| Job::Record(Box::new(rows), r))
    }

    /// Hands a change in; waits only while the queue is full.
    pub async fn submit(&self, change: Change) -> Result<Pending, Refused> {
        let (tx, rx) = oneshot::channel();
        self.jobs
            .send(Job::Change(change, tx))
            .await
            .map_err(|_| Refused::Stopped)?;
        Ok(Pending(rx))
    }

    /// The same from a thread that may block.
    pub fn submit_blocking(&self, change: Change) -> Result<Pending, Refused> {
        let (tx, rx) = oneshot::channel();
        self.jobs
            .blocking_send(Job::Change(change, tx))
            .map_err(|_| Refused::Stopped)?;
        Ok(Pending(rx))
    }

    pub(super) fn call<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, Refused> {
        let (tx, rx) = oneshot::channel();
        self.jobs
            .blocking_send(job(tx))
            .map_err(|_| Refused::Stopped)?;
        rx.blocking_recv().unwrap_or(Err(Refused::Stopped))
    }

    /// Takes a new configuration. May block.
    pub fn configure(&self, settings: Settings) -> Result<Receipt, Refused> {
        let settings = Settings {
            mirrors: self.settings().mirrors.clone(),
            ..settings
        };
        let receipt = self.call(|r| Job::Configure(Box::new(settings.clone()), r))?;
        self.set_settings(settings);
        Ok(receipt)
    }

    /// Trusted time.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    pub(super) fn set_settings(&self, settings: Settings) {
        *self.settings.lock().unwrap_or_else(|e| e.into_inner()) = Arc::new(settings);
        *self.left.lock().unwrap_or_else(|e| e.into_inner()) = None;
    }

    /// The configuration that is in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .clone()
    }

    /// The number of a source, given now if it has none. May block.
    pub fn source(&self, name: &str) -> Result<SourceId, Refused> {
        match self.store.vocabulary().sources.get(name) {
            Some(s) => Ok(s),
            None => self.call(|r| Job::Source(name.into(), r)),
        }
    }

    /// A second has passed: what is due is ended, and a failed store tried again.
    pub async fn tick(&self) {
        let _ = self.jobs.send(Job::Tick).await;
    }

    /// The same from a thread that may block.
    pub fn tick_blocking(&self) {
        let _ = self.jobs.blocking_send(Job::Tick);
    }

    /// Reads the whole log of removals through the writer, which acts on what is wrong with it. May
    /// block.
    pub fn verify_removals(&self) -> Result<(), Refused> {
        self.call(Job::VerifyRemovals)
    }

    /// Reports a copy of the store that knows the log of removals up to a line. May block.
    pub fn backed_up(&self, line: u64) -> Result<(), Refused> {
        self.call(|r| Job::BackedUp(line, r))
    }

    /// Stops the writer: an image is written, the store closed. May block.
    pub fn stop(&self) -> Result<(), Refused> {
        self.call(Job::Stop)
    }
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImportResult {
    /// The commit; `None` for a dry run, or where nothing changed.
    pub receipt: Option<Receipt>,
    /// What changed.
    pub difference: Difference,
}

impl From<StoreError> for Refused {
    fn from(e: StoreError) -> Refused {
        Refused::Poisoned(e.to_string())
    }
}
