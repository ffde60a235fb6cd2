//! The control of a relay test, and the table that decides a claim by it.
//!
//! A server that refuses every test message may be closed, or it may refuse our tester alone. The
//! control tells them apart: with the same sender and greeting as the messages, the tester asks for
//! the server's own postmaster, whom every server accepts (RFC 5321 section 4.5.1). All functions
//! are pure. `docs/relay.md` has the table for people; a test holds both to each other.

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

/// Forms that a session with a control carries at most. With the two controls it has ten RSETs, so
/// that neither a limit on errors (Postfix: 20) nor one on commands that send no mail (Exim: 10)
/// cuts the control off.
pub const MAX_FORMS_PER_SESSION: usize = 8;

/// One of the two controls of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlCheck {
    /// The replies, one for each recipient that was named.
    #[serde(default)]
    pub replies: Vec<RecipientReply>,
    /// Why not every recipient could be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A session of a relay test that carried controls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlSession {
    /// The address of ours that the session came from, once it was connected.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// The greeting line of ours; empty where none was sent.
    #[serde(default)]
    pub greeting: String,
    /// Whether EHLO was accepted. A session that greets with HELO, or not at all, cannot show what
    /// the server offers.
    #[serde(default)]
    pub ehlo: bool,
    /// Whether the reply to EHLO offered AUTH.
    #[serde(default)]
    pub auth: bool,
    /// The results of the job whose messages this session carried.
    #[serde(default)]
    pub places: Vec<usize>,
    /// The control before the first form.
    #[serde(default)]
    pub before: ControlCheck,
    /// The control after the last form.
    #[serde(default)]
    pub after: ControlCheck,
}

/// The most recipients of a control, and the most characters of a text, that are accepted from a
/// reporter's tester.
const MAX_REPLIES: usize = 4;
const MAX_TEXT: usize = 200;
/// The most places of a session that are accepted from a reporter's tester.
const MAX_PLACES: usize = 50;

impl ControlSession {
    /// Cuts the report of a reporter's tester to what ours would send.
    pub fn shorten(&mut self) {
        let cut = |text: &mut String| *text = text.chars().take(MAX_TEXT).collect();
        self.places.truncate(MAX_PLACES);
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

/// The result of a control, from the one that speaks most against a release to the one that speaks
/// least against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlResult {
    /// Postmaster was refused by the same 5xx reply as a form.
    Same,
    /// 4xx, a cut connection, or never reached. Or a form was refused after its recipient was
    /// accepted, where a control never goes.
    None,
    /// Postmaster was refused by another 5xx reply than the forms.
    Other,
    /// Postmaster was accepted, before and after.
    Yes,
}

/// Which forms a claim is decided by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CameThrough {
    /// The tests of which a message of ours was delivered since the last release; empty: all tests
    /// count.
    pub tests: BTreeSet<String>,
    /// A form came through at another port than the one that was tested now.
    pub other_port: bool,
}

/// The outcomes of the forms that had come through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormsResult {
    /// One was delivered since the claim.
    Delivered,
    /// One was accepted or bounced, none delivered.
    Accepted,
    /// All were refused by 5xx at RCPT or later, and every class is closed.
    Refused,
    /// All were refused, some of them by 4xx in each of three tries.
    Deferred,
    /// All were refused at MAIL or before, by 530 or 5.7.0 or 5.7.1, and the server offers AUTH.
    LoginRequired,
    /// All were refused at MAIL or before in another way, or there was no session.
    ShutOut,
    /// A form could not be made, has no outcome, or a class is not closed.
    Incomplete,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantArray))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum DecisionRow {
    /// A form was delivered.
    Delivered,
    /// A form was accepted.
    Accepted,
    /// All refused, and postmaster accepted.
    RefusedControlAccepted,
    /// All refused, and postmaster refused otherwise or not reached.
    RefusedControlDiffers,
    /// All refused, and postmaster too, by the same reply.
    RefusedControlSame,
    /// All deferred, and postmaster accepted.
    DeferredControlAccepted,
    /// All deferred, and postmaster not accepted.
    DeferredControlFailed,
    /// A login is required.
    LoginRequired,
    /// We were shut out.
    ShutOut,
    /// A form could not be made, and postmaster accepted.
    IncompleteControlAccepted,
    /// A form could not be made, and postmaster not accepted.
    IncompleteControlFailed,
}

