//! The rows and changes of one decision about tickets: what they have beyond those of other
//! features.

use super::{
    error::TicketError,
    mail_rows::{MAX_QUEUED, NOTIFIED, OUTBOX},
    notice::TicketNotice,
    tables::{
        CLOSED, OPEN, RELEASES, REMOVED, SECRETS, SPREADING, SUBJECTS, TICKETS, Tickets, WAITING,
    },
    ticket::Ticket,
};
use crate::{
    ledger::FeatureBatch,
    model::Subject,
    store::{StoreError, schema::AuditRecord},
};

/// The rows and changes of one decision about tickets. Its audit record must not hold a text of a
/// ticket or a mail address.
pub type TicketBatch<'a> = FeatureBatch<'a, Tickets>;

impl TicketBatch<'_> {
    /// Returns the numbers of the stored tickets of a subject, at most `most`.
    pub fn of_subject(&self, subject: &Subject, most: usize) -> Result<Vec<u64>, StoreError> {
        let range = SUBJECTS.of(subject);
        let mut out = Vec::new();
        self.visit_keys(&range, &range.prefix, &mut |_, (found, number)| {
            // The key of another subject can begin with the same bytes.
            if found == *subject {
                out.push(number);
            }
            out.len() < most
        })?;
        Ok(out)
    }

    /// Returns a ticket.
    ///
    /// # Errors
    ///
    /// There is no such ticket, or the store cannot be read.
    pub fn ticket(&self, number: u64) -> Result<Ticket, TicketError> {
        let found = self.get(TICKETS, &number)?;
        found.ok_or_else(|| TicketError::NotFound(format!("there is no ticket {number}")))
    }

    /// Writes a ticket with its rows in other tables.
    pub fn save(&mut self, ticket: &Ticket) {
        // A row that cannot be read is reported where it is used.
        if let Ok(before) = self.get(TICKETS, &ticket.number) {
            self.note_state(before.as_ref(), ticket);
        }
        self.put(TICKETS, &ticket.number, ticket);
        self.put(SECRETS, &ticket.secret.key(), &ticket.number);
        self.put(SUBJECTS, &(ticket.subject.clone(), ticket.number), &());
        if let Some(removal) = &ticket.removal {
            self.put(RELEASES, &removal.released.key(), &ticket.number);
            self.put(REMOVED, &ticket.number, &());
        }
        if let Some(at) = ticket.closed {
            self.put(CLOSED, &(at, ticket.number), &());
        }
        match ticket.state.is_open() {
            true => self.put(OPEN, &ticket.number, &()),
            false => self.delete(OPEN, &ticket.number),
        }
        match ticket.state.waits_for_person() {
            true => self.put(WAITING, &ticket.number, &()),
            false => self.delete(WAITING, &ticket.number),
        }
    }

    /// Notes the event of a new ticket, or of one that is closed now, and that the servers of a new
    /// removal have to be followed.
    fn note_state(&mut self, before: Option<&Ticket>, ticket: &Ticket) {
        if before.is_none() {
            self.notices.push(TicketNotice::Opened(ticket.number));
        }
        let was_open = before.is_none_or(|t| t.state.is_open());
        if was_open && !ticket.state.is_open() {
            let closed = TicketNotice::Closed(ticket.number, ticket.state);
            self.notices.push(closed);
        }
        let had_removal = before.is_some_and(|t| t.removal.is_some());
        if !had_removal && ticket.removal.is_some() {
            self.put(SPREADING, &ticket.number, &());
        }
    }

    /// Removes a ticket with its rows in other tables.
    pub(super) fn erase(&mut self, ticket: &Ticket) -> Result<(), StoreError> {
        for id in self.keys(OUTBOX, None, MAX_QUEUED)? {
            let mail = self.get(OUTBOX, &id)?;
            if mail.is_some_and(|m| m.ticket == ticket.number) {
                self.delete(OUTBOX, &id);
            }
        }
        self.delete(NOTIFIED, &ticket.number);
        self.delete(TICKETS, &ticket.number);
        self.delete(SECRETS, &ticket.secret.key());
        self.delete(SUBJECTS, &(ticket.subject.clone(), ticket.number));
        self.delete(OPEN, &ticket.number);
        self.delete(WAITING, &ticket.number);
        if let Some(removal) = &ticket.removal {
            self.delete(RELEASES, &removal.released.key());
            self.delete(REMOVED, &ticket.number);
            self.delete(SPREADING, &ticket.number);
        }
        if let Some(at) = ticket.closed {
            self.delete(CLOSED, &(at, ticket.number));
        }
        Ok(())
    }

    /// Sets the audit record: who did what with which ticket.
    pub fn audit(&mut self, author: &str, from: &str, action: &str, ticket: &Ticket) {
        self.audit = Some(AuditRecord {
            at: self.now,
            author: author.into(),
            from: from.into(),
            action: action.into(),
            target: ticket.author(),
            detail: ticket.state.as_str().into(),
            ..AuditRecord::default()
        });
    }
}
