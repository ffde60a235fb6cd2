//! `[retention]`: how long each kind of data that can be personal is kept.

use super::{document::Report, tables::File};
use crate::model::{Retention, retention::RETENTION_KEYS, time::Seconds};

const DAY: u64 = 86_400;

/// The shortest period of a key, in days, and why it cannot be shorter.
fn least(key: &str) -> (u64, &'static str) {
    match key {
        "mail_counts" => (1, "the limits of mail are daily"),
        "tickets" => (30, "the public page about a removal exists for 30 days"),
        "relay_evidence" | "relay_tokens" => {
            (15, "a test message can arrive 14 days after it was sent")
        }
        "relay_jobs" | "relay_hosts" => (31, "the same evidence tests a host once in 30 days"),
        _ => (1, "the job that erases data runs once a day"),
    }
}

/// Reads the periods, and reports those that are too short.
pub(super) fn read(file: &File, report: &mut Report) -> Retention {
    let t = &file.retention;
    let retention = Retention {
        tickets: t.tickets,
        relay_evidence: t.relay_evidence,
        reporter_texts: t.reporter_texts,
        relay_jobs: t.relay_jobs,
        relay_hosts: t.relay_hosts,
        audit_addresses: t.audit_addresses,
        import_reports: t.import_reports,
        webhook_messages: t.webhook_messages,
        relay_tokens: t.relay_tokens,
        ticket_mail: t.ticket_mail,
        ticket_codes: t.ticket_codes,
        mail_counts: t.mail_counts,
        reverse_names: t.reverse_names,
        proposals: t.proposals,
        erasures: t.erasures,
    };
    let mut report = report.of(&t.place);
    for key in RETENTION_KEYS {
        let (days, why) = least(key);
        let period = retention.period(key).unwrap_or_default();
        report.error_if(
            period < Seconds(days * DAY),
            key,
            format_args!("{period} is too short: {why}; write {days}d or more"),
        );
    }
    retention
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{ZONE, load};

    const REASON: &str = "[[reason]]\nname='relay'\n";

    #[test]
    fn default_periods_are_those_of_the_type() {
        let config = load(REASON, ZONE).unwrap();
        assert_eq!(config.ledger.retention, Retention::default());
    }

    #[test]
    fn period_that_is_too_short_is_an_error_with_the_least_one() {
        for (key, period, least) in [
            ("tickets", "29d", "write 30d"),
            ("relay_evidence", "14d", "write 15d"),
            ("relay_hosts", "30d", "write 31d"),
            ("relay_tokens", "14d", "write 15d"),
            ("audit_addresses", "0s", "write 1d"),
            ("mail_counts", "23h", "write 1d"),
        ] {
            let text = format!("[retention]\n{key} = '{period}'\n{REASON}");
            let e = load(&text, ZONE).unwrap_err().to_string();
            assert!(e.contains(least) && e.contains(key), "{key}: {e}");
        }
    }
}
