//! Tests that texts which are not lists are not imported: only a name that is alone on its line is
//! listed.

use proptest::prelude::*;

use super::super::*;
use crate::{
    lists::entry,
    model::{ReasonId, Subject},
};

/// Words of sentences, logs and messages, and words of lists.
fn any_word() -> impl Strategy<Value = String> {
    let prose = [
        "Too",
        "many",
        "requests.",
        "Come",
        "again",
        "later",
        "error",
        "404:",
        "is",
        "down,",
        "e.g.",
        "see",
        "list.example",
        "OK",
        "null",
        "Version",
        "1.2.3",
        "v4.x",
        "1.",
        "at",
        "10:15",
        "2026-11-29",
        "from",
        "45.51.100.7",
        "45.51.100.0/24",
        "user@bad.example",
        "https://bad.example/x",
        "bad.example",
        "www.bad.example.",
        "(45.51.100.9)",
        "AS64500",
        "-",
        "\u{2013}",
        "to",
        "\"quoted\"",
        "a.b",
    ];
    prop_oneof![
        4 => prop::sample::select(prose.to_vec()).prop_map(String::from),
        1 => "[A-Za-z]{1,8}[.,:!?]?",
        1 => "[a-z]{1,6}\\.[a-z]{2,6}",
        1 => "[0-9]{1,4}",
        1 => "\\PC{1,6}",
    ]
}

/// Whether a line has only a name, a comment, numbers and dates.
fn is_name_alone(line: &str, name: &Subject) -> bool {
    let text = line.split(['#', ';']).next().unwrap_or("");
    let mut words = text
        .split([' ', '\t', ',', '|', '\u{a0}', '\r'])
        .filter(|w| !w.trim().is_empty());
    let first = words
        .next()
        .map(|w| entry::parse(w.trim_matches('"'), &entry::Rules::default()));
    let number = |w: &str| {
        w.chars()
            .all(|c| c.is_ascii_digit() || "+-.:/%TZUC\"".contains(c))
    };
    first.is_some_and(|f| f.is_ok_and(|all| all == [name.clone()])) && words.all(number)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn prose_lists_only_names_alone_on_their_line(
        lines in prop::collection::vec(prop::collection::vec(any_word(), 1..6).prop_map(|w| w.join(" ")), 1..6),
    ) {
        let text = lines.join("\n");
        let Ok(format) = guess(text.as_bytes()) else { return Ok(()) };
        // Texts that are recognised as another format are not of interest.
        prop_assume!(matches!(format, "list" | "csv"));
        let options = Options { reasoning: ReasonMapping::One(ReasonId(0)), ..Options::default() };
        let (mut found, mut report) = (Vec::new(), ListReport::default());
        let _ = read(format, Box::new(text.as_bytes()), "f", &options, &mut report, &mut |e| {
            found.push(e.subject);
            Ok(())
        });
        for subject in found.iter().filter(|s| !s.is_address()) {
            prop_assert!(lines.iter().any(|l| is_name_alone(l, subject)), "{} from {:?} as {}", subject, text, format);
        }
    }
}
