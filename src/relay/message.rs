//! Makes test messages, and recognises them at the collector.

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use jiff::fmt::rfc2822::DateTimePrinter;
use ring::digest;

use super::{
    host_names::HostNames,
    token::{TokenCodec, TokenId, TokenKind},
};
use crate::{
    model::Time,
    smtp::{
        Envelope,
        envelope::literal,
        mail::{ParsedMail, parse_mail},
    },
};

/// The longest test message, in bytes (safety rule S8).
pub const MAX_PROBE_BYTES: usize = 2048;
/// The identity of the tester, which every message contains (safety rule S9).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TesterIdentity {
    /// The mail address of a contact.
    pub contact: String,
    /// The URL of the page that explains who tests, why, and how to opt out.
    pub info_url: String,
}

/// Makes a test message: header and body with CRLF, without a line that begins with a dot, at most
/// [`MAX_PROBE_BYTES`] long.
pub fn probe(
    names: &HostNames,
    envelope: &Envelope,
    token: &str,
    who: &TesterIdentity,
    evidence: &str,
    at: Time,
) -> Vec<u8> {
    let date = jiff::Timestamp::from_second(at.0 as i64)
        .ok()
        .and_then(|t| DateTimePrinter::new().timestamp_to_string(&t).ok());
    let (target, domain) = (literal(names.target), &names.domain);
    // The limits, in bytes, keep the message below MAX_PROBE_BYTES.
    let cut = |text: &str, most: usize| {
        let mut out: String = text.chars().filter(|c| !c.is_control()).collect();
        out.truncate(out.floor_char_boundary(most));
        out
    };
    let sender = cut(&envelope.from, 150);
    let recipient = cut(&envelope.to[envelope.probe], 150);
    let (contact, about) = (cut(&who.contact, 100), cut(&who.info_url, 140));
    let (evidence, test) = (cut(evidence, 60), cut(&envelope.test, 60));
    let date = date.unwrap_or_default();
    let text = format!(
        "From: relay test <{contact}>\n\
         To: <{token}@{domain}>\n\
         Subject: relay test of [{target}]\n\
         Date: {date}\n\
         Message-ID: <{token}@{domain}>\n\
         Auto-Submitted: auto-generated\n\
         Precedence: bulk\n\
         X-Envelope-Sender: {sender}\n\
         X-Envelope-Recipient: {recipient}\n\
         X-Orbs-Token: {token}\n\
         \n\
         This message tests whether [{target}] relays mail between strangers.\n\
         It is addressed to ourselves; no one else receives it. If it arrives,\n\
         the host is an open relay, and spammers can use it.\n\
         \n\
         Who tests, why, and how to opt out: {about}\n\
         Contact: {contact}\n\
         Reason: {evidence}\n\
         Test: {test}\n\
         X-Envelope-Sender: {sender}\n\
         X-Envelope-Recipient: {recipient}\n\
         {token}\n"
    );
    text.replace('\n', "\r\n").into_bytes()
}

/// Whether a message is a test message and not a report about one: it has a token in a header field
/// of its own. A report has a token only in its quotation.
pub fn is_probe(tokens: &TokenCodec, message: &ParsedMail<'_>) -> bool {
    ["x-orbs-token", "message-id"]
        .into_iter()
        .filter_map(|n| message.field(n))
        .any(|text| !tokens.find(text.as_bytes()).is_empty())
}

/// The test message that was recognised in a received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageMatch {
    /// The test message itself, with the identifier of its token.
    Probe(TokenId),
    /// The message, or a report about it, was returned to its sender.
    Bounce(TokenId),
}

