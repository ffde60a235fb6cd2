use super::*;

const CODE: &str = "7-abcdefgh";

fn settings() -> ControlSettings {
    ControlSettings {
        base_url: "https://lists.example".into(),
        plain_url: Some("http://lists.example".into()),
        mail: true,
        providers: vec!["cloud.example".into()],
    }
}

fn subject(text: &str) -> Subject {
    text.parse().unwrap()
}

fn facts(host_name: &str, zones: &[&str]) -> ControlFacts {
    ControlFacts {
        at: Time(1),
        host_name: Some(host_name.into()).filter(|n: &String| !n.is_empty()),
        null_mx: false,
        zones: zones.iter().map(|z| (*z).into()).collect(),
    }
}

/// The kinds of the options, in order.
fn kinds(text: &str, reasons: &[&str], facts: Option<&ControlFacts>) -> String {
    control_options(&subject(text), reasons, facts, CODE, &settings())
        .iter()
        .map(|o| match o {
            ControlOption::Server(_) => 's',
            ControlOption::Dns { .. } => 'd',
            ControlOption::Mail(_) => 'm',
        })
        .collect()
}

fn names(text: &str, facts: Option<&ControlFacts>) -> (Vec<String>, bool) {
    record_names(&subject(text), facts)
}

#[test]
fn quickest_way_is_first_and_impossible_ways_are_left_out() {
    let known = facts("mail.example.com", &["2.0.192.in-addr.arpa"]);
    assert_eq!(kinds("192.0.2.1", &["relay"], Some(&known)), "smd");
    assert_eq!(
        kinds("192.0.2.1", &["relay"], None),
        "sd",
        "DNS not asked yet"
    );
    assert_eq!(kinds("192.0.2.0/24", &["netblock"], Some(&known)), "d");
    assert_eq!(kinds("192.0.2.0/24", &["netblock"], None), "");
    assert_eq!(kinds("shop.example.com", &["spam"], None), "d");
    assert_eq!(
        kinds("shop.example.com", &["spam"], Some(&facts("", &[]))),
        "md"
    );
}

#[test]
fn server_proof_is_not_offered_where_strangers_act_through_the_host() {
    for reason in ["proxy", "form", "spamsource"] {
        assert_eq!(kinds("192.0.2.1", &[reason], None), "d", "{reason}");
        assert_eq!(
            kinds("192.0.2.1", &["relay", reason], None),
            "d",
            "{reason}"
        );
    }
    for reason in [
        "relay",
        "input",
        "output",
        "dynamic",
        "manual",
        "unconfirmed",
    ] {
        assert_eq!(kinds("192.0.2.1", &[reason], None), "sd", "{reason}");
    }
}

#[test]
fn commands_use_the_family_of_the_address() {
    for (addr, option, family) in [
        ("192.0.2.1", " -4 ", "]::InterNetwork)"),
        ("2001:db8::1", " -6 ", "]::InterNetworkV6)"),
    ] {
        let found = commands(addr.parse().unwrap(), CODE, &settings());
        let programs: Vec<_> = found.iter().map(|c| c.0).collect();
        assert_eq!(programs, ["curl", "wget", "PowerShell", "nc"]);
        for (program, command) in &found {
            assert!(command.contains(&format!("/prove/{CODE}")), "{command}");
            let expected = if *program == "PowerShell" {
                family
            } else {
                option
            };
            assert!(command.contains(expected), "{command}");
        }
    }
    let found = commands("192.0.2.1".parse().unwrap(), CODE, &settings());
    assert_eq!(
        commands_for_code(CODE, &settings()),
        [
            "curl -X POST http://lists.example/prove/7-abcdefgh",
            "wget -nv -O - --post-data=x http://lists.example/prove/7-abcdefgh"
        ]
    );
    for code in [
        "x",
        "ABC123",
        "7-a;reboot",
        "7-a`id`",
        "7-$(id)",
        "7-a b",
        "7-a\n",
        "",
    ] {
        assert!(commands_for_code(code, &settings()).is_empty(), "{code}");
    }
    assert_eq!(
        found[0].1,
        "curl -4 -X POST http://lists.example/prove/7-abcdefgh"
    );
    assert!(
        found[3].1.ends_with(" | nc -4 lists.example 80"),
        "{}",
        found[3].1
    );
}

