//! How the rules of a zone apply to the listings of a subject.

use std::net::Ipv4Addr;

use super::{
    applying::ApplyingListing,
    widening::{Listings, NetworkAddresses},
};
use crate::{
    api::AppliedRuleResponse,
    index::{
        Snapshot, ZoneView,
        derive::{DerivedReason, Listed},
        rrsets::PublishedReason,
    },
    model::{Mask, PublishRule, ReasonId, SourceId, Subject, time::Seconds},
    store::Dictionary,
};

/// The listings that count for what a zone publishes with one code.
pub(super) fn counted<'l>(
    published: &'l PublishedReason,
    subject: &'l Subject,
    listings: &'l Listings,
) -> impl Iterator<Item = &'l ApplyingListing> + Clone {
    let family = subject.family();
    let is_rule = published.derived.is_some();
    let counts = move |l: &&ApplyingListing| {
        (is_rule || !l.is_second) && published.counts(family, listed(l))
    };
    listings.of(published).iter().filter(counts)
}

fn listed(l: &ApplyingListing) -> Listed {
    Listed {
        reason: l.entry.reason,
        source: l.entry.source,
        aged: l.entry.aged,
    }
}

/// Whether the listings that count for what a zone publishes with one code are enough.
pub(super) fn is_published(
    published: &PublishedReason,
    subject: &Subject,
    listings: &Listings,
) -> bool {
    let mut counted = counted(published, subject, listings);
    match &published.derived {
        None => counted.next().is_some(),
        Some(derived) => derived.is_listed(counted.map(listed)),
    }
}

/// The rules of a zone of which a listing is part, in the order of the zone.
pub(super) fn applied_rules(
    snapshot: &Snapshot,
    dictionary: &Dictionary,
    zone: &ZoneView,
    subject: &Subject,
    listings: &Listings,
) -> Vec<AppliedRuleResponse> {
    let mut out = Vec::new();
    for (p, spec) in zone.publish.iter().zip(&zone.spec.publish) {
        let (Some(derived), Some(rule)) = (&p.derived, spec.rule()) else {
            continue;
        };
        let listings = listings.of(p).iter();
        let concerned = listings.filter(|l| derived.concerns(subject.family(), listed(l)));
        let network = concerned.clone().find_map(|l| l.network);
        let concerned: Vec<Listed> = concerned.map(listed).collect();
        if !concerned.is_empty() {
            let (counted, unseen): (Vec<Listed>, Vec<Listed>) = concerned
                .into_iter()
                .partition(|l| derived.counts(subject.family(), *l));
            let listings = [&counted[..], &unseen[..]];
            let network = network.map(|n| NetworkAddresses::of(snapshot, derived, n));
            out.push(applied_rule(
                dictionary,
                derived,
                p.code,
                &rule,
                listings,
                network.as_ref(),
            ));
        }
    }
    out
}

/// `counted` are the listings that count, and `unseen` those that were last seen too long ago.
fn applied_rule(
    dictionary: &Dictionary,
    derived: &DerivedReason,
    code: [u8; 4],
    rule: &PublishRule,
    [counted, unseen]: [&[Listed]; 2],
    network: Option<&NetworkAddresses>,
) -> AppliedRuleResponse {
    let sources = sources_of(counted);
    let mut unseen = sources_of(unseen);
    unseen.retain(|s| !sources.contains(s));
    let mask: Mask = counted.iter().fold(0, |mask, l| mask | l.reason.bit());
    let reasons = |mask| {
        let all = ReasonId::all_of(mask).map(|r| dictionary.reasons.name(r).to_string());
        all.collect::<Vec<String>>()
    };
    let names = |sources: &[SourceId]| {
        let names = sources.iter().map(|s| dictionary.sources.name(*s).into());
        names.collect::<Vec<String>>()
    };
    let has_score = derived.min_score > 0;
    let score = || sources.iter().map(|s| derived.weight(*s)).sum();
    let mut out = AppliedRuleResponse {
        code: Ipv4Addr::from(code).to_string(),
        rule: rule.to_string(),
        listed: derived.is_listed(counted.iter().copied()),
        reasons: reasons(mask),
        missing_reasons: reasons(derived.all & !mask),
        sources: names(&sources),
        unseen_sources: names(&unseen),
        sources_needed: derived.min_sources,
        score: has_score.then(score),
        score_needed: has_score.then_some(derived.min_score),
        network: network.map(|n| n.network.to_string()),
        addresses: network
            .iter()
            .flat_map(|n| &n.addresses)
            .map(ToString::to_string)
            .collect(),
        more_addresses: network.map_or(0, |n| n.more),
        explanation: String::new(),
    };
    out.explanation = explanation(&out, rule.seen_within);
    out
}

