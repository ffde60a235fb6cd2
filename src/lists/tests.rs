//! Tests of the formats: reading entries, and reading exports back.

use proptest::prelude::*;

use super::*;

mod prose;
mod rings;
mod table;
use std::{collections::BTreeMap, sync::Arc};

use crate::{
    index::{Builder, Changes, RawFact, RawFacts, Snapshot, ZoneSet, ZoneView},
    model::{ReasonId, Reasons, Serial, SourceId, Subject},
};

fn options(codes: bool) -> Options {
    let one = ReasonMapping::One(ReasonId(0));
    let two = ReasonMapping::Codes(vec![
        ([127, 0, 0, 2].into(), ReasonId(0)),
        ([127, 0, 0, 3].into(), ReasonId(1)),
    ]);
    Options {
        reasoning: if codes { two } else { one },
        ..Options::default()
    }
}

fn parse_with(
    format: &str,
    text: &[u8],
    options: &Options,
) -> (Vec<String>, ListReport, Result<(), String>) {
    let (mut out, mut report) = (Vec::new(), ListReport::default());
    let result = read(
        format,
        Box::new(text),
        "f",
        options,
        &mut report,
        &mut |e| {
            let mark = if e.exclusion {
                if e.implied { "~" } else { "!" }
            } else {
                ""
            };
            out.push(format!(
                "{mark}{} {}{}",
                e.subject,
                e.reason.0,
                e.text.map_or(String::new(), |t| format!(" {t}"))
            ));
            Ok(())
        },
    );
    (out, report, result)
}

fn parse(format: &str, text: &str) -> (Vec<String>, ListReport) {
    let (out, report, result) = parse_with(format, text.as_bytes(), &options(false));
    result.unwrap();
    (out, report)
}

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
fn owner_of_a_record_without_a_type_is_that_of_the_records_after_it() {
    let text = "$ORIGIN bl.test.\ngood.example A 127.0.0.2\nbad.example\n$TTL 300\n A 127.0.0.2\n";
    let (out, report) = parse("master", text);
    let listed: Vec<&str> = out
        .iter()
        .filter(|l| !l.starts_with('~'))
        .map(|l| &**l)
        .collect();
    assert_eq!(listed, ["good.example 0", "bad.example 0"]);
    assert_eq!(report.errors, 1);
}

