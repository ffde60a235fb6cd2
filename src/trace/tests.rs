//! Lines as real servers write them, and what a sender can change.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::{prelude::*, sample::select};

use super::{chain::trace_counted, *};
use crate::model::Subject;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn own(texts: &[&str]) -> Vec<Subject> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

fn attribution(headers: &str) -> Result<IpAddr, Unattributed> {
    trace(headers, &[]).unwrap().attribution
}

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

/// A public address.
fn public_address() -> impl Strategy<Value = IpAddr> {
    let any = prop_oneof![
        (0x0100_0000u32..0xe000_0000).prop_map(|a| Ipv4Addr::from(a).into()),
        (0x2001u128 << 112..0x3fff << 112).prop_map(|a| Ipv6Addr::from(a).into()),
    ];
    any.prop_filter("private", |a| !is_private(*a))
}

fn private_address() -> impl Strategy<Value = IpAddr> {
    select(vec![
        "10.0.0.7",
        "127.0.0.1",
        "192.168.3.4",
        "100.64.1.1",
        "fd00::7",
        "::1",
        "fe80::2",
    ])
    .prop_map(ip)
}

/// The name in an EHLO command: of any characters but those that servers refuse or replace.
fn ehlo_name() -> impl Strategy<Value = String> {
    let known = [
        "[198.51.100.7]",
        "198.51.100.7",
        "[IPv6:2001:db8::7]",
        "by",
        "from",
        "with",
        "for",
        "id",
        "localhost",
        "x;",
        ";",
        "helo=x",
        "[127.0.0.1]",
        "10.0.0.1",
        "mail.sender.example",
        "=",
        "[unix",
        "[local]",
        "HELO",
        "unknown",
        "<br",
        "=20",
        "x:",
        "Received:",
    ];
    prop_oneof![
        select(known.map(String::from).to_vec()),
        "[!-'*-~]{1,20}",
        "[a-z]{1,8}\\.example",
    ]
}

/// A line of a server that takes a message from a client, in one of several formats.
fn client_line(address: impl Strategy<Value = IpAddr>) -> impl Strategy<Value = String> {
    let reverse = select(vec!["unknown", "out.sender.example", "localhost"]);
    (0..12, ehlo_name(), reverse, address).prop_map(|(format, ehlo, reverse, address)| {
        let (literal, end) = match address {
            IpAddr::V4(a) => (a.to_string(), "; Sat, 28 Nov 2026 03:12:00 +0000\n"),
            IpAddr::V6(a) => (format!("IPv6:{a}"), ";\n\tSat, 28 Nov 2026 03:12:00 +0000\n"),
        };
        // qmail replaces characters of names; an ident of Exim has no effect.
        let safe: String = ehlo.chars().map(|c| if ";[]<>".contains(c) { '?' } else { c }).collect();
        let line = match format {
            0 => format!("from {ehlo} ({reverse} [{literal}])\n\tby mx.reader.example (Postfix) with ESMTP id 4Xy"),
            1 => format!("from {ehlo} ({reverse} [{literal}])\n\t(using TLSv1.3 with cipher X (256/256 bits))\n\t(Client CN \"{safe}\", Issuer \"[198.51.100.8]\" (not verified))\n\tby mx.reader.example (Postfix) with ESMTPS id 4Xy\n\tfor <bob@reader.example>"),
            2 => format!("from [{address}] (helo={ehlo})\n\tby mx.reader.example with esmtp (Exim 4.96) id 1"),
            3 => format!("from {reverse} ([{address}]:4411 helo={ehlo} ident={safe})\n\tby mx.reader.example with esmtp (Exim 4.96) id 1"),
            4 => format!("from {ehlo} ({reverse} [{literal}] (may be forged))\n\tby mx.reader.example (8.17.1/8.17.1) with ESMTP id 3AS"),
            5 => format!("from {reverse} (HELO {safe}) ({address})\n  by mx.reader.example with SMTP"),
            6 => format!("from {reverse} (HELO {safe}) ({safe}@{address})\n  by mx.reader.example with SMTP"),
            7 => format!("from {ehlo} ({address}) by EX1.reader.example\n (10.1.1.2) with Microsoft SMTP Server id 15.2.1544.4"),
            8 => format!("from {ehlo} ([{address}]) by mx.reader.example with Microsoft SMTPSVC(10.0.14393.4169)"),
            9 => format!("from {ehlo} ({reverse}. [{address}])\n        by mx.reader.example with ESMTPS id a1-20020a"),
            10 => format!("from {reverse} [{address}] by mx.reader.example with ESMTP"),
            _ => format!("from {ehlo} ({reverse} [{literal}]) by mx.reader.example (Haraka/3.0.2) with ESMTPS id 9A8B.1\n\tenvelope-from <a@sender.example>"),
        };
        format!("Received: {line}{end}")
    })
}

