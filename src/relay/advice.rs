//! Advice for the owner of a host whose test did not decide: which setting to change. The setting
//! itself is an entry of the knowledge base.

use serde::{Deserialize, Serialize};

use super::{control::ProvedForms, outcome::TestResult};
use crate::{
    advice::find_entry,
    smtp::{MessageOutcome, SmtpStage},
};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingChange {
    /// The program.
    pub program: &'static str,
    /// The configuration file.
    pub file: &'static str,
    /// The line as it is, in the usual configuration.
    pub from: &'static str,
    /// The line as it should be.
    pub to: &'static str,
    /// The commands that make the change, as one line.
    pub command: String,
}

/// The text of Postfix for a recipient that it does not relay to, after its enhanced code.
const POSTFIX_TEXT: &str = "relay access denied";

impl RepairAdvice {
    /// The name in the API.
    pub fn key(self) -> &'static str {
        self.into()
    }

    /// Returns the advice for a test, from its results so far and the forms that had been delivered.
    /// A single form that is deferred keeps the host from being released at once, so the advice
    /// does not wait for the other forms. The replies to deferred messages have to be there: they
    /// are not kept after the last try.
    pub fn of(results: &[TestResult], proved: &ProvedForms) -> Option<RepairAdvice> {
        let is_open = |r: &TestResult| r.outcome.is_delivered() || r.outcome.is_accepted();
        if results.iter().any(is_open) {
            return None;
        }
        let deferrals = results.iter().filter(|r| proved.counts(r));
        let mut texts = deferrals.filter_map(|r| match &r.outcome {
            MessageOutcome::TempFail {
                stage: SmtpStage::Rcpt,
                text,
                ..
            } => Some(text.to_lowercase()),
            _ => None,
        });
        let first = texts.next()?;
        let is_postfix = |text: String| text.ends_with(POSTFIX_TEXT);
        Some(match is_postfix(first) || texts.any(is_postfix) {
            true => RepairAdvice::PostfixDefers,
            false => RepairAdvice::Defers,
        })
    }

    /// The product and the entry of the knowledge base that say what to change.
    fn entry(self) -> Option<(&'static str, &'static str)> {
        match self {
            RepairAdvice::PostfixDefers => Some(("postfix", "defers")),
            RepairAdvice::Defers => None,
        }
    }

    /// Returns the setting to change, if the program is known.
    pub fn setting(self) -> Option<SettingChange> {
        let (product, entry) = self.entry()?;
        let (product, entry) = find_entry(product, entry)?;
        let line = entry.change.iter().find(|c| c.replaces.is_some())?;
        let commands = entry.change.iter().find(|c| c.file.is_none())?;
        let commands: Vec<&str> = commands.plain_lines().lines().collect();
        Some(SettingChange {
            program: &product.name,
            file: line.file.as_deref()?,
            from: line.replaced_lines()?,
            to: line.plain_lines(),
            command: commands.join(" && "),
        })
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    fn result(outcome: MessageOutcome) -> TestResult {
        TestResult::without_message("plain".into(), "plain", outcome)
    }

    fn deferred(text: &str) -> TestResult {
        result(MessageOutcome::TempFail {
            stage: SmtpStage::Rcpt,
            code: 454,
            text: text.into(),
        })
    }

    #[test]
    fn postfix_is_recognised_by_its_reply() {
        let all = ProvedForms::default();
        let of = |results: &[TestResult]| RepairAdvice::of(results, &all);
        let postfix = deferred("4.7.1 <unknown@probe.example>: Relay access denied");
        let other = deferred("4.7.1 try again later");
        let both = [other.clone(), postfix.clone()];
        assert_eq!(of(&both), Some(RepairAdvice::PostfixDefers));
        assert_eq!(of(&[other]), Some(RepairAdvice::Defers));
        let not_sent = result(MessageOutcome::NotSent);
        let first = [postfix.clone(), not_sent.clone()];
        assert_eq!(of(&first), Some(RepairAdvice::PostfixDefers), "at once");
        assert_eq!(of(&[not_sent]), None);
        let accepted = result(MessageOutcome::Accepted {
            text: String::new(),
        });
        assert_eq!(of(&[postfix.clone(), accepted]), None, "the host is open");
        let other_form = ProvedForms {
            tests: ["percent".to_string()].into(),
            other_port: false,
        };
        assert_eq!(
            RepairAdvice::of(&[postfix], &other_form),
            None,
            "only forms that had been delivered count"
        );
    }

    #[test]
    fn changed_line_differs_from_the_usual_one_in_its_last_word() {
        for advice in RepairAdvice::VARIANTS
            .iter()
            .filter(|a| a.entry().is_some())
        {
            let setting = advice.setting().expect("the entry has all parts");
            assert!(setting.command.contains(setting.to));
            let without_last = |line: &'static str| line.rsplit_once(' ').map(|(first, _)| first);
            assert_eq!(without_last(setting.from), without_last(setting.to));
            assert_ne!(setting.from, setting.to);
        }
    }
}
