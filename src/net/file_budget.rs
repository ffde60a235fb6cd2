//! The file descriptors of the process, divided among its listeners at the start, so that no
//! client's connection ever takes one that the store needs.

use super::Shares;

/// How many connections there may be at the same time: `[connections]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
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
    /// What one client and one network have of each.
    pub shares: Shares,
}

impl Default for Connections {
    fn default() -> Connections {
        Connections {
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

/// The least connections of a listener, however few files can be open.
const MIN_CONNECTIONS: usize = 8;
/// Files of the store beside its tables: its log, its lock, its manifest, the image, the removal
/// log, a backup.
const STORE_FILES: u64 = 24;
/// The most tables that the store keeps open (`store::MAX_OPEN_TABLES`); with fewer it opens them
/// again as it reads them.
const MAX_TABLES: u16 = 256;
/// The least of them.
const MIN_TABLES: u16 = 24;
/// Standard streams, event queues, configuration, certificates, exports, webhooks, resolvers,
/// connections that are being closed.
const OTHER_FILES: u64 = 48;

/// What is left of the process's descriptors for each purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileBudget {
    /// Tables that the store keeps open.
    pub store_tables: u16,
    /// Connections, narrowed to what there is.
    pub connections: Connections,
    /// What was narrowed, in words.
    pub warning: Option<String>,
}

impl FileBudget {
    /// Divides `limit` descriptors. `reserved` are those of sockets and files that are open anyway
    /// or that outgoing work opens; listeners that are not used want none.
    pub fn divide(limit: u64, reserved: u64, wanted: Connections, used: [bool; 3]) -> FileBudget {
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
        // Each has the least, and of what is left a part by what it wants.
        let (rest, wants) = (free.saturating_sub(least), (sum - least).max(1));
        let [dns, transfers, admin, web, socket, collect] = all.map(|(_, n, _)| {
            let min = n.min(MIN_CONNECTIONS);
            min + usize::try_from((n - min) as u64 * rest / wants).unwrap_or(0)
        });
        let connections = Connections {
            dns,
            transfers,
            admin,
            web,
            socket,
            collect,
            shares: wanted.shares,
        };
        let most = [dns, transfers, admin, web, socket, collect];
        let narrowed: Vec<String> = all
            .iter()
            .zip(most)
            .filter(|((_, _, is_used), _)| *is_used)
            .map(|((name, n, _), most)| format!("{name} {n} to {most}"))
            .collect();
        let warning = format!(
            "{limit} files can be open at the same time, and {} are needed: [connections] is narrowed: {}; raise the limit \
             (ulimit -n, LimitNOFILE=) or lower [connections]",
            sum + (limit - free.min(limit)),
            narrowed.join(", ")
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
    fn listeners_are_narrowed_to_the_files_that_can_be_open_and_the_warning_names_them() {
        let all = Connections::default();
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
        /// Whatever the limit, what is given out fits into it, as long as the least of everything
        /// does.
        #[test]
        fn what_is_given_out_fits(limit in 256u64..100_000, reserved in 0u64..40, used in any::<[bool; 3]>(), dns in 16usize..100_000) {
            let wanted = Connections { dns, ..Connections::default() };
            let b = FileBudget::divide(limit, reserved, wanted, used);
            let c = b.connections;
            let listeners = [(c.dns, true), (c.transfers, true), (c.socket, true), (c.admin, used[0]), (c.web, used[1]), (c.collect, used[2])];
            let given: u64 = listeners.iter().filter(|l| l.1).map(|l| l.0 as u64).sum();
            let least = listeners.iter().filter(|l| l.1).count() * MIN_CONNECTIONS;
            let others = u64::from(b.store_tables) + STORE_FILES + OTHER_FILES + reserved;
            prop_assert!(given <= limit.saturating_sub(others).max(least as u64), "{b:?}");
            prop_assert!(listeners.iter().all(|l| l.0 >= MIN_CONNECTIONS));
            prop_assert_eq!(b.warning.is_some(), c != wanted);
        }
    }
}
