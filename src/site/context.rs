//! What the handler and the template of each page have: the client's preferences, texts, times and
//! links.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use askama::Template;
use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{
    assets, dates,
    markup::{IntoTextArgument, Markup, TextArgument, escape, is_hidden},
    negotiation::prefers_html,
    settings::SiteSettings,
    state::{Banner, SiteState},
};
use crate::{
    api::{ProblemDetails, Timestamp},
    http::ClientAddress,
    model::Time,
    texts::{FluentValue, Language, text},
};

/// The first of the characters that stand for HTML while a text is escaped. They belong to a
/// private use area, and are removed from texts of others.
const FIRST_PLACEHOLDER: u32 = 0xf_0000;

/// The pages that the footer of each page links to, with the keys of their titles.
const FOOTER: [(&str, &str); 16] = [
    ("/", "footer-home"),
    ("/zones", "footer-lists"),
    ("/policy", "footer-policy"),
    ("/open-relay", "footer-open-relay"),
    ("/advice", "footer-advice"),
    ("/test", "footer-test"),
    ("/tests", "footer-tests"),
    ("/opt-out", "footer-opt-out"),
    ("/netblocks", "footer-netblocks"),
    ("/providers", "footer-providers"),
    ("/links", "footer-links"),
    ("/notices", "footer-notices"),
    ("/status", "footer-status"),
    ("/survey", "footer-survey"),
    ("/compare", "footer-compare"),
    ("/privacy", "footer-privacy"),
];

/// The preferences of a client, and what templates need.
#[derive(Debug, Clone)]
pub struct PageContext {
    /// What the operator says about the site.
    pub settings: Arc<SiteSettings>,
    /// The language of the page.
    pub language: Language,
    /// Whether the client prefers HTML to JSON.
    pub html: bool,
    /// The address of the client; `None` at the socket.
    pub client: Option<IpAddr>,
    /// The present time.
    pub now: Time,
    /// The notices of the operators that are in force.
    pub banners: Vec<Banner>,
    /// The pasted text that the page answers; the switch of the language sends it again.
    pub pasted: Option<String>,
    /// Whether the URL chooses the language, so that links keep it.
    chosen: bool,
    /// The path and query of the page without its language.
    location: String,
}

impl FromRequestParts<SiteState> for PageContext {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &SiteState,
    ) -> Result<PageContext, Infallible> {
        let Ok(ClientAddress(client)) = ClientAddress::from_request_parts(parts, state).await;
        let mut page = PageContext::new(state.settings.clone(), &parts.uri, &parts.headers);
        page.client = client;
        page.now = state.app.ledger.now();
        page.banners = (state.banners)();
        Ok(page)
    }
}

impl PageContext {
    /// The context of a request, without the client's address and the present time.
    pub fn new(settings: Arc<SiteSettings>, uri: &Uri, headers: &HeaderMap) -> PageContext {
        let (chosen, location) = split_language(uri);
        let chosen = chosen.filter(|l| settings.languages.contains(l));
        let header = headers.get(header::ACCEPT_LANGUAGE);
        let header = header.and_then(|v| v.to_str().ok()).unwrap_or_default();
        let language = chosen.unwrap_or_else(|| Language::choose(header, &settings.languages));
        PageContext {
            settings,
            language,
            html: prefers_html(headers),
            client: None,
            now: Time(0),
            banners: Vec::new(),
            pasted: None,
            chosen: chosen.is_some(),
            location,
        }
    }

    /// The context of a page that is shown in answer to a request for another path: links to the
    /// page itself lead to `path`.
    pub fn at(&self, path: &str) -> PageContext {
        PageContext {
            location: path.into(),
            ..self.clone()
        }
    }

    /// Responds with a page that search engines do not index and caches do not store.
    pub fn render(&self, template: &impl Template) -> Response {
        self.render_with_status(StatusCode::OK, template)
    }

    /// As [`PageContext::render`], with another status than 200.
    pub fn render_with_status(&self, status: StatusCode, template: &impl Template) -> Response {
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(
            header::CONTENT_LANGUAGE,
            HeaderValue::from_static(self.language.tag()),
        );
        match template.render() {
            Ok(html) => (status, headers, visible(html)).into_response(),
            Err(e) => ProblemDetails::internal(e).into_response(),
        }
    }

