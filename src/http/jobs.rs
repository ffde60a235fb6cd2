//! Relay tests: what is nominated, where its job stands, and what came of it.

use std::net::IpAddr;

use axum::{Extension, Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    access::Caller,
    error::Problem,
    input::{Body, Params, Part, limit},
    shapes::Page,
};
use crate::{
    model::{Role, Subject, Time, text::cleaned},
    relay::{
        Actor, MessageResult, Nomination, PreparedMessage, RelayError, RelayTest,
        catalogue::MAX_MESSAGES,
        control::{ControlCheck, ControlSession},
        outcome::TestResult,
        policy::{EvidenceOrigin, EvidenceSummary, Job, Trigger},
        transcript::{parse_transcript, render_transcript},
    },
    smtp::MessageOutcome,
    store::Dictionary,
};

impl Problem {
    /// The problem that a refusal of the relay service is.
    pub fn denied(e: RelayError, dictionary: &Dictionary) -> Problem {
        match e {
            RelayError::Invalid(why) => Problem::invalid(why),
            RelayError::LimitReached(why, wait) => Problem::too_many(why, wait),
            RelayError::Refused(why) => Problem::refused(why),
            RelayError::NotFound(why) => Problem::not_found(why),
            RelayError::Ledger(e) => Problem::of(&e, dictionary),
        }
    }
}

/// Calls the relay service, which waits for the writer.
pub(super) async fn ask<T: Send + 'static>(
    app: &App,
    f: impl FnOnce(&crate::relay::RelayService) -> Result<T, RelayError> + Send + 'static,
) -> Result<T, Problem> {
    let relay = app.relay.clone();
    let done = tokio::task::spawn_blocking(move || f(&relay))
        .await
        .map_err(Problem::failed)?;
    done.map_err(|e| Problem::denied(e, &app.ledger.store.dictionary()))
}

pub(super) fn actor(caller: &Caller) -> Actor {
    Actor {
        name: caller.name.clone(),
        from: caller.from.to_string(),
        once: caller.once,
    }
}

/// One host, and nothing wider.
pub(super) fn host(field: &str, text: &str) -> Result<IpAddr, Problem> {
    let addr: Result<IpAddr, _> = text.trim().trim_matches(['[', ']']).parse();
    match addr {
        Ok(a) => Ok(a.to_canonical()),
        Err(_) if text.contains('/') => Err(Problem::invalid(format!(
            "{field}: single addresses are tested, and no networks"
        ))),
        Err(_) => Err(Problem::invalid(format!(
            "{field}: `{text}` is no IP address"
        ))),
    }
}

pub(super) fn number(text: &str, what: &str) -> Result<u64, Problem> {
    text.parse()
        .map_err(|_| Problem::not_found(format!("there is no {what} `{text}`")))
}

/// What is brought to be tested.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nominated {
    /// One IP address.
    pub target: String,
    /// What was seen: a message's id, a line of a log, the owner's words.
    pub evidence: String,
    /// `message`, `log` or `owner`.
    pub kind: String,
    /// When it was seen (RFC 3339), at most 14 days ago; now where it is left out.
    pub at: Option<String>,
    /// Instead of port 25.
    pub port: Option<u16>,
    /// Names that the host may have, from the evidence, such as that of its greeting; only those
    /// that point at it are used. An editor's word.
    #[serde(default)]
    pub names: Vec<String>,
    /// Only these tests, by name. An editor's word, but for messages that the reporter sends
    /// himself.
    #[serde(default)]
    pub tests: Vec<String>,
}

