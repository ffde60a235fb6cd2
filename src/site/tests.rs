//! Tests of whole pages, rendered from the examples in each language.

use std::{collections::BTreeSet, sync::Arc};

use askama::Template;
use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header},
};
use tower::ServiceExt;

use super::{
    assets,
    context::PageContext,
    example_lookups, example_tickets, examples,
    form_problem::FormProblem,
    lookup::LookupPage,
    proofs::{ConfirmPage, EvidencePage, ProvePage, ReleasedPage},
    settings::SiteSettings,
    ticket::TicketPage,
};
use crate::{
    api::{LookupAnswer, LookupResponse, TicketResponse},
    model::{Subject, subject::HostBits},
    texts::Language,
    tickets::TicketState,
};

/// What a stranger could write to run a script on a page.
const ATTACK: &str =
    "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}\u{202e}\u{1b}[2J\u{f0000}";
/// The most bytes of the home page or of a look-up page, with all their files.
const MAX_PAGE_BYTES: usize = 30 * 1024;

async fn get(path: &str) -> (StatusCode, HeaderMap, String) {
    let request = Request::builder()
        .uri(path)
        .header(header::ACCEPT, "text/html")
        .body(Body::empty())
        .unwrap();
    let response = examples::router().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (parts.status, parts.headers, text)
}

/// Every example in every language.
async fn pages() -> Vec<(String, String)> {
    let mut out = Vec::new();
    for name in examples::names() {
        for language in Language::ALL {
            let path = format!("/examples/{name}?lang={}", language.tag());
            let (_, headers, html) = get(&path).await;
            assert_eq!(
                headers[header::CONTENT_TYPE],
                "text/html; charset=utf-8",
                "{path}"
            );
            assert!(
                html.contains(&format!("<html lang=\"{}\">", language.tag())),
                "{path}"
            );
            out.push((path, html));
        }
    }
    out
}

/// The tags of a page, in their order, without their attributes.
fn tags(html: &str) -> Vec<&str> {
    let starts = html.match_indices('<').map(|(at, _)| &html[at + 1..]);
    let names = starts.map(|rest| rest.split([' ', '>', '\n']).next().unwrap());
    names.filter(|n| !n.starts_with('!')).collect()
}

/// The values of an attribute.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    let parts = html.split(start.as_str()).skip(1);
    parts.map(|p| p.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn elements_of_every_page_are_closed_in_order() {
    const VOID: [&str; 8] = ["meta", "link", "br", "input", "img", "hr", "wbr", "rect"];
    for (path, html) in pages().await {
        let mut open = Vec::new();
        for tag in tags(&html).into_iter().filter(|t| !VOID.contains(t)) {
            match tag.strip_prefix('/') {
                Some(closed) => assert_eq!(open.pop(), Some(closed), "{path}: {open:?}"),
                None => open.push(tag),
            }
        }
        assert!(open.is_empty(), "{path}: {open:?}");
    }
}

#[tokio::test]
async fn every_page_has_one_heading_and_a_short_title_and_unique_ids() {
    for (path, html) in pages().await {
        assert_eq!(html.matches("<h1").count(), 1, "{path}");
        let title = html.split("<title>").nth(1).unwrap();
        let title = title.split("</title>").next().unwrap();
        assert!(title.chars().count() <= 70, "{path}: {title}");
        let ids = attributes(&html, "id");
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(ids.len(), unique.len(), "{path}: {ids:?}");
        for label in attributes(&html, "for") {
            assert!(ids.contains(&label), "{path}: {label}");
        }
        for described in attributes(&html, "aria-describedby") {
            let mut names = described.split(' ');
            assert!(names.all(|n| ids.contains(&n)), "{path}: {described}");
        }
    }
}

#[tokio::test]
async fn no_page_has_inline_styles_or_scripts_or_loads_from_other_hosts() {
    for (path, html) in pages().await {
        for wrong in [
            " style=",
            " onclick=",
            "<style",
            "javascript:",
            "<iframe",
            "http-equiv",
        ] {
            assert!(!html.contains(wrong), "{path}: {wrong}");
        }
        assert_eq!(html.matches("<script").count(), 1, "{path}");
        for source in attributes(&html, "src") {
            assert!(source.starts_with("/assets/"), "{path}: {source}");
        }
        for action in attributes(&html, "action") {
            assert!(
                action.starts_with('/') && !action.starts_with("//"),
                "{path}: {action}"
            );
        }
    }
}

#[tokio::test]
async fn every_response_has_the_headers_that_protect_it() {
    for path in ["/examples/ticket-testing", "/examples/unknown", "/nowhere"] {
        let (_, headers, _) = get(path).await;
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::VARY], "Accept, Accept-Language");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers["x-robots-tag"], "noindex");
    }
}

