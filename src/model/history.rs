//! History: what somebody asks for (a Change), what is decided (Events), and the rule between them.

use serde::{Deserialize, Serialize};

use super::{
    entry_text::EntryText,
    evidence::{Evidence, EvidenceKind},
    reason::{ReasonId, SourceId},
    subject::Subject,
    time::{Seconds, Time},
    verdict::{Entry, Exempt, Hold, Verdict},
};

/// The reasons that source `prober` lists under.
pub const PROBER_REASONS: [&str; 4] = ["relay", "input", "unconfirmed", "output"];
/// How long a listing of source `prober` lasts where its reason has no lifetime (safety rule S14).
pub const PROBER_LIFETIME: Seconds = Seconds(90 * 86_400);

/// How long a removal holds a feed's entry down where nobody says otherwise.
pub const HOLD: Seconds = Seconds(30 * 86_400);

/// One decided change in a subject's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it was decided.
    pub at: Time,
    /// Who asked for it.
    pub author: String,
    /// What was decided.
    pub what: What,
    /// What was seen.
    pub evidence: Option<Evidence>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A source says a reason (or a hole in it); again for a renewal, which keeps the first
    /// `since`.
    Listed {
        /// Why.
        reason: ReasonId,
        /// Who says so.
        source: SourceId,
        /// When it ends by itself.
        until: Option<Time>,
        /// An exception from a wider listing, and not a listing.
        hole: bool,
        /// Its own text, and how it came here.
        text: EntryText,
    },
    /// Somebody took it off.
    Delisted {
        /// Why it was listed.
        reason: ReasonId,
        /// Who had said so.
        source: SourceId,
    },
    /// It ran out.
    Expired {
        /// Why it was listed.
        reason: ReasonId,
        /// Who had said so.
        source: SourceId,
    },
    /// Its feed no longer has it.
    Dropped {
        /// Why it was listed.
        reason: ReasonId,
        /// Who had said so.
        source: SourceId,
    },
    /// A feed's entry is held down.
    Held {
        /// The reason held.
        reason: ReasonId,
        /// The source held.
        source: SourceId,
        /// Until when at the latest.
        until: Time,
    },
    /// A hold ran out, or its feed has dropped the entry.
    HoldEnded {
        /// The reason held.
        reason: ReasonId,
        /// The source held.
        source: SourceId,
    },
    /// It must never be published.
    Exempted {
        /// When that ends by itself.
        until: Option<Time>,
    },
    /// That is over.
    ExemptEnded,
}

impl What {
    /// The reason and the source that it is about; an exemption is about all.
    pub fn about(&self) -> Option<(ReasonId, SourceId)> {
        match self {
            What::Listed { reason, source, .. }
            | What::Delisted { reason, source }
            | What::Expired { reason, source }
            | What::Dropped { reason, source }
            | What::Held { reason, source, .. }
            | What::HoldEnded { reason, source } => Some((*reason, *source)),
            What::Exempted { .. } | What::ExemptEnded => None,
        }
    }
}

/// A change somebody asks for; it names its author, and can be stored, sent and applied again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What it is about.
    pub subject: Subject,
    /// Who asks.
    pub author: String,
    /// What was seen.
    pub evidence: Option<Evidence>,
    /// What is asked for.
    pub ask: Ask,
    /// What else it depends on.
    pub terms: Terms,
}

/// What a change depends on beside its subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The author knows that the subject lies in a special range and means it.
    pub special: bool,
    /// The author may break a hold, and means it.
    pub breaks_hold: bool,
    /// Where the author is: an address, or the socket. For the audit log.
    pub from: Box<str>,
    /// The subject's revision that the author has seen; another one refuses the change.
    pub expect: Option<u64>,
    /// The change is made once, however often it comes.
    pub once: Option<Once>,
    /// When a listing ends for which the change names no time.
    pub open_end: OpenEnd,
}

