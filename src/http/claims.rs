//! Claims that a host no longer relays, reviews, opt-outs, and the evidence of relay tests.

use std::{collections::BTreeMap, net::IpAddr};

use axum::{Json, extract::State, http::StatusCode};

use super::{
    App,
    advice::advice_for,
    caller::{Caller, ClientAddress},
    handler::{Call, JsonResult, StatusResult},
    input::{JsonBody, Part, QueryParams, line, note},
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
        Actor, ClaimReceipt, ClaimStatus, OPT_OUT_REASON, OptOut, Proof, RelayError, RelayService,
        ReviewFinding, SourceReplies,
        advice::RepairAdvice,
        control::DecisionRow,
        message::redact,
        policy::JobState,
        transcript::{TranscriptLine, section},
    },
};

/// The most proofs of a host that a response has.
const MAX_PROOFS: usize = 100;
/// The most proofs of a host that the public look-up has.
const MAX_PUBLIC_PROOFS: usize = 20;

/// The blocked claims of a host, for its owner.
pub(super) fn blocked(
    relay: &RelayService,
    target: IpAddr,
) -> Result<Vec<BlockedClaimResponse>, RelayError> {
    let reply = |(sent, answered)| BlockedReplyResponse { sent, answered };
    let response = |s: SourceReplies| BlockedClaimResponse {
        source: s.source.map(|a| a.to_string()),
        at: s.at.map(Into::into),
        row: s.row.map(|r| r.name().into()),
        replies: s.replies.into_iter().map(reply).collect(),
    };
    let all = relay.blocked_replies(target)?.into_iter();
    Ok(all.map(response).collect())
}

/// The condition that the control checks, for claimants.
const CONTROL_NOTE: &str = " The host must accept mail to its own postmaster: one that refuses the tester alone stays listed.";

