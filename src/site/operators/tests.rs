//! Tests of the pages for operators, rendered from values, and of their credentials.

use askama::Template;

use super::{pages::MatrixRow, *};
use crate::{
    api::{
        AloneEntryResponse, ComparisonCounts, ComparisonFileResponse, CoverageResponse,
        PairOverlapResponse, PairSideResponse, SampleGroupResponse, SourceOverlapResponse,
        Timestamp,
    },
    model::Time,
    site::example_comparisons,
};

/// What an entry of another list could have.
const ATTACK: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u{202e}";

fn page() -> PageContext {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, "text/html".parse().unwrap());
    let uri = "/v1/comparisons".parse().unwrap();
    PageContext::new(Arc::new(SiteSettings::default()), &uri, &headers)
}

fn authorization(value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, value.parse().unwrap());
    headers
}

#[test]
fn credentials_are_a_user_name_and_a_token() {
    let basic = |text: &str| format!("Basic {}", BASE64.encode(text.as_bytes()));
    let read = |value: &str| Credentials::read(&authorization(value));
    let value = basic("olaf:orbsd_a_b:c");
    for value in [value.clone(), value.replace("Basic", "bAsIc")] {
        let expected = Credentials {
            user: "olaf".into(),
            token: "orbsd_a_b:c".into(),
        };
        assert_eq!(read(&value), Some(expected));
    }
    for other in [
        "Bearer orbsd_a_b",
        "Basic ?",
        "Basic",
        &basic("no-colon"),
        "Basic /w==",
    ] {
        assert_eq!(read(other), None, "{other}");
    }
    assert_eq!(Credentials::read(&HeaderMap::new()), None);
}

#[test]
fn only_reads_of_clients_that_prefer_html_have_pages() {
    let name = "/v1/comparisons/{name}";
    assert_eq!(
        Resource::of(&Method::GET, name, true),
        Some(Resource::Comparison)
    );
    assert_eq!(
        Resource::of(&Method::HEAD, "/v1/overlap", true),
        Some(Resource::Overlap)
    );
    assert_eq!(Resource::of(&Method::GET, name, false), None);
    for method in [
        Method::POST,
        Method::DELETE,
        Method::PATCH,
        Method::PUT,
        Method::OPTIONS,
    ] {
        for path in ["/v1/comparisons", name, "/v1/overlap"] {
            assert_eq!(Resource::of(&method, path, true), None, "{method} {path}");
        }
    }
    for path in ["/v1/listings", "/v1/tokens", "/v1/audit", "/docs/", ""] {
        assert_eq!(Resource::of(&Method::GET, path, true), None, "{path}");
    }
}

/// A comparison whose texts are all those of an attacker.
fn attacked() -> ComparisonResponse {
    ComparisonResponse {
        name: ATTACK.into(),
        title: ATTACK.into(),
        url: Some(ATTACK.into()),
        with: Some(ATTACK.into()),
        zone: ATTACK.into(),
        errors: 1,
        problems: vec![ATTACK.into()],
        left_out: 1,
        total: ComparisonCounts {
            theirs: 1,
            ..ComparisonCounts::default()
        },
        names: ComparisonCounts {
            theirs: 1,
            ..ComparisonCounts::default()
        },
        ipv4_addresses: CoverageResponse {
            theirs: ATTACK.into(),
            ..CoverageResponse::default()
        },
        samples: vec![SampleGroupResponse {
            group: ATTACK.into(),
            entries: 1,
            samples: vec![ATTACK.into()],
        }],
        files: vec![ComparisonFileResponse {
            file: ATTACK.into(),
            entries: 1,
        }],
        ..ComparisonResponse::default()
    }
}

fn assert_harmless(html: &str) {
    assert!(
        html.contains("&#60;script&#62;"),
        "the texts are shown: {html}"
    );
    assert!(
        !html.contains("<script") && !html.contains("<img src=x"),
        "{html}"
    );
    assert!(
        !html.contains("javascript:") && !html.contains(" style="),
        "{html}"
    );
}

