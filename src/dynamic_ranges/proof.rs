//! What providers need of DNS: the record that proves a range, and the zone cuts below it, beyond
//! which the record proves nothing.

use std::{collections::HashSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::timeout;

use super::{
    edit::{EditAction, check_bounds},
    provider::{ProofResult, RangeProvider},
    service::DynamicRangeService,
};
use crate::{
    model::{Subject, Time, prefix::Prefix4, time::Seconds},
    tickets::{
        TicketError,
        control::{TXT_PREFIX, reverse_names},
        control_dns::{ProofDns, RecordCheck, check_record, reverse_zones},
    },
};

/// How long all look-ups of zone cuts for an edit may take.
const CUT_TIMEOUT: Duration = Duration::from_secs(15);
/// How often the records that are due are looked up.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The length of the widest IPv4 prefix whose zone cut is asked for as a whole. Providers delegate
/// wider ranges in such parts.
const MAX_PART_LEN4: u8 = 24;

/// Returns the reverse names whose zones show where a subject is delegated: those of each /24 of a
/// wider IPv4 prefix, and of each address of a narrower one (RFC 2317).
fn cut_names(subject: &Subject) -> Vec<String> {
    match subject {
        Subject::V4(p) if p.len() < MAX_PART_LEN4 => {
            let step = 1usize << (32 - MAX_PART_LEN4);
            let parts = (u64::from(p.first())..=u64::from(p.last())).step_by(step);
            parts
                .map(|first| Subject::V4(Prefix4::new(first as u32, MAX_PART_LEN4)))
                .flat_map(|part| reverse_names(&part))
                .collect()
        }
        other => reverse_names(other),
    }
}

/// Looks for the record of a provider.
async fn look_up(dns: &Arc<dyn ProofDns>, provider: &RangeProvider) -> ProofResult {
    let text = provider.record_text();
    let code = text.strip_prefix(TXT_PREFIX).unwrap_or(&text);
    match check_record(dns, &provider.range, code).await {
        RecordCheck::Missing(names) => ProofResult::Missing(names),
        RecordCheck::Unavailable(why) => ProofResult::NoAnswer(why),
        RecordCheck::Found => {
            let zones = reverse_zones(dns, reverse_names(&provider.range));
            match timeout(CUT_TIMEOUT, zones).await {
                Ok(Ok(zones)) if !zones.is_empty() => ProofResult::Found(zones),
                Ok(Ok(_)) => ProofResult::Missing(Vec::new()),
                Ok(Err(why)) => ProofResult::NoAnswer(why),
                Err(_) => ProofResult::NoAnswer("no answer in time".into()),
            }
        }
    }
}

/// Checks that all of a subject lies in the zones of a proof.
async fn check_cut(
    dns: &Arc<dyn ProofDns>,
    zones: &[String],
    subject: &Subject,
) -> Result<(), TicketError> {
    let found = timeout(CUT_TIMEOUT, reverse_zones(dns, cut_names(subject))).await;
    let found = found.unwrap_or_else(|_| Err("no answer in time".into()));
    let found = found.map_err(|why| {
        TicketError::LimitReached(
            format!("DNS cannot be asked now ({why}); try again in a minute"),
            Seconds(60),
        )
    })?;
    match found.iter().find(|apex| !zones.contains(apex)) {
        Some(apex) => Err(TicketError::Refused(format!(
            "subject: {subject} is in the reverse zone {apex}, which your record does not prove; ask for that range by itself"
        ))),
        None if found.is_empty() => Err(TicketError::Refused(format!(
            "subject: the reverse zones of {subject} are not known, or too many"
        ))),
        None => Ok(()),
    }
}

/// The look-up of a provider's record, until it ends or its request is given up.
struct InFlight(Arc<Mutex<HashSet<u64>>>, u64);

impl InFlight {
    fn begin(all: &Arc<Mutex<HashSet<u64>>>, number: u64) -> Option<InFlight> {
        all.lock()
            .insert(number)
            .then(|| InFlight(all.clone(), number))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

impl DynamicRangeService {
    fn dns(&self) -> Result<Arc<dyn ProofDns>, TicketError> {
        self.tickets.proof_dns().ok_or_else(|| {
            TicketError::Refused(
                "this server has no DNS resolver, so that no range can be proved".into(),
            )
        })
    }

    /// Returns the numbers of the providers whose records have to be looked up now.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn due(&self, now: Time) -> Result<Vec<u64>, TicketError> {
        let all = self.list(None)?.into_iter();
        Ok(all
            .filter(|p| p.is_check_due(now))
            .map(|p| p.number)
            .collect())
    }

    /// Looks for the record of a provider, and stores what was found. If it is being looked for
    /// already, nothing happens.
    ///
    /// # Errors
    ///
    /// There is no such provider, this server has no resolver, or the ledger refuses the commit.
    pub async fn check(&self, number: u64) -> Result<(), TicketError> {
        let dns = self.dns()?;
        let Some(_running) = InFlight::begin(&self.looked_up, number) else {
            return Ok(());
        };
        self.check_alone(&dns, number).await
    }

    async fn check_alone(&self, dns: &Arc<dyn ProofDns>, number: u64) -> Result<(), TicketError> {
        let _permit = self.checks.acquire().await;
        let provider = self.blocking(move |s| s.get(number)).await?;
        let result = look_up(dns, &provider).await;
        let recorded = self.blocking(move |s| s.record_check(number, &result, s.now()));
        recorded.await.map(drop)
    }

    /// Makes an edit of a provider.
    ///
    /// # Errors
    ///
    /// The range is not proved, the subject is outside of what the zone cut proves, what the edit
    /// would change is not the provider's, a limit is reached, or DNS does not answer.
    pub async fn edit(
        &self,
        number: u64,
        action: EditAction,
        subject: Subject,
    ) -> Result<RangeProvider, TicketError> {
        self.edit_after_check(number, action, subject, None).await
    }

    /// Reverts an edit of a provider, named by its number.
    ///
    /// # Errors
    ///
    /// There is no such edit, it is undone already, what it made was changed since, or an edit is
    /// refused as by [`DynamicRangeService::edit`].
    pub async fn undo(&self, number: u64, edit: u64) -> Result<RangeProvider, TicketError> {
        let reverted = self.blocking(move |s| s.revertible(number, edit)).await?;
        let action = reverted.action.inverse();
        self.edit_after_check(number, action, reverted.subject, Some(edit))
            .await
    }

    async fn edit_after_check(
        &self,
        number: u64,
        action: EditAction,
        subject: Subject,
        reverts: Option<u64>,
    ) -> Result<RangeProvider, TicketError> {
        let provider = self.blocking(move |s| s.get(number)).await?;
        provider.check_may_edit(self.now())?;
        check_bounds(&provider.range, action, &subject)?;
        // What ends an entry needs no proof of its subject: the entry shows that there was one.
        if action.makes_entry() {
            let dns = self.dns()?;
            let Ok(_permit) = self.cuts.try_acquire() else {
                return Err(TicketError::LimitReached(
                    "too many ranges are looked up now; try again in a minute".into(),
                    Seconds(60),
                ));
            };
            check_cut(&dns, &provider.zones, &subject).await?;
        }
        self.blocking(move |s| s.apply(number, action, &subject, reverts, s.now()))
            .await
    }

    /// Calls the service on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DynamicRangeService) -> Result<T, TicketError> + Send + 'static,
    ) -> Result<T, TicketError> {
        let service = self.clone();
        tokio::task::spawn_blocking(move || work(&service))
            .await
            .unwrap_or_else(|e| Err(TicketError::Refused(e.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_asked_for_each_24_of_a_wider_range_and_each_address_of_a_narrower_one() {
        let names = |text: &str| cut_names(&text.parse().unwrap());
        assert_eq!(names("45.51.0.0/16").len(), 256);
        assert_eq!(
            names("45.51.100.0/23"),
            ["100.51.45.in-addr.arpa", "101.51.45.in-addr.arpa"]
        );
        assert_eq!(names("45.51.100.0/24"), ["100.51.45.in-addr.arpa"]);
        assert_eq!(names("45.51.100.8/30").len(), 4);
        assert_eq!(names("45.51.100.9"), ["9.100.51.45.in-addr.arpa"]);
        assert_eq!(names("2a01:4f8::/32").len(), 1);
    }
}
