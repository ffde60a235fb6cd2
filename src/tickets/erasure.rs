//! Erasure of tickets and of what belongs to them: some time after they have closed, and on
//! request.

use super::{
    error::TicketError,
    mail_rows::{LIMIT_KINDS, MAX_QUEUED, OUTBOX, QueuedMail, SENT, limit_key},
    service::TicketService,
    tables::{CLOSED, EXCEPTIONS, LAST_ERASURE, TICKETS},
    ticket::Ticket,
};
use crate::model::{Subject, Time, text::counted};

/// The most tickets that one commit erases, and the most rows that one commit reads.
const BATCH: usize = 200;

/// A stored row that names a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketRow {
    /// The kind of the data, as the data file of privacy names it.
    pub kind: &'static str,
    /// Where it is stored.
    pub place: String,
    /// What is stored.
    pub text: String,
    /// Whether an erasure erases it.
    pub erasable: bool,
}

/// Whether a text names the person.
type Mentions<'a> = &'a dyn Fn(&str) -> bool;

impl TicketService {
    /// Returns the queued mail, the counts of mail, and the exceptions of a person; `name` is the
    /// text of the subject or mail address.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn find_rows(
        &self,
        subject: Option<&Subject>,
        mentions: Mentions<'_>,
        name: &str,
    ) -> Result<Vec<TicketRow>, TicketError> {
        let batch = self.batch(self.now());
        let mut out = Vec::new();
        let mut add = |kind, place: String, text: String, erasable| {
            out.push(TicketRow {
                kind,
                place,
                text,
                erasable,
            });
        };
        for id in batch.keys(OUTBOX, None, MAX_QUEUED)? {
            let mail = batch.get(OUTBOX, &id)?;
            if let Some(mail) = mail.filter(|m| mentions(&m.to)) {
                let place = format!("queued mail about ticket {}", mail.ticket);
                add("ticket-mail", place, format!("to {}", mail.to), true);
            }
        }
        for kind in LIMIT_KINDS {
            if let Some(sent) = batch.get(SENT, &limit_key(kind, name))? {
                let text = format!("{}, under a hash", counted(sent.len(), "mail"));
                add("mail-counts", format!("limit `{kind}`"), text, false);
            }
        }
        let mut after = None;
        loop {
            let keys = batch.keys(EXCEPTIONS, after.as_ref(), BATCH)?;
            for key in &keys {
                let exception = batch.get(EXCEPTIONS, key)?;
                let is_theirs = |name: &str| subject == Some(key) || mentions(name);
                if let Some(found) = exception.filter(|e| is_theirs(&e.name)) {
                    let text = format!("{} since ticket {}", found.name, found.ticket);
                    add(
                        "name-exceptions",
                        format!("exception of {key}"),
                        text,
                        false,
                    );
                }
            }
            after = keys.last().cloned();
            if keys.len() < BATCH {
                break;
            }
        }
        Ok(out)
    }

    /// Erases queued mail to a person. Returns its number.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the ledger refuses the commit.
    pub fn erase_mail(&self, mentions: Mentions<'_>) -> Result<u64, TicketError> {
        self.remove_mail(self.now(), |mail| mentions(&mail.to))
    }

    /// Removes queued mail. Returns its number.
    fn remove_mail(
        &self,
        now: Time,
        is_removed: impl Fn(&QueuedMail) -> bool,
    ) -> Result<u64, TicketError> {
        let (removed, _) = self.decide(now, |batch| {
            let mut removed = 0;
            for id in batch.keys(OUTBOX, None, MAX_QUEUED)? {
                if batch.get(OUTBOX, &id)?.is_some_and(|m| is_removed(&m)) {
                    batch.delete(OUTBOX, &id);
                    removed += 1;
                }
            }
            Ok(removed)
        })?;
        Ok(removed)
    }

    /// Removes mail that was queued too long ago. Returns its number.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the ledger refuses the commit.
    pub fn forget_mail(&self, now: Time) -> Result<u64, TicketError> {
        let period = self.ledger.settings().retention.ticket_mail;
        self.remove_mail(now, |mail| mail.queued_at.plus(period) <= now)
    }

    /// Removes counts of mail whose last mail was sent too long ago. Returns their number.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the ledger refuses the commit.
    pub fn forget_mail_counts(&self, now: Time) -> Result<u64, TicketError> {
        let period = self.ledger.settings().retention.mail_counts;
        self.in_batches(now, |batch, after| {
            let keys = batch.keys(SENT, after.as_ref(), BATCH)?;
            let mut removed = 0;
            for key in &keys {
                let sent = batch.get(SENT, key)?.unwrap_or_default();
                if sent.iter().all(|at| at.plus(period) <= now) {
                    batch.delete(SENT, key);
                    removed += 1;
                }
            }
            Ok((
                removed,
                keys.last().copied().filter(|_| keys.len() == BATCH),
            ))
        })
    }

    /// Removes the hashes of codes that expired too long ago. Returns their number.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the ledger refuses the commit.
    pub fn forget_codes(&self, now: Time) -> Result<u64, TicketError> {
        let period = self.ledger.settings().retention.ticket_codes;
        self.in_batches(now, |batch, after| {
            let keys = batch.keys(TICKETS, after.as_ref(), BATCH)?;
            let mut removed = 0;
            for key in &keys {
                let Some(mut ticket): Option<Ticket> = batch.get(TICKETS, key)? else {
                    continue;
                };
                let before = ticket.codes.len();
                ticket.codes.retain(|c| c.expires.plus(period) > now);
                if ticket.codes.len() < before {
                    removed += (before - ticket.codes.len()) as u64;
                    batch.put(TICKETS, key, &ticket);
                }
            }
            Ok((
                removed,
                keys.last().copied().filter(|_| keys.len() == BATCH),
            ))
        })
    }

    /// Decides in rounds, each of which continues after the last key of the one before. Returns
    /// the sum of what they return.
    fn in_batches<K>(
        &self,
        now: Time,
        round: impl Fn(&mut super::batch::TicketBatch<'_>, Option<K>) -> RoundResult<K>,
    ) -> Result<u64, TicketError> {
        let (mut all, mut after) = (0, None);
        loop {
            let last = after.take();
            let ((n, next), _) = self.decide(now, |batch| round(batch, last))?;
            all += n;
            match next {
                Some(key) => after = Some(key),
                None => return Ok(all),
            }
        }
    }

    /// The number of the last erasure on request that was carried out here; 0 if there is none.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn last_erasure(&self) -> Result<u64, TicketError> {
        let number = self.batch(self.now()).get(LAST_ERASURE, &())?;
        Ok(number.unwrap_or_default())
    }

    /// Records an erasure on request as carried out.
    ///
    /// # Errors
    ///
    /// The ledger refuses the commit.
    pub fn set_last_erasure(&self, number: u64) -> Result<(), TicketError> {
        let recorded = self.decide(self.now(), |batch| {
            let known = batch.get(LAST_ERASURE, &())?.unwrap_or_default();
            batch.put(LAST_ERASURE, &(), &number.max(known));
            Ok(())
        });
        recorded.map(drop)
    }

    /// Erases the tickets whose retention period is over, with everything that is personal in
    /// them, and removes them from the files of the store. Returns how many were erased.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the ledger refuses the commit.
    pub fn erase_due(&self, now: Time) -> Result<usize, TicketError> {
        let period = self.ledger.settings().retention.tickets;
        let mut erased = 0;
        loop {
            let (numbers, _) = self.decide(now, |batch| {
                let oldest = batch.keys(CLOSED, None, BATCH)?;
                let due = oldest.into_iter().filter(|(at, _)| at.plus(period) <= now);
                let mut numbers = 0;
                for (at, number) in due {
                    if let Some(ticket) = batch.get(TICKETS, &number)? {
                        batch.erase(&ticket)?;
                    }
                    batch.delete(CLOSED, &(at, number));
                    numbers += 1;
                }
                Ok(numbers)
            })?;
            erased += numbers;
            if numbers < BATCH {
                break;
            }
        }
        if erased > 0 {
            self.ledger.store.compact_tickets()?;
            tracing::info!(erased, "tickets erased after their retention period");
        }
        Ok(erased)
    }

    /// Erases one ticket, whatever its state. A suspended listing is published again.
    ///
    /// # Errors
    ///
    /// There is no such ticket, or the ledger refuses the commit.
    pub fn erase(&self, number: u64, now: Time) -> Result<(), TicketError> {
        self.decide(now, |batch| {
            let ticket = batch.ticket(number)?;
            self.end_suspension(batch, &ticket)?;
            batch.erase(&ticket)?;
            Ok(())
        })?;
        Ok(self.ledger.store.compact_tickets()?)
    }
}

/// What a round returns: how much it removed, and the key after which the next one continues.
type RoundResult<K> = Result<(u64, Option<K>), TicketError>;
