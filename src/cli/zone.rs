//! `orbsd zone`.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::json;

use super::{
    Common, Failure,
    client::{Client, bytes, escape},
    output,
    text::{list, text},
};

/// Change what is known of a zone
#[derive(Debug, Args)]
pub(super) struct Zone {
    #[command(subcommand)]
    command: ZoneCommand,
}

#[derive(Debug, Subcommand)]
enum ZoneCommand {
    /// Set a newer serial, and name the mirrors for which it is not newer
    Serial {
        /// The zone's origin, or its file's name
        zone: String,
        /// The serial: at most 2147483647 ahead of the zone's own (RFC 1982)
        serial: u32,
        /// Set it although mirrors seen in the last 30 days cannot order it: a transfer has to be
        /// forced on them then
        #[arg(long)]
        force: bool,
    },
}

/// Changes what is known of a zone.
pub(super) fn run(common: &Common, c: &Zone) -> Result<(), Failure> {
    let ZoneCommand::Serial {
        zone,
        serial,
        force,
    } = &c.command;
    let body = bytes(json!({"serial": serial, "force": force}).to_string());
    let done = Client::open(common)?.json(
        Method::POST,
        &format!("/v1/zones/{}/serial", escape(zone)),
        body,
    )?;
    if common.json {
        output::json(&done);
        return Ok(());
    }
    println!(
        "{} serial {} (commit {})",
        text(&done["zone"]),
        done["serial"],
        done["commit"]
    );
    for m in list(&done["left_behind"]) {
        let key = m["key"]
            .as_str()
            .map_or(String::new(), |k| format!(" key {k}"));
        println!(
            "  not newer for {}{key}, which has {}: force a transfer there",
            text(&m["address"]),
            m["serial"]
        );
    }
    if list(&done["left_behind"]).next().is_some() {
        print_commands(&done["commands"]);
    }
    Ok(())
}

/// Prints the commands that force a transfer, by name server software.
pub(super) fn print_commands(commands: &serde_json::Value) {
    for (software, command) in commands.as_object().into_iter().flatten() {
        println!("    {software}: {}", text(command));
    }
}
