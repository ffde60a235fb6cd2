//! Requests by mail with DKIM and SPF, mail that must not be answered, notifications, and codes to
//! role addresses, on a real daemon.

use std::{
    fs,
    io::Write,
    net::IpAddr,
    process::{Command, Stdio},
    time::Duration,
};

use data_encoding::BASE64;
use hickory_proto::rr::{RData, RecordType, rdata::MX};
use mail_auth::{
    common::{crypto::Ed25519Key, headers::HeaderWriter},
    dkim::DkimSigner,
};
use serde_json::{Value, json};

use crate::{
    name_server,
    peers::peers,
    proofs::{Lab, link, option},
};

const LISTED: &str = "45.51.100.7";
const BODY: &str = "Our server said: host mx.example said: 550 5.7.1 Client host [45.51.100.7] blocked using bl.orbs.example\r\n";
/// The header fields that mail servers sign.
const SIGNED: [&str; 5] = ["From", "To", "Subject", "Message-ID", "Date"];

/// A signer of messages with a key in DNS.
struct Signer {
    pkcs8: Vec<u8>,
}

impl Signer {
    /// Makes a key, and publishes it for domains with the selector `s`.
    fn new(lab: &Lab, domains: &[&str]) -> Signer {
        let pkcs8 = Ed25519Key::generate_pkcs8().unwrap();
        let key = Ed25519Key::from_pkcs8_der(&pkcs8).unwrap();
        let record = format!("v=DKIM1; k=ed25519; p={}", BASE64.encode(&key.public_key()));
        for domain in domains {
            let name = format!("s._domainkey.{domain}");
            lab.records.text(&name, &record);
        }
        Signer { pkcs8 }
    }

    /// Returns a message with its signature.
    fn sign(&self, domain: &str, fields: &[&str], message: &str) -> String {
        self.sign_part(domain, fields, message, false)
    }

    /// `is_part` signs the length of the body, so that more can be added.
    fn sign_part(&self, domain: &str, fields: &[&str], message: &str, is_part: bool) -> String {
        let key = Ed25519Key::from_pkcs8_der(&self.pkcs8).unwrap();
        let signer = DkimSigner::from_key(key)
            .domain(domain)
            .selector("s")
            .headers(fields.iter().copied())
            .body_length(is_part);
        // The CRLF after the message is that before the dot.
        let signature = signer.sign(format!("{message}\r\n").as_bytes()).unwrap();
        format!("{}{message}", signature.to_header())
    }
}

/// A message of an author. `header` has the other fields.
fn message(author: &str, header: &str) -> String {
    format!(
        "From: {author}\r\nTo: removal@probe.example\r\nMessage-ID: <1@sender.example>\r\nSubject: please\r\n{header}\r\n{BODY}"
    )
}

/// Sends messages from one client each, because requests are limited by client.
fn client(n: usize) -> IpAddr {
    [127, 64, 40 + (n / 200) as u8, (n % 200) as u8 + 1].into()
}

const FOREIGN: &str = "bounces@mailer.evil.example";

/// The message in a mail of the smart host, without its envelope.
fn content(mail: &str) -> &str {
    let (_, rest) = mail.split_once("DATA\r\n").unwrap();
    rest.trim_end_matches("\r\n.\r\n")
}

/// The names of the header fields of a mail of the smart host.
fn fields(mail: &str) -> Vec<&str> {
    let (header, _) = content(mail).split_once("\r\n\r\n").unwrap();
    let lines = header.split("\r\n").filter(|l| !l.starts_with([' ', '\t']));
    lines.map(|l| l.split_once(':').unwrap().0).collect()
}

