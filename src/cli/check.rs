//! `orbsd check`.

use serde::Serialize;

use super::{
    CliError, Common,
    client::{Client, with_query},
    error::print_error,
    output,
};
use crate::{
    api::{
        ConfigurationCheckResponse, NameClassResponse, Page, RejectedNamesQuery,
        RejectedNamesResponse, UnconfiguredResponse,
    },
    config::Config,
    ledger::left_behind_while_stopped,
};

/// What `orbsd check --json` prints.
#[derive(Serialize)]
struct Report {
    errors: Vec<String>,
    warnings: Vec<String>,
    zones: usize,
    /// The rejected names in the daemon's store; null if no daemon runs.
    names: Option<RejectedNamesResponse>,
}

/// Check the configuration and all zones
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// Accept a configuration without a reason, feed or zone that has listings
    #[arg(long)]
    force: bool,
}

/// Reports errors (exit code 2) and warnings (exit code 0). A running daemon reports the names in its
/// store that would not be accepted today. If no daemon runs, the store is compared with the names
/// of the configuration.
pub(super) fn run(common: &Common, c: &Check) -> Result<(), CliError> {
    let mut left = Vec::new();
    let (mut errors, mut warnings, zones, names) = match Config::load(&common.config) {
        Ok(c) => {
            let errors: Vec<String> = c.secure.open().err().into_iter().collect();
            let feeds: Vec<&str> = c.feeds.iter().map(|f| f.name.as_str()).collect();
            let query = RejectedNamesQuery {
                feeds: feeds.join(","),
            };
            let path = with_query("/v1/names/rejected", &query);
            let names = Client::running(&c.socket).map(|mut client| {
                let found: Page<UnconfiguredResponse> = client.get("/v1/unconfigured")?;
                left.extend(found.items.into_iter().map(|l| l.message));
                client.get(&path)
            });
            let mut doubtful = [c.readable_files(), c.warnings.clone()].concat();
            if names.is_none() {
                match left_behind_while_stopped(c.store.clone(), &c.ledger) {
                    Ok(found) => left.extend(found.iter().map(ToString::to_string)),
                    Err(e) => doubtful.push(format!(
                        "the configuration was not compared with the names in the store: {e}"
                    )),
                }
            }
            (errors, doubtful, c.ledger.zones.len(), names)
        }
        Err(e) => match e
            .0
            .iter()
            .any(|line| line.contains(UNREADABLE))
            .then(|| checked_by_daemon(common))
            .flatten()
        {
            Some(found) => found,
            None => (e.0, Vec::new(), 0, None),
        },
    };
    let names = match names {
        Some(Ok(found)) => Some(found),
        Some(Err(e)) => {
            warnings.push(format!(
                "the daemon did not compare the configuration with its store: {}",
                e.text()
            ));
            None
        }
        None => None,
    };
    match c.force {
        true => warnings.append(&mut left),
        false => errors.extend(
            left.into_iter()
                .map(|l| format!("{l}; `--force` accepts it")),
        ),
    }
    if let Some(names) = &names {
        warnings.extend(names.classes.iter().map(rejected));
        let collisions = names.collisions.iter();
        warnings.extend(collisions.map(|c| format!("{c}; rename one of them")));
    }
    let failed = !errors.is_empty();
    if common.json {
        output::json_line(&Report {
            errors,
            warnings,
            zones,
            names,
        });
    } else {
        warnings.iter().for_each(|w| println!("warning: {w}"));
        errors.iter().for_each(|e| print_error(e));
        if !failed {
            println!("{}: valid, {zones} zones", common.config.display());
        }
    }
    // The errors are printed above.
    if failed {
        Err(CliError::Usage(String::new()))
    } else {
        Ok(())
    }
}

/// The system's message about a file that this user cannot read.
const UNREADABLE: &str = "Permission denied";

/// Errors, warnings, the number of zones, and the rejected names in the store.
type Checked = (
    Vec<String>,
    Vec<String>,
    usize,
    Option<Result<RejectedNamesResponse, CliError>>,
);

/// Asks the daemon to check its configuration, which this user cannot read. `None` if no daemon
/// answers.
fn checked_by_daemon(common: &Common) -> Option<Checked> {
    let mut client = Client::running(&common.socket().ok()?)?;
    let found: ConfigurationCheckResponse = client.get("/v1/configuration/check").ok()?;
    let note =
        "this user cannot read the whole configuration; the daemon has checked it".to_string();
    let names = client.get("/v1/names/rejected");
    Some((
        found.errors,
        [vec![note], found.warnings].concat(),
        found.zones,
        Some(names),
    ))
}

/// A warning about names of one class.
fn rejected(class: &NameClassResponse) -> String {
    let (first, count) = (&class.first, class.count);
    let more = if count > first.len() as u64 {
        ", …"
    } else {
        ""
    };
    let names = if count == 1 { "name" } else { "names" };
    format!(
        "the store has {count} {names} that would not be accepted today ({}): {}{more}; `orbsd delist NAME` removes one, and the next import of the list that it came from leaves it out",
        class.class,
        first.join(", "),
    )
}
