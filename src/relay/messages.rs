//! Prepares the messages of a job: envelopes, tokens and texts.

use serde::{Deserialize, Serialize};

use super::{
    batch::RelayBatch,
    control_plan::ControlPlan,
    forms::{RelayTest, TestGroup, TestScope},
    host_names::HostNames,
    message,
    outcome::TestResult,
    policy::{Job, Trigger},
    proof::IssuedToken,
    settings::RelaySettings,
    tables::TOKENS,
    token::{TokenId, hex, token_id},
};
use crate::{
    model::Subject,
    smtp::{Envelope, MessageOutcome},
};

/// The suffix of the name of a test whose form is sent again with a sender in our own domain.
const PLAIN_SUFFIX: &str = "+plain-sender";

/// The groups of messages in a test that the owner of the host requested, in the order in which
/// they are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The forms that have proved the host open.
    #[serde(rename = "came-through")]
    ProvedForms,
    /// One form of each class.
    ClassSample,
    /// All other forms.
    #[default]
    Rest,
}

/// A message that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedMessage {
    /// The index of its result in the job.
    pub place: usize,
    /// The name of the test.
    pub test: String,
    /// The envelope.
    pub envelope: Envelope,
    /// The header and body, with CRLF.
    pub message: Vec<u8>,
    /// The session with controls that carries the message, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<ControlPlan>,
    /// The group of the message. The tester of a claim reports the first groups early.
    #[serde(default)]
    pub phase: Phase,
}

impl PreparedMessage {
    fn new(place: usize, test: &str, envelope: Envelope, message: Vec<u8>) -> PreparedMessage {
        PreparedMessage {
            place,
            test: test.into(),
            envelope,
            message,
            control: None,
            phase: Phase::Rest,
        }
    }
}

/// The result of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageResult {
    /// The index of its result in the job.
    pub place: usize,
    /// The outcome.
    pub outcome: MessageOutcome,
}

/// Prepares the messages of a job's next run: all messages in the first run, later those that were
/// deferred or added.
pub(super) fn prepare_messages(
    batch: &mut RelayBatch<'_>,
    settings: &RelaySettings,
    job: &mut Job,
    names: &HostNames,
    new_token: &mut dyn FnMut() -> TokenId,
) -> Vec<PreparedMessage> {
    let mut out = Vec::new();
    if job.results.is_empty() {
        let host = Subject::host(job.target);
        let own = settings.special_ranges.iter().any(|s| s.covers(&host));
        let only = job.only.clone();
        let tests = settings
            .catalogue
            .select(job.target, &settings.enabled_tests, &only, own);
        for (turn, test) in tests.into_iter().enumerate() {
            let form = TestForm {
                names,
                test,
                turn,
                plain: false,
            };
            make_messages(batch, settings, job, &form, new_token, &mut out);
        }
        return out;
    }
    // Delivered forms are sent again with a sender in our own domain.
    let is_plain = |r: &mut TestResult| r.outcome.is_not_sent() && r.test.ends_with(PLAIN_SUFFIX);
    let plain: Vec<TestResult> = job.results.extract_if(.., is_plain).collect();
    for result in plain {
        if let Some(test) = settings.catalogue.get(form_name(&result.test)) {
            let form = TestForm {
                names,
                test,
                turn: 0,
                plain: true,
            };
            make_messages(batch, settings, job, &form, new_token, &mut out);
        }
    }
    // A deferred message keeps its token.
    let evidence = evidence_line(job);
    let results = job.results.iter_mut().enumerate();
    for (place, r) in results.filter(|(_, r)| r.outcome.is_deferred()) {
        let Some((token, envelope)) = repeat_message(settings, names, r) else {
            r.outcome = MessageOutcome::inconclusive(
                "deferred, and the names that it needs no longer belong to the host",
            );
            continue;
        };
        let tester = &settings.tester;
        let message = message::probe(names, &envelope, &token, tester, &evidence, batch.now);
        out.push(PreparedMessage::new(place, &r.test, envelope, message));
    }
    out
}

/// Returns the name of the test in the catalogue whose form a message has.
pub(super) fn form_name(test: &str) -> &str {
    test.strip_suffix(PLAIN_SUFFIX).unwrap_or(test)
}

