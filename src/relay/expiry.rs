//! Time-based work: ends waiting periods, grants untested claims, lists outputs after the grace
//! period, and removes old rows.

use std::net::IpAddr;

use serde::de::DeserializeOwned;

use super::{
    batch::RelayBatch,
    claims::{second_before, waiting_since},
    policy::{Claim, ClaimEvent, ClaimState, HostRecord, Job, JobState, OutputRecord},
    proof::ProofKind,
    queue::{cancel, opted_out, save},
    service::{Component, OUTPUT_REASON, REASONS, RelayError, RelayService},
    settings::RelaySettings,
    tables::{
        CLAIMS, HEARTBEAT, HOST_JOBS, HOSTS, INPUT_PROOFS, JOBS, LISTING_PROOFS, NETWORK_BUDGETS,
        OUTPUT_PROOFS, OUTPUTS, PREFIX_BUDGETS, PROOFS, REPORTERS, RelayTable, TOKENS, TRANSCRIPTS,
    },
};
use crate::{
    ledger::KeyPart,
    model::{Event, Retention, SourceId, Subject, Time, history::HoldFor, time::Seconds},
};

/// How often the heartbeat is stored.
const HEARTBEAT_INTERVAL: Seconds = Seconds(60);
/// The most rows of a table that one round of cleaning up reads.
const CLEANUP_BATCH: usize = 10_000;
/// The most claims, and the most outputs, that one round checks.
const DUE_BATCH: usize = 1000;

/// How many rows [`RelayService::forget`] has removed or changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForgottenRows {
    /// Messages and transcripts.
    pub evidence: u64,
    /// Texts of reporters.
    pub texts: u64,
    /// Jobs.
    pub jobs: u64,
    /// Records of hosts and reporters.
    pub hosts: u64,
    /// Tokens of test messages.
    pub tokens: u64,
}

impl ForgottenRows {
    fn add(&mut self, other: ForgottenRows) {
        self.evidence += other.evidence;
        self.texts += other.texts;
        self.jobs += other.jobs;
        self.hosts += other.hosts;
        self.tokens += other.tokens;
    }
}

impl RelayService {
    /// Does the due work for claims and outputs. Each host is a commit of its own, so that a
    /// failure does not affect the others.
    pub fn tick(&self, now: Time) -> Result<(), RelayError> {
        let settings = self.settings();
        let is_clock_wrong = self.lock().has_problem(Component::Clock);
        let heartbeat = self.batch(now).get(HEARTBEAT, &())?;
        if heartbeat.is_none_or(|t| t.plus(HEARTBEAT_INTERVAL) <= now || t > now) {
            let mut batch = self.batch(now);
            batch.put(HEARTBEAT, &(), &now);
            self.write(batch)?;
        }
        let log_failure = |kind: &str, addr: IpAddr, done: Result<(), RelayError>| {
            if let Err(e) = done {
                tracing::warn!(%addr, kind, error = ?e, "due work failed");
            }
        };
        let batch = self.batch(now);
        // After a clock jump every deadline would appear to have passed.
        if !is_clock_wrong {
            for target in self.rounds.next(&batch, &CLAIMS.all(), DUE_BATCH)? {
                log_failure("claim", target, self.process_due_claim(target, now));
            }
        }
        for addr in self.rounds.next(&batch, &OUTPUTS.all(), DUE_BATCH)? {
            let done = self.process_due_output(&settings, addr, now);
            log_failure("output", addr, done);
        }
        Ok(())
    }

    fn process_due_claim(&self, target: IpAddr, now: Time) -> Result<(), RelayError> {
        let _guard = self.lock();
        let mut batch = self.batch(now);
        let host = batch.get_or_default(HOSTS, &target)?;
        let Some(claim) = host.claim.clone() else {
            batch.delete(CLAIMS, &target);
            return self.write(batch).map(drop);
        };
        let Some(event) = self.due_claim_event(&batch, target, &claim)? else {
            return Ok(());
        };
        match claim.state().after(event) {
            Some(ClaimState::Withdrawn) => {
                batch.put(
                    HOSTS,
                    &target,
                    &HostRecord {
                        claim: None,
                        ..host
                    },
                );
                batch.delete(CLAIMS, &target);
            }
            Some(ClaimState::Released) if event == ClaimEvent::NotTested => {
                let job = batch.get(JOBS, &claim.job)?;
                if let Some(mut job) = job.filter(|j| j.state.is_waiting()) {
                    let why = "granted on request: not tested within two days";
                    cancel(&mut job, why, now)?;
                    save(&mut batch, &job)?;
                }
                let why = "not tested within two days";
                self.release(&mut batch, target, why, true, claim.at)?;
            }
            Some(ClaimState::Released) => {
                // Messages of the claim's own test still count.
                let why = "not all tests were refused, and no message was delivered in five days";
                self.release(&mut batch, target, why, false, second_before(claim.at))?;
            }
            _ => return Ok(()),
        }
        self.write(batch).map(drop)
    }

