//! The rule of `[netblocks] required`: no change lists a prefix, except that of an entry that two
//! persons have approved.

use crate::{
    ledger::error::LedgerError,
    model::{Change, Entry, SourceId, Subject, Verdict, history::Command},
    store::Store,
};

/// Refuses a change that lists a prefix of several addresses, extends such a listing, or restores
/// one that has ended.
pub(super) fn check(store: &Store, change: &Change) -> Result<(), LedgerError> {
    if !is_network(&change.subject) {
        return Ok(());
    }
    let lists = match &change.command {
        Command::List { .. } => true,
        Command::Restore { entries, .. } => {
            let now = store.verdict(&change.subject)?;
            entries.iter().any(|e| is_restored(e, &now))
        }
        _ => false,
    };
    match lists {
        false => Ok(()),
        true => Err(LedgerError::Conflict(format!(
            "subject: {} is a prefix, which needs an entry that two persons approve ([netblocks] required = true); \
             propose one with `orbsd netblock propose {}`",
            change.subject, change.subject
        ))),
    }
}

/// Whether a subject is a prefix of several addresses.
fn is_network(subject: &Subject) -> bool {
    subject.is_address() && subject.addresses() > 1
}

/// Whether a restored entry lists what is not listed now, or lists it for longer.
fn is_restored(entry: &Entry, now: &Verdict) -> bool {
    if entry.exclusion || SourceId::is_feed(entry.source) {
        return false;
    }
    let present = now.entry(entry.reason, entry.source);
    present
        .filter(|p| !p.exclusion)
        .is_none_or(|p| match p.until {
            None => false,
            Some(end) => entry.until.is_none_or(|until| until > end),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ReasonId, Time};

    fn entry(until: Option<u64>) -> Entry {
        Entry {
            reason: ReasonId(1),
            source: SourceId::OPERATOR,
            since: Time(1),
            until: until.map(Time),
            exclusion: false,
            text: Default::default(),
            seen: Time(1),
            aged: Default::default(),
        }
    }

    #[test]
    fn only_prefixes_of_several_addresses_are_networks() {
        for (subject, expected) in [
            ("45.1.1.1", false),
            ("45.1.1.0/31", true),
            ("2a00::1", false),
            ("2a00::/32", true),
            ("example.com", false),
        ] {
            assert_eq!(is_network(&subject.parse().unwrap()), expected, "{subject}");
        }
    }

    #[test]
    fn restored_listing_may_only_end_earlier() {
        let with = |e: Entry| Verdict {
            entries: vec![e],
            ..Verdict::default()
        };
        let none = Verdict::default();
        assert!(is_restored(&entry(Some(9)), &none));
        assert!(!is_restored(&entry(Some(9)), &with(entry(Some(9)))));
        assert!(!is_restored(&entry(Some(5)), &with(entry(Some(9)))));
        assert!(is_restored(&entry(Some(12)), &with(entry(Some(9)))));
        assert!(is_restored(&entry(None), &with(entry(Some(9)))));
        assert!(!is_restored(&entry(Some(9)), &with(entry(None))));
        let excluded = Entry {
            exclusion: true,
            ..entry(None)
        };
        assert!(is_restored(&entry(Some(9)), &with(excluded.clone())));
        assert!(!is_restored(&excluded, &none));
        let of_feed = Entry {
            source: SourceId(40),
            ..entry(None)
        };
        assert!(!is_restored(&of_feed, &none));
    }
}
