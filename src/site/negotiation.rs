//! Which form of a page the client prefers: HTML or JSON.

use axum::http::{HeaderMap, header};

/// Whether the client prefers HTML to JSON (RFC 9110 section 12.5.1): it names HTML with a weight
/// above that of JSON and not below that of other types. A client that accepts everything gets
/// JSON.
pub(super) fn prefers_html(headers: &HeaderMap) -> bool {
    let (mut html, mut json, mut any) = (0.0f32, 0.0f32, 0.0f32);
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|p| p.strip_prefix("q="));
            let weight = weight.map_or(1.0, |w| w.parse().unwrap_or(0.0));
            let best = match kind.as_str() {
                "text/html" | "application/xhtml+xml" | "text/*" => &mut html,
                "application/json" | "application/problem+json" => &mut json,
                "*/*" => &mut any,
                _ => continue,
            };
            *best = best.max(weight);
        }
    }
    html > json && html >= any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_sent_to_clients_that_prefer_it() {
        for (accept, expected) in [
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                true,
            ),
            ("text/html, */*", true),
            ("text/*;q=0.5", true),
            ("text/html;q=0.9, application/json", false),
            ("application/json, text/html", false),
            ("application/json;q=0.5, text/html", true),
            ("text/html;q=0", false),
            ("text/html;q=0.5, */*", false),
            ("*/*", false),
            ("application/json", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(prefers_html(&headers), expected, "{accept}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }
}
