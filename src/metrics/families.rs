//! The table of all metrics. `/metrics` serves only these: a sample needs one of the items below,
//! and this is the only place that can make them. `docs/metrics.md` is made from the table.
//!
//! Each entry has the name, the type, the labels, the unit, the meaning (which is the HELP line too),
//! and what to do when the value is high or low.

use super::family::{
    Counter, Gauge, Histogram, MetricDescription, MetricGroup, MetricType, metric_group,
};

metric_group! {
    DAEMON, "The daemon", "";
    BUILD_INFO: Gauge "orbsd_build_info" ["version"] "always 1",
        "The version of the daemon, as a label",
        "If servers differ, upgrade the older ones ([Upgrade](upgrade.md)).";
    START_TIME_SECONDS: Gauge "orbsd_start_time_seconds" [] "seconds since 1970",
        "When the daemon started",
        "If it changes without a reason that you know, look for the end of the last run in the log.";
    WRITES_TAKEN: Gauge "orbsd_writes_taken" [] "0 or 1",
        "1 while writes are accepted, 0 while the store or the removal log fails",
        "At 0, changes are refused, and queries are answered: `orbsd status` shows why.";
    STORE_BYTES: Gauge "orbsd_store_bytes" [] "bytes",
        "The size of the store's files",
        "If it grows faster than the lists, shorten the periods of `[journal]`, `[history]` and `[retention]`.";
    DISK_FREE_BYTES: Gauge "orbsd_disk_free_bytes" ["disk"] "bytes",
        "Free bytes of the file system of the store (`store`) and of the removal log (`removals`)",
        "Below a tenth of the size, enlarge the disk or free space: a full disk stops all changes.";
    DISK_SIZE_BYTES: Gauge "orbsd_disk_size_bytes" ["disk"] "bytes",
        "The size of the file system of the store (`store`) and of the removal log (`removals`)",
        "Compare it with `orbsd_disk_free_bytes`.";
    TLS_NOT_AFTER_SECONDS: Gauge "orbsd_tls_not_after_seconds" [] "seconds since 1970",
        "When the certificate of `[tls]` ends; no sample without a certificate",
        "Less than two weeks ahead, renew the certificate; changed files are loaded within ten seconds.";
}

metric_group! {
    QUERIES, "DNS queries", "The label `zone` is empty for messages about names outside of all zones. From the 64th zone on, all zones share their counters.";
    DNS_QUERIES_TOTAL: Counter "orbsd_dns_queries_total" ["zone"] "messages",
        "Queries received",
        "If it falls to 0, check the delegation and the firewall by `orbsd doctor`. If it jumps, look for a client that queries too much, and add a mirror.";
    DNS_LISTED_TOTAL: Counter "orbsd_dns_listed_total" ["zone"] "messages",
        "Answers with records",
        "If its share of the queries jumps, look for a bad import in `orbsd audit`, and revert it by `orbsd undo`.";
    DNS_NOT_LISTED_TOTAL: Counter "orbsd_dns_not_listed_total" ["zone"] "messages",
        "NXDOMAIN answers",
        "If its share of the queries jumps, look for a list that was purged or has expired.";
    DNS_NO_DATA_TOTAL: Counter "orbsd_dns_no_data_total" ["zone"] "messages",
        "NODATA answers: the name exists, and has no record of the type",
        "A large share comes from clients that query other types than A and TXT; it is harmless.";
    DNS_TRANSFERS_TOTAL: Counter "orbsd_dns_transfers_total" ["zone"] "transfers",
        "Zone transfers that were granted",
        "If mirrors are configured and it does not grow, check `transfer` of the zone ([Mirrors](mirrors/index.md)).";
    DNS_REFUSED_TOTAL: Counter "orbsd_dns_refused_total" ["zone"] "messages",
        "REFUSED answers",
        "If it grows, clients ask for other zones, or `query.allow` or `transfer.allow` of a zone lacks a client.";
    DNS_MALFORMED_TOTAL: Counter "orbsd_dns_malformed_total" ["zone"] "messages",
        "FORMERR, NOTIMP and BADVERS answers",
        "A few are normal on the Internet. A large share is a faulty client or a scan.";
    DNS_FAILED_TOTAL: Counter "orbsd_dns_failed_total" ["zone"] "messages",
        "SERVFAIL answers",
        "If it grows, the zone cannot be answered: `orbsd status` and the log show why.";
    DNS_TRUNCATED_TOTAL: Counter "orbsd_dns_truncated_total" ["zone"] "messages",
        "Truncated answers (TC), which clients repeat over TCP",
        "If its share is high, shorten the texts of the reasons, and check that TCP port 53 is open.";
    DNS_DROPPED_TOTAL: Counter "orbsd_dns_dropped_total" ["zone"] "messages",
        "Messages that got no reply",
        "A jump is a scan, or messages with forged sources; it needs nothing unless the machine is short of cores.";
    DNS_BYTES_IN_TOTAL: Counter "orbsd_dns_bytes_in_total" ["zone"] "bytes",
        "Bytes of queries received",
        "Compare it with the bandwidth of the server.";
    DNS_BYTES_OUT_TOTAL: Counter "orbsd_dns_bytes_out_total" ["zone"] "bytes",
        "Bytes of answers sent",
        "If it grows much faster than the bytes received, shorten the texts of the reasons.";
}

