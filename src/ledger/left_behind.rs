//! Names that leave the configuration while they have listings.

use std::fmt;

use serde::Serialize;

use super::settings::LedgerSettings;
use crate::{
    model::{Mask, ReasonId, SourceId, Zone, ZoneKind, text::counted},
    store::{
        Dictionary, Store, StoreError,
        configured::{ConfiguredNames, ConfiguredZone},
    },
};

/// A name that has left the configuration and still has listings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftBehind {
    /// `reason`, `feed`, `zone`, or `publish` for a reason that a zone no longer publishes.
    pub kind: &'static str,
    /// The name.
    pub name: String,
    /// The zone, for the kind `publish`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The number of subjects that it lists.
    pub listings: u64,
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LeftBehind {
            kind,
            name,
            zone,
            listings,
        } = self;
        let listings = counted(*listings, "listing");
        match (*kind, zone) {
            ("reason", _) => write!(
                f,
                "reason `{name}` has {listings} and is no longer configured, so that no zone publishes them; \
                 `orbsd reason rename {name} NEW` keeps them under a new name, `orbsd purge --reason {name}` removes them"
            ),
            ("feed", _) => write!(
                f,
                "source `{name}` has {listings} and is no longer a [[feed]], so that nothing refreshes them; \
                 `orbsd source rename {name} NEW` keeps them under a new name, `orbsd purge --source {name}` removes them"
            ),
            (_, Some(zone)) => write!(
                f,
                "zone {zone} no longer publishes reason `{name}`, which has {listings} there"
            ),
            (_, None) => write!(
                f,
                "zone {name} publishes {listings} and is no longer configured"
            ),
        }
    }
}

/// The names in a configuration, as numbers of a store.
pub(super) fn configured(settings: &LedgerSettings, v: &Dictionary) -> ConfiguredNames {
    let zone = |z: &Zone| {
        let published = z.publish.iter().flat_map(|p| p.reasons());
        let configured = ConfiguredZone {
            names: z.kind != ZoneKind::Address,
            addresses: z.kind == ZoneKind::Domain && z.has_ip4(),
            reasons: published.filter_map(|r| v.reasons.get(r)).collect(),
        };
        let origin = z.origin.trim_end_matches('.').to_ascii_lowercase();
        (origin, configured)
    };
    let reasons = settings.reasons.iter().map(|r| &r.name);
    ConfiguredNames {
        reasons: reasons.filter_map(|r| v.reasons.get(r)).collect(),
        feeds: settings.feeds.iter().cloned().collect(),
        zones: settings.zones.iter().map(zone).collect(),
    }
}

/// The names that a store has recorded from the last configurations.
pub(super) fn last_configured(
    store: &Store,
    v: &Dictionary,
) -> Result<ConfiguredNames, StoreError> {
    let names = v.reasons.0.all().iter();
    // Earlier versions recorded no names. Every reason that the store knows was configured once.
    Ok(store.configured()?.unwrap_or_else(|| ConfiguredNames {
        reasons: names.filter_map(|n| v.reasons.get(n)).collect(),
        ..ConfiguredNames::default()
    }))
}

/// The number of subjects that each name of a store lists.
#[derive(Default)]
pub(super) struct Usage {
    /// By reason: addresses and names.
    reasons: Vec<[u64; 2]>,
    /// By source.
    sources: Vec<u64>,
    /// By zone of the arguments of [`Usage::read`].
    zones: Vec<u64>,
    pub(super) held_reasons: Mask,
    pub(super) held_sources: Vec<SourceId>,
}

