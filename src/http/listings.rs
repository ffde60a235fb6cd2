//! Searches of listings, exemptions and holds, and the requests that change the latter two.

use axum::{Json, extract::State};

use super::{
    App,
    changes::{change, commit},
    conditions::RequestConditions,
    convert::{hold, last_listed, listing, listing_id, parse_listing_id, revision_text},
    handler::{Call, JsonResult, blocking},
    input::{JsonWithBytes, QueryParams, after, limit, time},
};
use crate::{
    api::{
        ExemptionEndQuery, ExemptionRequest, ExemptionResponse, HoldEndQuery, HoldRequest,
        HoldResponse, ListingRequest, ListingResponse, ListingsQuery, Operation, Page, PageQuery,
        ProblemDetails, ReceiptResponse,
    },
    model::{
        Domain, Entry, Event, ReasonId, Scope, SourceId, Subject, Time, Verdict, subject::HostBits,
        time::parse_start,
    },
    store::{
        Dictionary, StoreError,
        schema::{covered_ranges, revision},
    },
};

/// The most subjects that one request reads; a page that ends there is short and has a `next`.
const MAX_SCANNED: usize = 200_000;

/// The parsed conditions of a search.
#[derive(Debug, Clone, Default)]
pub(super) struct ListingFilter {
    pub within: Option<Subject>,
    pub reason: Option<ReasonId>,
    pub source: Option<SourceId>,
    pub author: Option<String>,
    pub text: Option<String>,
    pub from: Option<Time>,
    pub to: Option<Time>,
}

impl ListingFilter {
    /// Reads the parameters of a search.
    pub fn read(
        dictionary: &Dictionary,
        now: Time,
        query: ListingsQuery,
    ) -> Result<ListingFilter, ProblemDetails> {
        let unknown = |field: &str, name: &String| {
            ProblemDetails::invalid(format!("{field}: unknown name `{name}`"))
        };
        let reason = |r: &String| {
            dictionary
                .reasons
                .get(r)
                .ok_or_else(|| unknown("reason", r))
        };
        let source = |s: &String| {
            dictionary
                .sources
                .get(s)
                .ok_or_else(|| unknown("source", s))
        };
        Ok(ListingFilter {
            within: read_within(query.prefix.as_deref(), query.domain.as_deref())?,
            reason: query.reason.as_ref().map(reason).transpose()?,
            source: query.source.as_ref().map(source).transpose()?,
            from: time("from", query.from.as_ref(), now, parse_start)?,
            to: time("to", query.to.as_ref(), now, parse_start)?,
            author: query.author,
            text: query.text,
        })
    }

    /// Whether an entry matches, as far as that is known without its history.
    pub fn fits(&self, subject: &Subject, e: &Entry) -> bool {
        self.within.as_ref().is_none_or(|w| w.covers(subject))
            && self.reason.is_none_or(|r| r == e.reason)
            && self.source.is_none_or(|s| s == e.source)
            && self.from.is_none_or(|t| e.since >= t)
            && self.to.is_none_or(|t| e.since <= t)
    }

    /// Whether a match depends on the history.
    pub fn needs_history(&self) -> bool {
        self.author.is_some() || self.text.is_some()
    }

    /// Whether an entry matches by its history.
    pub fn fits_history(&self, e: &Entry, history: &[Event]) -> bool {
        let last = last_listed(e, history);
        let note = last.and_then(|h| h.evidence.as_ref());
        let note = note.map_or("", |n| &n.text);
        let text = e.text.as_deref().unwrap_or("");
        let contains = |t: &String| note.contains(t.as_str()) || text.contains(t.as_str());
        let is_by = |author: &String| last.is_some_and(|h| h.author == *author);
        self.author.as_ref().is_none_or(is_by) && self.text.as_ref().is_none_or(contains)
    }

    /// The half-open ranges of keys that contain all matches: start and end of each.
    pub fn ranges(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(within) = &self.within else {
            return vec![(vec![], vec![u8::MAX; 32])];
        };
        covered_ranges(within)
    }
}

