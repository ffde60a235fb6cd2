//! Reads and checks the zone files.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use super::{
    ReasonNames, bare,
    document::{Document, Report, Table, TableReport, read_text},
    renamed::ZONE_FILE,
    tables::File,
};
use crate::{
    index::{MissingAddress, ZoneSet, ZoneView, derive::PublishRules},
    model::{
        SourceId, Sources, Zone,
        names::{closest, suggest},
        zone::{Lint, lint_reasons},
    },
};

/// The keys that every zone file needs, and their form.
pub(super) const REQUIRED: [(&str, &str); 4] = [
    ("origin", "\"bl.example.org\""),
    ("kind", "\"address\", \"domain\", \"hash\" or \"catalog\""),
    ("ns", "[\"ns1.example.org\", \"ns2.example.org\"]"),
    ("contact", "\"hostmaster@example.org\""),
];

/// The keys that every entry of `publish` and every `[[record]]` needs, and their form.
const PUBLISH: [(&str, &str); 1] = [("code", "\"127.0.0.2\"")];
const PUBLISH_REASON: [(&str, &str); 1] = [("reason", "\"relay\"")];
const RECORD: [(&str, &str); 3] = [
    ("name", "\"@\""),
    ("type", "\"A\""),
    ("data", "\"192.0.2.1\""),
];

/// The zone with an origin or short name.
pub(super) fn find<'z>(zones: &'z [Zone], name: &str) -> Result<&'z Zone, String> {
    let is_named = |z: &&Zone| z.short_name == name || bare(&z.origin) == bare(name);
    zones.iter().find(is_named).ok_or_else(|| {
        let known: Vec<&str> = zones.iter().map(|z| z.short_name.as_str()).collect();
        format!("unknown zone `{name}`{}", suggest(name, &known))
    })
}

/// Reads all zone files of a folder, in order of their names.
pub(super) fn read(folder: &Path, reasons: &ReasonNames, report: &mut Report) -> Vec<Table<Zone>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries.flatten(),
        Err(e) => {
            report.file_error(folder, e);
            return Vec::new();
        }
    };
    let files = entries.map(|e| e.path());
    let mut files: Vec<PathBuf> = files
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    if files.is_empty() {
        report.file_warning(
            folder,
            "there is no zone file; add one (a name that ends in .toml), or no query is answered",
        );
    }
    let mut zones: Vec<Table<Zone>> = Vec::new();
    for path in files {
        let Some(zone) = read_one(&path, reasons, report) else {
            continue;
        };
        let mut earlier = zones.iter().filter(|z| !z.origin.is_empty());
        if let Some(other) = earlier.find(|z| bare(&z.origin) == bare(&zone.origin)) {
            let text = format_args!(
                "the file {}.toml has the origin {} too; remove or rename one",
                other.short_name, zone.origin
            );
            report.of(&zone.place).error("origin", text);
        }
        zones.push(zone);
    }
    zones
}

fn read_one(path: &Path, reasons: &ReasonNames, report: &mut Report) -> Option<Table<Zone>> {
    let text = read_text(path, report)?;
    let document = Document::parse(path, &text, report)?;
    let mut table = document.whole::<Zone>(ZONE_FILE, report);
    let name = path.file_stem().unwrap_or_default();
    table.value.short_name = name.to_string_lossy().into_owned();
    let Table { value: zone, place } = &mut table;
    let mut require = |prefix: &str, keys: &[(&str, &str)]| {
        for (key, form) in keys {
            place.require(&format!("{prefix}{key}"), form, report);
        }
    };
    require("", &REQUIRED);
    for (i, p) in zone.publish.iter().enumerate() {
        require(&format!("publish.{i}."), &PUBLISH);
        if p.all.is_empty() && p.any.is_empty() {
            require(&format!("publish.{i}."), &PUBLISH_REASON);
        }
    }
    (0..zone.records.len()).for_each(|i| require(&format!("record.{i}."), &RECORD));
    // A [[reason]] that could not be read may have the unknown name.
    let mut names = reasons.names.clone();
    if !reasons.complete {
        names.extend(zone.publish.iter().flat_map(|p| p.reasons().cloned()));
    }
    let mut report = report.of(place);
    for lint in zone.lint(&names) {
        match lint {
            Lint::Error(text) => with_key(&text, |key, text| report.error(key, text)),
            Lint::Warning(text) => with_key(&text, |key, text| report.warning(key, text)),
        }
    }
    Some(table)
}

