//! `orbsd reason`, and the renaming of reasons and sources.

use clap::{Args, Subcommand};

use super::{
    CliError, Common,
    client::{Client, escape},
};
use crate::api::{RenameRequest, RenameResponse};

/// Rename a reason
#[derive(Debug, Args)]
pub(super) struct Reason {
    #[command(subcommand)]
    command: ReasonCommand,
}

#[derive(Debug, Subcommand)]
enum ReasonCommand {
    /// Rename a reason; change the name in config.toml and the zone files first
    Rename {
        /// Old name
        old: String,
        /// New name
        new: String,
    },
}

/// Renames a reason.
pub(super) fn reason(common: &Common, c: &Reason) -> Result<(), CliError> {
    let ReasonCommand::Rename { old, new } = &c.command;
    rename(common, "reason", old, new)
}

/// Renames a reason or source.
pub(super) fn rename(common: &Common, kind: &str, old: &str, new: &str) -> Result<(), CliError> {
    let path = format!("/v1/{kind}s/{}/rename", escape(old));
    let request = RenameRequest { to: new.into() };
    let done: RenameResponse = Client::open(common)?.post_json(&path, &request)?;
    common.print(&done, |done| {
        let unconfigured = done.unconfigured.iter().map(|l| &l.message);
        for warning in unconfigured.chain(&done.warnings) {
            println!("warning: {warning}");
        }
        println!("{kind} {old} is now called {new}");
        for (zone, serial) in &done.serials {
            println!("{zone} serial {serial}");
        }
    })
}
