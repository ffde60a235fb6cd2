//! Proposals: listings that wait for the approval of another person.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};

use super::{
    App,
    caller::Caller,
    changes::commit,
    error::of_ledger,
    input::{Part, QueryParams},
};
use crate::{
    api::{
        Page, ProblemDetails, ProposalDeletionQuery, ProposalDeletionResponse, ProposalResponse,
        ProposalsQuery, ReceiptResponse,
    },
    ledger::{AccountChange, PROPOSE, Proposal},
    model::{
        Evidence,
        history::{Command, IdempotencyKey},
    },
};

fn response(app: &App, p: &Proposal) -> ProposalResponse {
    let dictionary = app.ledger.store.dictionary();
    let (reason, source, until, text) = match &p.change.command {
        Command::List {
            reason,
            source,
            until,
            text,
        } => (
            dictionary.reasons.name(*reason).into(),
            dictionary.sources.name(*source).into(),
            until.map(Into::into),
            text.as_ref().map(|t| t.to_string()),
        ),
        _ => (String::new(), String::new(), None, None),
    };
    ProposalResponse {
        id: p.id.clone(),
        at: p.at.into(),
        author: p.change.author.clone(),
        subject: p.change.subject.to_string(),
        reason,
        source,
        until,
        text,
        note: p.change.evidence.as_ref().map(|e| e.text.clone()),
    }
}

/// Lists the proposals, which wait for the approval of another person, the oldest first.
#[utoipa::path(get, path = "/v1/proposals", tag = "proposals", params(ProposalsQuery),
    responses((status = 200, body = Page<ProposalResponse>, description = "All proposals, or those of an author")))]
pub(super) async fn list_proposals(
    State(app): State<App>,
    QueryParams(query): QueryParams<ProposalsQuery>,
) -> Json<Page<ProposalResponse>> {
    let all = app.ledger.accounts().proposals.all();
    let of_author = all
        .iter()
        .filter(|p| query.author.as_ref().is_none_or(|a| *a == p.change.author));
    Json(Page::all(of_author.map(|p| response(&app, p)).collect()))
}

/// Returns a proposal.
#[utoipa::path(get, path = "/v1/proposals/{id}", tag = "proposals",
    params(("id" = String, Path, description = "The ID of the proposal")),
    responses((status = 200, body = ProposalResponse, description = "The proposal")))]
pub(super) async fn get_proposal(
    State(app): State<App>,
    Part(id): Part,
) -> Result<Json<ProposalResponse>, ProblemDetails> {
    find(&app, &id).map(|p| Json(response(&app, &p)))
}

fn find(app: &App, id: &str) -> Result<Arc<Proposal>, ProblemDetails> {
    app.ledger
        .accounts()
        .proposals
        .get(id)
        .cloned()
        .ok_or_else(|| ProblemDetails::not_found(format!("there is no proposal `{id}`")))
}

async fn delete(
    app: &App,
    caller: &Caller,
    what: &str,
    p: &Proposal,
    key: Option<IdempotencyKey>,
) -> Result<(), ProblemDetails> {
    let mut record = caller.audit_record(what, &p.change.subject, &p.id, None);
    record.idempotency = key;
    let problem = of_ledger(&app.ledger);
    app.ledger
        .change_accounts(
            AccountChange::DeleteProposals(vec![p.id.clone()]),
            Some(record),
        )
        .await
        .map_err(problem)
}

/// Refuses a caller who would approve their own proposal: the same author, and, for a reason that
/// requires approval, another author who acts for the same person.
fn check_other_person(
    app: &App,
    caller: &Caller,
    proposal: &Proposal,
    reason: &str,
) -> Result<(), ProblemDetails> {
    let requires_approval = app
        .ledger
        .settings()
        .reasons
        .iter()
        .any(|r| r.name == reason && r.two_persons);
    let author = &proposal.change.author;
    if *author == caller.name {
        return Err(ProblemDetails::forbidden(
            "another person has to approve your proposal",
        ));
    }
    let person = super::identity::person(app, &proposal.person);
    if requires_approval && person == caller.person {
        return Err(ProblemDetails::forbidden(format!(
            "another person has to approve this proposal: its author {author} and {} both act for {person}, and the reason `{reason}` requires approval",
            caller.name
        )));
    }
    Ok(())
}

