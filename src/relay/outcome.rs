//! The results of a relay test, and the assessment of a host that follows from them.

use serde::{Deserialize, Serialize};

use crate::smtp::{Outcome, Stage};

/// The class of tests that are about the greeting.
pub const HELO: &str = "helo";
/// How often a test that was put off (4xx) is tried again with the same token.
pub const TRIES: u8 = 3;

/// One message of a test, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestResult {
    /// The test's name.
    pub test: String,
    /// Its kind of hole.
    pub class: String,
    /// The token's number in the store, in hexadecimal; empty where none was made.
    pub token: String,
    /// What was sent behind `MAIL FROM:` and, for the probe, `RCPT TO:`.
    pub envelope: (String, String),
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What all tests of a job say of their host. Only the first lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Assessment {
    /// A message came out.
    Open,
    /// Something was taken, and nothing came out (yet).
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

/// Judges a job's outcomes, each with its class.
///
/// A class is closed when one of its tests was refused for good behind the greeting, and none was
/// taken: a 4xx that never ends on one form says nothing against the others. A refusal at the door
/// or to our greeting says nothing about relaying, but for the tests of greetings (class `helo`).
pub fn assess<'a>(outcomes: impl IntoIterator<Item = (&'a str, &'a Outcome)>) -> Assessment {
    let classes: Vec<(&str, &Outcome)> = outcomes
        .into_iter()
        .filter(|(_, o)| !matches!(o, Outcome::Skipped { .. }))
        .collect();
    let all: Vec<&Outcome> = classes.iter().map(|(_, o)| *o).collect();
    let any = |f: fn(&Outcome) -> bool| all.iter().any(|o| f(o));
    if all.is_empty() {
        return Assessment::Untestable;
    }
    if any(|o| matches!(o, Outcome::Delivered { .. })) {
        return Assessment::Open;
    }
    if any(|o| matches!(o, Outcome::Accepted { .. } | Outcome::Bounced { .. })) {
        return Assessment::Accepted;
    }
    let early = |o: &Outcome| match o {
        Outcome::Refused { stage, .. }
        | Outcome::TempFail { stage, .. }
        | Outcome::Inconclusive {
            deferred_at: Some(stage),
            ..
        } => *stage <= Stage::Mail,
        _ => false,
    };
    if all.iter().all(|o| early(o)) {
        return Assessment::Blocked;
    }
    let shut = |class: &str| {
        let least = if class == HELO {
            Stage::Hello
        } else {
            Stage::Mail
        };
        classes.iter().any(|(c, o)| {
            *c == class && matches!(o, Outcome::Refused { stage, .. } if *stage >= least)
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

    fn refused(stage: Stage) -> Outcome {
        Outcome::Refused {
            stage,
            code: 550,
            text: String::new(),
        }
    }
    fn accepted() -> Outcome {
        Outcome::Accepted {
            text: String::new(),
        }
    }

    #[test]
    fn the_three_way_rule_and_its_neighbours() {
        let later = Outcome::TempFail {
            stage: Stage::Rcpt,
            code: 450,
            text: String::new(),
        };
        let cut = Outcome::inconclusive("");
        let put_off = |stage| Outcome::Inconclusive {
            why: String::new(),
            deferred_at: Some(stage),
            blocklist: false,
        };
        let skipped = Outcome::Skipped { why: String::new() };
        let delivered = Outcome::Delivered {
            output: "192.0.2.1".parse().unwrap(),
            at: Time(1),
        };
        // Each of a class of its own.
        fn assess(all: &[Outcome]) -> Assessment {
            let names: Vec<String> = (0..all.len()).map(|i| i.to_string()).collect();
            super::assess(names.iter().map(String::as_str).zip(all))
        }
        assert_eq!(
            super::assess([("a", &refused(Stage::Rcpt)), ("a", &later)]),
            Assessment::Closed,
            "one 4xx of a class"
        );
        assert_eq!(
            super::assess([
                ("a", &refused(Stage::Rcpt)),
                ("b", &refused(Stage::Connect))
            ]),
            Assessment::Inconclusive,
            "the door was shut"
        );
        assert_eq!(
            super::assess([
                ("a", &refused(Stage::Rcpt)),
                ("helo", &refused(Stage::Hello))
            ]),
            Assessment::Closed
        );
        assert_eq!(
            assess(&[refused(Stage::Rcpt), delivered, cut.clone()]),
            Assessment::Open
        );
        assert_eq!(
            assess(&[refused(Stage::Rcpt), accepted(), cut.clone()]),
            Assessment::Accepted
        );
        assert_eq!(
            assess(&[refused(Stage::Mail), Outcome::Bounced { at: Time(1) }]),
            Assessment::Accepted
        );
        assert_eq!(
            assess(&[refused(Stage::Rcpt), refused(Stage::Mail), skipped.clone()]),
            Assessment::Closed
        );
        assert_eq!(
            assess(&[refused(Stage::Connect), refused(Stage::Mail)]),
            Assessment::Blocked
        );
        assert_eq!(
            assess(&[refused(Stage::Rcpt), later.clone()]),
            Assessment::Inconclusive,
            "a 530 or a 4xx on one does not clear the others"
        );
        assert_eq!(
            assess(&[refused(Stage::Rcpt), cut]),
            Assessment::Inconclusive
        );
        assert_eq!(assess(&[later]), Assessment::Inconclusive);
        assert_eq!(
            assess(&[put_off(Stage::Rcpt), put_off(Stage::Rcpt)]),
            Assessment::Inconclusive,
            "a 4xx is no 5xx"
        );
        assert_eq!(
            assess(&[put_off(Stage::Mail), refused(Stage::Connect)]),
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
            let stages = [Stage::Connect, Stage::Hello, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Body];
            let mut all: Vec<Outcome> = kinds.iter().map(|(k, s)| {
                let (stage, text) = (stages[usize::from(*s)], String::new());
                match k {
                    0 => Outcome::Bounced { at: Time(1) },
                    1 => Outcome::Accepted { text },
                    2 => Outcome::Refused { stage, code: 550, text },
                    3 => Outcome::TempFail { stage, code: 450, text },
                    4 => Outcome::Inconclusive { why: text, deferred_at: (*s > 2).then_some(stage), blocklist: false },
                    _ => Outcome::Skipped { why: text },
                }
            }).collect();
            if delivered {
                all.push(Outcome::Delivered { output: "192.0.2.1".parse().unwrap(), at: Time(1) });
            }
            let classes = ["a", "b", "c"].into_iter().cycle();
            let judged = assess(classes.zip(&all));
            prop_assert_eq!(judged == Assessment::Open, delivered);
            let ran = all.iter().filter(|o| !matches!(o, Outcome::Skipped { .. })).count();
            if judged == Assessment::Closed {
                let taken = all.iter().any(|o| matches!(o, Outcome::Accepted { .. } | Outcome::Bounced { .. }));
                let closed = ran > 0 && !taken && all.iter().any(|o| matches!(o, Outcome::Refused { stage, .. } if *stage > Stage::Hello));
                prop_assert!(closed);
            }
        }
    }
}