/// What follows from a claim, in words. Only a claimant who has proved to be responsible for the
/// host is told the result of its test.
fn what_happens(receipt: &ClaimReceipt, status: &ClaimStatus, proved: bool) -> String {
    if status.is_preliminary
        && proved
        && let (Some(next), Some(release)) = (status.next_try, status.release)
    {
        let setting = status.advice.and_then(RepairAdvice::setting);
        let change = setting.map_or_else(
            || "If you change it to refuse them (5xx)".into(),
            |s| format!("If you change `{}` to `{}` in {}", s.from, s.to, s.file),
        );
        return format!(
            "The host defers (4xx) test messages instead of refusing them. They are sent again at {next}. If it goes on to defer them, and no test message is delivered, it is released at {release} at the latest. {change}, and claim again after {}, it is released when every test is refused.",
            status.retry_at
        );
    }
    let Some(end) = receipt.release else {
        return match receipt.job.state {
            JobState::Deferred => {
                format!(
                    "It is tested at {}, and released when every test is refused.{CONTROL_NOTE}",
                    receipt.job.not_before
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
    let found = match receipt.row.filter(|_| proved) {
        Some(DecisionRow::Accepted) => "A test message was accepted.",
        Some(DecisionRow::RefusedControlDiffers) => {
            "Every test was refused, but the control of its postmaster does not show that other clients would be refused too."
        }
        Some(DecisionRow::DeferredControlAccepted) => {
            "Some tests were deferred (4xx) in each of three tries."
        }
        Some(DecisionRow::LoginRequired) => {
            "Every test was refused because the host requires a login."
        }
        Some(DecisionRow::IncompleteControlAccepted) => {
            "Some tests could not be made, or have no result."
        }
        _ => "Its tests do not show yet that it is closed.",
    };
    let pause = if receipt.paused {
        " The waiting period is paused now, and ends later by the length of the pause."
    } else {
        ""
    };
    format!("{found} If no test message is delivered, it is released at {end}.{pause}")
}

async fn claim(
    app: &App,
    actor: Actor,
    target: IpAddr,
    proved: bool,
) -> StatusResult<ClaimResponse> {
    let (receipt, status, blocked) = call_relay(app, move |relay| {
        let receipt = relay.claim(&actor, target, proved, relay.now())?;
        let status = relay.claim_status(target, receipt.job.id, relay.now())?;
        let blocked = proved.then(|| blocked(relay, target)).transpose()?;
        Ok((receipt, status, blocked.unwrap_or_default()))
    })
    .await?;
    let response = ClaimResponse {
        job: public_job(&receipt.job),
        proved,
        what_happens: what_happens(&receipt, &status, proved),
        release: receipt.release.map(Into::into),
        advice: status.advice.filter(|_| proved).map(Into::into),
        blocked,
    };
    Ok((StatusCode::ACCEPTED, Json(response)))
}

/// Claims that a host no longer relays: it is tested again, and released if the tests confirm the
/// claim.
#[utoipa::path(post, path = "/v1/claims", tag = "relay", request_body = ClaimRequest,
    responses((status = 202, body = ClaimResponse, description = "The claim and its test")))]
pub async fn claim_closed(
    Call { app, caller }: Call,
    JsonBody(request): JsonBody<ClaimRequest>,
) -> StatusResult<ClaimResponse> {
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
pub async fn claim_closed_publicly(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    JsonBody(request): JsonBody<ClaimRequest>,
) -> StatusResult<ClaimResponse> {
    let target = host("target", &request.target)?;
    if request.proved {
        return Err(ProblemDetails::invalid(
            "proved: not accepted here; send the claim from the address itself",
        ));
    }
    let limited = |e| ProblemDetails::rate_limited("claims", &e);
    let counted = client.map(|addr| app.access.count_claim(addr));
    counted.transpose().map_err(limited)?;
    let actor = Actor {
        name: "claimant".into(),
        from: client.map_or("socket".into(), |addr| addr.to_string()),
        idempotency: None,
    };
    claim(&app, actor, target, client == Some(target)).await
}

/// Releases a host that relay tests have listed, without a test, after a person has reviewed it.
#[utoipa::path(post, path = "/v1/reviews", tag = "relay", request_body = ReviewRequest,
    responses((status = 200, body = ReviewResponse, description = "The host is released")))]
pub async fn release_host(
    Call { app, caller }: Call,
    JsonBody(request): JsonBody<ReviewRequest>,
) -> JsonResult<ReviewResponse> {
    let target = host("target", &request.target)?;
    if request.note.trim().is_empty() {
        return Err(ProblemDetails::invalid("note: required"));
    }
    note(Some(&request.note))?;
    let finding = ReviewFinding::of(request.listed_in_error);
    let receipt = call_relay(&app, move |relay| {
        relay.review_as(&actor(&caller), target, &request.note, finding, relay.now())
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

/// Reads the subject of an opt-out, if the caller may decide about it.
fn subject(caller: &Caller, text: &str) -> Result<Subject, ProblemDetails> {
    let subject = Subject::parse(text, HostBits::Refuse)
        .map_err(|e| ProblemDetails::invalid(format!("subject: {e}")))?;
    caller.allow(Some(&subject), Some(OPT_OUT_REASON), None)?;
    Ok(subject)
}

/// Lists the subjects that are not tested.
#[utoipa::path(get, path = "/v1/opt-outs", tag = "relay",
    responses((status = 200, body = Page<OptOutResponse>, description = "All opt-outs")))]
pub async fn list_opt_outs(Call { app, caller }: Call) -> JsonResult<Page<OptOutResponse>> {
    let all = call_relay(&app, RelayService::opt_outs).await?;
    let redacted = |mut o: OptOut| {
        if caller.role < Role::Editor {
            o.proof.clear();
        }
        opt_out(o)
    };
    Ok(Json(Page::all(all.into_iter().map(redacted))))
}

/// Opts a subject out, so that it is no longer tested. Waiting jobs end; what was proved stays
/// listed until it expires.
#[utoipa::path(post, path = "/v1/opt-outs", tag = "relay", request_body = OptOutRequest,
    responses((status = 201, body = OptOutResponse, description = "The opt-out")))]
