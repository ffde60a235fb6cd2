//! What the zones of a reason publish: addresses, names or digests.

use std::fmt;

use super::{
    zone_set::ZoneSet,
    zones::{PublishedReason, ZoneView},
};
use crate::model::{
    Digest, ReasonId, Reasons, Scope, Subject, SubjectFamily, ZoneAddresses, ZoneKind,
};

/// The kinds of subject that the zones of a reason publish.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Families {
    /// IPv4 addresses and prefixes, by an address zone or a domain zone with addresses.
    pub ip4: bool,
    /// IPv6 addresses and prefixes, likewise.
    pub ip6: bool,
    /// Names, by a domain zone.
    pub names: bool,
    /// Digests of this form, by a hash zone.
    pub digest: Option<Digest>,
}

impl Families {
    /// Whether a subject is published if it is listed.
    pub fn publish(&self, subject: &Subject) -> bool {
        match subject {
            Subject::V4(_) => self.ip4,
            Subject::V6(_) => self.ip6,
            Subject::Domain(d) => {
                self.names || self.digest.is_some_and(|digest| digest.publishes(d))
            }
        }
    }

    /// What either of two publishes.
    #[must_use]
    pub fn or(self, other: Families) -> Families {
        Families {
            ip4: self.ip4 || other.ip4,
            ip6: self.ip6 || other.ip6,
            names: self.names || other.names,
            digest: self.digest.or(other.digest),
        }
    }

    /// Of these, what a published reason counts.
    #[must_use]
    fn only(self, published: &PublishedReason) -> Families {
        let names = published.has_family(SubjectFamily::Name);
        Families {
            ip4: self.ip4 && published.has_family(SubjectFamily::Ipv4),
            ip6: self.ip6 && published.has_family(SubjectFamily::Ipv6),
            names: self.names && names,
            digest: self.digest.filter(|_| names),
        }
    }

    /// Whether nothing is published.
    pub fn is_empty(&self) -> bool {
        *self == Families::default()
    }
}

impl fmt::Display for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digests = self.digest.map(|d| format!("{d} digests"));
        let addresses = match (self.ip4, self.ip6) {
            (true, true) => Some("addresses"),
            (true, false) => Some("IPv4 addresses"),
            (false, true) => Some("IPv6 addresses"),
            (false, false) => None,
        };
        let all = [addresses, self.names.then_some("names"), digests.as_deref()];
        let all: Vec<&str> = all.into_iter().flatten().collect();
        f.write_str(if all.is_empty() { "nothing" } else { "" })?;
        f.write_str(&all.join(" and "))
    }
}

impl ZoneSet {
    /// What all zones together publish for a reason. A zone that is retired counts: its file still
    /// publishes the reason.
    pub fn published(&self, reason: ReasonId) -> Families {
        let mut out = Families::default();
        for z in self.all() {
            for p in z.publish.iter().filter(|p| p.is_of(reason)) {
                out = out.or(families(z).only(p));
            }
        }
        out
    }

    /// The forms of the digests that are published for a reason, or for any.
    pub fn digests(&self, reason: Option<ReasonId>) -> Vec<Digest> {
        let mut out: Vec<Digest> = Vec::new();
        for z in self
            .all()
            .iter()
            .filter(|z| reason.is_none_or(|r| z.publish.iter().any(|p| p.is_of(r))))
        {
            out.extend(z.spec.digest.filter(|d| !out.contains(d)));
        }
        out
    }

    /// The addresses that domain zones publish besides names for a reason.
    pub fn domain_addresses(&self, reason: ReasonId) -> ZoneAddresses {
        let zones = self.all().iter();
        zones
            .filter(|z| z.spec.kind == ZoneKind::Domain)
            .filter(|z| z.publish.iter().any(|p| p.is_of(reason)))
            .fold(ZoneAddresses::None, |all, z| all.or(z.spec.addresses))
    }

    /// Why a subject that is listed for a reason would not be published, and which zones publish
    /// what; `None` if one publishes it.
    pub fn unpublished(
        &self,
        subject: &Subject,
        reason: ReasonId,
        reasons: &Reasons,
    ) -> Option<String> {
        if self.published(reason).publish(subject) {
            return None;
        }
        let name = reasons.name(reason);
        let zones = self
            .all()
            .iter()
            .filter(|z| z.publish.iter().any(|p| p.is_of(reason)));
        let of_reason: Vec<String> = zones
            .map(|z| format!("{} publishes {}", z.name, families(z)))
            .collect();
        let what = match subject {
            Subject::Domain(d)
                if d.scope() == Scope::Name && Digest::matches_any(d.name().as_bytes()) =>
            {
                "a digest"
            }
            Subject::Domain(_) => "a name",
            Subject::V4(_) => "an address",
            Subject::V6(_) => "an IPv6 address",
        };
        let mut text =
            format!("{subject} ({what}) would not be published for the reason `{name}`: ");
        text += &if of_reason.is_empty() {
            "no zone publishes this reason".to_string()
        } else {
            of_reason.join(", ")
        };
        let fits: Vec<String> = self
            .all()
            .iter()
            .flat_map(|z| z.publish.iter().map(move |p| (z, p)))
            .filter(|(z, p)| families(z).only(p).publish(subject))
            .map(|(z, p)| format!("`{}` ({})", p.name, z.name))
            .collect();
        if !fits.is_empty() {
            text += &format!("; the reasons that would publish it: {}", fits.join(", "));
        }
        text += "; to list it all the same, use --allow-unpublished (in the API: \"unpublished\": true)";
        Some(text)
    }
}

