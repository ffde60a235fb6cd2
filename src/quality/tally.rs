//! Counts the facts about listings, claims, removals and requests for each zone and each source.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    claims::{ClaimResult, DecidedClaim},
    figures::{ClaimFigures, ProofFigures, QualityFigures, RECENT, RemovalFigures, RequestFigures},
    histogram::Histogram,
    requests::RequestTimes,
};
use crate::{
    model::{
        Event, EventKind, EvidenceKind, Mask, ReasonId, SourceId, Subject, Time, Verdict, Zone,
        time::Seconds,
    },
    tickets::{ANSWER_WITHIN, DECIDE_WITHIN},
};

const DAY: u64 = 86_400;

/// What is counted for one zone or source.
#[derive(Debug, Clone, Default)]
struct Counts {
    figures: QualityFigures,
    proof_ages: Histogram,
    release_times: Histogram,
    spread_times: Histogram,
}

impl Counts {
    fn figures(self) -> QualityFigures {
        let all = self.figures;
        QualityFigures {
            proofs: ProofFigures {
                age_days: self.proof_ages.percentiles(),
                ..all.proofs
            },
            claims: ClaimFigures {
                release_seconds: self.release_times.percentiles(),
                ..all.claims
            },
            removals: RemovalFigures {
                spread_seconds: self.spread_times.percentiles(),
                ..all.removals
            },
            requests: all.requests,
        }
    }

    fn add_entry(&mut self, proved: Option<Time>, now: Time) {
        self.figures.proofs.entries += 1;
        let Some(at) = proved else { return };
        let age = now.0.saturating_sub(at.0);
        self.figures.proofs.proved += 1;
        self.figures.proofs.proved_recently += u64::from(age <= RECENT.0);
        self.proof_ages.add(age / DAY);
    }

    fn add_claim(&mut self, claim: &DecidedClaim) {
        let claims = &mut self.figures.claims;
        *match claim.result {
            ClaimResult::Closed => &mut claims.closed,
            ClaimResult::Open => &mut claims.open,
            ClaimResult::Blocked => &mut claims.blocked,
            ClaimResult::Undecided => &mut claims.undecided,
        } += 1;
        if claim.released {
            self.release_times.add(claim.decided.0 - claim.made.0);
        }
    }

    fn add_request(&mut self, request: &RequestTimes, now: Time) {
        let took = request
            .answered
            .map(|at| at.0.saturating_sub(request.asked.0));
        let age = now.0.saturating_sub(request.asked.0);
        let is_due = |limit: Seconds| u64::from(took.is_some() || age > limit.0);
        let is_answered = |limit: Seconds| u64::from(took.is_some_and(|took| took <= limit.0));
        let requests: &mut RequestFigures = &mut self.figures.requests;
        requests.requests += 1;
        requests.due_2_days += is_due(ANSWER_WITHIN);
        requests.answered_2_days += is_answered(ANSWER_WITHIN);
        requests.due_7_days += is_due(DECIDE_WITHIN);
        requests.answered_7_days += is_answered(DECIDE_WITHIN);
    }
}

/// A zone whose figures are counted.
#[derive(Debug, Clone)]
pub(super) struct CountedZone {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub zone: Zone,
    /// The reasons that it publishes.
    pub reasons: Mask,
}

/// A listing that a fact is about.
pub(super) type ReasonAndSource = (ReasonId, SourceId);

/// Counts facts for each zone and each source.
#[derive(Debug)]
pub(super) struct Tally {
    now: Time,
    zones: Vec<(CountedZone, Counts)>,
    /// The reasons that are not counted.
    uncounted: Mask,
    sources: BTreeMap<SourceId, Counts>,
}

impl Tally {
    /// A tally without facts. Listings for the reasons `uncounted` do not count.
    pub(super) fn new(now: Time, zones: Vec<CountedZone>, uncounted: Mask) -> Tally {
        let with_counts = |zone| (zone, Counts::default());
        Tally {
            now,
            zones: zones.into_iter().map(with_counts).collect(),
            uncounted,
            sources: BTreeMap::new(),
        }
    }

    /// Those of some reasons that are counted.
    pub(super) fn counted(&self, reasons: Mask) -> Mask {
        reasons & !self.uncounted
    }

    /// The counts of a source; `None` for all sources at once.
    fn source(&mut self, source: SourceId) -> Option<&mut Counts> {
        (source != SourceId::ALL).then(|| self.sources.entry(source).or_default())
    }

    /// Counts a listed subject, by its verdict and its events. An entry counts for its source and
    /// for each zone that publishes its reason.
    pub(super) fn add_subject(&mut self, subject: &Subject, verdict: &Verdict, events: &[Event]) {
        let listed: Vec<ReasonAndSource> =
            verdict.in_force().map(|e| (e.reason, e.source)).collect();
        if listed.is_empty() {
            return;
        }
        let proofs = proofs(events);
        let now = self.now;
        self.each(subject, &listed, |reasons, counts| {
            let of_listed = proofs.iter().filter(|(r, _)| reasons & r.bit() != 0);
            counts.add_entry(of_listed.map(|(_, at)| *at).max(), now);
        });
    }

    /// Counts a claim of a host that had these listings.
    pub(super) fn add_claim(
        &mut self,
        subject: &Subject,
        listed: &[ReasonAndSource],
        claim: &DecidedClaim,
    ) {
        self.each(subject, listed, |_, counts| counts.add_claim(claim));
    }

