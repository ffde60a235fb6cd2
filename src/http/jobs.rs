//! Relay tests: nominations, jobs, and their results.

mod form_notes;

use std::{collections::BTreeMap, net::IpAddr};

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;

use super::{
    App,
    caller::Caller,
    handler::{Call, JsonResult, StatusResult, blocking},
    input::{JsonBody, Part, QueryParams, after, limit, line},
    secrets,
};
use crate::{
    api::{
        ControlResponse, JobResponse, JobTrigger, JobsQuery, NominationKind, NominationRequest,
        OutcomeDetail, OutcomeKind, Page, PreparedProbesResponse, ProbeResultsRequest,
        ProblemDetails, RelayTestResponse, SurveyCountResponse, SurveyMonthResponse,
        TestResultResponse,
    },
    model::{Role, Subject, Time, text::replace_controls},
    relay::{
        Actor, Catalogue, MessageResult, Nomination, RelayError, RelayService, RelayTest,
        catalogue::MAX_MESSAGES,
        control::{ControlCheck, ControlSession},
        forms::TestScope,
        outcome::TestResult,
        policy::{EvidenceOrigin, EvidenceSummary, Job, Trigger},
        survey::{MonthlySurvey, SurveyCount},
        transcript::{parse_transcript, render_transcript},
    },
    smtp::MessageOutcome,
    store::Dictionary,
};

pub use form_notes::public_relay_tests;

/// The longest evidence of a nomination, in bytes.
const MAX_EVIDENCE_BYTES: usize = 4096;
/// The most names of a nomination.
const MAX_NAMES: usize = 5;
/// The longest of those names, in bytes.
const MAX_NAME_BYTES: usize = 100;
/// The most characters of a reply that are kept of a reporter's results.
const MAX_REPLY_CHARS: usize = 200;

impl ProblemDetails {
    /// The problem of a request that the relay service refused.
    pub(super) fn of_relay_error(e: RelayError, dictionary: &Dictionary) -> ProblemDetails {
        match e {
            RelayError::Invalid(why) => ProblemDetails::invalid(why),
            RelayError::LimitReached(why, wait) => ProblemDetails::too_many(why, wait),
            RelayError::Refused(why) => ProblemDetails::conflict(why),
            RelayError::NotFound(why) => ProblemDetails::not_found(why),
            RelayError::Ledger(e) => ProblemDetails::of_ledger_error(&e, dictionary),
        }
    }
}

/// Calls the relay service on a thread that may block, since the service waits for the writer.
pub async fn call_relay<T: Send + 'static>(
    app: &App,
    request: impl FnOnce(&RelayService) -> Result<T, RelayError> + Send + 'static,
) -> Result<T, ProblemDetails> {
    let app = app.clone();
    blocking(move || {
        let response = request(&app.relay);
        response.map_err(|e| ProblemDetails::of_relay_error(e, &app.ledger.store.dictionary()))
    })
    .await
}

/// The caller as the relay service knows it.
pub fn actor(caller: &Caller) -> Actor {
    Actor {
        name: caller.name.clone(),
        from: caller.from.to_string(),
        idempotency: caller.idempotency,
    }
}

/// Reads the address of one host.
pub fn host(field: &str, text: &str) -> Result<IpAddr, ProblemDetails> {
    let addr: Result<IpAddr, _> = text.trim().trim_matches(['[', ']']).parse();
    addr.map(|a| a.to_canonical()).map_err(|_| {
        ProblemDetails::invalid(if text.contains('/') {
            format!("{field}: only single addresses are tested, not networks")
        } else {
            format!("{field}: `{text}` is not an IP address")
        })
    })
}

/// Reads a number in a path.
pub fn number(text: &str, what: &str) -> Result<u64, ProblemDetails> {
    text.parse()
        .map_err(|_| ProblemDetails::not_found(format!("there is no {what} `{text}`")))
}

