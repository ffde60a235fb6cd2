//! What a message that reached the collector proves.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{Time, time::Seconds};

/// How long a token counts, from the moment it was made.
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
pub enum ProofKind {
    /// The host itself delivers.
    Relay,
    /// The host takes it, another one delivers.
    Input,
    /// A tester whose word does not list says so.
    Unconfirmed,
}

/// Why a message that reached the collector lists nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectedProof {
    /// Its token is too old.
    Late,
    /// It was made before the host was released: the host is tested again.
    BeforeRelease,
    /// This (input, output) is known already.
    Duplicate,
    /// It came back to its sender.
    Bounced,
    /// A user of the host may have passed it on.
    Forwarded,
    /// It comes from ourselves.
    OwnAddress,
    /// An untrusted reporter sent it, and another host than the tested one handed it in: he may
    /// have done that himself.
    ThirdParty,
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
