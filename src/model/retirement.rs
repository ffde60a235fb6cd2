//! The stages of a zone's shutdown, with their times.

use serde::{Deserialize, Serialize};

use super::{
    retire::{MONTH, Retire},
    time::Time,
    zone::Zone,
};

/// How far a zone is on its way out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub enum RetirementStage {
    /// The zone lists as before, and announces its end.
    Announced,
    /// The zone lists nothing.
    Empty,
    /// The zone lists nothing, and its delegation may be removed.
    Over,
}

impl RetirementStage {
    /// The stage as it is sent.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The stages with their times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RetirementPlan {
    /// The present stage.
    pub stage: RetirementStage,
    /// The time of the announcement.
    #[serde(serialize_with = "as_text")]
    pub announced: Time,
    /// The time from which the zone is empty.
    #[serde(serialize_with = "as_text")]
    pub empty: Time,
    /// The time from which no mirror and no resolver can still have a listing. A mirror that cannot
    /// reach its primary answers until `expire`, and resolvers cache its answers for the zone's
    /// TTL.
    #[serde(serialize_with = "as_text")]
    pub unseen: Time,
    /// The time from which the NS records in the parent zone can be removed.
    #[serde(serialize_with = "as_text")]
    pub delegation: Time,
}

fn as_text<S: serde::Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(time)
}

impl RetirementPlan {
    /// The plan for a zone with this `[retire]` table.
    pub fn new(zone: &Zone, retire: &Retire, now: Time) -> RetirementPlan {
        let longest = zone
            .records
            .iter()
            .filter_map(|r| r.ttl)
            .chain([zone.longest_ttl(), zone.ttl, zone.minimum()])
            .max()
            .unwrap_or_default();
        let unseen = retire.empty_at.plus(zone.expire).plus(longest);
        let delegation = unseen.max(retire.empty_at.plus(MONTH));
        let stage = match now {
            n if n >= delegation => RetirementStage::Over,
            n if retire.is_empty(n) => RetirementStage::Empty,
            _ => RetirementStage::Announced,
        };
        RetirementPlan {
            stage,
            announced: retire.announce_at,
            empty: retire.empty_at,
            unseen,
            delegation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::zone::Lint;

    fn zone(tail: &str) -> Zone {
        let text = format!(
            "origin='bl.orbs.example'\nkind='address'\nns=['a.b.c','d.e.f']\ncontact='h@b.c'\npublish=[{{reason='r', code='127.0.0.2'}}]\n{tail}"
        );
        ::toml::from_str(&text).unwrap()
    }

    #[test]
    fn delegation_is_kept_until_mirrors_and_caches_have_expired() {
        let day = |text: &str| text.parse::<Time>();
        let z = zone(
            "ttl='1d'\nexpire='60d'\n[retire]\nannounce_at = '2026-01-01'\nempty_at = '2026-03-01'",
        );
        let r = z.retire.clone().unwrap();
        let at = |now: &str| RetirementPlan::new(&z, &r, day(now).unwrap());
        assert_eq!(at("2026-02-28").stage, RetirementStage::Announced);
        assert_eq!(at("2026-03-01").stage, RetirementStage::Empty);
        assert_eq!(
            (at("2026-03-01").unseen, at("2026-03-01").delegation),
            (day("2026-05-01").unwrap(), day("2026-05-01").unwrap())
        );
        assert_eq!(
            (at("2026-04-30").stage, at("2026-05-01").stage),
            (RetirementStage::Empty, RetirementStage::Over)
        );
        let quick =
            zone("expire='1d'\n[retire]\nannounce_at = '2026-01-01'\nempty_at = '2026-03-01'");
        let plan = RetirementPlan::new(&quick, &quick.retire.clone().unwrap(), Time(0));
        assert_eq!(
            (plan.unseen, plan.delegation),
            (
                Time(day("2026-03-02").unwrap().0 + 300),
                day("2026-03-31").unwrap()
            )
        );
    }

    #[test]
    fn shutdown_within_a_month_is_warned_about() {
        let lints = |tail: &str| zone(tail).lint(&["r".into()]);
        let month = "[retire]\nannounce_at = '2026-01-01'\nempty_at = '2026-02-01'";
        assert!(
            matches!(&lints(month)[..], [Lint::Warning(w)] if w.contains("nothing")),
            "{:?}",
            lints(month)
        );
        assert!(
            lints("[retire]\nannounce_at = '2026-01-01'\nempty_at = '2026-01-02'")
                .iter()
                .any(|l| matches!(l, Lint::Warning(w) if w.contains("6471")))
        );
    }
}
