use std::{fmt::Debug, fs};

use schemars::JsonSchema;
use serde::{
    Deserializer,
    de::{DeserializeOwned, Visitor, value},
};

use super::{
    document::{Document, Place},
    *,
};

mod schema;

use schema::schema_of;

/// Loads a configuration with one zone; errors name the files without the folder.
pub fn load(config: &str, zone: &str) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("zones")).unwrap();
    fs::write(dir.path().join("config.toml"), config).unwrap();
    fs::write(dir.path().join("zones/bl.toml"), zone).unwrap();
    let folder = format!("{}/", dir.path().display());
    let short = |lines: Vec<String>| lines.iter().map(|l| l.replace(&folder, "")).collect();
    Config::load(&dir.path().join("config.toml")).map_err(|e| ConfigError(short(e.0)))
}

pub const ZONE: &str = "origin='bl.orbs.example'\nkind='address'\nns=['a.b.example','c.d.example']\ncontact='h@orbs.example'\npublish=[{reason='relay',code='127.0.0.2'}]";

#[test]
fn the_shipped_configuration_is_sound() {
    let config = Config::load(Path::new("config.toml")).unwrap();
    assert!(!config.ledger.zones.is_empty());
}

#[test]
fn shipped_reason_of_netblocks_needs_two_persons() {
    let config = Config::load(Path::new("config.toml")).unwrap();
    let name = &config.ledger.netblocks.reason;
    let mut reasons = config.ledger.reasons.iter();
    assert!(reasons.any(|r| r.name == *name && r.two_persons));
}

/// The names of a struct's fields, as serde knows them.
fn fields<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Probe<'f>(&'f mut &'static [&'static str]);
    impl<'de> Deserializer<'de> for Probe<'_> {
        type Error = value::Error;
        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
            Err(serde::de::Error::custom("not a struct"))
        }
        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, value::Error> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }
        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let mut out: &'static [&'static str] = &[];
    assert!(T::deserialize(Probe(&mut out)).is_err() && !out.is_empty());
    out
}

/// What a kind of table has, and what one file sets of it.
pub(super) struct Shape {
    pub name: &'static str,
    pub array: bool,
    pub fields: &'static [&'static str],
    /// The JSON schema of one table.
    pub schema: serde_json::Value,
    places: Vec<Place>,
    has_defaults: bool,
}

fn one<T: DeserializeOwned + JsonSchema + Default + PartialEq>(
    name: &'static str,
    table: &Table<T>,
) -> Shape {
    let default = parsed("", |mut d, report| d.table::<T>(name, report));
    Shape {
        name,
        array: false,
        fields: fields::<T>(),
        schema: schema_of::<T>(),
        places: vec![table.place.clone()],
        has_defaults: table.value == default.value,
    }
}

fn many<T: DeserializeOwned + JsonSchema + Debug>(
    name: &'static str,
    tables: &[Table<T>],
) -> Shape {
    let places = tables.iter().map(|t| t.place.clone()).collect();
    Shape {
        name,
        array: true,
        fields: fields::<T>(),
        schema: schema_of::<T>(),
        places,
        has_defaults: true,
    }
}

/// Every table of a file: a new table does not compile until it is named here.
#[rustfmt::skip]
pub(super) fn shapes(file: &File) -> Vec<Shape> {
    let File {
        store, clock, journal, history, retention, removal_log, dns, tls, admin, web, site, log, zones, limits, http_client, mail, probe, collector, connections, process,
        proofs, generic_names, netblocks, dynamic_ranges, query_sample, removal_policies: _, // its keys are names of reasons
        reason, key, feed, export, comparison,
    } = file;
    vec![
        one("store", store), one("clock", clock), one("journal", journal), one("history", history), one("retention", retention), one("removal_log", removal_log), one("dns", dns),
        one("tls", tls), one("admin", admin), one("web", web), one("site", site), one("log", log), one("zones", zones), one("limits", limits),
        one("http_client", http_client), one("mail", mail), one("probe", probe), one("collector", collector), one("process", process),
        one("connections", connections), one("proofs", proofs), one("generic_names", generic_names), one("netblocks", netblocks), one("query_sample", query_sample),
        one("dynamic_ranges", dynamic_ranges),
        many("reason", reason), many("key", key), many("feed", feed), many("export", export), many("comparison", comparison),
    ]
}

