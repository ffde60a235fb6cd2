//! The control of a relay test, and the table that decides claims.
//!
//! A server that refuses every test message may be closed, or it may refuse only our tester. The
//! control distinguishes the two: with the same sender and greeting as the test messages, the
//! tester names the server's own postmaster, which every server accepts (RFC 5321 section 4.5.1).
//! `docs/relay.md` documents the table; a test compares both.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

use super::outcome::{Assessment, TestResult, assess};
use crate::smtp::{
    MessageOutcome, SmtpStage,
    outcome::{RecipientReply, enhanced, is_enhanced},
};

/// The most forms of a session with controls. With its two controls it sends ten RSETs, so that a
/// server does not close it for too many errors (Postfix: 20) or too many commands without mail
/// (Exim: 10) before the last control.
pub const MAX_FORMS_PER_SESSION: usize = 8;

/// One of the two controls of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlCheck {
    /// The replies, one for each recipient that was sent.
    #[serde(default)]
    pub replies: Vec<RecipientReply>,
    /// The reason why not all recipients could be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A session of a relay test that carried controls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlSession {
    /// Our address in the session; `None` if it was not connected.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// Our EHLO or HELO line; empty if none was sent.
    #[serde(default)]
    pub greeting: String,
    /// Whether EHLO was accepted. A session with HELO, or without a greeting, does not show which
    /// extensions the server offers.
    #[serde(default)]
    pub ehlo: bool,
    /// Whether the reply to EHLO offered AUTH.
    #[serde(default)]
    pub auth: bool,
    /// The indexes of the job's results whose messages this session carried.
    #[serde(default)]
    pub places: Vec<usize>,
    /// The control before the first form.
    #[serde(default)]
    pub before: ControlCheck,
    /// The control after the last form.
    #[serde(default)]
    pub after: ControlCheck,
}

/// The most recipients of a control that are accepted from a reporter's tester.
const MAX_REPLIES: usize = 4;
/// The most characters of a text that are accepted from a reporter's tester.
const MAX_TEXT: usize = 200;
/// The most results of a session that are accepted from a reporter's tester.
const MAX_SESSION_RESULTS: usize = 50;

impl ControlSession {
    /// Shortens the report of a reporter's tester to the limits of ours.
    pub fn shorten(&mut self) {
        let cut = |text: &mut String| *text = text.chars().take(MAX_TEXT).collect();
        self.places.truncate(MAX_SESSION_RESULTS);
        cut(&mut self.greeting);
        for check in [&mut self.before, &mut self.after] {
            check.replies.truncate(MAX_REPLIES);
            check
                .replies
                .iter_mut()
                .for_each(|r| [&mut r.recipient, &mut r.text].into_iter().for_each(cut));
            check.failure.iter_mut().for_each(cut);
        }
    }
}

/// The result of a control, from the strongest evidence against a release to the weakest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlResult {
    /// Postmaster was refused with the same 5xx reply as a form.
    Same,
    /// Postmaster was deferred (4xx), the connection was closed, or RCPT was not reached. Also if a
    /// form was refused after its recipient was accepted, a step that a control does not reach.
    None,
    /// Postmaster was refused with another 5xx reply than the forms.
    Other,
    /// Postmaster was accepted before and after the forms.
    Yes,
}

/// The forms that have proved a host open since its last release. They decide a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProvedForms {
    /// The tests of which a message of ours was delivered. If empty, all tests count.
    pub tests: BTreeSet<String>,
    /// Whether a form was proved at another port than the one that is tested now.
    pub other_port: bool,
}

/// The summary of the outcomes of the proved forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormsResult {
    /// A message was delivered since the claim.
    Delivered,
    /// A message was accepted or bounced, and none was delivered.
    Accepted,
    /// All were refused with 5xx at RCPT or later, and every class is closed.
    Refused,
    /// All were refused, some of them with 4xx in each of three tries.
    Deferred,
    /// All were refused at MAIL or before, with 530, 5.7.0 or 5.7.1, and the server offers AUTH.
    LoginRequired,
    /// All were refused at MAIL or before with other replies, or no session was possible.
    ShutOut,
    /// A form could not be made or has no outcome, or a class is not closed.
    Incomplete,
}