/// When a listing ends for which nobody names a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenEnd {
    /// After the lifetime of its reason.
    #[default]
    Lifetime,
    /// When it ended before, where it is listed already; otherwise after the lifetime of its
    /// reason.
    Keep,
    /// Never.
    Never,
}

/// What tells a repeated request from a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Once {
    /// Who asks, and the key he gave it.
    pub key: [u8; 16],
    /// A hash of what he asks for: another one under the same key is refused.
    pub body: u64,
}

impl Change {
    /// What an author asks for of a subject.
    pub fn new(subject: Subject, author: impl Into<String>, ask: Ask) -> Change {
        Change {
            subject,
            author: author.into(),
            evidence: None,
            ask,
            terms: Terms::default(),
        }
    }
}

/// How long what is taken off must not come back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldFor {
    /// [`HOLD`] from now.
    #[default]
    Usual,
    /// Until a time.
    Until(Time),
    /// It may come back at once: the listing was a mistake, and no removal was granted.
    Nothing,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// List it, or renew its listing.
    List {
        /// Why.
        reason: ReasonId,
        /// Who says so.
        source: SourceId,
        /// When it ends by itself.
        until: Option<Time>,
        /// Its own text.
        text: Option<Box<str>>,
    },
    /// Take it off: every reason and every source, or only the named ones.
    Delist {
        /// Only this reason.
        reason: Option<ReasonId>,
        /// Only this source.
        source: Option<SourceId>,
        /// Whether, and how long, it must not come back.
        hold: HoldFor,
    },
    /// Hold a reason down, whether it is listed or not.
    Hold {
        /// The reason.
        reason: ReasonId,
        /// Until when; [`HOLD`] from now where nobody says.
        until: Option<Time>,
    },
    /// End holds: all of the subject, or only those of a reason.
    Unhold {
        /// Only this reason.
        reason: Option<ReasonId>,
    },
    /// Bring what is decided one by one back to where it stood.
    Restore {
        /// The entries of the sources that are no feeds.
        entries: Vec<Entry>,
        /// The exemption.
        exempt: Option<Exempt>,
        /// The holds; those that came since stay unless they may be broken.
        holds: Vec<Hold>,
    },
    /// Never publish it.
    Exempt {
        /// When that ends by itself.
        until: Option<Time>,
    },
    /// Publish it again where it is listed.
    Unexempt,
    /// End what has run out by now.
    Expire,
}

impl Ask {
    /// What it is, in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Ask::List { .. } => "list",
            Ask::Delist { .. } => "delist",
            Ask::Hold { .. } => "hold",
            Ask::Unhold { .. } => "unhold",
            Ask::Restore { .. } => "restore",
            Ask::Exempt { .. } => "exempt",
            Ask::Unexempt => "unexempt",
            Ask::Expire => "expire",
        }
    }
}

/// Why a change was refused; nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is nothing to take off.
    NotListed,
    /// It is not exempt itself.
    NotExempt,
    /// The source's listings come from its feed alone.
    FeedOwned(SourceId),
    /// The reason is held down, until then.
    Held(Time),
    /// Nothing of it is held down.
    NotHeld,
    /// The time it should last to is over already.
    AlreadyOver(Time),
    /// The tester's source lists on a delivery alone.
    NoDelivery,
}

/// For the source `prober` only a delivery lists: a test message that came out of the host.
pub fn proven(ask: &Ask, evidence: Option<&Evidence>) -> Result<(), Refusal> {
    match ask {
        Ask::List {
            source: SourceId::PROBER,
            ..
        } if evidence.is_none_or(|e| e.kind != EvidenceKind::Delivery) => Err(Refusal::NoDelivery),
        _ => Ok(()),
    }
}

