//! Reads what a look-up is about: a subject in any spelling, or a pasted message.

use std::net::IpAddr;

use super::super::App;
use crate::{
    api::{BounceResponse, HopResponse, HopStanding, ProblemDetails, TraceResponse},
    bounce::{self, Bounce, Clue, OwnNames},
    lists::entry,
    model::{Domain, Subject, subject::HostBits},
    trace::{Standing, Trace, trace},
};

/// What a client wants to know about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupInput {
    /// A subject, as in `GET /lookup?subject=`.
    Subject(String),
    /// The path of the short form, such as `192.0.2.1` or `192.0.2.0/24`.
    ShortForm(String),
    /// Text that was pasted into the field of the page: a subject in any spelling, mail headers, a
    /// line of a log, or a whole bounce.
    Pasted {
        /// The text.
        text: String,
        /// The addresses and prefixes that the reader marks as their own, for headers.
        own: String,
    },
    /// The address of the client itself.
    Client(IpAddr),
}

/// The subject of a look-up, and what a pasted message names besides.
#[derive(Debug)]
pub(super) struct LookupSubject {
    pub subject: Subject,
    pub bounce: Option<Bounce>,
    pub trace: Option<TraceResponse>,
}

/// What a text that names no subject should be.
const EXPECTED: &str = "enter an address (192.0.2.1), a prefix (192.0.2.0/24) or a domain (mail.example.com), or paste the whole bounce message";
/// The most bytes of a text that an error repeats.
const MAX_SHOWN: usize = 80;

/// The endings of files that web browsers and scanners ask for, and that are not top-level domains.
const FILE_NAMES: [&str; 20] = [
    "asp", "aspx", "cgi", "config", "css", "env", "git", "htm", "html", "ico", "ini", "js", "json",
    "jsp", "map", "php", "png", "svg", "txt", "xml",
];

/// Reads the subject of a look-up.
///
/// # Errors
///
/// A problem that says what is wrong with the text, and what would work.
pub(super) fn read(app: &App, input: &LookupInput) -> Result<LookupSubject, ProblemDetails> {
    let snapshot = app.ledger.published.snapshot();
    let is_zone = |name: &str| snapshot.zones.by_name(name).is_some();
    let host = app.public_host.as_str();
    let is_host = |name: &str| name == host;
    let own = OwnNames {
        is_zone: &is_zone,
        is_host: &is_host,
    };
    let plain = |subject| LookupSubject {
        subject,
        bounce: None,
        trace: None,
    };
    match input {
        LookupInput::Client(addr) => Ok(plain(Subject::host(*addr))),
        LookupInput::Subject(text) => one_subject(text, own).map(plain),
        LookupInput::ShortForm(text) => short_form(text).map(plain),
        LookupInput::Pasted { text, own: mine } => pasted(text, mine, own),
    }
}

/// Reads a subject in any spelling. What [`Subject::parse`] reads is that subject, but for names
/// that were queried in a list that is known here.
fn one_subject(text: &str, own: OwnNames<'_>) -> Result<Subject, ProblemDetails> {
    let text = text.trim();
    let queried = bounce::read_name(text, own).filter(|(_, zone)| {
        let known = bounce::OtherLists::get().by_zone(zone).is_some();
        known || (own.is_zone)(zone) || zone.ends_with(".arpa")
    });
    if let Some((subject, _)) = queried {
        return Ok(subject);
    }
    match Subject::parse(text, HostBits::Refuse) {
        Ok(subject) => Ok(subject),
        // A prefix with host bits is more likely mistyped than meant.
        Err(why) if text.contains('/') && !text.contains("://") => Err(invalid("subject", &why)),
        Err(why) => match bounce::subject_of(text, own) {
            Some((subject, _)) => Ok(subject),
            None => Err(invalid("subject", &why)),
        },
    }
}

/// Reads the path of the short form. A path that is not a subject is an unknown page.
fn short_form(text: &str) -> Result<Subject, ProblemDetails> {
    let unknown = || ProblemDetails::not_found("nothing is served at this path");
    let subject = match Subject::parse(text, HostBits::Refuse) {
        Ok(subject) => subject,
        Err(why)
            if entry::is_address_form(text)
                && text.starts_with(|c: char| c.is_ascii_hexdigit()) =>
        {
            return Err(invalid("subject", &why));
        }
        Err(_) => return Err(unknown()),
    };
    let is_page = match &subject {
        Subject::Domain(d) => is_file_name(d),
        _ => false,
    };
    if is_page { Err(unknown()) } else { Ok(subject) }
}

