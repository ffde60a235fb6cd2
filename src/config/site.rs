//! `[site]`: what the operator tells visitors of the public pages.

use std::net::SocketAddr;

use super::{document::Report, tables::File};
use crate::site::SiteSettings;

/// The longest of the one-line texts, in characters.
const MAX_LINE_CHARS: usize = 300;
/// The longest legal notice, in characters.
const MAX_NOTICE_CHARS: usize = 10_000;

/// The settings of the site.
pub(super) fn settings(file: &File) -> SiteSettings {
    let site = &file.site;
    SiteSettings {
        name: site.name.trim().into(),
        tagline: site.tagline.trim().into(),
        base_url: file.web.base_url.trim_end_matches('/').into(),
        operator: site.operator.trim().into(),
        contact: site.contact.trim().into(),
        alternate_contact: site.alternate_contact.trim().into(),
        legal_notice: site.legal_notice.trim().into(),
        languages: site.languages.clone(),
        sends_mail: !file.mail.smarthost.is_empty(),
    }
}

/// Reports values that a page cannot show, and warns of a public site that does not say who operates
/// it.
pub(super) fn check(file: &File, report: &mut Report) {
    let mut table = report.of(&file.site.place);
    for (key, value, max) in [
        ("name", &file.site.name, MAX_LINE_CHARS),
        ("tagline", &file.site.tagline, MAX_LINE_CHARS),
        ("operator", &file.site.operator, MAX_LINE_CHARS),
        ("contact", &file.site.contact, MAX_LINE_CHARS),
        (
            "alternate_contact",
            &file.site.alternate_contact,
            MAX_LINE_CHARS,
        ),
        ("legal_notice", &file.site.legal_notice, MAX_NOTICE_CHARS),
    ] {
        let chars = value.chars().count();
        table.error_if(
            chars > max,
            key,
            format_args!("it has {chars} characters; at most {max} are shown"),
        );
    }
    table.error_if(
        file.site.name.trim().is_empty(),
        "name",
        "it is empty; it is the title of every page",
    );
    table.error_if(
        file.site.languages.is_empty(),
        "languages",
        "it is empty; name at least one language, such as [\"en\"]",
    );
    let public = file.web.listen.parse::<SocketAddr>();
    if !public.is_ok_and(|addr| !addr.ip().is_loopback()) && file.web.trusted_proxies.is_empty() {
        return;
    }
    for (key, value, next) in [
        (
            "operator",
            &file.site.operator,
            "name the person or organisation that runs the list",
        ),
        (
            "contact",
            &file.site.contact,
            "name a mail address that people read (RFC 6471 section 2.2.2)",
        ),
        (
            "legal_notice",
            &file.site.legal_notice,
            "write the legal notice that your country requires, or the URL of a page with it",
        ),
    ] {
        if value.trim().is_empty() {
            table.warning(
                key,
                format_args!("it is empty, and [web] listen is public; {next}"),
            );
        }
    }
    let is_default = file.web.base_url.trim_end_matches('/') == super::tables::local_web();
    if is_default {
        report.of(&file.web.place).warning(
            "base_url",
            "it is the default, and [web] listen is public; write the URL under which clients reach the site, or links in mail and texts lead nowhere",
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{ZONE, load};

    fn warnings(text: &str) -> Vec<String> {
        let reason = "[[reason]]\nname='relay'\n";
        let config = load(&format!("{text}\n{reason}"), ZONE).unwrap();
        let about_site = |w: &String| w.contains("[web] listen is public");
        config.warnings.into_iter().filter(about_site).collect()
    }

    #[test]
    fn public_site_without_operator_contact_notice_or_url_is_warned_of() {
        let all = warnings("[web]\nlisten='0.0.0.0:8054'");
        assert_eq!(all.len(), 4, "{all:?}");
        for key in ["operator", "contact", "legal_notice", "base_url"] {
            assert!(all.iter().any(|w| w.contains(key)), "{key}: {all:?}");
        }
        let told = "[web]\nlisten='0.0.0.0:8054'\nbase_url='https://orbs.example'\n\
                    [site]\noperator='A'\ncontact='a@orbs.example'\nlegal_notice='B'";
        assert_eq!(warnings(told), [""; 0]);
    }

    #[test]
    fn local_site_is_not_warned_of() {
        assert_eq!(warnings("[web]\nlisten='127.0.0.1:8054'"), [""; 0]);
        assert_eq!(warnings(""), [""; 0]);
    }

    #[test]
    fn unknown_language_is_an_error() {
        let reason = "[[reason]]\nname='relay'\n";
        let e = load(&format!("[site]\nlanguages=['en','fr']\n{reason}"), ZONE).unwrap_err();
        assert!(e.0[0].contains("languages"), "{e}");
    }
}
