//! The test message, and what can be read from one that comes back.

use std::{fmt::Write as _, net::IpAddr};

use jiff::fmt::rfc2822::DateTimePrinter;
use ring::digest;

use super::{
    catalogue::{Envelope, Names, literal},
    token::{Id, Tokens, Way},
};
use crate::model::Time;

/// The longest test message, in bytes (safety rule S8).
pub const MAX_PROBE: usize = 2048;
/// The longest line of a command, with its end (RFC 5321 section 4.5.3.1.4).
pub const MAX_COMMAND: usize = 512;

/// Who tests, as every message says (safety rule S9).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operator {
    /// Whom to write to.
    pub contact: String,
    /// Where it stands who tests and why, and how to ask for none.
    pub about: String,
}

/// The message of a test: headers and body with CRLF, no line that begins with a dot, no more than
/// [`MAX_PROBE`] bytes.
pub fn probe(
    names: &Names,
    envelope: &Envelope,
    token: &str,
    who: &Operator,
    evidence: &str,
    at: Time,
) -> Vec<u8> {
    let date = jiff::Timestamp::from_second(at.0 as i64)
        .ok()
        .and_then(|t| DateTimePrinter::new().timestamp_to_string(&t).ok());
    let (target, domain) = (literal(names.target), &names.domain);
    // In bytes: the longest of everything stays below MAX_PROBE.
    let cut = |text: &str, most: usize| {
        let mut out: String = text.chars().filter(|c| !c.is_control()).collect();
        out.truncate(out.floor_char_boundary(most));
        out
    };
    let (sender, recipient) = (
        cut(&envelope.from, 150),
        cut(&envelope.to[envelope.probe], 150),
    );
    let (contact, about, evidence, test) = (
        cut(&who.contact, 100),
        cut(&who.about, 140),
        cut(evidence, 60),
        cut(&envelope.test, 60),
    );
    let mut out = String::with_capacity(1500);
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = out.write_fmt(text);
        out.push_str("\r\n");
    };
    line(format_args!("From: relay test <{contact}>"));
    line(format_args!("To: <{token}@{domain}>"));
    line(format_args!("Subject: relay test of [{target}]"));
    line(format_args!("Date: {}", date.unwrap_or_default()));
    line(format_args!("Message-ID: <{token}@{domain}>"));
    line(format_args!("Auto-Submitted: auto-generated"));
    line(format_args!("Precedence: bulk"));
    line(format_args!("X-Envelope-Sender: {sender}"));
    line(format_args!("X-Envelope-Recipient: {recipient}"));
    line(format_args!("X-Orbs-Token: {token}"));
    line(format_args!(""));
    line(format_args!(
        "This is a test whether [{target}] carries mail of strangers to strangers."
    ));
    line(format_args!(
        "It is one message to ourselves; nobody else gets it. If it arrives, the"
    ));
    line(format_args!(
        "host is an open relay, and spammers can use it."
    ));
    line(format_args!(""));
    line(format_args!(
        "Who tests, why, and how to ask for no tests: {about}"
    ));
    line(format_args!("Write to: {contact}"));
    line(format_args!("What led to it: {evidence}"));
    line(format_args!("The test: {test}"));
    line(format_args!("X-Envelope-Sender: {sender}"));
    line(format_args!("X-Envelope-Recipient: {recipient}"));
    line(format_args!("{token}"));
    out.into_bytes()
}

/// What is read from a message: its header fields, unfolded, and where its body begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// Name in lower case, and value.
    pub fields: Vec<(String, String)>,
    /// What follows the empty line.
    pub body: &'a [u8],
}

/// The most header fields that are looked at.
const MAX_FIELDS: usize = 500;

/// Takes a message apart; nothing in it can be wrong, lines that are no field are passed over.
pub fn parse(message: &[u8]) -> Parsed<'_> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let end = rest
            .iter()
            .position(|b| *b == b'\n')
            .map_or(rest.len(), |i| i + 1);
        let (line, after) = rest.split_at(end);
        rest = after;
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() {
            break;
        }
        let text = String::from_utf8_lossy(text);
        if text.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(text.trim());
            }
        } else if let Some((name, value)) =
            text.split_once(':').filter(|_| fields.len() < MAX_FIELDS)
        {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_string()));
        }
    }
    Parsed { fields, body: rest }
}

