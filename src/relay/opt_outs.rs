//! Opt-outs: the requests of owners not to test their hosts.

use super::{
    actor::Actor,
    policy::OptOut,
    queue::{OPTED_OUT, cancel, save},
    service::{OPT_OUT_REASON, RelayError, RelayService},
    tables::{OPEN_JOBS, OPT_OUTS},
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
        batch.put(OPT_OUTS, subject, &out);
        for id in batch.scan(&OPEN_JOBS.all(), usize::MAX)? {
            let mut job = self.find_job(&batch, id)?;
            let host = Subject::host(job.target);
            if subject.covers(&host) || *subject == host {
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
                text: Default::default(),
            };
            let mut change = Change::new(subject.clone(), who.name.clone(), command);
            change.evidence = Some(Evidence::statement(out.proof.clone()));
            change.preconditions.from = who.from.clone().into();
            change.preconditions.breaks_hold = true;
            batch.changes.push(change);
        }
        let why = Some(out.proof.clone());
        batch.audit(who, "optout", subject, String::new(), why);
        self.write(batch)?;
        Ok(out)
    }

    /// Revokes an opt-out.
    pub fn opt_in(&self, who: &Actor, subject: &Subject, now: Time) -> Result<(), RelayError> {
        let _guard = self.lock();
        let mut batch = self.batch(now);
        if batch.get(OPT_OUTS, subject)?.is_none() {
            return Err(RelayError::NotFound(format!(
                "there is no opt-out of exactly {subject}"
            )));
        }
        batch.delete(OPT_OUTS, subject);
        let verdict = self.ledger.store.verdict(subject)?;
        let reason = self.ledger.store.dictionary().reasons.get(OPT_OUT_REASON);
        if let Some(reason) = reason.filter(|r| verdict.entry(*r, SourceId::OPERATOR).is_some()) {
            let listing = (reason, Some(SourceId::OPERATOR));
            let why = "opted in".into();
            batch.delist(subject.clone(), listing, HoldFor::Nothing, &who.name, why);
        }
        batch.audit(who, "optin", subject, String::new(), None);
        self.write(batch)?;
        Ok(())
    }

    /// Returns all opt-outs.
    pub fn opt_outs(&self) -> Result<Vec<OptOut>, RelayError> {
        let mut out = Vec::new();
        self.batch(self.now())
            .each(OPT_OUTS, &mut |o| out.push(o))?;
        Ok(out)
    }
}
