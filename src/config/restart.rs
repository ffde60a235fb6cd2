//! Which keys take effect at a reload, and which only at a restart.

use super::tables::File;

/// The keys of some tables with their values.
macro_rules! values {
    ($file:ident; $($table:ident: $($key:ident)+;)+) => {
        vec![$($((
            concat!(stringify!($table), ".", stringify!($key)),
            format!("{:?}", $file.$table.value.$key),
        ),)+)+]
    };
}

/// The keys that take effect at a restart only, with their values: all others take effect at a
/// reload. `docs/configuration.md` lists them.
pub(super) fn values(file: &File) -> Vec<(&'static str, String)> {
    values!(file;
        store: path scrub_interval scrub_rate;
        clock: trust_at_start;
        journal: max_age max_size;
        history: feed_max_age;
        dns: listen workers;
        tls: listen https quic h3 https_path;
        admin: listen socket socket_group tls trusted_proxies forwarded_header;
        web: listen tls trusted_proxies forwarded_header;
        site: name tagline operator contact alternate_contact legal_notice languages;
        connections: dns transfers admin web socket collector max_share_per_address
            max_share_per_network max_share_per_wide_network reserved_share;
        log: format;
        http_client: allow_special_ranges resolvers;
        mail: smarthost from require_starttls;
        probe: domain ehlo_name key concurrency pause min_duration timeout collect_wait ports
            source_addresses;
        collector: listen public_addresses tls removal_address;
        proofs: listen;
        process: user;
    )
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use super::*;
    use crate::config::tests::{ZONE, defaults, load, shapes};

    /// The keys that take effect at a reload, besides those of `[[reason]]`, `[[key]]`, `[[feed]]`
    /// and `[[export]]`.
    const RELOADED: [&str; 59] = [
        "retention.tickets",
        "retention.relay_evidence",
        "retention.reporter_texts",
        "retention.relay_jobs",
        "retention.relay_hosts",
        "retention.audit_addresses",
        "retention.import_reports",
        "retention.webhook_messages",
        "retention.relay_tokens",
        "retention.ticket_mail",
        "retention.ticket_codes",
        "retention.mail_counts",
        "retention.reverse_names",
        "retention.proposals",
        "retention.erasures",
        "removal_log.path",
        "removal_log.on_loss",
        "dns.nsid",
        "tls.certificate",
        "tls.key",
        "tls.client_ca",
        "admin.uids",
        "web.base_url",
        "zones.path",
        "limits.allow_special_ranges",
        "limits.max_pending_proposals",
        "limits.max_proposals_per_day",
        "probe.enabled",
        "probe.allow_public",
        "probe.second_domain",
        "probe.contact",
        "probe.info_url",
        "probe.catalogue",
        "probe.enabled_tests",
        "probe.trusted_reporters",
        "probe.max_nominations_per_day",
        "probe.max_hosts_per_prefix",
        "probe.max_hosts_per_asn",
        "probe.asn_table",
        "probe.grace_period",
        "probe.retry_delays",
        "proofs.url",
        "proofs.provider_domains",
        "generic_names.reason",
        "generic_names.min_confidence",
        "generic_names.ranges",
        "generic_names.listed_hosts",
        "generic_names.queried_hosts",
        "generic_names.allow_file",
        "generic_names.confirm_after",
        "generic_names.recheck",
        "generic_names.max_queue",
        "generic_names.max_listed",
        "netblocks.reason",
        "netblocks.required",
        "netblocks.known_senders",
        "dynamic_ranges.reason",
        "query_sample.one_in",
        "query_sample.period",
    ];

    #[test]
    fn each_key_takes_effect_at_a_reload_or_at_a_restart() {
        let file = defaults();
        let mut found: Vec<String> = values(&file)
            .iter()
            .map(|(key, _)| (*key).to_string())
            .chain(RELOADED.map(String::from))
            .collect();
        let mut expected: Vec<String> = shapes(&file)
            .iter()
            .filter(|s| !s.array)
            .flat_map(|s| s.fields.iter().map(|f| format!("{}.{f}", s.name)))
            .collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn changed_keys_that_need_a_restart_are_named() {
        let with = |text: &str| load(&format!("[[reason]]\nname='relay'\n{text}"), ZONE).unwrap();
        let running = with("[dns]\nworkers=0\nnsid='a'\n[log]\nformat='text'");
        assert!(running.needs_restart(&with("")).is_empty(), "defaults");
        let next = with("[dns]\nworkers=2\nnsid='b'\n[probe]\npause='7s'\n[admin]\nlisten=''");
        assert_eq!(
            next.needs_restart(&running),
            ["dns.workers", "admin.listen", "probe.pause"]
        );
    }

    #[test]
    fn documentation_lists_the_keys_that_need_a_restart() {
        let mut tables: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (key, _) in values(&defaults()) {
            let (table, key) = key.split_once('.').unwrap();
            tables.entry(table).or_default().push(format!("`{key}`"));
        }
        let page = fs::read_to_string("docs/configuration.md").unwrap();
        let mut rows: Vec<&str> = page.lines().filter(|l| l.starts_with("| `[")).collect();
        rows.sort_unstable();
        let row =
            |(table, keys): (&&str, &Vec<String>)| format!("| `[{table}]` | {} |", keys.join(", "));
        let expected: Vec<String> = tables.iter().map(row).collect();
        assert_eq!(rows, expected, "{}", expected.join("\n"));
    }
}
