//! The configuration that `orbsd init` writes: lines of the shipped `config.toml` and of the shipped
//! zone, with the answers as values, so that comments and defaults have one source.

use std::{fmt::Write as _, net::IpAddr};

use super::answers::{Answers, relative};
use crate::model::Algorithm;

/// The shipped configuration, which has every key.
const SHIPPED: &str = include_str!("../../../config.toml");
/// The shipped zone, which has every key of a zone file.
const SHIPPED_ZONE: &str = include_str!("../../../zones/relays.toml");

/// The reasons of a new server with their codes in the zone, the most serious first.
const REASONS: [(&str, &str); 4] = [
    ("relay", "127.0.0.2"),
    ("proxy", "127.0.0.6"),
    ("form", "127.0.0.7"),
    ("spamsource", "127.0.0.11"),
];

/// The name of the TSIG key of mirrors.
pub(super) const KEY: &str = "mirror";
/// The algorithm of that key.
pub(super) const ALGORITHM: Algorithm = Algorithm::HmacSha256;
/// The path of that key, relative to the configuration.
pub(super) const KEY_FILE: &str = "keys/mirror";

/// The end of the texts of the shipped reasons, which name a site of the example.
const EXAMPLE_SITE: &str = ", see https://orbs.example/$";

/// The first column of a comment after a value, as in the shipped files.
const COMMENT_COLUMN: usize = 33;

/// The values that depend on where the files are.
pub(super) struct Paths {
    /// `[store] path`.
    pub(super) store: String,
    /// `[admin] socket`; `None`: the default.
    pub(super) socket: Option<String>,
    /// `[process] user`; empty: none.
    pub(super) user: String,
}

/// A key, and its value as TOML; `None`: the shipped line as it is.
type Key = (&'static str, Option<String>);

/// `config.toml`.
pub(super) fn config(answers: &Answers, paths: &Paths) -> String {
    let listen = answers.listen.iter().map(ToString::to_string);
    let mut out = String::from(
        "# Configuration of orbsd, written by `orbsd init`. It has the keys that most servers change; all others have their defaults.\n\
         # The comments of the shipped config.toml describe every key, and `orbsd check` reports all errors at once. Relative paths\n\
         # start at the folder of this file.\n",
    );
    let tables: [(&str, Vec<Key>); 9] = [
        ("store", vec![("path", Some(string(&paths.store)))]),
        ("removal_log", vec![("path", None), ("on_loss", None)]),
        ("dns", vec![("listen", Some(array(listen)))]),
        (
            "admin",
            vec![
                ("listen", None),
                ("socket", paths.socket.as_deref().map(string)),
                ("socket_group", None),
                ("uids", None),
            ],
        ),
        ("web", vec![("listen", None), ("base_url", None)]),
        (
            "site",
            vec![
                ("name", Some(string(&answers.zone))),
                ("operator", None),
                ("contact", Some(string(&answers.contact))),
                ("legal_notice", None),
            ],
        ),
        ("log", vec![("format", None)]),
        ("zones", vec![("path", None)]),
        ("process", vec![("user", Some(string(&paths.user)))]),
    ];
    for (table, keys) in &tables {
        out += "\n";
        out += &excerpt(SHIPPED, &format!("[{table}]"), keys);
    }
    for (name, _) in REASONS {
        out += "\n";
        out += &reason(name, &answers.contact);
    }
    let key = [
        ("name", Some(string(KEY))),
        ("algorithm", Some(string(ALGORITHM.name()))),
        ("file", Some(string(KEY_FILE))),
    ];
    out += "\n";
    out += &excerpt(SHIPPED, "[[key]]", &key);
    out
}

/// The zone file.
pub(super) fn zone(answers: &Answers) -> String {
    let names = answers.name_servers.iter().map(|n| n.name.clone());
    let top = [
        ("origin", Some(string(&answers.zone))),
        ("kind", None),
        ("ns", Some(array(names))),
        ("contact", Some(string(&answers.contact))),
        ("ttl", None),
        ("negative_ttl", None),
        ("txt", None),
    ];
    let mut out = String::from("# The first zone, written by `orbsd init`.\n");
    out += &excerpt(SHIPPED_ZONE, "", &top);
    out += &commented("publish = [", "the most serious reason first");
    for (reason, code) in REASONS {
        let _ = writeln!(out, "  {{ reason = \"{reason}\", code = \"{code}\" }},");
    }
    out += "]\n\n";
    out += &excerpt(SHIPPED_ZONE, "[query]", &[("allow", None)]);
    out += "\n";
    let mirrors = answers.mirror.iter();
    let mirrors = mirrors.map(|m| format!("{{ address = \"{m}\", key = \"{KEY}\" }}"));
    let mirrors: Vec<String> = mirrors.collect();
    let transfer = [
        ("allow", Some(array([format!("key:{KEY}")]))),
        ("notify", Some(format!("[{}]", mirrors.join(", ")))),
    ];
    out += &excerpt(SHIPPED_ZONE, "[transfer]", &transfer);
    for server in &answers.name_servers {
        let Some(name) = relative(&server.name, &answers.zone) else {
            continue;
        };
        for address in &server.addresses {
            let kind = record_type(*address);
            let _ = write!(
                out,
                "\n[[record]]\nname = {}\ntype = \"{kind}\"\ndata = \"{address}\"\n",
                string(name)
            );
        }
    }
    out
}

/// The type of the record that has an address.
pub(super) fn record_type(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "A",
        IpAddr::V6(_) => "AAAA",
    }
}

