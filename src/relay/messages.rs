//! Makes the messages of a job: envelopes, tokens and texts.

use serde::{Deserialize, Serialize};

use super::{
    control_plan::ControlPlan,
    forms::{RelayTest, TestGroup, TestScope},
    host_names::HostNames,
    message,
    outcome::TestResult,
    policy::{Job, Trigger},
    proof::IssuedToken,
    rows::{RelayBatch, key},
    settings::RelaySettings,
    token::{TokenId, TokenKind, hex, token_id},
};
use crate::smtp::{Envelope, Outcome};

/// What a result says while its message was not sent.
const UNSENT: &str = "not sent yet";
/// What a form is called that is sent again from our own domain.
pub(super) const PLAIN: &str = "+plain-sender";

/// The groups of messages of a test that the host's owner asked for, in the order in which they are
/// sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The forms that had come through.
    CameThrough,
    /// One form of each class.
    ClassSample,
    /// All others.
    #[default]
    Rest,
}

/// A message that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedMessage {
    /// Its place among the job's results.
    pub place: usize,
    /// The test.
    pub test: String,
    /// What is sent.
    pub envelope: Envelope,
    /// The message, with CRLF.
    pub message: Vec<u8>,
    /// The session that it shares, and the control of that session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<ControlPlan>,
    /// Its group, by which the tester of a claim reports early.
    #[serde(default)]
    pub phase: Phase,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageResult {
    /// Its place among the job's results.
    pub place: usize,
    /// What became of it.
    pub outcome: Outcome,
}

/// The messages of a job's turn: all of them at first, later those that were put off or are new.
pub(super) fn messages(
    sheet: &mut RelayBatch<'_>,
    settings: &RelaySettings,
    job: &mut Job,
    names: &HostNames,
    fresh: &mut dyn FnMut() -> TokenId,
) -> Vec<PreparedMessage> {
    let mut out = Vec::new();
    if job.results.is_empty() {
        let own = settings
            .special
            .iter()
            .any(|s| s.covers(&crate::model::Subject::host(job.target)));
        let tests: Vec<RelayTest> = settings
            .catalogue
            .chosen(job.target, &settings.chosen, &job.only, own)
            .into_iter()
            .cloned()
            .collect();
        for (turn, test) in tests.iter().enumerate() {
            make(
                sheet,
                settings,
                job,
                (names, test, turn, false),
                fresh,
                &mut out,
            );
        }
        return out;
    }
    // Forms that came through, from our own domain.
    let plain: Vec<String> = job
        .results
        .iter()
        .filter(|r| is_unsent(r))
        .filter_map(|r| r.test.strip_suffix(PLAIN).map(String::from))
        .collect();
    job.results
        .retain(|r| !(is_unsent(r) && r.test.ends_with(PLAIN)));
    for name in plain {
        if let Some(test) = settings.catalogue.get(&name) {
            make(
                sheet,
                settings,
                job,
                (names, test, 0, true),
                fresh,
                &mut out,
            );
        }
    }
    // What was put off goes with the same token.
    let said = said(job);
    for (place, r) in job
        .results
        .iter_mut()
        .enumerate()
        .filter(|(_, r)| matches!(r.outcome, Outcome::TempFail { .. }))
    {
        let Some((token, envelope)) = again(settings, names, r) else {
            r.outcome = Outcome::inconclusive(
                "put off, and the names that it takes are no longer the host's",
            );
            continue;
        };
        let message = message::probe(
            names,
            &envelope,
            &token,
            &settings.operator,
            &said,
            sheet.now,
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

/// A message that was put off, as it was.
fn again(
    settings: &RelaySettings,
    names: &HostNames,
    r: &TestResult,
) -> Option<(String, Envelope)> {
    let test = settings
        .catalogue
        .get(r.test.strip_suffix(PLAIN).unwrap_or(&r.test))?;
    let id = token_id(&r.token)?;
    let tokens = (
        settings.tokens.text(TokenKind::Probe, &id),
        settings.tokens.text(TokenKind::Return, &id),
    );
    let forms = names.envelopes(test, 0, true, || tokens.clone()).ok()?;
    let (token, mut envelope) = forms
        .into_iter()
        .find(|(_, e)| e.to.get(e.probe) == Some(&r.envelope.1))?;
    // The sender is the one that it had.
    envelope.from.clone_from(&r.envelope.0);
    Some((token, envelope))
}

pub(super) fn is_unsent(r: &TestResult) -> bool {
    matches!(&r.outcome, Outcome::Inconclusive { why, .. } if why == UNSENT)
}

pub(super) fn said(job: &Job) -> String {
    format!("job {} ({})", job.id, job.grounds.kind)
}

/// Makes the messages of one test, and the rows of their tokens.
fn make(
    sheet: &mut RelayBatch<'_>,
    settings: &RelaySettings,
    job: &mut Job,
    (names, test, turn, plain): (&HostNames, &RelayTest, usize, bool),
    fresh: &mut dyn FnMut() -> TokenId,
    out: &mut Vec<PreparedMessage>,
) {
    let mut ids = Vec::new();
    let name = if plain {
        format!("{}{PLAIN}", test.name)
    } else {
        test.name.clone()
    };
    let mut tokens = || {
        let id = fresh();
        ids.push(id);
        (
            settings.tokens.text(TokenKind::Probe, &id),
            settings.tokens.text(TokenKind::Return, &id),
        )
    };
    let made = match names.envelopes(test, turn, plain, &mut tokens) {
        Ok(made) => made,
        Err(why) => {
            let outcome = Outcome::Skipped { why: why.into() };
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
    for ((token, envelope), id) in made.into_iter().zip(ids) {
        let issued = IssuedToken {
            target: job.target,
            test: name.clone(),
            job: job.id,
            at: sheet.now,
            tester: job.remote.then(|| job.by.clone()),
            trusted: settings.trusted.contains(&job.by),
            strict: test.run == TestScope::OptIn,
            null: envelope.from.starts_with("<>"),
            // A claim's or a review's test is no stranger's word against who delivers.
            owner: job.cause != Trigger::Nomination,
            same: envelope.from.contains(&token),
            outputs: Vec::new(),
            seen: Vec::new(),
        };
        sheet.put(key::token(&id), &issued);
        let message = message::probe(
            names,
            &envelope,
            &token,
            &settings.operator,
            &said(job),
            sheet.now,
        );
        job.results.push(TestResult {
            test: name.clone(),
            class: test.class.clone(),
            token: hex(&id),
            envelope: (envelope.from.clone(), envelope.to[envelope.probe].clone()),
            outcome: Outcome::inconclusive(UNSENT),
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

/// Adds forms that came through with a sender of the host's own, to be sent once more from our
/// domain; whether there are any.
pub(super) fn again_plain(settings: &RelaySettings, job: &mut Job) -> bool {
    let is_new = |job: &Job, name: &str| !job.results.iter().any(|r| r.test == name);
    let came: Vec<(String, String)> = job
        .results
        .iter()
        .filter(|r| matches!(r.outcome, Outcome::Delivered { .. }))
        .filter(|r| {
            settings
                .catalogue
                .get(&r.test)
                .is_some_and(|t| t.group == TestGroup::Recipient && t.from.is_none())
        })
        .map(|r| (format!("{}{PLAIN}", r.test), r.class.clone()))
        .filter(|(name, _)| is_new(job, name))
        .collect();
    let any = !came.is_empty();
    for (test, class) in came {
        if is_new(job, &test) {
            let outcome = Outcome::inconclusive(UNSENT);
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