#[test]
fn signature_of_the_author_s_domain_opens_a_ticket() {
    let lab = Lab::new();
    lab.api.list(LISTED, "netblock");
    let signer = Signer::new(&lab, &["sender.example", "mail.sender.example"]);
    let cases = [
        ("anna@sender.example", "sender.example", ""),
        ("Ben <ben@mail.sender.example>", "sender.example", ""),
        ("\"C, D\" <carl@sender.example>", "mail.sender.example", ""),
        (
            "\"x@evil.example\" <dora@sender.example>",
            "sender.example",
            "Reply-To: victim@evil.example\r\nSender: victim@evil.example\r\nCc: victim@evil.example\r\n",
        ),
        (
            "=?utf-8?q?a=0D=0ABcc:_x=40evil.example?= <emil@sender.example>",
            "sender.example",
            "X-Note: a\r\n Bcc: x@evil.example\r\n",
        ),
    ];
    for (n, (author, domain, header)) in cases.into_iter().enumerate() {
        let signed = signer.sign(domain, &SIGNED, &message(author, header));
        let reply = lab.mail_by(client(n), FOREIGN, signed.as_bytes());
        assert!(
            reply.contains(&format!("250 2.0.0 request {} is open", n + 1)),
            "{author}: {reply}"
        );
        let answer = lab.smart_host.mail(n);
        let address = author.rsplit('<').next().unwrap().trim_end_matches('>');
        assert!(answer.contains("MAIL FROM:<>"), "{answer}");
        let recipients: Vec<&str> = answer
            .lines()
            .filter(|l| l.starts_with("RCPT"))
            .map(str::trim_end)
            .collect();
        assert_eq!(recipients, [format!("RCPT TO:<{address}>")], "{answer}");
        assert!(!answer.contains("evil.example"), "{answer}");
        for name in ["Bcc", "Cc", "Reply-To"] {
            assert!(!fields(&answer).contains(&name), "{answer}");
        }
    }
}

#[test]
fn message_without_a_valid_aligned_signature_is_refused_and_not_answered() {
    let lab = Lab::new();
    lab.api.list(LISTED, "netblock");
    let author = "Anna <anna@sender.example>";
    let signer = Signer::new(&lab, &["sender.example", "evil.example"]);
    // A key of somebody else, with a record that does not fit it.
    let other = Signer::new(&lab, &["unused.example"]);
    let plain = message(author, "");
    let good = signer.sign("sender.example", &SIGNED, &plain);
    let part = signer.sign_part("sender.example", &SIGNED, &plain, true);
    let cases = [
        ("no signature", plain.clone()),
        (
            "signature of another domain",
            signer.sign("evil.example", &SIGNED, &plain),
        ),
        ("wrong key", other.sign("sender.example", &SIGNED, &plain)),
        (
            "no key",
            other.sign("nokey.sender.example", &SIGNED, &plain),
        ),
        ("changed body", good.replace(LISTED, "45.51.100.8")),
        ("body with more text", format!("{good}45.51.100.8\r\n")),
        (
            "changed author",
            good.replace("anna@sender.example", "ben@sender.example"),
        ),
        (
            "author not signed",
            signer.sign("sender.example", &["To", "Subject"], &plain),
        ),
        ("part of the body", part.clone()),
        ("text after a part of the body", format!("{part}more\r\n")),
    ];
    for (n, (case, text)) in cases.iter().enumerate() {
        let reply = lab.mail_by(client(n), FOREIGN, text.as_bytes());
        assert!(
            reply.contains("550 5.7.1 neither SPF nor DKIM"),
            "{case}: {reply}"
        );
    }
    // SPF of the sender says nothing about an author of another domain.
    lab.records
        .text("evil.example", "v=spf1 ip4:127.64.0.0/16 -all");
    let reply = lab.mail_by(client(20), "anna@evil.example", plain.as_bytes());
    assert!(reply.contains("550 5.7.1 neither SPF nor DKIM"), "{reply}");
    for sender in [
        "x@evil.example@sender.example",
        "@evil.example:anna@sender.example",
        "\"x@evil.example\"@sender.example",
    ] {
        let reply = lab.mail_by(client(21), sender, plain.as_bytes());
        assert!(!reply.contains("250 2.0.0"), "{sender}: {reply}");
    }
    // A failure of DNS is not a verdict.
    lab.records.fail("s._domainkey.broken.example");
    let text = message("anna@broken.example", "");
    let text = signer.sign("broken.example", &SIGNED, &text);
    let reply = lab.mail_by(client(22), FOREIGN, text.as_bytes());
    assert!(reply.contains("451 4.4.3"), "{reply}");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(lab.smart_host.count(), 0);
    assert_eq!(lab.api.get("/v1/tickets").ok()["items"], json!([]));
}

