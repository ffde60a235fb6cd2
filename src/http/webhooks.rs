//! Webhooks, and the messages that wait for them.

use axum::{Extension, Json, extract::State, http::StatusCode};

use super::{
    App,
    caller::Caller,
    error::of_ledger,
    input::{JsonBody, Part},
    secrets,
};
use crate::{
    api::{
        Page, ProblemDetails, WebhookChangeRequest, WebhookMessageResponse, WebhookRequest,
        WebhookResponse, WebhookSecretResponse,
    },
    ledger::{
        AccountChange,
        outbox::{DeliveryResult, Webhook, messages},
    },
};

/// The most messages of a webhook that a response has.
const MAX_MESSAGES: usize = 1000;
/// The most webhooks.
const MAX_WEBHOOKS: usize = 100;

fn response(h: &Webhook) -> WebhookResponse {
    WebhookResponse {
        id: h.id.clone(),
        url: h.url.clone(),
        since: h.since.into(),
        author: h.by.clone(),
        paused: h.paused.map(Into::into),
    }
}

fn find(app: &App, id: &str) -> Result<Webhook, ProblemDetails> {
    app.ledger
        .accounts()
        .webhooks
        .get(id)
        .cloned()
        .ok_or_else(|| ProblemDetails::not_found(format!("there is no webhook `{id}`")))
}

async fn store(
    app: &App,
    change: AccountChange,
    record: crate::store::schema::AuditRecord,
) -> Result<(), ProblemDetails> {
    app.ledger
        .change_accounts(change, Some(record))
        .await
        .map_err(of_ledger(&app.ledger))
}

/// Lists all webhooks.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks",
    responses((status = 200, body = Page<WebhookResponse>, description = "All webhooks")))]
pub(super) async fn list_webhooks(State(app): State<App>) -> Json<Page<WebhookResponse>> {
    Json(Page::all(
        app.ledger
            .accounts()
            .webhooks
            .values()
            .map(response)
            .collect(),
    ))
}

/// Returns a webhook.
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The ID of the webhook")),
    responses((status = 200, body = WebhookResponse, description = "The webhook")))]
pub(super) async fn get_webhook(
    State(app): State<App>,
    Part(id): Part,
) -> Result<Json<WebhookResponse>, ProblemDetails> {
    find(&app, &id).map(|hook| Json(response(&hook)))
}

/// Adds a webhook: every commit is sent to its URL, signed, until it is accepted. The secret is
/// displayed once, in the response.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = WebhookRequest,
    responses((status = 201, body = WebhookSecretResponse, description = "The webhook with its secret")))]
pub(super) async fn add_webhook(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonBody(request): JsonBody<WebhookRequest>,
) -> Result<(StatusCode, Json<WebhookSecretResponse>), ProblemDetails> {
    (app.check_url)(&request.url).map_err(|e| ProblemDetails::invalid(format!("url: {e}")))?;
    if app.ledger.accounts().webhooks.size() >= MAX_WEBHOOKS {
        return Err(ProblemDetails::conflict(format!(
            "there are {MAX_WEBHOOKS} webhooks already, which is the limit"
        )));
    }
    let (id, _, _) = secrets::token().map_err(ProblemDetails::failed)?;
    let secret = secrets::text(&secrets::random::<32>().map_err(ProblemDetails::failed)?);
    let hook = Webhook {
        id,
        url: request.url,
        secret: secret.clone().into_bytes(),
        since: app.ledger.now(),
        by: caller.name.clone(),
        paused: None,
    };
    store(
        &app,
        AccountChange::Webhook(hook.clone()),
        caller.audit_record("webhook.add", &hook.id, &hook.url, None),
    )
    .await?;
    Ok((
        StatusCode::CREATED,
        Json(WebhookSecretResponse {
            about: response(&hook),
            secret,
        }),
    ))
}

/// Pauses a webhook, or resumes it.
#[utoipa::path(patch, path = "/v1/webhooks/{id}", tag = "webhooks", request_body = WebhookChangeRequest,
    params(("id" = String, Path, description = "The ID of the webhook")),
    responses((status = 200, body = WebhookResponse, description = "The webhook")))]
pub(super) async fn change_webhook(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
    JsonBody(request): JsonBody<WebhookChangeRequest>,
) -> Result<Json<WebhookResponse>, ProblemDetails> {
    let hook = Webhook {
        paused: request.paused.then(|| app.ledger.now()),
        ..find(&app, &id)?
    };
    let what = if request.paused {
        "webhook.pause"
    } else {
        "webhook.resume"
    };
    store(
        &app,
        AccountChange::Webhook(hook.clone()),
        caller.audit_record(what, &id, &hook.url, None),
    )
    .await?;
    Ok(Json(response(&hook)))
}

/// Removes a webhook and the messages that wait for it.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The ID of the webhook")),
    responses((status = 200, body = WebhookResponse, description = "The removed webhook")))]
pub(super) async fn remove_webhook(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
) -> Result<Json<WebhookResponse>, ProblemDetails> {
    let hook = find(&app, &id)?;
    store(
        &app,
        AccountChange::DeleteWebhook(id.clone()),
        caller.audit_record("webhook.remove", &id, &hook.url, None),
    )
    .await?;
    Ok(Json(response(&hook)))
}

/// Lists the messages that wait for a webhook, and its dead letters.
#[utoipa::path(get, path = "/v1/webhooks/{id}/messages", tag = "webhooks",
    params(("id" = String, Path, description = "The ID of the webhook")),
    responses((status = 200, body = Page<WebhookMessageResponse>, description = "The first 1000 messages")))]
pub(super) async fn list_messages(
    State(app): State<App>,
    Part(id): Part,
) -> Result<Json<Page<WebhookMessageResponse>>, ProblemDetails> {
    find(&app, &id)?;
    let all = messages(&app.ledger.store, &id, MAX_MESSAGES)?;
    let one = |m: crate::ledger::outbox::Message| WebhookMessageResponse {
        commit: m.commit,
        since: m.since.into(),
        tries: m.tries,
        next: m.next.max(m.since).into(),
        problem: m.problem,
        dead: m.dead,
    };
    Ok(Json(Page::all(all.into_iter().map(one).collect())))
}

/// Sends all waiting messages again at once, including dead letters.
#[utoipa::path(post, path = "/v1/webhooks/{id}/retry", tag = "webhooks",
    params(("id" = String, Path, description = "The ID of the webhook")),
    responses((status = 200, body = WebhookResponse, description = "The webhook")))]
pub(super) async fn retry_messages(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
) -> Result<Json<WebhookResponse>, ProblemDetails> {
    let hook = find(&app, &id)?;
    let all = messages(&app.ledger.store, &id, MAX_MESSAGES)?;
    for m in all.iter().filter(|m| m.tries > 0) {
        // The error of a message that was accepted meanwhile is ignored.
        let _ = app
            .ledger
            .record_delivery(&id, m.commit, DeliveryResult::Retry)
            .await;
    }
    let record = caller.audit_record(
        "webhook.retry",
        &id,
        format!("{} messages", all.len()),
        None,
    );
    app.ledger
        .note(record)
        .await
        .map_err(of_ledger(&app.ledger))?;
    Ok(Json(response(&hook)))
}
