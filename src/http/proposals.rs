//! Listings that wait for a second person.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    access::Caller,
    change::done,
    error::Problem,
    input::{Params, Part},
    shapes::{Page, ReceiptShape},
};
use crate::{
    ledger::{AccountChange, PROPOSE, Proposal},
    model::{
        Evidence,
        history::{Command, IdempotencyKey},
    },
};

/// A listing that waits for a second person.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProposalShape {
    id: String,
    at: String,
    by: String,
    subject: String,
    reason: String,
    source: String,
    /// When the listing ends by itself; none: after the reason's lifetime.
    until: Option<String>,
    /// The listing's own text.
    text: Option<String>,
    note: Option<String>,
}

fn shape(app: &App, p: &Proposal) -> ProposalShape {
    let v = app.ledger.store.dictionary();
    let (reason, source, until, text) = match &p.change.command {
        Command::List {
            reason,
            source,
            until,
            text,
        } => (
            v.reasons.name(*reason).into(),
            v.sources.name(*source).into(),
            until.map(|t| t.to_string()),
            text.as_ref().map(|t| t.to_string()),
        ),
        _ => (String::new(), String::new(), None, None),
    };
    ProposalShape {
        id: p.id.clone(),
        at: p.at.to_string(),
        by: p.change.author.clone(),
        subject: p.change.subject.to_string(),
        reason,
        source,
        until,
        text,
        note: p.change.evidence.as_ref().map(|e| e.text.clone()),
    }
}

/// Which proposals.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ProposalsQuery {
    /// Only the proposals of this author.
    author: Option<String>,
}

/// Listings that wait for another person, the oldest first.
#[utoipa::path(get, path = "/v1/proposals", tag = "proposals", params(ProposalsQuery), responses((status = 200, body = Page<ProposalShape>), Problem))]
pub(super) async fn all(
    State(app): State<App>,
    Params(query): Params<ProposalsQuery>,
) -> Json<Page<ProposalShape>> {
    let all = app.ledger.accounts().proposals.all();
    let of_author = all
        .iter()
        .filter(|p| query.author.as_ref().is_none_or(|a| *a == p.change.author));
    Json(Page::all(of_author.map(|p| shape(&app, p)).collect()))
}

/// One proposal.
#[utoipa::path(get, path = "/v1/proposals/{id}", tag = "proposals", params(("id" = String, Path)), responses((status = 200, body = ProposalShape), Problem))]
pub(super) async fn one(
    State(app): State<App>,
    Part(id): Part,
) -> Result<Json<ProposalShape>, Problem> {
    find(&app, &id).map(|p| Json(shape(&app, &p)))
}

fn find(app: &App, id: &str) -> Result<Arc<Proposal>, Problem> {
    app.ledger
        .accounts()
        .proposals
        .get(id)
        .cloned()
        .ok_or_else(|| Problem::not_found(format!("there is no proposal `{id}` (any more)")))
}

async fn forget(
    app: &App,
    caller: &Caller,
    what: &str,
    p: &Proposal,
    once: Option<IdempotencyKey>,
) -> Result<(), Problem> {
    let mut line = caller.line(what, &p.change.subject, &p.id, None);
    line.idempotency = once;
    let problem = |e| Problem::of(&e, &app.ledger.store.dictionary());
    app.ledger
        .change_accounts(
            AccountChange::DeleteProposals(vec![p.id.clone()]),
            Some(line),
        )
        .await
        .map_err(problem)
}

/// Refuses whoever would approve their own proposal: the same author, and, for a reason that takes
/// two persons, the same person behind two authors.
fn check_other_person(
    app: &App,
    caller: &Caller,
    proposal: &Proposal,
    reason: &str,
) -> Result<(), Problem> {
    let two = app
        .ledger
        .settings()
        .reasons
        .iter()
        .any(|r| r.name == reason && r.two_persons);
    let author = &proposal.change.author;
    if *author == caller.name {
        return Err(Problem::forbidden(
            "somebody else has to approve what you proposed",
        ));
    }
    let person = super::identity::person(app, &proposal.person);
    if two && person == caller.person {
        return Err(Problem::forbidden(format!(
            "somebody else has to approve it: {author}, who proposed it, and {} both act for {person}, and the reason `{reason}` takes two persons",
            caller.name
        )));
    }
    Ok(())
}

