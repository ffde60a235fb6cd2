//! Hosts that deliver what other hosts took.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{model::Time, relay::networks::net};

/// An input that a host delivered for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayPath {
    /// The host that took the message.
    pub input: IpAddr,
    /// Who had it tested.
    pub by: String,
    /// It was the input's owner: it proves nothing here.
    pub owner: bool,
    /// When it was seen.
    pub at: Time,
}

/// A host that delivers for inputs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputRecord {
    /// Whom for; only those that are still open.
    pub inputs: Vec<RelayPath>,
    /// It is listed.
    pub listed: bool,
}

impl OutputRecord {
    /// Adds an input.
    pub fn add(&mut self, fed: RelayPath) {
        if !self
            .inputs
            .iter()
            .any(|f| (f.input, &f.by, f.owner) == (fed.input, &fed.by, fed.owner))
        {
            self.inputs.push(fed);
        }
    }

    /// Since when there are two inputs in different prefixes, nominated by two reporters and not by
    /// their owners: since then the grace period runs.
    pub fn proved(&self) -> Option<Time> {
        let strangers: Vec<&RelayPath> = self.inputs.iter().filter(|f| !f.owner).collect();
        let pair = |a: &RelayPath, b: &RelayPath| net(a.input) != net(b.input) && a.by != b.by;
        let pairs = strangers
            .iter()
            .enumerate()
            .flat_map(|(i, a)| strangers[i + 1..].iter().map(move |b| (a, b)));
        pairs
            .filter(|(a, b)| pair(a, b))
            .map(|(a, b)| a.at.max(b.at))
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(t: &str) -> IpAddr {
        t.parse().unwrap()
    }

    #[test]
    fn an_output_takes_two_inputs_of_two_nets_and_two_nominators() {
        let fed = |i: &str, by: &str, owner, at| RelayPath {
            input: ip(i),
            by: by.into(),
            owner,
            at: Time(at),
        };
        let proved = |all: &[RelayPath]| {
            OutputRecord {
                inputs: all.to_vec(),
                listed: false,
            }
            .proved()
        };
        assert_eq!(proved(&[fed("192.0.2.1", "a", false, 1)]), None);
        assert_eq!(
            proved(&[
                fed("192.0.2.1", "a", false, 1),
                fed("192.0.2.9", "b", false, 2)
            ]),
            None,
            "one net"
        );
        assert_eq!(
            proved(&[
                fed("192.0.2.1", "a", false, 1),
                fed("198.51.100.1", "a", false, 2)
            ]),
            None,
            "one nominator"
        );
        assert_eq!(
            proved(&[
                fed("192.0.2.1", "a", false, 1),
                fed("198.51.100.1", "b", true, 2)
            ]),
            None,
            "its owner"
        );
        assert_eq!(
            proved(&[
                fed("192.0.2.1", "a", false, 1),
                fed("198.51.100.1", "b", false, 2)
            ]),
            Some(Time(2))
        );
        assert_eq!(
            proved(&[
                fed("2001:db8::1", "a", false, 3),
                fed("2001:db8:0:1::", "b", false, 2)
            ]),
            None,
            "one /48"
        );
    }
}
