//! What is stored about a person.

use std::net::IpAddr;

use super::{
    erasures::Erasures,
    search::{Person, PersonalSubject},
};
use crate::{
    clock::uptime,
    ledger::{Ledger, LedgerError, outbox::Message, removals},
    model::{Event, Prefix4, Prefix6, Subject, Time, text::counted, time::Seconds},
    netblocks::{NetblockError, NetblockService},
    query_sample::{QueriedCount, QuerySample},
    relay::{RelayError, RelayService},
    reverse_names::ReverseNames,
    store::schema,
    tickets::{Ticket, TicketError, TicketFilter, TicketService},
};

/// The most findings of a report.
const MAX_FINDINGS: usize = 10_000;
/// The most tests and messages of a host that are read.
const MAX_ROWS: usize = 100_000;
/// How many tickets are read at once.
const TICKET_PAGE: usize = 100;

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
    /// Networks that two persons list.
    pub netblocks: NetblockService,
    /// The cache of reverse names.
    pub reverse_names: ReverseNames,
    /// The sample of queries.
    pub query_sample: QuerySample,
    /// The file of erasures on request.
    pub erasures: Erasures,
}

/// Why personal data cannot be read or erased; the text is for operators.
pub(super) type Failure = LedgerError;

pub(super) fn relay_failure(e: RelayError) -> Failure {
    match e {
        RelayError::Ledger(e) => e,
        RelayError::Invalid(why)
        | RelayError::LimitReached(why, _)
        | RelayError::Refused(why)
        | RelayError::NotFound(why) => LedgerError::Conflict(why),
    }
}

pub(super) fn ticket_failure(e: TicketError) -> Failure {
    match e {
        TicketError::Ledger(e) => e,
        TicketError::Invalid(why)
        | TicketError::LimitReached(why, _)
        | TicketError::Refused(why)
        | TicketError::NotFound(why) => LedgerError::Conflict(why),
    }
}

pub(super) fn netblock_failure(e: NetblockError) -> Failure {
    match e {
        NetblockError::Ledger(e) => e,
        NetblockError::Invalid(why)
        | NetblockError::Refused(why)
        | NetblockError::SamePerson(why)
        | NetblockError::NotFound(why) => LedgerError::Conflict(why),
    }
}

/// Whether a ticket is about the subject of a person, or has a text that names the person.
fn is_ticket_of(who: &dyn Person, ticket: &Ticket) -> bool {
    let contact = ticket.contact.as_ref().map(|c| c.address.as_str());
    let facts = ticket.control_facts.iter();
    let names = facts.flat_map(|facts| facts.host_name.iter().chain(&facts.zones));
    let messages = ticket.messages.iter().map(|m| m.text.as_str());
    let mut texts = messages.chain(contact).chain(names.map(String::as_str));
    who.is_subject(&ticket.subject) || texts.any(|text| who.is_named_by(text))
}

/// The network to which the sample of queries assigns an address.
fn sampled_network(addr: IpAddr) -> Subject {
    match addr {
        IpAddr::V4(a) => Subject::V4(Prefix4::new(a.into(), 24)),
        IpAddr::V6(a) => Subject::V6(Prefix6::new(a.into(), 56)),
    }
}

