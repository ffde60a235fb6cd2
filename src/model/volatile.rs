//! Volatile zones: how their entries are served, and the rules that `orbsd check` applies.

use super::{
    logins::LoginRules,
    time::Seconds,
    zone::{Lint, Zone, ZoneKind},
};

/// The longest TTL of records in a volatile zone. A longer one counts as this one, so that no
/// resolver keeps an answer for long after a log-out.
const MAX_VOLATILE_TTL: Seconds = Seconds(5);
/// The shortest prefixes of clients that may query a volatile zone: IPv4 and IPv6.
const SHORTEST_CLIENT_PREFIX: [u8; 2] = [8, 16];

impl Zone {
    /// Whether its entries are recent log-ins, in memory alone.
    pub fn is_volatile(&self) -> bool {
        !self.durability.is_durable()
    }

    /// The rules of its log-ins; `None` if it has none.
    pub fn login_rules(&self) -> Option<LoginRules> {
        self.is_volatile()
            .then(|| self.logins.clone().unwrap_or_default())
    }

    /// The zone as it is served: the TTLs of a volatile zone are at most 5 s, and its negative
    /// answers are not cached, so that a log-in is visible at once.
    #[must_use]
    pub fn with_bounded_ttls(&self) -> Zone {
        let mut zone = self.clone();
        if zone.is_volatile() {
            zone.ttl = zone.ttl.min(MAX_VOLATILE_TTL);
            (zone.negative_ttl, zone.nodata_ttl) = (Seconds(0), Seconds(0));
        }
        zone
    }

    /// Checks what a volatile zone may have, and that other zones have no log-ins.
    pub(super) fn lint_volatile(&self, out: &mut Vec<Lint>) {
        let Some(rules) = self.login_rules() else {
            if self.logins.is_some() {
                out.push(Lint::Error(
                    "logins: only a volatile zone has log-ins; write durability = \"volatile\", or remove the table"
                        .into(),
                ));
            }
            return;
        };
        let errors = [
            self.forbidden_settings(),
            self.client_errors(),
            rules.errors(),
        ];
        out.extend(errors.into_iter().flatten().map(Lint::Error));
        if self.query.allow.is_empty() {
            out.push(Lint::Warning(
                "query.allow: no client may query; name the addresses of the mail servers that use the zone"
                    .into(),
            ));
        }
        if rules.allow.is_empty() {
            out.push(Lint::Warning(
                "logins.allow: no program may report log-ins; name the owners of the tokens that do, such as [\"dovecot\"]"
                    .into(),
            ));
        }
    }

    /// The settings that a volatile zone cannot have.
    fn forbidden_settings(&self) -> Vec<String> {
        let settings = [
            (
                self.kind != ZoneKind::Address,
                "durability: only a zone of kind \"address\" can be volatile; remove the key, or set kind = \"address\"",
            ),
            (
                !self.publish.is_empty(),
                "publish: a volatile zone publishes log-ins and no reason; remove the key, and set the code in [logins]",
            ),
            (
                !(self.transfer.allow.is_empty() && self.transfer.notify.is_empty()),
                "transfer: a volatile zone is not transferred, since log-ins are only in memory; remove the table",
            ),
            (
                self.ipv4_mapped,
                "ipv4_mapped: a volatile zone has no names below ::ffff:0:0/96; remove the key",
            ),
            (
                self.bitmask,
                "bitmask: a volatile zone has one code; remove the key",
            ),
            (
                self.retire.is_some(),
                "retire: a volatile zone is empty after the lifetime of its log-ins; remove its file instead",
            ),
            (
                self.query.refused_code.is_some(),
                "query.refused_code: mail servers would take it for a log-in and relay for everybody; remove the key",
            ),
        ];
        let wrong = settings.into_iter().filter(|(is_set, _)| *is_set);
        wrong.map(|(_, text)| text.to_string()).collect()
    }