#[test]
fn commands_of_a_site_without_plain_http_use_its_url() {
    let settings = ControlSettings {
        plain_url: None,
        ..settings()
    };
    let found = commands("192.0.2.1".parse().unwrap(), CODE, &settings);
    let programs: Vec<_> = found.iter().map(|c| c.0).collect();
    assert_eq!(programs, ["curl", "wget", "PowerShell"]);
    assert!(
        found
            .iter()
            .all(|c| c.1.contains("https://lists.example/prove/7-abcdefgh"))
    );
}

#[test]
fn plain_url_is_split_into_host_port_and_path() {
    for (url, expected) in [
        ("http://lists.example", ("lists.example", 80, "")),
        ("http://lists.example:8055", ("lists.example", 8055, "")),
        ("http://[2001:db8::1]:81/x", ("[2001:db8::1]", 81, "/x")),
        ("http://lists.example/bl", ("lists.example", 80, "/bl")),
    ] {
        assert_eq!(split_plain_url(url), Some(expected), "{url}");
    }
    assert_eq!(split_plain_url("https://lists.example"), None);
}

#[test]
fn record_is_at_the_reverse_name_the_apex_or_the_listed_domain() {
    let zone = facts("", &["2.0.192.in-addr.arpa"]);
    assert_eq!(
        names("192.0.2.5", Some(&zone)),
        (
            vec![
                "5.2.0.192.in-addr.arpa".into(),
                "2.0.192.in-addr.arpa".into()
            ],
            false
        )
    );
    assert_eq!(
        names("2001:db8::1", None).0,
        ["1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"]
    );
    assert_eq!(names("shop.example", None).0, ["shop.example"]);
    assert_eq!(names("*.shop.example", None).0, ["shop.example"]);
    assert_eq!(
        names("192.0.2.0/24", Some(&zone)).0,
        ["2.0.192.in-addr.arpa"]
    );
    let two = facts("", &["2.0.192.in-addr.arpa", "3.0.192.in-addr.arpa"]);
    assert_eq!(names("192.0.2.0/23", Some(&two)), (two.zones.clone(), true));
}

#[test]
fn nothing_wider_than_16_or_32_is_proved_by_dns() {
    for (text, provable) in [
        ("192.0.0.0/16", true),
        ("192.0.0.0/15", false),
        ("192.0.0.0/8", false),
        ("2001:db8::/32", true),
        ("2001:db8::/31", false),
    ] {
        assert_eq!(is_provable_by_dns(&subject(text)), provable, "{text}");
        assert_eq!(
            reverse_names(&subject(text)).is_empty(),
            !provable,
            "{text}"
        );
        let known = facts("", &["192.in-addr.arpa"]);
        assert_eq!(names(text, Some(&known)).0.is_empty(), !provable, "{text}");
    }
    assert!(!is_reverse_zone("in-addr.arpa") && !is_reverse_zone("arpa"));
    assert!(!is_reverse_zone("ip6.arpa") && !is_reverse_zone(""));
    assert!(!is_reverse_zone("xin-addr.arpa") && !is_reverse_zone("example.com"));
    assert!(is_reverse_zone("2.0.192.in-addr.arpa"));
}

