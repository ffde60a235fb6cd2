//! TSIG keys (RFC 8945): secrets shared with mirrors, and the forms of their files.

use std::{fmt, sync::Arc};

use data_encoding::BASE64;

/// The shortest secret, in bytes: 128 bits.
pub const MIN_SECRET: usize = 16;
/// The longest secret, in bytes.
pub const MAX_SECRET: usize = 512;
/// The longest key file, in bytes.
pub const MAX_KEY_FILE: usize = 4096;

/// A TSIG algorithm. Algorithms older than SHA-2 are not supported (RFC 8945 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[allow(missing_docs)]
#[strum(serialize_all = "kebab-case")]
pub enum Algorithm {
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Algorithm; 3] = [
        Algorithm::HmacSha256,
        Algorithm::HmacSha384,
        Algorithm::HmacSha512,
    ];

    /// The name in files, and as a domain name in messages (RFC 8945 section 6).
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The length of a MAC in bytes, which is also the length of a good secret (RFC 8945 section
    /// 8).
    pub fn mac_len(self) -> usize {
        match self {
            Algorithm::HmacSha256 => 32,
            Algorithm::HmacSha384 => 48,
            Algorithm::HmacSha512 => 64,
        }
    }
}

impl std::str::FromStr for Algorithm {
    type Err = String;
    fn from_str(text: &str) -> Result<Algorithm, String> {
        let known = Algorithm::ALL
            .into_iter()
            .find(|a| a.name().eq_ignore_ascii_case(text));
        known.ok_or_else(|| {
            format!("the algorithm `{text}` is not hmac-sha256, hmac-sha384 or hmac-sha512")
        })
    }
}

/// A TSIG key. `Debug` does not print its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct TsigKey {
    name: Box<str>,
    algorithm: Algorithm,
    secret: Box<[u8]>,
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TsigKey")
            .field("name", &self.name)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl TsigKey {
    /// Makes a key.
    ///
    /// # Errors
    ///
    /// The name is not valid, or the secret is too short or too long.
    pub fn new(name: &str, algorithm: Algorithm, secret: &[u8]) -> Result<TsigKey, String> {
        if !(MIN_SECRET..=MAX_SECRET).contains(&secret.len()) {
            return Err(format!(
                "the secret has {} bytes; use at least {MIN_SECRET} and at most {MAX_SECRET}",
                secret.len()
            ));
        }
        Ok(TsigKey {
            name: key_name(name)?.into(),
            algorithm,
            secret: secret.into(),
        })
    }

    /// Reads the secret of a key from a file: base64 alone, or BIND's form, in which name and
    /// algorithm must be those of the arguments.
    ///
    /// # Errors
    ///
    /// The line (from 1) and a message, which never has the secret.
    pub fn read(name: &str, algorithm: Algorithm, file: &str) -> Result<TsigKey, (usize, String)> {
        let (line, secret) = if file.contains('{') {
            clause(name, algorithm, file)?
        } else {
            base64_line(file)?
        };
        let packed: String = secret.split_whitespace().collect();
        // The message does not quote the text: it may be a mistyped secret.
        let secret = BASE64
            .decode(packed.as_bytes())
            .map_err(|_| (line, "the secret is not base64".to_string()))?;
        TsigKey::new(name, algorithm, &secret).map_err(|e| (line, e))
    }

    /// The name and the algorithm in a file in BIND's form, for [`TsigKey::read`].
    ///
    /// # Errors
    ///
    /// The file is not in BIND's form, or its algorithm is not supported.
    pub fn parse_header(file: &str) -> Result<(String, Algorithm), String> {
        let tokens: Vec<String> = tokens(file).into_iter().map(|t| t.1).collect();
        let at = tokens
            .iter()
            .position(|t| t.eq_ignore_ascii_case("algorithm"));
        match (tokens.first(), tokens.get(1), at.and_then(|at| tokens.get(at + 1))) {
            (Some(key), Some(name), Some(algorithm)) if key.eq_ignore_ascii_case("key") => Ok((name.clone(), algorithm.parse()?)),
            _ => Err("the file does not name its key; write it as key \"name\" { algorithm …; secret \"…\"; };".into()),
        }
    }

    /// The name, in lower case without a final dot.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
    /// The secret.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }
}

