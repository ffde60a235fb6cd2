//! The form of the names of a hash zone, such as MSBL's EBL or Spamhaus' HBL.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::domain::{Domain, MAX_LABEL, Scope};

/// The form of a hash zone's names: one label that is a digest of a fixed length.
///
/// A digest stands for something that cannot be a name itself, such as a mail address or a file.
/// Nothing in a digest but its length shows which hash function made it, so the server checks
/// length and alphabet and does not compute digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    /// 32 hexadecimal digits.
    Md5Hex,
    /// 26 base32 characters.
    Md5Base32,
    /// 40 hexadecimal digits.
    Sha1Hex,
    /// 32 base32 characters.
    Sha1Base32,
    /// 56 hexadecimal digits.
    Sha224Hex,
    /// 45 base32 characters.
    Sha224Base32,
    /// 52 base32 characters. In hexadecimal digits (64) it does not fit into a label.
    Sha256Base32,
}

/// How a digest is written in a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    /// RFC 4648 section 8, in lower case.
    Hex,
    /// RFC 4648 section 6, in lower case, without padding.
    Base32,
}

impl Alphabet {
    fn contains(self, byte: u8) -> bool {
        match self {
            Alphabet::Hex => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            Alphabet::Base32 => byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte),
        }
    }
}

/// Each form with its name in a zone file, its length in characters and its alphabet.
const FORMS: [(Digest, &str, usize, Alphabet); 7] = [
    (Digest::Md5Hex, "md5-hex", 32, Alphabet::Hex),
    (Digest::Md5Base32, "md5-base32", 26, Alphabet::Base32),
    (Digest::Sha1Hex, "sha1-hex", 40, Alphabet::Hex),
    (Digest::Sha1Base32, "sha1-base32", 32, Alphabet::Base32),
    (Digest::Sha224Hex, "sha224-hex", 56, Alphabet::Hex),
    (Digest::Sha224Base32, "sha224-base32", 45, Alphabet::Base32),
    (Digest::Sha256Base32, "sha256-base32", 52, Alphabet::Base32),
];

/// Digests in hexadecimal digits that are longer than a label, and what to use instead.
const TOO_LONG: [(&str, usize, &str); 3] = [
    (
        "sha256-hex",
        64,
        "use `sha256-base32`, which has 52 characters",
    ),
    ("sha384-hex", 96, "use `sha256-base32`"),
    ("sha512-hex", 128, "use `sha256-base32`"),
];

impl Digest {
    /// Reads the name of a form as it is written in a zone file, such as `sha1-hex`.
    ///
    /// # Errors
    ///
    /// Names the forms that exist; for one that does not fit into a label, gives its length and
    /// names the one to use.
    pub fn parse(name: &str) -> Result<Digest, String> {
        if let Some((form, ..)) = FORMS.iter().find(|f| f.1 == name) {
            return Ok(*form);
        }
        if let Some((_, len, instead)) = TOO_LONG.iter().find(|t| t.0 == name) {
            return Err(format!(
                "digest: `{name}` has {len} digits, and a label of a name has at most {MAX_LABEL} bytes; {instead}"
            ));
        }
        Err(format!(
            "digest: `{name}` is not known; use one of {}",
            FORMS.map(|f| f.1).join(", ")
        ))
    }

    fn form(self) -> (&'static str, usize, Alphabet) {
        let (_, name, len, alphabet) = FORMS[self as usize];
        (name, len, alphabet)
    }

