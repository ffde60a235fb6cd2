//! Runs jobs: selects the next ones, prepares their messages, and applies their outcomes.

use std::collections::{HashSet, VecDeque};

use super::{
    batch::RelayBatch,
    control::ControlSession,
    host_names::HostNames,
    keys::{Due, Queue, RelayKey, RelayRange, RelayTable},
    messages::{MessageResult, PreparedMessage, add_plain_forms, prepare_messages},
    outcome::{Assessment, MAX_TRIES, TestResult},
    plan,
    policy::{HostRecord, InvalidTransition, Job, JobEvent, JobState, ReporterRecord, Trigger},
    proofs::{Proof, ProofOutcome},
    queue::{cancel, charge, save, schedule},
    service::{Actor, RelayError, RelayService, audit_record},
    settings::RelaySettings,
    token::TokenId,
    transcript::TranscriptLine,
};
use crate::{
    model::{Time, text::replace_controls, time::Seconds},
    smtp::{Interruption, MessageOutcome, outcome::names_blocklist},
};

/// The longest transcript of a job that is stored, in bytes.
const MAX_TRANSCRIPT_BYTES: usize = 256 * 1024;
/// The order in which queues are served, as a cycle of four jobs: every second job is that of a
/// proved claim, and the other queues share the rest. If a queue is empty, the next one of the row
/// is served.
const SCHEDULE: [[Queue; 3]; 4] = {
    use Queue::{Others, ProvedClaims, UnprovedClaims};
    [
        [ProvedClaims, UnprovedClaims, Others],
        [UnprovedClaims, Others, ProvedClaims],
        [ProvedClaims, Others, UnprovedClaims],
        [Others, UnprovedClaims, ProvedClaims],
    ]
};
/// The most due jobs that are checked in one round.
const DUE_BATCH: usize = 1000;
/// The most held jobs that are checked in one round.
const HELD_BATCH: usize = 64;
/// A heartbeat that is older means that the daemon was down.
const MAX_HEARTBEAT_AGE: Seconds = Seconds(180);
/// The number of interruptions after which a job ends.
const MAX_INTERRUPTIONS: u8 = 20;
/// The most names that are stored of a host.
const MAX_NAMES: usize = 5;

impl RelayService {
    /// Returns jobs that may run now, at most `most`. Before that, due jobs and some held jobs are
    /// scheduled again.
    pub fn due(&self, most: usize, now: Time) -> Result<Vec<Job>, RelayError> {
        let settings = self.settings();
        let health = self.lock();
        if self.problem_in(&health).is_some() {
            return Ok(Vec::new());
        }
        let mut batch = self.batch(now);
        let mut due = batch.scan_due(Due::At(Time(0)), Due::At(now), DUE_BATCH)?;
        let held = self.next_round(&batch, RelayRange::DueAt(Due::Held), HELD_BATCH)?;
        due.extend(held.iter().map(RelayKey::id));
        for id in due {
            let Some(mut job) = batch.get::<Job>(&RelayKey::Job(id))? else {
                continue;
            };
            let before = job.clone();
            if job.state == JobState::Running {
                self.interrupt(&mut batch, &mut job, &settings, Interruption::NoResult)?;
            } else {
                schedule(&batch, &settings, &mut job)?;
            }
            if job != before {
                save(&mut batch, &job)?;
            }
        }
        // Jobs that became ready are in their queues after this write.
        self.write(batch, None)?;
        let mut batch = self.batch(now);
        let mut queues: Vec<(Queue, VecDeque<Job>)> = Vec::new();
        for queue in Queue::ALL {
            let (mut waiting, at) = (VecDeque::new(), Due::Queued(queue));
            for id in batch.scan_due(at, at, most + HELD_BATCH)? {
                let Some(mut job) = batch.get::<Job>(&RelayKey::Job(id))? else {
                    continue;
                };
                if settings.allows_our_test(job.target).is_err() {
                    schedule(&batch, &settings, &mut job)?;
                    save(&mut batch, &job)?;
                } else if waiting.len() < most {
                    waiting.push_back(job);
                }
            }
            queues.push((queue, waiting));
        }
        self.write(batch, None)?;
        let mut next = |queue: Queue| {
            let (_, waiting) = queues.iter_mut().find(|(q, _)| *q == queue)?;
            waiting.pop_front()
        };
        let mut out: Vec<Job> = Vec::new();
        // Usually one test slot becomes free at a time. The current second selects the row of the
        // schedule.
        for second in now.0.. {
            let row = SCHEDULE[(second % SCHEDULE.len() as u64) as usize];
            let Some(job) = row.into_iter().find_map(&mut next) else {
                break;
            };
            out.push(job);
            if out.len() >= most {
                break;
            }
        }
        out.truncate(most);
        Ok(out)
    }

