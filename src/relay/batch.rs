//! The rows and changes of one decision about relay tests: what they have beyond those of other
//! features.

use std::net::IpAddr;

use super::{
    actor::Actor,
    tables::{DUE_JOBS, Due, Relay},
};
use crate::{
    ledger::FeatureBatch,
    model::{
        Change, Evidence, EvidenceKind, ReasonId, SourceId, Subject, Verdict,
        history::{Command, HoldFor},
    },
    store::{StoreError, schema::AuditRecord},
};

/// The rows and changes of one decision about relay tests.
pub(super) type RelayBatch<'a> = FeatureBatch<'a, Relay>;

impl RelayBatch<'_> {
    /// Returns the numbers of the stored jobs that are due in a range, the earliest first, at most
    /// `most`.
    pub fn scan_due(&self, from: Due, to: Due, most: usize) -> Result<Vec<u64>, StoreError> {
        let mut out = Vec::new();
        let end = DUE_JOBS.encode(&(to, u64::MAX));
        let begin = DUE_JOBS.of(&from).prefix;
        self.visit_keys(&DUE_JOBS.all(), &begin, &mut |bytes, (_, number)| {
            let within = bytes <= &end[..] && out.len() < most;
            if within {
                out.push(number);
            }
            within
        })?;
        Ok(out)
    }

    /// Returns the stored verdict of a host.
    pub fn verdict(&self, host: IpAddr) -> Result<Verdict, StoreError> {
        self.store().verdict(&Subject::host(host))
    }

    /// Whether the source `prober` lists a host, also with a hold.
    pub fn has_listing(&self, host: IpAddr) -> Result<bool, StoreError> {
        let entries = self.verdict(host)?.entries;
        Ok(entries.iter().any(|e| e.source == SourceId::PROBER))
    }

    /// Lists a host for a delivered message. With `breaks_hold`, a hold does not prevent it.
    pub fn list(
        &mut self,
        host: IpAddr,
        reason: ReasonId,
        author: &str,
        proof: String,
        breaks_hold: bool,
    ) {
        let command = Command::List {
            reason,
            source: SourceId::PROBER,
            until: None,
            text: Default::default(),
        };
        let mut change = Change::new(Subject::host(host), author, command);
        change.preconditions.breaks_hold = breaks_hold;
        self.change(change, EvidenceKind::Delivery, proof);
    }

    /// Delists a subject for a reason; without a source, for all sources.
    pub fn delist(
        &mut self,
        subject: Subject,
        (reason, source): (ReasonId, Option<SourceId>),
        hold: HoldFor,
        author: &str,
        proof: String,
    ) {
        let command = Command::Delist {
            reason: Some(reason),
            source,
            hold,
        };
        let change = Change::new(subject, author, command);
        self.change(change, EvidenceKind::Probe, proof);
    }

    fn change(&mut self, mut change: Change, kind: EvidenceKind, text: String) {
        change.evidence = Some(Evidence { kind, text });
        change.preconditions.from = "tester".into();
        self.changes.push(change);
    }

    /// Adds the audit record of a request.
    pub fn audit(
        &mut self,
        actor: &Actor,
        what: &str,
        about: &dyn ToString,
        detail: String,
        why: Option<String>,
    ) {
        self.audit = Some(AuditRecord {
            at: self.now,
            author: actor.name.clone(),
            from: actor.from.clone(),
            action: what.into(),
            target: about.to_string(),
            detail,
            note: why,
            idempotency: actor.idempotency,
            ..AuditRecord::default()
        });
    }
}
