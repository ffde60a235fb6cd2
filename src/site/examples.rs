//! An example of each page and of each state of it, rendered from values. Tests take pictures of
//! them, and check their HTML; the daemon does not serve them.

use std::sync::Arc;

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, StatusCode, Uri},
    middleware,
    response::Response,
    routing::get,
};

use super::{
    advice::{AdvicePage, GuidePage, ProductPage},
    assets,
    comparisons::ComparisonsPage,
    context::PageContext,
    errors::error_page,
    example_comparisons, example_lists, example_lookups, example_providers, example_tickets,
    form_problem::FormProblem,
    frame::frame,
    home::HomePage,
    links::LinksPage,
    lists::{ListPage, ListsPage, PolicyPage, TestsPage, TextPage},
    lookup::{LookupErrorPage, LookupPage},
    netblocks::{NetblockPage, NetblocksPage},
    news::{NoticesPage, StatusPage},
    privacy::PrivacyPage,
    proofs::{ConfirmPage, EvidencePage, ProvePage, ReleasedPage},
    providers::{ProviderPage, ProvidersPage},
    self_test::SelfTestPage,
    settings::SiteSettings,
    survey::SurveyPage,
    ticket::TicketPage,
};
use crate::{
    api::{ProblemCode, ProblemDetails, PublicNoticesResponse},
    http,
    model::time::Seconds,
    tickets::{
        TicketState,
        control::{ControlSettings, commands_for_code},
    },
};

/// The names of the examples, as in their paths `/examples/NAME`.
pub fn names() -> Vec<&'static str> {
    let fixed = [
        "home",
        "lookup-error",
        "evidence",
        "evidence-owner",
        "released",
        "released-again",
        "confirm-control",
        "confirm-contact",
        "confirm-done",
        "prove",
        "ticket-error",
        "error-not-found",
        "error-too-many",
        "error-unavailable",
        "lists",
        "policy",
        "tests",
        "tests-off",
        "opt-out",
        "opt-out-no-contact",
        "open-relay",
        "advice",
        "advice-found",
        "advice-nothing",
        "advice-product",
        "advice-guide",
        "self-test",
        "self-test-off",
        "self-test-error",
        "survey",
        "survey-none",
        "comparisons",
        "comparisons-none",
        "netblocks",
        "netblocks-none",
        "netblock",
        "netblock-ended",
        "providers",
        "providers-off",
        "providers-error",
        "provider-error",
        "links",
        "notices",
        "notices-none",
        "status",
        "status-down",
        "privacy",
    ];
    let lookups = example_lookups::all().into_iter().map(|(name, _)| name);
    let tickets = example_tickets::all().into_iter().map(|(name, _)| name);
    let lists = example_lists::all().into_iter().map(|(name, _)| name);
    let providers = example_providers::all().into_iter().map(|(name, _)| name);
    let all = fixed.into_iter().chain(lookups).chain(tickets);
    all.chain(lists).chain(providers).collect()
}

/// A router that serves each example at `/examples/NAME`, with the headers and the files of the
/// site.
pub fn router() -> Router {
    let settings = Arc::new(settings());
    let shared = settings.clone();
    // The script of an example asks for changes here.
    let ticket = move |uri: Uri, headers: HeaderMap| async move {
        let mut all = example_tickets::all().into_iter();
        let found = all.find(|(_, t)| t.path == uri.path());
        render(&context(shared, &uri, &headers), found.map_or("", |f| f.0))
    };
    let shared = settings.clone();
    let example = move |uri: Uri, headers: HeaderMap, Path(name): Path<String>| async move {
        render(&context(shared, &uri, &headers), &name)
    };
    Router::new()
        .route("/examples/{name}", get(example))
        .route("/tickets/{secret}", get(ticket))
        .route("/assets/{file}", get(assets::get_asset))
        .layer(middleware::from_fn_with_state(settings, frame))
}

/// Serves the examples until the process ends.
///
/// # Errors
///
/// The listener cannot be used.
pub async fn serve(listener: std::net::TcpListener) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    axum::serve(listener, router()).await
}

