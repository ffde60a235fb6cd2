//! Arranges the messages of a job: their order, and the sessions with controls.

use std::collections::HashSet;

use super::{
    control::{MAX_FORMS_PER_SESSION, ProvedForms},
    control_plan::{self, ControlPlan},
    host_names::HostNames,
    message,
    messages::{Phase, PreparedMessage, evidence_line},
    policy::Job,
    settings::RelaySettings,
    token::{TokenKind, token_id},
};
use crate::{model::Time, smtp::SmtpPort};

/// Arranges messages in order and in sessions. `proved` are the forms that have proved the host
/// open, if the job needs controls.
pub(super) fn arrange(
    settings: &RelaySettings,
    job: &mut Job,
    names: &HostNames,
    proved: Option<&ProvedForms>,
    now: Time,
    mut messages: Vec<PreparedMessage>,
) -> Vec<PreparedMessage> {
    assign_phases(job, proved, &mut messages);
    let has_proved_forms = messages.iter().any(|m| m.phase == Phase::ProvedForms);
    // If no proved form can be sent, other forms show whether the host accepts sessions of the
    // tester.
    let controlled = match proved {
        Some(_) if has_proved_forms => Some(Phase::ProvedForms),
        Some(_) => Some(Phase::ClassSample),
        None => None,
    };
    let (first, mut rest): (Vec<PreparedMessage>, Vec<PreparedMessage>) = messages
        .into_iter()
        .partition(|m| Some(m.phase) == controlled);
    if job.trigger.is_by_owner() || job.is_claim() {
        rest.sort_by_key(|m| m.phase);
    }
    let mut out = into_sessions(settings, job, names, now, first);
    out.extend(rest);
    out
}

/// Assigns each message to its group.
fn assign_phases(job: &Job, proved: Option<&ProvedForms>, messages: &mut [PreparedMessage]) {
    let mut covered: HashSet<(String, SmtpPort)> = HashSet::new();
    let key = |m: &PreparedMessage| {
        let result = job.results.get(m.place);
        let class = result.map_or_else(String::new, |r| r.class.clone());
        (class, m.envelope.port)
    };
    let is_proved = |m: &PreparedMessage| {
        proved.is_some_and(|c| c.tests.is_empty() || c.tests.contains(&m.test))
    };
    for m in messages.iter_mut().filter(|m| is_proved(m)) {
        m.phase = Phase::ProvedForms;
        covered.insert(key(m));
    }
    // A form that needs an extension may be skipped, so it represents its class only if no other
    // form does.
    for utf8 in [false, true] {
        for m in messages.iter_mut().filter(|m| m.envelope.utf8 == utf8) {
            if m.phase == Phase::Rest && covered.insert(key(m)) {
                m.phase = Phase::ClassSample;
            }
        }
    }
}

/// Groups messages that can share a session: they have the same sender, greeting and port. A
/// session has at most [`MAX_FORMS_PER_SESSION`] messages.
fn into_sessions(
    settings: &RelaySettings,
    job: &mut Job,
    names: &HostNames,
    now: Time,
    messages: Vec<PreparedMessage>,
) -> Vec<PreparedMessage> {
    /// Port, greeting and sender of a group; its messages, each with the token in its sender.
    type Group = (
        (SmtpPort, Option<String>, String),
        Vec<(PreparedMessage, Option<String>)>,
    );
    let mut groups: Vec<Group> = Vec::new();
    for m in messages {
        // Senders are compared without their token. A message that was sent before keeps its
        // sender.
        let result = job.results.get(m.place);
        let new = result.filter(|r| !r.outcome.is_deferred());
        let own = new
            .and_then(|r| token_id(&r.token))
            .map(|id| settings.tokens.text(TokenKind::Return, &id))
            .filter(|t| m.envelope.from.contains(t.as_str()));
        let mut from = m.envelope.from.clone();
        if let Some(token) = &own {
            from = from.replace(token.as_str(), "{s}");
        }
        let key = (m.envelope.port, m.envelope.hello.clone(), from);
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, group)) => group.push((m, own)),
            None => groups.push((key, vec![(m, own)])),
        }
    }
    let recipients = control_plan::recipients(names);
    let mut out = Vec::new();
    let mut session = 0;
    for (_, mut group) in groups {
        while !group.is_empty() {
            let rest = group.split_off(group.len().min(MAX_FORMS_PER_SESSION));
            // Controls and messages have the sender of the first message. A bounce is identified by
            // the message that it quotes.
            let from = group
                .first()
                .map_or_else(String::new, |(m, _)| m.envelope.from.clone());
            for (mut m, own) in group {
                m.control = Some(ControlPlan {
                    session,
                    recipients: recipients.clone(),
                });
                if own.is_some() && m.envelope.from != from {
                    m.envelope.from.clone_from(&from);
                    readdress(settings, job, names, now, &mut m);
                }
                out.push(m);
            }
            (group, session) = (rest, session + 1);
        }
    }
    out
}

/// Renders a message again after its sender has changed.
fn readdress(
    settings: &RelaySettings,
    job: &mut Job,
    names: &HostNames,
    now: Time,
    m: &mut PreparedMessage,
) {
    let Some(result) = job.results.get_mut(m.place) else {
        return;
    };
    result.envelope.0.clone_from(&m.envelope.from);
    let token = token_id(&result.token)
        .map(|id| settings.tokens.text(TokenKind::Probe, &id))
        .unwrap_or_default();
    let (tester, evidence) = (&settings.tester, evidence_line(job));
    m.message = message::probe(names, &m.envelope, &token, tester, &evidence, now);
}
