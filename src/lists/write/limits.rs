//! Names that a zone or an export format cannot contain, for look-ups.

use super::{
    WRITERS, check,
    rpz::{POLICY_ZONE_RESERVE, reserved},
};
use crate::{
    index::{ZoneView, zones::MAX_NAME},
    model::{Domain, Scope, ZoneKind},
};

/// The longest name in text, without its final dot (RFC 1035 section 2.3.4).
const MAX_TEXT_NAME: usize = MAX_NAME - 2;

/// An export format that leaves a name out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatLimit {
    /// The format.
    pub format: &'static str,
    /// Why a file of this format does not have the name.
    pub why: String,
}

/// Why no client can query a name in a domain zone; `None` if clients can.
pub fn never_asked(zone: &ZoneView, domain: &Domain) -> Option<String> {
    let whole = domain.name().len() + 1 + zone.name.len();
    // A name below has at least one more label, of at least one character.
    let (what, count) = match domain.scope() {
        Scope::Below => (
            "a name below it and the zone together have at least",
            whole + 2,
        ),
        Scope::Name | Scope::Tree => ("name and zone together have", whole),
    };
    let too_long = zone.spec.kind == ZoneKind::Domain && count > MAX_TEXT_NAME;
    too_long.then(|| format!("never asked: {what} {count} characters, at most {MAX_TEXT_NAME}"))
}

/// The formats whose exports of a zone leave a name out although the zone lists it.
pub fn left_out(zone: &ZoneView, domain: &Domain) -> Vec<FormatLimit> {
    if zone.spec.kind != ZoneKind::Domain {
        return Vec::new();
    }
    let never = never_asked(zone, domain);
    let formats = WRITERS.iter().map(|w| w.name);
    let limits = formats
        .filter(|f| check(f, "", zone.spec.kind).is_ok())
        .filter_map(|format| {
            let policy = || policy(domain).filter(|_| format == "rpz");
            Some(FormatLimit {
                format,
                why: never.clone().or_else(policy)?,
            })
        });
    limits.collect()
}

/// Why a policy zone does not have a name.
fn policy(domain: &Domain) -> Option<String> {
    let bytes = super::rpz::owner_bytes(domain);
    if reserved(domain.name()) {
        Some(
            "in a policy zone, names whose last label starts with `rpz-` are not host names".into(),
        )
    } else if bytes + POLICY_ZONE_RESERVE > MAX_NAME {
        Some(format!(
            "the name has {bytes} bytes in a message; {POLICY_ZONE_RESERVE} of the {MAX_NAME} that a name can have are reserved for the policy zone"
        ))
    } else {
        None
    }
}
