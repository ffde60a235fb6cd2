//! The daily job: it reads the facts, and makes the report of the day.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use parking_lot::Mutex;

use super::{
    archive::{QualityArchive, QualityReport},
    claims::{ClaimTest, decided_claims},
    figures::{QualityFigures, RECENT},
    requests::{request_times, spread_time},
    tally::{CountedZone, ReasonAndSource, Tally, is_in_error, removed},
};
use crate::{
    ledger::Ledger,
    model::{Event, EventKind, Mask, SourceId, Subject, Time, Verdict, ZoneKind, time::Seconds},
    relay::{OPT_OUT_REASON, REASONS, RelayError, RelayService},
    store::{Dictionary, StoreError},
    tickets::{Ticket, TicketError, TicketFilter, TicketService},
};

/// How many subjects or events are read at a time. The store can be closed in between.
const CHUNK: usize = 20_000;
/// How many tests or tickets are read at a time.
const PAGE: usize = 200;
/// How old a test may be whose claim was decided recently.
const MAX_TEST_AGE: Seconds = Seconds(RECENT.0 + 20 * 86_400);
/// How old a ticket may be that was answered or granted recently. Closed tickets are kept for 90
/// days by default.
const MAX_TICKET_AGE: Seconds = Seconds(RECENT.0 + 90 * 86_400);
/// The time after which a failed count is repeated.
const RETRY_AFTER: Seconds = Seconds(3600);
/// The seconds of a day.
const DAY: u64 = 86_400;

/// Why the figures of a day were not counted.
#[derive(Debug)]
pub(super) enum Failure {
    /// The daemon stops.
    Stopped,
    /// What could not be read, for operators.
    Unreadable(String),
}

/// The job. Clones share its state.
#[derive(Clone)]
pub struct QualityJob {
    ledger: Ledger,
    relay: RelayService,
    tickets: TicketService,
    archive: QualityArchive,
    /// When the last count failed.
    failed: Arc<Mutex<Option<Time>>>,
}

impl QualityJob {
    /// Creates the job, which adds its reports to an archive.
    pub fn new(tickets: TicketService, archive: QualityArchive) -> QualityJob {
        QualityJob {
            ledger: tickets.ledger.clone(),
            relay: tickets.relay.clone(),
            tickets,
            archive,
            failed: Arc::default(),
        }
    }

    /// Whether the figures of today have to be counted now.
    pub fn is_due(&self) -> bool {
        let now = self.ledger.now();
        let last = self.archive.last();
        let is_counted = last.is_some_and(|last| last.day().0 / DAY == now.0 / DAY);
        let failed = *self.failed.lock();
        let is_pausing = failed.is_some_and(|at| now.0.abs_diff(at.0) < RETRY_AFTER.0);
        !is_counted && !is_pausing
    }

    /// Counts the figures of today and stores them, unless `is_stopped` returns true meanwhile. A
    /// failure is logged; the job is due again after an hour. May take minutes.
    pub fn run(&self, is_stopped: &dyn Fn() -> bool) {
        let (began, now) = (Instant::now(), self.ledger.now());
        let stored = self.count(now, is_stopped).and_then(|report| {
            let stored = self.archive.add(report);
            stored.map_err(|e| Failure::Unreadable(e.to_string()))
        });
        match stored {
            Ok(()) => {
                *self.failed.lock() = None;
                tracing::info!(took = ?began.elapsed(), "figures of quality counted");
            }
            Err(Failure::Stopped) => {}
            Err(Failure::Unreadable(why)) => {
                *self.failed.lock() = Some(now);
                tracing::warn!(why, "figures of quality not counted; retrying in an hour");
            }
        }
    }

