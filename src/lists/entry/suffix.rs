//! Public suffixes: names under which registrants register names.

use crate::model::{Scope, Subject};

/// How a subject is related to the public suffix list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicSuffix {
    /// The name is at or above a suffix of the ICANN section, so it has no single owner.
    Icann,
    /// The name is a suffix of the private section, such as `github.io`, and all names below it are
    /// listed too.
    PrivateTree,
}

/// Whether a subject is a public suffix; `None` if it is not, or if it is one of the `allowed`.
pub fn public_suffix(subject: &Subject, allowed: &[String]) -> Option<PublicSuffix> {
    let Subject::Domain(d) = subject else {
        return None;
    };
    let name = d.name();
    match psl::Psl::suffix(&psl::List, name.as_bytes())
        .map(|s| (s.as_bytes().len() == name.len(), s.typ()))
    {
        Some((true, Some(psl::Type::Icann))) if !is_allowed(name, allowed) => {
            Some(PublicSuffix::Icann)
        }
        Some((true, Some(psl::Type::Private))) if d.scope() != Scope::Name => {
            Some(PublicSuffix::PrivateTree)
        }
        Some(_) if is_above_suffix(name) && !is_allowed(name, allowed) => Some(PublicSuffix::Icann),
        _ => None,
    }
}

pub(super) fn is_top_level(label: &str) -> bool {
    psl::Psl::suffix(&psl::List, label.as_bytes())
        .is_some_and(|s| s.typ() == Some(psl::Type::Icann))
        || is_above_suffix(label)
}

fn is_allowed(name: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|a| {
        a.trim_start_matches("*.")
            .trim_matches('.')
            .eq_ignore_ascii_case(name)
    })
}

/// Whether every name directly below this one is a suffix: a wildcard rule of the list, such as
/// `*.kawasaki.jp`.
fn is_above_suffix(name: &str) -> bool {
    let below = ["a.", name].concat();
    psl::Psl::suffix(&psl::List, below.as_bytes())
        .is_some_and(|s| s.typ() == Some(psl::Type::Icann) && s.as_bytes().len() == below.len())
}
