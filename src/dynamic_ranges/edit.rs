//! The edits of a provider, and the entries that they make. The rules are functions of the entry,
//! the verdict and the time.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::provider::check_range;
use crate::{
    model::{
        Hold, ReasonId, SourceId, Subject, Time, Verdict,
        history::{Command, HoldFor},
        time::Seconds,
    },
    tickets::{TicketError, control::host_address},
};

const DAY: u64 = 86_400;
/// How long a listing or an exclusion lasts if it is not renewed.
pub(super) const ENTRY_PERIOD: Seconds = Seconds(90 * DAY);
/// An entry that ends sooner than this is renewed when the record of its provider is found.
const RENEW_BEFORE: Seconds = Seconds(60 * DAY);
/// How long an entry is kept whose fact an operator has ended, since an undo may restore it.
const UNDO_PERIOD: Seconds = Seconds(30 * DAY);

/// What an edit does.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::IntoStaticStr,
    strum::EnumString,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum EditAction {
    /// Lists a range.
    Add,
    /// Delists a range that the provider has listed.
    Remove,
    /// Takes a single host out, whatever lists it as dynamic.
    TakeOut,
    /// Puts a host back that the provider has taken out.
    PutBack,
}

impl EditAction {
    /// The action that reverts it.
    pub fn inverse(self) -> EditAction {
        match self {
            EditAction::Add => EditAction::Remove,
            EditAction::Remove => EditAction::Add,
            EditAction::TakeOut => EditAction::PutBack,
            EditAction::PutBack => EditAction::TakeOut,
        }
    }

    /// Whether it makes an entry, which needs that DNS proves control of its subject.
    pub fn makes_entry(self) -> bool {
        matches!(self, EditAction::Add | EditAction::TakeOut)
    }
}

/// An edit of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderEdit {
    /// The number, which counts the edits of the provider.
    pub number: u64,
    /// When.
    pub at: Time,
    /// What it did.
    pub action: EditAction,
    /// The range or host.
    pub subject: Subject,
    /// The edit that it reverts.
    #[serde(default)]
    pub reverts: Option<u64>,
    /// The edit that reverted it.
    #[serde(default)]
    pub reverted_by: Option<u64>,
}

/// What a provider has put into the store for a subject: a listing of a range, or a hold that takes
/// a host out. The listing or the hold itself is the fact. It is the provider's as long as it has
/// the end that the provider gave it: what an operator changes has another end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvidedEntry {
    /// The range or host.
    pub subject: Subject,
    /// The range of the provider. All who have proved this range can edit the entry.
    pub range: Subject,
    /// The number of the provider that edited it last.
    pub provider: u64,
    /// When the provider edited it last.
    pub at: Time,
    /// The end that the provider gave it.
    pub until: Time,
}

impl ProvidedEntry {
    /// Whether it is the exclusion of a single host; else it is the listing of a range.
    pub fn is_host(&self) -> bool {
        is_host(&self.subject)
    }

    /// Whether the fact is in the verdict on the subject, as the provider has left it.
    pub fn is_in_force(&self, reason: ReasonId, verdict: &Verdict) -> bool {
        match self.is_host() {
            true => own_hold(reason, verdict).is_some_and(|h| h.until == self.until),
            false => verdict
                .entry(reason, SourceId::OPERATOR)
                .is_some_and(|e| !e.exclusion && e.until == Some(self.until)),
        }
    }

    /// Whether it is not kept any more.
    pub(super) fn is_forgotten(&self, now: Time) -> bool {
        self.at.plus(UNDO_PERIOD) <= now
    }

    /// Whether it ends so soon that it has to be renewed.
    pub(super) fn is_renewal_due(&self, now: Time) -> bool {
        self.until < now.plus(RENEW_BEFORE)
    }
}

fn is_host(subject: &Subject) -> bool {
    host_address(subject).is_some()
}

/// The hold on a reason of all sources.
fn own_hold(reason: ReasonId, verdict: &Verdict) -> Option<&Hold> {
    let mut holds = verdict.holds.iter();
    holds.find(|h| (h.reason, h.source) == (reason, SourceId::ALL))
}

