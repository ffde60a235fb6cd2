//! What a zone publishes: a reason, or a rule over the listings of several reasons and sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::Ipv4Addr,
};

use serde::{Deserialize, Serialize};

use super::time::Seconds;

/// A family of subjects.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::Display,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
pub enum SubjectFamily {
    /// IPv4 addresses and prefixes.
    Ipv4,
    /// IPv6 addresses and prefixes.
    Ipv6,
    /// Domain names and digests.
    Name,
}

/// The lengths of the networks as which single addresses count, by family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PublishWidth {
    /// The bits of the network as which a single IPv6 address counts, unless its listing is exact.
    pub ipv6: u8,
}

impl PublishWidth {
    /// The lengths that `ipv6` can have: a shorter network belongs to many parties, and a longer
    /// one is less than the party at its address has.
    pub const IPV6: std::ops::RangeInclusive<u8> = 32..=64;
}

/// An entry of `publish`: a code, and the listings for which it is answered.
///
/// An entry with a `reason` and no condition publishes the listings for that reason. Every other
/// entry has a [`PublishRule`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
pub struct Publish {
    /// The reason's name; empty if `all` or `any` names reasons.
    pub reason: String,
    /// Reasons that all have to list the subject. Empty keys are not serialized, so that the stored
    /// hashes of zones without rules stay the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub all: Vec<String>,
    /// Reasons of which one is enough.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub any: Vec<String>,
    /// The sources whose listings count; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// The families whose listings count; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<SubjectFamily>,
    /// How many sources have to list the subject, each counted once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_sources: Option<u32>,
    /// The weights of sources; a source without one has the weight 0.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, u32>,
    /// What the weights of the sources that list the subject have to add up to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_score: Option<u32>,
    /// How wide the listing of a single address counts; `None`: as the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<PublishWidth>,
    /// How long ago a listing may have been seen last to count; `None`: any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_within: Option<Seconds>,
    /// The A record for it, in 127.0.0.0/8.
    pub code: Ipv4Addr,
    /// The TXT record of entries without a text of their own; `None`: the text of the reason.
    pub text: Option<String>,
    /// The TTL of record sets to which the reason contributes; `None`: the zone's `ttl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Seconds>,
}

impl Default for Publish {
    fn default() -> Publish {
        Publish {
            reason: String::new(),
            all: Vec::new(),
            any: Vec::new(),
            sources: Vec::new(),
            families: Vec::new(),
            min_sources: None,
            weights: BTreeMap::new(),
            min_score: None,
            width: None,
            seen_within: None,
            code: Ipv4Addr::UNSPECIFIED,
            text: None,
            ttl: None,
        }
    }
}

impl Publish {
    /// The reasons whose listings can be published, in the order of the file, each once.
    pub fn reasons(&self) -> impl Iterator<Item = &String> {
        let one = Some(&self.reason).filter(|r| !r.is_empty());
        let named: Vec<&String> = one.into_iter().chain(&self.all).chain(&self.any).collect();
        let mut seen = BTreeSet::new();
        named.into_iter().filter(move |r| seen.insert(*r))
    }

    /// Whether listings for a reason can be published.
    pub fn has_reason(&self, name: &str) -> bool {
        self.reasons().any(|r| r == name)
    }

    /// What the entry publishes, for people: a reason, or several as `a and b` or `a or b`.
    pub fn label(&self) -> String {
        if !self.reason.is_empty() {
            return self.reason.clone();
        }
        match self.all.is_empty() {
            false => self.all.join(" and "),
            true => self.any.join(" or "),
        }
    }

    /// The rule; `None` if the entry publishes all listings for one reason.
    pub fn rule(&self) -> Option<PublishRule> {
        let reasons: BTreeSet<String> = self.reasons().cloned().collect();
        let rule = PublishRule {
            all: match self.any.len() > 1 {
                true => BTreeSet::new(),
                false => reasons.clone(),
            },
            reasons,
            sources: self.sources.iter().cloned().collect(),
            families: self.families.iter().copied().collect(),
            min_sources: self.min_sources.filter(|n| *n > 1),
            weights: self.weights.clone(),
            min_score: self.min_score,
            ipv6_width: self.width.map(|width| width.ipv6),
            seen_within: self.seen_within,
        };
        let plain = PublishRule {
            reasons: rule.reasons.clone(),
            all: rule.all.clone(),
            ..PublishRule::default()
        };
        (rule.reasons.len() != 1 || rule != plain).then_some(rule)
    }

