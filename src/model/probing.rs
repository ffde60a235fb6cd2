//! Relay testing: what a host did when it was asked, and the rules that follow from it. Who is
//! tested when stands in [`super::retest`].

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Time, control, time::Seconds};

/// The class of tests that are about the greeting.
pub const HELO: &str = "helo";
/// How long a token counts, from the moment it was made.
pub const TOKEN_LIFE: Seconds = Seconds(14 * 86_400);
/// How often a test that was put off (4xx) is tried again with the same token.
pub const TRIES: u8 = 3;

/// The step of a talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The connection and its greeting.
    Connect,
    /// EHLO, HELO, STARTTLS.
    Hello,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The message and the dot behind it.
    Body,
}

impl Stage {
    /// As people know it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Connect => "connection",
            Stage::Hello => "EHLO",
            Stage::Mail => "MAIL",
            Stage::Rcpt => "RCPT",
            Stage::Data => "DATA",
            Stage::Body => "message",
        }
    }
}

/// What became of one test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// The message came out of a host: the input relays.
    Delivered {
        /// Who handed it to the collector.
        output: IpAddr,
        /// When.
        at: Time,
    },
    /// It, or word of it, came back to the sender.
    Bounced {
        /// When.
        at: Time,
    },
    /// It was taken. That proves nothing.
    Accepted {
        /// What the server said.
        text: String,
    },
    /// It was refused for good (5xx).
    Refused {
        /// Where.
        stage: Stage,
        /// The reply's code.
        code: u16,
        /// What the server said.
        text: String,
    },
    /// It was refused for now (4xx).
    #[serde(rename = "later")]
    TempFail {
        /// Where.
        stage: Stage,
        /// The reply's code.
        code: u16,
        /// What the server said.
        text: String,
    },
    /// Nothing can be said.
    Inconclusive {
        /// Why.
        why: String,
        /// It was refused for now (4xx) each time that it was tried, last here.
        #[serde(rename = "put_off", default, skip_serializing_if = "Option::is_none")]
        deferred_at: Option<Stage>,
        /// The text of such a refusal spoke of a blocklist.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        blocklist: bool,
    },
    /// It was not run.
    Skipped {
        /// Why.
        why: String,
    },
}

impl Outcome {
    /// Nothing can be said, and why.
    pub fn inconclusive(why: impl Into<String>) -> Outcome {
        Outcome::Inconclusive {
            why: why.into(),
            deferred_at: None,
            blocklist: false,
        }
    }

    /// In one word.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Delivered { .. } => "delivered",
            Outcome::Bounced { .. } => "bounced",
            Outcome::Accepted { .. } => "accepted",
            Outcome::Refused { .. } => "refused",
            Outcome::TempFail { .. } => "later",
            Outcome::Inconclusive { .. } => "inconclusive",
            Outcome::Skipped { .. } => "skipped",
        }
    }

    /// The step at which the message was refused, for good (5xx) or in each try (4xx).
    pub fn refused_at(&self) -> Option<Stage> {
        match self {
            Outcome::Refused { stage, .. } | Outcome::TempFail { stage, .. } => Some(*stage),
            Outcome::Inconclusive { deferred_at, .. } => *deferred_at,
            _ => None,
        }
    }

    /// Whether the reply asks for a login (RFC 4954 section 6): 530, or the enhanced code 5.7.0 or
    /// 5.7.1.
    pub fn requires_login(&self) -> bool {
        match self {
            Outcome::Refused { code, text, .. } => {
                *code == 530 || matches!(control::enhanced(text), Some("5.7.0" | "5.7.1"))
            }
            _ => false,
        }
    }

    /// Whether the reply that refused it speaks of a blocklist: of the tester, and not of the
    /// message.
    pub fn names_blocklist(&self) -> bool {
        match self {
            Outcome::Refused { text, .. } | Outcome::TempFail { text, .. } => {
                control::names_blocklist(text)
            }
            Outcome::Inconclusive { blocklist, .. } => *blocklist,
            _ => false,
        }
    }

    /// Whether what came to the collector takes its place: proof stays, a delivery beats a bounce.
    pub fn superseded_by(&self, other: &Outcome) -> bool {
        let proof = matches!(self, Outcome::Delivered { .. });
        let back = matches!((self, other), (Outcome::Bounced { .. }, o) if !matches!(o, Outcome::Delivered { .. }));
        !proof && !back
    }
}

/// One message of a test, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
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

/// What a token was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// The host that is given the message.
    pub target: IpAddr,
    /// The test's name.
    pub test: String,
    /// The job.
    pub job: u64,
    /// When it was made.
    pub at: Time,
    /// Who sends it: none for our own tester, else the reporter.
    pub tester: Option<String>,
    /// Whether that reporter's word lists.
    pub trusted: bool,
    /// Its sender is the null sender: else one that has it is a report.
    #[serde(default)]
    pub null: bool,
    /// The test has local recipients beside the probe's: a message that a user forwarded proves
    /// nothing.
    pub strict: bool,
    /// Asked for by the host's owner: it proves nothing against outputs.
    pub owner: bool,
    /// Sender and recipient are the same address: a report that calls itself none looks like the
    /// message.
    #[serde(default)]
    pub same: bool,
    /// Whom it came from already.
    pub outputs: Vec<IpAddr>,
    /// Each way that it came, and the number of its proof: it is written down once.
    #[serde(default)]
    pub seen: Vec<(Arrival, u64)>,
}

