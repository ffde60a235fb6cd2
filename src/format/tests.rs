//! Every format from text to entries, and back again.

use proptest::prelude::*;

use super::*;
use crate::model::{ReasonId, subject::HostBits};

fn options(codes: bool) -> Options {
    let one = Reasoning::One(ReasonId(0));
    let two = Reasoning::Codes(vec![([127, 0, 0, 2].into(), ReasonId(0)), ([127, 0, 0, 3].into(), ReasonId(1))]);
    Options {
        reasoning: if codes { two } else { one },
        host_bits: HostBits::Refuse,
        special: false,
        allowed: vec![],
        column: None,
        origin: None,
    }
}

fn parse_with(format: &str, text: &[u8], options: &Options) -> (Vec<String>, Report, Result<(), String>) {
    let (mut out, mut report) = (Vec::new(), Report::default());
    let result = read(format, Box::new(text), "f", options, &mut report, &mut |e| {
        let mark = if e.hole { if e.weak { "~" } else { "!" } } else { "" };
        out.push(format!("{mark}{} {}{}", e.subject, e.reason.0, e.text.map_or(String::new(), |t| format!(" {t}"))));
        Ok(())
    });
    (out, report, result)
}

fn parse(format: &str, text: &str) -> (Vec<String>, Report) {
    let (out, report, result) = parse_with(format, text.as_bytes(), &options(false));
    result.unwrap();
    (out, report)
}

#[test]
fn rbldnsd_ipv4_keys() {
    let text = "1.2.3.4\n1.2.3\n5.6/16\n8.1.0.0-8.1.0.255\n9.1.0.1-3\n11.16-17\n12.1-12.1\n!1.2.3.9 # gone\n14/8\n";
    let (out, report) = parse("rbldnsd", text);
    let want =
        "1.2.3.4 0,1.2.3.0/24 0,5.6.0.0/16 0,8.1.0.0/24 0,9.1.0.1 0,9.1.0.2/31 0,11.16.0.0/15 0,12.1.0.0/16 0,!1.2.3.9 0,14.0.0.0/8 0";
    assert_eq!(out.join(","), want);
    assert_eq!((report.errors, report.lines), (0, 9));
    let (out, report) = parse("rbldnsd", "10\n1.2.3.4/24\n1.2.3.300\n1.2.3.4-1.2\n1.2.3.9-2\n");
    assert_eq!((out.len(), report.errors), (0, 5), "{report:?}");
    assert_eq!(report.problems[1].to_string(), "f:2:1: `1.2.3.4/24` has host bits set; the prefix is 1.2.3.0/24");
}

#[test]
fn rbldnsd_values_defaults_and_frames() {
    let text = "$0 see\n1.1.1.0 own text\n:127.0.0.2:Open $, $0 there\n1.1.1.1\n1.1.1.2 :2:Other $$ 1.1.1.2\n1.1.1.3 :3:\n1.1.1.4 ; note\n";
    let (out, _) = parse("rbldnsd", text);
    let want = ["1.1.1.0 0 own text", "1.1.1.1 0 Open $, see there", "1.1.1.2 0 Other $$ $", "1.1.1.3 0", "1.1.1.4 0 Open $, see there"];
    assert_eq!(out, want);
    let (out, _) = parse("rbldnsd", "$= Listed: $= ($)\n1.1.1.1 spam\n1.1.1.2 =bare\n");
    assert_eq!(out, ["1.1.1.1 0 Listed: spam ($)", "1.1.1.2 0 bare"]);
}

#[test]
fn rbldnsd_ipv6_names_combined_and_generic() {
    let text = "2606:4700::/32\n2606:4700:1:2\n2606:4700::1/128 text\n!2606:4700:1::/48\nbad.test\n*.worse.test :2:w\n.both.test\n";
    let (out, _) = parse("rbldnsd", text);
    let want = "2606:4700::/32 0,2606:4700:1:2::/64 0,2606:4700::1 0 text,!2606:4700:1::/48 0,bad.test 0,*.worse.test 0 w,.both.test 0";
    assert_eq!(out.join(","), want);
    let text = "$DATASET ip4set:a x @\n:3:A\n1.1.1.1\n$DATASET dnset d\nface.test\n$DATASET ip6tset s\n2606:4700:1:2\n$DATASET generic g\n4.3.2.1 600 A 127.0.0.2\nwww A 8.8.8.8\n$DATASET acl a\n1.1.1.1 :ignore\n";
    let (out, report) = parse("rbldnsd", text);
    assert_eq!(out, ["1.1.1.1 0 A", "face.test 0", "2606:4700:1:2::/64 0", "1.2.3.4 0"]);
    assert_eq!((report.errors, report.warnings.len()), (0, 1));
}

#[test]
fn rbldnsd_codes_become_reasons_and_the_longest_match_is_whole() {
    let (out, report, _) = parse_with("rbldnsd", b"1.2.0.0/16 :2:\n1.2.3.0/24 :3:\n!1.2.3.4\n1.2.3.5 :9:\n", &options(true));
    assert_eq!(out, ["~1.2.0.0/16 1", "1.2.0.0/16 0", "~1.2.3.0/24 0", "1.2.3.0/24 1", "!1.2.3.4 0", "!1.2.3.4 1"]);
    assert!(report.problems[0].what.contains("127.0.0.9"), "{report:?}");
}

