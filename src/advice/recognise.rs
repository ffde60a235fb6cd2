//! Recognises products by what they say in a session.

use regex::{Regex, RegexSet};

use super::{Confidence, Library, Product, SessionPart, version::Version};

/// The patterns of one part of a session.
#[derive(Debug, Default)]
struct PartPatterns {
    set: RegexSet,
    /// For each pattern of the set: itself, its product and its recognition.
    rules: Vec<(Regex, usize, usize)>,
}

/// All patterns of all products.
#[derive(Debug)]
pub struct Recogniser {
    greeting: PartPatterns,
    ehlo: PartPatterns,
    help: PartPatterns,
    reply: PartPatterns,
}

/// A product that was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recognised {
    /// The product.
    pub product: &'static Product,
    /// Its version, if the text has it.
    pub version: Option<String>,
    /// The text, one line.
    pub text: String,
    /// Where it was.
    pub part: SessionPart,
    /// Whether other products send this text too.
    pub vague: bool,
    /// How sure the pattern is.
    pub confidence: Confidence,
}

/// How many bytes of a line are looked at. Greetings are at most 512 bytes long (RFC 5321 section
/// 4.5.3.1.5).
const MAX_LINE_BYTES: usize = 1024;

/// How many lines of a text are looked at.
const MAX_LINES: usize = 64;

impl PartPatterns {
    fn new(products: &[Product], part: SessionPart) -> PartPatterns {
        let mut rules = Vec::new();
        let mut patterns = Vec::new();
        for (p, product) in products.iter().enumerate() {
            for (r, recognition) in product.recognition.iter().enumerate() {
                // The lint refuses patterns that are not valid.
                if recognition.part == part
                    && let Ok(regex) = Regex::new(&recognition.pattern)
                {
                    patterns.push(recognition.pattern.as_str());
                    rules.push((regex, p, r));
                }
            }
        }
        PartPatterns {
            set: RegexSet::new(&patterns).unwrap_or_default(),
            rules,
        }
    }
}

impl Recogniser {
    /// Compiles the patterns of all products.
    pub(super) fn new(products: &[Product]) -> Recogniser {
        let part = |part| PartPatterns::new(products, part);
        Recogniser {
            greeting: part(SessionPart::Greeting),
            ehlo: part(SessionPart::Ehlo),
            help: part(SessionPart::Help),
            reply: part(SessionPart::Reply),
        }
    }

    fn part(&self, part: SessionPart) -> &PartPatterns {
        match part {
            SessionPart::Greeting => &self.greeting,
            SessionPart::Ehlo => &self.ehlo,
            SessionPart::Help => &self.help,
            SessionPart::Reply => &self.reply,
        }
    }
}

/// Returns the products that a text of a session shows, the surest first and each once. The text
/// has one or more lines, each with its reply code.
pub fn recognise(part: SessionPart, text: &str) -> Vec<Recognised> {
    recognise_lines(text.lines().take(MAX_LINES).map(|line| (part, line)))
}

/// As [`recognise`], for lines of several parts of a session.
pub fn recognise_lines<'t>(
    lines: impl IntoIterator<Item = (SessionPart, &'t str)>,
) -> Vec<Recognised> {
    let library = Library::get();
    let mut out: Vec<Recognised> = Vec::new();
    for (part, line) in lines {
        let patterns = library.recogniser().part(part);
        let line = shorten(line.trim_end());
        for index in patterns.set.matches(line) {
            let (regex, product, recognition) = &patterns.rules[index];
            let product = &library.products()[*product];
            let recognition = &product.recognition[*recognition];
            let version = regex
                .captures(line)
                .and_then(|found| Some(found.name("version")?.as_str().into()));
            out.push(Recognised {
                product,
                version,
                text: line.into(),
                part,
                vague: recognition.vague,
                confidence: recognition.confidence,
            });
        }
    }
    surest_first(out)
}

