//! What visitors of the site do, from the text of a bounce on.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    driver::{Browser, Screen, browse},
    lab::SiteLab,
};
use crate::relay::mta::{Change, MtaBehavior};

/// The most taps of an owner from the home page to the removal.
const MAX_TAPS: usize = 4;

/// A message with a picture that does not exist: if it were HTML, its script would run.
const MESSAGE: &str = "New to us since May. <img src=x onerror=\"document.title='script'\">";

/// The button that asks for the removal.
const REMOVE: &str = "main form[action^='/tickets'] button";

fn open_relay() -> MtaBehavior {
    MtaBehavior {
        open: true,
        ..MtaBehavior::default()
    }
}

/// Pastes a text into the field of the home page, and looks it up.
async fn look_up(browser: &Browser, text: &str) {
    browser.open("/").await;
    browser.paste("#text", text).await;
    browser.tap("form.ask button").await;
    browser.wait_for(".verdict").await;
}

/// Waits until the page of a ticket has an element. Without scripts, a reader asks for changes by a
/// link.
async fn wait_for_change(browser: &Browser, selector: &str, scripts: bool) {
    if scripts {
        browser.wait_for(selector).await;
        return;
    }
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        browser.wait_for("#live").await;
        let found = format!("return document.querySelector({selector:?}) != null");
        if browser.script(&found).await == true {
            return;
        }
        assert!(Instant::now() < until, "{selector} does not appear");
        browser.follow("#actions a[href^='/tickets/']").await;
    }
}

/// Waits until the ticket of the open page is in a state.
async fn wait_for_state(browser: &Browser, state: &str, scripts: bool) {
    let shown = format!(".verdict[data-state='{state}']");
    wait_for_change(browser, &shown, scripts).await;
}

/// Waits for the page that answers a refused form: it says why, and its links lead to the ticket.
async fn wait_for_refusal(browser: &Browser, ticket: &str) {
    browser.wait_for("#actions .field-error").await;
    let switch = "return document.querySelector(\".languages a[hreflang='de']\").pathname";
    assert_eq!(browser.script(switch).await, ticket);
}

/// The ticket of the open page, as programs see it.
async fn ticket(browser: &Browser, lab: &SiteLab) -> Value {
    lab.ticket_at(&browser.path().await)
}

/// The path of the proof that a page shows in its commands.
fn prove_path(text: &str) -> String {
    let (_, rest) = text.split_once("/prove/").expect("no command with a code");
    let code = rest
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .next();
    format!("/prove/{}", code.unwrap_or_default())
}

/// Checks that each server is shown with the time at which it had the removal.
async fn assert_removed_everywhere(browser: &Browser, lab: &SiteLab, zone: &str) {
    browser
        .wait_until("return document.querySelectorAll('[data-server]').length > 1 && [...document.querySelectorAll('[data-server]')].every(e => e.querySelector('time'))")
        .await;
    let servers = browser.text().await;
    assert!(servers.contains(&lab.mirror.to_string()), "{servers}");
    assert!(servers.contains(zone), "{servers}");
}

