//! Webhooks: who is told what happens, and what waits for them.

use axum::{Extension, Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    App,
    access::Caller,
    error::Problem,
    input::{Body, Part},
    secrets,
    shapes::Page,
};
use crate::ledger::{
    AccountChange,
    outbox::{DeliveryResult, Webhook, messages},
};

/// Messages that are shown of a webhook.
const SHOWN: usize = 1000;
/// How many webhooks there are at most.
const MOST: usize = 100;

/// A webhook, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookShape {
    id: String,
    url: String,
    since: String,
    by: String,
    /// Since when nothing is sent.
    paused: Option<String>,
}

/// A new webhook.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// Where messages go: http://, https://, or mailto: by the configured smart host.
    url: String,
}

/// A webhook with its secret, which is shown once.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShownWebhook {
    #[serde(flatten)]
    about: WebhookShape,
    /// The key of HMAC-SHA256 over `t.body` in the header `orbsd-signature: t=…,v1=…`.
    secret: String,
}

/// What changes about a webhook.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookChange {
    /// True: nothing is sent or gathered; false: from now on again.
    paused: bool,
}

/// A message that waits, or was given up.
#[derive(Debug, Serialize, ToSchema)]
pub struct MessageShape {
    commit: u64,
    since: String,
    tries: u32,
    /// When it is tried next.
    next: String,
    /// What came of the last try.
    problem: Option<String>,
    /// It was given up.
    dead: bool,
}

fn shape(h: &Webhook) -> WebhookShape {
    WebhookShape {
        id: h.id.clone(),
        url: h.url.clone(),
        since: h.since.to_string(),
        by: h.by.clone(),
        paused: h.paused.map(|t| t.to_string()),
    }
}

fn find(app: &App, id: &str) -> Result<Webhook, Problem> {
    app.ledger
        .accounts()
        .webhooks
        .get(id)
        .cloned()
        .ok_or_else(|| Problem::not_found(format!("there is no webhook `{id}`")))
}

async fn keep(
    app: &App,
    keep: AccountChange,
    line: crate::store::schema::AuditRecord,
) -> Result<(), Problem> {
    app.ledger
        .change_accounts(keep, Some(line))
        .await
        .map_err(|e| Problem::of(&e, &app.ledger.store.dictionary()))
}

/// All webhooks.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", responses((status = 200, body = Page<WebhookShape>), Problem))]
pub(super) async fn all(State(app): State<App>) -> Json<Page<WebhookShape>> {
    Json(Page::all(
        app.ledger.accounts().webhooks.values().map(shape).collect(),
    ))
}

/// One webhook.
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)), responses((status = 200, body = WebhookShape), Problem))]
pub(super) async fn one(
    State(app): State<App>,
    Part(id): Part,
) -> Result<Json<WebhookShape>, Problem> {
    find(&app, &id).map(|hook| Json(shape(&hook)))
}

/// Makes a webhook: each commit is told there, signed, until it is taken. The secret in the answer
/// is shown once.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = NewWebhook, responses((status = 201, body = ShownWebhook), Problem))]
pub(super) async fn make(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Body(new): Body<NewWebhook>,
) -> Result<(StatusCode, Json<ShownWebhook>), Problem> {
    (app.check_url)(&new.url).map_err(|e| Problem::invalid(format!("url: {e}")))?;
    if app.ledger.accounts().webhooks.size() >= MOST {
        return Err(Problem::refused(format!(
            "there are {MOST} webhooks already"
        )));
    }
    let (id, _, _) = secrets::token().map_err(Problem::failed)?;
    let secret = secrets::text(&secrets::random::<32>().map_err(Problem::failed)?);
    let hook = Webhook {
        id,
        url: new.url,
        secret: secret.clone().into_bytes(),
        since: app.ledger.now(),
        by: caller.name.clone(),
        paused: None,
    };
    keep(
        &app,
        AccountChange::Webhook(hook.clone()),
        caller.line("webhook.add", &hook.id, &hook.url, None),
    )
    .await?;
    Ok((
        StatusCode::CREATED,
        Json(ShownWebhook {
            about: shape(&hook),
            secret,
        }),
    ))
}

/// Pauses a webhook, or lets it go on.
#[utoipa::path(patch, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)), request_body = WebhookChange, responses((status = 200, body = WebhookShape), Problem))]
pub(super) async fn change(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
    Body(asked): Body<WebhookChange>,
) -> Result<Json<WebhookShape>, Problem> {
    let hook = Webhook {
        paused: asked.paused.then(|| app.ledger.now()),
        ..find(&app, &id)?
    };
    let what = if asked.paused {
        "webhook.pause"
    } else {
        "webhook.resume"
    };
    keep(
        &app,
        AccountChange::Webhook(hook.clone()),
        caller.line(what, &id, &hook.url, None),
    )
    .await?;
    Ok(Json(shape(&hook)))
}

/// Removes a webhook with all that waits for it.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)), responses((status = 200, body = WebhookShape), Problem))]
pub(super) async fn remove(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
) -> Result<Json<WebhookShape>, Problem> {
    let hook = find(&app, &id)?;
    keep(
        &app,
        AccountChange::DeleteWebhook(id.clone()),
        caller.line("webhook.remove", &id, &hook.url, None),
    )
    .await?;
    Ok(Json(shape(&hook)))
}

/// What waits for a webhook, and its dead letters.
#[utoipa::path(get, path = "/v1/webhooks/{id}/messages", tag = "webhooks", params(("id" = String, Path)), responses((status = 200, body = Page<MessageShape>), Problem))]
pub(super) async fn waiting(
    State(app): State<App>,
    Part(id): Part,
) -> Result<Json<Page<MessageShape>>, Problem> {
    find(&app, &id)?;
    let all = messages(&app.ledger.store, &id, SHOWN)?;
    let one = |m: crate::ledger::outbox::Message| MessageShape {
        commit: m.commit,
        since: m.since.to_string(),
        tries: m.tries,
        next: m.next.max(m.since).to_string(),
        problem: m.problem,
        dead: m.dead,
    };
    Ok(Json(Page::all(all.into_iter().map(one).collect())))
}

/// Has everything that waits, dead letters too, tried again at once.
#[utoipa::path(post, path = "/v1/webhooks/{id}/retry", tag = "webhooks", params(("id" = String, Path)), responses((status = 200, body = WebhookShape), Problem))]
pub(super) async fn retry(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
) -> Result<Json<WebhookShape>, Problem> {
    let hook = find(&app, &id)?;
    let all = messages(&app.ledger.store, &id, SHOWN)?;
    for m in all.iter().filter(|m| m.tries > 0) {
        // What was taken meanwhile is there no more.
        let _ = app
            .ledger
            .record_delivery(&id, m.commit, DeliveryResult::Retry)
            .await;
    }
    let line = caller.line(
        "webhook.retry",
        &id,
        format!("{} messages", all.len()),
        None,
    );
    app.ledger
        .note(line)
        .await
        .map_err(|e| Problem::of(&e, &app.ledger.store.dictionary()))?;
    Ok(Json(shape(&hook)))
}
