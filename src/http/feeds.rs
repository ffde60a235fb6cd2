//! Feeds: how they are, what people decide about lists that a guard stopped, and the reset of a
//! source's shape.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use serde_json::{Value, json};

use super::{App, access::Caller, error::Problem, import::problem, input::Part};
use crate::{imports, ledger::AccountChange, store::schema::AuditRecord};

/// Accepts or refuses the held list of a feed; the audit record is written with it.
pub type DecideFeed =
    Arc<dyn Fn(&str, bool, AuditRecord) -> Result<Value, imports::Failed> + Send + Sync>;

/// The answer where no daemon runs.
pub fn no_feeds() -> DecideFeed {
    Arc::new(|name, _, _| {
        Err(imports::Failed::Busy(format!(
            "no daemon runs, so no feed `{name}` is read; start it first"
        )))
    })
}

/// The feeds that run: what each is made from, how it is refreshed, and the list that is held.
#[utoipa::path(get, path = "/v1/feeds", tag = "imports", responses((status = 200, body = Value), Problem))]
pub(super) async fn all(State(app): State<App>) -> Json<Value> {
    Json(json!({"items": (app.feeds)(), "next": null}))
}

/// One feed; `held` has the difference that its held list would make, with samples.
#[utoipa::path(get, path = "/v1/feeds/{name}", tag = "imports", params(("name" = String, Path, description = "The feed's name")), responses((status = 200, body = Value), Problem))]
pub(super) async fn one(State(app): State<App>, Part(name): Part) -> Result<Json<Value>, Problem> {
    let all = (app.feeds)();
    let found = all
        .as_array()
        .into_iter()
        .flatten()
        .find(|f| f["feed"] == name.as_str());
    found.cloned().map(Json).ok_or_else(|| {
        Problem::not_found(format!(
            "there is no feed `{name}`; `GET /v1/feeds` names all"
        ))
    })
}

/// Accepts the list that is held: the file is imported as it is, unless it has changed since.
#[utoipa::path(post, path = "/v1/feeds/{name}/accept", tag = "imports", params(("name" = String, Path, description = "The feed's name")), responses((status = 200, body = Value), Problem))]
pub(super) async fn accept(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(name): Part,
) -> Result<Json<Value>, Problem> {
    decide(app, caller, name, true).await
}

/// Refuses the list that is held: the old list stays until the file changes.
#[utoipa::path(post, path = "/v1/feeds/{name}/refuse", tag = "imports", params(("name" = String, Path, description = "The feed's name")), responses((status = 200, body = Value), Problem))]
pub(super) async fn refuse(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(name): Part,
) -> Result<Json<Value>, Problem> {
    decide(app, caller, name, false).await
}

/// Only a token for the whole source decides about its list.
fn allow(caller: &Caller, source: &str) -> Result<(), Problem> {
    if !caller.bounds.reasons.is_empty() || !caller.bounds.prefixes.is_empty() {
        return Err(Problem::forbidden(
            "a token that is bound to reasons or prefixes decides about no list; bind it to the source",
        ));
    }
    caller.allow(None, None, Some(source))
}

async fn decide(
    app: App,
    caller: Caller,
    name: String,
    accept: bool,
) -> Result<Json<Value>, Problem> {
    allow(&caller, &name)?;
    if !app.daemon {
        return Err(Problem::refused(
            "no daemon runs, so no feed is read; start it first",
        ));
    }
    let audit = caller.line(
        if accept { "feed.accept" } else { "feed.refuse" },
        &name,
        "",
        None,
    );
    let of = app.clone();
    let done = tokio::task::spawn_blocking(move || (of.decide_feed)(&name, accept, audit))
        .await
        .map_err(Problem::failed)?;
    done.map(Json).map_err(|e| problem(&app.ledger, &e))
}

/// Forgets the shape of a source's last list (its kind, and whether it had a final record), so that
/// a list of another shape may follow. No entry is removed.
#[utoipa::path(post, path = "/v1/sources/{name}/reset", tag = "imports", params(("name" = String, Path, description = "The source's name")), responses((status = 200, body = Value), Problem))]
pub(super) async fn reset(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(name): Part,
) -> Result<Json<Value>, Problem> {
    allow(&caller, &name)?;
    let v = app.ledger.store.dictionary();
    let source = v.sources.get(&name).filter(|s| s.is_feed());
    let source = source
        .ok_or_else(|| Problem::not_found(format!("no list was imported for a source `{name}`")))?;
    let audit = caller.line("source.reset", &name, "", None);
    app.ledger
        .change_accounts(AccountChange::ResetListShape(source), Some(audit))
        .await
        .map_err(|e| Problem::of(&e, &v))?;
    Ok(Json(json!({"source": name, "reset": true})))
}