fn is_file_name(domain: &Domain) -> bool {
    match domain.name().rsplit_once('.') {
        Some((_, ending)) => FILE_NAMES.contains(&ending),
        None => {
            let name = domain.name();
            // A test point, or a digest of a hash zone.
            name != "test" && name != "invalid" && name.len() < 26
        }
    }
}

fn pasted(text: &str, mine: &str, own: OwnNames<'_>) -> Result<LookupSubject, ProblemDetails> {
    if text.len() > bounce::MAX_TEXT_BYTES {
        return Err(ProblemDetails::invalid(format!(
            "text: it is longer than {} KiB; paste the part of the message that has the error",
            bounce::MAX_TEXT_BYTES / 1024
        )));
    }
    let mine = own_servers(mine)?;
    let found = bounce::read(text, own);
    let traced = headers_of(&found).then(|| trace(text, &mine)).flatten();
    if let Some(traced) = &traced
        && let Ok(address) = traced.attribution
    {
        return Ok(LookupSubject {
            subject: Subject::host(address),
            bounce: Some(found),
            trace: Some(trace_response(traced, &mine)),
        });
    }
    let Some(first) = found.subjects.first() else {
        return Err(match found.zones.first() {
            Some(zone) => ProblemDetails::invalid(format!(
                "text: it names the list {}, but no address that is listed; {EXPECTED}",
                zone.zone
            )),
            None => {
                let trimmed = text.trim();
                let why = match Subject::parse(trimmed, HostBits::Refuse) {
                    Err(why) if !trimmed.contains(char::is_whitespace) => why,
                    _ => "it names no address, prefix or domain".into(),
                };
                invalid("text", &why)
            }
        });
    };
    Ok(LookupSubject {
        subject: first.subject.clone(),
        trace: traced.map(|t| trace_response(&t, &mine)),
        bounce: Some(found),
    })
}

/// The most servers that a reader can mark as their own.
const MAX_OWN_SERVERS: usize = 100;

/// Reads the addresses and prefixes that a reader marks as their own.
fn own_servers(text: &str) -> Result<Vec<Subject>, ProblemDetails> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';'));
    let words: Vec<&str> = words.filter(|w| !w.is_empty()).collect();
    if words.len() > MAX_OWN_SERVERS {
        let why = format!("own: at most {MAX_OWN_SERVERS} addresses and prefixes");
        return Err(ProblemDetails::invalid(why));
    }
    let subject = |word: &&str| {
        let word = word.trim_matches(['[', ']']);
        let read = Subject::parse(word, HostBits::Clear).ok();
        read.filter(Subject::is_address).ok_or_else(|| {
            let word = crate::model::text::replace_controls(word);
            ProblemDetails::invalid(format!(
                "own: `{}` is neither an address nor a prefix; write addresses such as 192.0.2.1, separated by spaces",
                &word[..word.floor_char_boundary(MAX_SHOWN)]
            ))
        })
    };
    words.iter().map(subject).collect()
}

/// Whether a text can be the headers of a message, and does not rather say who was refused.
fn headers_of(found: &Bounce) -> bool {
    let first = found.subjects.first().map(|s| s.clue);
    !found.receiver_misconfigured && first.is_none_or(|clue| clue >= Clue::Client)
}

fn trace_response(traced: &Trace, own: &[Subject]) -> TraceResponse {
    let standing = |s: Standing| match s {
        Standing::Own => HopStanding::Own,
        Standing::HandedOver => HopStanding::HandedOver,
        Standing::Unproved => HopStanding::Unproved,
    };
    let plain = |text: &String| crate::model::text::replace_controls(text);
    let hops = traced.hops.iter().map(|h| HopResponse {
        standing: standing(h.standing),
        address: h.address.map(|a| a.to_string()),
        from_name: h.from_name.as_ref().map(plain),
        by: h.by.as_ref().map(plain),
        received_at: h.received_at.as_ref().map(plain),
        text: plain(&h.text),
    });
    TraceResponse {
        address: traced.attribution.ok().map(|a| a.to_string()),
        unknown: traced.attribution.err().map(|why| why.to_string()),
        own: own.iter().map(ToString::to_string).collect(),
        hops: hops.collect(),
    }
}