impl Nominated {
    fn read(self, caller: &Caller, remote: bool) -> Result<Nomination, Problem> {
        let target = host("target", &self.target)?;
        caller.allow(Some(&Subject::host(target)), None, None)?;
        let origin = match self.kind.as_str() {
            "message" => EvidenceOrigin::Message,
            "log" => EvidenceOrigin::Log,
            "owner" => EvidenceOrigin::Owner,
            other => {
                return Err(Problem::invalid(format!(
                    "kind: `{other}` is not message, log or owner"
                )));
            }
        };
        if self.evidence.len() > 4096 {
            return Err(Problem::invalid("evidence: at most 4096 bytes"));
        }
        super::input::line("evidence", &self.evidence)?;
        if self.names.len() > 5 || self.names.iter().any(|n| n.len() > 100) {
            return Err(Problem::invalid(
                "names: at most five, of at most 100 bytes each",
            ));
        }
        let decides = caller.role >= Role::Editor;
        let owner = origin == EvidenceOrigin::Owner;
        // A name of his own at a shared host lets a reporter's own mail look like relaying; a
        // choice of tests hides the others.
        if !decides && !(self.names.is_empty() && (remote || self.tests.is_empty())) {
            return Err(Problem::forbidden(
                "names, tests: that takes the role editor",
            ));
        }
        if owner && !decides {
            return Err(Problem::forbidden(
                "that somebody has proved to be the owner is the word of an editor",
            ));
        }
        if self.port == Some(0) || self.port.is_some_and(|p| p != 25) && !decides {
            return Err(Problem::forbidden(
                "port: another port than 25 takes the role editor",
            ));
        }
        let at = self
            .at
            .map(|t| {
                t.parse::<Time>()
                    .map_err(|e| Problem::invalid(format!("at: {e}")))
            })
            .transpose()?
            .unwrap_or_else(|| caller.clock.now());
        let grounds = EvidenceSummary {
            origin,
            text: self.evidence,
            at,
        };
        Ok(Nomination {
            target,
            port: self.port,
            grounds,
            decides,
            owner,
            remote,
            names: self.names,
            only: self.tests,
        })
    }
}

/// What came of a message of a test.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResultShape {
    /// The test's name.
    test: String,
    /// The kind of hole.
    class: String,
    /// delivered, bounced, accepted, refused, later, inconclusive or skipped.
    outcome: String,
    /// For operators: what was sent behind `MAIL FROM:`. It has a token in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// For operators: what was sent behind `RCPT TO:`.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// The outcome in full; what the server said for operators alone, since servers repeat what
    /// they hear.
    detail: serde_json::Value,
}

/// A test of a host.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobShape {
    id: u64,
    target: String,
    /// nomination, owner, claim, review or recheck.
    cause: String,
    by: String,
    at: String,
    /// held, deferred, queued, running or done.
    state: String,
    /// For whom or what it waits.
    waiting_for: Option<String>,
    not_before: String,
    begun: Option<String>,
    ended: Option<String>,
    /// open, accepted, closed, refused, blocked, inconclusive or untestable; where it has ended.
    /// refused: every test was refused, and no control shows that the host does not refuse the
    /// tester alone.
    says: Option<String>,
    /// The row of the table in docs/relay.md that a claim's test came to.
    row: Option<String>,
    /// The address of ours that tests, where it was chosen for this test.
    source: Option<String>,
    results: Vec<ResultShape>,
    /// The sessions that carried controls.
    controls: Vec<ControlShape>,
}

/// A session of a test that asked for the server's postmaster before its first message and after
/// its last one.
#[derive(Debug, Serialize, ToSchema)]
pub struct ControlShape {
    /// The address of ours.
    source: Option<String>,
    /// Whether the server offered a login.
    offers_auth: bool,
    /// The codes of the replies to the postmaster before the first message; none where it was not
    /// reached.
    before: Vec<u16>,
    /// The same after the last message.
    after: Vec<u16>,
    /// For operators: what the server said to them, and why one was not reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    texts: Vec<String>,
}

impl ControlShape {
    fn of(s: &ControlSession, full: bool) -> ControlShape {
        let codes = |c: &ControlCheck| c.replies.iter().map(|r| r.code).collect();
        let texts = [&s.before, &s.after]
            .into_iter()
            .filter(|_| full)
            .flat_map(|c| {
                let replies = c
                    .replies
                    .iter()
                    .map(|r| format!("RCPT TO:{}: {} {}", r.recipient, r.code, r.text));
                replies.chain(c.failure.clone())
            });
        ControlShape {
            source: s.source.map(|a| a.to_string()),
            offers_auth: s.auth,
            before: codes(&s.before),
            after: codes(&s.after),
            texts: texts.collect(),
        }
    }
}