/// Reads a nomination; `remote` if the reporter sends the messages.
fn read_nomination(
    request: NominationRequest,
    caller: &Caller,
    remote: bool,
) -> Result<Nomination, ProblemDetails> {
    let target = host("target", &request.target)?;
    caller.allow(Some(&Subject::host(target)), None, None)?;
    if request.evidence.len() > MAX_EVIDENCE_BYTES {
        return Err(ProblemDetails::invalid(format!(
            "evidence: at most {MAX_EVIDENCE_BYTES} bytes"
        )));
    }
    line("evidence", &request.evidence)?;
    if request.names.len() > MAX_NAMES || request.names.iter().any(|n| n.len() > MAX_NAME_BYTES) {
        return Err(ProblemDetails::invalid(format!(
            "names: at most {MAX_NAMES}, of at most {MAX_NAME_BYTES} bytes each"
        )));
    }
    let decides = caller.role >= Role::Editor;
    let owner = request.kind == NominationKind::Owner;
    // With a host name of their own on a shared host, reporters could make their own mail look
    // relayed; with a choice of tests they could hide the others.
    if !decides && !(request.names.is_empty() && (remote || request.tests.is_empty())) {
        return Err(ProblemDetails::forbidden(
            "names, tests: these fields require the role editor",
        ));
    }
    if owner && !decides {
        return Err(ProblemDetails::forbidden(
            "kind: only an editor can vouch for an owner",
        ));
    }
    if request.port == Some(0) || request.port.is_some_and(|p| p != 25) && !decides {
        return Err(ProblemDetails::forbidden(
            "port: a port other than 25 requires the role editor",
        ));
    }
    let at = request.at.map(|t| t.parse::<Time>()).transpose();
    let at = at.map_err(|e| ProblemDetails::invalid(format!("at: {e}")))?;
    let origin = match request.kind {
        NominationKind::Message => EvidenceOrigin::Message,
        NominationKind::Log => EvidenceOrigin::Log,
        NominationKind::Owner => EvidenceOrigin::Owner,
    };
    Ok(Nomination {
        target,
        port: request.port,
        evidence: EvidenceSummary {
            origin,
            text: request.evidence,
            at: at.unwrap_or_else(|| caller.clock.now()),
        },
        decides,
        owner,
        remote,
        names: request.names,
        only: request.tests,
    })
}

/// A session with controls; the texts are for operators.
fn control(s: &ControlSession, full: bool) -> ControlResponse {
    let codes = |c: &ControlCheck| c.replies.iter().map(|r| r.code).collect();
    let texts = |c: &ControlCheck| {
        let replies = c.replies.iter();
        let replies = replies.map(|r| format!("RCPT TO:{}: {} {}", r.recipient, r.code, r.text));
        replies.chain(c.failure.clone()).collect::<Vec<_>>()
    };
    let checks = [&s.before, &s.after].into_iter().filter(|_| full);
    ControlResponse {
        source: s.source.map(|a| a.to_string()),
        offers_auth: s.auth,
        before: codes(&s.before),
        after: codes(&s.after),
        texts: checks.flat_map(texts).collect(),
    }
}

/// The name of an enum variant as it is stored.
fn name(variant: &impl Serialize) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(s)) => s,
        _ => String::new(),
    }
}

/// An outcome with its details. The texts of servers are for operators, since servers repeat what
/// they are sent.
fn outcome(o: &MessageOutcome, full: bool) -> (OutcomeKind, OutcomeDetail) {
    let for_operator = |t: &String| full.then(|| t.clone());
    let mut detail = OutcomeDetail::default();
    let kind = match o {
        MessageOutcome::Delivered { output, at } => {
            detail.output = Some(output.to_string());
            detail.at = Some((*at).into());
            OutcomeKind::Delivered
        }
        MessageOutcome::Bounced { at } => {
            detail.at = Some((*at).into());
            OutcomeKind::Bounced
        }
        MessageOutcome::Accepted { text } => {
            detail.text = for_operator(text);
            OutcomeKind::Accepted
        }
        MessageOutcome::Refused { stage, code, text }
        | MessageOutcome::TempFail { stage, code, text } => {
            detail.stage = Some(name(stage));
            detail.code = Some(*code);
            detail.text = for_operator(text);
            match o {
                MessageOutcome::Refused { .. } => OutcomeKind::Refused,
                _ => OutcomeKind::Deferred,
            }
        }
        MessageOutcome::NotSent => {
            detail.cause = Some("not sent yet".into());
            OutcomeKind::Inconclusive
        }
        MessageOutcome::Interrupted { why } => {
            detail.cause = Some(why.as_str().into());
            OutcomeKind::Deferred
        }
        MessageOutcome::Inconclusive {
            why,
            deferred_at,
            blocklist,
        } => {
            detail.cause = Some(why.clone());
            detail.deferred_at = deferred_at.as_ref().map(name);
            detail.blocklist = *blocklist;
            OutcomeKind::Inconclusive
        }
        MessageOutcome::Skipped { why } => {
            detail.cause = Some(why.clone());
            OutcomeKind::Skipped
        }
    };
    (kind, detail)
}

