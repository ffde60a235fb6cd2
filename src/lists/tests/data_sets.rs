//! Data sets of rbldnsd.

use super::*;

#[test]
fn rbldnsd_ipv4_keys_are_read() {
    let text = "1.2.3.4\n1.2.3\n5.6/16\n8.1.0.0-8.1.0.255\n9.1.0.1-3\n11.16-17\n12.1-12.1\n!1.2.3.9 # gone\n14/8\n";
    let (out, report) = parse("rbldnsd", text);
    let want = "1.2.3.4 0,1.2.3.0/24 0,5.6.0.0/16 0,8.1.0.0/24 0,9.1.0.1 0,9.1.0.2/31 0,11.16.0.0/15 0,12.1.0.0/16 0,!1.2.3.9 0,14.0.0.0/8 0";
    assert_eq!(out.join(","), want);
    assert_eq!((report.errors, report.lines), (0, 9));
    let (out, report) = parse(
        "rbldnsd",
        "10\n1.2.3.4/24\n1.2.3.300\n1.2.3.4-1.2\n1.2.3.9-2\n",
    );
    assert_eq!((out.len(), report.errors), (0, 5), "{report:?}");
    assert_eq!(
        report.problems[1].to_string(),
        "f:2:1: `1.2.3.4/24` has host bits set; the prefix is 1.2.3.0/24"
    );
}

#[test]
fn rbldnsd_values_use_defaults_and_templates() {
    let text = "$0 see\n1.1.1.0 own text\n:127.0.0.2:Open $, $0 there\n1.1.1.1\n1.1.1.2 :2:Other $$ 1.1.1.2\n1.1.1.3 :3:\n1.1.1.4 ; note\n";
    let (out, _) = parse("rbldnsd", text);
    let want = [
        "1.1.1.0 0 own text",
        "1.1.1.1 0 Open $, see there",
        "1.1.1.2 0 Other $$ $",
        "1.1.1.3 0",
        "1.1.1.4 0 Open $, see there",
    ];
    assert_eq!(out, want);
    let (out, _) = parse(
        "rbldnsd",
        "$= Listed: $= ($)\n1.1.1.1 spam\n1.1.1.2 =bare\n",
    );
    assert_eq!(out, ["1.1.1.1 0 Listed: spam ($)", "1.1.1.2 0 bare"]);
}

#[test]
fn rbldnsd_reads_ipv6_names_combined_and_generic_sets() {
    let text = "2606:4700::/32\n2606:4700:1:2\n2606:4700::1/128 text\n!2606:4700:1::/48\nbad.test\n*.worse.test :2:w\n.both.test\n";
    let (out, _) = parse("rbldnsd", text);
    let want = "2606:4700::/32 0,2606:4700:1:2::/64 0,2606:4700::1 0 text,!2606:4700:1::/48 0,bad.test 0,*.worse.test 0 w,.both.test 0";
    assert_eq!(out.join(","), want);
    let text = "$DATASET ip4set:a x @\n:3:A\n1.1.1.1\n$DATASET dnset d @\nface.test\n$DATASET ip6tset s @\n2606:4700:1:2\n$DATASET generic g @\n4.3.2.1 600 A 127.0.0.2\nwww A 8.8.8.8\n$DATASET acl a @\n1.1.1.1 :ignore\n";
    let (out, report) = parse("rbldnsd", text);
    assert_eq!(
        out,
        [
            "1.1.1.1 0 A",
            "face.test 0",
            "2606:4700:1:2::/64 0",
            "1.2.3.4 0"
        ]
    );
    assert_eq!(
        (
            report.errors,
            report.warnings.len(),
            report.omitted(Omission::OtherRecord)
        ),
        (0, 1, 1)
    );
}

#[test]
fn rbldnsd_codes_become_reasons_of_the_whole_longest_match() {
    let (out, report, _) = parse_with(
        "rbldnsd",
        b"1.2.0.0/16 :2:\n1.2.3.0/24 :3:\n!1.2.3.4\n1.2.3.5 :9:\n",
        &options(true),
    );
    assert_eq!(
        out,
        [
            "~1.2.0.0/16 1",
            "1.2.0.0/16 0",
            "~1.2.3.0/24 0",
            "1.2.3.0/24 1",
            "!1.2.3.4 0",
            "!1.2.3.4 1"
        ]
    );
    assert!(report.problems[0].what.contains("127.0.0.9"), "{report:?}");
}

