//! What requesters do to prove control of a subject, and for the mail address of their ticket.

use std::{net::IpAddr, sync::Arc};

use super::{
    batch::TicketBatch,
    codes::{self, CodeError, CodePurpose},
    control::{
        ControlFacts, ControlOption, control_options, host_address, is_server_proof_possible,
        mail_addresses, mail_domain,
    },
    control_dns::{self, ProofDns, RecordCheck},
    error::TicketError,
    limits::LimitedRequest,
    mail_rows::{NOTIFIED, Notified, QueuedMail, limit_key},
    mail_text::MailKind,
    outbox::count_daily,
    service::TicketService,
    state::{ControlMethod, TicketKind},
    ticket::{Ticket, TicketContact},
};
use crate::{
    mail::read_address,
    model::{Subject, Time, domain::registered_domain, time::Seconds},
};

/// The most codes by mail for a subject in a day.
const MAX_CODES_OF_SUBJECT: usize = 1;
/// The most codes by mail for the names of a registered domain in a day.
const MAX_CODES_OF_DOMAIN: usize = 3;
/// The most confirmation links to an address in a day.
const MAX_CONFIRMATIONS: usize = 2;
/// The error about a code that no ticket has issued. It does not depend on the code.
const NO_CODE: CodeError = CodeError::Unknown;

/// What a code has confirmed, or would confirm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmation {
    /// Control of the subject.
    Control(Ticket),
    /// The contact address.
    Contact(Ticket),
}

impl From<CodeError> for TicketError {
    fn from(e: CodeError) -> TicketError {
        match e {
            CodeError::Unknown => TicketError::NotFound(e.to_string()),
            CodeError::Expired | CodeError::Used => TicketError::Refused(e.to_string()),
        }
    }
}

impl TicketService {
    /// Counts a request of a client. A client without an address is at the socket, which has no
    /// limit.
    ///
    /// # Errors
    ///
    /// A limit is reached; the error says when to come again.
    pub fn count_request(
        &self,
        kind: LimitedRequest,
        client: Option<IpAddr>,
    ) -> Result<(), TicketError> {
        let counted = client.map(|a| self.limits.count_client(kind, a, self.now()));
        counted.transpose().map(drop)
    }

    /// Issues the code that the page of a ticket shows, unless there is a valid one.
    pub fn issue_control_code(&self, ticket: &mut Ticket, now: Time) {
        let is_proof_useful = ticket.kind.accepts_proof() && ticket.state.is_open();
        if self.control_code(ticket, now).is_some() || !is_proof_useful {
            return;
        }
        let subject = ticket.subject.to_string();
        let code = codes::derived_code(ticket.number, ticket.secret.as_str(), &subject, now);
        codes::issue(&mut ticket.codes, CodePurpose::Control, &code, now);
    }

    /// Issues a new code for the page of a ticket if the old one has expired.
    ///
    /// # Errors
    ///
    /// There is no such ticket, or the ledger refuses the commit.
    pub fn renew_control_code(&self, number: u64, now: Time) -> Result<Ticket, TicketError> {
        self.update(number, now, |ticket| {
            self.issue_control_code(ticket, now);
            Ok(())
        })
    }

    /// Returns the code that the page of a ticket shows, and when it expires; `None` if there is
    /// no valid one.
    pub fn control_code(&self, ticket: &Ticket, now: Time) -> Option<(String, Time)> {
        let mut all = ticket.codes.iter();
        let stored =
            all.find(|c| c.purpose == CodePurpose::Control && c.used.is_none() && c.expires > now)?;
        let subject = ticket.subject.to_string();
        let secret = ticket.secret.as_str();
        let code = codes::derived_code(ticket.number, secret, &subject, stored.issued);
        Some((code, stored.expires))
    }

