//! A listed domain name, and the names that it stands for.

use std::{cmp::Ordering, fmt};

/// The names that a listed domain stands for (the notation is that of rbldnsd's `dnset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `a.b`: the name alone.
    Name = 0,
    /// `*.a.b`: every name below it, not the name.
    Below = 1,
    /// `.a.b`: the name and every name below it.
    Tree = 2,
}

impl Scope {
    /// Whether it includes the name itself.
    pub fn name(self) -> bool {
        self != Scope::Below
    }
    /// Whether it includes the names below the name.
    pub fn below(self) -> bool {
        self != Scope::Name
    }
}

/// A domain in lower-case A-labels without a final dot, and its scope.
///
/// Ordered canonically (RFC 4034 section 6.1: by labels from the right), then by scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Domain {
    name: Box<str>,
    scope: Scope,
}

/// The longest name that can be queried: 253 characters in text (RFC 1035 section 2.3.4).
pub const MAX_NAME: usize = 253;
/// The longest label (RFC 1035 section 2.3.4).
pub const MAX_LABEL: usize = 63;
/// The length of the shortest digest of a hash zone. A label with at least as many digits is a
/// digest, not a mistyped address.
const MIN_DIGEST: usize = 26;

impl Domain {
    /// Reads `a.b`, `*.a.b` or `.a.b`, in A-label or U-label form, any letter case, with or without
    /// a final dot.
    ///
    /// # Errors
    ///
    /// As [`name_to_ascii`].
    pub fn parse(text: &str) -> Result<Domain, String> {
        Domain::read(text, name_to_ascii)
    }

    /// As [`Domain::parse`], but accepts a name that has only digits: for text that is known to be
    /// a name, such as a line of a list of domains.
    ///
    /// # Errors
    ///
    /// As [`any_name_to_ascii`].
    pub fn parse_any(text: &str) -> Result<Domain, String> {
        Domain::read(text, any_name_to_ascii)
    }

    fn read(text: &str, name: fn(&str) -> Result<Box<str>, String>) -> Result<Domain, String> {
        let (scope, rest) = match text.strip_prefix("*.") {
            Some(rest) => (Scope::Below, rest),
            None => match text.strip_prefix('.') {
                Some(rest) => (Scope::Tree, rest),
                None => (Scope::Name, text),
            },
        };
        Ok(Domain {
            name: name(rest.strip_suffix('.').unwrap_or(rest))?,
            scope,
        })
    }

    /// Makes a domain of a name that is already canonical (lower-case A-labels, no final dot, at
    /// most 253 characters), as the store has it.
    pub fn from_canonical(name: &str, scope: Scope) -> Domain {
        // The tables store the lengths of names as bytes.
        debug_assert!(name.len() <= MAX_NAME, "a name of {} bytes", name.len());
        Domain {
            name: name.into(),
            scope,
        }
    }

    /// The name, without the mark of its scope.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names that it stands for.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether this domain stands for every name that `other` stands for.
    pub fn covers(&self, other: &Domain) -> bool {
        let same = self.name == other.name;
        let inside = other.name.len() > self.name.len()
            && other.name.ends_with(&*self.name)
            && other.name.as_bytes()[other.name.len() - self.name.len() - 1] == b'.';
        match self.scope {
            Scope::Name => same && other.scope == Scope::Name,
            Scope::Below => inside || (same && other.scope == Scope::Below),
            Scope::Tree => inside || same,
        }
    }
}

/// Converts a host name to lower-case A-labels.
///
/// A name that has only digits is refused as a mistyped address, unless it is one label that is as
/// long as a digest.
///
/// # Errors
///
/// Says why the text is not a domain name.
pub fn name_to_ascii(text: &str) -> Result<Box<str>, String> {
    let name = any_name_to_ascii(text)?;
    let digest = name.len() >= MIN_DIGEST && !name.contains('.');
    if !digest && name.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(format!(
            "`{text}` is not a domain name: it has only digits; an IPv4 address has four octets, a prefix is written 192.0.2.0/24"
        ));
    }
    Ok(name)
}

