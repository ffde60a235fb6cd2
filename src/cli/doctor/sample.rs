//! The names that all servers of a zone are asked for, to see whether they agree.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_resolver::proto::rr::Name;

use crate::model::{Subject, Zone, ZoneKind};

/// The most listed names of a sample.
const MAX_NAMES: usize = 8;

/// The names of a zone by which mail servers recognise a list that works (RFC 5782 section 5): one
/// that is always listed, and one that never is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TestNames {
    pub(super) listed: String,
    pub(super) unlisted: String,
}

impl TestNames {
    pub(super) fn of(zone: &Zone) -> TestNames {
        let [listed, unlisted] = match zone.kind {
            ZoneKind::Address => ["2.0.0.127", "1.0.0.127"],
            _ => ["test", "invalid"],
        };
        let origin = origin(zone);
        TestNames {
            listed: format!("{listed}.{origin}"),
            unlisted: format!("{unlisted}.{origin}"),
        }
    }
}

/// The name of a zone, in lower case and without the dot at the end.
pub(super) fn origin(zone: &Zone) -> String {
    zone.origin.trim_end_matches('.').to_ascii_lowercase()
}

/// The name by which clients ask for an address in a zone (RFC 5782 sections 2.1 and 2.4).
pub(super) fn reversed(addr: IpAddr, origin: &str) -> String {
    let name = Name::from(addr).to_ascii();
    let labels = name.trim_end_matches('.').rsplitn(3, '.').nth(2);
    format!("{}.{origin}", labels.unwrap_or_default())
}

/// Names of a zone for some listed subjects, spread over all of them.
pub(super) fn names(zone: &Zone, listed: &[Subject]) -> Vec<String> {
    let origin = origin(zone);
    let name = |subject: &Subject| match subject {
        Subject::V4(p) => Some(reversed(Ipv4Addr::from_bits(p.first()).into(), &origin)),
        Subject::V6(p) => Some(reversed(Ipv6Addr::from_bits(p.first()).into(), &origin)),
        Subject::Domain(d) if zone.kind == ZoneKind::Domain => {
            Some(format!("{}.{origin}", d.name()))
        }
        Subject::Domain(_) => None,
    };
    let all: Vec<String> = listed
        .iter()
        .filter(|s| zone.has_kind_of(s))
        .filter_map(name)
        .collect();
    let step = all.len().div_ceil(MAX_NAMES).max(1);
    all.into_iter().step_by(step).collect()
}
