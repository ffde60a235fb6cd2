//! The JSON schemas of `config.toml` and of zone files, for editors. They are made from the types that
//! read these files, and from the comments of the shipped files, which describe each key. Only tests
//! make them, so that the program does not grow; `contrib/` has them as files.

use std::{borrow::Cow, collections::BTreeMap, fs};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

use super::{defaults, shapes, uncommented};
use crate::{
    config::{
        tables::RemovalPoliciesTable,
        values::{Bytes, Share, Uid},
        zones::REQUIRED,
    },
    imports::ErrorAllowance,
    model::{
        Digest, Time, Zone,
        time::Seconds,
        zone::{Notify, NotifyTable},
        zone_addresses::ZoneAddresses,
    },
    relay::TesterSource,
    tickets::RemovalPolicy,
};

const CONFIG: (&str, &str) = ("config.toml", "contrib/orbsd-config.schema.json");
const ZONE: (&str, &str) = ("zones/relays.toml", "contrib/orbsd-zone.schema.json");

/// Describes types whose values are not those that serde derives.
macro_rules! value_schema {
    ($($type:ident: $schema:expr;)*) => {
        $(impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let make: fn(&mut SchemaGenerator) -> Schema = $schema;
                make(generator)
            }
        })*
    };
}

value_schema! {
    Seconds: |_| json_schema!({ "type": "string", "examples": ["90d", "5m", "1h30m"] });
    Time: |_| json_schema!({ "type": "string", "examples": ["2026-12-31", "2026-12-31T00:00:00Z"] });
    Bytes: |_| json_schema!({ "type": "string", "pattern": "^\\s*[0-9]+\\s*(B|KiB|MiB|GiB)?\\s*$", "examples": ["512MiB", "1GiB"] });
    Share: |_| json_schema!({ "type": "string", "pattern": "^1/\\s*[0-9]+\\s*$", "examples": ["1/32"] });
    Uid: |_| json_schema!({ "type": "string", "pattern": "^[0-9]+$" });
    ErrorAllowance: |_| json_schema!({ "anyOf": [
        { "type": "boolean" },
        { "type": "integer", "minimum": 0 },
        { "type": "string", "examples": ["2%"] },
    ] });
    ZoneAddresses: |_| json_schema!({ "enum": [false, true, "both"] });
    Digest: |_| json_schema!({ "enum": [
        Digest::Md5Hex, Digest::Md5Base32, Digest::Sha1Hex, Digest::Sha1Base32, Digest::Sha224Hex,
        Digest::Sha224Base32, Digest::Sha256Base32,
    ] });
    Notify: |generator| {
        let table = generator.subschema_for::<NotifyTable>();
        json_schema!({ "anyOf": [{ "type": "string", "examples": ["192.0.2.53:53"] }, table] })
    };
    TesterSource: |_| json_schema!({ "anyOf": [
        { "type": "string", "examples": ["192.0.2.1"] },
        {
            "type": "object",
            "properties": {
                "address": { "type": "string", "description": "the address" },
                "ehlo_name": { "type": "string", "description": "the name in EHLO for this address" },
            },
            "required": ["address", "ehlo_name"],
            "additionalProperties": false,
        },
    ] });
    RemovalPoliciesTable: |generator| {
        let policy = generator.subschema_for::<RemovalPolicy>();
        json_schema!({ "type": "object", "additionalProperties": policy })
    };
}

/// The schema of a type, without the defaults that serde has for it.
pub(super) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut schema = Value::from(schema);
    tidy(&mut schema);
    schema
}