impl Parsed<'_> {
    /// The first field of a name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// How many hosts it says that it came through.
    pub fn hops(&self) -> usize {
        self.fields.iter().filter(|(n, _)| n == "received").count()
    }

    /// Whether it is a report about a message (RFC 3462, RFC 3834), and not the message.
    pub fn is_report(&self) -> bool {
        let kind = self
            .field("content-type")
            .unwrap_or("")
            .to_ascii_lowercase();
        let auto = self
            .field("auto-submitted")
            .unwrap_or("")
            .to_ascii_lowercase();
        let from = self.field("from").unwrap_or("").to_ascii_lowercase();
        // Whoever answers the message has it already.
        let answer = self.field("in-reply-to").is_some() || self.field("references").is_some();
        answer
            || kind.starts_with("multipart/report")
            || kind.starts_with("message/delivery-status")
            || auto.starts_with("auto-replied")
            || from.contains("mailer-daemon")
    }
}

impl Parsed<'_> {
    /// Whether it has a token in a field of its own: a report has one in what it quotes.
    pub fn is_itself(&self, tokens: &Tokens) -> bool {
        ["x-orbs-token", "message-id"]
            .into_iter()
            .filter_map(|n| self.field(n))
            .any(|text| !tokens.find(text.as_bytes()).is_empty())
    }
}

/// What a message that reached the collector shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The probe came through: the token's number.
    Probe(Id),
    /// It, or word of it, came back to the sender.
    Back(Id),
}

/// Which probe a message is: by the address that it came to, else by its header, else by its body.
/// What came to the return path, and what is a report, has come back; what says nothing else than
/// the address of a person is nobody's probe.
pub fn seen(tokens: &Tokens, recipients: &[String], message: &[u8]) -> Option<Seen> {
    let parsed = parse(message);
    let by_address: Vec<(Way, Id)> = recipients
        .iter()
        .flat_map(|r| tokens.find(r.as_bytes()))
        .collect();
    if let Some((_, id)) = by_address.iter().find(|(w, _)| *w == Way::Return) {
        // Messages of one session share a sender: what is quoted tells them apart.
        let quoted = parsed
            .fields
            .iter()
            .map(|(_, v)| v.as_bytes())
            .chain([parsed.body])
            .flat_map(|text| tokens.find(text));
        return Some(Seen::Back(
            quoted
                .into_iter()
                .find(|(w, _)| *w == Way::Probe)
                .map_or(*id, |(_, id)| id),
        ));
    }
    if let Some((_, id)) = by_address.first() {
        return Some(if parsed.is_report() {
            Seen::Back(*id)
        } else {
            Seen::Probe(*id)
        });
    }
    if recipients.iter().all(|r| is_role(r)) {
        return None;
    }
    let header = ["x-orbs-token", "message-id", "x-envelope-recipient", "to"]
        .into_iter()
        .filter_map(|n| parsed.field(n));
    let inside = header
        .map(str::as_bytes)
        .chain([parsed.body])
        .flat_map(|text| tokens.find(text))
        .find(|(w, _)| *w == Way::Probe)?;
    Some(if parsed.is_report() {
        Seen::Back(inside.1)
    } else {
        Seen::Probe(inside.1)
    })
}

/// Whether an address is one that people write to (RFC 2142): a message that somebody passes on to
/// it proves nothing.
pub fn is_role(recipient: &str) -> bool {
    let local = recipient
        .trim_start_matches('<')
        .split('@')
        .next()
        .unwrap_or("")
        .trim_matches('"');
    [
        "postmaster",
        "abuse",
        "hostmaster",
        "webmaster",
        "security",
        "noc",
    ]
    .iter()
    .any(|r| r.eq_ignore_ascii_case(local))
}

