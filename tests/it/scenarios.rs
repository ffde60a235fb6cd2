//! Text scenarios: commands, queries and expected answers; each over `respond()`, UDP, TCP and
//! HTTP/3.
//!
//! A line is `list SUBJECT REASON [key=value…]`, `delist`, `exempt`, `unexempt`, `import SOURCE
//! REASON` with indented lines after it, `wait SECONDS`, or `NAME TYPE => ANSWER`. Names without a
//! final dot are under bl.orbs.example.

use std::fs;

use orbsd::{
    clock::wall,
    ledger::Import,
    lists,
    model::{Change, Subject, Time, history::Command, subject::HostBits, time::parse_end},
    store::schema::FeedEntry,
};

use crate::lab::{CONFIG, DELEGATING, DIGESTS, DOMAINS, Folder, Lab, MASKS, URIS, ZONE, commit};

#[test]
fn every_scenario_holds_on_every_transport() {
    let mut files: Vec<_> = fs::read_dir("tests/scenarios")
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 4);
    for path in files {
        run(
            &path.display().to_string(),
            &fs::read_to_string(&path).unwrap(),
        );
    }
}

fn run(file: &str, text: &str) {
    let reason = |name: &str, text| format!("[[reason]]\nname = \"{name}\"\ntext = \"{text} $\"\n");
    let reasons = reason("drop-box", "Drop box") + &reason("uri", "Host of links");
    let config = format!("{CONFIG}{reasons}");
    let lab = Lab::with_http3(Folder::with(
        &config,
        &[
            ("bl", ZONE),
            ("dbl", DOMAINS),
            ("ebl", DIGESTS),
            ("ubl", URIS),
            ("mask", MASKS),
            ("top", DELEGATING),
        ],
    ));
    let mut lines = text.lines().enumerate().peekable();
    while let Some((i, line)) = lines.next() {
        let at = format!("{file}:{}: {line}", i + 1);
        let line = line.split(" #").next().unwrap_or("").trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some((question, want)) = line.split_once("=>") {
            let mut words = question.split_whitespace();
            let (name, kind) = (words.next().unwrap(), words.next().unwrap());
            let name = match name.strip_suffix('.') {
                Some(n) => n.to_string(),
                None if name == "@" => "bl.orbs.example".into(),
                None => format!("{name}.bl.orbs.example"),
            };
            let kinds = [
                ("A", 1),
                ("NS", 2),
                ("SOA", 6),
                ("TXT", 16),
                ("AAAA", 28),
                ("DS", 43),
                ("CAA", 257),
                ("ANY", 255),
            ];
            let qtype = kinds
                .iter()
                .find(|k| k.0 == kind)
                .unwrap_or_else(|| panic!("{at}: type"))
                .1;
            assert_eq!(lab.ask(&name, qtype), want.trim(), "{at}");
            continue;
        }
        let mut body = String::new();
        while let Some((_, l)) = lines.next_if(|(_, l)| l.starts_with(' ')) {
            body += &format!("{}\n", l.trim());
        }
        if let Err(e) = act(&lab, line, &body) {
            panic!("{at}: {e}");
        }
    }
}

fn act(lab: &Lab, line: &str, body: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let v = lab.ledger.store.dictionary();
    let subject = |i: usize| Subject::parse(words[i], HostBits::Refuse);
    let value = |key: &str| {
        words
            .iter()
            .find_map(|w| w.strip_prefix(key)?.strip_prefix('='))
            .map(|w| w.replace('_', " "))
    };
    let end = value("until").map(|u| parse_end(&u, wall())).transpose()?;
    let ask = match words[0] {
        "wait" => {
            lab.pass(words[1].parse().unwrap());
            return Ok(());
        }
        "import" => {
            let source = lab.ledger.source(words[1]).map_err(|e| format!("{e:?}"))?;
            let reason = v.reasons.get(words[2]).ok_or("reason")?;
            let options = lists::Options {
                reasoning: lists::ReasonMapping::One(reason),
                addresses: lab
                    .ledger
                    .published
                    .snapshot()
                    .zones
                    .domain_addresses(reason),
                ..Default::default()
            };
            let mut what = Import::replace(source);
            let result = lab.ledger.import_with(&mut what, |_, sink| {
                lists::read(
                    "rbldnsd",
                    Box::new(body.as_bytes()),
                    "body",
                    &options,
                    &mut Default::default(),
                    &mut |e| {
                        sink(
                            e.subject,
                            FeedEntry {
                                reason: e.reason,
                                exclusion: e.exclusion,
                                implied: e.implied,
                                since: Time(0),
                                text: e.text.into(),
                                note: e.note,
                            },
                        )
                    },
                )
            });
            return result.map(|_| ()).map_err(|e| format!("{e:?}"));
        }
        "list" => Command::List {
            reason: v.reasons.get(words[2]).ok_or("reason")?,
            source: value("source")
                .and_then(|s| v.sources.get(&s))
                .unwrap_or(orbsd::model::SourceId::OPERATOR),
            until: end,
            text: value("text").into(),
        },
        "delist" => Command::Delist {
            reason: None,
            source: value("source").and_then(|s| v.sources.get(&s)),
            hold: Default::default(),
        },
        "exempt" => Command::Exempt { until: end },
        "unexempt" => Command::Unexempt,
        other => return Err(format!("there is no action `{other}`")),
    };
    let change = Change {
        subject: subject(1)?,
        author: "scenario".into(),
        evidence: None,
        command: ask,
        preconditions: Default::default(),
    };
    let receipt = commit(&lab.ledger, change);
    match (receipt, line.contains("!refused")) {
        (Ok(_), false) | (Err(_), true) => Ok(()),
        (r, _) => Err(format!("{r:?}")),
    }
}