#[test]
fn message_with_more_than_one_author_is_refused() {
    let lab = Lab::new();
    lab.api.list(LISTED, "netblock");
    let signer = Signer::new(&lab, &["sender.example"]);
    let one = message("anna@sender.example", "");
    let mut cases = vec![format!(
        "From: victim@sender.example\r\n{}",
        signer.sign("sender.example", &SIGNED, &one)
    )];
    for author in [
        "anna@sender.example, victim@sender.example",
        "<anna@sender.example> <victim@sender.example>",
        "all: anna@sender.example, victim@sender.example;",
        "anna",
        "",
        "anna@sender.example\r\nFrom: victim@sender.example",
        "anna@sender.example\r\nfrom : victim@sender.example",
        "\u{e4}nna@sender.example",
        "=?utf-8?q?anna=40sender.example?=",
    ] {
        cases.push(signer.sign("sender.example", &SIGNED, &message(author, "")));
    }
    for (n, text) in cases.iter().enumerate() {
        let reply = lab.mail_by(client(n), "anna@sender.example", text.as_bytes());
        assert!(
            reply.contains("550 5.6.0 the message needs one From field"),
            "{text}\n{reply}"
        );
    }
    assert_eq!(lab.smart_host.count(), 0);
}

#[test]
fn only_signatures_of_the_author_s_domain_are_looked_up() {
    let lab = Lab::new();
    lab.api.list(LISTED, "netblock");
    let signer = Signer::new(&lab, &["sender.example"]);
    let good = signer.sign(
        "sender.example",
        &SIGNED,
        &message("anna@sender.example", ""),
    );
    let (signature, rest) = good.split_once("From: anna").unwrap();
    let others: String = (0..60)
        .map(|n| signature.replace("d=sender.example", &format!("d=evil{n}.example")))
        .collect();
    let own: String = (0..60)
        .map(|n| signature.replace("s=s;", &format!("s=s{n};")))
        .collect();
    lab.records.take_asked();
    let reply = lab.mail_by(
        client(0),
        FOREIGN,
        format!("{others}{signature}From: anna{rest}").as_bytes(),
    );
    assert!(reply.contains("250 2.0.0 request 1"), "{reply}");
    let asked = lab.records.take_asked();
    assert!(!asked.iter().any(|n| n.contains("evil")), "{asked:?}");
    let reply = lab.mail_by(
        client(1),
        FOREIGN,
        format!("{own}From: anna{rest}").as_bytes(),
    );
    assert!(reply.contains("550 5.7.1 neither"), "{reply}");
    let asked = lab.records.take_asked();
    let keys = asked.iter().filter(|n| n.contains("_domainkey")).count();
    assert!((1..=8).contains(&keys), "{asked:?}");
}