    /// Counts the figures at a time.
    pub(super) fn count(
        &self,
        now: Time,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<QualityReport, Failure> {
        self.count_in_parts(now, [CHUNK, PAGE], is_stopped)
    }

    /// Counts the figures at a time, and reads so many rows, and so many tests or tickets, at a time.
    pub(super) fn count_in_parts(
        &self,
        now: Time,
        [chunk, page]: [usize; 2],
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<QualityReport, Failure> {
        // An opt-out states no fault of a host, so it is neither a proved nor a wrong entry.
        let uncounted = mask_of(&self.ledger.store.dictionary(), [OPT_OUT_REASON]);
        let mut count = Count {
            job: self,
            tally: Tally::new(now, self.zones(uncounted), uncounted),
            now,
            since: Time(now.0.saturating_sub(RECENT.0)),
            chunk,
            page,
            suspensions: BTreeSet::new(),
            is_stopped,
        };
        count.tickets()?;
        count.listings()?;
        count.removals()?;
        count.claims()?;
        let (zones, sources) = count.tally.figures();
        let dictionary = self.ledger.store.dictionary();
        let named = |(id, figures)| (dictionary.sources.name(id).to_string(), figures);
        let has_figures =
            |(_, figures): &(_, QualityFigures)| *figures != QualityFigures::default();
        Ok(QualityReport {
            counted: now,
            zones,
            sources: sources.into_iter().filter(has_figures).map(named).collect(),
        })
    }

    /// The zones, with the reasons that they publish. A zone that is retired publishes none, and one
    /// whose reasons are all `uncounted` is left out.
    fn zones(&self, uncounted: Mask) -> Vec<CountedZone> {
        let snapshot = self.ledger.published.snapshot();
        let dictionary = self.ledger.store.dictionary();
        let zones = snapshot.zones.all().iter();
        let zones = zones.filter(|z| z.spec.kind != ZoneKind::Catalog && !z.spec.is_volatile());
        let counted = zones.filter_map(|z| {
            let names = z
                .spec
                .publish
                .iter()
                .flat_map(|p| p.reasons().map(String::as_str));
            let published = mask_of(&dictionary, names);
            if published != 0 && published & !uncounted == 0 {
                return None;
            }
            Some(CountedZone {
                name: z.name.to_string(),
                reasons: if z.mask == 0 { 0 } else { published },
                zone: z.spec.clone(),
            })
        });
        counted.collect()
    }
}

/// The set of some reasons, without those that do not exist.
fn mask_of<'a>(dictionary: &Dictionary, names: impl IntoIterator<Item = &'a str>) -> Mask {
    let ids = names.into_iter().filter_map(|n| dictionary.reasons.get(n));
    ids.fold(0, |all, id| all | id.bit())
}

/// A count that is under way.
struct Count<'a> {
    job: &'a QualityJob,
    tally: Tally,
    now: Time,
    /// When the period of recent events begins.
    since: Time,
    /// How many subjects or events are read at a time.
    chunk: usize,
    /// How many tests or tickets are read at a time.
    page: usize,
    /// The holds that suspend a listing until a person decides, by author and end. They remove
    /// nothing.
    suspensions: BTreeSet<(String, Time)>,
    is_stopped: &'a dyn Fn() -> bool,
}

