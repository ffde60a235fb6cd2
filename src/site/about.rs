//! What the pages about the lists share: texts of reasons, ways to reach the operator, and answers
//! that search engines may index.

use askama::Template;
use axum::{
    Json,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{
    context::PageContext,
    markup::{Markup, escape},
};
use crate::{
    model::Time,
    texts::{Language, text},
};

/// The shipped reasons, whose criteria have a text in `pages.ftl`.
const REASONS: [(&str, &str); 12] = [
    ("relay", "reason-relay"),
    ("input", "reason-input"),
    ("output", "reason-output"),
    ("proxy", "reason-proxy"),
    ("form", "reason-form"),
    ("unconfirmed", "reason-unconfirmed"),
    ("manual", "reason-manual"),
    ("dynamic", "reason-dynamic"),
    ("spamsource", "reason-spamsource"),
    ("netblock", "reason-netblock"),
    ("notest", "reason-notest"),
    ("spam", "reason-spam"),
];

/// The seconds of a day.
const DAY: u64 = 86_400;

impl PageContext {
    /// Responds with a value as JSON, or with its page, which search engines may index.
    pub fn respond_indexed<T: Template>(
        &self,
        value: &impl Serialize,
        template: impl FnOnce() -> T,
    ) -> Response {
        if self.html {
            return self.render_indexed(&template());
        }
        let mut response = Json(value).into_response();
        let cache = HeaderValue::from_static("max-age=60");
        response.headers_mut().insert(header::CACHE_CONTROL, cache);
        response
    }

    /// Whether the page is in another language than English.
    pub fn is_foreign(&self) -> bool {
        self.language != Language::En
    }

    /// What is listed for a reason: the text of a shipped reason, or else the TXT record, which
    /// names the subject by `$`.
    pub fn reason_text(&self, reason: &str, record: &str) -> Markup {
        match REASONS.iter().find(|(name, _)| *name == reason) {
            Some((_, key)) => self.t(key),
            None => Markup::trusted(escape(record)),
        }
    }

    /// What a relay test does: translated, if the catalogue describes it as the shipped one does.
    pub fn test_text(&self, test: &str, description: &str) -> Markup {
        // A variant of a test is named after it: `null-sender+plain-sender`.
        let key = format!("form-{}", test.split('+').next().unwrap_or(test));
        match text(Language::En, &key, &[]) == description {
            true => self.t(&key),
            false => Markup::trusted(format!("<span lang=\"en\">{}</span>", escape(description))),
        }
    }

    /// A period in days; `None` without one.
    pub fn days(&self, seconds: &Option<u64>) -> Option<Markup> {
        let days = seconds.as_ref()?.div_ceil(DAY);
        Some(self.t1("list-days", "count", days))
    }

    /// An address as a link, if it is a mail address or a URL; else the text itself.
    pub fn address(&self, text: &str) -> Markup {
        let shown = escape(text);
        let is_line = !text.contains(char::is_whitespace);
        let is_mail = is_line && crate::http::is_mail_address(text);
        let is_url = is_line && ["https://", "http://"].iter().any(|s| text.starts_with(s));
        Markup::trusted(match (is_mail, is_url) {
            (true, _) => format!("<a href=\"mailto:{shown}\">{shown}</a>"),
            (_, true) => format!("<a href=\"{shown}\" rel=\"external\">{shown}</a>"),
            _ => shown,
        })
    }

    /// The contact of the site; `None` if it is not configured.
    pub fn contact_link(&self) -> Option<Markup> {
        let contact = &self.settings.contact;
        (!contact.is_empty()).then(|| self.address(contact))
    }
}

/// The day after a number of days, at its first second.
pub(super) fn day_after(now: Time, days: u64) -> Time {
    Time((now.0 / DAY + days) * DAY)
}
