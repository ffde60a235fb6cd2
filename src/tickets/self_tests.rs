//! Tests that the holder of an address asks for, and their repetition. They list nobody.

use std::net::IpAddr;

use super::{
    batch::TicketBatch,
    error::TicketError,
    follow::IDLE_PERIOD,
    mail_rows::limit_key,
    outbox::{DAY, check_daily, count_daily},
    removals::FROM,
    requests::{actor, proof},
    service::TicketService,
    state::{ControlMethod, RemovalPolicy, TicketEvent, TicketKind, TicketState},
    ticket::{Repetition, Ticket, TicketTest},
};
use crate::{
    model::{Subject, Time, domain::registered_domain, time::Seconds},
    relay::{RelayError, outcome::Assessment, proof::TOKEN_LIFETIME},
};

/// The most addresses that are tested in a day for proofs of one zone.
const MAX_ADDRESSES_PER_ZONE: usize = 10;
/// The shortest and the longest time between two repetitions, in days.
pub const REPEAT_DAYS: std::ops::RangeInclusive<u16> = 7..=90;
/// How long a test is repeated before the holder has to ask again.
const REPEAT_PERIOD: Seconds = Seconds(366 * 86_400);
/// When a test that could not begin is tried again.
const RETRY_AFTER: Seconds = Seconds(3600);

/// A request to test an address.
#[derive(Debug, Clone)]
pub struct NewSelfTest {
    /// The address.
    pub target: IpAddr,
    /// The language of the requester.
    pub language: String,
    /// The address from which the request comes.
    pub client: Option<IpAddr>,
    /// After how many days the test is repeated; `None`: it is not.
    pub repeat_days: Option<u16>,
}

impl TicketService {
    /// Opens a ticket about a test of an address. The test begins when its requester has proved to
    /// hold the address. A request from the address itself proves that if the address is listed or
    /// nominated; of others, tenants, VPN exits and build machines are not the holders.
    ///
    /// # Errors
    ///
    /// The address may not be tested, or a limit is reached.
    pub fn open_self_test(&self, request: &NewSelfTest, now: Time) -> Result<Ticket, TicketError> {
        let subject = Subject::host(request.target);
        if let Some(days) = request.repeat_days {
            check_repeat(days)?;
        }
        self.relay.check_self_test(request.target, now)?;
        self.limits.count_subject(&subject, now)?;
        self.make_room(now)?;
        let is_own = request.client.map(|c| c.to_canonical()) == Some(request.target);
        let is_proved = is_own && self.relay.is_listed_or_nominated(request.target)?;
        let (ticket, _) = self.decide(now, |batch| {
            self.check_open(batch, &subject, RemovalPolicy::None)?;
            let mut ticket = self.empty_ticket(batch, subject.clone(), &request.language)?;
            ticket.kind = TicketKind::Test;
            ticket.repeat = request.repeat_days.map(|days| Repetition {
                days,
                until: now.plus(REPEAT_PERIOD),
            });
            ticket.enter(TicketState::NeedsProof, now);
            if is_proved {
                ticket.proof = Some(proof(ControlMethod::Server, now));
                self.begin_self_test(batch, &mut ticket)?;
            }
            self.issue_control_code(&mut ticket, now);
            batch.audit(&ticket.author(), FROM, "ticket-open", &ticket);
            batch.save(&ticket);
            Ok(ticket)
        })?;
        Ok(ticket)
    }

    /// Begins the test of a ticket whose requester has just proved to hold the address. If a limit
    /// delays it, it begins later.
    pub(super) fn begin_self_test(
        &self,
        batch: &mut TicketBatch<'_>,
        ticket: &mut Ticket,
    ) -> Result<(), TicketError> {
        let now = batch.now;
        self.try_self_test(batch, ticket)
            .or_else(|e| delay(ticket, e, now))
    }