/// Calls `then` with the key at the start of a lint and with the text after it. The key of
/// `publish 2: …` is `publish.1`.
fn with_key(text: &str, then: impl FnOnce(&str, &str)) {
    let is_key = |k: &str| {
        !k.is_empty()
            && k.bytes()
                .all(|b| b.is_ascii_lowercase() || b"_.".contains(&b))
    };
    let Some((key, rest)) = text.split_once(": ") else {
        return then("", text);
    };
    let entry = || {
        let (key, number) = key.rsplit_once(' ')?;
        let index = number.parse::<usize>().ok()?.checked_sub(1)?;
        is_key(key).then(|| format!("{key}.{index}"))
    };
    match entry() {
        _ if is_key(key) => then(key, rest),
        Some(key) => then(&key, rest),
        None => then("", text),
    }
}

/// Checks the zones together and against `config.toml`: their keys, and whether the daemon can serve
/// them.
pub(super) fn check(
    file: &File,
    zones: &[Table<Zone>],
    folder: &Path,
    reasons: &ReasonNames,
    report: &mut Report,
) {
    let keys: Vec<String> = file.key.iter().map(|k| bare(&k.name)).collect();
    let reason_texts = file.reason.iter().map(|r| (r.name.clone(), r.text.clone()));
    let texts: HashMap<String, String> = reason_texts.collect();
    let plain: Vec<Zone> = zones.iter().map(|z| (**z).clone()).collect();
    for (i, e) in lint_reasons(&plain) {
        with_key(&e, |key, text| report.of(&zones[i].place).error(key, text));
    }
    let rules = PublishRules::of(&plain, &reasons.known, &Sources::default());
    let has_rule = |z: &&Table<Zone>| z.publish.iter().any(|p| p.rule().is_some());
    if let (Err(e), Some(last)) = (rules, zones.iter().rfind(has_rule))
        && reasons.complete
    {
        report.of(&last.place).error("publish", e);
    }
    let has_client_ca = !file.tls.client_ca.as_os_str().is_empty();
    for zone in zones {
        let mut report = report.of(&zone.place);
        for key in zone.transfer.keys().filter(|k| !keys.contains(&bare(k))) {
            let near = suggest(key, &keys);
            let text = format_args!("there is no [[key]] `{key}` in config.toml{near}");
            report.error("transfer", text);
        }
        if let Some(name) = zone.transfer.names().next() {
            report.error_if(
                file.tls.listen.is_empty() || !has_client_ca,
                "transfer.allow",
                format_args!("no client can present a certificate; set `listen` and `client_ca` of [tls] in config.toml, or remove `cert:{name}`"),
            );
        }
    }
    warn_of_sources(file, zones, report);
    if !reasons.complete {
        return;
    }
    // The daemon prepares the zones in the same way. In a zone with another error, only the rules
    // and records are checked.
    let new = |zone: &Zone| ZoneView::new(zone, &reasons.known, &texts);
    let check = |zone: &Zone| new(zone).err();
    let mut views = Vec::new();
    for zone in zones {
        if report.has_error(&zone.place) {
            let bare = without_errors(zone, |z| new(z).is_ok());
            explain_rules(zone, &bare, check, &mut report.of(&zone.place));
            continue;
        }
        match new(zone) {
            Ok(view) => views.push(view),
            Err(e) => explain(zone, &e, check, &mut report.of(&zone.place)),
        }
    }
    if views.len() == zones.len() {
        match ZoneSet::new(views) {
            // Every zone has a view, so that their indexes are equal.
            Ok(set) => set
                .missing_addresses()
                .iter()
                .for_each(|m| warn_of_missing_address(&zones[m.zone], m, report)),
            Err(e) => report.file_error(folder, e),
        }
    }
}