/// The problem of a text that is not a subject. Only the start of a long text is repeated, without
/// control characters.
fn invalid(field: &str, why: &str) -> ProblemDetails {
    let why = crate::model::text::replace_controls(why);
    let shown = match why.len() <= 3 * MAX_SHOWN {
        true => why.as_str(),
        false => "the text is not an address, a prefix or a domain",
    };
    ProblemDetails::invalid(format!("{field}: {shown}; {EXPECTED}"))
}

/// The most other subjects that a response has.
const MAX_OTHER_SUBJECTS: usize = 5;

/// What a pasted message names besides the subject. `listed` states whether the subject is listed
/// now.
pub(super) fn bounce_response(found: &Bounce, listed: bool) -> BounceResponse {
    let others = found.subjects.iter().skip(1).take(MAX_OTHER_SUBJECTS);
    BounceResponse {
        refusing_host: found.refusing_host.as_ref().map(|h| h.name.clone()),
        zones: found.zones.iter().map(|z| z.zone.clone()).collect(),
        stale: !listed && found.zones.iter().any(|z| z.own),
        other_subjects: others.map(|s| s.subject.to_string()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: OwnNames<'static> = OwnNames {
        is_zone: &|zone| zone == "relays.example",
        is_host: &|host| host == "list.example",
    };

    #[test]
    fn spellings_of_a_subject_are_read() {
        for (text, expected) in [
            (" 45.51.100.7 ", "45.51.100.7"),
            ("7.100.51.45.relays.example", "45.51.100.7"),
            (
                "7.100.51.45.static.isp.example",
                "7.100.51.45.static.isp.example",
            ),
            ("[45.51.100.7]", "45.51.100.7"),
            ("45.51.100.7:25", "45.51.100.7"),
            ("https://list.example/45.51.100.7", "45.51.100.7"),
            ("45.51.100.0/24", "45.51.100.0/24"),
            ("hello", "hello"),
        ] {
            let found = one_subject(text, OWN).map(|s| s.to_string());
            assert_eq!(found.unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn error_names_what_was_wrong_and_what_would_work() {
        for (text, part) in [
            ("45.51.100.7/24", "the prefix is 45.51.100.0/24"),
            ("999.1.1.1", "four octets"),
            ("nonsense..", "a label has 1 to 63 characters"),
            ("", "1 to 253 characters"),
            (&"x ".repeat(500), "the text is not an address"),
            ("a\u{1b}[31mb", "is not allowed"),
        ] {
            let problem = one_subject(text, OWN).unwrap_err();
            assert!(problem.detail.contains(part), "{text}: {}", problem.detail);
            assert!(problem.detail.ends_with(EXPECTED), "{}", problem.detail);
            assert!(
                !problem.detail.contains(char::is_control),
                "{}",
                problem.detail
            );
        }
    }

    #[test]
    fn short_form_is_a_subject_or_an_unknown_page() {
        use crate::api::ProblemCode;
        let read = |text: &str| short_form(text).map_err(|p| p.code);
        for text in [
            "45.51.100.7",
            "45.51.100.0/24",
            "2a01:4f8::/32",
            "mail.sender.example",
            "test",
        ] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        for text in [
            "favicon.ico",
            "wp-login.php",
            "admin",
            "a b",
            "..",
            "<script>",
        ] {
            assert_eq!(read(text), Err(ProblemCode::NotFound), "{text}");
        }
        for text in ["45.51.100.7/24", "45.51.100.700", "45.51.100.0/33"] {
            assert_eq!(read(text), Err(ProblemCode::Invalid), "{text}");
        }
    }

    #[test]
    fn pasted_text_without_a_subject_is_refused_with_what_it_names() {
        let why = |text: &str| pasted(text, "", OWN).unwrap_err().detail;
        assert!(why("hello world").contains("names no address"));
        assert!(why("1.2.3").contains("four octets"));
        let zone = why("blocked using zen.spamhaus.org");
        assert!(zone.contains("names the list zen.spamhaus.org"), "{zone}");
        assert!(why(&"a".repeat(70_000)).contains("longer than 64 KiB"));
    }

    #[test]
    fn message_that_names_our_zone_is_stale_if_we_do_not_list_the_subject() {
        let found = bounce::read(
            "client [45.51.100.7] blocked using relays.example; also 45.51.100.8",
            OWN,
        );
        let response = bounce_response(&found, false);
        assert!(response.stale);
        assert_eq!(response.other_subjects, ["45.51.100.8"]);
        assert!(!bounce_response(&found, true).stale);
    }
}
