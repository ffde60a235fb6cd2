//! `[netblocks]`: networks that two persons list.

use std::path::Path;

use super::{ReasonNames, document::Report, probe::read_named, tables::File};
use crate::{ledger::NetblockRule, netblocks::KnownSenders};

/// Reads the table: the rule of the ledger, and the file of known senders.
pub(super) fn read(
    file: &File,
    folder: &Path,
    reasons: &ReasonNames,
    report: &mut Report,
) -> (NetblockRule, KnownSenders) {
    let table = &file.netblocks;
    let mut report = report.of(&table.place);
    // Without the table, a configuration needs no such reason.
    let is_used = table.place.has("reason") || table.required;
    if let Some(why) = reasons.unknown(&table.reason).filter(|_| is_used) {
        report.error("reason", why);
    }
    let known = read_named(&table.known_senders, folder, KnownSenders::parse);
    let known = report.value("known_senders", known).flatten();
    let rule = NetblockRule {
        reason: table.reason.clone(),
        required: table.required,
    };
    (rule, known.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use crate::{
        config::tests::{ZONE, load},
        ledger::NetblockRule,
    };

    const REASON: &str = "[[reason]]\nname='relay'\n";

    #[test]
    fn table_that_is_missing_needs_no_reason() {
        let config = load(REASON, ZONE).unwrap();
        assert_eq!(config.ledger.netblocks, NetblockRule::default());
    }

    #[test]
    fn required_entries_need_their_reason() {
        let e = load(&format!("[netblocks]\nrequired=true\n{REASON}"), ZONE).unwrap_err();
        assert!(e.to_string().contains("unknown reason `netblock`"), "{e}");
        let text = format!("[netblocks]\nrequired=true\nreason='relay'\n{REASON}");
        let rule = load(&text, ZONE).unwrap().ledger.netblocks;
        assert_eq!((rule.reason.as_str(), rule.required), ("relay", true));
    }

    #[test]
    fn missing_file_of_known_senders_is_an_error() {
        let text = format!("[netblocks]\nknown_senders='nothing.txt'\n{REASON}");
        let e = load(&text, ZONE).unwrap_err().to_string();
        assert!(
            e.contains("known_senders") && e.contains("nothing.txt"),
            "{e}"
        );
    }
}