    /// Its name in a zone file.
    pub fn name(self) -> &'static str {
        self.form().0
    }

    /// How many characters a digest has.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> usize {
        self.form().1
    }

    /// Whether a label is a digest of this form. The label has to be in lower case.
    #[inline]
    pub fn matches(self, label: &[u8]) -> bool {
        let (_, len, alphabet) = self.form();
        label.len() == len && label.iter().all(|b| alphabet.contains(*b))
    }

    /// Checks a label, which may be in upper or lower case.
    ///
    /// # Errors
    ///
    /// Says which length and alphabet are expected, and what was found.
    pub fn check(&self, label: &str) -> Result<(), String> {
        let (name, len, alphabet) = self.form();
        let characters = match alphabet {
            Alphabet::Hex => "hexadecimal digits",
            Alphabet::Base32 => "base32 characters (a to z and 2 to 7, without padding)",
        };
        let lower = label.to_ascii_lowercase();
        let is_other = |c: &char| !u8::try_from(*c).is_ok_and(|b| alphabet.contains(b));
        let problem = match lower.chars().find(is_other) {
            Some(c) => format!("it contains {c:?}"),
            None if lower.len() != len => format!("it has {}", lower.len()),
            None => return Ok(()),
        };
        Err(format!(
            "`{label}` is not a {name} digest, which has {len} {characters}: {problem}"
        ))
    }

    /// Reads a digest as a subject: one label in lower case, without the names below it.
    ///
    /// # Errors
    ///
    /// As [`Digest::check`].
    pub fn read(self, text: &str) -> Result<Domain, String> {
        let label = text.strip_suffix('.').unwrap_or(text);
        self.check(label)?;
        Ok(Domain::from_canonical(
            &label.to_ascii_lowercase(),
            Scope::Name,
        ))
    }

    /// Whether a domain is a subject that a zone of this form publishes.
    pub fn publishes(self, domain: &Domain) -> bool {
        domain.scope() == Scope::Name && self.matches(domain.name().as_bytes())
    }

    /// Whether a label in lower case is a digest of any form.
    pub fn matches_any(label: &[u8]) -> bool {
        FORMS.iter().any(|(form, ..)| form.matches(label))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Digest, D::Error> {
        Digest::parse(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";
    const SHA256: &str = "4oymiquy7qobjgx36tejs35zeqt24qpemsnzgtfeswmrw6csxbkq";

    #[test]
    fn table_has_the_order_of_the_digest_variants() {
        for (form, name, ..) in FORMS {
            assert_eq!((form.name(), Digest::parse(name)), (name, Ok(form)));
            assert!(form.len() <= MAX_LABEL);
        }
    }

    #[test]
    fn digest_of_another_length_or_alphabet_is_refused() {
        assert_eq!(Digest::Md5Hex.check(MD5), Ok(()));
        assert_eq!(Digest::Md5Hex.check(&MD5.to_uppercase()), Ok(()));
        assert_eq!(Digest::Sha256Base32.check(SHA256), Ok(()));
        assert_eq!(
            Digest::Md5Hex.check("12345678901234567890123456789012"),
            Ok(()),
            "digits alone are a digest"
        );
        for (form, label, part) in [
            (Digest::Sha1Hex, MD5, "40 hexadecimal digits: it has 32"),
            (
                Digest::Md5Hex,
                "g41d8cd98f00b204e9800998ecf8427e",
                "it contains 'g'",
            ),
            (Digest::Sha256Base32, "bad.example", "it contains '.'"),
            (Digest::Sha1Base32, MD5, "it contains '1'"),
            (
                Digest::Sha256Base32,
                &SHA256[1..],
                "52 base32 characters (a to z and 2 to 7, without padding): it has 51",
            ),
            (Digest::Md5Hex, "", "it has 0"),
            (
                Digest::Md5Hex,
                "\u{e9}41d8cd98f00b204e9800998ecf8427e",
                "it contains",
            ),
        ] {
            let why = form.check(label).unwrap_err();
            assert!(why.contains(part) && why.contains(form.name()), "{why}");
            assert!(!form.matches(label.as_bytes()), "{label}");
        }
    }

    #[test]
    fn digest_longer_than_a_label_is_refused_with_an_alternative() {
        let why = Digest::parse("sha256-hex").unwrap_err();
        assert!(
            why.contains("64 digits")
                && why.contains("63 bytes")
                && why.contains("`sha256-base32`"),
            "{why}"
        );
        let why = Digest::parse("crc32").unwrap_err();
        assert!(
            why.contains("`crc32` is not known") && why.contains("sha1-hex"),
            "{why}"
        );
    }

    #[test]
    fn digest_is_read_in_any_case_with_or_without_a_final_dot() {
        let read = Digest::Md5Hex
            .read(&format!("{}.", MD5.to_uppercase()))
            .unwrap();
        assert_eq!((read.name(), read.scope()), (MD5, Scope::Name));
        assert!(Digest::Md5Hex.publishes(&read) && !Digest::Sha1Hex.publishes(&read));
        assert!(!Digest::Md5Hex.publishes(&Domain::from_canonical(MD5, Scope::Tree)));
        assert!(Digest::Md5Hex.read(&format!("*.{MD5}")).is_err());
    }
}
