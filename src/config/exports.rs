//! `[[export]]` tables: zones that the daemon writes to files.

use std::path::Path;

use super::{
    bare,
    document::{Report, Table},
    tables::ExportTable,
    values::NO_PAUSE,
    zones::find as find_zone,
};
use crate::{
    exports::ExportSettings,
    lists,
    model::{Zone, ZoneKind},
};

/// All kinds of zones.
const KINDS: [ZoneKind; 4] = [
    ZoneKind::Address,
    ZoneKind::Domain,
    ZoneKind::Hash,
    ZoneKind::Catalog,
];

/// Reads the tables. Paths start at `folder`.
pub(super) fn read(
    tables: &[Table<ExportTable>],
    zones: &[Zone],
    folder: &Path,
    report: &mut Report,
) -> Vec<ExportSettings> {
    let mut out: Vec<ExportSettings> = Vec::new();
    for e in tables {
        let mut table = report.of(&e.place);
        let zone = table.value("zone", find_zone(zones, &e.zone));
        // The kind of an unknown zone is unknown too: a format is an error if no kind has it.
        let kinds = zone.map_or(KINDS.to_vec(), |z| vec![z.kind]);
        if let Err((key, why)) = check_format(e, &kinds) {
            table.error(key, why);
        }
        table.error_if(
            zone.is_some_and(Zone::is_volatile),
            "zone",
            "the log-ins of a volatile zone are not exported; remove the [[export]]",
        );
        table.error_if(e.path.file_name().is_none(), "path", "name a file");
        table.error_if(e.interval.0 == 0, "interval", NO_PAUSE);
        out.extend(zone.map(|zone| ExportSettings {
            zone: bare(&zone.origin),
            format: e.format.clone(),
            action: e.action.clone(),
            path: folder.join(&e.path),
            every: e.interval,
        }));
    }
    out
}

/// Checks a format and an action for the possible kinds of the zone. The error is the key and the
/// message: that of the first kind that has the format, or else that of the first kind.
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
