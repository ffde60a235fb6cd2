//! Tickets of requesters: the operations behind the pages of the site, and their routes for
//! programs.

pub mod corrections;
mod self_test_view;

use std::net::IpAddr;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};

use self_test_view::self_test_response;

use super::{
    App,
    advice::advice_for,
    caller::ClientAddress,
    claims,
    handler::{JsonResult, StatusResult, blocking},
    input::{JsonBody, Part},
    jobs::outcome_kind,
    lookup::widening::explain_not_listed,
};
use crate::{
    api::{
        CommandResponse, ControlOptionResponse, ControlProofResponse, MessageAuthor, OutcomeKind,
        ProblemCode, ProblemDetails, ReasonPolicyResponse, ReleasedResponse, RemovalOptionResponse,
        RemovalPoliciesResponse, RemovalResponse, RemovalServerResponse, TestOutcomeResponse,
        TicketContactResponse, TicketMessageRequest, TicketMessageResponse, TicketRequest,
        TicketResponse, TicketStepResponse, TicketTestResponse,
    },
    model::{ReasonId, Subject, Time, subject::HostBits},
    relay::{ClaimStatus, RelayService},
    store::Dictionary,
    tickets::{
        NewTicket, RELEASE_PAGE_PERIOD, RemovalPolicy, Ticket, TicketError, TicketKind,
        TicketRemoval, TicketService, TicketTest, control::ControlOption, limits::LimitedRequest,
    },
};

impl ProblemDetails {
    /// The problem of a request that the service of tickets refused.
    pub(super) fn of_ticket_error(e: TicketError, dictionary: &Dictionary) -> ProblemDetails {
        match e {
            TicketError::Invalid(why) => ProblemDetails::invalid(why),
            TicketError::LimitReached(why, wait) => ProblemDetails::too_many(why, wait),
            TicketError::Refused(why) => ProblemDetails::conflict(why),
            TicketError::NotFound(why) => ProblemDetails::not_found(why),
            TicketError::Ledger(e) => ProblemDetails::of_ledger_error(&e, dictionary),
        }
    }
}

/// Calls the service of tickets on a thread that may block, since it waits for the writer.
pub async fn call_tickets<T: Send + 'static>(
    app: &App,
    request: impl FnOnce(&TicketService) -> Result<T, TicketError> + Send + 'static,
) -> Result<T, ProblemDetails> {
    let app = app.clone();
    blocking(move || {
        let dictionary = app.ledger.store.dictionary();
        request(&app.tickets).map_err(|e| ProblemDetails::of_ticket_error(e, &dictionary))
    })
    .await
}

/// Opens a ticket. `language` is the tag of the requester's language.
///
/// # Errors
///
/// The subject is not listed, a rule refuses the request, or a limit is reached.
pub async fn open_ticket(
    app: &App,
    request: TicketRequest,
    client: Option<IpAddr>,
    language: &str,
) -> Result<TicketResponse, ProblemDetails> {
    let subject = Subject::parse(request.subject.trim(), HostBits::Refuse)
        .map_err(|e| ProblemDetails::invalid(format!("subject: {e}")))?;
    let explain = |problem: ProblemDetails| match problem.code {
        ProblemCode::NotFound => {
            let snapshot = app.ledger.published.snapshot();
            explain_not_listed(&snapshot, &subject, problem)
        }
        _ => problem,
    };
    let new = NewTicket {
        subject: subject.clone(),
        policy: request.policy,
        message: request.message,
        language: language.into(),
        client,
    };
    let contact = request.contact;
    let address = contact.clone();
    let ticket = call_tickets(app, move |tickets| {
        if !address.trim().is_empty() {
            TicketService::check_contact(&address)?;
        }
        tickets.count_request(LimitedRequest::Open, client)?;
        let ticket = tickets.open(&new, tickets.now())?;
        ticket_response(tickets, &ticket)
    })
    .await
    .map_err(explain)?;
    look_up_facts(app, ticket.number);
    contact_of_new_ticket(app, ticket, contact).await
}

/// A way to prove control, for the page of a ticket.
fn control_option(option: ControlOption) -> ControlOptionResponse {
    match option {
        ControlOption::Server(commands) => ControlOptionResponse::Server {
            commands: commands
                .into_iter()
                .map(|(program, command)| CommandResponse {
                    program: program.into(),
                    command,
                })
                .collect(),
        },
        ControlOption::Dns {
            names,
            at_every_name,
            text,
        } => ControlOptionResponse::Dns {
            names,
            at_every_name,
            text,
        },
        ControlOption::Mail(addresses) => ControlOptionResponse::Mail { addresses },
    }
}

