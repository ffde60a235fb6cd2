//! What a commit and an import report.

use std::collections::BTreeMap;

use crate::{
    model::{Serial, Time},
    store::{schema::Made, stage::Difference},
};

/// What a commit did: its number, and the serials that moved.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Receipt {
    /// The commit's number.
    pub commit: u64,
    /// New serials by origin.
    pub serials: BTreeMap<String, Serial>,
    /// The subject's revision after it, where it was about one.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex")]
    pub revision: Option<u64>,
    /// The ends of the listing, where it renewed one.
    #[serde(skip)]
    pub renewal: Option<Renewal>,
}

/// The ends of a listing that was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// When it would have ended before; none: never.
    pub was: Option<Time>,
    /// When it ends now; none: never.
    pub until: Option<Time>,
}

impl From<Made> for Receipt {
    fn from(m: Made) -> Receipt {
        Receipt {
            commit: m.commit,
            serials: m.serials.into_iter().collect(),
            revision: Some(m.revision),
            renewal: None,
        }
    }
}

/// Revisions as text: sixteen hexadecimal digits.
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

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImportResult {
    /// The commit; `None` for a dry run, or where nothing changed.
    pub receipt: Option<Receipt>,
    /// What changed.
    pub difference: Difference,
}