    /// Returns the event that is due for a claim at the time of the batch.
    fn due_claim_event(
        &self,
        batch: &RelayBatch<'_>,
        target: IpAddr,
        claim: &Claim,
    ) -> Result<Option<ClaimEvent>, RelayError> {
        let verdict = batch.verdict(target)?;
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
        let job = batch.get(JOBS, &claim.job)?;
        let Some(job) = job.filter(Job::is_open) else {
            return Ok(Some(ClaimEvent::Withdraw));
        };
        let paused = Self::grant_paused(batch, claim.at, claim.due)?;
        let is_late = batch.now >= claim.grant_time(job.begun).plus(paused);
        Ok((is_late && job.state != JobState::Running).then_some(ClaimEvent::NotTested))
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
        let Some(before) = batch.get(OUTPUTS, &addr)? else {
            return Ok(());
        };
        let mut row = before.clone();
        let mut open = Vec::new();
        for f in row.inputs.drain(..) {
            if self.is_listed(&batch.verdict(f.input)?, ProofKind::Input.reason()) {
                open.push(f);
            }
        }
        row.inputs = open;
        let verdict = batch.verdict(addr)?;
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
            let listing = (self.reason(OUTPUT_REASON)?, Some(SourceId::PROBER));
            let why = "all hosts that it delivered for are closed".into();
            batch.delist(
                Subject::host(addr),
                listing,
                HoldFor::Nothing,
                "tester",
                why,
            );
            row.listed = false;
        } else if is_due
            && opted_out(&batch, addr)?.is_none()
            && !row.listed
            && !verdict.is_suppressed(self.reason(OUTPUT_REASON)?, SourceId::PROBER)
        {
            let inputs = row.inputs.iter().map(|f| format!("[{}]", f.input));
            let inputs = inputs.collect::<Vec<_>>().join(", ");
            let text = format!("delivers messages of open relays: {inputs}");
            batch.list(addr, self.reason(OUTPUT_REASON)?, "tester", text, false);
            row.listed = true;
        }
        if row.inputs.is_empty() {
            batch.delete(OUTPUTS, &addr);
        } else if row != before {
            batch.put(OUTPUTS, &addr, &row);
        }
        self.write(batch).map(drop)
    }

    /// Removes the rows whose retention is over: tokens, evidence, jobs with their transcripts, and
    /// records of hosts and reporters. Reads each table once, in rounds, so that decisions are made
    /// in between.
    pub fn forget(&self, now: Time) -> Result<ForgottenRows, RelayError> {
        let mut forgotten = ForgottenRows::default();
        loop {
            self.forget_round(now, &mut forgotten)?;
            let tables = [
                TOKENS.all().prefix,
                PROOFS.all().prefix,
                JOBS.all().prefix,
                HOSTS.all().prefix,
                PREFIX_BUDGETS.all().prefix,
                NETWORK_BUDGETS.all().prefix,
                REPORTERS.all().prefix,
            ];
            if !self.rounds.has_any(&tables) {
                return Ok(forgotten);
            }
        }
    }

    fn forget_round(&self, now: Time, forgotten: &mut ForgottenRows) -> Result<(), RelayError> {
        let _guard = self.lock();
        let mut batch = self.batch(now);
        let mut done = ForgottenRows::default();
        let period = self.retention().relay_tokens;
        done.tokens =
            self.remove_rows(&mut batch, TOKENS, |issued| issued.at.plus(period) < now)?;
        self.remove_old_proofs(&mut batch, &mut done)?;
        self.remove_old_jobs(&mut batch, &mut done)?;
        self.remove_unused_records(&mut batch, &mut done)?;
        self.write(batch)?;
        forgotten.add(done);
        Ok(())
    }

    /// Removes evidence of listings that ended long ago.
    fn remove_old_proofs(
        &self,
        batch: &mut RelayBatch<'_>,
        done: &mut ForgottenRows,
    ) -> Result<(), RelayError> {
        let period = self.retention().relay_evidence;
        for id in self.rounds.next(batch, &PROOFS.all(), CLEANUP_BATCH)? {
            let Some(proof) = batch.get(PROOFS, &id)? else {
                continue;
            };
            let hosts = [proof.input, proof.output];
            if proof.at.plus(period) < batch.now && self.is_forgotten(batch, &hosts)? {
                batch.delete(INPUT_PROOFS, &(proof.input, id));
                batch.delete(OUTPUT_PROOFS, &(proof.output, id));
                for host in hosts {
                    batch.delete(LISTING_PROOFS, &(host, id));
                }
                batch.delete(TRANSCRIPTS, &proof.job);
                batch.delete(PROOFS, &id);
                done.evidence += 1;
            }
        }
        Ok(())
    }

    /// Removes the texts of reporters, transcripts, and jobs that ended long ago.
    fn remove_old_jobs(
        &self,
        batch: &mut RelayBatch<'_>,
        done: &mut ForgottenRows,
    ) -> Result<(), RelayError> {
        let (periods, now) = (self.retention(), batch.now);
        for id in self.rounds.next(batch, &JOBS.all(), CLEANUP_BATCH)? {
            let Some(mut job) = batch.get(JOBS, &id)? else {
                continue;
            };
            let ended = job.ended;
            let ended_before = |period| ended.is_some_and(|t| t.plus(period) < now);
            // The transcript is removed before its job. If a proof needs it, it is removed with the
            // proof.
            if ended_before(periods.relay_evidence)
                && batch.contains(TRANSCRIPTS, &id)?
                && self.is_forgotten(batch, &[job.target])?
            {
                batch.delete(TRANSCRIPTS, &id);
                done.evidence += 1;
            }
            if ended_before(periods.relay_jobs) {
                batch.delete(HOST_JOBS, &(job.target, id));
                batch.delete(TRANSCRIPTS, &id);
                batch.delete(JOBS, &id);
                done.jobs += 1;
            } else if ended_before(periods.reporter_texts) && !job.evidence.text.is_empty() {
                job.evidence.text.clear();
                batch.put(JOBS, &id, &job);
                done.texts += 1;
            }
        }
        Ok(())
    }

    /// Removes the rows of hosts, budgets and reporters that were not used for a long time.
    fn remove_unused_records(
        &self,
        batch: &mut RelayBatch<'_>,
        done: &mut ForgottenRows,
    ) -> Result<(), RelayError> {
        let (now, period) = (batch.now, self.retention().relay_hosts);
        let is_old = |t: Option<Time>| t.is_none_or(|t| t.plus(period) < now);
        for addr in self.rounds.next(batch, &HOSTS.all(), CLEANUP_BATCH)? {
            let Some(host) = batch.get(HOSTS, &addr)? else {
                continue;
            };
            let times = [
                host.tested,
                host.released,
                host.unproved,
                host.remote.iter().map(|g| g.0).max(),
            ];
            let is_unused = host.claim.is_none() && times.into_iter().all(is_old);
            if is_unused && !batch.has_listing(addr)? {
                batch.delete(HOSTS, &addr);
                done.hosts += 1;
            }
        }
        self.remove_rows(batch, PREFIX_BUDGETS, |b| b.is_over(now))?;
        self.remove_rows(batch, NETWORK_BUDGETS, |b| b.is_over(now))?;
        done.hosts += self.remove_rows(batch, REPORTERS, |r| is_old(Some(r.last())))?;
        Ok(())
    }

    /// Removes the rows of a table that `is_unused` selects. Returns their number.
    fn remove_rows<K: KeyPart, V: DeserializeOwned>(
        &self,
        batch: &mut RelayBatch<'_>,
        table: &RelayTable<K, V>,
        is_unused: impl Fn(&V) -> bool,
    ) -> Result<u64, RelayError> {
        let mut removed = 0;
        for key in self.rounds.next(batch, &table.all(), CLEANUP_BATCH)? {
            if batch.get(table, &key)?.is_some_and(|v| is_unused(&v)) {
                batch.delete(table, &key);
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn retention(&self) -> Retention {
        self.ledger.settings().retention
    }

    /// Whether no relay test lists one of the hosts, and the last such listing ended so long ago
    /// that its evidence is removed. Listings by feeds do not count.
    fn is_forgotten(&self, batch: &RelayBatch<'_>, hosts: &[IpAddr]) -> Result<bool, RelayError> {
        let period = self.retention().relay_evidence;
        let before = Time(batch.now.0.saturating_sub(period.0));
        let is_ours = |e: &Event| {
            let source = e.kind.about().map(|(_, source)| source);
            source.is_some_and(|s| [SourceId::PROBER, SourceId::ALL].contains(&s))
        };
        for host in hosts {
            if batch.has_listing(*host)?
                || self
                    .last_event(*host, &REASONS, is_ours)?
                    .is_some_and(|t| t >= before)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
