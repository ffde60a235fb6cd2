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
        }
    }
}

/// The keys of `[retention]`.
pub const RETENTION_KEYS: [&str; 8] = [
    "tickets",
    "relay_evidence",
    "reporter_texts",
    "relay_jobs",
    "relay_hosts",
    "audit_addresses",
    "import_reports",
    "webhook_messages",
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