#[test]
fn rbldnsd_specials_tell_when_a_list_ends() {
    let (_, report) =
        parse("rbldnsd", "$SOA 1 a b 0 1 1 1 1\n#$TIMESTAMP 2026:01:02:03:04:05 +1d\n$MAXRANGE4 /16\n1.0.0.0/8\n2.2.0.0/16\n");
    assert_eq!(report.expires, Some("2026-01-03T03:04:05Z".parse().unwrap()));
    assert_eq!((report.taken, report.warnings.len()), (1, 1));
    assert_eq!(parse("rbldnsd", "$TIMESTAMP 20260102 2026-02-01").1.expires, Some("2026-02-01T00:00:00Z".parse().unwrap()));
    assert_eq!(parse("rbldnsd", "$TIMESTAMP soon").1.errors, 1);
}

#[test]
fn lists_with_comments_and_columns() {
    let text = "# IPsum\n1.1.1.1\t10\n2.2.2.0/24 ; SBL1\n; x\n3.3.3.3-3.3.3.4\nbad.test,5\n\n10.0.0.1\n127.0.0.2\n16.0.0.0/4\nnope_!\n";
    let (out, report) = parse("list", text);
    assert_eq!(out.join(","), "1.1.1.1 0,2.2.2.0/24 0,3.3.3.3 0,3.3.3.4 0,bad.test 0");
    assert_eq!((report.special, report.test_points, report.too_wide, report.errors), (1, 1, 1, 1));
    assert_eq!((report.problems[0].line, report.problems[0].column), (11, 1));
}

#[test]
fn csv_json_and_master_files() {
    assert_eq!(parse("csv", "name,IP\n\"a,b\",1.1.1.1\nx,2.2.2.0/24\n").0, ["1.1.1.1 0", "2.2.2.0/24 0"]);
    let named = Options { column: Some("Net".into()), ..options(false) };
    assert_eq!(parse_with("csv", b"ip,net\n9.9.9.9,1.1.1.0/24\n", &named).0, ["1.1.1.0/24 0"]);
    assert!(parse_with("csv", b"a,b\n1,2\n", &options(false)).2.unwrap_err().contains("no column"));
    let drop = "{\"cidr\":\"1.10.16.0/20\",\"sblid\":\"SBL1\"}\n{\"type\":\"metadata\"}\n[\n\"2.2.2.2\",\n{\"ip\":\"3.3.3.3\"}\n]\n{bad\n";
    let (out, report) = parse("json", drop);
    assert_eq!((out.join(",").as_str(), report.errors), ("1.10.16.0/20 0,2.2.2.2 0,3.3.3.3 0", 1));
    let zone = "$ORIGIN bl.x.\n@ IN SOA a b (1 ; serial\n 2 3\n 4 5)\n @ NS ns.bl.x.\nns A 8.8.8.8\n2.0.0.127 A 127.0.0.2\n\
                4.3.2.1 300 IN A 127.0.0.2\n TXT \"why \\\"this\\\"\"\n*.2.1 A 127.0.0.2\nevil.test A 127.0.0.2\n";
    let (mut out, report) = parse("master", zone);
    assert_eq!(out.iter().filter(|l| l.starts_with('~')).count(), 7, "names above an owner exist: {out:?}");
    out.retain(|l| !l.starts_with('~'));
    assert_eq!(out.join(","), "1.2.3.4 0 why \"this\",1.2.0.0/16 0,evil.test 0", "{report:?}");
}

#[test]
fn gzip_is_unpacked_and_long_lines_are_told() {
    use std::io::Write;
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    gz.write_all(b"1.1.1.1\n2.2.2.2").unwrap();
    assert_eq!(parse_with("list", &gz.finish().unwrap(), &options(false)).0.len(), 2);
    let text = format!("1.1.1.1\n{}\n2.2.2.2\n", "x".repeat(200_000));
    let (out, report) = parse("list", &text);
    assert_eq!((out.len(), report.errors, report.problems[0].line), (2, 1, 2));
}

#[test]
fn formats_are_guessed() {
    for (text, want) in [
        ("# x\n1.2.3.4\t5\n", "list"),
        ("$SOA 1 2\n1.2.3.4\n", "rbldnsd"),
        ("1.2.3.4 :127.0.0.2:x", "rbldnsd"),
        (":127.0.0.2:x\n1.2.3.4", "rbldnsd"),
        ("{\"cidr\":\"1.0.0.0/8\"}", "json"),
        ("ip,score\n1.2.3.4,5", "csv"),
        ("$ORIGIN x.\n", "master"),
        ("2606:4700::/32\n", "list"),
    ] {
        assert_eq!(guess(text.as_bytes()), want, "{text}");
    }
}

proptest! {
    /// Whatever a file holds: entries and told problems, never a crash, and every entry can be listed.
    #[test]
    fn any_bytes_are_read_or_told(format in 0..FORMATS.len(), bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[0-9a-f:./!$#; \n-]{0,120}") {
        for input in [&bytes[..], text.as_bytes()] {
            let (_, report, result) = parse_with(FORMATS[format].name, input, &options(true));
            prop_assert!(result.is_ok() || result.is_err_and(|e| !e.is_empty()));
            prop_assert!(report.problems.len() <= MAX_PROBLEMS && report.problems.len() as u64 <= report.errors);
        }
    }
}
