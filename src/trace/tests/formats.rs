//! Lines as real servers write them.

use super::*;

/// A line and what it gives: the name of the client, its reverse name, its address, the server, the
/// protocol, and whether the chain goes on. `-`: nothing.
type Format = (&'static str, &'static str, [&'static str; 5], Next);

/// What follows from a line on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The line gives the attribution.
    Blames,
    /// The next line is read.
    GoesOn,
    /// The chain ends without an attribution.
    Ends(Unattributed),
}
use Next::{Blames, Ends, GoesOn};

const UNKNOWN: Next = Ends(Unattributed::AddressUnknown);
const LOCAL: Next = Ends(Unattributed::LocalSubmission);

const FORMATS: &[Format] = &[
    (
        "Postfix",
        "from mail.sender.example (out.sender.example [192.0.2.1])\n\tby mx.reader.example (Postfix) with ESMTP id 4XyZ12abcd\n\tfor <bob@reader.example>; Sat, 28 Nov 2026 03:12:00 +0000 (UTC)",
        [
            "mail.sender.example",
            "out.sender.example",
            "192.0.2.1",
            "mx.reader.example",
            "ESMTP",
        ],
        Blames,
    ),
    (
        "Postfix, TLS and authentication",
        "from [10.0.0.7] (unknown [IPv6:2001:db8::1])\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n\t key-exchange X25519 server-signature RSA-PSS (2048 bits))\n\t(Client CN \"[198.51.100.9]\", Issuer \"x\" (not verified))\n\t(Authenticated sender: [198.51.100.8])\n\tby mx.reader.example (Postfix) with ESMTPSA id 4XyZ; Sat, 28 Nov 2026 03:12:00 +0000",
        [
            "[10.0.0.7]",
            "-",
            "2001:db8::1",
            "mx.reader.example",
            "ESMTPSA",
        ],
        Blames,
    ),
    (
        "Postfix, an address as EHLO name",
        "from [198.51.100.7] (unknown [192.0.2.1]) by mx.reader.example (Postfix) with ESMTP id 1; date",
        [
            "[198.51.100.7]",
            "-",
            "192.0.2.1",
            "mx.reader.example",
            "ESMTP",
        ],
        Blames,
    ),
    (
        "Postfix, a keyword as EHLO name",
        "from by (unknown [192.0.2.1]) by mx.reader.example (Postfix) with ESMTP id 1; date",
        ["by", "-", "192.0.2.1", "mx.reader.example", "ESMTP"],
        Blames,
    ),
    (
        "Postfix, alias",
        "by mx.reader.example (Postfix)\n\tid 4XyZ12abcd; Sat, 28 Nov 2026 03:12:00 +0000 (UTC)",
        ["-", "-", "-", "mx.reader.example", "-"],
        GoesOn,
    ),
    (
        "Postfix, sendmail command",
        "by mx.reader.example (Postfix, from userid 48)\n\tid 4XyZ12abcd; Sat, 28 Nov 2026 03:12:00 +0000 (UTC)",
        ["-", "-", "-", "mx.reader.example", "-"],
        LOCAL,
    ),
    (
        "Exim, no reverse name",
        "from [192.0.2.1] (helo=mail.sender.example)\n\tby mx.reader.example with esmtp (Exim 4.96)\n\t(envelope-from <a@sender.example>)\n\tid 1rABcd-000123-AB\n\tfor bob@reader.example; Sat, 28 Nov 2026 03:12:00 +0000",
        [
            "mail.sender.example",
            "-",
            "192.0.2.1",
            "mx.reader.example",
            "esmtp",
        ],
        Blames,
    ),
    (
        "Exim, port and ident",
        "from [192.0.2.1] (port=4411 helo=[198.51.100.7] ident=[198.51.100.8])\n\tby mx.reader.example with esmtps (TLS1.3) tls TLS_AES_256_GCM_SHA384 (Exim 4.96) id 1; date",
        [
            "[198.51.100.7]",
            "-",
            "192.0.2.1",
            "mx.reader.example",
            "esmtps",
        ],
        Blames,
    ),
    (
        "Exim, reverse name",
        "from out.sender.example ([192.0.2.1]:4411 helo=mail.sender.example)\n\tby mx.reader.example with esmtp (Exim 4.96) id 1; date",
        [
            "mail.sender.example",
            "out.sender.example",
            "192.0.2.1",
            "mx.reader.example",
            "esmtp",
        ],
        Blames,
    ),
    (
        "Exim, IPv6",
        "from out.sender.example ([2001:db8::1]:4411)\n\tby mx.reader.example with esmtp (Exim 4.96) id 1; date",
        [
            "out.sender.example",
            "-",
            "2001:db8::1",
            "mx.reader.example",
            "esmtp",
        ],
        Blames,
    ),
    (
        "Exim, local",
        "from www-data by mx.reader.example with local (Exim 4.96)\n\t(envelope-from <www@reader.example>) id 1; date",
        ["www-data", "-", "-", "mx.reader.example", "local"],
        LOCAL,
    ),
    (
        "sendmail",
        "from mail.sender.example (out.sender.example [192.0.2.1] (may be forged))\n\tby mx.reader.example (8.17.1/8.17.1) with ESMTPS id 3AS (version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256 verify=NO)\n\tfor <bob@reader.example>; Sat, 28 Nov 2026 03:12:00 GMT",
        [
            "mail.sender.example",
            "out.sender.example",
            "192.0.2.1",
            "mx.reader.example",
            "ESMTPS",
        ],
        Blames,
    ),
    (
        "sendmail, ident",
        "from mail.sender.example (root@out.sender.example [IPv6:2001:db8:0:0:0:0:0:1]) by mx.reader.example (8.17.1/8.17.1) with ESMTP id 3AS; date",
        [
            "mail.sender.example",
            "out.sender.example",
            "2001:db8::1",
            "mx.reader.example",
            "ESMTP",
        ],
        Blames,
    ),
    (
        "sendmail, local user",
        "(from www@localhost)\n\tby web.reader.example (8.17.1/8.17.1/Submit) id 3AS;\n\tSat, 28 Nov 2026 03:12:00 GMT",
        ["-", "-", "-", "web.reader.example", "-"],
        LOCAL,
    ),
    (
        "qmail",
        "from unknown (HELO mail.sender.example) (192.0.2.1)\n  by mx.reader.example with SMTP; 28 Nov 2026 03:12:00 -0000",
        [
            "mail.sender.example",
            "-",
            "192.0.2.1",
            "mx.reader.example",
            "SMTP",
        ],
        Blames,
    ),
    (
        "qmail, ident and an address as HELO",
        "from out.sender.example (HELO 198.51.100.7) (198.51.100.8@192.0.2.1)\n  by mx.reader.example with ESMTPS; 28 Nov 2026 03:12:00 -0000",
        [
            "198.51.100.7",
            "out.sender.example",
            "192.0.2.1",
            "mx.reader.example",
            "ESMTPS",
        ],
        Blames,
    ),
    (
        "qmail, the names agree",
        "from out.sender.example (192.0.2.1)\n  by mx.reader.example with SMTP; 28 Nov 2026 03:12:00 -0000",
        [
            "out.sender.example",
            "-",
            "192.0.2.1",
            "mx.reader.example",
            "SMTP",
        ],
        Blames,
    ),
    (
        "qmail, network",
        "(qmail 4711 invoked from network); 28 Nov 2026 03:12:00 -0000",
        ["-", "-", "-", "-", "-"],
        GoesOn,
    ),
    (
        "qmail, alias",
        "(qmail 4711 invoked by alias); 28 Nov 2026 03:12:00 -0000",
        ["-", "-", "-", "-", "-"],
        GoesOn,
    ),
    (
        "qmail, local user",
        "(qmail 4711 invoked by uid 48); 28 Nov 2026 03:12:00 -0000",
        ["-", "-", "-", "-", "-"],
        LOCAL,
    ),
    (
        "qmail, bounce",
        "(qmail 4711 invoked for bounce); 28 Nov 2026 03:12:00 -0000",
        ["-", "-", "-", "-", "-"],
        LOCAL,
    ),
    (
        "nullmailer",
        "(nullmailer pid 4711 invoked by uid 1000);\n\tSat, 28 Nov 2026 03:12:00 -0000",
        ["-", "-", "-", "-", "-"],
        LOCAL,
    ),
    (
        "Exchange",
        "from mail.sender.example (192.0.2.1) by EX1.reader.example (10.1.1.2)\n with Microsoft SMTP Server (version=TLS1_2,\n cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.2.1544.4 via Frontend\n Transport; Sat, 28 Nov 2026 03:12:00 +0000",
        [
            "mail.sender.example",
            "-",
            "192.0.2.1",
            "EX1.reader.example",
            "Microsoft SMTP Server",
        ],
        Blames,
    ),
    (
        "Exchange, inside",
        "from EX1.reader.example ([fe80::1]) by EX2.reader.example\n ([fe80::2%4]) with mapi id 15.01.2507.039; Sat, 28 Nov 2026 03:12:00 +0000",
        [
            "EX1.reader.example",
            "-",
            "fe80::1",
            "EX2.reader.example",
            "mapi",
        ],
        GoesOn,
    ),
    (
        "Exchange Online",
        "from AM0PR01MB0001.example (2001:db8::1)\n by AM0PR01MB0002.example (2001:db8::2) with Microsoft SMTP Server\n (version=TLS1_3, cipher=TLS_AES_256_GCM_SHA384) id 15.20.7000.1; Sat, 28 Nov\n 2026 03:12:00 +0000",
        [
            "AM0PR01MB0001.example",
            "-",
            "2001:db8::1",
            "AM0PR01MB0002.example",
            "Microsoft SMTP Server",
        ],
        Blames,
    ),
    (
        "Exchange Online, address as EHLO name",
        "from [198.51.100.7] (192.0.2.1) by AM0.mail.example\n (10.1.1.2) with Microsoft SMTP Server id 15.20.7000.1 via Frontend Transport; date",
        [
            "[198.51.100.7]",
            "-",
            "192.0.2.1",
            "AM0.mail.example",
            "Microsoft SMTP Server",
        ],
        Blames,
    ),
    (
        "IIS",
        "from mail.sender.example ([192.0.2.1]) by mx.reader.example with Microsoft SMTPSVC(10.0.14393.4169);\n\t Sat, 28 Nov 2026 03:12:00 +0000",
        [
            "mail.sender.example",
            "-",
            "192.0.2.1",
            "mx.reader.example",
            "Microsoft SMTPSVC(10.0.14393.4169)",
        ],
        Blames,
    ),
    (
        "Gmail, inside",
        "by 2002:a05:6512:3d1:b0:50b:f509:9c1f with SMTP id d17csp1234567lfn;\n        Fri, 27 Nov 2026 19:12:00 -0800 (PST)",
        ["-", "-", "-", "2002:a05:6512:3d1:b0:50b:f509:9c1f", "SMTP"],
        GoesOn,
    ),
    (
        "Gmail",
        "from mail.sender.example (out.sender.example. [192.0.2.1])\n        by mx.mail.example with ESMTPS id a1-20020a\n        for <bob@mail.example>\n        (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);\n        Fri, 27 Nov 2026 19:12:00 -0800 (PST)",
        [
            "mail.sender.example",
            "out.sender.example",
            "192.0.2.1",
            "mx.mail.example",
            "ESMTPS",
        ],
        Blames,
    ),
    (
        "Gmail, written by its API",
        "from named unknown by api.mail.example with HTTPREST; Fri, 27 Nov 2026 19:12:00 -0800",
        ["named", "-", "-", "api.mail.example", "HTTPREST"],
        LOCAL,
    ),
    (
        "webmail",
        "by 10.1.2.3 with HTTP; Fri, 27 Nov 2026 19:12:00 -0800 (PST)",
        ["-", "-", "-", "10.1.2.3", "HTTP"],
        LOCAL,
    ),
    (
        "Courier",
        "from mail.sender.example (out.sender.example [::ffff:192.0.2.1])\n  (TLS: TLSv1.3,256bits,TLS_AES_256_GCM_SHA384)\n  by mx.reader.example with ESMTPS\n  id 00000000000A0001; Sat, 28 Nov 2026 03:12:00 +0000",
        [
            "mail.sender.example",
            "out.sender.example",
            "192.0.2.1",
            "mx.reader.example",
            "ESMTPS",
        ],
        Blames,
    ),
    (
        "OpenSMTPD",
        "from mail.sender.example (<unknown> [192.0.2.1])\n\tby mx.reader.example (OpenSMTPD) with ESMTPS id 1a2b3c4d (TLSv1.3:TLS_AES_256_GCM_SHA384:256:NO)\n\tfor <bob@reader.example>;\n\tSat, 28 Nov 2026 03:12:00 +0000 (UTC)",
        [
            "mail.sender.example",
            "-",
            "192.0.2.1",
            "mx.reader.example",
            "ESMTPS",
        ],
        Blames,
    ),
    (
        "OpenSMTPD, local",
        "from localhost (mx.reader.example [local])\n\tby mx.reader.example (OpenSMTPD) with ESMTPA id 1a2b3c4d; date",
        ["localhost", "-", "-", "mx.reader.example", "ESMTPA"],
        LOCAL,
    ),
    (
        "Haraka",
        "from mail.sender.example (out.sender.example [192.0.2.1])\n\tby mx.reader.example (Haraka/3.0.2) with ESMTPS id 9A8B.1\n\tenvelope-from <a@sender.example>\n\ttls TLS_AES_256_GCM_SHA384;\n\tSat, 28 Nov 2026 03:12:00 +0000",
        [
            "mail.sender.example",
            "out.sender.example",
            "192.0.2.1",
            "mx.reader.example",
            "ESMTPS",
        ],
        Blames,
    ),
    (
        "MDaemon",
        "from mail.sender.example (out.sender.example [192.0.2.1]) by mx.reader.example (MDaemon PRO v23.5.0)\n\twith ESMTPS id md5001.msg; Sat, 28 Nov 2026 03:12:00 +0000",
        [
            "mail.sender.example",
            "out.sender.example",
            "192.0.2.1",
            "mx.reader.example",
            "ESMTPS",
        ],
        Blames,
    ),
    (
        "Domino",
        "from mail.sender.example ([192.0.2.1])\n          by mx.reader.example (Lotus Domino Release 8.5.3)\n          with ESMTP id 2026112803120000-1 ;\n          Sat, 28 Nov 2026 03:12:00 +0000",
        [
            "mail.sender.example",
            "-",
            "192.0.2.1",
            "mx.reader.example",
            "ESMTP",
        ],
        Blames,
    ),
    (
        "Zimbra, LMTP",
        "from mta.reader.example (LHLO mta.reader.example) (203.0.113.5)\n by mbox.reader.example with LMTP; Sat, 28 Nov 2026 03:12:00 +0000 (UTC)",
        [
            "mta.reader.example",
            "mta.reader.example",
            "203.0.113.5",
            "mbox.reader.example",
            "LMTP",
        ],
        GoesOn,
    ),
    (
        "Zimbra, filter",
        "from localhost (localhost [127.0.0.1])\n\tby mta.reader.example (Postfix) with ESMTP id 4XyZ\n\tfor <bob@reader.example>; date",
        [
            "localhost",
            "localhost",
            "127.0.0.1",
            "mta.reader.example",
            "ESMTP",
        ],
        GoesOn,
    ),
    (
        "Amavis",
        "from mx.reader.example ([127.0.0.1])\n\tby localhost (mx.reader.example [127.0.0.1]) (amavisd-new, port 10024)\n\twith ESMTP id AbCdEf for <bob@reader.example>; date",
        ["mx.reader.example", "-", "127.0.0.1", "localhost", "ESMTP"],
        GoesOn,
    ),
    (
        "Amavis, brackets",
        "from localhost [127.0.0.1]\n\tby mx.reader.example (amavisd-new, port 10024) with ESMTP id AbC; date",
        ["localhost", "-", "127.0.0.1", "mx.reader.example", "ESMTP"],
        GoesOn,
    ),
    (
        "Cyrus, socket",
        "from mx.reader.example ([unix socket])\n\t by imap.reader.example (Cyrus 3.8.1) with LMTPA;\n\t Sat, 28 Nov 2026 03:12:00 +0000",
        [
            "mx.reader.example",
            "-",
            "-",
            "imap.reader.example",
            "LMTPA",
        ],
        GoesOn,
    ),
    (
        "Dovecot, LMTP",
        "from mx.reader.example\n\tby imap.reader.example with LMTP\n\tid GHJKL\n\t(envelope-from <a@sender.example>)\n\tfor <bob@reader.example>; date",
        ["mx.reader.example", "-", "-", "imap.reader.example", "LMTP"],
        GoesOn,
    ),
    (
        "fetchmail",
        "from pop.provider.example [203.0.113.5]\n\tby home.reader.example with POP3 (fetchmail-6.4.39)\n\tfor <bob@localhost> (single-drop); Sat, 28 Nov 2026 03:12:00 +0000 (UTC)",
        [
            "pop.provider.example",
            "-",
            "203.0.113.5",
            "home.reader.example",
            "POP3",
        ],
        GoesOn,
    ),
    (
        "IMail",
        "from mail.sender.example [192.0.2.1] by mx.reader.example with ESMTP\n  (SMTPD-12.5) id AB12; Sat, 28 Nov 2026 03:12:00 +0000",
        [
            "mail.sender.example",
            "-",
            "192.0.2.1",
            "mx.reader.example",
            "ESMTP",
        ],
        Blames,
    ),
    (
        "CommuniGate",
        "from [192.0.2.1] (HELO mail.sender.example)\n  by mx.reader.example (CommuniGate Pro SMTP 6.3)\n  with ESMTP id 4711; Sat, 28 Nov 2026 03:12:00 +0000",
        [
            "mail.sender.example",
            "-",
            "192.0.2.1",
            "mx.reader.example",
            "ESMTP",
        ],
        Blames,
    ),
    (
        "CommuniGate, account",
        "from [192.0.2.1] (account bob@reader.example HELO [198.51.100.7])\n  by mx.reader.example (CommuniGate Pro SMTP 6.3)\n  with ESMTPSA id 4711; date",
        [
            "[198.51.100.7]",
            "-",
            "192.0.2.1",
            "mx.reader.example",
            "ESMTPSA",
        ],
        Blames,
    ),
    (
        "CommuniGate, verified",
        "from mail.sender.example ([192.0.2.1] verified)\n  by mx.reader.example (CommuniGate Pro SMTP 6.3) with ESMTP id 4711; date",
        [
            "mail.sender.example",
            "-",
            "192.0.2.1",
            "mx.reader.example",
            "ESMTP",
        ],
        Blames,
    ),
    (
        "Yahoo",
        "from 192.0.2.1  (EHLO mail.sender.example) (192.0.2.1)\n  by mta1.mail.example with SMTPs; Sat, 28 Nov 2026 03:12:00 +0000",
        [
            "mail.sender.example",
            "-",
            "192.0.2.1",
            "mta1.mail.example",
            "SMTPs",
        ],
        Blames,
    ),
    (
        "PowerMTA",
        "from mail.sender.example (192.0.2.1) by mx.reader.example id hab123 for <bob@reader.example>; date (envelope-from <a@sender.example>)",
        [
            "mail.sender.example",
            "-",
            "192.0.2.1",
            "mx.reader.example",
            "-",
        ],
        Blames,
    ),
    (
        "Momentum",
        "from [198.51.100.7] ([192.0.2.1:45000] helo=mail.sender.example) by mx.reader.example (envelope-from <a@sender.example>) (ecelerity 4.2.38) with ESMTP id 1; date",
        [
            "mail.sender.example",
            "-",
            "192.0.2.1",
            "mx.reader.example",
            "ESMTP",
        ],
        Blames,
    ),
    (
        "Stalwart",
        "from mail.sender.example (out.sender.example [192.0.2.1] (AS64496 Sender, US)) (using TLSv1.3 with cipher TLS13_AES_256_GCM_SHA384) by mx.reader.example with ESMTPS id 1; date",
        [
            "mail.sender.example",
            "out.sender.example",
            "192.0.2.1",
            "mx.reader.example",
            "ESMTPS",
        ],
        Blames,
    ),
    (
        "client is hidden",
        "from mail.sender.example by mx.reader.example with ESMTP id 1; date",
        [
            "mail.sender.example",
            "-",
            "-",
            "mx.reader.example",
            "ESMTP",
        ],
        UNKNOWN,
    ),
    (
        "EHLO name is the only address",
        "from [198.51.100.7] by mx.reader.example with ESMTP id 1; date",
        ["[198.51.100.7]", "-", "-", "mx.reader.example", "ESMTP"],
        UNKNOWN,
    ),
    (
        "no client, SMTP",
        "by mx.reader.example with ESMTPSA id 1; date",
        ["-", "-", "-", "mx.reader.example", "ESMTPSA"],
        UNKNOWN,
    ),
    (
        "two addresses",
        "from x (y [198.51.100.7]) (unknown [192.0.2.1]) by mx.reader.example with ESMTP id 1; date",
        ["x", "y", "-", "mx.reader.example", "ESMTP"],
        UNKNOWN,
    ),
    (
        "EHLO name with a fake clause",
        "from x by y with LMTP (unknown [192.0.2.1]) by mx.reader.example with ESMTP id 1; date",
        ["x", "-", "-", "y", "LMTP"],
        UNKNOWN,
    ),
    (
        "EHLO name opens a comment",
        "from x ( (unknown [192.0.2.1]) by mx.reader.example with ESMTP id 1; date",
        ["x", "-", "-", "-", "-"],
        UNKNOWN,
    ),
    (
        "sendmail, ident with a keyword",
        "from [198.51.100.7] (helo=x@out.sender.example [192.0.2.1]) by mx.reader.example (8.17.1/8.17.1) with ESMTP id 1; date",
        ["[198.51.100.7]", "-", "-", "mx.reader.example", "ESMTP"],
        UNKNOWN,
    ),
    (
        "qmail, ident with a keyword",
        "from unknown (HELO x) (helo=y@192.0.2.1)\n  by mx.reader.example with SMTP; date",
        ["x", "-", "192.0.2.1", "mx.reader.example", "SMTP"],
        Blames,
    ),
    (
        "Exim, at sign in the EHLO name",
        "from [192.0.2.1] (helo=x@198.51.100.7) by mx.reader.example with esmtp (Exim 4.96) id 1; date",
        [
            "x@198.51.100.7",
            "-",
            "192.0.2.1",
            "mx.reader.example",
            "esmtp",
        ],
        Blames,
    ),
    (
        "unspecified address",
        "from x (unknown [0.0.0.0]) by mx.reader.example with ESMTP id 1; date",
        ["x", "-", "-", "mx.reader.example", "ESMTP"],
        UNKNOWN,
    ),
    (
        "nothing that is known",
        "via tmail-2000(13) for bob; date",
        ["-", "-", "-", "-", "-"],
        UNKNOWN,
    ),
];

#[test]
fn lines_of_real_servers_are_read() {
    for (name, line, expected, next) in FORMATS {
        // A line of a chain whose next line is a sender's.
        let below = "Received: from y (y [203.0.113.99]) by z with ESMTP id 1; date\n";
        let found = trace(&format!("Received: {line}\n{below}"), &[]).unwrap();
        let hop = &found.hops[0];
        let address = hop.address.map(|a| a.to_string());
        let parts = [
            &hop.from_name,
            &hop.reverse_name,
            &address,
            &hop.by,
            &hop.protocol,
        ];
        let parts = parts.map(|p| p.as_deref().unwrap_or("-"));
        assert_eq!(parts, *expected, "{name}");
        let standings = [found.hops[0].standing, found.hops[1].standing];
        let (attribution, expected) = match next {
            Blames => (
                Ok(ip(expected[2])),
                [Standing::HandedOver, Standing::Unproved],
            ),
            GoesOn => (
                Ok(ip("203.0.113.99")),
                [Standing::Own, Standing::HandedOver],
            ),
            Ends(reason @ Unattributed::LocalSubmission) => {
                (Err(*reason), [Standing::Own, Standing::Unproved])
            }
            Ends(reason) => (Err(*reason), [Standing::HandedOver, Standing::Unproved]),
        };
        assert_eq!(
            (found.attribution, standings),
            (attribution, expected),
            "{name}"
        );
    }
}

#[test]
fn parts_of_a_line_are_kept() {
    let text = "Return-Path: <a@sender.example>\r\nReceived: from a (b [192.0.2.1])\r\n\t(using TLSv1.3 with cipher X (256/256 bits))\r\n\tby mx (Postfix) with ESMTPS id 4Xy\r\n\tfor <bob@reader.example>; Sat, 28 Nov 2026\r\n 03:12:00 +0000 (UTC)\r\n";
    let found = trace(text, &[]).unwrap();
    let hop = &found.hops[0];
    assert_eq!(hop.line, 2);
    assert_eq!(hop.id.as_deref(), Some("4Xy"));
    assert_eq!(hop.recipient.as_deref(), Some("bob@reader.example"));
    let date = "Sat, 28 Nov 2026 03:12:00 +0000 (UTC)";
    assert_eq!(hop.received_at.as_deref(), Some(date));
    let tls = "using TLSv1.3 with cipher X (256/256 bits)";
    assert_eq!(hop.tls.as_deref(), Some(tls));
    assert!(hop.text.starts_with("from a (b [192.0.2.1]) (using") && hop.text.ends_with("(UTC)"));
}
