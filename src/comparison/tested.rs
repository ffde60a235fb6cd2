//! What relay tests found at addresses: the facts with which a comparison judges the entries that
//! only the other list has.

use std::{collections::HashMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::model::text::counted;

/// The most tested addresses of a file.
pub const MAX_TESTED: usize = 1_000_000;
/// The most errors of a file that its message shows.
const MAX_SHOWN_ERRORS: usize = 5;

/// What the last test of an address found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum TestedState {
    /// The host relayed a message.
    Open,
    /// The host refused to relay.
    Closed,
}

/// A tested address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestedHost {
    /// What its last test found.
    pub state: TestedState,
    /// Whether this server tested it; if not, a file says so.
    pub is_own: bool,
}

/// The tested addresses of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestedHosts(HashMap<IpAddr, TestedHost>);

impl TestedHosts {
    /// Adds the results of our own tests.
    pub fn add_own(&mut self, tests: impl IntoIterator<Item = (IpAddr, TestedState)>) {
        let own = |(address, state): (IpAddr, TestedState)| {
            let is_own = true;
            (address.to_canonical(), TestedHost { state, is_own })
        };
        self.0.extend(tests.into_iter().map(own));
    }

    /// Adds the results of a file: on each line an address, and `open` or `closed`. What follows, a
    /// `#` and what is behind it, and blank lines are ignored. A result of the file replaces one of
    /// our own tests, and of two results of one address the last counts.
    ///
    /// # Errors
    ///
    /// A line has no address or no result, or there are more than [`MAX_TESTED`] lines. The message
    /// names the file and the lines.
    pub fn add_file(&mut self, file: &str, text: &str) -> Result<(), String> {
        let (mut errors, mut added) = (Vec::new(), 0);
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split([' ', '\t', ',', ';']).filter(|w| !w.is_empty());
            let Some(address) = words.next() else {
                continue;
            };
            match tested_host(address, words.next()) {
                Ok((address, state)) => {
                    let is_own = false;
                    self.0.insert(address, TestedHost { state, is_own });
                    added += 1;
                }
                Err(why) => errors.push(format!("{file}:{number}: {why}")),
            }
            if added > MAX_TESTED {
                return Err(format!(
                    "{file}:{number}: more than {MAX_TESTED} results; divide the file"
                ));
            }
        }
        if errors.is_empty() {
            return Ok(());
        }
        let more = errors.len().saturating_sub(MAX_SHOWN_ERRORS);
        errors.truncate(MAX_SHOWN_ERRORS);
        if more > 0 {
            errors.push(format!("and {} with errors", counted(more, "more line")));
        }
        Err(errors.join("\n"))
    }

    /// What is known about an address.
    pub fn get(&self, address: IpAddr) -> Option<TestedHost> {
        self.0.get(&address).copied()
    }
}

fn tested_host(address: &str, state: Option<&str>) -> Result<(IpAddr, TestedState), String> {
    let address: IpAddr = address
        .parse()
        .map_err(|_| format!("`{address}` is not an address; write 192.0.2.1 closed"))?;
    let state = state.ok_or("the result is missing; write `open` or `closed` after the address")?;
    let state = state.to_ascii_lowercase().parse().map_err(|_| {
        format!("`{state}` is not a result; write `open` or `closed` after the address")
    })?;
    Ok((address.to_canonical(), state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_of_a_file_replaces_one_of_our_own_tests() {
        let mut tested = TestedHosts::default();
        let [a, b] = ["192.0.2.1", "2001:db8::1"].map(|t| t.parse::<IpAddr>().unwrap());
        tested.add_own([(a, TestedState::Open), (b, TestedState::Open)]);
        let file = "# tested by a third party\n\n::ffff:192.0.2.1\tCLOSED\t2000-06-05\n192.0.2.2;open # x\n";
        tested.add_file("tested.txt", file).unwrap();
        let state = |t: &str| {
            let host = tested.get(t.parse().unwrap());
            host.map(|h| (h.state, h.is_own))
        };
        assert_eq!(state("192.0.2.1"), Some((TestedState::Closed, false)));
        assert_eq!(state("192.0.2.2"), Some((TestedState::Open, false)));
        assert_eq!(state("2001:db8::1"), Some((TestedState::Open, true)));
        assert_eq!(state("192.0.2.3"), None);
    }

    #[test]
    fn errors_of_a_file_name_their_lines() {
        let mut tested = TestedHosts::default();
        let text = "192.0.2.0/24 open\n192.0.2.1\n192.0.2.1 secured\n192.0.2.1 closed\n";
        let e = tested.add_file("t.txt", text).unwrap_err();
        let lines: Vec<&str> = e.lines().collect();
        assert_eq!(lines.len(), 3, "{e}");
        assert!(
            lines[0].starts_with("t.txt:1: `192.0.2.0/24` is not an address"),
            "{e}"
        );
        assert!(
            lines[1].starts_with("t.txt:2: the result is missing"),
            "{e}"
        );
        assert!(
            lines[2].starts_with("t.txt:3: `secured` is not a result"),
            "{e}"
        );
        let many = tested.add_file("t.txt", &"x\n".repeat(7)).unwrap_err();
        assert!(many.ends_with("and 2 more lines with errors"), "{many}");
    }
}
