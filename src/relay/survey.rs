//! The survey: what the tests of each month found, by class of test and by family of products,
//! without addresses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::policy::Job;

/// The family of hosts whose product is not recognised.
pub const UNKNOWN_FAMILY: &str = "unknown";
/// A family with fewer tested hosts in a month is counted among [`OTHER_FAMILIES`] in public, so
/// that no single host can be told.
const MIN_FAMILY_HOSTS: u64 = 5;
/// The families that too few hosts have.
pub const OTHER_FAMILIES: &str = "other";

/// How many hosts were tested, and what came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SurveyCount {
    /// Tests that have ended.
    pub tested: u64,
    /// Those of which a message was delivered.
    pub delivered: u64,
}

impl SurveyCount {
    fn add(&mut self, other: SurveyCount) {
        self.tested += other.tested;
        self.delivered += other.delivered;
    }
}

/// What the tests of a month found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MonthlySurvey {
    /// All tests.
    pub total: SurveyCount,
    /// By class of test: tests that sent a message of the class, and those of which one was
    /// delivered.
    pub classes: BTreeMap<String, SurveyCount>,
    /// By family of products.
    pub families: BTreeMap<String, SurveyCount>,
}

impl MonthlySurvey {
    /// Counts a test that has ended.
    pub(super) fn count(&mut self, job: &Job, family: &str) {
        let mut classes: BTreeMap<&str, bool> = BTreeMap::new();
        for result in job.results.iter().filter(|r| !r.outcome.is_not_sent()) {
            let delivered = classes.entry(&result.class).or_default();
            *delivered |= result.outcome.is_delivered();
        }
        let count = |delivered: bool| SurveyCount {
            tested: 1,
            delivered: u64::from(delivered),
        };
        let any = count(classes.values().any(|d| *d));
        self.total.add(any);
        self.families.entry(family.into()).or_default().add(any);
        for (class, delivered) in classes {
            let of_class = self.classes.entry(class.into()).or_default();
            of_class.add(count(delivered));
        }
    }

    /// The figures as everybody may see them: families that few hosts have are added up.
    pub fn for_public(mut self) -> MonthlySurvey {
        let mut other = SurveyCount::default();
        self.families.retain(|family, count| {
            let is_shown = count.tested >= MIN_FAMILY_HOSTS || family == UNKNOWN_FAMILY;
            if !is_shown {
                other.add(*count);
            }
            is_shown
        });
        if other.tested > 0 {
            self.families.insert(OTHER_FAMILIES.into(), other);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::Time,
        relay::{
            outcome::TestResult,
            policy::{EvidenceOrigin, EvidenceSummary, Trigger},
        },
        smtp::{MessageOutcome, SmtpStage},
    };

    fn job(outcomes: &[(&str, MessageOutcome)]) -> Job {
        let evidence = EvidenceSummary {
            origin: EvidenceOrigin::Log,
            text: String::new(),
            at: Time(0),
        };
        let target = [192, 0, 2, 1].into();
        let mut job = Job::new(1, target, Trigger::Nomination, "x", evidence, Time(0));
        let result = |(class, outcome): &(&str, MessageOutcome)| {
            TestResult::without_message("x".into(), class, outcome.clone())
        };
        job.results = outcomes.iter().map(result).collect();
        job
    }

    #[test]
    fn survey_counts_classes_and_families_and_has_no_address() {
        let refused = MessageOutcome::Refused {
            stage: SmtpStage::Rcpt,
            code: 550,
            text: "192.0.2.1".into(),
        };
        let delivered = MessageOutcome::Delivered {
            output: [192, 0, 2, 1].into(),
            at: Time(0),
        };
        let mut survey = MonthlySurvey::default();
        let outcomes = [
            ("open", refused.clone()),
            ("percent", delivered),
            ("percent", refused),
        ];
        survey.count(&job(&outcomes), "postfix");
        survey.count(&job(&outcomes[..1]), "postfix");
        let count = |tested, delivered| SurveyCount { tested, delivered };
        assert_eq!(survey.total, count(2, 1));
        assert_eq!(survey.classes["open"], count(2, 0));
        assert_eq!(survey.classes["percent"], count(1, 1));
        assert_eq!(survey.families["postfix"], count(2, 1));
        assert!(
            !serde_json::to_string(&survey)
                .unwrap()
                .contains("192.0.2.1")
        );
    }

    #[test]
    fn families_that_few_hosts_have_are_added_up_in_public() {
        let mut survey = MonthlySurvey::default();
        let refused = [("open", MessageOutcome::inconclusive("x"))];
        for (family, tests) in [("postfix", 5), ("eims", 2), ("mercur", 1), ("unknown", 1)] {
            (0..tests).for_each(|_| survey.count(&job(&refused), family));
        }
        let public = survey.for_public();
        let families: Vec<(&str, u64)> = public
            .families
            .iter()
            .map(|(f, c)| (f.as_str(), c.tested))
            .collect();
        assert_eq!(families, [("other", 3), ("postfix", 5), ("unknown", 1)]);
    }
}
