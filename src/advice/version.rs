//! Versions of products, compared part by part.

use std::cmp::Ordering;

/// A part of a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum VersionPart {
    /// Letters: `p` of `8.9p1`. They come before a number, so that `4.0b1` is before `4.0.1`.
    Letters(String),
    /// A number.
    Number(u64),
}

/// A version, as products write it: `8.18.1`, `5.5.2448.0`, `3.03E`. A version is greater than its
/// own beginning: `5.5.1` comes after `5.5`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(Vec<VersionPart>);

impl Version {
    /// Reads a version; none if it has no digit.
    pub fn parse(text: &str) -> Option<Version> {
        let mut parts = Vec::new();
        let mut rest = text.trim();
        while let Some(first) = rest.chars().next() {
            let same_kind = |c: char| {
                c.is_ascii_digit() == first.is_ascii_digit()
                    && c.is_ascii_alphabetic() == first.is_ascii_alphabetic()
            };
            let end = rest.find(|c| !same_kind(c)).unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            if first.is_ascii_digit() {
                parts.push(VersionPart::Number(part.parse().unwrap_or(u64::MAX)));
            } else if first.is_ascii_alphabetic() {
                parts.push(VersionPart::Letters(part.to_ascii_lowercase()));
            }
            rest = after;
        }
        // A leading `v` is not part of the version.
        if matches!(parts.first(), Some(VersionPart::Letters(v)) if v == "v") {
            parts.remove(0);
        }
        let has_number = parts.iter().any(|p| matches!(p, VersionPart::Number(_)));
        has_number.then_some(Version(parts))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        self.0.cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let ascending = [
            "5.5",
            "5.5.1",
            "5.5.2232.0",
            "5.5.2448",
            "5.5.2448.0",
            "5.5.2650.1",
            "6",
            "8.9.3",
            "8.10.2",
            "8.18.1",
        ];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert!(version("3.03D") < version("3.03E"));
        assert_eq!(
            version("v3.02"),
            version("3.2"),
            "leading zeros do not count"
        );
        assert_eq!(Version::parse("ready"), None);
    }
}
