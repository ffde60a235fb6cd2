//! `orbsd reason`, and the renaming of reasons and sources.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::json;

use super::{
    Common, Failure,
    client::{Client, bytes, escape},
    output,
    text::{list, text},
};

/// Change what is known of a reason
#[derive(Debug, Args)]
pub(super) struct Reason {
    #[command(subcommand)]
    command: ReasonCommand,
}

#[derive(Debug, Subcommand)]
enum ReasonCommand {
    /// Rename a reason with its listings and history; config.toml and the zone files have the new
    /// name already
    Rename {
        /// The old name
        old: String,
        /// The new name
        new: String,
    },
}

/// Changes what is known of a reason.
pub(super) fn reason(common: &Common, c: &Reason) -> Result<(), Failure> {
    let ReasonCommand::Rename { old, new } = &c.command;
    rename(common, "reason", old, new)
}

/// Renames a reason or source.
pub(super) fn rename(common: &Common, kind: &str, old: &str, new: &str) -> Result<(), Failure> {
    let path = format!("/v1/{kind}s/{}/rename", escape(old));
    let done =
        Client::open(common)?.json(Method::POST, &path, bytes(json!({"to": new}).to_string()))?;
    if common.json {
        output::json(&done);
        return Ok(());
    }
    list(&done["left_behind"]).for_each(|l| println!("warning: {}", text(&l["message"])));
    list(&done["warnings"]).for_each(|w| println!("warning: {}", text(w)));
    println!("{kind} {old} is called {new} now");
    list(&done["zones"]).for_each(|z| println!("{} serial {}", text(&z["zone"]), z["serial"]));
    Ok(())
}
