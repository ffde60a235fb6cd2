//! Time-based work: ends waiting periods, grants untested claims, lists outputs after the grace
//! period, and removes old rows.

use std::net::IpAddr;

use super::{
    batch::RelayBatch,
    claims::{second_before, waiting_since},
    keys::{RelayKey, RelayRange, RelayTable},
    policy::{
        Budget, Claim, ClaimEvent, ClaimState, HostRecord, Job, JobState, OutputRecord,
        ReporterRecord,
    },
    proof::{IssuedToken, ProofKind, TOKEN_LIFETIME},
    proofs::Proof,
    queue::{cancel, opted_out, save},
    service::{Component, OUTPUT_REASON, REASONS, RelayError, RelayService},
    settings::RelaySettings,
};
use crate::model::{
    EventKind, SourceId, Subject, Time,
    history::{Command, HoldFor},
    time::Seconds,
};

/// How long evidence is kept after a listing has ended (safety rule S12).
const EVIDENCE_RETENTION: Seconds = Seconds(90 * 86_400);
/// How long jobs are kept after they have ended.
const JOB_RETENTION: Seconds = Seconds(365 * 86_400);
/// How often the heartbeat is stored.
const HEARTBEAT_INTERVAL: Seconds = Seconds(60);
/// How long the rows of hosts that are not listed, and of reporters without nominations, are kept.
const HOST_RETENTION: Seconds = Seconds(400 * 86_400);
/// The most rows of a table that one round of cleaning up reads.
const CLEANUP_BATCH: usize = 10_000;
/// The most claims, and the most outputs, that one round checks.
const DUE_BATCH: usize = 1000;

impl RelayService {
    /// Does the due work for claims and outputs. Each host is a commit of its own, so that a
    /// failure does not affect the others.
    pub fn tick(&self, now: Time) -> Result<(), RelayError> {
        let settings = self.settings();
        let is_clock_wrong = self.lock().has_problem(Component::Clock);
        let heartbeat: Option<Time> = self.batch(now).get(&RelayKey::Heartbeat)?;
        if heartbeat.is_none_or(|t| t.plus(HEARTBEAT_INTERVAL) <= now || t > now) {
            let mut batch = self.batch(now);
            batch.put(&RelayKey::Heartbeat, &now);
            self.write(batch, None)?;
        }
        let log_failure = |kind: &str, addr: IpAddr, done: Result<(), RelayError>| {
            if let Err(e) = done {
                tracing::warn!(%addr, kind, error = ?e, "due work failed");
            }
        };
        // After a clock jump every deadline would appear to have passed.
        let batch = self.batch(now);
        let claims = if is_clock_wrong {
            Vec::new()
        } else {
            self.next_round(&batch, RelayRange::All(RelayTable::Claims), DUE_BATCH)?
        };
        let outputs = self.next_round(&batch, RelayRange::All(RelayTable::Outputs), DUE_BATCH)?;
        for target in claims.iter().filter_map(RelayKey::host) {
            log_failure("claim", target, self.process_due_claim(target, now));
        }
        for addr in outputs.iter().filter_map(RelayKey::host) {
            log_failure(
                "output",
                addr,
                self.process_due_output(&settings, addr, now),
            );
        }
        Ok(())
    }

    fn process_due_claim(&self, target: IpAddr, now: Time) -> Result<(), RelayError> {
        let _guard = self.lock();
        let mut batch = self.batch(now);
        let host: HostRecord = batch.get(&RelayKey::Host(target))?.unwrap_or_default();
        let Some(claim) = host.claim.clone() else {
            batch.delete(&RelayKey::Claim(target));
            return self.write(batch, None).map(drop);
        };
        let Some(event) = self.due_claim_event(&batch, target, &claim)? else {
            return Ok(());
        };
        match claim.state().after(event) {
            Some(ClaimState::Withdrawn) => return self.forget_claim(batch, target, host),
            Some(ClaimState::Released) if event == ClaimEvent::NotTested => {
                let job = batch.get::<Job>(&RelayKey::Job(claim.job))?;
                if let Some(mut job) = job.filter(|j| j.state.is_waiting()) {
                    let why = "granted on request: not tested within two days";
                    cancel(&mut job, why, now)?;
                    save(&mut batch, &job)?;
                }
                let why = ("not tested within two days", true);
                self.release(&mut batch, target, why, claim.at)?;
            }
            Some(ClaimState::Released) => {
                // Messages of the claim's own test still count.
                let why = "not all tests were refused, and no message was delivered in five days";
                self.release(&mut batch, target, (why, false), second_before(claim.at))?;
            }
            _ => return Ok(()),
        }
        self.write(batch, None).map(drop)
    }