/// What a second source address can add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondSource {
    /// There is none, in another /24 (IPv6: /48) and with another greeting.
    Unavailable,
    /// There is one, which has not tested yet.
    Available,
    /// It has tested, and its forms were refused at RCPT or later, too.
    Agrees,
}

/// What follows for the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClaimOutcome {
    /// The host stays listed, and the claim has failed.
    Failed,
    /// The host is released after the waiting period.
    Waiting,
    /// The same; meanwhile a second source address tests.
    WaitingForSecondSource,
    /// The host is released now.
    Released,
    /// The host stays listed until its own end. The claim has not failed.
    Blocked,
}

impl DecisionRow {
    /// The name of the row in the API and in the documentation.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The row of a test.
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

    /// What follows for a claim, by whether it is proved and what a second source address found.
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

    /// Whether a second source address with this row confirms the first one: the forms are refused,
    /// and not our address.
    pub fn confirms_refusal(self) -> bool {
        matches!(
            self,
            DecisionRow::RefusedControlAccepted | DecisionRow::RefusedControlDiffers
        )
    }
}

/// The row of a job: its results, the forms that had come through, and its sessions with controls.
pub fn decision_row(
    results: &[TestResult],
    came: &CameThrough,
    sessions: &[ControlSession],
) -> DecisionRow {
    let forms: Vec<(usize, &TestResult)> = results
        .iter()
        .enumerate()
        .filter(|(_, r)| came.counts(r))
        .collect();
    let mut control = control(&forms, results, sessions);
    let mut found = forms_result(&forms, results, came, sessions);
    // Such a text speaks about us, and not about the form. It never speaks for a release.
    if forms.iter().any(|(_, r)| r.outcome.names_blocklist()) {
        control = ControlResult::Same;
        if found == FormsResult::LoginRequired {
            found = FormsResult::ShutOut;
        }
    }
    DecisionRow::of(found, control)
}

impl CameThrough {
    /// Whether a result counts in the decision.
    fn counts(&self, result: &TestResult) -> bool {
        match self.tests.is_empty() {
            // A form that needs a name which the host does not have never came through.
            true => !matches!(result.outcome, MessageOutcome::Skipped { .. }),
            false => self.tests.contains(&result.test),
        }
    }
}

/// What became of the forms that count, and of the classes.
fn forms_result(
    forms: &[(usize, &TestResult)],
    results: &[TestResult],
    came: &CameThrough,
    sessions: &[ControlSession],
) -> FormsResult {
    let any = |f: fn(&MessageOutcome) -> bool| results.iter().any(|r| f(&r.outcome));
    if any(|o| matches!(o, MessageOutcome::Delivered { .. })) {
        return FormsResult::Delivered;
    }
    if any(|o| {
        matches!(
            o,
            MessageOutcome::Accepted { .. } | MessageOutcome::Bounced { .. }
        )
    }) {
        return FormsResult::Accepted;
    }
    let is_missing = |test: &String| !forms.iter().any(|(_, r)| r.test == *test);
    if forms.is_empty() || came.other_port || came.tests.iter().any(is_missing) {
        return FormsResult::Incomplete;
    }
    let all = |f: &dyn Fn(&MessageOutcome) -> bool| forms.iter().all(|(_, r)| f(&r.outcome));
    if all(&|o| {
        o.refused_at().is_some_and(|s| s <= SmtpStage::Mail)
            || matches!(
                o,
                MessageOutcome::Inconclusive {
                    deferred_at: None,
                    ..
                } | MessageOutcome::NotSent
                    | MessageOutcome::Interrupted { .. }
            )
    }) {
        let login = offers_login(sessions) && forms.iter().all(|(_, r)| r.outcome.requires_login());
        return if login {
            FormsResult::LoginRequired
        } else {
            FormsResult::ShutOut
        };
    }
    if all(&|o| matches!(o, MessageOutcome::Refused { .. })) {
        let assessment = assess(results.iter().map(|r| (r.class.as_str(), &r.outcome)));
        return if assessment == Assessment::Closed {
            FormsResult::Refused
        } else {
            FormsResult::Incomplete
        };
    }
    match all(&|o| o.refused_at().is_some()) {
        true => FormsResult::Deferred,
        false => FormsResult::Incomplete,
    }
}

