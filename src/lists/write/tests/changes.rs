//! What a file leaves out or changes, and how that is counted.

use super::*;

/// The report of an export of a domain zone with these subjects, as lines.
fn reported(format: &str, action: &str, snapshot: &Snapshot) -> Vec<String> {
    let report = Export::new(format, action, snapshot, 0).unwrap().report();
    report
        .changes
        .iter()
        .map(|c| format!("{:?} {} {}", c.kind, c.count, c.first.join(" ")))
        .collect()
}

#[test]
fn names_too_long_for_the_zone_are_left_out_of_every_format_and_counted() {
    let long = format!("{0}.{0}.{0}.{0}.bad.example", "l".repeat(56));
    let snapshot = snapshot(
        "domain",
        &world(&format!("{long} .{long}x *.{long}y short.bad.example")),
    );
    for format in ["master", "rbldnsd", "list", "cidr", "jsonl", "rpz"] {
        let text = exported(format, "", &snapshot);
        assert!(
            text.contains("short.bad.example") && !text.contains("llll"),
            "{format}: {text}"
        );
        assert_eq!(
            reported(format, "", &snapshot),
            [format!("NameTooLong 3 {long} .{long}x *.{long}y")],
            "{format}"
        );
    }
}

#[test]
fn names_that_a_policy_zone_cannot_have_are_left_out_and_counted() {
    let label = "l".repeat(46);
    let (long, excluded) = (
        format!("{label}.{label}.{label}.{label}.bad.example"),
        format!("{label}.{label}.{label}.{label}.w.example"),
    );
    let text =
        format!("{long} short.bad.example 32.1.100.51.45.rpz-client-ip .w.example !.{excluded}");
    let snapshot = snapshot("domain", &world(&text));
    assert_eq!(
        reported("rpz", "", &snapshot),
        [
            format!("NameTooLongForPolicyZone 1 {long}"),
            "ReservedName 1 32.1.100.51.45.rpz-client-ip".to_string(),
            format!("ExclusionTooLong 2 {excluded} *.{excluded}"),
        ]
    );
    let rpz = exported("rpz", "", &snapshot);
    assert!(rpz.contains("\nshort.bad.example CNAME .\n"), "{rpz}");
    assert!(
        ![&long[..], &excluded, "rpz-client"]
            .iter()
            .any(|left_out| rpz.contains(left_out)),
        "{rpz}"
    );
    assert_eq!(reported("master", "", &snapshot), Vec::<String>::new());
}

#[test]
fn list_export_leaves_out_a_wildcard_with_exclusions() {
    let snapshot = snapshot(
        "domain",
        &world("*.a.bx !.ok.a.bx x.y.ok.a.bx .whole.bx plain.bx"),
    );
    for format in ["list", "cidr"] {
        let text = exported(format, "", &snapshot);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert!(
            ["x.y.ok.a.bx", "whole.bx", "*.whole.bx", "plain.bx"]
                .iter()
                .all(|l| lines.contains(l)),
            "{text}"
        );
        assert!(
            !text.contains("\n*.a.bx\n") && !text.contains("ok.a.bx\n*.ok"),
            "{text}"
        );
        assert_eq!(
            reported(format, "", &snapshot),
            ["WildcardWithExclusions 1 *.a.bx"]
        );
    }
}

#[test]
fn rbldnsd_export_excludes_a_name_and_names_below_it_separately() {
    let snapshot = snapshot("domain", &world("*.a.bx !one.a.bx two.a.bx !*.two.a.bx"));
    let text = exported("rbldnsd", "", &snapshot);
    let has = |line: &str| text.lines().any(|l| l == line);
    assert!(
        has("!one.a.bx") && has("*.one.a.bx") && has("two.a.bx") && has("!*.two.a.bx"),
        "{text}"
    );
}

#[test]
fn merged_and_split_prefixes_are_counted() {
    let rows = world("45.1.1.1 45.1.1.4/30 2a00::1");
    let world = world(
        "45.51.100.0/23 45.51.101.0/24 45.51.101.7 45.51.102.0/25 45.51.102.128 46.0.0.0/8 !46.1.0.0/16 2a00:1::/48 2a00:1:0:2::/64",
    );
    let snapshot = snapshot("address", &world);
    for format in ["cidr", "nftables", "ipset", "rpz"] {
        assert_eq!(
            reported(format, "", &snapshot),
            [
                "Merged 3 45.51.101.7 45.51.101.0/24 2a00:1:0:2::/64",
                "Split 1 46.0.0.0/8"
            ],
            "{format}\n{}",
            exported(format, "", &snapshot)
        );
    }
    // If texts differ, each part is a separate line.
    assert_eq!(
        reported("postfix", "", &snapshot)[0]
            .split(' ')
            .take(2)
            .collect::<Vec<_>>(),
        ["Split", "4"]
    );
    let plain = snapshot_of("address", "", &rows);
    assert!(FORMATS.iter().all(|f| reported(f, "", &plain).is_empty()));
}