    /// Starts the test of a ticket, and counts its address for the zone of the proof, unless it was
    /// tested in the last day.
    ///
    /// # Errors
    ///
    /// A limit is reached, or the relay service refuses the test.
    pub(super) fn try_self_test(
        &self,
        batch: &mut TicketBatch<'_>,
        ticket: &mut Ticket,
    ) -> Result<(), TicketError> {
        let day_ago = |t: &TicketTest| t.at.plus(DAY) <= batch.now;
        let is_new = ticket.test.as_ref().is_none_or(day_ago);
        let limit = proved_zone(ticket).filter(|_| is_new).map(|zone| {
            let why = format!("{MAX_ADDRESSES_PER_ZONE} addresses a day are tested for {zone}");
            (limit_key("self-test", &zone), why)
        });
        // A test that another limit delays does not count.
        if let Some((key, why)) = &limit {
            check_daily(batch, *key, MAX_ADDRESSES_PER_ZONE, why)?;
        }
        self.run_self_test(ticket, batch.now)?;
        match &limit {
            Some((key, why)) => count_daily(batch, *key, MAX_ADDRESSES_PER_ZONE, why),
            None => Ok(()),
        }
    }

    /// Starts the test of a ticket, or joins one of the same address.
    fn run_self_test(&self, ticket: &mut Ticket, now: Time) -> Result<(), TicketError> {
        let Some(target) = ticket.host() else {
            return Err(TicketError::Refused(
                "only single addresses are tested".into(),
            ));
        };
        let job = self.relay.self_test(&actor(ticket), target, now)?;
        ticket.test = Some(TicketTest {
            job: job.id,
            at: now,
        });
        // A repetition changes the state only if its result differs.
        if ticket.repeat.is_none() || !ticket.state.is_tested() {
            ticket.enter(TicketState::Testing, now);
        }
        ticket.next_at = (job.not_before > now).then_some(job.not_before);
        ticket.changed = now;
        Ok(())
    }

    /// Does what is due for a ticket about a test.
    pub(super) fn advance_self_test(
        &self,
        batch: &mut TicketBatch<'_>,
        ticket: &mut Ticket,
    ) -> Result<(), TicketError> {
        let now = batch.now;
        let is_due = ticket.next_at.is_some_and(|at| at <= now);
        match ticket.state {
            TicketState::Delayed if is_due => return self.begin_self_test(batch, ticket),
            TicketState::NeedsProof if ticket.changed.plus(IDLE_PERIOD) <= now => {
                return ticket.apply(TicketEvent::Withdraw, now);
            }
            _ => {}
        }
        self.follow_self_test(ticket, now)?;
        if !ticket.state.is_tested() || self.is_test_open(ticket)? {
            return Ok(());
        }
        let repeat = ticket.repeat.filter(|r| r.until > now);
        match (repeat, ticket.test.as_ref().map(|t| t.at)) {
            (Some(repeat), Some(last)) => {
                let at = last.plus(Seconds(u64::from(repeat.days) * 86_400));
                let at = at.max(ticket.next_at.unwrap_or(at));
                ticket.next_at = Some(at);
                if at <= now && self.run_self_test(ticket, now).is_err() {
                    ticket.next_at = Some(now.plus(RETRY_AFTER));
                }
                Ok(())
            }
            _ => {
                (ticket.repeat, ticket.next_at) = (None, None);
                match ticket.changed.plus(IDLE_PERIOD) <= now {
                    true => ticket.apply(TicketEvent::Withdraw, now),
                    false => Ok(()),
                }
            }
        }
    }

    /// Whether the last test of a ticket waits or runs.
    fn is_test_open(&self, ticket: &Ticket) -> Result<bool, TicketError> {
        let job = ticket.test.as_ref().map(|t| self.relay.job(t.job));
        match job {
            Some(Ok(job)) => Ok(job.is_open()),
            Some(Err(RelayError::NotFound(_))) | None => Ok(false),
            Some(Err(e)) => Err(e.into()),
        }
    }

