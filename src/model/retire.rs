//! The end of a list, in order (RFC 6471 section 3.4): it is announced for a month or more, then it
//! lists nobody, and long after that nobody is sent to it any more. At no time does it list the
//! world.
//!
//! A zone file says so in a `[retire]` table. Until `empty` the zone answers as ever; from then on
//! it lists nobody, and keeps its SOA, its name servers and its test points. The announcement
//! stands in TXT at the apex and at the test points all the time, where those look who wonder.
//! Nothing is lost: without the table the zone is what it was.

use serde::{Deserialize, Serialize};

use super::{
    time::{Seconds, Time},
    zone::{Lint, Zone, ZoneKind},
};

/// How long a list is announced at least, and how long it is empty at least before nobody is sent
/// to it any more.
pub const MONTH: Seconds = Seconds(30 * 86_400);

/// The `[retire]` table of a zone file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retire {
    /// When it was announced.
    #[serde(deserialize_with = "super::time::text")]
    pub announced: Time,
    /// From when on the zone lists nobody.
    #[serde(deserialize_with = "super::time::text")]
    pub empty: Time,
    /// What the announcement says, instead of our words.
    #[serde(default)]
    pub text: Option<String>,
}

impl Retire {
    /// Whether the zone lists nobody.
    pub fn is_empty(&self, now: Time) -> bool {
        now >= self.empty
    }

    /// The announcement, as a text of a zone: `$$` is a dollar.
    pub fn words(&self, zone: &str) -> String {
        match &self.text {
            Some(text) => text.clone(),
            None => format!(
                "{zone} is being shut down: it lists nobody from {} on. Please remove it from your mail server.",
                self.empty
            ),
        }
    }

    /// What is wrong or doubtful with it.
    pub(super) fn lint(&self, zone: &Zone, out: &mut Vec<Lint>) {
        if zone.kind == ZoneKind::Catalog {
            out.push(Lint::Error(
                "retire: a catalog lists nobody; take its file away instead".into(),
            ));
        }
        if self.empty < self.announced.plus(MONTH) {
            out.push(Lint::Warning(format!(
                "retire: {} comes less than {MONTH} after {}: lists are announced for a month or more (RFC 6471 section 3.4)",
                self.empty, self.announced
            )));
        }
        out.push(Lint::Warning(format!(
            "retire: this zone lists nobody from {} on",
            self.empty
        )));
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It lists as ever and says that it will end.
    Announced,
    /// It lists nobody.
    Empty,
    /// It lists nobody, and nobody has to be sent to it any more.
    Over,
}

/// The stages with their times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// How far it is.
    pub stage: Stage,
    /// When it was announced.
    #[serde(serialize_with = "shown")]
    pub announced: Time,
    /// From when on it lists nobody.
    #[serde(serialize_with = "shown")]
    pub empty: Time,
    /// From when on no resolver and no mirror can know a listing: a mirror that lost touch keeps
    /// what it has until `expire`, and gives it out with the zone's TTL.
    #[serde(serialize_with = "shown")]
    pub unseen: Time,
    /// From when on the parent's NS records may go.
    #[serde(serialize_with = "shown")]
    pub delegation: Time,
}

fn shown<S: serde::Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(time)
}

impl Plan {
    /// The plan of a zone that is to be retired so.
    pub fn new(zone: &Zone, retire: &Retire, now: Time) -> Plan {
        let longest = zone
            .records
            .iter()
            .filter_map(|r| r.ttl)
            .chain([zone.ttl, zone.minimum()])
            .max()
            .unwrap_or_default();
        let unseen = retire.empty.plus(zone.expire).plus(longest);
        let delegation = unseen.max(retire.empty.plus(MONTH));
        let stage = match now {
            n if n >= delegation => Stage::Over,
            n if retire.is_empty(n) => Stage::Empty,
            _ => Stage::Announced,
        };
        Plan {
            stage,
            announced: retire.announced,
            empty: retire.empty,
            unseen,
            delegation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(tail: &str) -> Zone {
        let text = format!(
            "origin='bl.orbs.example'\nkind='address'\nns=['a.b.c','d.e.f']\ncontact='h@b.c'\npublish=[{{reason='r', code='127.0.0.2'}}]\n{tail}"
        );
        ::toml::from_str(&text).unwrap()
    }

    #[test]
    fn the_plan_waits_for_mirrors_and_caches() {
        let day = |text: &str| text.parse::<Time>();
        let z =
            zone("ttl='1d'\nexpire='60d'\n[retire]\nannounced='2026-01-01'\nempty='2026-03-01'");
        let r = z.retire.clone().unwrap();
        let at = |now: &str| Plan::new(&z, &r, day(now).unwrap());
        assert_eq!(at("2026-02-28").stage, Stage::Announced);
        assert_eq!(at("2026-03-01").stage, Stage::Empty);
        assert_eq!(
            (at("2026-03-01").unseen, at("2026-03-01").delegation),
            (day("2026-05-01").unwrap(), day("2026-05-01").unwrap())
        );
        assert_eq!(
            (at("2026-04-30").stage, at("2026-05-01").stage),
            (Stage::Empty, Stage::Over)
        );
        let quick = zone("expire='1d'\n[retire]\nannounced='2026-01-01'\nempty='2026-03-01'");
        let plan = Plan::new(&quick, &quick.retire.clone().unwrap(), Time(0));
        assert_eq!(
            (plan.unseen, plan.delegation),
            (
                Time(day("2026-03-02").unwrap().0 + 300),
                day("2026-03-31").unwrap()
            )
        );
    }

    #[test]
    fn a_hasty_end_is_doubtful() {
        let lints = |tail: &str| zone(tail).lint(&["r".into()]);
        let month = "[retire]\nannounced='2026-01-01'\nempty='2026-02-01'";
        assert!(
            matches!(&lints(month)[..], [Lint::Warning(w)] if w.contains("nobody")),
            "{:?}",
            lints(month)
        );
        assert!(
            lints("[retire]\nannounced='2026-01-01'\nempty='2026-01-02'")
                .iter()
                .any(|l| matches!(l, Lint::Warning(w) if w.contains("6471")))
        );
    }
}
