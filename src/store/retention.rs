//! How far the audit log was read for what has to be erased from it.

use super::{
    handle::{Batch, Result, Store},
    schema::{self, AuditRecord},
};
use crate::model::{Event, Subject, Time, time::Seconds};

/// The bytes of a number and a place at the end of the key of an event.
const EVENT_NUMBER_BYTES: usize = 12;

/// What is erased from old audit records. The records themselves are never deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditErasure {
    /// The network address that the request came from.
    Addresses,
    /// What a reporter wrote about a nominated host.
    ReporterTexts,
}

impl AuditErasure {
    /// The key, in the family `meta`, of the number of the last record that was read.
    fn key(self) -> &'static [u8] {
        match self {
            AuditErasure::Addresses => b"erased/addresses",
            AuditErasure::ReporterTexts => b"erased/reporter-texts",
        }
    }
}

impl Store {
    /// The number of the last audit record that was read for an erasure; 0 if there is none.
    pub fn last_erased(&self, erasure: AuditErasure) -> Result<u64> {
        let read = self.read_number(erasure.key(), "the end of the erased audit records")?;
        Ok(read.map_or(0, u64::from_be_bytes))
    }

    /// Adds the number of the last record that was read for an erasure to a batch.
    pub fn set_last_erased(erasure: AuditErasure, number: u64, batch: &mut Batch) {
        let number = number.to_be_bytes().to_vec();
        batch.put(schema::META, erasure.key().to_vec(), number);
    }

    /// How long the history of feeds is kept, and how long commits stay in the journal.
    pub fn periods(&self) -> [Seconds; 2] {
        [self.settings.feed_event_age, self.settings.journal_age]
    }

    /// Visits the events of all subjects, without those of feeds: each with its key.
    pub fn visit_events(&self, f: &mut dyn FnMut(&[u8], Subject, Event)) -> Result<()> {
        self.visit_events_from(&[], &mut |key, subject, event| {
            f(key, subject, event);
            true
        })
    }

    /// Visits the events as [`Store::visit_events`] does, from a key on, until `f` returns false.
    pub fn visit_events_from(
        &self,
        from: &[u8],
        f: &mut dyn FnMut(&[u8], Subject, Event) -> bool,
    ) -> Result<()> {
        self.rows(schema::EVENTS, from, &mut |key, value| {
            // The number of the commit and the place in it follow the subject.
            let end = key.len().saturating_sub(EVENT_NUMBER_BYTES);
            let subject = self.subject(&key[..end], "the subject of an event")?;
            let event = self.decode(value, format_args!("an event of {subject}"))?;
            Ok(f(key, subject, event))
        })
    }

    /// Visits the stored answers to requests that may be repeated: the day, and the body.
    pub fn visit_answers(&self, f: &mut dyn FnMut(Time, &str)) -> Result<()> {
        self.rows(schema::IDEMPOTENCY, &[], &mut |key, value| {
            // A receipt has the same key without the last byte.
            if key.len() == schema::answer_key(Time(0), &[0; 16]).len() {
                let day = key.first_chunk::<4>().map_or(0, |d| u32::from_be_bytes(*d));
                let answer: (u64, u16, String) = self.decode(value, "the answer to a request")?;
                f(Time(u64::from(day) * schema::DAY), &answer.2);
            }
            Ok(true)
        })
    }

    /// The event with a key.
    pub fn event(&self, key: &[u8]) -> Result<Option<Event>> {
        self.read(schema::EVENTS, key, "an event")
    }

    /// The audit record with a number.
    pub fn audit_record(&self, number: u64) -> Result<Option<AuditRecord>> {
        self.read(schema::AUDIT, &number.to_be_bytes(), "an audit record")
    }

    /// Visits the audit records from a number on, in ascending order, until `f` returns false.
    pub fn audit_from(&self, from: u64, f: &mut dyn FnMut(u64, AuditRecord) -> bool) -> Result<()> {
        self.rows(schema::AUDIT, &from.to_be_bytes(), &mut |k, v| {
            let number = self.number(k, "an audit record")?;
            let record = self.decode(v, format_args!("audit record {number}"))?;
            Ok(f(number, record))
        })
    }
}
