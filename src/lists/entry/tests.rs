use super::*;

fn shown(text: &str) -> Result<String, String> {
    let rules = Rules::default();
    parse(text, &rules)
        .map(|all| {
            all.iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .map_err(|e| e.text)
}

#[test]
fn every_address_form_is_read() {
    for (text, want) in [
        ("45.51.100.7", "45.51.100.7"),
        ("45.51.100.0/24", "45.51.100.0/24"),
        ("45.51.100.0 /24", "45.51.100.0/24"),
        ("45.51.100.0-255", "45.51.100.0/24"),
        ("45.51.100.0-45.51.100.255", "45.51.100.0/24"),
        ("45.51.100.0 - 45.51.100.255", "45.51.100.0/24"),
        ("45.51.100.0 \u{2013} 45.51.100.255", "45.51.100.0/24"),
        ("45.51.100.0\u{2013}45.51.100.255", "45.51.100.0/24"),
        ("45.51.100.0\u{2013}255", "45.51.100.0/24"),
        ("45.51.100.0\u{2014}45.51.100.3", "45.51.100.0/30"),
        ("45.51.100.0 to 45.51.100.3", "45.51.100.0/30"),
        ("45.51.100.0 -45.51.100.3", "45.51.100.0/30"),
        ("45.51.100.1-2", "45.51.100.1 45.51.100.2"),
        ("45.51.100.*", "45.51.100.0/24"),
        ("45.51.*.*", "45.51.0.0/16"),
        ("45.51.*", "45.51.0.0/16"),
        ("45.51.100.x", "45.51.100.0/24"),
        ("45.51.x.x", "45.51.0.0/16"),
        ("45.51.100.", "45.51.100.0/24"),
        ("45.51.100.7.", "45.51.100.7"),
        ("45.51.100.0/255.255.255.0", "45.51.100.0/24"),
        ("45.51.100.0 255.255.255.0", "45.51.100.0/24"),
        ("45.51.100.0 0.0.0.255", "45.51.100.0/24"),
        ("45.51.100.7/255.255.255.255", "45.51.100.7"),
        ("45.51.100.7 255.255.255.255", "45.51.100.7"),
        ("[::1]", "::1"),
        ("[2a00:51::]/32", "2a00:51::/32"),
        ("2a00:51::1-2a00:51::2", "2a00:51::1 2a00:51::2"),
        ("2a00:51::1 - 2a00:51::1", "2a00:51::1"),
        ("2a00:51::/ffff:ffff::", "2a00:51::/32"),
        ("::ffff:45.51.100.7", "45.51.100.7"),
        ("::ffff:45.51.100.0/120", "45.51.100.0/24"),
        ("\u{feff}45.51.100.7", "45.51.100.7"),
    ] {
        assert_eq!(shown(text).as_deref(), Ok(want), "{text}");
    }
}

#[test]
fn word_in_address_form_is_an_address_or_an_error() {
    for (text, part) in [
        ("45.51.100.040", "leading zero"),
        ("010.51.100.9", "leading zero"),
        ("::ffff:045.51.100.3", "leading zero"),
        ("45.51.100.0/08", "leading zero"),
        ("45.51.100.1-09", "leading zero"),
        ("45.51.100.1 045.51.100.3", "leading zero"),
        ("0x7f.0.0.1", "hexadecimal"),
        ("0x7f000001", "hexadecimal"),
        ("127.0x1", "hexadecimal"),
        ("45.404.100.2", "octet 2 is 404"),
        ("45.51.100", "45.51.100.0/24"),
        ("45.51", "four"),
        ("1", "four"),
        ("45.51.100.7.8", "four"),
        ("45.51.100.7/33", "0 to 32"),
        ("45.51.100.7/24", "host bits"),
        ("45.51.100.0/0.0.0.0", "not a netmask"),
        ("45.51.100.0/255.0.255.0", "not a netmask"),
        ("45.51.100.0 255.0.255.0", "not a netmask"),
        ("45.51.100.9-45.51.100.1", "lower"),
        ("45.51.100.9-300", "300"),
        ("45.51.100.9-2a00::1", "both"),
        ("45.51.100.9-", "range"),
        ("2026-01-01", "form of an address"),
        ("12:30:00", "IPv6"),
        ("00:11:22:33:44:55", "IPv6"),
        ("fe80::1%lo0", "interface"),
        ("45.51.100.7:25", "ports are not listed"),
        ("[2a00:51::1]:25", "ports are not listed"),
        ("[::1", "closing bracket"),
        ("*.51.100", "form of an address"),
        ("1.", "form of an address"),
        ("45.51.", "form of an address"),
        ("4.x", "form of an address"),
        ("45.51.x", "form of an address"),
        ("45.51.100.1*", "form of an address"),
        ("45.51.100.7x", "form of an address"),
        ("45.51.100.7 45.51.100.9", "more than one entry"),
        ("45.51.100.7 bad.example", "more than one entry"),
        ("http://bad.example/x", "list the domain bad.example"),
        (
            "https://45.51.100.3:8080/load.sh",
            "list the address 45.51.100.3",
        ),
        ("bad.example/x", "list the domain bad.example"),
        ("bad.example/24", "list the domain bad.example"),
        ("bad.example:443", "list the domain bad.example"),
        ("\u{ff14}\u{ff15}.51.100.7", "form of an address"),
        ("45\u{3002}51\u{3002}100\u{3002}7", "full stop"),
        ("a.\u{ff14}\u{ff15}", "digits"),
    ] {
        let e = shown(text).expect_err(text);
        assert!(e.contains(part), "{text}: {e}");
    }
}

#[test]
fn words_without_the_form_of_an_address_are_names() {
    for (text, want) in [
        ("163.com", "163.com"),
        ("1-800-flowers.com", "1-800-flowers.com"),
        ("0x0.st", "0x0.st"),
        ("1.2.3.4.sslip.io", "1.2.3.4.sslip.io"),
        ("_dmarc.a.example", "_dmarc.a.example"),
        ("-7ns.bad.example", "-7ns.bad.example"),
        ("UPPER.Bad.Example.", "upper.bad.example"),
        ("*.wild.bad.example", "*.wild.bad.example"),
        (".tree.bad.example", ".tree.bad.example"),
        ("b\u{fc}cher.example", "xn--bcher-kva.example"),
        ("x.y", "x.y"),
    ] {
        assert_eq!(shown(text).as_deref(), Ok(want), "{text}");
    }
    for (text, part) in [
        ("too", "one label"),
        ("localhost", "one label"),
        ("AS64500", "AS number"),
        ("user@mail.bad.example", "list the domain mail.bad.example"),
        ("7.100.51.45.in-addr.arpa", "list 45.51.100.7"),
        ("100.51.45.in-addr.arpa.", "list 45.51.100.0/24"),
        ("in-addr.arpa", "reverse name"),
        ("arpa", "reverse name"),
        ("8.b.d.0.1.0.0.2.ip6.arpa", "list 2001:db8::/32"),
        ("32.7.100.51.45.rpz-ip", "list 45.51.100.7"),
        ("48.zz.51.2a00.rpz-client-ip", "list 2a00:51::/48"),
        ("ns.bad.example.rpz-nsdname", "trigger"),
        ("a..b", "label"),
    ] {
        let e = shown(text).expect_err(text);
        assert!(e.contains(part), "{text}: {e}");
    }
}

#[test]
fn icann_suffixes_are_recognised() {
    let kind = |s: &str, allowed: &[&str]| {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        public_suffix(&parse(s, &Rules::default()).unwrap()[0], &allowed)
    };
    for s in [
        "com",
        "*.com",
        ".tk",
        "co.uk",
        "*.co.uk",
        "kawasaki.jp",
        "ck",
        "*.ck",
        "xn--p1ai",
        ".xn--p1ai",
    ] {
        assert_eq!(kind(s, &[]), Some(PublicSuffix::Icann), "{s}");
    }
    for s in [
        "bad.com",
        "bad.co.uk",
        "a.b.kawasaki.jp",
        "github.io",
        "bad.example",
        "city.kawasaki.jp",
        "xn--90a.xn--p1ai",
    ] {
        assert_eq!(kind(s, &[]), None, "{s}");
    }
    assert_eq!(kind("*.github.io", &[]), Some(PublicSuffix::PrivateTree));
    assert_eq!(
        (
            kind("*.tk", &["tk"]),
            kind("co.uk", &[".co.uk"]),
            kind("com", &["tk"])
        ),
        (None, None, Some(PublicSuffix::Icann))
    );
}

proptest::proptest! {
    #[test]
    fn any_text_is_an_entry_or_an_error_and_addresses_never_become_names(text in "[0-9a-fx:./* \u{2013}-]{0,24}") {
        if let Ok(all) = parse(&text, &Rules::default()) {
            for s in all {
                let whole: String = text.split_whitespace().collect();
                proptest::prop_assert!(s.is_address() || !is_address_form(&whole), "{} from {:?}", s, text);
            }
        }
    }
}
