//! What the operator says about the site.

use crate::texts::Language;

/// The settings of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteSettings {
    /// The name of the site, in the header of each page.
    pub name: String,
    /// One sentence that says what is listed, on the home page; empty: the text of the translation.
    pub tagline: String,
    /// The URL under which clients reach the site, without a slash at the end.
    pub base_url: String,
    /// Who operates the list; empty if it is not configured.
    pub operator: String,
    /// The mail address or URL of the operator; empty if it is not configured.
    pub contact: String,
    /// Another way to reach the operator if the site is down; empty if it is not configured.
    pub alternate_contact: String,
    /// The legal notice: a text, or a URL; empty if it is not configured.
    pub legal_notice: String,
    /// The languages of the pages, the preferred one first.
    pub languages: Vec<Language>,
    /// Whether mail can be sent, so that the site offers notifications.
    pub sends_mail: bool,
}

impl Default for SiteSettings {
    fn default() -> SiteSettings {
        SiteSettings {
            name: "orbsd".into(),
            tagline: String::new(),
            base_url: "http://127.0.0.1:8054".into(),
            operator: String::new(),
            contact: String::new(),
            alternate_contact: String::new(),
            legal_notice: String::new(),
            languages: Language::ALL.into(),
            sends_mail: false,
        }
    }
}

impl SiteSettings {
    /// The host of the base URL, with its port if it has one.
    pub fn host(&self) -> &str {
        let rest = self.base_url.split_once("://").map_or("", |(_, r)| r);
        rest.split('/').next().unwrap_or_default()
    }

    /// Whether clients reach the site over HTTPS.
    pub fn is_https(&self) -> bool {
        self.base_url.starts_with("https://")
    }
}