impl Count<'_> {
    fn check_stopped(&self) -> Result<(), Failure> {
        match (self.is_stopped)() {
            true => Err(Failure::Stopped),
            false => Ok(()),
        }
    }

    fn is_suspension(&self, event: &Event) -> bool {
        match event.kind {
            EventKind::Held { until, .. } => {
                self.suspensions.contains(&(event.author.clone(), until))
            }
            _ => false,
        }
    }

    fn store_failure(&self, e: &StoreError) -> Failure {
        Failure::Unreadable(e.to_string())
    }

    fn relay_failure(&self, e: RelayError) -> Failure {
        Failure::Unreadable(match e {
            RelayError::Ledger(e) => e.text(&self.job.ledger.store.dictionary()),
            other => format!("{other:?}"),
        })
    }

    fn ticket_failure(&self, e: TicketError) -> Failure {
        Failure::Unreadable(match e {
            TicketError::Ledger(e) => e.text(&self.job.ledger.store.dictionary()),
            other => format!("{other:?}"),
        })
    }

    /// Counts the present listings with their proofs, in one pass over verdicts, feeds and events.
    fn listings(&mut self) -> Result<(), Failure> {
        let store = self.job.ledger.store.clone();
        let mut from = Vec::new();
        loop {
            self.check_stopped()?;
            let (mut left, mut next) = (self.chunk, Vec::new());
            let scanned = store.scan_with_events(
                &store.dictionary(),
                &from,
                &mut |subject, verdict, mut events| {
                    events.retain(|e| !self.is_suspension(e));
                    self.tally.add_subject(&subject, &verdict, &events);
                    left -= 1;
                    if left == 0 {
                        next = after(&subject.key());
                    }
                    Ok(left > 0)
                },
            );
            if scanned.map_err(|e| self.store_failure(&e))? {
                return Ok(());
            }
            from = next;
        }
    }

    /// Counts the decisions of the period that ended listings, in one pass over events.
    fn removals(&mut self) -> Result<(), Failure> {
        let store = self.job.ledger.store.clone();
        let (mut from, mut open) = (Vec::new(), None);
        loop {
            self.check_stopped()?;
            let (mut left, mut next, mut done) = (self.chunk, Vec::new(), Vec::new());
            let visited = store.visit_events_from(&from, &mut |key, subject, event| {
                left -= 1;
                if left == 0 {
                    next = after(key);
                }
                if event.at >= self.since
                    && !self.is_suspension(&event)
                    && let Some(pair) = removed(&event)
                {
                    done.extend(Removal::add(&mut open, key, subject, &event, pair));
                }
                left > 0
            });
            visited.map_err(|e| self.store_failure(&e))?;
            if left > 0 {
                done.extend(open.take());
            }
            for removal in &done {
                self.removal(removal)?;
            }
            if left > 0 {
                return Ok(());
            }
            from = next;
        }
    }

    fn removal(&mut self, removal: &Removal) -> Result<(), Failure> {
        let mut pairs = BTreeSet::new();
        for (reason, source) in &removal.pairs {
            match *source {
                SourceId::ALL => pairs.extend(self.listed_for(removal, reason.bit())?),
                source => drop(pairs.insert((*reason, source))),
            }
        }
        let pairs: Vec<ReasonAndSource> = pairs.into_iter().collect();
        let subject = &removal.subject;
        self.tally.add_removal(subject, &pairs, removal.is_in_error);
        Ok(())
    }

    /// The listings that a removal of all sources suppressed: those of the subject, or else those
    /// around it. The pair of the removal itself stays, so that it counts for the zones if the
    /// listings are forgotten.
    fn listed_for(&self, removal: &Removal, reason: Mask) -> Result<Vec<ReasonAndSource>, Failure> {
        let store = &self.job.ledger.store;
        let own = self.listed_at(&removal.subject, removal.at, reason)?;
        let mut out: Vec<_> = removal.pairs.iter().copied().collect();
        out.retain(|(r, source)| r.bit() == reason && *source == SourceId::ALL);
        let is_listed = !own.is_empty();
        out.extend(own);
        if is_listed {
            return Ok(out);
        }
        let dictionary = store.dictionary();
        for wider in removal.subject.wider() {
            let verdict = store.verdict_in(&dictionary, &wider);
            let verdict = verdict.map_err(|e| self.store_failure(&e))?;
            out.extend(entries_at(&verdict, removal.at, reason));
        }
        Ok(out)
    }

    /// The listings of a subject for some reasons at a time: by its history, and by the present
    /// entries, whose history may be forgotten.
    fn listed_at(
        &self,
        subject: &Subject,
        at: Time,
        reasons: Mask,
    ) -> Result<Vec<ReasonAndSource>, Failure> {
        let store = &self.job.ledger.store;
        let history = store.history(subject).map_err(|e| self.store_failure(&e))?;
        let present = store.verdict(subject).map_err(|e| self.store_failure(&e))?;
        Ok(listed_at(&history, &present, at, reasons))
    }

    /// Counts the claims that were decided in the period.
    fn claims(&mut self) -> Result<(), Failure> {
        let oldest = Time(self.now.0.saturating_sub(MAX_TEST_AGE.0));
        let (mut before, mut by_host) = (None, BTreeMap::<IpAddr, Vec<ClaimTest>>::new());
        loop {
            self.check_stopped()?;
            let page = self.job.relay.jobs(before, false, self.page);
            let page = page.map_err(|e| self.relay_failure(e))?;
            let is_last = page.len() < self.page || page.iter().any(|j| j.at < oldest);
            for job in &page {
                before = Some(job.id);
                if let Some(test) = ClaimTest::of(job).filter(|t| t.at >= oldest) {
                    by_host.entry(job.target).or_default().push(test);
                }
            }
            if is_last {
                break;
            }
        }
        for (host, tests) in by_host {
            self.check_stopped()?;
            self.claims_of(host, tests)?;
        }
        Ok(())
    }

    fn claims_of(&mut self, host: IpAddr, mut tests: Vec<ClaimTest>) -> Result<(), Failure> {
        tests.sort_by_key(|t| t.at);
        let subject = Subject::host(host);
        let store = &self.job.ledger.store;
        let dictionary = store.dictionary();
        // A claim is about the host as an input.
        let reasons = mask_of(&dictionary, REASONS[..3].iter().copied());
        let history = store
            .history(&subject)
            .map_err(|e| self.store_failure(&e))?;
        let present = store
            .verdict(&subject)
            .map_err(|e| self.store_failure(&e))?;
        let releases: Vec<Time> = history
            .iter()
            .filter(|e| is_release(e, reasons))
            .map(|e| e.at)
            .collect();
        for claim in decided_claims(&tests, &releases) {
            if claim.decided >= self.since {
                let listed = listed_at(&history, &present, claim.made, reasons);
                self.tally.add_claim(&subject, &listed, &claim);
            }
        }
        Ok(())
    }

    /// Counts the requests of the period, and how fast their removals reached all servers.
    fn tickets(&mut self) -> Result<(), Failure> {
        let oldest = Time(self.now.0.saturating_sub(MAX_TICKET_AGE.0));
        let mut before = None;
        loop {
            self.check_stopped()?;
            let tickets = &self.job.tickets;
            let page = tickets.list(&TicketFilter::default(), before, self.page);
            let page = page.map_err(|e| self.ticket_failure(e))?;
            for ticket in &page {
                before = Some(ticket.number);
                if ticket.opened < oldest {
                    return Ok(());
                }
                self.ticket(ticket);
            }
            if page.len() < self.page {
                return Ok(());
            }
        }
    }

    fn ticket(&mut self, ticket: &Ticket) {
        let suspensions = ticket.suspension_ends().map(|end| (ticket.author(), end));
        self.suspensions.extend(suspensions);
        let dictionary = self.job.ledger.store.dictionary();
        let reasons = mask_of(&dictionary, ticket.reasons.iter().map(String::as_str));
        let reasons = self.tally.counted(reasons);
        if reasons == 0 {
            return;
        }
        let request = request_times(ticket).filter(|r| r.asked >= self.since);
        if let Some(request) = request {
            let listed = (reasons, &ticket.sources[..]);
            self.tally.add_request(&ticket.subject, listed, &request);
        }
        let removal = ticket.removal.as_ref().filter(|r| r.at >= self.since);
        if let Some(removal) = removal {
            let servers = self.job.tickets.removal_servers(removal);
            let zones = removal.zones.iter().map(|z| {
                let took = spread_time(removal, &servers, &z.zone);
                (z.zone.as_str(), took)
            });
            self.tally.add_spread(&zones.collect(), &ticket.sources);
        }
    }
}

