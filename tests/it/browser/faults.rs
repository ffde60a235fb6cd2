//! The checks themselves: each finds the fault of a page that was made for it.

use std::{
    io::{Read, Write},
    net::TcpListener,
};

use super::{driver::browse, pages};

const GOOD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Look-up</title>
<link rel="icon" href="data:,">
<style>
html { color-scheme: light dark; background: Canvas } body { font: 1rem/1.5 sans-serif }
textarea, button, summary { min-height: 44px; border: 1px solid; max-width: 100%; box-sizing: border-box; display: block }
:focus-visible { outline: 3px solid Highlight }
@media print { button, textarea { display: none } }
</style>
</head>
<body>
<main>
<h1>Look up</h1>
<form method="post" action="/lookup">
<label for="text">Address</label>
<textarea id="text" name="text"></textarea>
<button type="submit">Look up</button>
</form>
<p>See <a href="/policy">the policy</a> of the list.</p>
</main>
</body>
</html>
"#;

/// A change of the good page, and a word of what has to be found.
const FAULTS: [(&str, &str, &str); 14] = [
    (
        "</main>",
        "<button type=\"button\"><b></b></button></main>",
        "axe button-name",
    ),
    ("<label for=\"text\">", "<label for=\"other\">", "axe label"),
    (
        "</style>",
        "p { color: #ccc }</style>",
        "axe color-contrast",
    ),
    (
        "</style>",
        "@media (prefers-color-scheme: dark) { p { color: #444 } }</style>",
        "dark: axe color-contrast",
    ),
    (
        "</style>",
        ":focus-visible { outline: none }</style>",
        "focus is not visible",
    ),
    ("</style>", "h1 { width: 500px }</style>", "400 %: page of"),
    (
        "</style>",
        "button { min-height: 10px !important; height: 15px; padding: 0 }</style>",
        "target of",
    ),
    (
        "</style>",
        "button { border: 0 }</style>",
        "without a border in forced colours",
    ),
    ("<button", "<button tabindex=\"3\"", "the order of focus"),
    (
        "<textarea",
        "<textarea aria-invalid=\"true\"",
        "no error text belongs to",
    ),
    ("<h1>", "<h2>One</h2><h1>", "heading of level 2 after none"),
    (
        "</main>",
        "<script>thisFunctionIsMissing()</script></main>",
        "console: ",
    ),
    (
        "</style>",
        "h1 { height: 1.2em; width: 4em; overflow: hidden; white-space: nowrap; font-size: 1em }</style>",
        "cut off with wide spacing",
    ),
    (
        "</style>",
        "@media print { button { display: block } }</style>",
        "printed control",
    ),
];

/// Answers every request with a page, chosen by the number that is its path.
pub fn serve(pages: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let n = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..n]).into_owned();
            let number = request
                .split(['/', ' '])
                .nth(2)
                .and_then(|n| n.parse::<usize>().ok());
            let page = number.and_then(|n| pages.get(n)).map_or("", String::as_str);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{page}",
                page.len()
            );
        }
    });
    base
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn checks_find_the_faults_of_pages() {
    let faulty = FAULTS.map(|(old, new, _)| {
        assert!(GOOD.contains(old), "{old}");
        GOOD.replacen(old, new, 1)
    });
    let base = serve([GOOD.to_string()].into_iter().chain(faulty).collect());
    browse(&base, async |browser| {
        browser.open("/0").await;
        let found = pages::all(browser).await;
        assert!(found.is_empty(), "{found:#?}");
        for (n, (_, change, expected)) in FAULTS.iter().enumerate() {
            browser.open(&format!("/{}", n + 1)).await;
            let found = pages::all(browser).await;
            assert!(
                found.iter().any(|f| f.contains(expected)),
                "{change} is not found: {found:#?}"
            );
        }
    });
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn invalid_html_is_found() {
    let bad = GOOD.replacen("<h1>", "<h1><p>", 1);
    let found = pages::html(&[("good".into(), GOOD.into())]);
    assert!(found.is_empty(), "{found:#?}");
    assert!(!pages::html(&[("bad".into(), bad)]).is_empty());
}
