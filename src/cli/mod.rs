//! The command line: one file for each command, all over the same API as everybody else.

mod back;
mod change;
mod check;
mod client;
mod export;
mod failure;
mod import;
mod key;
mod lookup;
mod people;
mod retire;
mod serve;
mod status;
mod text;
mod transfer;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
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
    /// Talk to this daemon instead of the one of the configuration: http://HOST:PORT
    #[arg(long, global = true, requires = "token")]
    server: Option<String>,
    /// The file with the token for it
    #[arg(long, global = true, requires = "server")]
    token: Option<PathBuf>,
}

impl Common {
    /// Reads the configuration.
    fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.config).map_err(|e| Failure::Usage(e.to_string()))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Serve,
    /// Read the configuration and all zones, and say what is wrong or doubtful
    Check,
    /// Let the running daemon read its configuration again
    Reload,
    Status(status::Status),
    /// List subjects
    List(change::List),
    /// Take subjects off; a feed's entry is held down
    Delist(change::Delist),
    /// Never publish subjects, whatever lists them
    Exempt(change::Exempt),
    /// Show where a subject stands, and why
    Lookup(lookup::Lookup),
    Import(import::Import),
    Export(export::Export),
    Retire(retire::Retire),
    Key(key::Key),
    Transfer(transfer::Transfer),
    Undo(back::Undo),
    Purge(back::Purge),
    Holds(back::Holds),
    Watch(back::Watch),
    Person(people::Person),
    Token(people::Token),
    Audit(people::Audit),
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
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    if !matches!(command, Command::Serve) {
        end_on_closed_pipe();
    }
    let json = common.json;
    let result = match command {
        Command::Serve => serve::run(&common),
        Command::Check => check::run(&common),
        Command::Reload => status::reload(&common),
        Command::Status(c) => status::run(&common, &c),
        Command::List(c) => change::list(&common, c),
        Command::Delist(c) => change::delist(&common, c),
        Command::Exempt(c) => change::exempt(&common, c),
        Command::Lookup(c) => lookup::run(&common, &c),
        Command::Import(c) => import::run(&common, &c),
        Command::Export(c) => export::run(&common, &c),
        Command::Retire(c) => retire::run(&common, &c),
        Command::Key(c) => key::run(&common, &c),
        Command::Transfer(c) => transfer::run(&common, &c),
        Command::Undo(c) => back::undo(&common, &c),
        Command::Purge(c) => back::purge(&common, &c),
        Command::Holds(c) => back::holds(&common, c),
        Command::Watch(c) => back::watch(&common, &c),
        Command::Person(c) => people::person(&common, c),
        Command::Token(c) => people::token(&common, c),
        Command::Audit(c) => people::audit(&common, &c),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(json),
    }
}