/// The canonical form of a key's name: lower case, without a final dot.
///
/// # Errors
///
/// The text is not a domain name of letters, digits, `-` and `_`.
pub fn key_name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let fine = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    if name.len() > 253 || !name.split('.').all(fine) {
        return Err(format!(
            "`{text}` is not a valid key name: use labels of letters, digits, `-` and `_`, separated by dots"
        ));
    }
    Ok(name)
}

/// The number and text of the one line that is neither empty nor a comment.
fn base64_line(file: &str) -> Result<(usize, String), (usize, String)> {
    let lines = file.lines().enumerate().map(|(i, l)| (i + 1, l.trim()));
    let mut lines = lines.filter(|(_, l)| !l.is_empty() && !l.starts_with('#'));
    let (line, secret) = lines.next().ok_or((
        1,
        "there is no secret; create one with `orbsd key`".to_string(),
    ))?;
    match lines.next() {
        Some((second, _)) => Err((
            second,
            "there is a second line; write the base64 secret on one line".into(),
        )),
        None => Ok((line, secret.into())),
    }
}

/// The line and the secret of a file in BIND's form:
/// `key "name" { algorithm hmac-sha256; secret "…"; };`.
fn clause(
    name: &str,
    algorithm: Algorithm,
    file: &str,
) -> Result<(usize, String), (usize, String)> {
    let tokens = tokens(file);
    let last = tokens.last().map_or(1, |(line, _)| *line);
    let mut tokens = tokens.into_iter();
    let mut next = |wanted: &str| match tokens.next() {
        Some((line, t)) if wanted.is_empty() || t.eq_ignore_ascii_case(wanted) => Ok((line, t)),
        Some((line, _)) => Err((
            line,
            format!(
                "`{wanted}` is missing here; the form is key \"name\" {{ algorithm …; secret \"…\"; }};"
            ),
        )),
        None => Err((
            last,
            "the file ends too early; the form is key \"name\" { algorithm …; secret \"…\"; };"
                .to_string(),
        )),
    };
    next("key")?;
    let (line, found) = next("")?;
    if key_name(&found).ok() != key_name(name).ok() {
        return Err((
            line,
            format!("the key is named `{found}` here and `{name}` in config.toml"),
        ));
    }
    next("{")?;
    let mut secret = None;
    for _ in 0..2 {
        let (line, keyword) = next("")?;
        let (at, value) = next("")?;
        match keyword.to_ascii_lowercase().as_str() {
            "algorithm" if !value.eq_ignore_ascii_case(algorithm.name()) => {
                return Err((
                    at,
                    format!(
                        "the algorithm is `{value}` here and `{}` in config.toml",
                        algorithm.name()
                    ),
                ));
            }
            "algorithm" => {}
            "secret" => secret = Some((at, value)),
            _ => {
                return Err((
                    line,
                    "a key has only an `algorithm` and a `secret`; remove anything else".into(),
                ));
            }
        }
        next(";")?;
    }
    next("}")?;
    next(";")?;
    match tokens.next() {
        Some((line, _)) => Err((
            line,
            "there is more than one key; use a file for each".into(),
        )),
        None => secret.ok_or((last, "there is no `secret`".into())),
    }
}

/// The tokens of BIND's form with their lines: quoted and plain words, `{`, `}` and `;`. Comments
/// are left out.
fn tokens(file: &str) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    let (mut rest, mut line) = (file, 1);
    while let Some(c) = rest.chars().next() {
        let comment_end = match rest {
            r if r.starts_with("//") || r.starts_with('#') => Some(r.find('\n').unwrap_or(r.len())),
            r if r.starts_with("/*") => Some(r.find("*/").map_or(r.len(), |i| i + 2)),
            _ => None,
        };
        let len = match c {
            _ if comment_end.is_some() => comment_end.unwrap_or(0),
            c if c.is_whitespace() => c.len_utf8(),
            '{' | '}' | ';' => {
                out.push((line, c.to_string()));
                1
            }
            '"' => {
                let end = rest[1..].find('"').unwrap_or(rest.len() - 1);
                out.push((line, rest[1..=end].to_string()));
                (end + 2).min(rest.len())
            }
            _ => {
                let end = rest
                    .find(|c: char| c.is_whitespace() || "{};\"".contains(c))
                    .unwrap_or(rest.len());
                out.push((line, rest[..end].to_string()));
                end
            }
        };
        line += rest[..len].matches('\n').count();
        rest = &rest[len..];
    }
    out
}