/// Lines of the reader's servers above the one that takes a message from outside.
fn inside_lines() -> impl Strategy<Value = String> {
    let clientless = [
        "Received: by 2002:a05:6512:3d1:b0:50b:f509:9c1f with SMTP id d17csp1lfn;\n        date\n",
        "Received: (qmail 4711 invoked from network); date\n",
        "Received: by mx.reader.example (Postfix)\n\tid 4Xy; date\n",
        "Received: from mx.reader.example\n\tby imap.reader.example with LMTP\n\tid X; date\n",
        "Received: from mx ([unix socket])\n\t by imap (Cyrus 3.8.1) with LMTPA;\n\t date\n",
        "Return-Path: <a@sender.example>\nDelivered-To: bob@reader.example\n",
        "ARC-Seal: i=1; a=rsa-sha256; cv=none; b=abc\n\tdef=\nARC-Authentication-Results: i=1; x\n",
        "X-Spam-Report:\n\t* 1.0 X\n\tReceived: from x (x [198.51.100.9]) by y; date\n \n\t> a: b\n",
        "Authentication-Results: mx; spf=pass smtp.mailfrom=198.51.100.3\n",
    ];
    let clientless = select(clientless.map(String::from).to_vec());
    let line = prop_oneof![clientless, client_line(private_address())];
    prop::collection::vec(line, 0..5).prop_map(|lines| lines.concat())
}

