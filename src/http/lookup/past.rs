//! The past of a subject: its public time line, and the end of its last listing.

use std::collections::BTreeMap;

use super::applying::applying;
use crate::{
    api::{TimelineEventResponse, TimelineKind},
    model::{Event, EventKind, Mask, ReasonId, SourceId, Subject, Time, Verdict},
    store::{Dictionary, Store, StoreError},
};

/// The most events of a time line.
pub(super) const MAX_TIMELINE: usize = 50;
/// The most events from which the end of the last listing is computed: the newest of the subject
/// and of what covers it.
const MAX_EVENTS: usize = 2_000;

/// The end of the last listing of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastEnd {
    /// When no listing applied any more.
    pub at: Time,
    /// The reasons that had applied until then.
    pub reasons: Mask,
}

/// The public events of a subject, the newest first: without authors, notes and sources, and only
/// for published reasons.
pub(super) fn timeline(
    history: &[Event],
    dictionary: &Dictionary,
    published: Mask,
) -> Vec<TimelineEventResponse> {
    let mut open: Vec<(ReasonId, SourceId)> = Vec::new();
    let mut out: Vec<TimelineEventResponse> = Vec::new();
    for e in history {
        let mut close = |pair: (ReasonId, SourceId), kind: TimelineKind| {
            let before = open.len();
            open.retain(|p| *p != pair);
            (open.len() < before).then_some((kind, Some(pair.0)))
        };
        let found = match &e.kind {
            EventKind::Listed {
                reason,
                source,
                exclusion: false,
                ..
            } => {
                let is_known = open.contains(&(*reason, *source));
                if !is_known {
                    open.push((*reason, *source));
                }
                let kind = match is_known {
                    true => TimelineKind::Renewed,
                    false => TimelineKind::Listed,
                };
                Some((kind, Some(*reason)))
            }
            EventKind::Listed { reason, source, .. } => {
                close((*reason, *source), TimelineKind::Removed)
            }
            EventKind::Delisted { reason, source } | EventKind::Dropped { reason, source } => {
                close((*reason, *source), TimelineKind::Removed)
            }
            EventKind::Expired { reason, source } => {
                close((*reason, *source), TimelineKind::Expired)
            }
            EventKind::Held { reason, .. } => Some((TimelineKind::Held, Some(*reason))),
            EventKind::HoldEnded { reason, .. } => Some((TimelineKind::HoldEnded, Some(*reason))),
            EventKind::Exempted { .. } => Some((TimelineKind::Exempted, None)),
            EventKind::ExemptEnded => Some((TimelineKind::HoldEnded, None)),
        };
        let Some((kind, reason)) = found else {
            continue;
        };
        if reason.is_some_and(|r| published & r.bit() == 0) {
            continue;
        }
        let event = TimelineEventResponse {
            at: e.at.into(),
            kind,
            reason: reason.map(|r| dictionary.reasons.name(r).into()),
        };
        // Several sources may do the same at once.
        if out.last() != Some(&event) {
            out.push(event);
        }
    }
    out.reverse();
    out.truncate(MAX_TIMELINE);
    out
}

/// The end of the last listing that applied to a subject which no listing applies to now; `None` if
/// none ever did.
pub(super) fn last_end(
    store: &Store,
    subject: &Subject,
    history: &[Event],
    published: Mask,
) -> Result<Option<LastEnd>, StoreError> {
    let wider = store.with_history(&subject.wider())?;
    let mut events: Vec<(usize, Event)> = history.iter().map(|e| (0, e.clone())).collect();
    for (i, s) in wider.iter().enumerate() {
        events.extend(store.history(s)?.into_iter().map(|e| (i + 1, e)));
    }
    // Of events in one second, those of wider subjects come first: what happens to the nearer one
    // is an exception to them.
    events.sort_by_key(|(i, e)| (e.at, std::cmp::Reverse(*i)));
    events.drain(..events.len().saturating_sub(MAX_EVENTS));
    let subjects: Vec<Subject> = std::iter::once(subject.clone()).chain(wider).collect();
    Ok(end_of(&subjects, &events, published))
}

