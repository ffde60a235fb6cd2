//! The way out of a relay test's listing, and what proves it: claims, opt-outs, evidence.

use std::net::IpAddr;

use axum::{Extension, Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    access::{Caller, Peer},
    error::Problem,
    input::{Body, Params, Part},
    jobs::{JobShape, actor, ask, host, number},
    shapes::{Page, ReceiptShape},
};
use crate::{
    model::{Role, Subject, subject::HostBits},
    relay::{
        Actor, ClaimReceipt, OptOut, Proof, RelayService, SourceReplies, control::DecisionRow,
        message::redact, policy::JobState, transcript::section,
    },
};

/// Proofs that are shown of a host.
const SHOWN: usize = 100;

/// A claim.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimOrder {
    /// The address that is closed.
    pub target: String,
    /// An editor says that the claimant speaks for it.
    #[serde(default)]
    pub proved: bool,
}

/// What became of a claim.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClaimShape {
    /// Its test.
    job: JobShape,
    /// Whether it was proved that the claimant speaks for the host.
    proved: bool,
    /// Something was accepted, or put off each time: released then, if nothing comes.
    release: Option<String>,
    /// In words.
    what_happens: String,
    /// The claims of this listing whose tests were blocked; shown where this claim is proved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blocked: Vec<BlockedShape>,
}

/// What one of our addresses was answered when the host refused the tester and not the messages.
#[derive(Debug, Serialize, ToSchema)]
pub struct BlockedShape {
    /// The address of ours.
    source: Option<String>,
    /// When the test ended.
    at: Option<String>,
    /// The row of the table in docs/relay.md that the test came to.
    row: Option<String>,
    /// What was sent, and what was answered.
    replies: Vec<BlockedReply>,
}

/// A command of the tester and its reply.
#[derive(Debug, Serialize, ToSchema)]
pub struct BlockedReply {
    /// The test and its step, or the control's recipient.
    sent: String,
    /// The code and the text of the reply, or why there was none.
    answered: String,
}

/// The blocked claims of a host, for its owner.
fn blocked(
    relay: &RelayService,
    target: IpAddr,
) -> Result<Vec<BlockedShape>, crate::relay::RelayError> {
    let reply = |(sent, answered)| BlockedReply { sent, answered };
    let one = |s: SourceReplies| BlockedShape {
        source: s.source.map(|a| a.to_string()),
        at: s.at.map(|t| t.to_string()),
        row: s.row.map(|r| r.name().into()),
        replies: s.replies.into_iter().map(reply).collect(),
    };
    Ok(relay.blocked(target)?.into_iter().map(one).collect())
}

/// What a claimant has to know of the control.
const REFUSES: &str =
    " Its own postmaster has to be accepted: a host that refuses the tester alone stays listed.";