/// What a delivery says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The host itself delivers.
    Relay,
    /// The host takes it, another one delivers.
    Input,
    /// A tester whose word does not list says so.
    Unconfirmed,
}

/// Why a message that reached the collector lists nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoProof {
    /// Its token is too old.
    Late,
    /// It was made before the host was released: the host is tested again.
    BeforeRelease,
    /// This (input, output) is known already.
    Again,
    /// It came back to its sender.
    Back,
    /// A user of the host may have passed it on.
    Forwarded,
    /// It comes from ourselves.
    Ours,
    /// An untrusted reporter sent it, and another host than the tested one handed it in: he may
    /// have done that himself.
    Elsewhere,
}

/// What is seen of a message at the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Who handed it in.
    pub output: IpAddr,
    /// When.
    pub at: Time,
    /// It came to the probe's own address.
    pub direct: bool,
    /// It came back.
    pub back: bool,
}

/// Decides what an arrival proves. `released` is when the host was taken off last.
/// `ours` tells whether whoever handed it in is ourselves.
pub fn proves(
    issued: &Issued,
    arrival: &Arrival,
    released: Option<Time>,
    ours: bool,
) -> Result<Finding, NoProof> {
    if arrival.at > issued.at.plus(TOKEN_LIFE) {
        return Err(NoProof::Late);
    }
    if arrival.back {
        return Err(NoProof::Back);
    }
    if issued.strict && !arrival.direct {
        return Err(NoProof::Forwarded);
    }
    if ours {
        return Err(NoProof::Ours);
    }
    if issued.outputs.contains(&arrival.output) {
        return Err(NoProof::Again);
    }
    if released.is_some_and(|r| issued.at <= r) {
        return Err(NoProof::BeforeRelease);
    }
    match (
        issued.tester.is_some() && !issued.trusted,
        arrival.output == issued.target,
    ) {
        (true, true) => Ok(Finding::Unconfirmed),
        (true, false) => Err(NoProof::Elsewhere),
        (false, true) => Ok(Finding::Relay),
        (false, false) => Ok(Finding::Input),
    }
}

/// The net whose hosts share a budget, and in which two inputs count as one: /24, of IPv6 /48.
pub fn net(addr: IpAddr) -> IpAddr {
    match addr.to_canonical() {
        IpAddr::V4(a) => IpAddr::V4((u32::from(a) & 0xffff_ff00).into()),
        IpAddr::V6(a) => IpAddr::V6((u128::from(a) >> 80 << 80).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    fn issued() -> Issued {
        let target = "192.0.2.1".parse().unwrap();
        Issued {
            target,
            test: "plain".into(),
            job: 1,
            at: Time(1000),
            tester: None,
            trusted: false,
            null: false,
            strict: false,
            owner: false,
            same: false,
            outputs: vec![],
            seen: vec![],
        }
    }

    #[test]
    fn what_an_arrival_proves() {
        let (own, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.9".parse().unwrap());
        let at = |output| Arrival {
            output,
            at: Time(2000),
            direct: true,
            back: false,
        };
        let say = |i: &Issued, a: &Arrival, released| {
            proves(
                i,
                a,
                released,
                a.output == "198.51.100.1".parse::<IpAddr>().unwrap(),
            )
        };
        assert_eq!(say(&issued(), &at(own), None), Ok(Finding::Relay));
        assert_eq!(say(&issued(), &at(other), None), Ok(Finding::Input));
        let foreign = Issued {
            tester: Some("anna".into()),
            ..issued()
        };
        assert_eq!(say(&foreign, &at(own), None), Ok(Finding::Unconfirmed));
        assert_eq!(
            say(&foreign, &at(other), None),
            Err(NoProof::Elsewhere),
            "he may have handed it in himself"
        );
        assert_eq!(
            say(
                &Issued {
                    trusted: true,
                    ..foreign
                },
                &at(own),
                None
            ),
            Ok(Finding::Relay)
        );
        assert_eq!(
            say(
                &issued(),
                &Arrival {
                    back: true,
                    ..at(own)
                },
                None
            ),
            Err(NoProof::Back)
        );
        assert_eq!(
            say(
                &issued(),
                &Arrival {
                    at: Time(1001).plus(TOKEN_LIFE),
                    ..at(own)
                },
                None
            ),
            Err(NoProof::Late)
        );
        assert_eq!(
            say(&issued(), &at(own), Some(Time(1000))),
            Err(NoProof::BeforeRelease)
        );
        assert_eq!(
            say(&issued(), &at(own), Some(Time(999))),
            Ok(Finding::Relay)
        );
        assert_eq!(
            say(
                &Issued {
                    outputs: vec![own],
                    ..issued()
                },
                &at(own),
                None
            ),
            Err(NoProof::Again)
        );
        assert_eq!(
            say(
                &Issued {
                    outputs: vec![own],
                    ..issued()
                },
                &at(other),
                None
            ),
            Ok(Finding::Input)
        );
        assert_eq!(
            say(&issued(), &at("198.51.100.1".parse().unwrap()), None),
            Err(NoProof::Ours)
        );
        let strict = Issued {
            strict: true,
            ..issued()
        };
        assert_eq!(
            say(
                &strict,
                &Arrival {
                    direct: false,
                    ..at(own)
                },
                None
            ),
            Err(NoProof::Forwarded)
        );
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
