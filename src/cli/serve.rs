//! `orbsd serve`.

use std::io::IsTerminal;

use super::{Common, Failure};

/// Runs the daemon; the log goes to standard error.
pub(super) fn run(common: &Common) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ORBSD_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).init();
    let config = common.load()?;
    crate::daemon::run(&common.config, config).map_err(Failure::No)
}