/// What follows from a claim, in words. What its test came to is for who has proved to speak for
/// the host.
fn what_happens(done: &ClaimReceipt, proved: bool) -> String {
    let Some(end) = done.release else {
        return match done.job.state {
            JobState::Deferred => {
                format!(
                    "It is tested at {}, and released when every test is refused.{REFUSES}",
                    done.job.not_before
                )
            }
            JobState::Held => {
                "It cannot be tested now. If that stays so for two days, it is released on request."
                    .into()
            }
            _ => format!("It is tested now, and released when every test is refused.{REFUSES}"),
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

async fn claimed(
    app: &App,
    who: Actor,
    target: IpAddr,
    proved: bool,
) -> Result<(StatusCode, Json<ClaimShape>), Problem> {
    let (done, blocked) = ask(app, move |relay| {
        let done = relay.claim(&who, target, proved, relay.now())?;
        Ok((
            done,
            if proved {
                blocked(relay, target)?
            } else {
                Vec::new()
            },
        ))
    })
    .await?;
    let what_happens = what_happens(&done, proved);
    let release = done.release.map(|t| t.to_string());
    Ok((
        StatusCode::ACCEPTED,
        Json(ClaimShape {
            job: JobShape::public(&done.job),
            proved,
            release,
            what_happens,
            blocked,
        }),
    ))
}

/// "File your server closed": the host is tested again, and released when it is.
#[utoipa::path(post, path = "/v1/claims", tag = "tests", request_body = ClaimOrder, responses((status = 202, body = ClaimShape), Problem))]
pub(super) async fn claim(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Body(asked): Body<ClaimOrder>,
) -> Result<(StatusCode, Json<ClaimShape>), Problem> {
    let target = host("target", &asked.target)?;
    caller.allow(Some(&Subject::host(target)), None, None)?;
    if asked.proved && caller.role < Role::Editor {
        return Err(Problem::forbidden("proved: that takes the role editor"));
    }
    let own = caller.from.parse::<IpAddr>().is_ok_and(|a| a == target);
    claimed(&app, actor(&caller), target, asked.proved || own).await
}

/// The same for everybody: proved where it comes from the address itself.
#[utoipa::path(post, path = "/claims", security(()), tag = "public", request_body = ClaimOrder, responses((status = 202, body = ClaimShape), Problem))]
pub(super) async fn claim_public(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    Body(asked): Body<ClaimOrder>,
) -> Result<(StatusCode, Json<ClaimShape>), Problem> {
    let target = host("target", &asked.target)?;
    if asked.proved {
        return Err(Problem::invalid(
            "proved: nobody can say that here; claim it from the address itself",
        ));
    }
    let (from, own) = match peer {
        Some(Extension(Peer::Net(a))) => {
            app.access
                .claim(a)
                .map_err(|limited| Problem::rate_limited("claims", &limited))?;
            (a.to_canonical().to_string(), a.to_canonical() == target)
        }
        _ => ("socket".into(), false),
    };
    claimed(
        &app,
        Actor {
            name: "claimant".into(),
            from,
            once: None,
        },
        target,
        own,
    )
    .await
}

/// A release after a person has looked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewOrder {
    /// The address.
    pub target: String,
    /// Why.
    pub note: String,
}

/// What a review did.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReviewShape {
    receipt: Option<ReceiptShape>,
}

/// Releases a host that relay tests have listed, an output too, without a test.
#[utoipa::path(post, path = "/v1/reviews", tag = "tests", request_body = ReviewOrder, responses((status = 200, body = ReviewShape), Problem))]
pub(super) async fn review(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Body(asked): Body<ReviewOrder>,
) -> Result<Json<ReviewShape>, Problem> {
    let target = host("target", &asked.target)?;
    if asked.note.trim().is_empty() {
        return Err(Problem::invalid("note: say why"));
    }
    super::input::note(Some(&asked.note))?;
    let receipt = ask(&app, move |relay| {
        relay.review(&actor(&caller), target, &asked.note, relay.now())
    })
    .await?;
    Ok(Json(ReviewShape {
        receipt: receipt.map(Into::into),
    }))
}

/// Somebody who asked not to be tested.
#[derive(Debug, Serialize, ToSchema)]
pub struct OptOutShape {
    subject: String,
    since: String,
    by: String,
    /// How control was proved.
    proof: String,
}

impl From<OptOut> for OptOutShape {
    fn from(o: OptOut) -> OptOutShape {
        OptOutShape {
            subject: o.subject,
            since: o.at.to_string(),
            by: o.by,
            proof: o.proof,
        }
    }
}

/// An opt-out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OptOutOrder {
    /// An address or a prefix.
    pub subject: String,
    /// How control of it was proved.
    pub proof: String,
}

fn subject(text: &str) -> Result<Subject, Problem> {
    Subject::parse(text, HostBits::Refuse).map_err(|e| Problem::invalid(format!("subject: {e}")))
}

/// All opt-outs.
#[utoipa::path(get, path = "/v1/optouts", tag = "tests", responses((status = 200, body = Page<OptOutShape>), Problem))]
pub(super) async fn opt_outs(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Page<OptOutShape>>, Problem> {
    let all = ask(&app, RelayService::opt_outs).await?;
    let seen = |o: OptOut| OptOutShape {
        proof: if caller.role >= Role::Editor {
            o.proof.clone()
        } else {
            String::new()
        },
        ..OptOutShape::from(o.clone())
    };
    Ok(Json(Page::all(all.into_iter().map(seen).collect())))
}

/// Tests nobody in a subject from now on; what waits ends, and what was proved stays until it ends.
#[utoipa::path(post, path = "/v1/optouts", tag = "tests", request_body = OptOutOrder, responses((status = 201, body = OptOutShape), Problem))]
pub(super) async fn opt_out(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Body(asked): Body<OptOutOrder>,
) -> Result<(StatusCode, Json<OptOutShape>), Problem> {
    let subject = subject(&asked.subject)?;
    caller.allow(Some(&subject), Some(crate::relay::NOTEST), None)?;
    if asked.proof.trim().is_empty() {
        return Err(Problem::invalid("proof: say how control of it was proved"));
    }
    super::input::line("proof", &asked.proof)?;
    let done = ask(&app, move |relay| {
        relay.opt_out(&actor(&caller), &subject, &asked.proof, relay.now())
    })
    .await?;
    Ok((StatusCode::CREATED, Json(done.into())))
}

/// Which opt-out.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichSubject {
    /// As it opted out.
    subject: String,
}

/// What an opt-out's end was about.
#[derive(Debug, Serialize, ToSchema)]
pub struct OptInShape {
    subject: String,
}

/// Ends an opt-out.
#[utoipa::path(delete, path = "/v1/optouts", tag = "tests", params(WhichSubject), responses((status = 200, body = OptInShape), Problem))]
pub(super) async fn opt_in(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Params(which): Params<WhichSubject>,
) -> Result<Json<OptInShape>, Problem> {
    let subject = subject(&which.subject)?;
    caller.allow(Some(&subject), Some(crate::relay::NOTEST), None)?;
    let shown = subject.to_string();
    ask(&app, move |relay| {
        relay.opt_in(&actor(&caller), &subject, relay.now())
    })
    .await?;
    Ok(Json(OptInShape { subject: shown }))
}