/// The subject that covers all matches: a prefix, or a domain with the names below it.
fn read_within(
    prefix: Option<&str>,
    domain: Option<&str>,
) -> Result<Option<Subject>, ProblemDetails> {
    match (prefix, domain) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(ProblemDetails::invalid(
            "domain: use either `prefix` or `domain`",
        )),
        (Some(prefix), None) => {
            let subject = Subject::parse(prefix, HostBits::Refuse)
                .map_err(|e| ProblemDetails::invalid(format!("prefix: {e}")))?;
            if !subject.is_address() {
                return Err(ProblemDetails::invalid(format!(
                    "prefix: `{prefix}` is not an address or a prefix; use `domain` for a name"
                )));
            }
            Ok(Some(subject))
        }
        (None, Some(domain)) => {
            let domain = Domain::parse(domain.trim_start_matches("*.").trim_start_matches('.'))
                .map_err(|e| ProblemDetails::invalid(format!("domain: {e}")))?;
            let tree = Domain::from_canonical(domain.name(), Scope::Tree);
            Ok(Some(Subject::Domain(tree)))
        }
    }
}

/// Searches listings, in the order of their subjects.
#[utoipa::path(get, path = "/v1/listings", tag = "listings", params(ListingsQuery),
    responses((status = 200, body = Page<ListingResponse>, description = "A page of listings")))]
pub async fn search_listings(
    State(app): State<App>,
    QueryParams(query): QueryParams<ListingsQuery>,
) -> JsonResult<Page<ListingResponse>> {
    let dictionary = app.ledger.store.dictionary();
    let most = limit(query.limit)?;
    let after = after(query.after.as_ref(), parse_listing_id)?;
    let filter = ListingFilter::read(&dictionary, app.ledger.now(), query)?;
    let work = move || {
        let store = &app.ledger.store;
        let (mut items, mut next, mut scanned) = (Vec::new(), None, 0);
        let mut visit = |subject: Subject, verdict: Verdict| -> Result<bool, StoreError> {
            scanned += 1;
            let mut history = None;
            for e in verdict.entries.iter().filter(|e| filter.fits(&subject, e)) {
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
                next = Some(listing_id(&subject, e.reason, e.source));
                if filter.needs_history() && !filter.fits_history(e, history) {
                    continue;
                }
                items.push(listing(&dictionary, &subject, &verdict, e, history));
            }
            if scanned >= MAX_SCANNED {
                // The next page begins after all listings of this subject.
                next = Some(listing_id(&subject, ReasonId(u8::MAX), SourceId::ALL));
            }
            Ok(scanned < MAX_SCANNED)
        };
        let mut whole = true;
        for (from, to) in filter.ranges() {
            let start = after.as_ref().map_or(Vec::new(), |(s, ..)| s.key());
            let from = from.max(start);
            if whole && from < to {
                whole = store.scan_range(&dictionary, &from, &to, &mut visit)?;
            }
        }
        let next = next.filter(|_| !whole);
        Ok(Json(Page { items, next }))
    };
    blocking(work).await
}

/// A page of exemptions or holds; `take` returns those of a verdict.
async fn list_decisions<T: Send + 'static>(
    app: App,
    paging: PageQuery,
    take: impl Fn(&Dictionary, &Subject, &Verdict) -> Vec<T> + Send + 'static,
) -> JsonResult<Page<T>> {
    let most = limit(paging.limit)?;
    let after = after(paging.after.as_ref(), |a| a.parse::<Subject>().ok())?;
    let work = move || {
        let (store, dictionary) = (&app.ledger.store, app.ledger.store.dictionary());
        let (mut items, mut next) = (Vec::new(), None);
        let whole = store.decided(after.as_ref(), &mut |subject, verdict| {
            let found = take(&dictionary, &subject, &verdict);
            if found.is_empty() {
                return Ok(true);
            }
            if items.len() >= most {
                return Ok(false);
            }
            next = Some(subject.to_string());
            items.extend(found);
            Ok(true)
        })?;
        let next = next.filter(|_| !whole);
        Ok(Json(Page { items, next }))
    };
    blocking(work).await
}

/// The exemption of a subject, if it has one.
pub fn exemption(subject: &Subject, verdict: &Verdict) -> Option<ExemptionResponse> {
    verdict.exempt.as_ref().map(|e| ExemptionResponse {
        subject: subject.to_string(),
        since: e.since.into(),
        until: e.until.map(Into::into),
        revision: revision_text(revision(verdict)),
    })
}

/// Lists the subjects that are never published.
#[utoipa::path(get, path = "/v1/exemptions", tag = "exemptions", params(PageQuery),
    responses((status = 200, body = Page<ExemptionResponse>, description = "A page of exemptions")))]
pub async fn list_exemptions(
    State(app): State<App>,
    QueryParams(paging): QueryParams<PageQuery>,
) -> JsonResult<Page<ExemptionResponse>> {
    list_decisions(app, paging, |_, subject, verdict| {
        exemption(subject, verdict).into_iter().collect()
    })
    .await
}

