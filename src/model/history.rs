//! Requested changes, and the rules that decide which events they make.

use serde::{Deserialize, Serialize};

pub use super::event::{Event, EventKind};
use super::{
    entry_text::EntryText,
    evidence::{Evidence, EvidenceKind},
    hold::Hold,
    reason::{ReasonId, SourceId},
    subject::Subject,
    time::{Seconds, Time},
    verdict::{Entry, Exempt, Verdict},
};

/// The reasons under which the source `prober` lists hosts.
pub const PROBER_REASONS: [&str; 4] = ["relay", "input", "unconfirmed", "output"];
/// How long a listing of source `prober` lasts if its reason has no lifetime (safety rule S14).
pub const PROBER_LIFETIME: Seconds = Seconds(90 * 86_400);

/// How long a hold lasts if the request does not name an end.
pub const DEFAULT_HOLD: Seconds = Seconds(30 * 86_400);

/// A requested change of a subject. It names its author, and can be stored, sent and applied again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The subject.
    pub subject: Subject,
    /// The author of the request.
    pub author: String,
    /// The evidence for it.
    pub evidence: Option<Evidence>,
    /// What to do.
    pub command: Command,
    /// The conditions under which to do it.
    pub preconditions: Preconditions,
}

/// The conditions of a change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preconditions {
    /// Whether a subject in a special-purpose range may be listed.
    pub special: bool,
    /// Whether the change may end holds.
    pub breaks_hold: bool,
    /// The address of the author, or `socket`; for the audit log.
    pub from: Box<str>,
    /// The revision that the subject must have; the change is refused at any other.
    pub expect: Option<u64>,
    /// Identifies repetitions of the request, which change nothing.
    pub idempotency: Option<IdempotencyKey>,
    /// When a listing ends if the change names no time.
    pub open_end: OpenEnd,
}

/// When a listing ends if its request names no time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenEnd {
    /// After the lifetime of its reason.
    #[default]
    Lifetime,
    /// At its present end if it is listed already, else after the lifetime of its reason.
    Keep,
    /// Never.
    Never,
}

/// Identifies an idempotent request, so that a repetition changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// A hash of the caller and of the key that the caller chose.
    pub key: [u8; 16],
    /// A hash of the request; another request with the same key is refused.
    pub body: u64,
}

impl Change {
    /// A change without evidence and conditions.
    pub fn new(subject: Subject, author: impl Into<String>, command: Command) -> Change {
        Change {
            subject,
            author: author.into(),
            evidence: None,
            command,
            preconditions: Preconditions::default(),
        }
    }
}

/// How long a delisted subject is suppressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldFor {
    /// For [`DEFAULT_HOLD`] from now.
    #[default]
    Usual,
    /// Until a time.
    Until(Time),
    /// Not at all: the listing was a mistake.
    Nothing,
}

/// What a change does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Command {
    /// Lists the subject, or renews its listing.
    List {
        /// The reason.
        reason: ReasonId,
        /// The source.
        source: SourceId,
        /// The end; `None`: it does not expire.
        until: Option<Time>,
        /// The listing's own text, and whether it is exact.
        text: EntryText,
    },
    /// Delists the subject: for every reason and source, or only for the named ones.
    Delist {
        /// Only this reason.
        reason: Option<ReasonId>,
        /// Only this source.
        source: Option<SourceId>,
        /// How long the listings are suppressed.
        hold: HoldFor,
    },
    /// Suppresses a reason, whether the subject is listed or not.
    Hold {
        /// The reason.
        reason: ReasonId,
        /// The end; `None`: [`DEFAULT_HOLD`] from now.
        until: Option<Time>,
    },
    /// Ends all holds of the subject, or only those of a reason.
    Unhold {
        /// Only this reason.
        reason: Option<ReasonId>,
    },
    /// Restores an earlier state of the subject. Entries of feeds stay as they are.
    Restore {
        /// The entries, of which those of feeds are ignored.
        entries: Vec<Entry>,
        /// The exemption.
        exempt: Option<Exempt>,
        /// The holds. Newer holds stay unless the change may end holds.
        holds: Vec<Hold>,
    },
    /// Exempts the subject: it is not published, whatever lists it.
    Exempt {
        /// The end; `None`: it does not expire.
        until: Option<Time>,
    },
    /// Ends the exemption.
    Unexempt,
    /// Ends the listings, holds and exemption that have expired.
    Expire,
    /// Ends one hold. Other holds on the same reason stay.
    #[strum(serialize = "unhold")]
    EndHold {
        /// The reason of the hold.
        reason: ReasonId,
        /// Its source, or [`SourceId::ALL`].
        source: SourceId,
        /// Its end. A hold that was replaced meanwhile has another one, and stays.
        until: Time,
    },
}

