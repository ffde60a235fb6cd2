//! Webhooks, and the messages that wait for them.

use axum::{Json, extract::State, http::StatusCode};

use super::{
    App,
    handler::{Call, JsonResult, StatusResult},
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
        outbox::{DeliveryResult, Message, Webhook, messages},
    },
    model::text::counted,
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
    let found = app.ledger.accounts().webhooks.get(id).cloned();
    found.ok_or_else(|| ProblemDetails::not_found(format!("there is no webhook `{id}`")))
}

/// Lists all webhooks.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks",
    responses((status = 200, body = Page<WebhookResponse>, description = "All webhooks")))]
pub async fn list_webhooks(State(app): State<App>) -> Json<Page<WebhookResponse>> {
    Json(Page::all(
        app.ledger.accounts().webhooks.values().map(response),
    ))
}

/// Returns a webhook.
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The ID of the webhook")),
    responses((status = 200, body = WebhookResponse, description = "The webhook")))]
pub async fn get_webhook(State(app): State<App>, Part(id): Part) -> JsonResult<WebhookResponse> {
    find(&app, &id).map(|hook| Json(response(&hook)))
}

/// Adds a webhook: every commit is sent to its URL, signed, until it is accepted. The secret is
/// displayed once, in the response.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = WebhookRequest,
    responses((status = 201, body = WebhookSecretResponse, description = "The webhook with its secret")))]
pub async fn add_webhook(
    Call { app, caller }: Call,
    JsonBody(request): JsonBody<WebhookRequest>,
) -> StatusResult<WebhookSecretResponse> {
    (app.check_url)(&request.url).map_err(|e| ProblemDetails::invalid(format!("url: {e}")))?;
    if app.ledger.accounts().webhooks.size() >= MAX_WEBHOOKS {
        return Err(ProblemDetails::conflict(format!(
            "there are {MAX_WEBHOOKS} webhooks already, which is the limit"
        )));
    }
    let (id, _, _) = secrets::token().map_err(ProblemDetails::internal)?;
    let secret = secrets::base32(&secrets::random::<32>().map_err(ProblemDetails::internal)?);
    let hook = Webhook {
        id,
        url: request.url,
        secret: secret.clone().into_bytes(),
        since: app.ledger.now(),
        by: caller.name.clone(),
        paused: None,
    };
    let record = caller.audit_record("webhook.add", &hook.id, &hook.url, None);
    let about = response(&hook);
    app.change_accounts(AccountChange::Webhook(hook), record)
        .await?;
    let response = WebhookSecretResponse { about, secret };
    Ok((StatusCode::CREATED, Json(response)))
}

/// Pauses a webhook, or resumes it.
#[utoipa::path(patch, path = "/v1/webhooks/{id}", tag = "webhooks", request_body = WebhookChangeRequest,
    params(("id" = String, Path, description = "The ID of the webhook")),
    responses((status = 200, body = WebhookResponse, description = "The webhook")))]
pub async fn change_webhook(
    Call { app, caller }: Call,
    Part(id): Part,
    JsonBody(request): JsonBody<WebhookChangeRequest>,
) -> JsonResult<WebhookResponse> {
    let hook = Webhook {
        paused: request.paused.then(|| app.ledger.now()),
        ..find(&app, &id)?
    };
    let action = if request.paused {
        "webhook.pause"
    } else {
        "webhook.resume"
    };
    let record = caller.audit_record(action, &id, &hook.url, None);
    let response = response(&hook);
    app.change_accounts(AccountChange::Webhook(hook), record)
        .await?;
    Ok(Json(response))
}

/// Removes a webhook and the messages that wait for it.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The ID of the webhook")),
    responses((status = 200, body = WebhookResponse, description = "The removed webhook")))]
pub async fn remove_webhook(
    Call { app, caller }: Call,
    Part(id): Part,
) -> JsonResult<WebhookResponse> {
    let hook = find(&app, &id)?;
    let record = caller.audit_record("webhook.remove", &id, &hook.url, None);
    app.change_accounts(AccountChange::DeleteWebhook(id), record)
        .await?;
    Ok(Json(response(&hook)))
}

/// Lists the messages that wait for a webhook, and its dead letters.
#[utoipa::path(get, path = "/v1/webhooks/{id}/messages", tag = "webhooks",
    params(("id" = String, Path, description = "The ID of the webhook")),
    responses((status = 200, body = Page<WebhookMessageResponse>, description = "The first 1000 messages")))]
pub async fn list_messages(
    State(app): State<App>,
    Part(id): Part,
) -> JsonResult<Page<WebhookMessageResponse>> {
    find(&app, &id)?;
    let all = messages(&app.ledger.store, &id, MAX_MESSAGES)?;
    let response = |m: Message| WebhookMessageResponse {
        commit: m.commit,
        since: m.since.into(),
        tries: m.tries,
        next: m.next.max(m.since).into(),
        problem: m.problem,
        dead: m.dead,
    };
    Ok(Json(Page::all(all.into_iter().map(response))))
}

/// Sends all waiting messages again at once, including dead letters.
#[utoipa::path(post, path = "/v1/webhooks/{id}/retry", tag = "webhooks",
    params(("id" = String, Path, description = "The ID of the webhook")),
    responses((status = 200, body = WebhookResponse, description = "The webhook")))]
pub async fn retry_messages(
    Call { app, caller }: Call,
    Part(id): Part,
) -> JsonResult<WebhookResponse> {
    let hook = find(&app, &id)?;
    let all = messages(&app.ledger.store, &id, MAX_MESSAGES)?;
    for m in all.iter().filter(|m| m.tries > 0) {
        // The error of a message that was accepted meanwhile is ignored.
        let _ = app
            .ledger
            .record_delivery(&id, m.commit, DeliveryResult::Retry)
            .await;
    }
    let detail = counted(all.len(), "message");
    app.note(caller.audit_record("webhook.retry", &id, detail, None))
        .await?;
    Ok(Json(response(&hook)))
}
