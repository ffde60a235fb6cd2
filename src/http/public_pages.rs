//! The public pages as JSON, as programs get them from `[web] listen` and from the API.

pub mod links;

use axum::{
    Json,
    extract::{Query, State},
    http::{HeaderMap, header},
};

use super::{
    App,
    caller::ClientAddress,
    handler::JsonResult,
    input::{JsonBody, Part},
    jobs::{public_relay_tests, relay_tests},
    lookup::{LookupInput, public_lookup},
    notices, privacy, public_lists, text_pages,
};
use crate::{
    api::{
        LanguageQuery, ListResponse, LookupResponse, LookupTextRequest, Page, PolicyResponse,
        PrivacyKindsResponse, PublicNoticesResponse, PublicRelayTestsResponse,
        PublicStatusResponse, TextPageResponse,
    },
    texts::Language,
};

/// Looks up what a pasted text names: a subject in any spelling, a bounce message, or the headers
/// of a message.
#[utoipa::path(post, path = "/lookup", tag = "public", request_body = LookupTextRequest,
    responses((status = 200, body = LookupResponse, description = "The public information about the first subject of the text")))]
pub async fn look_up_text(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    JsonBody(request): JsonBody<LookupTextRequest>,
) -> JsonResult<LookupResponse> {
    let input = LookupInput::Pasted {
        text: request.text,
        own: request.own,
    };
    public_lookup(&app, input, client).await.map(Json)
}

/// Lists the lists that the server publishes.
#[utoipa::path(get, path = "/zones", tag = "public",
    responses((status = 200, body = Page<ListResponse>, description = "All lists, without recipes")))]
pub async fn list_public_lists(State(app): State<App>) -> Json<Page<ListResponse>> {
    Json(Page::all(public_lists::lists(&app)))
}

/// Returns a list with the settings of programs that use it.
#[utoipa::path(get, path = "/zones/{zone}", tag = "public",
    params(("zone" = String, Path, description = "The name of the zone, or its short name")),
    responses((status = 200, body = ListResponse, description = "The list")))]
pub async fn get_public_list(State(app): State<App>, Part(zone): Part) -> JsonResult<ListResponse> {
    public_lists::list(&app, &zone).map(Json)
}

/// Returns the policy of the lists.
#[utoipa::path(get, path = "/policy", tag = "public",
    responses((status = 200, body = PolicyResponse, description = "The policy")))]
pub async fn get_policy(State(app): State<App>) -> Json<PolicyResponse> {
    Json(public_lists::policy(&app))
}

/// Lists the relay tests, and the testers of others with why their results can differ.
#[utoipa::path(get, path = "/tests", tag = "public",
    responses((status = 200, body = PublicRelayTestsResponse, description = "All relay tests")))]
pub async fn list_public_relay_tests(State(app): State<App>) -> Json<PublicRelayTestsResponse> {
    Json(public_relay_tests(relay_tests(&app)))
}

/// Lists the notices that are current, planned, or were over in the last 90 days.
#[utoipa::path(get, path = "/notices", tag = "public",
    responses((status = 200, body = PublicNoticesResponse, description = "The notices, the last added one first")))]
pub async fn list_public_notices(State(app): State<App>) -> Json<PublicNoticesResponse> {
    Json(notices::public(&app))
}

/// Returns the state of the lists, with their figures.
#[utoipa::path(get, path = "/status", tag = "public",
    responses((status = 200, body = PublicStatusResponse, description = "The state of the lists")))]
pub async fn get_public_status(State(app): State<App>) -> Json<PublicStatusResponse> {
    Json(public_lists::status(&app).await)
}

/// Lists the kinds of stored data that can be personal, with how long each is kept.
#[utoipa::path(get, path = "/privacy", tag = "public",
    responses((status = 200, body = PrivacyKindsResponse, description = "All kinds")))]
pub async fn list_data_kinds(State(app): State<App>) -> Json<PrivacyKindsResponse> {
    Json(privacy::public(&app))
}

/// Returns how to opt out of relay tests.
#[utoipa::path(get, path = "/opt-out", tag = "public", params(LanguageQuery),
    responses((status = 200, body = TextPageResponse, description = "The texts of the page")))]
pub async fn get_opt_out_page(
    State(app): State<App>,
    Query(query): Query<LanguageQuery>,
    headers: HeaderMap,
) -> Json<TextPageResponse> {
    Json(text_pages::opt_out(&app, language(&query, &headers)))
}

/// Returns what an open relay is, and how to close it.
#[utoipa::path(get, path = "/open-relay", tag = "public", params(LanguageQuery),
    responses((status = 200, body = TextPageResponse, description = "The texts of the page")))]
pub async fn get_open_relay_page(
    Query(query): Query<LanguageQuery>,
    headers: HeaderMap,
) -> Json<TextPageResponse> {
    Json(text_pages::open_relay(language(&query, &headers)))
}

/// The language that the query or `Accept-Language` chooses.
fn language(query: &LanguageQuery, headers: &HeaderMap) -> Language {
    let chosen = query.lang.as_deref().and_then(|tag| tag.parse().ok());
    let header = headers.get(header::ACCEPT_LANGUAGE);
    let header = header.and_then(|v| v.to_str().ok()).unwrap_or_default();
    chosen.unwrap_or_else(|| Language::negotiate(header))
}