/// How many addresses of a prefix were asked about, in words. Of IPv6, the sample has the /64s.
fn queried(prefix: &Subject, count: u64) -> String {
    match prefix {
        Subject::V4(p) if p.is_host() => "asked about".into(),
        Subject::V6(p) if p.len() >= 64 => "asked about its /64".into(),
        Subject::V6(_) => format!("asked about {} of it", counted(count, "different /64")),
        _ => format!("asked about {} of it", counted(count, "different address")),
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
        self.find_removals(who, &mut out)?;
        self.find_accounts(who, &mut out)?;
        self.find_netblocks(who, &mut out)?;
        self.find_messages(who, &mut out)?;
        self.find_reverse_names(who, &mut out);
        self.find_queried_addresses(who, &mut out);
        self.find_logins(who, &mut out);
        Ok(out)
    }

    /// Visits the tickets about the subject, and those with a text, a mail address or a name in DNS
    /// that names it. `f` may erase the ticket.
    pub(super) fn visit_tickets(
        &self,
        who: &dyn Person,
        f: &mut dyn FnMut(Ticket) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut before = None;
        loop {
            let page = self
                .tickets
                .list(&TicketFilter::default(), before, TICKET_PAGE)
                .map_err(ticket_failure)?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            before = Some(last.number);
            for ticket in page.into_iter().filter(|t| is_ticket_of(who, t)) {
                f(ticket)?;
            }
        }
    }

    fn find_tickets(&self, who: &PersonalSubject, out: &mut PersonalReport) -> Result<(), Failure> {
        self.visit_tickets(who, &mut |t| {
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
            if let Some(facts) = &t.control_facts {
                let names = facts.host_name.iter().chain(&facts.zones);
                for name in names.filter(|name| who.is_named_by(name)) {
                    let text = format!("found in DNS at {}: {name}", facts.at);
                    out.add("tickets", place.clone(), text, true);
                }
            }
            if !t.codes.is_empty() {
                let text = format!("{}, as hashes", counted(t.codes.len(), "code"));
                out.add("ticket-codes", place, text, true);
            }
            Ok(())
        })?;
        let rows = self
            .tickets
            .find_rows(who.subject(), &|text| who.is_named_by(text), who.text());
        for row in rows.map_err(ticket_failure)? {
            out.add(row.kind, row.place, row.text, row.erasable);
        }
        Ok(())
    }

    fn find_netblocks(
        &self,
        who: &PersonalSubject,
        out: &mut PersonalReport,
    ) -> Result<(), Failure> {
        let found = self.netblocks.find_texts(&|text| who.is_named_by(text));
        for (prefix, text) in found.map_err(netblock_failure)? {
            out.add("netblocks", format!("netblock {prefix}"), text, true);
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
            // The history of the subject itself is above.
            if who.subject() != Some(&subject) && who.is_subject(&subject) {
                out.add("listings", subject.to_string(), line(&event), false);
            }
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
            out.is_truncated |= jobs.len() >= MAX_ROWS;
            for job in jobs.into_iter().filter(|j| j.target == host) {
                let text = format!("tested for {}, {}", job.by, job.at);
                out.add("relay-tests", format!("job {}", job.id), text, false);
            }
            for is_input in [true, false] {
                let proofs = self.relay.proofs(host, is_input, MAX_ROWS);
                let proofs = proofs.map_err(relay_failure)?;
                out.is_truncated |= proofs.len() >= MAX_ROWS;
                for p in proofs {
                    let text = format!("{} accepted, {} delivered, {}", p.input, p.output, p.at);
                    out.add("relay-evidence", format!("message {}", p.id), text, false);
                }
            }
        }
        let named = |text: &str| who.is_named_by(text);
        let texts = self.relay.find_texts(&named);
        for t in texts.map_err(relay_failure)? {
            out.add(t.kind, t.place, t.text, true);
        }
        let records = self.relay.find_records(who.host(), &named);
        for t in records.map_err(relay_failure)? {
            out.add(t.kind, t.place, t.text, false);
        }
        let opt_outs = self.relay.opt_outs().map_err(relay_failure)?;
        for o in opt_outs.iter().filter(|o| who.is_named_by(&o.subject)) {
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
            // The note is erased on request, the rest of the record stays.
            let is_in_note = who.is_named_by(&note);
            let rest = [&record.target, &record.detail];
            if is_in_note || rest.into_iter().any(|text| who.is_named_by(text)) {
                let text = format!(
                    "{} {} {} {} {} {note}",
                    record.at, record.author, record.action, record.target, record.detail
                );
                out.add("audit-records", place, text.trim_end().into(), is_in_note);
            }
            true
        })?;
        Ok(())
    }

    /// Decisions in the removal log.
    fn find_removals(
        &self,
        who: &PersonalSubject,
        out: &mut PersonalReport,
    ) -> Result<(), Failure> {
        let path = self.ledger.settings().removals.clone();
        let Some(path) = path.filter(|p| p.is_file()) else {
            return Ok(());
        };
        let log = removals::read(&path).map_err(LedgerError::Invalid)?;
        for line in log.lines {
            let of_subject = line.events.iter().filter(|e| who.is_subject(&e.subject));
            for removal in of_subject {
                let (name, author) = (removal.decision.as_str(), &removal.author);
                let text = format!("{} {name} by {author}", line.at);
                out.add("removal-log", format!("line {}", line.n), text, false);
            }
        }
        Ok(())
    }

    /// Proposals, reports of imports, notices and webhooks.
    fn find_accounts(
        &self,
        who: &PersonalSubject,
        out: &mut PersonalReport,
    ) -> Result<(), Failure> {
        let accounts = self.ledger.accounts();
        for p in accounts.proposals.all() {
            let note = p.change.evidence.as_ref().map(|e| e.text.as_str());
            let is_named = note.is_some_and(|note| who.is_named_by(note));
            if is_named || who.is_subject(&p.change.subject) {
                let (subject, author) = (&p.change.subject, &p.change.author);
                let note = note.unwrap_or_default();
                let text = format!("{} {subject} proposed by {author} {note}", p.at);
                let place = format!("proposal {}", p.id);
                out.add("proposals", place, text.trim_end().into(), is_named);
            }
        }
        for (id, (at, report)) in accounts.imports.iter() {
            if who.is_named_by(report) {
                let text = format!("the report of {at} quotes it");
                out.add("import-reports", format!("import {id}"), text, true);
            }
        }
        for n in accounts.notices.values() {
            if who.is_named_by(&n.text) || who.is_named_by(&n.title) {
                let place = format!("notice {}", n.number);
                out.add("notices", place, n.title.clone(), false);
            }
        }
        let hooks = accounts.webhooks.values();
        for hook in hooks.filter(|h| who.is_named_by(&h.url)) {
            let place = format!("webhook {}", hook.id);
            out.add("users", place, hook.url.clone(), false);
        }
        Ok(())
    }

    /// Messages that wait for webhooks, and answers to requests that may be repeated.
    fn find_messages(
        &self,
        who: &PersonalSubject,
        out: &mut PersonalReport,
    ) -> Result<(), Failure> {
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
        self.ledger.store.visit_answers(&mut |day, body| {
            if who.is_named_by(body) {
                let place = format!("answer of {day}");
                out.add("repeated-requests", place, "it names it".into(), false);
            }
        })?;
        Ok(())
    }

    fn find_reverse_names(&self, who: &PersonalSubject, out: &mut PersonalReport) {
        let found = self.reverse_names.find(&|addr, name| {
            who.host() == Some(addr) || name.is_some_and(|name| who.is_named_by(name))
        });
        for (addr, found) in found {
            let name = found.name.unwrap_or_else(|| "no name".into());
            let text = format!("{name}, looked up at {}", found.at);
            out.add("reverse-names", format!("name of {addr}"), text, true);
        }
    }

    /// Finds an address or prefix in the sample of queries, and the network of an address.
    fn find_queried_addresses(&self, who: &PersonalSubject, out: &mut PersonalReport) {
        let Some(subject) = who.subject().filter(|s| s.is_address()) else {
            return;
        };
        let mut add = |prefix: &Subject, place: String, is_erasable: bool| {
            let sampled = self.query_sample.count(prefix);
            let Some(QueriedCount { count, period, .. }) = sampled.filter(|s| s.count > 0) else {
                return;
            };
            let begin = Time(self.ledger.now().0.saturating_sub(period.0));
            let text = format!("{}, since {begin} at the earliest", queried(prefix, count));
            out.add("queried-addresses", place, text, is_erasable);
        };
        add(subject, "sample of queries".into(), true);
        // The number of the whole network contains the address too.
        if let Some(network) = who.host().map(sampled_network) {
            add(
                &network,
                format!("sample of queries about {network}"),
                false,
            );
        }
    }

    fn find_logins(&self, who: &PersonalSubject, out: &mut PersonalReport) {
        let (snapshot, now) = (self.ledger.published.snapshot(), uptime());
        for zone in snapshot.zones.all() {
            let published = who
                .host()
                .zip(zone.logins.as_ref())
                .and_then(|(host, logins)| logins.end(host, now));
            if let Some((address, end)) = published {
                let end = self.ledger.now().plus(Seconds(now.seconds_until(end)));
                let text = format!("published until {end}");
                out.add(
                    "recent-logins",
                    format!("{address} in {}", zone.name),
                    text,
                    false,
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ticket_is_found_by_its_subject_and_by_names_in_dns() {
        let ticket = |subject: &str, host_name: &str, zone: &str| {
            let text = json!({
                "number": 1, "secret": "0".repeat(26), "subject": subject, "reasons": ["relay"],
                "policy": "reviewed", "state": "review", "opened": 1, "changed": 1, "closed": null,
                "steps": [],
                "control_facts": {"at": 1, "host_name": host_name, "zones": [zone]},
            });
            serde_json::from_value::<Ticket>(text).unwrap()
        };
        let who = PersonalSubject::parse("example.org").unwrap();
        for (subject, host_name, zone, expected) in [
            ("mx.example.org", "", "", true),
            ("192.0.2.1", "mx.example.org", "2.0.192.in-addr.arpa", true),
            ("mx.example.net", "", "example.org", true),
            ("192.0.2.1", "mx.example.net", "2.0.192.in-addr.arpa", false),
        ] {
            let is_found = is_ticket_of(&who, &ticket(subject, host_name, zone));
            assert_eq!(is_found, expected, "{subject} {host_name} {zone}");
        }
    }
}
