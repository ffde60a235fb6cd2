//! NSD, Knot, BIND and PowerDNS as mirrors, with the documented configurations, give the same
//! answers as the primary.

mod agree;
mod agreement;
mod catalog;
mod churn;
mod faults;
mod proxy;
mod readers;
pub mod servers;
mod sights;
mod tickets;
mod widths;
pub mod wire;
pub mod worlds;

use std::time::Duration;

use crate::lab::{Daemon, Folder};
use agree::{equal, mirrored};
use servers::{Kind, Mirror};

/// A daemon with zones, and mirrors that have them.
struct Laboratory {
    folder: Folder,
    mirrors: Vec<Mirror>,
    daemon: Daemon,
}

/// How long a mirror may take to be in step. Other tests measure the time.
const SYNC_TIMEOUT: Duration = Duration::from_secs(30);

impl Laboratory {
    /// `more` is added to `config.toml`; `fill` lists subjects before the mirrors start.
    fn new(more: &str, zones: &[&str], kinds: &[Kind], fill: impl FnOnce(&Folder)) -> Laboratory {
        let mut lab = Laboratory::prepared(more, zones, kinds, fill);
        lab.mirrors.iter_mut().for_each(Mirror::start);
        zones.iter().for_each(|z| lab.in_step(z));
        lab
    }

    /// Creates mirrors that know only the catalog.
    fn with_catalog(
        catalog: &str,
        zones: &[&str],
        kinds: &[Kind],
        fill: impl FnOnce(&Folder),
    ) -> Laboratory {
        let mut lab = Laboratory::prepared("", zones, kinds, fill);
        let told: Vec<_> = lab.mirrors.iter().map(|m| m.addr).collect();
        lab.mirrors = Vec::new();
        lab.folder
            .write("zones/catalog.toml", &worlds::catalog(catalog, &told));
        lab.folder.ok(&["reload"]);
        lab.mirrors = kinds
            .iter()
            .zip(&told)
            .map(|(k, at)| Mirror::with_catalog(*k, *at, lab.folder.addr()))
            .collect();
        lab.mirrors.iter_mut().for_each(Mirror::start);
        zones.iter().for_each(|z| lab.in_step(z));
        lab
    }

    /// As [`Laboratory::new`], with mirrors that are not started.
    fn prepared(
        more: &str,
        zones: &[&str],
        kinds: &[Kind],
        fill: impl FnOnce(&Folder),
    ) -> Laboratory {
        let folder = worlds::folder(more, zones, &[]);
        let mirrors: Vec<Mirror> = kinds
            .iter()
            .map(|k| Mirror::new(*k, folder.addr(), zones))
            .collect();
        let told: Vec<_> = mirrors.iter().map(|m| m.addr).collect();
        for zone in zones {
            folder.write(
                &format!("zones/{}.toml", zone.split('.').next().unwrap()),
                &worlds::zone(zone, &told),
            );
        }
        let daemon = Daemon::start(&folder);
        fill(&folder);
        Laboratory {
            folder,
            mirrors,
            daemon,
        }
    }

    /// Waits until all mirrors have the serial of the primary.
    fn in_step(&self, zone: &str) {
        self.mirrors
            .iter()
            .for_each(|m| m.in_step(zone, self.folder.addr(), SYNC_TIMEOUT));
    }

    /// Waits until all mirrors have the serial of the primary, and checks that they have the same
    /// zone. Returns the records of the primary.
    fn equal(&self, zone: &str) -> Vec<String> {
        self.in_step(zone);
        equal(self.folder.addr(), &self.mirrors, zone)
    }

    /// Returns the records of a zone at a mirror.
    fn copy(&self, mirror: usize, zone: &str) -> Vec<String> {
        mirrored(&self.mirrors[mirror], zone)
    }
}
