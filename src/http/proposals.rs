//! Proposals: listings that wait for the approval of another person.

use std::sync::Arc;

use axum::{Json, extract::State};

use super::{
    App,
    caller::Caller,
    changes::{commit, requires_approval},
    handler::{Call, JsonResult},
    identity,
    input::{Part, QueryParams},
};
use crate::{
    api::{
        Page, ProblemDetails, ProposalDeletionQuery, ProposalDeletionResponse, ProposalResponse,
        ProposalsQuery, ReceiptResponse,
    },
    ledger::{AccountChange, PROPOSE, Proposal},
    model::{Evidence, Preconditions, history::Command, text::counted},
    store::schema::AuditRecord,
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
pub async fn list_proposals(
    State(app): State<App>,
    QueryParams(query): QueryParams<ProposalsQuery>,
) -> Json<Page<ProposalResponse>> {
    let all = app.ledger.accounts().proposals.all();
    let is_of_author = |p: &Proposal| query.author.as_ref().is_none_or(|a| *a == p.change.author);
    let of_author = all.iter().filter(|p| is_of_author(p));
    Json(Page::all(of_author.map(|p| response(&app, p))))
}

/// Returns a proposal.
#[utoipa::path(get, path = "/v1/proposals/{id}", tag = "proposals",
    params(("id" = String, Path, description = "The ID of the proposal")),
    responses((status = 200, body = ProposalResponse, description = "The proposal")))]
pub async fn get_proposal(State(app): State<App>, Part(id): Part) -> JsonResult<ProposalResponse> {
    find(&app, &id).map(|p| Json(response(&app, &p)))
}

fn find(app: &App, id: &str) -> Result<Arc<Proposal>, ProblemDetails> {
    let found = app.ledger.accounts().proposals.get(id).cloned();
    found.ok_or_else(|| ProblemDetails::not_found(format!("there is no proposal `{id}`")))
}

/// Refuses a decision outside of the limits of the caller.
fn allow(caller: &Caller, p: &Proposal, details: &ProposalResponse) -> Result<(), ProblemDetails> {
    caller.allow(
        Some(&p.change.subject),
        Some(&details.reason),
        Some(&details.source),
    )
}

async fn delete(app: &App, p: &Proposal, record: AuditRecord) -> Result<(), ProblemDetails> {
    app.change_accounts(AccountChange::DeleteProposals(vec![p.id.clone()]), record)
        .await
}

/// Refuses a caller who would approve their own proposal: the same author, and, for a reason that
/// requires approval, another author who acts for the same person.
fn check_other_person(
    app: &App,
    caller: &Caller,
    proposal: &Proposal,
    reason: &str,
) -> Result<(), ProblemDetails> {
    let author = &proposal.change.author;
    if *author == caller.name {
        return Err(ProblemDetails::forbidden(
            "another person has to approve your proposal",
        ));
    }
    let person = identity::person(app, &proposal.person);
    if requires_approval(app, reason) && person == caller.person {
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
pub async fn approve_proposal(
    Call { app, caller }: Call,
    Part(id): Part,
) -> JsonResult<ReceiptResponse> {
    let proposal = find(&app, &id)?;
    let details = response(&app, &proposal);
    check_other_person(&app, &caller, &proposal, &details.reason)?;
    allow(&caller, &proposal, &details)?;
    let mut change = proposal.change.clone();
    let approval = format!("(approved by {})", caller.name);
    let note = change.evidence.map(|e| format!("{} {approval}", e.text));
    change.evidence = Some(Evidence::statement(note.unwrap_or(approval)));
    change.preconditions = Preconditions {
        expect: None,
        idempotency: caller.idempotency,
        from: caller.from.clone(),
        ..change.preconditions
    };
    let record = |action: &str, note: Option<&str>| AuditRecord {
        idempotency: None,
        ..caller.audit_record(
            action,
            &proposal.change.subject,
            &proposal.id,
            note.map(String::from),
        )
    };
    // It is deleted first, so that it cannot be refused or approved again meanwhile.
    delete(&app, &proposal, record("approve", None)).await?;
    let committed = commit(&app, change).await;
    if committed.is_err() {
        let returned = AccountChange::ReturnedProposal(Proposal::clone(&proposal));
        let record = record(PROPOSE, Some("the approval failed"));
        // The client gets the first error.
        let _ = app.change_accounts(returned, record).await;
    }
    committed.map(Json)
}

/// Refuses a proposal, so that it is deleted without a listing.
#[utoipa::path(delete, path = "/v1/proposals/{id}", tag = "proposals",
    params(("id" = String, Path, description = "The ID of the proposal")),
    responses((status = 200, body = ProposalResponse, description = "The refused proposal")))]
pub async fn refuse_proposal(
    Call { app, caller }: Call,
    Part(id): Part,
) -> JsonResult<ProposalResponse> {
    let proposal = find(&app, &id)?;
    let details = response(&app, &proposal);
    allow(&caller, &proposal, &details)?;
    let record = caller.audit_record("turn down", &proposal.change.subject, &proposal.id, None);
    delete(&app, &proposal, record).await?;
    Ok(Json(details))
}

/// Deletes all proposals of an author.
#[utoipa::path(delete, path = "/v1/proposals", tag = "proposals", params(ProposalDeletionQuery),
    responses((status = 200, body = ProposalDeletionResponse, description = "How many proposals were deleted")))]
pub async fn delete_proposals(
    Call { app, caller }: Call,
    QueryParams(ProposalDeletionQuery { author }): QueryParams<ProposalDeletionQuery>,
) -> JsonResult<ProposalDeletionResponse> {
    let allowed = |p: &Proposal| allow(&caller, p, &response(&app, p)).is_ok();
    let all = app.ledger.accounts().proposals.all();
    let ids: Vec<String> = all
        .iter()
        .filter(|p| p.change.author == author && allowed(p))
        .map(|p| p.id.clone())
        .collect();
    let deleted = ids.len();
    let detail = counted(deleted, "proposal");
    let record = caller.audit_record("proposals.delete", &author, detail, None);
    app.change_accounts(AccountChange::DeleteProposals(ids), record)
        .await?;
    Ok(Json(ProposalDeletionResponse { author, deleted }))
}
