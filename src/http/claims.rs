//! Claims that a host no longer relays, reviews, opt-outs, and the evidence of relay tests.

use std::net::IpAddr;

use axum::{Extension, Json, extract::State, http::StatusCode};

use super::{
    App,
    caller::{Caller, PeerAddress},
    input::{JsonBody, Part, QueryParams},
    jobs::{actor, call_relay, host, number, public_job},
};
use crate::{
    api::{
        BlockedClaimResponse, BlockedReplyResponse, ClaimRequest, ClaimResponse, EvidenceQuery,
        OptOutQuery, OptOutRequest, OptOutResponse, OptOutSubjectResponse, Page, ProblemDetails,
        ProofResponse, PublicProofResponse, RelayFindingsResponse, ReviewRequest, ReviewResponse,
    },
    model::{Role, Subject, subject::HostBits},
    relay::{
        Actor, ClaimReceipt, NOTEST, OptOut, Proof, RelayError, RelayService, SourceReplies,
        control::DecisionRow, message::redact, policy::JobState, transcript::section,
    },
};

/// The most proofs of a host that a response has.
const MAX_PROOFS: usize = 100;
/// The most proofs of a host that the public look-up has.
const MAX_PUBLIC_PROOFS: usize = 20;

/// The blocked claims of a host, for its owner.
fn blocked(relay: &RelayService, target: IpAddr) -> Result<Vec<BlockedClaimResponse>, RelayError> {
    let reply = |(sent, answered)| BlockedReplyResponse { sent, answered };
    let one = |s: SourceReplies| BlockedClaimResponse {
        source: s.source.map(|a| a.to_string()),
        at: s.at.map(Into::into),
        row: s.row.map(|r| r.name().into()),
        replies: s.replies.into_iter().map(reply).collect(),
    };
    Ok(relay.blocked(target)?.into_iter().map(one).collect())
}

/// What a claimant has to know about the control.
const CONTROL_NOTE: &str = " The host must accept mail to its own postmaster: one that refuses the tester alone stays listed.";

/// What follows from a claim, in words. What its test came to is for who has proved to speak for
/// the host.
fn what_happens(done: &ClaimReceipt, proved: bool) -> String {
    let Some(end) = done.release else {
        return match done.job.state {
            JobState::Deferred => {
                format!(
                    "It is tested at {}, and released when every test is refused.{CONTROL_NOTE}",
                    done.job.not_before
                )
            }
            JobState::Held => {
                "It cannot be tested now. If that stays so for two days, it is released on request."
                    .into()
            }
            _ => {
                format!("It is tested now, and released when every test is refused.{CONTROL_NOTE}")
            }
        };
    };
    let row = done.row.filter(|_| proved);
    let found = match row {
        Some(DecisionRow::Accepted) => "A test message was accepted.",
        Some(DecisionRow::RefusedControlDiffers) => {
            "Every test was refused, but not by a reply that its own postmaster shows to be meant for everybody."
        }
        Some(DecisionRow::DeferredControlAccepted) => {
            "Some tests were deferred (4xx) in each of three tries."
        }
        Some(DecisionRow::LoginRequired) => "Every test was refused for want of a login.",
        Some(DecisionRow::IncompleteControlAccepted) => {
            "Some tests could not be made, or have no result."
        }
        _ => "Its tests do not show yet that it is closed.",
    };
    let still = if done.paused {
        " The waiting period stands still now, so that it ends later by as long as that lasts."
    } else {
        ""
    };
    format!("{found} If no test message is delivered, it is released at {end}.{still}")
}

async fn claim(
    app: &App,
    who: Actor,
    target: IpAddr,
    proved: bool,
) -> Result<(StatusCode, Json<ClaimResponse>), ProblemDetails> {
    let (done, blocked) = call_relay(app, move |relay| {
        let done = relay.claim(&who, target, proved, relay.now())?;
        let blocked = if proved {
            blocked(relay, target)?
        } else {
            Vec::new()
        };
        Ok((done, blocked))
    })
    .await?;
    let response = ClaimResponse {
        job: public_job(&done.job),
        proved,
        what_happens: what_happens(&done, proved),
        release: done.release.map(Into::into),
        blocked,
    };
    Ok((StatusCode::ACCEPTED, Json(response)))
}