/// Approves a proposal of another person, so that its subject is listed.
#[utoipa::path(post, path = "/v1/proposals/{id}/approve", tag = "proposals",
    params(("id" = String, Path, description = "The ID of the proposal")),
    responses((status = 200, body = ReceiptResponse, description = "The subject is listed")))]
pub(super) async fn approve_proposal(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
) -> Result<Json<ReceiptResponse>, ProblemDetails> {
    let proposal = find(&app, &id)?;
    let details = response(&app, &proposal);
    check_other_person(&app, &caller, &proposal, &details.reason)?;
    caller.allow(
        Some(&proposal.change.subject),
        Some(&details.reason),
        Some(&details.source),
    )?;
    let mut change = proposal.change.clone();
    let note = change
        .evidence
        .as_ref()
        .map_or(String::new(), |e| format!("{} ", e.text));
    change.evidence = Some(Evidence::statement(format!(
        "{note}(approved by {})",
        caller.name
    )));
    (
        change.preconditions.expect,
        change.preconditions.idempotency,
        change.preconditions.from,
    ) = (None, caller.idempotency, caller.from.clone());
    // It is deleted first, so that it cannot be refused or approved again meanwhile.
    delete(&app, &caller, "approve", &proposal, None).await?;
    let receipt = match commit(&app, change).await {
        Ok(receipt) => receipt,
        Err(e) => {
            let mut record = caller.audit_record(
                PROPOSE,
                &proposal.change.subject,
                &proposal.id,
                Some("the approval failed".into()),
            );
            record.idempotency = None;
            let _ = app
                .ledger
                .change_accounts(
                    AccountChange::ReturnedProposal(Proposal::clone(&proposal)),
                    Some(record),
                )
                .await;
            return Err(e);
        }
    };
    Ok(Json(receipt))
}

/// Refuses a proposal, so that it is deleted without a listing.
#[utoipa::path(delete, path = "/v1/proposals/{id}", tag = "proposals",
    params(("id" = String, Path, description = "The ID of the proposal")),
    responses((status = 200, body = ProposalResponse, description = "The refused proposal")))]
pub(super) async fn refuse_proposal(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
) -> Result<Json<ProposalResponse>, ProblemDetails> {
    let proposal = find(&app, &id)?;
    let details = response(&app, &proposal);
    caller.allow(
        Some(&proposal.change.subject),
        Some(&details.reason),
        Some(&details.source),
    )?;
    delete(&app, &caller, "turn down", &proposal, caller.idempotency).await?;
    Ok(Json(response(&app, &proposal)))
}

/// Deletes all proposals of an author.
#[utoipa::path(delete, path = "/v1/proposals", tag = "proposals", params(ProposalDeletionQuery),
    responses((status = 200, body = ProposalDeletionResponse, description = "How many proposals were deleted")))]
pub(super) async fn delete_proposals(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    QueryParams(ProposalDeletionQuery { author }): QueryParams<ProposalDeletionQuery>,
) -> Result<Json<ProposalDeletionResponse>, ProblemDetails> {
    let allowed = |p: &Proposal| {
        let details = response(&app, p);
        caller
            .allow(
                Some(&p.change.subject),
                Some(&details.reason),
                Some(&details.source),
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
    let mut record = caller.audit_record(
        "proposals.delete",
        &author,
        format!("{deleted} proposals"),
        None,
    );
    record.idempotency = caller.idempotency;
    let problem = of_ledger(&app.ledger);
    app.ledger
        .change_accounts(AccountChange::DeleteProposals(ids), Some(record))
        .await
        .map_err(problem)?;
    Ok(Json(ProposalDeletionResponse { author, deleted }))
}
