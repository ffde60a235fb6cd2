//! Types of data sets, and the data sets of a combined file: which of them are read, and the values
//! of the file's head.

use std::collections::BTreeSet;

use super::{State, values::Template};
use crate::lists::Input;

/// How many sub-zones are stored for messages.
const MAX_SUBZONES: usize = 20;

/// How the key of a line is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// By its form.
    Any,
    Ip4Set,
    Ip4Trie,
    Ip4Tset,
    Ip6Trie,
    Ip6Tset,
    Names,
    Generic,
    /// The head of a combined file, which has no entries.
    Combined,
    /// A data set that is not read.
    Skip,
}

/// The types of data sets by their names.
const KINDS: [(&str, Kind); 11] = [
    ("ip4set", Kind::Ip4Set),
    ("ip4trie", Kind::Ip4Trie),
    ("ip4tset", Kind::Ip4Tset),
    ("ip6trie", Kind::Ip6Trie),
    ("ip6tset", Kind::Ip6Tset),
    ("dnset", Kind::Names),
    ("dnhash", Kind::Names),
    ("generic", Kind::Generic),
    ("combined", Kind::Combined),
    ("acl", Kind::Skip),
    ("aclkey", Kind::Skip),
];

impl Kind {
    pub(super) fn of(name: &str) -> Result<Kind, String> {
        KINDS
            .iter()
            .find(|k| k.0 == name)
            .map(|k| k.1)
            .ok_or_else(|| {
                let known = KINDS.map(|k| k.0).join(", ");
                format!("there is no data set type `{name}`; the types are {known}")
            })
    }

    /// Whether all entries have one value, so that entries cannot have their own.
    pub(super) fn one_value(self) -> bool {
        matches!(self, Kind::Ip4Tset | Kind::Ip6Tset)
    }

    /// The family of its keys; `None` for types without one.
    fn family(self) -> Option<&'static str> {
        match self {
            Kind::Ip4Set | Kind::Ip4Trie | Kind::Ip4Tset => Some("IPv4 addresses"),
            Kind::Ip6Trie | Kind::Ip6Tset => Some("IPv6 addresses"),
            Kind::Names => Some("names"),
            _ => None,
        }
    }
}

/// The data sets of a combined file.
#[derive(Default)]
pub(super) struct Sets {
    /// The values before the first data set.
    head: Option<(Template, u64)>,
    counted: bool,
    families: BTreeSet<&'static str>,
    subzones: BTreeSet<String>,
}

impl Sets {
    /// Refuses a file that has no data set for the chosen sub-zone, because it would empty its
    /// source.
    pub(super) fn check(&self, input: &Input) -> Result<(), String> {
        let (file, wanted) = (input.file, input.options.subzone.as_deref());
        match &self.head {
            Some(_) if self.counted => Ok(()),
            None if wanted.is_none() => Ok(()),
            None => Err(format!(
                "{file}: --subzone needs a combined file, and the file has no $DATASET"
            )),
            Some(_) => {
                let known: Vec<&str> = self.subzones.iter().map(String::as_str).collect();
                let (wanted, known) = (wanted.unwrap_or("@"), known.join(", "));
                Err(format!(
                    "{file}: no data set is for the sub-zone `{wanted}`; there are {known}"
                ))
            }
        }
    }

    /// Starts a data set: `$DATASET type[:name] sub-zone…`.
    pub(super) fn start(
        &mut self,
        input: &mut Input,
        state: &mut State,
        rest: &str,
        column: usize,
    ) {
        let mut words = rest.split_whitespace();
        let name = words.next().unwrap_or("").split(':').next().unwrap_or("");
        let (template, max_range) = self
            .head
            .get_or_insert_with(|| (state.template.clone(), state.max_range))
            .clone();
        *state = State::new(Kind::Skip, template, max_range);
        let kind = match Kind::of(name) {
            Ok(Kind::Combined) => {
                return input.problem(column, "a combined data set cannot contain another one");
            }
            Ok(kind) => kind,
            Err(why) => return input.problem(column, &why),
        };
        let places: Vec<&str> = words.collect();
        let wanted = input.options.subzone.as_deref().unwrap_or("@");
        if !places.is_empty() && !places.contains(&wanted) {
            let more = MAX_SUBZONES.saturating_sub(self.subzones.len());
            self.subzones
                .extend(places.iter().take(more).map(ToString::to_string));
            return input.warn(&format!(
                "a data set is ignored: it is for the sub-zone {}, not `{wanted}`",
                places.join(" ")
            ));
        }
        if places.is_empty() {
            input.warn("the data set names no sub-zone; rbldnsd ignores such a data set");
        }
        self.counted = true;
        if kind == Kind::Skip {
            return input.warn(&format!("a data set of type `{name}` is ignored"));
        }
        state.kind = kind;
        if let Some(family) = kind.family().filter(|f| !self.families.insert(f)) {
            input.warn(&format!(
                "several data sets have {family}; they are read as one list, with one longest match"
            ));
        }
    }
}