/// Claims that a host no longer relays: it is tested again, and released when that is true.
#[utoipa::path(post, path = "/v1/claims", tag = "relay", request_body = ClaimRequest,
    responses((status = 202, body = ClaimResponse, description = "The claim and its test")))]
pub(super) async fn claim_closed(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonBody(request): JsonBody<ClaimRequest>,
) -> Result<(StatusCode, Json<ClaimResponse>), ProblemDetails> {
    let target = host("target", &request.target)?;
    caller.allow(Some(&Subject::host(target)), None, None)?;
    if request.proved {
        caller.require(Role::Editor)?;
    }
    let own = caller.from.parse::<IpAddr>().is_ok_and(|a| a == target);
    claim(&app, actor(&caller), target, request.proved || own).await
}

/// Claims that a host no longer relays, without a token. A claim from the host's own address is
/// proved.
#[utoipa::path(post, path = "/claims", tag = "public", request_body = ClaimRequest,
    responses((status = 202, body = ClaimResponse, description = "The claim and its test")))]
pub(super) async fn claim_closed_publicly(
    State(app): State<App>,
    peer: Option<Extension<PeerAddress>>,
    JsonBody(request): JsonBody<ClaimRequest>,
) -> Result<(StatusCode, Json<ClaimResponse>), ProblemDetails> {
    let target = host("target", &request.target)?;
    if request.proved {
        return Err(ProblemDetails::invalid(
            "proved: not accepted here; send the claim from the address itself",
        ));
    }
    let (from, own) = match peer {
        Some(Extension(PeerAddress::Net(a))) => {
            app.access
                .claim(a)
                .map_err(|limited| ProblemDetails::rate_limited("claims", &limited))?;
            (a.to_canonical().to_string(), a.to_canonical() == target)
        }
        _ => ("socket".into(), false),
    };
    let who = Actor {
        name: "claimant".into(),
        from,
        once: None,
    };
    claim(&app, who, target, own).await
}

/// Releases a host that relay tests have listed, without a test, after a person has reviewed it.
#[utoipa::path(post, path = "/v1/reviews", tag = "relay", request_body = ReviewRequest,
    responses((status = 200, body = ReviewResponse, description = "The host is released")))]
pub(super) async fn release_host(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonBody(request): JsonBody<ReviewRequest>,
) -> Result<Json<ReviewResponse>, ProblemDetails> {
    let target = host("target", &request.target)?;
    if request.note.trim().is_empty() {
        return Err(ProblemDetails::invalid("note: required"));
    }
    super::input::note(Some(&request.note))?;
    let receipt = call_relay(&app, move |relay| {
        relay.review(&actor(&caller), target, &request.note, relay.now())
    })
    .await?;
    Ok(Json(ReviewResponse {
        receipt: receipt.map(Into::into),
    }))
}

fn opt_out(o: OptOut) -> OptOutResponse {
    OptOutResponse {
        subject: o.subject,
        since: o.at.into(),
        author: o.by,
        proof: o.proof,
    }
}

fn subject(text: &str) -> Result<Subject, ProblemDetails> {
    Subject::parse(text, HostBits::Refuse)
        .map_err(|e| ProblemDetails::invalid(format!("subject: {e}")))
}

/// Lists the subjects that are not tested.
#[utoipa::path(get, path = "/v1/opt-outs", tag = "relay",
    responses((status = 200, body = Page<OptOutResponse>, description = "All opt-outs")))]
pub(super) async fn list_opt_outs(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Page<OptOutResponse>>, ProblemDetails> {
    let all = call_relay(&app, RelayService::opt_outs).await?;
    let redacted = |mut o: OptOut| {
        if caller.role < Role::Editor {
            o.proof.clear();
        }
        opt_out(o)
    };
    Ok(Json(Page::all(all.into_iter().map(redacted).collect())))
}

/// Opts a subject out: it is not tested any more. Jobs that wait end, and what was proved stays
/// until it expires.
#[utoipa::path(post, path = "/v1/opt-outs", tag = "relay", request_body = OptOutRequest,
    responses((status = 201, body = OptOutResponse, description = "The opt-out")))]