    /// Returns the ways to prove control of the subject of a ticket, and when their code expires.
    /// There are none after control was proved or the ticket was closed.
    pub fn control_options(
        &self,
        ticket: &Ticket,
        now: Time,
    ) -> (Vec<ControlOption>, Option<Time>) {
        if ticket.is_proved(now) || !ticket.state.is_open() {
            return (Vec::new(), None);
        }
        let Some((code, expires)) = self.control_code(ticket, now) else {
            return (Vec::new(), None);
        };
        let settings = &self.settings().control;
        let facts = ticket.control_facts.as_ref();
        let mut options = control_options(&ticket.subject, &ticket.reasons, facts, &code, settings);
        if !self.may_prove_by_request(ticket) {
            options.retain(|o| !matches!(o, ControlOption::Server(_)));
        }
        (options, Some(expires))
    }

    /// Whether a request from the address can prove control of it. For a test of an address that is
    /// neither listed nor nominated it cannot, since tenants and VPN exits are not its holders.
    fn may_prove_by_request(&self, ticket: &Ticket) -> bool {
        let is_known = |a| self.relay.is_listed_or_nominated(a).unwrap_or(false);
        is_server_proof_possible(&ticket.reasons)
            && (ticket.kind != TicketKind::Test || ticket.host().is_some_and(is_known))
    }

    /// Looks up what DNS has to say about the subject of a ticket, and stores it. Runs beside the
    /// request that opened the ticket.
    ///
    /// # Errors
    ///
    /// There is no such ticket, or the ledger refuses the change.
    pub async fn look_up_facts(&self, number: u64) -> Result<(), TicketError> {
        let Some(dns) = self.dns.clone() else {
            return Ok(());
        };
        let _permit = self.lookups.acquire().await;
        let ticket = self.get(number)?;
        let (now, settings) = (self.now(), self.settings());
        let facts = control_dns::find_facts(&dns, &ticket.subject, &settings.control, now).await;
        self.store_facts(number, facts).await
    }

    async fn store_facts(&self, number: u64, facts: ControlFacts) -> Result<(), TicketError> {
        let service = self.clone();
        let stored = tokio::task::spawn_blocking(move || {
            service.update(number, service.now(), |ticket| {
                ticket.control_facts = Some(facts);
                Ok(())
            })
        });
        let stored = stored.await;
        stored
            .unwrap_or_else(|e| Err(TicketError::Refused(e.to_string())))
            .map(drop)
    }

    /// Finds the ticket that issued a code, and checks that the code can be used for one of
    /// `purposes`.
    fn ticket_of_code(
        &self,
        code: &str,
        purposes: &[CodePurpose],
        now: Time,
    ) -> Result<(Ticket, CodePurpose), TicketError> {
        let number = codes::ticket_of(code).ok_or(NO_CODE)?;
        let ticket = match self.get(number) {
            Err(TicketError::NotFound(_)) => return Err(NO_CODE.into()),
            found => found?,
        };
        let purpose = codes::purpose_of(&ticket.codes, code);
        let purpose = purpose.filter(|p| purposes.contains(p)).ok_or(NO_CODE)?;
        codes::check(&ticket.codes, purpose, code, now)?;
        Ok((ticket, purpose))
    }

    /// Proves control of the subject of a ticket by a request from its address. Anything else
    /// proves nothing, and leaves the code valid.
    ///
    /// # Errors
    ///
    /// The code is not valid, the request comes from another address, such a request does not prove
    /// control of this subject, or a limit is reached.
    pub fn prove_by_request(
        &self,
        code: &str,
        client: Option<IpAddr>,
        now: Time,
    ) -> Result<Ticket, TicketError> {
        self.count_request(LimitedRequest::Code, client)?;
        let (ticket, purpose) = self.ticket_of_code(code, &[CodePurpose::Control], now)?;
        if !self.may_prove_by_request(&ticket) {
            return Err(TicketError::Refused(
                "a request from the server does not prove control of it, because others can send requests from there; \
                 use another way on the page of your request"
                    .into(),
            ));
        }
        let subject = &ticket.subject;
        let Some(address) = host_address(subject) else {
            return Err(TicketError::Refused(format!(
                "a request from an address does not prove control of {subject}; use another way on the page of your request"
            )));
        };
        match client.map(|c| c.to_canonical()) {
            Some(client) if client == address => {}
            Some(client) => {
                return Err(TicketError::Refused(format!(
                    "this request comes from {client}, but {address} is to be proved; run the command on that server{}",
                    if client.is_ipv4() == address.is_ipv4() {
                        ""
                    } else {
                        ", with the option for its address family"
                    }
                )));
            }
            None => {
                return Err(TicketError::Refused(
                    "the address of the client is not known".into(),
                ));
            }
        }
        self.record_proof(ticket.number, ControlMethod::Server, code, purpose, now)
    }