/// A shipped `[[reason]]`, whose text names the contact instead of the site of the example.
fn reason(name: &str, contact: &str) -> String {
    let mut tables = SHIPPED.split("[[reason]]\n").skip(1);
    let name = string(name);
    let table = tables
        .find(|t| value_of(t, "name") == Some(name.as_str()))
        .unwrap_or_default()
        .split("\n\n")
        .next()
        .unwrap_or_default();
    let text = value_of(table, "text").unwrap_or_default();
    let text = text.trim_matches('"');
    let text = text.strip_suffix(EXAMPLE_SITE).unwrap_or(text);
    let keys = [
        ("name", None),
        (
            "text",
            Some(string(&format!("{text}: $; contact {contact}"))),
        ),
        ("lifetime", None),
        ("require_approval", None),
    ];
    format!("[[reason]]\n{}", lines_of(table.lines(), &keys))
}

/// The header of a table with its comment, and the lines of some of its keys; an empty header is the
/// start of the file.
fn excerpt(shipped: &str, header: &str, keys: &[Key]) -> String {
    let mut lines = shipped.lines();
    let first = match header {
        "" => String::new(),
        _ => lines
            .find_map(|l| bare(l).starts_with(header).then(|| bare(l)))
            .map(|l| format!("{l}\n"))
            .unwrap_or_default(),
    };
    let of_table = lines.take_while(|l| !l.starts_with('[') && !l.starts_with("# ["));
    first + &lines_of(of_table, keys)
}

/// The lines of some keys, with their comments.
fn lines_of<'t>(lines: impl Iterator<Item = &'t str>, keys: &[Key]) -> String {
    let (mut out, mut taken) = (String::new(), false);
    for line in lines {
        // The comment of a key continues in lines that begin with spaces.
        if line.starts_with(' ') && line.trim_start().starts_with('#') {
            if taken {
                let _ = writeln!(out, "{line}");
            }
            continue;
        }
        let has = |key: &str| {
            bare(line)
                .strip_prefix(key)
                .is_some_and(|r| r.starts_with(" = "))
        };
        let key = keys.iter().find(|(key, _)| has(key));
        taken = key.is_some();
        match key {
            Some((key, Some(value))) => {
                let comment = split_comment(bare(line)).1;
                out += &commented(&format!("{key} = {value}"), comment);
            }
            Some((_, None)) => {
                let _ = writeln!(out, "{line}");
            }
            None => {}
        }
    }
    out
}

/// A line without the sign that makes it a comment.
fn bare(line: &str) -> &str {
    line.strip_prefix("# ").unwrap_or(line)
}

/// The value of a key in lines of TOML.
fn value_of<'t>(lines: &'t str, key: &str) -> Option<&'t str> {
    let line = lines
        .lines()
        .find_map(|l| l.strip_prefix(key)?.strip_prefix(" = "))?;
    Some(split_comment(line).0)
}

/// A line without its comment, and the comment without its sign.
fn split_comment(line: &str) -> (&str, &str) {
    let mut quoted = false;
    let sign = line.bytes().position(|b| {
        quoted ^= b == b'"';
        b == b'#' && !quoted
    });
    match sign {
        Some(at) => (line[..at].trim_end(), line[at + 1..].trim()),
        None => (line.trim_end(), ""),
    }
}

/// A line with a comment in the column of the shipped files.
fn commented(line: &str, comment: &str) -> String {
    match comment {
        "" => format!("{line}\n"),
        _ => format!(
            "{line:<width$}# {comment}\n",
            width = COMMENT_COLUMN.max(line.len() + 1)
        ),
    }
}

