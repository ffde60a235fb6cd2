//! The command line: one file for each command, all over the same API as everybody else.

#[macro_use]
mod output;

mod backup;
mod change;
mod check;
mod client;
mod clock;
mod command;
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

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser};

use crate::config::Config;
use command::Command;
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

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The configuration file
    #[arg(long, global = true, default_value = "config.toml")]
    config: PathBuf,
    /// The socket of the daemon, instead of `[admin] socket` of the configuration
    #[arg(long, global = true, conflicts_with = "server")]
    socket: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Talk to this daemon instead of the one of the configuration: https://HOST:PORT, or http://
    /// on this machine
    #[arg(long, global = true, requires = "token")]
    server: Option<String>,
    /// The file with the token for it
    #[arg(long, global = true, requires = "server")]
    token: Option<PathBuf>,
    /// The PEM file of the authority that vouches for it, where this machine does not know it
    #[arg(long, global = true, requires = "server")]
    ca: Option<PathBuf>,
    /// Send the token unencrypted to an http:// server beyond this machine
    #[arg(long, global = true, requires = "server")]
    insecure: bool,
}

impl Common {
    /// The daemon's socket. Of the configuration only its place is read: keys and zones may be
    /// unreadable to whoever asks.
    fn socket(&self) -> Result<PathBuf, Failure> {
        match &self.socket {
            Some(socket) => Ok(socket.clone()),
            None => crate::config::socket(&self.config).map_err(Failure::Usage),
        }
    }

    /// Reads the configuration.
    fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.config).map_err(|e| Failure::Usage(e.to_string()))
    }
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    umask::restrict_new_files();
    let Cli { common, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            // 2 says "delivered" there.
            let usage = if std::env::args().any(|a| a == "probe") {
                probe::USAGE
            } else {
                2
            };
            return ExitCode::from(if e.use_stderr() { usage } else { 0 });
        }
    };
    let json = common.json;
    let result = command.run(&common);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(json),
    }
}
