//! Pictures of every page and state, for people to look at: `make screenshots` makes all of them,
//! and the test suite those of a phone in English.

use super::{
    driver::{Browser, Screen, artefacts, browse},
    site::{LANGUAGES, example_paths, examples, in_language},
};

/// A file name for a path.
fn file_name(path: &str) -> String {
    let name = path.trim_start_matches("/examples/");
    name.replace(
        |c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.',
        "_",
    )
}

async fn take(browser: &Browser, path: &str, suffix: &str) {
    let folder = artefacts().join("pages");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{}.{suffix}.png", file_name(path)));
    std::fs::write(file, browser.picture().await).unwrap();
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn pictures_of_every_page_are_made() {
    let everything = std::env::var_os("ORBSD_SCREENSHOTS").is_some();
    let (tickets, others) = example_paths();
    browse(&examples(), async |browser| {
        for path in tickets.iter().chain(&others) {
            for language in LANGUAGES {
                browser.open(&in_language(path, language)).await;
                take(browser, path, &format!("{language}.phone")).await;
                if !everything {
                    break;
                }
                browser.media("", &[("prefers-color-scheme", "dark")]).await;
                take(browser, path, &format!("{language}.phone-dark")).await;
                browser.screen(Screen::Desktop).await;
                take(browser, path, &format!("{language}.desktop-dark")).await;
                browser.media("", &[]).await;
                take(browser, path, &format!("{language}.desktop")).await;
                browser.media("print", &[]).await;
                browser.screen(Screen::Paper).await;
                take(browser, path, &format!("{language}.paper")).await;
                browser.media("", &[]).await;
                browser.screen(Screen::Phone).await;
            }
        }
    });
    println!("pictures are in {}", artefacts().join("pages").display());
}
