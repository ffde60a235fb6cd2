//! Comparisons with other lists: their settings, results and transfers.

use std::{io::Read, sync::Arc};

use crate::{
    comparison::{ComparisonFolder, Comparisons, TransferSettings},
    config::Config,
    feeds::{ZoneText, wire::Server},
};

/// The service of comparisons, by the configuration.
pub fn service(config: &Config) -> Comparisons {
    let folder = ComparisonFolder::of_store(&config.store.path);
    Comparisons::new(config.comparisons.clone(), folder, Arc::new(open_zone))
}

/// Starts a transfer. The thread ends with it; its failure is an error of the reader.
fn open_zone(transfer: &TransferSettings) -> Result<Box<dyn Read + Send>, String> {
    let server = Server::new(&transfer.server, &transfer.zone, transfer.key.clone())?;
    let (text, _) = ZoneText::start(server, Box::new(|_| ()));
    Ok(Box::new(text))
}
