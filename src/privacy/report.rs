//! What is stored about a person, and its erasure.

use std::collections::BTreeMap;

use super::search::PersonalSubject;
use crate::{
    ledger::{AccountChange, Ledger, LedgerError, outbox::Message},
    model::{Event, Time},
    relay::{RelayError, RelayService},
    store::schema,
    tickets::{Ticket, TicketError, TicketFilter, TicketService},
};

/// The most findings of a report.
const MAX_FINDINGS: usize = 10_000;
/// The most tickets, tests and messages of a host that are read.
const MAX_ROWS: usize = 100_000;

/// Something that is stored about a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The kind of the data, as the data file names it.
    pub kind: &'static str,
    /// Where it is stored.
    pub place: String,
    /// What is stored.
    pub text: String,
    /// Whether an erasure erases it.
    pub erasable: bool,
}

/// Everything that is stored about a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonalReport {
    /// What was found.
    pub findings: Vec<Finding>,
    /// Whether more was found than a report contains.
    pub is_truncated: bool,
}

impl PersonalReport {
    fn add(&mut self, kind: &'static str, place: String, text: String, erasable: bool) {
        match self.findings.len() < MAX_FINDINGS {
            true => self.findings.push(Finding {
                kind,
                place,
                text,
                erasable,
            }),
            false => self.is_truncated = true,
        }
    }
}

/// Finds and erases personal data.
#[derive(Clone)]
pub struct PersonalData {
    /// The ledger.
    pub ledger: Ledger,
    /// Relay tests.
    pub relay: RelayService,
    /// Tickets.
    pub tickets: TicketService,
}

/// Why personal data cannot be read or erased; the text is for operators.
type Failure = LedgerError;

fn relay_failure(e: RelayError) -> Failure {
    match e {
        RelayError::Ledger(e) => e,
        RelayError::Invalid(why)
        | RelayError::LimitReached(why, _)
        | RelayError::Refused(why)
        | RelayError::NotFound(why) => LedgerError::Conflict(why),
    }
}

fn ticket_failure(e: TicketError) -> Failure {
    match e {
        TicketError::Ledger(e) => e,
        TicketError::Invalid(why)
        | TicketError::LimitReached(why, _)
        | TicketError::Refused(why)
        | TicketError::NotFound(why) => LedgerError::Conflict(why),
    }
}

