//! The order of a job's messages, and the sessions with controls that some of them share.

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

/// Puts messages in order and into sessions. `came` are the forms that had come through, where the
/// host is listed for forms.
pub(super) fn arrange(
    settings: &RelaySettings,
    job: &mut Job,
    (names, came, now): (&HostNames, Option<&ProvedForms>, Time),
    messages: Vec<PreparedMessage>,
) -> Vec<PreparedMessage> {
    let mut messages = messages;
    assign_phases(job, came, &mut messages);
    let has_come_through = messages.iter().any(|m| m.phase == Phase::ProvedForms);
    // Where none of them can be made, other forms show whether the host accepts the tester's
    // sessions.
    let controlled = match came {
        Some(_) if has_come_through => Some(Phase::ProvedForms),
        Some(_) => Some(Phase::ClassSample),
        None => None,
    };
    let (first, mut rest): (Vec<PreparedMessage>, Vec<PreparedMessage>) = messages
        .into_iter()
        .partition(|m| Some(m.phase) == controlled);
    if job.cause.is_by_owner() || job.is_claim() {
        rest.sort_by_key(|m| m.phase);
    }
    let mut out = into_sessions(settings, job, (names, now), first);
    out.extend(rest);
    out
}

/// Assigns each message to its group.
fn assign_phases(job: &Job, came: Option<&ProvedForms>, messages: &mut [PreparedMessage]) {
    let mut known: HashSet<(String, SmtpPort)> = HashSet::new();
    let key = |m: &PreparedMessage| {
        (
            job.results
                .get(m.place)
                .map_or_else(String::new, |r| r.class.clone()),
            m.envelope.port,
        )
    };
    for m in messages
        .iter_mut()
        .filter(|m| came.is_some_and(|c| c.tests.is_empty() || c.tests.contains(&m.test)))
    {
        m.phase = Phase::ProvedForms;
        known.insert(key(m));
    }
    // A form that needs an extension may be skipped: it represents its class only where no other
    // form does.
    for utf8 in [false, true] {
        for m in messages
            .iter_mut()
            .filter(|m| m.phase == Phase::Rest && m.envelope.utf8 == utf8)
        {
            if known.insert(key(m)) {
                m.phase = Phase::ClassSample;
            }
        }
    }
}

/// Groups messages that can share a session, which have one sender, greeting and port, at most
/// [`MAX_FORMS_PER_SESSION`] in each.
fn into_sessions(
    settings: &RelaySettings,
    job: &mut Job,
    (names, now): (&HostNames, Time),
    messages: Vec<PreparedMessage>,
) -> Vec<PreparedMessage> {
    /// Port, greeting and sender; the messages of a group, with the token in their sender.
    type Group = (
        (SmtpPort, Option<String>, String),
        Vec<(PreparedMessage, Option<String>)>,
    );
    let mut groups: Vec<Group> = Vec::new();
    for m in messages {
        // The sender without its token; one that was sent before keeps the sender that it had.
        let new = job
            .results
            .get(m.place)
            .filter(|r| !r.outcome.is_deferred());
        let token = new
            .and_then(|r| token_id(&r.token))
            .map(|id| settings.tokens.text(TokenKind::Return, &id));
        let own = token.filter(|t| m.envelope.from.contains(t.as_str()));
        let from = own.as_ref().map_or_else(
            || m.envelope.from.clone(),
            |t| m.envelope.from.replace(t.as_str(), "{s}"),
        );
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
            // Controls and messages have the sender of the first one; a bounce is identified by the
            // message that it quotes.
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
                    readdress(settings, job, (names, now), &mut m);
                }
                out.push(m);
            }
            (group, session) = (rest, session + 1);
        }
    }
    out
}

/// Makes a message again after its sender has changed.
fn readdress(
    settings: &RelaySettings,
    job: &mut Job,
    (names, now): (&HostNames, Time),
    m: &mut PreparedMessage,
) {
    let Some(result) = job.results.get_mut(m.place) else {
        return;
    };
    result.envelope.0.clone_from(&m.envelope.from);
    let token = token_id(&result.token)
        .map(|id| settings.tokens.text(TokenKind::Probe, &id))
        .unwrap_or_default();
    m.message = message::probe(
        names,
        &m.envelope,
        &token,
        &settings.tester,
        &evidence_line(job),
        now,
    );
}