/// What a zone publishes.
fn families(z: &ZoneView) -> Families {
    Families {
        ip4: z.has_ip4,
        ip6: z.has_ip6,
        names: z.spec.kind == ZoneKind::Domain,
        digest: z.spec.digest.filter(|_| z.spec.kind == ZoneKind::Hash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{ZoneView, test_zone};

    fn set() -> (ZoneSet, Reasons) {
        let named = |kind: &str, publish: &[usize], extra: &str, name: &str| {
            let spec = test_zone(kind, publish, extra).spec;
            let spec = crate::model::Zone {
                origin: format!("{name}.orbs.example"),
                ..spec
            };
            let mut reasons = Reasons::default();
            (0..4).for_each(|i| drop(reasons.add(&format!("r{i}"))));
            (
                ZoneView::new(&spec, &reasons, &Default::default()).unwrap(),
                reasons,
            )
        };
        let (addresses, reasons) = named("address", &[0, 1], "", "bl");
        let zones = vec![
            addresses,
            named("domain", &[1], "", "dbl").0,
            named("hash", &[2], "digest = 'md5-hex'", "ebl").0,
        ];
        (ZoneSet::new(zones).unwrap(), reasons)
    }

    #[test]
    fn a_reason_publishes_what_its_zones_publish() {
        let (set, reasons) = set();
        let families = |r: &str| set.published(reasons.get(r).unwrap());
        assert_eq!(
            families("r0"),
            Families {
                ip4: true,
                ip6: true,
                ..Families::default()
            }
        );
        assert_eq!(
            families("r1"),
            Families {
                ip4: true,
                ip6: true,
                names: true,
                digest: None
            }
        );
        assert_eq!(
            families("r2"),
            Families {
                digest: Some(Digest::Md5Hex),
                ..Families::default()
            }
        );
        assert!(families("r3").is_empty());
        assert_eq!(families("r1").to_string(), "addresses and names");
        assert_eq!(
            (families("r2").to_string(), families("r3").to_string()),
            ("md5-hex digests".into(), "nothing".into())
        );
        assert_eq!(
            (set.digests(None), set.digests(reasons.get("r2"))),
            (vec![Digest::Md5Hex], vec![Digest::Md5Hex])
        );
        assert_eq!(set.digests(reasons.get("r0")), []);
    }

    #[test]
    fn domain_zone_with_addresses_publishes_names_and_addresses() {
        let set = |extra| ZoneSet::new(vec![test_zone("domain", &[0], extra)]).unwrap();
        let (address, name) = ("45.1.2.3".parse().unwrap(), "bad.example".parse().unwrap());
        for (extra, ip4, ip6, text) in [
            ("", false, false, "names"),
            ("addresses = true", true, false, "IPv4 addresses and names"),
            ("addresses = 'both'", true, true, "addresses and names"),
        ] {
            let (set, reason) = (set(extra), ReasonId(0));
            let families = set.published(reason);
            assert_eq!(families.to_string(), text);
            assert_eq!(families.publish(&address), ip4, "{extra}");
            assert_eq!(
                families.publish(&"2a00::1".parse().unwrap()),
                ip6,
                "{extra}"
            );
            assert!(families.publish(&name), "{extra}");
            assert_eq!(set.domain_addresses(reason), set.all()[0].spec.addresses);
            assert_eq!(set.domain_addresses(ReasonId(1)), ZoneAddresses::None);
        }
    }

    #[test]
    fn a_subject_that_no_zone_publishes_is_explained_with_the_zones_that_would() {
        let (set, reasons) = set();
        let digest = "d41d8cd98f00b204e9800998ecf8427e";
        let why = |s: &str, r: &str| {
            set.unpublished(&s.parse().unwrap(), reasons.get(r).unwrap(), &reasons)
        };
        for (s, r) in [
            ("45.1.2.3", "r0"),
            ("2a00::/32", "r1"),
            ("bad.example", "r1"),
            (digest, "r2"),
            (digest, "r1"),
        ] {
            assert_eq!(why(s, r), None, "{s} {r}");
        }
        let text = why("bad.example", "r0").unwrap();
        for part in [
            "bad.example (a name)",
            "`r0`",
            "bl.orbs.example publishes addresses",
            "`r1` (dbl.orbs.example)",
            "--allow-unpublished",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let text = why("45.1.2.3", "r2").unwrap();
        assert!(
            text.contains("ebl.orbs.example publishes md5-hex digests")
                && text.contains("`r0` (bl.orbs.example)"),
            "{text}"
        );
        let text = why(&digest[1..], "r2").unwrap();
        assert!(
            text.contains("(a name)"),
            "another length is not a digest: {text}"
        );
        assert!(
            why(&format!(".{digest}"), "r2").is_some()
                && why(&format!("*.{digest}"), "r2").is_some(),
            "there are no wildcards"
        );
        assert!(
            why("45.1.2.3", "r3")
                .unwrap()
                .contains("no zone publishes this reason")
        );
    }
}
