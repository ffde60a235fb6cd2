//! The service of tickets: it opens, finds and changes them. A lock serialises decisions, so that
//! each sees the rows of the previous one; the ledger commits the rows and changes of a decision
//! together.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{
    batch::TicketBatch,
    control::ControlSettings,
    control_dns::ProofDns,
    error::TicketError,
    limits::RequestLimits,
    listings::{TicketListing, listings_of},
    notice::TicketCounters,
    policies::RemovalPolicies,
    secret::TicketSecret,
    state::TicketState,
    tables::{OPEN, RELEASES, SECRETS, TICKETS, WAITING},
    ticket::Ticket,
    zone_server::ZoneServers,
};
use crate::{
    ledger::{Ledger, Receipt, Rounds},
    model::{Serial, Subject, Time, time::Seconds},
    random::Random,
    relay::RelayService,
};

/// The most subjects that are looked up in DNS at the same time.
const MAX_LOOKUPS: usize = 16;
/// The most open tickets.
pub const MAX_OPEN_TICKETS: usize = 10_000;
/// The most tickets of one subject that are read.
pub const MAX_SUBJECT_TICKETS: usize = 1000;
/// How long the public page about a removal exists.
pub const RELEASE_PAGE_PERIOD: Seconds = Seconds(30 * 86_400);
/// The error about a path that leads to no ticket. It does not depend on the path.
const NO_TICKET: &str =
    "there is no ticket at this address; tickets are erased some time after they close";

/// The settings of tickets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TicketSettings {
    /// The policy of removal of each reason.
    pub policies: RemovalPolicies,
    /// What is offered for proofs of control.
    pub control: ControlSettings,
}

/// Which tickets to list.
#[derive(Debug, Clone, Default)]
pub struct TicketFilter {
    /// Only tickets in this state.
    pub state: Option<TicketState>,
    /// Only tickets of this subject.
    pub subject: Option<Subject>,
}

/// The service of tickets. Clones share the state. Its functions wait for the writer of the ledger,
/// so they run on threads that may block.
#[derive(Clone)]
pub struct TicketService {
    /// The ledger.
    pub ledger: Ledger,
    /// The service of relay tests.
    pub relay: RelayService,
    pub(super) random: Random,
    pub(super) servers: ZoneServers,
    settings: Arc<ArcSwap<TicketSettings>>,
    /// Locked during each decision.
    lock: Arc<Mutex<()>>,
    /// The addresses whose reverse names are being looked up.
    pub(super) looked_up: Arc<Mutex<HashSet<IpAddr>>>,
    /// See [`TicketService::awaited`].
    pub(super) awaited: Arc<Mutex<BTreeMap<String, Serial>>>,
    /// How many tickets wait for a suspension because the limit of the day is reached.
    over_limit: Arc<AtomicUsize>,
    pub(super) counters: Arc<TicketCounters>,
    /// For tables that are read in rounds.
    pub(super) rounds: Rounds,
    /// The rounds through open tickets whose subjects may have names of their own.
    pub(super) name_rounds: Rounds,
    /// Counts the requests of strangers.
    pub(super) limits: Arc<RequestLimits>,
    /// Permits for the look-ups of proofs by DNS.
    pub(super) lookups: Arc<Semaphore>,
    /// Answers the questions of proofs by DNS; `None` if this machine has no resolver.
    pub(super) dns: Option<Arc<dyn ProofDns>>,
}

impl TicketService {
    /// Creates a service on a ledger.
    pub fn new(
        ledger: Ledger,
        relay: RelayService,
        settings: TicketSettings,
        servers: ZoneServers,
        random: Random,
    ) -> TicketService {
        TicketService {
            ledger,
            relay,
            random,
            servers,
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            lock: Arc::default(),
            looked_up: Arc::default(),
            awaited: Arc::default(),
            over_limit: Arc::default(),
            counters: Arc::default(),
            rounds: Rounds::default(),
            name_rounds: Rounds::default(),
            limits: Arc::default(),
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            dns: None,
        }
    }

    /// Applies new settings.
    pub fn configure(&self, settings: TicketSettings) {
        self.settings.store(Arc::new(settings));
    }

    /// Returns the settings.
    pub fn settings(&self) -> Arc<TicketSettings> {
        self.settings.load_full()
    }

    /// Returns how many tickets wait for a suspension because the limit of the day is reached. An
    /// operator has to decide.
    pub fn over_limit(&self) -> usize {
        self.over_limit.load(Ordering::Relaxed)
    }

    /// Sets what [`TicketService::over_limit`] returns. Returns the value before.
    pub(super) fn set_over_limit(&self, tickets: usize) -> usize {
        self.over_limit.swap(tickets, Ordering::Relaxed)
    }

    /// Returns the trusted time.
    pub fn now(&self) -> Time {
        self.ledger.now()
    }

