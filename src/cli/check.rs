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
    let Checked {
        mut errors,
        mut warnings,
        mut left,
        zones,
        names,
    } = match Config::load(&common.config) {
        Ok(config) => check_valid(&config),
        Err(e) => {
            let is_unreadable = e.0.iter().any(|line| line.contains(UNREADABLE));
            let by_daemon = is_unreadable.then(|| checked_by_daemon(common)).flatten();
            by_daemon.unwrap_or_else(|| Checked {
                errors: e.0,
                ..Checked::default()
            })
        }
    };
    let names = names.transpose().unwrap_or_else(|e| {
        warnings.push(format!(
            "the daemon did not compare the configuration with its store: {}",
            e.text()
        ));
        None
    });
    match c.force {
        true => warnings.append(&mut left),
        false => errors.extend(left.iter().map(|l| format!("{l}; `--force` accepts it"))),
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
    match failed {
        true => Err(CliError::Usage(String::new())),
        false => Ok(()),
    }
}

/// Checks what a valid configuration points to: certificates, files, and the names in the store.
fn check_valid(config: &Config) -> Checked {
    let mut found = Checked {
        errors: config.tls.open().err().into_iter().collect(),
        warnings: [config.readable_files(), config.warnings.clone()].concat(),
        zones: config.ledger.zones.len(),
        ..Checked::default()
    };
    let feeds: Vec<&str> = config.feeds.iter().map(|f| f.name.as_str()).collect();
    let query = RejectedNamesQuery {
        feeds: feeds.join(","),
    };
    if let Some(mut client) = Client::running(&config.socket) {
        let unconfigured = client.get::<Page<UnconfiguredResponse>>("/v1/unconfigured");
        found.names = Some(unconfigured.and_then(|page| {
            found.left = page.items.into_iter().map(|l| l.message).collect();
            client.get(&with_query("/v1/names/rejected", &query))
        }));
        return found;
    }
    match left_behind_while_stopped(config.store.clone(), &config.ledger) {
        Ok(left) => found.left = left.iter().map(ToString::to_string).collect(),
        Err(e) => found.warnings.push(format!(
            "the configuration was not compared with the names in the store: {e}"
        )),
    }
    found
}

/// The system's message about a file that this user cannot read.
const UNREADABLE: &str = "Permission denied";

/// The findings of a check.
#[derive(Default)]
struct Checked {
    errors: Vec<String>,
    warnings: Vec<String>,
    /// Names that are not configured and have listings.
    left: Vec<String>,
    zones: usize,
    /// The rejected names in the store of a running daemon.
    names: Option<Result<RejectedNamesResponse, CliError>>,
}

/// Asks the daemon to check its configuration, which this user cannot read. `None` if no daemon
/// answers.
fn checked_by_daemon(common: &Common) -> Option<Checked> {
    let mut client = Client::running(&common.socket().ok()?)?;
    let found: ConfigurationCheckResponse = client.get("/v1/configuration/check").ok()?;
    let note =
        "this user cannot read the whole configuration; the daemon has checked it".to_string();
    Some(Checked {
        errors: found.errors,
        warnings: [vec![note], found.warnings].concat(),
        zones: found.zones,
        names: Some(client.get("/v1/names/rejected")),
        ..Checked::default()
    })
}

/// A warning about names of one class.
fn rejected(class: &NameClassResponse) -> String {
    let (first, count) = (&class.first, class.count);
    let is_cut = count > first.len() as u64;
    let more = if is_cut { ", …" } else { "" };
    let names = if count == 1 { "name" } else { "names" };
    format!(
        "the store has {count} {names} that would not be accepted today ({}): {}{more}; `orbsd delist NAME` removes one, and the next import of the list that it came from leaves it out",
        class.class,
        first.join(", "),
    )
}
