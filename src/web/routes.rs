//! Every route on one screen, with its description.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::HeaderMap,
    middleware,
    routing::{get, post},
};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    App, Problem, access, backup, bulk, change, claims, clock, commits, document, error, export,
    feeds, import, integrity, jobs, listings, lookup, names, once, people, proposals, purge,
    rename, status, webhooks, zone_serial,
};

/// The longest body of a single change, in bytes.
const MAX_CHANGE: usize = 256 * 1024;

/// The longest body of a claim, in bytes.
const MAX_CLAIM: usize = 1024;

#[derive(OpenApi)]
#[openapi(
    info(title = "orbsd", description = "Lists, delists, imports, exports, searches, watches, undoes and audits a DNS blocklist. Writes answer when they are true in DNS."),
    tags((name = "listings"), (name = "exemptions"), (name = "holds"), (name = "proposals"), (name = "imports"), (name = "zones"), (name = "commits"), (name = "tests"), (name = "people"), (name = "webhooks"), (name = "state"), (name = "public"), (name = "about")),
    components(schemas(Problem)),
    modifiers(&Bearer)
)]
struct Description;

/// How a token is sent.
struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{
            HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
        };
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token of `orbsd token create`"))
            .build();
        api.components
            .get_or_insert_default()
            .add_security_scheme("token", SecurityScheme::Http(scheme));
        api.security = Some(vec![SecurityRequirement::new(
            "token",
            Vec::<String>::new(),
        )]);
    }
}

/// Every route with its description.
pub(super) fn described() -> (Router<App>, utoipa::openapi::OpenApi) {
    let one = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(listings::search, change::create))
        .routes(routes!(change::get, change::renew, change::remove))
        .routes(routes!(lookup::subject))
        .routes(routes!(
            listings::exemptions,
            listings::exempt,
            listings::unexempt
        ))
        .routes(routes!(
            listings::holds,
            listings::hold_down,
            listings::unhold
        ))
        .routes(routes!(proposals::all, proposals::delete))
        .routes(routes!(proposals::approve))
        .routes(routes!(proposals::one, proposals::refuse))
        .routes(routes!(purge::purge))
        .routes(routes!(commits::get))
        .routes(routes!(commits::undo))
        .routes(routes!(commits::changes))
        .routes(routes!(people::people, people::add))
        .routes(routes!(people::change))
        .routes(routes!(people::tokens, people::make))
        .routes(routes!(people::revoke))
        .routes(routes!(people::audit))
        .routes(routes!(import::get))
        .routes(routes!(feeds::all))
        .routes(routes!(feeds::one))
        .routes(routes!(feeds::accept))
        .routes(routes!(feeds::refuse))
        .routes(routes!(feeds::reset))
        .routes(routes!(export::zones))
        .routes(routes!(export::one))
        .routes(routes!(zone_serial::set_serial))
        .routes(routes!(export::export))
        .routes(routes!(export::report))
        .routes(routes!(status::status))
        .routes(routes!(names::rejected))
        .routes(routes!(status::check))
        .routes(routes!(status::mirrors))
        .routes(routes!(status::reasons))
        .routes(routes!(rename::reload))
        .routes(routes!(rename::unconfigured))
        .routes(routes!(rename::reason))
        .routes(routes!(rename::source))
        .routes(routes!(clock::accept))
        .routes(routes!(backup::create))
        .routes(routes!(integrity::scrub))
        .routes(routes!(webhooks::all, webhooks::make))
        .routes(routes!(webhooks::one, webhooks::change, webhooks::remove))
        .routes(routes!(webhooks::waiting))
        .routes(routes!(webhooks::retry))
        .merge(relay_tests())
        .routes(routes!(status::live))
        .routes(routes!(status::ready))
        .routes(routes!(status::metrics))
        .routes(routes!(lookup::public))
        .routes(routes!(lookup::public_old))
        .routes(routes!(error::explain))
        .layer(DefaultBodyLimit::max(MAX_CHANGE));
    // Streams have their own limits, piece by piece.
    let long = OpenApiRouter::new()
        .routes(routes!(bulk::bulk))
        .routes(routes!(import::create))
        .layer(DefaultBodyLimit::disable());
    let (routes, mut api) = one.merge(long).split_for_parts();
    once::describe(&mut api);
    document::complete(&mut api);
    (routes, api)
}

/// The routes of relay tests.
fn relay_tests() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(jobs::nominate))
        .routes(routes!(jobs::jobs))
        .routes(routes!(jobs::job, jobs::refuse))
        .routes(routes!(jobs::approve))
        .routes(routes!(jobs::transcript))
        .routes(routes!(jobs::results))
        .routes(routes!(jobs::probes))
        .routes(routes!(jobs::tests))
        .routes(routes!(claims::claim))
        .routes(routes!(claims::claim_public))
        .routes(routes!(claims::review))
        .routes(routes!(claims::opt_outs, claims::opt_out, claims::opt_in))
        .routes(routes!(claims::evidence))
        .routes(routes!(claims::proof))
}

/// The router of the socket and of `[admin] listen`.
pub fn router(app: App) -> Router {
    let (routes, api) = described();
    let api = Arc::new(api);
    routes
        .route(
            "/openapi.json",
            get(move |headers: HeaderMap| async move { document::respond(&api, &headers) }),
        )
        .merge(
            utoipa_swagger_ui::SwaggerUi::new("/docs")
                .config(utoipa_swagger_ui::Config::from("/openapi.json")),
        )
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(app.clone(), access::guard))
        .with_state(app)
}

/// The router of `[web] listen`: the public answer, and nothing else.
pub fn public_router(app: App) -> Router {
    Router::new()
        .route("/lookup", get(lookup::public))
        .route("/nph-lookup", get(lookup::public_old))
        .route("/claims", post(claims::claim_public))
        .route("/evidence/{id}", get(claims::proof))
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_CLAIM))
        .layer(middleware::from_fn_with_state(app.clone(), access::guard))
        .with_state(app)
}

async fn nothing(uri: axum::http::Uri) -> Problem {
    Problem::not_found(format!(
        "nothing is served at {}",
        uri.path().chars().take(100).collect::<String>()
    ))
}

async fn wrong_method(method: axum::http::Method, uri: axum::http::Uri) -> Problem {
    Problem::new(
        "wrong-method",
        format!("{} is not answered by {method}", uri.path()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The router, its description and the table of who may call what name the same routes.
    #[test]
    fn every_route_is_described_and_in_the_table() {
        let (_, api) = described();
        let mut described = std::collections::BTreeSet::new();
        for (path, item) in &api.paths.paths {
            let all = [
                ("GET", &item.get),
                ("POST", &item.post),
                ("PATCH", &item.patch),
                ("DELETE", &item.delete),
                ("PUT", &item.put),
            ];
            described.extend(
                all.iter()
                    .filter(|(_, o)| o.is_some())
                    .map(|(m, _)| (m.to_string(), path.clone())),
            );
        }
        let own = |p: &str| p == "/openapi.json" || p.starts_with("/docs");
        let table: std::collections::BTreeSet<_> = access::ROUTES
            .iter()
            .filter(|r| !own(r.1))
            .map(|r| (r.0.to_string(), r.1.to_string()))
            .collect();
        assert_eq!(described, table);
    }
}