/// Decides a change: the events that it makes of the verdict, at `now`. `covers` are the reasons
/// and sources that list the subject by something wider; `is_feed` tells the sources that a feed
/// replaces.
///
/// A feed's entry is never ended here, only held down, for its feed would bring it back with the
/// next import.
pub fn decide(
    verdict: &Verdict,
    ask: &Ask,
    covers: &[(ReasonId, SourceId)],
    breaks_hold: bool,
    now: Time,
    is_feed: impl Fn(SourceId) -> bool,
) -> Result<Vec<What>, Refusal> {
    match ask {
        Ask::List { source, .. } if is_feed(*source) => Err(Refusal::FeedOwned(*source)),
        Ask::List { until: Some(t), .. }
        | Ask::Exempt { until: Some(t) }
        | Ask::Hold { until: Some(t), .. }
            if *t <= now =>
        {
            Err(Refusal::AlreadyOver(*t))
        }
        Ask::Delist {
            hold: HoldFor::Until(t),
            ..
        } if *t <= now => Err(Refusal::AlreadyOver(*t)),
        Ask::List {
            reason,
            source,
            until,
            text,
        } => {
            let mut out = broken(verdict, *reason, *source, breaks_hold)?;
            out.push(What::Listed {
                reason: *reason,
                source: *source,
                until: *until,
                hole: false,
                text: text.clone().into(),
            });
            Ok(out)
        }
        Ask::Delist {
            reason,
            source,
            hold,
        } => {
            let until = match hold {
                HoldFor::Usual => Some(now.plus(HOLD)),
                HoldFor::Until(t) => Some(*t),
                HoldFor::Nothing => None,
            };
            delist(verdict, (*reason, *source), covers, until, is_feed)
        }
        Ask::Hold { reason, until } => Ok(vec![What::Held {
            reason: *reason,
            source: SourceId::ALL,
            until: until.unwrap_or_else(|| now.plus(HOLD)),
        }]),
        Ask::Unhold { reason } => {
            let ends = verdict
                .holds
                .iter()
                .filter(|h| reason.is_none_or(|r| r == h.reason));
            let ends: Vec<What> = ends
                .map(|h| What::HoldEnded {
                    reason: h.reason,
                    source: h.source,
                })
                .collect();
            if ends.is_empty() {
                Err(Refusal::NotHeld)
            } else {
                Ok(ends)
            }
        }
        Ask::Restore {
            entries,
            exempt,
            holds,
        } => Ok(restore(
            verdict,
            (entries, exempt.as_ref(), holds),
            breaks_hold,
            now,
            is_feed,
        )),
        Ask::Exempt { until } => Ok(vec![What::Exempted { until: *until }]),
        Ask::Unexempt if verdict.exempt.is_none() => Err(Refusal::NotExempt),
        Ask::Unexempt => Ok(vec![What::ExemptEnded]),
        Ask::Expire => Ok(expire(verdict, now)),
    }
}

/// The ends of the holds that a listing breaks, where it may.
fn broken(
    verdict: &Verdict,
    reason: ReasonId,
    source: SourceId,
    may: bool,
) -> Result<Vec<What>, Refusal> {
    let holds: Vec<&Hold> = verdict
        .holds
        .iter()
        .filter(|h| h.on(reason, source))
        .collect();
    match holds.iter().map(|h| h.until).max() {
        Some(until) if !may => Err(Refusal::Held(until)),
        _ => Ok(holds
            .iter()
            .map(|h| What::HoldEnded {
                reason: h.reason,
                source: h.source,
            })
            .collect()),
    }
}