#[test]
fn large_and_strange_messages_are_refused_or_read_quickly() {
    let lab = Lab::new();
    lab.api.list(LISTED, "netblock");
    lab.records
        .text("sender.example", "v=spf1 ip4:127.64.0.0/16 -all");
    let send = |n: usize, text: &[u8]| {
        let author = format!("author{n}@sender.example");
        let at = std::time::Instant::now();
        let reply = lab.mail_by(client(n), &author, text);
        assert!(at.elapsed() < Duration::from_secs(15), "{n}: {reply}");
        reply
    };
    let head = |n: usize| format!("From: author{n}@sender.example\r\n");
    let huge = format!("{}\r\n{}", head(0), "x 45.51.100.7\r\n".repeat(20_000));
    assert!(send(0, huge.as_bytes()).contains("552 5.3.4"), "too large");
    // Parts within parts.
    let deep: String = (0..500)
        .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"))
        .collect();
    let reply = send(1, format!("{}{deep}\r\n{BODY}", head(1)).as_bytes());
    assert!(
        reply.contains("250 2.0.0") || reply.contains("550 5.6.0"),
        "{reply}"
    );
    let inner = "Content-Type: message/rfc822\r\n\r\n".repeat(500);
    let reply = send(2, format!("{}{inner}\r\n{BODY}", head(2)).as_bytes());
    assert!(
        reply.contains("250 2.0.0") || reply.contains("550 5.6.0"),
        "{reply}"
    );
    // A header alone, a message without any, and one line without end.
    assert!(send(3, head(3).as_bytes()).contains("550 5.6.0"));
    assert!(send(4, b"\r\n45.51.100.7").contains("550 5.6.0"));
    let long = format!(
        "{}Subject: {}\r\n\r\n",
        head(5),
        "45.51.100.7 ".repeat(4000)
    );
    assert!(send(5, long.as_bytes()).contains("250 2.0.0"));
    // Text of 8 bits that is not UTF-8, with the subject as the only place that names the address.
    let mut latin = format!("{}Subject: Gr\u{fc}\u{df}e 45.51.100.7\r\n\r\n", head(6)).into_bytes();
    latin.extend(b"\xe4\xf6\xfc\xff\xfe\r\n");
    assert!(send(6, &latin).contains("250 2.0.0"));
    assert!(
        send(
            7,
            b"From: author7@sender.example\r\nSubject: \xe4\xff 45.51.100.7\r\n\r\nx"
        )
        .contains("250 2.0.0")
    );
    // Bytes that could end the message early.
    let smuggled = format!("{}\r\n{BODY}\n.\nMAIL FROM:<x@evil.example>\r\n", head(8));
    assert!(send(8, smuggled.as_bytes()).contains("550 5.6.0 the message has a bare CR or LF"));
    let status = lab.api.get("/v1/status");
    assert_eq!(status.status, 200);
}

#[test]
fn secret_of_a_ticket_in_a_message_is_neither_used_nor_kept() {
    let lab = Lab::new();
    let first = lab.open(LISTED, "netblock");
    let path = first["path"].as_str().unwrap();
    lab.records
        .text("sender.example", "v=spf1 ip4:127.64.0.0/16 -all");
    let text = format!(
        "From: anna@sender.example\r\nSubject: Re: https://lists.example{path} 45.51.100.7\r\nIn-Reply-To: <x@lists.example>\r\n\r\n\
         https://lists.example{path}/withdraw\r\n"
    );
    let reply = lab.mail_by(client(0), "anna@sender.example", text.as_bytes());
    assert!(reply.contains("250 2.0.0 request 2 is open"), "{reply}");
    let secret = path.trim_start_matches("/tickets/");
    assert!(!reply.contains(secret), "{reply}");
    let answer = lab.smart_host.mail(0);
    assert!(
        !answer.contains(secret),
        "the answer has its own link: {answer}"
    );
    assert!(!lab.api.f.log().contains(secret));
    assert!(!lab.api.get("/v1/audit").text().contains(secret));
    let now = lab.ticket(&first);
    assert_eq!(
        (&now["state"], &now["messages"], &now["contact"]),
        (&first["state"], &first["messages"], &Value::Null)
    );
}

#[test]
fn mail_of_another_daemon_starts_no_loop() {
    let lab = Lab::new();
    lab.api.list(LISTED, "netblock");
    // Both daemons send from a domain that SPF permits.
    for domain in ["sender.example", "lists.example"] {
        lab.records.text(domain, "v=spf1 ip4:127.64.0.0/16 -all");
    }
    let text = message("anna@sender.example", "");
    let opened = lab.mail_by(client(0), "anna@sender.example", text.as_bytes());
    assert!(opened.contains("250 2.0.0"), "{opened}");
    let answer = lab.smart_host.mail(0);
    let ticket = lab
        .get(&link(&answer, "https://lists.example/tickets/"))
        .ok();
    let contact = format!("{}/contact", ticket["path"].as_str().unwrap());
    lab.post(&contact, &json!({"contact": "removal@probe.example"}))
        .ok();
    let confirmation = lab.smart_host.mail(1);
    let confirm = link(&confirmation, "https://lists.example/confirm/");
    lab.post(&confirm, &Value::Null).ok();
    let review = format!("{}/review", ticket["path"].as_str().unwrap());
    lab.post(&review, &Value::Null).ok();
    let change = lab.smart_host.mail(2);
    // As it arrives, and as a forwarder rewrites its envelope.
    for mail in [&answer, &confirmation, &change] {
        for sender in ["", "lists@lists.example", "srs0=x@sender.example"] {
            let reply = lab.mail_by(client(1), sender, content(mail).as_bytes());
            assert!(
                reply.contains("550 5.7.1 automatic messages"),
                "{sender}: {reply}"
            );
        }
    }
    for header in [
        "List-Id: <users.sender.example>\r\n",
        "List-Unsubscribe: <mailto:x@sender.example>\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "Auto-Submitted: no\r\nAuto-Submitted: auto-replied\r\n",
        "X-Auto-Response-Suppress: All\r\n",
        "Precedence: bulk\r\n",
    ] {
        let text = message("ben@sender.example", header);
        let reply = lab.mail_by(client(2), "ben@sender.example", text.as_bytes());
        assert!(
            reply.contains("550 5.7.1 automatic messages"),
            "{header}: {reply}"
        );
    }
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(lab.smart_host.count(), 3);
}

