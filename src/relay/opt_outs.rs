//! Opt-outs: the requests of owners not to test their hosts.

use super::{
    keys::{RelayKey, RelayRange, RelayTable},
    policy::OptOut,
    queue::{OPTED_OUT, cancel, save},
    service::{Actor, OPT_OUT_REASON, RelayError, RelayService, audit_record},
};
use crate::model::{
    Change, Evidence, SourceId, Subject, Time,
    history::{Command, HoldFor},
};

impl RelayService {
    /// Records an opt-out. Its hosts are no longer tested, and their open jobs are cancelled.
    pub fn opt_out(
        &self,
        who: &Actor,
        subject: &Subject,
        proof: &str,
        now: Time,
    ) -> Result<OptOut, RelayError> {
        if !subject.is_address() {
            return Err(RelayError::Invalid(
                "subject: must be an address or a prefix".into(),
            ));
        }
        let _guard = self.lock();
        let mut batch = self.batch(now);
        let out = OptOut {
            subject: subject.to_string(),
            at: now,
            by: who.name.clone(),
            proof: proof.chars().take(500).collect(),
        };
        batch.put(&RelayKey::OptOut(subject.clone()), &out);
        for k in batch.scan(RelayRange::All(RelayTable::OpenJobs), usize::MAX)? {
            let mut job = self.find_job(&batch, k.id())?;
            if subject.covers(&Subject::host(job.target)) || *subject == Subject::host(job.target) {
                cancel(&mut job, OPTED_OUT, now)?;
                super::claims::withdraw(&mut batch, &job)?;
                save(&mut batch, &job)?;
            }
        }
        if let Some(reason) = self.ledger.store.dictionary().reasons.get(OPT_OUT_REASON) {
            let command = Command::List {
                reason,
                source: SourceId::OPERATOR,
                until: None,
                text: None,
            };
            let mut change = Change::new(subject.clone(), who.name.clone(), command);
            (
                change.evidence,
                change.preconditions.from,
                change.preconditions.breaks_hold,
            ) = (
                Some(Evidence::statement(out.proof.clone())),
                who.from.clone().into(),
                true,
            );
            batch.changes.push(change);
        }
        self.write(
            batch,
            Some(audit_record(
                who,
                "optout",
                subject,
                String::new(),
                Some(out.proof.clone()),
                now,
            )),
        )?;
        Ok(out)
    }

    /// Revokes an opt-out.
    pub fn opt_in(&self, who: &Actor, subject: &Subject, now: Time) -> Result<(), RelayError> {
        let _guard = self.lock();
        let mut batch = self.batch(now);
        if batch
            .get::<OptOut>(&RelayKey::OptOut(subject.clone()))?
            .is_none()
        {
            return Err(RelayError::NotFound(format!(
                "there is no opt-out of exactly {subject}"
            )));
        }
        batch.delete(&RelayKey::OptOut(subject.clone()));
        let listed = self.ledger.store.dictionary().reasons.get(OPT_OUT_REASON);
        if let Some(reason) = listed.filter(|r| {
            batch
                .verdict(subject)
                .is_ok_and(|v| v.entry(*r, SourceId::OPERATOR).is_some())
        }) {
            let command = Command::Delist {
                reason: Some(reason),
                source: Some(SourceId::OPERATOR),
                hold: HoldFor::Nothing,
            };
            batch.change(
                subject.clone(),
                &who.name,
                command,
                "opted in".into(),
                false,
            );
        }
        self.write(
            batch,
            Some(audit_record(
                who,
                "optin",
                subject,
                String::new(),
                None,
                now,
            )),
        )?;
        Ok(())
    }

    /// Returns all opt-outs.
    pub fn opt_outs(&self) -> Result<Vec<OptOut>, RelayError> {
        let mut out = Vec::new();
        self.batch(self.now())
            .each(RelayTable::OptOuts, &mut |o: OptOut| out.push(o))?;
        Ok(out)
    }
}
