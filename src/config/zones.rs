//! The zone files.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use super::{
    ReasonNames,
    document::{Document, Report, Table, read_text},
    renamed::ZONE_FILE,
    tables::File,
};
use crate::{
    index::{MissingAddress, ZoneSet, ZoneView},
    model::{
        Zone,
        names::suggest,
        zone::{Lint, lint_reasons},
    },
};

/// The keys that every zone file needs, and their form.
const REQUIRED: [(&str, &str); 4] = [
    ("origin", "\"bl.example.org\""),
    ("kind", "\"address\", \"domain\", \"hash\" or \"catalog\""),
    ("ns", "[\"ns1.example.org\", \"ns2.example.org\"]"),
    ("contact", "\"hostmaster@example.org\""),
];

fn bare(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Reads all zone files of a folder, in order of their names.
pub(super) fn read(folder: &Path, reasons: &ReasonNames, report: &mut Report) -> Vec<Table<Zone>> {
    let mut files: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(dir) => dir
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == "toml"))
            .collect(),
        Err(e) => {
            report.file_error(folder, e);
            return Vec::new();
        }
    };
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
        if let Some(other) = zones
            .iter()
            .find(|z| bare(&z.origin) == bare(&zone.origin) && !zone.origin.is_empty())
        {
            let text = format!(
                "the file {}.toml has the origin {} too; remove or rename one",
                other.short_name, zone.origin
            );
            report.error(&zone.place, "origin", text);
        }
        zones.push(zone);
    }
    zones
}

fn read_one(path: &Path, reasons: &ReasonNames, report: &mut Report) -> Option<Table<Zone>> {
    let text = read_text(path, report)?;
    let document = Document::parse(path, &text, report)?;
    let mut table = document.whole::<Zone>(ZONE_FILE, report);
    table.value.short_name = path
        .file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default();
    for (key, form) in REQUIRED {
        table.place.require(key, form, report);
    }
    for i in 0..table.publish.len() {
        table
            .place
            .require(&format!("publish.{i}.reason"), "\"relay\"", report);
        table
            .place
            .require(&format!("publish.{i}.code"), "\"127.0.0.2\"", report);
    }
    for i in 0..table.records.len() {
        for (key, form) in [
            ("name", "\"@\""),
            ("type", "\"A\""),
            ("data", "\"192.0.2.1\""),
        ] {
            table
                .place
                .require(&format!("record.{i}.{key}"), form, report);
        }
    }
    // If a [[reason]] could not be read, an unknown name may be its own.
    let mut names = reasons.names.clone();
    if !reasons.complete {
        names.extend(table.publish.iter().map(|p| p.reason.clone()));
    }
    for lint in table.lint(&names) {
        match lint {
            Lint::Error(text) => with_key(&text, |key, text| report.error(&table.place, key, text)),
            Lint::Warning(text) => {
                with_key(&text, |key, text| report.warning(&table.place, key, text));
            }
        }
    }
    Some(table)
}

/// Divides the text of a lint into its key (`publish 2` is the second entry of `publish`) and the
/// rest.
fn with_key(text: &str, then: impl FnOnce(&str, &str)) {
    let is_key = |k: &str| {
        !k.is_empty()
            && k.bytes()
                .all(|b| b.is_ascii_lowercase() || b"_.".contains(&b))
    };
    match text.split_once(": ") {
        Some((key, rest)) if is_key(key) => then(key, rest),
        Some((key, rest)) => match key
            .rsplit_once(' ')
            .and_then(|(k, n)| Some((k, n.parse::<usize>().ok()?.checked_sub(1)?)))
        {
            Some((key, i)) if is_key(key) => then(&format!("{key}.{i}"), rest),
            _ => then("", text),
        },
        None => then("", text),
    }
}