#[test]
fn rbldnsd_special_lines_set_the_end_of_a_list() {
    let (_, report) = parse(
        "rbldnsd",
        "$SOA 1 a b 0 1 1 1 1\n#$TIMESTAMP 2026:01:02:03:04:05 +1d\n$MAXRANGE4 /16\n1.0.0.0/8\n2.2.0.0/16\n",
    );
    assert_eq!(
        report.expires,
        Some("2026-01-03T03:04:05Z".parse().unwrap())
    );
    assert_eq!((report.accepted, report.warnings.len()), (1, 1));
    assert_eq!(
        parse("rbldnsd", "$TIMESTAMP 20260102 2026-02-01").1.expires,
        Some("2026-02-01T00:00:00Z".parse().unwrap())
    );
    assert_eq!(parse("rbldnsd", "$TIMESTAMP soon").1.errors, 1);
}

#[test]
fn data_sets_count_by_their_sub_zone() {
    let text = "$DATASET ip4set:a one @\n1.1.1.1\n$DATASET ip4set two\n2.2.2.2\n$DATASET dnset:n\nface.test\n";
    let (out, report) = parse("rbldnsd", text);
    assert_eq!(out, ["1.1.1.1 0", "face.test 0"]);
    assert!(report.warnings[0].contains("sub-zone two"), "{report:?}");
    let two = Options {
        subzone: Some("two".into()),
        ..options(false)
    };
    assert_eq!(
        parse_with("rbldnsd", text.as_bytes(), &two).0,
        ["2.2.2.2 0", "face.test 0"]
    );
    let none = Options {
        subzone: Some("three".into()),
        ..options(false)
    };
    let only = "$DATASET ip4set one\n1.1.1.1\n";
    assert!(
        parse_with("rbldnsd", only.as_bytes(), &none)
            .2
            .unwrap_err()
            .contains("there are one")
    );
    assert!(
        parse_with("rbldnsd", only.as_bytes(), &options(false))
            .2
            .is_err(),
        "a list without data sets would empty the source"
    );
    assert!(parse_with("rbldnsd", b"1.1.1.1\n", &two).2.is_err());
    let (_, report) = parse(
        "rbldnsd",
        "$DATASET ip4set @\n1.1.1.1\n$DATASET ip4trie @\n1.1.1.0/24\n$DATASET dnset @\na.test\n",
    );
    assert_eq!(
        report.warnings.len(),
        1,
        "two sets of one family: {report:?}"
    );
}

#[test]
fn rbldnsd_file_is_read_as_the_chosen_type() {
    let (out, report) = typed(
        "ip4tset",
        ":2:one\n1.2.3.4 :7:own\n:3:two\n1.2.3.5\n!1.2.3.6\n1.2.4.0/24\n",
    );
    assert_eq!(
        (out.join(",").as_str(), report.errors),
        ("1.2.3.4 0 one,1.2.3.5 0 one", 2)
    );
    assert_eq!(
        typed("ip4tset", "1.2.3.4\n:3:b\n").1.errors,
        1,
        "the default line is after the entries"
    );
    assert_eq!(
        typed("dnset", "4.3.2.45 x\n!.3.2.45\n*.2.45\n").0,
        ["4.3.2.45 0 x", "!.3.2.45 0", "*.2.45 0"]
    );
    let mut kind = None;
    let dnset = Options {
        dataset: Some("dnset".into()),
        ..options(false)
    };
    read(
        "rbldnsd",
        Box::new(&b"4.3.2.45\n"[..]),
        "f",
        &dnset,
        &mut ListReport::default(),
        &mut |e| {
            kind = Some(matches!(e.subject, crate::model::Subject::Domain(_)));
            Ok(())
        },
    )
    .unwrap();
    assert_eq!(kind, Some(true));
    let (out, report) = typed("ip4trie", "1.2.3.4 a\n!1.2.3.4\n1.2.3.4 b\n1.2.6.1-1\n");
    assert_eq!(
        (out.join(",").as_str(), report.warnings.len(), report.errors),
        ("1.2.3.4 0 a", 2, 1)
    );
    assert_eq!(
        typed("ip4set", "1.2.3.4 a\n!1.2.3.4\n").0,
        ["1.2.3.4 0 a", "!1.2.3.4 0"]
    );
    assert_eq!(typed("ip4set", "$DATASET ip4set @\n1.2.3.4\n").1.errors, 1);
    assert_eq!(
        typed("combined", "1.2.3.4\n$DATASET ip4set @\n1.2.3.5\n")
            .1
            .errors,
        1
    );
    let wrong = Options {
        dataset: Some("ip5set".into()),
        ..options(false)
    };
    assert!(
        parse_with("rbldnsd", b"", &wrong)
            .2
            .unwrap_err()
            .contains("ip4trie")
    );
    let list = Options {
        dataset: Some("ip4set".into()),
        ..options(false)
    };
    assert!(parse_with("list", b"", &list).2.is_err());
}

