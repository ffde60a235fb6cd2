//! `[connections]`: how many there may be at the same time.

use serde::{Deserialize, Deserializer, de::Error};

use crate::net::{Connections, Shares};

/// The least connections of a listener that make sense.
const MIN: usize = 16;
/// The most.
const MAX: usize = 1_000_000;

/// A part of a listener's connections, `"1/32"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Share(pub usize);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Share, D::Error> {
        let text = String::deserialize(from)?;
        let parts = text.strip_prefix("1/").and_then(|n| n.trim().parse().ok()).filter(|n| (1..=1_000_000).contains(n));
        parts.map(Share).ok_or_else(|| D::Error::custom(format!("`{text}` is not a share, such as \"1/32\"")))
    }
}

section!(ConnectionsFile {
    dns: usize = 2048,
    transfers: usize = 64,
    admin: usize = 1024,
    web: usize = 1024,
    socket: usize = 256,
    collect: usize = 8192,
    per_address: Share = Share(32),
    per_network: Share = Share(8),
    per_wide_network: Share = Share(4),
    reserved: Share = Share(16),
});

/// Says what can not be used.
pub(super) fn check(c: &ConnectionsFile, wrong: &mut dyn FnMut(String)) {
    for (key, n) in
        [("dns", c.dns), ("transfers", c.transfers), ("admin", c.admin), ("web", c.web), ("socket", c.socket), ("collect", c.collect)]
    {
        if !(MIN..=MAX).contains(&n) {
            wrong(format!("connections.{key}: take {MIN} to {MAX}"));
        }
    }
    if c.per_wide_network.0 > c.per_network.0 || c.per_network.0 > c.per_address.0 {
        wrong("connections: per_address is at most per_network, and that at most per_wide_network".into());
    }
}

/// The section as the listeners want it.
pub(super) fn settings(c: &ConnectionsFile) -> Connections {
    let shares = Shares { address: c.per_address.0, network: c.per_network.0, wide_network: c.per_wide_network.0, reserved: c.reserved.0 };
    Connections { dns: c.dns, transfers: c.transfers, admin: c.admin, web: c.web, socket: c.socket, collect: c.collect, shares }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{ZONE, load};

    #[test]
    fn the_defaults_are_those_of_the_listeners_and_of_the_shipped_file() {
        assert_eq!(settings(&ConnectionsFile::default()), Connections::default());
        let shipped = crate::config::Config::load(std::path::Path::new("config.toml")).unwrap();
        assert_eq!(shipped.connections, Connections::default());
    }

    #[test]
    fn limits_that_cannot_be_are_refused() {
        let with = |text: &str| load(&format!("[[reason]]\nname='relay'\n[connections]\n{text}"), ZONE).map_err(|e| e.to_string());
        assert_eq!(with("per_address='1/64'\nweb=200").unwrap().connections.shares.address, 64);
        for (text, part) in [
            ("dns=3", "connections.dns: take 16"),
            ("per_address='5%'", "`5%` is not a share"),
            ("reserved='1/0'", "is not a share"),
            ("per_network='1/2'", "per_network"),
        ] {
            let e = with(text).unwrap_err();
            assert!(e.contains(part), "{text}: {e}");
        }
    }
}