pub(super) async fn add_opt_out(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonBody(request): JsonBody<OptOutRequest>,
) -> Result<(StatusCode, Json<OptOutResponse>), ProblemDetails> {
    let subject = subject(&request.subject)?;
    caller.allow(Some(&subject), Some(NOTEST), None)?;
    if request.proof.trim().is_empty() {
        return Err(ProblemDetails::invalid(
            "proof: required; how control of the subject was proved",
        ));
    }
    super::input::line("proof", &request.proof)?;
    let done = call_relay(&app, move |relay| {
        relay.opt_out(&actor(&caller), &subject, &request.proof, relay.now())
    })
    .await?;
    Ok((StatusCode::CREATED, Json(opt_out(done))))
}

/// Ends an opt-out.
#[utoipa::path(delete, path = "/v1/opt-outs", tag = "relay", params(OptOutQuery),
    responses((status = 200, body = OptOutSubjectResponse, description = "The subject may be tested")))]
pub(super) async fn end_opt_out(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    QueryParams(query): QueryParams<OptOutQuery>,
) -> Result<Json<OptOutSubjectResponse>, ProblemDetails> {
    let subject = subject(&query.subject)?;
    caller.allow(Some(&subject), Some(NOTEST), None)?;
    let text = subject.to_string();
    call_relay(&app, move |relay| {
        relay.opt_in(&actor(&caller), &subject, relay.now())
    })
    .await?;
    Ok(Json(OptOutSubjectResponse { subject: text }))
}

/// Who looks at evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    Public,
    /// The host that delivered the message: it has the message, and nothing else of the input's.
    Output,
    Owner,
    Operator,
}

fn redacted_for(relay: &RelayService, p: Proof, audience: Audience) -> ProofResponse {
    let settings = relay.settings();
    // Our own addresses stay readable: the contact is meant to be written to.
    let (own, contact) = (
        [settings.domain.as_str()],
        [settings.tester.contact.as_str()],
    );
    let view = |text: String| match audience {
        Audience::Public => None,
        Audience::Owner | Audience::Output => {
            Some(redact(&text, &own, &contact, p.token.as_bytes()))
        }
        Audience::Operator => Some(text),
    };
    // Other tests are not part of this proof.
    let lines = relay.transcript(p.job).unwrap_or_default();
    let section = section(&lines, &p.test);
    // The transcript of a reporter is a claim, and not a reply that this server got.
    let own = relay.job(p.job).is_ok_and(|j| !j.remote);
    let codes = if own {
        section.iter().filter_map(|l| l.reply_code()).collect()
    } else {
        Vec::new()
    };
    let transcript = if matches!(audience, Audience::Public | Audience::Output) {
        String::new()
    } else {
        section.iter().map(|l| format!("{l}\n")).collect()
    };
    ProofResponse {
        id: p.id,
        reply_codes: codes,
        envelope: view(format!(
            "EHLO {} MAIL FROM:<{}> RCPT TO:<{}>",
            p.hello,
            p.from,
            p.to.join(">, <")
        )),
        message: view(p.message.clone()),
        transcript: view(transcript),
        test: p.test,
        input: p.input.to_string(),
        output: p.output.to_string(),
        sent: p.issued.into(),
        arrived: p.at.into(),
        outcome: p.outcome.into(),
    }
}

/// Lists the messages that came through a host or from it, the newest first.
#[utoipa::path(get, path = "/v1/evidence", tag = "relay", params(EvidenceQuery),
    responses((status = 200, body = Page<ProofResponse>, description = "The newest 100 proofs")))]
pub(super) async fn list_evidence(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    QueryParams(query): QueryParams<EvidenceQuery>,
) -> Result<Json<Page<ProofResponse>>, ProblemDetails> {
    let target = host("target", &query.target)?;
    let audience = if caller.role >= Role::Operator {
        Audience::Operator
    } else {
        Audience::Public
    };
    let all = call_relay(&app, move |relay| {
        Ok(of_host(relay, target, MAX_PROOFS)?
            .into_iter()
            .map(|p| redacted_for(relay, p, audience))
            .collect())
    })
    .await?;
    Ok(Json(Page::all(all)))
}

/// The proofs of a host as input and as output.
fn of_host(relay: &RelayService, target: IpAddr, most: usize) -> Result<Vec<Proof>, RelayError> {
    let mut all = relay.proofs(target, true, most)?;
    all.extend(
        relay
            .proofs(target, false, most)?
            .into_iter()
            .filter(|p| p.input != target),
    );
    all.sort_by_key(|p| std::cmp::Reverse(p.id));
    all.truncate(most);
    Ok(all)
}