impl Command {
    /// The name in the audit log.
    pub fn as_str(&self) -> &'static str {
        self.into()
    }

    /// Checks that only the listing of a single IPv6 address is exact.
    ///
    /// # Errors
    ///
    /// What is wrong, and what to do.
    pub fn check_exact(&self, subject: &Subject) -> Result<(), String> {
        match self {
            Command::List { text, .. } if text.exact && !subject.is_ipv6_address() => Err(format!(
                "exact: {subject} is not a single IPv6 address, and only the listings of these can count as networks; list it without `exact`"
            )),
            _ => Ok(()),
        }
    }
}

/// The rule by which a change is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleViolation {
    /// The subject has no such listing.
    NotListed,
    /// The subject has no exemption of its own.
    NotExempt,
    /// The source is a feed: only imports change its listings.
    FeedOwned(SourceId),
    /// A removal suppresses the reason until this time.
    Held(Time),
    /// The subject has no hold.
    NotHeld,
    /// The requested end is in the past.
    EndInPast(Time),
    /// A listing of source `prober` needs evidence of a delivery.
    NoDelivery,
}

/// Checks that a listing of source `prober` has evidence of a delivery: a test message that the
/// host relayed (safety rule S1).
pub fn check_delivery_evidence(
    command: &Command,
    evidence: Option<&Evidence>,
) -> Result<(), RuleViolation> {
    match command {
        Command::List {
            source: SourceId::PROBER,
            ..
        } if evidence.is_none_or(|e| e.kind != EvidenceKind::Delivery) => {
            Err(RuleViolation::NoDelivery)
        }
        _ => Ok(()),
    }
}

/// Decides a change of a verdict at `now`: returns the events that it makes.
///
/// `covers` are the reasons and sources of wider listings that cover the subject; `is_feed` says
/// whether a source is a feed. An entry of a feed is suppressed, not ended, because the next import
/// of the feed would list it again.
///
/// # Errors
///
/// The rule by which the change is refused.
pub fn decide(
    verdict: &Verdict,
    command: &Command,
    covers: &[(ReasonId, SourceId)],
    breaks_hold: bool,
    now: Time,
    is_feed: impl Fn(SourceId) -> bool,
) -> Result<Vec<EventKind>, RuleViolation> {
    match command {
        Command::List { source, .. } if is_feed(*source) => Err(RuleViolation::FeedOwned(*source)),
        Command::List { until: Some(t), .. }
        | Command::Exempt { until: Some(t) }
        | Command::Hold { until: Some(t), .. }
            if *t <= now =>
        {
            Err(RuleViolation::EndInPast(*t))
        }
        Command::Delist {
            hold: HoldFor::Until(t),
            ..
        } if *t <= now => Err(RuleViolation::EndInPast(*t)),
        Command::List {
            reason,
            source,
            until,
            text,
        } => {
            let mut out = end_conflicting_holds(verdict, *reason, *source, breaks_hold)?;
            out.push(EventKind::Listed {
                reason: *reason,
                source: *source,
                until: *until,
                exclusion: false,
                text: text.clone(),
            });
            Ok(out)
        }
        Command::Delist {
            reason,
            source,
            hold,
        } => {
            let until = match hold {
                HoldFor::Usual => Some(now.plus(DEFAULT_HOLD)),
                HoldFor::Until(t) => Some(*t),
                HoldFor::Nothing => None,
            };
            delist(verdict, (*reason, *source), covers, until, is_feed)
        }
        Command::Hold { reason, until } => Ok(vec![EventKind::Held {
            reason: *reason,
            source: SourceId::ALL,
            until: until.unwrap_or_else(|| now.plus(DEFAULT_HOLD)),
        }]),
        Command::Unhold { reason } => {
            let holds = verdict.holds.iter();
            let ends = holds.filter(|h| reason.is_none_or(|r| r == h.reason));
            let ends: Vec<_> = ends.map(EventKind::hold_ended).collect();
            match ends.is_empty() {
                true => Err(RuleViolation::NotHeld),
                false => Ok(ends),
            }
        }
        Command::Restore {
            entries,
            exempt,
            holds,
        } => Ok(restore(
            verdict,
            entries,
            exempt.as_ref(),
            holds,
            breaks_hold,
            now,
            is_feed,
        )),
        Command::Exempt { until } => Ok(vec![EventKind::Exempted { until: *until }]),
        Command::Unexempt if verdict.exempt.is_none() => Err(RuleViolation::NotExempt),
        Command::Unexempt => Ok(vec![EventKind::ExemptEnded]),
        Command::Expire => Ok(expire(verdict, now)),
        Command::EndHold {
            reason,
            source,
            until,
        } => {
            let is_meant = |h: &&Hold| (h.reason, h.source, h.until) == (*reason, *source, *until);
            let hold = verdict.holds.iter().find(is_meant);
            let hold = hold.ok_or(RuleViolation::NotHeld)?;
            Ok(vec![EventKind::hold_ended(hold)])
        }
    }
}

