//! `[[export]]`: files that are kept current.

use std::path::Path;

use super::{
    document::{Report, Table},
    tables::ExportTable,
};
use crate::{
    exports::Settings,
    lists,
    model::{Zone, names::suggest},
};

/// Reads the tables. Paths start at `folder`.
pub(super) fn read(
    tables: &[Table<ExportTable>],
    zones: &[Zone],
    folder: &Path,
    report: &mut Report,
) -> Vec<Settings> {
    let bare = |o: &str| o.trim_end_matches('.').to_ascii_lowercase();
    let mut out: Vec<Settings> = Vec::new();
    for e in tables {
        let place = &e.place;
        let Some(zone) = zones
            .iter()
            .find(|z| bare(&z.origin) == bare(&e.zone) || z.stem == e.zone)
        else {
            let known: Vec<&str> = zones.iter().map(|z| z.stem.as_str()).collect();
            report.error(
                place,
                "zone",
                format_args!("unknown zone `{}`{}", e.zone, suggest(&e.zone, &known)),
            );
            continue;
        };
        if let Err(why) = lists::write::check(&e.format, &e.action, zone.kind) {
            let key = if lists::write::check(&e.format, "", zone.kind).is_ok() {
                "action"
            } else {
                "format"
            };
            report.error(place, key, why);
        }
        let path = folder.join(&e.path);
        if e.path.file_name().is_none() {
            report.error(place, "path", "it has to name a file");
        }
        if out.iter().any(|o| o.path == path) {
            report.error(
                place,
                "path",
                format_args!("another [[export]] writes {} too", e.path.display()),
            );
        }
        if e.every.0 == 0 {
            report.error(place, "every", "0s would never end; write 1s or more");
        }
        let (format, action) = (e.format.clone(), e.action.clone());
        out.push(Settings {
            zone: bare(&zone.origin),
            format,
            action,
            path,
            every: e.every,
        });
    }
    out
}