#[tokio::test]
async fn home_and_look_up_pages_are_small() {
    let mut files = 0;
    for name in ["site.css", "site.js", "icon.svg"] {
        files += get(assets::path(name)).await.2.len();
    }
    for name in [
        "home",
        "lookup-listed",
        "lookup-other-list",
        "lookup-never-listed",
    ] {
        for language in Language::ALL {
            let path = format!("/examples/{name}?lang={}", language.tag());
            let page = get(&path).await.2.len();
            assert!(
                page + files <= MAX_PAGE_BYTES,
                "{path}: {page} + {files} bytes"
            );
        }
    }
}

/// The policy has no sentence of another language, and numbers as its language writes them.
#[tokio::test]
async fn policy_is_in_the_language_of_the_page() {
    let keys: Vec<&str> = include_str!("../texts/en/policy.ftl")
        .lines()
        .filter_map(|l| Some(l.split_once(" = ")?.0))
        .filter(|key| !key.starts_with([' ', '#']))
        .collect();
    for (language, percent) in [(Language::De, "99,4 %"), (Language::Ja, "99.4 %")] {
        let (_, _, html) = get(&format!("/examples/policy?lang={}", language.tag())).await;
        let mut shown = 0;
        for key in &keys {
            let html_of = |l| crate::texts::text(l, key, &[]).replace('\'', "&#39;");
            let english = html_of(Language::En);
            assert!(!html.contains(&format!(">{english}")), "{language:?} {key}");
            shown += usize::from(html.contains(&html_of(language)));
        }
        assert!(shown >= 40, "{language:?}: {shown} of {}", keys.len());
        assert!(html.contains(percent), "{language:?}");
    }
}

fn page() -> PageContext {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, "text/html".parse().unwrap());
    let settings = Arc::new(SiteSettings {
        sends_mail: true,
        ..SiteSettings::default()
    });
    let mut page = PageContext::new(settings, &"/".parse().unwrap(), &headers);
    page.now = example_lookups::NOW;
    page
}

/// Replaces every text of a value, but for those that are names of states and times.
fn attack(value: &mut serde_json::Value, kept: &[&str]) {
    match value {
        serde_json::Value::String(text) => *text = ATTACK.into(),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|v| attack(v, kept)),
        serde_json::Value::Object(fields) => {
            let fields = fields
                .iter_mut()
                .filter(|(name, _)| !kept.contains(&name.as_str()));
            fields.for_each(|(_, v)| attack(v, kept));
        }
        _ => {}
    }
}

const KEPT: [&str; 40] = [
    "answer",
    "policy",
    "state",
    "kind",
    "method",
    "author",
    "outcome",
    "key",
    "at",
    "since",
    "until",
    "opened",
    "changed",
    "closed",
    "next_at",
    "retry_at",
    "answer_by",
    "decision_by",
    "listing_ends",
    "not_before",
    "begun",
    "ended",
    "release",
    "next_try",
    "code_expires",
    "everywhere_at",
    "arrived",
    "sent",
    "available_at",
    "from",
    "to",
    "row",
    "securable",
    "confidence",
    "part",
    "product",
    "id",
    "standing",
    "ticket_kind",
    "",
];

/// A value whose texts are all those of an attacker.
fn attacked<T: serde::Serialize + serde::de::DeserializeOwned>(example: &T) -> T {
    let mut value = serde_json::to_value(example).unwrap();
    attack(&mut value, &KEPT);
    serde_json::from_value(value).unwrap()
}