fn settings() -> SiteSettings {
    SiteSettings {
        name: "relays.example".into(),
        base_url: "https://relays.example".into(),
        operator: "Example Operators".into(),
        contact: "list@relays.example".into(),
        sends_mail: true,
        ..SiteSettings::default()
    }
}

fn context(settings: Arc<SiteSettings>, uri: &Uri, headers: &HeaderMap) -> PageContext {
    let mut page = PageContext::new(settings, uri, headers);
    page.html = true;
    page.now = example_lookups::NOW;
    page
}

fn render(page: &PageContext, name: &str) -> Result<Response, ProblemDetails> {
    if let Some((_, r)) = example_lookups::all().iter().find(|(n, _)| *n == name) {
        let (error, pasted) = (false, "");
        return Ok(page.render(&LookupPage {
            page,
            r,
            error,
            pasted,
        }));
    }
    if let Some((_, t)) = example_tickets::all().iter().find(|(n, _)| *n == name) {
        let problem = None;
        return Ok(page.render(&TicketPage { page, t, problem }));
    }
    if let Some(response) = render_list_page(page, name) {
        return Ok(response);
    }
    let proof = example_lookups::proof(name == "evidence-owner");
    let released = example_tickets::released(name == "released-again");
    let confirmation = example_tickets::confirmation(name);
    Ok(match name {
        "home" => page.render(&HomePage { page }),
        "lookup-error" => page.render(&LookupErrorPage {
            page,
            error: true,
            pasted: "my mail server",
            detail: "`my mail server` is neither an address nor a domain",
        }),
        "evidence" | "evidence-owner" => page.render(&EvidencePage { page, r: &proof }),
        "released" | "released-again" => page.render(&ReleasedPage { page, r: &released }),
        "confirm-control" | "confirm-contact" | "confirm-done" => page.render(&ConfirmPage {
            page,
            r: &confirmation,
            path: "/confirm/example",
        }),
        "prove" => page.render(&ProvePage {
            page,
            commands: &commands_for_code(
                "7-examplecode",
                &ControlSettings {
                    base_url: page.settings.base_url.clone(),
                    ..ControlSettings::default()
                },
            ),
        }),
        "ticket-error" => {
            let t = &example_tickets::review(TicketState::Review);
            let problem = Some(FormProblem {
                field: "message",
                value: "…".into(),
                title: "error-too-many",
                detail: "at most 5 messages a minute are accepted from 198.51.100.0/24".into(),
                retry_after: Some(40),
            });
            page.render_with_status(
                StatusCode::TOO_MANY_REQUESTS,
                &TicketPage { page, t, problem },
            )
        }
        "error-not-found" => error_page(page, &ProblemDetails::not_found("nothing is served here")),
        "error-too-many" => {
            let detail = "at most 10 requests a minute are accepted from 198.51.100.0/24";
            error_page(page, &ProblemDetails::too_many(detail, Seconds(40)))
        }
        "error-unavailable" => {
            let detail = "the daemon is stopping";
            error_page(page, &ProblemDetails::new(ProblemCode::Unavailable, detail))
        }
        _ => return Err(ProblemDetails::not_found("this example does not exist")),
    })
}

