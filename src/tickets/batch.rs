//! A batch: the rows and changes of one decision about tickets. Reads see the earlier writes of the
//! batch.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    error::TicketError,
    mail_rows::{MAX_QUEUED, NOTIFIED, OUTBOX},
    notice::TicketNotice,
    state::TicketState,
    tables::{
        CLOSED, LAST_NUMBER, OPEN, RELEASES, REMOVED, SECRETS, SPREADING, SUBJECTS, TICKETS,
        TicketKey, TicketTable, WAITING,
    },
    ticket::Ticket,
};
use crate::{
    ledger::{FeatureRows, Ledger},
    model::{Change, Subject, Time},
    store::{
        Store, StoreError,
        schema::{AuditRecord, FeatureFamily},
    },
};

const FAMILY: FeatureFamily = FeatureFamily::Tickets;

/// The rows and changes of one decision, with its audit record. They are committed together.
pub struct TicketBatch<'a> {
    store: &'a Store,
    /// The time of the decision.
    pub now: Time,
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// The changes of listings.
    pub changes: Vec<Change>,
    /// The audit record. It must not hold a text of a ticket or a mail address.
    pub audit: Option<AuditRecord>,
    /// Events for webhooks.
    pub(super) notices: Vec<TicketNotice>,
    /// The error of the first value that could not be encoded. With it the whole batch fails.
    unencoded: Option<StoreError>,
}

impl<'a> TicketBatch<'a> {
    /// Creates an empty batch.
    pub(super) fn new(ledger: &'a Ledger, now: Time) -> TicketBatch<'a> {
        TicketBatch {
            store: &ledger.store,
            now,
            rows: BTreeMap::new(),
            changes: Vec::new(),
            audit: None,
            notices: Vec::new(),
            unencoded: None,
        }
    }

    /// Returns the value of a row, if it exists.
    pub fn get<K: TicketKey, V: DeserializeOwned>(
        &self,
        table: &TicketTable<K, V>,
        key: &K,
    ) -> Result<Option<V>, StoreError> {
        let bytes = table.encode(key);
        let row = match self.rows.get(&bytes) {
            Some(row) => row.clone(),
            None => self.store.feature_row(FAMILY, &bytes)?,
        };
        row.map(|row| decode_value(&bytes, &row)).transpose()
    }

    /// Writes a row. A value that cannot be encoded makes [`TicketBatch::into_rows`] fail.
    pub fn put<K: TicketKey, V: Serialize>(
        &mut self,
        table: &TicketTable<K, V>,
        key: &K,
        value: &V,
    ) {
        let bytes = table.encode(key);
        match serde_json::to_vec(value) {
            Ok(row) => drop(self.rows.insert(bytes, Some(row))),
            Err(e) => {
                let text = format!("{} cannot be encoded: {e}", row_name(&bytes));
                self.unencoded.get_or_insert(StoreError::Io(text));
            }
        }
    }

    /// Removes a row.
    pub fn delete<K: TicketKey, V>(&mut self, table: &TicketTable<K, V>, key: &K) {
        self.rows.insert(table.encode(key), None);
    }

    /// Returns the keys of the stored rows of a table that follow `after`, in order, at most
    /// `most`.
    pub fn keys<K: TicketKey, V>(
        &self,
        table: &TicketTable<K, V>,
        after: Option<&K>,
        most: usize,
    ) -> Result<Vec<K>, StoreError> {
        let prefix = &table.encode_prefix();
        let after = after.map_or(prefix.clone(), |k| table.encode(k));
        let mut out = Vec::new();
        self.store
            .feature_rows(FAMILY, prefix, &after, &mut |k, _| {
                if k > &after[..] {
                    out.extend(table.decode(k));
                }
                Ok(out.len() < most)
            })?;
        Ok(out)
    }

    /// Returns the numbers of the stored tickets below `before`, the highest first, at most `most`.
    pub fn numbers_desc(&self, before: u64, most: usize) -> Result<Vec<u64>, StoreError> {
        let mut out = Vec::new();
        let (prefix, before) = (TICKETS.encode_prefix(), TICKETS.encode(&before));
        self.store
            .feature_rows_desc(FAMILY, &prefix, &before, &mut |k, _| {
                if k < &before[..] {
                    out.extend(TICKETS.decode(k));
                }
                Ok(out.len() < most)
            })?;
        Ok(out)
    }

    /// Returns the numbers of the stored tickets of a subject, at most `most`.
    pub fn of_subject(&self, subject: &Subject, most: usize) -> Result<Vec<u64>, StoreError> {
        let prefix = [SUBJECTS.encode_prefix(), subject.key()].concat();
        let mut out = Vec::new();
        self.store
            .feature_rows(FAMILY, &prefix, &prefix, &mut |k, _| {
                // The key of another subject can begin with the same bytes.
                let found = SUBJECTS.decode(k).filter(|(s, _)| s == subject);
                out.extend(found.map(|(_, number)| number));
                Ok(out.len() < most)
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

    /// Takes the next number for a ticket.
    pub(super) fn next_number(&mut self) -> Result<u64, StoreError> {
        let number = self.get(LAST_NUMBER, &())?.unwrap_or_default() + 1;
        self.put(LAST_NUMBER, &(), &number);
        Ok(number)
    }

    /// Writes a ticket with its rows in other tables.
    pub fn save(&mut self, ticket: &Ticket) {
        self.note_state(ticket);
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

    /// Notes the event of a new ticket, or of one that is closed now.
    fn note_state(&mut self, ticket: &Ticket) {
        // A row that cannot be read is reported where it is used.
        let Ok(before) = self.get(TICKETS, &ticket.number) else {
            return;
        };
        let before = before.map(|t: Ticket| t.state);
        if before.is_none() {
            self.notices.push(TicketNotice::Opened(ticket.number));
        }
        if before.is_none_or(TicketState::is_open) && !ticket.state.is_open() {
            let closed = TicketNotice::Closed(ticket.number, ticket.state);
            self.notices.push(closed);
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

    /// Returns the batch as one commit.
    ///
    /// # Errors
    ///
    /// A value could not be encoded.
    pub(super) fn into_rows(self) -> Result<FeatureRows, StoreError> {
        match self.unencoded {
            Some(error) => Err(error),
            None => Ok(FeatureRows {
                family: FAMILY,
                rows: self.rows.into_iter().collect(),
                changes: self.changes,
                audit: self.audit,
                notices: self.notices.iter().map(TicketNotice::message).collect(),
            }),
        }
    }
}

fn row_name(key: &[u8]) -> String {
    format!("a row of tickets ({})", char::from(key[0]))
}

fn decode_value<T: DeserializeOwned>(key: &[u8], row: &[u8]) -> Result<T, StoreError> {
    // The error of the decoder can quote the row, which is personal.
    serde_json::from_slice(row)
        .map_err(|_| StoreError::Damaged(format!("{} cannot be read", row_name(key))))
}