pub async fn add_opt_out(
    Call { app, caller }: Call,
    JsonBody(request): JsonBody<OptOutRequest>,
) -> StatusResult<OptOutResponse> {
    let subject = subject(&caller, &request.subject)?;
    if request.proof.trim().is_empty() {
        return Err(ProblemDetails::invalid(
            "proof: required; how control of the subject was proved",
        ));
    }
    line("proof", &request.proof)?;
    let added = call_relay(&app, move |relay| {
        relay.opt_out(&actor(&caller), &subject, &request.proof, relay.now())
    })
    .await?;
    Ok((StatusCode::CREATED, Json(opt_out(added))))
}

/// Ends an opt-out.
#[utoipa::path(delete, path = "/v1/opt-outs", tag = "relay", params(OptOutQuery),
    responses((status = 200, body = OptOutSubjectResponse, description = "The subject may be tested")))]
pub async fn end_opt_out(
    Call { app, caller }: Call,
    QueryParams(query): QueryParams<OptOutQuery>,
) -> JsonResult<OptOutSubjectResponse> {
    let subject = subject(&caller, &query.subject)?;
    let text = subject.to_string();
    call_relay(&app, move |relay| {
        relay.opt_in(&actor(&caller), &subject, relay.now())
    })
    .await?;
    Ok(Json(OptOutSubjectResponse { subject: text }))
}

/// Who requests evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    Public,
    /// The host that delivered the message: it may see the message, but not the session of the
    /// input.
    Output,
    Owner,
    Operator,
}

fn redacted_for(relay: &RelayService, p: Proof, audience: Audience) -> ProofResponse {
    let settings = relay.settings();
    // The addresses of this server stay readable, since recipients write to the contact.
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
    // The parts of the transcript about other tests do not belong to this proof.
    let lines = relay.transcript(p.job).unwrap_or_default();
    let section = section(&lines, &p.test);
    // The transcript of a reporter has replies that this server has not seen.
    let own = relay.job(p.job).is_ok_and(|j| !j.remote);
    let codes = section.iter().filter_map(|l| l.reply_code());
    let product_advice = match own {
        true => advice_for([lines.as_slice()], &[&p.test]),
        false => advice_for([], &[]),
    };
    let transcript = match audience {
        Audience::Public | Audience::Output => String::new(),
        Audience::Owner | Audience::Operator => section.iter().map(|l| format!("{l}\n")).collect(),
    };
    ProofResponse {
        id: p.id,
        reply_codes: codes.filter(|_| own).collect(),
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
        product_advice,
    }
}

/// Lists the test messages that a host relayed or delivered for another one, the newest first.
#[utoipa::path(get, path = "/v1/evidence", tag = "relay", params(EvidenceQuery),
    responses((status = 200, body = Page<ProofResponse>, description = "The newest 100 proofs")))]
pub async fn list_evidence(
    Call { app, caller }: Call,
    QueryParams(query): QueryParams<EvidenceQuery>,
) -> JsonResult<Page<ProofResponse>> {
    let target = host("target", &query.target)?;
    let audience = if caller.role >= Role::Operator {
        Audience::Operator
    } else {
        Audience::Public
    };
    let all = call_relay(&app, move |relay| {
        let proofs = proofs_of_host(relay, target, MAX_PROOFS)?.into_iter();
        let redacted = proofs.map(|p| redacted_for(relay, p, audience));
        Ok(Page::all(redacted))
    });
    Ok(Json(all.await?))
}

