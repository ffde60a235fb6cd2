//! Messages that reached the collector, and what each proves.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{Time, time::Seconds};

/// How long a token is valid.
pub const TOKEN_LIFETIME: Seconds = Seconds(14 * 86_400);
/// The record of an issued token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedToken {
    /// The host that the message is sent to.
    pub target: IpAddr,
    /// The name of the test.
    pub test: String,
    /// The number of the job.
    pub job: u64,
    /// When the token was issued.
    pub at: Time,
    /// The reporter who sends the message; `None` for our own tester.
    pub tester: Option<String>,
    /// Whether that reporter is trusted.
    pub trusted: bool,
    /// Whether the message is sent with the null sender. If not, an arrival with the null sender is
    /// a report.
    #[serde(default)]
    pub null: bool,
    /// Whether the test has local recipients besides the probe's, so that a user may have forwarded
    /// the message.
    pub strict: bool,
    /// Whether the test does not come from a nomination, so that it does not count against outputs.
    pub owner: bool,
    /// Whether sender and recipient are the same address, so that a report without the marks of one
    /// looks like the message.
    #[serde(default)]
    pub same: bool,
    /// The outputs that were listed for the message.
    pub outputs: Vec<IpAddr>,
    /// Each distinct arrival with the number of its proof.
    #[serde(default)]
    pub seen: Vec<(Arrival, u64)>,
}

/// The kind of a proof, which gives the reason that the host is listed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum ProofKind {
    /// The host itself delivered the message.
    Relay,
    /// The host accepted the message, and another host delivered it.
    Input,
    /// A reporter who is not trusted sent the message.
    Unconfirmed,
}

impl ProofKind {
    /// Returns the name of the reason.
    pub fn reason(self) -> &'static str {
        self.into()
    }
}

/// The reason why a message that reached the collector lists no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RejectedProof {
    /// The token is too old.
    #[error("too late: the token was older than 14 days")]
    Late,
    /// The message was sent before the host was released. The host is tested again.
    #[error("sent before the host was released; the host is tested again")]
    BeforeRelease,
    /// The same output has delivered the message before.
    #[error("duplicate: the same host has delivered it before")]
    Duplicate,
    /// The message was returned to its sender.
    #[error("bounced: it was returned to the sender")]
    Bounced,
    /// A user of the host may have forwarded the message.
    #[error("a user of the host may have forwarded it")]
    Forwarded,
    /// The message was delivered from an address of ours.
    #[error("delivered from an address of the tester or the collector")]
    OwnAddress,
    /// An untrusted reporter sent the message, and another host than the tested one delivered it,
    /// which the reporter may have done.
    #[error("a reporter sent it, and another host than the tested one delivered it")]
    ThirdParty,
    /// Too many hosts have delivered the message.
    #[error("too many hosts have delivered the same message")]
    TooManyOutputs,
    /// The host refused the message when our tester sent it.
    #[error("the host refused this message, so it cannot have relayed it")]
    RefusedByHost,
    /// The holder of the host asked for the test, to see what the host delivers.
    #[error("the holder of the host asked for this test, which lists no host")]
    SelfTest,
    /// The owner of the host asked not to have it tested.
    #[error("the owner of the host asked not to be tested")]
    OptedOut,
}

/// A message that reached the collector, and its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The number of the proof.
    pub id: u64,
    /// The host that accepted it.
    pub input: IpAddr,
    /// The host that delivered it to the collector.
    pub output: IpAddr,
    /// The name of the test.
    pub test: String,
    /// The number of the job.
    pub job: u64,
    /// The identifier of the token, in hexadecimal.
    pub token: String,
    /// When the token was issued.
    pub issued: Time,
    /// When the message was delivered.
    pub at: Time,
    /// The name in the client's greeting at the collector.
    pub hello: String,
    /// The sender at the collector.
    pub from: String,
    /// The recipients at the collector.
    pub to: Vec<String>,
    /// The message; empty if it was not stored.
    pub message: String,
    /// The consequence.
    pub outcome: ProofOutcome,
}

/// The consequence of a message that reached the collector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ProofOutcome {
    /// The host was listed for the reason of this kind.
    Listed(ProofKind),
    /// No host was listed, for this reason.
    NotListed(String),
}

impl From<ProofOutcome> for String {
    fn from(outcome: ProofOutcome) -> String {
        match outcome {
            ProofOutcome::Listed(kind) => kind.reason().into(),
            ProofOutcome::NotListed(why) => why,
        }
    }
}

impl From<String> for ProofOutcome {
    fn from(text: String) -> ProofOutcome {
        match text.parse() {
            Ok(kind) => ProofOutcome::Listed(kind),
            Err(_) => ProofOutcome::NotListed(text),
        }
    }
}

/// The arrival of a message at the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The host that delivered the message.
    pub output: IpAddr,
    /// The time.
    pub at: Time,
    /// Whether the recipient is the probe's own address.
    pub direct: bool,
    /// Whether the message is a bounce.
    pub back: bool,
}

/// Evaluates what an arrival proves. `released` is the time of the last release of the host. `ours`
/// states whether the output is an address of ours.
pub fn evaluate_arrival(
    issued: &IssuedToken,
    arrival: &Arrival,
    released: Option<Time>,
    ours: bool,
) -> Result<ProofKind, RejectedProof> {
    if arrival.at > issued.at.plus(TOKEN_LIFETIME) {
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
    fn arrival_is_evaluated_by_output_reporter_and_time() {
        let (own, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.9".parse().unwrap());
        let at = |output| Arrival {
            output,
            at: Time(2000),
            direct: true,
            back: false,
        };
        let evaluate = |i: &IssuedToken, a: &Arrival, released| {
            evaluate_arrival(
                i,
                a,
                released,
                a.output == "198.51.100.1".parse::<IpAddr>().unwrap(),
            )
        };
        assert_eq!(evaluate(&issued(), &at(own), None), Ok(ProofKind::Relay));
        assert_eq!(evaluate(&issued(), &at(other), None), Ok(ProofKind::Input));
        let foreign = IssuedToken {
            tester: Some("anna".into()),
            ..issued()
        };
        assert_eq!(
            evaluate(&foreign, &at(own), None),
            Ok(ProofKind::Unconfirmed)
        );
        assert_eq!(
            evaluate(&foreign, &at(other), None),
            Err(RejectedProof::ThirdParty),
            "the reporter may have delivered it"
        );
        assert_eq!(
            evaluate(
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
            evaluate(
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
            evaluate(
                &issued(),
                &Arrival {
                    at: Time(1001).plus(TOKEN_LIFETIME),
                    ..at(own)
                },
                None
            ),
            Err(RejectedProof::Late)
        );
        assert_eq!(
            evaluate(&issued(), &at(own), Some(Time(1000))),
            Err(RejectedProof::BeforeRelease)
        );
        assert_eq!(
            evaluate(&issued(), &at(own), Some(Time(999))),
            Ok(ProofKind::Relay)
        );
        assert_eq!(
            evaluate(
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
            evaluate(
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
            evaluate(&issued(), &at("198.51.100.1".parse().unwrap()), None),
            Err(RejectedProof::OwnAddress)
        );
        let strict = IssuedToken {
            strict: true,
            ..issued()
        };
        assert_eq!(
            evaluate(
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
