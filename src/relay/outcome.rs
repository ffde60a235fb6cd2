//! The results of a relay test, and the assessment of a host by them.

use serde::{Deserialize, Serialize};

use crate::smtp::{MessageOutcome, SmtpStage};

/// The class of tests that vary the greeting.
pub const HELO: &str = "helo";
/// How often a message is sent that the host defers (4xx). The token stays the same.
pub const MAX_TRIES: u8 = 3;

/// One message of a test and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestResult {
    /// The name of the test.
    pub test: String,
    /// The class of the test.
    pub class: String,
    /// The identifier of the token in hexadecimal; empty if no message was made.
    pub token: String,
    /// The text after `MAIL FROM:`, and that after `RCPT TO:` of the probe's recipient.
    pub envelope: (String, String),
    /// The outcome.
    #[serde(flatten)]
    pub outcome: MessageOutcome,
}

impl TestResult {
    /// Creates the result of a test without a message.
    pub fn without_message(test: String, class: &str, outcome: MessageOutcome) -> TestResult {
        TestResult {
            test,
            class: class.into(),
            token: String::new(),
            envelope: Default::default(),
            outcome,
        }
    }
}

/// The assessment of a host by all tests of a job. Only [`Assessment::Open`] lists the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema), schema(as = AssessmentKind, description = "The assessment of a host by all results of a job."))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Assessment {
    /// A message was delivered.
    Open,
    /// A message was accepted, and none was delivered yet.
    Accepted,
    /// Every class of tests was refused permanently, and not all before RCPT.
    Closed,
    /// The same as closed, but no control shows that the host does not refuse only the tester.
    Refused,
    /// Every test was refused before RCPT, which shows nothing about relaying.
    Blocked,
    /// Some tests have no outcome.
    Inconclusive,
    /// No test could be run.
    Untestable,
}

