//! The command line: one file for each command, all over the same API as everybody else.

#[macro_use]
mod output;
mod owner;

mod backup;
mod change;
mod check;
mod client;
mod clock;
mod command;
mod common;
mod export;
mod failure;
mod feed;
mod import;
mod key;
mod lookup;
mod people;
mod probe;
mod proposal;
mod relay;
mod rename;
mod request_stream;
mod retire;
mod scrub;
mod serve;
mod status;
mod text;
mod transfer;
mod umask;
mod undo;
mod webhook;
mod zone;

use std::process::ExitCode;

use clap::Parser;

use crate::model::text::escape;
use command::Command;
pub use common::Common;
pub use failure::Failure;

/// An authoritative DNS blocklist server with evidence, history and a way out.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    umask::restrict_new_files();
    let Cli { common, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and the version are our own words.
        Err(e) if !e.use_stderr() => {
            output::written(e.print());
            return ExitCode::SUCCESS;
        }
        Err(e) => {
            print_usage_error(&e);
            // 2 says "delivered" there.
            let usage = if std::env::args_os().any(|a| a == "probe") {
                probe::USAGE
            } else {
                2
            };
            return ExitCode::from(usage);
        }
    };
    let json = common.json;
    let result = command.run(&common);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(json),
    }
}

/// Prints an error of the command line. It repeats arguments, which are escaped first: none begins
/// a line of its own.
fn print_usage_error(error: &clap::Error) {
    use clap::error::{ContextKind, ContextValue};
    let arguments = std::env::args_os().map(|a| escape(&a.to_string_lossy()).into_owned());
    let text = match Cli::try_parse_from(arguments) {
        Err(same) => same.render().to_string(),
        // What is wrong is a character that was escaped.
        Ok(_) => {
            let of = |kind| match error.get(kind) {
                Some(ContextValue::String(text)) => escape(text).into_owned(),
                _ => String::new(),
            };
            let why =
                std::error::Error::source(error).map_or_else(String::new, |e| format!(": {e}"));
            format!(
                "error: invalid value '{}' for '{}'{why}",
                of(ContextKind::InvalidValue),
                of(ContextKind::InvalidArg)
            )
        }
    };
    text.lines().for_each(|line| eprintln!("{line}"));
}
