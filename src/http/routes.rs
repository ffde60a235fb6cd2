//! Every route on one screen: its handler, and its policy, which gives the role, the deadline, the
//! check of bounds, and the headers of a write. The OpenAPI document is made from both.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::HeaderMap,
    middleware,
    routing::{get, post},
};
use utoipa::{OpenApi, openapi::OpenApi as OpenApiDocument};
use utoipa_axum::routes;

use super::{
    App, accounts, advice, backup, bulk, changes, claims, clock, commits, comparisons, document,
    error, export, feeds, generic_names,
    guard::{GuardState, guard},
    import, integrity, jobs, listings, logins, lookup, metrics, names, netblocks, notices,
    operator_tickets,
    policy::{Idempotency, RoutePolicy, RouteTable, Routes},
    privacy, proposals, providers, public_pages, purge, quality, reload, self_tests, status,
    tickets, tickets_control, webhooks, zone_serial,
};
use crate::{
    api::{ChangeEndResponse, ChangeGapResponse, ProblemCode, ProblemDetails},
    ledger::outbox::CommitNotice,
    model::Role,
};

/// The longest body of a single change, in bytes.
const MAX_CHANGE_BYTES: usize = 256 * 1024;
/// The longest body of a claim, in bytes.
const MAX_CLAIM_BYTES: usize = 1024;

#[derive(OpenApi)]
#[openapi(
    info(title = "orbsd", description = "Lists, delists, imports, exports, searches, watches, undoes and audits a DNS blocklist. A write is answered when DNS shows it."),
    tags(
        (name = "listings", description = "Listings, look-ups of subjects, purges, and streams of changes"),
        (name = "exemptions", description = "Subjects that are never published"),
        (name = "holds", description = "Reasons that are suppressed for a subject because a removal was granted"),
        (name = "proposals", description = "Listings that another person has to approve"),
        (name = "netblocks", description = "Networks that two persons list"),
        (name = "providers", description = "Providers of dynamic ranges, for operators"),
        (name = "imports", description = "Imports of lists, and feeds, which are imported regularly"),
        (name = "comparisons", description = "Comparisons with the lists of others, and of the own sources with each other"),
        (name = "zones", description = "Zones, exports and serials"),
        (name = "commits", description = "Commits, the stream of changes, and undo"),
        (name = "relay", description = "Relay tests: nominations, jobs, claims, opt-outs and evidence"),
        (name = "advice", description = "The knowledge base: how mail servers are recognised and closed"),
        (name = "tickets", description = "Requests for removal and corrections of the knowledge base, for operators"),
        (name = "privacy", description = "What is stored about a person, and its erasure"),
        (name = "notices", description = "Announcements on the public site"),
        (name = "users", description = "Users, tokens and the audit log"),
        (name = "webhooks", description = "Webhooks, to which every commit is sent"),
        (name = "state", description = "The state of the daemon, its configuration, backups and the clock"),
        (name = "public", description = "Requests that need no token"),
        (name = "about", description = "This description and the problem codes"),
    ),
    components(schemas(ProblemDetails, ProblemCode, ChangeGapResponse, ChangeEndResponse, CommitNotice)),
    security(("token" = [])),
    modifiers(&Bearer)
)]
struct Description;

