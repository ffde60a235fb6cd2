//! The desk of relay tests: who is tested, what came of it, who is listed for it, and who is let
//! go. Its rules are [`crate::model::probing`] and [`crate::model::retest`]; what it decides goes
//! to the writer as rows and changes of one batch, so that no listing stands without its proof. One
//! decision at a time: each reads what the one before has written.

mod arrive;
mod claim;
mod jobs;
mod load;
mod plan;
mod rows;
mod run;
#[cfg(test)]
mod tests;
mod tick;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

pub use arrive::{Arrived, Proof};
pub use claim::{Claimed, SourceReplies};
pub use jobs::{Nomination, OptOut};
pub use plan::Phase;
pub(super) use rows::{Entry, put};
use rows::{Sheet, key};
pub use run::{Ran, Ready};

use super::{Ledger, Refused};
use crate::{
    clock::ClockReport,
    model::{
        Subject, Time, history::Once, networks::Networks, probing, retest::Outage, special,
        time::Seconds,
    },
    smtp::{Catalogue, Names, Tokens, message::Operator},
};

/// The reasons that the tester's findings are listed under.
pub const REASONS: [&str; 4] = ["relay", "input", "unconfirmed", "output"];
/// How long their listings last where the reason does not say (safety rule S14).
pub const LIFETIME: Seconds = Seconds(90 * 86_400);
/// The reason of those who asked not to be tested.
pub const NOTEST: &str = "notest";
/// How far ahead a claim that is not proved is given a place in the budget of its net; a day later
/// it would be granted untested.
const AHEAD: Seconds = Seconds(86_400);
/// The door that says how the collector is.
pub const COLLECTOR: &str = "collector";
/// The most jobs that wait or run.
pub const MAX_OPEN: usize = 10_000;

/// How tests are made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether our own tester runs.
    pub enabled: bool,
    /// Whether it goes to addresses that are not special: the operator has said who he is.
    pub public: bool,
    /// The domain whose mail the collector takes; empty: there is none.
    pub domain: String,
    /// A second domain of ours, for senders.
    pub foreign: Option<String>,
    /// Our name in the greeting.
    pub hello: String,
    /// Who tests.
    pub operator: Operator,
    /// Addresses of the collector and of the tester.
    pub addresses: Vec<IpAddr>,
    /// Tells other addresses at which the collector is reached: it may listen everywhere on this
    /// machine.
    pub at_home: fn(&[SocketAddr], IpAddr) -> bool,
    /// Where the collector listens; nowhere: there is none.
    pub listen: Vec<SocketAddr>,
    /// The port that is SMTP.
    pub port: u16,
    /// Special ranges that may be tested all the same.
    pub special: Vec<Subject>,
    /// Hosts of a net (/24, /48) that are tested in a day; for claims as many again.
    pub per_net: usize,
    /// The same of one network (an AS, or where that is not known a /16 or /32), but for proved
    /// claims.
    pub per_network: usize,
    /// Which network a host is of.
    pub networks: Arc<Networks>,
    /// Claims without a proof that may wait for their test at the same time: as many as are surely
    /// tested in a day.
    pub unproved: usize,
    /// Nominations of one reporter in a day.
    pub quota: u32,
    /// Reporters whose own tests list like ours.
    pub trusted: Vec<String>,
    /// Tests that are only run where they are named.
    pub chosen: Vec<String>,
    /// How long the owner of an output has before it is listed.
    pub notice: Seconds,
    /// How long what was put off waits, after the first and after the second time.
    pub retry: [Seconds; 2],
    /// All tests.
    pub catalogue: Arc<Catalogue>,
    /// Makes and reads tokens.
    pub tokens: Tokens,
    /// The addresses that tests come from; none: the system chooses.
    pub sources: Vec<TesterSource>,
    /// A random number below another: when a released host is tested once more is nobody's to know.
    pub random: fn(u64) -> u64,
}

/// An address that tests come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TesterSource {
    /// The address.
    pub address: IpAddr,
    /// Its name in the greeting, where it has one of its own.
    pub ehlo_name: Option<String>,
}

/// Finds out what a host is called; the names are those that it may have.
pub type Known =
    Arc<dyn Fn(IpAddr, Vec<String>) -> Pin<Box<dyn Future<Output = Names> + Send>> + Send + Sync>;

/// Why the desk says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// It makes no sense; says which field and why.
    Invalid(String),
    /// A quota is used up; how long to wait.
    TooMany(String, Seconds),
    /// A rule says no.
    No(String),
    /// There is nothing of that name.
    Unknown(String),
    /// The ledger says no.
    Ledger(Refused),
}

impl From<Refused> for Denied {
    fn from(e: Refused) -> Denied {
        Denied::Ledger(e)
    }
}
impl From<crate::store::StoreError> for Denied {
    fn from(e: crate::store::StoreError) -> Denied {
        Denied::Ledger(e.into())
    }
}

/// Who asks, for the audit log.
#[derive(Debug, Clone)]
pub struct Asker {
    /// His name.
    pub name: String,
    /// Where he is.
    pub from: String,
    /// His request is not done twice.
    pub once: Option<Once>,
}