metric_group! {
    CONNECTIONS_OF_LISTENERS, "Connections", "The label `listener` is `dns`, `admin`, `web`, `socket` or `collect`. [Connections](configuration.md#connections) has the limits.";
    CONNECTIONS: Gauge "orbsd_connections" ["listener"] "connections",
        "Open connections of a listener, without zone transfers",
        "Near the limit of `[connections]`, raise the limit, or find who opens so many.";
    TRANSFERS_OPEN: Gauge "orbsd_transfers_open" ["listener"] "transfers",
        "Zone transfers that are running",
        "At the limit `transfers` of `[connections]`, mirrors wait: raise the limit.";
    CONNECTIONS_SHED_TOTAL: Counter "orbsd_connections_shed_total" ["listener"] "connections",
        "Connections that were closed to make room for new ones",
        "If it grows, raise the limit of the listener in `[connections]`.";
    CONNECTIONS_REFUSED_TOTAL: Counter "orbsd_connections_refused_total" ["listener"] "connections",
        "New connections that were closed at once because no other connection could be closed for them",
        "If it grows, clients are turned away: raise the limit in `[connections]`, or block the network that uses it up.";
}

metric_group! {
    ZONES, "Zones, commits and listings", "";
    ZONE_SERIAL: Gauge "orbsd_zone_serial" ["zone"] "serial",
        "The serial of a zone",
        "Mirrors have the same serial. If it does not change although lists do, look at `orbsd_writes_taken`.";
    LISTED: Gauge "orbsd_listed" ["kind"] "subjects",
        "Subjects with listings, exclusions or exemptions, by kind: `ipv4_hosts`, `ipv4_prefixes`, `ipv6`, `domains`",
        "If it jumps, look for a bad import, a purge or an expired source in `orbsd audit`.";
    COMMIT: Gauge "orbsd_commit" [] "number",
        "The number of the last commit",
        "It never falls, except by a restore.";
    COMMITS_TOTAL: Counter "orbsd_commits_total" [] "commits",
        "Commits since the start",
        "If it does not grow although changes are expected, check feeds and the relay tester.";
    CHANGES_TOTAL: Counter "orbsd_changes_total" [] "subjects",
        "Subjects that were changed since the start",
        "If it jumps, `orbsd audit` names the author, and `orbsd undo` reverts a commit.";
    PUBLISH_SECONDS: Histogram "orbsd_publish_seconds" [] "seconds",
        "The time from the moment at which a commit is durable until queries are answered from it; queries do not wait meanwhile",
        "If the time grows while `orbsd_publish_cpu_seconds` does not, the machine is short of cores.";
    PUBLISH_MAX_SECONDS: Gauge "orbsd_publish_max_seconds" [] "seconds",
        "The longest time since the start from the moment at which a commit is durable until queries are answered from it",
        "Above a second, import large lists at quiet times.";
    PUBLISH_CPU_SECONDS: Histogram "orbsd_publish_cpu_seconds" [] "seconds",
        "The CPU time for publishing a commit, without the time in which the writer waited for a core",
        "If it grows, commits have more changes than before: look at `orbsd_changes_total`.";
    PUBLISH_CPU_MAX_SECONDS: Gauge "orbsd_publish_cpu_max_seconds" [] "seconds",
        "The longest CPU time since the start for publishing a commit",
        "Compare it with `orbsd_publish_max_seconds`: the difference is waiting.";
}