    /// Counts a decision that ended or suppressed these listings of a subject.
    pub(super) fn add_removal(
        &mut self,
        subject: &Subject,
        removed: &[ReasonAndSource],
        is_in_error: bool,
    ) {
        self.each(subject, removed, |_, counts| {
            counts.figures.removals.removals += 1;
            counts.figures.removals.listed_in_error += u64::from(is_in_error);
        });
    }

    /// Counts a request for the removal of a subject, by the reasons and sources that list it.
    pub(super) fn add_request(
        &mut self,
        subject: &Subject,
        (reasons, sources): (Mask, &[SourceId]),
        request: &RequestTimes,
    ) {
        let now = self.now;
        for (zone, counts) in &mut self.zones {
            if zone.reasons & reasons != 0 && zone.zone.has_kind_of(subject) {
                counts.add_request(request, now);
            }
        }
        for source in sources {
            if let Some(counts) = self.source(*source) {
                counts.add_request(request, now);
            }
        }
    }

    /// Counts how long a removal took to reach all servers of each zone, by the name of the zone. A
    /// source gets the slowest of these zones.
    pub(super) fn add_spread(
        &mut self,
        zones: &BTreeMap<&str, Option<Seconds>>,
        sources: &[SourceId],
    ) {
        let add = |counts: &mut Counts, took: &Option<Seconds>| match took {
            Some(took) => counts.spread_times.add(took.0),
            None => counts.figures.removals.spreading += 1,
        };
        for (zone, counts) in &mut self.zones {
            if let Some(took) = zones.get(zone.name.as_str()) {
                add(counts, took);
            }
        }
        if zones.is_empty() {
            return;
        }
        let all: Option<Vec<Seconds>> = zones.values().copied().collect();
        let slowest = all.and_then(|all| all.into_iter().max());
        for source in sources {
            if let Some(counts) = self.source(*source) {
                add(counts, &slowest);
            }
        }
    }

    /// Returns the figures: those of each zone by its name, and those of each source.
    pub(super) fn figures(
        self,
    ) -> (
        BTreeMap<String, QualityFigures>,
        BTreeMap<SourceId, QualityFigures>,
    ) {
        let zones = self.zones.into_iter();
        let zones = zones.map(|(z, counts)| (z.name, counts.figures()));
        let sources = self.sources.into_iter();
        let sources = sources.map(|(s, counts)| (s, counts.figures()));
        (zones.collect(), sources.collect())
    }

    /// Calls `add` once for each zone and each source that has some of these listings, with the
    /// reasons of those that it has.
    fn each(
        &mut self,
        subject: &Subject,
        listed: &[ReasonAndSource],
        mut add: impl FnMut(Mask, &mut Counts),
    ) {
        let listed: Vec<ReasonAndSource> = listed
            .iter()
            .filter(|(r, _)| self.counted(r.bit()) != 0)
            .copied()
            .collect();
        let reasons = listed.iter().fold(0, |all, (r, _)| all | r.bit());
        for (zone, counts) in &mut self.zones {
            let published = zone.reasons & reasons;
            if published != 0 && zone.zone.has_kind_of(subject) {
                add(published, counts);
            }
        }
        let sources: BTreeSet<SourceId> = listed.iter().map(|(_, s)| *s).collect();
        for source in sources {
            let own = listed.iter().filter(|(_, s)| *s == source);
            let reasons = own.fold(0, |all, (r, _)| all | r.bit());
            if let Some(counts) = self.source(source) {
                add(reasons, counts);
            }
        }
    }
}

/// Returns the last proof of each reason that still holds: a removal ends the proofs before it.
fn proofs(events: &[Event]) -> BTreeMap<ReasonId, Time> {
    let mut out = BTreeMap::new();
    for event in events {
        match &event.kind {
            EventKind::Listed {
                reason,
                source,
                exclusion: false,
                ..
            } if is_proof(event, *source) => {
                out.insert(*reason, event.at);
            }
            EventKind::Delisted { reason, .. } | EventKind::Held { reason, .. } => {
                out.remove(reason);
            }
            _ => {}
        }
    }
    out
}

/// Whether the event of a listing has a proof: a message that the host relayed, or one that a trap
/// received.
fn is_proof(event: &Event, source: SourceId) -> bool {
    let kind = event.evidence.as_ref().map(|e| e.kind);
    match kind {
        Some(EvidenceKind::Delivery | EvidenceKind::Probe | EvidenceKind::Trap) => true,
        Some(EvidenceKind::Statement | EvidenceKind::Import | EvidenceKind::ListedInError)
        | None => source == SourceId::TRAP,
    }
}

/// Returns the listings that an event ends or suppresses by a decision; the source is
/// [`SourceId::ALL`] for those of all sources.
pub(super) fn removed(event: &Event) -> Option<ReasonAndSource> {
    match event.kind {
        EventKind::Delisted { reason, source } | EventKind::Held { reason, source, .. } => {
            Some((reason, source))
        }
        _ => None,
    }
}

/// Whether an event states that the listing which it ends was an error.
pub(super) fn is_in_error(event: &Event) -> bool {
    let kind = event.evidence.as_ref().map(|e| e.kind);
    kind == Some(EvidenceKind::ListedInError)
}