/// From the text of a bounce to the removal at every server, on a phone.
async fn remove_repaired_relay(browser: &Browser, lab: &SiteLab, number: u8, scripts: bool) {
    let (addr, mta) = lab.listed_relay(number, open_relay());
    browser.scripts(scripts).await;
    look_up(browser, &SiteLab::bounce(addr)).await;
    let verdict = browser.wait_for(".verdict").await;
    assert!(verdict.contains(&addr.to_string()), "{verdict}");
    assert!(verdict.contains("bl.orbs.example"), "{verdict}");
    mta.close();
    browser.tap(REMOVE).await;
    browser.wait_for("#live").await;
    // A screen reader announces what changes in a live region that was there before.
    let region =
        "return document.querySelector('#live [aria-live] .verdict').closest('[aria-live]')";
    browser
        .script(&region.replace("return", "window.region ="))
        .await;
    wait_for_state(browser, "granted", scripts).await;
    if scripts {
        let kept = format!("{region} == window.region");
        assert_eq!(
            browser.script(&kept).await,
            true,
            "the live region was replaced"
        );
        assert_removed_everywhere(browser, lab, "bl.orbs.example").await;
    }
    assert!(lab.relay.dns(addr).starts_with("NXDOMAIN"), "{addr}");
    let done = browser.done();
    let taps = done.iter().filter(|d| d.starts_with("tap")).count();
    // Before a text is pasted, its field is tapped.
    let pastes = done.iter().filter(|d| d.starts_with("paste")).count();
    assert!(taps + pastes <= MAX_TAPS && pastes == 1, "{done:#?}");
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn owner_of_a_repaired_relay_removes_it_with_four_taps() {
    let lab = SiteLab::new("");
    browse(&lab.base, async |browser| {
        remove_repaired_relay(browser, &lab, 1, true).await;
        assert_eq!(browser.console().await, Vec::<String>::new());
    });
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn owner_of_a_repaired_relay_removes_it_without_scripts() {
    let lab = SiteLab::new("");
    browse(&lab.base, async |browser| {
        remove_repaired_relay(browser, &lab, 1, false).await;
    });
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn owner_of_a_repaired_relay_removes_it_in_a_wide_window() {
    let lab = SiteLab::new("");
    browse(&lab.base, async |browser| {
        browser.screen(Screen::Desktop).await;
        remove_repaired_relay(browser, &lab, 1, true).await;
        let fits =
            "return innerWidth == 1280 && document.documentElement.scrollWidth <= innerWidth";
        assert_eq!(browser.script(fits).await, true);
        assert_eq!(browser.console().await, Vec::<String>::new());
    });
}

/// The form of a page that was opened before: the present page has no button while the next test
/// has to wait.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn page_that_refuses_a_claim_follows_its_ticket() {
    let lab = SiteLab::new("");
    let (addr, _mta) = lab.listed_relay(1, open_relay());
    browse(&lab.base, async |browser| {
        look_up(browser, &SiteLab::bounce(addr)).await;
        browser.tap(REMOVE).await;
        wait_for_state(browser, "failed", true).await;
        let page = browser.path().await;
        // Another device asks for a test again and again, until it is refused.
        let client: IpAddr = [127, 64, 9, 3].into();
        let mut claims =
            (0..30).map(|_| lab.request_from(client, "POST", &format!("{page}/retry")));
        let refused = claims.find(|response| !response.starts_with("HTTP/1.1 200"));
        assert!(
            refused
                .as_ref()
                .is_some_and(|r| r.starts_with("HTTP/1.1 429")),
            "{refused:?}"
        );
        wait_for_state(browser, "testing", true).await;
        browser
            .script(&format!(
                "const form = document.createElement('form');
                 [form.method, form.action] = ['post', '{page}/retry'];
                 document.body.append(form);
                 form.submit()"
            ))
            .await;
        wait_for_refusal(browser, &page).await;
        assert_eq!(
            browser.path().await,
            page,
            "the address of the ticket can be kept"
        );
        wait_for_state(browser, "testing", true).await;
        let withdrawn = lab.request_from(client, "POST", &format!("{page}/withdraw"));
        assert!(withdrawn.starts_with("HTTP/1.1 200"), "{withdrawn}");
        wait_for_state(browser, "withdrawn", true).await;
    });
}

/// A test that finds the host open fails the claim; the next test has to wait, and the page tells
/// until when. Somebody who does not own the host can do no more than its owner.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn claim_for_an_open_relay_fails_and_the_next_one_waits() {
    let lab = SiteLab::new("");
    let (addr, _mta) = lab.listed_relay(1, open_relay());
    browse(&lab.base, async |browser| {
        look_up(browser, &SiteLab::bounce(addr)).await;
        browser.tap(REMOVE).await;
        wait_for_state(browser, "failed", true).await;
        let text = browser.wait_for("#live").await;
        assert!(
            text.contains("plain"),
            "the form that was relayed is named: {text}"
        );
        assert_eq!(lab.relay.dns(addr), "NOERROR 127.0.0.2");
        // The next claim waits: the page has its time and no button.
        browser
            .wait_until("return [...document.querySelectorAll('#live strong time')].some(t => new Date(t.dateTime) > Date.now() + 600000)")
            .await;
        browser
            .wait_until("return !document.querySelector(\"form[action*='/retry'] button\")")
            .await;
        assert_eq!(lab.relay.dns(addr), "NOERROR 127.0.0.2");
    });
}

/// A host that refuses the tester is not shown to be closed.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn claim_for_a_host_that_blocks_the_tester_stays_listed_and_may_be_reviewed() {
    let lab = SiteLab::new("");
    let (addr, mta) = lab.listed_relay(1, open_relay());
    browse(&lab.base, async |browser| {
        look_up(browser, &SiteLab::bounce(addr)).await;
        mta.close();
        mta.change(Change {
            greeting: Some("554 5.7.1 go away"),
            ..Change::default()
        });
        browser.tap(REMOVE).await;
        wait_for_state(browser, "blocked", true).await;
        assert_eq!(lab.relay.dns(addr), "NOERROR 127.0.0.2");
        let text = browser.text().await;
        assert!(
            !text.contains("go away"),
            "the host's own words are for its owner: {text}"
        );
        browser.tap("form[action*='/review'] button").await;
        wait_for_state(browser, "review", true).await;
    });
}

