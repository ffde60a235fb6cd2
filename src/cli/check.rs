//! `orbsd check`.

use serde_json::json;

use super::{Common, Failure};
use crate::config::Config;

/// Reads everything and says what is wrong (exit code 2) or doubtful (exit code 0).
pub(super) fn run(common: &Common) -> Result<(), Failure> {
    let (errors, warnings, zones) = match Config::load(&common.config) {
        Ok(c) => (c.secure.open().err().into_iter().collect(), c.warnings, c.ledger.zones.len()),
        Err(e) => (e.0, Vec::new(), 0),
    };
    if common.json {
        println!("{}", json!({"errors": errors, "warnings": warnings, "zones": zones}));
    } else {
        warnings.iter().for_each(|w| println!("warning: {w}"));
        if errors.is_empty() {
            println!("{}: sound, {zones} zones", common.config.display());
        }
    }
    match (errors.is_empty(), common.json) {
        (true, _) => Ok(()),
        (false, true) => Err(Failure::Usage(String::new())), // the document has said it
        (false, false) => Err(Failure::Usage(errors.join("\norbsd: "))),
    }
}
