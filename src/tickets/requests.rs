//! What requesters do: they open tickets, try again, write messages, ask for a review, and withdraw.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    batch::TicketBatch,
    control::is_server_proof_possible,
    error::TicketError,
    listings::TicketListing,
    removals::FROM,
    secret::TicketSecret,
    service::TicketService,
    state::{ControlMethod, RemovalPolicy, TicketEvent, TicketKind, TicketState},
    tables::LAST_NUMBER,
    ticket::{ControlProof, MAX_MESSAGE_CHARS, Ticket, TicketMessage, TicketTest},
};
use crate::{
    model::{SourceId, Subject, Time, text::replace_controls, time::Seconds},
    relay::{Actor, RelayError},
};

/// How long a proof of control is valid.
pub const PROOF_PERIOD: Seconds = Seconds(30 * 86_400);

/// A request to open a ticket.
#[derive(Debug, Clone)]
pub struct NewTicket {
    /// The subject.
    pub subject: Subject,
    /// The policy of the listings to delist; needed only if listings of several policies apply.
    pub policy: Option<RemovalPolicy>,
    /// A message to the operators; empty for none.
    pub message: String,
    /// The language of the requester.
    pub language: String,
    /// The address from which the request comes.
    pub client: Option<IpAddr>,
}

impl TicketService {
    /// Opens a ticket. If one is open for the same subject and policy, the new one joins its test
    /// and does not remove twice.
    ///
    /// # Errors
    ///
    /// The subject is not listed, several policies apply and none is chosen, a rule refuses the
    /// request, or a limit is reached.
    pub fn open(&self, request: &NewTicket, now: Time) -> Result<Ticket, TicketError> {
        self.open_with(request, now, |_, _| Ok(()))
    }

