//! Notices: what operators announce on the public site, such as an incident (RFC 6471 section 3.9)
//! or planned work.

use serde::{Deserialize, Serialize};

use super::{error::LedgerError, map::Map};
use crate::{
    model::Time,
    store::{EncodedRow, StoreError, schema},
};

/// The prefix of the keys of notices in the family `people`; the number follows.
pub(super) const NOTICE: &str = "notice/";
/// The most notices that are stored. Beyond it, the oldest one that is over is deleted.
const MAX_NOTICES: usize = 500;

/// An announcement of operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The number, which is also that of its page.
    pub number: u64,
    /// The title, one line.
    pub title: String,
    /// The text, of several lines.
    pub text: String,
    /// The origins of the zones that it is about; empty: all zones.
    pub zones: Vec<String>,
    /// The time at which it was added.
    pub added: Time,
    /// The user who added it.
    pub author: String,
    /// The time from which it is current.
    pub from: Time,
    /// The time until which it is current; `None`: until a person ends it.
    pub until: Option<Time>,
    /// The time at which a person ended it.
    pub ended: Option<Time>,
}

impl Notice {
    /// The time from which it is over, if one is set.
    pub fn end(&self) -> Option<Time> {
        match (self.until, self.ended) {
            (Some(until), Some(ended)) => Some(until.min(ended)),
            (until, ended) => until.or(ended),
        }
    }

    /// Whether it is over.
    pub fn is_over(&self, now: Time) -> bool {
        self.end().is_some_and(|end| end <= now)
    }

    /// Whether a person ended it before it began, so that it was never current.
    pub fn is_cancelled(&self) -> bool {
        self.ended.is_some_and(|ended| ended < self.from)
    }

    /// The time of its last change that readers see.
    pub fn updated(&self, now: Time) -> Time {
        let end = self.end().filter(|end| *end <= now);
        end.unwrap_or(self.added).max(self.added)
    }
}

/// The key of a notice among the notices, by which they sort in the order of their numbers.
pub fn notice_key(number: u64) -> String {
    format!("{number:020}")
}

/// The row of a notice: JSON, so that fields can be added.
pub(super) fn notice_row(notice: &Notice) -> Result<EncodedRow, LedgerError> {
    let text = serde_json::to_string(notice)
        .map_err(|e| LedgerError::Invalid(format!("the notice cannot be stored: {e}")))?;
    Ok(schema::encode(&text))
}

/// Reads the row of a notice.
pub(super) fn read_notice(row: &[u8]) -> Result<Notice, StoreError> {
    let text = schema::decode::<String>(row).unwrap_or_default();
    serde_json::from_str(&text)
        .map_err(|e| StoreError::Damaged(format!("a notice cannot be read: {e}")))
}

/// Returns the key of the notice that has to be deleted before another one is added, if any.
pub(super) fn surplus(notices: &Map<Notice>, now: Time) -> Result<Option<String>, LedgerError> {
    if notices.size() < MAX_NOTICES {
        return Ok(None);
    }
    let over = notices.iter().find(|(_, n)| n.is_over(now));
    let over = over.map(|(key, _)| Some(key.clone()));
    over.ok_or_else(|| LedgerError::LimitReached {
        why: format!("there are {MAX_NOTICES} notices that are not over; end one first"),
        wait: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(until: Option<u64>, ended: Option<u64>) -> Notice {
        Notice {
            number: 7,
            title: "t".into(),
            text: "x".into(),
            zones: Vec::new(),
            added: Time(5),
            author: "anna".into(),
            from: Time(10),
            until: until.map(Time),
            ended: ended.map(Time),
        }
    }

    #[test]
    fn notice_is_over_at_its_end_or_when_it_is_ended() {
        assert!(!notice(None, None).is_over(Time(u64::MAX)));
        assert!(notice(Some(20), None).is_over(Time(20)));
        assert!(!notice(Some(20), None).is_over(Time(19)));
        assert!(notice(Some(20), Some(12)).is_over(Time(12)));
        assert!(notice(None, Some(9)).is_cancelled() && !notice(None, Some(10)).is_cancelled());
    }

    #[test]
    fn notice_is_updated_when_it_was_added_and_when_it_ended() {
        assert_eq!(notice(Some(20), None).updated(Time(19)), Time(5));
        assert_eq!(notice(Some(20), None).updated(Time(30)), Time(20));
    }

    #[test]
    fn notice_reads_back() {
        let (some, row) = (
            notice(Some(20), Some(12)),
            notice_row(&notice(Some(20), Some(12))),
        );
        assert_eq!(
            read_notice(&row.unwrap().into_bytes().unwrap()).unwrap(),
            some
        );
    }

    #[test]
    fn only_a_notice_that_is_over_makes_room() {
        let all = |ended| {
            let add = |all: Map<Notice>, n| all.insert(notice_key(n), notice(None, ended));
            (0..MAX_NOTICES as u64).fold(Map::default(), add)
        };
        assert!(surplus(&all(None), Time(30)).is_err());
        assert_eq!(surplus(&all(Some(20)), Time(30)), Ok(Some(notice_key(0))));
    }
}
