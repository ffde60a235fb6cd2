//! The survey: what the tests of each month found.

use askama::Template;
use axum::{extract::State, response::Response};

use super::{context::PageContext, markup::Markup, state::SiteState};
use crate::{
    api::{Page, ProblemDetails, SurveyCountResponse, SurveyMonthResponse},
    http,
};

/// The page.
#[derive(Template)]
#[template(path = "survey.html")]
pub(super) struct SurveyPage<'a> {
    pub page: &'a PageContext,
    pub months: &'a [SurveyMonthResponse],
}

impl SurveyPage<'_> {
    fn family(&self, count: &SurveyCountResponse) -> Markup {
        match count.name.as_str() {
            "other" => self.page.t("survey-other"),
            "unknown" => self.page.t("survey-unknown"),
            name => self.page.code(name),
        }
    }
}

/// `GET /survey`.
pub(super) async fn get_survey(
    page: PageContext,
    State(state): State<SiteState>,
) -> Result<Response, ProblemDetails> {
    let months = http::survey(&state.app).await?;
    Ok(
        page.respond_indexed(&Page::all(months.iter().cloned()), || SurveyPage {
            page: &page,
            months: &months,
        }),
    )
}
