//! DNS blocklists of other operators, and the private lists of large receivers: who they are, where
//! to look an address up, and whether they still exist. The data is in `other_lists.toml`.

use std::{collections::HashMap, sync::LazyLock};

use serde::Deserialize;

use crate::model::Subject;

/// The data, which is part of the binary.
const DATA: &str = include_str!("other_lists.toml");

/// What a list has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListKind {
    /// Addresses.
    #[default]
    Addresses,
    /// Domains.
    Domains,
    /// Both.
    Both,
}

/// A list of another operator.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherList {
    /// The name of the list.
    pub name: String,
    /// The zones of the list, the main one first; none if mail servers of others cannot query it.
    #[serde(default)]
    pub zones: Vec<String>,
    /// The hosts of its pages; names below them count too.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Phrases in lower case by which bounces name the list.
    #[serde(default)]
    pub mentions: Vec<String>,
    /// What the list has.
    #[serde(default)]
    pub kind: ListKind,
    /// The look-up page, with `{}` for the subject if the page accepts it in the address.
    #[serde(default)]
    pub lookup_url: Option<String>,
    /// The page about removals.
    #[serde(default)]
    pub removal_url: Option<String>,
    /// Since when the list is closed: a year, a month or a day.
    #[serde(default)]
    pub closed: Option<String>,
    /// A remark for the owner of a listed host.
    #[serde(default)]
    pub note: Option<String>,
}

impl OtherList {
    /// The name by which the list is told apart: its main zone, or the host of its pages.
    pub fn id(&self) -> &str {
        let names = self.zones.first().or_else(|| self.hosts.first());
        names.map_or(&self.name, String::as_str)
    }

    /// The look-up page for a subject.
    pub fn lookup_page(&self, subject: &Subject) -> Option<String> {
        self.lookup_url.as_ref().map(|url| page_for(url, subject))
    }

    /// The page about removals for a subject.
    pub fn removal_page(&self, subject: &Subject) -> Option<String> {
        self.removal_url.as_ref().map(|url| page_for(url, subject))
    }

    /// The look-up page without a subject.
    pub fn lookup_form(&self) -> Option<String> {
        self.lookup_url.as_ref().map(|url| url.replace("{}", ""))
    }

    /// The page about removals without a subject.
    pub fn removal_form(&self) -> Option<String> {
        self.removal_url.as_ref().map(|url| url.replace("{}", ""))
    }

    /// A remark: since when the list is closed, or how it works.
    pub fn remark(&self) -> Option<String> {
        let closed = self.closed.as_ref();
        let closed = closed.map(|since| format!("Closed since {since}."));
        match (closed, &self.note) {
            (Some(closed), Some(note)) => Some(format!("{closed} {note}")),
            (closed, note) => closed.or_else(|| note.clone()),
        }
    }
}

/// An address of a page with the subject in the place of `{}`. Characters with a meaning in
/// addresses of pages are percent-encoded.
pub fn page_for(url: &str, subject: &Subject) -> String {
    let subject = subject.to_string();
    let subject = subject.trim_start_matches(['*', '.']);
    url.replace("{}", &subject.replace('/', "%2F"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    list: Vec<OtherList>,
}

/// All lists of the data file.
pub struct OtherLists {
    lists: Vec<OtherList>,
    zones: HashMap<String, usize>,
    hosts: HashMap<String, usize>,
}

static LISTS: LazyLock<OtherLists> = LazyLock::new(|| {
    // The file is part of the binary, and a unit test parses it.
    let file = toml::from_str(DATA).unwrap_or(File { list: Vec::new() });
    OtherLists::new(file.list)
});

impl OtherLists {
    fn new(lists: Vec<OtherList>) -> OtherLists {
        let index = |names: fn(&OtherList) -> &[String]| {
            let mut out = HashMap::new();
            for (i, list) in lists.iter().enumerate() {
                for name in names(list) {
                    // Lists of one operator share a host: the first one is the general one.
                    out.entry(name.clone()).or_insert(i);
                }
            }
            out
        };
        let (zones, hosts) = (index(|l| &l.zones), index(|l| &l.hosts));
        OtherLists {
            lists,
            zones,
            hosts,
        }
    }

    /// The lists of the data file.
    pub fn get() -> &'static OtherLists {
        &LISTS
    }

    /// All lists, in the order of the file.
    pub fn all(&self) -> &[OtherList] {
        &self.lists
    }

    /// The list that has a zone with this name, in lower case.
    pub fn by_zone(&self, zone: &str) -> Option<&OtherList> {
        self.zones.get(zone).map(|i| &self.lists[*i])
    }

    /// The list that has its pages at a host or at one above it.
    pub fn by_host(&self, host: &str) -> Option<&OtherList> {
        let mut names = std::iter::successors(Some(host), |h| h.split_once('.').map(|(_, h)| h));
        names.find_map(|h| self.hosts.get(h).map(|i| &self.lists[*i]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_file_parses_and_names_each_zone_once() {
        let file: File = toml::from_str(DATA).unwrap();
        let zones: usize = file.list.iter().map(|l| l.zones.len()).sum();
        let with_zone = file.list.iter().filter(|l| !l.zones.is_empty()).count();
        assert!(with_zone >= 60, "{with_zone} lists have a zone");
        assert_eq!(
            OtherLists::get().zones.len(),
            zones,
            "a zone is there twice"
        );
        for list in &file.list {
            for name in list.zones.iter().chain(&list.hosts) {
                let ascii = crate::model::domain::name_to_ascii(name).unwrap();
                assert_eq!(*ascii, **name, "{}", list.name);
            }
            for url in list.lookup_url.iter().chain(&list.removal_url) {
                let (host, _) = super::super::spelling::split_link(url).unwrap();
                assert!(
                    url.starts_with("https://") || url.starts_with("http://"),
                    "{url}"
                );
                let found = OtherLists::get().by_host(&host);
                assert!(found.is_some(), "{url}: `hosts` lacks {host}");
            }
            for phrase in &list.mentions {
                assert_eq!(*phrase, phrase.to_lowercase(), "{}", list.name);
            }
            assert!(
                !list.id().contains(' '),
                "{}: no zone and no host",
                list.name
            );
        }
    }

    #[test]
    fn pages_have_the_subject_in_its_place() {
        let subject: Subject = "45.51.100.0/24".parse().unwrap();
        assert_eq!(
            page_for("https://x.example/?q={}", &subject),
            "https://x.example/?q=45.51.100.0%2F24"
        );
        let list = OtherLists::get().by_zone("dnsbl.sorbs.net").unwrap();
        assert_eq!(list.remark().unwrap(), "Closed since 2024-06-05.");
        assert_eq!(
            OtherLists::get().by_host("www.spamhaus.org").unwrap().id(),
            "zen.spamhaus.org"
        );
    }
}
