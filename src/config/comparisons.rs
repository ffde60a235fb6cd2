//! `[[comparison]]` tables: lists of other operators with which ours are compared.

use super::{
    bare,
    document::{Report, Table, TableReport},
    tables::{ComparisonTable, File},
    zones,
};
use crate::{
    comparison::{ComparisonSettings, TransferSettings, check_name},
    feeds::wire::Server,
    model::{Keys, Zone, names::suggest, text::check_line},
};

/// The most tables.
const MAX_TABLES: usize = 64;

/// Reads the tables.
pub(super) fn read(
    file: &File,
    own_zones: &[Zone],
    keys: &Keys,
    report: &mut Report,
) -> Vec<ComparisonSettings> {
    let (tables, mut out) = (&file.comparison, Vec::new());
    if let Some(first) = tables.get(MAX_TABLES) {
        let text = format_args!(
            "there are {} tables; at most {MAX_TABLES} are used",
            tables.len()
        );
        report.of(&first.place).error("", text);
    }
    let known_keys: Vec<&str> = file.key.iter().map(|k| k.name.as_str()).collect();
    for (i, c) in tables.iter().enumerate() {
        let mut table = report.of(&c.place);
        table.value("name", check_name(&c.name));
        table.error_if(
            tables[..i].iter().any(|other| other.name == c.name),
            "name",
            format_args!("there are two comparisons `{}`; rename one", c.name),
        );
        table.value("title", check_line(&c.title));
        let is_page = c.url.starts_with("https://") || c.url.starts_with("http://");
        table.error_if(
            !c.url.is_empty() && (!is_page || c.url.contains(char::is_whitespace)),
            "url",
            format_args!("`{}` is not the URL of a page; write https://…", c.url),
        );
        if !c.against.is_empty() {
            table.value("against", zones::find(own_zones, &c.against));
        }
        table.error_if(
            !c.key.is_empty() && !known_keys.iter().any(|k| bare(k) == bare(&c.key)),
            "key",
            format_args!(
                "there is no [[key]] `{}`{}",
                c.key,
                suggest(&c.key, &known_keys)
            ),
        );
        out.push(ComparisonSettings {
            name: c.name.clone(),
            title: c.title.clone(),
            url: c.url.clone(),
            against: c.against.clone(),
            republish: c.republish,
            transfer: transfer(c, keys, &mut table),
        });
    }
    out
}

/// The zone from which the list can be transferred.
fn transfer(
    c: &Table<ComparisonTable>,
    keys: &Keys,
    table: &mut TableReport<'_>,
) -> Option<TransferSettings> {
    if c.server.is_empty() && c.zone.is_empty() {
        table.error_if(
            c.allow_transfer,
            "allow_transfer",
            "there is no zone to transfer; write `server` and `zone`, or remove the key",
        );
        return None;
    }
    for (key, value, what) in [
        ("server", &c.server, "the server to ask"),
        ("zone", &c.zone, "the zone to transfer"),
    ] {
        table.error_if(value.is_empty(), key, format_args!("it is missing: {what}"));
    }
    if c.server.is_empty() || c.zone.is_empty() {
        return None;
    }
    let key = keys.get(&c.key).cloned();
    let server = table.value("server", Server::new(&c.server, &c.zone, key))?;
    Some(TransferSettings {
        server: server.address,
        zone: server.zone,
        key: server.key,
        is_permitted: c.allow_transfer,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ZONE, load};

    #[test]
    fn table_has_what_is_known_about_a_list() {
        let text = "[[reason]]\nname='relay'\n[[comparison]]\nname='rss'\ntitle='A list'\nurl='https://rss.example/'\nagainst='bl'\nrepublish=true\nserver='192.0.2.53'\nzone='Relays.RSS.Example.'\nallow_transfer=true\n[[comparison]]\nname='dul'\n";
        let config = load(text, ZONE).unwrap();
        let [rss, dul] = &config.comparisons[..] else {
            panic!("{:?}", config.comparisons);
        };
        assert!(rss.republish && !dul.republish);
        let transfer = rss.transfer.as_ref().unwrap();
        assert!(transfer.is_permitted && transfer.is_at("192.0.2.53", "relays.rss.example"));
        assert!(!transfer.is_at("192.0.2.54", "relays.rss.example"));
        assert_eq!(dul.transfer, None);
    }

    #[test]
    fn errors_name_the_table_and_the_key() {
        for (table, part) in [
            ("name='A/b'", "name: `A/b` is not a short name of a list"),
            (
                "name='x'\n[[comparison]]\nname='x'",
                "there are two comparisons `x`",
            ),
            (
                "name='x'\nurl='x.example'",
                "url: `x.example` is not the URL of a page",
            ),
            ("name='x'\nagainst='nosuch'", "against: "),
            (
                "name='x'\nallow_transfer=true",
                "allow_transfer: there is no zone to transfer",
            ),
            ("name='x'\nserver='192.0.2.53'", "zone: it is missing"),
            ("name='x'\nzone='x.example'", "server: it is missing"),
            (
                "name='x'\nserver='192.0.2.53'\nzone='x.example'\nkey='mirror'",
                "key: there is no [[key]] `mirror`",
            ),
        ] {
            let text = format!("[[reason]]\nname='relay'\n[[comparison]]\n{table}\n");
            let e = load(&text, ZONE).unwrap_err().to_string();
            assert!(
                e.contains("config.toml:") && e.contains(part),
                "{table}: {e}"
            );
        }
    }
}