#[test]
fn changed_texts_are_counted() {
    let mut rows = world("45.1.1.1 45.1.1.3 45.1.1.5");
    let texts = [
        "caf\u{e9} and\ta tab".to_string(),
        "x".repeat(250) + " is $",
        "plain $$ and \"$\"".into(),
    ];
    for ((_, facts), text) in rows.iter_mut().zip(texts) {
        facts.facts[0].text = text.as_str().into();
    }
    let snapshot = snapshot("address", &rows);
    for (format, action) in [
        ("master", ""),
        ("rbldnsd", ""),
        ("jsonl", ""),
        ("postfix", ""),
        ("rpz", "192.0.2.1"),
    ] {
        assert_eq!(
            reported(format, action, &snapshot),
            ["TextReplaced 1 45.1.1.1", "TextCut 1 45.1.1.3"],
            "{format}"
        );
    }
    assert!(
        reported("list", "", &snapshot).is_empty(),
        "it has no texts"
    );
}

#[test]
fn reasons_that_a_format_cannot_carry_are_counted() {
    let mut rows = world("45.1.1.1 45.1.1.3");
    let second = RawFact {
        aged: Default::default(),
        reason: ReasonId(1),
        ..rows[0].1.facts[0].clone()
    };
    rows[0].1.facts.push(second);
    let snapshot = snapshot("address", &rows);
    for (format, action) in [("postfix", ""), ("rpz", "192.0.2.1")] {
        assert_eq!(
            reported(format, action, &snapshot),
            ["FurtherReasons 1 45.1.1.1"],
            "{format}"
        );
    }
    let mut view = test_zone("address", &[0, 1], "");
    view.publish[1].code = view.publish[0].code;
    let joined = Snapshot {
        zones: Arc::new(ZoneSet::new(vec![view]).unwrap()),
        ..snapshot
    };
    for format in ["master", "rbldnsd"] {
        assert_eq!(
            reported(format, "", &joined),
            ["ReasonsWithOneCode 1 45.1.1.1"],
            "{format}"
        );
    }
}

#[test]
fn zone_of_bit_masks_is_exported_with_the_bits_of_all_reasons() {
    let mut rows = world("45.1.1.1 45.1.1.2 45.2.0.0/16");
    let (_, host) = rows
        .iter_mut()
        .find(|(s, _)| s.to_string() == "45.1.1.1")
        .unwrap();
    let second = RawFact {
        aged: Default::default(),
        reason: ReasonId(1),
        ..host.facts[0].clone()
    };
    host.facts.push(second);
    for (extra, texts) in [("", 1), ("\ntxt = 'all'", 2)] {
        let snapshot = snapshot_of("address", &format!("{MASKS}{extra}"), &rows);
        let master = exported("master", "", &snapshot);
        assert!(master.contains("\n1.1.1.45 480 A 127.0.0.6\n"), "{master}");
        assert!(master.contains("\n2.1.1.45 540 A 127.0.0.2\n"), "{master}");
        assert!(master.contains("\n*.2.45 540 A 127.0.0.2\n"), "{master}");
        assert!(
            master.contains("\n2.0.0.127 420 A 127.0.0.14\n"),
            "{master}"
        );
        assert!(master.contains("\n8.0.0.127 420 A 127.0.0.8\n"), "{master}");
        let rbldnsd = exported("rbldnsd", "", &snapshot);
        assert_eq!(
            rbldnsd.matches("\n45.1.1.1 :127.0.0.6:").count(),
            [0, 2][texts - 1]
        );
        assert_eq!(rbldnsd.matches(":127.0.0.6:").count(), texts, "{rbldnsd}");
        assert!(rbldnsd.contains("\n$TTL 420\n"), "{rbldnsd}");
        let shorter = reported("rbldnsd", "", &snapshot);
        assert!(
            shorter.contains(&"ShorterTtl 3 45.1.1.1 45.1.1.2 45.2.0.0/16".into()),
            "{shorter:?}"
        );
        // Each reason has its own code.
        let jsonl = exported("jsonl", "", &snapshot);
        assert!(
            jsonl.contains("127.0.0.2")
                && jsonl.contains("127.0.0.4")
                && !jsonl.contains("127.0.0.6"),
            "{jsonl}"
        );
    }
}