/// The kind of an outcome, and the SMTP reply code if the host replied.
pub fn outcome_kind(o: &MessageOutcome) -> (OutcomeKind, Option<u16>) {
    let (kind, detail) = outcome(o, false);
    (kind, detail.code)
}

/// A result. Its envelope contains a token, which proves relaying, so that only operators see it.
fn result(t: &TestResult, full: bool) -> TestResultResponse {
    let (outcome, detail) = outcome(&t.outcome, full);
    let (from, to) = full.then(|| t.envelope.clone()).unzip();
    TestResultResponse {
        test: t.test.clone(),
        class: t.class.clone(),
        outcome,
        from,
        to,
        detail,
    }
}

fn trigger(t: Trigger) -> JobTrigger {
    match t {
        Trigger::Nomination => JobTrigger::Nomination,
        Trigger::Owner => JobTrigger::Owner,
        Trigger::Claim { .. } => JobTrigger::Claim,
        Trigger::Review => JobTrigger::Review,
        Trigger::Recheck => JobTrigger::Recheck,
        Trigger::SelfTest => JobTrigger::SelfTest,
    }
}

/// A job as it is sent; `full` includes what only operators may see.
fn job(j: &Job, full: bool) -> JobResponse {
    // The time of a recheck is not disclosed.
    let not_before = if full || j.trigger != Trigger::Recheck {
        j.not_before
    } else {
        j.at
    };
    JobResponse {
        id: j.id,
        target: j.target.to_string(),
        trigger: trigger(j.trigger),
        author: j.by.clone(),
        at: j.at.into(),
        state: j.state,
        waiting_for: j.waiting_for.clone(),
        not_before: not_before.into(),
        begun: j.begun.map(Into::into),
        ended: j.ended.map(Into::into),
        assessment: (!j.is_open()).then(|| j.assessment()),
        row: j.row.map(|r| r.name().into()),
        advice: j.advice,
        source: j.source.map(|a| a.to_string()),
        controls: j.controls.iter().map(|s| control(s, full)).collect(),
        results: j.results.iter().map(|r| result(r, full)).collect(),
    }
}

/// A job as the caller may see it.
fn job_for(j: &Job, caller: &Caller) -> JobResponse {
    job(j, caller.role >= Role::Operator)
}

/// The public part of a job: its state without results.
pub fn public_job(j: &Job) -> JobResponse {
    JobResponse {
        results: Vec::new(),
        controls: Vec::new(),
        author: String::new(),
        assessment: None,
        row: None,
        advice: None,
        source: None,
        ..job(j, false)
    }
}

/// Nominates a host for a test. The response is the new job, or the open job that the host already
/// has.
#[utoipa::path(post, path = "/v1/nominations", tag = "relay", request_body = NominationRequest,
    responses((status = 202, body = JobResponse, description = "The job")))]
pub async fn nominate_host(
    Call { app, caller }: Call,
    JsonBody(request): JsonBody<NominationRequest>,
) -> StatusResult<JobResponse> {
    let (nomination, actor) = (read_nomination(request, &caller, false)?, actor(&caller));
    let nominate = move |relay: &RelayService| relay.nominate(&actor, nomination, relay.now());
    let job = call_relay(&app, nominate).await?;
    Ok((StatusCode::ACCEPTED, Json(job_for(&job, &caller))))
}

/// Lists jobs, the newest first.
#[utoipa::path(get, path = "/v1/jobs", tag = "relay", params(JobsQuery),
    responses((status = 200, body = Page<JobResponse>, description = "A page of jobs")))]
pub async fn list_jobs(
    Call { app, caller }: Call,
    QueryParams(query): QueryParams<JobsQuery>,
) -> JsonResult<Page<JobResponse>> {
    let most = limit(query.limit)?;
    let before = after(query.after.as_ref(), |a| a.parse().ok())?;
    let found = call_relay(&app, move |relay| relay.jobs(before, query.open, most)).await?;
    let last = found.last().filter(|_| found.len() == most);
    Ok(Json(Page {
        items: found.iter().map(|j| job_for(j, &caller)).collect(),
        next: last.map(|j| j.id.to_string()),
    }))
}

