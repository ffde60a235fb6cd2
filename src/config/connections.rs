//! `[connections]`: limits of simultaneous connections.

use super::{document::TableReport, tables::ConnectionsTable};
use crate::net::{ConnectionLimits, Shares};

/// The smallest and the largest number of connections of a listener.
const MIN: usize = 16;
const MAX: usize = 1_000_000;

impl ConnectionsTable {
    /// Reports limits that cannot be used.
    pub(super) fn check(&self, report: &mut TableReport<'_>) {
        let totals = [
            ("dns", self.dns),
            ("transfers", self.transfers),
            ("admin", self.admin),
            ("web", self.web),
            ("socket", self.socket),
            ("collector", self.collector),
        ];
        for (key, n) in totals {
            let text = format_args!("{n} is not a number from {MIN} to {MAX}");
            report.error_if(!(MIN..=MAX).contains(&n), key, text);
        }
        let shares = [
            ("max_share_per_address", self.max_share_per_address.0),
            ("max_share_per_network", self.max_share_per_network.0),
            (
                "max_share_per_wide_network",
                self.max_share_per_wide_network.0,
            ),
        ];
        for pair in shares.windows(2) {
            let ((key, n), (wider, widest)) = (pair[0], pair[1]);
            let text =
                format_args!("1/{n} is more than {wider}, which is 1/{widest}; write at most that");
            report.error_if(n < widest, key, text);
        }
    }

    /// The limits for the listeners.
    pub(super) fn settings(&self) -> ConnectionLimits {
        let shares = Shares {
            address: self.max_share_per_address.0,
            network: self.max_share_per_network.0,
            wide_network: self.max_share_per_wide_network.0,
            reserved: self.reserved_share.0,
        };
        ConnectionLimits {
            dns: self.dns,
            transfers: self.transfers,
            admin: self.admin,
            web: self.web,
            socket: self.socket,
            collect: self.collector,
            shares,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{ZONE, defaults, load};

    #[test]
    fn the_defaults_are_those_of_the_listeners_and_of_the_shipped_file() {
        assert_eq!(
            defaults().connections.settings(),
            ConnectionLimits::default()
        );
        let shipped = crate::config::Config::load(std::path::Path::new("config.toml")).unwrap();
        assert_eq!(shipped.connections, ConnectionLimits::default());
    }

    #[test]
    fn limits_that_cannot_be_are_refused() {
        let with = |text: &str| {
            load(
                &format!("[[reason]]\nname='relay'\n[connections]\n{text}"),
                ZONE,
            )
            .map_err(|e| e.to_string())
        };
        assert_eq!(
            with("max_share_per_address='1/64'\nweb=200")
                .unwrap()
                .connections
                .shares
                .address,
            64
        );
        for (text, part) in [
            ("dns=3", "connections.dns: 3 is not a number from 16"),
            ("max_share_per_address='5%'", "`5%` is not a share"),
            ("reserved_share='1/0'", "is not a share"),
            (
                "reserved_share=0.5",
                "connections.reserved_share: 0.5 is not a share in quotes, such as \"1/32\"",
            ),
            (
                "max_share_per_address=32",
                "connections.max_share_per_address: 32 is not a share in quotes, such as \"1/32\"",
            ),
            ("max_share_per_network='1/2'", "max_share_per_network"),
        ] {
            let e = with(text).unwrap_err();
            assert!(e.contains(part), "{text}: {e}");
        }
    }
}
