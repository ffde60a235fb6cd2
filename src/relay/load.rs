//! Time under load: what was sent to the collector then may have been turned away, so claims wait
//! longer for it.

use super::{
    policy::{Outage, paused},
    rows::{RelayBatch, key},
    service::{RelayError, RelayService},
};
use crate::model::{Time, time::Seconds};

/// How long times under load are kept: longer than a claim can wait.
const KEPT: Seconds = Seconds(60 * 86_400);
/// How many of them are kept.
const MAX_KEPT: usize = 4096;

impl RelayService {
    /// The collector says since when it is under load; `None`: it is not.
    pub fn loaded(&self, since: Option<Time>, now: Time) -> Result<(), RelayError> {
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        let mut all: Vec<Outage> = sheet.get(key::LOADS)?.unwrap_or_default();
        let open = all.last_mut().filter(|l| l.1.is_none());
        match (open, since) {
            (Some(_), Some(_)) | (None, None) => return Ok(()),
            (Some(open), None) => open.1 = Some(now),
            (None, Some(since)) => {
                all.retain(|l| l.1.is_none_or(|end| end.plus(KEPT) > now));
                all.drain(..(all.len() + 1).saturating_sub(MAX_KEPT));
                all.push((since.min(now), None));
            }
        }
        sheet.put(key::LOADS, &all);
        self.write(sheet, None).map(drop)
    }

    /// A stop has cut the load off: it lasted until somebody was last at work.
    pub(super) fn end_load(
        sheet: &mut RelayBatch<'_>,
        alive: Option<Time>,
    ) -> Result<(), RelayError> {
        let mut all: Vec<Outage> = sheet.get(key::LOADS)?.unwrap_or_default();
        if let Some(open) = all.last_mut().filter(|l| l.1.is_none()) {
            open.1 = Some(alive.unwrap_or(sheet.now).max(open.0));
            sheet.put(key::LOADS, &all);
        }
        Ok(())
    }

    /// How long a claim's waiting period, which began at `from`, has stood still until `to`.
    pub(super) fn waiting_paused(
        sheet: &RelayBatch<'_>,
        claimed: Time,
        from: Time,
        to: Time,
    ) -> Result<Seconds, RelayError> {
        let outages: Vec<Outage> = sheet.get(key::OUTAGES)?.unwrap_or_default();
        let loads: Vec<Outage> = sheet.get(key::LOADS)?.unwrap_or_default();
        Ok(paused(&outages, &loads, claimed, from, to))
    }

    /// How long the time has stood still after which a claim is granted untested: for load alone.
    pub(super) fn grant_paused(
        sheet: &RelayBatch<'_>,
        claimed: Time,
        from: Time,
    ) -> Result<Seconds, RelayError> {
        let loads: Vec<Outage> = sheet.get(key::LOADS)?.unwrap_or_default();
        Ok(paused(&[], &loads, claimed, from, sheet.now))
    }
}