fn word(v: &impl Serialize) -> String {
    match serde_json::to_value(v) {
        Ok(serde_json::Value::String(s)) => s,
        Ok(serde_json::Value::Object(o)) => o.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

impl ResultShape {
    /// A token is as good as a proof to whoever has it: only operators see one.
    fn of(t: &TestResult, full: bool) -> ResultShape {
        let mut detail = serde_json::to_value(&t.outcome).unwrap_or_default();
        if let Some(at) = detail["at"].as_u64() {
            detail["at"] = Time(at).to_string().into();
        }
        if let Some(o) = detail.as_object_mut().filter(|_| !full) {
            o.remove("text");
        }
        let (from, to) = t.envelope.clone();
        let seen = |t: String| Some(t).filter(|_| full);
        ResultShape {
            test: t.test.clone(),
            class: t.class.clone(),
            outcome: t.outcome.as_str().into(),
            from: seen(from),
            to: seen(to),
            detail,
        }
    }
}

impl JobShape {
    /// A job as somebody may see it.
    pub(super) fn of(j: &Job, caller: &Caller) -> JobShape {
        JobShape::seen(j, caller.role >= Role::Operator)
    }

    /// A job as everybody may see it: where it stands, and nothing of its results.
    pub(super) fn public(j: &Job) -> JobShape {
        JobShape {
            results: Vec::new(),
            controls: Vec::new(),
            by: String::new(),
            says: None,
            row: None,
            source: None,
            ..JobShape::seen(j, false)
        }
    }

    fn seen(j: &Job, full: bool) -> JobShape {
        let time = |t: Option<Time>| t.map(|t| t.to_string());
        JobShape {
            id: j.id,
            target: j.target.to_string(),
            cause: word(&j.cause),
            by: j.by.clone(),
            at: j.at.to_string(),
            state: word(&j.state),
            waiting_for: j.waiting_for.clone(),
            // When a released host is tested once more is nobody's to know.
            not_before: if full || j.cause != Trigger::Recheck {
                j.not_before
            } else {
                j.at
            }
            .to_string(),
            begun: time(j.begun),
            ended: time(j.ended),
            says: (!j.is_open()).then(|| word(&j.assessment())),
            row: j.row.map(|r| r.name().into()),
            source: j.source.map(|a| a.to_string()),
            controls: j
                .controls
                .iter()
                .map(|s| ControlShape::of(s, full))
                .collect(),
            results: j.results.iter().map(|r| ResultShape::of(r, full)).collect(),
        }
    }
}

/// Brings a host to be tested. The answer is its job, or the one that there was.
#[utoipa::path(post, path = "/v1/nominations", tag = "tests", request_body = Nominated, responses((status = 202, body = JobShape), Problem))]
pub(super) async fn nominate(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Body(asked): Body<Nominated>,
) -> Result<(StatusCode, Json<JobShape>), Problem> {
    let (nomination, who) = (asked.read(&caller, false)?, actor(&caller));
    let job = ask(&app, move |relay| {
        relay.nominate(&who, nomination, relay.now())
    })
    .await?;
    Ok((StatusCode::ACCEPTED, Json(JobShape::of(&job, &caller))))
}

/// Which jobs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only those that wait or run.
    open: bool,
    /// The `next` of the page before.
    after: Option<String>,
    /// At most so many (1 to 1000; 100 where it is left out).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// The jobs, the newest first.
#[utoipa::path(get, path = "/v1/jobs", tag = "tests", params(Which), responses((status = 200, body = Page<JobShape>), Problem))]
pub(super) async fn jobs(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Params(which): Params<Which>,
) -> Result<Json<Page<JobShape>>, Problem> {
    let most = limit(which.limit)?;
    let before = which
        .after
        .as_ref()
        .map(|a| {
            a.parse()
                .map_err(|_| Problem::invalid("after: take the `next` of a page"))
        })
        .transpose()?;
    let found = ask(&app, move |relay| relay.jobs(before, which.open, most)).await?;
    let next = found
        .last()
        .filter(|_| found.len() == most)
        .map(|j| j.id.to_string());
    Ok(Json(Page {
        items: found.iter().map(|j| JobShape::of(j, &caller)).collect(),
        next,
    }))
}

/// One job.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "tests", params(("id" = u64, Path)), responses((status = 200, body = JobShape), Problem))]
pub(super) async fn job(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
) -> Result<Json<JobShape>, Problem> {
    let id = number(&id, "job")?;
    Ok(Json(JobShape::of(
        &ask(&app, move |relay| relay.job(id)).await?,
        &caller,
    )))
}

/// A job's transcript: all that was said, with who said it and how long it took.
#[utoipa::path(get, path = "/v1/jobs/{id}/transcript", tag = "tests", params(("id" = u64, Path)), responses((status = 200, body = String, content_type = "text/plain"), Problem))]
pub(super) async fn transcript(State(app): State<App>, Part(id): Part) -> Result<String, Problem> {
    let id = number(&id, "job")?;
    ask(&app, move |relay| {
        relay.job(id)?;
        Ok(render_transcript(&relay.transcript(id)?))
    })
    .await
}

/// Lets a job that waits for a person run.
#[utoipa::path(post, path = "/v1/jobs/{id}/approve", tag = "tests", params(("id" = u64, Path)), responses((status = 200, body = JobShape), Problem))]
pub(super) async fn approve(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
) -> Result<Json<JobShape>, Problem> {
    let id = number(&id, "job")?;
    let who = actor(&caller);
    Ok(Json(JobShape::of(
        &ask(&app, move |relay| relay.decide(&who, id, true, relay.now())).await?,
        &caller,
    )))
}

/// Ends a job that waits.
#[utoipa::path(delete, path = "/v1/jobs/{id}", tag = "tests", params(("id" = u64, Path)), responses((status = 200, body = JobShape), Problem))]
pub(super) async fn refuse(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
) -> Result<Json<JobShape>, Problem> {
    let id = number(&id, "job")?;
    let who = actor(&caller);
    Ok(Json(JobShape::of(
        &ask(&app, move |relay| {
            relay.decide(&who, id, false, relay.now())
        })
        .await?,
        &caller,
    )))
}

/// A relay test, as it stands in the catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestShape {
    id: String,
    name: String,
    /// sender, recipient, session, port or ipv6.
    group: String,
    /// The kind of hole that it finds.
    class: String,
    /// The year since which it is known.
    since: u16,
    /// Whether spammers have used it.
    seen_in_abuse: bool,
    /// live, opt-in, lab or danger.
    run: String,
    /// Whether this server runs it.
    chosen: bool,
    what: String,
    /// What follows `MAIL FROM:`, with names in braces.
    from: Option<String>,
    /// What follows `RCPT TO:`; several are a message each.
    to: Vec<String>,
    /// Recipients in front of it and behind it, in the same message.
    first: Option<String>,
    last: Option<String>,
    /// The greeting instead of EHLO and our name; empty for none.
    helo: Option<String>,
    /// smtp, submission or submissions.
    port: String,
}

fn test(t: &RelayTest, chosen: &[String]) -> TestShape {
    TestShape {
        id: t.id.clone(),
        name: t.name.clone(),
        group: word(&t.group),
        class: t.class.clone(),
        since: t.since,
        seen_in_abuse: t.seen,
        run: word(&t.run),
        chosen: t.run == crate::relay::forms::TestScope::Live || chosen.contains(&t.name),
        what: t.what.clone(),
        from: t.from.clone(),
        to: t.to.clone(),
        first: t.first.clone(),
        last: t.last.clone(),
        helo: t.helo.clone(),
        port: word(&t.port),
    }
}

/// Every relay test, from the table that the tester runs.
#[utoipa::path(get, path = "/v1/tests", security(()), tag = "tests", responses((status = 200, body = Page<TestShape>), Problem))]
pub(super) async fn tests(State(app): State<App>) -> Json<Page<TestShape>> {
    let settings = app.relay.settings();
    Json(Page::all(
        settings
            .catalogue
            .0
            .iter()
            .map(|t| test(t, &settings.enabled_tests))
            .collect(),
    ))
}

/// Messages for a reporter to send himself.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProbesShape {
    /// The job.
    job: u64,
    /// What is to be sent: place, test, envelope and message.
    #[schema(value_type = Vec<Object>)]
    messages: Vec<PreparedMessage>,
}

