//! The public pages that consist of texts: how to opt out of relay tests, and what an open relay is.

use super::App;
use crate::{
    api::{TextForm, TextLinkResponse, TextPageResponse, TextResponse, TextSectionResponse},
    texts::{Language, text},
};

/// The page of the catalogue of tests.
const TESTS: &str = "/tests";

/// The texts of a page in a language.
struct Texts(Language);

impl Texts {
    fn get(&self, key: &str) -> String {
        text(self.0, key, &[])
    }

    fn plain(&self, key: &str) -> TextResponse {
        TextResponse {
            text: self.get(key),
            link: None,
        }
    }

    /// A text with a link in the place of an argument.
    fn linked(&self, key: &str, name: &str, label: &str, target: &str) -> TextResponse {
        let label = self.get(label);
        TextResponse {
            text: text(self.0, key, &[(name, label.clone().into())]),
            link: Some(TextLinkResponse {
                label,
                target: target.into(),
            }),
        }
    }

    fn section(
        &self,
        id: &str,
        title: &str,
        form: TextForm,
        texts: Vec<TextResponse>,
    ) -> TextSectionResponse {
        TextSectionResponse {
            id: id.into(),
            title: self.get(title),
            form,
            texts,
        }
    }

    fn page(
        &self,
        title: &str,
        lead: &str,
        sections: Vec<TextSectionResponse>,
    ) -> TextPageResponse {
        TextPageResponse {
            language: self.0.tag().into(),
            title: self.get(title),
            lead: self.get(lead),
            sections,
        }
    }
}

/// A contact as a text with a link, if it is a mail address or a URL.
fn contact(text: &str) -> TextResponse {
    let is_line = !text.contains(char::is_whitespace);
    let target = match text {
        mail if is_line && super::is_mail_address(mail) => Some(format!("mailto:{mail}")),
        url if is_line && (url.starts_with("https://") || url.starts_with("http://")) => {
            Some(url.into())
        }
        _ => None,
    };
    let link = target.map(|target| TextLinkResponse {
        label: text.into(),
        target,
    });
    TextResponse {
        text: text.into(),
        link,
    }
}

/// Returns the page about the opt-out of relay tests.
pub fn opt_out(app: &App, language: Language) -> TextPageResponse {
    let of_tests = &app.relay.settings().tester.contact;
    opt_out_with(of_tests, &app.public_contact, language)
}

/// Returns the page about the opt-out of relay tests, with the contacts for tests and of the site;
/// an empty one is not configured.
pub fn opt_out_with(of_tests: &str, of_site: &str, language: Language) -> TextPageResponse {
    let t = Texts(language);
    let mut how = vec![t.plain("opt-out-how-text")];
    how.push(match (of_tests, of_site) {
        ("", "") => t.linked("opt-out-no-contact", "lists", "footer-lists", "/zones"),
        ("", of_site) => contact(of_site),
        (of_tests, _) => contact(of_tests),
    });
    let effect = [
        "opt-out-effect-stop",
        "opt-out-effect-listing",
        "opt-out-effect-public",
    ];
    let effect = effect.map(|key| t.plain(key)).to_vec();
    let who = vec![t.plain("opt-out-who-text")];
    let end = vec![t.plain("opt-out-end-text")];
    t.page(
        "opt-out-title",
        "opt-out-lead",
        vec![
            t.section("effect", "opt-out-effect", TextForm::List, effect),
            t.section("who", "opt-out-who", TextForm::Paragraphs, who),
            t.section("how", "opt-out-how", TextForm::Paragraphs, how),
            t.section("end", "opt-out-end", TextForm::Paragraphs, end),
        ],
    )
}

/// Returns the page about open relays.
pub fn open_relay(language: Language) -> TextPageResponse {
    let t = Texts(language);
    let why = [
        "open-relay-why-abuse",
        "open-relay-why-cost",
        "open-relay-why-fast",
    ];
    let how = [
        "open-relay-how-networks",
        "open-relay-how-sender",
        "open-relay-how-forms",
        "open-relay-how-login",
    ];
    let close = vec![
        t.plain("open-relay-fix-list"),
        t.plain("open-relay-fix-login"),
        t.plain("open-relay-fix-refuse"),
        t.linked("open-relay-fix-test", "lookup", "open-relay-lookup", "/"),
    ];
    let tests = t.linked("open-relay-catalogue", "tests", "open-relay-tests", TESTS);
    let why = why.map(|key| t.plain(key)).to_vec();
    let how = how.map(|key| t.plain(key)).to_vec();
    t.page(
        "open-relay-title",
        "open-relay-lead",
        vec![
            t.section("why", "open-relay-why", TextForm::List, why),
            t.section("how", "open-relay-how", TextForm::List, how),
            t.section("close", "open-relay-fix", TextForm::Steps, close),
            t.section("tests", "footer-tests", TextForm::Paragraphs, vec![tests]),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_of_a_text_is_a_part_of_it() {
        for language in Language::ALL {
            let page = open_relay(language);
            let texts = page.sections.iter().flat_map(|s| &s.texts);
            let links = texts.filter_map(|t| Some((&t.text, t.link.as_ref()?)));
            let links: Vec<_> = links.collect();
            assert_eq!(links.len(), 2, "{language:?}");
            for (text, link) in links {
                assert!(text.contains(&link.label), "{text}: {link:?}");
            }
        }
    }

    #[test]
    fn contact_is_a_link_only_if_it_is_an_address_or_a_url() {
        let target = |text: &str| contact(text).link.map(|l| l.target);
        assert_eq!(target("a@b.example").as_deref(), Some("mailto:a@b.example"));
        assert_eq!(
            target("https://b.example/x").as_deref(),
            Some("https://b.example/x")
        );
        for other in ["javascript:alert(1)", "call us", "a@b.example or later"] {
            assert_eq!(target(other), None, "{other}");
        }
    }
}
