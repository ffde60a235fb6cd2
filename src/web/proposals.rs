//! Listings that wait for a second person.

use axum::{Extension, Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    App,
    access::Caller,
    change::done,
    error::Problem,
    input::Part,
    shapes::{Page, ReceiptShape},
};
use crate::{
    ledger::{Keep, Proposal},
    model::{
        Evidence,
        history::{Ask, Once},
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
    note: Option<String>,
}

fn shape(app: &App, p: &Proposal) -> ProposalShape {
    let v = app.ledger.store.vocabulary();
    let (reason, source) = match &p.change.ask {
        Ask::List { reason, source, .. } => (v.reasons.name(*reason).into(), v.sources.name(*source).into()),
        _ => (String::new(), String::new()),
    };
    ProposalShape {
        id: p.id.clone(),
        at: p.at.to_string(),
        by: p.change.author.clone(),
        subject: p.change.subject.to_string(),
        reason,
        source,
        note: p.change.evidence.as_ref().map(|e| e.text.clone()),
    }
}

/// Listings that wait for a second person.
#[utoipa::path(get, path = "/v1/proposals", tag = "proposals", responses((status = 200, body = Page<ProposalShape>), Problem))]
pub(super) async fn all(State(app): State<App>) -> Json<Page<ProposalShape>> {
    Json(Page::all(app.ledger.book().proposals.values().map(|p| shape(&app, p)).collect()))
}

fn one(app: &App, id: &str) -> Result<Proposal, Problem> {
    app.ledger.book().proposals.get(id).cloned().ok_or_else(|| Problem::not_found(format!("there is no proposal `{id}` (any more)")))
}

async fn forget(app: &App, caller: &Caller, what: &str, p: &Proposal, once: Option<Once>) -> Result<(), Problem> {
    let mut line = caller.line(what, &p.change.subject, &p.id, None);
    line.once = once;
    let problem = |e| Problem::of(&e, &app.ledger.store.vocabulary());
    app.ledger.keep(Keep::NoProposal(p.id.clone()), Some(line)).await.map_err(problem)
}

/// Approves a proposal of somebody else: the listing is made.
#[utoipa::path(post, path = "/v1/proposals/{id}/approve", tag = "proposals", params(("id" = String, Path)), responses((status = 200, body = ReceiptShape), Problem))]
pub(super) async fn approve(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
) -> Result<Json<ReceiptShape>, Problem> {
    let proposal = one(&app, &id)?;
    if proposal.change.author == caller.name {
        return Err(Problem::forbidden("somebody else has to approve what you proposed"));
    }
    let known = shape(&app, &proposal);
    caller.allow(Some(&proposal.change.subject), Some(&known.reason), Some(&known.source))?;
    let mut change = proposal.change.clone();
    let note = change.evidence.as_ref().map_or(String::new(), |e| format!("{} ", e.text));
    change.evidence = Some(Evidence::word(format!("{note}(approved by {})", caller.name)));
    (change.terms.expect, change.terms.once, change.terms.from) = (None, caller.once, caller.from.clone());
    // Taken away first: nobody turns down what is listed meanwhile, and nobody approves it twice.
    forget(&app, &caller, "approve", &proposal, None).await?;
    let receipt = match done(&app, change).await {
        Ok(receipt) => receipt,
        Err(e) => {
            let mut line = caller.line("propose", &proposal.change.subject, &proposal.id, Some("the approval failed".into()));
            line.once = None;
            let _ = app.ledger.keep(Keep::Proposal(proposal), Some(line)).await;
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
    let proposal = one(&app, &id)?;
    let known = shape(&app, &proposal);
    caller.allow(Some(&proposal.change.subject), Some(&known.reason), Some(&known.source))?;
    forget(&app, &caller, "turn down", &proposal, caller.once).await?;
    Ok(Json(shape(&app, &proposal)))
}