/// Checks what needs more than a zone's own file: its keys, and whether the daemon can serve it.
pub(super) fn check(
    file: &File,
    zones: &[Table<Zone>],
    folder: &Path,
    reasons: &ReasonNames,
    report: &mut Report,
) {
    let keys: Vec<String> = file.key.iter().map(|k| bare(&k.name)).collect();
    let texts: HashMap<String, String> = file
        .reason
        .iter()
        .map(|r| (r.name.clone(), r.text.clone()))
        .collect();
    let plain: Vec<Zone> = zones.iter().map(|z| (**z).clone()).collect();
    for (i, e) in lint_reasons(&plain) {
        with_key(&e, |key, text| report.error(&zones[i].place, key, text));
    }
    for zone in zones {
        let place = &zone.place;
        for key in zone.transfer.keys().filter(|k| !keys.contains(&bare(k))) {
            report.error(
                place,
                "transfer",
                format_args!(
                    "there is no [[key]] `{key}` in config.toml{}",
                    suggest(key, &keys)
                ),
            );
        }
        if let Some(name) = zone
            .transfer
            .names()
            .next()
            .filter(|_| file.tls.listen.is_empty() || file.tls.client_ca.as_os_str().is_empty())
        {
            let what = "no client can present a certificate; set `listen` and `client_ca` of [tls] in config.toml";
            report.error(
                place,
                "transfer.allow",
                format_args!("{what}, or remove `cert:{name}`"),
            );
        }
    }
    // Reports the errors that the daemon would find when it prepares the zones. For a zone with
    // another error only the rules are checked.
    let mut views = Vec::new();
    for zone in zones.iter().filter(|_| reasons.complete) {
        let new = |zone: &Zone| ZoneView::new(zone, &reasons.known, &texts);
        if report.has_error(&zone.place) {
            explain_rules(
                zone,
                &without_errors(zone, |z| new(z).is_ok()),
                |z| new(z).err(),
                report,
            );
            continue;
        }
        match new(zone) {
            Ok(view) => views.push(view),
            Err(e) => explain(zone, &e, |zone| new(zone).err(), report),
        }
    }
    if reasons.complete && views.len() == zones.len() {
        match ZoneSet::new(views) {
            // Every zone has a view, so the numbers are the same.
            Ok(set) => set
                .missing_addresses()
                .iter()
                .for_each(|m| warn_of_missing_address(&zones[m.zone], m, report)),
            Err(e) => report.file_error(folder, e),
        }
    }
}

/// A zone with the origin and the kind of another one, where they can be used, and without its
/// rules.
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
    report.warning(&zone.place, "", text);
}

/// Reports why a zone cannot be served: each fixed record and each rule that is wrong by itself, or
/// else the error as it is.
fn explain(
    zone: &Table<Zone>,
    error: &str,
    check: impl Fn(&Zone) -> Option<String>,
    report: &mut Report,
) {
    let bare = Zone {
        records: Vec::new(),
        query: Default::default(),
        ..(**zone).clone()
    };
    if !explain_rules(zone, &bare, check, report) {
        with_key(error, |key, text| report.error(&zone.place, key, text));
    }
}

/// Reports each fixed record and each rule of a zone that is wrong in `bare`, which has none
/// itself. Returns whether there was one.
fn explain_rules(
    zone: &Table<Zone>,
    bare: &Zone,
    check: impl Fn(&Zone) -> Option<String>,
    report: &mut Report,
) -> bool {
    let mut found = false;
    let mut wrong = |key: &str, e: String| {
        found = true;
        report.error(
            &zone.place,
            key,
            e.strip_prefix("query.allow: ").unwrap_or(&e),
        );
    };
    for (i, record) in zone.records.iter().enumerate() {
        check(&Zone {
            records: vec![record.clone()],
            ..bare.clone()
        })
        .into_iter()
        .for_each(|e| wrong(&format!("record.{i}"), e));
    }
    for rule in &zone.query.allow {
        let mut one = bare.clone();
        one.query.allow = vec![rule.clone()];
        check(&one)
            .into_iter()
            .for_each(|e| wrong("query.allow", e));
    }
    found
}