    /// What is wrong with the keys that say which listings count.
    pub(super) fn lint_rule(&self) -> Vec<String> {
        let mut out = Vec::new();
        let named = [&self.all, &self.any];
        let ways =
            usize::from(!self.reason.is_empty()) + named.iter().filter(|n| !n.is_empty()).count();
        if ways > 1 {
            out.push(
                "`reason`, `all` and `any` exclude each other; keep one of them (`all` lists what all its reasons list, `any` what one of them lists)"
                    .into(),
            );
        }
        for (key, names) in [
            ("all", &self.all),
            ("any", &self.any),
            ("sources", &self.sources),
        ] {
            let mut seen = BTreeSet::new();
            if let Some(twice) = names.iter().find(|n| !seen.insert(*n)) {
                out.push(format!("{key}: `{twice}` is named twice; remove one"));
            }
        }
        if self.min_sources == Some(0) {
            out.push("min_sources: 0 would list everything; use 1 or more".into());
        }
        let named = self.sources.len() as u32;
        if let Some(n) = self.min_sources.filter(|n| named > 0 && *n > named) {
            out.push(format!(
                "min_sources: {n} sources are needed and `sources` names {named}, so that nothing can be listed"
            ));
        }
        if self.seen_within.is_some_and(|s| s.0 == 0) {
            out.push(
                "seen_within: with 0s nothing could be listed; use a longer time, such as 7d"
                    .into(),
            );
        }
        if let Some(width) = self.width {
            let PublishWidth { ipv6 } = width;
            let (from, to) = PublishWidth::IPV6.into_inner();
            if !PublishWidth::IPV6.contains(&ipv6) {
                out.push(format!(
                    "width: ipv6 = {ipv6} is not between {from} and {to}; use the length of the network that one party has, such as 64"
                ));
            }
            if !self.families.is_empty() && !self.families.contains(&SubjectFamily::Ipv6) {
                out.push(
                    "width: ipv6 has no effect, because `families` leaves IPv6 out; add \"ipv6\" there, or remove the width"
                        .into(),
                );
            }
        }
        match (self.min_score, self.weights.is_empty()) {
            (Some(0), _) => out.push("min_score: 0 would list everything; use 1 or more".into()),
            (Some(_), true) => out.push(
                "min_score: no source has a weight; add them, such as weights = { feed-a = 2, operator = 5 }"
                    .into(),
            ),
            (None, false) => out.push(
                "weights: they have no effect without min_score; add it, or remove them".into(),
            ),
            _ => {}
        }
        let counted = |name: &String| self.sources.is_empty() || self.sources.contains(name);
        let reachable = self.weights.iter().filter(|(name, _)| counted(name));
        let reachable: u64 = reachable.map(|(_, weight)| u64::from(*weight)).sum();
        if let Some(n) = self
            .min_score
            .filter(|n| !self.weights.is_empty() && u64::from(*n) > reachable)
        {
            out.push(format!(
                "min_score: {n} is more than all weights together ({reachable}), so that nothing can be listed"
            ));
        }
        if let Some((name, _)) = self.weights.iter().find(|(name, _)| !counted(name)) {
            out.push(format!(
                "weights: `{name}` is not among `sources`, so that its listings do not count; add it there, or remove its weight"
            ));
        }
        out
    }
}

/// Which listings of a subject and of what covers it are published together.
///
/// More listings never end what a rule publishes: each condition that holds for some listings holds
/// for these and others. A listing that was last seen too long ago counts as none.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishRule {
    /// The reasons whose listings count.
    pub reasons: BTreeSet<String>,
    /// The reasons that all need a listing that counts.
    pub all: BTreeSet<String>,
    /// The sources whose listings count; empty: all.
    pub sources: BTreeSet<String>,
    /// The families whose listings count; empty: all.
    pub families: BTreeSet<SubjectFamily>,
    /// How many sources need a listing that counts; `None`: one.
    pub min_sources: Option<u32>,
    /// The weights of sources.
    pub weights: BTreeMap<String, u32>,
    /// What the weights of the sources with a listing that counts have to add up to.
    pub min_score: Option<u32>,
    /// The bits of the network as which the listing of a single IPv6 address counts, unless it is
    /// exact; `None`: as the address.
    pub ipv6_width: Option<u8>,
    /// How long ago a listing that counts may have been seen last; `None`: any time.
    pub seen_within: Option<Seconds>,
}