#[test]
fn ipv6_keys_of_tries_and_sets() {
    let special = Options {
        special: true,
        ..options(false)
    };
    assert_eq!(
        parse_with("rbldnsd", b"::1 x\n", &special).0,
        ["::1 0 x"],
        "no default line"
    );
    let (out, report) = typed(
        "ip6tset",
        ":3:d\n2a00:1:2:3 x\n!2a00:1:2:3::5\n!2a00:1:2:3:0:0:0:7\n2a00:1:2:5::1\n!2a00:1:2:3\n",
    );
    assert_eq!(
        out,
        [
            "2a00:1:2:3::/64 0 d",
            "!2a00:1:2:3::5 0",
            "!2a00:1:2:3::7 0"
        ]
    );
    assert_eq!(report.errors, 2);
}

#[test]
fn head_of_a_combined_file_applies_to_every_set() {
    let text = "$1 head\n$MAXRANGE4 /24\n$DATASET ip4set:a @\n$1 one\n$2 two\n1.1.1.1 t$1 $2\n1.2.0.0/16 r\n$DATASET dnset:b @\n$2 zwei\na.test u$1 $2\n$DATASET generic @\n";
    let (out, report) = parse("rbldnsd", text);
    assert_eq!(out, ["1.1.1.1 0 thead two", "a.test 0 uhead zwei"]);
    assert!(report.warnings[0].contains("MAXRANGE4"));
    let (out, _) = parse(
        "rbldnsd",
        "$= H $=\n$DATASET ip4set @\n$= I $=\n1.1.1.1 t\n$DATASET dnset @\nb.test u\n",
    );
    assert_eq!(out, ["1.1.1.1 0 H t", "b.test 0 H u"]);
    assert_eq!(
        parse("rbldnsd", "1.1.1.1 t\n$= A $=\n").1.warnings.len(),
        1,
        "rbldnsd would apply it to the line above"
    );
}

#[test]
fn generic_sets_list_their_a_records_only() {
    let text = "$DATASET generic @\n4.3.2.1 IN A 127.0.0.2\n5.3.2.1 1h in a 127.0.0.2\nx TXT \"y\"\n*.9.45 A 127.0.0.2\nwww A 8.8.8.8\nbad\n";
    let (out, report) = parse("rbldnsd", text);
    assert_eq!(out, ["1.2.3.4 0", "1.2.3.5 0"]);
    assert_eq!(
        (
            report.omitted(Omission::OtherRecord),
            report.warnings.len(),
            report.errors
        ),
        (3, 0, 1)
    );
}

#[test]
fn unknown_data_set_is_an_error_with_its_position() {
    let (out, report) = parse(
        "rbldnsd",
        "$DATASET ip4set @\n1.1.1.1\n #$DATASET foo @\n1.1.1.2\n",
    );
    assert_eq!(
        (
            out.len(),
            report.problems[0].line,
            report.problems[0].column
        ),
        (1, 3, 2)
    );
}

