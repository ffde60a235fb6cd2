//! Content negotiation and conditional requests: `Accept-Encoding` and `If-None-Match`.

use axum::http::{HeaderMap, header};

/// Whether the client accepts gzip: it names gzip, or everything, with a weight above zero (RFC
/// 9110 section 12.5.3).
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = None;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for element in value.to_str().unwrap_or("").split(',') {
            let mut parts = element.split(';').map(str::trim);
            let coding = parts.next().unwrap_or("");
            let weight = parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")));
            let accepted = weight.is_none_or(|q| q.trim().parse().is_ok_and(|q: f32| q > 0.0));
            match coding.to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => return accepted,
                "*" => any = Some(accepted),
                _ => {}
            }
        }
    }
    any.unwrap_or(false)
}

/// Whether the client has the content of this entity tag (RFC 9110 section 13.1.2: a weak
/// comparison).
pub(super) fn has_current(headers: &HeaderMap, tag: &str) -> bool {
    let has = |value: &str| {
        value.trim() == "*"
            || value
                .split(',')
                .any(|t| t.trim().trim_start_matches("W/") == tag)
    };
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .any(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_only_to_clients_that_accept_it() {
        let accepts = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            values
                .iter()
                .for_each(|v| _ = headers.append(header::ACCEPT_ENCODING, v.parse().unwrap()));
            accepts_gzip(&headers)
        };
        for yes in [
            &["gzip"][..],
            &["br, GZIP;q=0.5"],
            &["*"],
            &["identity;q=0, *;q=0.1"],
            &["br", "gzip"],
            &["gzip ; q=1"],
        ] {
            assert!(accepts(yes), "{yes:?}");
        }
        for no in [
            &[][..],
            &[""],
            &["identity"],
            &["gzip;q=0"],
            &["gzip;q=0.0"],
            &["gzip; q=0.000, *"],
            &["*;q=0"],
            &["gzip;q=x"],
            &["notgzip"],
        ] {
            assert!(!accepts(no), "{no:?}");
        }
    }

    #[test]
    fn entity_tags_are_compared_weakly() {
        let has = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, value.parse().unwrap());
            has_current(&headers, "\"a\"")
        };
        assert!(has("\"a\"") && has("W/\"a\"") && has("\"b\", \"a\"") && has("*"));
        assert!(!has("\"b\"") && !has("a") && !has(""));
    }
}
