//! Tickets for operators: they list, read, answer and decide requests for removal and corrections.

use axum::{Json, extract::State};

use super::{
    App,
    exposition::Exposition,
    handler::{Call, JsonResult},
    input::{self, JsonBody, Part, QueryParams},
    jobs::{actor, number},
    tickets::{call_tickets, ticket_response},
};
use crate::{
    api::{
        MessageAuthor, Page, ProblemDetails, TicketAddressResponse, TicketApprovalRequest,
        TicketClockResponse, TicketConversationResponse, TicketDecisionRequest,
        TicketDetailResponse, TicketSummaryResponse, TicketsQuery, TicketsStatusResponse,
    },
    metrics::families,
    model::{Role, Subject, Time, subject::HostBits},
    relay::Actor,
    tickets::{
        Approval, CLOSED_STATES, Ticket, TicketClock, TicketClockState, TicketClocks, TicketError,
        TicketFilter, TicketService,
    },
};

/// Where a page of tickets begins: those that wait for a person come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// After this many tickets that wait.
    Waiting(usize),
    /// At the tickets with lower numbers that do not wait.
    Below(u64),
}

impl Position {
    fn parse(text: &str) -> Option<Position> {
        match text.strip_prefix('w') {
            Some(n) => n.parse().ok().map(Position::Waiting),
            None => text.parse().ok().map(Position::Below),
        }
    }

    fn text(self) -> String {
        match self {
            Position::Waiting(n) => format!("w{n}"),
            Position::Below(n) => n.to_string(),
        }
    }
}

fn summary(t: &Ticket, now: Time) -> TicketSummaryResponse {
    TicketSummaryResponse {
        number: t.number,
        kind: t.kind,
        subject: t.subject.to_string(),
        reasons: t.reasons.clone(),
        policy: t.policy,
        state: t.state,
        opened: t.opened.into(),
        changed: t.changed.into(),
        proof: t.proof.as_ref().filter(|p| p.until > now).map(|p| p.method),
        messages: t.messages.len(),
        answer_by: t.answer_by().map(Into::into),
        decision_by: t.decision_by().map(Into::into),
    }
}

/// A ticket for operators. The conversation and the mail address are for editors.
fn detail(
    tickets: &TicketService,
    t: &Ticket,
    role: Role,
) -> Result<TicketDetailResponse, TicketError> {
    let own = ticket_response(tickets, t)?;
    let may_read = role >= Role::Editor;
    let message = |m: &crate::tickets::TicketMessage| TicketConversationResponse {
        at: m.at.into(),
        author: match m.operator {
            Some(_) => MessageAuthor::Operator,
            None => MessageAuthor::Requester,
        },
        user: m.operator.clone(),
        text: m.text.clone(),
    };
    let contact = t.contact.as_ref().filter(|_| may_read);
    Ok(TicketDetailResponse {
        summary: summary(t, tickets.now()),
        listed_in: own.listed_in,
        closed: own.closed,
        next_at: own.next_at,
        listing_ends: own.listing_ends,
        steps: own.steps,
        test: own.test,
        proof_required: own.proof_required,
        control: own.proof,
        language: t.language.clone(),
        conversation: may_read.then(|| t.messages.iter().map(message).collect()),
        contact: contact.map(|c| TicketAddressResponse {
            address: c.address.clone(),
            confirmed: c.confirmed.map(Into::into),
        }),
        removal: own.removal,
    })
}