/// The first key after another one.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// Whether an event releases a host that a relay test has listed.
fn is_release(event: &Event, reasons: Mask) -> bool {
    matches!(
        event.kind,
        EventKind::Delisted { reason, source: SourceId::PROBER } if reasons & reason.bit() != 0
    )
}

/// A decision that ended listings of a subject: the events of one commit.
#[derive(Debug)]
struct Removal {
    /// The key of its events without the place in the commit.
    commit: Vec<u8>,
    subject: Subject,
    at: Time,
    pairs: BTreeSet<ReasonAndSource>,
    is_in_error: bool,
}

impl Removal {
    /// The bytes of the place in the commit, at the end of the key of an event.
    const PLACE_BYTES: usize = 4;

    /// Adds an event to the open removal. If the event belongs to another commit, the open removal
    /// is complete and is returned.
    fn add(
        open: &mut Option<Removal>,
        key: &[u8],
        subject: Subject,
        event: &Event,
        pair: ReasonAndSource,
    ) -> Option<Removal> {
        let commit = &key[..key.len().saturating_sub(Self::PLACE_BYTES)];
        if let Some(removal) = open.as_mut().filter(|r| r.commit == commit) {
            removal.pairs.insert(pair);
            removal.is_in_error |= is_in_error(event);
            return None;
        }
        open.replace(Removal {
            commit: commit.to_vec(),
            subject,
            at: event.at,
            pairs: [pair].into(),
            is_in_error: is_in_error(event),
        })
    }
}

/// The listings for some reasons at a time, by history and present verdict. What the events of that
/// second removed counts as listed.
fn listed_at(
    history: &[Event],
    present: &Verdict,
    at: Time,
    reasons: Mask,
) -> Vec<ReasonAndSource> {
    let mut then = Verdict::default();
    for event in history.iter().filter(|e| e.at <= at) {
        if event.at < at || removed(event).is_none() {
            then.fold(event.at, &event.kind);
        }
    }
    let mut out: BTreeSet<ReasonAndSource> = entries_at(&then, at, reasons).collect();
    out.extend(entries_at(present, at, reasons));
    out.into_iter().collect()
}

/// The listings of a verdict for some reasons that existed at a time, suppressed or not.
fn entries_at(verdict: &Verdict, at: Time, reasons: Mask) -> impl Iterator<Item = ReasonAndSource> {
    let entries = verdict.entries.iter();
    let listed = entries
        .filter(move |e| !e.exclusion && e.since <= at && reasons & e.reason.bit() != 0)
        .map(|e| (e.reason, e.source));
    listed.collect::<Vec<_>>().into_iter()
}
