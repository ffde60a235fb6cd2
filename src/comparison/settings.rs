//! The `[[comparison]]` tables: lists of other operators with which ours are compared.

use std::sync::Arc;

use crate::model::TsigKey;

/// The longest name of a comparison, in bytes.
const MAX_NAME_BYTES: usize = 40;

/// A `[[comparison]]`: what is known about another list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ComparisonSettings {
    /// The short name of the other list.
    pub name: String,
    /// Its title on the public page; empty: the name.
    pub title: String,
    /// The page of its operator; empty if none is shown.
    pub url: String,
    /// The own zone that it is compared with, by origin or short name; empty: the request names it.
    pub against: String,
    /// Whether its operator permits others to publish its entries.
    pub republish: bool,
    /// The zone from which it can be transferred.
    pub transfer: Option<TransferSettings>,
}

/// The zone of another list.
#[derive(Debug, Clone, PartialEq)]
pub struct TransferSettings {
    /// The server: an address or a name, with or without a port.
    pub server: String,
    /// The name of the zone, without a dot at the end.
    pub zone: String,
    /// The key that signs the transfer.
    pub key: Option<Arc<TsigKey>>,
    /// Whether the operator of the zone permits the transfer.
    pub is_permitted: bool,
}

impl TransferSettings {
    /// Whether `SERVER/ZONE` of a request means this zone.
    pub fn is_at(&self, server: &str, zone: &str) -> bool {
        let bare = |zone: &str| zone.trim_end_matches('.').to_ascii_lowercase();
        self.server == server && bare(&self.zone) == bare(zone)
    }
}

/// Checks the short name of a list, which is a part of the names of its files.
///
/// # Errors
///
/// Says which names are accepted.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_valid = !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && name.chars().all(is_plain)
        && !name.starts_with('-');
    match is_valid {
        true => Ok(()),
        false => Err(format!(
            "`{name}` is not a short name of a list; write at most {MAX_NAME_BYTES} small letters, digits and hyphens, such as rss"
        )),
    }
}

/// Makes a short name of a text, such as the name of a file; empty if nothing of it can be used.
pub fn short_name(text: &str) -> String {
    let text = text.rsplit('/').next().unwrap_or_default();
    let stem = text.split('.').find(|part| !part.is_empty());
    let kept = stem.unwrap_or_default().to_ascii_lowercase();
    let plain = kept
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    let plain: String = plain.take(MAX_NAME_BYTES).collect();
    plain.trim_matches('-').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_name_of_any_text_is_empty_or_valid() {
        for (text, expected) in [
            ("lists/RSS.txt.gz", "rss"),
            ("relays.mail-abuse.example", "relays"),
            ("/tmp/..hidden", "hidden"),
            ("My list", "my-list"),
            ("é", ""),
            ("-", ""),
        ] {
            let name = short_name(text);
            assert_eq!(name, expected);
            assert_eq!(check_name(&name).is_ok(), !expected.is_empty());
        }
        let long = short_name(&"a".repeat(100));
        check_name(&long).unwrap();
        for bad in ["", "a/b", "..", "A", "a.txt", "-a"] {
            let e = check_name(bad).unwrap_err();
            assert!(e.contains("such as rss"), "{e}");
        }
    }
}