    /// Why the clients that may query are too many: who can query, can find out who is logged in.
    fn client_errors(&self) -> Vec<String> {
        let prefixes = self.query.allow.iter();
        let prefixes = prefixes.filter_map(|p| Some((p, p.parse::<ipnet::IpNet>().ok()?)));
        let wide = prefixes.filter(|(_, net)| match net {
            ipnet::IpNet::V4(net) => net.prefix_len() < SHORTEST_CLIENT_PREFIX[0],
            ipnet::IpNet::V6(net) => net.prefix_len() < SHORTEST_CLIENT_PREFIX[1],
        });
        let [ip4, ip6] = SHORTEST_CLIENT_PREFIX;
        let text = |(prefix, _)| {
            format!(
                "query.allow: {prefix} lets strangers see who is logged in; name the addresses of the mail servers that use the zone (prefixes of /{ip4}, IPv6: /{ip6}, or longer)"
            )
        };
        wide.map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lints(tail: &str) -> Vec<Lint> {
        let text = format!(
            "origin = 'logins.orbs.example'\nkind = 'address'\nns = ['ns1.orbs.example', 'ns2.orbs.example']\n\
             contact = 'hostmaster@orbs.example'\n{tail}"
        );
        toml::from_str::<Zone>(&text)
            .unwrap_or_else(|e| panic!("{tail}: {e}"))
            .lint(&["relay".into()])
    }

    /// A volatile zone with these keys, and these clients.
    fn volatile(keys: &str, clients: &str, tables: &str) -> Vec<Lint> {
        lints(&format!(
            "durability = 'volatile'\n{keys}\nquery.allow = [{clients}]\n{tables}"
        ))
    }

    #[test]
    fn volatile_zone_with_named_clients_and_programs_has_no_lints() {
        let tables = "[logins]\nallow = ['dovecot']\nlifetime = '30m'\ncode = '127.0.0.3'\nipv6_prefix = 64\n";
        assert_eq!(volatile("", "'192.0.2.25', '10.0.0.0/8'", tables), []);
    }

    #[test]
    fn open_volatile_zone_is_an_error() {
        let open = lints("durability = 'volatile'\nlogins.allow = ['dovecot']\n");
        let is_open = |l: &Lint| matches!(l, Lint::Error(e) if e.starts_with("query.allow: ") && e.contains("strangers"));
        assert_eq!(open.iter().filter(|l| is_open(l)).count(), 2, "{open:?}");
        for half in [
            "'0.0.0.0/1', '128.0.0.0/1'",
            "'2000::/3'",
            "'192.0.2.1', '::/0'",
        ] {
            let lints = volatile("", half, "");
            assert!(lints.iter().any(is_open), "{half}: {lints:?}");
        }
    }

    #[test]
    fn settings_that_a_volatile_zone_cannot_have_are_errors() {
        for (keys, tables, key) in [
            (
                "publish = [{reason = 'relay', code = '127.0.0.2'}]",
                "",
                "publish: ",
            ),
            ("transfer.allow = ['192.0.2.1']", "", "transfer: "),
            ("transfer.notify = ['192.0.2.1:53']", "", "transfer: "),
            ("ipv4_mapped = true", "", "ipv4_mapped: "),
            ("bitmask = true", "", "bitmask: "),
            (
                "query.refused_code = '127.255.255.254'",
                "",
                "query.refused_code: ",
            ),
            ("", "[logins]\nlifetime = '25h'\n", "logins.lifetime: "),
            ("", "[logins]\nlifetime = '0s'\n", "logins.lifetime: "),
            ("", "[logins]\ncode = '127.0.0.1'\n", "logins.code: "),
            ("", "[logins]\ncode = '127.255.255.2'\n", "logins.code: "),
            ("", "[logins]\ncode = '10.0.0.2'\n", "logins.code: "),
            ("", "[logins]\ntext = 'x $'\n", "logins.text: "),
            ("", "[logins]\nipv6_prefix = 56\n", "logins.ipv6_prefix: "),
            ("", "[logins]\nallow = ['a b']\n", "logins.allow: "),
        ] {
            let lints = volatile(keys, "'192.0.2.1'", tables);
            let found = lints
                .iter()
                .any(|l| matches!(l, Lint::Error(e) if e.starts_with(key)));
            assert!(found, "{keys}{tables}: {lints:?}");
        }
        let domain = "durability = 'volatile'\nkind = 'domain'\nquery.allow = ['192.0.2.1']\n";
        let text = domain.replace("kind = 'domain'\n", "");
        assert!(lints(&text).iter().all(|l| matches!(l, Lint::Warning(_))));
        let mut zone: Zone = toml::from_str(domain).unwrap();
        zone.ns = vec!["ns1.orbs.example".into()];
        let is_kind = |l: &Lint| matches!(l, Lint::Error(e) if e.starts_with("durability: "));
        assert!(zone.lint(&[]).iter().any(is_kind));
    }

    #[test]
    fn log_ins_of_a_durable_zone_are_an_error() {
        let is_logins = |l: &Lint| matches!(l, Lint::Error(e) if e.starts_with("logins: "));
        assert!(lints("logins.allow = ['dovecot']\n").iter().any(is_logins));
    }

    #[test]
    fn ttl_of_a_volatile_zone_is_at_most_five_seconds_and_negative_answers_are_not_cached() {
        let zone = |text: &str| toml::from_str::<Zone>(text).unwrap().with_bounded_ttls();
        let ttls = |z: Zone| [z.ttl, z.negative_ttl, z.nodata_ttl].map(|s| s.0);
        assert_eq!(ttls(zone("durability = 'volatile'")), [5, 0, 0]);
        let short = "durability = 'volatile'\nttl = '2s'\nnegative_ttl = '1s'";
        assert_eq!(ttls(zone(short)), [2, 0, 0]);
        assert_eq!(ttls(zone("ttl = '1h'")), [3600, 60, 60]);
    }
}