/// Asks for test messages with tokens of ours, which the caller sends from where he is. What comes
/// through is listed as `unconfirmed`, unless `[probe] trusted_reporters` names him.
#[utoipa::path(post, path = "/v1/probes", tag = "tests", request_body = Nominated, responses((status = 201, body = ProbesShape), Problem))]
pub(super) async fn probes(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Body(asked): Body<Nominated>,
) -> Result<(StatusCode, Json<ProbesShape>), Problem> {
    let nomination = asked.read(&caller, true)?;
    let names = (app.known)(nomination.target, nomination.names.clone()).await;
    let mut ids = Vec::new();
    for _ in 0..2 * MAX_MESSAGES {
        ids.push(super::secrets::random::<8>().map_err(Problem::failed)?);
    }
    let (job, messages) = ask(&app, move |relay| {
        // Its key would be spent where the messages are not given yet.
        let job = relay.nominate(
            &Actor {
                once: None,
                ..actor(&caller)
            },
            nomination,
            relay.now(),
        )?;
        relay.begin(
            job.id,
            &names,
            &mut || ids.pop().unwrap_or_default(),
            relay.now(),
        )
    })
    .await?;
    Ok((
        StatusCode::CREATED,
        Json(ProbesShape {
            job: job.id,
            messages,
        }),
    ))
}