/// Removes what editors do not need: titles and defaults, and `null`, which TOML does not have.
fn tidy(schema: &mut Value) {
    let is_null = |v: &Value| v.is_null() || *v == json!("null") || *v == json!({ "type": "null" });
    if let Value::Object(keys) = schema {
        // The keys of `properties` are those of the file, which may be called `title`.
        for key in ["title", "default"] {
            if keys
                .get(key)
                .is_some_and(|v| key == "default" || v.is_string())
            {
                keys.remove(key);
            }
        }
        for key in ["type", "anyOf", "oneOf", "enum"] {
            let Some(Value::Array(choices)) = keys.get_mut(key) else {
                continue;
            };
            choices.retain(|c| !is_null(c));
            let [only] = &choices[..] else { continue };
            let only = only.clone();
            match (key, only) {
                (_, Value::Object(only)) => {
                    keys.remove(key);
                    keys.extend(only);
                }
                ("type", only) => _ = keys.insert(key.into(), only),
                _ => {}
            }
        }
    }
    match schema {
        Value::Object(keys) => keys.values_mut().for_each(tidy),
        Value::Array(values) => values.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// The comments of a shipped file: of each key, by its table and name, and of each table, by its name
/// and an empty one.
type Comments = BTreeMap<(String, String), String>;

fn comments(text: &str) -> Comments {
    let mut out = Comments::new();
    let (mut table, mut last, mut above) = (String::new(), None, String::new());
    for line in uncommented(text).lines() {
        let (code, comment) = split_comment(line);
        let comment = comment.trim().to_string();
        let key = code.split_once(" = ").map(|(key, _)| key);
        let place = if code.starts_with('[') {
            table = code.trim().trim_matches(['[', ']']).to_string();
            Some((table.clone(), String::new()))
        } else {
            let key = key.filter(|k| !k.contains(' '));
            key.map(|key| (table.clone(), key.to_string()))
        };
        if let Some(place) = place {
            // A key without a comment may have one above it; that of the file is not one of its keys.
            let is_key = !place.0.is_empty() && !place.1.is_empty();
            let own = if comment.is_empty() && is_key {
                above.clone()
            } else {
                comment
            };
            if !own.is_empty() {
                out.entry(place.clone()).or_insert(own);
            }
            (last, above) = (Some(place), String::new());
            continue;
        }
        // A comment may continue below its beginning.
        let continued = line.starts_with("          ") && !comment.is_empty();
        match last
            .as_ref()
            .filter(|_| continued)
            .and_then(|l| out.get_mut(l))
        {
            Some(text) => *text += &format!(" {comment}"),
            None => (last, above) = (None, comment),
        }
    }
    out
}

/// A line up to a `#` outside of quotes, and what follows it.
fn split_comment(line: &str) -> (&str, &str) {
    let mut quoted = false;
    for (i, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted => return (&line[..i], &line[i + 1..]),
            _ => {}
        }
    }
    (line, "")
}

/// Gives each key of a table the comment of the shipped file, or else the first sentence of its
/// documentation.
fn describe(schema: &mut Value, comments: &Comments, table: &str) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        return;
    };
    for (key, property) in properties {
        let documentation = property["description"].as_str().unwrap_or_default();
        let documentation = documentation.replace('\n', " ");
        let sentence = documentation.split(". ").next().unwrap_or_default();
        let text = match comments.get(&(table.to_string(), key.clone())) {
            Some(comment) => comment.clone(),
            None => sentence.trim_end_matches('.').replace("`None`", "unset"),
        };
        let text = text.trim_end_matches(',');
        assert!(!text.is_empty(), "`{key}` of [{table}] has no description");
        describe(property, comments, key);
        if let Some(entries) = property.get_mut("items") {
            describe(entries, comments, key);
        }
        property["description"] = json!(text);
    }
}

/// Replaces the description of a table by the comment of the shipped file.
fn describe_table(schema: &mut Value, comments: &Comments, table: &str) {
    match comments.get(&(table.to_string(), String::new())) {
        Some(comment) => schema["description"] = json!(comment),
        None => schema["description"] = json!(format!("the table [{table}]")),
    }
}

fn document(title: &str, shape: Value) -> Value {
    let mut out = json!({ "$schema": "http://json-schema.org/draft-07/schema#", "title": title });
    if let (Value::Object(out), Value::Object(shape)) = (&mut out, shape) {
        out.extend(shape);
    }
    out
}

