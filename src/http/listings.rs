//! Searches of listings, exemptions and holds, and the requests that change the latter two.

use axum::{Extension, Json, extract::State, http::HeaderMap};

use super::{
    App,
    caller::Caller,
    changes::{change, commit},
    conditions::RequestConditions,
    convert::{hex, hold, listing, listing_id, listing_of},
    input::{QueryParams, json, limit},
};
use crate::{
    api::{
        ExemptionEndQuery, ExemptionRequest, ExemptionResponse, HoldEndQuery, HoldRequest,
        HoldResponse, ListingRequest, ListingResponse, ListingsQuery, Operation, Page, PageQuery,
        ProblemDetails, ReceiptResponse,
    },
    model::{
        Domain, Entry, Event, Scope, SourceId, Subject, Time, Verdict, subject::HostBits,
        time::parse_start,
    },
    store::{Dictionary, StoreError, schema::revision},
};

/// The most subjects that one request reads; a page that ends there is short and has a `next`.
const MAX_SCANNED: usize = 200_000;

/// The parsed conditions of a search.
#[derive(Debug, Clone, Default)]
pub(super) struct ListingFilter {
    pub within: Option<Subject>,
    pub reason: Option<crate::model::ReasonId>,
    pub source: Option<SourceId>,
    pub author: Option<String>,
    pub text: Option<String>,
    pub from: Option<Time>,
    pub to: Option<Time>,
}

impl ListingFilter {
    /// Reads the parameters of a search.
    pub(super) fn read(
        dictionary: &Dictionary,
        now: Time,
        within: (Option<&String>, Option<&String>),
        (reason, source): (Option<&String>, Option<&String>),
        (from, to): (Option<&String>, Option<&String>),
    ) -> Result<ListingFilter, ProblemDetails> {
        let time = |field: &str, t: Option<&String>| {
            t.map(|t| {
                parse_start(t, now).map_err(|e| ProblemDetails::invalid(format!("{field}: {e}")))
            })
            .transpose()
        };
        let within = match within {
            (Some(p), None) => {
                let s = Subject::parse(p, HostBits::Refuse)
                    .map_err(|e| ProblemDetails::invalid(format!("prefix: {e}")))?;
                if !s.is_address() {
                    return Err(ProblemDetails::invalid(format!(
                        "prefix: `{p}` is not an address or a prefix; use `domain` for a name"
                    )));
                }
                Some(s)
            }
            (None, Some(d)) => {
                let d = Domain::parse(d.trim_start_matches("*.").trim_start_matches('.'))
                    .map_err(|e| ProblemDetails::invalid(format!("domain: {e}")))?;
                Some(Subject::Domain(Domain::from_canonical(
                    d.name(),
                    Scope::Tree,
                )))
            }
            (None, None) => None,
            (Some(_), Some(_)) => {
                return Err(ProblemDetails::invalid(
                    "domain: use either `prefix` or `domain`",
                ));
            }
        };
        let known = |field: &str, name: &String| {
            ProblemDetails::invalid(format!("{field}: unknown name `{name}`"))
        };
        Ok(ListingFilter {
            within,
            reason: reason
                .map(|r| dictionary.reasons.get(r).ok_or_else(|| known("reason", r)))
                .transpose()?,
            source: source
                .map(|s| dictionary.sources.get(s).ok_or_else(|| known("source", s)))
                .transpose()?,
            from: time("from", from)?,
            to: time("to", to)?,
            ..ListingFilter::default()
        })
    }

    /// Whether an entry matches, as far as that is known without its history.
    pub(super) fn fits(&self, subject: &Subject, e: &Entry) -> bool {
        self.within.as_ref().is_none_or(|w| w.covers(subject))
            && self.reason.is_none_or(|r| r == e.reason)
            && self.source.is_none_or(|s| s == e.source)
            && self.from.is_none_or(|t| e.since >= t)
            && self.to.is_none_or(|t| e.since <= t)
    }

    /// Whether a match depends on the history.
    pub(super) fn needs_history(&self) -> bool {
        self.author.is_some() || self.text.is_some()
    }

    /// Whether an entry matches by its history.
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

    /// The half-open ranges of keys that contain all matches: start and end of each.
    pub(super) fn ranges(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(within) = &self.within else {
            return vec![(vec![], vec![u8::MAX; 32])];
        };
        let after = |mut key: Vec<u8>| {
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
                    after(Subject::host4(p.last()).key()),
                );
                if p.is_host() {
                    vec![hosts]
                } else {
                    vec![(nets.0, after(nets.1)), hosts]
                }
            }
            Subject::V6(p) => {
                let last = Subject::V6(crate::model::Prefix6::host(p.last())).key();
                vec![(within.key(), after(last))]
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

/// Searches listings, in the order of their subjects.
#[utoipa::path(get, path = "/v1/listings", tag = "listings", params(ListingsQuery),
    responses((status = 200, body = Page<ListingResponse>, description = "A page of listings")))]
