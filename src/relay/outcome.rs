//! The results of a relay test, and the assessment of a host that follows from them.

use serde::{Deserialize, Serialize};

use crate::smtp::{MessageOutcome, SmtpStage};

/// The class of tests that are about the greeting.
pub const HELO: &str = "helo";
/// How often a deferred message (4xx) is sent with the same token.
pub const MAX_TRIES: u8 = 3;

/// One message of a test, and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestResult {
    /// The test's name.
    pub test: String,
    /// Its kind of hole.
    pub class: String,
    /// The token's number in the store, in hexadecimal; empty where none was made.
    pub token: String,
    /// What followed `MAIL FROM:` and, for the probe, `RCPT TO:`.
    pub envelope: (String, String),
    /// What became of it.
    #[serde(flatten)]
    pub outcome: MessageOutcome,
}

/// The result of all tests of a job. Only the first lists the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Assessment {
    /// A message was delivered.
    Open,
    /// A message was accepted, and none was delivered (yet).
    Accepted,
    /// Every test was refused for good, and not all before a recipient was named.
    Closed,
    /// The same, and no control shows that the host does not refuse the tester alone.
    Refused,
    /// We were refused before a recipient was named, in every test: that says nothing about
    /// relaying.
    Blocked,
    /// Some tests have no outcome.
    Inconclusive,
    /// No test could be run.
    Untestable,
}

impl Assessment {
    /// The name of the assessment, in the API and in the audit log.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Assesses a job's outcomes, each with its class.
///
/// A class is closed when one of its tests was refused for good behind the greeting, and none was
/// taken: a 4xx that never ends on one form says nothing against the others. A refusal at the door
/// or to our greeting says nothing about relaying, but for the tests of greetings (class `helo`).
pub fn assess<'a>(outcomes: impl IntoIterator<Item = (&'a str, &'a MessageOutcome)>) -> Assessment {
    let classes: Vec<(&str, &MessageOutcome)> = outcomes
        .into_iter()
        .filter(|(_, o)| !matches!(o, MessageOutcome::Skipped { .. }))
        .collect();
    let all: Vec<&MessageOutcome> = classes.iter().map(|(_, o)| *o).collect();
    let any = |f: fn(&MessageOutcome) -> bool| all.iter().any(|o| f(o));
    if all.is_empty() {
        return Assessment::Untestable;
    }
    if any(|o| matches!(o, MessageOutcome::Delivered { .. })) {
        return Assessment::Open;
    }
    if any(|o| {
        matches!(
            o,
            MessageOutcome::Accepted { .. } | MessageOutcome::Bounced { .. }
        )
    }) {
        return Assessment::Accepted;
    }
    let early = |o: &MessageOutcome| match o {
        MessageOutcome::Refused { stage, .. }
        | MessageOutcome::TempFail { stage, .. }
        | MessageOutcome::Inconclusive {
            deferred_at: Some(stage),
            ..
        } => *stage <= SmtpStage::Mail,
        _ => false,
    };
    if all.iter().all(|o| early(o)) {
        return Assessment::Blocked;
    }
    let shut = |class: &str| {
        let least = if class == HELO {
            SmtpStage::Hello
        } else {
            SmtpStage::Mail
        };
        classes.iter().any(|(c, o)| {
            *c == class && matches!(o, MessageOutcome::Refused { stage, .. } if *stage >= least)
        })
    };
    match classes.iter().all(|(class, _)| shut(class)) {
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
    fn the_three_way_rule_and_its_neighbours() {
        let later = MessageOutcome::TempFail {
            stage: SmtpStage::Rcpt,
            code: 450,
            text: String::new(),
        };
        let cut = MessageOutcome::inconclusive("");
        let put_off = |stage| MessageOutcome::Inconclusive {
            why: String::new(),
            deferred_at: Some(stage),
            blocklist: false,
        };
        let skipped = MessageOutcome::Skipped { why: String::new() };
        let delivered = MessageOutcome::Delivered {
            output: "192.0.2.1".parse().unwrap(),
            at: Time(1),
        };
        // Each of a class of its own.
        fn assess(all: &[MessageOutcome]) -> Assessment {
            let names: Vec<String> = (0..all.len()).map(|i| i.to_string()).collect();
            super::assess(names.iter().map(String::as_str).zip(all))
        }
        assert_eq!(
            super::assess([("a", &refused(SmtpStage::Rcpt)), ("a", &later)]),
            Assessment::Closed,
            "one 4xx of a class"
        );
        assert_eq!(
            super::assess([
                ("a", &refused(SmtpStage::Rcpt)),
                ("b", &refused(SmtpStage::Connect))
            ]),
            Assessment::Inconclusive,
            "the door was shut"
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
            assess(&[refused(SmtpStage::Rcpt), later.clone()]),
            Assessment::Inconclusive,
            "a 530 or a 4xx on one does not clear the others"
        );
        assert_eq!(
            assess(&[refused(SmtpStage::Rcpt), cut]),
            Assessment::Inconclusive
        );
        assert_eq!(assess(&[later]), Assessment::Inconclusive);
        assert_eq!(
            assess(&[put_off(SmtpStage::Rcpt), put_off(SmtpStage::Rcpt)]),
            Assessment::Inconclusive,
            "a 4xx is no 5xx"
        );
        assert_eq!(
            assess(&[put_off(SmtpStage::Mail), refused(SmtpStage::Connect)]),
            Assessment::Blocked
        );
        assert_eq!(assess(&[skipped]), Assessment::Untestable);
        assert_eq!(assess(&[]), Assessment::Untestable);
    }

    proptest! {
        /// Without a delivery no outcomes are a assessment that lists; with one, nothing talks it
        /// away.
        #[test]
        fn only_a_delivery_is_open(kinds in proptest::collection::vec((0u8..6, 0u8..6), 0..12), delivered: bool) {
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
            let judged = assess(classes.zip(&all));
            prop_assert_eq!(judged == Assessment::Open, delivered);
            let ran = all.iter().filter(|o| !matches!(o, MessageOutcome::Skipped { .. })).count();
            if judged == Assessment::Closed {
                let taken = all.iter().any(|o| matches!(o, MessageOutcome::Accepted { .. } | MessageOutcome::Bounced { .. }));
                let closed = ran > 0 && !taken && all.iter().any(|o| matches!(o, MessageOutcome::Refused { stage, .. } if *stage > SmtpStage::Hello));
                prop_assert!(closed);
            }
        }
    }
}