/// The schema of `config.toml`.
fn config_schema() -> Value {
    let text = fs::read_to_string(CONFIG.0).unwrap();
    let comments = comments(&text);
    // The shipped file has the default of each key.
    let sample: toml::Table = toml::from_str(&text).unwrap();
    let sample = serde_json::to_value(sample).unwrap();
    let mut tables = Map::new();
    for shape in shapes(&defaults()) {
        let mut table = shape.schema;
        describe(&mut table, &comments, shape.name);
        describe_table(&mut table, &comments, shape.name);
        if shape.array {
            let description = table["description"].clone();
            table = json!({ "type": "array", "items": table, "description": description });
        } else if let Value::Object(properties) = &mut table["properties"] {
            for (key, property) in properties {
                if let Some(default) = sample[shape.name].get(key) {
                    property["default"] = default.clone();
                }
            }
        }
        tables.insert(shape.name.into(), table);
    }
    let mut policies = schema_of::<RemovalPoliciesTable>();
    describe_table(&mut policies, &comments, "removal_policies");
    tables.insert("removal_policies".into(), policies);
    let shape = json!({ "type": "object", "properties": tables, "additionalProperties": false });
    document("config.toml of orbsd", shape)
}

/// The schema of a zone file.
fn zone_schema() -> Value {
    let comments = comments(&fs::read_to_string(ZONE.0).unwrap());
    let mut zone = schema_of::<Zone>();
    describe(&mut zone, &comments, "");
    zone["description"] = json!("A file of the folder [zones] path");
    zone["required"] = REQUIRED.iter().map(|(key, _)| *key).collect();
    document("zone file of orbsd", zone)
}

#[test]
fn schemas_are_those_of_the_snapshot() {
    for (schema, (_, path)) in [(config_schema(), CONFIG), (zone_schema(), ZONE)] {
        let found = format!("{schema:#}\n");
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(path, &found).unwrap();
        }
        let expected = fs::read_to_string(path).unwrap_or_default();
        let first = found.lines().zip(expected.lines()).find(|(f, e)| f != e);
        assert!(
            found == expected,
            "the schema differs from {path} ({first:?}); `make snapshots` renews the file"
        );
    }
}

#[test]
fn descriptions_are_the_comments_of_the_shipped_files() {
    let config = config_schema();
    let of = |table: &str, key: &str| {
        let table = &config["properties"][table];
        let keys = table
            .get("properties")
            .unwrap_or(&table["items"]["properties"]);
        keys[key]["description"].as_str().unwrap().to_string()
    };
    assert_eq!(of("store", "path"), "the embedded database");
    // A comment of two lines, of a key that is a comment itself.
    assert!(of("feed", "max_age").ends_with("For a file, its own age counts"));
    assert_eq!(of("feed", "reason"), "the reason of all entries");
    assert!(of("removal_log", "on_loss").ends_with("and records the gap"));
    // A `#` in quotes is part of a value, and a comment above a key describes it.
    assert_eq!(split_comment("a = \"#\" # b"), ("a = \"#\" ", " b"));
    assert!(of("proofs", "provider_domains").starts_with("Domains of providers"));
    let zone = zone_schema();
    assert_eq!(
        zone["properties"]["query"]["properties"]["allow"]["description"],
        "prefixes of clients that may query"
    );
    assert_eq!(
        zone["properties"]["origin"]["description"],
        "The zone's name"
    );
}

#[test]
fn defaults_are_those_of_the_shipped_file() {
    let config = config_schema();
    let default =
        |table: &str, key: &str| config["properties"][table]["properties"][key]["default"].clone();
    assert_eq!(default("journal", "max_age"), "7d");
    assert_eq!(default("dns", "workers"), 0);
    assert_eq!(default("probe", "ports"), json!([25, 587, 465]));
    // Without a value in the file there is no default.
    assert_eq!(default("admin", "forwarded_header"), Value::Null);
}
