//! What all requests to the site have in common: forged requests are refused, errors become pages,
//! and every response has the headers that protect it.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{context::PageContext, errors::error_page, settings::SiteSettings};
use crate::api::{ProblemCode, ProblemDetails};

/// The content that a page may load, and where its forms may go: this site alone.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The longest path, in bytes: a domain of 253 bytes, percent-encoded.
const MAX_PATH_BYTES: usize = 1024;
/// The longest query, in bytes.
const MAX_QUERY_BYTES: usize = 2048;

/// Admits a request, and completes its response.
pub(super) async fn frame(
    State(settings): State<Arc<SiteSettings>>,
    request: Request,
    next: Next,
) -> Response {
    let page = PageContext::new(settings, request.uri(), request.headers());
    let mut response = match admit(&page.settings, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    if page.html
        && let Some(problem) = response.extensions_mut().remove::<ProblemDetails>()
    {
        let mut shown = error_page(&page, &problem);
        keep_headers(response.headers(), &mut shown);
        response = shown;
    }
    add_headers(response.headers_mut());
    response
}

/// Keeps the headers of a response, such as `Allow` and `Retry-After`, in the one that replaces it.
pub(super) fn keep_headers(headers: &HeaderMap, response: &mut Response) {
    for (name, value) in headers {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            response.headers_mut().insert(name, value.clone());
        }
    }
}

fn add_headers(headers: &mut HeaderMap) {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::VARY, "Accept, Accept-Language"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        let value = HeaderValue::from_static("no-store");
        headers.insert(header::CACHE_CONTROL, value);
        let value = HeaderValue::from_static("noindex");
        headers.insert(HeaderName::from_static("x-robots-tag"), value);
    }
}

fn admit(settings: &SiteSettings, request: &Request) -> Result<(), ProblemDetails> {
    let uri = request.uri();
    check_path(uri.path())?;
    if uri.query().is_some_and(|q| q.len() > MAX_QUERY_BYTES) {
        return Err(ProblemDetails::new(
            ProblemCode::ContentTooLarge,
            format!("the query is longer than {MAX_QUERY_BYTES} bytes"),
        ));
    }
    match *request.method() {
        Method::GET | Method::HEAD | Method::OPTIONS => Ok(()),
        _ if is_own_request(settings, uri.path(), request.headers()) => Ok(()),
        _ => Err(ProblemDetails::forbidden(
            "the request comes from a page of another site; open the page here and send it again",
        )),
    }
}

/// Refuses a path that a proxy or a browser may read as another one: empty segments, dots,
/// backslashes, and encoded slashes and control characters.
fn check_path(path: &str) -> Result<(), ProblemDetails> {
    let decoded = percent_encoding::percent_decode_str(path).collect::<Vec<u8>>();
    let segments = path.split('/').count() == decoded.split(|b| *b == b'/').count();
    let dots = decoded
        .split(|b| *b == b'/')
        .any(|s| s == b"." || s == b"..");
    let bytes = decoded.iter().any(|b| b.is_ascii_control() || *b == b'\\');
    let empty = path.contains("//");
    if path.len() > MAX_PATH_BYTES || !segments || dots || bytes || empty {
        return Err(ProblemDetails::not_found("nothing is served at this path"));
    }
    Ok(())
}

/// Whether a request that may change state comes from a page of this site, or from a program.
///
/// Browsers send `Sec-Fetch-Site` to HTTPS sites. Because of `Referrer-Policy: no-referrer`, the
/// forms of this site have `Origin: null` like many forged ones; so without `Sec-Fetch-Site` this
/// origin is accepted only by a site over plain HTTP.
fn is_own_request(settings: &SiteSettings, path: &str, headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let site = text(HeaderName::from_static("sec-fetch-site"));
    let origin = text(header::ORIGIN);
    // A proof of control comes from a program on the server. A browser there may belong to anybody
    // whose traffic the address forwards.
    if path.starts_with("/prove/") && (site.is_some() || origin.is_some()) {
        return false;
    }
    match (site, origin) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, None) => true,
        (None, Some("null")) => !settings.is_https(),
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some() && (host == text(header::HOST) || host == Some(settings.host()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_own(base_url: &str, path: &str, headers: &[(&'static str, &str)]) -> bool {
        let settings = SiteSettings {
            base_url: base_url.into(),
            ..SiteSettings::default()
        };
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        is_own_request(&settings, path, &headers)
    }

    #[test]
    fn posts_from_pages_of_other_sites_are_refused() {
        let https = "https://list.example";
        let host = ("host", "list.example");
        for (headers, expected) in [
            (&[host][..], true),
            (&[host, ("origin", "https://list.example")], true),
            (&[host, ("origin", "https://evil.example")], false),
            (
                &[host, ("origin", "https://list.example.evil.example")],
                false,
            ),
            (&[host, ("origin", "null")], false),
            (
                &[host, ("origin", "null"), ("sec-fetch-site", "same-origin")],
                true,
            ),
            (
                &[host, ("origin", "null"), ("sec-fetch-site", "cross-site")],
                false,
            ),
            (&[host, ("sec-fetch-site", "same-site")], false),
            (
                &[
                    host,
                    ("origin", "https://list.example"),
                    ("sec-fetch-site", "cross-site"),
                ],
                false,
            ),
            (&[host, ("sec-fetch-site", "none")], true),
        ] {
            assert_eq!(is_own(https, "/tickets", headers), expected, "{headers:?}");
        }
        assert!(is_own(
            "http://192.0.2.9:8054",
            "/tickets",
            &[("origin", "null")]
        ));
    }

    #[test]
    fn proof_from_a_browser_is_refused() {
        let https = "https://list.example";
        assert!(is_own(https, "/prove/abc", &[]));
        for header in [
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://list.example"),
        ] {
            assert!(!is_own(https, "/prove/abc", &[header]));
        }
    }

    #[test]
    fn path_that_can_be_read_as_another_one_is_not_found() {
        for path in [
            "//evil.example",
            "/192.0.2.1//24",
            "/192.0.2.0%2F24",
            "/192.0.2.0%2f24",
            "/../etc/passwd",
            "/%2e%2e/etc/passwd",
            "/assets/%2e%2e",
            "/a%5cb",
            "/a%00b",
            "/a%0d%0aSet-Cookie:x",
            &format!("/{}", "a".repeat(2000)),
        ] {
            assert!(check_path(path).is_err(), "{path}");
        }
        for path in [
            "/",
            "/192.0.2.1",
            "/2001:db8::/32",
            "/*.example.com",
            "/%2a.example.com",
        ] {
            assert!(check_path(path).is_ok(), "{path}");
        }
    }
}
