//! Times when the collector was under load. Messages may have been turned away then, so claims wait
//! longer.

use super::{
    batch::RelayBatch,
    policy::paused_time,
    service::{RelayError, RelayService},
    tables::{LOADS, OUTAGES},
};
use crate::model::{Time, time::Seconds};

/// How long periods of load are kept: longer than a claim can wait.
const LOAD_RETENTION: Seconds = Seconds(60 * 86_400);
/// The most periods of load that are kept.
const MAX_LOADS: usize = 4096;

impl RelayService {
    /// Reports since when the collector is under load; `None`: it is not.
    pub fn report_load(&self, since: Option<Time>, now: Time) -> Result<(), RelayError> {
        let _guard = self.lock();
        let mut batch = self.batch(now);
        let mut all = batch.get_or_default(LOADS, &())?;
        let open = all.last_mut().filter(|l| l.1.is_none());
        match (open, since) {
            (Some(_), Some(_)) | (None, None) => return Ok(()),
            (Some(open), None) => open.1 = Some(now),
            (None, Some(since)) => {
                all.retain(|l| l.1.is_none_or(|end| end.plus(LOAD_RETENTION) > now));
                all.drain(..(all.len() + 1).saturating_sub(MAX_LOADS));
                all.push((since.min(now), None));
            }
        }
        batch.put(LOADS, &(), &all);
        self.write(batch).map(drop)
    }

    /// Ends a period of load that was open when the daemon stopped, at the last heartbeat.
    pub(super) fn end_load(
        batch: &mut RelayBatch<'_>,
        heartbeat: Option<Time>,
    ) -> Result<(), RelayError> {
        let mut all = batch.get_or_default(LOADS, &())?;
        if let Some(open) = all.last_mut().filter(|l| l.1.is_none()) {
            open.1 = Some(heartbeat.unwrap_or(batch.now).max(open.0));
            batch.put(LOADS, &(), &all);
        }
        Ok(())
    }

    /// Returns how long a claim's waiting period, which began at `from`, was paused until `to`.
    pub(super) fn waiting_paused(
        batch: &RelayBatch<'_>,
        claimed: Time,
        from: Time,
        to: Time,
    ) -> Result<Seconds, RelayError> {
        let outages = batch.get_or_default(OUTAGES, &())?;
        let loads = batch.get_or_default(LOADS, &())?;
        Ok(paused_time(&outages, &loads, claimed, from, to))
    }

    /// Returns how long the period was paused after which a claim is granted untested. Only load
    /// pauses it.
    pub(super) fn grant_paused(
        batch: &RelayBatch<'_>,
        claimed: Time,
        from: Time,
    ) -> Result<Seconds, RelayError> {
        let loads = batch.get_or_default(LOADS, &())?;
        Ok(paused_time(&[], &loads, claimed, from, batch.now))
    }
}