metric_group! {
    SOURCES, "Sources and feeds", "[Importing lists](importing.md) describes sources and feeds.";
    SOURCE_REFRESHED_SECONDS: Gauge "orbsd_source_refreshed_seconds" ["source"] "seconds since 1970",
        "When a source was last imported",
        "If it is older than the list's own interval, check the job or feed that imports it.";
    SOURCE_EXPIRES_SECONDS: Gauge "orbsd_source_expires_seconds" ["source"] "seconds since 1970",
        "When the listings of a source end unless it is imported again; no sample if they do not end",
        "Less than six hours ahead, import the list again or raise `max_age`: then all its listings end.";
    FEED_FAILING: Gauge "orbsd_feed_failing" ["feed"] "0 or 1",
        "1 while a feed is not refreshed because its list was refused or its server failed",
        "At 1, `orbsd feed show NAME` has the error ([When a list is refused](importing.md#when-a-list-is-refused)).";
    FEED_HELD: Gauge "orbsd_feed_held" ["feed"] "0 or 1",
        "1 while a list of the feed is held until a person decides",
        "At 1, look at the list by `orbsd feed show NAME`, then run `orbsd feed accept` or `orbsd feed refuse`.";
    FEED_LOOPED_TOTAL: Counter "orbsd_feed_looped_total" ["feed"] "rows",
        "Rows of another server that were left out because they came through this server or through too many servers",
        "It is normal in a ring of servers ([Following other servers](importing.md#following-other-servers)).";
}

metric_group! {
    MIRRORS, "Mirrors", "The label `key` is the TSIG key of the mirror, or empty. [Mirrors](mirrors/index.md) shows how to set them up.";
    MIRROR_LAG_SECONDS: Gauge "orbsd_mirror_lag_seconds" ["zone", "mirror", "key"] "seconds",
        "For how long a mirror has lacked the current serial",
        "Above 900, `orbsd mirror list` shows the serials; check NOTIFY and the log of the mirror.";
    MIRROR_NEEDS_TRANSFER: Gauge "orbsd_mirror_needs_transfer" ["zone", "mirror", "key"] "0 or 1",
        "1 while a mirror keeps its old zone because the serial here is not newer for it",
        "At 1, [force a transfer on the mirror](mirrors/index.md#a-mirror-that-keeps-its-old-zone).";
}

metric_group! {
    STORE, "Backups, removal log and damage", "";
    BACKUP_TIME_SECONDS: Gauge "orbsd_backup_time_seconds" [] "seconds since 1970",
        "When the last backup was made; 0 if there is none",
        "Older than two days, run `orbsd backup` by a timer every day, or find out why the timer fails ([Backup](backup.md)).";
    REMOVALS_LOG_WHOLE: Gauge "orbsd_removals_log_whole" [] "0 or 1",
        "1; 0 while the removal log is lost or damaged and is therefore not written to",
        "At 0, put the file back, or set `on_loss` ([The removal log](operations.md#the-removal-log)).";
    REMOVALS_LOG_MISSING_LINES: Gauge "orbsd_removals_log_missing_lines" [] "lines",
        "Lines that the removal log has lost since the last backup",
        "Above 0, run `orbsd backup` now: older backups cannot be restored without a gap.";
    STORE_DAMAGE: Gauge "orbsd_store_damage" [] "findings",
        "Unrepaired damage in the store",
        "Above 0, run `orbsd scrub`; if it finds damage again, restore the last backup ([Damage](operations.md#damage)).";
    SCRUB_RUNNING: Gauge "orbsd_scrub_running" [] "0 or 1",
        "1 while a scrub reads the store for damage",
        "If scrubs do not end, raise `[store] scrub_rate`.";
    SCRUB_END_TIME_SECONDS: Gauge "orbsd_scrub_end_time_seconds" [] "seconds since 1970",
        "When the last complete scrub ended; no sample before the first",
        "If it is much older than `[store] scrub_interval`, raise `[store] scrub_rate`.";
    SCRUB_DAMAGED_FAMILIES: Gauge "orbsd_scrub_damaged_families" [] "column families",
        "Column families in which the last complete scrub found damage; no sample before the first",
        "Above 0, restore the last backup ([Damage](operations.md#damage)).";
}

