//! Pages of others about open relays: testers, standards, history, help and software. The data is
//! in `links.toml`.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// The links, which are part of the binary.
const DATA: &str = include_str!("links.toml");

/// What a page of others is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::VariantArray)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum LinkGroup {
    /// Testers of mail servers.
    Testers,
    /// Standards and recommendations.
    Standards,
    /// The history of open relays and of the lists of them.
    History,
    /// Help with a mail server.
    Help,
    /// Mail servers and other software.
    Software,
}

/// Whether a page of others still exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// It exists.
    Alive,
    /// It has ended.
    Closed,
}

/// A page of others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// What it is about.
    pub group: LinkGroup,
    /// Its title, or the name of what has ended.
    pub title: String,
    /// Its address; `None` if no page remains.
    #[serde(default)]
    pub url: Option<String>,
    /// Whether it still exists.
    pub state: LinkState,
    /// Since when it is closed: a year, a month or a day; `None` if that is not known.
    #[serde(default)]
    pub since: Option<String>,
    /// What it is, or was.
    pub note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    link: Vec<Link>,
}

static LINKS: LazyLock<Vec<Link>> =
    // The file is part of the binary, and a unit test parses it.
    LazyLock::new(|| parse(DATA).unwrap_or_default());

fn parse(text: &str) -> Result<Vec<Link>, toml::de::Error> {
    toml::from_str(text).map(|file: File| file.link)
}

/// Pages of others, in the order of the file.
pub fn links() -> &'static [Link] {
    &LINKS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use strum::VariantArray;

    use super::{super::tests::is_date, *};

    #[test]
    fn every_link_has_a_known_group_an_encrypted_address_and_a_date_that_fits_its_state() {
        let links = parse(DATA).unwrap_or_else(|e| panic!("links.toml: {e}"));
        let mut wrong = Vec::new();
        let mut titles = BTreeSet::new();
        for link in &links {
            let title = &link.title;
            let is_alive = link.state == LinkState::Alive;
            let mut check = |is_wrong: bool, why: &str| {
                if is_wrong {
                    wrong.push(format!("links.toml: {title}: {why}"));
                }
            };
            check(!titles.insert(title), "the title is there twice");
            check(is_alive && link.url.is_none(), "alive, but without `url`");
            check(is_alive && link.since.is_some(), "alive, but with `since`");
            check(
                link.url
                    .as_ref()
                    .is_some_and(|u| !u.starts_with("https://")),
                "`url` does not begin with https://",
            );
            check(
                link.since.as_ref().is_some_and(|d| !is_date(d)),
                "`since` is not YYYY, YYYY-MM or YYYY-MM-DD",
            );
            check(!link.note.ends_with('.'), "`note` is not a sentence");
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        for group in LinkGroup::VARIANTS {
            let has_links = links.iter().any(|l| l.group == *group);
            assert!(has_links, "links.toml: no link is in {group:?}");
        }
    }

    #[test]
    fn a_link_without_a_state_or_in_an_unknown_group_is_refused() {
        let whole = "[[link]]\ngroup = 'help'\ntitle = 'a'\nstate = 'closed'\nnote = 'b.'\n";
        assert_eq!(parse(whole).map(|l| l.len()), Ok(1));
        assert!(parse(&whole.replace("state = 'closed'\n", "")).is_err());
        assert!(parse(&whole.replace("'help'", "'lists'")).is_err());
    }
}
