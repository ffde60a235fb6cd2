//! Searching: listings, exemptions and holds, page by page.

use axum::{Extension, Json, extract::State, http::HeaderMap};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    access::Caller,
    change::{Conditions, Ordered, change, done},
    error::Problem,
    input::{Params, json, limit},
    shapes::{
        ExemptShape, HoldShape, Listing, Page, ReceiptShape, hex, hold, listing, listing_id,
        listing_of,
    },
};
use crate::{
    model::{
        Domain, Entry, Event, Scope, SourceId, Subject, Time, Verdict, subject::HostBits,
        time::since,
    },
    store::{Dictionary, StoreError, schema::revision},
};

/// Subjects that one request looks at, at most; a page that ends there is short and has a `next`.
const LOOKED_AT: usize = 200_000;

/// What is looked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Search {
    /// Only what this address or prefix covers.
    prefix: Option<String>,
    /// Only this domain and what is below it.
    domain: Option<String>,
    /// Only for this reason.
    reason: Option<String>,
    /// Only by this source.
    source: Option<String>,
    /// Only what this author listed last.
    author: Option<String>,
    /// Only where the text or the note has this in it.
    text: Option<String>,
    /// Only what is listed since this time or later: a date, an RFC 3339 time, or a duration before
    /// now (7d).
    from: Option<String>,
    /// Only what is listed since this time or earlier.
    to: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
    /// At most so many (1 to 1000; 100 where it is left out).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A search, read.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub within: Option<Subject>,
    pub reason: Option<crate::model::ReasonId>,
    pub source: Option<SourceId>,
    pub author: Option<String>,
    pub text: Option<String>,
    pub from: Option<Time>,
    pub to: Option<Time>,
}

impl Wanted {
    /// Reads the words of a search.
    pub(super) fn read(
        v: &Dictionary,
        now: Time,
        within: (Option<&String>, Option<&String>),
        (reason, source): (Option<&String>, Option<&String>),
        (from, to): (Option<&String>, Option<&String>),
    ) -> Result<Wanted, Problem> {
        let time = |field: &str, t: Option<&String>| {
            t.map(|t| since(t, now).map_err(|e| Problem::invalid(format!("{field}: {e}"))))
                .transpose()
        };
        let within = match within {
            (Some(p), None) => {
                let s = Subject::parse(p, HostBits::Refuse)
                    .map_err(|e| Problem::invalid(format!("prefix: {e}")))?;
                if !s.is_address() {
                    return Err(Problem::invalid(format!(
                        "prefix: `{p}` is no address or prefix; say `domain` for a name"
                    )));
                }
                Some(s)
            }
            (None, Some(d)) => {
                let d = Domain::parse(d.trim_start_matches("*.").trim_start_matches('.'))
                    .map_err(|e| Problem::invalid(format!("domain: {e}")))?;
                Some(Subject::Domain(Domain::from_canonical(
                    d.name(),
                    Scope::Tree,
                )))
            }
            (None, None) => None,
            (Some(_), Some(_)) => {
                return Err(Problem::invalid("domain: take either `prefix` or `domain`"));
            }
        };
        let known =
            |field: &str, name: &String| Problem::invalid(format!("{field}: there is no `{name}`"));
        Ok(Wanted {
            within,
            reason: reason
                .map(|r| v.reasons.get(r).ok_or_else(|| known("reason", r)))
                .transpose()?,
            source: source
                .map(|s| v.sources.get(s).ok_or_else(|| known("source", s)))
                .transpose()?,
            from: time("from", from)?,
            to: time("to", to)?,
            ..Wanted::default()
        })
    }

    /// Whether an entry is one of those that are wanted, as far as it says so itself.
    pub(super) fn fits(&self, subject: &Subject, e: &Entry) -> bool {
        self.within.as_ref().is_none_or(|w| w.covers(subject))
            && self.reason.is_none_or(|r| r == e.reason)
            && self.source.is_none_or(|s| s == e.source)
            && self.from.is_none_or(|t| e.since >= t)
            && self.to.is_none_or(|t| e.since <= t)
    }

    /// Whether its history has to be read to know.
    pub(super) fn asks_history(&self) -> bool {
        self.author.is_some() || self.text.is_some()
    }