/// Lists the reasons that are suppressed because a removal was granted.
#[utoipa::path(get, path = "/v1/holds", tag = "holds", params(PageQuery),
    responses((status = 200, body = Page<HoldResponse>, description = "A page of holds")))]
pub async fn list_holds(
    State(app): State<App>,
    QueryParams(paging): QueryParams<PageQuery>,
) -> JsonResult<Page<HoldResponse>> {
    list_decisions(app, paging, |dictionary, subject, verdict| {
        let holds = verdict.holds.iter();
        holds.map(|h| hold(dictionary, subject, h)).collect()
    })
    .await
}

/// Submits the change of an exemption or a hold. `body` tells requests with the same
/// `Idempotency-Key` apart.
async fn submit(
    Call { app, caller }: Call,
    conditions: &RequestConditions,
    request: &ListingRequest,
    body: &[u8],
) -> JsonResult<ReceiptResponse> {
    let scope = serde_json::to_string(&request.op).map_err(ProblemDetails::internal)?;
    let preconditions = conditions.preconditions(&caller, &scope, body);
    let change = change(&app, request, &caller, preconditions)?;
    commit(&app, change).await.map(Json)
}

/// Exempts a subject: it is never published, whatever lists it.
#[utoipa::path(post, path = "/v1/exemptions", tag = "exemptions", request_body = ExemptionRequest,
    responses((status = 200, body = ReceiptResponse, description = "The subject is exempt")))]
pub async fn exempt_subject(
    call: Call,
    conditions: RequestConditions,
    JsonWithBytes(exemption, body): JsonWithBytes<ExemptionRequest>,
) -> JsonResult<ReceiptResponse> {
    let request = ListingRequest {
        op: Operation::Exempt,
        subject: exemption.subject,
        until: exemption.until,
        note: exemption.note,
        allow_suffix: exemption.allow_suffix,
        ..ListingRequest::default()
    };
    submit(call, &conditions, &request, &body).await
}

/// Ends an exemption: the subject is published again if it is listed.
#[utoipa::path(delete, path = "/v1/exemptions", tag = "exemptions", params(ExemptionEndQuery),
    responses((status = 200, body = ReceiptResponse, description = "The exemption has ended")))]
pub async fn end_exemption(
    call: Call,
    conditions: RequestConditions,
    QueryParams(query): QueryParams<ExemptionEndQuery>,
) -> JsonResult<ReceiptResponse> {
    let body = serde_json::to_vec(&query).map_err(ProblemDetails::internal)?;
    let request = ListingRequest {
        op: Operation::Unexempt,
        subject: query.subject,
        note: query.note,
        ..ListingRequest::default()
    };
    submit(call, &conditions, &request, &body).await
}

/// Suppresses a reason for a subject, whatever source lists it.
#[utoipa::path(post, path = "/v1/holds", tag = "holds", request_body = HoldRequest,
    responses((status = 200, body = ReceiptResponse, description = "The reason is suppressed")))]
pub async fn hold_reason(
    call: Call,
    conditions: RequestConditions,
    JsonWithBytes(hold, body): JsonWithBytes<HoldRequest>,
) -> JsonResult<ReceiptResponse> {
    let request = ListingRequest {
        op: Operation::Hold,
        subject: hold.subject,
        reason: Some(hold.reason),
        until: hold.until,
        note: hold.note,
        ..ListingRequest::default()
    };
    submit(call, &conditions, &request, &body).await
}

/// Ends holds of a subject: all of them, or that of one reason.
#[utoipa::path(delete, path = "/v1/holds", tag = "holds", params(HoldEndQuery),
    responses((status = 200, body = ReceiptResponse, description = "The holds have ended")))]
pub async fn end_holds(
    call: Call,
    conditions: RequestConditions,
    QueryParams(query): QueryParams<HoldEndQuery>,
) -> JsonResult<ReceiptResponse> {
    let body = serde_json::to_vec(&query).map_err(ProblemDetails::internal)?;
    let request = ListingRequest {
        op: Operation::Unhold,
        subject: query.subject,
        reason: query.reason,
        note: query.note,
        ..ListingRequest::default()
    };
    submit(call, &conditions, &request, &body).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Prefix4;
    use proptest::prelude::*;

    proptest! {
        /// The key of a subject is in the ranges of every prefix that covers the subject.
        #[test]
        fn ranges_contain_every_covered_subject(addr: u32, len in 8u8..=32, host: u32, other in 8u8..=32) {
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
        let query = ListingsQuery {
            domain: Some("spam.example".into()),
            ..ListingsQuery::default()
        };
        let filter = ListingFilter::read(&dictionary, Time(0), query).unwrap();
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