/// Looks up in the background what DNS has to say about the subject of a new ticket, so that its
/// page can offer the ways that need it.
pub(super) fn look_up_facts(app: &App, number: u64) {
    let tickets = app.tickets.clone();
    tokio::spawn(async move {
        if let Err(e) = tickets.look_up_facts(number).await {
            tracing::debug!(ticket = number, error = ?e, "looking up the subject of a ticket failed");
        }
    });
}

/// Sets the contact address of a request that has one. A contact that is refused does not refuse
/// the ticket, whose response then has none.
async fn contact_of_new_ticket(
    app: &App,
    ticket: TicketResponse,
    contact: String,
) -> Result<TicketResponse, ProblemDetails> {
    if contact.trim().is_empty() {
        return Ok(ticket);
    }
    let number = ticket.number;
    call_tickets(app, move |tickets| {
        let now = tickets.now();
        let changed = match tickets.set_contact(number, &contact, now) {
            Err(TicketError::Ledger(e)) => return Err(TicketError::Ledger(e)),
            Err(_) => tickets.get(number)?,
            Ok(changed) => changed,
        };
        ticket_response(tickets, &changed)
    })
    .await
}

/// Changes the ticket with a secret, and returns it as it is then.
///
/// # Errors
///
/// There is no such ticket, or the change is refused.
pub async fn change_ticket(
    app: &App,
    secret: &str,
    change: impl FnOnce(&TicketService, u64, Time) -> Result<Ticket, TicketError> + Send + 'static,
) -> Result<TicketResponse, ProblemDetails> {
    let secret = secret.to_string();
    call_tickets(app, move |tickets| {
        let found = tickets.find(&secret)?;
        let changed = change(tickets, found.number, tickets.now())?;
        ticket_response(tickets, &changed)
    })
    .await
}

/// Returns the ticket with a secret.
///
/// # Errors
///
/// There is no such ticket.
pub async fn view_ticket(app: &App, secret: &str) -> Result<TicketResponse, ProblemDetails> {
    let secret = secret.to_string();
    call_tickets(app, move |tickets| {
        ticket_response(tickets, &tickets.find(&secret)?)
    })
    .await
}

/// Adds a message of the requester to a ticket.
///
/// # Errors
///
/// There is no such ticket, or the message is refused.
pub async fn add_ticket_message(
    app: &App,
    secret: &str,
    request: TicketMessageRequest,
) -> Result<TicketResponse, ProblemDetails> {
    change_ticket(app, secret, move |tickets, number, now| {
        tickets.add_message(number, &request.text, now)
    })
    .await
}

/// Returns the public page about a removal.
///
/// # Errors
///
/// There is no such page any more.
pub async fn view_release(app: &App, id: &str) -> Result<ReleasedResponse, ProblemDetails> {
    let id = id.to_string();
    call_tickets(app, move |tickets| {
        let now = tickets.now();
        let ticket = tickets.find_released(&id, now)?;
        let removal = ticket.removal.as_ref();
        let removal = removal.map(|r| removal_response(tickets, r, now));
        let removal = removal.ok_or_else(|| TicketError::NotFound("no removal".into()))?;
        Ok(ReleasedResponse {
            subject: ticket.subject.to_string(),
            listed_again: !tickets.listings(&ticket.subject)?.is_empty(),
            removal,
        })
    })
    .await
}

/// Returns how the listings of a subject can be removed. May block.
///
/// # Errors
///
/// The store cannot be read.
pub fn removal_options(
    tickets: &TicketService,
    subject: &Subject,
) -> Result<Vec<RemovalOptionResponse>, TicketError> {
    let mut out: Vec<RemovalOptionResponse> = Vec::new();
    let now = tickets.now();
    let listings = tickets.listings(subject)?;
    if listings.is_empty() {
        return Ok(out);
    }
    let open = tickets.open_of(subject)?;
    for l in &listings {
        let found = out.iter_mut().find(|o| o.policy == l.policy);
        if let Some(option) = found {
            if !option.reasons.contains(&l.name) {
                option.reasons.push(l.name.clone());
            }
            continue;
        }
        let at = tickets.available_at(subject, l.policy, &listings, now)?;
        out.push(RemovalOptionResponse {
            policy: l.policy,
            reasons: vec![l.name.clone()],
            proof_required: l.policy.requires_proof(),
            may_request: l.policy.accepts_requests(),
            available_at: (at > now).then(|| at.into()),
            open: open
                .iter()
                .any(|t| t.kind == TicketKind::Removal && t.policy == l.policy),
        });
    }
    Ok(out)
}