    /// Responds with a page that search engines may index and caches may store for a minute.
    pub fn render_indexed(&self, template: &impl Template) -> Response {
        let mut response = self.render(template);
        if response.status() == StatusCode::OK {
            let value = HeaderValue::from_static("max-age=60");
            response.headers_mut().insert(header::CACHE_CONTROL, value);
        }
        response
    }

    /// Responds with a value as JSON, or with its page if the client prefers HTML.
    pub fn respond<T: Template>(
        &self,
        value: &impl Serialize,
        template: impl FnOnce() -> T,
    ) -> Response {
        match self.html {
            true => self.render(&template()),
            false => Json(value).into_response(),
        }
    }

    /// Responds to a form with another page of the site; `path` begins with a slash.
    pub fn redirect(&self, path: &str) -> Response {
        let target = HeaderValue::from_str(&self.href(path));
        let target = target.unwrap_or(HeaderValue::from_static("/"));
        (StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response()
    }

    /// The text of a key.
    pub fn t(&self, key: impl AsRef<str>) -> Markup {
        self.text(key.as_ref(), &[])
    }

    /// The text of a key with an argument.
    pub fn t1(&self, key: &str, name: &str, value: impl IntoTextArgument) -> Markup {
        self.text(key, &[(name, value.argument())])
    }

    /// The text of a key with two arguments.
    pub fn t2(
        &self,
        key: &str,
        name: &str,
        value: impl IntoTextArgument,
        name2: &str,
        value2: impl IntoTextArgument,
    ) -> Markup {
        self.text(key, &[(name, value.argument()), (name2, value2.argument())])
    }

    /// The text of a key with three arguments.
    #[allow(clippy::too_many_arguments)] // names and values, for templates
    pub fn t3(
        &self,
        key: &str,
        name: &str,
        value: impl IntoTextArgument,
        name2: &str,
        value2: impl IntoTextArgument,
        name3: &str,
        value3: impl IntoTextArgument,
    ) -> Markup {
        let args = [
            (name, value.argument()),
            (name2, value2.argument()),
            (name3, value3.argument()),
        ];
        self.text(key, &args)
    }

    /// The text of a key with its arguments. Texts are escaped, in the translation and in the
    /// arguments; only arguments that are HTML remain HTML.
    pub fn text(&self, key: &str, args: &[(&str, TextArgument)]) -> Markup {
        let mut html = Vec::new();
        let args: Vec<_> = args
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    TextArgument::Text(text) => FluentValue::from(without_placeholders(text)),
                    TextArgument::Number(n) => FluentValue::from(*n),
                    TextArgument::Markup(markup) => {
                        html.push(markup.as_str());
                        FluentValue::from(placeholder(html.len() - 1).to_string())
                    }
                };
                (*name, value)
            })
            .collect();
        let mut out = escape(&text(self.language, key, &args));
        for (n, part) in html.iter().enumerate() {
            out = out.replace(placeholder(n), part);
        }
        Markup::trusted(out)
    }

    /// A time with its age beside it: "28 Nov, 03:12 UTC (3 hours ago)".
    pub fn time(&self, at: &Timestamp) -> Markup {
        let age = escape(&dates::age(self.language, at.0, self.now));
        Markup::trusted(format!(
            "{} <span class=\"age\">({age})</span>",
            self.when(at)
        ))
    }

    /// A time to the minute: "28 Nov, 03:12 UTC".
    pub fn when(&self, at: &Timestamp) -> Markup {
        self.time_element(at, &dates::minute(self.language, at.0, self.now))
    }

    /// A time of day to the second: "03:12:09 UTC".
    pub fn second(&self, at: &Timestamp) -> Markup {
        self.time_element(at, &dates::second(self.language, at.0))
    }

    /// A day: "28 Nov".
    pub fn day(&self, at: &Timestamp) -> Markup {
        self.time_element(at, &dates::day(self.language, at.0, self.now))
    }

    /// The age of a time: "3 hours ago".
    pub fn age(&self, at: &Timestamp) -> Markup {
        self.time_element(at, &dates::age(self.language, at.0, self.now))
    }

    fn time_element(&self, at: &Timestamp, shown: &str) -> Markup {
        let shown = escape(shown);
        Markup::trusted(format!("<time datetime=\"{at}\">{shown}</time>"))
    }

    /// A duration in words: "5 minutes".
    pub fn duration(&self, seconds: &u32) -> String {
        dates::duration(self.language, u64::from(*seconds))
    }

    /// A number as the language writes it.
    pub fn number(&self, n: impl TryInto<u64>) -> String {
        dates::number(self.language, n.try_into().unwrap_or(u64::MAX))
    }

    /// A decimal number, which is written with a point, as the language writes it.
    pub fn decimal(&self, n: &str) -> String {
        dates::decimal(self.language, n)
    }

    /// A link to a path of the site; the page keeps the language if the URL has chosen it.
    pub fn href(&self, path: &str) -> String {
        // Of two slashes at the beginning a browser makes another host.
        let path = match path.strip_prefix('/') {
            Some(rest) if !rest.starts_with(['/', '\\']) => path,
            _ => "/",
        };
        match self.chosen {
            true => with_language(path, self.language),
            false => path.into(),
        }
    }

    /// A link with a translated text, as an argument of another text.
    pub fn link(&self, path: &str, key: &str) -> Markup {
        let href = escape(&self.href(path));
        Markup::trusted(format!("<a href=\"{href}\">{}</a>", self.t(key)))
    }

    /// A text of fixed width, such as an address.
    pub fn code(&self, text: impl AsRef<str>) -> Markup {
        let text = escape(text.as_ref());
        Markup::trusted(format!("<span class=\"subject\">{text}</span>"))
    }

    /// A list of names in a sentence.
    pub fn list<T: AsRef<str>>(&self, names: impl IntoIterator<Item = T>) -> Markup {
        let separator = match self.language {
            Language::En | Language::De => ", ",
            Language::Ja => "、",
        };
        let names: Vec<_> = names
            .into_iter()
            .map(|n| self.code(n).to_string())
            .collect();
        Markup::trusted(names.join(separator))
    }

    /// A mail address, as a link if it is one.
    pub fn mail(&self, address: &str) -> Markup {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"@.-_+=".contains(&b);
        let shown = escape(address);
        match address.contains('@') && address.bytes().all(plain) {
            true => Markup::trusted(format!("<a href=\"mailto:{shown}\">{shown}</a>")),
            false => Markup::trusted(shown),
        }
    }

    /// Whether a URL of another site can be linked.
    pub fn is_web(&self, url: &str) -> bool {
        url.starts_with("https://") || url.starts_with("http://")
    }

    /// The path of a file of the site.
    pub fn asset(&self, name: &str) -> &'static str {
        assets::path(name)
    }

    /// The query of the page without its language.
    pub fn query(&self) -> Option<&str> {
        self.location.split_once('?').map(|(_, query)| query)
    }

    /// The tag of the language, if the URL has chosen it, so that forms keep it.
    pub fn chosen_language(&self) -> Option<&'static str> {
        self.chosen.then(|| self.language.tag())
    }

    /// The languages of the switch, each with its page.
    pub fn languages(&self) -> Vec<(Language, String)> {
        let all = self.settings.languages.iter();
        all.map(|l| (*l, with_language(&self.location, *l)))
            .collect()
    }

    /// The pages that the footer links to, with the keys of their titles.
    pub fn footer(&self) -> &'static [(&'static str, &'static str)] {
        &FOOTER
    }

    /// The full URL of a path of the site.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.base_url)
    }
}