metric_group! {
    CLOCK, "The clock", "Listings end by trusted time ([Trusted time](configuration.md#trusted-time)).";
    CLOCK_DIFFERS: Gauge "orbsd_clock_differs" [] "0 or 1",
        "1 while the wall clock differs from trusted time by more than 5 s",
        "At 1, correct the clock; if the wall clock is right, run `orbsd clock accept`.";
    CLOCK_UNCONFIRMED: Gauge "orbsd_clock_unconfirmed" [] "0 or 1",
        "1 while trusted time continues from the last record, because the wall clock was not plausible at the start",
        "At 1, correct the clock; if the wall clock is right, run `orbsd clock accept`.";
    CLOCK_OFFSET_SECONDS: Gauge "orbsd_clock_offset_seconds" [] "seconds",
        "By how much the wall clock is ahead of trusted time",
        "If it is not near 0, see `orbsd_clock_differs`.";
    CLOCK_SYNCHRONISED: Gauge "orbsd_clock_synchronised" [] "0 or 1",
        "1 while the kernel reports that the wall clock is synchronised",
        "At 0, start an NTP client: TSIG and TLS need the time of day.";
}

metric_group! {
    RETENTION, "Retention", "[Privacy](privacy.md) describes the job that erases old data.";
    RETENTION_LAST_RUN_SECONDS: Gauge "orbsd_retention_last_run_seconds" [] "seconds since 1970",
        "When the job that erases old data last ran; no sample before the first run",
        "Older than two days, look into the log: the job runs at each start and every day.";
    RETENTION_FAILED: Gauge "orbsd_retention_failed" [] "0 or 1",
        "1 if the last run of the job that erases old data failed",
        "At 1, personal data is kept too long: `orbsd status` shows why.";
    RETENTION_ERASED_TOTAL: Counter "orbsd_retention_erased_total" ["key"] "rows and texts",
        "Rows and texts that the job has erased since the start, by the key of `[retention]`, or `on_request` for erasures that were repeated after a restore",
        "It shows what the periods of `[retention]` do.";
}

