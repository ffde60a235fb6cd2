//! The operator's list of addresses and names that are never generic.

use std::net::IpAddr;

use crate::model::{Subject, domain::is_at_or_below, subject::HostBits};

/// Addresses, prefixes and domains that are never generic. A domain includes the names below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    prefixes: Vec<Subject>,
    domains: Vec<String>,
}

impl AllowList {
    /// Reads a file with one address, prefix or domain on each line. The rest of a line after `#` is
    /// a comment.
    ///
    /// # Errors
    ///
    /// Names the lines that are wrong, each as `LINE: MESSAGE`.
    pub fn read(text: &str) -> Result<AllowList, Vec<String>> {
        let (mut out, mut errors) = (AllowList::default(), Vec::new());
        for (number, line) in (1..).zip(text.lines()) {
            let entry = line.split('#').next().unwrap_or_default().trim();
            if entry.is_empty() {
                continue;
            }
            match Subject::parse(entry, HostBits::Refuse) {
                Ok(Subject::Domain(d)) => out.domains.push(d.name().into()),
                Ok(prefix) => out.prefixes.push(prefix),
                Err(e) => errors.push(format!("{number}: {e}")),
            }
        }
        if errors.is_empty() {
            Ok(out)
        } else {
            Err(errors)
        }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.prefixes.len() + self.domains.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the entry that an address is in.
    pub fn address(&self, addr: IpAddr) -> Option<&Subject> {
        let host = Subject::host(addr);
        self.prefixes.iter().find(|p| p.covers(&host))
    }

    /// Returns the entry that a name in lower case is at or below.
    pub fn name(&self, name: &str) -> Option<&str> {
        let mut domains = self.domains.iter();
        domains
            .find(|d| is_at_or_below(name, d))
            .map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_addresses_prefixes_and_domains() {
        let text =
            "# our own\n192.0.2.7\n198.51.100.0/24 # a partner\n\nISP.example\n2001:db8::/32\n";
        let list = AllowList::read(text).unwrap();
        assert_eq!(list.len(), 4);
        let covered = |a: &str| list.address(a.parse().unwrap()).is_some();
        assert!(covered("192.0.2.7") && covered("198.51.100.9") && covered("2001:db8::1"));
        assert!(!covered("192.0.2.8") && !covered("2001:db9::1"));
        assert_eq!(list.name("dyn.isp.example"), Some("isp.example"));
        assert_eq!(list.name("isp.example"), Some("isp.example"));
        assert_eq!(list.name("visp.example"), None);
    }

    #[test]
    fn wrong_lines_are_named() {
        let e = AllowList::read("192.0.2.7\n192.0.2.7/24\nx y\n").unwrap_err();
        assert!(
            e.len() == 2 && e[0].starts_with("2: ") && e[1].starts_with("3: "),
            "{e:?}"
        );
    }
}
