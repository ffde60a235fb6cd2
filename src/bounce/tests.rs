//! Texts as people paste them, and what they name.

use proptest::prelude::*;

use super::*;

const OWN: OwnNames<'static> = OwnNames {
    is_zone: &|zone| matches!(zone, "relays.example" | "rhsbl.example"),
    is_host: &|host| host == "list.example",
};

/// A text and what it names: subjects (the first ones), the refusing host, and all zones.
struct Case {
    name: &'static str,
    text: &'static str,
    subjects: &'static [&'static str],
    host: &'static str,
    zones: &'static [&'static str],
}

const fn case(
    name: &'static str,
    subjects: &'static [&'static str],
    host: &'static str,
    zones: &'static [&'static str],
    text: &'static str,
) -> Case {
    Case {
        name,
        text,
        subjects,
        host,
        zones,
    }
}

const OURS: &[&str] = &["relays.example"];
const IP: &[&str] = &["45.51.100.7"];

const BOUNCES: &[Case] = &[
    case("Postfix, bounce", IP, "mx.dest.example", OURS,
"This is the mail system at host mail.sender.example.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

                   The mail system

<bob@dest.example>: host mx.dest.example[8.20.30.40] said: 554 5.7.1 Service
    unavailable; Client host [45.51.100.7] blocked using relays.example;
    Open relay: https://list.example/45.51.100.7 (in reply to RCPT TO command)
"),
    case("Postfix, status part of the bounce", IP, "mx.dest.example", OURS,
"Reporting-MTA: dns; mail.sender.example
X-Postfix-Queue-ID: 4XyZ12abcd
Arrival-Date: Sat, 28 Nov 2026 03:12:00 +0000 (UTC)

Final-Recipient: rfc822; bob@dest.example
Original-Recipient: rfc822;bob@dest.example
Action: failed
Status: 5.7.1
Remote-MTA: dns; mx.dest.example
Diagnostic-Code: smtp; 554 5.7.1 Service unavailable; Client host [45.51.100.7]
    blocked using relays.example; https://list.example/45.51.100.7
"),
    case("Postfix, log of the sender", IP, "mx.dest.example", OURS,
"Nov 28 03:12:07 mail postfix/smtp[1234]: 4XyZ12abcd: to=<bob@dest.example>, relay=mx.dest.example[8.20.30.40]:25, delay=1.2, delays=0.1/0/0.6/0.5, dsn=5.7.1, status=bounced (host mx.dest.example[8.20.30.40] said: 554 5.7.1 Service unavailable; Client host [45.51.100.7] blocked using relays.example (in reply to RCPT TO command))"),
    case("Postfix, log of the receiver", IP, "-", OURS,
"Nov 28 03:12:07 mx postfix/smtpd[99]: NOQUEUE: reject: RCPT from mail.sender.example[45.51.100.7]: 554 5.7.1 Service unavailable; Client host [45.51.100.7] blocked using relays.example; from=<a@sender.example> to=<bob@dest.example> proto=ESMTP helo=<mail.sender.example>"),
    case("Postfix, deferred", IP, "mx.dest.example", OURS,
"status=deferred (host mx.dest.example[8.20.30.40] said: 450 4.7.1 Service unavailable; Client host [45.51.100.7] blocked using relays.example (in reply to RCPT TO command))"),
    case("Postfix, domain list", &["sender.example"], "mx.dest.example", &["rhsbl.example"],
"<bob@dest.example>: host mx.dest.example[8.20.30.40] said: 554 5.7.1 Service unavailable; Sender address [a@sender.example] blocked using rhsbl.example (in reply to RCPT TO command)"),
    case("Postfix, domain of the greeting", &["mail.sender.example"], "-", &["dbl.spamhaus.org"],
"554 5.7.1 Service unavailable; Helo command [mail.sender.example] blocked using dbl.spamhaus.org; https://www.spamhaus.org/query/dbl?domain=mail.sender.example"),
    case("postscreen", IP, "-", OURS,
"Nov 28 03:12:07 mx postfix/postscreen[17]: NOQUEUE: reject: RCPT from [45.51.100.7]:51234: 550 5.7.1 Service unavailable; client [45.51.100.7] blocked using relays.example; from=<a@sender.example>, to=<bob@dest.example>, proto=ESMTP, helo=<mail.sender.example>"),
    case("postscreen, rank", IP, "-", &[],
"Nov 28 03:12:07 mx postfix/postscreen[17]: DNSBL rank 6 for [45.51.100.7]:51234"),
    case("dnsblog", IP, "-", OURS,
"Nov 28 03:12:07 mx postfix/dnsblog[18]: addr 45.51.100.7 listed by domain relays.example as 127.0.0.2"),
    case("Exim, bounce", IP, "mx.dest.example", OURS,
"This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  bob@dest.example
    host mx.dest.example [8.20.30.40]
    SMTP error from remote mail server after RCPT TO:<bob@dest.example>:
    550-45.51.100.7 is listed at relays.example (127.0.0.2:
    550 https://list.example/45.51.100.7)
"),
    case("Exim, old bounce", IP, "mx.dest.example", OURS,
"  bob@dest.example
    SMTP error from remote mail server after RCPT TO:<bob@dest.example>:
    host mx.dest.example [8.20.30.40]: 550 rejected because 45.51.100.7 is in a black list at relays.example
"),
    case("Exim, log of the sender", IP, "mx.dest.example", OURS,
"2026-11-28 03:12:07 1rABCD-000123-Xy ** bob@dest.example R=dnslookup T=remote_smtp H=mx.dest.example [8.20.30.40] X=TLS1.3: SMTP error from remote mail server after RCPT TO:<bob@dest.example>: 550 rejected because 45.51.100.7 is in a black list at relays.example"),
    case("Exim, log of the receiver", IP, "-", OURS,
"2026-11-28 03:12:07 H=mail.sender.example [45.51.100.7] F=<a@sender.example> rejected RCPT <bob@dest.example>: rejected because 45.51.100.7 is in a black list at relays.example"),
    case("sendmail, bounce", IP, "mx.dest.example", OURS,
"   ----- The following addresses had permanent fatal errors -----
<bob@dest.example>
    (reason: 550 5.7.1 Rejected: 45.51.100.7 listed at relays.example)

   ----- Transcript of session follows -----
... while talking to mx.dest.example.:
>>> DATA
<<< 550 5.7.1 Rejected: 45.51.100.7 listed at relays.example
554 5.0.0 Service unavailable
"),
    case("sendmail, log of the receiver", IP, "-", OURS,
"Nov 28 03:12:07 mx sm-mta[55]: x0S3C7aa: ruleset=check_relay, arg1=mail.sender.example, arg2=45.51.100.7, relay=mail.sender.example [45.51.100.7], reject=550 5.7.1 Rejected: 45.51.100.7 listed at relays.example"),
    case("sendmail, log of the sender", IP, "mx.dest.example", OURS,
"Nov 28 03:12:07 mail sendmail[77]: 0AS3C: to=<bob@dest.example>, delay=00:00:02, mailer=esmtp, relay=mx.dest.example. [8.20.30.40], dsn=5.7.1, stat=Service unavailable: 550 5.7.1 Rejected: 45.51.100.7 listed at relays.example"),
    case("qmail", IP, "8.20.30.40", OURS,
"Hi. This is the qmail-send program at mail.sender.example.
I'm afraid I wasn't able to deliver your message to the following addresses.

<bob@dest.example>:
8.20.30.40 does not like recipient.
Remote host said: 553 Blocked - see https://list.example/45.51.100.7 (relays.example)
Giving up on 8.20.30.40.
"),
    case("qmail, greeting", IP, "8.20.30.40", OURS,
"<bob@dest.example>:
Connected to 8.20.30.40 but greeting failed.
Remote host said: 554 Your IP 45.51.100.7 is listed in relays.example
I'm not going to try again; this message has been in the queue too long.
"),
    case("Exchange", IP, "mx.dest.example", OURS,
"Delivery has failed to these recipients or groups:

bob@dest.example
Your message wasn't delivered due to a permission or security issue.

Diagnostic information for administrators:

Generating server: EX01.sender.example

bob@dest.example
mx.dest.example #<mx.dest.example #5.7.1 smtp;550 5.7.1 Service unavailable; client [45.51.100.7] blocked using relays.example> #SMTP#
"),
    case("Exchange, remote server", IP, "mx.dest.example", OURS,
"bob@dest.example
Remote Server at mx.dest.example (8.20.30.40) returned '400 4.4.7 Message delayed'
11/28/2026 3:12:07 AM - Server at mx.dest.example (8.20.30.40) returned '450 4.7.1 Client host [45.51.100.7] blocked using relays.example'
"),
    case("Outlook.com", IP, "-", &["olc.protection.outlook.com"],
"550 5.7.1 Unfortunately, messages from [45.51.100.7] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140). You can also refer your provider to http://mail.live.com/mail/troubleshooting.aspx#errors. [DB5EUR01FT041.eop-EUR01.prod.protection.outlook.com]"),
    case("Microsoft 365", IP, "dest-example.mail.protection.outlook.com", &["sender.office.com"],
"<bob@dest.example>: host dest-example.mail.protection.outlook.com[104.47.1.36] said: 550 5.7.606 Access denied, banned sending IP [45.51.100.7]. To request removal from this list please visit https://sender.office.com/ and follow the directions. For more information please go to http://go.microsoft.com/fwlink/?LinkID=526655 AS(1430) (in reply to RCPT TO command)"),
    case("Gmail, sent to another server", IP, "mx.dest.example", OURS,
"** Message blocked **

Your message to bob@dest.example has been blocked. See technical details below for more information.

The response from the remote server was:
554 5.7.1 Service unavailable; Client host [45.51.100.7] blocked using relays.example

Final-Recipient: rfc822; bob@dest.example
Action: failed
Status: 5.7.1
Remote-MTA: dns; mx.dest.example. (8.20.30.40, the server for the domain dest.example.)
Diagnostic-Code: smtp; 554 5.7.1 Service unavailable; Client host [45.51.100.7] blocked using relays.example
"),
    case("Gmail, as the receiver", IP, "gmail-smtp-in.l.google.com", &["support.google.com"],
"host gmail-smtp-in.l.google.com[142.250.27.26] said: 550-5.7.1 [45.51.100.7      12] Gmail has detected that this message is 550-5.7.1 likely unsolicited mail. To reduce the amount of spam sent to Gmail, 550 5.7.1 this message has been blocked. (in reply to end of DATA command)"),
    case("Barracuda", IP, "mx.dest.example", &["b.barracudacentral.org"],
"host mx.dest.example[8.20.30.40] said: 554 Service unavailable; Client host [mail.isp.example] blocked using Barracuda Reputation; http://www.barracudanetworks.com/reputation/?r=1&ip=45.51.100.7 (in reply to MAIL FROM command)"),
    case("Barracuda, continued lines", IP, "-", &["b.barracudacentral.org"],
"554-Service unavailable; Client host [mail.isp.example] blocked using
554-Barracuda Reputation;
554 http://www.barracudacentral.org/q.cgi?ip=45.51.100.7"),
    case("Proofpoint", IP, "mx1-us1.ppe-hosted.example", &["ipcheck.proofpoint.com"],
"Remote-MTA: dns; mx1-us1.ppe-hosted.example
Diagnostic-Code: smtp; 550 5.7.0 Local Policy Violation - ip=45.51.100.7 blocked. See https://ipcheck.proofpoint.com/?ip=45.51.100.7"),
    case("Cloudmark", IP, "-", &["csi.cloudmark.com"],
"421 4.7.0 45.51.100.7 has been temporarily rate limited. Please see https://csi.cloudmark.com/en/reset/?ip=45.51.100.7"),
    case("Spamhaus", IP, "mx.dest.example", &["zen.spamhaus.org"],
"<bob@dest.example>: host mx.dest.example[8.20.30.40] said: 554 5.7.1 Service unavailable; Client host [45.51.100.7] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/45.51.100.7"),
    case("SpamCop", IP, "-", &["bl.spamcop.net"],
"550 5.7.1 Blocked - see https://www.spamcop.net/bl.shtml?45.51.100.7"),
    case("SORBS", IP, "-", &["dnsbl.sorbs.net"],
"554 5.7.1 Service unavailable; Client host [45.51.100.7] blocked using dnsbl.sorbs.net; Currently Sending Spam See: http://www.sorbs.net/lookup.shtml?45.51.100.7"),
    case("UCEPROTECT", IP, "-", &["dnsbl-2.uceprotect.net"],
"550 45.51.100.7 is listed at dnsbl-2.uceprotect.net (Net 45.51.100.0/24 is UCEPROTECT-Level2 listed. See: https://www.uceprotect.net/rblcheck.php?ipr=45.51.100.7)"),
    case("several lists", IP, "-", &["relays.example", "zen.spamhaus.org", "psbl.surriel.com"],
"550 rejected: 45.51.100.7 found in relays.example, also 7.100.51.45.zen.spamhaus.org and https://psbl.org/listing?ip=45.51.100.7"),
    case("Haraka", IP, "-", OURS,
"550 host [45.51.100.7] is blacklisted by relays.example"),
    case("rspamd", IP, "-", OURS,
"554 5.7.1 Spam message rejected; If this is not spam contact abuse. (ip: 45.51.100.7) RBL: relays.example"),
    case("MDaemon", IP, "-", OURS,
"Sat 2026-11-28 03:12:07: --> 550 5.7.1 Your IP 45.51.100.7 is on DNSBL relays.example"),
    case("Kerio", IP, "-", OURS,
"550 5.7.1 Your server IP address is in the SpamHeuristics or DNSBL relays.example database, IP: 45.51.100.7 blocked"),
    case("OpenSMTPD", IP, "mx.dest.example", OURS,
"Below is a copy of the error: bob@dest.example: 550 5.7.1 Error from mx.dest.example (8.20.30.40, the server for the domain dest.example): client 45.51.100.7 listed in relays.example"),
    case("IPv6", &["2a01:4f8::7"], "mx.dest.example", OURS,
"<bob@dest.example>: host mx.dest.example[2a00:1450::1b] said: 554 5.7.1 Service unavailable; Client host [2a01:4f8::7] blocked using relays.example"),
    case("IPv6 literal of mail", &["2a01:4f8::7"], "-", OURS,
"550 [IPv6:2a01:4f8::7] blocked using relays.example"),
    case("query name in a log", IP, "-", OURS,
"named[3]: client 10.0.0.3#5353: query: 7.100.51.45.relays.example IN A +"),
    case("dig output", IP, "-", OURS,
"; <<>> DiG 9.18 <<>> 7.100.51.45.relays.example
;; ANSWER SECTION:
7.100.51.45.relays.example. 300 IN A 127.0.0.2
;; SERVER: 10.0.0.1#53(10.0.0.1)"),
    case("headers", IP, "-", &[],
"Return-Path: <a@sender.example>
Received: from mail.sender.example (mail.sender.example [45.51.100.7])
    by mx.dest.example (Postfix) with ESMTPS id 4XyZ12abcd
    for <bob@dest.example>; Sat, 28 Nov 2026 03:12:07 +0000 (UTC)
Received: from laptop (unknown [192.168.1.20])
    by mail.sender.example (Postfix) with ESMTPSA id 99
    for <bob@dest.example>; Sat, 28 Nov 2026 03:12:00 +0000 (UTC)
Received: from EX01 (10.1.2.3) by EX02 (10.1.2.4) with Microsoft SMTP Server (TLS) id 15.1.2.7; Sat, 28 Nov 2026 03:11:00 +0000
Subject: hello
"),
    case("headers with SPF", IP, "-", &[],
"Received-SPF: pass (dest.example: domain of a@sender.example designates 45.51.100.7 as permitted sender) client-ip=45.51.100.7;
X-Forefront-Antispam-Report: CIP:45.51.100.7;CTRY:DE;LANG:en;
Received: from a (8.8.4.4) by b (8.8.8.8)"),
    case("HTML", IP, "mx.dest.example", OURS,
"<html><body><div>host <b>mx.dest.example</b>&#91;8.20.30.40&#93; said: 554 5.7.1 Client host &#91;45.51.100.7&#93; blocked using relays.example; <a href=\"https://list.example/45.51.100.7\">more</a></div></body></html>"),
    case("quoted-printable", IP, "-", OURS,
"554 5.7.1 Service unavailable; Client host [45.51.=\n100.7] blocked using relays.exam=\nple; see http://list.example/lookup?subject=3D45.51.100.7"),
    case("German", IP, "-", OURS,
"Ihre IP-Adresse 45.51.100.7 ist gelistet bei relays.example und wurde abgelehnt"),
    case("open resolver of the receiver", IP, "mx.dest.example", &["zen.spamhaus.org"],
"<bob@dest.example>: host mx.dest.example[8.20.30.40] said: 554 5.7.1 Service unavailable; Client host [45.51.100.7] blocked using zen.spamhaus.org; Error: open resolver; https://www.spamhaus.org/returnc/pub/172.69.79.93 (in reply to RCPT TO command)"),
    case("only a private address", &["10.0.0.3"], "-", &[],
"NOQUEUE: reject: RCPT from unknown[10.0.0.3]: 554 5.7.1 rejected"),
    case("several addresses", &["45.51.100.7", "45.51.100.8", "10.0.0.3"], "-", &[],
"our servers are 10.0.0.3, 45.51.100.7 and 45.51.100.8"),
    case("only the refusing server", &["8.20.30.40"], "mx.dest.example", &[],
"host mx.dest.example[8.20.30.40] said: 550 5.1.1 user unknown"),
    case("nothing", &[], "-", &[], "Hello, why was my mail refused? It was version 4.94.2 of Exim."),
];

#[test]
fn bounces_name_the_refused_client_the_server_and_the_lists() {
    let mut wrong = Vec::new();
    for case in BOUNCES {
        let found = read(case.text, OWN);
        let subjects: Vec<String> = found
            .subjects
            .iter()
            .map(|s| s.subject.to_string())
            .collect();
        let zones: Vec<&str> = found.zones.iter().map(|z| z.zone.as_str()).collect();
        let host = found
            .refusing_host
            .as_ref()
            .map_or("-", |h| h.name.as_str());
        let first = &subjects[..subjects.len().min(case.subjects.len())];
        if first != case.subjects
            || case.subjects.is_empty() && !subjects.is_empty()
            || host != case.host
            || zones != case.zones
        {
            wrong.push(format!(
                "{}: {:?} {host} {zones:?}",
                case.name, found.subjects
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(BOUNCES.len() >= 40);
}

#[test]
fn refusing_server_is_never_a_subject_if_another_is_named() {
    for case in BOUNCES
        .iter()
        .filter(|c| c.name != "only the refusing server")
    {
        let found = read(case.text, OWN);
        for server in ["8.20.30.40", "2a00:1450::1b", "104.47.1.36"] {
            let server: Subject = server.parse().unwrap();
            assert!(
                found.subjects.iter().all(|s| s.subject != server),
                "{}",
                case.name
            );
        }
    }
}

#[test]
fn each_finding_has_its_line() {
    let found = read(BOUNCES[0].text, OWN);
    assert_eq!(found.subjects[0].line, 9);
    assert_eq!(found.zones[0].line, 9);
    assert_eq!(found.refusing_host.unwrap().line, 8);
}

#[test]
fn error_code_of_a_list_is_not_a_listing() {
    let found = |name: &str| {
        let case = BOUNCES.iter().find(|c| c.name == name).unwrap();
        read(case.text, OWN).receiver_misconfigured
    };
    assert!(found("open resolver of the receiver"));
    assert!(!found("Spamhaus"));
}

#[test]
fn single_subject_is_read_in_any_spelling() {
    for (text, expected) in [
        ("45.51.100.7", "45.51.100.7"),
        ("  45.51.100.7\r\n", "45.51.100.7"),
        ("[45.51.100.7]", "45.51.100.7"),
        ("[45.51.100.7]:25", "45.51.100.7"),
        ("45.51.100.7:25", "45.51.100.7"),
        ("(45.51.100.7)", "45.51.100.7"),
        ("45.51.100.7.", "45.51.100.7"),
        ("IP: 45.51.100.7", "45.51.100.7"),
        ("45[.]51[.]100[.]7", "45.51.100.7"),
        ("45 dot 51 dot 100 dot 7", "45.51.100.7"),
        ("４５．５１．１００．７", "45.51.100.7"),
        ("45.51.100.7/32", "45.51.100.7"),
        ("45.51.100.0/24", "45.51.100.0/24"),
        ("45.51.100.7/24", "45.51.100.0/24"),
        ("45.51.100.0-45.51.100.255", "45.51.100.0/24"),
        ("45.51.100.*", "45.51.100.0/24"),
        ("7.100.51.45.relays.example", "45.51.100.7"),
        ("7.100.51.45.relays.example.", "45.51.100.7"),
        ("7.100.51.45.unknown.example", "45.51.100.7"),
        ("7.100.51.45.in-addr.arpa", "45.51.100.7"),
        ("100.51.45.in-addr.arpa", "45.51.100.0/24"),
        ("2a01:4f8::7", "2a01:4f8::7"),
        ("[2a01:4f8::7]", "2a01:4f8::7"),
        ("[2a01:4f8::7]:25", "2a01:4f8::7"),
        ("[IPv6:2a01:4f8::7]", "2a01:4f8::7"),
        ("2a01:4f8::7%eth0", "2a01:4f8::7"),
        ("2a01:4f8::/32", "2a01:4f8::/32"),
        ("::ffff:45.51.100.7", "45.51.100.7"),
        (
            "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.f.4.0.1.0.a.2.relays.example",
            "2a01:4f8::7",
        ),
        (
            "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.f.4.0.1.0.a.2.ip6.arpa",
            "2a01:4f8::7",
        ),
        ("mail.sender.example", "mail.sender.example"),
        ("Sender.Example.", "sender.example"),
        ("*.sender.example", "*.sender.example"),
        (".sender.example", ".sender.example"),
        ("a@sender.example", "sender.example"),
        ("<a@sender.example>", "sender.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("sender.example.rhsbl.example", "sender.example"),
        ("https://list.example/45.51.100.7", "45.51.100.7"),
        ("https://list.example/45.51.100.0/24", "45.51.100.0/24"),
        (
            "https://list.example/lookup?subject=2a01%3A4f8%3A%3A7",
            "2a01:4f8::7",
        ),
        ("https://list.example/sender.example", "sender.example"),
        (
            "https://www.spamhaus.org/query/ip/45.51.100.7",
            "45.51.100.7",
        ),
        ("https://sender.example/path", "sender.example"),
        ("hxxps://45[.]51[.]100[.]7/x", "45.51.100.7"),
        ("127.0.0.2", "127.0.0.2"),
        ("test", "test"),
    ] {
        let found = read(text, OWN);
        assert!(found.only_subject, "{text}: {found:?}");
        let subject = &found.subjects[0];
        assert_eq!(subject.subject.to_string(), expected, "{text}");
        assert_eq!(subject.clue, Clue::WholeText);
    }
}

#[test]
fn text_without_a_subject_has_none() {
    for text in [
        "",
        " ",
        "hello",
        "1.2.3",
        "999.1.1.1",
        "::g",
        "a b",
        "..",
        "[]",
        "https://list.example/",
        "12345",
        "4.94.2",
        "user@",
        "@",
        "//",
        "://",
        "%",
        "-",
        "1.2.3.4.5.6",
        "mail.log",
        "<script>alert(1)</script>",
        "' OR 1=1",
        "\0\0",
        "\u{202e}",
        "../../etc/passwd",
    ] {
        let found = read(text, OWN);
        let name = |s: &FoundSubject| matches!(s.subject, Subject::Domain(_));
        assert!(
            found.subjects.iter().all(|s| text == "mail.log" && name(s)),
            "{text:?}: {found:?}"
        );
    }
}

#[test]
fn text_of_any_shape_is_read_in_proportional_time() {
    let shapes = [
        "1.2.3.4 ",
        "1.",
        "a.",
        "<",
        "<a",
        "&",
        "&#",
        "=\n",
        "[.]",
        ":",
        "://",
        "http://",
        "@",
        "received: from ",
        "\n ",
        "blocked using ",
        "1.2.3.4:",
        "a@b.c/",
        "%41",
        "[",
        "host ",
        "x.spamhaus.org ",
        "\u{202e}",
        "é",
        "listed",
        "h=a [1.2.3.4] ",
        "http://spamhaus.org/1.2.3.4 ",
    ];
    for shape in shapes {
        let text = shape.repeat(2 * MAX_TEXT_BYTES / shape.len());
        let start = std::time::Instant::now();
        read(&text, OWN);
        // A build without optimisation on a busy machine takes a tenth of this.
        assert!(
            start.elapsed().as_secs() < 5,
            "{shape:?}: {:?}",
            start.elapsed()
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in "(?s).{0,400}") {
        let found = read(&text, OWN);
        prop_assert!(found.subjects.len() <= MAX_SUBJECTS && found.zones.len() <= MAX_ZONES);
    }

    #[test]
    fn text_of_the_pieces_of_bounces_is_read(pieces in proptest::collection::vec(
        prop::sample::select(vec![
            "[", "]", "45.51.100.7", "2a01:4f8::7", "mx.dest.example", " host ", " said: ",
            " blocked using ", "relays.example", "7.100.51.45.", "\nReceived: from ", " by ", "\n ",
            "<", ">", "://", "https://list.example/", "&#46;", "=\n", "@", ":", "/", "%2", "é", ".",
            "IPv6:", " H=", "relay=", "550 ", "\u{202e}", "[.]", "*.", "www.",
        ]), 0..30)) {
        read(&pieces.concat(), OWN);
    }

    #[test]
    fn address_in_a_refusal_is_the_first_subject(a: u32) {
        let subject = Subject::host4(a);
        prop_assume!(crate::model::special::unlistable(&subject, &[]).is_none());
        let text = format!("host mx.dest.example[8.20.30.40] said: 554 Client host [{subject}] blocked using relays.example");
        let found = read(&text, OWN);
        prop_assert_eq!(&found.subjects[0].subject, &subject);
        prop_assert_eq!(found.zones.len(), 1);
    }
}
