//! The operator's file of known senders: networks whose listing would reject mail that people want.

use std::fmt;

use crate::model::{Subject, subject::HostBits};

/// The most lines of the file.
const MAX_LINES: usize = 100_000;
/// The longest name of a sender, in bytes.
const MAX_NAME_BYTES: usize = 100;

/// A network of a known sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSender {
    /// The address or prefix.
    pub network: Subject,
    /// Whose it is; may be empty.
    pub name: String,
}

impl fmt::Display for KnownSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.is_empty() {
            true => write!(f, "{}", self.network),
            false => write!(f, "{} ({})", self.network, self.name),
        }
    }
}

/// All known senders, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownSenders(Vec<KnownSender>);

impl KnownSenders {
    /// Reads a file: on each line an address or prefix, then the name of its holder. Empty lines and
    /// those that begin with `#` are skipped.
    ///
    /// # Errors
    ///
    /// Names the first line with an error, or says that the file is too long.
    pub fn parse(text: &str) -> Result<KnownSenders, String> {
        let mut all = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = i + 1;
            if number > MAX_LINES {
                return Err(format!("line {number}: at most {MAX_LINES} lines are read"));
            }
            let (network, name) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let network = Subject::parse(network, HostBits::Refuse)
                .map_err(|e| format!("line {number}: {e}"))?;
            if !network.is_address() {
                return Err(format!(
                    "line {number}: `{network}` is not an address or a prefix; write it before the name"
                ));
            }
            let name = name.trim();
            if name.len() > MAX_NAME_BYTES {
                return Err(format!(
                    "line {number}: the name has more than {MAX_NAME_BYTES} bytes"
                ));
            }
            let name = crate::model::text::replace_controls(name);
            all.push(KnownSender { network, name });
        }
        Ok(KnownSenders(all))
    }

    /// The senders with an address in a prefix.
    pub(super) fn inside<'s>(
        &'s self,
        prefix: &'s Subject,
    ) -> impl Iterator<Item = &'s KnownSender> {
        let all = self.0.iter();
        all.filter(move |s| prefix.covers(&s.network) || s.network.covers(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_a_network_and_a_name() {
        let text = "# senders\n\n45.1.1.0/28  Example Mail\n2a00::1\n";
        let known = KnownSenders::parse(text).unwrap();
        let inside = |p: &str| {
            let prefix = p.parse().unwrap();
            let all = known.inside(&prefix).map(ToString::to_string);
            all.collect::<Vec<_>>()
        };
        assert_eq!(inside("45.1.0.0/16"), ["45.1.1.0/28 (Example Mail)"]);
        assert_eq!(inside("45.1.1.8/30"), ["45.1.1.0/28 (Example Mail)"]);
        assert_eq!(inside("2a00::/32"), ["2a00::1"]);
        assert!(inside("46.0.0.0/8").is_empty());
    }

    #[test]
    fn wrong_line_is_named() {
        for (text, part) in [
            ("45.1.1.0/28\nmail.example.com x", "line 2"),
            ("45.1.1.1/28", "line 1"),
            (&format!("45.1.1.1 {}", "x".repeat(101)), "line 1"),
        ] {
            let e = KnownSenders::parse(text).unwrap_err();
            assert!(e.contains(part), "{e}");
        }
    }
}