    /// Returns the event that is due for a claim at the time of the batch.
    fn due_claim_event(
        &self,
        batch: &RelayBatch<'_>,
        target: IpAddr,
        claim: &Claim,
    ) -> Result<Option<ClaimEvent>, RelayError> {
        let verdict = batch.verdict(&Subject::host(target))?;
        // After an opt-out deliveries no longer count, so the claim could not be refuted.
        if !self.is_listed_as_input(&verdict) || opted_out(batch, target)?.is_some() {
            return Ok(Some(ClaimEvent::Withdraw));
        }
        if let Some(release) = claim.release {
            // The waiting period is paused while messages cannot be delivered.
            let began = waiting_since(release);
            let paused = Self::waiting_paused(batch, claim.at, began, batch.now)?;
            let end = release.plus(paused);
            return Ok((batch.now >= end).then_some(ClaimEvent::WaitingPeriodOver));
        }
        let job = batch.get::<Job>(&RelayKey::Job(claim.job))?;
        let Some(job) = job.filter(Job::is_open) else {
            return Ok(Some(ClaimEvent::Withdraw));
        };
        let paused = Self::grant_paused(batch, claim.at, claim.due)?;
        let is_late = batch.now >= claim.grant_time(job.begun).plus(paused);
        Ok((is_late && job.state != JobState::Running).then_some(ClaimEvent::NotTested))
    }

    fn forget_claim(
        &self,
        mut batch: RelayBatch<'_>,
        target: IpAddr,
        host: HostRecord,
    ) -> Result<(), RelayError> {
        batch.put(
            &RelayKey::Host(target),
            &HostRecord {
                claim: None,
                ..host
            },
        );
        batch.delete(&RelayKey::Claim(target));
        self.write(batch, None).map(drop)
    }

    /// Updates an output: removes inputs that are no longer listed, lists the output after the
    /// grace period, and delists it with its last input.
    fn process_due_output(
        &self,
        settings: &RelaySettings,
        addr: IpAddr,
        now: Time,
    ) -> Result<(), RelayError> {
        let health = self.lock();
        let mut batch = self.batch(now);
        let key = RelayKey::Output(addr);
        let Some(before) = batch.get::<OutputRecord>(&key)? else {
            return Ok(());
        };
        let mut row = before.clone();
        let mut open = Vec::new();
        for f in row.inputs.drain(..) {
            if self.is_listed(
                &batch.verdict(&Subject::host(f.input))?,
                ProofKind::Input.reason(),
            ) {
                open.push(f);
            }
        }
        row.inputs = open;
        let verdict = batch.verdict(&Subject::host(addr))?;
        let listed = self.is_listed(&verdict, OUTPUT_REASON);
        if row.listed && !listed {
            // The listing has expired or was removed, so only later deliveries count.
            row = OutputRecord::default();
        }
        let is_due = row
            .proved()
            .is_some_and(|t| t.plus(settings.grace_period) <= now)
            && self.problem_in(&health).is_none();
        if listed && row.inputs.is_empty() {
            let command = Command::Delist {
                reason: Some(self.reason(OUTPUT_REASON)?),
                source: Some(SourceId::PROBER),
                hold: HoldFor::Nothing,
            };
            batch.change(
                Subject::host(addr),
                "tester",
                command,
                "all hosts that it delivered for are closed".into(),
                false,
            );
            row.listed = false;
        } else if is_due
            && opted_out(&batch, addr)?.is_none()
            && !row.listed
            && !verdict.is_suppressed(self.reason(OUTPUT_REASON)?, SourceId::PROBER)
        {
            let inputs: Vec<String> = row
                .inputs
                .iter()
                .map(|f| format!("[{}]", f.input))
                .collect();
            let command = Command::List {
                reason: self.reason(OUTPUT_REASON)?,
                source: SourceId::PROBER,
                until: None,
                text: None,
            };
            batch.change(
                Subject::host(addr),
                "tester",
                command,
                format!("delivers messages of open relays: {}", inputs.join(", ")),
                false,
            );
            row.listed = true;
        }
        match row.inputs.is_empty() {
            true => batch.delete(&key),
            false if row != before => batch.put(&key, &row),
            false if batch.changes.is_empty() => return Ok(()),
            false => {}
        }
        self.write(batch, None).map(drop)
    }

