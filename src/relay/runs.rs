//! Runs jobs: selects the next ones, prepares their messages, and applies their outcomes.

use std::collections::{HashSet, VecDeque};

use super::{
    actor::Actor,
    advice::RepairAdvice,
    batch::RelayBatch,
    control::{ControlCheck, ControlSession},
    host_names::HostNames,
    messages::{MessageResult, PreparedMessage, add_plain_forms, prepare_messages},
    outcome::{Assessment, MAX_TRIES, TestResult},
    plan,
    policy::{HostRecord, InvalidTransition, Job, JobEvent, JobState, Trigger},
    proof::ProofOutcome,
    queue::{cancel, charge, save, schedule},
    service::{RelayError, RelayService},
    settings::RelaySettings,
    survey_rows,
    tables::{
        DUE_JOBS, Due, HEARTBEAT, HOSTS, JOBS, LISTING_PROOFS, LISTING_PROOFS_COMPLETE, OPEN_JOBS,
        PROOFS, Queue, REPORTERS, TRANSCRIPTS,
    },
    token::TokenId,
    transcript::TranscriptLine,
};
use crate::{
    model::{Time, text::replace_controls, time::Seconds},
    smtp::{Interruption, MessageOutcome, outcome::names_blocklist},
    store::StoreError,
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
        let held = self
            .rounds
            .next(&batch, &DUE_JOBS.of(&Due::Held), HELD_BATCH)?;
        due.extend(held.iter().map(|(_, id)| id));
        for id in due {
            let Some(mut job) = batch.get(JOBS, &id)? else {
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
        self.write(batch)?;
        let mut batch = self.batch(now);
        let mut queues: [VecDeque<Job>; Queue::ALL.len()] = Default::default();
        for queue in Queue::ALL {
            let at = Due::Queued(queue);
            for id in batch.scan_due(at, at, most + HELD_BATCH)? {
                let Some(mut job) = batch.get(JOBS, &id)? else {
                    continue;
                };
                let waiting = &mut queues[queue as usize];
                if settings.allows_our_test(job.target).is_err() {
                    schedule(&batch, &settings, &mut job)?;
                    save(&mut batch, &job)?;
                } else if waiting.len() < most {
                    waiting.push_back(job);
                }
            }
        }
        self.write(batch)?;
        // Usually one test slot becomes free at a time. The current second selects the row of the
        // schedule.
        let rows = (now.0..).map(|second| SCHEDULE[(second % SCHEDULE.len() as u64) as usize]);
        let jobs = rows.map_while(|row| {
            row.into_iter()
                .find_map(|queue| queues[queue as usize].pop_front())
        });
        Ok(jobs.take(most).collect())
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
            self.write(batch)?;
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
        let sources = settings.sources(job.target);
        job.source = job.source.filter(|s| sources.contains(s));
        let names = &HostNames {
            hello: settings.ehlo_name_from(job.target, job.source),
            ..names.clone()
        };
        if job.is_claim() {
            // Forms may have been proved in a run that was interrupted, or since.
            self.resend_proved_since(&batch, &mut job)?;
        }
        let out = prepare_messages(&mut batch, &settings, &mut job, names, new_token);
        // The proved forms are sent first: they decide a claim, and a slow host is left after a
        // while.
        let proved = self.proved_forms(&batch, job.target, job.port)?;
        if job.is_claim()
            && let Some(proved) = &proved
        {
            job.proved_forms = proved.tests.iter().cloned().collect();
        }
        // A recheck has controls too, although no form counts as proved after the release.
        let proved = if job.is_claim() || job.trigger == Trigger::Recheck {
            Some(proved.unwrap_or_default())
        } else {
            proved
        };
        let out = plan::arrange(&settings, &mut job, names, proved.as_ref(), now, out);
        // A reporter's own test, and a job without messages, do not delay our tests.
        if first && job.remote {
            batch.update(HOSTS, &job.target, |host| {
                HostRecord::note(&mut host.remote, job.evidence.fingerprint(), now);
            })?;
            charge(&mut batch, &settings, &job, now)?;
        } else if first && !out.is_empty() {
            count_test(&mut batch, &settings, &job, names)?;
        }
        job.apply(JobEvent::Start)?;
        (job.begun, job.waiting_for) = (Some(now), None);
        job.tries += 1;
        save(&mut batch, &job)?;
        self.write(batch)?;
        Ok((job, out))
    }

    /// Returns which setting to change, for a host that defers the proved forms.
    fn advice(
        &self,
        batch: &RelayBatch<'_>,
        job: &Job,
    ) -> Result<Option<RepairAdvice>, RelayError> {
        let proved = self.proved_forms(batch, job.target, job.port)?;
        Ok(RepairAdvice::of(&job.results, &proved.unwrap_or_default()))
    }

    /// Stores the outcomes of a running test so far, so that its owner sees them as they come. The
    /// host of a claim is released if they suffice. Outcomes that are stored already may be
    /// repeated.
    pub fn progress(
        &self,
        id: u64,
        results: Vec<MessageResult>,
        controls: Vec<ControlSession>,
        now: Time,
    ) -> Result<(), RelayError> {
        let _guard = self.lock();
        let mut batch = self.batch(now);
        let job = batch.get(JOBS, &id)?;
        let Some(mut job) = job.filter(|j| j.state == JobState::Running) else {
            return Ok(());
        };
        add_results(&mut job, results);
        job.add_controls(controls);
        save(&mut batch, &job)?;
        if job.is_claim() {
            job.advice = self.advice(&batch, &job)?;
            self.release_early(&mut batch, &mut job)?;
            save(&mut batch, &job)?;
        }
        self.write(batch).map(drop)
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
        let mut places = job.results.iter().enumerate();
        let is_interrupted =
            !job.remote && places.any(|(place, r)| is_to_send(r) && !reported.contains(&place));
        add_results(&mut job, results);
        job.add_controls(controls);
        if job.is_claim() {
            // The replies to deferred messages are not kept after the last try.
            job.advice = self.advice(&batch, &job)?;
        }
        append_transcript(&mut batch, id, transcript)?;
        let is_deferred = job.results.iter().any(|r| r.outcome.is_deferred());
        let is_proved_since =
            job.is_claim() && !is_interrupted && self.resend_proved_since(&batch, &mut job)?;
        if is_interrupted {
            // The tester was switched off. Messages that were not sent do not count.
            self.interrupt(&mut batch, &mut job, &settings, Interruption::SwitchedOff)?;
        } else if job.remote {
            // Outcomes that a reporter reports do not count; only arrivals do.
            finish_job(&mut job, now)?;
        } else if is_proved_since && (!is_deferred || job.tries >= MAX_TRIES) {
            // This run does not count as a try.
            job.tries = job.tries.saturating_sub(1);
            let why = "forms that were proved since are sent again with a control".into();
            retry(&mut job, now.plus(Seconds(1)), why)?;
        } else if is_deferred && job.tries < MAX_TRIES {
            let tried = usize::from(job.tries.saturating_sub(1));
            let pause = settings.retry_delays[tried.min(settings.retry_delays.len() - 1)];
            let at = now.plus(pause);
            let why = format!("the host deferred some messages; next try at {at}");
            retry(&mut job, at, why)?;
        } else {
            give_up_deferred(&mut job);
            if add_plain_forms(&settings, &mut job) {
                job.tries = 0;
                let why = "delivered forms are sent again from our own domain".into();
                retry(&mut job, now.plus(Seconds(1)), why)?;
            } else {
                finish_job(&mut job, now)?;
                save(&mut batch, &job)?;
                self.apply_result(&mut batch, &mut job)?;
            }
        }
        save(&mut batch, &job)?;
        if job.state == JobState::Done {
            survey_rows::count(&mut batch, &job)?;
            let tester = Actor {
                name: "tester".into(),
                from: job.by.clone(),
                idempotency: None,
            };
            let row = job
                .row
                .map_or_else(String::new, |r| format!(" ({})", r.name()));
            let detail = format!("job {id}: {}{row}", job.assessment().as_str());
            batch.audit(&tester, "test", &job.target, detail, None);
        }
        self.write(batch)?;
        Ok(job)
    }

    /// Makes the refused messages of a claim's test be sent again if an earlier test has proved
    /// their forms since this test was planned: the queue of a host may deliver for a while after
    /// its owner has closed it. Without a control in their sessions, their refusals would not show
    /// that the host is closed. Returns whether there are any. A form is proved once, so each is
    /// sent again once.
    fn resend_proved_since(
        &self,
        batch: &RelayBatch<'_>,
        job: &mut Job,
    ) -> Result<bool, RelayError> {
        let proved = self.proved_forms(batch, job.target, job.port)?;
        let proved = proved.unwrap_or_default();
        let is_controlled = |place| job.controls.iter().any(|s| s.places.contains(&place));
        let mut is_any = false;
        for (place, r) in job.results.iter_mut().enumerate() {
            if proved.tests.contains(&r.test)
                && !job.proved_forms.contains(&r.test)
                && r.outcome.is_refused()
                && !is_controlled(place)
            {
                r.outcome = MessageOutcome::Interrupted {
                    why: Interruption::ProvedSince,
                };
                is_any = true;
            }
        }
        Ok(is_any)
    }

    /// Adds the rows of [`LISTING_PROOFS`] to a store of an earlier version.
    fn complete_listing_proofs(&self, batch: &mut RelayBatch<'_>) -> Result<(), RelayError> {
        if batch.get(LISTING_PROOFS_COMPLETE, &())?.is_some() {
            return Ok(());
        }
        for id in batch.scan(&PROOFS.all(), usize::MAX)? {
            let proof = batch.get(PROOFS, &id)?;
            if let Some(p) = proof.filter(|p| matches!(p.outcome, ProofOutcome::Listed(_))) {
                batch.put(LISTING_PROOFS, &(p.input, p.id), &());
                batch.put(LISTING_PROOFS, &(p.output, p.id), &());
            }
        }
        batch.put(LISTING_PROOFS_COMPLETE, &(), &true);
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
        // An untestable host does not count for or against the reporter.
        let assessment = job.assessment();
        if job.trigger == Trigger::Nomination && assessment != Assessment::Untestable {
            batch.update(REPORTERS, &job.by, |reporter| {
                reporter.note(job.id, assessment == Assessment::Open);
            })?;
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
        let indexed = batch.scan(&DUE_JOBS.all(), usize::MAX)?;
        let indexed: HashSet<u64> = indexed.into_iter().map(|(_, id)| id).collect();
        for id in batch.scan(&OPEN_JOBS.all(), usize::MAX)? {
            let Some(mut job) = batch.get(JOBS, &id)? else {
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
        let heartbeat = batch.get(HEARTBEAT, &())?;
        let down = heartbeat
            .filter(|t| t.plus(MAX_HEARTBEAT_AGE) < now)
            .map(|t| (t, Some(now)));
        self.add_outage(&mut batch, down)?;
        RelayService::end_load(&mut batch, heartbeat)?;
        self.write(batch).map(drop)
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
    if retries {
        resend_without_control(job, why);
    }
    for outcome in job.results.iter_mut().map(|r| &mut r.outcome) {
        if !(outcome.is_not_sent() || !retries && outcome.is_deferred()) {
            continue;
        }
        *outcome = if retries {
            MessageOutcome::Interrupted { why }
        } else {
            MessageOutcome::inconclusive(why.as_str())
        };
    }
    if !retries {
        return cancel(job, why.as_str(), now);
    }
    let pause = settings.retry_delays[usize::from(job.interruptions > MAX_TRIES)];
    retry(job, now.plus(pause), why.as_str().into())
}

/// Makes the refused messages of sessions that ended before their last control be sent again, because
/// without that control their refusals do not show that the host is closed.
fn resend_without_control(job: &mut Job, why: Interruption) {
    let is_cut = |s: &mut ControlSession| s.after == ControlCheck::default();
    for session in job.controls.extract_if(.., is_cut) {
        for place in session.places {
            let outcome = job.results.get_mut(place).map(|r| &mut r.outcome);
            if let Some(outcome) = outcome.filter(|o| o.is_refused()) {
                *outcome = MessageOutcome::Interrupted { why };
            }
        }
    }
}

/// Makes a running job wait until a time, to run again.
fn retry(job: &mut Job, at: Time, why: String) -> Result<(), InvalidTransition> {
    job.apply(JobEvent::Retry)?;
    (job.not_before, job.waiting_for) = (at, Some(why));
    Ok(())
}

fn finish_job(job: &mut Job, now: Time) -> Result<(), InvalidTransition> {
    job.apply(JobEvent::Finish)?;
    (job.ended, job.waiting_for) = (Some(now), None);
    Ok(())
}

/// Makes messages that were deferred in every try inconclusive.
fn give_up_deferred(job: &mut Job) {
    for r in &mut job.results {
        match &r.outcome {
            MessageOutcome::TempFail { stage, code, text } => {
                // The text of the reply is left out: it may repeat the token, and readers may see
                // this text.
                r.outcome = MessageOutcome::Inconclusive {
                    why: format!("deferred {MAX_TRIES} times, last with {code}"),
                    deferred_at: Some(*stage),
                    blocklist: names_blocklist(text),
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
) -> Result<(), StoreError> {
    let now = batch.now;
    batch.update(HOSTS, &job.target, |host| {
        // The holder's own tests do not delay those of others.
        if job.trigger != Trigger::SelfTest {
            host.tested = Some(now);
        }
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
    })?;
    charge(batch, settings, job, now)
}

/// Stores outcomes in the results of a job.
fn add_results(job: &mut Job, results: Vec<MessageResult>) {
    for r in results {
        let result = job.results.get_mut(r.place);
        if let Some(t) = result.filter(|t| t.outcome.superseded_by(&r.outcome)) {
            t.outcome = r.outcome;
        }
    }
}

/// Appends lines to a job's transcript, up to [`MAX_TRANSCRIPT_BYTES`].
fn append_transcript(
    batch: &mut RelayBatch<'_>,
    id: u64,
    lines: &[TranscriptLine],
) -> Result<(), StoreError> {
    if lines.is_empty() {
        return Ok(());
    }
    batch.update(TRANSCRIPTS, &id, |all| {
        for line in lines {
            let free = MAX_TRANSCRIPT_BYTES.saturating_sub(all.len());
            let text = replace_controls(&line.to_string()) + "\n";
            all.push_str(&text[..text.floor_char_boundary(free)]);
            if text.len() > free {
                break;
            }
        }
    })
}