/// A string of TOML. Strings of JSON are strings of TOML too.
fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An array of strings.
fn array(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().map(|i| string(&i)).collect();
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;
    use crate::{cli::init::answers::NameServer, config::Config};

    fn answers() -> Answers {
        Answers {
            zone: "bl.example.org".into(),
            listen: vec![
                "192.0.2.1:53".parse().unwrap(),
                "[::1]:5300".parse().unwrap(),
            ],
            name_servers: vec![
                NameServer {
                    name: "ns1.bl.example.org".into(),
                    addresses: ["192.0.2.1", "2001:db8::1"]
                        .map(|a| a.parse().unwrap())
                        .into(),
                },
                NameServer {
                    name: "ns.example.net".into(),
                    addresses: Vec::new(),
                },
            ],
            contact: "host\"master@example.org".into(),
            mirror: Some("192.0.2.53:53".parse().unwrap()),
            user: "anna".into(),
        }
    }

    fn paths() -> Paths {
        Paths {
            store: "data".into(),
            socket: Some("run/orbsd.sock".into()),
            user: String::new(),
        }
    }

    #[test]
    fn written_files_are_a_valid_configuration_with_the_answers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        for folder in ["zones", "keys"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        fs::write(&path, config(&answers(), &paths())).unwrap();
        fs::write(dir.path().join("zones/bl.toml"), zone(&answers())).unwrap();
        let key = dir.path().join(KEY_FILE);
        crate::store::private::create_file(&key, b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n")
            .unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!(config.warnings, [""; 0]);
        assert_eq!(config.dns.listen, answers().listen);
        assert_eq!(config.site.contact, answers().contact);
        assert_eq!(config.socket, dir.path().join("run/orbsd.sock"));
        let zone = &config.ledger.zones[0];
        assert_eq!(zone.origin, "bl.example.org");
        assert_eq!(zone.ns, ["ns1.bl.example.org", "ns.example.net"]);
        assert_eq!(zone.records.len(), 2);
        assert_eq!(zone.transfer.allow, ["key:mirror"]);
        assert_eq!(zone.transfer.notify.len(), 1);
        let published: Vec<&String> = zone.publish.iter().flat_map(|p| p.reasons()).collect();
        let configured: Vec<&String> = config.ledger.reasons.iter().map(|r| &r.name).collect();
        assert_eq!(published, configured);
        for reason in &config.ledger.reasons {
            assert!(
                reason
                    .text
                    .ends_with(": $; contact host\"master@example.org")
                    && !reason.text.contains("orbs.example"),
                "{}",
                reason.text
            );
            assert!(!reason.two_persons, "a first listing needs one person");
        }
    }

    /// Each line is one of the shipped files but for its value, so that comments have one source.
    #[test]
    fn keys_and_comments_are_those_of_the_shipped_files() {
        let shape = |line: &str| {
            let (code, comment) = split_comment(bare(line));
            let key = code.split(" = ").next().unwrap_or(code);
            (key.to_string(), comment.to_string())
        };
        let shipped: BTreeSet<_> = SHIPPED
            .lines()
            .chain(SHIPPED_ZONE.lines())
            .map(shape)
            .collect();
        let written = config(&answers(), &paths()) + &zone(&answers());
        let mut keys = 0;
        for line in written
            .lines()
            .filter(|l| l.contains(" = ") && !l.starts_with(' '))
        {
            assert!(shipped.contains(&shape(line)), "{line}");
            keys += 1;
        }
        assert!(keys > 40, "{keys}\n{written}");
        for (table, keys) in [
            ("[store]", "path"),
            ("[admin]", "uids"),
            ("[site]", "legal_notice"),
        ] {
            let found = written.split(table).nth(1).unwrap_or_default();
            assert!(found.contains(&format!("\n{keys} = ")), "{table} {keys}");
        }
        assert!(!written.contains("orbs.example"), "{written}");
    }

    #[test]
    fn codes_are_those_of_the_shipped_zones() {
        for (reason, code) in REASONS {
            let entry = format!("{{ reason = \"{reason}\", code = \"{code}\" }}");
            assert!(SHIPPED_ZONE.contains(&entry), "{entry}");
        }
    }

    #[test]
    fn value_ends_at_its_comment_and_not_at_a_sign_within_quotes() {
        assert_eq!(
            split_comment("a = \"x # y\"   # why"),
            ("a = \"x # y\"", "why")
        );
        assert_eq!(split_comment("a = 1"), ("a = 1", ""));
        assert_eq!(
            relative("ns1.bl.example.org", "bl.example.org"),
            Some("ns1")
        );
        assert_eq!(relative("bl.example.org", "bl.example.org"), Some("@"));
        assert_eq!(relative("ns1.nobl.example.org", "bl.example.org"), None);
    }
}