/// The desk. Clones share it.
#[derive(Clone)]
pub struct Desk {
    ledger: Ledger,
    settings: Arc<arc_swap::ArcSwap<Settings>>,
    /// Held through each decision.
    turn: Arc<Mutex<Health>>,
    looks: Arc<Looks>,
    /// How far the last round came of what is looked at in turn, by prefix.
    rounds: Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>,
}

/// What the doors have said about themselves.
#[derive(Debug, Default)]
struct Health {
    /// What is wrong, by door.
    wrong: Vec<(&'static str, String)>,
    /// Since when something is.
    since: Option<Time>,
    /// Whether that is written down.
    open: bool,
}

/// Looks at the collector: how many were asked for, and which was the last that was done. Until
/// then nothing is tested; it is no outage.
#[derive(Debug, Default)]
struct Looks {
    asked: AtomicU64,
    done: AtomicU64,
    wake: Notify,
}

impl Desk {
    /// Nothing is tested until somebody has looked how the collector is.
    pub fn unseen(&self) {
        self.looks.asked.fetch_add(1, Ordering::AcqRel);
        self.looks.wake.notify_one();
    }

    /// Waits until somebody asks for a look.
    pub async fn asked(&self) {
        self.looks.wake.notified().await;
    }

    /// Whether somebody has to look.
    pub fn is_unseen(&self) -> bool {
        self.looks.done.load(Ordering::Acquire) < self.looks.asked.load(Ordering::Acquire)
    }

    /// A look begins: its number.
    pub fn look(&self) -> u64 {
        self.looks.asked.load(Ordering::Acquire)
    }

    /// A look is done, and what it found is told. One that was asked for meanwhile is another.
    pub fn looked(&self, number: u64) {
        self.looks.done.fetch_max(number, Ordering::AcqRel);
    }

    /// Why no tests are made, and no messages judged.
    fn why(&self, health: &Health) -> Option<String> {
        let mut all: Vec<String> = health
            .wrong
            .iter()
            .map(|(door, why)| format!("{door}: {why}"))
            .collect();
        all.extend(
            self.is_unseen()
                .then(|| format!("{COLLECTOR}: nobody has looked yet whether it is well")),
        );
        (!all.is_empty()).then(|| all.join("; "))
    }
}

impl Desk {
    /// A desk on a ledger.
    pub fn new(ledger: Ledger, settings: Settings) -> Desk {
        Desk {
            ledger,
            settings: Arc::new(arc_swap::ArcSwap::from_pointee(settings)),
            turn: Arc::default(),
            looks: Arc::default(),
            rounds: Arc::default(),
        }
    }

    /// Takes a new configuration.
    pub fn configure(&self, settings: Settings) {
        // Nobody has looked yet where the mail goes of a domain that is used on the Internet from
        // now on.
        let begins = settings.is_outside() && !self.settings().is_outside();
        if begins {
            self.unseen();
        }
        self.settings.store(Arc::new(settings));
        if begins {
            // A look that began in between has seen the old ones.
            self.unseen();
        }
    }

    /// Trusted time.
    pub fn now(&self) -> Time {
        self.ledger.now()
    }

    /// How the clock is.
    pub fn clock(&self) -> ClockReport {
        self.ledger.clock.report()
    }

    /// How tests are made now.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    fn turn(&self) -> MutexGuard<'_, Health> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A door says how it is: `None` for well, else what is wrong and since when. While one is not,
    /// nothing is tested or listed, and waiting periods stand still.
    pub fn well(
        &self,
        door: &'static str,
        wrong: Option<(String, Time)>,
        now: Time,
    ) -> Result<(), Denied> {
        let mut health = self.turn();
        let mut next = health.wrong.clone();
        next.retain(|(d, _)| *d != door);
        let since = wrong.as_ref().map_or(now, |w| w.1.min(now));
        next.extend(wrong.map(|w| (door, w.0)));
        let mut sheet = self.sheet(now);
        if !next.is_empty() {
            health.wrong = next;
            let since = *health.since.get_or_insert(since);
            if !health.open {
                // Where it cannot be written down, the next word tries again.
                self.outage(&mut sheet, Some((since, None)))?;
                self.write(sheet, None)?;
                health.open = true;
            }
        } else if let Some(since) = health.since {
            self.outage(&mut sheet, (!health.open).then_some((since, Some(now))))?;
            self.write(sheet, None)?;
            *health = Health::default();
        }
        Ok(())
    }

    /// Ends the outages that are open, and notes one more.
    fn outage(&self, sheet: &mut Sheet<'_>, more: Option<Outage>) -> Result<(), Denied> {
        let now = sheet.now;
        let mut all: Vec<Outage> = sheet.get(key::OUTAGES)?.unwrap_or_default();
        all.iter_mut()
            .filter(|o| o.1.is_none())
            .for_each(|o| o.1 = Some(now));
        all.extend(more);
        all.drain(..all.len().saturating_sub(100));
        sheet.put(key::OUTAGES, &all);
        Ok(())
    }

    /// What is wrong with collector or clock.
    pub fn wrong(&self) -> Option<String> {
        self.why(&self.turn())
    }

