//! Permissions: roles, the restrictions of a token, and users and tokens as they are stored.

use serde::{Deserialize, Serialize};

use super::{subject::Subject, time::Time};

/// A role. Each one has the permissions of those before it in [`Role::ALL`]. New roles are added at
/// the end, because tokens are stored with the position of their role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
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
    /// Reports log-ins to the volatile zones that name it, and does nothing else.
    Login,
}

impl Role {
    /// All roles, the one with the fewest permissions first.
    pub const ALL: [Role; 6] = [
        Role::Login,
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

    /// The number of roles that have fewer permissions.
    fn rank(self) -> u8 {
        match self {
            Role::Login => 0,
            Role::Reader => 1,
            Role::Reporter => 2,
            Role::Editor => 3,
            Role::Operator => 4,
            Role::Owner => 5,
        }
    }
}

impl Ord for Role {
    fn cmp(&self, other: &Role) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Role {
    fn partial_cmp(&self, other: &Role) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
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
                    "`{s}` is not a role; the roles are {}",
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
        let check = |field: &str, allowed: &[String], name: Option<&str>| {
            let problem = match name {
                _ if allowed.is_empty() => return Ok(()),
                Some(n) if allowed.iter().any(|a| a == n) => return Ok(()),
                Some(n) => format!(", not `{n}`"),
                None => "; name one".into(),
            };
            let allowed = allowed.join(", ");
            Err(format!(
                "this token is restricted to {field} {allowed}{problem}"
            ))
        };
        check("the reasons", &self.reasons, reason)?;
        check("the sources", &self.sources, source)?;
        let problem = match subject {
            _ if self.prefixes.is_empty() => return Ok(()),
            Some(s) if self.prefixes.iter().any(|p| p.covers(s)) => return Ok(()),
            Some(s) => format!("{s} is outside"),
            None => "the request affects other subjects too".into(),
        };
        let prefixes: Vec<String> = self.prefixes.iter().map(Subject::to_string).collect();
        let prefixes = prefixes.join(", ");
        Err(format!("this token is restricted to {prefixes}; {problem}"))
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
    /// The time at which the user was created.
    pub since: Time,
    /// The time at which the user and all of their tokens were disabled.
    pub disabled: Option<Time>,
}

/// An API token of a user or a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The ID, which is the first part of the displayed token.
    pub id: String,
    /// The name of the user or program that it identifies.
    pub owner: String,
    /// Whether the owner is a user: then the user's role limits it, and it is disabled with the
    /// user.
    pub person: bool,
    /// The role.
    pub role: Role,
    /// The restrictions of its writes.
    pub bounds: TokenRestrictions,
    /// SHA-256 of the secret, which is the second part of the displayed token.
    pub hash: [u8; 32],
    /// The time at which it was created.
    pub since: Time,
    /// The user who created it.
    pub by: String,
    /// The time at which it expires.
    pub expires: Option<Time>,
    /// The limit of requests per minute.
    pub per_minute: Option<u32>,
    /// The time at which it was revoked.
    pub revoked: Option<Time>,
}

impl Token {
    /// Whether it is neither revoked nor expired.
    pub fn is_active(&self, now: Time) -> bool {
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

/// Checks the name of a user or a program. It appears in logs, in the history and in URL paths.
///
/// # Errors
///
/// Says which characters and which length are valid.
pub fn check_name(name: &str) -> Result<(), String> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.@".contains(&b);
    match name.len() {
        1..=64 if name.bytes().all(fine) => Ok(()),
        _ => Err(format!(
            "`{}` is not a valid name: use 1 to 64 letters, digits, `-`, `_`, `.` and `@`",
            name.escape_debug()
        )),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A user for the tests of the store and the ledger.
    #[cfg(feature = "daemon")]
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
    fn token_restrictions_permit_only_covered_subjects_and_named_reasons() {
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
            (None, Some("relay"), "affects other subjects"),
            (Some(s("44.0.0.0/7")), Some("relay"), "outside"),
        ] {
            let e = b.allow(subject.as_ref(), reason, None).unwrap_err();
            assert!(e.contains(part), "{part}: {e}");
        }
        assert_eq!(TokenRestrictions::default().allow(None, None, None), Ok(()));
    }

    #[test]
    fn roles_are_ordered_and_parse_from_their_names() {
        assert!(Role::ALL.is_sorted_by(|a, b| a < b));
        for r in Role::ALL {
            assert_eq!(r.name().parse(), Ok(r));
        }
        assert!(
            "root"
                .parse::<Role>()
                .unwrap_err()
                .contains("login, reader, reporter")
        );
    }

    #[test]
    fn stored_roles_keep_their_numbers() {
        let stored = [
            Role::Reader,
            Role::Reporter,
            Role::Editor,
            Role::Operator,
            Role::Owner,
            Role::Login,
        ];
        for (number, role) in (0u8..).zip(stored) {
            assert_eq!(postcard::to_stdvec(&role).unwrap(), [number], "{role:?}");
        }
    }

    #[test]
    fn user_names_are_ascii_without_spaces_and_slashes() {
        for good in ["anna", "feed-1", "a.b@c_d"] {
            assert_eq!(check_name(good), Ok(()));
        }
        for bad in ["", "a b", "a\nb", "ä", &"x".repeat(65), "a/b"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
