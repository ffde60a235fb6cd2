//! The options that every command has.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::Config;

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The configuration file
    #[arg(long, global = true, default_value = "config.toml")]
    pub(super) config: PathBuf,
    /// The socket of the daemon, instead of `[admin] socket` of the configuration
    #[arg(long, global = true, conflicts_with = "server")]
    pub(super) socket: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Talk to this daemon instead of the one of the configuration: https://HOST:PORT, or http://
    /// on this machine
    #[arg(long, global = true, requires = "token")]
    pub(super) server: Option<String>,
    /// The file with the token for it
    #[arg(long, global = true, requires = "server")]
    pub(super) token: Option<PathBuf>,
    /// The PEM file of the authority that vouches for it, where this machine does not know it
    #[arg(long, global = true, requires = "server")]
    pub(super) ca: Option<PathBuf>,
    /// Send the token unencrypted to an http:// server beyond this machine
    #[arg(long, global = true, requires = "server")]
    pub(super) insecure: bool,
}

impl Common {
    /// The daemon's socket. Of the configuration only its place is read: keys and zones may be
    /// unreadable to whoever asks.
    pub(super) fn socket(&self) -> Result<PathBuf, Failure> {
        match &self.socket {
            Some(socket) => Ok(socket.clone()),
            None => crate::config::socket(&self.config).map_err(Failure::Usage),
        }
    }

    /// Reads the configuration.
    pub(super) fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.config).map_err(|e| Failure::Usage(e.to_string()))
    }
}
