//! Proofs of control, codes from mail, and the contact address of tickets: the operations behind
//! the pages of the site, and their routes for programs.

use std::net::IpAddr;

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::post,
};

use super::{
    App,
    caller::ClientAddress,
    handler::JsonResult,
    input::{JsonBody, Part},
    tickets::{call_tickets, change_ticket, view_ticket},
};
use crate::{
    api::{
        ConfirmationKind, ConfirmationResponse, ControlProvedResponse, ProblemDetails,
        TicketCodeRequest, TicketContactRequest, TicketResponse,
    },
    store::Dictionary,
    tickets::{Confirmation, ControlMethod, Ticket, TicketService, limits::LimitedRequest},
};

/// Proves control of the subject of a ticket by a request that comes from its address.
///
/// # Errors
///
/// The code is not valid, or the request proves nothing; the text says why.
pub async fn prove_control(
    app: &App,
    code: &str,
    client: Option<IpAddr>,
) -> Result<ControlProvedResponse, ProblemDetails> {
    let code = code.to_string();
    let ticket = call_tickets(app, move |tickets| {
        tickets.prove_by_request(&code, client, tickets.now())
    })
    .await?;
    Ok(ControlProvedResponse {
        number: ticket.number,
        subject: ticket.subject.to_string(),
        method: ControlMethod::Server,
    })
}

/// Checks whether the TXT record of a ticket is in DNS.
///
/// # Errors
///
/// There is no such ticket, or the record is not there; the text says where it was looked for.
pub async fn check_ticket_dns(app: &App, secret: &str) -> Result<TicketResponse, ProblemDetails> {
    let found = find(app, secret).await?;
    let proved = app.tickets.prove_by_dns(found.number, app.tickets.now());
    let dictionary: std::sync::Arc<Dictionary> = app.ledger.store.dictionary();
    proved
        .await
        .map_err(|e| ProblemDetails::of_ticket_error(e, &dictionary))?;
    view_ticket(app, secret).await
}

async fn find(app: &App, secret: &str) -> Result<Ticket, ProblemDetails> {
    let secret = secret.to_string();
    call_tickets(app, move |tickets| tickets.find(&secret)).await
}

/// Sends a code by mail to a role address of the subject's domain.
///
/// # Errors
///
/// There is no such ticket, mail proves nothing for its subject, or a limit is reached.
pub async fn send_ticket_code(
    app: &App,
    secret: &str,
    request: TicketCodeRequest,
) -> Result<TicketResponse, ProblemDetails> {
    change_ticket(app, secret, move |tickets, number, now| {
        tickets.send_code(number, &request.address, now)
    })
    .await
}

/// Sets the address that is notified of changes of a ticket, and sends it a link to confirm it.
///
/// # Errors
///
/// There is no such ticket, the address is not valid, or a limit is reached.
pub async fn set_ticket_contact(
    app: &App,
    secret: &str,
    request: TicketContactRequest,
) -> Result<TicketResponse, ProblemDetails> {
    change_ticket(app, secret, move |tickets, number, now| {
        tickets.set_contact(number, &request.contact, now)
    })
    .await
}

/// Returns what a code from a mail would confirm.
///
/// # Errors
///
/// The code is not valid.
pub async fn view_confirmation(
    app: &App,
    code: &str,
    client: Option<IpAddr>,
) -> Result<ConfirmationResponse, ProblemDetails> {
    let code = code.to_string();
    call_tickets(app, move |tickets| {
        let found = tickets.confirmation(&code, client, tickets.now())?;
        Ok(confirmation_response(&found, false))
    })
    .await
}

/// Confirms what a code from a mail is for.
///
/// # Errors
///
/// The code is not valid.
pub async fn confirm_code(
    app: &App,
    code: &str,
    client: Option<IpAddr>,
) -> Result<ConfirmationResponse, ProblemDetails> {
    let code = code.to_string();
    call_tickets(app, move |tickets| {
        let found = tickets.confirm(&code, client, tickets.now())?;
        Ok(confirmation_response(&found, true))
    })
    .await
}

fn confirmation_response(found: &Confirmation, confirmed: bool) -> ConfirmationResponse {
    let (kind, ticket) = match found {
        Confirmation::Control(ticket) => (ConfirmationKind::Control, ticket),
        Confirmation::Contact(ticket) => (ConfirmationKind::Contact, ticket),
    };
    ConfirmationResponse {
        kind,
        number: ticket.number,
        ticket_kind: ticket.kind,
        subject: ticket.subject.to_string(),
        confirmed,
        // The owner of a role address is not always the requester.
        path: (confirmed && kind == ConfirmationKind::Contact).then(|| ticket.path()),
    }
}

/// Proves control of the subject of a ticket: sent by the listed server itself. The response is one
/// line of text, or JSON for a client that asks for it.
#[utoipa::path(post, path = "/prove/{code}", tag = "public",
    params(("code" = String, Path, description = "The code on the page of the ticket")),
    responses((status = 200, body = ControlProvedResponse, description = "Control is proved", content_type = "application/json")))]
pub async fn post_proof(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    Part(code): Part,
    headers: HeaderMap,
) -> Response {
    let wants_json = headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|v| v.to_str().unwrap_or("").contains("application/json"));
    // A browser at the address can belong to anybody whose traffic the address forwards.
    let from_browser = headers.contains_key("sec-fetch-site") || headers.contains_key("origin");
    let proved = match from_browser {
        true => Err(ProblemDetails::forbidden(
            "a page of a browser proves nothing; run the command on the server",
        )),
        false => prove_control(&app, &code, client).await,
    };
    match proved {
        Ok(proved) if wants_json => Json(proved).into_response(),
        Err(problem) if wants_json => problem.into_response(),
        Ok(proved) => text(
            StatusCode::OK,
            &format!(
                "proved: {} is yours; go on at the page of your request",
                proved.subject
            ),
        ),
        Err(problem) => {
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::CONFLICT);
            let mut response = text(status, &format!("not proved: {}", problem.detail));
            if let Some(seconds) = problem.retry_after {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
    }
}

