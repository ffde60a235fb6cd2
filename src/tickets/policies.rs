//! Which policy of removal each reason has.

use std::collections::BTreeMap;

use super::state::RemovalPolicy;

/// The key of `[removal_policies]` for the reasons of feeds.
pub const FEED_POLICY_KEY: &str = "feeds";
/// The key of `[removal_policies]` for reasons without a key of their own.
pub const OTHER_POLICY_KEY: &str = "others";

/// The shipped policies.
const DEFAULTS: [(&str, RemovalPolicy); 12] = [
    ("relay", RemovalPolicy::AfterRetest),
    ("input", RemovalPolicy::AfterRetest),
    ("proxy", RemovalPolicy::AfterRetest),
    ("form", RemovalPolicy::AfterRetest),
    ("output", RemovalPolicy::WithLastInput),
    ("unconfirmed", RemovalPolicy::OnRequest),
    ("spamsource", RemovalPolicy::OnRequest),
    ("dynamic", RemovalPolicy::OwnerOfRange),
    ("generic", RemovalPolicy::OwnerOfRange),
    ("netblock", RemovalPolicy::Reviewed),
    ("manual", RemovalPolicy::Reviewed),
    ("notest", RemovalPolicy::ByOwner),
];

/// The policy of removal of each reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovalPolicies {
    /// The policy of each reason, by its name.
    pub reasons: BTreeMap<String, RemovalPolicy>,
    /// The policy of listings that a feed supplies, whatever their reason.
    pub feeds: RemovalPolicy,
    /// The policy of all other reasons.
    pub others: RemovalPolicy,
}

impl Default for RemovalPolicies {
    fn default() -> RemovalPolicies {
        RemovalPolicies {
            reasons: DEFAULTS.map(|(name, p)| (name.into(), p)).into(),
            feeds: RemovalPolicy::OnRequest,
            others: RemovalPolicy::Reviewed,
        }
    }
}

impl RemovalPolicies {
    /// Returns the policies of a table whose keys replace the defaults.
    pub fn with(table: &BTreeMap<String, RemovalPolicy>) -> RemovalPolicies {
        let mut out = RemovalPolicies::default();
        for (name, policy) in table {
            match name.as_str() {
                FEED_POLICY_KEY => out.feeds = *policy,
                OTHER_POLICY_KEY => out.others = *policy,
                _ => drop(out.reasons.insert(name.clone(), *policy)),
            }
        }
        out
    }

    /// Returns the policy of a reason, for a listing of a feed or another one.
    pub fn of(&self, reason: &str, is_feed: bool) -> RemovalPolicy {
        match self.reasons.get(reason) {
            _ if is_feed => self.feeds,
            Some(policy) => *policy,
            None => self.others,
        }
    }
}

impl RemovalPolicy {
    /// The name of the policy in the configuration and in the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether the requester has to prove control of the subject. A person can decide without.
    pub fn requires_proof(self) -> bool {
        matches!(
            self,
            RemovalPolicy::OwnerOfRange | RemovalPolicy::Reviewed | RemovalPolicy::ByOwner
        )
    }

    /// Whether a removal can be requested here.
    pub fn accepts_requests(self) -> bool {
        self != RemovalPolicy::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_replaces_defaults_and_feeds_have_their_own_policy() {
        let table = [
            ("relay".to_string(), RemovalPolicy::Reviewed),
            ("others".to_string(), RemovalPolicy::None),
            ("botnet".to_string(), RemovalPolicy::OnRequest),
        ];
        let policies = RemovalPolicies::with(&table.into());
        assert_eq!(policies.of("relay", false), RemovalPolicy::Reviewed);
        assert_eq!(policies.of("relay", true), RemovalPolicy::OnRequest);
        assert_eq!(policies.of("input", false), RemovalPolicy::AfterRetest);
        assert_eq!(policies.of("botnet", false), RemovalPolicy::OnRequest);
        assert_eq!(policies.of("unheard-of", false), RemovalPolicy::None);
        let shipped = RemovalPolicies::default();
        assert_eq!(shipped.of("unheard-of", false), RemovalPolicy::Reviewed);
    }
}
