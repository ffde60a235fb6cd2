//! Tests that the holders of addresses ask for: the operations behind the pages, and their routes
//! for programs.

use std::net::IpAddr;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};

use super::{
    App,
    caller::ClientAddress,
    handler::{JsonResult, StatusResult},
    input::{JsonBody, Part},
    tickets::{call_tickets, change_ticket, look_up_facts, ticket_response},
};
use crate::{
    api::{
        ProblemDetails, RepetitionRequest, SelfTestPageResponse, SelfTestRequest, TicketResponse,
    },
    model::{Subject, subject::HostBits},
    relay::transcript::render_transcript,
    tickets::{NewSelfTest, TicketError, TicketKind, limits::LimitedRequest},
};

/// Opens a ticket about a test of an address.
///
/// # Errors
///
/// The address is not one, may not be tested, or a limit is reached.
pub async fn open_self_test(
    app: &App,
    request: SelfTestRequest,
    client: Option<IpAddr>,
    language: &str,
) -> Result<TicketResponse, ProblemDetails> {
    let text = request.address.trim();
    let subject = Subject::parse(text, HostBits::Refuse)
        .map_err(|e| ProblemDetails::invalid(format!("address: {e}")))?;
    let target = crate::tickets::control::host_address(&subject).ok_or_else(|| {
        ProblemDetails::invalid(format!(
            "address: `{text}` is not the address of one mail server; write an address such as 192.0.2.1"
        ))
    })?;
    let new = NewSelfTest {
        target,
        language: language.into(),
        client,
        repeat_days: request.repeat_days,
    };
    let ticket = call_tickets(app, move |tickets| {
        tickets.count_request(LimitedRequest::Open, client)?;
        let ticket = tickets.open_self_test(&new, tickets.now())?;
        ticket_response(tickets, &ticket)
    })
    .await?;
    look_up_facts(app, ticket.number);
    Ok(ticket)
}

/// Sets how often the test of a ticket is repeated, or ends its repetition.
///
/// # Errors
///
/// There is no such ticket, its requester has not proved control, or the days are out of range.
pub async fn set_repetition(
    app: &App,
    secret: &str,
    request: RepetitionRequest,
) -> Result<TicketResponse, ProblemDetails> {
    change_ticket(app, secret, move |tickets, number, now| {
        tickets.set_repetition(number, request.days, now)
    })
    .await
}

/// Returns the SMTP session of the last test of a ticket, for its requester, who has proved control.
/// The sessions of other tests have tokens, which could list the host.
///
/// # Errors
///
/// There is no such ticket, or it has no session to show.
pub async fn view_transcript(app: &App, secret: &str) -> Result<String, ProblemDetails> {
    let secret = secret.to_string();
    call_tickets(app, move |tickets| {
        let ticket = tickets.find(&secret)?;
        let shown = ticket.kind == TicketKind::Test && ticket.is_proved(tickets.now());
        let test = ticket.test.as_ref().filter(|_| shown);
        let test = test.ok_or_else(|| {
            TicketError::NotFound("this request has no session that can be shown".into())
        })?;
        Ok(render_transcript(&tickets.relay.transcript(test.job)?))
    })
    .await
}

/// Returns what the page of tests needs to know.
pub fn self_test_page(app: &App, client: Option<IpAddr>) -> SelfTestPageResponse {
    let settings = app.relay.settings();
    let forms = super::relay_tests(app);
    let testable = client.filter(|c| settings.allows_our_test(*c).is_ok());
    let is_known = |c: IpAddr| app.relay.is_listed_or_nominated(c).unwrap_or(false);
    SelfTestPageResponse {
        tests_relays: super::public_lists::policy(app).tests_relays,
        forms: forms.iter().filter(|f| f.chosen).count(),
        client: testable.map(|c| c.to_string()),
        client_is_known: testable.is_some_and(is_known),
    }
}

/// Returns how the holder of an address has it tested.
#[utoipa::path(get, path = "/test", tag = "public",
    responses((status = 200, body = SelfTestPageResponse, description = "What the page says")))]
pub async fn get_self_test_page(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
) -> Json<SelfTestPageResponse> {
    Json(self_test_page(&app, client))
}

/// Opens a ticket about a test of all forms for the holder of an address. The test lists and
/// delists nothing. Its response has the ways to prove control, if a proof is needed.
#[utoipa::path(post, path = "/test", tag = "public", request_body = SelfTestRequest,
    responses((status = 201, body = TicketResponse, description = "The ticket")))]
pub async fn post_self_test(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    headers: HeaderMap,
    JsonBody(request): JsonBody<SelfTestRequest>,
) -> StatusResult<TicketResponse> {
    let language = headers.get(header::ACCEPT_LANGUAGE);
    let language = language.and_then(|l| l.to_str().ok()).unwrap_or_default();
    let language = language.split([',', ';', '-']).next().unwrap_or_default();
    let ticket = open_self_test(&app, request, client, language.trim()).await?;
    Ok((StatusCode::CREATED, Json(ticket)))
}

/// Sets how often the test of a ticket is repeated, or ends its repetition.
#[utoipa::path(post, path = "/tickets/{secret}/repeat", tag = "public", request_body = RepetitionRequest,
    params(("secret" = String, Path, description = "The secret part of the ticket's path")),
    responses((status = 200, body = TicketResponse, description = "The ticket")))]
pub async fn post_ticket_repeat(
    State(app): State<App>,
    Part(secret): Part,
    JsonBody(request): JsonBody<RepetitionRequest>,
) -> JsonResult<TicketResponse> {
    set_repetition(&app, &secret, request).await.map(Json)
}

/// Returns the SMTP session of the last test that the holder of an address asked for, as text.
#[utoipa::path(get, path = "/tickets/{secret}/transcript", tag = "public",
    params(("secret" = String, Path, description = "The secret part of the ticket's path")),
    responses((status = 200, body = String, content_type = "text/plain", description = "The session")))]
pub async fn get_ticket_transcript(
    State(app): State<App>,
    Part(secret): Part,
) -> Result<String, ProblemDetails> {
    view_transcript(&app, &secret).await
}