/// Approves a proposal of somebody else: the listing is made.
#[utoipa::path(post, path = "/v1/proposals/{id}/approve", tag = "proposals", params(("id" = String, Path)), responses((status = 200, body = ReceiptShape), Problem))]
pub(super) async fn approve(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
) -> Result<Json<ReceiptShape>, Problem> {
    let proposal = find(&app, &id)?;
    let known = shape(&app, &proposal);
    check_other_person(&app, &caller, &proposal, &known.reason)?;
    caller.allow(
        Some(&proposal.change.subject),
        Some(&known.reason),
        Some(&known.source),
    )?;
    let mut change = proposal.change.clone();
    let note = change
        .evidence
        .as_ref()
        .map_or(String::new(), |e| format!("{} ", e.text));
    change.evidence = Some(Evidence::word(format!(
        "{note}(approved by {})",
        caller.name
    )));
    (
        change.preconditions.expect,
        change.preconditions.idempotency,
        change.preconditions.from,
    ) = (None, caller.once, caller.from.clone());
    // Taken away first: nobody turns down what is listed meanwhile, and nobody approves it twice.
    forget(&app, &caller, "approve", &proposal, None).await?;
    let receipt = match done(&app, change).await {
        Ok(receipt) => receipt,
        Err(e) => {
            let mut line = caller.line(
                PROPOSE,
                &proposal.change.subject,
                &proposal.id,
                Some("the approval failed".into()),
            );
            line.idempotency = None;
            let _ = app
                .ledger
                .change_accounts(
                    AccountChange::ReturnedProposal(Proposal::clone(&proposal)),
                    Some(line),
                )
                .await;
            return Err(e);
        }
    };
    Ok(Json(receipt))
}

/// Turns a proposal down.
#[utoipa::path(delete, path = "/v1/proposals/{id}", tag = "proposals", params(("id" = String, Path)), responses((status = 200, body = ProposalShape), Problem))]
pub(super) async fn refuse(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
) -> Result<Json<ProposalShape>, Problem> {
    let proposal = find(&app, &id)?;
    let known = shape(&app, &proposal);
    caller.allow(
        Some(&proposal.change.subject),
        Some(&known.reason),
        Some(&known.source),
    )?;
    forget(&app, &caller, "turn down", &proposal, caller.once).await?;
    Ok(Json(shape(&app, &proposal)))
}

/// The author whose proposals are deleted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeletionQuery {
    /// All waiting proposals of this author are deleted, as far as the caller may decide about
    /// them.
    author: String,
}

/// How many proposals were deleted.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeletedProposals {
    /// The author of the proposals.
    author: String,
    /// How many were deleted.
    deleted: usize,
}

/// Deletes all proposals of an author.
#[utoipa::path(delete, path = "/v1/proposals", tag = "proposals", params(DeletionQuery), responses((status = 200, body = DeletedProposals), Problem))]
pub(super) async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Params(DeletionQuery { author }): Params<DeletionQuery>,
) -> Result<Json<DeletedProposals>, Problem> {
    let allowed = |p: &Proposal| {
        let known = shape(&app, p);
        caller
            .allow(
                Some(&p.change.subject),
                Some(&known.reason),
                Some(&known.source),
            )
            .is_ok()
    };
    let all = app.ledger.accounts().proposals.all();
    let ids: Vec<String> = all
        .iter()
        .filter(|p| p.change.author == author && allowed(p))
        .map(|p| p.id.clone())
        .collect();
    let deleted = ids.len();
    let mut line = caller.line(
        "proposals.delete",
        &author,
        format!("{deleted} proposals"),
        None,
    );
    line.idempotency = caller.once;
    let problem = |e| Problem::of(&e, &app.ledger.store.dictionary());
    app.ledger
        .change_accounts(AccountChange::DeleteProposals(ids), Some(line))
        .await
        .map_err(problem)?;
    Ok(Json(DeletedProposals { author, deleted }))
}