    /// Begins a job. Returns it with its messages. `new_token` returns a random identifier of a
    /// token.
    pub fn begin(
        &self,
        id: u64,
        names: &HostNames,
        new_token: &mut dyn FnMut() -> TokenId,
        now: Time,
    ) -> Result<(Job, Vec<PreparedMessage>), RelayError> {
        let settings = self.settings();
        let health = self.lock();
        if let Some(why) = self.problem_in(&health) {
            return Err(RelayError::Refused(format!(
                "no tests are run now: {why}; try again later"
            )));
        }
        let mut batch = self.batch(now);
        let mut job = self.find_job(&batch, id)?;
        if job.state == JobState::Queued || job.state == JobState::Deferred && job.not_before <= now
        {
            schedule(&batch, &settings, &mut job)?;
        }
        if job.state != JobState::Queued {
            save(&mut batch, &job)?;
            self.write(batch, None)?;
            return Err(RelayError::Refused(format!(
                "job {id} is {}: {}",
                job.state.as_str(),
                job.waiting_for
                    .as_deref()
                    .unwrap_or("only a queued job can begin")
            )));
        }
        let first = job.begun.is_none();
        if first {
            job.results = Vec::new();
        }
        job.source = job
            .source
            .filter(|s| settings.sources(job.target).contains(s));
        let ehlo_name = settings.ehlo_name_from(job.target, job.source);
        let names = &HostNames {
            hello: ehlo_name,
            ..names.clone()
        };
        let out = prepare_messages(&mut batch, &settings, &mut job, names, new_token);
        // The proved forms are sent first: they decide a claim, and a slow host is left after a
        // while.
        let proved = self.proved_forms(&batch, job.target, job.port)?;
        // A recheck has controls too, although no form counts as proved after the release.
        let proved = if job.is_claim() || job.trigger == Trigger::Recheck {
            Some(proved.unwrap_or_default())
        } else {
            proved
        };
        let out = plan::arrange(&settings, &mut job, (names, proved.as_ref(), now), out);
        // A reporter's own test, and a job without messages, do not delay our tests.
        match job.remote {
            true if first => {
                let key = RelayKey::Host(job.target);
                let mut host: HostRecord = batch.get(&key)?.unwrap_or_default();
                HostRecord::note(&mut host.remote, job.evidence.fingerprint(), now);
                batch.put(&key, &host);
                charge(&mut batch, &settings, &job, now)?;
            }
            false if first && !out.is_empty() => {
                count_test(&mut batch, &settings, &job, names)?;
            }
            _ => {}
        }
        job.apply(JobEvent::Start)?;
        (job.begun, job.waiting_for) = (Some(now), None);
        job.tries += 1;
        save(&mut batch, &job)?;
        self.write(batch, None)?;
        Ok((job, out))
    }

    /// Stores the outcomes of the first groups of a claim's messages, and releases the host if they
    /// suffice.
    pub fn progress(
        &self,
        id: u64,
        results: Vec<MessageResult>,
        controls: Vec<ControlSession>,
        now: Time,
    ) -> Result<(), RelayError> {
        let _guard = self.lock();
        let mut batch = self.batch(now);
        let Some(mut job) = batch
            .get::<Job>(&RelayKey::Job(id))?
            .filter(|j| j.state == JobState::Running)
        else {
            return Ok(());
        };
        add_results(&mut job, results);
        job.add_controls(controls);
        save(&mut batch, &job)?;
        self.release_early(&mut batch, &mut job)?;
        save(&mut batch, &job)?;
        self.write(batch, None).map(drop)
    }