    /// Removes old rows: tokens, jobs with their transcripts, and evidence of listings that ended
    /// over 90 days ago.
    pub fn forget(&self, now: Time) -> Result<(), RelayError> {
        let _guard = self.lock();
        let mut batch = self.batch(now);
        for k in self.next_round(&batch, RelayRange::All(RelayTable::Tokens), CLEANUP_BATCH)? {
            if batch
                .get::<IssuedToken>(&k)?
                .is_some_and(|i| i.at.plus(TOKEN_LIFETIME).plus(Seconds(86_400)) < now)
            {
                batch.delete(&k);
            }
        }
        let before = Time(now.0.saturating_sub(EVIDENCE_RETENTION.0));
        let listed = |a: IpAddr| -> Result<bool, RelayError> {
            Ok(self
                .ledger
                .store
                .verdict(&Subject::host(a))?
                .entries
                .iter()
                .any(|e| e.source == SourceId::PROBER))
        };
        for k in self.next_round(&batch, RelayRange::All(RelayTable::Proofs), CLEANUP_BATCH)? {
            let Some(proof) = batch.get::<Proof>(&k)? else {
                continue;
            };
            let is_expired = proof.at.plus(EVIDENCE_RETENTION) < now
                && !listed(proof.input)?
                && !listed(proof.output)?;
            if is_expired
                && self.ended_before(proof.input, before)?
                && self.ended_before(proof.output, before)?
            {
                batch.delete(&RelayKey::InputProof(proof.input, proof.id));
                batch.delete(&RelayKey::OutputProof(proof.output, proof.id));
                batch.delete(&RelayKey::ListingProof(proof.input, proof.id));
                batch.delete(&RelayKey::ListingProof(proof.output, proof.id));
                batch.delete(&RelayKey::Transcript(proof.job));
                batch.delete(&k);
            }
        }
        for k in self.next_round(&batch, RelayRange::All(RelayTable::Jobs), CLEANUP_BATCH)? {
            let Some(job) = batch
                .get::<Job>(&k)?
                .filter(|j| j.ended.is_some_and(|t| t.plus(EVIDENCE_RETENTION) < now))
            else {
                continue;
            };
            // The transcript is removed before its job. If a proof needs it, it is removed with the
            // proof.
            let transcript = RelayKey::Transcript(job.id);
            if !listed(job.target)?
                && batch.contains(&transcript)?
                && self.ended_before(job.target, before)?
            {
                batch.delete(&transcript);
            }
            if job.ended.is_none_or(|t| t.plus(JOB_RETENTION) >= now) {
                continue;
            }
            batch.delete(&RelayKey::HostJob(job.target, job.id));
            batch.delete(&RelayKey::Transcript(job.id));
            batch.delete(&k);
        }
        self.remove_unused_records(&mut batch)?;
        self.write(batch, None).map(drop)
    }

    /// Removes the rows of hosts, budgets and reporters that were not used for a long time.
    fn remove_unused_records(&self, batch: &mut RelayBatch<'_>) -> Result<(), RelayError> {
        let now = batch.now;
        let is_old = |t: Option<Time>| t.is_none_or(|t| t.plus(HOST_RETENTION) < now);
        for k in self.next_round(batch, RelayRange::All(RelayTable::Hosts), CLEANUP_BATCH)? {
            let (Some(host), Some(addr)) = (batch.get::<HostRecord>(&k)?, k.host()) else {
                continue;
            };
            let times = [
                host.tested,
                host.released,
                host.unproved,
                host.remote.iter().map(|g| g.0).max(),
            ];
            let is_unused = host.claim.is_none() && times.into_iter().all(is_old);
            if is_unused
                && batch
                    .verdict(&Subject::host(addr))?
                    .entries
                    .iter()
                    .all(|e| e.source != SourceId::PROBER)
            {
                batch.delete(&k);
            }
        }
        for table in [RelayTable::PrefixBudgets, RelayTable::NetworkBudgets] {
            for k in self.next_round(batch, RelayRange::All(table), CLEANUP_BATCH)? {
                if batch.get::<Budget>(&k)?.is_some_and(|b| b.is_over(now)) {
                    batch.delete(&k);
                }
            }
        }
        for k in self.next_round(batch, RelayRange::All(RelayTable::Reporters), CLEANUP_BATCH)? {
            if batch
                .get::<ReporterRecord>(&k)?
                .is_some_and(|r| is_old(Some(r.last())))
            {
                batch.delete(&k);
            }
        }
        Ok(())
    }

    /// Whether the last listing of a host by a relay test ended before a time. Listings by feeds do
    /// not count.
    fn ended_before(&self, target: IpAddr, time: Time) -> Result<bool, RelayError> {
        let history = self.ledger.store.history(&Subject::host(target))?;
        let v = self.ledger.store.dictionary();
        let ours: Vec<_> = REASONS.iter().filter_map(|r| v.reasons.get(r)).collect();
        let is_ours = |what: &EventKind| {
            what.about().is_some_and(|(reason, source)| {
                ours.contains(&reason) && [SourceId::PROBER, SourceId::ALL].contains(&source)
            })
        };
        Ok(history
            .iter()
            .filter(|e| is_ours(&e.what))
            .map(|e| e.at)
            .max()
            .is_none_or(|t| t < time))
    }
}
