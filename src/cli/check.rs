//! `orbsd check`.

use hyper::Method;
use serde_json::{Value, json};

use super::{
    Common, Failure,
    client::{Client, bytes, escape},
    failure::print_error,
    text::{list, text},
};
use crate::{config::Config, ledger::left_behind_while_stopped};

/// Read the configuration and all zones, and report what is wrong or doubtful
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// Accept a configuration that no longer has a reason, feed or zone which has listings
    #[arg(long)]
    force: bool,
}

/// Reads everything and says what is wrong (exit code 2) or doubtful (exit code 0). A daemon that
/// runs is asked for names in its store that would not be accepted today. Where none runs the store
/// is read for names that the configuration has lost.
pub(super) fn run(common: &Common, c: &Check) -> Result<(), Failure> {
    let mut left = Vec::new();
    let (mut errors, mut warnings, zones, names) = match Config::load(&common.config) {
        Ok(c) => {
            let errors: Vec<String> = c.secure.open().err().into_iter().collect();
            let feeds: Vec<String> = c.feeds.iter().map(|f| escape(&f.name)).collect();
            let path = format!("/v1/names/rejected?feeds={}", feeds.join(","));
            let names = Client::running(&c.socket).map(|mut client| {
                let found = client.json(Method::GET, "/v1/unconfigured", bytes(""))?;
                left.extend(list(&found["items"]).map(|l| text(&l["message"]).to_string()));
                client.json(Method::GET, &path, bytes(""))
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
            (errors, doubtful, c.ledger.zones.len() as u64, names)
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
        Some(Ok(found)) => found,
        Some(Err(
            Failure::No(why) | Failure::Usage(why) | Failure::List(why) | Failure::Code(_, why),
        )) => {
            warnings.push(format!(
                "the daemon did not compare the configuration with its store: {why}"
            ));
            Value::Null
        }
        None => Value::Null,
    };
    match c.force {
        true => warnings.append(&mut left),
        false => errors.extend(
            left.into_iter()
                .map(|l| format!("{l}; `--force` accepts it")),
        ),
    }
    warnings.extend(list(&names["classes"]).map(rejected));
    warnings.extend(list(&names["collisions"]).map(|c| format!("{}; rename one of them", text(c))));
    if common.json {
        println!(
            "{}",
            json!({"errors": errors, "warnings": warnings, "zones": zones, "names": names})
        );
    } else {
        warnings.iter().for_each(|w| println!("warning: {w}"));
        errors.iter().for_each(|e| print_error(e));
        if errors.is_empty() {
            println!("{}: sound, {zones} zones", common.config.display());
        }
    }
    // The errors are printed above.
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Failure::Usage(String::new()))
    }
}

/// How the system says that a file may not be read.
const UNREADABLE: &str = "Permission denied";

/// Errors, warnings, how many zones there are, and the names in the store that would not be
/// accepted today.
type Checked = (
    Vec<String>,
    Vec<String>,
    u64,
    Option<Result<Value, Failure>>,
);

/// What the daemon finds in its configuration, where this user cannot read all of it. `None` where
/// no daemon answers.
fn checked_by_daemon(common: &Common) -> Option<Checked> {
    let mut client = Client::running(&common.socket().ok()?)?;
    let found = client
        .json(Method::GET, "/v1/configuration/check", bytes(""))
        .ok()?;
    let lines = |key: &str| {
        list(&found[key])
            .map(|l| text(l).to_string())
            .collect::<Vec<_>>()
    };
    let note = "this user cannot read the whole configuration, so the daemon has checked its own"
        .to_string();
    let names = client.json(Method::GET, "/v1/names/rejected", bytes(""));
    Some((
        lines("errors"),
        [vec![note], lines("warnings")].concat(),
        found["zones"].as_u64().unwrap_or(0),
        Some(names),
    ))
}

/// A warning about names of one class.
fn rejected(class: &Value) -> String {
    let first: Vec<&str> = list(&class["first"]).map(text).collect();
    let count = class["count"].as_u64().unwrap_or(0);
    let more = if count > first.len() as u64 {
        ", …"
    } else {
        ""
    };
    let names = if count == 1 { "name" } else { "names" };
    format!(
        "the store has {count} {names} that would not be accepted today ({}): {}{more}; `orbsd delist NAME` removes one, and the next import of the list that it came from leaves it out",
        text(&class["class"]),
        first.join(", "),
    )
}