/// Returns a job.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "relay",
    params(("id" = u64, Path, description = "The number of the job")),
    responses((status = 200, body = JobResponse, description = "The job")))]
pub async fn get_job(Call { app, caller }: Call, Part(id): Part) -> JsonResult<JobResponse> {
    let id = number(&id, "job")?;
    let job = call_relay(&app, move |relay| relay.job(id)).await?;
    Ok(Json(job_for(&job, &caller)))
}

/// Returns the SMTP sessions of a job as text, with the time of each line.
#[utoipa::path(get, path = "/v1/jobs/{id}/transcript", tag = "relay",
    params(("id" = u64, Path, description = "The number of the job")),
    responses((status = 200, body = String, content_type = "text/plain", description = "The transcript")))]
pub async fn get_transcript(
    State(app): State<App>,
    Part(id): Part,
) -> Result<String, ProblemDetails> {
    let id = number(&id, "job")?;
    call_relay(&app, move |relay| {
        relay.job(id)?;
        Ok(render_transcript(&relay.transcript(id)?))
    })
    .await
}

async fn decide(Call { app, caller }: Call, id: &str, approve: bool) -> JsonResult<JobResponse> {
    let (id, actor) = (number(id, "job")?, actor(&caller));
    let decide = move |relay: &RelayService| relay.decide(&actor, id, approve, relay.now());
    let job = call_relay(&app, decide).await?;
    Ok(Json(job_for(&job, &caller)))
}

/// Approves a job that waits for a person, so that it runs.
#[utoipa::path(post, path = "/v1/jobs/{id}/approve", tag = "relay",
    params(("id" = u64, Path, description = "The number of the job")),
    responses((status = 200, body = JobResponse, description = "The job")))]
pub async fn approve_job(call: Call, Part(id): Part) -> JsonResult<JobResponse> {
    decide(call, &id, true).await
}

/// Refuses a job that waits, so that it ends without a test.
#[utoipa::path(delete, path = "/v1/jobs/{id}", tag = "relay",
    params(("id" = u64, Path, description = "The number of the job")),
    responses((status = 200, body = JobResponse, description = "The job")))]
pub async fn refuse_job(call: Call, Part(id): Part) -> JsonResult<JobResponse> {
    decide(call, &id, false).await
}

fn relay_test(t: &RelayTest, chosen: &[String]) -> RelayTestResponse {
    RelayTestResponse {
        id: t.id.clone(),
        name: t.name.clone(),
        group: name(&t.group),
        class: t.class.clone(),
        since: t.since,
        seen_in_abuse: t.seen,
        run: name(&t.run),
        chosen: t.run == TestScope::Live || chosen.contains(&t.name),
        description: t.description.clone(),
        from: t.from.clone(),
        to: t.to.clone(),
        first: t.first.clone(),
        last: t.last.clone(),
        helo: t.helo.clone(),
        port: name(&t.port),
        notes: form_notes::notes_of(&t.name),
    }
}

/// Returns what the tests of each month found, the newest month first.
///
/// # Errors
///
/// The store cannot be read.
pub async fn survey(app: &App) -> Result<Vec<SurveyMonthResponse>, ProblemDetails> {
    let months = call_relay(app, |relay| relay.survey()).await?;
    let counts = |all: BTreeMap<String, SurveyCount>| {
        let count = |(name, c): (String, SurveyCount)| SurveyCountResponse {
            name,
            tested: c.tested,
            delivered: c.delivered,
        };
        all.into_iter().map(count).collect()
    };
    let month = |(month, survey): (String, MonthlySurvey)| SurveyMonthResponse {
        month,
        tested: survey.total.tested,
        delivered: survey.total.delivered,
        classes: counts(survey.classes),
        families: counts(survey.families),
    };
    Ok(months.into_iter().map(month).collect())
}

/// Returns what the relay tests of each month found, by class of test and by family of products.
#[utoipa::path(get, path = "/survey", tag = "public",
    responses((status = 200, body = Page<SurveyMonthResponse>, description = "All months, the newest first")))]
pub async fn list_survey(State(app): State<App>) -> JsonResult<Page<SurveyMonthResponse>> {
    Ok(Json(Page::all(survey(&app).await?)))
}

/// Lists the catalogue of relay tests.
#[utoipa::path(get, path = "/v1/catalogue", tag = "relay",
    responses((status = 200, body = Page<RelayTestResponse>, description = "All relay tests")))]
