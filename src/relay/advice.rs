//! Advice for the owner of a host whose test did not decide: which setting to change.

use serde::{Deserialize, Serialize};

use super::{control::DecisionRow, outcome::TestResult};
use crate::smtp::{MessageOutcome, SmtpStage};

/// Which setting of a host to change, so that a test decides at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(strum::VariantArray))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum RepairAdvice {
    /// A Postfix defers mail for other domains (4xx) instead of refusing it: its
    /// `smtpd_relay_restrictions` end in `defer_unauth_destination`, as in Debian's configuration.
    PostfixDefers,
    /// Another server defers mail for other domains (4xx) instead of refusing it.
    Defers,
}

/// A change of a setting, as text to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettingChange {
    /// The program.
    pub program: &'static str,
    /// The configuration file.
    pub file: &'static str,
    /// The line as it is, in the usual configuration.
    pub from: &'static str,
    /// The line as it should be.
    pub to: &'static str,
    /// The commands that make the change.
    pub command: &'static str,
}

/// The text of Postfix for a recipient that it does not relay to, after its enhanced code.
const POSTFIX_TEXT: &str = "relay access denied";

impl RepairAdvice {
    /// The name in the API.
    pub fn key(self) -> &'static str {
        self.into()
    }

    /// Returns the advice for a test, from its decision row and its results. The replies to
    /// deferred messages have to be there: they are not kept after the last try.
    pub fn of(row: DecisionRow, results: &[TestResult]) -> Option<RepairAdvice> {
        if !matches!(
            row,
            DecisionRow::DeferredControlAccepted | DecisionRow::DeferredControlFailed
        ) {
            return None;
        }
        let is_postfix = |r: &TestResult| {
            matches!(&r.outcome, MessageOutcome::TempFail { stage: SmtpStage::Rcpt, text, .. }
                if text.to_lowercase().ends_with(POSTFIX_TEXT))
        };
        Some(match results.iter().any(is_postfix) {
            true => RepairAdvice::PostfixDefers,
            false => RepairAdvice::Defers,
        })
    }

    /// Returns the setting to change, if the program is known.
    pub fn setting(self) -> Option<SettingChange> {
        match self {
            RepairAdvice::PostfixDefers => Some(SettingChange {
                program: "Postfix",
                file: "/etc/postfix/main.cf",
                from: "smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination",
                to: "smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated reject_unauth_destination",
                command: "postconf -e 'smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated reject_unauth_destination' && postfix reload",
            }),
            RepairAdvice::Defers => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    fn deferred(text: &str) -> TestResult {
        let outcome = MessageOutcome::TempFail {
            stage: SmtpStage::Rcpt,
            code: 454,
            text: text.into(),
        };
        TestResult::without_message("plain".into(), "plain", outcome)
    }

    #[test]
    fn postfix_is_recognised_by_its_reply() {
        let row = DecisionRow::DeferredControlAccepted;
        let postfix = deferred("4.7.1 <unknown@probe.example>: Relay access denied");
        let other = deferred("4.7.1 try again later");
        assert_eq!(
            RepairAdvice::of(row, &[other.clone(), postfix.clone()]),
            Some(RepairAdvice::PostfixDefers)
        );
        assert_eq!(RepairAdvice::of(row, &[other]), Some(RepairAdvice::Defers));
        assert_eq!(
            RepairAdvice::of(DecisionRow::RefusedControlAccepted, &[postfix]),
            None,
            "a host that refuses needs no advice"
        );
    }

    #[test]
    fn changed_line_differs_from_the_usual_one_in_its_last_word() {
        for setting in RepairAdvice::VARIANTS.iter().filter_map(|a| a.setting()) {
            assert!(setting.command.contains(setting.to));
            let without_last = |line: &'static str| line.rsplit_once(' ').map(|(first, _)| first);
            assert_eq!(without_last(setting.from), without_last(setting.to));
            assert_ne!(setting.from, setting.to);
        }
    }
}
