//! Every page of the site, in every language, on every screen.

use super::{
    crawl::{Crawl, crawl, get},
    driver::{Screen, browse},
    lab::SiteLab,
    pages,
};
use crate::relay::mta::MtaBehavior;

/// The languages of the site.
pub const LANGUAGES: [&str; 3] = ["en", "de", "ja"];

/// A path in a language.
pub fn in_language(path: &str, language: &str) -> String {
    let sign = if path.contains('?') { '&' } else { '?' };
    format!("{path}{sign}lang={language}")
}

/// A daemon with a listed relay, and the paths of its pages.
pub fn shown_pages() -> (SiteLab, Vec<String>) {
    let lab = SiteLab::new("");
    let site = crawl_site(&lab);
    assert!(site.broken.is_empty(), "{:#?}", site.broken);
    let paths = site.pages.into_keys().collect();
    (lab, paths)
}

fn crawl_site(lab: &SiteLab) -> Crawl {
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
    crawl(&lab.base, &start)
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn every_page_is_accessible_and_valid_in_every_language() {
    let (lab, paths) = shown_pages();
    let mut html = Vec::new();
    for path in &paths {
        for language in LANGUAGES {
            let path = in_language(path, language);
            let response = get(&lab.base, &path, "en");
            assert!(
                response.body.contains(&format!("lang=\"{language}\"")),
                "{path}"
            );
            html.push((path, response.body));
        }
    }
    let mut found = pages::html(&html);
    browse(&lab.base, async |browser| {
        for path in &paths {
            for language in LANGUAGES {
                let path = in_language(path, language);
                browser.open(&path).await;
                // The checks that texts of another length can break are made in every language.
                let new = match language {
                    "en" => pages::all(browser).await,
                    _ => pages::translated(browser).await,
                };
                found.extend(new.into_iter().map(|f| format!("{path}: {f}")));
            }
        }
        browser.screen(Screen::Phone).await;
    });
    assert!(found.is_empty(), "{found:#?}");
}