pub async fn list_relay_tests(State(app): State<App>) -> Json<Page<RelayTestResponse>> {
    Json(Page::all(relay_tests(&app)))
}

/// Returns the catalogue of relay tests.
pub fn relay_tests(app: &App) -> Vec<RelayTestResponse> {
    let settings = app.relay.settings();
    relay_tests_of(&settings.catalogue, &settings.enabled_tests)
}

/// Returns the tests of a catalogue, of which the named ones are run besides those that always are.
pub fn relay_tests_of(catalogue: &Catalogue, chosen: &[String]) -> Vec<RelayTestResponse> {
    let all = catalogue.0.iter();
    all.map(|t| relay_test(t, chosen)).collect()
}

/// Prepares test messages with tokens of this server, which the caller sends from its own address.
///
/// A host that relays one of them is listed as `unconfirmed`, unless the caller is a trusted
/// reporter.
#[utoipa::path(post, path = "/v1/probes", tag = "relay", request_body = NominationRequest,
    responses((status = 201, body = PreparedProbesResponse, description = "The messages")))]
pub async fn prepare_probes(
    Call { app, caller }: Call,
    JsonBody(request): JsonBody<NominationRequest>,
) -> StatusResult<PreparedProbesResponse> {
    let nomination = read_nomination(request, &caller, true)?;
    let names = (app.host_names)(nomination.target, nomination.names.clone()).await;
    let mut ids = Vec::new();
    for _ in 0..2 * MAX_MESSAGES {
        ids.push(secrets::random::<8>().map_err(ProblemDetails::internal)?);
    }
    let actor = Actor {
        idempotency: None,
        ..actor(&caller)
    };
    let mut next_id = move || ids.pop().unwrap_or_default();
    let (job, messages) = call_relay(&app, move |relay| {
        let job = relay.nominate(&actor, nomination, relay.now())?;
        relay.begin(job.id, &names, &mut next_id, relay.now())
    })
    .await?;
    let job = job.id;
    let response = PreparedProbesResponse { job, messages };
    Ok((StatusCode::CREATED, Json(response)))
}

/// Reports the results of messages that the reporter sent. A report does not list the host; only a
/// message that arrives does.
#[utoipa::path(post, path = "/v1/jobs/{id}/results", tag = "relay", request_body = ProbeResultsRequest,
    params(("id" = u64, Path, description = "The number of the job")),
    responses((status = 200, body = JobResponse, description = "The job")))]
pub async fn report_results(
    Call { app, caller }: Call,
    Part(id): Part,
    JsonBody(request): JsonBody<ProbeResultsRequest>,
) -> JsonResult<JobResponse> {
    let id = number(&id, "job")?;
    let job = call_relay(&app, move |relay| relay.job(id)).await?;
    if job.by != caller.name || !job.remote {
        return Err(ProblemDetails::forbidden(
            "only the reporter who requested the messages may report their results",
        ));
    }
    // Only the collector decides that a message was delivered or came back.
    let reportable = |r: &MessageResult| {
        !matches!(
            r.outcome,
            MessageOutcome::Delivered { .. } | MessageOutcome::Bounced { .. }
        )
    };
    let clean = |text: &mut String| {
        *text = replace_controls(&text.chars().take(MAX_REPLY_CHARS).collect::<String>());
    };
    let mut results: Vec<MessageResult> = request.results.into_iter().filter(reportable).collect();
    for r in &mut results {
        match &mut r.outcome {
            MessageOutcome::Refused { text, .. }
            | MessageOutcome::TempFail { text, .. }
            | MessageOutcome::Accepted { text } => clean(text),
            MessageOutcome::Inconclusive { why, .. } | MessageOutcome::Skipped { why } => {
                clean(why);
            }
            MessageOutcome::NotSent
            | MessageOutcome::Interrupted { .. }
            | MessageOutcome::Delivered { .. }
            | MessageOutcome::Bounced { .. } => {}
        }
    }
    let mut controls = request.controls;
    if controls.len() > MAX_MESSAGES {
        return Err(ProblemDetails::invalid(format!(
            "controls: at most {MAX_MESSAGES}"
        )));
    }
    controls.iter_mut().for_each(ControlSession::shorten);
    let job = call_relay(&app, move |relay| {
        let transcript = parse_transcript(&request.transcript);
        relay.finish(id, results, controls, &transcript, relay.now())
    })
    .await?;
    Ok(Json(job_for(&job, &caller)))
}