/// The TSIG keys of a server, by name.
#[derive(Debug, Clone, Default)]
pub struct Keys(Vec<Arc<TsigKey>>);

impl Keys {
    /// Makes a set of keys.
    ///
    /// # Errors
    ///
    /// Two keys have the same name.
    pub fn new(keys: Vec<TsigKey>) -> Result<Keys, String> {
        let mut keys: Vec<Arc<TsigKey>> = keys.into_iter().map(Arc::new).collect();
        keys.sort_by(|a, b| a.name.cmp(&b.name));
        match keys.windows(2).find(|w| w[0].name == w[1].name) {
            Some(pair) => Err(format!(
                "there are two keys with the name `{}`",
                pair[0].name
            )),
            None => Ok(Keys(keys)),
        }
    }

    /// The key with a name, in any letter case, with or without a final dot.
    pub fn get(&self, name: &str) -> Option<&Arc<TsigKey>> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.0
            .binary_search_by(|k| (*k.name).cmp(&name))
            .ok()
            .map(|i| &self.0[i])
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

    fn read(file: &str) -> Result<TsigKey, (usize, String)> {
        TsigKey::read("Mirror.", Algorithm::HmacSha256, file)
    }

    #[test]
    fn key_file_is_base64_or_in_the_form_of_bind() {
        for file in [
            SECRET.to_string(),
            format!("\n# a comment\n  {SECRET}  \n"),
            format!("key \"mirror\" {{\n\talgorithm hmac-sha256;\n\tsecret \"{SECRET}\";\n}};\n"),
            format!(
                "# one\n// two\n/* three\n four */ key MIRROR. {{ secret {SECRET}; algorithm \"HMAC-SHA256\"; }};"
            ),
        ] {
            let key = read(&file).unwrap_or_else(|e| panic!("{file}: {e:?}"));
            assert_eq!(
                (key.name(), key.secret()),
                ("mirror", &b"01234567890123456789012345678901"[..])
            );
            assert!(!format!("{key:?}").contains("48"), "{key:?}");
        }
    }

    #[test]
    fn errors_name_the_line_and_never_the_secret() {
        let (c, o) = (SECRET, "key \"mirror\" {\nalgorithm hmac-sha256;\n");
        for (file, line, part) in [
            (String::new(), 1, "no secret"),
            ("\n\nsecret!\n".into(), 3, "not base64"),
            (format!("{c}\n{c}\n"), 2, "second line"),
            ("c2hvcnQ=".into(), 1, "at least 16"),
            ("key \"other\" {".into(), 1, "`other` here and `Mirror.`"),
            (
                "key mirror {\n\nalgorithm hmac-md5;".into(),
                3,
                "`hmac-md5` here",
            ),
            (format!("{o}secret \"{c}\"\n}};"), 4, "`;` is missing"),
            (format!("{o}secret \"{c}\";"), 3, "ends too early"),
            (
                format!("{o}secret \"{c}\"; }};\nkey b {{ }};"),
                4,
                "more than one",
            ),
            (format!("{o}algorithm hmac-sha256; }};"), 3, "no `secret`"),
            (format!("{o}secret \"x{c}\"; }};"), 3, "not base64"),
            (format!("{o}server 1;"), 3, "remove anything else"),
            (format!("{o}secret \"{c}"), 3, "ends too early"),
        ] {
            let (at, message) = read(&file).unwrap_err();
            assert!(
                at == line && message.contains(part) && !message.contains(&c[..8]),
                "{file:?}: {at} {message}"
            );
        }
        for name in ["", ".", "a..b", "a b", "ä", &"x".repeat(64)] {
            assert!(key_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn keys_are_found_by_name_in_any_case() {
        let key = |n: &str| TsigKey::new(n, Algorithm::HmacSha512, &[7; 64]).unwrap();
        let keys = Keys::new(vec![key("b.example"), key("A")]).unwrap();
        assert_eq!(keys.get("B.Example.").map(|k| k.name()), Some("b.example"));
        assert_eq!(keys.get("a").map(|k| k.name()), Some("a"));
        assert!(keys.get("c").is_none() && !keys.is_empty());
        assert!(
            Keys::new(vec![key("b"), key("B.")])
                .unwrap_err()
                .contains("`b`")
        );
    }
}