#[test]
fn reverse_names_cover_the_subject_and_no_more() {
    let of = |t: &str| reverse_names(&subject(t));
    assert_eq!(of("192.0.2.5"), ["5.2.0.192.in-addr.arpa"]);
    assert_eq!(of("192.0.2.0/24"), ["2.0.192.in-addr.arpa"]);
    assert_eq!(
        of("192.0.2.0/23"),
        ["2.0.192.in-addr.arpa", "3.0.192.in-addr.arpa"]
    );
    assert_eq!(of("192.0.0.0/16"), ["0.192.in-addr.arpa"]);
    assert_eq!(of("192.0.0.0/17").len(), 128);
    assert_eq!(of("192.0.2.0/25").len(), 128);
    assert_eq!(of("192.0.2.252/30")[3], "255.2.0.192.in-addr.arpa");
    assert_eq!(of("2001:db8::/32"), ["8.b.d.0.1.0.0.2.ip6.arpa"]);
    assert_eq!(of("2001:db8::/47").len(), 2);
    assert_eq!(
        of("2001:db8:0:1::/64"),
        ["1.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"]
    );
    assert_eq!(of("2001:db8::1").len(), 1);
    for text in [
        "192.0.128.0/17",
        "192.0.2.128/25",
        "2001:db8::/33",
        "255.255.255.255",
    ] {
        let n = of(text).len();
        assert!((1..=MAX_REVERSE_NAMES).contains(&n), "{text}: {n}");
    }
    assert!(of("shop.example").is_empty());
}

#[test]
fn proof_text_is_the_prefix_and_the_code() {
    for text in [
        "orbsd-proof=7-abc",
        " orbsd-proof=7-abc ",
        "\"orbsd-proof=7-abc\"",
        "ORBSD-PROOF=7-ABC",
        "orbsd-proof= 7-abc",
    ] {
        assert!(is_proof_text(text, "7-abc"), "{text}");
    }
    for text in [
        "",
        "7-abc",
        "orbsd-proof=",
        "orbsd-proof=7-abcd",
        "orbsd-proof=7-ab",
        "x orbsd-proof=7-abc",
        "orbsd-proof\u{e4}7-abc",
        "v=spf1 -all",
    ] {
        assert!(!is_proof_text(text, "7-abc"), "{text}");
    }
}

fn mail(text: &str, facts: &ControlFacts) -> Vec<String> {
    mail_addresses(&subject(text), facts, &settings())
}

#[test]
fn code_goes_to_role_addresses_of_the_confirmed_name_or_the_listed_domain() {
    assert_eq!(
        mail("192.0.2.1", &facts("mail.example.com", &[])),
        ["postmaster@mail.example.com", "abuse@mail.example.com"]
    );
    assert_eq!(
        mail("shop.example", &facts("", &[])),
        ["postmaster@shop.example", "abuse@shop.example"]
    );
    assert!(
        mail("192.0.2.1", &facts("", &[])).is_empty(),
        "no confirmed name"
    );
    assert!(mail("192.0.2.0/24", &facts("mail.example.com", &[])).is_empty());
}

#[test]
fn no_code_goes_to_a_domain_that_accepts_no_mail() {
    let facts = ControlFacts {
        null_mx: true,
        ..facts("mail.example.com", &[])
    };
    assert!(mail("192.0.2.1", &facts).is_empty());
    assert!(mail("shop.example", &facts).is_empty());
}

#[test]
fn no_code_goes_to_a_public_suffix() {
    for name in ["co.uk", "com", "github.io", "herokuapp.com"] {
        assert!(mail(name, &facts("", &[])).is_empty(), "{name}");
        assert!(mail("192.0.2.1", &facts(name, &[])).is_empty(), "{name}");
    }
    assert!(!mail("example.co.uk", &facts("", &[])).is_empty());
}

#[test]
fn no_code_goes_to_a_provider_of_the_operators_table() {
    for (name, is_offered) in [
        ("cloud.example", false),
        ("vm.cloud.example", false),
        ("mycloud.example", true),
        ("cloud.example.net", true),
    ] {
        assert_eq!(
            !mail("192.0.2.1", &facts(name, &[])).is_empty(),
            is_offered,
            "{name}"
        );
    }
}

#[test]
fn no_code_goes_to_a_name_that_is_not_a_host_name() {
    for name in [
        "localhost",
        "a..example",
        "-a.example.com",
        "a b.example.com",
        "a\r\nbcc: x.example.com",
        "postmaster@x.example.com",
        "192.0.2.1",
        "m\u{fc}ller.example",
        "x.example.com>",
        "",
    ] {
        assert!(mail("192.0.2.1", &facts(name, &[])).is_empty(), "{name:?}");
    }
}