    /// The same with its history.
    pub(super) fn fits_history(&self, e: &Entry, history: &[Event]) -> bool {
        use crate::model::history::EventKind;
        let of = |w: &EventKind| matches!(w, EventKind::Listed { reason, source, .. } if (*reason, *source) == (e.reason, e.source));
        let last = history.iter().rev().find(|h| of(&h.what));
        let note = last
            .and_then(|h| h.evidence.as_ref())
            .map_or("", |n| &n.text);
        self.author
            .as_ref()
            .is_none_or(|a| last.is_some_and(|h| h.author == *a))
            && self.text.as_ref().is_none_or(|t| {
                note.contains(t.as_str()) || e.text.as_deref().unwrap_or("").contains(t.as_str())
            })
    }

    /// Where such subjects lie among the keys: from, and up to but not with.
    pub(super) fn ranges(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(within) = &self.within else {
            return vec![(vec![], vec![u8::MAX; 32])];
        };
        let behind = |mut key: Vec<u8>| {
            key.push(u8::MAX);
            key
        };
        match within {
            Subject::V4(p) => {
                let nets = (
                    within.key(),
                    Subject::V4(crate::model::Prefix4::new(p.last(), 31)).key(),
                );
                let hosts = (
                    Subject::host4(p.first()).key(),
                    behind(Subject::host4(p.last()).key()),
                );
                if p.is_host() {
                    vec![hosts]
                } else {
                    vec![(nets.0, behind(nets.1)), hosts]
                }
            }
            Subject::V6(p) => {
                let last = Subject::V6(crate::model::Prefix6::host(p.last())).key();
                vec![(within.key(), behind(last))]
            }
            Subject::Domain(d) => {
                let mut from = Subject::Domain(Domain::from_canonical(d.name(), Scope::Name)).key();
                from.pop(); // the scope
                let to = crate::store::schema::after(&from);
                vec![(from, to)]
            }
        }
    }
}

/// Listings, in order of their subjects.
#[utoipa::path(get, path = "/v1/listings", tag = "listings", params(Search), responses((status = 200, body = Page<Listing>), Problem))]
pub(super) async fn search(
    State(app): State<App>,
    Params(s): Params<Search>,
) -> Result<Json<Page<Listing>>, Problem> {
    let v = app.ledger.store.dictionary();
    let most = limit(s.limit)?;
    let words = (
        (s.prefix.as_ref(), s.domain.as_ref()),
        (s.reason.as_ref(), s.source.as_ref()),
        (s.from.as_ref(), s.to.as_ref()),
    );
    let wanted = Wanted {
        author: s.author,
        text: s.text,
        ..Wanted::read(&v, app.ledger.now(), words.0, words.1, words.2)?
    };
    let after = match &s.after {
        None => None,
        Some(id) => Some(
            listing_of(id)
                .ok_or_else(|| Problem::invalid("after: take the `next` of the page before"))?,
        ),
    };
    let work = move || {
        let store = &app.ledger.store;
        let (mut items, mut next, mut looked) = (Vec::new(), None, 0);
        let mut see = |subject: Subject, verdict: Verdict| -> Result<bool, StoreError> {
            looked += 1;
            let fits: Vec<&Entry> = verdict
                .entries
                .iter()
                .filter(|e| wanted.fits(&subject, e))
                .collect();
            let mut history = None;
            for e in fits {
                let place = (subject.clone(), e.reason, e.source);
                if after.as_ref().is_some_and(|a| place <= *a) {
                    continue;
                }
                if items.len() >= most {
                    return Ok(false);
                }
                let history = match &mut history {
                    Some(h) => h,
                    none => none.insert(store.history(&subject)?),
                };
                next = Some(listing_id(&place.0, place.1, place.2));
                if wanted.asks_history() && !wanted.fits_history(e, history) {
                    continue;
                }
                items.push(listing(&v, &subject, &verdict, e, history));
            }
            if looked >= LOOKED_AT {
                // Go on behind this subject, whatever it had.
                next = Some(listing_id(
                    &subject,
                    crate::model::ReasonId(u8::MAX),
                    SourceId::ALL,
                ));
                return Ok(false);
            }
            Ok(true)
        };
        let mut whole = true;
        for (from, to) in wanted.ranges() {
            let from = after
                .as_ref()
                .map_or(from.clone(), |(s, ..)| s.key().max(from));
            if whole && from < to {
                whole = store.scan_range(&v, &from, &to, &mut see)?;
            }
        }
        Ok::<_, Problem>(Page {
            items,
            next: next.filter(|_| !whole),
        })
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Problem::failed)?
        .map(Json)
}

