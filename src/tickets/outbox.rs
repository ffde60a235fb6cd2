//! The queue of mail about tickets, which lies in the tickets family: a mail is queued in the commit
//! that causes it, and is sent with retries.
//!
//! A queued mail holds no code. The code of a mail is made when the mail is sent, so that the store
//! never has one that is valid.

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};

use super::{
    batch::TicketBatch,
    codes::{self, CodePurpose},
    error::TicketError,
    limits::limit_error,
    mail_rows::{MAX_QUEUED, NOTIFIED, Notified, OUTBOX, QueuedMail, SENT},
    mail_text::{MailKind, write_mail},
    service::TicketService,
    tables::TICKETS,
    ticket::Ticket,
};
use crate::{
    mail::{AutomaticMail, MailError},
    model::{Time, time::Seconds},
};

/// The most mails that are sent in a round.
const MAILS_PER_ROUND: usize = 20;
/// The most contacts that are read in a round.
const CONTACTS_PER_ROUND: usize = 1000;
/// The pause between two rounds.
const ROUND_INTERVAL: Duration = Duration::from_secs(2);
/// How long a mail waits after each failed attempt; after the last one it is dropped.
const RETRY_DELAYS: [Seconds; 6] = [
    Seconds(60),
    Seconds(300),
    Seconds(1800),
    Seconds(2 * 3600),
    Seconds(6 * 3600),
    Seconds(12 * 3600),
];
/// The period of daily limits.
pub const DAY: Seconds = Seconds(86_400);

/// Sends a mail.
pub type MailSender = Arc<
    dyn Fn(AutomaticMail) -> Pin<Box<dyn Future<Output = Result<(), MailError>> + Send>>
        + Send
        + Sync,
>;

/// Counts a mail or a test against a daily limit.
///
/// # Errors
///
/// The limit is reached; the error says when to come again.
pub fn count_daily(
    batch: &mut TicketBatch<'_>,
    key: [u8; 32],
    most: usize,
    why: &str,
) -> Result<(), TicketError> {
    let mut sent = check_daily(batch, key, most, why)?;
    sent.push(batch.now);
    batch.put(SENT, &key, &sent);
    Ok(())
}

/// Checks a daily limit, and returns when something was counted in the last day.
///
/// # Errors
///
/// The limit is reached; the error says when to come again.
pub fn check_daily(
    batch: &TicketBatch<'_>,
    key: [u8; 32],
    most: usize,
    why: &str,
) -> Result<Vec<Time>, TicketError> {
    let now = batch.now;
    let mut sent = batch.get(SENT, &key)?.unwrap_or_default();
    sent.retain(|at| at.plus(DAY) > now);
    if let Some(first) = sent.first().filter(|_| sent.len() >= most) {
        let wait = first.plus(DAY).0.saturating_sub(now.0);
        return Err(limit_error(why, Duration::from_secs(wait), now));
    }
    Ok(sent)
}

impl TicketService {
    /// Queues a mail about a ticket in a batch.
    ///
    /// # Errors
    ///
    /// The queue is full, or the store cannot be read.
    pub fn queue_mail(
        &self,
        batch: &mut TicketBatch<'_>,
        mail: &QueuedMail,
    ) -> Result<(), TicketError> {
        if batch.keys(OUTBOX, None, MAX_QUEUED)?.len() >= MAX_QUEUED {
            return Err(TicketError::LimitReached(
                "too much mail is waiting to be sent; try again in an hour".into(),
                Seconds(3600),
            ));
        }
        let id = u64::from_be_bytes(self.random.bytes()?);
        batch.put(OUTBOX, &id, mail);
        Ok(())
    }

    /// Queues the mail that contacts of tickets have to get, and removes what belongs to erased
    /// tickets.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the ledger refuses the commit.
    pub fn queue_notifications(&self, now: Time) -> Result<(), TicketError> {
        let batch = self.batch(now);
        for number in self
            .rounds
            .next(&batch, &NOTIFIED.all(), CONTACTS_PER_ROUND)?
        {
            let ticket = batch.get(TICKETS, &number)?;
            let known = batch.get(NOTIFIED, &number)?.unwrap_or_default();
            let is_current = ticket
                .as_ref()
                .is_some_and(|t| Notified::of(t) == known && t.contact.is_some());
            if !is_current {
                self.decide(now, |batch| self.notify(batch, number))?;
            }
        }
        Ok(())
    }

    /// Queues what the contact of a ticket does not know yet.
    fn notify(&self, batch: &mut TicketBatch<'_>, number: u64) -> Result<(), TicketError> {
        let ticket = batch.get(TICKETS, &number)?;
        let contact = ticket.as_ref().and_then(|t| t.contact.as_ref());
        let (Some(ticket), Some(contact)) = (&ticket, contact) else {
            batch.delete(NOTIFIED, &number);
            return Ok(());
        };
        let known = batch.get(NOTIFIED, &number)?.unwrap_or_default();
        if contact.confirmed.is_some() {
            for kind in known.news(ticket) {
                let mail = QueuedMail {
                    ticket: number,
                    kind,
                    to: contact.address.clone(),
                    answers: None,
                    tries: 0,
                    next_at: batch.now,
                    queued_at: batch.now,
                };
                self.queue_mail(batch, &mail)?;
            }
        }
        batch.put(NOTIFIED, &number, &Notified::of(ticket));
        Ok(())
    }

