//! Divides the file descriptors of the process among its listeners at the start, so that client
//! connections never use one that the store needs.

use super::Shares;

/// The limits of simultaneous connections: `[connections]` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// DNS over TCP, TLS, HTTPS and QUIC, without transfers.
    pub dns: usize,
    /// Zone transfers.
    pub transfers: usize,
    /// `[admin] listen`.
    pub admin: usize,
    /// `[web] listen`.
    pub web: usize,
    /// `[admin] socket`.
    pub socket: usize,
    /// The collector.
    pub collect: usize,
    /// The shares of one client and one network in each limit.
    pub shares: Shares,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            dns: 2048,
            transfers: 64,
            admin: 1024,
            web: 1024,
            socket: 256,
            collect: 8192,
            shares: Shares::default(),
        }
    }
}

/// The fewest connections of a listener, however few files can be open.
const MIN_CONNECTIONS: usize = 8;
/// Files of the store besides its tables: its log, its lock, its manifest, the image, the removal
/// log, a backup.
const STORE_FILES: u64 = 24;
/// The most tables that the store keeps open (`store::MAX_OPEN_TABLES`). With fewer, it reopens
/// tables as it reads them.
const MAX_TABLES: u16 = 256;
/// The fewest tables that the store keeps open.
const MIN_TABLES: u16 = 24;
/// Standard streams, event queues, configuration, certificates, exports, webhooks, resolvers,
/// connections that are being closed.
const OTHER_FILES: u64 = 48;

/// The division of the process's file descriptors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileBudget {
    /// Tables that the store keeps open.
    pub store_tables: u16,
    /// The limits of connections, reduced if there are too few descriptors.
    pub connections: ConnectionLimits,
    /// Which limits were reduced, as text for the log.
    pub warning: Option<String>,
}

impl FileBudget {
    /// Divides `limit` descriptors. `reserved` is the number of sockets and files that are open
    /// anyway or that outgoing connections need. `used` states whether the listeners `admin`, `web`
    /// and `collect` are configured.
    pub fn divide(
        limit: u64,
        reserved: u64,
        wanted: ConnectionLimits,
        used: [bool; 3],
    ) -> FileBudget {
        let store_tables = u16::try_from(limit / 5)
            .unwrap_or(MAX_TABLES)
            .clamp(MIN_TABLES, MAX_TABLES);
        let free =
            limit.saturating_sub(u64::from(store_tables) + STORE_FILES + OTHER_FILES + reserved);
        let [admin, web, collect] = used;
        let all = [
            ("dns", wanted.dns, true),
            ("transfers", wanted.transfers, true),
            ("admin", wanted.admin, admin),
            ("web", wanted.web, web),
            ("socket", wanted.socket, true),
            ("collect", wanted.collect, collect),
        ];
        let total = |of: fn(usize) -> usize| {
            all.iter()
                .filter(|l| l.2)
                .map(|l| of(l.1) as u64)
                .sum::<u64>()
        };
        let (sum, least) = (total(|n| n), total(|n| n.min(MIN_CONNECTIONS)));
        if sum <= free {
            return FileBudget {
                store_tables,
                connections: wanted,
                warning: None,
            };
        }
        // Each listener gets the minimum, and a part of the rest in proportion to what it wants.
        let (rest, wants) = (free.saturating_sub(least), (sum - least).max(1));
        let [dns, transfers, admin, web, socket, collect] = all.map(|(_, n, _)| {
            let min = n.min(MIN_CONNECTIONS);
            min + usize::try_from((n - min) as u64 * rest / wants).unwrap_or(0)
        });
        let connections = ConnectionLimits {
            dns,
            transfers,
            admin,
            web,
            socket,
            collect,
            shares: wanted.shares,
        };
        let most = [dns, transfers, admin, web, socket, collect];
        let reduced: Vec<String> = all
            .iter()
            .zip(most)
            .filter(|((_, _, is_used), _)| *is_used)
            .map(|((name, n, _), most)| format!("{name} {n} to {most}"))
            .collect();
        let warning = format!(
            "the process may open {limit} files, and {} are needed; [connections] is reduced: {}; raise the limit \
             (ulimit -n, LimitNOFILE=) or lower [connections]",
            sum + (limit - free.min(limit)),
            reduced.join(", ")
        );
        FileBudget {
            store_tables,
            connections,
            warning: Some(warning),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn limits_are_reduced_to_the_file_limit_and_the_warning_names_them() {
        let all = ConnectionLimits::default();
        assert_eq!(
            FileBudget::divide(65_536, 20, all, [true; 3]),
            FileBudget {
                store_tables: 256,
                connections: all,
                warning: None
            }
        );
        let few = FileBudget::divide(256, 20, all, [true, false, true]);
        let text = few.warning.unwrap();
        for part in ["256 files", "dns 2048 to ", "collect 8192 to ", "ulimit -n"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("web"), "{text}");
        assert!(
            few.connections.dns >= MIN_CONNECTIONS && few.connections.dns < 100,
            "{:?}",
            few.connections
        );
    }

    proptest! {
        /// The connections that are granted fit into the file limit, if the minimum of every
        /// listener does.
        #[test]
        fn granted_connections_fit_into_the_file_limit(limit in 256u64..100_000, reserved in 0u64..40, used in any::<[bool; 3]>(), dns in 16usize..100_000) {
            let wanted = ConnectionLimits { dns, ..ConnectionLimits::default() };
            let b = FileBudget::divide(limit, reserved, wanted, used);
            let c = b.connections;
            let listeners = [(c.dns, true), (c.transfers, true), (c.socket, true), (c.admin, used[0]), (c.web, used[1]), (c.collect, used[2])];
            let granted: u64 = listeners.iter().filter(|l| l.1).map(|l| l.0 as u64).sum();
            let least = listeners.iter().filter(|l| l.1).count() * MIN_CONNECTIONS;
            let others = u64::from(b.store_tables) + STORE_FILES + OTHER_FILES + reserved;
            prop_assert!(granted <= limit.saturating_sub(others).max(least as u64), "{b:?}");
            prop_assert!(listeners.iter().all(|l| l.0 >= MIN_CONNECTIONS));
            prop_assert_eq!(b.warning.is_some(), c != wanted);
        }
    }
}
