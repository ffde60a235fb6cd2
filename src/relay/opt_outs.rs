//! Opt-outs: what their owners asked not to have tested.

use super::{
    policy::OptOut,
    queue::{ASKED, end, save},
    rows::key,
    service::{Actor, NOTEST, RelayError, RelayService, audit_record},
};
use crate::model::{
    Change, Evidence, SourceId, Subject, Time,
    history::{Ask, HoldFor},
};

impl RelayService {
    /// Takes an opt-out: what it covers is not tested from now on, and jobs that wait end.
    pub fn opt_out(
        &self,
        who: &Actor,
        subject: &Subject,
        proof: &str,
        now: Time,
    ) -> Result<OptOut, RelayError> {
        if !subject.is_address() {
            return Err(RelayError::Invalid(
                "subject: an address or a prefix is what can be tested".into(),
            ));
        }
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        let out = OptOut {
            subject: subject.to_string(),
            at: now,
            by: who.name.clone(),
            proof: proof.chars().take(500).collect(),
        };
        sheet.put(key::opt_out(subject), &out);
        for k in sheet.keys(b"Q", usize::MAX)? {
            let mut job = self.need(&sheet, key::tail(&k))?;
            if subject.covers(&Subject::host(job.target)) || *subject == Subject::host(job.target) {
                end(&mut job, ASKED, now);
                super::claims::forget(&mut sheet, &job)?;
                save(&mut sheet, &job)?;
            }
        }
        if let Some(reason) = self.ledger.store.vocabulary().reasons.get(NOTEST) {
            let ask = Ask::List {
                reason,
                source: SourceId::OPERATOR,
                until: None,
                text: None,
            };
            let mut change = Change::new(subject.clone(), who.name.clone(), ask);
            (change.evidence, change.terms.from, change.terms.breaks_hold) = (
                Some(Evidence::word(out.proof.clone())),
                who.from.clone().into(),
                true,
            );
            sheet.changes.push(change);
        }
        self.write(
            sheet,
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

    /// Takes an opt-out back.
    pub fn opt_in(&self, who: &Actor, subject: &Subject, now: Time) -> Result<(), RelayError> {
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        if sheet.get::<OptOut>(&key::opt_out(subject))?.is_none() {
            return Err(RelayError::Unknown(format!(
                "{subject} did not opt out itself"
            )));
        }
        sheet.drop_row(key::opt_out(subject));
        let listed = self.ledger.store.vocabulary().reasons.get(NOTEST);
        if let Some(reason) = listed.filter(|r| {
            sheet
                .verdict(subject)
                .is_ok_and(|v| v.entry(*r, SourceId::OPERATOR).is_some())
        }) {
            let ask = Ask::Delist {
                reason: Some(reason),
                source: Some(SourceId::OPERATOR),
                hold: HoldFor::Nothing,
            };
            sheet.change(subject.clone(), &who.name, ask, "opted in".into(), false);
        }
        self.write(
            sheet,
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

    /// All opt-outs.
    pub fn opt_outs(&self) -> Result<Vec<OptOut>, RelayError> {
        let mut out = Vec::new();
        self.sheet(self.now())
            .each(b"O", &mut |o: OptOut| out.push(o))?;
        Ok(out)
    }
}