    /// Records a proof, and then uses the code up, so that a proof that is refused can be repeated.
    fn record_proof(
        &self,
        number: u64,
        method: ControlMethod,
        code: &str,
        purpose: CodePurpose,
        now: Time,
    ) -> Result<Ticket, TicketError> {
        if !self.get(number)?.state.is_open() {
            return Err(TicketError::Refused(
                "the request is closed; open a new one".into(),
            ));
        }
        self.prove(number, method, now)?;
        self.update(number, now, |ticket| {
            codes::redeem(&mut ticket.codes, purpose, code, now)?;
            Ok(())
        })
    }

    /// Checks whether the TXT record with the code of a ticket is in DNS, and records the proof. An
    /// expired code is replaced by a new one.
    ///
    /// # Errors
    ///
    /// The record is missing or DNS does not answer; the text says where the record was looked for.
    pub async fn prove_by_dns(&self, number: u64, now: Time) -> Result<Ticket, TicketError> {
        let service = self.clone();
        let ticket = self.get(number)?;
        ticket.check_accepts_proof()?;
        if ticket.is_proved(now) {
            return Ok(ticket);
        }
        let Some((code, _)) = self.control_code(&ticket, now) else {
            self.renew_code(number, now).await?;
            return Err(TicketError::Refused(
                "the code has expired; the page shows a new one for the record".into(),
            ));
        };
        let Some(dns) = self.dns.clone() else {
            return Err(TicketError::Refused(
                "this server has no DNS resolver; use another way".into(),
            ));
        };
        let Ok(_permit) = self.lookups.try_acquire() else {
            return Err(TicketError::LimitReached(
                "too many subjects are looked up now; try again in a minute".into(),
                Seconds(60),
            ));
        };
        match control_dns::check_record(&dns, &ticket.subject, &code).await {
            RecordCheck::Found => {}
            RecordCheck::Missing(names) if names.is_empty() => {
                return Err(TicketError::Refused(
                    "no zone of DNS can prove control of this subject; use another way".into(),
                ));
            }
            RecordCheck::Missing(names) => {
                return Err(TicketError::Refused(format!(
                    "the record orbsd-proof={code} is not at {} yet; a server that has asked before may remember that for some minutes",
                    names.join(", ")
                )));
            }
            RecordCheck::Unavailable(why) => {
                return Err(TicketError::LimitReached(
                    format!("DNS cannot be asked now ({why}); try again in a minute"),
                    Seconds(60),
                ));
            }
        }
        let recorded = tokio::task::spawn_blocking(move || {
            service.record_proof(number, ControlMethod::Dns, &code, CodePurpose::Control, now)
        });
        let recorded = recorded.await;
        recorded.unwrap_or_else(|e| Err(TicketError::Refused(e.to_string())))
    }

    async fn renew_code(&self, number: u64, now: Time) -> Result<(), TicketError> {
        let service = self.clone();
        let renewed = tokio::task::spawn_blocking(move || {
            service.update(number, now, |ticket| {
                service.issue_control_code(ticket, now);
                Ok(())
            })
        });
        let renewed = renewed.await;
        renewed
            .unwrap_or_else(|e| Err(TicketError::Refused(e.to_string())))
            .map(drop)
    }