/// How a token is sent.
struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, api: &mut OpenApiDocument) {
        use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token that `orbsd token create` created"))
            .build();
        api.components
            .get_or_insert_default()
            .add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

const PUBLIC: RoutePolicy = RoutePolicy::PUBLIC;
const LOGIN: RoutePolicy = RoutePolicy::role(Role::Login).checks_bounds();
const READ: RoutePolicy = RoutePolicy::role(Role::Reader);
const REPORT: RoutePolicy = RoutePolicy::role(Role::Reporter);
const EDIT: RoutePolicy = RoutePolicy::role(Role::Editor);
const OPERATE: RoutePolicy = RoutePolicy::role(Role::Operator);
const OWN: RoutePolicy = RoutePolicy::role(Role::Owner);

use Idempotency::{File, PerChange, Response, Secret};

/// A write of one subject.
const fn change(policy: RoutePolicy) -> RoutePolicy {
    policy.checks_bounds().idempotent(PerChange).if_match()
}

/// A write whose response is kept.
const fn kept(policy: RoutePolicy) -> RoutePolicy {
    policy.idempotent(Response)
}

/// A write whose response has a secret, and is not kept.
const fn secret(policy: RoutePolicy) -> RoutePolicy {
    policy.idempotent(Secret)
}

/// A write whose handler checks the bounds of the token, and whose response is personal and not
/// kept.
const fn personal(policy: RoutePolicy) -> RoutePolicy {
    policy.checks_bounds().idempotent(Secret)
}

/// A write whose handler checks the bounds of the token, and whose response is kept.
const fn bounded(policy: RoutePolicy) -> RoutePolicy {
    policy.checks_bounds().idempotent(Response)
}

/// All routes with their policies and descriptions.
pub(super) fn described() -> (Router<App>, OpenApiDocument, RouteTable) {
    let new = || Routes::described(OpenApiDocument::default());
    let first = Routes::described(Description::openapi());
    let (router, mut api, table) = collect(first, new);
    document::complete(&mut api);
    (router, api, table)
}

/// Adds all routes to the `first` ones; `new` makes a collection of the same kind.
fn collect(first: Routes, new: fn() -> Routes) -> (Router<App>, OpenApiDocument, RouteTable) {
    let limited = first
        .add(READ, routes!(listings::search_listings))
        .add(change(REPORT), routes!(changes::create_listing))
        .add(READ, routes!(changes::get_listing))
        .add(change(EDIT), routes!(changes::renew_listing))
        .add(change(EDIT), routes!(changes::delete_listing))
        .add(READ, routes!(lookup::operators::get_subject))
        .add(READ, routes!(generic_names::check_generic_name))
        .add(READ, routes!(listings::list_exemptions))
        .add(change(OPERATE), routes!(listings::exempt_subject))
        .add(change(OPERATE), routes!(listings::end_exemption))
        .add(READ, routes!(listings::list_holds))
        .add(change(EDIT), routes!(listings::hold_reason))
        .add(change(OPERATE), routes!(listings::end_holds))
        .add(READ, routes!(proposals::list_proposals))
        .add(bounded(EDIT), routes!(proposals::delete_proposals))
        .add(bounded(EDIT), routes!(proposals::approve_proposal))
        .add(READ, routes!(proposals::get_proposal))
        .add(bounded(EDIT), routes!(proposals::refuse_proposal))
        .add(bounded(OPERATE).unlimited(), routes!(purge::purge_listings))
        .add(READ, routes!(commits::get_commit))
        .add(kept(OPERATE).unlimited(), routes!(commits::undo_commit))
        .add(READ.unlimited(), routes!(commits::list_changes))
        .add(READ, routes!(accounts::get_me))
        .add(OPERATE, routes!(accounts::list_users))
        .add(secret(OWN), routes!(accounts::add_user))
        .add(secret(OWN), routes!(accounts::change_user))
        .add(OPERATE, routes!(accounts::list_tokens))
        .add(secret(OWN), routes!(accounts::create_token))
        .add(kept(OWN), routes!(accounts::revoke_token))
        .add(OPERATE.unlimited(), routes!(accounts::list_audit_records))
        .add(READ, routes!(import::get_import))
        .add(READ, routes!(feeds::list_feeds))
        .add(READ, routes!(feeds::get_feed))
        .add(bounded(OPERATE).unlimited(), routes!(feeds::accept_list))
        .add(bounded(OPERATE).unlimited(), routes!(feeds::refuse_list))
        .add(bounded(OPERATE), routes!(feeds::reset_source))
        .add(READ, routes!(export::list_zones))
        .add(READ, routes!(export::get_zone))
        .add(READ, routes!(quality::get_quality))
        .add(kept(OPERATE), routes!(zone_serial::set_serial))
        .add(LOGIN, routes!(logins::report_logins))
        .add(LOGIN, routes!(logins::end_login))
        .add(OPERATE, routes!(logins::get_logins))
        .add(READ.unlimited(), routes!(export::export_zone))
        .add(READ.unlimited(), routes!(export::report_export))
        .add(READ, routes!(status::get_status))
        .add(READ.unlimited(), routes!(names::list_rejected_names))
        .add(READ, routes!(status::check_configuration))
        .add(READ, routes!(status::list_mirrors))
        .add(READ, routes!(status::list_reasons))
        .add(OPERATE.unlimited(), routes!(reload::reload_configuration))
        .add(READ.unlimited(), routes!(reload::list_unconfigured))
        .add(OPERATE.unlimited(), routes!(reload::rename_reason))
        .add(OPERATE.unlimited(), routes!(reload::rename_source))
        .add(OWN, routes!(clock::accept_clock))
        .add(OWN.unlimited(), routes!(backup::create_backup))
        .add(OWN.unlimited(), routes!(integrity::start_scrub))
        .add(OPERATE, routes!(webhooks::list_webhooks))
        .add(secret(OPERATE), routes!(webhooks::add_webhook))
        .add(OPERATE, routes!(webhooks::get_webhook))
        .add(kept(OPERATE), routes!(webhooks::change_webhook))
        .add(kept(OPERATE), routes!(webhooks::remove_webhook))
        .add(OPERATE, routes!(webhooks::list_messages))
        .add(kept(OPERATE), routes!(webhooks::retry_messages))
        .add(READ, routes!(notices::list_notices))
        .add(kept(OPERATE), routes!(notices::add_notice))
        .add(kept(OPERATE), routes!(notices::end_notice))
        .add(OWN.unlimited(), routes!(privacy::report_personal_data))
        .add(OWN.unlimited(), routes!(privacy::erase_personal_data))
        .merge(comparisons_of_operators(new()))
        .merge(relay_tests(new()))
        .merge(tickets_of_operators(new()))
        .merge(networks_of_operators(new()))
        .add(PUBLIC, routes!(status::get_liveness))
        .add(PUBLIC, routes!(status::get_readiness))
        .add(READ, routes!(metrics::get_metrics))
        .add(PUBLIC, routes!(lookup::lookup))
        .add(PUBLIC, routes!(lookup::lookup_by_old_path))
        .add(PUBLIC, routes!(error::explain_problem))
        .merge(removal_requests(new()))
        .merge(pages_as_json(new()))
        .map(|router| router.layer(DefaultBodyLimit::max(MAX_CHANGE_BYTES)));
    // Streams have limits of their own, for each line or block.
    let streams = new()
        .add(
            EDIT.checks_bounds().idempotent(PerChange).unlimited(),
            routes!(bulk::apply_changes),
        )
        .add(
            OPERATE.checks_bounds().idempotent(File).unlimited(),
            routes!(import::import_list),
        )
        .add(
            OPERATE.checks_bounds().unlimited(),
            routes!(comparisons::compare_lists),
        )
        .map(|router| router.layer(DefaultBodyLimit::disable()));
    let (router, api, mut table) = limited.merge(streams).into_parts();
    for path in ["/openapi.json", "/docs", "/docs/", "/docs/{*rest}"] {
        table.insert("GET", path, PUBLIC);
    }
    (router, api, table)
}

/// The routes of comparisons that have no list in their body.
fn comparisons_of_operators(routes: Routes) -> Routes {
    routes
        .add(OPERATE, routes!(comparisons::list_comparisons))
        .add(OPERATE, routes!(comparisons::get_comparison))
        .add(personal(OPERATE), routes!(comparisons::delete_comparison))
        .add(
            OPERATE.unlimited(),
            routes!(comparisons::get_comparison_file),
        )
        .add(READ.unlimited(), routes!(comparisons::overlap::get_overlap))
}

/// The routes of relay tests.
fn relay_tests(routes: Routes) -> Routes {
    routes
        .add(bounded(REPORT), routes!(jobs::nominate_host))
        .add(READ, routes!(jobs::list_jobs))
        .add(READ, routes!(jobs::get_job))
        .add(kept(EDIT), routes!(jobs::refuse_job))
        .add(kept(EDIT), routes!(jobs::approve_job))
        .add(OPERATE, routes!(jobs::get_transcript))
        .add(bounded(REPORT), routes!(jobs::report_results))
        .add(REPORT.checks_bounds(), routes!(jobs::prepare_probes))
        .add(PUBLIC, routes!(jobs::list_relay_tests))
        .add(bounded(REPORT), routes!(claims::claim_closed))
        .add(PUBLIC, routes!(claims::claim_closed_publicly))
        .add(kept(OPERATE), routes!(claims::release_host))
        .add(READ, routes!(claims::list_opt_outs))
        .add(bounded(EDIT), routes!(claims::add_opt_out))
        .add(bounded(EDIT), routes!(claims::end_opt_out))
        .add(READ, routes!(claims::list_evidence))
        .add(PUBLIC, routes!(claims::get_proof))
}

/// The routes of tickets for operators.
fn tickets_of_operators(routes: Routes) -> Routes {
    routes
        .add(READ, routes!(operator_tickets::list_tickets))
        .add(READ, routes!(operator_tickets::get_ticket_of_operators))
        .add(personal(EDIT), routes!(operator_tickets::reply_to_ticket))
        .add(personal(EDIT), routes!(operator_tickets::approve_ticket))
        .add(personal(EDIT), routes!(operator_tickets::refuse_ticket))
}

/// The routes of netblocks, and of providers of dynamic ranges, for operators.
fn networks_of_operators(routes: Routes) -> Routes {
    routes
        .add(READ, routes!(netblocks::list_netblocks))
        .add(personal(REPORT), routes!(netblocks::propose_netblock))
        .add(READ, routes!(netblocks::get_netblock))
        .add(personal(EDIT), routes!(netblocks::refuse_netblock))
        .add(personal(EDIT), routes!(netblocks::approve_netblock))
        .add(personal(REPORT), routes!(netblocks::renew_netblock))
        .add(personal(REPORT), routes!(netblocks::add_netblock_contact))
        .add(READ, routes!(netblocks::get_collateral))
        .add(READ, routes!(providers::list_providers))
        .add(READ, routes!(providers::get_provider_of_operators))
        .add(personal(EDIT), routes!(providers::remove_provider))
}

/// The routes of tickets for their requesters, and of dynamic ranges for their providers.
fn removal_requests(routes: Routes) -> Routes {
    routes
        .add(PUBLIC, routes!(tickets::post_ticket))
        .add(PUBLIC, routes!(tickets::corrections::post_correction))
        .add(PUBLIC, routes!(tickets::get_ticket))
        .add(PUBLIC, routes!(tickets::post_ticket_retry))
        .add(PUBLIC, routes!(tickets::post_ticket_review))
        .add(PUBLIC, routes!(tickets::post_ticket_message))
        .add(PUBLIC, routes!(tickets::post_ticket_withdrawal))
        .add(PUBLIC, routes!(tickets::get_release))
        .add(PUBLIC, routes!(tickets_control::post_proof))
        .add(PUBLIC, routes!(tickets_control::post_ticket_dns_check))
        .add(PUBLIC, routes!(tickets_control::post_ticket_code))
        .add(PUBLIC, routes!(tickets_control::post_ticket_new_code))
        .add(PUBLIC, routes!(tickets_control::post_ticket_contact))
        .add(PUBLIC, routes!(tickets_control::post_ticket_unsubscription))
        .add(PUBLIC, routes!(self_tests::get_self_test_page))
        .add(PUBLIC, routes!(self_tests::post_self_test))
        .add(PUBLIC, routes!(self_tests::post_ticket_repeat))
        .add(PUBLIC, routes!(self_tests::get_ticket_transcript))
        .add(PUBLIC, routes!(providers::get_providers_page))
        .add(PUBLIC, routes!(providers::post_provider))
        .add(PUBLIC, routes!(providers::get_provider))
        .add(PUBLIC, routes!(providers::post_provider_check))
        .add(PUBLIC, routes!(providers::post_provider_edit))
        .add(PUBLIC, routes!(providers::post_provider_undo))
        .add(PUBLIC, routes!(tickets_control::get_confirmation))
        .add(PUBLIC, routes!(tickets_control::post_confirmation))
}

/// The pages of the public site, as JSON.
fn pages_as_json(routes: Routes) -> Routes {
    routes
        .add(PUBLIC, routes!(public_pages::look_up_text))
        .add(PUBLIC, routes!(public_pages::list_public_lists))
        .add(PUBLIC, routes!(public_pages::get_public_list))
        .add(PUBLIC, routes!(public_pages::get_policy))
        .add(PUBLIC, routes!(public_pages::list_public_relay_tests))
        .add(PUBLIC, routes!(public_pages::list_public_notices))
        .add(PUBLIC, routes!(public_pages::get_public_status))
        .add(PUBLIC, routes!(public_pages::list_data_kinds))
        .add(PUBLIC, routes!(public_pages::get_opt_out_page))
        .add(PUBLIC, routes!(public_pages::get_open_relay_page))
        .add(PUBLIC, routes!(jobs::list_survey))
        .add(PUBLIC, routes!(advice::search_advice))
        .add(PUBLIC, routes!(advice::get_product))
        .add(PUBLIC, routes!(advice::get_guide))
        .add(PUBLIC, routes!(advice::search_advice_publicly))
        .add(PUBLIC, routes!(advice::get_product_publicly))
        .add(PUBLIC, routes!(advice::get_guide_publicly))
        .add(PUBLIC, routes!(public_pages::links::list_links))
        .add(
            PUBLIC,
            routes!(comparisons::public::list_public_comparisons),
        )
        .add(
            PUBLIC,
            routes!(comparisons::public::get_public_comparison_file),
        )
        .add(PUBLIC, routes!(netblocks::list_public_netblocks))
        .add(PUBLIC, routes!(netblocks::get_public_netblock))
}

/// The router of the socket and of `[admin] listen`.
pub fn router(app: App) -> Router {
    let (routes, _, table) = collect(Routes::plain(), Routes::plain);
    let state = GuardState {
        app: app.clone(),
        table: Arc::new(table),
    };
    routes
        .route(
            "/openapi.json",
            get(|headers: HeaderMap| async move { document::respond(|| described().1, &headers) }),
        )
        .merge(
            utoipa_swagger_ui::SwaggerUi::new("/docs")
                .config(utoipa_swagger_ui::Config::from("/openapi.json")),
        )
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(state, guard))
        .with_state(app)
}

