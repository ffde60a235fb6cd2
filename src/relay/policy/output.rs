//! Outputs: hosts that deliver messages which other hosts accepted.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{model::Time, relay::networks::prefix_of};

/// One observation that an output delivered for an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayPath {
    /// The host that accepted the message.
    pub input: IpAddr,
    /// The user or program that had the input tested.
    pub by: String,
    /// Whether the owner of the input requested the test. Such a path does not count against the
    /// output.
    pub owner: bool,
    /// The time of the delivery.
    pub at: Time,
}

/// The record of a host that delivers for inputs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputRecord {
    /// The inputs that are still listed.
    pub inputs: Vec<RelayPath>,
    /// Whether the output is listed.
    pub listed: bool,
}

impl OutputRecord {
    /// Adds an input.
    pub fn add(&mut self, path: RelayPath) {
        if !self
            .inputs
            .iter()
            .any(|f| (f.input, &f.by, f.owner) == (path.input, &path.by, path.owner))
        {
            self.inputs.push(path);
        }
    }

    /// Returns since when the output has two inputs in different prefixes that were nominated by
    /// two reporters, and not by their owners. The grace period begins then.
    pub fn proved(&self) -> Option<Time> {
        let nominated: Vec<&RelayPath> = self.inputs.iter().filter(|f| !f.owner).collect();
        let pair =
            |a: &RelayPath, b: &RelayPath| prefix_of(a.input) != prefix_of(b.input) && a.by != b.by;
        let pairs = nominated
            .iter()
            .enumerate()
            .flat_map(|(i, a)| nominated[i + 1..].iter().map(move |b| (a, b)));
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
    fn output_needs_two_inputs_in_two_prefixes_of_two_reporters() {
        let path = |i: &str, by: &str, owner, at| RelayPath {
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
        assert_eq!(proved(&[path("192.0.2.1", "a", false, 1)]), None);
        assert_eq!(
            proved(&[
                path("192.0.2.1", "a", false, 1),
                path("192.0.2.9", "b", false, 2)
            ]),
            None,
            "one prefix"
        );
        assert_eq!(
            proved(&[
                path("192.0.2.1", "a", false, 1),
                path("198.51.100.1", "a", false, 2)
            ]),
            None,
            "one reporter"
        );
        assert_eq!(
            proved(&[
                path("192.0.2.1", "a", false, 1),
                path("198.51.100.1", "b", true, 2)
            ]),
            None,
            "a request of the owner does not count"
        );
        assert_eq!(
            proved(&[
                path("192.0.2.1", "a", false, 1),
                path("198.51.100.1", "b", false, 2)
            ]),
            Some(Time(2))
        );
        assert_eq!(
            proved(&[
                path("2001:db8::1", "a", false, 3),
                path("2001:db8:0:1::", "b", false, 2)
            ]),
            None,
            "one /48"
        );
    }
}