fn delist(
    verdict: &Verdict,
    (reason, source): (Option<ReasonId>, Option<SourceId>),
    covers: &[(ReasonId, SourceId)],
    until: Option<Time>,
    is_feed: impl Fn(SourceId) -> bool,
) -> Result<Vec<What>, Refusal> {
    let meant =
        |r: ReasonId, s: SourceId| reason.is_none_or(|x| x == r) && source.is_none_or(|x| x == s);
    let Some(until) = until else {
        return mistaken(verdict, meant, is_feed);
    };
    let mut out = Vec::new();
    // The reasons that were granted as a whole: no source may bring them back.
    let mut granted: Vec<ReasonId> = Vec::new();
    for e in verdict
        .entries
        .iter()
        .filter(|e| !e.hole && meant(e.reason, e.source))
    {
        if !is_feed(e.source) {
            out.push(What::Delisted {
                reason: e.reason,
                source: e.source,
            });
        } else if verdict.held(e.reason, e.source) {
            continue;
        } else if source.is_some() {
            out.push(What::Held {
                reason: e.reason,
                source: e.source,
                until,
            });
        }
        granted.push(e.reason);
    }
    for (r, s) in covers
        .iter()
        .filter(|(r, s)| meant(*r, *s) && !verdict.held(*r, *s))
    {
        out.push(What::Held {
            reason: *r,
            source: *s,
            until: Hold::WITH_COVER,
        });
        granted.push(*r);
    }
    granted.sort_unstable();
    granted.dedup();
    if granted.is_empty() {
        return Err(Refusal::NotListed);
    }
    if source.is_none() {
        // One that lasts longer stays.
        let held = |r: &ReasonId| {
            verdict
                .holds
                .iter()
                .any(|h| (h.reason, h.source) == (*r, SourceId::ALL) && h.until >= until)
        };
        out.extend(
            granted
                .into_iter()
                .filter(|r| !held(r))
                .map(|reason| What::Held {
                    reason,
                    source: SourceId::ALL,
                    until,
                }),
        );
    }
    Ok(out)
}

/// Takes off what was listed by mistake, and holds nothing down.
fn mistaken(
    verdict: &Verdict,
    meant: impl Fn(ReasonId, SourceId) -> bool,
    is_feed: impl Fn(SourceId) -> bool,
) -> Result<Vec<What>, Refusal> {
    let listed = || {
        verdict
            .entries
            .iter()
            .filter(|e| !e.hole && meant(e.reason, e.source))
    };
    let own: Vec<What> = listed()
        .filter(|e| !is_feed(e.source))
        .map(|e| What::Delisted {
            reason: e.reason,
            source: e.source,
        })
        .collect();
    match listed().next() {
        _ if !own.is_empty() => Ok(own),
        Some(e) => Err(Refusal::FeedOwned(e.source)),
        None => Err(Refusal::NotListed),
    }
}

fn restore(
    verdict: &Verdict,
    (entries, exempt, holds): (&[Entry], Option<&Exempt>, &[Hold]),
    breaks_hold: bool,
    now: Time,
    is_feed: impl Fn(SourceId) -> bool,
) -> Vec<What> {
    let mut out = Vec::new();
    for h in verdict.holds.iter().filter(|h| {
        breaks_hold
            && !holds
                .iter()
                .any(|o| (o.reason, o.source) == (h.reason, h.source))
    }) {
        out.push(What::HoldEnded {
            reason: h.reason,
            source: h.source,
        });
    }
    let over = |t: Option<Time>| t.is_some_and(|t| t <= now);
    let own = |e: &&Entry| !is_feed(e.source);
    let like = |a: &Entry, b: &Entry| {
        (a.reason, a.source, a.hole, &a.text, a.until)
            == (b.reason, b.source, b.hole, &b.text, b.until)
    };
    for e in verdict.entries.iter().filter(own) {
        if !entries
            .iter()
            .any(|o| (o.reason, o.source) == (e.reason, e.source) && !over(o.until))
        {
            out.push(What::Delisted {
                reason: e.reason,
                source: e.source,
            });
        }
    }
    for e in entries.iter().filter(own).filter(|e| !over(e.until)) {
        if verdict
            .entry(e.reason, e.source)
            .is_some_and(|o| like(o, e))
        {
            continue;
        }
        if verdict.held(e.reason, e.source) && !breaks_hold {
            continue;
        }
        out.push(What::Listed {
            reason: e.reason,
            source: e.source,
            until: e.until,
            hole: e.hole,
            text: e.text.clone(),
        });
    }
    for h in holds
        .iter()
        .filter(|h| h.until > now && !verdict.holds.contains(h))
    {
        out.push(What::Held {
            reason: h.reason,
            source: h.source,
            until: h.until,
        });
    }
    match (exempt.filter(|e| !over(e.until)), &verdict.exempt) {
        (Some(e), is) if is.as_ref().map(|i| i.until) != Some(e.until) => {
            out.push(What::Exempted { until: e.until });
        }
        (None, Some(_)) => out.push(What::ExemptEnded),
        _ => {}
    }
    out
}

