//! The options of all commands.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{CliError, output};
use crate::config::Config;

/// The options of all commands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of all commands")]
pub struct Common {
    /// Configuration file
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        default_value = "config.toml"
    )]
    pub(super) config: PathBuf,
    /// Socket of the daemon [default: `[admin] socket` of the configuration]
    #[arg(long, value_name = "PATH", global = true, conflicts_with = "server")]
    pub(super) socket: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Use the daemon at https://HOST:PORT, or at http://HOST:PORT on this machine
    #[arg(long, value_name = "URL", global = true, requires = "token")]
    pub(super) server: Option<String>,
    /// File with the token for --server
    #[arg(long, value_name = "FILE", global = true, requires = "server")]
    pub(super) token: Option<PathBuf>,
    /// PEM file with the certificate authority of --server [default: those of this machine]
    #[arg(long, value_name = "FILE", global = true, requires = "server")]
    pub(super) ca: Option<PathBuf>,
    /// Send the token unencrypted to an http:// server beyond this machine
    #[arg(long, global = true, requires = "server")]
    pub(super) insecure: bool,
}

impl Common {
    /// The path of the daemon's socket. It is the only key of the configuration that is read: the
    /// user may be unable to read keys and zones.
    pub(super) fn socket(&self) -> Result<PathBuf, CliError> {
        match &self.socket {
            Some(socket) => Ok(socket.clone()),
            None => crate::config::socket(&self.config).map_err(CliError::Usage),
        }
    }

    /// Prints the result of a command: as JSON, or as `print` does.
    pub(super) fn print<T: Serialize>(
        &self,
        value: &T,
        print: impl FnOnce(&T),
    ) -> Result<(), CliError> {
        match self.json {
            true => output::json(value),
            false => print(value),
        }
        Ok(())
    }

    /// Reads the configuration.
    pub(super) fn load(&self) -> Result<Config, CliError> {
        Config::load(&self.config).map_err(|e| CliError::Usage(e.to_string()))
    }
}