/// A response of one line.
fn text(status: StatusCode, line: &str) -> Response {
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, format!("{line}\n")).into_response()
}

/// Checks the TXT record of a ticket.
#[utoipa::path(post, path = "/tickets/{secret}/check-dns", tag = "public",
    params(("secret" = String, Path, description = "The secret part of the ticket's path")),
    responses((status = 200, body = TicketResponse, description = "The ticket, with its proof")))]
pub async fn post_ticket_dns_check(
    State(app): State<App>,
    Part(secret): Part,
) -> JsonResult<TicketResponse> {
    check_ticket_dns(&app, &secret).await.map(Json)
}

/// Sends a code by mail to a role address of the subject's domain.
#[utoipa::path(post, path = "/tickets/{secret}/send-code", tag = "public",
    params(("secret" = String, Path, description = "The secret part of the ticket's path")),
    request_body = TicketCodeRequest,
    responses((status = 200, body = TicketResponse, description = "The ticket; the code is on its way")))]
pub async fn post_ticket_code(
    State(app): State<App>,
    Part(secret): Part,
    JsonBody(request): JsonBody<TicketCodeRequest>,
) -> JsonResult<TicketResponse> {
    send_ticket_code(&app, &secret, request).await.map(Json)
}

/// Issues a new code for the page of a ticket if the old one has expired.
#[utoipa::path(post, path = "/tickets/{secret}/new-code", tag = "public",
    params(("secret" = String, Path, description = "The secret part of the ticket's path")),
    responses((status = 200, body = TicketResponse, description = "The ticket")))]
pub async fn post_ticket_new_code(
    State(app): State<App>,
    Part(secret): Part,
) -> JsonResult<TicketResponse> {
    let changed = change_ticket(&app, &secret, TicketService::renew_control_code);
    changed.await.map(Json)
}

/// Sets the address that is notified of changes of a ticket. It gets a link to confirm it first.
#[utoipa::path(post, path = "/tickets/{secret}/contact", tag = "public",
    params(("secret" = String, Path, description = "The secret part of the ticket's path")),
    request_body = TicketContactRequest,
    responses((status = 200, body = TicketResponse, description = "The ticket")))]
pub async fn post_ticket_contact(
    State(app): State<App>,
    Part(secret): Part,
    JsonBody(request): JsonBody<TicketContactRequest>,
) -> JsonResult<TicketResponse> {
    set_ticket_contact(&app, &secret, request).await.map(Json)
}

/// Ends the notifications of a ticket.
#[utoipa::path(post, path = "/tickets/{secret}/unsubscribe", tag = "public",
    params(("secret" = String, Path, description = "The secret part of the ticket's path")),
    responses((status = 200, body = TicketResponse, description = "The ticket")))]
pub async fn post_ticket_unsubscription(
    State(app): State<App>,
    Part(secret): Part,
) -> JsonResult<TicketResponse> {
    let changed = change_ticket(&app, &secret, TicketService::unsubscribe);
    changed.await.map(Json)
}

/// Returns what a code from a mail would confirm. Nothing is changed.
#[utoipa::path(get, path = "/confirm/{code}", tag = "public",
    params(("code" = String, Path, description = "The code from the mail")),
    responses((status = 200, body = ConfirmationResponse, description = "What the code is for")))]
pub async fn get_confirmation(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    Part(code): Part,
) -> JsonResult<ConfirmationResponse> {
    view_confirmation(&app, &code, client).await.map(Json)
}

/// Confirms what a code from a mail is for.
#[utoipa::path(post, path = "/confirm/{code}", tag = "public",
    params(("code" = String, Path, description = "The code from the mail")),
    responses((status = 200, body = ConfirmationResponse, description = "What was confirmed")))]
pub async fn post_confirmation(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    Part(code): Part,
) -> JsonResult<ConfirmationResponse> {
    confirm_code(&app, &code, client).await.map(Json)
}

/// Limits the changes of tickets that a client makes, whatever the page.
pub(super) async fn limit_changes(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    request: Request,
    next: Next,
) -> Response {
    let is_change =
        request.method() == Method::POST && request.uri().path().starts_with("/tickets/");
    if is_change && let Err(e) = app.tickets.count_request(LimitedRequest::Change, client) {
        let dictionary = app.ledger.store.dictionary();
        return ProblemDetails::of_ticket_error(e, &dictionary).into_response();
    }
    next.run(request).await
}

/// The router of `[proofs] listen`: proofs of control over plain HTTP, and nothing else.
pub fn proof_router(app: App) -> Router {
    let explain = |Part(_): Part| async {
        text(
            StatusCode::OK,
            "send this request by POST from the listed server, such as with curl -X POST",
        )
    };
    let other = || async {
        text(
            StatusCode::NOT_FOUND,
            "only proofs of control are served here",
        )
    };
    Router::new()
        .route("/prove/{code}", post(post_proof).get(explain))
        .fallback(other)
        .layer(middleware::from_fn(close_connection))
        .layer(axum::extract::DefaultBodyLimit::max(1024))
        .with_state(app)
}

/// Ends the connection after the response, so that simple programs see its end.
async fn close_connection(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let value = header::HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, value);
    response
}
