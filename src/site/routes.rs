//! The routes of the site.

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, middleware, routing::get};

use super::{
    assets, frame::frame, home, input::MAX_FORM_BYTES, settings::SiteSettings, state::SiteState,
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
        .route("/assets/{file}", get(assets::get_asset))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .with_state(state);
    http::public_routes(app, pages).layer(middleware::from_fn_with_state(settings, frame))
}