/// A text in which the local parts of other people's addresses are a short hash (safety rule S12).
/// Addresses in `own` domains stay as they are, and so do the addresses in `keep`.
pub fn redact(text: &str, own: &[&str], keep: &[&str], salt: &[u8]) -> String {
    let local = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let name = |c: char| c.is_ascii_alphanumeric() || "-.[]:".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let quoted = before.strip_suffix('"').and_then(|b| b.rfind('"'));
        let begin = quoted.unwrap_or_else(|| {
            before
                .char_indices()
                .rev()
                .take_while(|(_, c)| local(*c))
                .last()
                .map_or(at, |(i, _)| i)
        });
        let domain: &str = &after[..after.find(|c| !name(c)).unwrap_or(after.len())];
        let ours = own
            .iter()
            .any(|o| o.eq_ignore_ascii_case(domain.trim_end_matches('.')));
        let user = &before[begin..];
        let kept = keep.iter().any(|k| {
            k.rsplit_once('@').is_some_and(|(u, d)| {
                u.eq_ignore_ascii_case(user) && d.eq_ignore_ascii_case(domain.trim_end_matches('.'))
            })
        });
        if user.is_empty() || domain.is_empty() || ours || kept {
            out.push_str(before);
        } else {
            let mut all = digest::Context::new(&digest::SHA256);
            all.update(salt);
            all.update(user.as_bytes());
            out.push_str(&before[..begin]);
            let _ = all
                .finish()
                .as_ref()
                .iter()
                .take(4)
                .try_for_each(|b| write!(out, "{b:02x}"));
        }
        out.push('@');
        out.push_str(domain);
        rest = &after[domain.len()..];
    }
    out.push_str(rest);
    out
}