    /// Opens a ticket as [`TicketService::open`] does, and commits what `add` does with its number
    /// together with it.
    ///
    /// # Errors
    ///
    /// As [`TicketService::open`], or `add` fails; nothing is written then.
    pub fn open_with(
        &self,
        request: &NewTicket,
        now: Time,
        add: impl FnOnce(&mut TicketBatch<'_>, u64) -> Result<(), TicketError>,
    ) -> Result<Ticket, TicketError> {
        let text = checked_message(&request.message)?;
        let listings = self.listings(&request.subject)?;
        let policy = choose_policy(&request.subject, &listings, request.policy)?;
        self.limits.count_subject(&request.subject, now)?;
        let mine: Vec<&TicketListing> = listings.iter().filter(|l| l.policy == policy).collect();
        let is_proved = is_own_address(request, &reason_names(&mine));
        let stays_open = !self.is_granted_at_once(policy, &mine, is_proved, now)?;
        if stays_open {
            self.make_room(now)?;
        }
        let (ticket, receipt) = self.decide(now, |batch| {
            if stays_open {
                self.check_open(batch, &request.subject, policy)?;
            }
            let mut ticket = self.new_ticket(batch, request, policy, &mine)?;
            // Before a relay test is started, which is not part of this commit.
            add(batch, ticket.number)?;
            if !text.is_empty() {
                ticket.messages.push(TicketMessage {
                    at: now,
                    operator: None,
                    text,
                });
            }
            if is_proved {
                ticket.proof = Some(proof(ControlMethod::Server, now));
            }
            self.begin(batch, &mut ticket, &mine)?;
            self.issue_control_code(&mut ticket, now);
            batch.audit(&ticket.author(), FROM, "ticket-open", &ticket);
            batch.save(&ticket);
            Ok(ticket)
        })?;
        // The ticket is stored, and the periodic work completes it if that fails here.
        let finished = self.finish(ticket.number, receipt.as_ref(), now);
        Ok(finished.unwrap_or_else(|e| {
            self.log_failure(ticket.number, Err(e));
            ticket
        }))
    }

    fn new_ticket(
        &self,
        batch: &mut TicketBatch<'_>,
        request: &NewTicket,
        policy: RemovalPolicy,
        listings: &[&TicketListing],
    ) -> Result<Ticket, TicketError> {
        Ok(Ticket {
            reasons: reason_names(listings),
            sources: sources_of(listings),
            policy,
            ..self.empty_ticket(batch, request.subject.clone(), &request.language)?
        })
    }

    /// A ticket without listings, with a new number.
    pub(super) fn empty_ticket(
        &self,
        batch: &mut TicketBatch<'_>,
        subject: Subject,
        language: &str,
    ) -> Result<Ticket, TicketError> {
        Ok(Ticket {
            kind: TicketKind::Removal,
            number: batch.next_number(LAST_NUMBER)?,
            secret: TicketSecret::new(&self.random)?,
            subject,
            reasons: Vec::new(),
            sources: Vec::new(),
            policy: RemovalPolicy::None,
            state: TicketState::NeedsProof,
            opened: batch.now,
            changed: batch.now,
            closed: None,
            steps: Vec::new(),
            messages: Vec::new(),
            language: language.chars().take(16).collect(),
            test: None,
            repeat: None,
            proof: None,
            contact: None,
            codes: Vec::new(),
            control_facts: None,
            next_at: None,
            review: None,
            removal: None,
            name_checked: None,
        })
    }

    /// Brings a new ticket, or one whose control was just proved, into the state of its policy.
    pub(super) fn begin(
        &self,
        batch: &mut TicketBatch<'_>,
        ticket: &mut Ticket,
        listings: &[&TicketListing],
    ) -> Result<(), TicketError> {
        let now = batch.now;
        match ticket.policy {
            RemovalPolicy::AfterRetest => self.start_test(ticket, now)?,
            RemovalPolicy::OnRequest => {
                let at = self.on_request_time(listings, now)?;
                if at > now {
                    ticket.enter(TicketState::Delayed, now);
                    ticket.next_at = Some(at);
                } else {
                    self.grant(batch, ticket, listings)?;
                }
            }
            RemovalPolicy::WithLastInput => ticket.enter(TicketState::Review, now),
            _ if !ticket.is_proved(now) => {
                if ticket.steps.is_empty() {
                    ticket.enter(TicketState::NeedsProof, now);
                }
            }
            RemovalPolicy::Reviewed => ticket.enter(TicketState::Review, now),
            RemovalPolicy::OwnerOfRange => self.grant(batch, ticket, listings)?,
            RemovalPolicy::ByOwner => {
                match self.relay.opt_in(&actor(ticket), &ticket.subject, now) {
                    Ok(()) => self.record_granted(ticket, now)?,
                    Err(RelayError::NotFound(_)) => self.grant(batch, ticket, listings)?,
                    Err(e) => return Err(e.into()),
                }
            }
            RemovalPolicy::None => {
                return Err(TicketError::Refused(
                    "listings for this reason end only at their own end".into(),
                ));
            }
        }
        Ok(())
    }

    /// Starts or joins the relay test of a ticket.
    fn start_test(&self, ticket: &mut Ticket, now: Time) -> Result<(), TicketError> {
        let Some(target) = ticket.host() else {
            return Err(TicketError::Refused(
                "only single addresses are tested".into(),
            ));
        };
        let proved = ticket.is_proved(now);
        let receipt = self.relay.claim(&actor(ticket), target, proved, now)?;
        ticket.test = Some(TicketTest {
            job: receipt.job.id,
            at: now,
        });
        let goes_on = matches!(ticket.state, TicketState::Testing | TicketState::Waiting);
        match (ticket.steps.is_empty(), receipt.release) {
            // The test, or the waiting period, goes on. Its next try was brought forward, or the
            // host is tested again meanwhile.
            (false, _) if goes_on => {}
            (true, None) => ticket.enter(TicketState::Testing, now),
            (true, Some(_)) => ticket.enter(TicketState::Waiting, now),
            (false, release) => {
                ticket.apply(TicketEvent::Test, now)?;
                if release.is_some() {
                    ticket.apply(TicketEvent::Wait, now)?;
                }
            }
        }
        let is_later = receipt.job.not_before > now;
        ticket.next_at = receipt
            .release
            .or(is_later.then_some(receipt.job.not_before));
        ticket.changed = now;
        Ok(())
    }

    /// Completes a decision: records the zones of a removal, whose serials are known after it was
    /// committed. If that fails, the periodic work does it.
    pub(super) fn finish(
        &self,
        number: u64,
        receipt: Option<&crate::ledger::Receipt>,
        now: Time,
    ) -> Result<Ticket, TicketError> {
        let ticket = self.get(number)?;
        // Without new serials, another commit has changed the zones.
        let receipt = receipt.filter(|r| !r.serials.is_empty());
        let is_new = |t: &Ticket| t.removal.as_ref().is_some_and(|r| r.zones.is_empty());
        if !is_new(&ticket) {
            return Ok(ticket);
        }
        self.update(number, now, |ticket| {
            if let Some(mut removal) = ticket.removal.take() {
                if removal.zones.is_empty() {
                    self.note_zones(ticket, &mut removal, receipt);
                }
                ticket.removal = Some(removal);
            }
            Ok(())
        })
    }

    /// Records that the requester has proved control of the subject, and does what the policy does
    /// then.
    ///
    /// # Errors
    ///
    /// There is no such ticket, or the ledger or the relay service refuses the change.
    pub fn prove(
        &self,
        number: u64,
        method: ControlMethod,
        now: Time,
    ) -> Result<Ticket, TicketError> {
        let (_, receipt) = self.decide(now, |batch| {
            let mut ticket = batch.ticket(number)?;
            ticket.check_accepts_proof()?;
            ticket.proof = Some(proof(method, now));
            ticket.changed = now;
            let listings = self.listings(&ticket.subject)?;
            let mine = ticket.own_listings(&listings);
            match ticket.state {
                TicketState::NeedsProof if ticket.kind == TicketKind::Test => {
                    self.begin_self_test(batch, &mut ticket)?;
                }
                _ if ticket.kind == TicketKind::Test => {}
                TicketState::NeedsProof if !mine.is_empty() => {
                    self.begin(batch, &mut ticket, &mine)?;
                }
                // A proved claim waits less than an unproved one, and replaces it.
                TicketState::Testing | TicketState::Waiting | TicketState::Blocked => {
                    self.start_test(&mut ticket, now)?;
                }
                _ => {}
            }
            batch.audit(&ticket.author(), FROM, "ticket-proof", &ticket);
            batch.save(&ticket);
            Ok(())
        })?;
        self.finish(number, receipt.as_ref(), now)
    }

    /// Starts another test, or asks for the removal again.
    ///
    /// # Errors
    ///
    /// The state of the ticket does not allow it, or the relay service refuses the claim.
    pub fn retry(&self, number: u64, now: Time) -> Result<Ticket, TicketError> {
        let (_, receipt) = self.decide(now, |batch| {
            let mut ticket = batch.ticket(number)?;
            if !ticket.may_retry() {
                return Err(TicketError::Refused(format!(
                    "the ticket is in the state `{}`, in which there is nothing to try again",
                    ticket.state.as_str()
                )));
            }
            self.limits.count_subject(&ticket.subject, now)?;
            let job = ticket.test.as_ref().map(|t| t.job);
            match ticket.kind {
                TicketKind::Removal => self.start_test(&mut ticket, now)?,
                TicketKind::Test => self.try_self_test(batch, &mut ticket)?,
                TicketKind::Correction => {} // It has no test; see `Ticket::may_retry`.
            }
            self.issue_control_code(&mut ticket, now);
            if ticket.test.as_ref().map(|t| t.job) != job {
                batch.audit(&ticket.author(), FROM, "ticket-retry", &ticket);
            }
            batch.save(&ticket);
            Ok(())
        })?;
        self.finish(number, receipt.as_ref(), now)
    }

    /// Asks a person to decide.
    ///
    /// # Errors
    ///
    /// The state of the ticket does not allow it, or too many requests wait for a person.
    pub fn ask_review(&self, number: u64, now: Time) -> Result<Ticket, TicketError> {
        let changed = self.decide(now, |batch| {
            let mut ticket = batch.ticket(number)?;
            if !ticket.may_ask_review() {
                return Err(TicketError::Refused(format!(
                    "the ticket is in the state `{}`, in which a review is not possible",
                    ticket.state.as_str()
                )));
            }
            if !ticket.is_proved(now) {
                self.check_unproved_review(batch)?;
            }
            ticket.apply(TicketEvent::Review, now)?;
            batch.audit(&ticket.author(), FROM, "ticket-review", &ticket);
            batch.save(&ticket);
            Ok(ticket)
        })?;
        Ok(changed.0)
    }

    /// Adds a message of the requester.
    ///
    /// # Errors
    ///
    /// The message is empty or too long, or the conversation is full or closed.
    pub fn add_message(&self, number: u64, text: &str, now: Time) -> Result<Ticket, TicketError> {
        let text = checked_message(text)?;
        if text.is_empty() {
            return Err(TicketError::Invalid("text: write a message".into()));
        }
        self.update(number, now, |ticket| {
            if !ticket.state.is_open() {
                return Err(TicketError::Refused(
                    "the ticket is closed; open a new one".into(),
                ));
            }
            if ticket.messages_left() == 0 {
                return Err(TicketError::Refused(
                    "the conversation has 20 messages, which is the most".into(),
                ));
            }
            ticket.messages.push(TicketMessage {
                at: now,
                operator: None,
                text,
            });
            ticket.changed = now;
            Ok(())
        })
    }

    /// Withdraws the request. A relay test that has begun goes on, because other tickets can have
    /// joined it.
    ///
    /// # Errors
    ///
    /// The ticket is closed.
    pub fn withdraw(&self, number: u64, now: Time) -> Result<Ticket, TicketError> {
        let changed = self.decide(now, |batch| {
            let mut ticket = batch.ticket(number)?;
            self.end_suspension(batch, &ticket)?;
            ticket.apply(TicketEvent::Withdraw, now)?;
            batch.audit(&ticket.author(), FROM, "ticket-withdraw", &ticket);
            batch.save(&ticket);
            Ok(ticket)
        })?;
        Ok(changed.0)
    }
}

impl Ticket {
    /// The listings that the ticket is about; none for a correction.
    pub fn own_listings<'l>(&self, all: &'l [TicketListing]) -> Vec<&'l TicketListing> {
        all.iter()
            .filter(|_| self.kind.is_about_listings())
            .filter(|l| l.policy == self.policy && self.reasons.contains(&l.name))
            .collect()
    }

    /// Whether the requester may start another test. While deferred messages wait, that brings
    /// their next try forward; in the waiting period, the host is tested again.
    pub fn may_retry(&self) -> bool {
        use TicketState as S;
        if self.kind == TicketKind::Test {
            return self.state.is_tested();
        }
        matches!(self.state, S::Testing | S::Waiting | S::Blocked | S::Failed)
            && self.policy == RemovalPolicy::AfterRetest
    }

    /// Whether the requester may ask a person to decide.
    pub fn may_ask_review(&self) -> bool {
        use TicketState as S;
        self.kind == TicketKind::Removal
            && matches!(
                self.state,
                S::NeedsProof | S::Delayed | S::Waiting | S::Blocked | S::Failed
            )
    }
}