/// Reads a page: tickets that wait for a person in the order in which they are due, then all others
/// by number, the highest first.
fn page(
    tickets: &TicketService,
    query: &TicketsQuery,
    filter: &TicketFilter,
    from: Position,
    limit: usize,
) -> Result<Page<TicketSummaryResponse>, TicketError> {
    let now = tickets.now();
    let fits = |t: &Ticket| {
        filter.state.is_none_or(|s| s == t.state)
            && filter.subject.as_ref().is_none_or(|s| *s == t.subject)
    };
    let mut out = Vec::new();
    let mut before = match from {
        Position::Below(n) => Some(n),
        Position::Waiting(start) => {
            let mut waiting = tickets.waiting()?;
            waiting.retain(fits);
            let left = waiting.len().saturating_sub(start);
            let taken = waiting.iter().skip(start).take(limit);
            out.extend(taken.map(|t| summary(t, now)));
            if left > limit {
                let next = Some(Position::Waiting(start + limit).text());
                return Ok(Page { items: out, next });
            }
            None
        }
    };
    if query.waiting {
        let (items, next) = (out, None);
        return Ok(Page { items, next });
    }
    loop {
        let found = tickets.list(filter, before, limit + 1)?;
        let is_last = found.len() <= limit;
        for t in &found {
            if out.len() == limit && !t.state.waits_for_person() {
                let next = Some(Position::Below(before.unwrap_or(u64::MAX)).text());
                return Ok(Page { items: out, next });
            }
            before = Some(t.number);
            if !t.state.waits_for_person() {
                out.push(summary(t, now));
            }
        }
        if is_last {
            let (items, next) = (out, None);
            return Ok(Page { items, next });
        }
    }
}

/// Lists tickets: first those that wait for a person, in the order in which they are due, then all
/// others, the last opened one first.
#[utoipa::path(get, path = "/v1/tickets", tag = "tickets", params(TicketsQuery),
    responses((status = 200, body = Page<TicketSummaryResponse>, description = "A page of tickets")))]
pub async fn list_tickets(
    State(app): State<App>,
    QueryParams(query): QueryParams<TicketsQuery>,
) -> JsonResult<Page<TicketSummaryResponse>> {
    let limit = input::limit(query.limit)?;
    let from = input::after(query.after.as_ref(), Position::parse)?;
    let from = from.unwrap_or(Position::Waiting(0));
    let subject = query.subject.as_deref().map(|text| {
        Subject::parse(text.trim(), HostBits::Refuse)
            .map_err(|e| ProblemDetails::invalid(format!("subject: {e}")))
    });
    let filter = TicketFilter {
        state: query.state,
        subject: subject.transpose()?,
    };
    let read = call_tickets(&app, move |tickets| {
        page(tickets, &query, &filter, from, limit)
    });
    read.await.map(Json)
}

/// Returns a ticket. The conversation and the mail address of the requester need the role editor.
#[utoipa::path(get, path = "/v1/tickets/{number}", tag = "tickets",
    params(("number" = u64, Path, description = "The number of the ticket")),
    responses((status = 200, body = TicketDetailResponse, description = "The ticket")))]
pub async fn get_ticket_of_operators(
    Call { app, caller }: Call,
    Part(id): Part,
) -> JsonResult<TicketDetailResponse> {
    let number = number(&id, "ticket")?;
    let found = call_tickets(&app, move |tickets| {
        detail(tickets, &tickets.get(number)?, caller.role)
    });
    found.await.map(Json)
}

/// Decides about a ticket, if the token may decide about its subject and reasons.
async fn decide(
    Call { app, caller }: Call,
    id: &str,
    decision: impl FnOnce(&TicketService, &Actor, u64) -> Result<Ticket, TicketError> + Send + 'static,
) -> JsonResult<TicketDetailResponse> {
    let number = number(id, "ticket")?;
    let found = call_tickets(&app, move |tickets| tickets.get(number)).await?;
    for reason in &found.reasons {
        caller.allow(Some(&found.subject), Some(reason), None)?;
    }
    let decided = call_tickets(&app, move |tickets| {
        let who = actor(&caller);
        let ticket = decision(tickets, &who, number)?;
        detail(tickets, &ticket, caller.role)
    });
    decided.await.map(Json)
}

/// Replies to the requester of a ticket. The first reply stops the clock of answers.
#[utoipa::path(post, path = "/v1/tickets/{number}/reply", tag = "tickets", request_body = TicketDecisionRequest,
    params(("number" = u64, Path, description = "The number of the ticket")),
    responses((status = 200, body = TicketDetailResponse, description = "The ticket")))]
pub async fn reply_to_ticket(
    call: Call,
    Part(id): Part,
    JsonBody(request): JsonBody<TicketDecisionRequest>,
) -> JsonResult<TicketDetailResponse> {
    decide(call, &id, move |tickets, who, number| {
        tickets.reply(who, number, &request.text, tickets.now())
    })
    .await
}