/// Ends the holds that suppress a new listing. If `permitted` is not set, such a hold is an error.
fn end_conflicting_holds(
    verdict: &Verdict,
    reason: ReasonId,
    source: SourceId,
    permitted: bool,
) -> Result<Vec<EventKind>, RuleViolation> {
    let holds = verdict.holds.iter();
    let holds: Vec<&Hold> = holds.filter(|h| h.suppresses(reason, source)).collect();
    match holds.iter().map(|h| h.until).max() {
        Some(until) if !permitted => Err(RuleViolation::Held(until)),
        _ => Ok(holds.into_iter().map(EventKind::hold_ended).collect()),
    }
}

fn delist(
    verdict: &Verdict,
    (reason, source): (Option<ReasonId>, Option<SourceId>),
    covers: &[(ReasonId, SourceId)],
    until: Option<Time>,
    is_feed: impl Fn(SourceId) -> bool,
) -> Result<Vec<EventKind>, RuleViolation> {
    let matches =
        |r: ReasonId, s: SourceId| reason.is_none_or(|x| x == r) && source.is_none_or(|x| x == s);
    let listings = verdict.entries.iter();
    let listings = listings.filter(|e| !e.exclusion && matches(e.reason, e.source));
    let Some(until) = until else {
        return delist_without_hold(listings, is_feed);
    };
    let mut out = Vec::new();
    // Reasons that are removed. If the request names no source, a hold on each suppresses all
    // sources.
    let mut granted: Vec<ReasonId> = Vec::new();
    let held = |reason, source, until| EventKind::Held {
        reason,
        source,
        until,
    };
    for e in listings {
        if !is_feed(e.source) {
            out.push(e.delisted());
        } else if verdict.is_suppressed(e.reason, e.source) {
            continue;
        } else if source.is_some() {
            out.push(held(e.reason, e.source, until));
        }
        granted.push(e.reason);
    }
    for &(r, s) in covers {
        if matches(r, s) && !verdict.is_suppressed(r, s) {
            out.push(held(r, s, Hold::WITH_COVER));
            granted.push(r);
        }
    }
    granted.sort_unstable();
    granted.dedup();
    if granted.is_empty() {
        return Err(RuleViolation::NotListed);
    }
    if source.is_none() {
        // A hold that lasts longer stays as it is.
        let is_longer = |h: &&Hold| h.source == SourceId::ALL && h.until >= until;
        let longer: Vec<ReasonId> = verdict
            .holds
            .iter()
            .filter(is_longer)
            .map(|h| h.reason)
            .collect();
        granted.retain(|r| !longer.contains(r));
        out.extend(granted.into_iter().map(|r| held(r, SourceId::ALL, until)));
    }
    Ok(out)
}