/// What a reporter saw when he sent messages of ours.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// What became of each message, as the server said.
    #[schema(value_type = Vec<Object>)]
    #[serde(default)]
    pub results: Vec<MessageResult>,
    /// The sessions that carried controls, as the server answered them.
    #[schema(value_type = Vec<Object>)]
    #[serde(default)]
    pub controls: Vec<ControlSession>,
    /// All that was said.
    #[serde(default)]
    pub transcript: String,
}

/// Ends a job that its reporter has sent himself. His word lists nobody: only what arrives counts.
#[utoipa::path(post, path = "/v1/jobs/{id}/results", tag = "tests", params(("id" = u64, Path)), request_body = Told, responses((status = 200, body = JobShape), Problem))]
pub(super) async fn results(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
    Body(told): Body<Told>,
) -> Result<Json<JobShape>, Problem> {
    let id = number(&id, "job")?;
    let job = ask(&app, move |relay| relay.job(id)).await?;
    if job.by != caller.name || !job.remote {
        return Err(Problem::forbidden(
            "these results are for whoever was given the messages",
        ));
    }
    // Nobody but the collector says that something was delivered or came back.
    let own = |r: &MessageResult| {
        !matches!(
            r.outcome,
            MessageOutcome::Delivered { .. } | MessageOutcome::Bounced { .. }
        )
    };
    let cut = |text: &mut String| *text = cleaned(&text.chars().take(200).collect::<String>());
    let mut results: Vec<MessageResult> = told.results.into_iter().filter(own).collect();
    for r in &mut results {
        match &mut r.outcome {
            MessageOutcome::Refused { text, .. }
            | MessageOutcome::TempFail { text, .. }
            | MessageOutcome::Accepted { text } => cut(text),
            MessageOutcome::Inconclusive { why, .. } | MessageOutcome::Skipped { why } => cut(why),
            MessageOutcome::NotSent
            | MessageOutcome::Interrupted { .. }
            | MessageOutcome::Delivered { .. }
            | MessageOutcome::Bounced { .. } => {}
        }
    }
    let mut controls = told.controls;
    if controls.len() > MAX_MESSAGES {
        return Err(Problem::invalid(format!(
            "controls: at most {MAX_MESSAGES}"
        )));
    }
    controls.iter_mut().for_each(ControlSession::shorten);
    let job = ask(&app, move |relay| {
        relay.finish(
            id,
            results,
            controls,
            &parse_transcript(&told.transcript),
            relay.now(),
        )
    })
    .await?;
    Ok(Json(JobShape::of(&job, &caller)))
}