/// Recognises a test message by its recipients, else by its header, else by its body. A message to
/// the return path, and a report, is a bounce. A message that is addressed only to roles such as
/// postmaster is not a test message.
pub fn match_tokens(
    tokens: &TokenCodec,
    recipients: &[String],
    message: &[u8],
) -> Option<MessageMatch> {
    let parsed = parse_mail(message);
    let by_address: Vec<(TokenKind, TokenId)> = recipients
        .iter()
        .flat_map(|r| tokens.find(r.as_bytes()))
        .collect();
    let is_probe = |(kind, _): &(TokenKind, TokenId)| *kind == TokenKind::Probe;
    if let Some((_, id)) = by_address.iter().find(|token| !is_probe(token)) {
        // Messages of one session share a sender, so the quoted message identifies the one that
        // bounced.
        let fields = parsed.fields.iter().map(|(_, v)| v.as_bytes());
        let quoted = fields
            .chain([parsed.body])
            .flat_map(|text| tokens.find(text));
        let quoted = quoted.into_iter().find(is_probe);
        return Some(MessageMatch::Bounce(quoted.map_or(*id, |(_, id)| id)));
    }
    let id = if let Some((_, id)) = by_address.first() {
        *id
    } else if recipients.iter().all(|r| is_role(r)) {
        return None;
    } else {
        let header = ["x-orbs-token", "message-id", "x-envelope-recipient", "to"]
            .into_iter()
            .filter_map(|n| parsed.field(n));
        let mut inside = header
            .map(str::as_bytes)
            .chain([parsed.body])
            .flat_map(|text| tokens.find(text));
        inside.find(is_probe)?.1
    };
    Some(if parsed.is_report() {
        MessageMatch::Bounce(id)
    } else {
        MessageMatch::Probe(id)
    })
}

/// The local parts of roles that people write to (RFC 2142).
const ROLES: [&str; 6] = [
    "postmaster",
    "abuse",
    "hostmaster",
    "webmaster",
    "security",
    "noc",
];

/// Whether an address is a role that people write to (RFC 2142). A person may have forwarded a
/// message to it, so that it proves nothing.
pub fn is_role(recipient: &str) -> bool {
    let local = recipient.trim_start_matches('<').split('@').next();
    let local = local.unwrap_or("").trim_matches('"');
    ROLES.iter().any(|r| r.eq_ignore_ascii_case(local))
}

/// Replaces the local parts of mail addresses of third parties by short hashes (safety rule S12).
/// Addresses in `own` domains and the addresses in `keep` are not changed.
pub fn redact(text: &str, own: &[&str], keep: &[&str], salt: &[u8]) -> String {
    let local = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let name = |c: char| c.is_ascii_alphanumeric() || "-.[]:".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let quoted = before.strip_suffix('"').and_then(|b| b.rfind('"'));
        let begin = quoted.unwrap_or_else(|| before.trim_end_matches(local).len());
        let domain: &str = &after[..after.find(|c| !name(c)).unwrap_or(after.len())];
        let bare = domain.trim_end_matches('.');
        let ours = own.iter().any(|o| o.eq_ignore_ascii_case(bare));
        let user = &before[begin..];
        let is_same = |k: &&str| {
            k.rsplit_once('@')
                .is_some_and(|(u, d)| u.eq_ignore_ascii_case(user) && d.eq_ignore_ascii_case(bare))
        };
        let kept = keep.iter().any(is_same);
        if user.is_empty() || domain.is_empty() || ours || kept {
            out.push_str(before);
        } else {
            let mut all = digest::Context::new(&digest::SHA256);
            all.update(salt);
            all.update(user.as_bytes());
            out.push_str(&before[..begin]);
            out.push_str(&HEXLOWER.encode(&all.finish().as_ref()[..4]));
        }
        out.push('@');
        out.push_str(domain);
        rest = &after[domain.len()..];
    }
    out.push_str(rest);
    out
}

