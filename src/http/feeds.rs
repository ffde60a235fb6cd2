//! Feeds: their state, decisions about lists that a guard stopped, and the reset of a source's
//! shape.

use std::sync::Arc;

use axum::{Json, extract::State};

use super::{
    App,
    handler::{Call, JsonResult, blocking},
    import::problem,
    input::Part,
};
use crate::{
    api::{FeedDecisionResponse, FeedResponse, Page, ProblemDetails, SourceResetResponse},
    imports,
    ledger::AccountChange,
    store::schema::AuditRecord,
};

/// Accepts or refuses the held list of a feed; the audit record is written with it.
pub type DecideFeed = Arc<
    dyn Fn(&str, bool, AuditRecord) -> Result<FeedDecisionResponse, imports::ImportFailure>
        + Send
        + Sync,
>;

/// The [`DecideFeed`] of a command without a daemon, which refuses every decision.
pub fn no_feeds() -> DecideFeed {
    Arc::new(|name, _, _| {
        Err(imports::ImportFailure::Busy(format!(
            "no daemon runs, so the feed `{name}` is not read; start the daemon first"
        )))
    })
}

/// Lists the feeds that run, with the state of their refreshes and their held lists.
#[utoipa::path(get, path = "/v1/feeds", tag = "imports",
    responses((status = 200, body = Page<FeedResponse>, description = "All feeds")))]
pub async fn list_feeds(State(app): State<App>) -> Json<Page<FeedResponse>> {
    Json(Page::all((app.feeds)()))
}

/// Returns a feed. If a list is held, `held` has the difference that it would make, with samples.
#[utoipa::path(get, path = "/v1/feeds/{name}", tag = "imports",
    params(("name" = String, Path, description = "The name of the feed")),
    responses((status = 200, body = FeedResponse, description = "The feed")))]
pub async fn get_feed(State(app): State<App>, Part(name): Part) -> JsonResult<FeedResponse> {
    let found = (app.feeds)().into_iter().find(|f| f.feed == name);
    found.map(Json).ok_or_else(|| {
        ProblemDetails::not_found(format!(
            "there is no feed `{name}`; `GET /v1/feeds` lists all"
        ))
    })
}

/// Accepts the held list: the file is imported as it is, unless it has changed since.
#[utoipa::path(post, path = "/v1/feeds/{name}/accept", tag = "imports",
    params(("name" = String, Path, description = "The name of the feed")),
    responses((status = 200, body = FeedDecisionResponse, description = "The list is imported")))]
pub async fn accept_list(call: Call, Part(name): Part) -> JsonResult<FeedDecisionResponse> {
    decide(call, name, true).await
}

/// Refuses the held list: the old list stays until the file changes.
#[utoipa::path(post, path = "/v1/feeds/{name}/refuse", tag = "imports",
    params(("name" = String, Path, description = "The name of the feed")),
    responses((status = 200, body = FeedDecisionResponse, description = "The list is refused")))]
pub async fn refuse_list(call: Call, Part(name): Part) -> JsonResult<FeedDecisionResponse> {
    decide(call, name, false).await
}

async fn decide(
    Call { app, caller }: Call,
    name: String,
    accept: bool,
) -> JsonResult<FeedDecisionResponse> {
    caller.allow_whole_source(&name, "decide about a list")?;
    if !app.daemon {
        return Err(ProblemDetails::conflict(
            "no daemon runs, so no feed is read; start the daemon first",
        ));
    }
    let action = if accept { "feed.accept" } else { "feed.refuse" };
    let record = caller.audit_record(action, &name, "", None);
    blocking(move || {
        let decided = (app.decide_feed)(&name, accept, record);
        decided.map(Json).map_err(|e| problem(&app.ledger, &e))
    })
    .await
}

/// Forgets the shape of a source's last list (its kind, and whether it had a final record), so that
/// a list of another shape may follow. No entry is removed.
#[utoipa::path(post, path = "/v1/sources/{name}/reset", tag = "imports",
    params(("name" = String, Path, description = "The name of the source")),
    responses((status = 200, body = SourceResetResponse, description = "The shape is forgotten")))]
pub async fn reset_source(
    Call { app, caller }: Call,
    Part(name): Part,
) -> JsonResult<SourceResetResponse> {
    caller.allow_whole_source(&name, "decide about a list")?;
    let dictionary = app.ledger.store.dictionary();
    let source = dictionary.sources.get(&name).filter(|s| s.is_feed());
    let source = source.ok_or_else(|| {
        ProblemDetails::not_found(format!("no list was imported for a source `{name}`"))
    })?;
    let record = caller.audit_record("source.reset", &name, "", None);
    app.change_accounts(AccountChange::ResetListShape(source), record)
        .await?;
    Ok(Json(SourceResetResponse {
        source: name,
        reset: true,
    }))
}