impl PersonalData {
    /// Finds everything that is stored about a person. Reads the whole store; may block.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn find(&self, who: &PersonalSubject) -> Result<PersonalReport, Failure> {
        let mut out = PersonalReport::default();
        self.find_tickets(who, &mut out)?;
        self.find_listings(who, &mut out)?;
        self.find_relay_tests(who, &mut out)?;
        self.find_audit_records(who, &mut out)?;
        self.find_other(who, &mut out)?;
        Ok(out)
    }

    /// Erases what may be erased. Returns how much, by kind; a new report shows what stays. May
    /// block.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the ledger refuses a commit; the erasure can be repeated.
    pub fn erase(&self, who: &PersonalSubject) -> Result<BTreeMap<&'static str, u64>, Failure> {
        let mut erased = BTreeMap::new();
        let mut count = |kind, n: u64| {
            if n > 0 {
                *erased.entry(kind).or_default() += n;
            }
        };
        let now = self.ledger.now();
        for ticket in self.tickets_of(who)? {
            self.tickets
                .erase(ticket.number, now)
                .map_err(ticket_failure)?;
            count("tickets", 1);
        }
        let mut notes = Vec::new();
        self.ledger
            .store
            .visit_events(&mut |key, _, event: Event| {
                let note = event.evidence.as_ref().map(|e| e.text.as_str());
                if note.is_some_and(|note| who.is_named_by(note)) {
                    notes.push(key.to_vec());
                }
            })?;
        count("listings", self.ledger.erase_event_notes(notes)?);
        let texts = self.relay.erase_texts(&|text| who.is_named_by(text));
        count("relay-evidence", texts.map_err(relay_failure)?);
        let accounts = self.ledger.accounts();
        let imports = accounts.imports.iter();
        let named = imports.filter(|(_, (_, report))| who.is_named_by(report));
        for (id, _) in named {
            let change = AccountChange::DeleteImport(id.clone());
            self.ledger.change_accounts_blocking(change, None)?;
            count("import-reports", 1);
        }
        Ok(erased)
    }

    /// The tickets about the subject, and those with a text or a mail address that names it.
    fn tickets_of(&self, who: &PersonalSubject) -> Result<Vec<Ticket>, Failure> {
        let all = self.tickets.list(&TicketFilter::default(), None, MAX_ROWS);
        let mut all = all.map_err(ticket_failure)?;
        all.retain(|t| {
            let contact = t.contact.as_ref().map(|c| c.address.as_str());
            let mut texts = t.messages.iter().map(|m| m.text.as_str()).chain(contact);
            who.subject() == Some(&t.subject) || texts.any(|text| who.is_named_by(text))
        });
        Ok(all)
    }

    fn find_tickets(&self, who: &PersonalSubject, out: &mut PersonalReport) -> Result<(), Failure> {
        for t in self.tickets_of(who)? {
            let place = format!("ticket {}", t.number);
            let about = format!("{}, opened {}, {}", t.subject, t.opened, t.state.as_str());
            out.add("tickets", place.clone(), about, true);
            if let Some(contact) = &t.contact {
                let address = contact.address.clone();
                out.add("contact-addresses", place.clone(), address, true);
            }
            for m in &t.messages {
                let author = m.operator.as_deref().unwrap_or("requester");
                let text = format!("{} {author}: {}", m.at, m.text);
                out.add("tickets", place.clone(), text, true);
            }
        }
        Ok(())
    }

    /// The history of the subject, and notes of other subjects that name it.
    fn find_listings(
        &self,
        who: &PersonalSubject,
        out: &mut PersonalReport,
    ) -> Result<(), Failure> {
        let dictionary = self.ledger.store.dictionary();
        let line = |event: &Event| {
            let about = event.kind.about();
            let reason = about.map(|(reason, _)| dictionary.reasons.name(reason));
            let name = event.kind.name().as_str();
            format!(
                "{} {name} {} by {}",
                event.at,
                reason.unwrap_or(""),
                event.author
            )
        };
        if let Some(subject) = who.subject() {
            for event in self.ledger.store.history(subject)? {
                out.add("listings", subject.to_string(), line(&event), false);
            }
        }
        self.ledger.store.visit_events(&mut |_, subject, event| {
            if let Some(note) = &event.evidence
                && who.is_named_by(&note.text)
            {
                let place = format!("note of {subject} at {}", event.at);
                out.add("listings", place, note.text.clone(), true);
            }
        })?;
        Ok(())
    }

    fn find_relay_tests(
        &self,
        who: &PersonalSubject,
        out: &mut PersonalReport,
    ) -> Result<(), Failure> {
        if let Some(host) = who.host() {
            let jobs = self
                .relay
                .jobs(None, false, MAX_ROWS)
                .map_err(relay_failure)?;
            for job in jobs.into_iter().filter(|j| j.target == host) {
                let text = format!("tested for {}, {}", job.by, job.at);
                out.add("relay-tests", format!("job {}", job.id), text, false);
            }
            for is_input in [true, false] {
                let proofs = self.relay.proofs(host, is_input, MAX_ROWS);
                for p in proofs.map_err(relay_failure)? {
                    let text = format!("{} accepted, {} delivered, {}", p.input, p.output, p.at);
                    out.add("relay-evidence", format!("message {}", p.id), text, false);
                }
            }
        }
        let texts = self.relay.find_texts(&|text| who.is_named_by(text));
        for t in texts.map_err(relay_failure)? {
            out.add(t.kind, t.place, t.text, true);
        }
        let opt_outs = self.relay.opt_outs().map_err(relay_failure)?;
        for o in opt_outs.iter().filter(|o| o.subject == who.text()) {
            let text = format!("recorded by {} at {}", o.by, o.at);
            out.add("opt-outs", format!("opt-out of {}", o.subject), text, false);
        }
        Ok(())
    }

    fn find_audit_records(
        &self,
        who: &PersonalSubject,
        out: &mut PersonalReport,
    ) -> Result<(), Failure> {
        self.ledger.store.audit_from(0, &mut |number, record| {
            let place = format!("audit record {number}");
            if who.is_named_by(&record.from) {
                let text = format!("{} {} from {}", record.at, record.action, record.from);
                out.add("audit-addresses", place.clone(), text, false);
            }
            let note = record.note.unwrap_or_default();
            let texts = [&record.target, &record.detail, &note];
            if texts.into_iter().any(|text| who.is_named_by(text)) {
                let text = format!(
                    "{} {} {} {} {} {note}",
                    record.at, record.author, record.action, record.target, record.detail
                );
                out.add("audit-records", place, text.trim_end().into(), false);
            }
            true
        })?;
        Ok(())
    }

    /// Reports of imports, waiting messages, notices and webhooks.
    fn find_other(&self, who: &PersonalSubject, out: &mut PersonalReport) -> Result<(), Failure> {
        let accounts = self.ledger.accounts();
        for (id, (at, report)) in accounts.imports.iter() {
            if who.is_named_by(report) {
                let text = format!("the report of {at} quotes it");
                out.add("import-reports", format!("import {id}"), text, true);
            }
        }
        for n in accounts.notices.values() {
            if who.is_named_by(&n.text) || who.is_named_by(&n.title) {
                out.add(
                    "notices",
                    format!("notice {}", n.number),
                    n.title.clone(),
                    false,
                );
            }
        }
        for hook in accounts
            .webhooks
            .values()
            .filter(|h| who.is_named_by(&h.url))
        {
            out.add(
                "users",
                format!("webhook {}", hook.id),
                hook.url.clone(),
                false,
            );
        }
        self.ledger.store.outbox(&[], &mut |_, value| {
            if let Some(message) = schema::decode::<Message>(value)
                && who.is_named_by(&message.body)
            {
                let place = format!("message about commit {}", message.commit);
                let text = format!("queued at {}", message.since.max(Time(0)));
                out.add("webhook-messages", place, text, false);
            }
            Ok(true)
        })?;
        Ok(())
    }
}