/// Approves a ticket: its subject is delisted, or its correction is accepted.
#[utoipa::path(post, path = "/v1/tickets/{number}/approve", tag = "tickets", request_body = TicketApprovalRequest,
    params(("number" = u64, Path, description = "The number of the ticket")),
    responses((status = 200, body = TicketDetailResponse, description = "The ticket")))]
pub async fn approve_ticket(
    call: Call,
    Part(id): Part,
    JsonBody(request): JsonBody<TicketApprovalRequest>,
) -> JsonResult<TicketDetailResponse> {
    decide(call, &id, move |tickets, who, number| {
        let approval = Approval {
            text: &request.text,
            listed_in_error: request.listed_in_error,
        };
        tickets.approve(who, number, approval, tickets.now())
    })
    .await
}

/// Refuses a ticket. The text tells the requester why; the listing stays until its own end.
#[utoipa::path(post, path = "/v1/tickets/{number}/refuse", tag = "tickets", request_body = TicketDecisionRequest,
    params(("number" = u64, Path, description = "The number of the ticket")),
    responses((status = 200, body = TicketDetailResponse, description = "The ticket")))]
pub async fn refuse_ticket(
    call: Call,
    Part(id): Part,
    JsonBody(request): JsonBody<TicketDecisionRequest>,
) -> JsonResult<TicketDetailResponse> {
    decide(call, &id, move |tickets, who, number| {
        tickets.refuse(who, number, &request.text, tickets.now())
    })
    .await
}

fn clocks(tickets: &TicketService) -> Result<TicketClocks, String> {
    tickets.clocks(tickets.now()).map_err(|e| match e {
        TicketError::Ledger(e) => e.text(&tickets.ledger.store.dictionary()),
        other => format!("{other:?}"),
    })
}

/// The tickets that wait, for the state of the daemon. May block.
pub(super) fn status(tickets: &TicketService) -> TicketsStatusResponse {
    let (found, problem) = match clocks(tickets) {
        Ok(found) => (found, None),
        Err(why) => (TicketClocks::default(), Some(why)),
    };
    let response = |c: &TicketClockState| TicketClockResponse {
        next_ticket: c.next.map(|(_, number)| number),
        next_due: c.next.map(|(due, _)| due.into()),
        overdue: c.overdue,
    };
    let [answer, decision] = &found.clocks;
    TicketsStatusResponse {
        open: found.open,
        waiting: found.waiting,
        answer: response(answer),
        decision: response(decision),
        over_limit: tickets.over_limit(),
        problem,
    }
}

/// Writes the metrics about tickets. May block.
pub(super) fn write_metrics(out: &mut Exposition, tickets: &TicketService) {
    let Ok(found) = clocks(tickets) else { return };
    let name = |clock: TicketClock| [clock.as_str().to_string()];
    let by_clock = || TicketClock::ALL.into_iter().zip(found.clocks);
    out.gauge(&families::TICKETS_OPEN, found.open as f64);
    out.gauge(&families::TICKETS_WAITING, found.waiting as f64);
    out.gauges(
        &families::TICKETS_OLDEST_SECONDS,
        by_clock().filter_map(|(clock, c)| Some((name(clock), c.oldest?.0 as f64))),
    );
    out.gauges(
        &families::TICKETS_OVERDUE,
        by_clock().map(|(clock, c)| (name(clock), c.overdue as f64)),
    );
    out.gauge(&families::TICKETS_OVER_LIMIT, tickets.over_limit() as f64);
    let counts = tickets.counts();
    out.counter(&families::TICKETS_OPENED_TOTAL, counts.opened);
    let closed = CLOSED_STATES.into_iter().zip(counts.closed);
    out.counters(
        &families::TICKETS_CLOSED_TOTAL,
        closed.map(|(state, n)| ([state.as_str().to_string()], n as f64)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_of_a_page_reads_back() {
        for position in [
            Position::Waiting(0),
            Position::Waiting(70),
            Position::Below(9),
        ] {
            assert_eq!(Position::parse(&position.text()), Some(position));
        }
        assert!(Position::parse("x").is_none() && Position::parse("w-1").is_none());
    }
}