/// A listing that a person decides about: the request needs a proof of control, which is made on
/// the server itself while the page is open on a phone.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn reviewed_request_is_proved_from_the_server_discussed_and_granted() {
    let lab = SiteLab::new("");
    let addr: IpAddr = [127, 64, 9, 1].into();
    lab.list(&addr.to_string(), "netblock");
    browse(&lab.base, async |browser| {
        look_up(browser, &SiteLab::bounce(addr)).await;
        browser.tap(REMOVE).await;
        wait_for_state(browser, "needs-proof", true).await;
        let path = prove_path(&browser.text().await);
        // A request from another host proves control of that host and nothing else.
        let stranger = lab.request_from([127, 64, 9, 2].into(), "POST", &path);
        assert!(
            stranger.contains("127.64.9.2"),
            "the answer names the reason: {stranger}"
        );
        wait_for_state(browser, "needs-proof", true).await;
        // A GET changes nothing, for scanners open links.
        lab.request_from(addr, "GET", &path);
        wait_for_state(browser, "needs-proof", true).await;
        lab.request_from(addr, "POST", &path);
        wait_for_state(browser, "review", true).await;
        browser.paste("#message", MESSAGE).await;
        browser.tap("form[action*='/messages'] button").await;
        browser
            .wait_until(
                "return document.querySelector('#messages').innerText.includes('since May')",
            )
            .await;
        assert!(browser.text().await.contains(MESSAGE));
        assert_ne!(browser.script("return document.title").await, "script");
        let number = ticket(browser, &lab).await["number"].clone();
        lab.operator(&format!("/v1/tickets/{number}/reply"), "Who had it before?");
        browser
            .wait_until(
                "return document.querySelector('#messages').innerText.includes('Who had it before?')",
            )
            .await;
        assert_eq!(lab.relay.dns(addr), "NOERROR 127.0.0.9");
        lab.operator(&format!("/v1/tickets/{number}/approve"), "");
        wait_for_state(browser, "granted", true).await;
        assert!(lab.relay.dns(addr).starts_with("NXDOMAIN"));
    });
}

/// From the look-up of a domain to the proof of its control by a record in DNS. The first check
/// comes before the record. The page that says so still follows the ticket.
async fn prove_domain_by_dns(browser: &Browser, lab: &SiteLab, scripts: bool) {
    lab.list("sender.example", "spam");
    browser.scripts(scripts).await;
    look_up(browser, "sender.example").await;
    browser.tap(REMOVE).await;
    wait_for_state(browser, "needs-proof", scripts).await;
    let page = browser.path().await;
    // Mail is the first way as soon as the name servers of the domain are known.
    wait_for_change(browser, "form[action*='/send-code'] button", scripts).await;
    let check = "form[action*='/check-dns'] button";
    open_details(browser, "control-dns").await;
    let ticket = ticket(browser, lab).await;
    let options = ticket["control_options"].as_array().unwrap();
    let dns = options.iter().find(|o| o["method"] == "dns").unwrap();
    let record = dns["text"].as_str().unwrap();
    let text = browser.text().await;
    assert!(text.contains(record), "the record is shown: {text}");
    browser.tap(check).await;
    wait_for_refusal(browser, &page).await;
    lab.relay.names.text("sender.example", record);
    if scripts {
        // Another device asks for the check; this page shows what it found.
        let checked =
            lab.request_from([127, 64, 9, 3].into(), "POST", &format!("{page}/check-dns"));
        assert!(checked.starts_with("HTTP/1.1 200"), "{checked}");
    } else {
        open_details(browser, "control-dns").await;
        browser.tap(check).await;
    }
    wait_for_state(browser, "review", scripts).await;
}

