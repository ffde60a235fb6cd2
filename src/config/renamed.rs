//! The configuration tables and keys of earlier versions, with the names that they have today.

/// Renamed tables: the old and the new name.
const TABLES: [(&str, &str); 3] = [
    ("removals", "removal_log"),
    ("outgoing", "http_client"),
    ("collect", "collector"),
];

/// Renamed keys: the table under its present name ([`ZONE_FILE`] for a zone file), the old and the
/// new name of the key.
#[rustfmt::skip]
const KEYS: [(&str, &str, &str); 46] = [
    ("store", "scrub_every", "scrub_interval"),
    ("journal", "age", "max_age"),
    ("journal", "size", "max_size"),
    ("history", "feeds", "feed_max_age"),
    ("tls", "path", "https_path"),
    ("tls", "clients", "client_ca"),
    ("admin", "trust", "trusted_proxies"),
    ("admin", "forwarded", "forwarded_header"),
    ("web", "trust", "trusted_proxies"),
    ("web", "forwarded", "forwarded_header"),
    ("connections", "collect", "collector"),
    ("connections", "per_address", "max_share_per_address"),
    ("connections", "per_network", "max_share_per_network"),
    ("connections", "per_wide_network", "max_share_per_wide_network"),
    ("connections", "reserved", "reserved_share"),
    ("limits", "special", "allow_special_ranges"),
    ("limits", "waiting_proposals", "max_pending_proposals"),
    ("limits", "daily_proposals", "max_proposals_per_day"),
    ("http_client", "allow", "allow_special_ranges"),
    ("mail", "tls", "require_starttls"),
    ("probe", "foreign", "second_domain"),
    ("probe", "hello", "ehlo_name"),
    ("probe", "about", "info_url"),
    ("probe", "tests", "catalogue"),
    ("probe", "choose", "enabled_tests"),
    ("probe", "trusted", "trusted_reporters"),
    ("probe", "quota", "max_nominations_per_day"),
    ("probe", "per_net", "max_hosts_per_prefix"),
    ("probe", "per_as", "max_hosts_per_asn"),
    ("probe", "routes", "asn_table"),
    ("probe", "notice", "grace_period"),
    ("probe", "spread", "min_duration"),
    ("probe", "step", "timeout"),
    ("probe", "settle", "collect_wait"),
    ("probe", "retry", "retry_delays"),
    ("probe", "source", "source_addresses"),
    ("collector", "addresses", "public_addresses"),
    ("reason", "two_persons", "require_approval"),
    ("feed", "every", "interval"),
    ("feed", "special", "allow_special_ranges"),
    ("feed", "codes", "code_zone"),
    ("feed", "host_bits", "clear_host_bits"),
    ("export", "every", "interval"),
    (ZONE_FILE, "mapped", "ipv4_mapped"),
    (ZONE_FILE, "retire.announced", "retire.announce_at"),
    (ZONE_FILE, "retire.empty", "retire.empty_at"),
];

/// What a zone file is called in [`KEYS`].
pub(super) const ZONE_FILE: &str = "zone file";

/// The present name of a table.
pub(super) fn table(old: &str) -> Option<&'static str> {
    TABLES.iter().find(|(o, _)| *o == old).map(|(_, new)| *new)
}

/// The old name of a table.
pub(super) fn old_table(new: &str) -> Option<&'static str> {
    TABLES.iter().find(|(_, n)| *n == new).map(|(old, _)| *old)
}

/// The present name of a key; `old` is its path below the table.
pub(super) fn key(table: &str, old: &str) -> Option<&'static str> {
    let found = KEYS.iter().find(|(t, o, _)| (*t, *o) == (table, old));
    found.map(|(_, _, new)| *new)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::tests::{ZONE, load};

    /// A key as the migration table writes it.
    fn written(table: &str, key: &str) -> String {
        match table {
            ZONE_FILE => format!("`{key}` of a zone file"),
            "reason" | "feed" | "export" => format!("`[[{table}]] {key}`"),
            _ => format!("`[{table}] {key}`"),
        }
    }

    #[test]
    fn changelog_has_every_renamed_key() {
        let tables = TABLES.map(|(old, new)| (format!("`[{old}]`"), format!("`[{new}]`")));
        let keys = KEYS.map(|(table, old, new)| {
            let before = written(old_table(table).unwrap_or(table), old);
            (before, written(table, new))
        });
        let changelog = fs::read_to_string("CHANGELOG.md").unwrap();
        let mut rows = changelog
            .lines()
            .filter(|l| l.starts_with("| configuration |"));
        for (old, new) in tables.iter().chain(&keys) {
            let row = format!("| configuration | {old} | {new} |");
            assert_eq!(rows.next(), Some(&*row), "the row of CHANGELOG.md");
        }
        assert_eq!(rows.next(), None);
    }

    #[test]
    fn old_key_is_refused_with_its_new_name_and_place() {
        for (table, old, new) in KEYS.iter().filter(|(t, ..)| *t != ZONE_FILE) {
            let head = match *table {
                "reason" | "feed" | "export" => format!("[[{table}]]\nname='n'"),
                _ => format!("[{table}]\n"),
            };
            let e = load(&format!("{head}\n{old} = 1\n"), ZONE).unwrap_err();
            let end = format!("the key `{old}` is now called `{new}`");
            let found = |l: &&String| l.starts_with("config.toml:3: ") && l.ends_with(&end);
            assert!(e.0.iter().any(|l| found(&l)), "[{table}] {old}: {e}");
        }
        let zone =
            format!("{ZONE}\nmapped=true\n[retire]\nannounced='2026-10-01'\nempty='2026-12-31'\n");
        let e = load("[[reason]]\nname='relay'", &zone).unwrap_err();
        for line in [
            "zones/bl.toml:6: the key `mapped` is now called `ipv4_mapped`",
            "zones/bl.toml:8: retire: the key `announced` is now called `announce_at`",
            "zones/bl.toml:9: retire: the key `empty` is now called `empty_at`",
        ] {
            assert!(e.0.iter().any(|l| l == line), "{line}\n{e}");
        }
    }

    #[test]
    fn old_table_is_refused_with_its_new_name_and_read_as_the_new_one() {
        for (old, new) in TABLES {
            let e = load(
                &format!("[{old}]\nunknown = 1\n[[reason]]\nname='relay'"),
                ZONE,
            );
            let e = e.unwrap_err();
            let first = format!("config.toml:1: the table [{old}] is now called [{new}]");
            assert_eq!(e.0[0], first);
            let second = format!("config.toml:2: {new}: unknown key `unknown`");
            assert!(e.0[1].starts_with(&second), "{e}");
            let both = format!("[{old}]\n[{new}]\n[[reason]]\nname='relay'");
            assert_eq!(load(&both, ZONE).unwrap_err().0, [first]);
        }
        let e = load(
            "[outgoing]\nallow=['127.0.0.1']\n[[reason]]\nname='relay'",
            ZONE,
        );
        assert!(
            e.unwrap_err()
                .to_string()
                .contains("the key `allow` is now called `allow_special_ranges`")
        );
    }
}