/// The ticket as the relay service knows it: by its number.
pub(super) fn actor(ticket: &Ticket) -> Actor {
    Actor {
        name: ticket.author(),
        from: FROM.into(),
        idempotency: None,
    }
}

/// A proof of control that begins now.
pub(super) fn proof(method: ControlMethod, now: Time) -> ControlProof {
    ControlProof {
        method,
        at: now,
        until: now.plus(PROOF_PERIOD),
    }
}

/// The sources of listings, each once.
fn sources_of(listings: &[&TicketListing]) -> Vec<SourceId> {
    let sources: BTreeSet<SourceId> = listings.iter().map(|l| l.source).collect();
    sources.into_iter().collect()
}

/// The names of the reasons of listings, each once.
fn reason_names(listings: &[&TicketListing]) -> Vec<String> {
    let mut names: Vec<String> = listings.iter().map(|l| l.name.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether a request comes from its own subject. That proves control of the host, unless strangers
/// act through it.
fn is_own_address(request: &NewTicket, reasons: &[String]) -> bool {
    request.client.map(Subject::host) == Some(request.subject.clone())
        && is_server_proof_possible(reasons)
}

/// Chooses the policy of a ticket.
fn choose_policy(
    subject: &Subject,
    listings: &[TicketListing],
    requested: Option<RemovalPolicy>,
) -> Result<RemovalPolicy, TicketError> {
    let mut all: Vec<RemovalPolicy> = Vec::new();
    for l in listings {
        if !all.contains(&l.policy) {
            all.push(l.policy);
        }
    }
    match (requested, &all[..]) {
        (_, []) => Err(TicketError::NotFound(format!("{subject} is not listed"))),
        (Some(policy), all) if all.contains(&policy) => Ok(policy),
        (None, [policy]) => Ok(*policy),
        (_, all) => {
            let names: Vec<&str> = all.iter().map(|p| p.as_str()).collect();
            Err(TicketError::Invalid(format!(
                "policy: choose one of the policies of the listings of {subject}: {}",
                names.join(", ")
            )))
        }
    }
}

/// Checks a message, and removes control characters except line breaks from it.
pub(super) fn checked_message(text: &str) -> Result<String, TicketError> {
    let text = text.trim().replace("\r\n", "\n");
    if text.chars().count() > MAX_MESSAGE_CHARS {
        return Err(TicketError::Invalid(format!(
            "text: at most {MAX_MESSAGE_CHARS} characters"
        )));
    }
    let lines: Vec<String> = text.split('\n').map(replace_controls).collect();
    Ok(lines.join("\n"))
}