#[test]
fn small_and_odd_zones_are_written_in_every_format() {
    let many: String = (0..1000)
        .map(|i| format!(" 46.1.{}.{}=text_{i}_of_$", i / 250, i % 250))
        .collect();
    for (text, want) in [
        ("", 0),
        ("45.1.1.1", 1),
        ("::ffff:45.51.102.1", 1),
        (&many[..], 1000),
    ] {
        let world = if text.is_empty() {
            World::new()
        } else {
            world(text.trim())
        };
        let snapshot = snapshot("address", &world);
        for back in &READ_BACK {
            let file = exported(back.format, "", &snapshot);
            let entries = (back.read)(&file, &snapshot.zones.all()[0].spec);
            let again = read_again("address", "", &entries);
            let listed = world.iter().filter(|(s, _)| lists(&again, s)).count();
            assert_eq!(
                (listed, lists(&again, &"45.1.1.2".parse().unwrap())),
                (want, false),
                "{}",
                back.format
            );
        }
        for format in FORMATS {
            assert_eq!(
                held(format, &exported(format, "", &snapshot)).is_empty(),
                want == 0,
                "{format}"
            );
        }
    }
}

#[test]
fn look_up_names_the_formats_that_leave_a_name_out() {
    let view = test_zone("domain", &[0], "");
    let formats = |name: &str| {
        let found = limits::left_out(&view, &Domain::parse(name).unwrap());
        found.iter().map(|l| l.format).collect::<Vec<_>>().join(" ")
    };
    let label = "l".repeat(56);
    let long = format!("{label}.{label}.{label}.{label}.bad.example");
    let why = limits::never_asked(&view, &Domain::parse(&long).unwrap());
    assert_eq!(
        why.as_deref(),
        Some("never asked: name and zone together have 255 characters, at most 253")
    );
    assert_eq!(formats(&long), "master rbldnsd list cidr jsonl rpz");
    let below = format!(
        "*.{}.bad.example",
        &long[..long.len() - "bad.example".len() - 3]
    );
    let why = limits::never_asked(&view, &Domain::parse(&below).unwrap()).unwrap();
    assert!(
        why.contains("a name below it and the zone together have at least 25"),
        "{why}"
    );
    assert_eq!(
        formats(&format!(
            "{label}.{label}.{label}.{}.example",
            "m".repeat(20)
        )),
        "rpz"
    );
    assert_eq!(
        (formats("a.rpz-ip"), formats("bad.example")),
        ("rpz".into(), String::new())
    );
    assert_eq!(
        limits::never_asked(&view, &Domain::parse("bad.example").unwrap()),
        None
    );
}

#[test]
fn export_of_a_hash_zone_has_only_digests() {
    let (one, digits) = (
        "d41d8cd98f00b204e9800998ecf8427e",
        "12345678901234567890123456789012",
    );
    let longer = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    let world = world(&format!(
        "{one} {digits}=own_$ {longer} .bad.example x.{one} 45.1.2.3"
    ));
    let mut builder = Builder::default();
    apply(&mut builder, &world);
    let zones =
        Arc::new(ZoneSet::new(vec![test_zone("hash", &[0, 1], crate::index::HASH)]).unwrap());
    let snapshot = Snapshot {
        tables: builder.tables().clone(),
        zones,
        serials: vec![Serial(7)].into(),
        seq: 1,
        sound: true,
        ..Snapshot::default()
    };
    let lines = |format: &str| {
        let text = exported(format, "", &snapshot);
        let of = |l: &&str| {
            l.contains(one)
                || l.contains(digits)
                || l.contains(longer)
                || l.contains("bad.example")
                || l.contains("45.1.2.3")
        };
        text.lines()
            .filter(of)
            .map(String::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(lines("list"), [digits, one]);
    let master = lines("master");
    assert_eq!(master.len(), 4, "an A and a TXT record of each: {master:?}");
    let jsonl = lines("jsonl");
    assert!(
        jsonl.len() == 2 && jsonl[0].contains(&format!("own {digits}")),
        "{jsonl:?}"
    );
    let rbldnsd = lines("rbldnsd");
    assert!(
        rbldnsd.contains(&one.to_string()) && rbldnsd.contains(&digits.to_string()),
        "{rbldnsd:?}"
    );
    assert!(exported("rbldnsd", "", &snapshot).contains("dnset"));
}
