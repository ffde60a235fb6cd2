//! `orbsd serve`.

use std::io::IsTerminal;

use super::{CliError, Common};

/// hickory-server logs a line for each query, and one for each connection that fails: clients must
/// not be able to fill the log.
const DEFAULT_LOG: &str = "info,hickory_server=error,hickory_net=error";

/// Runs the daemon; it logs to standard error.
pub(super) fn run(common: &Common) -> Result<(), CliError> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ORBSD_LOG")
        .unwrap_or_else(|_| DEFAULT_LOG.into());
    let config = common.load()?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.json_log {
        true => log.json().init(),
        false => log.with_ansi(std::io::stderr().is_terminal()).init(),
    }
    crate::daemon::run(&common.config, config).map_err(CliError::Refused)
}