    /// Queues a mail with a code to a role address that answers for the subject of a ticket.
    ///
    /// # Errors
    ///
    /// Mail does not prove control of the subject, the address is not one of those that may receive
    /// a code, or a limit is reached.
    pub fn send_code(&self, number: u64, address: &str, now: Time) -> Result<Ticket, TicketError> {
        let sent = self.decide(now, |batch| {
            let ticket = batch.ticket(number)?;
            let to = self.code_recipient(&ticket, address, now)?;
            let subject = ticket.subject.to_string();
            count_daily(
                batch,
                limit_key("code", &subject),
                MAX_CODES_OF_SUBJECT,
                &format!("one code a day is sent for {subject}"),
            )?;
            let (_, domain) = to.rsplit_once('@').unwrap_or_default();
            let domain = registered_domain(domain);
            count_daily(
                batch,
                limit_key("code-domain", domain),
                MAX_CODES_OF_DOMAIN,
                &format!("{MAX_CODES_OF_DOMAIN} codes a day are sent to {domain}"),
            )?;
            self.queue(batch, &ticket, MailKind::RoleCode, to)?;
            Ok(ticket)
        })?;
        Ok(sent.0)
    }

    /// The address that receives a code: the requested one, or the first if none is requested.
    fn code_recipient(
        &self,
        ticket: &Ticket,
        address: &str,
        now: Time,
    ) -> Result<String, TicketError> {
        ticket.check_accepts_proof()?;
        let settings = &self.settings().control;
        if !ticket.state.is_open() || ticket.is_proved(now) {
            return Err(TicketError::Refused(
                "this request needs no proof any more".into(),
            ));
        }
        let facts = ticket.control_facts.clone().unwrap_or_default();
        let possible = match settings.mail {
            true => mail_addresses(&ticket.subject, &facts, settings),
            false => Vec::new(),
        };
        if possible.is_empty() {
            let domain = mail_domain(&ticket.subject, facts.host_name.as_deref(), settings);
            return Err(TicketError::Refused(match domain {
                _ if !settings.mail => "this server sends no mail; use another way".into(),
                Some(domain) => format!("{domain} accepts no mail; use another way"),
                None => format!(
                    "no mail address answers for {}: its name is missing, unconfirmed, or shared by many; use another way",
                    ticket.subject
                ),
            }));
        }
        let wanted = address.trim();
        let found = match wanted {
            "" => possible.first(),
            wanted => possible.iter().find(|a| a.eq_ignore_ascii_case(wanted)),
        };
        found.cloned().ok_or_else(|| {
            TicketError::Invalid(format!("address: choose {}", possible.join(" or ")))
        })
    }

    fn queue(
        &self,
        batch: &mut TicketBatch<'_>,
        ticket: &Ticket,
        kind: MailKind,
        to: String,
    ) -> Result<(), TicketError> {
        let mail = QueuedMail {
            ticket: ticket.number,
            kind,
            to,
            answers: None,
            tries: 0,
            next_at: batch.now,
            queued_at: batch.now,
        };
        self.queue_mail(batch, &mail)
    }

    /// Returns what a code from a mail would confirm. Nothing is changed.
    ///
    /// # Errors
    ///
    /// The code is not valid, or a limit is reached.
    pub fn confirmation(
        &self,
        code: &str,
        client: Option<IpAddr>,
        now: Time,
    ) -> Result<Confirmation, TicketError> {
        self.count_request(LimitedRequest::Code, client)?;
        let purposes = [CodePurpose::RoleMail, CodePurpose::Contact];
        let (ticket, purpose) = self.ticket_of_code(code, &purposes, now)?;
        Ok(match purpose {
            CodePurpose::Contact => Confirmation::Contact(ticket),
            _ => Confirmation::Control(ticket),
        })
    }