/// The sources of listings, each once.
fn sources_of(listings: &[Listed]) -> Vec<SourceId> {
    let mut sources: Vec<SourceId> = listings.iter().map(|l| l.source).collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

/// What the listings are, and what they have to be, in words.
fn explanation(r: &AppliedRuleResponse, seen_within: Option<Seconds>) -> String {
    let sources = r.sources.join(", ");
    let mut parts = Vec::new();
    if !r.missing_reasons.is_empty() && !r.reasons.is_empty() {
        parts.push(format!(
            "listed for {}, not for {}",
            r.reasons.join(", "),
            r.missing_reasons.join(", ")
        ));
    }
    match r.sources_needed {
        0 | 1 if r.sources.is_empty() => {}
        needed if r.sources.is_empty() => parts.push(format!("0 of {needed} sources needed")),
        0 | 1 => parts.push(format!("listed by {sources}")),
        needed => parts.push(format!(
            "{} of {needed} sources needed: {sources}",
            r.sources.len()
        )),
    }
    if let (Some(score), Some(needed)) = (r.score, r.score_needed) {
        parts.push(format!("a score of {score}, {needed} needed"));
    }
    if let Some(time) = seen_within.filter(|_| !r.unseen_sources.is_empty()) {
        let unseen = r.unseen_sources.join(", ");
        parts.push(format!("not seen within {time}: {unseen}"));
    }
    if let Some((network, (first, others))) = r.network.as_ref().zip(r.addresses.split_first()) {
        let (joined, verb) = match (others.is_empty(), r.more_addresses) {
            (true, 0) => (first.clone(), "counts"),
            (_, 0) => (r.addresses.join(", "), "count"),
            (_, n) => (format!("{} and {n} more", r.addresses.join(", ")), "count"),
        };
        parts.push(format!("{joined} {verb} as {network}"));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanation_says_what_is_there_and_what_is_missing() {
        let rule = AppliedRuleResponse {
            code: "127.0.0.2".into(),
            rule: "relay and spamsource".into(),
            listed: false,
            reasons: vec!["relay".into()],
            missing_reasons: vec!["spamsource".into()],
            sources: vec!["operator".into(), "feed-a".into()],
            unseen_sources: Vec::new(),
            sources_needed: 1,
            score: None,
            score_needed: None,
            network: None,
            addresses: Vec::new(),
            more_addresses: 0,
            explanation: String::new(),
        };
        assert_eq!(
            explanation(&rule, None),
            "listed for relay, not for spamsource; listed by operator, feed-a"
        );
        let rule = AppliedRuleResponse {
            missing_reasons: Vec::new(),
            sources_needed: 3,
            score: Some(4),
            score_needed: Some(5),
            ..rule
        };
        assert_eq!(
            explanation(&rule, None),
            "2 of 3 sources needed: operator, feed-a; a score of 4, 5 needed"
        );
        let rule = AppliedRuleResponse {
            reasons: Vec::new(),
            missing_reasons: vec!["relay".into()],
            sources: Vec::new(),
            unseen_sources: vec!["feed-a".into()],
            sources_needed: 1,
            score: None,
            score_needed: None,
            ..rule
        };
        assert_eq!(
            explanation(&rule, Some(Seconds(7 * 86_400))),
            "not seen within 7d: feed-a"
        );
        let rule = AppliedRuleResponse {
            missing_reasons: Vec::new(),
            sources: vec!["operator".into()],
            unseen_sources: Vec::new(),
            network: Some("2001:db8::/64".into()),
            addresses: vec!["2001:db8::1".into()],
            ..rule
        };
        assert_eq!(
            explanation(&rule, None),
            "listed by operator; 2001:db8::1 counts as 2001:db8::/64"
        );
        let rule = AppliedRuleResponse {
            addresses: vec!["2001:db8::1".into(), "2001:db8::2".into()],
            more_addresses: 7,
            ..rule
        };
        assert_eq!(
            explanation(&rule, None),
            "listed by operator; 2001:db8::1, 2001:db8::2 and 7 more count as 2001:db8::/64"
        );
    }
}
