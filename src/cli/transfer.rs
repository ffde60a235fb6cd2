//! `orbsd transfer`.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;

use super::{
    CliError, Common,
    import::{bar, print, send},
    output,
};
use crate::{
    api::ImportQuery,
    exports::replace,
    feeds::{ZoneText, wire::Server},
    model::TsigKey,
};

/// Transfer a zone of another server once (AXFR), and import or write it
#[derive(Debug, Args)]
pub(super) struct Transfer {
    /// Name of the zone
    zone: String,
    /// Server: address or name, with a port [default port: 53]
    #[arg(long)]
    from: String,
    /// TSIG key: name of a [[key]], or file with a `key` clause
    #[arg(long)]
    key: Option<String>,
    /// Source of the listings [default: the name of the zone]
    #[arg(long)]
    source: Option<String>,
    /// Reason of all entries
    #[arg(long, required_unless_present_any = ["code_zone", "output"], conflicts_with = "code_zone")]
    reason: Option<String>,
    /// Own zone whose codes give the reasons of the A values
    #[arg(long, value_name = "ZONE")]
    code_zone: Option<String>,
    /// Show the changes, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Accept an empty zone, which ends all listings of the source
    #[arg(long)]
    allow_empty: bool,
    /// Accept N records with errors, or P% of the entries [default: none; without a value: 5 %, at least 3]
    #[arg(long, value_name = "N|P%", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    skip_errors: Option<String>,
    /// Accept a zone that is much smaller than the last one
    #[arg(long)]
    allow_shrink: bool,
    /// Accept a zone that is much larger than the last one
    #[arg(long)]
    allow_growth: bool,
    /// Accept special-purpose ranges
    #[arg(long)]
    allow_special_ranges: bool,
    /// End all listings if the zone is not imported again for this time [default: never]
    #[arg(long)]
    max_age: Option<String>,
    /// Write a master file instead of importing; `-` is standard output
    #[arg(long, short, conflicts_with_all = ["source", "reason", "code_zone", "dry_run", "max_age"])]
    output: Option<PathBuf>,
}

pub(super) fn run(common: &Common, c: &Transfer) -> Result<(), CliError> {
    let server =
        Server::new(&c.from, &c.zone, key(common, c.key.as_deref())?).map_err(CliError::Usage)?;
    let bar = bar(0);
    let (zone, display) = (server.zone.clone(), bar.clone());
    let (text, fetch) = ZoneText::start(server, Box::new(move |n| display.inc(n as u64)));
    let result = match &c.output {
        Some(to) => write(common, c, to, text),
        None => {
            // The bar counts the bytes of the messages, and not those of the text again.
            let (query, readers) = (query(c, &zone), vec![(zone, Box::new(text) as _)]);
            let done = send(common, &query, readers, &ProgressBar::hidden());
            done.and_then(|done| common.print(&done, |done| print(done, c.dry_run)))
        }
    };
    bar.finish_and_clear();
    match fetch.join() {
        // The import failed because the transfer did: the error of the transfer says why.
        Ok(Err(why)) if result.is_err() => {
            Err(CliError::Refused(format!("{why}; nothing was changed")))
        }
        _ => result,
    }
}

/// The key with a name in the configuration, or the key in a file.
fn key(common: &Common, name: Option<&str>) -> Result<Option<std::sync::Arc<TsigKey>>, CliError> {
    let Some(name) = name else { return Ok(None) };
    if Path::new(name).is_file() {
        return crate::config::keys::of_file(Path::new(name))
            .map(|k| Some(k.into()))
            .map_err(CliError::Usage);
    }
    let keys = common.load()?.ledger.keys;
    let key = keys.get(name).cloned().ok_or_else(|| {
        CliError::Usage(format!(
            "`{name}` is neither a [[key]] of {} nor a file",
            common.config.display()
        ))
    });
    key.map(Some)
}

/// The query of the import: the zone is sent as a master file.
fn query(c: &Transfer, zone: &str) -> ImportQuery {
    ImportQuery {
        source: c.source.clone().unwrap_or_else(|| zone.into()),
        format: "master".into(),
        origin: Some(zone.into()),
        reason: c.reason.clone(),
        code_zone: c.code_zone.clone(),
        max_age: c.max_age.clone(),
        skip_errors: c.skip_errors.clone(),
        dry_run: c.dry_run,
        allow_empty: c.allow_empty,
        allow_shrink: c.allow_shrink,
        allow_growth: c.allow_growth,
        special: c.allow_special_ranges,
        ..ImportQuery::default()
    }
}

/// Writes the zone to a file, which is replaced when it is complete, or to standard output.
fn write(common: &Common, c: &Transfer, to: &Path, mut text: ZoneText) -> Result<(), CliError> {
    let mut copy = |out: &mut dyn Write| -> Result<(), CliError> {
        io::copy(&mut text, out)?;
        Ok(out.flush()?)
    };
    if to == Path::new("-") {
        return copy(&mut output::content());
    }
    replace(to, super::umask::user_file_mode(to), |file| {
        copy(&mut io::BufWriter::new(file))
    })?;
    if common.json {
        output::json_line(&json!({"zone": c.zone, "format": "master", "file": to}));
    }
    Ok(())
}