/// Checks that an edit is within the range of its provider, and of a subject that it can have.
///
/// # Errors
///
/// The subject is outside the range, or has too few or too many addresses for the action.
pub(super) fn check_bounds(
    range: &Subject,
    action: EditAction,
    subject: &Subject,
) -> Result<(), TicketError> {
    let invalid = |why: String| Err(TicketError::Invalid(format!("subject: {subject} {why}")));
    if !range.covers(subject) {
        return invalid(format!("is not within {range}, the range that is proved"));
    }
    match action {
        EditAction::Add | EditAction::Remove => {
            check_range(subject).or_else(|_| invalid("is not a range of several addresses".into()))
        }
        EditAction::TakeOut | EditAction::PutBack if !is_host(subject) => {
            invalid("is not a single address; name each host that is taken out".into())
        }
        EditAction::TakeOut | EditAction::PutBack => Ok(()),
    }
}

/// Decides an edit of a subject: returns the command that makes it. `mine` is what the providers of
/// the range have put into the store for the subject; `until` is the end of what the edit makes.
///
/// # Errors
///
/// What the edit would change is not the provider's, or is so already.
pub(super) fn decide(
    action: EditAction,
    reason: ReasonId,
    verdict: &Verdict,
    mine: Option<&ProvidedEntry>,
    until: Time,
) -> Result<Command, TicketError> {
    let mine = mine.filter(|e| e.is_in_force(reason, verdict));
    let why = match (action, mine) {
        (EditAction::Remove | EditAction::PutBack, Some(entry)) => {
            return Ok(end_command(entry, reason));
        }
        (EditAction::Remove, None) => {
            "this range is not listed by you; a listing of others is removed on request at its look-up"
        }
        (EditAction::PutBack, None) => "you have not taken this host out",
        (EditAction::Add, Some(_)) => "the range is listed already",
        (EditAction::TakeOut, Some(_)) => "the host is taken out already",
        (EditAction::Add, None) if verdict.entry(reason, SourceId::OPERATOR).is_some() => {
            "an operator has an entry for this range; it is theirs to change"
        }
        (EditAction::Add, None) if verdict.is_suppressed(reason, SourceId::OPERATOR) => {
            "an operator has removed this range, and it cannot be listed now"
        }
        (EditAction::TakeOut, None) if own_hold(reason, verdict).is_some() => {
            "the host is taken out already, on request or by an operator"
        }
        (EditAction::Add, None) => return Ok(list_command(reason, until)),
        (EditAction::TakeOut, None) => return Ok(hold_command(reason, until)),
    };
    Err(TicketError::Refused(why.into()))
}

/// The command that lists a range.
fn list_command(reason: ReasonId, until: Time) -> Command {
    Command::List {
        reason,
        source: SourceId::OPERATOR,
        until: Some(until),
        text: Default::default(),
    }
}

/// The command that takes a host out.
fn hold_command(reason: ReasonId, until: Time) -> Command {
    Command::Hold {
        reason,
        until: Some(until),
    }
}

/// Returns the command that ends an entry in force.
pub(super) fn end_command(entry: &ProvidedEntry, reason: ReasonId) -> Command {
    match entry.is_host() {
        true => Command::EndHold {
            reason,
            source: SourceId::ALL,
            until: entry.until,
        },
        false => Command::Delist {
            reason: Some(reason),
            source: Some(SourceId::OPERATOR),
            hold: HoldFor::Nothing,
        },
    }
}

