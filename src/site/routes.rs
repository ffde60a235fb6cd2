//! The routes of the site.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};

use super::{
    assets,
    frame::frame,
    home,
    input::{MAX_FORM_BYTES, MAX_LOOKUP_BYTES},
    lookup,
    settings::SiteSettings,
    state::SiteState,
};
use crate::http::{self, App};

/// The router of `[web] listen`.
pub fn router(app: App, settings: Arc<SiteSettings>) -> Router {
    let state = SiteState {
        app: app.clone(),
        settings: settings.clone(),
        banners: Arc::new(Vec::new),
    };
    let pages = Router::new()
        .route("/", get(home::get_home))
        .route("/lookup", get(lookup::get_lookup))
        .route("/nph-lookup", get(lookup::get_lookup))
        .route("/{subject}", get(lookup::get_subject))
        .route("/{address}/{length}", get(lookup::get_prefix))
        .route("/favicon.ico", get(assets::get_icon))
        .route("/assets/{file}", get(assets::get_asset))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES));
    let pasted = Router::new()
        .route("/lookup", post(lookup::post_lookup))
        .layer(DefaultBodyLimit::max(MAX_LOOKUP_BYTES));
    let pages = pages.merge(pasted).with_state(state);
    http::public_routes(app, pages).layer(middleware::from_fn_with_state(settings, frame))
}