/// Opens a ticket that is granted at once, with a confirmed contact. Returns the ticket.
fn granted_with_contact(lab: &Lab, subject: &str, contact: &str, mails: usize) -> Value {
    lab.api.list(subject, "spamsource");
    let request = json!({"subject": subject, "contact": contact});
    let ticket = lab.post("/tickets", &request).ok();
    assert_eq!(ticket["state"], "granted", "{ticket:#}");
    let mail = lab.smart_host.mail(mails);
    let confirm = link(&mail, "https://lists.example/confirm/");
    lab.post(&confirm, &Value::Null).ok();
    ticket
}

#[test]
fn owner_is_told_once_that_the_subject_is_listed_again() {
    let lab = Lab::new();
    granted_with_contact(&lab, LISTED, "anna@example.org", 0);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(lab.smart_host.count(), 1, "nothing has happened");
    lab.api.list(LISTED, "spamsource");
    let mail = lab.smart_host.mail(1);
    assert!(mail.contains("RCPT TO:<anna@example.org>"), "{mail}");
    assert!(mail.contains("45.51.100.7"), "{mail}");
    assert!(fields(&mail).contains(&"List-Unsubscribe"), "{mail}");
    // Neither the end of the listing nor the next one is told again.
    lab.api.f.ok(&["delist", LISTED, "--no-hold"]);
    std::thread::sleep(Duration::from_secs(3));
    lab.api.list(LISTED, "spamsource");
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(lab.smart_host.count(), 2);
}

#[test]
fn unsubscription_is_a_button_for_people_and_one_click_for_programs() {
    let lab = Lab::new();
    let here = [127, 0, 0, 1].into();
    let html = "Accept: text/html\r\nAccept-Language: en\r\n";
    let one_click = format!("{html}Content-Type: application/x-www-form-urlencoded\r\n");
    let multipart = format!("{html}Content-Type: multipart/form-data; boundary=b\r\n");
    let parts = "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n";
    let subjects = ["45.51.100.7", "45.51.101.7", "45.51.102.7"];
    for (n, subject) in subjects.into_iter().enumerate() {
        let contact = format!("anna{n}@example.org");
        let ticket = granted_with_contact(&lab, subject, &contact, n);
        let path = ticket["path"].as_str().unwrap();
        let unsubscribe = format!("{path}/unsubscribe");
        // A scanner that opens the link changes nothing.
        let seen = lab.send_with(here, lab.web, "GET", &unsubscribe, html, "");
        assert_eq!(seen.status, 303);
        assert_eq!(seen.header("location"), format!("{path}#notifications"));
        let page = lab.send_with(here, lab.web, "GET", path, html, "").text();
        let button =
            format!("<form method=\"post\" action=\"{unsubscribe}\"><button type=\"submit\"");
        assert!(page.contains(&button), "{page}");
        assert_eq!(lab.ticket(&ticket)["contact"]["confirmed"], true);
        let done = match n {
            0 => lab.send_with(
                here,
                lab.web,
                "POST",
                &unsubscribe,
                &one_click,
                "List-Unsubscribe=One-Click",
            ),
            1 => lab.send_with(here, lab.web, "POST", &unsubscribe, &multipart, parts),
            _ => lab.send_with(here, lab.web, "POST", &unsubscribe, html, ""),
        };
        let expected = if n == 2 { 303 } else { 204 };
        assert_eq!(done.status, expected, "{}", done.text());
        assert_eq!(done.headers.contains_key("location"), n == 2);
        assert_eq!(lab.ticket(&ticket)["contact"], Value::Null);
        lab.api.list(subject, "spamsource");
    }
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(lab.smart_host.count(), subjects.len(), "only the links");
}

