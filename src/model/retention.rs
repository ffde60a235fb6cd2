//! How long each kind of data that can be personal is kept: `[retention]` of the configuration.

use super::time::Seconds;

const DAY: u64 = 86_400;

/// What replaces a text that was erased on request.
pub const ERASED: &str = "(erased on request)";

/// How long each kind of data is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Tickets with their conversation and mail address, after they closed.
    pub tickets: Seconds,
    /// Messages that reached the collector, and transcripts, after the listing ended.
    pub relay_evidence: Seconds,
    /// What reporters wrote about a host, after its test ended.
    pub reporter_texts: Seconds,
    /// Relay tests, after they ended.
    pub relay_jobs: Seconds,
    /// Records of tested hosts and of reporters, after they were last used.
    pub relay_hosts: Seconds,
    /// Network addresses in audit records.
    pub audit_addresses: Seconds,
    /// Reports of imports, which quote lines of lists.
    pub import_reports: Seconds,
    /// Messages to webhooks that cannot be delivered.
    pub webhook_messages: Seconds,
    /// Addresses that test messages were sent to.
    pub relay_tokens: Seconds,
    /// Mail about tickets that waits for its delivery.
    pub ticket_mail: Seconds,
    /// Hashes of codes, after the codes expired.
    pub ticket_codes: Seconds,
    /// Counts of mail, for daily limits.
    pub mail_counts: Seconds,
    /// Reverse names in memory, after their look-up.
    pub reverse_names: Seconds,
    /// Listings that wait for the approval of another person.
    pub proposals: Seconds,
    /// Hashes of the names whose data was erased on request.
    pub erasures: Seconds,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            tickets: Seconds(90 * DAY),
            relay_evidence: Seconds(90 * DAY),
            reporter_texts: Seconds(90 * DAY),
            relay_jobs: Seconds(365 * DAY),
            relay_hosts: Seconds(400 * DAY),
            audit_addresses: Seconds(180 * DAY),
            import_reports: Seconds(90 * DAY),
            webhook_messages: Seconds(30 * DAY),
            relay_tokens: Seconds(15 * DAY),
            ticket_mail: Seconds(2 * DAY),
            ticket_codes: Seconds(7 * DAY),
            mail_counts: Seconds(DAY),
            reverse_names: Seconds(7 * DAY),
            proposals: Seconds(90 * DAY),
            erasures: Seconds(400 * DAY),
        }
    }
}

/// The keys of `[retention]`.
pub const RETENTION_KEYS: [&str; 15] = [
    "tickets",
    "relay_evidence",
    "reporter_texts",
    "relay_jobs",
    "relay_hosts",
    "audit_addresses",
    "import_reports",
    "webhook_messages",
    "relay_tokens",
    "ticket_mail",
    "ticket_codes",
    "mail_counts",
    "reverse_names",
    "proposals",
    "erasures",
];

impl Retention {
    /// The period of a key of `[retention]`; `None` if there is no such key.
    pub fn period(&self, key: &str) -> Option<Seconds> {
        Some(match key {
            "tickets" => self.tickets,
            "relay_evidence" => self.relay_evidence,
            "reporter_texts" => self.reporter_texts,
            "relay_jobs" => self.relay_jobs,
            "relay_hosts" => self.relay_hosts,
            "audit_addresses" => self.audit_addresses,
            "import_reports" => self.import_reports,
            "webhook_messages" => self.webhook_messages,
            "relay_tokens" => self.relay_tokens,
            "ticket_mail" => self.ticket_mail,
            "ticket_codes" => self.ticket_codes,
            "mail_counts" => self.mail_counts,
            "reverse_names" => self.reverse_names,
            "proposals" => self.proposals,
            "erasures" => self.erasures,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_period() {
        let retention = Retention::default();
        for key in RETENTION_KEYS {
            assert!(retention.period(key).is_some(), "{key}");
        }
        assert_eq!(retention.period("nothing"), None);
    }
}