impl Assessment {
    /// The name of the assessment in the API and in the audit log.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Assesses the outcomes of a job, each with its class.
///
/// A class is closed if one of its tests was refused permanently after the greeting, and none was
/// accepted; a form that is always deferred does not count. A refusal of the connection or of our
/// greeting shows nothing about relaying, except for the tests of greetings (class `helo`).
pub fn assess<'a>(outcomes: impl IntoIterator<Item = (&'a str, &'a MessageOutcome)>) -> Assessment {
    let classes: Vec<(&str, &MessageOutcome)> = outcomes
        .into_iter()
        .filter(|(_, o)| !matches!(o, MessageOutcome::Skipped { .. }))
        .collect();
    let any = |f: fn(&MessageOutcome) -> bool| classes.iter().any(|(_, o)| f(o));
    if classes.is_empty() {
        return Assessment::Untestable;
    }
    if any(MessageOutcome::is_delivered) {
        return Assessment::Open;
    }
    if any(MessageOutcome::is_accepted) {
        return Assessment::Accepted;
    }
    if !any(|o| o.refused_at().is_none_or(|stage| stage > SmtpStage::Mail)) {
        return Assessment::Blocked;
    }
    let is_closed = |class: &str| {
        let first_stage = if class == HELO {
            SmtpStage::Hello
        } else {
            SmtpStage::Mail
        };
        classes.iter().any(|(c, o)| {
            *c == class
                && matches!(o, MessageOutcome::Refused { stage, .. } if *stage >= first_stage)
        })
    };
    match classes.iter().all(|(class, _)| is_closed(class)) {
        true => Assessment::Closed,
        false => Assessment::Inconclusive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;
    use proptest::prelude::*;

    fn refused(stage: SmtpStage) -> MessageOutcome {
        MessageOutcome::Refused {
            stage,
            code: 550,
            text: String::new(),
        }
    }
    fn accepted() -> MessageOutcome {
        MessageOutcome::Accepted {
            text: String::new(),
        }
    }

    #[test]
    fn outcomes_give_the_documented_assessment() {
        let deferred = MessageOutcome::TempFail {
            stage: SmtpStage::Rcpt,
            code: 450,
            text: String::new(),
        };
        let cut = MessageOutcome::inconclusive("");
        let always_deferred = |stage| MessageOutcome::Inconclusive {
            why: String::new(),
            deferred_at: Some(stage),
            blocklist: false,
        };
        let skipped = MessageOutcome::Skipped { why: String::new() };
        let delivered = MessageOutcome::Delivered {
            output: "192.0.2.1".parse().unwrap(),
            at: Time(1),
        };
        // Each outcome has a class of its own.
        fn assess(all: &[MessageOutcome]) -> Assessment {
            let names: Vec<String> = (0..all.len()).map(|i| i.to_string()).collect();
            super::assess(names.iter().map(String::as_str).zip(all))
        }
        assert_eq!(
            super::assess([("a", &refused(SmtpStage::Rcpt)), ("a", &deferred)]),
            Assessment::Closed,
            "a deferred form does not keep its class from being closed"
        );
        assert_eq!(
            super::assess([
                ("a", &refused(SmtpStage::Rcpt)),
                ("b", &refused(SmtpStage::Connect))
            ]),
            Assessment::Inconclusive,
            "a refused connection does not close a class"
        );
        assert_eq!(
            super::assess([
                ("a", &refused(SmtpStage::Rcpt)),
                ("helo", &refused(SmtpStage::Hello))
            ]),
            Assessment::Closed
        );
        assert_eq!(
            assess(&[refused(SmtpStage::Rcpt), delivered, cut.clone()]),
            Assessment::Open
        );
        assert_eq!(
            assess(&[refused(SmtpStage::Rcpt), accepted(), cut.clone()]),
            Assessment::Accepted
        );
        assert_eq!(
            assess(&[
                refused(SmtpStage::Mail),
                MessageOutcome::Bounced { at: Time(1) }
            ]),
            Assessment::Accepted
        );
        assert_eq!(
            assess(&[
                refused(SmtpStage::Rcpt),
                refused(SmtpStage::Mail),
                skipped.clone()
            ]),
            Assessment::Closed
        );
        assert_eq!(
            assess(&[refused(SmtpStage::Connect), refused(SmtpStage::Mail)]),
            Assessment::Blocked
        );
        assert_eq!(
            assess(&[refused(SmtpStage::Rcpt), deferred.clone()]),
            Assessment::Inconclusive,
            "a class with only deferred forms is not closed"
        );
        assert_eq!(
            assess(&[refused(SmtpStage::Rcpt), cut]),
            Assessment::Inconclusive
        );
        assert_eq!(assess(&[deferred]), Assessment::Inconclusive);
        assert_eq!(
            assess(&[
                always_deferred(SmtpStage::Rcpt),
                always_deferred(SmtpStage::Rcpt)
            ]),
            Assessment::Inconclusive,
            "4xx is not a permanent refusal"
        );
        assert_eq!(
            assess(&[
                always_deferred(SmtpStage::Mail),
                refused(SmtpStage::Connect)
            ]),
            Assessment::Blocked
        );
        assert_eq!(assess(&[skipped]), Assessment::Untestable);
        assert_eq!(assess(&[]), Assessment::Untestable);
    }

    proptest! {
        /// The assessment is open if and only if a message was delivered.
        #[test]
        fn assessment_is_open_only_with_a_delivery(kinds in proptest::collection::vec((0u8..6, 0u8..6), 0..12), delivered: bool) {
            let stages = [SmtpStage::Connect, SmtpStage::Hello, SmtpStage::Mail, SmtpStage::Rcpt, SmtpStage::Data, SmtpStage::Body];
            let mut all: Vec<MessageOutcome> = kinds.iter().map(|(k, s)| {
                let (stage, text) = (stages[usize::from(*s)], String::new());
                match k {
                    0 => MessageOutcome::Bounced { at: Time(1) },
                    1 => MessageOutcome::Accepted { text },
                    2 => MessageOutcome::Refused { stage, code: 550, text },
                    3 => MessageOutcome::TempFail { stage, code: 450, text },
                    4 => MessageOutcome::Inconclusive { why: text, deferred_at: (*s > 2).then_some(stage), blocklist: false },
                    _ => MessageOutcome::Skipped { why: text },
                }
            }).collect();
            if delivered {
                all.push(MessageOutcome::Delivered { output: "192.0.2.1".parse().unwrap(), at: Time(1) });
            }
            let classes = ["a", "b", "c"].into_iter().cycle();
            let assessment = assess(classes.zip(&all));
            prop_assert_eq!(assessment == Assessment::Open, delivered);
            let ran = all.iter().filter(|o| !matches!(o, MessageOutcome::Skipped { .. })).count();
            if assessment == Assessment::Closed {
                let any_accepted = all.iter().any(|o| matches!(o, MessageOutcome::Accepted { .. } | MessageOutcome::Bounced { .. }));
                let closed = ran > 0 && !any_accepted && all.iter().any(|o| matches!(o, MessageOutcome::Refused { stage, .. } if *stage > SmtpStage::Hello));
                prop_assert!(closed);
            }
        }
    }
}