    /// Why the ledger takes no writes.
    pub fn ledger_wrong(&self) -> Option<String> {
        self.ledger.health.writes_refused()
    }

    fn sheet(&self, now: Time) -> Sheet<'_> {
        Sheet::new(&self.ledger, now)
    }

    /// Hands what was decided to the writer and waits until it is true.
    fn write(
        &self,
        sheet: Sheet<'_>,
        line: Option<crate::store::schema::Audit>,
    ) -> Result<Option<super::Receipt>, Denied> {
        let entry = sheet.entry(line);
        if entry.is_empty() {
            return Ok(None);
        }
        Ok(self
            .ledger
            .call(|r| super::Job::Record(Box::new(entry), r))?)
    }
}

impl Settings {
    /// What is known of a host without asking anybody.
    pub fn names(&self, target: IpAddr) -> Names {
        let (domain, foreign, hello) = (
            self.domain.clone(),
            self.foreign.clone(),
            self.hello.clone(),
        );
        Names {
            target,
            relay: None,
            hosted: None,
            user: None,
            domain,
            foreign,
            collector: None,
            hello,
        }
    }

    /// Another configuration, as far as it is taken without a restart: the collector keeps its
    /// name, and tokens stay good. Who changes the name by which the tested know him tests on the
    /// Internet after the restart.
    #[must_use]
    pub fn reloaded(&self, next: Settings) -> Settings {
        let (domain, hello, addresses, tokens) = (
            self.domain.clone(),
            self.hello.clone(),
            self.addresses.clone(),
            self.tokens.clone(),
        );
        let public = next.public && self.hello == next.hello && self.domain == next.domain;
        let (listen, sources) = (self.listen.clone(), self.sources.clone());
        Settings {
            domain,
            hello,
            addresses,
            tokens,
            public,
            listen,
            port: self.port,
            sources,
            ..next
        }
    }

    /// Whether an address is the collector's or the tester's: what comes from there proves nothing,
    /// and it is not tested.
    pub fn is_ours(&self, addr: IpAddr) -> bool {
        let lab = self.special.iter().any(|s| s.covers(&Subject::host(addr)));
        self.addresses.contains(&addr) || !lab && (self.at_home)(&self.listen, addr)
    }

    /// The addresses that can test a host, in order.
    pub fn sources(&self, target: IpAddr) -> Vec<IpAddr> {
        self.sources
            .iter()
            .map(|s| s.address)
            .filter(|a| a.is_ipv4() == target.is_ipv4())
            .collect()
    }

    /// Our name in the greeting, from an address of ours; from the first where none is said.
    pub fn hello_from(&self, target: IpAddr, source: Option<IpAddr>) -> String {
        let source = source.or_else(|| self.sources(target).first().copied());
        let own = self
            .sources
            .iter()
            .find(|s| Some(s.address) == source)
            .and_then(|s| s.ehlo_name.clone());
        own.unwrap_or_else(|| self.hello.clone())
    }

    /// An address of ours that a host cannot know for the same tester as another: in another net
    /// (/24, IPv6 /48), with another name in the greeting.
    pub fn second_source(&self, target: IpAddr, first: Option<IpAddr>) -> Option<IpAddr> {
        let all = self.sources(target);
        let first = first.or_else(|| all.first().copied())?;
        let name = |a| self.hello_from(target, Some(a));
        all.into_iter()
            .find(|a| probing::net(*a) != probing::net(first) && name(*a) != name(first))
    }

    /// A port that is asked for in place of the usual one; none where it is that.
    pub fn other_port(&self, port: Option<u16>) -> Option<u16> {
        port.filter(|p| *p != self.port)
    }

    /// Whether there is a collector, and a domain whose mail it takes.
    fn collects(&self) -> bool {
        !self.domain.is_empty() && !self.listen.is_empty()
    }

    /// Whether it has to be known where the probe domain's mail goes.
    pub fn is_outside(&self) -> bool {
        self.public && self.collects()
    }

    /// Why a host cannot be tested by us now.
    pub fn ready(&self, target: IpAddr) -> Result<(), String> {
        self.barred(target, self.enabled)
    }

    /// Why a host cannot be tested by anybody, us or a reporter who sends our messages.
    pub fn may(&self, target: IpAddr) -> Result<(), String> {
        self.barred(target, true)
    }

    fn barred(&self, target: IpAddr, on: bool) -> Result<(), String> {
        let subject = Subject::host(target);
        let is_special = |allowed: &[Subject]| special::unlistable(&subject, allowed).is_some();
        if is_special(&self.special) {
            return Err("the address is in a special range; [limits] special names those that may be tested".into());
        }
        if self.is_ours(target) {
            return Err("that is an address of ours".into());
        }
        if !on {
            return Err("the tester is off; [probe] enabled switches it on".into());
        }
        if !self.collects() {
            return Err("there is no collector; [probe] domain and [collect] listen count from the next start on".into());
        }
        if !self.public && !is_special(&[]) {
            return Err(
                "hosts on the Internet are tested when [probe] allow_public is set, and hello, contact and about say who tests".into()
            );
        }
        Ok(())
    }
}