/// Whether the server offers a login: in each session whose EHLO it accepted, and in one at least.
/// Forms that greet with HELO, or not at all, have sessions that cannot show it.
fn offers_login(sessions: &[ControlSession]) -> bool {
    let mut greeted = sessions.iter().filter(|s| s.ehlo || s.auth).peekable();
    greeted.peek().is_some() && greeted.all(|s| s.auth)
}

/// The worst of all sessions' controls; a form without a session was never controlled. A control
/// ends at RCPT: it cannot say whether a refusal at DATA or after the message is of the form or of
/// the tester.
fn control(
    forms: &[(usize, &TestResult)],
    results: &[TestResult],
    sessions: &[ControlSession],
) -> ControlResult {
    let is_covered = |place: &usize| sessions.iter().any(|s| s.places.contains(place));
    let sent = |r: &TestResult| !matches!(r.outcome, MessageOutcome::Skipped { .. });
    let uncovered = forms.iter().any(|(place, r)| sent(r) && !is_covered(place));
    let worst = sessions
        .iter()
        .map(|s| session_control(s, results))
        .min()
        .unwrap_or(ControlResult::None);
    let after_recipient = forms.iter().any(|(_, r)| {
        r.outcome
            .refused_at()
            .is_some_and(|stage| stage > SmtpStage::Rcpt)
    });
    if uncovered || after_recipient {
        worst.min(ControlResult::None)
    } else {
        worst
    }
}

/// Whether the controls of a job support what its forms came to: postmaster was accepted before and
/// after the forms of each session.
pub fn is_supported(results: &[TestResult], sessions: &[ControlSession]) -> bool {
    let is_controlled = |place: &usize| sessions.iter().any(|s| s.places.contains(place));
    let forms: Vec<(usize, &TestResult)> = results
        .iter()
        .enumerate()
        .filter(|(place, _)| is_controlled(place))
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

/// A reply as it is compared: code, enhanced code (RFC 3463) and text, without addresses and
/// numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparable {
    code: u16,
    enhanced: Option<String>,
    text: String,
}

/// The shortest part of a recipient that a server may repeat alone.
const MIN_ECHO: usize = 4;

impl Comparable {
    fn new(code: u16, text: &str, recipient: &str) -> Comparable {
        let recipient = recipient.to_ascii_lowercase();
        let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '.';
        let parts: Vec<&str> = recipient
            .split(|c: char| !is_part(c))
            .filter(|p| p.len() >= MIN_ECHO)
            .collect();
        let lower = text.to_lowercase();
        let mut words: Vec<&str> = Vec::new();
        for word in lower.split_whitespace() {
            let word = match word {
                w if is_enhanced(w) => continue,
                w if is_address(w) || parts.iter().any(|p| w.contains(p)) => "@",
                // Numbers of sessions, messages and times.
                w if w.bytes().filter(u8::is_ascii_digit).count() >= 3 => "#",
                w => w,
            };
            // A form may be repeated in several words.
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

    fn of_form(tried: &TestResult) -> Option<Comparable> {
        match &tried.outcome {
            MessageOutcome::Refused { code, text, .. } => {
                Some(Comparable::new(*code, text, &tried.envelope.1))
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
