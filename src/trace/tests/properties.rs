//! What a sender can write, and where it has no effect.

use super::*;

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