    /// Returns the published listings that apply to a subject, with their policies.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn listings(&self, subject: &Subject) -> Result<Vec<TicketListing>, TicketError> {
        listings_of(&self.ledger, &self.settings().policies, subject, None)
    }

    /// Returns the listings that apply to the subject of a ticket, also if they are suspended.
    pub(super) fn listings_with_suspended(
        &self,
        ticket: &Ticket,
    ) -> Result<Vec<TicketListing>, TicketError> {
        let policies = &self.settings().policies;
        let until = ticket.suspended_until();
        listings_of(&self.ledger, policies, &ticket.subject, until)
    }

    /// Makes a batch for reading.
    pub fn batch(&self, now: Time) -> TicketBatch<'_> {
        TicketBatch::new(&self.ledger.store, now)
    }

    /// Decides: `decision` fills a batch, which is committed when it returns. No other decision
    /// happens meanwhile. Returns the receipt if a listing was changed.
    ///
    /// # Errors
    ///
    /// The decision fails, or the ledger refuses the commit; nothing is written then.
    pub fn decide<T>(
        &self,
        now: Time,
        decision: impl FnOnce(&mut TicketBatch<'_>) -> Result<T, TicketError>,
    ) -> Result<(T, Option<Receipt>), TicketError> {
        let _guard = self.lock.lock();
        let mut batch = self.batch(now);
        let out = decision(&mut batch)?;
        let notices = batch.notices.clone();
        let receipt = self.ledger.commit_feature_rows(batch.into_rows()?)?;
        notices
            .iter()
            .for_each(|notice| self.counters.count(notice));
        Ok((out, receipt))
    }

    /// Changes a ticket. Returns it as it is then.
    ///
    /// # Errors
    ///
    /// There is no such ticket, `change` fails, or the ledger refuses the commit.
    pub fn update(
        &self,
        number: u64,
        now: Time,
        change: impl FnOnce(&mut Ticket) -> Result<(), TicketError>,
    ) -> Result<Ticket, TicketError> {
        let changed = self.decide(now, |batch| {
            let mut ticket = batch.ticket(number)?;
            change(&mut ticket)?;
            batch.save(&ticket);
            Ok(ticket)
        })?;
        Ok(changed.0)
    }

    /// Returns the ticket with a number.
    ///
    /// # Errors
    ///
    /// There is no such ticket, or the store cannot be read.
    pub fn get(&self, number: u64) -> Result<Ticket, TicketError> {
        self.batch(self.now()).ticket(number)
    }

    /// Returns the ticket with the secret part of its path.
    ///
    /// # Errors
    ///
    /// There is no such ticket, or the store cannot be read.
    pub fn find(&self, text: &str) -> Result<Ticket, TicketError> {
        let batch = self.batch(self.now());
        let key = TicketSecret::key_of(text);
        let number = key.map(|key| batch.get(SECRETS, &key)).transpose()?;
        let ticket = number.flatten().map(|n| batch.get(TICKETS, &n));
        let ticket = ticket.transpose()?.flatten();
        ticket.ok_or_else(|| TicketError::NotFound(NO_TICKET.into()))
    }

    /// Returns the ticket whose removal has a public page at an address.
    ///
    /// # Errors
    ///
    /// There is no such page any more, or the store cannot be read.
    pub fn find_released(&self, text: &str, now: Time) -> Result<Ticket, TicketError> {
        let batch = self.batch(now);
        let key = TicketSecret::key_of(text);
        let number = key.map(|key| batch.get(RELEASES, &key)).transpose()?;
        let ticket = number.flatten().map(|n| batch.get(TICKETS, &n));
        let is_shown = |t: &Ticket| {
            let removal = t.removal.as_ref();
            removal.is_some_and(|r| r.at.plus(RELEASE_PAGE_PERIOD) > now)
        };
        let ticket = ticket.transpose()?.flatten().filter(is_shown);
        ticket.ok_or_else(|| {
            TicketError::NotFound(
                "there is no page about a removal at this address; such pages exist for 30 days"
                    .into(),
            )
        })
    }

    /// Returns tickets in descending order of their numbers, below `before`, at most `most`.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn list(
        &self,
        filter: &TicketFilter,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<Ticket>, TicketError> {
        let batch = self.batch(self.now());
        let mut before = before.unwrap_or(u64::MAX);
        let mut out = Vec::new();
        while out.len() < most {
            let page = batch.scan_numbers_desc(&TICKETS.all(), before, MAX_SUBJECT_TICKETS)?;
            let Some(last) = page.last() else { break };
            before = *last;
            for number in &page {
                let ticket = batch.ticket(*number)?;
                let fits = filter.state.is_none_or(|s| s == ticket.state)
                    && filter.subject.as_ref().is_none_or(|s| *s == ticket.subject);
                if fits {
                    out.push(ticket);
                }
                if out.len() >= most {
                    break;
                }
            }
        }
        Ok(out)
    }

    /// Returns the open tickets, the oldest first.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn open_tickets(&self) -> Result<Vec<Ticket>, TicketError> {
        let batch = self.batch(self.now());
        let numbers = batch.keys(OPEN, None, MAX_OPEN_TICKETS)?;
        numbers.into_iter().map(|n| batch.ticket(n)).collect()
    }

    /// Returns the tickets that wait for a person: suspended ones first, then those that have to be
    /// answered or decided first.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn waiting(&self) -> Result<Vec<Ticket>, TicketError> {
        let batch = self.batch(self.now());
        let numbers = batch.keys(WAITING, None, MAX_OPEN_TICKETS)?.into_iter();
        let mut all = numbers
            .map(|n| batch.ticket(n))
            .collect::<Result<Vec<_>, _>>()?;
        all.sort_by_key(|t| {
            let due = t.answer_by().or_else(|| t.decision_by());
            (t.state != TicketState::Suspended, due, t.number)
        });
        Ok(all)
    }

    /// Returns the open tickets of a subject.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn open_of(&self, subject: &Subject) -> Result<Vec<Ticket>, TicketError> {
        let batch = self.batch(self.now());
        let mut out = Vec::new();
        for number in batch.of_subject(subject, MAX_SUBJECT_TICKETS)? {
            out.push(batch.ticket(number)?);
        }
        out.retain(|t| t.state.is_open());
        Ok(out)
    }
}
