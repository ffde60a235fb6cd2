//! The options of all commands.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::{CliError, output};
use crate::config::Config;

/// The folder of the configuration of this machine, as packages make it.
pub(super) const SYSTEM_FOLDER: &str = "/etc/orbsd";

/// The options of all commands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of all commands")]
pub struct Common {
    /// Configuration file [default: config.toml, or /etc/orbsd/config.toml if there is none here]
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        default_value = "config.toml",
        hide_default_value = true
    )]
    pub(super) config: PathBuf,
    /// Whether the command line does not name the configuration file.
    #[arg(skip)]
    pub(super) config_is_default: bool,
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
    /// Uses the default configuration file: that of the present folder, or of this machine if the
    /// folder has none.
    pub(super) fn use_default_config(&mut self) {
        self.config_is_default = true;
        let of_machine = Path::new(SYSTEM_FOLDER).join(&self.config);
        // A folder that this user cannot enter may have one.
        let may_exist = |path: &Path| !matches!(path.try_exists(), Ok(false));
        if !may_exist(&self.config) && may_exist(&of_machine) {
            self.config = of_machine;
        }
    }

    /// The path of the daemon's socket. It is the only key of the configuration that is read: the
    /// user may be unable to read keys and zones.
    pub(super) fn socket(&self) -> Result<PathBuf, CliError> {
        match &self.socket {
            Some(socket) => Ok(socket.clone()),
            None => {
                self.require_config()?;
                crate::config::socket(&self.config).map_err(CliError::Usage)
            }
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

    /// The error of a command that needs a configuration where there is none.
    pub(super) fn require_config(&self) -> Result<(), CliError> {
        match self.config.try_exists() {
            Ok(false) => Err(CliError::Usage(format!(
                "there is no configuration {}: `orbsd init` writes one, and `--config FILE` names another one",
                self.config.display()
            ))),
            _ => Ok(()),
        }
    }

    /// Reads the configuration.
    pub(super) fn load(&self) -> Result<Config, CliError> {
        self.require_config()?;
        Config::load(&self.config).map_err(|e| CliError::Usage(e.to_string()))
    }
}