    /// Stores the outcomes of a job's messages. The job ends, unless messages are sent again
    /// later.
    pub fn finish(
        &self,
        id: u64,
        results: Vec<MessageResult>,
        controls: Vec<ControlSession>,
        transcript: &[TranscriptLine],
        now: Time,
    ) -> Result<Job, RelayError> {
        let settings = self.settings();
        let _guard = self.lock();
        let mut batch = self.batch(now);
        let mut job = self.find_job(&batch, id)?;
        if job.state != JobState::Running {
            return Err(RelayError::Refused(format!("job {id} is not running")));
        }
        // Messages without an outcome were not sent.
        let reported: HashSet<usize> = results.iter().map(|r| r.place).collect();
        let is_to_send = |r: &TestResult| r.outcome.is_not_sent() || r.outcome.is_deferred();
        let is_interrupted = !job.remote
            && job
                .results
                .iter()
                .enumerate()
                .any(|(place, r)| is_to_send(r) && !reported.contains(&place));
        add_results(&mut job, results);
        job.add_controls(controls);
        append_transcript(&mut batch, id, transcript)?;
        let is_deferred = job.results.iter().any(|r| r.outcome.is_deferred());
        if is_interrupted {
            // The tester was switched off. Messages that were not sent do not count.
            self.interrupt(&mut batch, &mut job, &settings, Interruption::SwitchedOff)?;
        } else if job.remote {
            // Outcomes that a reporter reports do not count; only arrivals do.
            job.apply(JobEvent::Finish)?;
            (job.ended, job.waiting_for) = (Some(now), None);
        } else if is_deferred && job.tries < MAX_TRIES {
            let retry = usize::from(job.tries.saturating_sub(1));
            let pause = settings.retry_delays[retry.min(settings.retry_delays.len() - 1)];
            job.apply(JobEvent::Retry)?;
            job.not_before = now.plus(pause);
            job.waiting_for = Some(format!(
                "the host deferred some messages; next try at {}",
                job.not_before
            ));
        } else {
            give_up_deferred(&mut job);
            if add_plain_forms(&settings, &mut job) {
                job.apply(JobEvent::Retry)?;
                (job.not_before, job.tries) = (now.plus(Seconds(1)), 0);
                job.waiting_for = Some("delivered forms are sent again from our own domain".into());
            } else {
                job.apply(JobEvent::Finish)?;
                (job.ended, job.waiting_for) = (Some(now), None);
                save(&mut batch, &job)?;
                self.apply_result(&mut batch, &mut job)?;
            }
        }
        save(&mut batch, &job)?;
        let record = (job.state == JobState::Done).then(|| {
            let tester = Actor {
                name: "tester".into(),
                from: job.by.clone(),
                idempotency: None,
            };
            let row = job
                .row
                .map_or_else(String::new, |r| format!(" ({})", r.name()));
            let detail = format!("job {id}: {}{row}", job.assessment().as_str());
            audit_record(&tester, "test", &job.target, detail, None, now)
        });
        self.write(batch, record)?;
        Ok(job)
    }

    /// Adds the rows of [`RelayTable::ListingProofs`] to a store of an earlier version.
    fn complete_listing_proofs(&self, batch: &mut RelayBatch<'_>) -> Result<(), RelayError> {
        if batch
            .get::<bool>(&RelayKey::ListingProofsComplete)?
            .is_some()
        {
            return Ok(());
        }
        for key in batch.scan(RelayRange::All(RelayTable::Proofs), usize::MAX)? {
            let listed = |p: &Proof| matches!(p.outcome, ProofOutcome::Listed(_));
            let Some(p) = batch.get::<Proof>(&key)?.filter(listed) else {
                continue;
            };
            batch.put(&RelayKey::ListingProof(p.input, p.id), &());
            batch.put(&RelayKey::ListingProof(p.output, p.id), &());
        }
        batch.put(&RelayKey::ListingProofsComplete, &true);
        Ok(())
    }

    /// Interrupts a job. If the job ends, a delivery counts for the reporter; a missing one does
    /// not count against the reporter.
    fn interrupt(
        &self,
        batch: &mut RelayBatch<'_>,
        job: &mut Job,
        settings: &RelaySettings,
        why: Interruption,
    ) -> Result<(), RelayError> {
        interrupt_job(job, settings, why, batch.now)?;
        if job.assessment() == Assessment::Open {
            self.apply_result(batch, job)
        } else {
            Ok(())
        }
    }

    /// Applies the result of a job that has ended to the reputation of the reporter and to the
    /// claim.
    fn apply_result(&self, batch: &mut RelayBatch<'_>, job: &mut Job) -> Result<(), RelayError> {
        if job.is_open() || job.remote {
            return Ok(());
        }
        if job.trigger == Trigger::Nomination {
            let key = RelayKey::Reporter(job.by.clone());
            let mut reporter: ReporterRecord = batch.get(&key)?.unwrap_or_default();
            // An untestable host does not count for or against the reporter.
            if job.assessment() != Assessment::Untestable {
                reporter.note(job.id, job.assessment() == Assessment::Open);
                batch.put(&key, &reporter);
            }
        }
        if job.is_claim() {
            self.decide_tested_claim(batch, job)?;
        }
        Ok(())
    }

    /// Resumes after a start: interrupts the jobs that were running, and ends open outages.
    pub fn resume(&self, now: Time) -> Result<(), RelayError> {
        let settings = self.settings();
        let _guard = self.lock();
        let mut batch = self.batch(now);
        // Jobs of an earlier version have no entry among the due jobs.
        let indexed: HashSet<u64> = batch
            .scan(RelayRange::All(RelayTable::DueJobs), usize::MAX)?
            .iter()
            .map(RelayKey::id)
            .collect();
        for key in batch.scan(RelayRange::All(RelayTable::OpenJobs), usize::MAX)? {
            let Some(mut job) = batch.get::<Job>(&RelayKey::Job(key.id()))? else {
                continue;
            };
            let is_interrupted = job.state == JobState::Running && !job.remote;
            if is_interrupted {
                self.interrupt(&mut batch, &mut job, &settings, Interruption::Stopped)?;
            }
            if is_interrupted || !indexed.contains(&job.id) {
                save(&mut batch, &job)?;
            }
        }
        self.complete_listing_proofs(&mut batch)?;
        // Messages could not arrive while the daemon was down. Outages that were open are over.
        let heartbeat: Option<Time> = batch.get(&RelayKey::Heartbeat)?;
        let down = heartbeat
            .filter(|t| t.plus(MAX_HEARTBEAT_AGE) < now)
            .map(|t| (t, Some(now)));
        self.add_outage(&mut batch, down)?;
        RelayService::end_load(&mut batch, heartbeat)?;
        self.write(batch, None).map(drop)
    }
}

