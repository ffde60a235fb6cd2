//! The common name space of users, programs, sources and built-in authors, so that a name in the
//! history or in the audit log has one meaning.

use std::collections::BTreeMap;

use super::{accounts::Accounts, error::LedgerError};
use crate::{
    model::{SourceId, access::is_built_in},
    store::Dictionary,
};

/// The kind of thing that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum NameOwner {
    /// orbsd itself uses the name, as an author or as a source.
    #[strum(serialize = "built-in author")]
    BuiltIn,
    /// A user.
    User,
    /// A program: the owner of a token that is not a user.
    Program,
    /// A source whose listings come from imports.
    Source,
}

impl NameOwner {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The kinds of things that have a name, in any letter case.
fn owners_of(name: &str, accounts: &Accounts, v: &Dictionary) -> Vec<NameOwner> {
    let same = |other: &str| other.eq_ignore_ascii_case(name);
    let mut sources = v.sources.0.all().iter().skip(SourceId::DECIDING.len());
    let mut programs = accounts.tokens.values().filter(|t| !t.person);
    let all = [
        (NameOwner::BuiltIn, is_built_in(name)),
        (NameOwner::User, accounts.users.keys().any(|n| same(n))),
        (NameOwner::Program, programs.any(|t| same(&t.owner))),
        (NameOwner::Source, sources.any(|n| same(n))),
    ];
    all.into_iter()
        .filter(|(_, there)| *there)
        .map(|(owner, _)| owner)
        .collect()
}

/// Refuses a name for a user, program or source if another kind of thing has it.
pub(super) fn check_free(
    name: &str,
    owner: NameOwner,
    accounts: &Accounts,
    v: &Dictionary,
) -> Result<(), LedgerError> {
    let mut owners = owners_of(name, accounts, v).into_iter();
    match owners.find(|o| *o != owner) {
        None => Ok(()),
        Some(other) => Err(LedgerError::Conflict(format!(
            "`{name}` is the name of a {}; users, programs, sources and built-in authors share one name space, so choose another name for the {}",
            other.as_str(),
            owner.as_str()
        ))),
    }
}

/// Messages about the names that more than one kind of thing has. `feeds` are configured sources
/// that the dictionary may not have yet.
pub fn collisions(accounts: &Accounts, v: &Dictionary, feeds: &[String]) -> Vec<String> {
    let programs = accounts.tokens.values().filter(|t| !t.person);
    let users = accounts.users.keys().chain(programs.map(|t| &t.owner));
    let sources = v.sources.0.all().iter().skip(SourceId::DECIDING.len());
    let mut found = BTreeMap::new();
    for name in users.chain(sources).chain(feeds) {
        let mut owners = owners_of(name, accounts, v);
        if feeds.contains(name) && !owners.contains(&NameOwner::Source) {
            owners.push(NameOwner::Source);
        }
        if owners.len() > 1 {
            found.insert(name.to_ascii_lowercase(), owners);
        }
    }
    let one = |(name, owners): (String, Vec<NameOwner>)| {
        let owners: Vec<&str> = owners.into_iter().map(NameOwner::as_str).collect();
        format!("`{name}` is the name of a {}", owners.join(" and of a "))
    };
    found.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Role, Time, Token, TokenRestrictions, access::BUILT_IN_AUTHORS};

    fn accounts() -> Accounts {
        let mut accounts = Accounts::default();
        let token = |owner: &str, person: bool| Token {
            id: owner.into(),
            owner: owner.into(),
            person,
            role: Role::Reader,
            bounds: TokenRestrictions::default(),
            hash: [0; 32],
            since: Time(0),
            by: "uid:0".into(),
            expires: None,
            per_minute: None,
            revoked: None,
        };
        accounts
            .users
            .insert_mut("anna".into(), crate::model::access::tests::person("anna"));
        accounts.tokens.insert_mut("a".into(), token("anna", true));
        accounts
            .tokens
            .insert_mut("b".into(), token("grafana", false));
        accounts
    }

    fn dictionary(sources: &[&str]) -> Dictionary {
        let mut v = Dictionary::default();
        SourceId::DECIDING
            .iter()
            .chain(sources)
            .for_each(|s| drop(v.sources.add(s)));
        v
    }

    #[test]
    fn name_of_another_kind_is_refused() {
        use NameOwner::{Program, Source, User};
        let (accounts, v) = (accounts(), dictionary(&["ipsum"]));
        for (name, owner, free) in [
            ("bert", User, true),
            ("anna", User, true), // The user exists, which another check reports.
            ("anna", Source, false),
            ("Anna", Source, false),
            ("grafana", Program, true),
            ("grafana", User, false),
            ("grafana", Source, false),
            ("ipsum", Source, true),
            ("ipsum", User, false),
            ("IPSUM", Program, false),
        ] {
            assert_eq!(
                check_free(name, owner, &accounts, &v).is_ok(),
                free,
                "{name} {owner:?}"
            );
        }
        for name in BUILT_IN_AUTHORS {
            for owner in [User, Program, Source] {
                assert!(
                    check_free(name, owner, &accounts, &v).is_err(),
                    "{name} {owner:?}"
                );
            }
        }
        let e = format!(
            "{:?}",
            check_free("ipsum", User, &accounts, &v).unwrap_err()
        );
        assert!(
            e.contains("`ipsum` is the name of a source")
                && e.contains("another name for the user"),
            "{e}"
        );
    }

    #[test]
    fn collisions_in_a_store_of_an_earlier_version_are_found() {
        assert_eq!(
            collisions(&accounts(), &dictionary(&["ipsum"]), &["drop".into()]),
            Vec::<String>::new()
        );
        let found = collisions(
            &accounts(),
            &dictionary(&["anna", "tester"]),
            &["grafana".into()],
        );
        assert_eq!(
            found,
            [
                "`anna` is the name of a user and of a source",
                "`grafana` is the name of a program and of a source",
                "`tester` is the name of a built-in author and of a source"
            ]
        );
    }
}
