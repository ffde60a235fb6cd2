//! `[removal_policies]`: the policy of removal of each reason.

use super::{
    ReasonNames,
    document::{Report, Table},
    tables::File,
};
use crate::{
    model::Zone,
    tickets::{FEED_POLICY_KEY, OTHER_POLICY_KEY, RemovalPolicies, RemovalPolicy},
};

/// Checks that each key is a reason, and that each published reason has a policy or an end.
pub(super) fn check(
    file: &File,
    zones: &[Table<Zone>],
    reasons: &ReasonNames,
    report: &mut Report,
) {
    let table = &file.removal_policies;
    let shipped = RemovalPolicies::default();
    for key in &table.keys {
        let is_known = [FEED_POLICY_KEY, OTHER_POLICY_KEY].contains(&key.as_str())
            || shipped.reasons.contains_key(key);
        if let Some(why) = reasons.unknown(key).filter(|_| !is_known) {
            report.of(&table.place).error(key, why);
        }
    }
    for reason in &file.reason {
        let is_published = |z: &Table<Zone>| z.publish.iter().any(|p| p.has_reason(&reason.name));
        let policy = table.policies.of(&reason.name, false);
        let never_ends = policy == RemovalPolicy::None && reason.lifetime.is_none();
        if never_ends && zones.iter().any(is_published) {
            report.of(&reason.place).error(
                "",
                "a zone publishes it, and its listings never end: [removal_policies] has `none` for it, and it has no lifetime; set one of them",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        config::tests::{ZONE, load},
        tickets::RemovalPolicy,
    };

    #[test]
    fn keys_replace_shipped_policies() {
        let config = load(
            "[removal_policies]\nrelay='reviewed'\nothers='on-request'\n[[reason]]\nname='relay'",
            ZONE,
        );
        let policies = config.unwrap().tickets.policies;
        assert_eq!(policies.of("relay", false), RemovalPolicy::Reviewed);
        assert_eq!(policies.of("input", false), RemovalPolicy::AfterRetest);
        assert_eq!(policies.of("x", false), RemovalPolicy::OnRequest);
    }

    #[test]
    fn unknown_reason_and_unknown_policy_are_errors() {
        let e = load(
            "[removal_policies]\nrely='reviewed'\nrelay='revewed'\n[[reason]]\nname='relay'",
            ZONE,
        );
        let e = e.unwrap_err().0;
        assert!(
            e.iter().any(|l| l.contains("did you mean `relay`?")),
            "{e:?}"
        );
        assert!(
            e.iter().any(|l| l.contains("did you mean \"reviewed\"?")),
            "{e:?}"
        );
    }

    #[test]
    fn published_reason_needs_a_policy_or_an_end() {
        let e = load(
            "[removal_policies]\nrelay='none'\n[[reason]]\nname='relay'",
            ZONE,
        );
        let e = e.unwrap_err().0;
        assert!(e[0].contains("its listings never end"), "{e:?}");
        let with_end = "[removal_policies]\nrelay='none'\n[[reason]]\nname='relay'\nlifetime='90d'";
        load(with_end, ZONE).unwrap();
    }
}