/// The ends of the listings of a subject whose time is over at `now`.
pub fn ended_listings(verdict: &Verdict, now: Time) -> Vec<What> {
    let over = |e: &&Entry| e.until.is_some_and(|t| t <= now);
    verdict
        .entries
        .iter()
        .filter(over)
        .map(|e| What::Expired {
            reason: e.reason,
            source: e.source,
        })
        .collect()
}

fn expire(verdict: &Verdict, now: Time) -> Vec<What> {
    let mut out = ended_listings(verdict, now);
    let over = |t: Option<Time>| t.is_some_and(|t| t <= now);
    for h in verdict.holds.iter().filter(|h| h.until <= now) {
        out.push(What::HoldEnded {
            reason: h.reason,
            source: h.source,
        });
    }
    if verdict.exempt.as_ref().is_some_and(|e| over(e.until)) {
        out.push(What::ExemptEnded);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FEED: SourceId = SourceId(7);
    fn is_feed(s: SourceId) -> bool {
        s == FEED
    }

    fn any_ask() -> impl Strategy<Value = Ask> {
        let r = (0u8..3).prop_map(ReasonId);
        let s = (0u16..3).prop_map(SourceId);
        prop_oneof![
            (r.clone(), s.clone(), proptest::option::of(1u64..200)).prop_map(
                |(reason, source, until)| Ask::List {
                    reason,
                    source,
                    until: until.map(Time),
                    text: None
                }
            ),
            (proptest::option::of(r.clone()), proptest::option::of(s)).prop_map(
                |(reason, source)| Ask::Delist {
                    reason,
                    source,
                    hold: HoldFor::Usual
                }
            ),
            (r, proptest::option::of(1u64..200)).prop_map(|(reason, until)| Ask::Hold {
                reason,
                until: until.map(Time)
            }),
            Just(Ask::Unhold { reason: None }),
            proptest::option::of(1u64..200).prop_map(|u| Ask::Exempt { until: u.map(Time) }),
            Just(Ask::Unexempt),
            Just(Ask::Expire),
        ]
    }

    proptest! {
        /// A verdict is the fold of its events, has one sorted entry a reason and source, and
        /// nothing outlives its end.
        #[test]
        fn laws_of_the_fold(asks in proptest::collection::vec(any_ask(), 0..40)) {
            let mut v = Verdict::default();
            let mut events = Vec::new();
            for (i, ask) in asks.iter().enumerate() {
                let now = Time(i as u64 * 5);
                for w in decide(&v, &Ask::Expire, &[], false, now, is_feed).unwrap() {
                    v.fold(now, &w);
                    events.push((now, w));
                }
                for w in decide(&v, ask, &[], i % 3 == 0, now, is_feed).unwrap_or_default() {
                    v.fold(now, &w);
                    events.push((now, w));
                }
                prop_assert!(v.entries.is_sorted_by_key(|e| (e.reason, e.source)));
                prop_assert!(v.entries.windows(2).all(|w| (w[0].reason, w[0].source) != (w[1].reason, w[1].source)));
                prop_assert!(v.next_due().is_none_or(|t| t > now));
                if let Ask::Delist { reason: None, source: None, .. } = ask {
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

    fn listed(source: SourceId) -> What {
        What::Listed {
            reason: ReasonId(0),
            source,
            until: None,
            hole: false,
            text: EntryText::default(),
        }
    }
    fn delisted(source: Option<SourceId>) -> Ask {
        Ask::Delist {
            reason: None,
            source,
            hold: HoldFor::Usual,
        }
    }

    #[test]
    fn a_feeds_entry_is_held_and_not_ended() {
        let mut v = Verdict::default();
        v.fold(Time(1), &listed(FEED));
        let events = decide(&v, &delisted(Some(FEED)), &[], false, Time(2), is_feed).unwrap();
        assert_eq!(
            events,
            [What::Held {
                reason: ReasonId(0),
                source: FEED,
                until: Time(2).plus(HOLD)
            }]
        );
        v.fold(Time(2), &events[0]);
        assert_eq!((v.reasons(), v.entries.len()), (0, 1));
        let ask = Ask::List {
            reason: ReasonId(0),
            source: FEED,
            until: None,
            text: None,
        };
        assert_eq!(
            decide(&v, &ask, &[], false, Time(3), is_feed),
            Err(Refusal::FeedOwned(FEED))
        );
        for w in decide(&v, &Ask::Expire, &[], false, Time(2).plus(HOLD), is_feed).unwrap() {
            v.fold(Time(9), &w);
        }
        assert_eq!(v.reasons(), 1, "the hold ran out");
    }

    #[test]
    fn a_granted_removal_holds_every_source_until_somebody_breaks_it() {
        let mut v = Verdict::default();
        [SourceId(0), FEED]
            .iter()
            .for_each(|s| v.fold(Time(1), &listed(*s)));
        for w in decide(&v, &delisted(None), &[], false, Time(2), is_feed).unwrap() {
            v.fold(Time(2), &w);
        }
        v.fold(Time(3), &listed(SourceId(9)));
        assert_eq!(v.reasons(), 0, "whoever says it");
        let ask = Ask::List {
            reason: ReasonId(0),
            source: SourceId(0),
            until: None,
            text: None,
        };
        assert_eq!(
            decide(&v, &ask, &[], false, Time(4), is_feed),
            Err(Refusal::Held(Time(2).plus(HOLD)))
        );
        for w in decide(&v, &ask, &[], true, Time(4), is_feed).unwrap() {
            v.fold(Time(4), &w);
        }
        assert_eq!((v.reasons(), v.holds.len()), (1, 0));
    }

    #[test]
    fn what_a_wider_listing_covers_is_taken_out_for_as_long_as_that_stands() {
        let v = Verdict::default();
        assert_eq!(
            decide(&v, &delisted(None), &[], false, Time(2), is_feed),
            Err(Refusal::NotListed)
        );
        let held = |source, until| What::Held {
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
                held(SourceId::ALL, Time(2).plus(HOLD))
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
    fn what_is_restored_stands_as_it_stood_unless_it_is_held_or_over() {
        let mut v = Verdict::default();
        v.fold(
            Time(1),
            &What::Listed {
                reason: ReasonId(1),
                source: SourceId(0),
                until: Some(Time(90)),
                hole: false,
                text: EntryText::default(),
            },
        );
        let before = v.clone();
        for w in decide(&v, &delisted(None), &[], false, Time(2), is_feed).unwrap() {
            v.fold(Time(2), &w);
        }
        v.fold(Time(3), &listed(SourceId(0)));
        let ask = Ask::Restore {
            entries: before.entries.clone(),
            exempt: None,
            holds: vec![],
        };
        let back =
            |v: &Verdict, breaks, now| decide(v, &ask, &[], breaks, Time(now), is_feed).unwrap();
        assert_eq!(
            back(&v, false, 4),
            [What::Delisted {
                reason: ReasonId(0),
                source: SourceId(0)
            }],
            "the removal holds"
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
            [What::Delisted {
                reason: ReasonId(1),
                source: SourceId(0)
            }],
            "its time is over"
        );
    }

    #[test]
    fn a_renewal_keeps_its_first_day() {
        let mut v = Verdict::default();
        for (at, until) in [(10, 100), (50, 150)] {
            v.fold(
                Time(at),
                &What::Listed {
                    reason: ReasonId(1),
                    source: SourceId(0),
                    until: Some(Time(until)),
                    hole: false,
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