/// The routes of `[web] listen`: the public look-up and claims for programs, and the `pages` of the
/// site.
pub fn public_routes(app: App, pages: Router) -> Router {
    let state = GuardState {
        app: app.clone(),
        table: Arc::default(),
    };
    Router::new()
        .route("/claims", post(claims::claim_closed_publicly))
        .route("/problems/{code}", get(error::explain_problem))
        .route("/prove/{code}", post(tickets_control::post_proof))
        .layer(DefaultBodyLimit::max(MAX_CLAIM_BYTES))
        .with_state(app.clone())
        .merge(pages)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(
            app,
            tickets_control::limit_changes,
        ))
        .layer(middleware::from_fn_with_state(state, guard))
}

async fn not_found(uri: axum::http::Uri) -> ProblemDetails {
    ProblemDetails::not_found(format!(
        "nothing is served at {}",
        uri.path().chars().take(100).collect::<String>()
    ))
}

async fn method_not_allowed(method: axum::http::Method, uri: axum::http::Uri) -> ProblemDetails {
    ProblemDetails::new(
        ProblemCode::MethodNotAllowed,
        format!("{} does not support {method}", uri.path()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages that have no value: the home page, files for other programs, short forms of a look-up,
    /// and pages with only a button.
    const WITHOUT_VALUE: [&str; 9] = [
        "GET /",
        "GET /{subject}",
        "GET /{address}/{length}",
        "GET /notices.atom",
        "GET /robots.txt",
        "GET /.well-known/security.txt",
        "GET /tickets/{secret}/unsubscribe",
        "GET /prove/{code}",
        "GET /favicon.ico",
    ];

    #[test]
    fn every_page_is_described_as_json() {
        let (_, api, _) = described();
        let source = std::fs::read_to_string("src/site/routes.rs").unwrap();
        let source: String = source.split_whitespace().collect();
        let mut pages = 0;
        for route in source.split(".route(\"").skip(1) {
            let (path, handlers) = route.split_once('"').unwrap();
            let handlers = handlers.split(".route(").next().unwrap();
            let described = api.paths.paths.get(path);
            for (call, method, is_described) in [
                ("get(", "GET", described.is_some_and(|d| d.get.is_some())),
                ("post(", "POST", described.is_some_and(|d| d.post.is_some())),
            ] {
                if !handlers.contains(call) || path.starts_with("/assets/") {
                    continue;
                }
                pages += 1;
                let page = format!("{method} {path}");
                let is_without = WITHOUT_VALUE.contains(&page.as_str());
                assert_ne!(is_described, is_without, "{page}");
            }
        }
        assert!(pages >= 35, "only {pages} pages are found");
    }

    #[test]
    fn reads_need_no_more_than_operator_and_writes_need_a_role() {
        let (_, api, table) = described();
        let is_public_write = |path: &str| {
            let prefixes = [
                "/advice/",
                "/claims",
                "/tickets",
                "/prove/",
                "/confirm/",
                "/lookup",
                "/test",
                "/providers",
            ];
            prefixes.iter().any(|p| path.starts_with(p))
        };
        for (path, item) in &api.paths.paths {
            for (method, operation) in [
                ("GET", &item.get),
                ("POST", &item.post),
                ("PATCH", &item.patch),
                ("DELETE", &item.delete),
            ] {
                let policy = table.get(method, path);
                assert_eq!(operation.is_some(), policy.is_some(), "{method} {path}");
                let Some(policy) = policy else { continue };
                let write = method != "GET";
                assert!(
                    !write || policy.role.is_some() || is_public_write(path),
                    "{method} {path} may be called without a token"
                );
                assert!(write || policy.role <= Some(Role::Operator), "{path}");
            }
        }
    }
}
