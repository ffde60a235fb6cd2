//! What a person asks about: an address, a prefix, a domain or a mail address; and whether a text
//! names it.

use std::net::IpAddr;

use crate::model::{Subject, subject::HostBits};

/// Recognises the data of one or more persons.
pub trait Person {
    /// Whether a subject is theirs. A domain also has the names below it.
    fn is_subject(&self, subject: &Subject) -> bool;
    /// Whether a text names them.
    fn is_named_by(&self, text: &str) -> bool;
}

/// What a person asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonalSubject {
    /// The text, in lower case; that of a domain is its name without the mark of a scope.
    text: String,
    /// The address, prefix or domain; `None` for a mail address.
    subject: Option<Subject>,
}

impl PersonalSubject {
    /// Parses an address, a prefix, a domain or a mail address.
    ///
    /// # Errors
    ///
    /// The text is none of them.
    pub fn parse(text: &str) -> Result<PersonalSubject, String> {
        let text = text.trim();
        if let Some((local, domain)) = text.rsplit_once('@') {
            let is_plain = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
            let is_address = !local.is_empty() && local.chars().all(is_plain);
            let domain: Subject = domain.parse().map_err(|_| not_one(text))?;
            return match is_address && !domain.is_address() {
                true => Ok(PersonalSubject {
                    text: text.to_lowercase(),
                    subject: None,
                }),
                false => Err(not_one(text)),
            };
        }
        let subject = Subject::parse(text, HostBits::Refuse).map_err(|e| e.to_string())?;
        let text = match &subject {
            Subject::Domain(domain) => domain.name().to_lowercase(),
            address => address.to_string(),
        };
        Ok(PersonalSubject {
            text,
            subject: Some(subject),
        })
    }

    /// The text, in lower case.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The address, prefix or domain; `None` for a mail address.
    pub fn subject(&self) -> Option<&Subject> {
        self.subject.as_ref()
    }

    /// The address, if it is that of a single host.
    pub fn host(&self) -> Option<IpAddr> {
        match self.subject {
            Some(Subject::V4(p)) if p.is_host() => Some(IpAddr::V4(p.first().into())),
            Some(Subject::V6(p)) if p.is_host() => Some(IpAddr::V6(p.first().into())),
            _ => None,
        }
    }
}

impl Person for PersonalSubject {
    fn is_subject(&self, subject: &Subject) -> bool {
        let own = self.subject.as_ref();
        own == Some(subject) || !subject.is_address() && self.is_named_by(&subject.to_string())
    }

    /// Whether a text names it as a whole: `192.0.2.1` is not named by `192.0.2.10`. A name below a
    /// domain, and a mail address at it, name the domain.
    fn is_named_by(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let is_domain = self.subject.as_ref().is_some_and(|s| !s.is_address());
        let is_inner = |c: char| c.is_alphanumeric() || "-_".contains(c);
        text.match_indices(&self.text).any(|(at, found)| {
            let before = text[..at].chars().next_back();
            let before_fits = before.is_none_or(|c| match c {
                '.' | '@' => is_domain,
                '+' => self.subject.is_some(),
                // Behind a colon an IPv6 address can be the end of a longer one.
                ':' => !self.text.contains(':'),
                c => !is_inner(c),
            });
            let mut after = text[at + found.len()..].chars();
            let after_fits = match after.next() {
                None => true,
                Some('.') => !after.next().is_some_and(is_inner),
                Some('/') => !after.next().is_some_and(|c| c.is_ascii_digit()),
                Some(c) => {
                    !is_inner(c) && c != ':' && c != '@' || (c == ':' && !self.text.contains(':'))
                }
            };
            before_fits && after_fits
        })
    }
}

fn not_one(text: &str) -> String {
    format!("`{text}` is not an address, a prefix, a domain or a mail address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_a_whole_address_domain_or_mail_address() {
        for (subject, text, expected) in [
            ("192.0.2.1", "from [192.0.2.1]:25", true),
            ("192.0.2.1", "192.0.2.1.", true),
            ("192.0.2.1", "192.0.2.10", false),
            ("192.0.2.1", "1192.0.2.1", false),
            ("192.0.2.1", "192.0.2.1/24", false),
            ("192.0.2.1", "1.192.0.2.1", false),
            ("2001:db8::1", "(2001:DB8::1)", true),
            ("2001:db8::1", "2001:db8::1:2", false),
            ("example.org", "mx.Example.org said", true),
            ("example.org", "<anna@example.org>", true),
            ("example.org", "notexample.org", false),
            ("example.org", "example.org.uk", false),
            ("anna@example.org", "Mail Anna@Example.org.", true),
            ("anna@example.org", "joanna@example.org", false),
            ("anna@example.org", "jo.anna@example.org", false),
            ("anna@example.org", "anna@example.org.uk", false),
            ("anna@example.org", "mailto:anna@example.org", true),
            ("anna@example.org", "list+anna@example.org", false),
            ("192.0.2.1", "v=spf1 ip4:192.0.2.1 -all", true),
            (".example.org", "mx.example.org", true),
        ] {
            let subject = PersonalSubject::parse(subject).unwrap();
            assert_eq!(subject.is_named_by(text), expected, "{subject:?} in {text}");
        }
    }

    #[test]
    fn domain_has_the_names_below_it_as_subjects() {
        let domain = PersonalSubject::parse("example.org").unwrap();
        for (subject, expected) in [
            ("example.org", true),
            ("mx.example.org", true),
            (".example.org", true),
            ("*.example.org", true),
            ("notexample.org", false),
            ("example.org.uk", false),
            ("192.0.2.1", false),
        ] {
            assert_eq!(
                domain.is_subject(&subject.parse().unwrap()),
                expected,
                "{subject}"
            );
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            "@example.org",
            "a b@example.org",
            "anna@192.0.2.1",
            "not a name",
        ] {
            assert!(PersonalSubject::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            PersonalSubject::parse(" Anna@Example.org ").unwrap().text(),
            "anna@example.org"
        );
    }
}
