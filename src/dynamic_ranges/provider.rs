//! A provider: who has proved a range, or has asked to. The rules are functions of the row and the
//! time.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    model::{Subject, Time, time::Seconds},
    tickets::{
        TicketError, TicketSecret, codes::derived_code, control::TXT_PREFIX,
        control::is_provable_by_dns,
    },
};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// How long a request waits for its record.
pub(super) const REQUEST_PERIOD: Seconds = Seconds(7 * DAY);
/// How long a provider can edit after its record was last found.
pub(super) const PROOF_PERIOD: Seconds = Seconds(7 * DAY);
/// How long a row is kept after its proof or its provider has ended. It is at least as long as an
/// entry lasts without renewal, so that no entry outlives the row.
pub(super) const KEPT_PERIOD: Seconds = Seconds(90 * DAY);
/// The time to the next check: after the record was found; after it was missing; after DNS did not
/// answer.
const AFTER_FOUND: Seconds = Seconds(DAY);
const AFTER_MISSING: Seconds = Seconds(6 * HOUR);
const AFTER_NO_ANSWER: Seconds = Seconds(HOUR);
/// The shortest and the longest time between two checks of a request.
const MIN_REQUEST_INTERVAL: u64 = 15;
const MAX_REQUEST_INTERVAL: u64 = HOUR / 2;

/// The state of a provider.
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
pub enum ProviderState {
    /// The record was never found.
    Requested,
    /// The record was found in the last seven days, so that the provider can edit.
    Proved,
    /// The record was not found for seven days. The provider cannot edit until it is found again.
    Lapsed,
    /// An operator has ended the edits of the provider.
    Removed,
}

/// Who ended the edits of a provider, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderEnd {
    /// When.
    pub at: Time,
    /// The name of the operator.
    pub author: String,
}

/// What a look-up of a provider's record has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProofResult {
    /// The record is at the apexes of these zones, which together cover the range.
    Found(Vec<String>),
    /// The record is missing at these names; without names, no zone can prove the range.
    Missing(Vec<String>),
    /// DNS did not answer.
    NoAnswer(String),
}

/// A provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeProvider {
    /// The number, by which operators and the history name the provider.
    pub number: u64,
    /// The range.
    pub range: Subject,
    /// The secret part of the path of its page.
    pub secret: TicketSecret,
    /// When the range was requested.
    pub opened: Time,
    /// The names at which the record has to be: the apexes of the reverse zones that together cover
    /// the range. Empty before they were looked up, and if no zone can prove the range.
    #[serde(default)]
    pub zones: Vec<String>,
    /// When the record was last found.
    #[serde(default)]
    pub proved_at: Option<Time>,
    /// When the record was last looked up.
    #[serde(default)]
    pub checked_at: Option<Time>,
    /// Why the last look-up did not find the record; `None` if it did.
    #[serde(default)]
    pub problem: Option<String>,
    /// When the record is looked up again.
    pub next_check: Time,
    /// Who ended its edits.
    #[serde(default)]
    pub ended: Option<ProviderEnd>,
    /// The number of its last edit.
    #[serde(default)]
    pub last_edit: u64,
}

impl RangeProvider {
    /// A new request, whose record is looked up at once.
    pub(super) fn new(
        number: u64,
        range: Subject,
        secret: TicketSecret,
        now: Time,
    ) -> RangeProvider {
        RangeProvider {
            number,
            range,
            secret,
            opened: now,
            zones: Vec::new(),
            proved_at: None,
            checked_at: None,
            problem: None,
            next_check: now,
            ended: None,
            last_edit: 0,
        }
    }

    /// The author of its edits, in the history and the audit log.
    pub fn author(&self) -> String {
        format!("provider {}", self.number)
    }

    /// The path of its page.
    pub fn path(&self) -> String {
        format!("/providers/{}", self.secret.as_str())
    }

    /// The text of the TXT record. It stays the same, because the record has to stay.
    pub fn record_text(&self) -> String {
        let range = self.range.to_string();
        let code = derived_code(self.number, self.secret.as_str(), &range, self.opened);
        format!("{TXT_PREFIX}{code}")
    }