/// The pages about the lists.
fn render_list_page(page: &PageContext, name: &str) -> Option<Response> {
    let lists = example_lists::all();
    let providers = example_providers::all();
    if let Some((_, r)) = providers.iter().find(|(n, _)| *n == name) {
        let problem = None;
        return Some(page.render(&ProviderPage { page, r, problem }));
    }
    if let Some((_, list)) = lists.iter().find(|(n, _)| *n == name) {
        return Some(page.render_indexed(&ListPage { page, list }));
    }
    let lists: Vec<_> = lists.into_iter().map(|(_, list)| list).collect();
    let policy = &example_lists::policy(!matches!(name, "tests-off" | "opt-out-no-contact"));
    Some(match name {
        "lists" => page.render_indexed(&ListsPage {
            page,
            lists: &lists,
        }),
        "policy" => page.render_indexed(&PolicyPage { page, policy }),
        "tests" | "tests-off" => page.render_indexed(&TestsPage {
            page,
            policy,
            r: &http::public_relay_tests(example_lists::tests()),
        }),
        "opt-out" | "opt-out-no-contact" => {
            let of_site = &page.settings.contact;
            let content = &http::opt_out_with(&policy.test_contact, of_site, page.language);
            page.render_indexed(&TextPage { page, content })
        }
        "open-relay" => page.render_indexed(&TextPage {
            page,
            content: &http::open_relay(page.language),
        }),
        "advice" | "advice-found" | "advice-nothing" => {
            let text = match name {
                "advice-found" => "220 mail.example.com ESMTP Postfix (Debian/GNU)",
                "advice-nothing" => "no such server",
                _ => "",
            };
            let r = &http::find_advice(text, page.language);
            page.render(&AdvicePage { page, r, text })
        }
        "self-test" | "self-test-off" | "self-test-error" => {
            let is_error = name == "self-test-error";
            let problem = "address: `mail` is not the address of one mail server";
            page.render(&SelfTestPage {
                page,
                r: &example_tickets::self_test_page(name != "self-test-off"),
                address: if is_error { "mail" } else { "45.51.100.7" },
                problem: is_error.then_some(problem),
            })
        }
        "survey" | "survey-none" => {
            let months = example_lists::survey();
            let shown = if name == "survey" { &months[..] } else { &[] };
            page.render_indexed(&SurveyPage {
                page,
                months: shown,
            })
        }
        "comparisons" | "comparisons-none" => {
            let all = example_comparisons::all(page.now.into());
            let shown = if name == "comparisons" { &all[..] } else { &[] };
            page.render_indexed(&ComparisonsPage {
                page,
                comparisons: shown,
            })
        }
        "netblocks" | "netblocks-none" => {
            let networks = example_lists::netblocks();
            let shown = if name == "netblocks" {
                &networks[..]
            } else {
                &[]
            };
            page.render_indexed(&NetblocksPage {
                page,
                networks: shown,
            })
        }
        "netblock" | "netblock-ended" => {
            let ended = usize::from(name == "netblock-ended");
            page.render_indexed(&NetblockPage {
                page,
                r: example_lists::netblocks().get(ended)?,
            })
        }
        "providers" | "providers-off" | "providers-error" => {
            let is_error = name == "providers-error";
            let problem = "range: `45.51` is not a prefix such as 192.0.2.0/24";
            page.render_indexed(&ProvidersPage {
                page,
                r: &example_providers::form(name != "providers-off"),
                range: if is_error { "45.51" } else { "" },
                problem: is_error.then_some(problem),
            })
        }
        "provider-error" => page.render(&ProviderPage {
            page,
            r: &example_providers::all().swap_remove(1).1,
            problem: Some(FormProblem {
                field: "host",
                value: "45.51.100.0/25".into(),
                title: "error-invalid",
                detail: "subject: 45.51.100.0/25 is not a single address; name each host that is taken out".into(),
                retry_after: None,
            }),
        }),
        "advice-product" => {
            let r = &http::find_product("postfix", page.language).ok()?;
            page.render_indexed(&ProductPage { page, r })
        }
        "advice-guide" => {
            let r = &http::find_guide("authentication", page.language).ok()?;
            page.render_indexed(&GuidePage { page, r })
        }
        "links" => page.render_indexed(&LinksPage {
            page,
            r: &http::public_pages::links::all_links(),
        }),
        "notices" => page.render_indexed(&NoticesPage {
            page,
            notices: &example_lists::notices(),
        }),
        "notices-none" => page.render_indexed(&NoticesPage {
            page,
            notices: &PublicNoticesResponse {
                updated: None,
                items: Vec::new(),
            },
        }),
        "status" | "status-down" => page.render_indexed(&StatusPage {
            page,
            status: &example_lists::status(name == "status"),
        }),
        "privacy" => page.render_indexed(&PrivacyPage {
            page,
            privacy: &example_lists::privacy(),
        }),
        _ => return None,
    })
}