metric_group! {
    QUALITY, "Error rates", "The figures of [error rates](quality.md) are counted once a day. The label `kind` is `zone` or `source`, and `name` is its name.";
    QUALITY_COUNTED_SECONDS: Gauge "orbsd_quality_counted_seconds" [] "seconds since 1970",
        "When the figures of quality were last counted",
        "Older than two days, look into the log: they are counted every day.";
    QUALITY_ENTRIES: Gauge "orbsd_quality_entries" ["kind", "name", "proved"] "subjects",
        "Listed subjects of a zone or source: all (`any`), those that this server has proved (`ever`), and those proved in the last 30 days (`30d`)",
        "If the proved share falls, test older entries again, or give their reason a shorter lifetime.";
    QUALITY_PROOF_AGE_DAYS: Gauge "orbsd_quality_proof_age_days" ["kind", "name", "quantile"] "days",
        "The age of the last proof of the proved entries: median, 90th percentile, oldest; no sample without proofs",
        "If it grows, give the reason a shorter lifetime.";
    QUALITY_CLAIMS: Gauge "orbsd_quality_claims" ["kind", "name", "result"] "claims",
        "Claims that were decided in the last 30 days, by the result of their tests: `closed`, `open`, `blocked`, `undecided`",
        "Many `blocked` or `undecided` ones: owners need help, or the tester cannot reach them.";
    QUALITY_RELEASE_SECONDS: Gauge "orbsd_quality_release_seconds" ["kind", "name", "quantile"] "seconds",
        "The time from a claim to the release of the host in the last 30 days: median, 90th percentile, longest",
        "If it grows, raise `concurrency` of `[probe]`, and look for problems of the tester.";
    QUALITY_REMOVALS: Gauge "orbsd_quality_removals" ["kind", "name", "cause"] "removals",
        "Removals by decision in the last 30 days: all (`any`), and those that state an error (`error`)",
        "If the share of errors is high, stop the source or correct the rule that lists them ([Listed in error](quality.md#listed-in-error)).";
    QUALITY_SPREAD_SECONDS: Gauge "orbsd_quality_spread_seconds" ["kind", "name", "quantile"] "seconds",
        "The time from a removal on request until the last public server had it, in the last 30 days: median, 90th percentile, longest",
        "If it grows, look at the lag of the mirrors.";
    QUALITY_SPREADING: Gauge "orbsd_quality_spreading" ["kind", "name"] "removals",
        "Removals on request of the last 30 days that some public server is not known to have",
        "If it does not fall to 0, a mirror does not transfer the zone: `orbsd mirror list`.";
    QUALITY_REQUESTS_DUE: Gauge "orbsd_quality_requests_due" ["kind", "name", "limit"] "requests",
        "Requests for removal of the last 30 days that were answered or are older than the limit (`2d`, `7d`)",
        "Compare it with `orbsd_quality_requests_answered`.";
    QUALITY_REQUESTS_ANSWERED: Gauge "orbsd_quality_requests_answered" ["kind", "name", "limit"] "requests",
        "Requests for removal of the last 30 days that were answered within the limit (`2d`, `7d`)",
        "If it is lower than the number of due ones, answer requests sooner.";
}

metric_group! {
    TICKETS, "Requests for removal", "[Removal](removal.md) describes tickets.";
    TICKETS_OPEN: Gauge "orbsd_tickets_open" [] "tickets",
        "Open requests for removal",
        "If it grows, more requests come in than are decided.";
    TICKETS_WAITING: Gauge "orbsd_tickets_waiting" [] "tickets",
        "Open requests for removal that wait for a person",
        "Above 0, answer them: `orbsd tickets list --waiting`.";
    TICKETS_OLDEST_SECONDS: Gauge "orbsd_tickets_oldest_seconds" ["clock"] "seconds since 1970",
        "Since when the oldest ticket waits for its answer (`answer`) or decision (`decision`); no sample if none waits",
        "Answer within two days, and decide within seven.";
    TICKETS_OVERDUE: Gauge "orbsd_tickets_overdue" ["clock"] "tickets",
        "Tickets unanswered after two days (`answer`) or undecided after seven (`decision`)",
        "Above 0, answer or decide them: `orbsd tickets list --waiting`. Listings of undecided ones are suspended.";
    TICKETS_OVER_LIMIT: Gauge "orbsd_tickets_over_limit" [] "tickets",
        "Overdue tickets whose listings stay, because the daily limit of suspensions is reached",
        "Above 0, decide these tickets by hand ([Suspension](removal.md#suspension)).";
    TICKETS_OPENED_TOTAL: Counter "orbsd_tickets_opened_total" [] "tickets",
        "Tickets that were opened since the start",
        "If it jumps, look for a list with many errors, or for abuse of the form.";
    TICKETS_CLOSED_TOTAL: Counter "orbsd_tickets_closed_total" ["state"] "tickets",
        "Tickets that were closed since the start, by their last state: `granted`, `refused`, `withdrawn` or `ended`",
        "If many are granted, their reason lists too much.";
}