/// Replays events of subjects, each with the index of its subject, the nearest subject first.
fn end_of(subjects: &[Subject], events: &[(usize, Event)], published: Mask) -> Option<LastEnd> {
    let mut verdicts: BTreeMap<usize, (Subject, Verdict)> = BTreeMap::new();
    let (mut before, mut end) = (0, None);
    let mut step = |verdicts: &BTreeMap<usize, (Subject, Verdict)>, at: Time| {
        let listings = applying(verdicts.values(), published);
        let reasons: Mask = listings.iter().fold(0, |m, l| m | l.entry.reason.bit());
        if reasons == 0 && before != 0 {
            end = Some(LastEnd {
                at,
                reasons: before,
            });
        } else if reasons != 0 {
            end = None;
        }
        before = reasons;
    };
    for (i, e) in events {
        let Some(subject) = subjects.get(*i) else {
            continue;
        };
        let entry = verdicts
            .entry(*i)
            .or_insert_with(|| (subject.clone(), Verdict::default()));
        entry.1.fold(e.at, &e.kind);
        step(&verdicts, e.at);
    }
    // Something without an event of its own has ended it, after the last event.
    let last = events.last().filter(|_| end.is_none() && before != 0);
    end.or_else(|| {
        last.map(|(_, e)| LastEnd {
            at: e.at,
            reasons: before,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Hold;

    const RELAY: ReasonId = ReasonId(1);
    const OWN: SourceId = SourceId::OPERATOR;

    fn event(at: u64, kind: EventKind) -> Event {
        Event {
            at: Time(at),
            author: "somebody".into(),
            kind,
            evidence: None,
        }
    }

    fn listed(exclusion: bool) -> EventKind {
        EventKind::Listed {
            reason: RELAY,
            source: OWN,
            until: None,
            exclusion,
            text: Default::default(),
        }
    }

    fn delisted() -> EventKind {
        EventKind::Delisted {
            reason: RELAY,
            source: OWN,
        }
    }

    fn held() -> EventKind {
        EventKind::held(&Hold {
            reason: RELAY,
            source: SourceId::ALL,
            since: Time(0),
            until: Time(99),
        })
    }

    #[test]
    fn last_end_counts_the_subject_and_what_covers_it() {
        let subjects = ["45.51.100.7", "45.51.100.0/24"].map(|s| s.parse().unwrap());
        let end = |events: &[(usize, u64, EventKind)]| {
            let events = events
                .iter()
                .map(|(i, at, kind)| (*i, event(*at, kind.clone())));
            end_of(&subjects, &events.collect::<Vec<_>>(), !0).map(|e| e.at.0)
        };
        assert_eq!(end(&[]), None);
        assert_eq!(end(&[(0, 1, held())]), None);
        assert_eq!(end(&[(0, 1, listed(false)), (0, 2, delisted())]), Some(2));
        assert_eq!(end(&[(1, 1, listed(false)), (0, 2, held())]), Some(2));
        assert_eq!(end(&[(1, 1, listed(false)), (0, 2, listed(true))]), Some(2));
        assert_eq!(
            end(&[
                (0, 1, listed(false)),
                (1, 2, listed(false)),
                (0, 3, delisted()),
                (1, 4, delisted())
            ]),
            Some(4)
        );
        assert_eq!(end(&[(0, 1, listed(false))]), Some(1));
    }

    #[test]
    fn time_line_has_published_reasons_only_and_no_authors() {
        let dictionary = Dictionary::default();
        let history = [
            event(1, listed(false)),
            event(2, listed(false)),
            event(3, delisted()),
            event(3, delisted()),
            event(4, held()),
            event(5, EventKind::Exempted { until: None }),
        ];
        let kinds = |published: Mask| {
            let found = timeline(&history, &dictionary, published);
            let text = serde_json::to_string(&found).unwrap();
            assert!(!text.contains("somebody"), "{text}");
            found.iter().map(|e| e.kind).collect::<Vec<_>>()
        };
        use TimelineKind::{Exempted, Held, Listed, Removed, Renewed};
        assert_eq!(kinds(!0), [Exempted, Held, Removed, Renewed, Listed]);
        assert_eq!(kinds(0), [Exempted]);
    }
}