/// A row of the table that decides claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantArray))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum DecisionRow {
    /// A message was delivered.
    Delivered,
    /// A message was accepted.
    Accepted,
    /// All forms were refused, and postmaster was accepted.
    RefusedControlAccepted,
    /// All forms were refused, and postmaster was refused with another reply or not reached.
    RefusedControlDiffers,
    /// All forms and postmaster were refused with the same reply.
    RefusedControlSame,
    /// Forms were deferred in each try, and postmaster was accepted.
    DeferredControlAccepted,
    /// Forms were deferred in each try, and postmaster was not accepted.
    DeferredControlFailed,
    /// The server requires a login.
    LoginRequired,
    /// The server refused all sessions.
    ShutOut,
    /// A form could not be tested, and postmaster was accepted.
    IncompleteControlAccepted,
    /// A form could not be tested, and postmaster was not accepted.
    IncompleteControlFailed,
}

/// The state of the test from a second source address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondSource {
    /// There is no second source address in another /24 (IPv6: /48) and with another EHLO name.
    Unavailable,
    /// There is a second source address, which has not tested yet.
    Available,
    /// The second source address has tested, and its forms were also refused at RCPT or later.
    Agrees,
}

/// The consequence of a test for the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClaimOutcome {
    /// The host stays listed, and the claim has failed.
    Failed,
    /// The host is released after the waiting period.
    Waiting,
    /// The same, and a second source address tests meanwhile.
    WaitingForSecondSource,
    /// The host is released now.
    Released,
    /// The host stays listed until the listing expires. The claim has not failed.
    Blocked,
}

impl DecisionRow {
    /// The name of the row in the API and in the documentation.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the row of a test.
    pub fn of(forms: FormsResult, control: ControlResult) -> DecisionRow {
        match (forms, control) {
            (FormsResult::Delivered, _) => DecisionRow::Delivered,
            (FormsResult::Accepted, _) => DecisionRow::Accepted,
            (FormsResult::Refused, ControlResult::Yes) => DecisionRow::RefusedControlAccepted,
            (FormsResult::Refused, ControlResult::Other | ControlResult::None) => {
                DecisionRow::RefusedControlDiffers
            }
            (FormsResult::Refused, ControlResult::Same) => DecisionRow::RefusedControlSame,
            (FormsResult::Deferred, ControlResult::Yes) => DecisionRow::DeferredControlAccepted,
            (FormsResult::Deferred, _) => DecisionRow::DeferredControlFailed,
            (FormsResult::LoginRequired, _) => DecisionRow::LoginRequired,
            (FormsResult::ShutOut, _) => DecisionRow::ShutOut,
            (FormsResult::Incomplete, ControlResult::Yes) => DecisionRow::IncompleteControlAccepted,
            (FormsResult::Incomplete, _) => DecisionRow::IncompleteControlFailed,
        }
    }

    /// Returns the consequence for a claim, by whether it is proved and by the state of the second
    /// source address.
    pub fn outcome(self, proved: bool, second: SecondSource) -> ClaimOutcome {
        match self {
            DecisionRow::Delivered => ClaimOutcome::Failed,
            DecisionRow::RefusedControlAccepted => ClaimOutcome::Released,
            DecisionRow::RefusedControlDiffers => match (proved, second) {
                (true, SecondSource::Agrees) => ClaimOutcome::Released,
                (true, SecondSource::Available) => ClaimOutcome::WaitingForSecondSource,
                _ => ClaimOutcome::Waiting,
            },
            DecisionRow::LoginRequired if proved => ClaimOutcome::Waiting,
            DecisionRow::Accepted
            | DecisionRow::DeferredControlAccepted
            | DecisionRow::IncompleteControlAccepted => ClaimOutcome::Waiting,
            DecisionRow::RefusedControlSame
            | DecisionRow::DeferredControlFailed
            | DecisionRow::LoginRequired
            | DecisionRow::ShutOut
            | DecisionRow::IncompleteControlFailed => ClaimOutcome::Blocked,
        }
    }