    /// Until when the provider can edit; `None` if the record was never found.
    pub fn proved_until(&self) -> Option<Time> {
        self.proved_at.map(|at| at.plus(PROOF_PERIOD))
    }

    /// The state at a time.
    pub fn state(&self, now: Time) -> ProviderState {
        match (&self.ended, self.proved_until()) {
            (Some(_), _) => ProviderState::Removed,
            (None, None) => ProviderState::Requested,
            (None, Some(until)) if until > now => ProviderState::Proved,
            (None, Some(_)) => ProviderState::Lapsed,
        }
    }

    /// Whether the row is not kept any more.
    pub(super) fn is_over(&self, now: Time) -> bool {
        let last = match (&self.ended, self.proved_until()) {
            (Some(end), _) => end.at.plus(KEPT_PERIOD),
            (None, Some(until)) => until.plus(KEPT_PERIOD),
            (None, None) => self.opened.plus(REQUEST_PERIOD),
        };
        last <= now
    }

    /// Whether the record has to be looked up now.
    pub(super) fn is_check_due(&self, now: Time) -> bool {
        self.ended.is_none() && self.next_check <= now
    }

    /// Records what a look-up has found.
    pub(super) fn record_check(&mut self, result: &ProofResult, now: Time) {
        self.checked_at = Some(now);
        let is_request = self.proved_at.is_none();
        let wait = match result {
            ProofResult::Found(zones) => {
                self.zones = zones.clone();
                self.proved_at = Some(now);
                self.problem = None;
                AFTER_FOUND
            }
            ProofResult::Missing(names) => {
                // The edits of a proved provider are checked against the zones of its proof.
                if is_request {
                    self.zones = names.clone();
                }
                self.problem = Some(match names.is_empty() {
                    true => format!("no reverse zone of DNS covers {}", self.range),
                    false => format!("the record is missing at {}", names.join(", ")),
                });
                AFTER_MISSING
            }
            ProofResult::NoAnswer(why) => {
                self.problem = Some(format!("DNS cannot be asked: {why}"));
                AFTER_NO_ANSWER
            }
        };
        // The longer a request waits, the less often its record is looked up.
        let age = now.0.saturating_sub(self.opened.0);
        let of_request = (age / 4).clamp(MIN_REQUEST_INTERVAL, MAX_REQUEST_INTERVAL);
        self.next_check = now.plus(match self.proved_at {
            Some(_) => wait,
            None => Seconds(of_request),
        });
    }

    /// Checks that the provider can edit now.
    ///
    /// # Errors
    ///
    /// The range is not proved; the text says what to do.
    pub(super) fn check_may_edit(&self, now: Time) -> Result<(), TicketError> {
        let why = match self.state(now) {
            ProviderState::Proved => return Ok(()),
            ProviderState::Requested => format!(
                "{} is not proved yet; put the record of this page into DNS first",
                self.range
            ),
            ProviderState::Lapsed => format!(
                "the record that proves {} was not found for {} days; put it into DNS again",
                self.range,
                PROOF_PERIOD.0 / DAY
            ),
            ProviderState::Removed => format!(
                "an operator has ended the edits of {}; write to the operator of this site",
                self.range
            ),
        };
        Err(TicketError::Refused(why))
    }
}

