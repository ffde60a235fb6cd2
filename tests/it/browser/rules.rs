//! Rules of the site that only a browser can break or keep.

use super::{driver::browse, faults::serve, lab::SiteLab};
use crate::relay::mta::MtaBehavior;

/// The most bytes of the home page or a look-up page, over the wire, with all of its files.
const MAX_BYTES: i64 = 30 * 1024;

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn language_is_that_of_the_browser_until_the_reader_switches() {
    let lab = SiteLab::new("");
    browse(&lab.base, async |browser| {
        let language = "return document.documentElement.lang";
        for (accepted, expected) in [
            ("de-AT,de;q=0.9,en;q=0.5", "de"),
            ("ja", "ja"),
            ("fr", "en"),
        ] {
            browser.languages(accepted).await;
            browser.open("/").await;
            assert_eq!(browser.script(language).await, expected);
        }
        browser.tap(".languages a[hreflang='ja']").await;
        browser
            .wait_until("return document.documentElement.lang == 'ja'")
            .await;
        browser.paste("#text", "192.0.2.1").await;
        browser.tap("form.ask button").await;
        browser.wait_for(".verdict").await;
        assert_eq!(browser.script(language).await, "ja");
        assert_eq!(browser.path().await, "/192.0.2.1?lang=ja");
    });
}

/// A page of another site cannot open a ticket in the name of its visitor: neither one on another
/// port of the same host, nor one on another host.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn form_of_another_site_is_refused() {
    let lab = SiteLab::new("");
    let (addr, _mta) = lab.listed_relay(
        1,
        MtaBehavior {
            open: true,
            ..MtaBehavior::default()
        },
    );
    let page = format!(
        "<!doctype html><title>x</title><form method=post action='{}/tickets'><input name=subject value='{addr}'><button>x</button></form>",
        lab.base
    );
    let evil = serve(vec![page]);
    browse(&lab.base, async |browser| {
        for origin in [evil.clone(), evil.replace("127.0.0.1", "localhost")] {
            browser.open(&format!("{origin}/0")).await;
            browser.tap("button").await;
            browser
                .wait_until(
                    "return location.pathname == '/tickets' && document.readyState == 'complete'",
                )
                .await;
            let status = "return performance.getEntriesByType('navigation')[0].responseStatus";
            assert_eq!(browser.script(status).await, 403, "{origin}");
        }
        let tickets = lab.relay.api.get("/v1/tickets").ok();
        assert!(
            !tickets.to_string().contains(&addr.to_string()),
            "{tickets}"
        );
    });
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn home_and_look_up_page_are_small_and_complete_without_other_hosts() {
    let lab = SiteLab::new("");
    let (addr, _mta) = lab.listed_relay(
        1,
        MtaBehavior {
            open: true,
            ..MtaBehavior::default()
        },
    );
    for path in ["/".to_string(), format!("/{addr}")] {
        // A new browser has nothing in its cache.
        browse(&lab.base, async |browser| {
            browser.open(&path).await;
            let bytes = browser
                .script("return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].reduce((sum, e) => sum + e.transferSize, 0)")
                .await;
            let bytes = bytes.as_i64().unwrap();
            println!("{path}: {bytes} bytes");
            assert!((1000..MAX_BYTES).contains(&bytes), "{path}: {bytes} bytes");
        });
    }
}

/// What cannot be read is told beside the field, which keeps what was typed.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn unreadable_text_is_reported_beside_the_field() {
    let lab = SiteLab::new("");
    browse(&lab.base, async |browser| {
        browser.open("/").await;
        browser.paste("#text", "my mail server does not work").await;
        browser.tap("form.ask button").await;
        browser.wait_for("#text[aria-invalid='true']").await;
        let kept = "return document.getElementById('text').value";
        assert_eq!(browser.script(kept).await, "my mail server does not work");
        let found = super::pages::all(browser).await;
        assert!(found.is_empty(), "{found:#?}");
    });
}
