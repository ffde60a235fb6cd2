//! Prepares the messages of a job: envelopes, tokens and texts.

use serde::{Deserialize, Serialize};

use super::{
    batch::RelayBatch,
    control_plan::ControlPlan,
    forms::{RelayTest, TestGroup, TestScope},
    host_names::HostNames,
    keys::RelayKey,
    message,
    outcome::TestResult,
    policy::{Job, Trigger},
    proof::IssuedToken,
    settings::RelaySettings,
    token::{TokenId, TokenKind, hex, token_id},
};
use crate::smtp::{Envelope, MessageOutcome};

/// The suffix of the name of a test whose form is sent again with a sender in our own domain.
pub(super) const PLAIN_SUFFIX: &str = "+plain-sender";

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
        let own = settings
            .special_ranges
            .iter()
            .any(|s| s.covers(&crate::model::Subject::host(job.target)));
        let tests: Vec<RelayTest> = settings
            .catalogue
            .select(job.target, &settings.enabled_tests, &job.only, own)
            .into_iter()
            .cloned()
            .collect();
        for (turn, test) in tests.iter().enumerate() {
            make_messages(
                batch,
                settings,
                job,
                (names, test, turn, false),
                new_token,
                &mut out,
            );
        }
        return out;
    }
    // Delivered forms are sent again with a sender in our own domain.
    let plain: Vec<String> = job
        .results
        .iter()
        .filter(|r| r.outcome.is_not_sent())
        .filter_map(|r| r.test.strip_suffix(PLAIN_SUFFIX).map(String::from))
        .collect();
    job.results
        .retain(|r| !(r.outcome.is_not_sent() && r.test.ends_with(PLAIN_SUFFIX)));
    for name in plain {
        if let Some(test) = settings.catalogue.get(&name) {
            make_messages(
                batch,
                settings,
                job,
                (names, test, 0, true),
                new_token,
                &mut out,
            );
        }
    }
    // A deferred message keeps its token.
    let evidence = evidence_line(job);
    for (place, r) in job
        .results
        .iter_mut()
        .enumerate()
        .filter(|(_, r)| r.outcome.is_deferred())
    {
        let Some((token, envelope)) = repeat_message(settings, names, r) else {
            r.outcome = MessageOutcome::inconclusive(
                "deferred, and the names that it needs no longer belong to the host",
            );
            continue;
        };
        let message = message::probe(
            names,
            &envelope,
            &token,
            &settings.tester,
            &evidence,
            batch.now,
        );
        out.push(PreparedMessage {
            place,
            test: r.test.clone(),
            envelope,
            message,
            control: None,
            phase: Phase::Rest,
        });
    }
    out
}

/// Returns the token and the envelope of a message that is sent again.
fn repeat_message(
    settings: &RelaySettings,
    names: &HostNames,
    r: &TestResult,
) -> Option<(String, Envelope)> {
    let test = settings
        .catalogue
        .get(r.test.strip_suffix(PLAIN_SUFFIX).unwrap_or(&r.test))?;
    let id = token_id(&r.token)?;
    let tokens = (
        settings.tokens.text(TokenKind::Probe, &id),
        settings.tokens.text(TokenKind::Return, &id),
    );
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

/// Prepares the messages of one test, and adds the rows of their tokens.
fn make_messages(
    batch: &mut RelayBatch<'_>,
    settings: &RelaySettings,
    job: &mut Job,
    (names, test, turn, plain): (&HostNames, &RelayTest, usize, bool),
    new_token: &mut dyn FnMut() -> TokenId,
    out: &mut Vec<PreparedMessage>,
) {
    let mut ids = Vec::new();
    let name = if plain {
        format!("{}{PLAIN_SUFFIX}", test.name)
    } else {
        test.name.clone()
    };
    let mut tokens = || {
        let id = new_token();
        ids.push(id);
        (
            settings.tokens.text(TokenKind::Probe, &id),
            settings.tokens.text(TokenKind::Return, &id),
        )
    };
    let envelopes = match names.envelopes(test, turn, plain, &mut tokens) {
        Ok(envelopes) => envelopes,
        Err(why) => {
            let outcome = MessageOutcome::Skipped { why: why.into() };
            job.results.push(TestResult {
                test: name,
                class: test.class.clone(),
                token: String::new(),
                envelope: Default::default(),
                outcome,
            });
            return;
        }
    };
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
        batch.put(&RelayKey::Token(id), &issued);
        let message = message::probe(
            names,
            &envelope,
            &token,
            &settings.tester,
            &evidence_line(job),
            batch.now,
        );
        job.results.push(TestResult {
            test: name.clone(),
            class: test.class.clone(),
            token: hex(&id),
            envelope: (envelope.from.clone(), envelope.to[envelope.probe].clone()),
            outcome: MessageOutcome::NotSent,
        });
        let place = job.results.len() - 1;
        out.push(PreparedMessage {
            place,
            test: name.clone(),
            envelope,
            message,
            control: None,
            phase: Phase::Rest,
        });
    }
}

/// Adds the forms that were delivered with a sender of the host's own domain; they are sent again
/// from our domain. Returns whether there are any.
pub(super) fn add_plain_forms(settings: &RelaySettings, job: &mut Job) -> bool {
    let is_new = |job: &Job, name: &str| !job.results.iter().any(|r| r.test == name);
    let delivered: Vec<(String, String)> = job
        .results
        .iter()
        .filter(|r| matches!(r.outcome, MessageOutcome::Delivered { .. }))
        .filter(|r| {
            settings
                .catalogue
                .get(&r.test)
                .is_some_and(|t| t.group == TestGroup::Recipient && t.from.is_none())
        })
        .map(|r| (format!("{}{PLAIN_SUFFIX}", r.test), r.class.clone()))
        .filter(|(name, _)| is_new(job, name))
        .collect();
    let any = !delivered.is_empty();
    for (test, class) in delivered {
        if is_new(job, &test) {
            let outcome = MessageOutcome::NotSent;
            job.results.push(TestResult {
                test,
                class,
                token: String::new(),
                envelope: Default::default(),
                outcome,
            });
        }
    }
    any
}
