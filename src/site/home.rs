//! The home page.

use askama::Template;
use axum::response::Response;

use super::context::PageContext;

/// The home page.
#[derive(Template)]
#[template(path = "home.html")]
pub(super) struct HomePage<'a> {
    pub page: &'a PageContext,
}

/// `GET /`.
pub(super) async fn get_home(page: PageContext) -> Response {
    page.render_indexed(&HomePage { page: &page })
}
