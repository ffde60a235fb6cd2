//! What a message that reached the collector proves.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::model::{Time, time::Seconds};

/// How long a token is valid.
pub const TOKEN_LIFE: Seconds = Seconds(14 * 86_400);
/// What a token was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedToken {
    /// The host that is given the message.
    pub target: IpAddr,
    /// The test's name.
    pub test: String,
    /// The job.
    pub job: u64,
    /// When it was made.
    pub at: Time,
    /// The reporter who sends it; none for our own tester.
    pub tester: Option<String>,
    /// Whether that reporter is trusted.
    pub trusted: bool,
    /// Its sender is the null sender: else one that has it is a report.
    #[serde(default)]
    pub null: bool,
    /// The test has local recipients beside the probe's: a message that a user forwarded proves
    /// nothing.
    pub strict: bool,
    /// Asked for by the host's owner: it proves nothing against outputs.
    pub owner: bool,
    /// Sender and recipient are the same address, so a report that is not marked as one looks like
    /// the message.
    #[serde(default)]
    pub same: bool,
    /// The hosts that have delivered it.
    pub outputs: Vec<IpAddr>,
    /// Each arrival and the number of its proof; an arrival is stored once.
    #[serde(default)]
    pub seen: Vec<(Arrival, u64)>,
}

/// What a delivery proves, which is also the reason that it lists the host under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum ProofKind {
    /// The host itself delivers.
    Relay,
    /// The host accepts, another one delivers.
    Input,
    /// The message was sent by a reporter who is not trusted.
    Unconfirmed,
}

impl ProofKind {
    /// All kinds.
    pub const ALL: [ProofKind; 3] = [ProofKind::Relay, ProofKind::Input, ProofKind::Unconfirmed];

    /// The name of the reason.
    pub fn reason(self) -> &'static str {
        self.into()
    }
}

/// Why a message that reached the collector lists no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectedProof {
    /// Its token is too old.
    Late,
    /// It was sent before the host was released: the host is tested again.
    BeforeRelease,
    /// The same output has delivered the message of this token before.
    Duplicate,
    /// It came back to its sender.
    Bounced,
    /// A user of the host may have forwarded it.
    Forwarded,
    /// It comes from an address of ours.
    OwnAddress,
    /// An untrusted reporter sent it, and another host than the tested one delivered it: the
    /// reporter may have done that.
    ThirdParty,
    /// Too many hosts have delivered the message of this token.
    TooManyOutputs,
    /// The host refused the message when our tester sent it.
    RefusedByHost,
    /// The owner of the host asked not to have it tested.
    OptedOut,
}

impl fmt::Display for RejectedProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RejectedProof::Late => "too late: the token was older than 14 days",
            RejectedProof::BeforeRelease => "sent before the host was released: it is tested again",
            RejectedProof::Duplicate => "known already",
            RejectedProof::Bounced => "bounced: it came back to the sender",
            RejectedProof::Forwarded => "a user of the host may have passed it on",
            RejectedProof::OwnAddress => "it came from ourselves",
            RejectedProof::ThirdParty => {
                "a reporter sent it, and another host than the tested one handed it in"
            }
            RejectedProof::TooManyOutputs => "too many hosts have handed in the same message",
            RejectedProof::RefusedByHost => {
                "the host refused this very message: it cannot have carried it"
            }
            RejectedProof::OptedOut => "its owner asked not to be tested",
        })
    }
}

/// The arrival of a message at the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The host that delivered it.
    pub output: IpAddr,
    /// When.
    pub at: Time,
    /// Its recipient is the probe's own address.
    pub direct: bool,
    /// It is a bounce.
    pub back: bool,
}

/// Decides what an arrival proves. `released` is when the host was released last; `ours` is whether
/// the output is an address of ours.
pub fn evaluate_arrival(
    issued: &IssuedToken,
    arrival: &Arrival,
    released: Option<Time>,
    ours: bool,
) -> Result<ProofKind, RejectedProof> {
    if arrival.at > issued.at.plus(TOKEN_LIFE) {
        return Err(RejectedProof::Late);
    }
    if arrival.back {
        return Err(RejectedProof::Bounced);
    }
    if issued.strict && !arrival.direct {
        return Err(RejectedProof::Forwarded);
    }
    if ours {
        return Err(RejectedProof::OwnAddress);
    }
    if issued.outputs.contains(&arrival.output) {
        return Err(RejectedProof::Duplicate);
    }
    if released.is_some_and(|r| issued.at <= r) {
        return Err(RejectedProof::BeforeRelease);
    }
    match (
        issued.tester.is_some() && !issued.trusted,
        arrival.output == issued.target,
    ) {
        (true, true) => Ok(ProofKind::Unconfirmed),
        (true, false) => Err(RejectedProof::ThirdParty),
        (false, true) => Ok(ProofKind::Relay),
        (false, false) => Ok(ProofKind::Input),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued() -> IssuedToken {
        let target = "192.0.2.1".parse().unwrap();
        IssuedToken {
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
        let say = |i: &IssuedToken, a: &Arrival, released| {
            evaluate_arrival(
                i,
                a,
                released,
                a.output == "198.51.100.1".parse::<IpAddr>().unwrap(),
            )
        };
        assert_eq!(say(&issued(), &at(own), None), Ok(ProofKind::Relay));
        assert_eq!(say(&issued(), &at(other), None), Ok(ProofKind::Input));
        let foreign = IssuedToken {
            tester: Some("anna".into()),
            ..issued()
        };
        assert_eq!(say(&foreign, &at(own), None), Ok(ProofKind::Unconfirmed));
        assert_eq!(
            say(&foreign, &at(other), None),
            Err(RejectedProof::ThirdParty),
            "he may have handed it in himself"
        );
        assert_eq!(
            say(
                &IssuedToken {
                    trusted: true,
                    ..foreign
                },
                &at(own),
                None
            ),
            Ok(ProofKind::Relay)
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
            Err(RejectedProof::Bounced)
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
            Err(RejectedProof::Late)
        );
        assert_eq!(
            say(&issued(), &at(own), Some(Time(1000))),
            Err(RejectedProof::BeforeRelease)
        );
        assert_eq!(
            say(&issued(), &at(own), Some(Time(999))),
            Ok(ProofKind::Relay)
        );
        assert_eq!(
            say(
                &IssuedToken {
                    outputs: vec![own],
                    ..issued()
                },
                &at(own),
                None
            ),
            Err(RejectedProof::Duplicate)
        );
        assert_eq!(
            say(
                &IssuedToken {
                    outputs: vec![own],
                    ..issued()
                },
                &at(other),
                None
            ),
            Ok(ProofKind::Input)
        );
        assert_eq!(
            say(&issued(), &at("198.51.100.1".parse().unwrap()), None),
            Err(RejectedProof::OwnAddress)
        );
        let strict = IssuedToken {
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
            Err(RejectedProof::Forwarded)
        );
    }
}