/// Replaces characters of a page that are not shown, but change how other text is shown. The
/// texts of pages have none; those of strangers may.
pub(super) fn visible(html: String) -> String {
    match html.contains(is_hidden) {
        true => html.replace(is_hidden, "\u{fffd}"),
        false => html,
    }
}

fn placeholder(n: usize) -> char {
    let n = u32::try_from(n).unwrap_or_default();
    char::from_u32(FIRST_PLACEHOLDER + n).unwrap_or_default()
}

fn without_placeholders(text: &str) -> String {
    text.chars()
        .filter(|c| (*c as u32) < FIRST_PLACEHOLDER)
        .collect()
}

/// Adds the language to a path, which may have a query.
fn with_language(path: &str, language: Language) -> String {
    let (path, fragment) = match path.split_once('#') {
        Some((path, fragment)) => (path, format!("#{fragment}")),
        None => (path, String::new()),
    };
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("{path}{mark}lang={}{fragment}", language.tag())
}

/// The language that a URL chooses, and its path and query without it.
fn split_language(uri: &Uri) -> (Option<Language>, String) {
    let mut chosen = None;
    let mut rest = Vec::new();
    for part in uri.query().unwrap_or_default().split('&') {
        match part.strip_prefix("lang=") {
            Some(tag) => chosen = tag.parse().ok().or(chosen),
            None if !part.is_empty() => rest.push(part),
            None => {}
        }
    }
    let path = uri.path();
    let location = match rest.is_empty() {
        true => path.to_string(),
        false => format!("{path}?{}", rest.join("&")),
    };
    (chosen, location)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(uri: &str, accept_language: &str) -> PageContext {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, accept_language.parse().unwrap());
        PageContext::new(Arc::default(), &uri.parse().unwrap(), &headers)
    }

    #[test]
    fn language_of_the_url_wins_and_stays_in_links() {
        let page = page("/lookup?subject=192.0.2.1&lang=de", "ja");
        assert_eq!(page.language, Language::De);
        assert_eq!(page.href("/policy"), "/policy?lang=de");
        assert_eq!(page.href("/policy#codes"), "/policy?lang=de#codes");
        let switch: Vec<_> = page.languages().into_iter().map(|l| l.1).collect();
        assert_eq!(switch[2], "/lookup?subject=192.0.2.1&lang=ja");
    }

    #[test]
    fn page_that_answers_a_form_is_linked_at_its_own_path() {
        let page = page("/tickets/x/check-dns?lang=de", "ja").at("/tickets/x");
        let switch: Vec<_> = page.languages().into_iter().map(|l| l.1).collect();
        assert_eq!(switch[2], "/tickets/x?lang=ja");
        assert_eq!(page.href("/policy"), "/policy?lang=de");
    }

    #[test]
    fn language_of_the_header_is_not_added_to_links() {
        let page = page("/", "ja");
        assert_eq!(page.language, Language::Ja);
        assert_eq!(page.href("/policy"), "/policy");
        let unknown = self::page("/?lang=xx", "ja");
        assert_eq!(unknown.language, Language::Ja);
    }

    #[test]
    fn links_never_lead_to_another_host() {
        let page = page("/", "en");
        for path in [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "",
        ] {
            assert_eq!(page.href(path), "/", "{path}");
            let response = page.redirect(path);
            assert_eq!(response.headers()[header::LOCATION], "/");
        }
    }

    #[test]
    fn arguments_of_texts_are_escaped_unless_they_are_html() {
        let page = page("/", "en");
        let bold = Markup::trusted("<b>x</b>".into());
        let text = page.t1("layout-operator", "operator", "<i>\u{f0000}");
        assert!(text.as_str().contains("&lt;i&gt;") && !text.as_str().contains('\u{f0000}'));
        assert!(
            page.t1("layout-operator", "operator", &bold)
                .as_str()
                .contains("<b>x</b>")
        );
    }

    #[test]
    fn time_has_its_age_beside_it() {
        let mut page = page("/", "en");
        page.now = "2026-11-28T06:12:30Z".parse().unwrap();
        let at = Timestamp("2026-11-28T03:12:00Z".parse().unwrap());
        assert_eq!(
            page.time(&at).as_str(),
            "<time datetime=\"2026-11-28T03:12:00Z\">28 Nov, 03:12 UTC</time> <span class=\"age\">(3 hours ago)</span>"
        );
    }
}