metric_group! {
    WEBHOOKS, "Webhooks", "The label `webhook` is the id of the webhook ([Webhooks](api.md#webhooks)).";
    WEBHOOK_WAITING: Gauge "orbsd_webhook_waiting" ["webhook"] "messages",
        "Messages that a webhook has not accepted, dead letters included",
        "If it grows, repair the receiver and run `orbsd webhook retry`, or remove the webhook.";
    WEBHOOK_OLDEST_SECONDS: Gauge "orbsd_webhook_oldest_seconds" ["webhook"] "seconds since 1970",
        "When the oldest waiting message of a webhook was queued; no sample if none waits",
        "Older than an hour, repair the receiver and run `orbsd webhook retry`, or remove the webhook.";
}

metric_group! {
    RELAY_TESTS, "Relay tests", "[Relay testing](relay.md) describes the tester.";
    TESTER_ENABLED: Gauge "orbsd_tester_enabled" [] "0 or 1",
        "1 if relay tests are switched on",
        "`[probe] enabled` sets it.";
    TESTER_READY: Gauge "orbsd_tester_ready" [] "0 or 1",
        "1 while relay tests can be run, 0 while they are off or a problem prevents them",
        "At 0 with `orbsd_tester_enabled` 1, owners cannot be delisted: `orbsd status` shows the problem.";
}

metric_group! {
    REVERSE_NAMES, "Reverse names", "";
    REVERSE_NAMES_KNOWN: Gauge "orbsd_reverse_names_known" [] "addresses",
        "Addresses in the cache of reverse names",
        "It follows the number of listed hosts.";
    REVERSE_NAMES_WAITING: Gauge "orbsd_reverse_names_waiting" [] "addresses",
        "Listed addresses that wait for a look-up of their reverse name, at most 1,000",
        "If it stays high, the resolvers are slow: set `[http_client] resolvers`.";
    REVERSE_NAMES_LOOKUPS_TOTAL: Counter "orbsd_reverse_names_lookups_total" [] "look-ups",
        "Look-ups of reverse names that were started",
        "Compare it with those that failed.";
    REVERSE_NAMES_FAILED_TOTAL: Counter "orbsd_reverse_names_failed_total" [] "look-ups",
        "Look-ups of reverse names that no server has answered",
        "If most fail, check the resolvers of `[http_client]`.";
    REVERSE_NAMES_DROPPED_TOTAL: Counter "orbsd_reverse_names_dropped_total" [] "addresses",
        "Listed addresses that did not fit into the queue of look-ups",
        "It grows while large lists are imported; their names are looked up later.";
}

metric_group! {
    GENERIC_NAMES, "Generic names", "These exist only with `[generic_names] reason` ([Generic reverse names](generic-names.md)).";
    GENERIC_NAMES_WORKING: Gauge "orbsd_generic_names_working" [] "0 or 1",
        "1 while the resolver answers, so that generic names are looked up",
        "At 0, check the resolvers of `[http_client]`; `orbsd status` shows the problem.";
    GENERIC_NAMES_LISTED: Gauge "orbsd_generic_names_listed" [] "addresses",
        "Addresses that are listed by a generic name",
        "Near `max_listed`, raise it, or look up fewer ranges.";
    GENERIC_NAMES_WAITING: Gauge "orbsd_generic_names_waiting" [] "addresses",
        "Candidates for a listing by a generic name that wait for a look-up",
        "Near `max_queue`, further candidates are dropped: raise it, or look up fewer ranges.";
    GENERIC_NAMES_RANGE_LEFT: Gauge "orbsd_generic_names_range_left" [] "addresses",
        "Addresses that the present pass through the ranges has left",
        "It falls by about five in a second; if it does not, see `orbsd_generic_names_working`.";
    GENERIC_NAMES_QUERIED_TOTAL: Counter "orbsd_generic_names_queried_total" [] "addresses",
        "Candidates from the sample of queries that were added to the queue",
        "At 0 with `queried_hosts`, check `[query_sample]` ([Sample of queries](configuration.md#sample-of-queries)).";
    GENERIC_NAMES_LOOKUPS_TOTAL: Counter "orbsd_generic_names_lookups_total" [] "look-ups",
        "Look-ups of names of candidates and listed addresses",
        "Compare it with those that failed.";
    GENERIC_NAMES_FAILED_TOTAL: Counter "orbsd_generic_names_failed_total" [] "look-ups",
        "Look-ups of names of candidates and listed addresses that no server has answered",
        "If most fail, check the resolvers of `[http_client]`.";
    GENERIC_NAMES_DROPPED_TOTAL: Counter "orbsd_generic_names_dropped_total" [] "addresses",
        "Candidates that did not fit into the queue",
        "If it grows, raise `max_queue`, or look up fewer ranges.";
    GENERIC_NAMES_ENDED_TOTAL: Counter "orbsd_generic_names_ended_total" [] "listings",
        "Listings that ended because the name has changed or is not generic any more",
        "If it jumps, a provider has renamed its hosts, or a pattern was corrected.";
    GENERIC_NAMES_OVER_LIMIT_TOTAL: Counter "orbsd_generic_names_over_limit_total" [] "addresses",
        "Generic names that were not listed because `max_listed` is reached",
        "If it grows, raise `max_listed`, or look up fewer ranges.";
}