/// Which page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// The `next` of the page before.
    after: Option<String>,
    /// At most so many (1 to 1000; 100 where it is left out).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A page of what is decided one by one: `take` shows of a verdict what belongs there.
async fn decided<T: Send + 'static>(
    app: App,
    paging: Paging,
    take: impl Fn(&Dictionary, &Subject, &Verdict) -> Vec<T> + Send + 'static,
) -> Result<Json<Page<T>>, Problem> {
    let most = limit(paging.limit)?;
    let bad = || Problem::invalid("after: take the `next` of the page before");
    let after = paging
        .after
        .map(|a| a.parse::<Subject>().map_err(|_| bad()))
        .transpose()?;
    let work = move || {
        let (store, v) = (&app.ledger.store, app.ledger.store.dictionary());
        let (mut items, mut next) = (Vec::new(), None);
        store
            .decided(after.as_ref(), &mut |subject, verdict| {
                let found = take(&v, &subject, &verdict);
                if !found.is_empty() && items.len() >= most {
                    return Ok(false);
                }
                if !found.is_empty() {
                    next = Some(subject.to_string());
                }
                items.extend(found);
                Ok(true)
            })
            .map(|whole| Page {
                items,
                next: next.filter(|_| !whole),
            })
    };
    Ok(Json(
        tokio::task::spawn_blocking(work)
            .await
            .map_err(Problem::failed)??,
    ))
}

/// Subjects that are never published.
#[utoipa::path(get, path = "/v1/exemptions", tag = "exemptions", params(Paging), responses((status = 200, body = Page<ExemptShape>), Problem))]
pub(super) async fn exemptions(
    State(app): State<App>,
    Params(paging): Params<Paging>,
) -> Result<Json<Page<ExemptShape>>, Problem> {
    let one = |_: &Dictionary, s: &Subject, v: &Verdict| {
        let shape = v.exempt.as_ref().map(|e| ExemptShape {
            subject: s.to_string(),
            since: e.since.to_string(),
            until: e.until.map(|t| t.to_string()),
            revision: hex(revision(v)),
        });
        shape.into_iter().collect()
    };
    decided(app, paging, one).await
}

/// Reasons that are held down, since a removal was granted.
#[utoipa::path(get, path = "/v1/holds", tag = "holds", params(Paging), responses((status = 200, body = Page<HoldShape>), Problem))]
pub(super) async fn holds(
    State(app): State<App>,
    Params(paging): Params<Paging>,
) -> Result<Json<Page<HoldShape>>, Problem> {
    decided(app, paging, |v, s, verdict| {
        verdict.holds.iter().map(|h| hold(v, s, h)).collect()
    })
    .await
}

/// A subject that is to be exempt, or whose reason is to be held down.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// An address, a prefix or a domain.
    subject: String,
    /// Of a hold: the reason.
    reason: Option<String>,
    /// A duration or a time; for good where it is left out (a hold: 30 days).
    until: Option<String>,
    /// Why, for the history.
    note: Option<String>,
    /// Of an exemption: public suffixes that may be named, such as `tk`.
    #[serde(default)]
    allow_suffix: Vec<String>,
}

async fn decide(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    op: &str,
    body: &[u8],
) -> Result<Json<ReceiptShape>, Problem> {
    let Decided {
        subject,
        reason,
        until,
        note,
        allow_suffix,
    } = json(body)?;
    let ordered = Ordered {
        op: Some(op.into()),
        subject,
        reason,
        until,
        note,
        allow_suffix,
        ..Ordered::default()
    };
    let change = change(
        app,
        &ordered,
        caller,
        Conditions::of(headers)?.preconditions(caller, op, body),
    )?;
    done(app, change).await.map(Json)
}

