//! History: what somebody asks for (a Change), what is decided (Events), and the rule between them.

use serde::{Deserialize, Serialize};

use super::{
    evidence::Evidence,
    reason::{ReasonId, SourceId},
    subject::Subject,
    time::{Seconds, Time},
    verdict::Verdict,
};

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
    /// A source says a reason (or a hole in it); again for a renewal, which keeps the first `since`.
    Listed {
        /// Why.
        reason: ReasonId,
        /// Who says so.
        source: SourceId,
        /// When it ends by itself.
        until: Option<Time>,
        /// An exception from a wider listing, and not a listing.
        hole: bool,
        /// Its own text.
        text: Option<Box<str>>,
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
    /// The author knows that the subject lies in a special range and means it.
    pub special: bool,
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

/// Why a change was refused; nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is nothing to take off.
    NotListed,
    /// It is not exempt itself.
    NotExempt,
    /// The source's listings come from its feed alone.
    FeedOwned(SourceId),
    /// The time it should last to is over already.
    AlreadyOver(Time),
}

/// Decides a change: the events that it makes of the verdict, at `now`. `is_feed` tells the sources that a feed replaces.
///
/// A feed's entry is never ended here, only held down, for its feed would bring it back with the next import.
pub fn decide(verdict: &Verdict, ask: &Ask, now: Time, is_feed: impl Fn(SourceId) -> bool) -> Result<Vec<What>, Refusal> {
    match ask {
        Ask::List { source, .. } if is_feed(*source) => Err(Refusal::FeedOwned(*source)),
        Ask::List { until: Some(t), .. } | Ask::Exempt { until: Some(t) } if *t <= now => Err(Refusal::AlreadyOver(*t)),
        Ask::List { reason, source, until, text } => {
            Ok(vec![What::Listed { reason: *reason, source: *source, until: *until, hole: false, text: text.clone() }])
        }
        Ask::Delist { reason, source } => delist(verdict, *reason, *source, now, is_feed),
        Ask::Exempt { until } => Ok(vec![What::Exempted { until: *until }]),
        Ask::Unexempt if verdict.exempt.is_none() => Err(Refusal::NotExempt),
        Ask::Unexempt => Ok(vec![What::ExemptEnded]),
        Ask::Expire => Ok(expire(verdict, now)),
    }
}

fn delist(
    verdict: &Verdict,
    reason: Option<ReasonId>,
    source: Option<SourceId>,
    now: Time,
    is_feed: impl Fn(SourceId) -> bool,
) -> Result<Vec<What>, Refusal> {
    let meant = |r: ReasonId, s: SourceId| reason.is_none_or(|x| x == r) && source.is_none_or(|x| x == s);
    let mut out = Vec::new();
    for e in verdict.entries.iter().filter(|e| !e.hole && meant(e.reason, e.source)) {
        if !is_feed(e.source) {
            out.push(What::Delisted { reason: e.reason, source: e.source });
        } else if !verdict.held(e.reason, e.source) {
            out.push(What::Held { reason: e.reason, source: e.source, until: now.plus(HOLD) });
        }
    }
    if out.is_empty() { Err(Refusal::NotListed) } else { Ok(out) }
}

fn expire(verdict: &Verdict, now: Time) -> Vec<What> {
    let mut out = Vec::new();
    let over = |t: Option<Time>| t.is_some_and(|t| t <= now);
    for e in verdict.entries.iter().filter(|e| over(e.until)) {
        out.push(What::Expired { reason: e.reason, source: e.source });
    }
    for h in verdict.holds.iter().filter(|h| h.until <= now) {
        out.push(What::HoldEnded { reason: h.reason, source: h.source });
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
            (r.clone(), s.clone(), proptest::option::of(1u64..200)).prop_map(|(reason, source, until)| Ask::List {
                reason,
                source,
                until: until.map(Time),
                text: None
            }),
            (proptest::option::of(r), proptest::option::of(s)).prop_map(|(reason, source)| Ask::Delist { reason, source }),
            proptest::option::of(1u64..200).prop_map(|u| Ask::Exempt { until: u.map(Time) }),
            Just(Ask::Unexempt),
            Just(Ask::Expire),
        ]
    }

    proptest! {
        /// A verdict is the fold of its events, has one sorted entry a reason and source, and nothing outlives its end.
        #[test]
        fn laws_of_the_fold(asks in proptest::collection::vec(any_ask(), 0..40)) {
            let mut v = Verdict::default();
            let mut events = Vec::new();
            for (i, ask) in asks.iter().enumerate() {
                let now = Time(i as u64 * 5);
                for w in decide(&v, &Ask::Expire, now, is_feed).unwrap() {
                    v.fold(now, &w);
                    events.push((now, w));
                }
                for w in decide(&v, ask, now, is_feed).unwrap_or_default() {
                    v.fold(now, &w);
                    events.push((now, w));
                }
                prop_assert!(v.entries.is_sorted_by_key(|e| (e.reason, e.source)));
                prop_assert!(v.entries.windows(2).all(|w| (w[0].reason, w[0].source) != (w[1].reason, w[1].source)));
                prop_assert!(v.next_due().is_none_or(|t| t > now));
                if let Ask::Delist { reason: None, source: None } = ask {
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

    #[test]
    fn a_feeds_entry_is_held_and_not_ended() {
        let mut v = Verdict::default();
        let listed = What::Listed { reason: ReasonId(0), source: FEED, until: None, hole: false, text: None };
        v.fold(Time(1), &listed);
        let events = decide(&v, &Ask::Delist { reason: None, source: None }, Time(2), is_feed).unwrap();
        assert_eq!(events, [What::Held { reason: ReasonId(0), source: FEED, until: Time(2).plus(HOLD) }]);
        v.fold(Time(2), &events[0]);
        assert_eq!((v.reasons(), v.entries.len()), (0, 1));
        let ask = Ask::List { reason: ReasonId(0), source: FEED, until: None, text: None };
        assert_eq!(decide(&v, &ask, Time(3), is_feed), Err(Refusal::FeedOwned(FEED)));
        for w in decide(&v, &Ask::Expire, Time(2).plus(HOLD), is_feed).unwrap() {
            v.fold(Time(9), &w);
        }
        assert_eq!(v.reasons(), 1, "the hold ran out");
    }

    #[test]
    fn a_renewal_keeps_its_first_day() {
        let mut v = Verdict::default();
        for (at, until) in [(10, 100), (50, 150)] {
            v.fold(Time(at), &What::Listed { reason: ReasonId(1), source: SourceId(0), until: Some(Time(until)), hole: false, text: None });
        }
        assert_eq!((v.entries[0].since, v.entries[0].until), (Time(10), Some(Time(150))));
    }
}