metric_group! {
    QUERY_SAMPLE, "Sample of queries", "These exist only with `[query_sample] one_in` ([Sample of queries](configuration.md#sample-of-queries)).";
    QUERY_SAMPLE_ONE_IN: Gauge "orbsd_query_sample_one_in" [] "queries",
        "One in so many DNS queries is sampled",
        "`[query_sample] one_in` sets it.";
    QUERY_SAMPLE_NETWORKS: Gauge "orbsd_query_sample_networks" [] "networks",
        "Networks (IPv4 /24, IPv6 /56) with a sampled address, at most 131,072",
        "At the limit, raise `one_in`, or shorten `period`.";
    QUERY_SAMPLE_WAITING: Gauge "orbsd_query_sample_waiting" [] "addresses",
        "Sampled addresses that wait for a look-up of their reverse name, at most 1,024",
        "If it stays at the limit, raise `one_in`.";
    QUERY_SAMPLE_ADDRESSES_TOTAL: Counter "orbsd_query_sample_addresses_total" [] "queries",
        "Sampled queries about an address",
        "Multiplied by `one_in`, it is about the number of queries about addresses.";
    QUERY_SAMPLE_DROPPED_TOTAL: Counter "orbsd_query_sample_dropped_total" [] "queries",
        "Sampled queries that were dropped because more than 1,024 of a worker waited",
        "If it grows, raise `one_in`.";
    QUERY_SAMPLE_CANDIDATES_TOTAL: Counter "orbsd_query_sample_candidates_total" [] "addresses",
        "Sampled addresses that were added to those that wait for a look-up",
        "Compare it with `orbsd_query_sample_addresses_total`.";
}

metric_group! {
    RECENT_LOGINS, "Recent log-ins", "These have samples only for volatile zones ([Recent log-ins](recent-logins.md)).";
    LOGINS: Gauge "orbsd_logins" ["zone"] "addresses",
        "Addresses that a volatile zone publishes, and those that have ended in the last second",
        "If it falls to 0, check that the mail server reports log-ins.";
    LOGINS_REPORTED_TOTAL: Counter "orbsd_logins_reported_total" ["zone"] "log-ins",
        "Log-ins that were reported to a volatile zone",
        "If it does not grow, check the token and the log of the mail server.";
    LOGINS_EVICTED_TOTAL: Counter "orbsd_logins_evicted_total" ["zone"] "log-ins",
        "Log-ins that were removed before their end because a volatile zone was full",
        "If it grows, shorten `lifetime` of the zone.";
}

/// All metrics, in the order of the page.
pub static GROUPS: &[&MetricGroup] = &[
    &DAEMON,
    &QUERIES,
    &CONNECTIONS_OF_LISTENERS,
    &ZONES,
    &SOURCES,
    &MIRRORS,
    &STORE,
    &CLOCK,
    &RETENTION,
    &QUALITY,
    &TICKETS,
    &WEBHOOKS,
    &RELAY_TESTS,
    &REVERSE_NAMES,
    &GENERIC_NAMES,
    &QUERY_SAMPLE,
    &RECENT_LOGINS,
];

#[cfg(test)]
mod tests;
