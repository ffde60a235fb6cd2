//! The routes of the site.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};

use super::{
    advice, assets, comparisons,
    frame::frame,
    home,
    input::{MAX_FORM_BYTES, MAX_LOOKUP_BYTES},
    links, lists, lookup, netblocks, news, privacy, proofs, providers, self_test,
    settings::SiteSettings,
    state::{Banner, SiteState},
    survey, ticket,
};
use crate::{
    api::{NoticeState, PublicNoticeResponse},
    http::{self, App},
};

/// The router of `[web] listen`.
pub fn router(app: App, settings: Arc<SiteSettings>) -> Router {
    let noticed = app.clone();
    let state = SiteState {
        app: app.clone(),
        settings: settings.clone(),
        banners: Arc::new(move || banners(&noticed)),
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
        .route(
            "/test",
            get(self_test::get_self_test).post(self_test::post_self_test),
        )
        .route("/tickets/{secret}/repeat", post(self_test::post_repeat))
        .route(
            "/tickets/{secret}/transcript",
            get(self_test::get_transcript),
        )
        .route("/tickets/{secret}/contact", post(ticket::post_contact))
        .route(
            "/tickets/{secret}/unsubscribe",
            get(ticket::get_unsubscribe).post(ticket::post_unsubscribe),
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
        .merge(list_pages())
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES));
    let pasted = Router::new()
        .route("/lookup", post(lookup::post_lookup))
        .layer(DefaultBodyLimit::max(MAX_LOOKUP_BYTES));
    let pages = pages.merge(pasted).with_state(state);
    http::public_routes(app, pages).layer(middleware::from_fn_with_state(settings, frame))
}

/// The pages about the lists.
fn list_pages() -> Router<SiteState> {
    Router::new()
        .route("/zones", get(lists::get_lists))
        .route("/zones/{zone}", get(lists::get_list))
        .route("/policy", get(lists::get_policy))
        .route("/tests", get(lists::get_tests))
        .route("/opt-out", get(lists::get_opt_out))
        .route("/open-relay", get(lists::get_open_relay))
        .route("/survey", get(survey::get_survey))
        .route("/advice", get(advice::get_advice))
        .route("/advice/{product}", get(advice::get_product))
        .route(
            "/advice/{product}/corrections",
            post(advice::post_correction),
        )
        .route("/advice/guides/{guide}", get(advice::get_guide))
        .route("/links", get(links::get_links))
        .route("/compare", get(comparisons::get_comparisons))
        .route(
            "/compare/{name}/{file}",
            get(http::comparisons::public::get_public_comparison_file),
        )
        .route("/netblocks", get(netblocks::get_netblocks))
        .route(
            "/netblocks/{address}/{length}",
            get(netblocks::get_netblock),
        )
        .route(
            "/providers",
            get(providers::get_providers).post(providers::post_provider),
        )
        .route("/providers/{secret}", get(providers::get_provider))
        .route("/providers/{secret}/check", post(providers::post_check))
        .route("/providers/{secret}/edits", post(providers::post_edit))
        .route("/providers/{secret}/undo", post(providers::post_undo))
        .route("/notices", get(news::get_notices))
        .route("/notices.atom", get(news::get_atom))
        .route("/status", get(news::get_status))
        .route("/privacy", get(privacy::get_privacy))
        .route("/robots.txt", get(news::get_robots))
        .route("/.well-known/security.txt", get(news::get_security_txt))
}

/// The current notices.
fn banners(app: &App) -> Vec<Banner> {
    let notices = http::public_notices(app).items.into_iter();
    let current = notices.filter(|n| n.state == NoticeState::Current);
    let banner = |n: PublicNoticeResponse| Banner {
        text: n.title,
        since: n.from,
    };
    current.map(banner).collect()
}