/// Returns the token and the envelope of a message that is sent again.
fn repeat_message(
    settings: &RelaySettings,
    names: &HostNames,
    r: &TestResult,
) -> Option<(String, Envelope)> {
    let test = settings.catalogue.get(form_name(&r.test))?;
    let id = token_id(&r.token)?;
    let tokens = settings.tokens.pair(&id);
    let forms = names.envelopes(test, 0, true, || tokens.clone()).ok()?;
    let (token, mut envelope) = forms
        .into_iter()
        .find(|(_, e)| e.to.get(e.probe) == Some(&r.envelope.1))?;
    // The message keeps its first sender.
    envelope.from.clone_from(&r.envelope.0);
    Some((token, envelope))
}

pub(super) fn evidence_line(job: &Job) -> String {
    format!("job {} ({})", job.id, job.evidence.origin)
}

/// One form of a test.
struct TestForm<'a> {
    /// The names that the form may use.
    names: &'a HostNames,
    test: &'a RelayTest,
    /// The place of the test in its job.
    turn: usize,
    /// Whether the sender is in our own domain.
    plain: bool,
}

/// Prepares the messages of one form, and adds the rows of their tokens.
fn make_messages(
    batch: &mut RelayBatch<'_>,
    settings: &RelaySettings,
    job: &mut Job,
    form: &TestForm<'_>,
    new_token: &mut dyn FnMut() -> TokenId,
    out: &mut Vec<PreparedMessage>,
) {
    let TestForm {
        names,
        test,
        turn,
        plain,
    } = *form;
    let mut ids = Vec::new();
    let name = if plain {
        format!("{}{PLAIN_SUFFIX}", test.name)
    } else {
        test.name.clone()
    };
    let mut tokens = || {
        let id = new_token();
        ids.push(id);
        settings.tokens.pair(&id)
    };
    let envelopes = match names.envelopes(test, turn, plain, &mut tokens) {
        Ok(envelopes) => envelopes,
        Err(why) => {
            let outcome = MessageOutcome::Skipped { why: why.into() };
            let result = TestResult::without_message(name, &test.class, outcome);
            job.results.push(result);
            return;
        }
    };
    let evidence = evidence_line(job);
    for ((token, envelope), id) in envelopes.into_iter().zip(ids) {
        let issued = IssuedToken {
            target: job.target,
            test: name.clone(),
            job: job.id,
            at: batch.now,
            tester: job.remote.then(|| job.by.clone()),
            trusted: settings.trusted_reporters.contains(&job.by),
            strict: test.run == TestScope::OptIn,
            null: envelope.from.starts_with("<>"),
            // Only the test of a nomination counts against outputs.
            owner: job.trigger != Trigger::Nomination,
            same: envelope.from.contains(&token),
            outputs: Vec::new(),
            seen: Vec::new(),
        };
        batch.put(TOKENS, &id, &issued);
        let tester = &settings.tester;
        let message = message::probe(names, &envelope, &token, tester, &evidence, batch.now);
        job.results.push(TestResult {
            token: hex(&id),
            envelope: (envelope.from.clone(), envelope.to[envelope.probe].clone()),
            ..TestResult::without_message(name.clone(), &test.class, MessageOutcome::NotSent)
        });
        let place = job.results.len() - 1;
        out.push(PreparedMessage::new(place, &name, envelope, message));
    }
}

/// Adds the forms that were delivered with a sender of the host's own domain; they are sent again
/// from our domain. Returns whether there are any.
pub(super) fn add_plain_forms(settings: &RelaySettings, job: &mut Job) -> bool {
    let has_own_sender = |r: &TestResult| {
        let test = settings.catalogue.get(&r.test);
        test.is_some_and(|t| t.group == TestGroup::Recipient && t.from.is_none())
    };
    let mut added: Vec<TestResult> = Vec::new();
    for r in job.results.iter().filter(|r| r.outcome.is_delivered()) {
        let test = format!("{}{PLAIN_SUFFIX}", r.test);
        if has_own_sender(r) && !job.results.iter().chain(&added).any(|r| r.test == test) {
            let result = TestResult::without_message(test, &r.class, MessageOutcome::NotSent);
            added.push(result);
        }
    }
    let any = !added.is_empty();
    job.results.append(&mut added);
    any
}
