//! `orbsd check`.

use hyper::Method;
use serde_json::{Value, json};

use super::{
    Common, Failure,
    client::{Client, bytes},
    text::{list, text},
};
use crate::config::Config;

/// Read the configuration and all zones, and report what is wrong or doubtful
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// Accept a configuration that no longer has a reason, feed or zone which has listings
    #[arg(long)]
    force: bool,
}

/// Reads everything and says what is wrong (exit code 2) or doubtful (exit code 0). A daemon that runs is asked for names in
/// its store that would not be accepted today; the store itself is not opened.
pub(super) fn run(common: &Common, c: &Check) -> Result<(), Failure> {
    let mut left = Vec::new();
    let (mut errors, mut warnings, zones, names) = match Config::load(&common.config) {
        Ok(c) => {
            let errors: Vec<String> = c.secure.open().err().into_iter().collect();
            let names = Client::running(&c).map(|mut client| {
                let found = client.json(Method::GET, "/v1/unconfigured", bytes(""))?;
                left.extend(list(&found["items"]).map(|l| text(&l["message"]).to_string()));
                client.json(Method::GET, "/v1/names/rejected", bytes(""))
            });
            (errors, c.warnings, c.ledger.zones.len(), names)
        }
        Err(e) => (e.0, Vec::new(), 0, None),
    };
    let names = match names {
        Some(Ok(found)) => found,
        Some(Err(Failure::No(why) | Failure::Usage(why) | Failure::List(why) | Failure::Code(_, why))) => {
            warnings.push(format!("the daemon did not compare the configuration with its store: {why}"));
            Value::Null
        }
        None => Value::Null,
    };
    match c.force {
        true => warnings.append(&mut left),
        false => errors.extend(left.into_iter().map(|l| format!("{l}; `--force` accepts it"))),
    }
    warnings.extend(list(&names["classes"]).map(rejected));
    if common.json {
        println!("{}", json!({"errors": errors, "warnings": warnings, "zones": zones, "names": names}));
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

/// A warning about names of one class.
fn rejected(class: &Value) -> String {
    let first: Vec<&str> = list(&class["first"]).map(text).collect();
    let count = class["count"].as_u64().unwrap_or(0);
    let more = if count > first.len() as u64 { ", …" } else { "" };
    let names = if count == 1 { "name" } else { "names" };
    format!(
        "the store has {count} {names} that would not be accepted today ({}): {}{more}; `orbsd delist NAME` removes one, and the next import of the list that it came from leaves it out",
        text(&class["class"]),
        first.join(", "),
    )
}