/// The proofs of a host as input and as output, the newest first.
fn proofs_of_host(
    relay: &RelayService,
    target: IpAddr,
    most: usize,
) -> Result<Vec<Proof>, RelayError> {
    let mut all = relay.proofs(target, true, most)?;
    let as_output = relay.proofs(target, false, most)?.into_iter();
    all.extend(as_output.filter(|p| p.input != target));
    all.sort_by_key(|p| std::cmp::Reverse(p.id));
    all.truncate(most);
    Ok(all)
}

/// Returns the proof of a relayed message. A client at the address of its input or its output also
/// gets the message, in which the addresses of others are hashed.
#[utoipa::path(get, path = "/evidence/{id}", tag = "public",
    params(("id" = u64, Path, description = "The number of the proof")),
    responses((status = 200, body = ProofResponse, description = "The proof")))]
pub async fn get_proof(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    Part(id): Part,
) -> JsonResult<ProofResponse> {
    let id = number(&id, "proof")?;
    let found = call_relay(&app, move |relay| {
        let proof = relay.proof(id)?;
        let audience = match client {
            Some(a) if a == proof.input => Audience::Owner,
            Some(a) if a == proof.output => Audience::Output,
            _ => Audience::Public,
        };
        // The test of a host that is not listed for it is not public.
        if audience == Audience::Public && !relay.is_public(&proof)? {
            return Err(RelayService::no_proof(id));
        }
        Ok(redacted_for(relay, proof, audience))
    });
    Ok(Json(found.await?))
}

/// What the public look-up shows a client about the relay tests of a host.
pub fn relay_findings(
    relay: &RelayService,
    target: IpAddr,
    client: IpAddr,
) -> Option<RelayFindingsResponse> {
    let is_public = |p: &Proof| relay.is_public(p).unwrap_or(false);
    let mut proofs = relay.listing(target, MAX_PROOFS, is_public).ok()?;
    proofs.sort_by_key(|p| p.test != PLAIN_TEST);
    // The newest proofs are of forms that were sent again, so the advice counts more than are shown.
    let of_input = proofs.iter().filter(|p| p.input == target);
    let delivered: Vec<String> = of_input.map(|p| p.test.clone()).collect();
    let delivered: Vec<&str> = delivered.iter().map(String::as_str).collect();
    proofs.truncate(MAX_PUBLIC_PROOFS);
    let mut transcripts = Transcripts::default();
    let proofs = public_proofs(relay, proofs, &mut transcripts);
    let of_target = transcripts.of_host(target);
    let advice = advice_for(of_target, &delivered);
    let output = relay.output(target).ok()?;
    let inputs = output.inputs.iter().filter(|_| output.listed);
    let inputs = inputs.map(|f| f.input.to_string()).collect::<Vec<_>>();
    let by_owner = client == target;
    let blocked = by_owner.then(|| blocked(relay, target)).transpose().ok()?;
    (!proofs.is_empty() || !inputs.is_empty()).then_some(RelayFindingsResponse {
        proofs,
        blocked: blocked.unwrap_or_default(),
        inputs,
        product_advice: advice,
    })
}

/// The test that sends one message in the usual form.
const PLAIN_TEST: &str = "plain";

/// The transcripts of jobs, each read once: the proofs of one job share its transcript.
#[derive(Default)]
struct Transcripts(BTreeMap<u64, (IpAddr, Vec<TranscriptLine>)>);

impl Transcripts {
    /// The transcript of the job of a proof; empty if a reporter has sent it, since it has replies
    /// that this server has not seen.
    fn of_proof(&mut self, relay: &RelayService, proof: &Proof) -> &[TranscriptLine] {
        let (_, lines) = self.0.entry(proof.job).or_insert_with(|| {
            let own = relay.job(proof.job).is_ok_and(|j| !j.remote);
            let lines = own.then(|| relay.transcript(proof.job));
            (proof.input, lines.and_then(Result::ok).unwrap_or_default())
        });
        lines
    }