impl Usage {
    /// Counts by reading every verdict. `zones`: the reasons of the addresses that each publishes,
    /// and those of the names.
    pub(super) fn read(
        store: &Store,
        v: &Dictionary,
        zones: &[[Mask; 2]],
    ) -> Result<Usage, StoreError> {
        let mut u = Usage {
            reasons: vec![[0; 2]; v.reasons.0.all().len()],
            sources: vec![0; v.records.len()],
            zones: vec![0; zones.len()],
            ..Usage::default()
        };
        store.scan(v, &mut |subject, verdict| {
            let names = !subject.is_address();
            let (mut mask, mut seen) = (0, Vec::new());
            for e in verdict.entries.iter().filter(|e| !e.exclusion) {
                mask |= e.reason.bit();
                let new = !seen.contains(&e.source);
                if let Some(n) = u.sources.get_mut(usize::from(e.source.0)).filter(|_| new) {
                    seen.push(e.source);
                    *n += 1;
                }
            }
            for (i, n) in u.reasons.iter_mut().enumerate() {
                n[usize::from(names)] += mask >> i & 1;
            }
            for (n, reasons) in u.zones.iter_mut().zip(zones) {
                *n += u64::from(mask & reasons[usize::from(names)] != 0);
            }
            for h in &verdict.holds {
                u.held_reasons |= h.reason.bit();
                if !u.held_sources.contains(&h.source) {
                    u.held_sources.push(h.source);
                }
            }
            Ok(())
        })?;
        Ok(u)
    }

    /// The numbers of addresses and names that a reason lists.
    pub(super) fn of_reason(&self, reason: ReasonId) -> [u64; 2] {
        let n = self.reasons.get(usize::from(reason.0));
        n.copied().unwrap_or_default()
    }

    pub(super) fn of_source(&self, source: SourceId) -> u64 {
        let n = self.sources.get(usize::from(source.0));
        n.copied().unwrap_or_default()
    }
}

/// The names that were configured, are not in `settings`, and have listings. Reads every verdict if
/// a name is gone.
pub(super) fn left_behind(
    store: &Store,
    settings: &LedgerSettings,
) -> Result<Vec<LeftBehind>, StoreError> {
    let v = store.dictionary();
    let (was, now) = (last_configured(store, &v)?, configured(settings, &v));
    let reasons: Vec<_> = was.reasons.difference(&now.reasons).copied().collect();
    let feeds: Vec<_> = was.feeds.difference(&now.feeds).cloned().collect();
    let (mut zones, mut masks, mut publish) = (Vec::new(), Vec::new(), Vec::new());
    for (origin, zone) in &was.zones {
        match now.zones.get(origin).filter(|n| n.names == zone.names) {
            None => {
                zones.push(origin);
                masks.push(zone.masks());
            }
            Some(n) => {
                let gone = zone
                    .reasons
                    .difference(&n.reasons)
                    .filter(|r| !reasons.contains(r));
                publish.extend(gone.map(|r| (origin, zone.masks(), *r)));
            }
        }
    }
    if reasons.is_empty() && feeds.is_empty() && zones.is_empty() && publish.is_empty() {
        return Ok(Vec::new());
    }
    let usage = Usage::read(store, &v, &masks)?;
    let mut out = Vec::new();
    let mut add = |kind, name: &str, zone: Option<&String>, listings| {
        if listings > 0 {
            out.push(LeftBehind {
                kind,
                name: name.into(),
                zone: zone.cloned(),
                listings,
            });
        }
    };
    for r in reasons {
        let n = usage.of_reason(r).iter().sum();
        add("reason", v.reasons.name(r), None, n);
    }
    for f in &feeds {
        let n = v.sources.get(f).map_or(0, |s| usage.of_source(s));
        add("feed", f, None, n);
    }
    for (origin, n) in zones.into_iter().zip(&usage.zones) {
        add("zone", origin, None, *n);
    }
    for (zone, masks, r) in publish {
        let counts = usage.of_reason(r).into_iter().zip(masks);
        let n = counts
            .filter(|(_, m)| m & r.bit() != 0)
            .map(|(n, _)| n)
            .sum();
        add("publish", v.reasons.name(r), Some(zone), n);
    }
    Ok(out)
}

/// The names that a configuration has left behind in a store that no daemon has open. Opens the
/// store read-only. Returns no names if there is no store yet.
///
/// # Errors
///
/// The store cannot be read.
pub fn left_behind_while_stopped(
    store: crate::store::StoreSettings,
    settings: &LedgerSettings,
) -> Result<Vec<LeftBehind>, StoreError> {
    Store::open_read_only(store)?
        .map_or_else(|| Ok(Vec::new()), |store| left_behind(&store, settings))
}
