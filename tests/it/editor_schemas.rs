//! The JSON schemas of the configuration in contrib/ accept the shipped files and refuse wrong ones,
//! as a validator that is not ours judges.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    lab::{CONFIG, DELEGATING, DIGESTS, DOMAINS, MASKS, URIS, ZONE},
    logins::LOGINS,
    metrics::tester_tables,
    peers::peers,
};

const CONFIG_SCHEMA: &str = "contrib/orbsd-config.schema.json";
const ZONE_SCHEMA: &str = "contrib/orbsd-zone.schema.json";

/// Reads a schema and values as JSON, and prints the errors of each value, a list for each.
const VALIDATOR: &str = "import json, sys, jsonschema_rs
given = json.load(sys.stdin)
validator = jsonschema_rs.validator_for(given['schema'])
print(json.dumps([[str(e.message) for e in validator.iter_errors(v)] for v in given['values']]))
";

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The errors that a validator finds in each value.
fn errors(schema: &str, values: &[Value]) -> Vec<Vec<String>> {
    let schema: Value = serde_json::from_str(&read(schema)).unwrap();
    let mut python = Command::new(peers().join("venv/bin/python3"))
        .args(["-c", VALIDATOR])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let given = json!({ "schema": schema, "values": values }).to_string();
    let mut input = python.stdin.take().unwrap();
    input.write_all(given.as_bytes()).unwrap();
    drop(input);
    let out = python.wait_with_output().unwrap();
    assert!(out.status.success());
    serde_json::from_slice(&out.stdout).unwrap()
}

fn toml(text: &str) -> Value {
    let table: toml::Table = toml::from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    serde_json::to_value(table).unwrap()
}

/// The shipped configuration with the tables that are comments there.
fn with_commented_tables() -> String {
    let text = read("config.toml");
    let (head, tables) = text.split_once("# [[key]]").unwrap();
    let tables = format!("# [[key]]{tables}");
    let lines = tables.lines().map(|l| l.strip_prefix("# ").unwrap_or(l));
    format!("{head}{}", lines.collect::<Vec<_>>().join("\n"))
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn schemas_accept_the_shipped_files_and_those_of_tests() {
    let configurations = [
        read("config.toml"),
        with_commented_tables(),
        CONFIG.replace("PORT", "5300"),
        tester_tables(),
        "[admin]\nuids = { 1000 = \"anna\" }\n[[feed]]\nskip_errors = 3\n[[feed]]\nskip_errors = \"2%\"\n\
         [probe]\nsource_addresses = [\"192.0.2.1\", { address = \"192.0.2.2\", ehlo_name = \"a.example\" }]\n"
            .into(),
    ];
    let values: Vec<Value> = configurations.iter().map(|t| toml(t)).collect();
    for (text, found) in configurations.iter().zip(errors(CONFIG_SCHEMA, &values)) {
        assert!(found.is_empty(), "{found:?}\n{text}");
    }
    let shipped = fs::read_dir("zones").unwrap().map(|e| e.unwrap().path());
    let shipped = shipped.filter(|p| p.extension().is_some_and(|e| e == "toml"));
    let mut zones: Vec<String> = shipped.map(|p| read(&p.display().to_string())).collect();
    assert!(zones.len() >= 10, "{}", zones.len());
    zones.extend([ZONE, DOMAINS, URIS, DIGESTS, MASKS, DELEGATING, LOGINS].map(String::from));
    let values: Vec<Value> = zones.iter().map(|t| toml(t)).collect();
    for (text, found) in zones.iter().zip(errors(ZONE_SCHEMA, &values)) {
        assert!(found.is_empty(), "{found:?}\n{text}");
    }
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn schemas_refuse_unknown_keys_and_values_of_another_type() {
    let shipped = toml(&with_commented_tables());
    let (mut values, mut names) = (Vec::new(), Vec::new());
    let mut add = |name: String, value: Value| {
        names.push(name);
        values.push(value);
    };
    add("unknown table".into(), json!({ "mial": {} }));
    for (table, content) in shipped.as_object().unwrap() {
        let is_array = content.is_array();
        let keys = content.as_object().or_else(|| content[0].as_object());
        let entry = |key: &str, value: Value| {
            let entry = json!({ key: value });
            let entry = if is_array { json!([entry]) } else { entry };
            json!({ table: entry })
        };
        add(
            format!("unknown key of {table}"),
            entry("no_such_key", json!(1)),
        );
        add(format!("{table} of another form"), json!({ table: "text" }));
        for key in keys.unwrap().keys() {
            // No value is a list of lists of numbers.
            add(format!("{table}.{key}"), entry(key, json!([[1.5]])));
        }
    }
    add(
        "another word of a choice".into(),
        json!({ "log": { "format": "xml" } }),
    );
    add(
        "a number of bytes without a unit that exists".into(),
        json!({ "journal": { "max_size": "1 potato" } }),
    );
    assert!(names.len() > 200, "{}", names.len());
    for (name, found) in names.iter().zip(errors(CONFIG_SCHEMA, &values)) {
        assert!(!found.is_empty(), "{name} is accepted");
    }
    let zone = toml(ZONE);
    let with = |key: &str, value: Value| {
        let mut zone = zone.clone();
        zone[key] = value;
        zone
    };
    let mut without = zone.clone();
    without.as_object_mut().unwrap().remove("contact");
    let values = [
        without,
        with("kind", json!("adress")),
        with("oirgin", json!("x")),
        with(
            "publish",
            json!([{ "reason": "relay", "cod": "127.0.0.2" }]),
        ),
        with("ttl", json!(300)),
        with(
            "transfer",
            json!({ "notify": [{ "adress": "192.0.2.1:53" }] }),
        ),
        with("retire", json!({ "announce_at": "2026-10-01" })),
    ];
    for (value, found) in values.iter().zip(errors(ZONE_SCHEMA, &values)) {
        assert!(!found.is_empty(), "{value} is accepted");
    }
}
