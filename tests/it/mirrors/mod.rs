//! Real name servers mirror us, and answer as we do: NSD, Knot, BIND and PowerDNS, with the
//! documentation's configurations.

mod agree;
mod agreement;
mod catalog;
mod churn;
mod faults;
mod proxy;
mod readers;
mod servers;
pub mod wire;
mod worlds;

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

/// How long a mirror may take to be in step; what it takes is another test's matter.
const PATIENCE: Duration = Duration::from_secs(30);

impl Laboratory {
    /// `more` stands in `config.toml`; `fill` lists what is there before the mirrors come.
    fn new(more: &str, zones: &[&str], kinds: &[Kind], fill: impl FnOnce(&Folder)) -> Laboratory {
        let mut lab = Laboratory::prepared(more, zones, kinds, fill);
        lab.mirrors.iter_mut().for_each(Mirror::start);
        zones.iter().for_each(|z| lab.in_step(z));
        lab
    }

    /// Mirrors that know the catalog alone.
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

    /// The same, with mirrors that are not started.
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

    /// Waits until all mirrors are where we are.
    fn in_step(&self, zone: &str) {
        self.mirrors
            .iter()
            .for_each(|m| m.in_step(zone, self.folder.addr(), PATIENCE));
    }

    /// Waits until all mirrors are where we are, and demands that they have what we have; our
    /// records.
    fn equal(&self, zone: &str) -> Vec<String> {
        self.in_step(zone);
        equal(self.folder.addr(), &self.mirrors, zone)
    }

    /// A zone's records as a mirror has them.
    fn copy(&self, mirror: usize, zone: &str) -> Vec<String> {
        mirrored(&self.mirrors[mirror], zone)
    }
}
