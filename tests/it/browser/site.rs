//! Every page of the site, in every language, on every screen.

use super::{
    crawl::{Crawl, crawl, get},
    driver::browse,
    lab::SiteLab,
    pages,
};
use crate::relay::mta::MtaBehavior;

/// The languages of the site.
pub const LANGUAGES: [&str; 3] = ["en", "de", "ja"];

/// Of how many pages of the knowledge base one is opened in the browser.
const ADVICE_SAMPLE: usize = 12;

/// A path in a language.
pub fn in_language(path: &str, language: &str) -> String {
    let sign = if path.contains('?') { '&' } else { '?' };
    format!("{path}{sign}lang={language}")
}

/// A daemon with a listed relay, and its pages.
fn crawl_site() -> (SiteLab, Crawl) {
    let lab = SiteLab::new("");
    let open = MtaBehavior {
        open: true,
        ..MtaBehavior::default()
    };
    let (listed, _) = lab.listed_relay(1, open);
    let start = [
        "/".into(),
        "/no-such-page".into(),
        format!("/{listed}"),
        "/192.0.2.1".into(),
    ];
    let crawl = crawl(&lab.base, &start);
    (lab, crawl)
}

/// Checks pages in every language. Only English has all checks: a translation can break few.
fn check_pages(base: &str, paths: &[String]) {
    let mut html = Vec::new();
    for path in paths {
        for language in LANGUAGES {
            let path = in_language(path, language);
            let response = get(base, &path, "en");
            assert!(
                response
                    .body
                    .contains(&format!("<html lang=\"{language}\"")),
                "{path}"
            );
            html.push((path, response.body));
        }
    }
    let mut found = pages::html(&html);
    browse(base, async |browser| {
        for path in paths {
            for language in LANGUAGES {
                let path = in_language(path, language);
                browser.open(&path).await;
                let new = match language {
                    "en" => pages::all(browser).await,
                    _ => pages::translated(browser).await,
                };
                found.extend(new.into_iter().map(|f| format!("{path}: {f}")));
            }
        }
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn pages_of_a_daemon_are_accessible_and_valid() {
    let (lab, site) = crawl_site();
    // The pages of products have one template, so that a sample of them shows its faults.
    let (advice, mut paths): (Vec<String>, Vec<String>) = site
        .pages
        .into_keys()
        .partition(|path| path.starts_with("/advice/"));
    paths.extend(advice.into_iter().step_by(ADVICE_SAMPLE));
    check_pages(&lab.base, &paths);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn every_link_leads_to_a_page() {
    let (_lab, site) = crawl_site();
    assert!(site.broken.is_empty(), "{:#?}", site.broken);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn examples_of_tickets_are_accessible_and_valid() {
    let base = examples();
    let (tickets, _) = example_paths();
    check_pages(&base, &tickets);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn examples_of_other_pages_are_accessible_and_valid() {
    let base = examples();
    let (_, others) = example_paths();
    check_pages(&base, &others);
}

/// Serves the examples of all pages and states. Returns the URL.
pub fn examples() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, orbsd::site::examples::router())
                .await
                .unwrap();
        });
    });
    base
}

/// The paths of the examples of tickets, and of other pages.
pub fn example_paths() -> (Vec<String>, Vec<String>) {
    let names = orbsd::site::examples::names().into_iter();
    let paths = names.map(|n| format!("/examples/{n}"));
    paths.partition(|p| p.starts_with("/examples/ticket"))
}
