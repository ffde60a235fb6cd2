//! `[[export]]` tables: files that the daemon keeps current.

use std::path::Path;

use super::{
    document::{Report, Table},
    tables::ExportTable,
};
use crate::{
    exports::ExportSettings,
    lists,
    model::{Zone, ZoneKind, names::suggest},
};

/// Reads the tables. Paths start at `folder`.
pub(super) fn read(
    tables: &[Table<ExportTable>],
    zones: &[Zone],
    folder: &Path,
    report: &mut Report,
) -> Vec<ExportSettings> {
    let bare = |o: &str| o.trim_end_matches('.').to_ascii_lowercase();
    let mut out: Vec<ExportSettings> = Vec::new();
    for e in tables {
        let place = &e.place;
        let zone = zones
            .iter()
            .find(|z| bare(&z.origin) == bare(&e.zone) || z.short_name == e.zone);
        if zone.is_none() {
            let known: Vec<&str> = zones.iter().map(|z| z.short_name.as_str()).collect();
            report.error(
                place,
                "zone",
                format_args!("unknown zone `{}`{}", e.zone, suggest(&e.zone, &known)),
            );
        }
        // For an unknown zone only what no kind of zone accepts is an error.
        let kinds = zone.map_or(
            vec![
                ZoneKind::Address,
                ZoneKind::Domain,
                ZoneKind::Hash,
                ZoneKind::Catalog,
            ],
            |z| vec![z.kind],
        );
        if let Err((key, why)) = check_format(e, &kinds) {
            report.error(place, key, why);
        }
        let path = folder.join(&e.path);
        if e.path.file_name().is_none() {
            report.error(place, "path", "name a file");
        }
        if e.interval.0 == 0 {
            report.error(
                place,
                "interval",
                "0s would check without a pause; write 1s or more",
            );
        }
        let (format, action) = (e.format.clone(), e.action.clone());
        out.extend(zone.map(|zone| ExportSettings {
            zone: bare(&zone.origin),
            format,
            action,
            path,
            every: e.interval,
        }));
    }
    out
}

/// Checks a format and an action against the possible kinds of the zone. The error is the key, and
/// why it is wrong for the first kind that has the format, or else for the first kind.
fn check_format(e: &ExportTable, kinds: &[ZoneKind]) -> Result<(), (&'static str, String)> {
    let has_format = |kind: &&ZoneKind| lists::write::check(&e.format, "", **kind).is_ok();
    let (key, kind) = match kinds.iter().find(has_format) {
        Some(kind) => ("action", kind),
        None => ("format", kinds.first().unwrap_or(&ZoneKind::Address)),
    };
    lists::write::check(&e.format, &e.action, *kind)
        .map(drop)
        .map_err(|why| (key, why))
}
