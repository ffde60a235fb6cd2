//! Runs jobs: which is next, its messages, and what follows from their outcomes.

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
    model::{Time, text::cleaned, time::Seconds},
    smtp::{Interruption, MessageOutcome, outcome::names_blocklist},
};

/// The longest transcript of a job that is kept, in bytes.
const MAX_TRANSCRIPT_BYTES: usize = 256 * 1024;
/// The order in which the queues are served, of four jobs: every second is a proved claim's, the
/// others share the rest. Where a queue is empty the next one of the row is served.
const SCHEDULE: [[Queue; 3]; 4] = {
    use Queue::{Others, ProvedClaims, UnprovedClaims};
    [
        [ProvedClaims, UnprovedClaims, Others],
        [UnprovedClaims, Others, ProvedClaims],
        [ProvedClaims, Others, UnprovedClaims],
        [Others, UnprovedClaims, ProvedClaims],
    ]
};
/// Jobs whose time has come that are looked at in one round.
const DUE_BATCH: usize = 1000;
/// Held jobs that are looked at in one round.
const HELD_BATCH: usize = 64;
/// A heartbeat that is older means that the daemon was down.
const MAX_HEARTBEAT_AGE: Seconds = Seconds(180);
/// How often a job may be interrupted until it ends.
const MAX_INTERRUPTIONS: u8 = 20;
/// The names that are remembered of a host.
const MAX_NAMES: usize = 5;

impl RelayService {
    /// Jobs that may run now, the oldest first; at most `most`. Jobs whose time has come and some
    /// of those that are held are decided about again.
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
        // Jobs that are ready now are in their queues from here on.
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
        // As a rule one place becomes free at a time: the second decides whose it is.
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