/// The configuration of an empty file.
pub(super) fn defaults() -> File {
    parsed("", File::read)
}

fn parsed<T>(text: &str, read: impl FnOnce(Document<'_>, &mut Report) -> T) -> T {
    let mut report = Report::default();
    let out = Document::parse(Path::new("sample"), text, &mut report).map(|d| read(d, &mut report));
    let (errors, _) = report.into_lines();
    assert!(errors.is_empty(), "{errors:#?}\n{text}");
    out.unwrap()
}

/// A sample file with the keys and tables that are comments there.
fn uncommented(text: &str) -> String {
    let is_toml = |l: &str| {
        let key = l.split(" = ").next().unwrap();
        l.starts_with('[')
            || l.contains(" = ")
                && !key.is_empty()
                && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    text.lines()
        .map(|l| l.strip_prefix("# ").filter(|l| is_toml(l)).unwrap_or(l))
        .map(|l| format!("{l}\n"))
        .collect()
}

#[test]
fn every_key_is_in_the_sample_files_and_the_values_are_the_defaults() {
    let sample = fs::read_to_string("config.toml").unwrap();
    for shape in shapes(&parsed(&sample, File::read)) {
        assert!(
            shape.has_defaults,
            "config.toml: [{}] shows other values than the defaults",
            shape.name
        );
    }
    for shape in shapes(&parsed(&uncommented(&sample), File::read)) {
        for key in shape.fields {
            assert!(
                shape.places.iter().any(|p| p.has(key)),
                "config.toml does not show `{key}` of [{}]",
                shape.name
            );
        }
    }
    let sample = fs::read_to_string("zones/relays.toml").unwrap();
    let zone = parsed(&uncommented(&sample), |d, report| {
        d.whole::<Zone>("", report)
    });
    for key in fields::<Zone>() {
        assert!(
            zone.place.has(key),
            "zones/relays.toml does not show `{key}`"
        );
    }
}

#[test]
fn a_wrong_value_is_reported_with_its_line_key_and_value_whatever_the_key() {
    for shape in shapes(&parsed("", File::read)) {
        for key in shape.fields {
            let (head, named) = match shape.array {
                true => (
                    format!("[[{}]]\nname='n'", shape.name),
                    format!("{} \"n\": {key}: ", shape.name),
                ),
                false => (
                    format!("[{}]\n", shape.name),
                    format!("{}.{key}: ", shape.name),
                ),
            };
            let head = if *key == "name" {
                head.replace("name='n'", "")
            } else {
                head
            };
            let named = if *key == "name" {
                named.replace("\"n\"", "1")
            } else {
                named
            };
            let e = load(&format!("{head}\n{key} = 1979-05-27\n"), ZONE).unwrap_err();
            let line =
                e.0.iter()
                    .find(|l| l.starts_with(&format!("config.toml:3: {named}")));
            let line = line.unwrap_or_else(|| panic!("{}.{key}: {e}", shape.name));
            assert!(line.contains("1979-05-27 is not "), "{line}");
            assert_eq!(e.0.iter().filter(|l| l.contains(&named)).count(), 1, "{e}");
        }
    }
    for key in fields::<Zone>() {
        let zone: String = ZONE
            .lines()
            .filter(|l| !l.starts_with(&format!("{key}=")))
            .map(|l| format!("{l}\n"))
            .collect();
        let e = load(
            "[[reason]]\nname='relay'",
            &format!("{key} = 1979-05-27\n{zone}"),
        )
        .unwrap_err();
        assert_eq!(e.0.len(), 1, "{e}");
        assert!(
            e.0[0].starts_with(&format!("zones/bl.toml:1: {key}: 1979-05-27 is not ")),
            "{e}"
        );
    }
}

#[test]
fn all_errors_of_all_files_are_reported_at_once_in_order() {
    let config = "[dns]\nworkers = 'four'\nlisten = ['127.0.0.1', '[::1]:5300', 'here']\nlisen = []\n[journal]\nmax_age = 'soon'\n\
                  [probe]\nretry_delays = ['5m', 'x']\nconcurrency = 0\n[store]\npath = 7\n[[reason]]\nname = 'relay'\nlifetime = '1 potato'\n\
                  [[feed]]\nname = 'feodo'\nkind = 'fille'\nmax_shrink = 'half'\nreason = 'rely'\n[[feed]]\nname = 'feodo'\nkolumn = 'ip'\n\
                  [web]\ntls = 'yes'\n[mial]\nfrom = 'x'\n";
    let zone = "origin = 'bl.orbs.example'\nkind = 'adress'\nns = ['a.b.example', 'c.d.example', 'x..y']\nttl = 'long'\n\
                publish = [{ reason = 'relais', code = '127.0.0.2' }, { reason = 'relay', code = 'two' }]\n\
                [transfer]\nallow = ['somebody']\nnotify = [{ adress = '192.0.2.1:53' }]\n[[record]]\nname = 'www'\ntype = 'A'\n";
    let e = load(config, zone).unwrap_err();
    let starts = [
        "config.toml:2: dns.workers: 'four' is not a whole number, 0 or more",
        "config.toml:3: dns.listen: '127.0.0.1' is not an address with a port",
        "config.toml:3: dns.listen: 'here' is not an address with a port",
        "config.toml:4: dns: unknown key `lisen`; did you mean `listen`?",
        "config.toml:6: journal.max_age: `soon` is not a duration",
        "config.toml:8: probe.retry_delays: `x` is not a duration",
        "config.toml:9: probe.concurrency: 0 is not from 1",
        "config.toml:11: store.path: 7 is not a path in quotes",
        "config.toml:14: reason \"relay\": lifetime: `1 potato` is not a duration",
        "config.toml:17: feed \"feodo\": kind: 'fille' is not accepted; write \"file\", \"axfr\" or \"orbsd\"; did you mean \"file\"?",
        "config.toml:18: feed \"feodo\": max_shrink: `half` is not",
        "config.toml:19: feed \"feodo\": reason: unknown reason `rely`; did you mean `relay`?",
        "config.toml:21: feed \"feodo\": name: there are two feeds `feodo`",
        "config.toml:22: feed \"feodo\": unknown key `kolumn`; did you mean `column`?",
        "config.toml:24: web.tls: 'yes' is not true or false",
        "config.toml:25: unknown table `mial`; did you mean `mail`?",
        "zones/bl.toml:2: kind: 'adress' is not accepted; write \"address\"",
        "zones/bl.toml:3: ns: `x..y`",
        "zones/bl.toml:4: ttl: `long` is not a duration",
        "zones/bl.toml:5: publish \"relais\": reason `relais` is not in config.toml; did you mean `relay`?",
        "zones/bl.toml:5: publish \"relay\": code: 'two' is not an IPv4 address",
        "zones/bl.toml:7: transfer.allow: `somebody` is neither",
        "zones/bl.toml:8: transfer.notify 1: unknown key `adress`; did you mean `address`?",
        "zones/bl.toml:9: record \"www\": data: it is missing",
        "contact: it is missing; write contact = \"hostmaster@example.org\"",
    ];
    for start in starts {
        assert!(
            e.0.iter()
                .any(|l| l.starts_with(start) || l.ends_with(start)),
            "{start}\n{e}"
        );
    }
    let place = |l: &String| {
        l.split(' ')
            .next()
            .unwrap()
            .trim_end_matches(':')
            .rsplit_once(':')
            .map(|(f, n)| (f.to_string(), n.parse::<u32>().ok()))
    };
    let places: Vec<_> =
        e.0.iter()
            .filter_map(place)
            .filter(|(_, n)| n.is_some())
            .collect();
    assert!(places.is_sorted(), "{e}");
}

#[test]
fn an_error_hides_no_error_of_another_rule() {
    let zone = "origin='bl.orbs.example'\nkind='adress'\nns=['a.b.example','c.d.example']\ncontact='h@orbs.example'\nttl=7\n\
                publish=[{reason='relay',code='127.0.0.2'}]\n[query]\nallow=['192.0.2.0/33']\n\
                [[record]]\nname='www'\ntype='A'\ndata='not-an-address'\n[[record]]\nname='x'\ntype='A'\n";
    let config = "[[reason]]\nname='relay'\n\
                  [[export]]\nzone='nowhere'\nformat='rpz'\naction='explode'\npath='a'\n\
                  [[export]]\nzone='nowhere'\nformat='xls'\npath='config.toml'\n\
                  [[key]]\nname='mir ror'\nalgorithm='md5'\nfile='nowhere'\n";
    let e = load(config, zone).unwrap_err();
    for part in [
        "config.toml:4: export \"nowhere\": zone: unknown zone `nowhere`",
        "config.toml:6: export \"nowhere\": action: ",
        "config.toml:9: export \"nowhere\": zone: unknown zone `nowhere`",
        "config.toml:10: export \"nowhere\": format: `xls`",
        "config.toml:11: export \"nowhere\": path: config.toml would be written over the configuration",
        "config.toml:13: key \"mir ror\": name: `mir ror` is not a valid key name",
        "config.toml:14: key \"mir ror\": algorithm: ",
        "config.toml:15: key \"mir ror\": file: nowhere: ",
        "zones/bl.toml:2: kind: 'adress' is not accepted",
        "zones/bl.toml:5: ttl: 7 is not a duration",
        "zones/bl.toml:8: query.allow: ",
        "zones/bl.toml:9: record \"www\": ",
        "zones/bl.toml:13: record \"x\": data: it is missing",
    ] {
        assert!(e.0.iter().any(|l| l.starts_with(part)), "{part}\n{e}");
    }
    assert_eq!(e.0.len(), 13, "{e}");
}

#[test]
fn what_follows_from_an_error_is_no_error_of_its_own() {
    for (config, zone, count) in [
        // No reason that a zone or feed names is unknown where a reason could not be read.
        ("", ZONE, 1),
        ("[[reason]]\nname = 3", ZONE, 1),
        ("[[reason]]\nnaem = 'relay'", ZONE, 1),
        (
            "[[reason]]\nname='relay'\n[[feed]]\nname='x'\nreason=1\npath='x'",
            ZONE,
            1,
        ),
        (
            "[[reason]]\nname='relay'\n[[feed]]\nname='x'\nreason='relay'\nkind='axfr'\nserver='192.0.2.1'\nzone='z'\nkey='k'\n[[key]]\nname='k'\nfile='nowhere'",
            ZONE,
            1,
        ),
        // The default of a value that was rejected takes no address from another.
        (
            "[[reason]]\nname='relay'\n[dns]\nlisten=['x']\n[tls]\nhttps=['127.0.0.1:5300']\ncertificate='c'\nkey='k'",
            ZONE,
            1,
        ),
    ] {
        let e = load(config, zone).unwrap_err();
        assert_eq!(e.0.len(), count, "{config}\n{e}");
    }
    for missing in ["origin", "kind", "ns", "contact"] {
        let zone: String = ZONE
            .lines()
            .filter(|l| !l.starts_with(missing))
            .map(|l| format!("{l}\n"))
            .collect();
        let e = load("[[reason]]\nname='relay'", &zone).unwrap_err();
        assert_eq!(e.0.len(), 1, "{e}");
        assert!(
            e.0[0].starts_with(&format!(
                "zones/bl.toml: {missing}: it is missing; write {missing} = "
            )),
            "{e}"
        );
        let zone = ZONE.replace(missing, &format!("{missing}x"));
        let e = load("[[reason]]\nname='relay'", &zone).unwrap_err();
        assert_eq!(e.0.len(), 1, "{e}");
        assert!(
            e.0[0].contains(&format!(
                "unknown key `{missing}x`; did you mean `{missing}`?"
            )),
            "{e}"
        );
    }
}

#[test]
fn a_syntax_error_of_a_file_is_reported_alone() {
    let e = load("[dns]\nworkers = 'x'\nlisten = [\n[store]\npaht = 1", ZONE).unwrap_err();
    assert!(
        e.0.len() == 1 && e.0[0].starts_with("config.toml:") && e.0[0].contains("syntax error"),
        "{e}"
    );
    let e = load(
        "[[reason]]\nname='relay'\n[dns]\nworkers='x'",
        &format!("{ZONE}\nttl = "),
    )
    .unwrap_err();
    assert_eq!(e.0.len(), 2, "{e}");
    assert!(
        e.0[0].contains("dns.workers") && e.0[1].starts_with("zones/bl.toml:6: syntax error"),
        "{e}"
    );
    for (config, part) in [
        (
            "[dns]\nworkers=1\nworkers=2",
            "config.toml:3: syntax error: duplicate key",
        ),
        (
            "[[store]]\npath='x'",
            "config.toml:1: store: it is one table; write [store]",
        ),
        (
            "store = 3",
            "config.toml:1: store: it is a table; write [store]",
        ),
        (
            "[reason]\nname='relay'",
            "config.toml:1: reason: it may be set several times; write [[reason]]",
        ),
    ] {
        let e = load(config, ZONE).unwrap_err();
        assert!(e.0.iter().any(|l| l.starts_with(part)), "{part}: {e}");
    }
}

#[test]
fn a_configuration_that_never_ends_is_refused() {
    let e = Config::load(Path::new("/dev/zero"))
        .unwrap_err()
        .to_string();
    assert!(
        e.contains("/dev/zero: it is longer than 16777216 bytes"),
        "{e}"
    );
    assert!(
        socket(Path::new("/dev/zero"))
            .unwrap_err()
            .contains("longer than")
    );
}

#[test]
fn a_slow_scrub_and_an_unknown_on_loss_are_refused() {
    let e = load(
        "[[reason]]\nname='relay'\n[removal_log]\non_loss='ignore'\n[store]\nscrub_rate='1KiB'",
        ZONE,
    )
    .unwrap_err();
    let parts = [
        "config.toml:4: removal_log.on_loss: 'ignore' is not accepted; write \"stop\" or \"restart\"",
        "config.toml:6: store.scrub_rate: ",
    ];
    for part in parts {
        assert!(e.0.iter().any(|l| l.starts_with(part)), "{part}: {e}");
    }
}

#[test]
fn files_of_the_daemon_are_beside_the_store_where_nothing_else_is_configured() {
    let config = load(
        "[[reason]]\nname='relay'\n[store]\npath='/var/lib/orbsd'",
        ZONE,
    )
    .unwrap();
    let store = Path::new("/var/lib/orbsd");
    assert_eq!(config.ledger.removals, Some(store.join("removals.log")));
    assert_eq!(
        (config.socket, config.probe.key),
        (store.join("orbsd.sock"), store.join("probe.key"))
    );
    // What an older version made in the folder of the configuration is used on.
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("zones")).unwrap();
    fs::create_dir_all(dir.path().join("data")).unwrap();
    fs::create_dir_all(dir.path().join("keys")).unwrap();
    fs::write(dir.path().join("zones/bl.toml"), ZONE).unwrap();
    fs::write(dir.path().join("data/removals.log"), "").unwrap();
    fs::write(dir.path().join("keys/probe"), "x".repeat(32)).unwrap();
    fs::write(
        dir.path().join("config.toml"),
        "[[reason]]\nname='relay'\n[store]\npath='store'",
    )
    .unwrap();
    let config = Config::load(&dir.path().join("config.toml")).unwrap();
    assert_eq!(
        config.ledger.removals,
        Some(dir.path().join("data/removals.log"))
    );
    assert_eq!(config.probe.key, dir.path().join("keys/probe"));
}

#[test]
fn a_reason_has_digests_of_one_form_and_no_names_beside_them() {
    let with = |second: &str| {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("zones")).unwrap();
        fs::write(
            dir.path().join("config.toml"),
            "[[reason]]\nname='relay'\n[[reason]]\nname='phish'",
        )
        .unwrap();
        let first = ZONE.replace("kind='address'", "kind='hash'\ndigest='sha1-hex'");
        fs::write(dir.path().join("zones/a.toml"), first).unwrap();
        fs::write(
            dir.path().join("zones/b.toml"),
            ZONE.replace("bl.orbs", "b.orbs")
                .replace("kind='address'", second),
        )
        .unwrap();
        Config::load(&dir.path().join("config.toml")).map_err(|e| e.to_string())
    };
    assert!(with("kind='address'").is_ok() && with("kind='hash'\ndigest='sha1-hex'").is_ok());
    for (second, file, part) in [
        (
            "kind='domain'",
            "a.toml:6: ",
            "published by the domain zone b.orbs.example too",
        ),
        (
            "kind='hash'\ndigest='md5-hex'",
            "b.toml:6: ",
            "has sha1-hex digests in the zone bl.orbs.example",
        ),
        ("kind='hash'", "b.toml: ", "needs the form of its names"),
        (
            "kind='hash'\ndigest='sha256-hex'",
            "b.toml:3: ",
            "use `sha256-base32`",
        ),
        (
            "kind='domain'\ndigest='md5-hex'",
            "b.toml:3: ",
            "remove the key",
        ),
    ] {
        let e = with(second).unwrap_err();
        assert!(e.contains(part) && e.contains(file), "{second}: {e}");
    }
}
#[test]
fn keys_are_read_from_files_that_are_shut() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("zones")).unwrap();
    fs::write(
        dir.path().join("zones/bl.toml"),
        format!("{ZONE}\ntransfer={{allow=['key:Mirror.']}}"),
    )
    .unwrap();
    let config =
        "[[reason]]\nname='relay'\n[[key]]\nname='mirror'\nalgorithm='hmac-sha512'\nfile='secret'";
    let load = |config: &str, file: &str, mode: u32| {
        fs::write(dir.path().join("config.toml"), config).unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, file).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Config::load(&dir.path().join("config.toml"))
            .map(|c| c.ledger.keys)
            .map_err(|e| e.to_string())
    };
    let secret = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n";
    for mode in [0o600, 0o640, 0o400] {
        let keys = load(config, secret, mode).unwrap();
        assert_eq!(keys.get("MIRROR").map(|k| k.secret().len()), Some(32));
    }
    for mode in [0o644, 0o660, 0o604, 0o602] {
        let e = load(config, secret, mode).unwrap_err();
        assert!(
            e.contains("secret: its mode is") && e.contains("chmod 600"),
            "{e}"
        );
    }
    assert!(
        load(config, "\n?\n", 0o600)
            .unwrap_err()
            .contains("secret:2: the secret is not base64")
    );
    assert!(
        load(config, &"x".repeat(5000), 0o600)
            .unwrap_err()
            .contains("longer than 4096")
    );
    assert!(
        load(&config.replace("512", "1"), secret, 0o600)
            .unwrap_err()
            .contains("`hmac-sha1` is not")
    );
    assert!(
        load(&config.replace("'secret'", "'nowhere'"), secret, 0o600)
            .unwrap_err()
            .contains("nowhere: ")
    );
    assert!(
        load(&config.replace("file=", "#"), secret, 0o600)
            .unwrap_err()
            .contains("key \"mirror\": file: it is missing")
    );
    assert!(
        load(&config.replace("'mirror'", "'mir ror'"), secret, 0o600)
            .unwrap_err()
            .contains("not a valid key name")
    );
    let twice = format!("{config}\n[[key]]\nname='Mirror.'\nfile='secret'");
    assert!(
        load(&twice, secret, 0o600)
            .unwrap_err()
            .contains("name: the key `mirror` is there twice")
    );
    assert!(
        load(&config.replace("'mirror'", "'other'"), secret, 0o600)
            .unwrap_err()
            .contains("no [[key]] `Mirror.`")
    );
}
