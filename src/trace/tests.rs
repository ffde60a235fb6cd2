//! Lines as real servers write them, and what a sender can change.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::{prelude::*, sample::select};

use super::{chain::trace_counted, *};
use crate::model::Subject;

mod formats;
mod properties;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn own(texts: &[&str]) -> Vec<Subject> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

fn attribution(headers: &str) -> Result<IpAddr, Unattributed> {
    trace(headers, &[]).unwrap().attribution
}

const BORDER: &str = "Received: from mail.sender.example (unknown [192.0.2.1])\n\tby mx.reader.example (Postfix) with ESMTP id 1; date\n";
const INSIDE: &str = "Received: from mx.reader.example (mx.reader.example [10.0.0.1])\n\tby imap.reader.example (Postfix) with ESMTP id 2; date\n";
const FORGED: &str =
    "Received: from x (x [198.51.100.9])\n\tby y.example (Postfix) with ESMTP id 3; date\n";

#[test]
fn chain_ends_at_the_first_client_from_outside() {
    let found = trace(&format!("{INSIDE}{BORDER}{INSIDE}{FORGED}"), &[]).unwrap();
    let standings: Vec<_> = found.hops.iter().map(|h| h.standing).collect();
    let (own, unproved) = (Standing::Own, Standing::Unproved);
    assert_eq!(standings, [own, Standing::HandedOver, unproved, unproved]);
    assert_eq!(found.attribution, Ok(ip("192.0.2.1")));
}

#[test]
fn own_prefixes_extend_the_chain() {
    let text = format!("{BORDER}{FORGED}");
    let with = |list: &[&str]| trace(&text, &own(list)).unwrap().attribution;
    assert_eq!(with(&["192.0.2.0/24"]), Ok(ip("198.51.100.9")));
    assert_eq!(
        with(&["2001:db8::/32", "203.0.113.0/24"]),
        Ok(ip("192.0.2.1"))
    );
    let all = with(&["192.0.2.1", "198.51.100.0/24"]);
    assert_eq!(all, Err(Unattributed::NoOutsideClient));
    let domain = with(&["mail.sender.example"]);
    assert_eq!(domain, Ok(ip("192.0.2.1")), "a name proves nothing");
}

#[test]
fn text_without_a_received_field_has_no_trace() {
    for text in [
        "",
        "\n\n",
        "Received",
        "Subject: x\n\nhello",
        "X-Received: by y\nA: b\n",
    ] {
        assert_eq!(trace(text, &[]), None, "{text:?}");
    }
    let text = "Subject: x\n\tReceived: from y (y [192.0.2.1]) by z; date\n";
    assert_eq!(trace(text, &[]), None, "a folded line is not a field");
}

#[test]
fn body_is_not_read() {
    let text = format!("{INSIDE}Subject: x\n\n{FORGED}");
    assert_eq!(attribution(&text), Err(Unattributed::NoOutsideClient));
    let text = format!("{INSIDE}Subject: x\r\n\r\n{FORGED}");
    assert_eq!(attribution(&text), Err(Unattributed::NoOutsideClient));
}

#[test]
fn text_in_front_of_the_headers_is_skipped() {
    let preambles = [
        "Original message headers:\n",
        "Message ID\t<1@sender.example>\nFrom:\tA <a@sender.example>\nSPF:\tPASS with IP 198.51.100.1\n\n",
        "From a@sender.example Sat Nov 28 03:12:00 2026\n",
        "\u{feff}",
        "\n\nHello,\n\nthis arrived: [198.51.100.1]\n\n\n",
        "Content-Type: message/rfc822\n\nReturn-Path: <a@sender.example>\nX-Spam-Status: No\n",
    ];
    for preamble in preambles {
        let text = format!("{preamble}{INSIDE}{BORDER}{FORGED}");
        assert_eq!(attribution(&text), Ok(ip("192.0.2.1")), "{preamble:?}");
    }
}

/// The reader pastes what is in front of their own headers: a `Received` field there is theirs.
#[test]
fn first_block_with_a_received_field_counts() {
    let bounce = "Received: from mx.sender.example (x [203.0.113.7]) by mx.reader.example with ESMTP id 1; date\nSubject: failure\n\nReturned message:\n\n";
    assert_eq!(
        attribution(&format!("{bounce}{BORDER}")),
        Ok(ip("203.0.113.7"))
    );
}

/// A spam filter puts its report, with text of the message, above the `Received` lines.
#[test]
fn folded_text_of_the_message_above_the_chain_is_not_a_field() {
    for folded in [
        "\tReceived: from x (x [198.51.100.9]) by y with ESMTP; date\n",
        "  \n  Received: from x (x [198.51.100.9]) by y with ESMTP; date\n",
        "\t> Received: from x (x [198.51.100.9]) by y with ESMTP; date\n",
        " =20\n =\n Received: from x (x [198.51.100.9]) by y with ESMTP; date\n",
    ] {
        let text = format!("X-Spam-Report: Content preview:\n{folded}{BORDER}{FORGED}");
        assert_eq!(attribution(&text), Ok(ip("192.0.2.1")), "{folded:?}");
    }
}