/// Ends listings that were a mistake, without a hold. Entries of feeds cannot be ended so.
fn delist_without_hold<'e>(
    listings: impl Iterator<Item = &'e Entry>,
    is_feed: impl Fn(SourceId) -> bool,
) -> Result<Vec<EventKind>, RuleViolation> {
    let (of_feeds, own): (Vec<_>, Vec<_>) = listings.partition(|e| is_feed(e.source));
    match of_feeds.first() {
        _ if !own.is_empty() => Ok(own.into_iter().map(Entry::delisted).collect()),
        Some(e) => Err(RuleViolation::FeedOwned(e.source)),
        None => Err(RuleViolation::NotListed),
    }
}

fn restore(
    verdict: &Verdict,
    entries: &[Entry],
    exempt: Option<&Exempt>,
    holds: &[Hold],
    breaks_hold: bool,
    now: Time,
    is_feed: impl Fn(SourceId) -> bool,
) -> Vec<EventKind> {
    let mut out = Vec::new();
    let over = |t: Option<Time>| t.is_some_and(|t| t <= now);
    let own = |e: &&Entry| !is_feed(e.source);
    let like = |a: &Entry, b: &Entry| {
        (a.reason, a.source, a.exclusion, &a.text, a.until)
            == (b.reason, b.source, b.exclusion, &b.text, b.until)
    };
    for h in verdict.holds.iter().filter(|_| breaks_hold) {
        let same = |o: &Hold| (o.reason, o.source) == (h.reason, h.source);
        if !holds.iter().any(same) {
            out.push(EventKind::hold_ended(h));
        }
    }
    for e in verdict.entries.iter().filter(own) {
        let same = |o: &Entry| (o.reason, o.source) == (e.reason, e.source);
        if !entries.iter().any(|o| same(o) && !over(o.until)) {
            out.push(e.delisted());
        }
    }
    for e in entries.iter().filter(own).filter(|e| !over(e.until)) {
        let present = verdict.entry(e.reason, e.source);
        let suppressed = verdict.is_suppressed(e.reason, e.source) && !breaks_hold;
        if !suppressed && !present.is_some_and(|o| like(o, e)) {
            out.push(EventKind::Listed {
                reason: e.reason,
                source: e.source,
                until: e.until,
                exclusion: e.exclusion,
                text: e.text.clone(),
            });
        }
    }
    let new = |h: &&Hold| h.until > now && !verdict.holds.contains(h);
    out.extend(holds.iter().filter(new).map(EventKind::held));
    match (exempt.filter(|e| !over(e.until)), &verdict.exempt) {
        (Some(e), is) if is.as_ref().map(|i| i.until) != Some(e.until) => {
            out.push(EventKind::Exempted { until: e.until });
        }
        (None, Some(_)) => out.push(EventKind::ExemptEnded),
        _ => {}
    }
    out
}

/// The expiries of the listings of a subject that end at or before `now`.
pub fn expired_listings(verdict: &Verdict, now: Time) -> Vec<EventKind> {
    let over = |e: &&Entry| e.until.is_some_and(|t| t <= now);
    let expired = verdict.entries.iter().filter(over);
    expired.map(Entry::expired).collect()
}