/// Returns the products that a pasted text shows: a greeting with or without its code, or any
/// lines of a session or of a log.
pub fn recognise_pasted(text: &str) -> Vec<Recognised> {
    const SIGNS: [&str; 5] = ["S: ", "<- ", "<~ ", "<< ", "< "];
    let mut out = Vec::new();
    for line in text.lines().take(MAX_LINES) {
        let line = line.trim();
        let sign = SIGNS.iter().find_map(|sign| line.strip_prefix(sign));
        let line = sign.unwrap_or(line).trim_start();
        let digits = |c: &&str| c.bytes().all(|b| b.is_ascii_digit());
        let parts: &[SessionPart] = match line.get(..3).filter(digits) {
            Some("220") => &[SessionPart::Greeting],
            Some("250") => &[SessionPart::Ehlo, SessionPart::Reply],
            Some("211" | "214") => &[SessionPart::Help],
            Some(_) => &[SessionPart::Reply, SessionPart::Greeting],
            None => {
                out.extend(recognise(SessionPart::Greeting, &format!("220 {line}")));
                continue;
            }
        };
        out.extend(parts.iter().flat_map(|part| recognise(*part, line)));
    }
    surest_first(out)
}

/// Puts the surest first, and keeps each product once.
pub(super) fn surest_first(mut found: Vec<Recognised>) -> Vec<Recognised> {
    found.sort_by_key(|r| {
        (
            r.vague,
            r.version.is_none(),
            std::cmp::Reverse(r.confidence),
            r.part != SessionPart::Greeting,
        )
    });
    let mut seen = Vec::new();
    found.retain(|r| {
        let is_new = !seen.contains(&r.product.id.as_str());
        seen.push(r.product.id.as_str());
        is_new
    });
    // A text that several products send counts only if nothing names one of them.
    if found.iter().any(|r| !r.vague) {
        found.retain(|r| !r.vague);
    }
    found
}

fn shorten(line: &str) -> &str {
    let mut end = line.len().min(MAX_LINE_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    &line[..end]
}

impl Recognised {
    /// The version, to be compared.
    pub(super) fn parsed_version(&self) -> Option<Version> {
        Version::parse(self.version.as_deref()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_recognised_as_its_product_alone() {
        for product in Library::get().products() {
            for recognition in &product.recognition {
                for example in &recognition.examples {
                    let found = recognise(recognition.part, example);
                    let ids: Vec<&str> = found.iter().map(|r| r.product.id.as_str()).collect();
                    match recognition.vague {
                        false => assert_eq!(ids, [product.id.as_str()], "{example}"),
                        true => assert!(ids.contains(&product.id.as_str()), "{example}"),
                    }
                }
            }
        }
    }

    #[test]
    fn pasted_greeting_is_recognised_with_and_without_its_code() {
        for text in [
            "220 mail.example.com ESMTP Postfix (Debian/GNU)",
            "mail.example.com ESMTP Postfix (Debian/GNU)",
            "  <- 220 mail.example.com ESMTP Postfix\r\n",
            "Trying 192.0.2.1...\nConnected.\n220 mail.example.com ESMTP Postfix\n250-PIPELINING",
        ] {
            assert_eq!(recognise_pasted(text)[0].product.id, "postfix", "{text}");
        }
        assert!(recognise_pasted("220 mail.example.com ready").is_empty());
        assert!(recognise_pasted("").is_empty());
    }

    #[test]
    fn version_of_a_greeting_is_read() {
        let found = recognise_pasted(
            "220 mail.example.com ESMTP Exim 4.96 Mon, 30 Nov 2026 14:00:00 +0000",
        );
        assert_eq!(found[0].version.as_deref(), Some("4.96"));
    }

    #[test]
    fn long_lines_and_many_lines_are_cut() {
        let long = format!("220 {} ESMTP Postfix", "é".repeat(100_000));
        assert!(recognise_pasted(&long).is_empty());
        let many = "x\n".repeat(100_000) + "220 mail.example.com ESMTP Postfix";
        assert!(recognise_pasted(&many).is_empty());
    }
}
