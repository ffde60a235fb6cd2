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
    model::text::counted,
};

/// The findings of a check, and the output of `orbsd check --json`.
#[derive(Default, Serialize)]
struct Findings {
    errors: Vec<String>,
    warnings: Vec<String>,
    /// Warnings about names that are not configured and have listings; errors without `--force`.
    #[serde(skip)]
    unconfigured: Vec<String>,
    zones: usize,
    /// The rejected names in the daemon's store; null if no daemon runs.
    names: Option<RejectedNamesResponse>,
}

impl Findings {
    /// Adds the names of the daemon's store that would be rejected today.
    fn add_names(&mut self, names: Result<RejectedNamesResponse, CliError>) {
        match names {
            Ok(names) => self.names = Some(names),
            Err(e) => self.warnings.push(format!(
                "the daemon did not compare the configuration with its store: {}",
                e.text()
            )),
        }
    }
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
    common.require_config()?;
    let mut found = match Config::load(&common.config) {
        Ok(config) => check_valid(&config),
        Err(e) => {
            let is_unreadable = e.0.iter().any(|line| line.contains(UNREADABLE));
            let by_daemon = is_unreadable.then(|| checked_by_daemon(common)).flatten();
            by_daemon.unwrap_or_else(|| Findings {
                errors: e.0,
                ..Findings::default()
            })
        }
    };
    let unconfigured = std::mem::take(&mut found.unconfigured).into_iter();
    match c.force {
        true => found.warnings.extend(unconfigured),
        false => found
            .errors
            .extend(unconfigured.map(|l| format!("{l}; `--force` accepts it"))),
    }
    if let Some(names) = &found.names {
        let collisions = names.collisions.iter();
        found.warnings.extend(names.classes.iter().map(rejected));
        found
            .warnings
            .extend(collisions.map(|c| format!("{c}; rename one of them")));
    }
    if common.json {
        output::json_line(&found);
    } else {
        found.warnings.iter().for_each(|w| println!("warning: {w}"));
        found.errors.iter().for_each(|e| print_error(e));
        if found.errors.is_empty() {
            println!(
                "{}: valid, {}",
                common.config.display(),
                counted(found.zones, "zone")
            );
        }
    }
    // The errors are printed above.
    match found.errors.is_empty() {
        true => Ok(()),
        false => Err(CliError::Usage(String::new())),
    }
}

/// Checks what a valid configuration points to: certificates, files, and the names in the store.
fn check_valid(config: &Config) -> Findings {
    let mut found = Findings {
        errors: config.tls.open().err().into_iter().collect(),
        warnings: [config.readable_files(), config.warnings.clone()].concat(),
        zones: config.ledger.zones.len(),
        ..Findings::default()
    };
    let feeds: Vec<&str> = config.feeds.iter().map(|f| f.name.as_str()).collect();
    let query = RejectedNamesQuery {
        feeds: feeds.join(","),
    };
    if let Some(mut client) = Client::running(&config.socket) {
        let names = client.get::<Page<UnconfiguredResponse>>("/v1/unconfigured");
        let names = names.and_then(|page| {
            found.unconfigured = page.items.into_iter().map(|l| l.message).collect();
            client.get(&with_query("/v1/names/rejected", &query))
        });
        found.add_names(names);
        return found;
    }
    match left_behind_while_stopped(config.store.clone(), &config.ledger) {
        Ok(left) => found.unconfigured = left.iter().map(ToString::to_string).collect(),
        Err(e) => found.warnings.push(format!(
            "the configuration was not compared with the names in the store: {e}"
        )),
    }
    found
}

/// The system's message about a file that this user cannot read.
pub(super) const UNREADABLE: &str = "Permission denied";

/// Asks the daemon to check its configuration, which this user cannot read. `None` if no daemon
/// answers.
fn checked_by_daemon(common: &Common) -> Option<Findings> {
    let mut client = Client::running(&common.socket().ok()?)?;
    let found: ConfigurationCheckResponse = client.get("/v1/configuration/check").ok()?;
    let note =
        "this user cannot read the whole configuration; the daemon has checked it".to_string();
    let mut out = Findings {
        errors: found.errors,
        warnings: [vec![note], found.warnings].concat(),
        zones: found.zones,
        ..Findings::default()
    };
    out.add_names(client.get("/v1/names/rejected"));
    Some(out)
}

/// A warning about names of one class.
fn rejected(class: &NameClassResponse) -> String {
    let (first, count) = (&class.first, class.count);
    let is_cut = count > first.len() as u64;
    let more = if is_cut { ", …" } else { "" };
    let names = counted(count, "name");
    if class.class == NameClassResponse::OF_ADDRESS {
        return format!(
            "the store has {names} by which clients ask for addresses, such as 7.100.51.45 for 45.51.100.7: {}{more}; where a domain zone of their reasons has `addresses`, a start or `orbsd reload` turns them into these addresses, and logs those that it cannot turn",
            first.join(", "),
        );
    }
    format!(
        "the store has {names} that would not be accepted today ({}): {}{more}; `orbsd delist NAME` removes one, and the next import of the list that it came from leaves it out",
        class.class,
        first.join(", "),
    )
}
