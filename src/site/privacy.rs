//! The privacy page, made from the data file of stored kinds of data.

use askama::Template;
use axum::{extract::State, response::Response};

use super::context::PageContext;
use crate::{
    api::PrivacyKindsResponse,
    http::{App, stored_data},
};

#[derive(Template)]
#[template(path = "privacy.html")]
pub(super) struct PrivacyPage<'a> {
    pub page: &'a PageContext,
    pub privacy: &'a PrivacyKindsResponse,
}

/// `GET /privacy`.
pub(super) async fn get_privacy(page: PageContext, State(app): State<App>) -> Response {
    let privacy = stored_data(&app);
    page.respond_indexed(&privacy, || PrivacyPage {
        page: &page,
        privacy: &privacy,
    })
}