/// Interrupts a job. The run does not count as a try, and its unsent messages are sent later. A job
/// that was interrupted too often ends, except for that of a claim, which is granted after a time.
fn interrupt_job(
    job: &mut Job,
    settings: &RelaySettings,
    why: Interruption,
    now: Time,
) -> Result<(), InvalidTransition> {
    if job.remote {
        return cancel(job, "its reporter sent no results", now);
    }
    (job.interruptions, job.tries) = (
        job.interruptions.saturating_add(1),
        job.tries.saturating_sub(1),
    );
    let retries = job.interruptions < MAX_INTERRUPTIONS || job.is_claim();
    let is_interrupted = |o: &MessageOutcome| o.is_not_sent() || !retries && o.is_deferred();
    for r in job
        .results
        .iter_mut()
        .filter(|r| is_interrupted(&r.outcome))
    {
        r.outcome = if retries {
            MessageOutcome::Interrupted { why }
        } else {
            MessageOutcome::inconclusive(why.as_str())
        };
    }
    if !retries {
        return cancel(job, why.as_str(), now);
    }
    let pause = settings.retry_delays[usize::from(job.interruptions > MAX_TRIES)];
    job.apply(JobEvent::Retry)?;
    (job.not_before, job.waiting_for) = (now.plus(pause), Some(why.as_str().into()));
    Ok(())
}

/// Makes messages that were deferred in every try inconclusive.
fn give_up_deferred(job: &mut Job) {
    for r in &mut job.results {
        match &r.outcome {
            MessageOutcome::TempFail { stage, code, text } => {
                // The text of the reply is left out: it may repeat the token, and readers may see
                // this text.
                let why = format!("deferred {MAX_TRIES} times, last with {code}");
                let blocklist = names_blocklist(text);
                r.outcome = MessageOutcome::Inconclusive {
                    why,
                    deferred_at: Some(*stage),
                    blocklist,
                };
            }
            MessageOutcome::Interrupted { why } => {
                r.outcome = MessageOutcome::inconclusive(why.as_str());
            }
            _ => {}
        }
    }
}

/// Counts a test that begins, in the record of the host and in its budgets.
fn count_test(
    batch: &mut RelayBatch<'_>,
    settings: &RelaySettings,
    job: &Job,
    names: &HostNames,
) -> Result<(), RelayError> {
    let now = batch.now;
    let key = RelayKey::Host(job.target);
    let mut host: HostRecord = batch.get(&key)?.unwrap_or_default();
    host.tested = Some(now);
    for name in names.relay.iter().chain(&names.hosted) {
        if !host.names.contains(name) && host.names.len() < MAX_NAMES {
            host.names.push(name.clone());
        }
    }
    if job.trigger == Trigger::Nomination {
        HostRecord::note(&mut host.evidence, job.evidence.fingerprint(), now);
    }
    if job.trigger == (Trigger::Claim { proved: false }) {
        host.unproved = Some(now);
    }
    batch.put(&key, &host);
    Ok(charge(batch, settings, job, now)?)
}

/// Stores outcomes in the results of a job.
fn add_results(job: &mut Job, results: Vec<MessageResult>) {
    for r in results {
        if let Some(t) = job
            .results
            .get_mut(r.place)
            .filter(|t| t.outcome.superseded_by(&r.outcome))
        {
            t.outcome = r.outcome;
        }
    }
}

/// Appends lines to a job's transcript, up to [`MAX_TRANSCRIPT_BYTES`].
fn append_transcript(
    batch: &mut RelayBatch<'_>,
    id: u64,
    lines: &[TranscriptLine],
) -> Result<(), RelayError> {
    if lines.is_empty() {
        return Ok(());
    }
    let key = RelayKey::Transcript(id);
    let mut all: String = batch.get(&key)?.unwrap_or_default();
    for line in lines {
        let free = MAX_TRANSCRIPT_BYTES.saturating_sub(all.len());
        let text = replace_controls(&line.to_string()) + "\n";
        all.push_str(&text[..text.floor_char_boundary(free)]);
        if text.len() > free {
            break;
        }
    }
    batch.put(&key, &all);
    Ok(())
}