/// Returns the command that renews an entry in force; `None` if a hold suppresses the listing, which
/// then ends at its time.
pub(super) fn renewal(
    entry: &ProvidedEntry,
    reason: ReasonId,
    verdict: &Verdict,
    until: Time,
) -> Option<Command> {
    match entry.is_host() {
        true => Some(hold_command(reason, until)),
        false if verdict.is_suppressed(reason, SourceId::OPERATOR) => None,
        false => Some(list_command(reason, until)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EventKind;

    const REASON: ReasonId = ReasonId(4);
    const UNTIL: Time = Time(9_000);

    fn subject(text: &str) -> Subject {
        text.parse().unwrap()
    }

    fn entry(text: &str) -> ProvidedEntry {
        ProvidedEntry {
            subject: subject(text),
            range: subject("45.51.100.0/24"),
            provider: 1,
            at: Time(1),
            until: UNTIL,
        }
    }

    fn with(events: &[EventKind]) -> Verdict {
        let mut verdict = Verdict::default();
        events.iter().for_each(|e| verdict.fold(Time(1), e));
        verdict
    }

    fn listed(until: u64) -> EventKind {
        EventKind::Listed {
            reason: REASON,
            source: SourceId::OPERATOR,
            until: Some(Time(until)),
            exclusion: false,
            text: Default::default(),
        }
    }

    fn held(source: SourceId, until: u64) -> EventKind {
        EventKind::Held {
            reason: REASON,
            source,
            until: Time(until),
        }
    }

    #[test]
    fn edits_are_within_the_range_and_of_the_right_width() {
        let range = subject("45.51.100.0/24");
        for (action, of, is_valid) in [
            (EditAction::Add, "45.51.100.0/24", true),
            (EditAction::Add, "45.51.100.128/25", true),
            (EditAction::Add, "45.51.100.0/23", false),
            (EditAction::Add, "45.51.101.0/25", false),
            (EditAction::Add, "45.51.100.9", false),
            (EditAction::Remove, "45.51.100.9", false),
            (EditAction::TakeOut, "45.51.100.9", true),
            (EditAction::TakeOut, "45.51.100.8/31", false),
            (EditAction::TakeOut, "45.51.101.9", false),
            (EditAction::PutBack, "2a01:4f8::1", false),
            (EditAction::PutBack, "isp.example", false),
        ] {
            let checked = check_bounds(&range, action, &subject(of));
            assert_eq!(checked.is_ok(), is_valid, "{action:?} {of}: {checked:?}");
        }
    }

    #[test]
    fn provider_removes_only_the_listing_that_it_has_made() {
        let mine = entry("45.51.100.0/25");
        let decide =
            |verdict: &Verdict, mine| decide(EditAction::Remove, REASON, verdict, mine, UNTIL);
        assert!(decide(&with(&[listed(UNTIL.0)]), Some(&mine)).is_ok());
        let of_operator = with(&[listed(UNTIL.0), listed(UNTIL.0 + 1)]);
        assert!(
            decide(&of_operator, Some(&mine)).is_err(),
            "renewed by an operator"
        );
        assert!(decide(&with(&[listed(UNTIL.0)]), None).is_err());
        assert!(decide(&with(&[]), Some(&mine)).is_err());
    }

    #[test]
    fn provider_lists_nothing_that_an_operator_has_listed_or_removed() {
        let decide = |verdict: &Verdict| decide(EditAction::Add, REASON, verdict, None, UNTIL);
        assert!(decide(&with(&[])).is_ok());
        assert!(decide(&with(&[listed(5)])).is_err());
        assert!(decide(&with(&[held(SourceId::ALL, 5)])).is_err());
        assert!(decide(&with(&[held(SourceId::OPERATOR, 5)])).is_err());
    }

    #[test]
    fn provider_puts_back_only_what_it_has_taken_out() {
        let mine = entry("45.51.100.9");
        let decide = |action, verdict: &Verdict, mine| decide(action, REASON, verdict, mine, UNTIL);
        let own = with(&[held(SourceId::ALL, UNTIL.0)]);
        let command = decide(EditAction::PutBack, &own, Some(&mine)).unwrap();
        assert!(matches!(command, Command::EndHold { until: UNTIL, .. }));
        let of_ticket = with(&[held(SourceId::ALL, 5)]);
        assert!(decide(EditAction::PutBack, &of_ticket, Some(&mine)).is_err());
        assert!(decide(EditAction::TakeOut, &of_ticket, Some(&mine)).is_err());
        assert!(decide(EditAction::TakeOut, &with(&[]), None).is_ok());
    }

    #[test]
    fn inverse_of_the_inverse_is_the_action() {
        for action in [
            EditAction::Add,
            EditAction::Remove,
            EditAction::TakeOut,
            EditAction::PutBack,
        ] {
            assert_eq!(action.inverse().inverse(), action);
            assert_ne!(action.inverse().makes_entry(), action.makes_entry());
        }
    }

    #[test]
    fn suppressed_listing_is_not_renewed() {
        let mine = entry("45.51.100.0/25");
        let own = with(&[listed(UNTIL.0)]);
        assert!(renewal(&mine, REASON, &own, Time(99_000)).is_some());
        let suppressed = with(&[listed(UNTIL.0), held(SourceId::ALL, 5)]);
        assert!(renewal(&mine, REASON, &suppressed, Time(99_000)).is_none());
    }
}