#[test]
fn code_by_mail_goes_to_the_confirmed_reverse_name_of_the_address() {
    let lab = Lab::new();
    lab.records.zone("100.51.45.in-addr.arpa");
    let addr = |n: u8| IpAddr::from([45, 51, 100, n]);
    let names = ["mail", "mx", "out", "relay"].map(|n| format!("{n}.sender.example"));
    for (n, name) in (11..).zip(&names) {
        lab.records.pointer(addr(n), name);
        lab.records.address(name, addr(n));
    }
    let ticket = lab.open("45.51.100.11", "netblock");
    let known = lab.wait(&ticket, "the addresses", |t| option(t, "mail").is_some());
    assert_eq!(
        option(&known, "mail").unwrap()["addresses"],
        json!([
            "postmaster@mail.sender.example",
            "abuse@mail.sender.example"
        ])
    );
    let send = |ticket: &Value, address: &str| {
        let path = format!("{}/send-code", ticket["path"].as_str().unwrap());
        lab.post(&path, &json!({ "address": address }))
    };
    for stranger in [
        "postmaster@sender.example",
        "root@mail.sender.example",
        "postmaster@mx.sender.example",
    ] {
        assert_eq!(send(&ticket, stranger).problem(), "invalid", "{stranger}");
    }
    send(&ticket, "postmaster@mail.sender.example").ok();
    let mail = lab.smart_host.mail(0);
    assert!(
        mail.contains("RCPT TO:<postmaster@mail.sender.example>"),
        "{mail}"
    );
    // Another request for the same subject gets no second code on the same day.
    let second = lab
        .post("/tickets", &json!({"subject": "45.51.100.11"}))
        .ok();
    lab.wait(&second, "the addresses", |t| option(t, "mail").is_some());
    assert_eq!(send(&second, "").status, 429);
    let confirm = link(&mail, "https://lists.example/confirm/");
    lab.post(&confirm, &Value::Null).ok();
    let now = lab.ticket(&ticket);
    assert_eq!(
        (&now["proof"]["method"], &now["state"]),
        (&json!("mail"), &json!("review"))
    );
    assert!(
        lab.ticket(&second)["proof"].is_null(),
        "the code is of one ticket"
    );
    // Three codes a day go to the names of a registered domain.
    for (n, expected) in [(12, 200), (13, 200), (14, 429)] {
        let ticket = lab.open(&addr(n).to_string(), "netblock");
        lab.wait(&ticket, "the addresses", |t| option(t, "mail").is_some());
        assert_eq!(send(&ticket, "").status, expected, "{n}");
    }
    lab.smart_host.mail(2);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(lab.smart_host.count(), 3);
}

#[test]
fn no_code_is_mailed_where_the_name_proves_nothing() {
    let lab = Lab::new();
    let null_mx = RData::MX(MX::new(0, name_server::name("")));
    lab.records
        .add(RecordType::MX, "null.sender.example", null_mx);
    lab.records
        .exchange("missing.sender.example", "mx.sender.example");
    // The name, and whether it has the address.
    let cases = [
        ("null.sender.example", true),
        ("missing.sender.example", false),
        ("dsl-21.pool.sender.example", true),
        ("ip-45-51-23-22.sender.example", true),
        ("co.uk", true),
        ("nodot", true),
        ("under_score.sender.example", true),
        ("mail.sender.example", true),
    ];
    for (n, (name, is_confirmed)) in (20u8..).zip(cases) {
        let addr = IpAddr::from([45, 51, n, 22]);
        lab.records.zone(&format!("{n}.51.45.in-addr.arpa"));
        lab.records.pointer(addr, name);
        if is_confirmed {
            lab.records.address(name, addr);
        }
        let ticket = lab.open(&addr.to_string(), "netblock");
        let known = lab.wait(&ticket, "the zone", |t| {
            option(t, "dns").is_some_and(|o| o["names"].as_array().unwrap().len() == 2)
        });
        let is_offered = option(&known, "mail").is_some();
        assert_eq!(
            is_offered,
            name == "mail.sender.example",
            "{name}: {known:#}"
        );
        let path = format!("{}/send-code", ticket["path"].as_str().unwrap());
        if !is_offered {
            assert_eq!(lab.post(&path, &json!({})).problem(), "conflict", "{name}");
        }
    }
    // The name of one address says nothing about the range.
    let range = lab.open("45.51.27.0/24", "netblock");
    lab.wait(&range, "the zone", |t| option(t, "dns").is_some());
    assert!(option(&lab.ticket(&range), "mail").is_none());
    assert_eq!(lab.smart_host.count(), 0);
}

