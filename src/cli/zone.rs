//! `orbsd zone`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};

use super::{
    CliError, Common,
    client::{Client, escape},
    quality,
    text::some,
};
use crate::api::{SerialRequestBody, SerialResponse};

/// Set the serial of a zone, or show its error rates
#[derive(Debug, Args)]
pub(super) struct Zone {
    #[command(subcommand)]
    command: ZoneCommand,
}

#[derive(Debug, Subcommand)]
enum ZoneCommand {
    /// Set a newer serial; refused without --force if it is not newer for a mirror
    Serial {
        /// Origin of the zone, or its short name
        zone: String,
        /// Serial, at most 2147483647 ahead of the present one (RFC 1982)
        serial: u32,
        /// Set it although it is not newer for some mirrors seen in the last 30 days, and name them
        #[arg(long)]
        force: bool,
    },
    /// Show daily figures of zones: proofs, claims, errors and answered requests
    Quality {
        /// Origin of the zone, or its short name [default: all zones]
        zone: Option<String>,
        /// Number of days, today included, at most 400
        #[arg(long, default_value_t = 1)]
        days: u64,
    },
}

/// Sets a serial, or shows figures.
pub(super) fn run(common: &Common, c: Zone) -> Result<(), CliError> {
    match c.command {
        ZoneCommand::Serial {
            zone,
            serial,
            force,
        } => set_serial(common, &zone, serial, force),
        ZoneCommand::Quality { zone, days } => quality::of_zones(common, zone, days),
    }
}

fn set_serial(common: &Common, zone: &str, serial: u32, force: bool) -> Result<(), CliError> {
    let request = SerialRequestBody { serial, force };
    let path = format!("/v1/zones/{}/serial", escape(zone));
    let done: SerialResponse = Client::open(common)?.post_json(&path, &request)?;
    common.print(&done, print)
}

fn print(done: &SerialResponse) {
    println!(
        "{} serial {} (commit {})",
        done.zone, done.serial, done.commit
    );
    for m in &done.left_behind {
        println!(
            "  not newer for {}{}, which has {}: force a transfer there",
            m.address,
            some(" key ", m.key.as_ref()),
            m.serial
        );
    }
    if !done.left_behind.is_empty() {
        print_commands(&done.commands);
    }
}

/// Prints the commands that force a transfer, by name server software.
pub(super) fn print_commands(commands: &BTreeMap<String, String>) {
    for (software, command) in commands {
        println!("    {software}: {command}");
    }
}
