//! `[dynamic_ranges]`: ranges that providers prove and edit.

use super::{ReasonNames, document::Report, tables::File};

/// Reads the name of the reason; empty if no range is accepted.
pub(super) fn read(file: &File, reasons: &ReasonNames, report: &mut Report) -> String {
    let table = &file.dynamic_ranges;
    let is_used = !table.reason.is_empty();
    if let Some(why) = reasons.unknown(&table.reason).filter(|_| is_used) {
        report.of(&table.place).error("reason", why);
    }
    table.reason.clone()
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{ZONE, load};

    const REASON: &str = "[[reason]]\nname='relay'\n";

    #[test]
    fn ranges_are_accepted_only_for_a_reason_that_exists() {
        let off = load(REASON, ZONE).unwrap();
        assert_eq!(off.dynamic_ranges, "");
        let on = load(&format!("[dynamic_ranges]\nreason='relay'\n{REASON}"), ZONE).unwrap();
        assert_eq!(on.dynamic_ranges, "relay");
        let e = load(&format!("[dynamic_ranges]\nreason='rely'\n{REASON}"), ZONE).unwrap_err();
        assert!(e.to_string().contains("did you mean `relay`?"), "{e}");
    }
}
