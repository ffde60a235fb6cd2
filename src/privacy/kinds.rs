//! The kinds of stored data that can be personal, from the data file `privacy.toml`.

use std::{collections::BTreeMap, fmt::Write as _, sync::LazyLock};

use serde::Deserialize;

use crate::model::{Retention, time::Seconds};

/// The data file.
const TEXT: &str = include_str!("privacy.toml");

/// A kind of stored data that can be personal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataKind {
    /// The name.
    pub name: String,
    /// What is kept.
    pub content: String,
    /// Why it is kept.
    pub purpose: String,
    /// Who sees it.
    pub readers: String,
    /// How long it is kept; `{period}` stands for the value of `key`.
    pub retention: String,
    /// The key of the configuration that sets the period, with its table.
    #[serde(default)]
    pub key: Option<String>,
    /// Whether it is erased on request.
    pub erasable: bool,
    /// The column families, tables and keys of the store that have it, and the files and tables in
    /// memory besides.
    pub stored_in: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DataFile {
    kind: Vec<DataKind>,
    /// What the other parts of the store contain, by their names.
    #[cfg_attr(not(test), allow(dead_code))]
    not_personal: BTreeMap<String, String>,
}

/// The place of the period in the text of [`DataKind::retention`].
const PERIOD: &str = "{period}";

impl DataKind {
    /// How long it is kept, with the configured period. The others are the periods of
    /// `history.feed_max_age` and `journal.max_age`.
    pub fn retention_text(&self, retention: &Retention, others: [Seconds; 2]) -> String {
        let period = match self.key.as_deref().unwrap_or_default() {
            "history.feed_max_age" => Some(others[0]),
            "journal.max_age" => Some(others[1]),
            key => key
                .strip_prefix("retention.")
                .and_then(|k| retention.period(k)),
        };
        self.retention
            .replace(PERIOD, &in_words(period.unwrap_or_default()))
    }
}