    /// Confirms what a code from a mail is for.
    ///
    /// # Errors
    ///
    /// The code is not valid, or a limit is reached.
    pub fn confirm(
        &self,
        code: &str,
        client: Option<IpAddr>,
        now: Time,
    ) -> Result<Confirmation, TicketError> {
        match self.confirmation(code, client, now)? {
            Confirmation::Control(ticket) => {
                let (number, purpose) = (ticket.number, CodePurpose::RoleMail);
                let ticket = self.record_proof(number, ControlMethod::Mail, code, purpose, now)?;
                Ok(Confirmation::Control(ticket))
            }
            Confirmation::Contact(ticket) => {
                let changed = self.decide(now, |batch| {
                    let mut ticket = batch.ticket(ticket.number)?;
                    codes::redeem(&mut ticket.codes, CodePurpose::Contact, code, now)?;
                    let contact = ticket.contact.as_mut().ok_or(NO_CODE)?;
                    contact.confirmed.get_or_insert(now);
                    batch.put(NOTIFIED, &ticket.number, &Notified::of(&ticket));
                    batch.save(&ticket);
                    Ok(ticket)
                })?;
                Ok(Confirmation::Contact(changed.0))
            }
        }
    }

    /// Checks an address for notifications, and returns it in its ASCII form.
    ///
    /// # Errors
    ///
    /// The text is not a mail address.
    pub fn check_contact(address: &str) -> Result<String, TicketError> {
        read_address(address).map_err(|e| TicketError::Invalid(format!("contact: {e}")))
    }

    /// Sets the contact address of a ticket, and sends a link that confirms it.
    ///
    /// # Errors
    ///
    /// The address is not valid, this server sends no mail, or a limit is reached.
    pub fn set_contact(
        &self,
        number: u64,
        address: &str,
        now: Time,
    ) -> Result<Ticket, TicketError> {
        if !self.settings().control.mail {
            return Err(TicketError::Refused(
                "this server sends no mail; keep the address of this page instead".into(),
            ));
        }
        let address = TicketService::check_contact(address)?;
        let changed = self.decide(now, |batch| {
            let mut ticket = batch.ticket(number)?;
            let is_same = |c: &TicketContact| c.address == address && c.confirmed.is_some();
            if ticket.contact.as_ref().is_some_and(is_same) {
                return Ok(ticket);
            }
            count_daily(
                batch,
                limit_key("confirmation", &address),
                MAX_CONFIRMATIONS,
                &format!("{MAX_CONFIRMATIONS} links a day are sent to this address"),
            )?;
            count_daily(
                batch,
                limit_key("confirmation-ticket", &number.to_string()),
                MAX_CONFIRMATIONS,
                &format!("{MAX_CONFIRMATIONS} links a day are sent for a request"),
            )?;
            // A link that was sent to another address must not confirm this one.
            codes::revoke(&mut ticket.codes, CodePurpose::Contact);
            ticket.contact = Some(TicketContact {
                address: address.clone(),
                confirmed: None,
            });
            self.queue(batch, &ticket, MailKind::Confirmation, address)?;
            batch.save(&ticket);
            Ok(ticket)
        })?;
        Ok(changed.0)
    }

    /// Removes the contact address of a ticket; no mail is sent to it any more.
    ///
    /// # Errors
    ///
    /// There is no such ticket, or the ledger refuses the change.
    pub fn unsubscribe(&self, number: u64, now: Time) -> Result<Ticket, TicketError> {
        let changed = self.decide(now, |batch| {
            let mut ticket = batch.ticket(number)?;
            ticket.contact = None;
            codes::revoke(&mut ticket.codes, CodePurpose::Contact);
            batch.delete(NOTIFIED, &number);
            batch.save(&ticket);
            Ok(ticket)
        })?;
        Ok(changed.0)
    }

    /// Counts a new request for a subject that is no ticket.
    ///
    /// # Errors
    ///
    /// The subject or one of its networks is at its limit; the error says when to come again.
    pub fn count_subject(&self, subject: &Subject, now: Time) -> Result<(), TicketError> {
        self.limits.count_subject(subject, now)
    }

    /// Returns the resolver that proofs by DNS use; `None` if this machine has none.
    pub fn proof_dns(&self) -> Option<Arc<dyn ProofDns>> {
        self.dns.clone()
    }

    /// Sets the resolver that proofs by DNS use.
    #[must_use]
    pub fn with_dns(mut self, dns: Arc<dyn ProofDns>) -> TicketService {
        self.dns = Some(dns);
        self
    }
}
