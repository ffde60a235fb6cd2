//! "Test your server": the page with the form. Its ticket has a page as other tickets.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{
    context::PageContext, input::FormOrJson, state::SiteState, ticket, ticket::REPEAT_CHOICES,
};
use crate::{
    api::{
        ProblemDetails, RepetitionRequest, SelfTestPageResponse, SelfTestRequest, TicketResponse,
    },
    http::self_tests,
};

/// The page with the form.
#[derive(Template)]
#[template(path = "self_test.html")]
pub(super) struct SelfTestPage<'a> {
    pub page: &'a PageContext,
    pub r: &'a SelfTestPageResponse,
    /// What was entered; else the address of the client.
    pub address: &'a str,
    /// Why the form was refused, in English.
    pub problem: Option<&'a str>,
}

impl SelfTestPage<'_> {
    fn choices(&self) -> [u16; 3] {
        REPEAT_CHOICES
    }
}

/// `GET /test`.
pub(super) async fn get_self_test(page: PageContext, State(state): State<SiteState>) -> Response {
    let r = self_tests::self_test_page(&state.app, page.client);
    page.respond(&r, || SelfTestPage {
        page: &page,
        r: &r,
        address: r.client.as_deref().unwrap_or_default(),
        problem: None,
    })
}

/// `POST /test`. A browser that sent a form with a mistake gets the page again.
pub(super) async fn post_self_test(
    page: PageContext,
    State(state): State<SiteState>,
    FormOrJson(request): FormOrJson<SelfTestRequest>,
) -> Result<Response, ProblemDetails> {
    let address = request.address.clone();
    let language = page.language.tag();
    let opened = self_tests::open_self_test(&state.app, request, page.client, language).await;
    let problem = match opened {
        Ok(ticket) => return Ok(ticket::answer(&page, &ticket, true)),
        Err(problem) if !page.html => return Err(problem),
        Err(problem) => problem,
    };
    let r = self_tests::self_test_page(&state.app, page.client);
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
    let template = SelfTestPage {
        page: &page,
        r: &r,
        address: &address,
        problem: Some(&problem.detail),
    };
    Ok(page.render_with_status(status, &template))
}

/// `POST /tickets/{secret}/repeat`.
pub(super) async fn post_repeat(
    page: PageContext,
    State(state): State<SiteState>,
    Path(secret): Path<String>,
    FormOrJson(request): FormOrJson<RepetitionRequest>,
) -> Result<Response, ProblemDetails> {
    let changed: Result<TicketResponse, ProblemDetails> =
        self_tests::set_repetition(&state.app, &secret, request).await;
    ticket::changed_or_problem(&page, &state, &secret, changed, "", String::new()).await
}

/// `GET /tickets/{secret}/transcript`: the session as text.
pub(super) async fn get_transcript(
    State(state): State<SiteState>,
    Path(secret): Path<String>,
) -> Result<Response, ProblemDetails> {
    let text = self_tests::view_transcript(&state.app, &secret).await?;
    Ok(text.into_response())
}