/// What ends.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Ending {
    /// An address, a prefix or a domain.
    subject: String,
    /// Of holds: only this reason.
    reason: Option<String>,
    /// Why, for the history.
    note: Option<String>,
}

async fn end(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    op: &str,
    e: Ending,
) -> Result<Json<ReceiptShape>, Problem> {
    let preconditions =
        Conditions::of(headers)?.preconditions(caller, op, format!("{e:?}").as_bytes());
    let ordered = Ordered {
        op: Some(op.into()),
        subject: e.subject,
        reason: e.reason,
        note: e.note,
        ..Ordered::default()
    };
    done(app, change(app, &ordered, caller, preconditions)?)
        .await
        .map(Json)
}

/// Never publishes a subject, whatever lists it.
#[utoipa::path(post, path = "/v1/exemptions", tag = "exemptions", request_body = Decided, params(("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)), responses((status = 200, body = ReceiptShape), Problem))]
pub(super) async fn exempt(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    request: axum::extract::Request,
) -> Result<Json<ReceiptShape>, Problem> {
    decide(
        &app,
        &caller,
        &headers,
        "exempt",
        &super::input::bytes(request, &app).await?,
    )
    .await
}

/// Publishes a subject again where it is listed.
#[utoipa::path(delete, path = "/v1/exemptions", tag = "exemptions", params(Ending, ("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)), responses((status = 200, body = ReceiptShape), Problem))]
pub(super) async fn unexempt(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Params(e): Params<Ending>,
) -> Result<Json<ReceiptShape>, Problem> {
    end(&app, &caller, &headers, "unexempt", e).await
}

/// Holds a reason down, whoever says it.
#[utoipa::path(post, path = "/v1/holds", tag = "holds", request_body = Decided, params(("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)), responses((status = 200, body = ReceiptShape), Problem))]
pub(super) async fn hold_down(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    request: axum::extract::Request,
) -> Result<Json<ReceiptShape>, Problem> {
    decide(
        &app,
        &caller,
        &headers,
        "hold",
        &super::input::bytes(request, &app).await?,
    )
    .await
}

/// Breaks holds: of a subject, or only for one reason.
#[utoipa::path(delete, path = "/v1/holds", tag = "holds", params(Ending, ("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)), responses((status = 200, body = ReceiptShape), Problem))]
pub(super) async fn unhold(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Params(e): Params<Ending>,
) -> Result<Json<ReceiptShape>, Problem> {
    end(&app, &caller, &headers, "unhold", e).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A subject lies in the ranges of everything that covers it, and a range has nothing of
        /// another kind.
        #[test]
        fn ranges_hold_all_that_is_covered(addr: u32, len in 8u8..=32, host: u32, other in 8u8..=32) {
            use crate::model::Prefix4;
            let within = Subject::V4(Prefix4::new(addr, len));
            let wanted = Wanted { within: Some(within.clone()), ..Wanted::default() };
            let inside = |s: &Subject| wanted.ranges().iter().any(|(from, to)| (from.as_slice()..to.as_slice()).contains(&s.key().as_slice()));
            let near = Prefix4::new(addr & Prefix4::mask(len) | host & !Prefix4::mask(len), other.max(len));
            for s in [Subject::V4(near), Subject::V4(Prefix4::new(host, other))] {
                prop_assert!(!within.covers(&s) || inside(&s), "{within} {s}");
            }
        }
    }

    #[test]
    fn a_domains_range_has_what_is_below_it_and_no_neighbour() {
        let v = Dictionary::default();
        let d = "spam.example".to_string();
        let wanted =
            Wanted::read(&v, Time(0), (None, Some(&d)), (None, None), (None, None)).unwrap();
        let [(from, to)] = &wanted.ranges()[..] else {
            panic!()
        };
        for (s, is) in [
            ("spam.example", true),
            ("*.spam.example", true),
            ("x.spam.example", true),
            ("spam2.example", false),
            ("spa.example", false),
        ] {
            let key = s.parse::<Subject>().unwrap().key();
            assert_eq!(*from <= key && key < *to, is, "{s}");
        }
    }
}