#[test]
fn iptables_files_with_chains_of_other_programs_are_recognised() {
    let text = ":INPUT_ZONES - [0:0]\n:FORWARD_IN_ZONES - [0:0]\n:OUTPUT_direct - [0:0]\n-A INPUT_ZONES -s 45.51.100.7 -j DROP\n";
    assert_eq!(super::formats::guess(text.as_bytes()), Ok("iptables"));
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
fn list_comments_and_columns_are_read() {
    let text = "# IPsum\n1.1.1.1\t10\n2.2.2.0/24 ; SBL1\n; x\n3.3.3.3-3.3.3.4\nbad.test,5\n\n10.0.0.1\n127.0.0.2\n16.0.0.0/4\nnope_!\n";
    let (out, report) = parse("list", text);
    assert_eq!(
        out.join(","),
        "1.1.1.1 0,2.2.2.0/24 0,3.3.3.3 0,3.3.3.4 0,bad.test 0"
    );
    let left_out = [
        Omission::SpecialRange,
        Omission::TestPoint,
        Omission::TooWide,
    ]
    .map(|k| report.omitted(k));
    assert_eq!((left_out, report.errors), ([1, 1, 1], 1));
    assert_eq!(
        (report.problems[0].line, report.problems[0].column),
        (11, 1)
    );
}

#[test]
fn csv_json_and_master_files_are_read() {
    assert_eq!(
        parse("csv", "name,IP\n\"a,b\",1.1.1.1\nx,2.2.2.0/24\n").0,
        ["1.1.1.1 0", "2.2.2.0/24 0"]
    );
    let named = Options {
        column: Some("Net".into()),
        ..options(false)
    };
    assert_eq!(
        parse_with("csv", b"ip,net\n9.9.9.9,1.1.1.0/24\n", &named).0,
        ["1.1.1.0/24 0"]
    );
    assert!(
        parse_with("csv", b"a,b\n1,2\n", &options(false))
            .2
            .unwrap_err()
            .contains("choose one with --column: a, b")
    );
    let drop = "{\"cidr\":\"1.10.16.0/20\",\"sblid\":\"SBL1\"}\n{\"type\":\"metadata\"}\n[\n\"2.2.2.2\",\n{\"ip\":\"3.3.3.3\"}\n]\n{bad\n";
    let (out, report) = parse("json", drop);
    assert_eq!(
        (out.join(",").as_str(), report.errors),
        ("1.10.16.0/20 0,2.2.2.2 0,3.3.3.3 0", 1)
    );
    let zone = "$ORIGIN bl.x.\n@ IN SOA a b (1 ; serial\n 2 3\n 4 5)\n @ NS ns.bl.x.\nns A 8.8.8.8\n2.0.0.127 A 127.0.0.2\n\
                4.3.2.1 300 IN A 127.0.0.2\n TXT \"why \\\"this\\\"\"\n*.2.1 A 127.0.0.2\nevil.test A 127.0.0.2\n";
    let (mut out, report) = parse("master", zone);
    assert_eq!(
        out.iter().filter(|l| l.starts_with('~')).count(),
        10,
        "names above an owner exist, and what is below a name is not its parent's: {out:?}"
    );
    assert!(out.contains(&"~*.evil.test 0".into()), "{out:?}");
    out.retain(|l| !l.starts_with('~'));
    assert_eq!(
        out.join(","),
        "1.2.3.4 0 why \"this\",1.2.0.0/16 0,evil.test 0",
        "{report:?}"
    );
}

#[test]
fn gzip_is_unpacked_and_long_lines_are_reported() {
    use std::io::Write;
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    gz.write_all(b"1.1.1.1\n2.2.2.2").unwrap();
    assert_eq!(
        parse_with("list", &gz.finish().unwrap(), &options(false))
            .0
            .len(),
        2
    );
    let text = format!("1.1.1.1\n{}\n2.2.2.2\n", "x".repeat(200_000));
    let (out, report) = parse("list", &text);
    assert_eq!(
        (out.len(), report.errors, report.problems[0].line),
        (2, 1, 2)
    );
}

#[test]
fn formats_are_recognised() {
    for (text, want) in [
        ("# x\n1.2.3.4\t5\n", "list"),
        ("$SOA 1 2\n1.2.3.4\n", "rbldnsd"),
        ("1.2.3.4 :127.0.0.2:x", "rbldnsd"),
        (":127.0.0.2:x\n1.2.3.4", "rbldnsd"),
        ("{\"cidr\":\"1.0.0.0/8\"}", "json"),
        ("ip,score\n1.2.3.4,5", "csv"),
        ("$ORIGIN x.\n", "master"),
        ("2606:4700::/32\n", "list"),
        ("45.11.1.1 :3:x\n", "rbldnsd"),
        ("::1 x\n", "list"),
        ("# no SOA in here\n1.2.3.4\n", "list"),
        ("bl.x. 300 IN SOA ns.x. h.x. 1 2 3 4 5\n", "master"),
        ("1.1.1.1 :127.0.0.2:see SOA of it\n", "rbldnsd"),
        ("1.1.1.1 # a, b\n", "list"),
        ("1.1.1.1,5\n", "csv"),
        ("\"ip\",\"score\"\n", "csv"),
        ("\u{feff}{\"cidr\":\"1.0.0.0/8\"}", "json"),
    ] {
        assert_eq!(guess(text.as_bytes()), Ok(want), "{text}");
    }
}

fn typed(kind: &str, text: &str) -> (Vec<String>, ListReport) {
    let options = Options {
        dataset: Some(kind.into()),
        ..options(false)
    };
    let (out, report, result) = parse_with("rbldnsd", text.as_bytes(), &options);
    result.unwrap();
    (out, report)
}

#[test]
fn text_cannot_add_lines_to_an_export() {
    let (out, _) = parse("rbldnsd", "1.1.1.1 a\tb\u{1b}[0m\u{e9}\n1.1.1.2 x\ry\n");
    assert_eq!(out, ["1.1.1.1 0 a?b?[0m??", "1.1.1.2 0 x?y"]);
    assert_eq!(
        parse(
            "master",
            "$ORIGIN x.\n4.3.2.1 A 127.0.0.2\n TXT \"a\\010b\"\n"
        )
        .0
        .last()
        .unwrap(),
        "1.2.3.4 0 a?b"
    );
    let long = format!("{}$$x", "y".repeat(254));
    assert_eq!(text::cut(&long).len(), 254, "half a `$$` is the subject");
    assert_eq!(text::cut(&"$".repeat(300)).len(), 254);
    assert_eq!(text::rname("host.master@a.x."), "host\\.master.a.x");
}

#[test]
fn master_owners_without_a_listing_stop_the_wildcard_above() {
    let zone = "$ORIGIN bl.x.\n@ SOA a b 1 2 3 4 5\n*.1 A 127.0.0.2\n4.3.2.1 CNAME x.\n5.3.2.1 TXT \"only\"\n*.9.2.1 HINFO a b\n";
    let (out, report) = parse("master", zone);
    for want in [
        "~1.2.3.4 0",
        "~1.2.3.5 0",
        "~1.2.9.0/24 0",
        "~1.2.3.0/24 0",
        "1.0.0.0/8 0",
    ] {
        assert!(out.iter().any(|l| l == want), "{want}: {out:?}");
    }
    assert_eq!(
        (
            report.errors,
            out.iter().filter(|l| !l.starts_with('~')).count()
        ),
        (0, 1)
    );
}

#[test]
fn master_directives_that_hide_records_are_errors() {
    let (_, report) = parse(
        "master",
        "$TTL 300\n$INCLUDE other\n$GENERATE 1-9 $.3.2.1 A 127.0.0.2\n",
    );
    let places: Vec<_> = report.problems.iter().map(|p| (p.line, p.column)).collect();
    assert_eq!(places, [(2, 1), (3, 1)]);
}

#[test]
fn value_of_a_bit_mask_lists_each_of_its_bits() {
    let code = |(last, reason): (u8, u8)| ([127, 0, 0, last].into(), ReasonId(reason));
    let bits = Options {
        reasoning: ReasonMapping::Bits([(2, 0), (4, 1), (8, 2)].map(code).into()),
        ..Options::default()
    };
    // One text belongs to all reasons; to which of them several texts belong is not known.
    let zone = "$ORIGIN bl.x.\n4.3.2.1 A 127.0.0.6\n TXT both\n5.3.2.1 A 127.0.0.10\n TXT one\n TXT two\n\
                6.3.2.1 A 127.0.0.8\n A 127.0.0.4\n TXT a\n TXT b\n";
    let (mut out, report, _) = parse_with("master", zone.as_bytes(), &bits);
    out.retain(|l| !l.starts_with('~'));
    out.sort();
    assert_eq!(
        out,
        [
            "1.2.3.4 0 both",
            "1.2.3.4 1 both",
            "1.2.3.5 0",
            "1.2.3.5 2",
            "1.2.3.6 1 b",
            "1.2.3.6 2 a",
        ]
    );
    assert_eq!(report.errors, 0);
    let (out, report, _) = parse_with(
        "rbldnsd",
        b"1.2.3.4 :6:t\n1.2.3.5 :3:\n1.2.3.6 :127.0.1.2:",
        &bits,
    );
    assert_eq!(out, ["~1.2.3.4 2", "1.2.3.4 1 t", "1.2.3.4 0 t"]);
    let problems: Vec<&str> = report.problems.iter().map(|p| p.what.as_str()).collect();
    assert_eq!(report.errors, 2, "{problems:?}");
    assert!(
        problems[0].contains("`127.0.0.3` is not made of the bits"),
        "{problems:?}"
    );
}

#[test]
fn master_texts_are_literal_joined_and_paired_with_codes() {
    let zone = "$ORIGIN bl.x.\n4.3.2.1 A 127.0.0.3\n A 127.0.0.2\n TXT \"cost $5 \" \"and\\032more\"\n TXT (\n \"see 1.2.3.4\" )\n\
                5.3.2.1 A 127.0.0.2\n A 127.0.0.3\n TXT one\n";
    let (mut out, _, _) = parse_with("master", zone.as_bytes(), &options(true));
    out.retain(|l| !l.starts_with('~'));
    assert_eq!(
        out,
        [
            "1.2.3.4 1 cost $$5 and more",
            "1.2.3.4 0 see $",
            "1.2.3.5 0 one",
            "1.2.3.5 1 one"
        ]
    );
    let (_, report) = parse(
        "master",
        "$ORIGIN bl.x.\n4.3.2.1 IN A (\n  127.0.0.300 )\nx.y A 127.0.0.2 (\n",
    );
    assert_eq!(
        report
            .problems
            .iter()
            .map(|p| (p.line, p.column))
            .collect::<Vec<_>>(),
        [(3, 3), (4, 1)]
    );
    let origins =
        "@ SOA a b 1 2 3 4 5\n$ORIGIN 2.1.bl.x.\n4.3 A 127.0.0.2\n$ORIGIN 9\n1 A 127.0.0.2\n";
    let (mut out, _, _) = parse_with(
        "master",
        origins.as_bytes(),
        &Options {
            origin: Some("bl.x".into()),
            ..options(false)
        },
    );
    out.retain(|l| !l.starts_with('~'));
    assert_eq!(
        out,
        ["1.2.3.4 0", "1.2.9.1 0"],
        "names are relative to the zone, whatever the origin"
    );
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
fn last_line_without_line_end_is_reported() {
    let (out, report) = parse("rbldnsd", "1.1.1.1\n1.1.1.2");
    assert_eq!(
        (out.len(), report.warnings.len()),
        (2, 1),
        "the line is read with a warning, as in rbldnsd"
    );
    assert_eq!(parse("rbldnsd", "1.1.1.1\n").1.warnings.len(), 0);
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

#[test]
fn json_of_any_shape_is_read_with_positions() {
    let text = "[{\"ip\":\"1.1.1.1\"},\n{\"ip\":\"1.1.1.2\",\"x\":[1,{\"ip\":\"9.9.9.9\"}]},\n  \"bad_!\"]\n{\n  \"cidr\":\n   \"1.1.2.0/24\", \"text\": \"why\"\n}\n{\"ip\":\"1.1.1.3\"}\n[[\"1.1.1.4\"], 5]";
    let (out, report) = parse("json", text);
    assert_eq!(
        out,
        [
            "1.1.1.1 0",
            "1.1.1.2 0",
            "1.1.2.0/24 0 why",
            "1.1.1.3 0",
            "1.1.1.4 0"
        ]
    );
    assert_eq!(
        report
            .problems
            .iter()
            .map(|p| (p.line, p.column))
            .collect::<Vec<_>>()[0],
        (3, 4)
    );
    assert_eq!(report.problems[1].line, 9, "{report:?}");
    let lines = "{\"ip\":\"1.1.1.1\"}\n  {\"ip\":\"bad_!\"}\n{bad\n{\"ip\":\"1.1.1.2\"}\n";
    let (out, report) = parse("json", lines);
    assert_eq!(out.len(), 2);
    assert_eq!(
        report
            .problems
            .iter()
            .map(|p| (p.line, p.column))
            .collect::<Vec<_>>(),
        [(2, 10), (3, 2)]
    );
    assert_eq!(report.lines, 4);
    let long = format!("[{}\"9.9.9.9\"]", "\"1.1.1.1\", ".repeat(20_000));
    assert_eq!(
        parse("json", &long).0.len(),
        20_001,
        "one line of any length"
    );
    for (text, place, part) in [
        ("[\n\"1.1.1.1\",\n oops]\n", "f:3:2:", "not a JSON value"),
        ("{\"ip\": \"1.1.1.1\"\n", "f:", "truncated"),
    ] {
        let why = parse_with("json", text.as_bytes(), &options(false))
            .2
            .unwrap_err();
        assert!(why.starts_with(place) && why.contains(part), "{why}");
    }
    let end = read(
        "json",
        Box::new(&b"[\"1.1.1.1\"]"[..]),
        "f",
        &options(false),
        &mut ListReport::default(),
        &mut |_| Err("full".into()),
    );
    assert_eq!(end.unwrap_err(), "full");
}

#[test]
fn codes_need_a_format_that_has_them() {
    for format in ["list", "csv", "hosts"] {
        assert!(
            parse_with(format, b"", &options(true))
                .2
                .unwrap_err()
                .contains("master, rbldnsd, json"),
            "{format}"
        );
    }
}

#[test]
fn csv_without_a_header_is_read_by_column_number() {
    assert_eq!(parse("csv", "1.1.1.1,5\n1.1.1.2,6\n").0.len(), 2);
    let second = Options {
        column: Some("2".into()),
        ..options(false)
    };
    assert_eq!(
        parse_with("csv", b"5,1.1.1.1\n6,1.1.1.2\n", &second)
            .0
            .len(),
        2
    );
    assert_eq!(
        parse_with("csv", b"score,who\n6,1.1.1.2\n", &second)
            .0
            .len(),
        1
    );
    assert_eq!(parse("csv", "\u{feff}ip,x\n1.1.1.1,5\n").0.len(), 1);
    for format in ["list", "rbldnsd", "json"] {
        let text = if format == "json" {
            "\u{feff}[\"1.1.1.1\"]"
        } else {
            "\u{feff}1.1.1.1\n"
        };
        assert_eq!(parse(format, text).0, ["1.1.1.1 0"], "{format}");
    }
}

#[test]
fn ranges_with_spaces_are_read() {
    let (out, report) = parse(
        "list",
        "45.1.1.8 - 45.1.1.9 x\n45.1.1.1 - a remark\n45.1.1.2 -45.1.1.3 # y\n2a00::-2a00::1\n",
    );
    assert_eq!(
        out,
        [
            "45.1.1.8/31 0",
            "45.1.1.1 0",
            "45.1.1.2/31 0",
            "2a00::/127 0"
        ]
    );
    assert_eq!(report.errors, 0);
}

/// A zone with the listings of one source. Reasons: r0 under 127.0.0.2, r1 under 127.0.0.3.
fn published(kind: &str, txt: &str, facts: &[ListEntry]) -> Snapshot {
    let text = format!(
        "origin = 'bl.orbs.example'\nkind = '{kind}'\nns = ['ns1.orbs.example']\ncontact = 'host.master@orbs.example'\ntxt = '{txt}'\n\
         ttl = '5m'\nnegative_ttl = '1m'\npublish = [{{reason='r0', code='127.0.0.2'}}, {{reason='r1', code='127.0.0.3', text='=One $ and $$3'}}]"
    );
    let mut reasons = Reasons::default();
    let texts = ["r0", "r1"]
        .map(|r| {
            (
                reasons.add(r).map(|_| r.to_string()).unwrap(),
                format!("{r} says $"),
            )
        })
        .into();
    let view = ZoneView::new(&toml::from_str(&text).unwrap(), &reasons, &texts).unwrap();
    let mut rows: BTreeMap<Subject, BTreeMap<ReasonId, &ListEntry>> = BTreeMap::new();
    let rank = |e: &ListEntry| (e.exclusion && !e.implied, !e.exclusion);
    for e in facts {
        let row = rows
            .entry(e.subject.clone())
            .or_default()
            .entry(e.reason)
            .or_insert(e);
        if rank(e) > rank(row) {
            *row = e;
        }
    }
    let mut b = Builder::default();
    for (subject, row) in rows {
        let fact = |e: &ListEntry| RawFact {
            aged: Default::default(),
            reason: e.reason,
            source: SourceId(0),
            exclusion: e.exclusion,
            text: e.text.as_deref().into(),
        };
        let id = b.intern(&RawFacts {
            exempt: false,
            facts: row.into_values().map(fact).collect(),
        });
        let mut c = Changes::default();
        b.add(&mut c, &subject, id);
        b.apply(c);
    }
    let zones = Arc::new(ZoneSet::new(vec![view]).unwrap());
    Snapshot {
        tables: b.tables().clone(),
        zones,
        serials: vec![Serial(7)].into(),
        seq: 1,
        sound: true,
        ..Snapshot::default()
    }
}

fn entries(format: &str, text: &str) -> (Vec<ListEntry>, ListReport) {
    let (mut out, mut report) = (Vec::new(), ListReport::default());
    let options = Options {
        origin: Some("bl.orbs.example".into()),
        ..options(true)
    };
    read(
        format,
        Box::new(text.as_bytes()),
        "f",
        &options,
        &mut report,
        &mut |e| {
            out.push(e);
            Ok(())
        },
    )
    .unwrap();
    (out, report)
}

fn exported(format: &str, snapshot: &Snapshot) -> String {
    let mut out = Vec::new();
    write::Export::new(format, "", snapshot, 0)
        .unwrap()
        .write(&mut out)
        .unwrap();
    String::from_utf8(out).unwrap()
}

const ADDRESSES: &str = "45.1.1.1\n45.1.1.1 :3:=own $\n45.1.1.2 :3:why $\n46.1.0.0/20 :3:in $ it is\n!46.1.1.0/25\n45.1.1.3 :2:a $$5 $\n45.1.1.4 :2:==x\n\
    2a00:1:2::/48 :2:six $\n2a00:1:2::/48 :3:\n2a00:1:2:3::4/128\n!2a00:1:2:4::/64\n47.0.0.0/8\n2a00:9::1/128 :3:x\n";
const NAMES: &str = "a.b :2:x $\n*.w.test :3:y $\n*.w.test :2:\n.both.t\n";

#[test]
fn rbldnsd_exports_read_back_to_the_same_answers() {
    for (kind, text) in [("address", ADDRESSES), ("domain", NAMES)] {
        for txt in ["first", "all"] {
            let first = published(kind, txt, &entries("rbldnsd", text).0);
            let data = exported("rbldnsd", &first);
            let (again, report) = entries("rbldnsd", &data);
            assert_eq!(
                (report.errors, report.omitted(Omission::SpecialRange)),
                (0, 0),
                "{report:?}\n{data}"
            );
            assert!(
                report.omitted(Omission::TestPoint) > 0
                    && report.warnings.iter().all(|w| w.contains("IPv6")),
                "{report:?}"
            );
            // The pieces and their texts are the same, although a prefix with an exclusion has
            // become several.
            let next = published(kind, txt, &again);
            for (was, is) in data.lines().zip(exported("rbldnsd", &next).lines()) {
                assert_eq!(was, is, "{txt}");
            }
            assert_eq!(exported("cidr", &next), exported("cidr", &first));
            if kind == "domain" {
                assert_eq!(exported("master", &next), exported("master", &first));
            }
        }
    }
}

#[test]
fn rbldnsd_exports_are_in_the_form_that_rbldnsd_loads() {
    let data = exported(
        "rbldnsd",
        &published("address", "all", &entries("rbldnsd", ADDRESSES).0),
    );
    for want in [
        "bl.orbs.example:combined:FILE\n$SOA 300 ns1.orbs.example host\\.master.orbs.example 7 ",
        "\n$DATASET ip4set @\n$TTL 300\n127.0.0.2 :127.0.0.2:r0 says 127.0.0.2\n127.0.0.2 :127.0.0.3:==One 127.0.0.2 and $$3\n127.0.0.3 :127.0.0.3:",
        "\n$DATASET ip6trie @\n$TTL 300\n::ffff:7f00:2/128 :127.0.0.2:",
        "\n$DATASET ip6trie:2 @\n$TTL 300\n::ffff:7f00:2/128 :127.0.0.3:",
    ] {
        assert!(data.contains(want), "{want}\n{data}");
    }
    let domains = exported(
        "rbldnsd",
        &published("domain", "first", &entries("rbldnsd", NAMES).0),
    );
    assert!(
        domains.contains("dnset:FILE")
            && domains.contains("\ntest :127.0.0.2:")
            && domains.contains("\ntest :127.0.0.3:\n"),
        "{domains}"
    );
}

#[test]
fn master_exports_have_the_records_that_a_mirror_needs() {
    let equal = entries("rbldnsd", "45.1.1.1 :2:same\n45.1.1.1 :3:same\n").0;
    let data = exported("master", &published("address", "all", &equal));
    assert!(
        data.contains("\n@ 60 IN SOA ns1.orbs.example. host\\.master.orbs.example. 7 "),
        "{data}"
    );
    assert_eq!(data.matches("TXT \"same\"").count(), 1, "{data}");
    assert_eq!(data.matches("1.1.1.45 A ").count(), 2, "{data}");
    let bad = ListEntry {
        subject: "45.1.1.1".parse().unwrap(),
        reason: ReasonId(0),
        exclusion: false,
        implied: false,
        text: Some("a\n9.9.9.9\nb".into()),
        path: Default::default(),
        note: None,
    };
    for format in ["master", "rbldnsd"] {
        let data = exported(
            format,
            &published("address", "first", std::slice::from_ref(&bad)),
        );
        assert!(!data.lines().any(|l| l.starts_with('9')), "{data}");
    }
}

proptest! {
    /// Any file gives entries and reported problems, never a panic, and every entry can be listed.
    #[test]
    fn any_bytes_are_read_or_reported(
        format in 0..FORMATS.len(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        text in "[0-9a-f:./!$#; \n-]{0,120}",
        json in "[\\[\\]{}\",: \nip1.-]{0,60}",
        set in prop::option::of(prop::sample::select(vec!["ip4set", "ip4trie", "ip4tset", "ip6trie", "ip6tset", "dnset", "generic", "combined"])),
        column in prop::option::of(prop::sample::select(vec!["2", "ip"])),
    ) {
        let format = &FORMATS[format];
        let dataset = set.filter(|_| format.name == "rbldnsd").map(String::from);
        let options = Options { dataset, column: column.map(String::from), now: crate::model::Time(1), ..options(format.codes) };
        for input in [&bytes[..], text.as_bytes(), json.as_bytes()] {
            let (_, report, result) = parse_with(format.name, input, &options);
            prop_assert!(result.is_ok() || result.is_err_and(|e| !e.is_empty()));
            prop_assert!(report.problems.len() <= MAX_PROBLEMS && report.problems.len() as u64 <= report.errors);
            prop_assert!(report.lines <= 1 + input.iter().filter(|b| matches!(b, b'\n' | b'\r')).count() as u64);
        }
    }
}

impl ListReport {
    /// How many a rule left out, of one kind.
    pub fn omitted(&self, kind: Omission) -> u64 {
        self.left_out
            .iter()
            .find(|t| t.kind == kind)
            .map_or(0, |t| t.count)
    }
}