#[test]
fn quoted_and_indented_headers_are_read() {
    let headers = format!("Subject: x\n{INSIDE}{BORDER}{FORGED}\n{FORGED}");
    for prefix in ["> ", ">", ">> ", "> > ", "    ", "\t", ">   "] {
        let quoted: String = headers.lines().map(|l| format!("{prefix}{l}\n")).collect();
        let introductions = ["", "On Saturday A wrote:\n", "Subject: Fwd: x\nTo: b\n"];
        for introduction in introductions {
            // Indented lines below a field are a part of it.
            if introduction.starts_with("Subject") && !prefix.contains('>') {
                continue;
            }
            let found = trace(&format!("{introduction}{quoted}"), &[]).unwrap();
            assert_eq!(
                found.attribution,
                Ok(ip("192.0.2.1")),
                "{prefix:?} {introduction:?}"
            );

            assert_eq!(found.hops.len(), 3, "{prefix:?} {introduction:?}");
        }
    }
}

#[test]
fn wrapped_and_encoded_lines_are_joined() {
    for text in [
        "Received: from a (b\n[192.0.2.1])\nby mx.reader.example; date\n",
        "Received:\n from a (b [192.0.2.1]) by mx; date",
        "received : from a (b [192.0.2.1]) by mx; date",
        "Received: from a (b [192.0=\n.2.1]) by mx.reader.exam=\nple; date\n",
        "Received: from a (b [192.0.2.1])=20\n=09by x\n by mx; date\n",
        "> Received: from a (b [192.0.2.1])\nby mx; date\n> Received: from x by y; date",
        "Received: from a (b [192[.]0[.]2[.]1]) by mx; date\n",
    ] {
        assert_eq!(attribution(text), Ok(ip("192.0.2.1")), "{text}");
    }
}

#[test]
fn other_fields_never_attribute() {
    let other = "X-Originating-IP: [198.51.100.1]\nReceived-SPF: pass client-ip=198.51.100.2;\nAuthentication-Results: mx; iprev=pass policy.iprev=198.51.100.3\nARC-Authentication-Results: i=1; mx; spf=pass\nX-Received: by 198.51.100.4 with SMTP id 1; date\n";
    let text = format!("{other}{INSIDE}{other}{BORDER}{other}{FORGED}");
    assert_eq!(attribution(&text), Ok(ip("192.0.2.1")));
    assert_eq!(
        attribution(&format!("{INSIDE}{other}")),
        Err(Unattributed::NoOutsideClient)
    );
}

/// A client's first line can look like the rest of the line above it.
#[test]
fn text_appended_to_a_line_does_not_change_its_protocol() {
    for (end, appended) in [
        ("\n", "\twith LMTP id 1; date\n"),
        (" with ESMTP\n", " LMTP\n"),
        (" with ESMTP\n", " with POP3\n"),
        (" with\n", " LMTP\n"),
        (" id 1=\n", "with LMTP\n"),
        (" =\n", "with LMTP\n"),
    ] {
        let own = format!("Received: from x (y [192.0.2.1]) by mx.reader.example{end}");
        let text = format!("{own}{appended}{FORGED}");
        assert_eq!(attribution(&text), Ok(ip("192.0.2.1")), "{text}");
    }
}

#[test]
fn text_beyond_the_limits_is_not_read() {
    let found = trace(&INSIDE.repeat(MAX_RECEIVED_LINES), &[]).unwrap();
    assert_eq!(found.attribution, Err(Unattributed::NoOutsideClient));
    let text = INSIDE.repeat(MAX_RECEIVED_LINES) + BORDER;
    let found = trace(&text, &[]).unwrap();
    assert_eq!(found.hops.len(), MAX_RECEIVED_LINES);
    assert_eq!(found.attribution, Err(Unattributed::TooLong));
    let filler = "X: ä\n".repeat(MAX_HEADER_BYTES / 6);
    assert_eq!(
        attribution(&format!("{INSIDE}{filler}{BORDER}")),
        Err(Unattributed::TooLong)
    );
    let found = trace(&format!("{INSIDE}\n{filler}{BORDER}"), &[]).unwrap();
    assert!(!found.truncated, "the body is longer, the headers are not");
    let found = trace(&format!("{BORDER}{filler}{filler}"), &[]).unwrap();
    assert_eq!(
        (found.attribution, found.truncated),
        (Ok(ip("192.0.2.1")), true)
    );
}

/// Texts that are expensive for parsers that read a part more than once.
#[test]
fn cost_is_linear_in_the_text() {
    let parts = [
        "(",
        ")",
        "( ",
        "[",
        "a ",
        ";",
        " by ",
        "(a) ",
        "(a (b) c) ",
        "=\n",
        "\n ",
        "\n",
        ">",
        "> ",
        "\n>",
        "([192.0.2.1]) ",
        "(HELO x) ",
        "with x ",
        "from ",
        "[192.0.2.1] ",
        "=20\n",
        "Received: from (",
        "\nReceived:",
        "Received: by x\n",
        "\t",
        "\u{a0}",
        "x:",
        "(account HELO) ",
        "(helo=x) ",
        "(x ident=",
        "(qmail invoked ",
    ];
    for part in parts {
        for start in [
            "",
            "Received: ",
            "Received: from ",
            "Received: from (",
            "Received: by x ",
        ] {
            let cost = |bytes: usize| {
                let text = String::from(start) + &part.repeat(bytes / part.len());
                trace_counted(&text, &[]).1
            };
            let costs = [16, 64, 256].map(|k| cost(k * 1024));
            assert!(
                costs[2] <= 8 * MAX_HEADER_BYTES,
                "{start:?} {part:?} {costs:?}"
            );
            assert!(
                costs[1] <= 4 * costs[0] + 1024,
                "{start:?} {part:?} {costs:?}"
            );
            assert!(
                costs[2] <= 4 * costs[1] + 1024,
                "{start:?} {part:?} {costs:?}"
            );
        }
    }
}