    /// Begins a job: its messages, with their tokens. `names` are what is known of the host;
    /// `new_token` makes numbers of tokens.
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
                "no tests are made now: {why}; try again later"
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
        let hello = settings.ehlo_name_from(job.target, job.source);
        let names = &HostNames {
            hello,
            ..names.clone()
        };
        let out = prepare_messages(&mut batch, &settings, &mut job, names, new_token);
        // First the forms that have proved the host open: a slow host is left after a while, and a
        // claim is decided by these.
        let came = self.proved_forms(&batch, job.target, job.port)?;
        // After a release no form counts as having come through, and a recheck has only forms that
        // had.
        let came = if job.is_claim() || job.cause == Trigger::Recheck {
            Some(came.unwrap_or_default())
        } else {
            came
        };
        let out = plan::arrange(&settings, &mut job, (names, came.as_ref(), now), out);
        // What a reporter sends, and a job that sends nothing, delays no test of ours.
        match job.remote {
            true if first => {
                let slot = RelayKey::Host(job.target);
                let mut host: HostRecord = batch.get(&slot)?.unwrap_or_default();
                HostRecord::note(&mut host.remote, job.grounds.fingerprint(), now);
                batch.put(&slot, &host);
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

    /// Stores the outcomes of the first groups of a claim's messages; the host is released now
    /// where they suffice.
    pub fn progress(
        &self,
        id: u64,
        ran: Vec<MessageResult>,
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
        add_results(&mut job, ran);
        job.add_controls(controls);
        save(&mut batch, &job)?;
        self.release_early(&mut batch, &mut job)?;
        save(&mut batch, &job)?;
        self.write(batch, None).map(drop)
    }

    /// Stores the outcomes of a job's messages. Messages that were deferred are sent again later;
    /// otherwise the job ends.
    pub fn finish(
        &self,
        id: u64,
        ran: Vec<MessageResult>,
        controls: Vec<ControlSession>,
        transcript: &[TranscriptLine],
        now: Time,
    ) -> Result<Job, RelayError> {
        let settings = self.settings();
        let _guard = self.lock();
        let mut batch = self.batch(now);
        let mut job = self.find_job(&batch, id)?;
        if job.state != JobState::Running {
            return Err(RelayError::Refused(format!("job {id} does not run")));
        }
        // A message that was to be sent and has no outcome was not sent.
        let reported: HashSet<usize> = ran.iter().map(|r| r.place).collect();
        let is_to_send = |r: &TestResult| r.outcome.is_not_sent() || r.outcome.is_deferred();
        let is_interrupted = !job.remote
            && job
                .results
                .iter()
                .enumerate()
                .any(|(place, r)| is_to_send(r) && !reported.contains(&place));
        add_results(&mut job, ran);
        job.add_controls(controls);
        append_transcript(&mut batch, id, transcript)?;
        let is_deferred = job.results.iter().any(|r| r.outcome.is_deferred());
        if is_interrupted {
            // The tester was switched off: what was not sent says nothing about the host.
            self.interrupt(&mut batch, &mut job, &settings, Interruption::SwitchedOff)?;
        } else if job.remote {
            // A reporter's outcomes are no outcomes of ours: only what arrives counts.
            job.apply(JobEvent::Finish)?;
            (job.ended, job.waiting_for) = (Some(now), None);
        } else if is_deferred && job.tries < MAX_TRIES {
            let retry = usize::from(job.tries.saturating_sub(1));
            let pause = settings.retry_delays[retry.min(settings.retry_delays.len() - 1)];
            job.apply(JobEvent::Retry)?;
            job.not_before = now.plus(pause);
            job.waiting_for = Some(format!(
                "some tests were put off; tried again at {}",
                job.not_before
            ));
        } else {
            give_up_deferred(&mut job);
            if add_plain_forms(&settings, &mut job) {
                job.apply(JobEvent::Retry)?;
                (job.not_before, job.tries) = (now.plus(Seconds(1)), 0);
                job.waiting_for = Some(
                    "the forms that came through are sent once more, from our own domain".into(),
                );
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
                once: None,
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

    /// Interrupts a job. Where the job ends by that, a delivery counts for the reporter of the
    /// host, and no delivery does not count against the reporter.
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

    /// Applies the result of a job that has ended: to the reporter's reputation and to the claim.
    fn apply_result(&self, batch: &mut RelayBatch<'_>, job: &mut Job) -> Result<(), RelayError> {
        if job.is_open() || job.remote {
            return Ok(());
        }
        if job.cause == Trigger::Nomination {
            let slot = RelayKey::Reporter(job.by.clone());
            let mut reporter: ReporterRecord = batch.get(&slot)?.unwrap_or_default();
            // A host that could not be tested says nothing about the reporter.
            if job.assessment() != Assessment::Untestable {
                reporter.note(job.id, job.assessment() == Assessment::Open);
                batch.put(&slot, &reporter);
            }
        }
        if job.is_claim() {
            self.claim_tested(batch, job)?;
        }
        Ok(())
    }

    /// Interrupts the jobs that ran when the daemon was stopped, and ends what the stop has cut.
    pub fn resume(&self, now: Time) -> Result<(), RelayError> {
        let settings = self.settings();
        let _guard = self.lock();
        let mut batch = self.batch(now);
        // A store of an earlier version does not say when its jobs are due.
        let known: HashSet<u64> = batch
            .scan(RelayRange::All(RelayTable::DueJobs), usize::MAX)?
            .iter()
            .map(RelayKey::id)
            .collect();
        for key in batch.scan(RelayRange::All(RelayTable::OpenJobs), usize::MAX)? {
            let Some(mut job) = batch.get::<Job>(&RelayKey::Job(key.id()))? else {
                continue;
            };
            let is_cut = job.state == JobState::Running && !job.remote;
            if is_cut {
                self.interrupt(&mut batch, &mut job, &settings, Interruption::Stopped)?;
            }
            if is_cut || !known.contains(&job.id) {
                save(&mut batch, &job)?;
            }
        }
        self.complete_listing_proofs(&mut batch)?;
        // Nothing could arrive while the daemon was down, and an outage that the stop has cut is
        // over.
        let alive: Option<Time> = batch.get(&RelayKey::Heartbeat)?;
        let down = alive
            .filter(|t| t.plus(MAX_HEARTBEAT_AGE) < now)
            .map(|t| (t, Some(now)));
        self.add_outage(&mut batch, down)?;
        RelayService::end_load(&mut batch, alive)?;
        self.write(batch, None).map(drop)
    }
}

/// Interrupts a job: that is not one of its tries, and says nothing about the host, the claim or
/// the reporter. What was not sent is sent later. A job that is interrupted again and again ends,
/// but not a claim's, which is granted in time.
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
    let again = job.interruptions < MAX_INTERRUPTIONS || job.is_claim();
    let is_cut = |o: &MessageOutcome| o.is_not_sent() || !again && o.is_deferred();
    for r in job.results.iter_mut().filter(|r| is_cut(&r.outcome)) {
        r.outcome = if again {
            MessageOutcome::Interrupted { why }
        } else {
            MessageOutcome::inconclusive(why.as_str())
        };
    }
    if !again {
        return cancel(job, why.as_str(), now);
    }
    let pause = settings.retry_delays[usize::from(job.interruptions > MAX_TRIES)];
    job.apply(JobEvent::Retry)?;
    (job.not_before, job.waiting_for) = (now.plus(pause), Some(why.as_str().into()));
    Ok(())
}

/// What was deferred in every try has no outcome.
fn give_up_deferred(job: &mut Job) {
    for r in &mut job.results {
        match &r.outcome {
            MessageOutcome::TempFail { stage, code, text } => {
                // Without the reply's text: servers repeat tokens, and readers see this.
                let why = format!("put off {MAX_TRIES} times, last with {code}");
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

/// Counts a test that begins, for the host and its budgets.
fn count_test(
    batch: &mut RelayBatch<'_>,
    settings: &RelaySettings,
    job: &Job,
    names: &HostNames,
) -> Result<(), RelayError> {
    let now = batch.now;
    let slot = RelayKey::Host(job.target);
    let mut host: HostRecord = batch.get(&slot)?.unwrap_or_default();
    host.tested = Some(now);
    for name in names.relay.iter().chain(&names.hosted) {
        if !host.names.contains(name) && host.names.len() < MAX_NAMES {
            host.names.push(name.clone());
        }
    }
    if job.cause == Trigger::Nomination {
        HostRecord::note(&mut host.grounds, job.grounds.fingerprint(), now);
    }
    if job.cause == (Trigger::Claim { proved: false }) {
        host.unproved = Some(now);
    }
    batch.put(&slot, &host);
    Ok(charge(batch, settings, job, now)?)
}

/// Puts outcomes into a job's results.
fn add_results(job: &mut Job, ran: Vec<MessageResult>) {
    for r in ran {
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
    let slot = RelayKey::Transcript(id);
    let mut all: String = batch.get(&slot)?.unwrap_or_default();
    for line in lines {
        let free = MAX_TRANSCRIPT_BYTES.saturating_sub(all.len());
        let text = cleaned(&line.to_string()) + "\n";
        all.push_str(&text[..text.floor_char_boundary(free)]);
        if text.len() > free {
            break;
        }
    }
    batch.put(&slot, &all);
    Ok(())
}