/// Returns the collector's reply to a message that was stored as a proof.
pub fn proof_reply(id: &str, output: IpAddr) -> String {
    format!("250 2.0.0 recorded {id} from [{}]", literal(output))
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::{Catalogue, tests::names};
    use super::*;
    use crate::smtp::{SmtpPort, envelope::MAX_COMMAND};
    use proptest::prelude::*;

    fn who() -> TesterIdentity {
        TesterIdentity {
            contact: "relaytest@orbs.example".into(),
            info_url: "https://orbs.example/tests".into(),
        }
    }

    #[test]
    fn test_message_has_the_documented_text() {
        let c = Catalogue::standard();
        let messages = names()
            .envelopes(c.get("plain").unwrap(), 0, false, || {
                ("ttoken".into(), "breturn".into())
            })
            .unwrap();
        let text = String::from_utf8(probe(
            &names(),
            &messages[0].1,
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

This message tests whether [192.0.2.1] relays mail between strangers.
It is addressed to ourselves; no one else receives it. If it arrives,
the host is an open relay, and spammers can use it.

Who tests, why, and how to opt out: https://orbs.example/tests
Contact: relaytest@orbs.example
Reason: job 7
Test: plain
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
                    m.len() < MAX_PROBE_BYTES && !m.windows(3).any(|w| w == b"\n.\r"),
                    "{}: {}",
                    t.name,
                    m.len()
                );
                assert!(m.split(|b| *b == b'\n').all(|l| l.len() <= MAX_COMMAND));
            }
        }
    }

    /// Once, the longest names and addresses made a message longer than the limit.
    #[test]
    fn longest_message_is_within_the_limit() {
        let long = "\u{10348}".repeat(500);
        let names = HostNames {
            target: "fd00:1111:2222:3333:4444:5555:6666:7777".parse().unwrap(),
            domain: "d".repeat(100),
            ..names()
        };
        let who = TesterIdentity {
            contact: long.clone(),
            info_url: long.clone(),
        };
        let (from, to, test) = (long.clone(), vec![long.clone()], long.clone());
        let envelope = Envelope {
            test,
            hello: None,
            from,
            to,
            probe: 0,
            utf8: true,
            port: SmtpPort::default(),
        };
        let m = probe(
            &names,
            &envelope,
            &"t".repeat(27),
            &who,
            &long,
            Time(1_700_000_000),
        );
        assert!((1500..MAX_PROBE_BYTES).contains(&m.len()), "{}", m.len());
    }

    #[test]
    fn probes_and_bounces_are_distinguished() {
        let t = TokenCodec::new(b"s");
        let (p, b) = (
            t.text(TokenKind::Probe, &[1; 8]),
            t.text(TokenKind::Return, &[1; 8]),
        );
        let matched = |to: &str, m: &str| match_tokens(&t, &[to.to_string()], m.as_bytes());
        assert_eq!(
            matched(&format!("<{p}@d>"), "Subject: x\r\n\r\n"),
            Some(MessageMatch::Probe([1; 8]))
        );
        assert_eq!(
            matched(&format!("<{b}@d>"), &format!("Subject: x\r\n\r\n{p}")),
            Some(MessageMatch::Bounce([1; 8]))
        );
        assert_eq!(
            matched("<whoever@d>", &format!("X-Orbs-Token: {p}\r\n\r\n")),
            Some(MessageMatch::Probe([1; 8])),
            "the address was rewritten"
        );
        assert_eq!(
            matched("<whoever@d>", &format!("Subject: x\r\n\r\n{p}")),
            Some(MessageMatch::Probe([1; 8])),
            "headers were stripped"
        );
        let report = format!("Content-Type: multipart/report; x\r\n\r\n{p}");
        assert_eq!(
            matched(&format!("<{p}@d>"), &report),
            Some(MessageMatch::Bounce([1; 8]))
        );
        assert_eq!(
            matched("<postmaster@d>", &format!("Subject: why?\r\n\r\n{p}")),
            None,
            "a person forwarded it"
        );
        assert_eq!(
            matched("<whoever@d>", &format!("From: MAILER-DAEMON\r\n\r\n{p}")),
            Some(MessageMatch::Bounce([1; 8]))
        );
        assert_eq!(matched("<whoever@d>", "Subject: x\r\n\r\nbuy"), None);
    }

    #[test]
    fn local_parts_of_third_parties_are_hashed() {
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
        // The contact address is public; other addresses of its domain are not.
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

    /// The messages of a session share one sender.
    #[test]
    fn bounce_is_identified_by_the_message_that_it_quotes() {
        let tokens = TokenCodec::new(b"s");
        let (first, second) = ([1; 8], [2; 8]);
        let to = vec![format!("<{}@d>", tokens.text(TokenKind::Return, &first))];
        let report = format!(
            "From: MAILER-DAEMON\r\n\r\nIt did not go.\r\nX-Orbs-Token: {}\r\n",
            tokens.text(TokenKind::Probe, &second)
        );
        assert_eq!(
            match_tokens(&tokens, &to, report.as_bytes()),
            Some(MessageMatch::Bounce(second))
        );
        assert_eq!(
            match_tokens(&tokens, &to, b"From: x\r\n\r\nno"),
            Some(MessageMatch::Bounce(first))
        );
    }

    proptest! {
        #[test]
        fn any_message_is_parsed_without_a_match(bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b'@'), Just(b' '), any::<u8>()], 0..400)) {
            let parsed = parse_mail(&bytes);
            prop_assert!(parsed.body.len() <= bytes.len());
            prop_assert_eq!(match_tokens(&TokenCodec::new(b"s"), &["<x@d>".into()], &bytes), None);
            let text = String::from_utf8_lossy(&bytes);
            let once = redact(&text, &[], &[], b"s");
            prop_assert_eq!(once.matches('@').count(), text.matches('@').count());
        }
    }
}