#[test]
fn entries_of_another_list_stay_texts_and_pages_have_no_scripts() {
    let (page, c) = (&page(), &attacked());
    let comparisons = std::slice::from_ref(c);
    assert_harmless(
        &OperatorComparisonsPage { page, comparisons }
            .render()
            .unwrap(),
    );
    assert_harmless(&ComparisonPage { page, c }.render().unwrap());
    let mut overlap = overlap();
    overlap.sources[0].source = ATTACK.into();
    overlap.sources[0].oldest_alone = Some(AloneEntryResponse {
        subject: ATTACK.into(),
        dropped_by: Some(ATTACK.into()),
        ..AloneEntryResponse::default()
    });
    overlap.pairs[0].sides[0].source = ATTACK.into();
    assert_harmless(
        &OverlapPage {
            page,
            overlap: &overlap,
        }
        .render()
        .unwrap(),
    );
}

#[test]
fn page_has_what_the_json_has() {
    let page = page();
    let at = Timestamp(Time(1_700_000_000));
    for c in &example_comparisons::all(at) {
        let c = &ComparisonResponse {
            samples: vec![SampleGroupResponse {
                group: "45.0.0.0/8".into(),
                entries: 4711,
                samples: vec!["45.52.1.1".into()],
            }],
            left_out: 815,
            ..c.clone()
        };
        let html = ComparisonPage { page: &page, c }.render().unwrap();
        let numbers = [c.total.theirs, c.total.ours, c.total.only_theirs, 4711, 815];
        let numbers = numbers.map(|n| page.number(n));
        let texts = [c.title.as_str(), "45.0.0.0/8", "45.52.1.1"];
        let files = c
            .files
            .iter()
            .map(|f| format!("href=\"/v1/comparisons/{}/{}\"", c.name, f.file));
        for part in numbers
            .into_iter()
            .chain(texts.map(String::from))
            .chain(files)
        {
            assert!(html.contains(&part), "{part}: {html}");
        }
        assert_eq!(html.matches("<h1").count(), 1);
    }
}

#[test]
fn command_to_copy_has_no_word_that_a_shell_reads_otherwise() {
    let page = page();
    let command = |with: Option<&str>| {
        let c = ComparisonResponse {
            name: "rss".into(),
            zone: "bl.example".into(),
            with: with.map(Into::into),
            ..ComparisonResponse::default()
        };
        ComparisonPage { page: &page, c: &c }.command()
    };
    for (with, word) in [
        (Some("lists/rss.txt.gz"), "lists/rss.txt.gz"),
        (
            Some("axfr:192.0.2.53/rss.example"),
            "axfr:192.0.2.53/rss.example",
        ),
        (Some("a; reboot"), "FILE"),
        (Some("$(id)"), "FILE"),
        (Some("-"), "FILE"),
        (Some("--overlap"), "FILE"),
        (Some("a\nb"), "FILE"),
        (Some(""), "FILE"),
        (None, "FILE"),
    ] {
        let expected = format!("orbsd compare --with {word} --zone bl.example --name rss");
        assert_eq!(command(with), expected);
    }
}

/// Two sources with a common entry.
fn overlap() -> OverlapResponse {
    let source = |source: &str, entries| SourceOverlapResponse {
        source: source.into(),
        entries,
        alone: entries - 1,
        ..SourceOverlapResponse::default()
    };
    let side = |source: &str, only, first, median_lead| PairSideResponse {
        source: source.into(),
        only,
        first,
        median_lead,
    };
    OverlapResponse {
        sources: vec![source("alpha", 4), source("beta", 8)],
        pairs: vec![PairOverlapResponse {
            both: 1,
            same_time: 0,
            sides: [side("alpha", 3, 1, Some(3600)), side("beta", 7, 0, None)],
        }],
    }
}

#[test]
fn matrix_has_common_entries_and_shares_of_the_source_of_the_row() {
    let (page, overlap) = (&page(), &overlap());
    let shown = OverlapPage { page, overlap };
    let row = |source, cells: [&str; 2]| MatrixRow {
        source,
        cells: cells.map(String::from).into(),
    };
    let expected = [
        row("alpha", ["4 (100.0 %)", "1 (25.0 %)"]),
        row("beta", ["1 (12.5 %)", "8 (100.0 %)"]),
    ];
    assert_eq!(shown.matrix(), expected);
    let html = shown.render().unwrap();
    for part in [
        "alpha and beta",
        "alpha: 1 times first, by a median of 1 hour",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
}

#[test]
fn page_without_sources_says_so() {
    let (page, overlap) = (&page(), &OverlapResponse::default());
    let html = OverlapPage { page, overlap }.render().unwrap();
    assert!(html.contains("No source has entries."), "{html}");
}