/// Warns of the names of sources in rules that look like the misspelt name of a feed or of a
/// built-in source. Other names may be those of sources that are imported by command.
fn warn_of_sources(file: &File, zones: &[Table<Zone>], report: &mut Report) {
    let built_in = SourceId::DECIDING.into_iter();
    let feeds = file.feed.iter().map(|f| f.name.as_str());
    let known: Vec<&str> = built_in.chain(feeds).collect();
    for zone in zones {
        let mut report = report.of(&zone.place);
        for (i, p) in zone.publish.iter().enumerate() {
            let named = p.sources.iter().chain(p.weights.keys());
            for name in named.filter(|name| !known.contains(&name.as_str())) {
                if let Some(near) = closest(name, &known) {
                    let text = format_args!(
                        "there is no source `{name}` in config.toml; did you mean `{near}`?"
                    );
                    report.warning(&format!("publish.{i}"), text);
                }
            }
        }
    }
}

/// A valid zone without rules and records, with the kind of another zone and, if it is valid, its
/// origin.
fn without_errors(zone: &Zone, is_valid: impl Fn(&Zone) -> bool) -> Zone {
    let name = |n: &str| format!("{n}.invalid");
    let base = Zone {
        ns: vec![name("a"), name("b")],
        contact: format!("hostmaster@{}", name("zone")),
        kind: zone.kind,
        ..Zone::default()
    };
    let named = Zone {
        origin: zone.origin.clone(),
        ..base.clone()
    };
    if is_valid(&named) {
        named
    } else {
        Zone {
            origin: name("zone"),
            ..base
        }
    }
}

/// Warns of a name server inside a zone that has no address.
fn warn_of_missing_address(zone: &Table<Zone>, missing: &MissingAddress, report: &mut Report) {
    let next = match &missing.problem {
        Some(why) => format!("use another name: {why}"),
        None => format!(
            "add a [[record]] with name = \"{}\", type = \"A\" (or \"AAAA\") and its address as data",
            missing.record
        ),
    };
    let text = format!(
        "the name server {} is inside the zone {} and has no address; {next}",
        missing.name, zone.origin
    );
    report.of(&zone.place).warning("", text);
}

/// Reports why a zone cannot be served: each record and each rule that is wrong by itself, or else
/// the error itself.
fn explain(
    zone: &Zone,
    error: &str,
    check: impl Fn(&Zone) -> Option<String>,
    report: &mut TableReport<'_>,
) {
    let bare = Zone {
        records: Vec::new(),
        query: Default::default(),
        ..zone.clone()
    };
    if !explain_rules(zone, &bare, check, report) {
        with_key(error, |key, text| report.error(key, text));
    }
}

/// Reports each record and each rule of a zone that is an error in `bare`, which has neither. Returns
/// whether there was one.
fn explain_rules(
    zone: &Zone,
    bare: &Zone,
    check: impl Fn(&Zone) -> Option<String>,
    report: &mut TableReport<'_>,
) -> bool {
    let mut found = false;
    let mut explain = |key: &str, one: &Zone| {
        if let Some(e) = check(one) {
            found = true;
            report.error(key, e.strip_prefix("query.allow: ").unwrap_or(&e));
        }
    };
    for (i, record) in zone.records.iter().enumerate() {
        let records = vec![record.clone()];
        let one = Zone {
            records,
            ..bare.clone()
        };
        explain(&format!("record.{i}"), &one);
    }
    for rule in &zone.query.allow {
        let mut one = bare.clone();
        one.query.allow = vec![rule.clone()];
        explain("query.allow", &one);
    }
    found
}
