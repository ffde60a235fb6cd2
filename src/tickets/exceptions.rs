//! Addresses with a name of their own in a dynamic or generic range: they are removed on request as
//! long as their reverse name is forward-confirmed and does not look generic.

use std::{collections::HashSet, net::IpAddr};

use super::{
    batch::TicketBatch,
    error::TicketError,
    removals::{FROM, reasons_of},
    service::TicketService,
    state::{RemovalPolicy, TicketState},
    tables::{EXCEPTIONS, OPEN},
    ticket::{NameException, Ticket, host_of},
};
use crate::{
    generic_names::is_generic_name,
    model::{Change, Evidence, Subject, Time, history::Command, time::Seconds},
    store::schema::AuditRecord,
};

/// How often the name of an open request is looked up.
const REQUEST_INTERVAL: Seconds = Seconds(3600);
/// How often the name of an exception is looked up.
const CHECK_INTERVAL: Seconds = Seconds(86_400);
/// How soon the name of an exception is looked up again if none was found.
const RETRY_INTERVAL: Seconds = Seconds(8 * 3600);
/// After how many look-ups without a name an exception ends, so that an outage ends none.
const MAX_MISSES: u32 = 3;
/// How long the hold of an exception lasts if its name does not change.
const EXCEPTION_HOLD: Seconds = Seconds(10 * 365 * 86_400);
/// The most addresses that are looked up at once.
const MAX_LOOKUPS: usize = 20;
/// The most exceptions and requests that one round reads.
const ROUND: usize = 1000;

/// Whether a reverse name shows that the address belongs to somebody who names it.
fn is_own_name(name: Option<&str>, addr: IpAddr) -> bool {
    name.is_some_and(|name| !is_generic_name(name, addr))
}

/// Whether the name of the subject can lead to a removal.
fn wants_name(ticket: &Ticket, now: Time) -> bool {
    ticket.policy == RemovalPolicy::OwnerOfRange
        && ticket.state == TicketState::NeedsProof
        && ticket.host().is_some()
        && ticket
            .name_checked
            .is_none_or(|at| at.plus(REQUEST_INTERVAL) <= now)
}

impl TicketService {
    /// Returns the addresses whose reverse names have to be looked up now, those of requests
    /// before those of exceptions. [`TicketService::name_found`] has to be called for each.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn names_due(&self, now: Time) -> Result<Vec<IpAddr>, TicketError> {
        let batch = self.batch(now);
        let mut out: Vec<IpAddr> = Vec::new();
        for number in self.name_rounds.next(&batch, &OPEN.all(), ROUND)? {
            let ticket = batch.ticket(number)?;
            out.extend(ticket.host().filter(|_| wants_name(&ticket, now)));
        }
        for subject in self.name_rounds.next(&batch, &EXCEPTIONS.all(), ROUND)? {
            let row = batch.get(EXCEPTIONS, &subject)?;
            let is_due = row.is_some_and(|e| e.next <= now);
            out.extend(host_of(&subject).filter(|_| is_due));
        }
        let mut looking = self.looked_up.lock();
        let mut seen = HashSet::new();
        out.retain(|a| seen.insert(*a) && !looking.contains(a));
        out.truncate(MAX_LOOKUPS.saturating_sub(looking.len()));
        looking.extend(out.iter().copied());
        Ok(out)
    }

    /// Takes the forward-confirmed reverse name of an address, or that it has none: grants the
    /// requests that wait for it, and ends an exception whose name has changed.
    ///
    /// # Errors
    ///
    /// The ledger refuses the change.
    pub fn name_found(
        &self,
        addr: IpAddr,
        name: Option<&str>,
        now: Time,
    ) -> Result<(), TicketError> {
        let subject = Subject::host(addr);
        let done = self
            .check_exception(&subject, addr, name, now)
            .and_then(|()| {
                for ticket in self.open_of(&subject)? {
                    if wants_name(&ticket, now) {
                        self.decide_by_name(ticket.number, addr, name, now)?;
                    }
                }
                Ok(())
            });
        self.looked_up.lock().remove(&addr);
        done
    }

    /// Grants a request if the name of its address is its own.
    fn decide_by_name(
        &self,
        number: u64,
        addr: IpAddr,
        name: Option<&str>,
        now: Time,
    ) -> Result<(), TicketError> {
        let (_, receipt) = self.decide(now, |batch| {
            let mut ticket = batch.ticket(number)?;
            if !wants_name(&ticket, now) {
                return Ok(());
            }
            ticket.name_checked = Some(now);
            let listings = self.listings(&ticket.subject)?;
            let mine = ticket.own_listings(&listings);
            if let Some(name) = name.filter(|n| is_own_name(Some(n), addr) && !mine.is_empty()) {
                let until = Some(now.plus(EXCEPTION_HOLD));
                for reason in reasons_of(&mine) {
                    let command = Command::Hold { reason, until };
                    batch.changes.push(self.change(&ticket, command));
                }
                let exception = NameException {
                    name: name.to_ascii_lowercase(),
                    reasons: ticket.reasons.clone(),
                    ticket: ticket.number,
                    until,
                    next: now.plus(CHECK_INTERVAL),
                    misses: 0,
                };
                batch.put(EXCEPTIONS, &ticket.subject, &exception);
                self.record_granted(&mut ticket, now)?;
                batch.audit(&ticket.author(), FROM, "ticket-name", &ticket);
            }
            batch.save(&ticket);
            Ok(())
        })?;
        self.finish(number, receipt.as_ref(), now).map(drop)
    }

    /// Checks the name of an exception. If it has changed, the listings are published again.
    fn check_exception(
        &self,
        subject: &Subject,
        addr: IpAddr,
        name: Option<&str>,
        now: Time,
    ) -> Result<(), TicketError> {
        if self.batch(now).get(EXCEPTIONS, subject)?.is_none() {
            return Ok(());
        }
        self.decide(now, |batch| {
            let Some(mut exception) = batch.get(EXCEPTIONS, subject)? else {
                return Ok(());
            };
            let is_same = name.is_some_and(|n| n.eq_ignore_ascii_case(&exception.name));
            exception.misses = match name {
                Some(_) => 0,
                None => exception.misses + 1,
            };
            let is_changed = name.is_some() && !(is_same && is_own_name(name, addr));
            if is_changed || exception.misses >= MAX_MISSES {
                return self.end_exception(batch, subject, &exception);
            }
            exception.next = now.plus(match exception.misses {
                0 => CHECK_INTERVAL,
                _ => RETRY_INTERVAL,
            });
            batch.put(EXCEPTIONS, subject, &exception);
            Ok(())
        })?;
        Ok(())
    }

    fn end_exception(
        &self,
        batch: &mut TicketBatch<'_>,
        subject: &Subject,
        exception: &NameException,
    ) -> Result<(), TicketError> {
        batch.delete(EXCEPTIONS, subject);
        let author = format!("ticket {}", exception.ticket);
        for command in self.holds_until(subject, &exception.reasons, exception.until)? {
            let mut change = Change::new(subject.clone(), author.clone(), command);
            let why = format!("the exception of {author} ends: the reverse name has changed");
            change.evidence = Some(Evidence::statement(why));
            change.preconditions.from = FROM.into();
            batch.changes.push(change);
        }
        batch.audit = Some(AuditRecord {
            at: batch.now,
            author: author.clone(),
            from: FROM.into(),
            action: "exception-end".into(),
            target: author,
            detail: "the reverse name has changed".into(),
            ..AuditRecord::default()
        });
        Ok(())
    }
}