pub(super) async fn search_listings(
    State(app): State<App>,
    QueryParams(s): QueryParams<ListingsQuery>,
) -> Result<Json<Page<ListingResponse>>, ProblemDetails> {
    let dictionary = app.ledger.store.dictionary();
    let most = limit(s.limit)?;
    let filter = ListingFilter {
        author: s.author,
        text: s.text,
        ..ListingFilter::read(
            &dictionary,
            app.ledger.now(),
            (s.prefix.as_ref(), s.domain.as_ref()),
            (s.reason.as_ref(), s.source.as_ref()),
            (s.from.as_ref(), s.to.as_ref()),
        )?
    };
    let after = match &s.after {
        None => None,
        Some(id) => Some(listing_of(id).ok_or_else(|| {
            ProblemDetails::invalid("after: it must be the `next` of the previous page")
        })?),
    };
    let work = move || {
        let store = &app.ledger.store;
        let (mut items, mut next, mut scanned) = (Vec::new(), None, 0);
        let mut visit = |subject: Subject, verdict: Verdict| -> Result<bool, StoreError> {
            scanned += 1;
            let fits: Vec<&Entry> = verdict
                .entries
                .iter()
                .filter(|e| filter.fits(&subject, e))
                .collect();
            let mut history = None;
            for e in fits {
                let key = (subject.clone(), e.reason, e.source);
                if after.as_ref().is_some_and(|a| key <= *a) {
                    continue;
                }
                if items.len() >= most {
                    return Ok(false);
                }
                let history = match &mut history {
                    Some(h) => h,
                    none => none.insert(store.history(&subject)?),
                };
                next = Some(listing_id(&key.0, key.1, key.2));
                if filter.needs_history() && !filter.fits_history(e, history) {
                    continue;
                }
                items.push(listing(&dictionary, &subject, &verdict, e, history));
            }
            if scanned >= MAX_SCANNED {
                // The next page begins after all listings of this subject.
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
        for (from, to) in filter.ranges() {
            let from = after
                .as_ref()
                .map_or(from.clone(), |(s, ..)| s.key().max(from));
            if whole && from < to {
                whole = store.scan_range(&dictionary, &from, &to, &mut visit)?;
            }
        }
        Ok::<_, ProblemDetails>(Page {
            items,
            next: next.filter(|_| !whole),
        })
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(ProblemDetails::failed)?
        .map(Json)
}

/// A page of exemptions or holds; `take` returns those of a verdict.
async fn decided<T: Send + 'static>(
    app: App,
    paging: PageQuery,
    take: impl Fn(&Dictionary, &Subject, &Verdict) -> Vec<T> + Send + 'static,
) -> Result<Json<Page<T>>, ProblemDetails> {
    let most = limit(paging.limit)?;
    let invalid = || ProblemDetails::invalid("after: it must be the `next` of the previous page");
    let after = paging
        .after
        .map(|a| a.parse::<Subject>().map_err(|_| invalid()))
        .transpose()?;
    let work = move || {
        let (store, dictionary) = (&app.ledger.store, app.ledger.store.dictionary());
        let (mut items, mut next) = (Vec::new(), None);
        store
            .decided(after.as_ref(), &mut |subject, verdict| {
                let found = take(&dictionary, &subject, &verdict);
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
            .map_err(ProblemDetails::failed)??,
    ))
}

/// The exemption of a subject, if it has one.
pub(super) fn exemption(subject: &Subject, verdict: &Verdict) -> Option<ExemptionResponse> {
    verdict.exempt.as_ref().map(|e| ExemptionResponse {
        subject: subject.to_string(),
        since: e.since.into(),
        until: e.until.map(Into::into),
        revision: hex(revision(verdict)),
    })
}

/// Lists the subjects that are never published.
#[utoipa::path(get, path = "/v1/exemptions", tag = "exemptions", params(PageQuery),
    responses((status = 200, body = Page<ExemptionResponse>, description = "A page of exemptions")))]
pub(super) async fn list_exemptions(
    State(app): State<App>,
    QueryParams(paging): QueryParams<PageQuery>,
) -> Result<Json<Page<ExemptionResponse>>, ProblemDetails> {
    decided(app, paging, |_, subject, verdict| {
        exemption(subject, verdict).into_iter().collect()
    })
    .await
}

/// Lists the reasons that are suppressed because a removal was granted.
#[utoipa::path(get, path = "/v1/holds", tag = "holds", params(PageQuery),
    responses((status = 200, body = Page<HoldResponse>, description = "A page of holds")))]
pub(super) async fn list_holds(
    State(app): State<App>,
    QueryParams(paging): QueryParams<PageQuery>,
) -> Result<Json<Page<HoldResponse>>, ProblemDetails> {
    decided(app, paging, |dictionary, s, verdict| {
        verdict
            .holds
            .iter()
            .map(|h| hold(dictionary, s, h))
            .collect()
    })
    .await
}