fn expire(verdict: &Verdict, now: Time) -> Vec<EventKind> {
    let mut out = expired_listings(verdict, now);
    let holds = verdict.holds.iter().filter(|h| h.until <= now);
    out.extend(holds.map(EventKind::hold_ended));
    let exempt_until = verdict.exempt.as_ref().and_then(|e| e.until);
    out.extend(
        exempt_until
            .filter(|t| *t <= now)
            .map(|_| EventKind::ExemptEnded),
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EntryText;
    use proptest::prelude::*;

    const FEED: SourceId = SourceId(7);
    fn is_feed(s: SourceId) -> bool {
        s == FEED
    }

    fn any_command() -> impl Strategy<Value = Command> {
        let r = (0u8..3).prop_map(ReasonId);
        let s = (0u16..3).prop_map(SourceId);
        prop_oneof![
            (r.clone(), s.clone(), proptest::option::of(1u64..200)).prop_map(
                |(reason, source, until)| Command::List {
                    reason,
                    source,
                    until: until.map(Time),
                    text: Default::default()
                }
            ),
            (proptest::option::of(r.clone()), proptest::option::of(s)).prop_map(
                |(reason, source)| Command::Delist {
                    reason,
                    source,
                    hold: HoldFor::Usual
                }
            ),
            (r, proptest::option::of(1u64..200)).prop_map(|(reason, until)| Command::Hold {
                reason,
                until: until.map(Time)
            }),
            Just(Command::Unhold { reason: None }),
            proptest::option::of(1u64..200).prop_map(|u| Command::Exempt { until: u.map(Time) }),
            Just(Command::Unexempt),
            Just(Command::Expire),
        ]
    }

    proptest! {
        /// A verdict has one entry for each reason and source, sorted, and nothing outlives its
        /// end.
        #[test]
        fn verdict_equals_the_fold_of_its_events(commands in proptest::collection::vec(any_command(), 0..40)) {
            let mut v = Verdict::default();
            let mut events = Vec::new();
            for (i, command) in commands.iter().enumerate() {
                let now = Time(i as u64 * 5);
                for w in decide(&v, &Command::Expire, &[], false, now, is_feed).unwrap() {
                    v.fold(now, &w);
                    events.push((now, w));
                }
                for w in decide(&v, command, &[], i % 3 == 0, now, is_feed).unwrap_or_default() {
                    v.fold(now, &w);
                    events.push((now, w));
                }
                prop_assert!(v.entries.is_sorted_by_key(|e| (e.reason, e.source)));
                prop_assert!(v.entries.windows(2).all(|w| (w[0].reason, w[0].source) != (w[1].reason, w[1].source)));
                prop_assert!(v.next_due(&Default::default()).is_none_or(|t| t > now));
                if let Command::Delist { reason: None, source: None, .. } = command {
                    prop_assert_eq!(v.reasons(), 0);
                }
            }
            let mut again = Verdict::default();
            for (t, w) in &events {
                again.fold(*t, w);
            }
            prop_assert_eq!(again, v);
        }
    }

    fn listed(source: SourceId) -> EventKind {
        EventKind::Listed {
            reason: ReasonId(0),
            source,
            until: None,
            exclusion: false,
            text: EntryText::default(),
        }
    }
    fn delisted(source: Option<SourceId>) -> Command {
        Command::Delist {
            reason: None,
            source,
            hold: HoldFor::Usual,
        }
    }

    #[test]
    fn delisting_suppresses_a_feed_entry_and_keeps_it() {
        let mut v = Verdict::default();
        v.fold(Time(1), &listed(FEED));
        let events = decide(&v, &delisted(Some(FEED)), &[], false, Time(2), is_feed).unwrap();
        assert_eq!(
            events,
            [EventKind::Held {
                reason: ReasonId(0),
                source: FEED,
                until: Time(2).plus(DEFAULT_HOLD)
            }]
        );
        v.fold(Time(2), &events[0]);
        assert_eq!((v.reasons(), v.entries.len()), (0, 1));
        let command = Command::List {
            reason: ReasonId(0),
            source: FEED,
            until: None,
            text: Default::default(),
        };
        assert_eq!(
            decide(&v, &command, &[], false, Time(3), is_feed),
            Err(RuleViolation::FeedOwned(FEED))
        );
        for w in decide(
            &v,
            &Command::Expire,
            &[],
            false,
            Time(2).plus(DEFAULT_HOLD),
            is_feed,
        )
        .unwrap()
        {
            v.fold(Time(9), &w);
        }
        assert_eq!(v.reasons(), 1, "the hold has expired");
    }

    #[test]
    fn removal_suppresses_every_source_until_its_hold_is_ended() {
        let mut v = Verdict::default();
        [SourceId(0), FEED]
            .iter()
            .for_each(|s| v.fold(Time(1), &listed(*s)));
        for w in decide(&v, &delisted(None), &[], false, Time(2), is_feed).unwrap() {
            v.fold(Time(2), &w);
        }
        v.fold(Time(3), &listed(SourceId(9)));
        assert_eq!(v.reasons(), 0, "the hold applies to every source");
        let command = Command::List {
            reason: ReasonId(0),
            source: SourceId(0),
            until: None,
            text: Default::default(),
        };
        assert_eq!(
            decide(&v, &command, &[], false, Time(4), is_feed),
            Err(RuleViolation::Held(Time(2).plus(DEFAULT_HOLD)))
        );
        for w in decide(&v, &command, &[], true, Time(4), is_feed).unwrap() {
            v.fold(Time(4), &w);
        }
        assert_eq!((v.reasons(), v.holds.len()), (1, 0));
    }

    #[test]
    fn delisting_a_covered_subject_holds_it_as_long_as_the_wider_listing() {
        let v = Verdict::default();
        assert_eq!(
            decide(&v, &delisted(None), &[], false, Time(2), is_feed),
            Err(RuleViolation::NotListed)
        );
        let held = |source, until| EventKind::Held {
            reason: ReasonId(0),
            source,
            until,
        };
        let events = decide(
            &v,
            &delisted(None),
            &[(ReasonId(0), FEED)],
            false,
            Time(2),
            is_feed,
        )
        .unwrap();
        assert_eq!(
            events,
            [
                held(FEED, Hold::WITH_COVER),
                held(SourceId::ALL, Time(2).plus(DEFAULT_HOLD))
            ]
        );
        let events = decide(
            &v,
            &delisted(Some(FEED)),
            &[(ReasonId(0), FEED), (ReasonId(0), SourceId(0))],
            false,
            Time(2),
            is_feed,
        );
        assert_eq!(events.unwrap(), [held(FEED, Hold::WITH_COVER)]);
    }

    #[test]
    fn restore_brings_back_entries_unless_held_or_expired() {
        let mut v = Verdict::default();
        v.fold(
            Time(1),
            &EventKind::Listed {
                reason: ReasonId(1),
                source: SourceId(0),
                until: Some(Time(90)),
                exclusion: false,
                text: EntryText::default(),
            },
        );
        let before = v.clone();
        for w in decide(&v, &delisted(None), &[], false, Time(2), is_feed).unwrap() {
            v.fold(Time(2), &w);
        }
        v.fold(Time(3), &listed(SourceId(0)));
        let command = Command::Restore {
            entries: before.entries.clone(),
            exempt: None,
            holds: vec![],
        };
        let back = |v: &Verdict, breaks, now| {
            decide(v, &command, &[], breaks, Time(now), is_feed).unwrap()
        };
        assert_eq!(
            back(&v, false, 4),
            [EventKind::Delisted {
                reason: ReasonId(0),
                source: SourceId(0)
            }],
            "the removal's hold suppresses the entry"
        );
        for w in back(&v, true, 4) {
            v.fold(Time(4), &w);
        }
        assert_eq!(
            (v.reasons(), v.entries[0].until, v.holds.len()),
            (2, Some(Time(90)), 0)
        );
        assert_eq!(
            back(&before, false, 95),
            [EventKind::Delisted {
                reason: ReasonId(1),
                source: SourceId(0)
            }],
            "the entry has expired"
        );
    }

    #[test]
    fn renewal_keeps_the_start_of_the_listing() {
        let mut v = Verdict::default();
        for (at, until) in [(10, 100), (50, 150)] {
            v.fold(
                Time(at),
                &EventKind::Listed {
                    reason: ReasonId(1),
                    source: SourceId(0),
                    until: Some(Time(until)),
                    exclusion: false,
                    text: EntryText::default(),
                },
            );
        }
        assert_eq!(
            (v.entries[0].since, v.entries[0].until),
            (Time(10), Some(Time(150)))
        );
    }
}