/// As [`name_to_ascii`], but accepts a name that has only digits: for lists of domains and for the
/// store, whose text is known to be a name.
///
/// # Errors
///
/// Says why the text is not a domain name.
pub fn any_name_to_ascii(text: &str) -> Result<Box<str>, String> {
    let bad = |why: &str| Err(format!("`{text}` is not a domain name: {why}"));
    // IDNA is applied only to names beyond ASCII: it would refuse names with `_`.
    let name = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        match idna::domain_to_ascii(text) {
            Ok(name) => name,
            Err(_) => return bad("it cannot be written in A-labels (IDNA)"),
        }
    };
    if name.is_empty() || name.len() > MAX_NAME {
        return bad("a name has 1 to 253 characters");
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > MAX_LABEL {
            return bad("a label has 1 to 63 characters");
        }
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if let Some(c) = label.chars().find(|c| !is_allowed(*c)) {
            return bad(&format!("the character {c:?} is not allowed"));
        }
        // An A-label that does not decode would be stored under a name that no client queries.
        if label.starts_with("xn--") && idna::domain_to_unicode(label).1.is_err() {
            return bad("an xn-- label does not decode (IDNA)");
        }
    }
    Ok(name.into())
}

impl PartialOrd for Domain {
    fn partial_cmp(&self, other: &Domain) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Domain {
    fn cmp(&self, other: &Domain) -> Ordering {
        self.name
            .rsplit('.')
            .cmp(other.name.rsplit('.'))
            .then(self.scope.cmp(&other.scope))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = ["", "*.", "."][self.scope as usize];
        write!(f, "{mark}{}", self.name)
    }
}

/// Whether many holders share a name: it is a public suffix, such as `co.uk` or `github.io`.
pub fn is_public_suffix(name: &str) -> bool {
    psl::Psl::suffix(&psl::List, name.as_bytes()).is_some_and(|s| s.as_bytes().len() == name.len())
}

/// Returns the registered domain of a name (the public suffix and one label before it), or the
/// name itself if it has none.
pub fn registered_domain(name: &str) -> &str {
    let found = psl::Psl::domain(&psl::List, name.as_bytes());
    let length = found.map_or(name.len(), |d| d.as_bytes().len());
    &name[name.len() - length..]
}

/// Whether a name is a domain or below it; both are in lower case.
pub fn is_at_or_below(name: &str, domain: &str) -> bool {
    let rest = name.strip_suffix(domain);
    rest.is_some_and(|r| r.is_empty() || r.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idna_names_are_stored_as_a_labels() {
        assert_eq!(
            Domain::parse("BÜCHER.example.").unwrap().to_string(),
            "xn--bcher-kva.example"
        );
        assert_eq!(
            Domain::parse("*.xn--bcher-kva.example")
                .unwrap()
                .to_string(),
            "*.xn--bcher-kva.example"
        );
        assert_eq!(Domain::parse(".A.b").unwrap().scope(), Scope::Tree);
        for bad in [
            "",
            "*.",
            "a..b",
            "1.2.3",
            "a b.c",
            "xn--99999999.x",
            &"a".repeat(64),
        ] {
            assert!(Domain::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn domains_are_ordered_by_labels_from_the_right() {
        let mut v: Vec<_> = [
            "b.example",
            "a.example",
            "example",
            "z.a.example",
            "*.a.example",
        ]
        .map(|s| Domain::parse(s).unwrap())
        .into();
        v.sort();
        assert_eq!(
            v.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "example",
                "a.example",
                "*.a.example",
                "z.a.example",
                "b.example"
            ]
        );
    }

    #[test]
    fn covers_follows_the_scope() {
        let d = |s: &str| Domain::parse(s).unwrap();
        assert!(d(".a.b").covers(&d("a.b")) && d(".a.b").covers(&d("x.a.b")));
        assert!(!d("*.a.b").covers(&d("a.b")) && d("*.a.b").covers(&d(".x.a.b")));
        assert!(!d("a.b").covers(&d("x.a.b")) && !d(".a.b").covers(&d("xa.b")));
    }

    #[test]
    fn registered_domain_ends_at_the_public_suffix() {
        for (name, expected) in [
            ("a.b.example.co.uk", "example.co.uk"),
            ("example.com", "example.com"),
            ("com", "com"),
            ("x.y.github.io", "y.github.io"),
        ] {
            assert_eq!(registered_domain(name), expected, "{name}");
        }
    }
}