impl fmt::Display for PublishRule {
    /// Writes the rule as a sentence without a verb: `relay and spamsource, from a or b, listed by
    /// at least 2 sources`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |names: &BTreeSet<String>, word: &str| {
            names
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(word)
        };
        match self.all.is_empty() {
            false => f.write_str(&join(&self.all, " and "))?,
            true => f.write_str(&join(&self.reasons, " or "))?,
        }
        if !self.families.is_empty() {
            let all: Vec<String> = self.families.iter().map(ToString::to_string).collect();
            write!(f, ", only {}", all.join(" and "))?;
        }
        if let Some(bits) = self.ipv6_width {
            write!(f, ", a single IPv6 address as its /{bits}")?;
        }
        if !self.sources.is_empty() {
            write!(f, ", from {}", join(&self.sources, " or "))?;
        }
        if let Some(time) = self.seen_within {
            write!(f, ", seen within {time}")?;
        }
        if let Some(n) = self.min_sources {
            write!(f, ", listed by at least {n} sources")?;
        }
        if let Some(n) = self.min_score {
            let weights = self.weights.iter().map(|(name, n)| format!("{name} {n}"));
            let weights: Vec<String> = weights.collect();
            write!(f, ", with a score of at least {n} ({})", weights.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(text: &str) -> Publish {
        toml::from_str(&format!("code = '127.0.0.2'\n{text}")).unwrap()
    }

    #[test]
    fn entry_with_one_reason_and_no_condition_has_no_rule() {
        assert_eq!(publish("reason = 'relay'").rule(), None);
        assert_eq!(
            publish("all = ['relay']").rule(),
            None,
            "one reason is that reason"
        );
        assert_eq!(publish("any = ['relay']").rule(), None);
        assert_eq!(publish("reason = 'relay'\nmin_sources = 1").rule(), None);
        for text in [
            "any = ['relay']\nsources = ['a']",
            "any = ['relay', 'spam']",
            "all = ['relay', 'spam']",
            "reason = 'relay'\nfamilies = ['ipv4']",
            "reason = 'relay'\nmin_sources = 2",
            "reason = 'relay'\nmin_score = 2\nweights = { a = 2 }",
            "reason = 'relay'\nseen_within = '7d'",
            "reason = 'relay'\nwidth = { ipv6 = 64 }",
        ] {
            assert!(publish(text).rule().is_some(), "{text}");
        }
    }

    #[test]
    fn rules_are_equal_whatever_the_order_of_their_names() {
        let rule = |text: &str| publish(text).rule().unwrap();
        assert_eq!(
            rule("all = ['a', 'b']\nsources = ['x', 'y']"),
            rule("all = ['b', 'a']\nsources = ['y', 'x']")
        );
        assert_ne!(rule("all = ['a', 'b']"), rule("any = ['a', 'b']"));
    }

    #[test]
    fn rule_is_described_with_its_conditions() {
        let rule = publish(
            "any = ['relay', 'spam']\nfamilies = ['ipv6']\nwidth = { ipv6 = 56 }\nsources = ['b', 'a']\nseen_within = '7d'\nmin_sources = 2\nmin_score = 3\nweights = { a = 2, b = 1 }",
        )
        .rule()
        .unwrap();
        assert_eq!(
            rule.to_string(),
            "relay or spam, only ipv6, a single IPv6 address as its /56, from a or b, seen within 7d, listed by at least 2 sources, with a score of at least 3 (a 2, b 1)"
        );
    }

    #[test]
    fn condition_that_nothing_or_everything_meets_is_an_error() {
        let errors = |text: &str| publish(text).lint_rule();
        for (text, part) in [
            ("reason = 'a'\nall = ['b']", "exclude each other"),
            ("all = ['a']\nany = ['b']", "exclude each other"),
            ("all = ['a', 'a']", "all: `a` is named twice"),
            (
                "reason = 'a'\nsources = ['x', 'x']",
                "sources: `x` is named twice",
            ),
            ("reason = 'a'\nmin_sources = 0", "min_sources: 0"),
            (
                "reason = 'a'\nsources = ['x']\nmin_sources = 2",
                "`sources` names 1",
            ),
            (
                "reason = 'a'\nmin_score = 0\nweights = { x = 1 }",
                "min_score: 0",
            ),
            ("reason = 'a'\nseen_within = '0s'", "seen_within: with 0s"),
            ("reason = 'a'\nwidth = { ipv6 = 31 }", "width: ipv6 = 31"),
            ("reason = 'a'\nwidth = { ipv6 = 65 }", "width: ipv6 = 65"),
            (
                "reason = 'a'\nfamilies = ['name', 'ipv4']\nwidth = { ipv6 = 64 }",
                "width: ipv6 has no effect",
            ),
            ("reason = 'a'\nmin_score = 2", "no source has a weight"),
            ("reason = 'a'\nweights = { x = 1 }", "without min_score"),
            (
                "reason = 'a'\nmin_score = 4\nweights = { x = 1, y = 2 }",
                "together (3)",
            ),
            (
                "reason = 'a'\nsources = ['x']\nmin_score = 1\nweights = { x = 1, y = 2 }",
                "`y` is not among `sources`",
            ),
        ] {
            let found = errors(text);
            assert!(found.iter().any(|e| e.contains(part)), "{text}: {found:?}");
        }
        for text in [
            "reason = 'a'",
            "reason = 'a'\nwidth = { ipv6 = 32 }",
            "reason = 'a'\nfamilies = ['ipv6']\nwidth = { ipv6 = 64 }",
            "all = ['a', 'b']\nmin_sources = 2",
            "any = ['a', 'b']\nsources = ['x', 'y']\nmin_score = 3\nweights = { x = 1, y = 2 }",
        ] {
            assert_eq!(errors(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn width_of_another_family_is_an_unknown_key() {
        let text = "code = '127.0.0.2'\nreason = 'a'\nwidth = { ipv4 = 24 }";
        let error = toml::from_str::<Publish>(text).unwrap_err().to_string();
        assert!(
            error.contains("line 3") && error.contains("`ipv4`") && error.contains("`ipv6`"),
            "{error}"
        );
    }
}