/// Opens a part of a page, unless it is open.
async fn open_details(browser: &Browser, id: &str) {
    let is_open = format!("return document.getElementById('{id}').open");
    if browser.script(&is_open).await != json!(true) {
        browser.tap(&format!("#{id} > summary")).await;
    }
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn control_of_a_domain_is_proved_by_dns() {
    let lab = SiteLab::new("");
    browse(&lab.base, async |browser| {
        prove_domain_by_dns(browser, &lab, true).await;
    });
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn control_of_a_domain_is_proved_by_dns_without_scripts() {
    let lab = SiteLab::new("");
    browse(&lab.base, async |browser| {
        prove_domain_by_dns(browser, &lab, false).await;
    });
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn control_of_a_domain_is_proved_by_mail() {
    let lab = SiteLab::new("");
    lab.relay
        .names
        .host([127, 64, 3, 1].into(), "sender.example");
    lab.list("sender.example", "spam");
    browse(&lab.base, async |browser| {
        look_up(browser, "sender.example").await;
        browser.tap(REMOVE).await;
        wait_for_state(browser, "needs-proof", true).await;
        let page = browser.path().await;
        browser.wait_for("form[action*='/send-code'] button").await;
        browser.tap("form[action*='/send-code'] button").await;
        let mail = lab
            .mail_to("postmaster@sender.example")
            .replace("=\r\n", "");
        let (_, link) = mail.split_once("/confirm/").expect("the mail has a link");
        let code = link
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .next()
            .unwrap();
        // A scanner opens the link, which confirms nothing; the reader presses its button.
        browser.open(&format!("/confirm/{code}")).await;
        assert_eq!(lab.ticket_at(&page)["state"], "needs-proof");
        browser.tap("form[action*='/confirm'] button").await;
        browser.wait_for("main").await;
        browser.open(&page).await;
        wait_for_state(browser, "review", true).await;
    });
}

/// A subject that only a list of another publisher names.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn listing_of_a_feed_names_its_source_and_is_removed_here() {
    let lab = SiteLab::new("");
    let addr: IpAddr = [127, 64, 5, 1].into();
    let file = lab.relay.api.f.write("feed.txt", &format!("{addr}\n"));
    lab.relay.api.f.ok(&[
        "import",
        "--source",
        "otherlist",
        "--reason",
        "netblock",
        "--allow-special-ranges",
        file.to_str().unwrap(),
    ]);
    browse(&lab.base, async |browser| {
        look_up(browser, &SiteLab::bounce(addr)).await;
        let verdict = browser.wait_for(".verdict").await;
        assert!(verdict.contains("otherlist"), "{verdict}");
        browser.tap(REMOVE).await;
        wait_for_state(browser, "granted", true).await;
        assert!(lab.relay.dns(addr).starts_with("NXDOMAIN"));
    });
}

/// A bounce that names the list of somebody else leads there.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn visitor_of_another_list_is_sent_there() {
    let lab = SiteLab::new("");
    let bounce = "<bob@receiver.example>: host mx.receiver.example[192.0.2.25] said: 550 5.7.1\n    \
                  Service unavailable; client [198.51.100.7] blocked using zen.spamhaus.org (in reply to RCPT TO command)";
    browse(&lab.base, async |browser| {
        look_up(browser, bounce).await;
        let text = browser.wait_for("main").await;
        assert!(text.contains("Spamhaus"), "{text}");
        let links = browser
            .script("return [...document.querySelectorAll('main a')].map(a => a.href).filter(h => /^https:..([a-z]+[.])*spamhaus.(org|com)/.test(h))")
            .await;
        assert_ne!(links, json!([]), "{text}");
        let remove = format!("return document.querySelector({REMOVE:?}) == null");
        assert_eq!(
            browser.script(&remove).await,
            true,
            "nothing can be removed here"
        );
    });
}
