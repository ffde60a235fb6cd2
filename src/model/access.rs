//! Permissions: roles, the restrictions of a token, and users and tokens as they are stored.

use serde::{Deserialize, Serialize};

use super::{subject::Subject, time::Time};

/// A role. Each one has the permissions of those before it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
#[strum(serialize_all = "lowercase")]
pub enum Role {
    /// Reads: listings, history, zones, changes, state.
    Reader,
    /// Proposes listings, which another user approves.
    Reporter,
    /// Lists, renews and delists.
    Editor,
    /// Exempts, imports, purges, undoes, breaks holds; sets webhooks; reads the audit log.
    Operator,
    /// Manages users and tokens.
    Owner,
}

impl Role {
    /// All roles, the one with the fewest permissions first.
    pub const ALL: [Role; 5] = [
        Role::Reader,
        Role::Reporter,
        Role::Editor,
        Role::Operator,
        Role::Owner,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl std::str::FromStr for Role {
    type Err = String;
    fn from_str(s: &str) -> Result<Role, String> {
        Role::ALL
            .into_iter()
            .find(|r| r.name() == s)
            .ok_or_else(|| {
                format!(
                    "`{s}` is no role; there are {}",
                    Role::ALL.map(Role::name).join(", ")
                )
            })
    }
}

/// The restrictions of a token's writes; an empty list does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenRestrictions {
    /// Only these reasons.
    pub reasons: Vec<String>,
    /// Only these sources.
    pub sources: Vec<String>,
    /// Only what these subjects cover.
    pub prefixes: Vec<Subject>,
}

impl TokenRestrictions {
    /// Whether it restricts nothing.
    pub fn is_empty(&self) -> bool {
        *self == TokenRestrictions::default()
    }

    /// Checks that a write is permitted. `None` is every subject, reason or source.
    ///
    /// # Errors
    ///
    /// The write is not permitted; the text names the restriction.
    pub fn allow(
        &self,
        subject: Option<&Subject>,
        reason: Option<&str>,
        source: Option<&str>,
    ) -> Result<(), String> {
        let named = |what: &str, bound: &[String], name: Option<&str>| match name {
            _ if bound.is_empty() => Ok(()),
            Some(n) if bound.iter().any(|b| b == n) => Ok(()),
            Some(n) => Err(format!(
                "this token is bound to {what} {}; not `{n}`",
                bound.join(", ")
            )),
            None => Err(format!(
                "this token is bound to {what} {}; name one",
                bound.join(", ")
            )),
        };
        named("the reasons", &self.reasons, reason)?;
        named("the sources", &self.sources, source)?;
        let shown = || {
            self.prefixes
                .iter()
                .map(Subject::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        };
        match subject {
            _ if self.prefixes.is_empty() => Ok(()),
            Some(s) if self.prefixes.iter().any(|p| p.covers(s)) => Ok(()),
            Some(s) => Err(format!(
                "this token is bound to {}; {s} is outside",
                shown()
            )),
            None => Err(format!(
                "this token is bound to {}; this touches others too",
                shown()
            )),
        }
    }
}

/// A user who can log in. Secrets are stored as hashes, except for the one that both sides need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name, which is also the author of the user's changes.
    pub name: String,
    /// The role.
    pub role: Role,
    /// The password as an argon2 string (PHC format).
    pub password: String,
    /// The secret of one-time passwords (RFC 6238): SHA-1, six digits, thirty seconds.
    pub totp: Vec<u8>,
    /// SHA-256 of the recovery codes that are not used yet.
    pub recovery: Vec<[u8; 32]>,
    /// The time since which it exists.
    pub since: Time,
    /// The time since which the user and all of their tokens are disabled.
    pub disabled: Option<Time>,
}

/// An API token of a user or a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its id, the first part of the displayed token.
    pub id: String,
    /// The name of its user or program.
    pub owner: String,
    /// Whether the owner is a user: then the user's role limits it, and it is disabled with the user.
    pub person: bool,
    /// Its role.
    pub role: Role,
    /// The restrictions of its writes.
    pub bounds: TokenRestrictions,
    /// SHA-256 of the secret, its second part.
    pub hash: [u8; 32],
    /// The time since which it exists.
    pub since: Time,
    /// The user who created it.
    pub by: String,
    /// Its end.
    pub expires: Option<Time>,
    /// Its limit of requests per minute.
    pub per_minute: Option<u32>,
    /// The time since which it is revoked.
    pub revoked: Option<Time>,
}

impl Token {
    /// Whether it is neither revoked nor expired.
    pub fn alive(&self, now: Time) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|t| t > now)
    }
}

/// Names that orbsd itself uses as author or source. No user, program or source can have one.
pub const BUILT_IN_AUTHORS: [&str; 7] = [
    "operator", "prober", "trap", "expiry", "tester", "claimant", "socket",
];

/// Whether a name is that of a built-in author, whatever the case of its letters.
pub fn is_built_in(name: &str) -> bool {
    BUILT_IN_AUTHORS
        .iter()
        .any(|b| b.eq_ignore_ascii_case(name))
}

/// Whether a name can be a person's or a program's: it is shown in logs and history, and stands in
/// paths.
pub fn check_name(name: &str) -> Result<(), String> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.@".contains(&b);
    match name.len() {
        1..=64 if name.bytes().all(fine) => Ok(()),
        _ => Err(format!(
            "`{}` is no name: 1 to 64 letters, digits, `-`, `_`, `.` and `@`",
            name.escape_debug()
        )),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A person with a name, for tests of others.
    pub(crate) fn person(name: &str) -> User {
        let name = name.to_string();
        User {
            name,
            role: Role::Editor,
            password: String::new(),
            totp: vec![],
            recovery: vec![],
            since: Time(0),
            disabled: None,
        }
    }

    #[test]
    fn bounds_hold_what_they_name_and_all_of_it() {
        let s = |t: &str| t.parse::<Subject>().unwrap();
        let b = TokenRestrictions {
            reasons: vec!["relay".into()],
            sources: vec![],
            prefixes: vec![s("45.0.0.0/8"), s(".spam.example")],
        };
        assert_eq!(b.allow(Some(&s("45.1.2.3")), Some("relay"), None), Ok(()));
        assert_eq!(
            b.allow(Some(&s("x.spam.example")), Some("relay"), Some("operator")),
            Ok(())
        );
        for (subject, reason, part) in [
            (Some(s("46.1.2.3")), Some("relay"), "46.1.2.3 is outside"),
            (Some(s("45.1.2.3")), Some("input"), "not `input`"),
            (Some(s("45.1.2.3")), None, "name one"),
            (None, Some("relay"), "touches others"),
            (Some(s("44.0.0.0/7")), Some("relay"), "outside"),
        ] {
            let e = b.allow(subject.as_ref(), reason, None).unwrap_err();
            assert!(e.contains(part), "{part}: {e}");
        }
        assert_eq!(TokenRestrictions::default().allow(None, None, None), Ok(()));
    }

    #[test]
    fn roles_are_in_order_and_read_back() {
        assert!(Role::ALL.is_sorted());
        for r in Role::ALL {
            assert_eq!(r.name().parse(), Ok(r));
        }
        assert!(
            "root"
                .parse::<Role>()
                .unwrap_err()
                .contains("reader, reporter")
        );
    }

    #[test]
    fn names_are_plain() {
        for good in ["anna", "feed-1", "a.b@c_d"] {
            assert_eq!(check_name(good), Ok(()));
        }
        for bad in ["", "a b", "a\nb", "ä", &"x".repeat(65), "a/b"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
