//! The command line: one file for each command, all over the HTTP API.

#[macro_use]
mod output;
mod owner;
mod packaging;

mod advice;
mod audit;
mod backup;
mod change;
mod check;
mod client;
mod clock;
mod command;
mod common;
mod compare;
mod doctor;
mod error;
mod export;
mod feed;
mod generic_names;
mod help;
mod hold;
mod import;
mod init;
mod job;
mod key;
mod logins;
mod lookup;
mod mirror;
mod netblock;
mod notice;
mod privacy;
mod probe;
mod proposal;
mod provider;
mod purge;
mod quality;
mod relay;
mod rename;
mod renamed;
mod request_stream;
mod retire;
mod scrub;
mod serve;
mod status;
mod text;
mod tickets;
mod transfer;
mod umask;
mod undo;
mod users;
mod watch;
mod webhook;
mod zone;

use std::process::ExitCode;

use clap::{
    FromArgMatches, Parser,
    error::{ContextKind, ContextValue},
    parser::ValueSource,
};

use crate::model::text::escape;
use command::Command;
pub use common::Common;
pub use error::{CliError, DoctorExit, ProbeExit};

/// Authoritative DNS blocklist server with evidence, history and delisting
#[derive(Debug, Parser)]
#[command(
    name = "orbsd",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    umask::restrict_new_files();
    let arguments: Vec<String> = std::env::args_os()
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    let parsed = help::command().try_get_matches().and_then(|matches| {
        let default = matches.value_source("config") == Some(ValueSource::DefaultValue);
        Cli::from_arg_matches(&matches).map(|cli| (cli, default))
    });
    let Cli { common, command } = match parsed {
        Ok((mut cli, default)) => {
            if default {
                cli.common.use_default_config();
            }
            cli
        }
        // Help and version contain no text of others.
        Err(e) if !e.use_stderr() => {
            output::written(e.print());
            return ExitCode::SUCCESS;
        }
        Err(e) => {
            match renamed_error(&arguments, &e) {
                Some(text) => error::print_error(&text),
                None => print_usage_error(&e),
            }
            return ExitCode::from(help::usage_error(&arguments).exit_code());
        }
    };
    let json = common.json;
    match command.run(&common) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => e.report(json),
    }
}

/// The error about a command or an option that has another name today.
fn renamed_error(arguments: &[String], error: &clap::Error) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let word = context(ContextKind::InvalidSubcommand).or(context(ContextKind::InvalidArg))?;
    renamed::command(arguments, word).or_else(|| renamed::option(arguments, word))
}

/// Prints a usage error. It repeats arguments, which are escaped first: none begins a line of its
/// own.
fn print_usage_error(error: &clap::Error) {
    let arguments = std::env::args_os().map(|a| escape(&a.to_string_lossy()).into_owned());
    let text = match help::command()
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches))
    {
        Err(same) => same.render().to_string(),
        // The error is about a character that was escaped.
        Ok(_) => {
            let of = |kind| match error.get(kind) {
                Some(ContextValue::String(text)) => escape(text).into_owned(),
                _ => String::new(),
            };
            let cause =
                std::error::Error::source(error).map_or_else(String::new, |e| format!(": {e}"));
            format!(
                "error: invalid value '{}' for '{}'{cause}",
                of(ContextKind::InvalidValue),
                of(ContextKind::InvalidArg)
            )
        }
    };
    text.lines().for_each(|line| eprintln!("{line}"));
}
