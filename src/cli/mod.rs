//! The command line: one file for each command, all over the same API as everybody else.

mod back;
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
mod relay;
mod retire;
mod serve;
mod status;
mod text;
mod transfer;
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
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Talk to this daemon instead of the one of the configuration: https://HOST:PORT, or http:// on this machine
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
    /// Reads the configuration.
    fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.config).map_err(|e| Failure::Usage(e.to_string()))
    }
}

/// Lets a reader that has had enough (`orbsd … | head`) end the command quietly. The signal for it stays ignored: it would
/// also end a command whose daemon went away, without a word.
fn end_on_closed_pipe() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<String>().map_or("", |s| s);
        if text.contains("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(0);
        }
        usual(info);
    }));
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let Cli { common, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            // 2 says "delivered" there.
            let usage = if std::env::args().any(|a| a == "probe") { probe::USAGE } else { 2 };
            return ExitCode::from(if e.use_stderr() { usage } else { 0 });
        }
    };
    if !matches!(command, Command::Serve) {
        end_on_closed_pipe();
    }
    let json = common.json;
    let result = command.run(&common);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(json),
    }
}
