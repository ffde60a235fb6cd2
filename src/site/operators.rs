//! Pages for operators, on the listener of the API: the comparisons of lists, for a browser.
//!
//! A page is the response of the API in another form: this layer sends the request to the API, and
//! renders the JSON that it returns. So the API authenticates the client, checks the role and the
//! limits, and a page never has more than the JSON. A browser sends a user name and a token by HTTP
//! Basic authentication. Only requests for these pages may: a browser adds such credentials to
//! requests that another site makes it send, and those for pages change nothing.

mod pages;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Router,
    body::to_bytes,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use data_encoding::BASE64;
use serde::de::DeserializeOwned;

use super::{assets, context::PageContext, frame::keep_headers, settings::SiteSettings};
use crate::{
    api::{ComparisonResponse, OverlapResponse, Page, ProblemCode, ProblemDetails},
    http::{self, App},
    texts::Language,
};
use pages::{ComparisonPage, OperatorComparisonsPage, OverlapPage, error_page};

/// The content that a page may load: the style sheet and the icon of this server. Pages have no
/// forms and no scripts.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
/// How a browser is asked for a user name and a token (RFC 7617).
const CHALLENGE: &str = "Basic realm=\"orbsd\", charset=\"UTF-8\"";
/// The longest JSON of which a page is made, in bytes.
const MAX_JSON_BYTES: usize = 64 << 20;

/// The state of the layer.
#[derive(Clone)]
struct OperatorState {
    app: App,
    settings: Arc<SiteSettings>,
}

/// The router of `[admin] listen`: the API, with pages for browsers.
pub fn admin_router(app: App, settings: Arc<SiteSettings>) -> Router {
    let state = OperatorState {
        app: app.clone(),
        settings,
    };
    http::router(app)
        .layer(middleware::from_fn_with_state(state, serve_pages))
        .route("/assets/{file}", get(assets::get_asset))
}

/// A resource of the API that has a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resource {
    Comparisons,
    Comparison,
    /// A text file, which is sent as it is.
    File,
    Overlap,
}

impl Resource {
    /// The resource whose page a request asks for.
    fn of(method: &Method, path: &str, is_html: bool) -> Option<Resource> {
        if !is_html || ![Method::GET, Method::HEAD].contains(method) {
            return None;
        }
        match path {
            "/v1/comparisons" => Some(Resource::Comparisons),
            "/v1/comparisons/{name}" => Some(Resource::Comparison),
            "/v1/comparisons/{name}/{file}" => Some(Resource::File),
            "/v1/overlap" => Some(Resource::Overlap),
            _ => None,
        }
    }
}

/// A user name and a token, as a browser sends them.
#[derive(Debug, PartialEq, Eq)]
struct Credentials {
    user: String,
    token: String,
}

impl Credentials {
    /// Reads the credentials of a request (RFC 7617).
    fn read(headers: &HeaderMap) -> Option<Credentials> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, encoded) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let text = BASE64.decode(encoded.trim().as_bytes()).ok()?;
        let text = String::from_utf8(text).ok()?;
        let (user, token) = text.split_once(':')?;
        Some(Credentials {
            user: user.into(),
            token: token.into(),
        })
    }

    /// Replaces the credentials of a request by the token, as programs send it.
    fn replace(self, app: &App, headers: &mut HeaderMap) -> Result<(), ProblemDetails> {
        let owner = http::access::token_owner(app, &self.token);
        if owner.is_some_and(|owner| owner != self.user) {
            return Err(ProblemDetails::new(
                ProblemCode::Unauthorized,
                "the user name is not that of the owner of the token; `orbsd token list` shows it",
            ));
        }
        let value = HeaderValue::try_from(format!("Bearer {}", self.token));
        let mut value = value.map_err(|_| {
            ProblemDetails::new(ProblemCode::Unauthorized, "the password is not a token")
        })?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
        Ok(())
    }
}

/// Serves the page of a resource to a client that prefers HTML, and sends all other requests to the
/// API as they are.
async fn serve_pages(
    State(state): State<OperatorState>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let mut page = PageContext::new(state.settings, request.uri(), request.headers());
    let path = path.as_ref().map_or("", |p| p.as_str());
    let Some(resource) = Resource::of(request.method(), path, page.html) else {
        return next.run(request).await;
    };
    page.language = Language::En;
    page.now = state.app.ledger.now();
    // The router removes the body of the response to HEAD.
    *request.method_mut() = Method::GET;
    let replaced = match Credentials::read(request.headers()) {
        Some(_) if is_loaded_elsewhere(request.headers()) => Err(ProblemDetails::forbidden(
            "a page of another site loads this page; open it by itself",
        )),
        Some(credentials) => credentials.replace(&state.app, request.headers_mut()),
        None => Ok(()),
    };
    let mut response = match replaced {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    if response.status() == StatusCode::OK && resource != Resource::File {
        let (parts, body) = response.into_parts();
        let json = to_bytes(body, MAX_JSON_BYTES).await;
        response = match json.map_err(ProblemDetails::internal) {
            Ok(json) => render(&page, resource, &json).unwrap_or_else(IntoResponse::into_response),
            Err(problem) => problem.into_response(),
        };
        keep_headers(&parts.headers, &mut response);
    }
    if let Some(problem) = response.extensions_mut().remove::<ProblemDetails>() {
        let mut shown = error_page(&page, &problem);
        keep_headers(response.headers(), &mut shown);
        if shown.status() == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static(CHALLENGE);
            shown
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        response = shown;
    }
    add_headers(response.headers_mut());
    response
}

/// Whether a page or a script of another site loads a page; a link to it is followed.
fn is_loaded_elsewhere(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    matches!(text("sec-fetch-site"), Some("cross-site" | "same-site"))
        && text("sec-fetch-dest") != Some("document")
}

/// Renders the page of a resource from the JSON of the API.
fn render(page: &PageContext, resource: Resource, json: &[u8]) -> Result<Response, ProblemDetails> {
    match resource {
        Resource::Comparisons => {
            let all: Page<ComparisonResponse> = read(json)?;
            let comparisons = &all.items;
            Ok(page.render(&OperatorComparisonsPage { page, comparisons }))
        }
        Resource::Comparison | Resource::File => {
            let c = &read(json)?;
            Ok(page.render(&ComparisonPage { page, c }))
        }
        Resource::Overlap => {
            let overlap: &OverlapResponse = &read(json)?;
            Ok(page.render(&OverlapPage { page, overlap }))
        }
    }
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, ProblemDetails> {
    serde_json::from_slice(json).map_err(ProblemDetails::internal)
}

fn add_headers(headers: &mut HeaderMap) {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::VARY, "Accept, Authorization"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