    /// The transcripts of tests of a host, the newest first.
    fn of_host(&self, host: IpAddr) -> impl Iterator<Item = &[TranscriptLine]> {
        let all = self.0.values().rev();
        all.filter(move |(tested, _)| *tested == host)
            .map(|(_, lines)| lines.as_slice())
    }
}

/// Proofs as every client may see them, each with what its test does and with the reply codes of
/// its input.
fn public_proofs(
    relay: &RelayService,
    proofs: Vec<Proof>,
    transcripts: &mut Transcripts,
) -> Vec<PublicProofResponse> {
    let settings = relay.settings();
    let public = |p: Proof| {
        let lines = transcripts.of_proof(relay, &p);
        let codes = section(lines, &p.test).into_iter();
        let test = settings.catalogue.get(&p.test);
        PublicProofResponse {
            id: p.id,
            description: test.map_or_else(String::new, |t| t.description.clone()),
            reply_codes: codes.filter_map(|l| l.reply_code()).collect(),
            test: p.test,
            input: p.input.to_string(),
            output: p.output.to_string(),
            arrived: p.at.into(),
        }
    };
    proofs.into_iter().map(public).collect()
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;
    use crate::{
        model::Time,
        relay::policy::{ClaimState, EvidenceOrigin, EvidenceSummary, Job, Trigger},
    };

    fn done(row: Option<DecisionRow>, paused: bool) -> ClaimReceipt {
        let evidence = EvidenceSummary {
            origin: EvidenceOrigin::Claim,
            text: String::new(),
            at: Time(0),
        };
        let job = serde_json::json!({
            "id": 1, "target": "192.0.2.1", "port": null, "cause": Trigger::Claim { proved: true }, "by": "owner", "grounds": evidence,
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

    /// The text for a receipt of a claim in its waiting period.
    fn text_of(receipt: &ClaimReceipt, proved: bool) -> String {
        what_happens(receipt, &status(receipt, false), proved)
    }

    fn status(receipt: &ClaimReceipt, is_preliminary: bool) -> ClaimStatus {
        ClaimStatus {
            state: ClaimState::Testing,
            proved: true,
            job: receipt.job.clone(),
            row: receipt.row,
            is_preliminary,
            release: receipt.release,
            paused: receipt.paused,
            next_try: Some(Time(300)),
            retry_at: Time(120),
            advice: Some(RepairAdvice::PostfixDefers),
        }
    }

    #[test]
    fn owner_of_a_host_that_defers_is_told_the_end_and_the_line_to_change() {
        let receipt = done(Some(DecisionRow::DeferredControlAccepted), false);
        let text = what_happens(&receipt, &status(&receipt, true), true);
        for part in [
            "sent again at 1970-01-01T00:05:00Z",
            "released at 1970-01-02T00:00:00Z at the latest",
            "defer_unauth_destination` to `smtpd_relay_restrictions",
            "after 1970-01-01T00:02:00Z",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let unproved = what_happens(&receipt, &status(&receipt, true), false);
        assert!(!unproved.contains("defer"), "{unproved}");
    }

    #[test]
    fn waiting_period_is_explained_by_the_test_result_only_with_proof() {
        let differs = text_of(&done(Some(DecisionRow::RefusedControlDiffers), false), true);
        assert!(
            differs.starts_with("Every test was refused, but")
                && differs.ends_with("it is released at 1970-01-02T00:00:00Z."),
            "{differs}"
        );
        let deferred = text_of(
            &done(Some(DecisionRow::DeferredControlAccepted), true),
            true,
        );
        assert!(
            deferred.starts_with("Some tests were deferred (4xx)")
                && deferred.contains("is paused now"),
            "{deferred}"
        );
        // A claimant without proof does not learn how the host replied.
        for row in DecisionRow::VARIANTS {
            let text = text_of(&done(Some(*row), false), false);
            assert!(text.starts_with("Its tests do not show yet"), "{text}");
        }
    }
}