/// Submits the change of an exemption or a hold. `body` distinguishes requests with the same
/// `Idempotency-Key`.
async fn submit(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    request: &ListingRequest,
    body: &[u8],
) -> Result<Json<ReceiptResponse>, ProblemDetails> {
    let what = serde_json::to_string(&request.op).map_err(ProblemDetails::failed)?;
    let preconditions = RequestConditions::read(headers)?.preconditions(caller, &what, body);
    commit(app, change(app, request, caller, preconditions)?)
        .await
        .map(Json)
}

/// Exempts a subject: it is never published, whatever lists it.
#[utoipa::path(post, path = "/v1/exemptions", tag = "exemptions", request_body = ExemptionRequest,
    responses((status = 200, body = ReceiptResponse, description = "The subject is exempt")))]
pub(super) async fn exempt_subject(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    request: axum::extract::Request,
) -> Result<Json<ReceiptResponse>, ProblemDetails> {
    let body = super::input::bytes(request, &app).await?;
    let r: ExemptionRequest = json(&body)?;
    let request = ListingRequest {
        op: Operation::Exempt,
        subject: r.subject,
        until: r.until,
        note: r.note,
        allow_suffix: r.allow_suffix,
        ..ListingRequest::default()
    };
    submit(&app, &caller, &headers, &request, &body).await
}

/// Ends an exemption: the subject is published again if it is listed.
#[utoipa::path(delete, path = "/v1/exemptions", tag = "exemptions", params(ExemptionEndQuery),
    responses((status = 200, body = ReceiptResponse, description = "The exemption has ended")))]
pub(super) async fn end_exemption(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    QueryParams(query): QueryParams<ExemptionEndQuery>,
) -> Result<Json<ReceiptResponse>, ProblemDetails> {
    let body = serde_json::to_vec(&query).map_err(ProblemDetails::failed)?;
    let request = ListingRequest {
        op: Operation::Unexempt,
        subject: query.subject,
        note: query.note,
        ..ListingRequest::default()
    };
    submit(&app, &caller, &headers, &request, &body).await
}

/// Suppresses a reason for a subject, whatever source lists it.
#[utoipa::path(post, path = "/v1/holds", tag = "holds", request_body = HoldRequest,
    responses((status = 200, body = ReceiptResponse, description = "The reason is suppressed")))]
pub(super) async fn hold_reason(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    request: axum::extract::Request,
) -> Result<Json<ReceiptResponse>, ProblemDetails> {
    let body = super::input::bytes(request, &app).await?;
    let r: HoldRequest = json(&body)?;
    let request = ListingRequest {
        op: Operation::Hold,
        subject: r.subject,
        reason: Some(r.reason),
        until: r.until,
        note: r.note,
        ..ListingRequest::default()
    };
    submit(&app, &caller, &headers, &request, &body).await
}

/// Ends holds of a subject: all of them, or that of one reason.
#[utoipa::path(delete, path = "/v1/holds", tag = "holds", params(HoldEndQuery),
    responses((status = 200, body = ReceiptResponse, description = "The holds have ended")))]
pub(super) async fn end_holds(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    QueryParams(query): QueryParams<HoldEndQuery>,
) -> Result<Json<ReceiptResponse>, ProblemDetails> {
    let body = serde_json::to_vec(&query).map_err(ProblemDetails::failed)?;
    let request = ListingRequest {
        op: Operation::Unhold,
        subject: query.subject,
        reason: query.reason,
        note: query.note,
        ..ListingRequest::default()
    };
    submit(&app, &caller, &headers, &request, &body).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The key of a subject is in the ranges of every prefix that covers the subject.
        #[test]
        fn ranges_contain_every_covered_subject(addr: u32, len in 8u8..=32, host: u32, other in 8u8..=32) {
            use crate::model::Prefix4;
            let within = Subject::V4(Prefix4::new(addr, len));
            let filter = ListingFilter { within: Some(within.clone()), ..ListingFilter::default() };
            let inside = |s: &Subject| filter.ranges().iter().any(|(from, to)| (from.as_slice()..to.as_slice()).contains(&s.key().as_slice()));
            let near = Prefix4::new(addr & Prefix4::mask(len) | host & !Prefix4::mask(len), other.max(len));
            for s in [Subject::V4(near), Subject::V4(Prefix4::new(host, other))] {
                prop_assert!(!within.covers(&s) || inside(&s), "{within} {s}");
            }
        }
    }

    #[test]
    fn range_of_a_domain_contains_only_the_domain_and_names_below_it() {
        let dictionary = Dictionary::default();
        let d = "spam.example".to_string();
        let filter = ListingFilter::read(
            &dictionary,
            Time(0),
            (None, Some(&d)),
            (None, None),
            (None, None),
        )
        .unwrap();
        let [(from, to)] = &filter.ranges()[..] else {
            panic!()
        };
        for (s, expected) in [
            ("spam.example", true),
            ("*.spam.example", true),
            ("x.spam.example", true),
            ("spam2.example", false),
            ("spa.example", false),
        ] {
            let key = s.parse::<Subject>().unwrap().key();
            assert_eq!(*from <= key && key < *to, expected, "{s}");
        }
    }
}