/// Renders a page as it is sent.
fn sent(template: &impl Template) -> String {
    super::context::visible(template.render().unwrap())
}

fn assert_harmless(html: &str) {
    assert!(
        !html.contains("<script>") && !html.contains("<img src=x"),
        "{html}"
    );
    for hidden in ["\u{202e}", "\u{1b}"] {
        assert!(!html.contains(hidden), "{hidden:?}");
    }
    for tag in html.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        assert!(
            !tag.contains("onerror") || tag.contains("&#34;") || tag.contains("%3C"),
            "{tag}"
        );
    }
}

#[test]
fn texts_of_strangers_stay_texts_on_look_up_pages() {
    for (name, example) in example_lookups::all() {
        let r: LookupResponse = attacked(&example);
        let page = page();
        let (error, pasted) = (true, ATTACK);
        let html = LookupPage {
            page: &page,
            r: &r,
            error,
            pasted,
        };
        let response = page.render(&html);
        assert_eq!(response.status(), StatusCode::OK, "{name}");
        assert_harmless(&sent(&html));
    }
}

#[test]
fn texts_of_strangers_stay_texts_on_ticket_pages() {
    for (_, example) in example_tickets::all() {
        let t: TicketResponse = attacked(&example);
        let page = page();
        let html = TicketPage {
            page: &page,
            t: &t,
            problem: None,
        };
        assert_harmless(&sent(&html));
    }
}

#[test]
fn what_was_entered_stays_text_beside_the_field_of_a_refused_form() {
    let mut t: TicketResponse = attacked(&example_tickets::review(TicketState::Review));
    t.contact = None;
    let page = page();
    for field in ["message", "contact", ""] {
        let html = sent(&TicketPage {
            page: &page,
            t: &t,
            problem: Some(FormProblem {
                field,
                value: format!("entered {ATTACK}"),
                title: "error-too-many",
                detail: format!("refused {ATTACK}"),
                retry_after: Some(40),
            }),
        });
        assert_harmless(&html);
        assert!(
            html.contains("refused &#34;&#39;&#62;&#60;script"),
            "{html}"
        );
        // A button has no text.
        let kept = html.contains("entered &#34;&#39;&#62;&#60;script");
        assert_eq!(kept, !field.is_empty(), "{field}: {html}");
    }
}

#[test]
fn texts_of_strangers_stay_texts_on_pages_of_proofs_and_removals() {
    let page = &page();
    for own in [false, true] {
        let r = &attacked(&example_lookups::proof(own));
        assert_harmless(&sent(&EvidencePage { page, r }));
    }
    for listed_again in [false, true] {
        let r = &attacked(&example_tickets::released(listed_again));
        assert_harmless(&sent(&ReleasedPage { page, r }));
    }
    for name in ["confirm-control", "confirm-contact", "confirm-done"] {
        let r = &attacked(&example_tickets::confirmation(name));
        let path = &format!("/confirm/{ATTACK}");
        assert_harmless(&sent(&ConfirmPage { page, r, path }));
    }
    let commands = &[ATTACK.to_string()];
    assert_harmless(&sent(&ProvePage { page, commands }));
}

#[test]
fn lists_of_others_are_linked_only_by_http() {
    let mut r = example_lookups::all().remove(4).1;
    for (_, example) in example_lookups::all() {
        if example.answer == LookupAnswer::OtherList {
            r = example;
        }
    }
    r.other_lists[0].lookup_url = Some("javascript:alert(1)".into());
    let page = page();
    let (error, pasted) = (false, "");
    let html = LookupPage {
        page: &page,
        r: &r,
        error,
        pasted,
    };
    assert!(!html.render().unwrap().contains("javascript:"));
}

#[test]
fn homograph_is_shown_as_the_name_in_dns() {
    let subject = Subject::parse("\u{430}pple.com", HostBits::Refuse).unwrap();
    assert_eq!(subject.to_string(), "xn--pple-43d.com");
}
