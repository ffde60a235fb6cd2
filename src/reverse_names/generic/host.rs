//! What is known of a host, and what a look-up changes.

use crate::generic_names::GenericMatch;

/// The generic name of a host, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedName {
    /// The name.
    pub name: String,
    /// The text of the listing, with the name and the pattern.
    pub text: String,
}

impl ListedName {
    /// The listing of a name.
    pub(super) fn new(name: &str, found: &GenericMatch) -> ListedName {
        let by = found
            .provider
            .map(|p| format!(" of {p}"))
            .unwrap_or_default();
        ListedName {
            text: format!("Generic reverse name {name} ({}{by})", found.pattern),
            name: name.into(),
        }
    }
}

/// A host that is listed, or that two look-ups have to agree about first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostState {
    /// Its listing.
    pub(super) listed: Option<ListedName>,
    /// What the last look-up has found if it differs from the listing: a generic name, or none. The
    /// listing changes when the next look-up finds the same.
    pub(super) doubt: Option<Option<String>>,
    /// How many look-ups in a row have failed.
    pub(super) failures: u32,
}

/// What follows from a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing changes.
    Keep,
    /// The next look-up has to find the same.
    Confirm,
    /// The host is listed under a name, or its text changes.
    List(ListedName),
    /// The listing ends.
    End,
}

impl HostState {
    /// Takes the result of a look-up: the generic name, or that the host has none.
    pub(super) fn found(&mut self, name: Option<ListedName>) -> Step {
        self.failures = 0;
        let as_name = |l: &ListedName| l.name.clone();
        let (listed, found) = (
            self.listed.as_ref().map(as_name),
            name.as_ref().map(as_name),
        );
        if listed == found {
            self.doubt = None;
            // A newer version may know another pattern for the same name.
            return match name {
                Some(name) if self.listed.as_ref() != Some(&name) => {
                    self.listed = Some(name.clone());
                    Step::List(name)
                }
                _ => Step::Keep,
            };
        }
        if self.doubt.as_ref() != Some(&found) {
            self.doubt = Some(found);
            return Step::Confirm;
        }
        self.doubt = None;
        self.listed.clone_from(&name);
        match name {
            Some(name) => Step::List(name),
            None => Step::End,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Option<ListedName> {
        Some(ListedName {
            name: name.into(),
            text: format!("text of {name}"),
        })
    }

    #[test]
    fn listing_begins_changes_and_ends_when_two_look_ups_agree() {
        let mut host = HostState::default();
        for (found, expected) in [
            (None, Step::Keep),
            (named("a"), Step::Confirm),
            (None, Step::Keep),
            (named("a"), Step::Confirm),
            (named("b"), Step::Confirm),
            (named("b"), Step::List(named("b").unwrap())),
            (named("b"), Step::Keep),
            (None, Step::Confirm),
            (named("b"), Step::Keep),
            (named("c"), Step::Confirm),
            (named("c"), Step::List(named("c").unwrap())),
            (None, Step::Confirm),
            (None, Step::End),
            (None, Step::Keep),
        ] {
            assert_eq!(host.found(found.clone()), expected, "{found:?}");
        }
        assert_eq!(host, HostState::default());
    }

    #[test]
    fn text_of_the_same_name_changes_at_once() {
        let mut host = HostState {
            listed: named("a"),
            ..HostState::default()
        };
        let other = ListedName {
            text: "another pattern".into(),
            ..named("a").unwrap()
        };
        assert_eq!(host.found(Some(other.clone())), Step::List(other));
    }
}