/// What the collector says when a message is kept.
pub fn recorded(id: &str, output: IpAddr) -> String {
    format!("250 2.0.0 recorded {id} from [{}]", literal(output))
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::{Catalogue, Port, tests::names};
    use super::*;
    use proptest::prelude::*;

    fn who() -> Operator {
        Operator {
            contact: "relaytest@orbs.example".into(),
            about: "https://orbs.example/tests".into(),
        }
    }

    #[test]
    fn the_golden_message() {
        let c = Catalogue::standard();
        let made = names()
            .envelopes(c.get("plain").unwrap(), 0, false, || {
                ("ttoken".into(), "breturn".into())
            })
            .unwrap();
        let text = String::from_utf8(probe(
            &names(),
            &made[0].1,
            "ttoken",
            &who(),
            "job 7",
            Time(1_700_000_000),
        ))
        .unwrap();
        let expected = "From: relay test <relaytest@orbs.example>
To: <ttoken@probe.example>
Subject: relay test of [192.0.2.1]
Date: Tue, 14 Nov 2023 22:13:20 +0000
Message-ID: <ttoken@probe.example>
Auto-Submitted: auto-generated
Precedence: bulk
X-Envelope-Sender: <breturn@probe.example>
X-Envelope-Recipient: <ttoken@probe.example>
X-Orbs-Token: ttoken

This is a test whether [192.0.2.1] carries mail of strangers to strangers.
It is one message to ourselves; nobody else gets it. If it arrives, the
host is an open relay, and spammers can use it.

Who tests, why, and how to ask for no tests: https://orbs.example/tests
Write to: relaytest@orbs.example
What led to it: job 7
The test: plain
X-Envelope-Sender: <breturn@probe.example>
X-Envelope-Recipient: <ttoken@probe.example>
ttoken
";
        assert_eq!(
            text.replace("\r\n", "\n").replace("-0000", "+0000"),
            expected
        );
        for t in &c.0 {
            for (token, e) in names()
                .envelopes(t, 0, false, || ("t".repeat(27), "b".repeat(27)))
                .unwrap()
            {
                let m = probe(&names(), &e, &token, &who(), &"x".repeat(500), Time(1));
                assert!(
                    m.len() < MAX_PROBE && !m.windows(3).any(|w| w == b"\n.\r"),
                    "{}: {}",
                    t.name,
                    m.len()
                );
                assert!(m.split(|b| *b == b'\n').all(|l| l.len() <= MAX_COMMAND));
            }
        }
    }

    /// Names and addresses of the longest kind made a message longer than it may be.
    #[test]
    fn the_longest_message_is_within_its_bound() {
        let long = "\u{10348}".repeat(500);
        let names = Names {
            target: "fd00:1111:2222:3333:4444:5555:6666:7777".parse().unwrap(),
            domain: "d".repeat(100),
            ..names()
        };
        let who = Operator {
            contact: long.clone(),
            about: long.clone(),
        };
        let (from, to, test) = (long.clone(), vec![long.clone()], long.clone());
        let envelope = Envelope {
            test,
            hello: None,
            from,
            to,
            probe: 0,
            utf8: true,
            port: Port::default(),
        };
        let m = probe(
            &names,
            &envelope,
            &"t".repeat(27),
            &who,
            &long,
            Time(1_700_000_000),
        );
        assert!((1500..MAX_PROBE).contains(&m.len()), "{}", m.len());
    }

    #[test]
    fn what_came_is_told_from_what_came_back() {
        let t = Tokens::new(b"s");
        let (p, b) = (t.text(Way::Probe, &[1; 8]), t.text(Way::Return, &[1; 8]));
        let look = |to: &str, m: &str| seen(&t, &[to.to_string()], m.as_bytes());
        assert_eq!(
            look(&format!("<{p}@d>"), "Subject: x\r\n\r\n"),
            Some(Seen::Probe([1; 8]))
        );
        assert_eq!(
            look(&format!("<{b}@d>"), &format!("Subject: x\r\n\r\n{p}")),
            Some(Seen::Back([1; 8]))
        );
        assert_eq!(
            look("<whoever@d>", &format!("X-Orbs-Token: {p}\r\n\r\n")),
            Some(Seen::Probe([1; 8])),
            "the address was rewritten"
        );
        assert_eq!(
            look("<whoever@d>", &format!("Subject: x\r\n\r\n{p}")),
            Some(Seen::Probe([1; 8])),
            "headers were stripped"
        );
        let report = format!("Content-Type: multipart/report; x\r\n\r\n{p}");
        assert_eq!(look(&format!("<{p}@d>"), &report), Some(Seen::Back([1; 8])));
        assert_eq!(
            look("<postmaster@d>", &format!("Subject: why?\r\n\r\n{p}")),
            None,
            "a person passes it on"
        );
        assert_eq!(
            look("<whoever@d>", &format!("From: MAILER-DAEMON\r\n\r\n{p}")),
            Some(Seen::Back([1; 8]))
        );
        assert_eq!(look("<whoever@d>", "Subject: x\r\n\r\nbuy"), None);
    }

    #[test]
    fn other_peoples_local_parts_are_hashed() {
        let own = ["probe.example"];
        let text = "Received: from x (anna.b@victim.example) for <tok@probe.example>; \"q q\"@v.example @ <>";
        let out = redact(text, &own, &[], b"salt");
        assert!(
            !out.contains("anna.b")
                && !out.contains("q q")
                && out.contains("@victim.example")
                && out.contains("<tok@probe.example>"),
            "{out}"
        );
        assert_eq!(redact(text, &own, &[], b"salt"), out);
        assert_ne!(redact(text, &own, &[], b"other"), out);
        // Our own contact is there to be written to; a stranger at the same domain is not.
        let contact = "From: relay test <relaytest@orbs.example>, Write to: RelayTest@orbs.example. anna@orbs.example xrelaytest@orbs.example";
        let out = redact(contact, &own, &["relaytest@orbs.example"], b"salt");
        assert!(
            out.starts_with(
                "From: relay test <relaytest@orbs.example>, Write to: RelayTest@orbs.example. "
            ),
            "{out}"
        );
        assert!(
            !out.contains("anna") && !out.contains("xrelaytest"),
            "{out}"
        );
    }

    /// The forms of a session share one sender.
    #[test]
    fn a_bounce_is_told_by_the_message_that_it_quotes() {
        let tokens = Tokens::new(b"s");
        let (first, second) = ([1; 8], [2; 8]);
        let to = vec![format!("<{}@d>", tokens.text(Way::Return, &first))];
        let report = format!(
            "From: MAILER-DAEMON\r\n\r\nIt did not go.\r\nX-Orbs-Token: {}\r\n",
            tokens.text(Way::Probe, &second)
        );
        assert_eq!(
            seen(&tokens, &to, report.as_bytes()),
            Some(Seen::Back(second))
        );
        assert_eq!(
            seen(&tokens, &to, b"From: x\r\n\r\nno"),
            Some(Seen::Back(first))
        );
    }

    proptest! {
        #[test]
        fn no_message_does_harm(bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b'@'), Just(b' '), any::<u8>()], 0..400)) {
            let parsed = parse(&bytes);
            prop_assert!(parsed.body.len() <= bytes.len());
            prop_assert_eq!(seen(&Tokens::new(b"s"), &["<x@d>".into()], &bytes), None);
            let text = String::from_utf8_lossy(&bytes);
            let once = redact(&text, &[], &[], b"s");
            prop_assert_eq!(once.matches('@').count(), text.matches('@').count());
        }
    }
}
