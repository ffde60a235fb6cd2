//! The listings that apply to a subject, each with its policy of removal.

use super::{error::TicketError, policies::RemovalPolicies, state::RemovalPolicy};
use crate::{
    ledger::Ledger,
    model::{Hold, Mask, ReasonId, SourceId, Subject, Time},
    relay::REASONS,
};

/// A published listing that applies to a subject: its own, or one of a wider subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketListing {
    /// The reason.
    pub reason: ReasonId,
    /// The name of the reason.
    pub name: String,
    /// The source.
    pub source: SourceId,
    /// The listed subject.
    pub listed: Subject,
    /// Since when it is listed.
    pub since: Time,
    /// When the listing expires; `None` if it does not.
    pub until: Option<Time>,
    /// How it can be removed.
    pub policy: RemovalPolicy,
}

/// Returns the reasons that a zone publishes for subjects of this kind.
fn published_mask(ledger: &Ledger, subject: &Subject) -> Mask {
    let snapshot = ledger.published.snapshot();
    let zones = snapshot.zones.all().iter();
    zones
        .filter(|z| z.spec.has_kind_of(subject))
        .fold(0, |all, z| all | z.listing_mask)
}

/// Returns the listings that apply to a subject and are published, each with its policy. The
/// nearest entry of each reason and source decides, as in answers. Holds of the subject itself that
/// end at `suspended_until` do not count.
///
/// # Errors
///
/// The store cannot be read.
pub fn listings_of(
    ledger: &Ledger,
    policies: &RemovalPolicies,
    subject: &Subject,
    suspended_until: Option<Time>,
) -> Result<Vec<TicketListing>, TicketError> {
    let (store, dictionary) = (&ledger.store, ledger.store.dictionary());
    let published = published_mask(ledger, subject);
    let (mut decided, mut held, mut out) = (Vec::new(), Vec::new(), Vec::new());
    for listed in std::iter::once(subject.clone()).chain(subject.wider()) {
        let verdict = store.verdict(&listed)?;
        if verdict.exempt.is_some() {
            return Ok(Vec::new());
        }
        let is_suspension = |h: &&Hold| listed == *subject && Some(h.until) == suspended_until;
        let holds = verdict.holds.iter().filter(|h| !is_suspension(h));
        held.extend(holds.map(|h| (h.reason, h.source)));
        for e in &verdict.entries {
            let (pair, every) = ((e.reason, e.source), (e.reason, SourceId::ALL));
            if decided.contains(&pair) || held.contains(&pair) || held.contains(&every) {
                continue;
            }
            decided.push(pair);
            if e.exclusion || published & e.reason.bit() == 0 {
                continue;
            }
            let name = dictionary.reasons.name(e.reason).to_string();
            let configured = policies.of(&name, dictionary.sources.is_of_others(e.source));
            let is_own = listed == *subject;
            out.push(TicketListing {
                policy: possible(configured, &name, e.source, is_own.then_some(subject)),
                reason: e.reason,
                name,
                source: e.source,
                listed: listed.clone(),
                since: e.since,
                until: e.until,
            });
        }
    }
    Ok(out)
}

/// Returns the policy that a listing can follow: only what a relay test of ours has listed can be
/// tested again, and only what is listed itself is an opt-out of its owner. A person decides about
/// the rest.
fn possible(
    configured: RemovalPolicy,
    reason: &str,
    source: SourceId,
    own: Option<&Subject>,
) -> RemovalPolicy {
    let is_possible = match configured {
        RemovalPolicy::AfterRetest => {
            source == SourceId::PROBER && own.is_some() && REASONS[..3].contains(&reason)
        }
        RemovalPolicy::ByOwner => own.is_some() && !source.is_feed(),
        _ => true,
    };
    if is_possible {
        configured
    } else {
        RemovalPolicy::Reviewed
    }
}
