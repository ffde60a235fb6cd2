//! Who may do what: roles, the bounds of a token, and people and tokens as they are kept.

use serde::{Deserialize, Serialize};

use super::{subject::Subject, time::Time};

/// What somebody may do. Each role may all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub enum Role {
    /// Reads: listings, history, zones, changes, state.
    Reader,
    /// Proposes listings, which somebody else approves.
    Reporter,
    /// Lists, renews and delists.
    Editor,
    /// Exempts, imports, purges, undoes, breaks holds; sets webhooks; reads the audit log.
    Operator,
    /// Makes people and tokens.
    Owner,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Role; 5] = [
        Role::Reader,
        Role::Reporter,
        Role::Editor,
        Role::Operator,
        Role::Owner,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Role::Reader => "reader",
            Role::Reporter => "reporter",
            Role::Editor => "editor",
            Role::Operator => "operator",
            Role::Owner => "owner",
        }
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

/// What a token's writes are bound to; an empty list binds to nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// Only these reasons.
    pub reasons: Vec<String>,
    /// Only these sources.
    pub sources: Vec<String>,
    /// Only what these subjects cover.
    pub prefixes: Vec<Subject>,
}

impl Bounds {
    /// Whether it binds to nothing.
    pub fn is_empty(&self) -> bool {
        *self == Bounds::default()
    }

    /// Whether a write is within them. `None` for a reason or source stands for all there are,
    /// which only what is not bound in that may touch. The error says what is out of them.
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

/// A person who may log in; its secrets are kept as hashes, but for the one that both sides need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The name, which is also the author of what the person does.
    pub name: String,
    /// What the person may do.
    pub role: Role,
    /// The password as an argon2 string (PHC format).
    pub password: String,
    /// The secret of one-time passwords (RFC 6238): SHA-1, six digits, thirty seconds.
    pub totp: Vec<u8>,
    /// SHA-256 of recovery codes that were not used yet.
    pub recovery: Vec<[u8; 32]>,
    /// Since when.
    pub since: Time,
    /// Since when the person, and every token of theirs, may do nothing.
    pub disabled: Option<Time>,
}

/// A key to the API, for a person or a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its number, the first part of what is shown once.
    pub id: String,
    /// Whose it is: a person's name, or a program's.
    pub owner: String,
    /// Whether that is a person: then it may no more than the person may, and ends with them.
    pub person: bool,
    /// What it may do.
    pub role: Role,
    /// What its writes are bound to.
    pub bounds: Bounds,
    /// SHA-256 of the secret, its second part.
    pub hash: [u8; 32],
    /// Since when.
    pub since: Time,
    /// Who made it.
    pub by: String,
    /// When it ends.
    pub expires: Option<Time>,
    /// How many requests it may make in a minute.
    pub per_minute: Option<u32>,
    /// Since when it may do nothing.
    pub revoked: Option<Time>,
}

impl Token {
    /// Whether it may still be used.
    pub fn alive(&self, now: Time) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|t| t > now)
    }
}

/// Names that orbsd itself writes as an author, or decides under as a source; nobody else has one.
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
    pub(crate) fn person(name: &str) -> Person {
        let name = name.to_string();
        Person {
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
        let b = Bounds {
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
        assert_eq!(Bounds::default().allow(None, None, None), Ok(()));
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