/// A period in words: `90 days`, `12 hours`.
fn in_words(period: Seconds) -> String {
    let units = [
        (86_400, "day"),
        (3600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let unit = units
        .into_iter()
        .find(|(unit, _)| period.0.is_multiple_of(*unit));
    let (unit, name) = unit.unwrap_or((1, "second"));
    match period.0 / unit {
        1 => format!("1 {name}"),
        n => format!("{n} {name}s"),
    }
}

/// All kinds, in the order of the data file.
pub fn kinds() -> &'static [DataKind] {
    static KINDS: LazyLock<Vec<DataKind>> = LazyLock::new(|| {
        // A test reads the file, which is part of the program.
        toml::from_str::<DataFile>(TEXT).map_or(Vec::new(), |file| file.kind)
    });
    &KINDS
}

/// The kinds as a table for docs/privacy.md.
pub fn markdown_table() -> String {
    let mut out = String::from(
        "| kind | what is kept | why | who sees it | how long | key | erased on request |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let retention = Retention::default();
    for kind in kinds() {
        let text = kind.retention_text(&retention, [Seconds(90 * 86_400), Seconds(7 * 86_400)]);
        let key = kind
            .key
            .as_ref()
            .map_or(String::new(), |k| format!("`{k}`"));
        let erased = if kind.erasable { "yes" } else { "no" };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {text} | {key} | {erased} |",
            kind.name, kind.content, kind.purpose, kind.readers
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;
    use crate::{model::retention::RETENTION_KEYS, store::schema};

    #[test]
    fn data_file_names_every_key_of_retention_and_no_other() {
        let file: DataFile = toml::from_str(TEXT).unwrap();
        let named: BTreeSet<&str> = file.kind.iter().filter_map(|k| k.key.as_deref()).collect();
        let keys = RETENTION_KEYS.map(|k| format!("retention.{k}"));
        let mut expected: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
        expected.extend(["history.feed_max_age", "journal.max_age"]);
        assert_eq!(named, expected);
    }

    #[test]
    fn kind_has_a_period_in_its_text_exactly_if_it_has_a_key() {
        for kind in kinds() {
            assert_eq!(
                kind.retention.contains(PERIOD),
                kind.key.is_some(),
                "{}",
                kind.name
            );
            for text in [&kind.content, &kind.purpose, &kind.readers, &kind.retention] {
                assert!(
                    !text.is_empty() && !text.contains(['<', '|', '\n']),
                    "{text}"
                );
            }
        }
        let names: BTreeSet<&str> = kinds().iter().map(|k| k.name.as_str()).collect();
        assert_eq!(names.len(), kinds().len());
    }

    #[test]
    fn periods_are_written_in_words() {
        let words = [86_400, 7 * 86_400, 3600, 90].map(|n| in_words(Seconds(n)));
        assert_eq!(words, ["1 day", "7 days", "1 hour", "90 seconds"]);
        let tickets = kinds().iter().find(|k| k.name == "tickets").unwrap();
        let text = tickets.retention_text(&Retention::default(), [Seconds(0); 2]);
        assert_eq!(text, "90 days after the ticket was closed");
    }

    /// The letters of the tables that a source file defines.
    fn letters(family: &str, path: &str) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        let consts = text.lines().filter(|l| l.contains("&") && l.contains("b'"));
        let letter = |l: &str| l.split_once("b'").and_then(|(_, rest)| rest.chars().next());
        consts
            .filter(|l| l.contains("::new("))
            .filter_map(|l| Some(format!("{family}/{}", letter(l)?)))
            .collect()
    }

    /// The keys of a family that the table in the documentation of the schema names.
    fn keys(family: &str) -> Vec<String> {
        let schema = fs::read_to_string("src/store/schema.rs").unwrap();
        let rows = schema
            .lines()
            .skip_while(|l| !l.contains(&format!("key in `{family}`")));
        let rows = rows.skip(2).take_while(|l| l.starts_with("//! |"));
        rows.flat_map(|row| {
            let first = row.split('|').nth(1).unwrap().to_string();
            let words: Vec<String> = first
                .split('`')
                .skip(1)
                .step_by(2)
                .map(String::from)
                .collect();
            words
        })
        .map(|key| format!("{family}/{key}"))
        .collect()
    }

    #[test]
    fn every_family_table_and_key_of_the_store_belongs_to_a_kind_or_is_not_personal() {
        let file: DataFile = toml::from_str(TEXT).unwrap();
        let named = file.kind.iter().flat_map(|k| &k.stored_in);
        let named: BTreeSet<&str> = named
            .chain(file.not_personal.keys())
            .map(String::as_str)
            .filter(|place| !place.contains(": "))
            .collect();
        let split = [
            schema::META,
            schema::ACCOUNTS,
            schema::RELAY,
            schema::TICKETS,
        ];
        let families = schema::FAMILIES.into_iter().filter(|f| !split.contains(f));
        let mut stored: Vec<String> = families.map(String::from).collect();
        stored.extend(keys(schema::META));
        stored.extend(keys(schema::ACCOUNTS));
        let relay = letters(schema::RELAY, "src/relay/tables.rs");
        let tickets = letters(schema::TICKETS, "src/tickets/tables.rs");
        let mail = letters(schema::TICKETS, "src/tickets/mail_rows.rs");
        assert!(
            relay.len() >= 21 && tickets.len() >= 13 && mail.len() >= 3,
            "the tables are not found: {relay:?} {tickets:?} {mail:?}"
        );
        stored.extend([relay, tickets, mail].concat());
        let stored: BTreeSet<&str> = stored.iter().map(String::as_str).collect();
        let missing: Vec<_> = stored.difference(&named).collect();
        let unknown: Vec<_> = named.difference(&stored).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "privacy.toml does not name {missing:?}; the store does not have {unknown:?}"
        );
    }

    #[test]
    fn documentation_has_the_table_of_the_data_file() {
        const PAGE: &str = "docs/privacy.md";
        let page = fs::read_to_string(PAGE).unwrap();
        let is_row = |l: &&str| l.starts_with('|');
        let table: String = page
            .lines()
            .filter(is_row)
            .map(|l| format!("{l}\n"))
            .collect();
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() && table != markdown_table() {
            let before: Vec<&str> = page.lines().take_while(|l| !is_row(l)).collect();
            let after: Vec<&str> = page.lines().skip(before.len()).skip_while(is_row).collect();
            let rest = after.join("\n");
            let renewed = format!("{}\n{}{rest}\n", before.join("\n"), markdown_table());
            fs::write(PAGE, renewed).unwrap();
            return;
        }
        assert!(
            table == markdown_table(),
            "{PAGE} differs; `make snapshots` renews its table"
        );
    }
}