    /// Whether this row, found by a second source address, confirms that the host refuses the
    /// forms and not our address.
    pub fn confirms_refusal(self) -> bool {
        matches!(
            self,
            DecisionRow::RefusedControlAccepted | DecisionRow::RefusedControlDiffers
        )
    }
}

/// Returns the row of a job, from its results, the proved forms, and its sessions with controls.
pub fn decision_row(
    results: &[TestResult],
    proved: &ProvedForms,
    sessions: &[ControlSession],
) -> DecisionRow {
    let forms: Vec<(usize, &TestResult)> = results
        .iter()
        .enumerate()
        .filter(|(_, r)| proved.counts(r))
        .collect();
    let mut control = control(&forms, results, sessions);
    let mut summary = forms_result(&forms, results, proved, sessions);
    // A reply that mentions a blocklist is about our address and not about the form, so it never
    // supports a release.
    if forms.iter().any(|(_, r)| r.outcome.names_blocklist()) {
        control = ControlResult::Same;
        if summary == FormsResult::LoginRequired {
            summary = FormsResult::ShutOut;
        }
    }
    DecisionRow::of(summary, control)
}

impl ProvedForms {
    /// Whether a result counts in the decision.
    pub fn counts(&self, result: &TestResult) -> bool {
        match self.tests.is_empty() {
            // A form that needs a name which the host does not have was never delivered.
            true => !matches!(result.outcome, MessageOutcome::Skipped { .. }),
            false => self.tests.contains(&result.test),
        }
    }
}

/// Summarises the outcomes of the forms that count, and of the classes.
fn forms_result(
    forms: &[(usize, &TestResult)],
    results: &[TestResult],
    proved: &ProvedForms,
    sessions: &[ControlSession],
) -> FormsResult {
    let any = |f: fn(&MessageOutcome) -> bool| results.iter().any(|r| f(&r.outcome));
    if any(MessageOutcome::is_delivered) {
        return FormsResult::Delivered;
    }
    if any(MessageOutcome::is_accepted) {
        return FormsResult::Accepted;
    }
    let is_missing = |test: &String| !forms.iter().any(|(_, r)| r.test == *test);
    if forms.is_empty() || proved.other_port || proved.tests.iter().any(is_missing) {
        return FormsResult::Incomplete;
    }
    let all = |f: fn(&MessageOutcome) -> bool| forms.iter().all(|(_, r)| f(&r.outcome));
    if all(is_before_rcpt) {
        return if offers_login(sessions) && all(MessageOutcome::requires_login) {
            FormsResult::LoginRequired
        } else {
            FormsResult::ShutOut
        };
    }
    if all(MessageOutcome::is_refused) {
        let assessment = assess(results.iter().map(|r| (r.class.as_str(), &r.outcome)));
        return if assessment == Assessment::Closed {
            FormsResult::Refused
        } else {
            FormsResult::Incomplete
        };
    }
    if all(|o| o.refused_at().is_some()) {
        FormsResult::Deferred
    } else {
        FormsResult::Incomplete
    }
}

/// Whether a message was refused at MAIL or before, or no session was possible.
fn is_before_rcpt(outcome: &MessageOutcome) -> bool {
    match outcome {
        MessageOutcome::NotSent | MessageOutcome::Interrupted { .. } => true,
        MessageOutcome::Inconclusive {
            deferred_at: None, ..
        } => true,
        other => other.refused_at().is_some_and(|s| s <= SmtpStage::Mail),
    }
}

/// Whether the server offers AUTH: in each session whose EHLO it accepted, and in at least one.
fn offers_login(sessions: &[ControlSession]) -> bool {
    let mut greeted = sessions.iter().filter(|s| s.ehlo || s.auth).peekable();
    greeted.peek().is_some() && greeted.all(|s| s.auth)
}