/// Checks that a range can be proved.
///
/// # Errors
///
/// It is not a prefix of several addresses, or it is too wide.
pub(super) fn check_range(range: &Subject) -> Result<(), TicketError> {
    let why = match range {
        Subject::Domain(_) => "is not a prefix such as 192.0.2.0/24",
        _ if range.addresses() == 1 => "is a single address; a range has several",
        _ if !is_provable_by_dns(range) => {
            "is wider than /16 (IPv6: /32), and DNS does not prove so many addresses; ask for each part"
        }
        _ => return Ok(()),
    };
    Err(TicketError::Invalid(format!("range: {range} {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const NOW: Time = Time(1_000_000_000);

    fn provider() -> RangeProvider {
        let secret = TicketSecret::new(&Random::seeded(1)).unwrap();
        RangeProvider::new(3, "45.51.100.0/24".parse().unwrap(), secret, NOW)
    }

    fn found() -> ProofResult {
        ProofResult::Found(vec!["100.51.45.in-addr.arpa".into()])
    }

    fn missing() -> ProofResult {
        ProofResult::Missing(vec!["100.51.45.in-addr.arpa".into()])
    }

    #[test]
    fn provider_can_edit_until_seven_days_after_the_record_was_last_found() {
        let mut p = provider();
        assert_eq!(p.state(NOW), ProviderState::Requested);
        assert!(p.check_may_edit(NOW).is_err());
        p.record_check(&found(), NOW);
        p.record_check(&missing(), NOW.plus(Seconds(DAY)));
        let last = NOW.plus(Seconds(7 * DAY - 1));
        assert_eq!(p.state(last), ProviderState::Proved);
        assert!(p.check_may_edit(last).is_ok());
        let after = NOW.plus(Seconds(7 * DAY));
        assert_eq!(p.state(after), ProviderState::Lapsed);
        assert!(p.check_may_edit(after).is_err());
        p.record_check(&found(), after);
        assert!(p.check_may_edit(after).is_ok(), "the record is back");
    }

    #[test]
    fn removed_provider_cannot_edit_whatever_is_in_dns() {
        let mut p = provider();
        p.record_check(&found(), NOW);
        p.ended = Some(ProviderEnd {
            at: NOW,
            author: "anna".into(),
        });
        assert_eq!(p.state(NOW), ProviderState::Removed);
        assert!(p.check_may_edit(NOW).is_err());
        assert!(!p.is_check_due(NOW.plus(Seconds(99 * DAY))));
    }

    #[test]
    fn request_without_a_record_ends_after_seven_days_and_a_proof_ninety_days_after_its_end() {
        let mut p = provider();
        let at = |days| NOW.plus(Seconds(days * DAY));
        assert!(!p.is_over(NOW.plus(Seconds(7 * DAY - 1))));
        assert!(p.is_over(at(7)));
        p.record_check(&found(), NOW);
        assert!(!p.is_over(NOW.plus(Seconds(97 * DAY - 1))));
        assert!(p.is_over(at(97)));
    }

    #[test]
    fn record_is_looked_up_less_often_with_time_and_daily_after_the_proof() {
        let mut p = provider();
        let wait = |p: &RangeProvider, now: Time| p.next_check.0 - now.0;
        p.record_check(&missing(), NOW);
        assert_eq!(wait(&p, NOW), 15);
        let minutes = NOW.plus(Seconds(600));
        p.record_check(&missing(), minutes);
        assert_eq!(wait(&p, minutes), 150);
        let later = NOW.plus(Seconds(2 * HOUR));
        p.record_check(&missing(), later);
        assert_eq!(wait(&p, later), 1800);
        p.record_check(&found(), later);
        assert_eq!(wait(&p, later), DAY);
        p.record_check(&ProofResult::NoAnswer("timeout".into()), later);
        assert_eq!(wait(&p, later), HOUR);
        assert_eq!(p.zones, ["100.51.45.in-addr.arpa"], "of the proof");
    }

    #[test]
    fn record_text_belongs_to_one_provider_and_does_not_change() {
        let (mut a, b) = (provider(), provider());
        let text = a.record_text();
        a.record_check(&found(), NOW.plus(Seconds(50 * DAY)));
        assert_eq!(a.record_text(), text);
        assert!(text.starts_with("orbsd-proof=3-"), "{text}");
        let other = RangeProvider {
            secret: TicketSecret::new(&Random::seeded(2)).unwrap(),
            ..b
        };
        assert_ne!(other.record_text(), text);
    }

    #[test]
    fn only_prefixes_that_dns_can_prove_are_ranges() {
        for (range, is_valid) in [
            ("45.51.0.0/16", true),
            ("45.50.0.0/15", false),
            ("45.51.100.0/31", true),
            ("45.51.100.7", false),
            ("2a01:4f8::/32", true),
            ("2a01:4f8::/31", false),
            ("2a01:4f8::1", false),
            ("isp.example", false),
        ] {
            let checked = check_range(&range.parse().unwrap());
            assert_eq!(checked.is_ok(), is_valid, "{range}: {checked:?}");
        }
    }
}
