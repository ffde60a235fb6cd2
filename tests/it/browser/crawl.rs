//! All pages of a site, found by their links.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::pages::Findings;

/// The most pages that are fetched, so that a link that leads to ever new pages ends.
const MAX_PAGES: usize = 600;

/// A response to a browser.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub content_type: String,
    pub body: String,
    /// The path of a redirection.
    pub location: String,
}

/// Requests a path as a browser does.
pub fn get(base: &str, path: &str, language: &str) -> Response {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into();
    let mut response = agent
        .get(format!("{base}{path}"))
        .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .header("accept-language", language)
        .call()
        .unwrap_or_else(|e| panic!("{path}: {e}"));
    let header = |name: &str| {
        let value = response.headers().get(name);
        value.map_or(String::new(), |v| {
            v.to_str().unwrap_or_default().to_string()
        })
    };
    let (content_type, location) = (header("content-type"), header("location"));
    Response {
        status: response.status().as_u16(),
        content_type,
        location,
        body: response.body_mut().read_to_string().unwrap_or_default(),
    }
}

/// The values of an attribute in HTML, with the element's name.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<(&'a str, String)> {
    let start = format!(" {name}=\"");
    let mut found = Vec::new();
    for tag in html.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        let element = tag.split_ascii_whitespace().next().unwrap_or_default();
        if let Some((_, rest)) = tag.split_once(&start) {
            let value = rest.split('"').next().unwrap_or_default();
            let value = value
                .replace("&amp;", "&")
                .replace("&#38;", "&")
                .replace("&#47;", "/")
                .replace("&#x2f;", "/");
            found.push((element, value));
        }
    }
    found
}

/// The pages of a site by their paths, and the links that are broken.
pub struct Crawl {
    pub pages: BTreeMap<String, Response>,
    pub broken: Findings,
}

/// The path of a link without its language and fragment, if it leads to the site itself.
fn own_path(base: &str, page: &str, link: &str) -> Option<(String, String)> {
    let page = url::Url::parse(&format!("{base}{page}")).ok()?;
    let url = page.join(link).ok()?;
    if url.origin() != page.origin() {
        return None;
    }
    let fragment = url.fragment().unwrap_or_default().to_string();
    let query: Vec<String> = url
        .query_pairs()
        .filter(|(name, _)| name != "lang")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let query = if query.is_empty() {
        String::new()
    } else {
        // As the link has it, for a query is written in more than one way.
        format!("?{}", url.query().unwrap_or_default())
    };
    Some((format!("{}{query}", url.path()), fragment))
}

/// Follows all links from some paths on.
pub fn crawl(base: &str, start: &[String]) -> Crawl {
    let mut crawl = Crawl {
        pages: BTreeMap::new(),
        broken: Vec::new(),
    };
    let mut waiting: VecDeque<String> = start.iter().cloned().collect();
    let mut known: BTreeSet<String> = start.iter().cloned().collect();
    let mut fragments = Vec::new();
    while let Some(path) = waiting.pop_front() {
        assert!(crawl.pages.len() < MAX_PAGES, "too many pages: {path}");
        let response = get(base, &path, "en");
        let is_html = response.content_type.starts_with("text/html");
        if (300..400).contains(&response.status) {
            match own_path(base, &path, &response.location) {
                Some((to, _)) if known.insert(to.clone()) => waiting.push_back(to),
                Some(_) => {}
                None => crawl.broken.push(format!(
                    "{path} leads away from the site, to {}",
                    response.location
                )),
            }
            continue;
        }
        let body = if is_html { response.body.as_str() } else { "" };
        let links = [attributes(body, "href"), attributes(body, "src")].concat();
        for (element, link) in links {
            match own_path(base, &path, &link) {
                Some((to, fragment)) => {
                    if !fragment.is_empty() {
                        fragments.push((path.clone(), to.clone(), fragment));
                    }
                    if known.insert(to.clone()) {
                        waiting.push_back(to);
                    }
                }
                // A link to another site opens when a reader asks for it; nothing else does.
                None if element == "a" => {
                    // Some old documents are still served over plain HTTP alone.
                    let known = ["https://", "http://", "mailto:"];
                    if !known.iter().any(|k| link.starts_with(k)) {
                        crawl.broken.push(format!("{path}: link to {link}"));
                    }
                }
                None => crawl
                    .broken
                    .push(format!("{path}: <{element}> loads {link}")),
            }
        }
        crawl.pages.insert(path, response);
    }
    for (path, response) in &crawl.pages {
        if response.status >= 400 && !start.contains(path) {
            crawl
                .broken
                .push(format!("{path}: status {}", response.status));
        }
    }
    for (page, to, fragment) in fragments {
        let has = |r: &Response| {
            attributes(&r.body, "id")
                .iter()
                .any(|(_, id)| *id == fragment)
        };
        if crawl.pages.get(&to).is_none_or(|r| !has(r)) {
            crawl
                .broken
                .push(format!("{page}: {to} does not have #{fragment}"));
        }
    }
    crawl
        .pages
        .retain(|_, r| r.content_type.starts_with("text/html"));
    crawl
}