/// Returns the worst control of all sessions. A form that no session carried has no control. A
/// control ends at RCPT, so it does not show whether a refusal at DATA or after the message is
/// about the form or about the tester.
fn control(
    forms: &[(usize, &TestResult)],
    results: &[TestResult],
    sessions: &[ControlSession],
) -> ControlResult {
    let sent = |r: &TestResult| !matches!(r.outcome, MessageOutcome::Skipped { .. });
    let uncovered = forms
        .iter()
        .any(|(place, r)| sent(r) && !is_controlled(*place, sessions));
    let worst = sessions
        .iter()
        .map(|s| session_control(s, results))
        .min()
        .unwrap_or(ControlResult::None);
    let after_recipient = forms.iter().any(|(_, r)| {
        let stage = r.outcome.refused_at();
        stage.is_some_and(|stage| stage > SmtpStage::Rcpt)
    });
    if uncovered || after_recipient {
        worst.min(ControlResult::None)
    } else {
        worst
    }
}

/// Whether a session with controls carried the message of a result.
fn is_controlled(place: usize, sessions: &[ControlSession]) -> bool {
    sessions.iter().any(|s| s.places.contains(&place))
}

/// Whether the controls of a job support its results: postmaster was accepted before and after the
/// forms of each session.
pub fn is_supported(results: &[TestResult], sessions: &[ControlSession]) -> bool {
    let forms: Vec<(usize, &TestResult)> = results
        .iter()
        .enumerate()
        .filter(|(place, _)| is_controlled(*place, sessions))
        .collect();
    control(&forms, results, sessions) == ControlResult::Yes
        && !forms.iter().any(|(_, r)| r.outcome.names_blocklist())
}

fn session_control(session: &ControlSession, results: &[TestResult]) -> ControlResult {
    let refusals: Vec<Comparable> = session
        .places
        .iter()
        .filter_map(|p| results.get(*p))
        .filter_map(Comparable::of_form)
        .collect();
    check_result(&session.before, &refusals).min(check_result(&session.after, &refusals))
}

fn check_result(check: &ControlCheck, refusals: &[Comparable]) -> ControlResult {
    let class = |r: &RecipientReply| r.code / 100;
    if check.replies.iter().any(|r| class(r) == 2) {
        return ControlResult::Yes;
    }
    let is_same = |r: &RecipientReply| {
        class(r) == 5 && refusals.contains(&Comparable::new(r.code, &r.text, &r.recipient))
    };
    if check.replies.iter().any(is_same) {
        return ControlResult::Same;
    }
    match !check.replies.is_empty() && check.replies.iter().all(|r| class(r) == 5) {
        true => ControlResult::Other,
        false => ControlResult::None,
    }
}

/// A reply in the form in which replies are compared: code, enhanced code (RFC 3463), and text
/// without addresses and numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparable {
    code: u16,
    enhanced: Option<String>,
    text: String,
}

/// The shortest part of a recipient that is recognised in a reply, in bytes.
const MIN_ECHO: usize = 4;

impl Comparable {
    fn new(code: u16, text: &str, recipient: &str) -> Comparable {
        let recipient = recipient.to_ascii_lowercase();
        let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '.';
        let parts = recipient.split(|c: char| !is_part(c));
        let parts: Vec<&str> = parts.filter(|p| p.len() >= MIN_ECHO).collect();
        let lower = text.to_lowercase();
        let mut words: Vec<&str> = Vec::new();
        for word in lower.split_whitespace() {
            let word = match word {
                w if is_enhanced(w) => continue,
                w if is_address(w) || parts.iter().any(|p| w.contains(p)) => "@",
                // The number of a session or a message, or a time.
                w if w.bytes().filter(u8::is_ascii_digit).count() >= 3 => "#",
                w => w,
            };
            // A server may repeat the recipient in several words.
            if word != "@" || words.last() != Some(&"@") {
                words.push(word);
            }
        }
        Comparable {
            code,
            enhanced: enhanced(text).map(String::from),
            text: words.join(" "),
        }
    }

    fn of_form(result: &TestResult) -> Option<Comparable> {
        match &result.outcome {
            MessageOutcome::Refused { code, text, .. } => {
                Some(Comparable::new(*code, text, &result.envelope.1))
            }
            _ => None,
        }
    }
}

fn is_address(word: &str) -> bool {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != ':');
    let bare = bare
        .strip_prefix("ipv6:")
        .unwrap_or(bare)
        .trim_end_matches(':');
    word.contains('@') || bare.parse::<IpAddr>().is_ok() || bare.parse::<Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests;