    /// Takes a mail that is due: counts the attempt, and writes the mail with a new code if it needs
    /// one. `None` if the mail is not to be sent any more.
    fn take_mail(&self, id: u64, now: Time) -> Result<Option<(u64, AutomaticMail)>, TicketError> {
        let taken = self.decide(now, |batch| {
            let Some(mut mail) = batch.get(OUTBOX, &id)? else {
                return Ok(None);
            };
            let ticket = batch.get(TICKETS, &mail.ticket)?;
            let Some(mut ticket) = ticket.filter(|t| is_wanted(&mail, t)) else {
                batch.delete(OUTBOX, &id);
                return Ok(None);
            };
            let Some(delay) = RETRY_DELAYS.get(mail.tries) else {
                tracing::warn!(
                    ticket = mail.ticket,
                    "mail about a ticket dropped after its last attempt"
                );
                batch.delete(OUTBOX, &id);
                return Ok(None);
            };
            mail.tries += 1;
            mail.next_at = now.plus(*delay);
            batch.put(OUTBOX, &id, &mail);
            let purpose = match mail.kind {
                MailKind::RoleCode => Some(CodePurpose::RoleMail),
                MailKind::Confirmation => Some(CodePurpose::Contact),
                _ => None,
            };
            let mut code = None;
            if let Some(purpose) = purpose {
                let new = codes::random_code(ticket.number, &self.random)?;
                codes::issue(&mut ticket.codes, purpose, &new, now);
                batch.save(&ticket);
                code = Some(new);
            }
            let site = self.settings().control.base_url.clone();
            let answers = mail.answers.as_deref();
            let text = write_mail(
                mail.kind,
                &ticket,
                &mail.to,
                &site,
                code.as_deref(),
                answers,
            );
            Ok(Some((mail.ticket, text)))
        })?;
        Ok(taken.0)
    }

    /// Returns the numbers of the queued mails that are due.
    fn due_mails(&self, now: Time) -> Result<Vec<u64>, TicketError> {
        let batch = self.batch(now);
        let mut out = Vec::new();
        for id in batch.keys(OUTBOX, None, MAX_QUEUED)? {
            let mail = batch.get(OUTBOX, &id)?;
            if mail.is_some_and(|m| m.next_at <= now) {
                out.push(id);
            }
        }
        out.truncate(MAILS_PER_ROUND);
        Ok(out)
    }
}

/// Whether a queued mail is still to be sent: a notification ends with its contact, and a code with
/// its use.
fn is_wanted(mail: &QueuedMail, ticket: &Ticket) -> bool {
    let contact = ticket.contact.as_ref().filter(|c| c.address == mail.to);
    match mail.kind {
        MailKind::Confirmation => contact.is_some_and(|c| c.confirmed.is_none()),
        kind if kind.is_notification() => contact.is_some_and(|c| c.confirmed.is_some()),
        MailKind::RoleCode => ticket.state.is_open(),
        _ => true,
    }
}

/// Sends the queued mail until `stop` is true. Without a sender, mail that is due is dropped.
pub async fn run(
    service: TicketService,
    sender: Option<MailSender>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        if let Err(e) = round(&service, sender.as_ref()).await {
            tracing::error!(error = ?e, "mail about tickets could not be queued or sent");
        }
        tokio::select! {
            () = sleep(ROUND_INTERVAL) => {}
            _ = stop.wait_for(|s| *s) => return,
        }
    }
}

/// Calls the service on a thread that may block.
async fn blocking<T: Send + 'static>(
    service: &TicketService,
    call: impl FnOnce(&TicketService) -> Result<T, TicketError> + Send + 'static,
) -> Result<T, TicketError> {
    let service = service.clone();
    let called = tokio::task::spawn_blocking(move || call(&service)).await;
    called.unwrap_or_else(|e| Err(TicketError::Refused(e.to_string())))
}

/// Queues what is due, and sends the queued mail that is due.
///
/// # Errors
///
/// The store cannot be read, or the ledger refuses the commit.
pub(super) async fn round(
    service: &TicketService,
    sender: Option<&MailSender>,
) -> Result<(), TicketError> {
    let now = service.now();
    blocking(service, move |s| s.queue_notifications(now)).await?;
    for id in blocking(service, move |s| s.due_mails(now)).await? {
        let remove = move |s: &TicketService| {
            s.decide(now, |batch| {
                batch.delete(OUTBOX, &id);
                Ok(())
            })
        };
        let Some(sender) = sender else {
            blocking(service, remove).await?;
            continue;
        };
        let Some((ticket, mail)) = blocking(service, move |s| s.take_mail(id, now)).await? else {
            continue;
        };
        match sender(mail).await {
            Ok(()) => drop(blocking(service, remove).await?),
            // The text of a smart host can quote the recipient, which no log may name.
            Err(MailError::Permanent(_)) => {
                tracing::warn!(
                    ticket,
                    "mail about a ticket dropped, because the smart host refuses it for good"
                );
                blocking(service, remove).await?;
            }
            // The rest waits for the next round, because the smart host may be down.
            Err(MailError::Temporary(_)) => {
                tracing::warn!(
                    ticket,
                    "mail about a ticket was not accepted; it is tried again"
                );
                break;
            }
        }
    }
    Ok(())
}