/// Returns the policy of removal of each published reason, for the policy page.
pub fn removal_policies(app: &App) -> RemovalPoliciesResponse {
    let policies = &app.tickets.settings().policies;
    let snapshot = app.ledger.published.snapshot();
    let dictionary = app.ledger.store.dictionary();
    let mut names: Vec<&str> = Vec::new();
    for zone in snapshot.zones.all() {
        for p in &zone.publish {
            for reason in ReasonId::all_of(p.listing_mask()) {
                let name = dictionary.reasons.name(reason);
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    let policy = |name: &str, policy: RemovalPolicy| ReasonPolicyResponse {
        reason: name.into(),
        policy,
        proof_required: policy.requires_proof(),
        held: policy == RemovalPolicy::OnRequest && crate::tickets::RemovalPolicies::is_held(name),
    };
    RemovalPoliciesResponse {
        reasons: names
            .into_iter()
            .map(|name| policy(name, policies.of(name, false)))
            .collect(),
        feeds: policies.feeds,
        others: policies.others,
    }
}

/// A ticket as its requester sees it.
///
/// # Errors
///
/// The store cannot be read.
pub fn ticket_response(
    tickets: &TicketService,
    ticket: &Ticket,
) -> Result<TicketResponse, TicketError> {
    let now = tickets.now();
    let all = tickets.listings(&ticket.subject)?;
    let listings = ticket.own_listings(&all);
    let status = claim_status(tickets, ticket, now);
    let test = match (&ticket.test, &status) {
        _ if ticket.kind == TicketKind::Test => self_test_response(tickets, ticket),
        (Some(test), Some(status)) => Some(test_response(tickets, ticket, test, status, now)),
        _ => None,
    };
    // A test that runs, or that has not begun, is not started again.
    let has_try_left = ticket.state != crate::tickets::TicketState::Testing
        || status
            .as_ref()
            .is_some_and(|s| s.is_preliminary && s.next_try.is_some());
    let is_test = ticket.kind == TicketKind::Test;
    let may_retry = ticket.may_retry() && has_try_left && (is_test || !listings.is_empty());
    let retry_at = retry_at(tickets, ticket, status.as_ref(), now)?;
    let retry_at = retry_at.filter(|at| may_retry && *at > now);
    let (control_options, code_expires) = tickets.control_options(ticket, now);
    let ends: Option<Vec<Time>> = listings.iter().map(|l| l.until).collect();
    Ok(TicketResponse {
        kind: ticket.kind,
        number: ticket.number,
        path: ticket.path(),
        subject: ticket.subject.to_string(),
        listed_in: tickets.zones_of(&ticket.subject, &listings),
        reasons: ticket.reasons.clone(),
        policy: ticket.policy,
        state: ticket.state,
        opened: ticket.opened.into(),
        changed: ticket.changed.into(),
        closed: ticket.closed.map(Into::into),
        next_at: ticket.next_at.filter(|at| *at > now).map(Into::into),
        retry_at: retry_at.map(Into::into),
        may_retry,
        may_ask_review: ticket.may_ask_review(),
        answer_by: ticket.answer_by().map(Into::into),
        decision_by: ticket.decision_by().map(Into::into),
        listing_ends: ends.and_then(|all| all.into_iter().max()).map(Into::into),
        steps: ticket
            .steps
            .iter()
            .map(|s| TicketStepResponse {
                at: s.at.into(),
                state: s.state,
            })
            .collect(),
        test,
        repetition: tickets.shown_repetition(ticket)?.map(Into::into),
        proof_required: is_test || ticket.policy.requires_proof(),
        proof: ticket
            .proof
            .as_ref()
            .filter(|p| p.until > now)
            .map(|p| ControlProofResponse {
                method: p.method,
                at: p.at.into(),
                until: p.until.into(),
            }),
        control_options: control_options.into_iter().map(control_option).collect(),
        code_expires: code_expires.map(Into::into),
        messages: messages(ticket),
        messages_left: match ticket.state.is_open() {
            true => ticket.messages_left(),
            false => 0,
        },
        contact: ticket.contact.as_ref().map(|c| TicketContactResponse {
            address: masked(&c.address),
            confirmed: c.confirmed.is_some(),
        }),
        removal: ticket
            .removal
            .as_ref()
            .map(|r| removal_response(tickets, r, now)),
    })
}

/// The conversation of a ticket. Operators are not named.
pub fn messages(ticket: &Ticket) -> Vec<TicketMessageResponse> {
    let all = ticket.messages.iter();
    all.map(|m| TicketMessageResponse {
        at: m.at.into(),
        author: match m.operator {
            Some(_) => MessageAuthor::Operator,
            None => MessageAuthor::Requester,
        },
        text: m.text.clone(),
    })
    .collect()
}

/// A mail address with all but its first letter and its domain hidden.
pub fn masked(address: &str) -> String {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let first: String = local.chars().take(1).collect();
    format!("{first}…@{domain}")
}

/// When another test of a ticket can begin. A claim that has ended, of which some messages may still
/// be sent, is not tested again before its pause is over.
fn retry_at(
    tickets: &TicketService,
    ticket: &Ticket,
    status: Option<&ClaimStatus>,
    now: Time,
) -> Result<Option<Time>, TicketError> {
    use crate::tickets::TicketState::{Blocked, Failed};
    Ok(match (ticket.state, ticket.host()) {
        (_, Some(target)) if ticket.kind == TicketKind::Test => {
            Some(tickets.relay.self_test_time(target, now)?)
        }
        (Blocked | Failed, Some(target)) => {
            let proved = ticket.is_proved(now);
            Some(tickets.relay.claim_time(target, proved, now)?)
        }
        _ => status.map(|s| s.retry_at),
    })
}

/// The status of the last relay test of a ticket; `None` if there is none, or if it was erased.
fn claim_status(tickets: &TicketService, ticket: &Ticket, now: Time) -> Option<ClaimStatus> {
    let (test, target) = (ticket.test.as_ref()?, ticket.host()?);
    tickets.relay.claim_status(target, test.job, now).ok()
}

fn test_response(
    tickets: &TicketService,
    ticket: &Ticket,
    test: &TicketTest,
    status: &ClaimStatus,
    now: Time,
) -> TicketTestResponse {
    let (job, proved) = (&status.job, ticket.is_proved(now));
    let catalogue = &tickets.relay.settings().catalogue;
    let mut outcomes: Vec<TestOutcomeResponse> = job
        .results
        .iter()
        .filter(|r| !r.outcome.is_not_sent())
        .map(|r| {
            let (outcome, code) = outcome_kind(&r.outcome);
            let form = catalogue.get(ClaimStatus::form(r));
            TestOutcomeResponse {
                description: form.map_or(String::new(), |t| t.description.clone()),
                test: r.test.clone(),
                had_passed: status.had_passed(r),
                outcome,
                code,
            }
        })
        .collect();
    outcomes.sort_by_key(|o| !o.had_passed);
    let delivered: Vec<&str> = outcomes
        .iter()
        .filter(|o| o.had_passed || o.outcome == OutcomeKind::Delivered)
        .map(|o| o.test.as_str())
        .collect();
    let transcript = tickets.relay.transcript(test.job).unwrap_or_default();
    let product_advice = advice_for([transcript.as_slice()], &delivered);
    let blocked = match (proved, ticket.host()) {
        (true, Some(target)) => blocked(&tickets.relay, target),
        _ => Vec::new(),
    };
    TicketTestResponse {
        job: test.job,
        not_before: job.not_before.into(),
        begun: job.begun.map(Into::into),
        ended: job.ended.map(Into::into),
        total: job.results.len(),
        outcomes,
        row: status.row.map(|r| r.name().into()),
        is_preliminary: status.is_preliminary,
        release: status.release.map(Into::into),
        next_try: status.next_try.map(Into::into),
        advice: status.advice.map(Into::into),
        product_advice,
        blocked,
    }
}

fn blocked(relay: &RelayService, target: IpAddr) -> Vec<crate::api::BlockedClaimResponse> {
    claims::blocked(relay, target).unwrap_or_default()
}

/// A removal with the servers that have it: this one first.
fn removal_response(
    tickets: &TicketService,
    removal: &TicketRemoval,
    now: Time,
) -> RemovalResponse {
    let servers: Vec<RemovalServerResponse> = tickets
        .removal_servers(removal)
        .into_iter()
        .map(|s| RemovalServerResponse {
            zone: s.zone,
            server: s.name,
            at: s.at.map(Into::into),
            state: s.state,
        })
        .collect();
    let all: Option<Vec<_>> = servers.iter().map(|s| s.at).collect();
    let is_public = removal.at.plus(RELEASE_PAGE_PERIOD) > now;
    RemovalResponse {
        at: removal.at.into(),
        zones: removal.zones.iter().map(|z| z.zone.clone()).collect(),
        servers,
        cache_seconds: removal.ttl,
        everywhere_at: all.and_then(|all| all.into_iter().max()),
        released: is_public.then(|| format!("/released/{}", removal.released.as_str())),
    }
}

/// Opens a ticket: a request that a subject is delisted. The path of the response is the only key
/// to the ticket.
#[utoipa::path(post, path = "/tickets", tag = "public", request_body = TicketRequest,
    responses((status = 201, body = TicketResponse, description = "The ticket")))]
pub async fn post_ticket(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    headers: HeaderMap,
    JsonBody(request): JsonBody<TicketRequest>,
) -> StatusResult<TicketResponse> {
    let ticket = open_ticket(&app, request, client, requester_language(&headers)).await?;
    Ok((StatusCode::CREATED, Json(ticket)))
}

/// The tag of the language that a requester prefers; empty if the request does not say.
fn requester_language(headers: &HeaderMap) -> &str {
    let header = headers.get(header::ACCEPT_LANGUAGE);
    let header = header.and_then(|l| l.to_str().ok()).unwrap_or_default();
    header
        .split([',', ';', '-'])
        .next()
        .unwrap_or_default()
        .trim()
}

/// Returns a ticket.
#[utoipa::path(get, path = "/tickets/{secret}", tag = "public",
    params(("secret" = String, Path, description = "The secret part of the ticket's path")),
    responses((status = 200, body = TicketResponse, description = "The ticket")))]