/// Text that a sender writes: plausible lines, broken ones, and any bytes.
fn forged_text() -> impl Strategy<Value = String> {
    let known = [
        FORGED,
        INSIDE,
        BORDER,
        "\tby x (198.51.100.9) with POP3; date\n",
        " ([198.51.100.9]) by mx.reader.example with LMTP; date\n",
        " with LMTP\n",
        ")\n",
        " (\n",
        "LMTP\n",
        "([198.51.100.9]) by y; date\n",
        "=\n",
        "\n",
        " \n",
        "> Received: from x (x [198.51.100.9]) by y; date\n",
        ">\n",
        "<html><body>\n",
        "<br\n",
        "x=3Dy=\n",
        "X-Originating-IP: [198.51.100.9]\n",
        "Received-SPF: pass client-ip=198.51.100.9\n",
        "Authentication-Results: mx.reader.example; iprev=pass\n",
        "ARC-Authentication-Results: i=2; mx.reader.example; spf=pass\n",
        "Received: from x (x [10.0.0.1])\n",
        "Received: by 2002:a05:6512:: with SMTP id 1; date\n",
        "Received: (qmail 4711 invoked from network); date\n",
        "Received:\n",
        "received\u{a0}: from x [198.51.100.9]\r\n",
        "From x@y Sat Nov 28 03:12:00 2026\n",
        "\u{feff}Received: from x (x [198.51.100.9]) by y; date\n",
        "\r",
        "\0",
    ];
    let bytes = prop::collection::vec(any::<u8>(), 0..60)
        .prop_map(|b| String::from_utf8_lossy(&b).into_owned());
    let line = prop_oneof![
        4 => select(known.map(String::from).to_vec()),
        2 => client_line(prop_oneof![public_address(), private_address()]),
        1 => bytes,
        1 => token_soup(),
        1 => "\\PC{0,40}\n",
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

/// The parts of headers in any order.
fn token_soup() -> impl Strategy<Value = String> {
    let tokens = [
        "from ",
        "by ",
        "with ",
        "id ",
        "for ",
        "; ",
        "(",
        ")",
        "[",
        "]",
        "192.0.2.1",
        "10.0.0.1",
        "[192.0.2.1] ",
        "[198.51.100.9] ",
        "(x [203.0.113.5]) ",
        "(10.0.0.1) ",
        "\n",
        "\r\n",
        "\n ",
        "\n\t",
        "Received: ",
        "Received: from ",
        "Subject: ",
        "LMTP ",
        "POP3 ",
        "ESMTP ",
        "local ",
        "helo=",
        "HELO ",
        "x ",
        "mx.example ",
        "=",
        "=\n",
        "=20\n",
        ">",
        "> ",
        ":",
        "(qmail 1 invoked from network)",
        "[unix socket]",
        "\n\n",
        "(helo=x) ",
        ",",
        "@",
        "\u{e9}",
    ];
    prop::collection::vec(select(tokens.to_vec()), 0..40).prop_map(|t| t.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    /// Whatever is below the line of the border server, the attribution is the same.
    #[test]
    fn forged_lines_do_not_move_the_attribution(
        inside in inside_lines(),
        border in public_address().prop_flat_map(|a| {
            client_line(Just(a)).prop_map(move |line| (a, line))
        }),
        forged in forged_text(),
        crlf: bool,
    ) {
        let (address, line) = border;
        let own = format!("{inside}{line}");
        let own = if crlf { own.replace('\n', "\r\n") } else { own };
        let alone = trace(&own, &[]).unwrap();
        prop_assert_eq!(alone.attribution, Ok(address), "{}", own);
        let found = trace(&format!("{own}{forged}"), &[]).unwrap();
        prop_assert_eq!(found.attribution, Ok(address), "{}{}", own, forged);
        let count = alone.hops.len();
        for (a, b) in found.hops.iter().zip(&alone.hops) {
            prop_assert_eq!((a.standing, a.address), (b.standing, b.address));
        }
        prop_assert!(found.hops[count..].iter().all(|h| h.standing == Standing::Unproved));
    }

    /// The same holds for any lines that give an attribution, whatever server wrote them.
    #[test]
    fn text_below_any_attribution_does_not_move_it(
        own in prop_oneof![token_soup(), token_soup().prop_map(|t| format!("Received: from {t}"))],
        forged in prop_oneof![forged_text(), token_soup()],
    ) {
        let own = own + "\n";
        if let Some(Trace { attribution: Ok(address), .. }) = trace(&own, &[]) {
            let found = trace(&format!("{own}{forged}"), &[]).unwrap();
            prop_assert_eq!(found.attribution, Ok(address), "{:?} {:?}", own, forged);
        }
    }

    /// Text of the reader in front of the headers has no effect, unless it has such a field itself.
    #[test]
    fn text_in_front_has_no_effect(
        preamble in "(([A-Za-z ]{0,20}|[A-Z][a-z]{1,8}: [a-z .]{0,20})\n){0,6}\n",
        inside in inside_lines(),
        forged in forged_text(),
    ) {
        let text = format!("{preamble}{inside}{BORDER}{forged}");
        prop_assert_eq!(attribution(&text), Ok(ip("192.0.2.1")), "{}", text);
    }

    #[test]
    fn any_text_is_read_without_a_panic(
        text in prop_oneof![any::<String>(), token_soup(), forged_text()],
        prefix in select(vec!["", "Received: ", "Received: from ", "Received: from x (", "> "]),
    ) {
        let text = format!("{prefix}{text}");
        if let Some(found) = trace(&text, &own(&["203.0.113.0/24"])) {
            let handed_over = found.hops.iter().filter(|h| h.standing == Standing::HandedOver);
            let addresses: Vec<_> = handed_over.map(|h| h.address).collect();
            match found.attribution {
                Ok(address) => {
                    prop_assert_eq!(addresses, [Some(address)]);
                    prop_assert!(!is_private(address));
                }
                Err(Unattributed::AddressUnknown) => prop_assert_eq!(addresses, [None]),
                Err(_) => prop_assert!(addresses.is_empty()),
            }
        }
    }
}