/// Signs a message by Mail::DKIM with an RSA key of OpenSSL, as many mail servers do. Returns the
/// signed message and the DNS record of the key.
fn sign_by_mail_dkim(message: &str, domain: &str, bits: &str, method: &str) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key.pem");
    let run = |command: &mut Command, input: &str| {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success());
        out.stdout
    };
    let openssl = |args: &[&str]| {
        run(
            Command::new("openssl").args(args).current_dir(dir.path()),
            "",
        )
    };
    openssl(&["genrsa", "-traditional", "-out", "key.pem", bits]);
    let public = openssl(&["rsa", "-in", "key.pem", "-pubout", "-outform", "DER"]);
    let root = peers().join("root/usr");
    let lib = root.join(format!("lib/{}-linux-gnu/perl5", std::env::consts::ARCH));
    let mut paths = vec![root.join("share/perl5")];
    paths.extend(fs::read_dir(lib).unwrap().map(|e| e.unwrap().path()));
    let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    let mut signer = Command::new("perl");
    signer
        .env("PERL5LIB", paths.join(":"))
        .arg(root.join("bin/dkimproxy-sign"))
        .args([
            "--binary".into(),
            format!("--domain={domain}"),
            "--selector=rsa".into(),
            format!("--method={method}"),
            format!("--key={}", key.display()),
        ]);
    let signature = String::from_utf8(run(&mut signer, &format!("{message}\r\n"))).unwrap();
    let signature = signature.replace("\r\n", "\n").replace('\n', "\r\n");
    let record = format!("v=DKIM1; k=rsa; p={}", BASE64.encode(&public));
    (format!("{}\r\n{message}", signature.trim_end()), record)
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn signatures_of_mail_dkim_with_rsa_keys_are_accepted() {
    let lab = Lab::new();
    lab.api.list(LISTED, "netblock");
    for (n, method) in ["simple/simple", "relaxed/relaxed", "relaxed/simple"]
        .into_iter()
        .enumerate()
    {
        let domain = format!("sender{n}.example");
        let text = message(&format!("Anna  <anna@{domain}>"), "X-Mailer:  a   b\r\n");
        let (signed, record) = sign_by_mail_dkim(&text, &domain, "2048", method);
        lab.records
            .text(&format!("rsa._domainkey.{domain}"), &record);
        let changed = signed.replace(LISTED, "45.51.100.8");
        let refused = lab.mail_by(client(n), FOREIGN, changed.as_bytes());
        assert!(refused.contains("550 5.7.1 neither"), "{method}: {refused}");
        let opened = lab.mail_by(client(n), FOREIGN, signed.as_bytes());
        assert!(opened.contains("250 2.0.0"), "{method}: {opened}");
        let answer = lab.smart_host.mail(n);
        assert!(
            answer.contains(&format!("RCPT TO:<anna@{domain}>")),
            "{answer}"
        );
    }
    // A key that anybody can factor shows nothing.
    let text = message("anna@weak.example", "");
    let (signed, record) = sign_by_mail_dkim(&text, "weak.example", "512", "relaxed/relaxed");
    lab.records.text("rsa._domainkey.weak.example", &record);
    let refused = lab.mail_by(client(9), FOREIGN, signed.as_bytes());
    assert!(refused.contains("550 5.7.1 neither"), "{refused}");
}