/// Returns a message that came through a host. A client at the address of its input or its output
/// sees the message too; the addresses of others are hashed.
#[utoipa::path(get, path = "/evidence/{id}", tag = "public",
    params(("id" = u64, Path, description = "The number of the proof")),
    responses((status = 200, body = ProofResponse, description = "The proof")))]
pub(super) async fn get_proof(
    State(app): State<App>,
    peer: Option<Extension<PeerAddress>>,
    Part(id): Part,
) -> Result<Json<ProofResponse>, ProblemDetails> {
    let id = number(&id, "proof")?;
    let from = match peer {
        Some(Extension(PeerAddress::Net(a))) => Some(a.to_canonical()),
        _ => None,
    };
    let found = call_relay(&app, move |relay| {
        let proof = relay.proof(id)?;
        let audience = match from {
            Some(a) if a == proof.input => Audience::Owner,
            Some(a) if a == proof.output => Audience::Output,
            _ => Audience::Public,
        };
        // That a host was tested, and is not listed for it, is not public.
        if audience == Audience::Public && !relay.is_public(&proof)? {
            return Err(RelayError::NotFound(format!("there is no proof {id}")));
        }
        Ok(redacted_for(relay, proof, audience))
    });
    Ok(Json(found.await?))
}

/// What the public look-up of a client shows about the relay tests of a host.
pub(super) fn relay_findings(
    relay: &RelayService,
    target: IpAddr,
    client: IpAddr,
) -> Option<RelayFindingsResponse> {
    let proofs = relay
        .listing(target, MAX_PUBLIC_PROOFS, |p| {
            relay.is_public(p).unwrap_or(false)
        })
        .ok()?;
    let one = |p: Proof| PublicProofResponse {
        id: p.id,
        test: p.test,
        input: p.input.to_string(),
        output: p.output.to_string(),
        arrived: p.at.into(),
    };
    let proofs = proofs.into_iter().map(one).collect::<Vec<_>>();
    let output = relay.output(target).ok()?;
    let inputs = output
        .inputs
        .iter()
        .filter(|_| output.listed)
        .map(|f| f.input.to_string())
        .collect::<Vec<_>>();
    let blocked = if client.to_canonical() == target {
        blocked(relay, target).ok()?
    } else {
        Vec::new()
    };
    (!proofs.is_empty() || !inputs.is_empty()).then_some(RelayFindingsResponse {
        proofs,
        blocked,
        inputs,
    })
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;
    use crate::{
        model::Time,
        relay::policy::{EvidenceOrigin, EvidenceSummary, Job, Trigger},
    };

    fn done(row: Option<DecisionRow>, paused: bool) -> ClaimReceipt {
        let grounds = EvidenceSummary {
            origin: EvidenceOrigin::Claim,
            text: String::new(),
            at: Time(0),
        };
        let job = serde_json::json!({
            "id": 1, "target": "192.0.2.1", "port": null, "cause": Trigger::Claim { proved: true }, "by": "owner", "grounds": grounds,
            "at": 0, "state": "done", "waiting_for": null, "not_before": 0, "agreed": false, "remote": false, "only": [], "tries": 1,
            "begun": null, "ended": 0, "results": []
        });
        let job: Job = serde_json::from_value(job).unwrap();
        ClaimReceipt {
            job,
            release: Some(Time(86_400)),
            row,
            paused,
        }
    }

    #[test]
    fn a_waiting_period_is_explained_by_what_the_test_came_to() {
        let differs = what_happens(&done(Some(DecisionRow::RefusedControlDiffers), false), true);
        assert!(
            differs.starts_with("Every test was refused, but")
                && differs.ends_with("it is released at 1970-01-02T00:00:00Z."),
            "{differs}"
        );
        let deferred = what_happens(
            &done(Some(DecisionRow::DeferredControlAccepted), true),
            true,
        );
        assert!(
            deferred.starts_with("Some tests were deferred (4xx)")
                && deferred.contains("stands still now"),
            "{deferred}"
        );
        // Whoever has not proved to speak for the host does not hear what it answered.
        for row in DecisionRow::VARIANTS {
            let text = what_happens(&done(Some(*row), false), false);
            assert!(text.starts_with("Its tests do not show yet"), "{text}");
        }
    }
}
