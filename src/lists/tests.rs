//! Tests of the formats: reading entries, and reading exports back.

use proptest::prelude::*;

use super::*;

mod data_sets;
mod exports;
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
