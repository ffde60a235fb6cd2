//! The results of commits and imports.

use std::collections::BTreeMap;

use crate::{
    model::{Serial, Time},
    store::{schema::StoredReceipt, stage::ImportDifference},
};

/// The result of a commit: its number, and the new serials.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Receipt {
    /// The commit's number.
    pub commit: u64,
    /// New serials by origin.
    pub serials: BTreeMap<String, Serial>,
    /// The revision of the subject after the commit, for a change of one subject.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex")]
    pub revision: Option<u64>,
    /// The ends of the listing before and after, for a renewal.
    #[serde(skip)]
    pub renewal: Option<Renewal>,
}

/// The ends of a renewed listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// The end before the renewal; `None`: never.
    pub was: Option<Time>,
    /// The end after the renewal; `None`: never.
    pub until: Option<Time>,
}

impl From<StoredReceipt> for Receipt {
    fn from(m: StoredReceipt) -> Receipt {
        Receipt {
            commit: m.commit,
            serials: m.serials.into_iter().collect(),
            revision: Some(m.revision),
            renewal: None,
        }
    }
}

/// Serializes a revision as sixteen hexadecimal digits.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(r: &Option<u64>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{:016x}", r.unwrap_or_default()))
    }
    pub fn deserialize<'d, D: Deserializer<'d>>(d: D) -> Result<Option<u64>, D::Error> {
        let text = String::deserialize(d)?;
        u64::from_str_radix(&text, 16)
            .map(Some)
            .map_err(serde::de::Error::custom)
    }
}

/// The result of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImportResult {
    /// The receipt of the commit; `None` for a dry run, or if nothing changed.
    pub receipt: Option<Receipt>,
    /// The changes.
    pub difference: ImportDifference,
}
