//! The end of the process, for responses that have no end of their own.

use tokio::sync::watch;

/// Waits until the process stops.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|s| *s).await.is_err() {
        // The sender is gone, so that no stop will be announced.
        std::future::pending::<()>().await;
    }
}