pub async fn get_ticket(State(app): State<App>, Part(secret): Part) -> JsonResult<TicketResponse> {
    view_ticket(&app, &secret).await.map(Json)
}

/// Starts another relay test for a ticket.
#[utoipa::path(post, path = "/tickets/{secret}/retry", tag = "public",
    params(("secret" = String, Path, description = "The secret part of the ticket's path")),
    responses((status = 200, body = TicketResponse, description = "The ticket")))]
pub async fn post_ticket_retry(
    State(app): State<App>,
    Part(secret): Part,
) -> JsonResult<TicketResponse> {
    let changed = change_ticket(&app, &secret, TicketService::retry);
    changed.await.map(Json)
}

/// Asks a person to decide about a ticket.
#[utoipa::path(post, path = "/tickets/{secret}/review", tag = "public",
    params(("secret" = String, Path, description = "The secret part of the ticket's path")),
    responses((status = 200, body = TicketResponse, description = "The ticket")))]
pub async fn post_ticket_review(
    State(app): State<App>,
    Part(secret): Part,
) -> JsonResult<TicketResponse> {
    let changed = change_ticket(&app, &secret, TicketService::ask_review);
    changed.await.map(Json)
}

/// Adds a message to a ticket.
#[utoipa::path(post, path = "/tickets/{secret}/messages", tag = "public",
    params(("secret" = String, Path, description = "The secret part of the ticket's path")),
    request_body = TicketMessageRequest,
    responses((status = 200, body = TicketResponse, description = "The ticket")))]
pub async fn post_ticket_message(
    State(app): State<App>,
    Part(secret): Part,
    JsonBody(request): JsonBody<TicketMessageRequest>,
) -> JsonResult<TicketResponse> {
    add_ticket_message(&app, &secret, request).await.map(Json)
}

/// Withdraws a ticket.
#[utoipa::path(post, path = "/tickets/{secret}/withdraw", tag = "public",
    params(("secret" = String, Path, description = "The secret part of the ticket's path")),
    responses((status = 200, body = TicketResponse, description = "The ticket")))]
pub async fn post_ticket_withdrawal(
    State(app): State<App>,
    Part(secret): Part,
) -> JsonResult<TicketResponse> {
    let changed = change_ticket(&app, &secret, TicketService::withdraw);
    changed.await.map(Json)
}

/// Returns the public page about a removal, without personal data. It exists for 30 days.
#[utoipa::path(get, path = "/released/{id}", tag = "public",
    params(("id" = String, Path, description = "The last part of the page's path")),
    responses((status = 200, body = ReleasedResponse, description = "The removal")))]
pub async fn get_release(State(app): State<App>, Part(id): Part) -> JsonResult<ReleasedResponse> {
    view_release(&app, &id).await.map(Json)
}