/// A message that came through: what everybody may see of it, and more for its owner and for
/// operators.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProofShape {
    id: u64,
    test: String,
    /// The host that was given the message.
    input: String,
    /// The host that delivered it.
    output: String,
    sent: String,
    came: String,
    /// What the input answered when it was given the message, as codes of SMTP; none where a
    /// reporter sent it.
    codes: Vec<u16>,
    /// The reason that it was listed for, or why it was not.
    outcome: String,
    /// For the owner and operators: the envelope at the collector.
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope: Option<String>,
    /// For the owner and operators: the message; other people's addresses are hashed for the owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// For the owner and operators: what was said when it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    transcript: Option<String>,
}

/// Who looks at evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    Public,
    /// Who delivered it: he has the message, and nothing else of the input's is his.
    Output,
    Owner,
    Operator,
}

fn redacted_for(relay: &RelayService, p: Proof, audience: Audience) -> ProofShape {
    let settings = relay.settings();
    // Our own addresses stay readable: the contact is there to be written to.
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
    // Only what was said about this test: others are not part of this proof.
    let lines = relay.transcript(p.job).unwrap_or_default();
    let section = section(&lines, &p.test);
    // What a reporter says of it is his word, and no answer that we had.
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
    ProofShape {
        id: p.id,
        codes,
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
        sent: p.issued.to_string(),
        came: p.at.to_string(),
        outcome: p.outcome.into(),
    }
}

/// Of whom.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OfWhom {
    /// An address.
    target: String,
}

/// The messages that came through a host or from it, the newest first, with all that is known of
/// them.
#[utoipa::path(get, path = "/v1/evidence", tag = "tests", params(OfWhom), responses((status = 200, body = Page<ProofShape>), Problem))]
pub(super) async fn evidence(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Params(of): Params<OfWhom>,
) -> Result<Json<Page<ProofShape>>, Problem> {
    let target = host("target", &of.target)?;
    let audience = if caller.role >= Role::Operator {
        Audience::Operator
    } else {
        Audience::Public
    };
    let all = ask(&app, move |relay| {
        Ok(of_host(relay, target, SHOWN)?
            .into_iter()
            .map(|p| redacted_for(relay, p, audience))
            .collect())
    })
    .await?;
    Ok(Json(Page::all(all)))
}

/// What came through a host and from it.
pub(super) fn of_host(
    relay: &RelayService,
    target: IpAddr,
    most: usize,
) -> Result<Vec<Proof>, crate::relay::RelayError> {
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

/// One message that came through. Who asks from the address of its input or its output sees the
/// message and what was said, others' addresses hashed.
#[utoipa::path(get, path = "/evidence/{id}", security(()), tag = "public", params(("id" = u64, Path)), responses((status = 200, body = ProofShape), Problem))]
pub(super) async fn proof(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    Part(id): Part,
) -> Result<Json<ProofShape>, Problem> {
    let id = number(&id, "proof")?;
    let from = match peer {
        Some(Extension(Peer::Net(a))) => Some(a.to_canonical()),
        _ => None,
    };
    let found = ask(&app, move |relay| {
        let proof = relay.proof(id)?;
        let audience = match from {
            Some(a) if a == proof.input => Audience::Owner,
            Some(a) if a == proof.output => Audience::Output,
            _ => Audience::Public,
        };
        // That a host was tested, and did not prove open or does no more, is nobody's business.
        if audience == Audience::Public && !relay.is_shown(&proof)? {
            return Err(crate::relay::RelayError::NotFound(format!(
                "there is no proof {id} (any more)"
            )));
        }
        Ok(redacted_for(relay, proof, audience))
    });
    Ok(Json(found.await?))
}

/// What everybody is told of a host's tests.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tested {
    /// The proofs: `/evidence/ID` has more.
    pub proofs: Vec<PublicProof>,
    /// For the address itself: the claims of this listing whose tests were blocked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<BlockedShape>,
    /// The hosts that it delivers for; only where it is listed for that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
}

/// A message that came through, for everybody.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublicProof {
    id: u64,
    test: String,
    input: String,
    output: String,
    came: String,
}

/// The tests that a public look-up shows to a client.
pub(super) fn tested(relay: &RelayService, target: IpAddr, client: IpAddr) -> Option<Tested> {
    let proofs = relay
        .listing(target, 20, |p| relay.is_shown(p).unwrap_or(false))
        .ok()?;
    let one = |p: Proof| PublicProof {
        id: p.id,
        test: p.test,
        input: p.input.to_string(),
        output: p.output.to_string(),
        came: p.at.to_string(),
    };
    let of = proofs.into_iter().map(one).collect::<Vec<_>>();
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
    (!of.is_empty() || !inputs.is_empty()).then_some(Tested {
        proofs: of,
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
