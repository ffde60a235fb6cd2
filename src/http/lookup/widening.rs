//! The listings that apply to a subject in rules with a width, which count a single IPv6 address as
//! the network around it.

use std::collections::BTreeMap;

use super::applying::{ApplyingListing, applying};
use crate::{
    api::ProblemDetails,
    index::{
        Snapshot, ZoneView,
        derive::{DerivedReason, WidenedReason},
        rrsets::PublishedReason,
        widen::{counted_addresses, listed_addresses},
    },
    model::{Prefix6, Subject, Verdict},
    store::{Store, StoreError},
};

/// The most listed addresses of a network that a response names.
const MAX_ADDRESSES: usize = 5;
/// The most that it counts.
const MAX_COUNTED: usize = 1000;

/// The listings that apply to a subject, as each rule counts them.
#[derive(Debug)]
pub(super) struct Listings {
    /// By themselves.
    own: Vec<ApplyingListing>,
    /// By the width of rules, with single addresses as networks.
    widened: BTreeMap<u8, Vec<ApplyingListing>>,
}

impl Listings {
    /// Reads the listings that apply to a subject. `covering` are the verdicts of it and of what
    /// covers it, the nearest first.
    pub(super) fn read(
        store: &Store,
        snapshot: &Snapshot,
        subject: &Subject,
        covering: &[(Subject, Verdict)],
    ) -> Result<Listings, StoreError> {
        let mut out = Listings {
            own: applying(covering, !0),
            widened: BTreeMap::new(),
        };
        let Subject::V6(p) = subject else {
            return Ok(out);
        };
        let derivations = snapshot.zones.derivations();
        let mut by_width: BTreeMap<u8, Vec<WidenedReason>> = BTreeMap::new();
        let widened = derivations.widened().iter();
        for reason in widened.filter(|r| r.width <= p.len()) {
            by_width.entry(reason.width).or_default().push(*reason);
        }
        for (width, reasons) in by_width {
            let network = p.widen(width);
            let listings = widened_listings(store, snapshot, &reasons, network, covering)?;
            out.widened.insert(width, listings);
        }
        Ok(out)
    }

    /// The listings as a zone counts them for what it publishes with one code.
    pub(super) fn of(&self, published: &PublishedReason) -> &[ApplyingListing] {
        let derived = published.derived.as_ref();
        let width = derived.and_then(|d| d.width());
        let widened = width.and_then(|width| self.widened.get(&width));
        widened.unwrap_or(&self.own)
    }
}

/// The listings that apply to a subject in a network if single addresses count as the network.
fn widened_listings(
    store: &Store,
    snapshot: &Snapshot,
    reasons: &[WidenedReason],
    network: Prefix6,
    covering: &[(Subject, Verdict)],
) -> Result<Vec<ApplyingListing>, StoreError> {
    let mut chain = covering.to_vec();
    if let Some((_, own)) = chain.first_mut().filter(|(s, _)| s.is_ipv6_address()) {
        own.entries.retain(|e| e.exclusion || e.text.exact);
    }
    let is_around = |s: &Subject| matches!(s, Subject::V6(p) if p.len() <= network.len());
    let place = chain.iter().position(|(s, _)| is_around(s));
    let place = place.unwrap_or(chain.len());
    let network_subject = Subject::V6(network);
    if chain.get(place).is_none_or(|(s, _)| *s != network_subject) {
        chain.insert(place, (network_subject.clone(), Verdict::default()));
    }
    let (dictionary, mut addresses) = (store.dictionary(), BTreeMap::new());
    let tables = (&snapshot.tables.ip6, &snapshot.tables.interned);
    for counted in counted_addresses(tables, reasons, network) {
        let address = Subject::V6(counted.address);
        let pair = (counted.reason.reason, counted.source);
        let verdict = store.verdict_in(&dictionary, &address)?;
        // The listing may have ended since the snapshot was taken.
        if let Some(entry) = verdict.entry(pair.0, pair.1) {
            chain[place].1.put(entry.clone());
            addresses.insert(pair, address);
        }
    }
    let mut out = applying(&chain, !0);
    for l in out.iter_mut().filter(|l| l.listed == network_subject) {
        if let Some(address) = addresses.get(&(l.entry.reason, l.entry.source)) {
            l.listed = address.clone();
            l.network = Some(network);
        }
    }
    Ok(out)
}

/// The listed addresses of a network that a rule counts as the network.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NetworkAddresses {
    /// The network.
    pub network: Prefix6,
    /// A few of the addresses, in order.
    pub addresses: Vec<Prefix6>,
    /// How many more there are, up to [`MAX_COUNTED`].
    pub more: usize,
}

impl NetworkAddresses {
    /// The addresses that a rule counts.
    pub(super) fn of(snapshot: &Snapshot, derived: &DerivedReason, network: Prefix6) -> Self {
        let tables = (&snapshot.tables.ip6, &snapshot.tables.interned);
        let found = listed_addresses(tables, derived, network, MAX_COUNTED);
        NetworkAddresses {
            network,
            more: found.len().saturating_sub(MAX_ADDRESSES),
            addresses: found.into_iter().take(MAX_ADDRESSES).collect(),
        }
    }
}

/// The network as which a zone publishes a single IPv6 address, if it does.
pub(super) fn published_network(
    snapshot: &Snapshot,
    zone: &ZoneView,
    subject: &Subject,
) -> Option<Prefix6> {
    let Subject::V6(p) = subject else { return None };
    let value = snapshot.tables.ip6.get(p.first());
    let items = &snapshot.tables.interned.value(value).items;
    let mut widths = zone.publish.iter().filter_map(|published| {
        let width = published.derived.as_ref()?.width()?;
        let item = items.iter().find(|i| i.reason == published.reason)?;
        (item.len == width && p.is_host()).then_some(width)
    });
    widths.next().map(|width| p.widen(width))
}

/// Explains a removal that was refused because the subject is not listed, if listed addresses near
/// it are the cause of its publication.
pub fn explain_not_listed(
    snapshot: &Snapshot,
    subject: &Subject,
    mut problem: ProblemDetails,
) -> ProblemDetails {
    let Subject::V6(p) = subject else {
        return problem;
    };
    let rules = snapshot.zones.all().iter().flat_map(|zone| {
        let derived = zone.publish.iter().filter_map(|p| p.derived.as_ref());
        derived.map(move |derived| (zone, derived))
    });
    for (zone, derived) in rules {
        let Some(width) = derived.width().filter(|width| *width <= p.len()) else {
            continue;
        };
        let found = NetworkAddresses::of(snapshot, derived, p.widen(width));
        if let Some(first) = found.addresses.first() {
            let more = match found.more + found.addresses.len() {
                1 => String::new(),
                n => format!(" (and {} more addresses)", n - 1),
            };
            problem.detail += &format!(
                "; {} publishes its network {}, because {first}{more} is listed: remove that listing, or exempt {subject}",
                zone.name, found.network
            );
            break;
        }
    }
    problem
}