    /// Applies the result of the last test. A message can arrive as long as its token is valid.
    fn follow_self_test(&self, ticket: &mut Ticket, now: Time) -> Result<(), TicketError> {
        let Some(test) = ticket.test.clone() else {
            return Ok(());
        };
        let job = match self.relay.job(test.job) {
            Ok(job) => job,
            Err(RelayError::NotFound(_)) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        let assessment = job.assessment();
        let (event, state) = match assessment {
            Assessment::Open => (TicketEvent::Fail, TicketState::Failed),
            _ if job.is_open() => return Ok(()),
            Assessment::Blocked | Assessment::Untestable => {
                (TicketEvent::Block, TicketState::Blocked)
            }
            Assessment::Accepted
            | Assessment::Closed
            | Assessment::Refused
            | Assessment::Inconclusive => (TicketEvent::Pass, TicketState::Tested),
        };
        let is_over = test.at.plus(TOKEN_LIFETIME) <= now && ticket.state.is_tested();
        if ticket.state == state || is_over {
            return Ok(());
        }
        let next_at = ticket.next_at;
        ticket.apply(event, now)?;
        ticket.next_at = next_at.filter(|_| ticket.repeat.is_some());
        Ok(())
    }

    /// Sets after how many days the test of a ticket is repeated; `None` ends the repetition, also
    /// that of other tickets about the same address.
    ///
    /// # Errors
    ///
    /// Control of the address is not proved, or the number of days is out of range.
    pub fn set_repetition(
        &self,
        number: u64,
        days: Option<u16>,
        now: Time,
    ) -> Result<Ticket, TicketError> {
        let ticket = self.get(number)?;
        if ticket.kind != TicketKind::Test || !ticket.is_proved(now) {
            return Err(TicketError::Refused(
                "prove first that the address is yours; the page shows how".into(),
            ));
        }
        if let Some(days) = days {
            check_repeat(days)?;
        }
        let mut tickets = vec![number];
        if days.is_none() {
            let open = self.open_of(&ticket.subject)?.into_iter();
            let others = open.filter(|t| t.repeat.is_some() && t.number != number);
            tickets.extend(others.map(|t| t.number));
        }
        let repeat = days.map(|days| Repetition {
            days,
            until: now.plus(REPEAT_PERIOD),
        });
        let (ticket, _) = self.decide(now, |batch| {
            for other in &tickets {
                let mut changed = batch.ticket(*other)?;
                (changed.repeat, changed.next_at) = (repeat, None);
                changed.changed = now;
                batch.audit(&ticket.author(), FROM, "ticket-repeat", &changed);
                batch.save(&changed);
            }
            batch.ticket(number)
        })?;
        Ok(ticket)
    }

    /// The repetition that the page of a ticket shows: its own, or, after control was proved, that of
    /// any other ticket about the address, which this requester can end too.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn shown_repetition(&self, ticket: &Ticket) -> Result<Option<Repetition>, TicketError> {
        let may_see = ticket.kind == TicketKind::Test && ticket.is_proved(self.now());
        if ticket.repeat.is_some() || !may_see {
            return Ok(ticket.repeat);
        }
        let open = self.open_of(&ticket.subject)?;
        Ok(open.into_iter().find_map(|t| t.repeat))
    }

    /// Returns how often the test of an address is repeated with the consent of its holder, for
    /// everybody. A request without a proof of control is no consent.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn standing_repetition(
        &self,
        subject: &Subject,
        now: Time,
    ) -> Result<Option<Repetition>, TicketError> {
        let proved = self.open_of(subject)?.into_iter();
        let proved = proved.filter(|t| t.proof.is_some());
        let standing = proved.filter_map(|t| t.repeat).filter(|r| r.until > now);
        Ok(standing.min_by_key(|r| r.days))
    }
}

fn check_repeat(days: u16) -> Result<(), TicketError> {
    match REPEAT_DAYS.contains(&days) {
        true => Ok(()),
        false => Err(TicketError::Invalid(format!(
            "repeat_days: a test is repeated after {} to {} days",
            REPEAT_DAYS.start(),
            REPEAT_DAYS.end()
        ))),
    }
}

/// The zone whose control the proof of a ticket shows, by which its addresses are counted; `None`
/// for a request from the address itself.
fn proved_zone(ticket: &Ticket) -> Option<String> {
    let facts = ticket.control_facts.clone().unwrap_or_default();
    let of_name = |name: &String| registered_domain(name).to_string();
    match ticket.proof.as_ref()?.method {
        ControlMethod::Server => None,
        ControlMethod::Mail => Some(facts.host_name.as_ref().map_or_else(String::new, of_name)),
        ControlMethod::Dns => Some(facts.zones.first().cloned().unwrap_or_default()),
    }
}

/// Makes a test wait that a limit delays; any other problem is returned.
fn delay(ticket: &mut Ticket, problem: TicketError, now: Time) -> Result<(), TicketError> {
    let TicketError::LimitReached(_, wait) = problem else {
        return Err(problem);
    };
    if ticket.state != TicketState::Delayed {
        ticket.enter(TicketState::Delayed, now);
    }
    ticket.next_at = Some(now.plus(Seconds(wait.0.max(1))));
    Ok(())
}
