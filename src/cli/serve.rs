//! `orbsd serve`.

use std::io::IsTerminal;

use super::{Common, Failure};

/// Runs the daemon; the log goes to standard error.
pub(super) fn run(common: &Common) -> Result<(), Failure> {
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("ORBSD_LOG").unwrap_or_else(|_| "info".into());
    let config = common.load()?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.json_log {
        true => log.json().init(),
        false => log.with_ansi(std::io::stderr().is_terminal()).init(),
    }
    crate::daemon::run(&common.config, config).map_err(Failure::No)
}
