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
    lookup, proofs,
    settings::SiteSettings,
    state::SiteState,
    ticket,
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
        .route("/evidence/{id}", get(proofs::get_evidence))
        .route("/tickets", post(ticket::post_ticket))
        .route("/tickets/{secret}", get(ticket::get_ticket))
        .route("/tickets/{secret}/retry", post(ticket::post_retry))
        .route("/tickets/{secret}/review", post(ticket::post_review))
        .route("/tickets/{secret}/withdraw", post(ticket::post_withdraw))
        .route("/tickets/{secret}/check-dns", post(ticket::post_check_dns))
        .route("/tickets/{secret}/new-code", post(ticket::post_new_code))
        .route("/tickets/{secret}/send-code", post(ticket::post_send_code))
        .route("/tickets/{secret}/messages", post(ticket::post_message))
        .route("/tickets/{secret}/contact", post(ticket::post_contact))
        .route(
            "/tickets/{secret}/unsubscribe",
            post(ticket::post_unsubscribe),
        )
        .route(
            "/confirm/{code}",
            get(proofs::get_confirmation).post(proofs::post_confirmation),
        )
        .route("/prove/{code}", get(proofs::get_prove))
        .route("/released/{id}", get(proofs::get_released))
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