#[test]
fn timestamps_are_compared_with_the_clock() {
    let at = |text: &str, now: &str| {
        let now = now.parse().unwrap();
        let (_, report, result) = parse_with(
            "rbldnsd",
            format!("$TIMESTAMP {text}\n").as_bytes(),
            &Options {
                now,
                ..options(false)
            },
        );
        (
            report.errors,
            report.expires.map(|t| t.to_string()),
            result.is_err(),
        )
    };
    let now = "2026-06-01T00:00:00Z";
    for good in [
        "2026-1-2",
        "2026:1:2:03",
        "2026-01-02:3",
        "20260102",
        "2026010203",
        "20260102030405",
        "0",
        "-",
        "2026-1-2-3-4-5",
    ] {
        assert_eq!(at(good, now), (0, None, false), "{good}");
    }
    for bad in [
        "2026:13:1",
        "26:1:1",
        "2026/1/2",
        "0 +1d",
        "2026010",
        "2026:1",
        "2026:1:2:3:4:5:6",
        "soon",
        "2026::1",
    ] {
        assert_eq!(at(bad, now).0, 1, "{bad}");
    }
    assert_eq!(at("2026:7:1", now).0, 1, "from the future");
    assert_eq!(
        at("2026:7:1", "1970-01-01T00:00:00Z").0,
        0,
        "the time is not known"
    );
    assert_eq!(
        at("2026:5:31 +2d", now),
        (0, Some("2026-06-02T00:00:00Z".into()), false)
    );
    assert!(
        at("2026:1:1 +50000", now).2 && at("0 2026:5:1", now).2,
        "it has expired"
    );
}

#[test]
fn short_a_values_are_read_as_addresses() {
    for (text, want) in [
        ("2", "127.0.0.2"),
        ("127.2", "127.0.0.2"),
        ("127.0.2", "127.0.0.2"),
        ("127.0.0.3", "127.0.0.3"),
        ("0.2", "0.0.0.2"),
    ] {
        let codes = ReasonMapping::Codes(vec![(want.parse().unwrap(), ReasonId(4))]);
        let options = Options {
            reasoning: codes,
            ..options(false)
        };
        assert_eq!(
            parse_with(
                "rbldnsd",
                format!("1.1.1.1 :{text}:\n").as_bytes(),
                &options
            )
            .0,
            ["1.1.1.1 4"],
            "{text}"
        );
    }
    assert_eq!(
        parse(
            "rbldnsd",
            "1.1.1.1 :256:x\n1.1.1.2 :127.300:x\n1.1.1.3 :+2:x\n1.1.1.4 :1.2.3.4.5:\n"
        )
        .1
        .errors,
        4
    );
}

#[test]
fn templates_build_texts_as_in_rbldnsd() {
    let text = "1.1.1.1 a$3b $\n1.1.1.2 =bare\n1.1.1.3 ==x\n1.1.1.4 a $= b\n1.1.1.5 =\n";
    let want = [
        "1.1.1.1 0 a$$3b $",
        "1.1.1.2 0 bare",
        "1.1.1.3 0 =x",
        "1.1.1.4 0 a a $$= b b",
        "1.1.1.5 0",
    ];
    assert_eq!(parse("rbldnsd", text).0, want);
    let text = "$= F($=) $ $1\n$1 w$ow$2\n$2 two\n1.1.1.1\n1.1.1.2 t $ $1\n1.1.1.3 =b $1 $= x\n1.1.1.4 :2:\n";
    let want = [
        "1.1.1.1 0 F($) $ w$$ow$$2",
        "1.1.1.2 0 F(t $$ $$1) $ w$$ow$$2",
        "1.1.1.3 0 b w$$ow$$2 b $$1 $$= x x",
        "1.1.1.4 0 F($) $ w$$ow$$2",
    ];
    assert_eq!(parse("rbldnsd", text).0, want);
}

#[test]
fn warnings_beyond_the_first_are_counted() {
    let (_, report) = parse("rbldnsd", &"$ODD 1\n".repeat(MAX_PROBLEMS + 5));
    assert_eq!(
        (report.warnings.len(), report.more_warnings),
        (MAX_PROBLEMS, 5)
    );
}
