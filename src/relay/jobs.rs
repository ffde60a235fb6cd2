//! Accepts nominations of hosts, and decisions about jobs.

use std::net::IpAddr;

use super::{
    actor::Actor,
    batch::RelayBatch,
    claims::withdraw,
    policy::{EvidenceSummary, Job, JobState, MAX_EVIDENCE_AGE, Trigger},
    queue::{cancel, new_job, open_job, opted_out, save, schedule},
    service::{MAX_OPEN_JOBS, RelayError, RelayService},
    tables::{HOSTS, JOBS, OPEN_JOBS, REPORTERS, TRANSCRIPTS},
    transcript::{TranscriptLine, parse_transcript},
};
use crate::model::{Time, time::Seconds};

/// A request to test one host, with evidence.
#[derive(Debug, Clone)]
pub struct Nomination {
    /// The host.
    pub target: IpAddr,
    /// The port, if it is not 25.
    pub port: Option<u16>,
    /// The evidence.
    pub evidence: EvidenceSummary,
    /// Whether the caller has the role of an editor or a higher one, so that the nomination needs
    /// no approval.
    pub decides: bool,
    /// Whether the caller has proved to own the host.
    pub owner: bool,
    /// Whether the caller sends the messages.
    pub remote: bool,
    /// Possible names of the host, from the evidence.
    pub names: Vec<String>,
    /// The tests to run; all if empty.
    pub only: Vec<String>,
}

/// The most names of a job.
const MAX_NAMES: usize = 10;
/// When a client should retry if too many jobs wait.
const FULL_RETRY_AFTER: Seconds = Seconds(3600);
/// How far in the future the time of evidence may be, because clocks differ.
const MAX_CLOCK_SKEW: Seconds = Seconds(300);

impl RelayService {
    /// Accepts a nomination. Returns its job, which is the open job of the host if there is one.
    pub fn nominate(&self, who: &Actor, n: Nomination, now: Time) -> Result<Job, RelayError> {
        let settings = self.settings();
        let n = Nomination {
            port: settings.other_port(n.port),
            ..n
        };
        let _guard = self.lock();
        if n.evidence.text.trim().is_empty() {
            return Err(RelayError::Invalid(
                "evidence: missing; give the identifier of a message, a line of a log, or the request of the owner".into(),
            ));
        }
        if n.evidence.at.plus(MAX_EVIDENCE_AGE) < now {
            return Err(RelayError::Invalid(
                "at: the evidence is older than 14 days".into(),
            ));
        }
        if n.evidence.at > now.plus(MAX_CLOCK_SKEW) {
            return Err(RelayError::Invalid("at: the time is in the future".into()));
        }
        if let Some(name) = n.only.iter().find(|o| settings.catalogue.get(o).is_none()) {
            return Err(RelayError::Invalid(format!(
                "tests: there is no test `{name}`; /v1/tests lists all tests"
            )));
        }
        let mut batch = self.batch(now);
        if let Some(out) = opted_out(&batch, n.target)? {
            return Err(RelayError::Refused(format!("{out} asked not to be tested")));
        }
        let mut needs_no_approval = n.decides || n.owner;
        if !needs_no_approval {
            let mut reporter = batch.get_or_default(REPORTERS, &who.name)?;
            let most = settings.nominations_per_day;
            if !reporter.count(most, now) {
                let why = format!("{most} nominations a day are accepted from one reporter");
                return Err(RelayError::LimitReached(why, reporter.next_day(now)));
            }
            needs_no_approval = !reporter.needs_approval();
            batch.put(REPORTERS, &who.name, &reporter);
        }
        let is_not_nominated = |j: &Job| !matches!(j.trigger, Trigger::Nomination | Trigger::Owner);
        // A test of another port is a different test, a recheck sends only a few forms, and the
        // holder's own test lists no host.
        let is_same_test = |j: &Job| {
            j.remote == n.remote
                && !matches!(j.trigger, Trigger::Recheck | Trigger::SelfTest)
                && settings.other_port(j.port) == n.port
        };
        if let Some(job) = open_job(&batch, n.target, is_same_test)? {
            if n.remote && job.by != who.name {
                // The tokens of a job are given to one reporter only.
                return Err(RelayError::Refused(
                    "another reporter is testing this host; try again later".into(),
                ));
            }
            // The test of a claim or a review is not changed by a nomination.
            return if is_not_nominated(&job) {
                Ok(job)
            } else {
                self.merge_nomination(batch, who, &job, n, needs_no_approval)
            };
        }
        if batch.scan(&OPEN_JOBS.all(), MAX_OPEN_JOBS)?.len() >= MAX_OPEN_JOBS {
            let why = format!("{MAX_OPEN_JOBS} jobs are waiting");
            return Err(RelayError::LimitReached(why, FULL_RETRY_AFTER));
        }
        let trigger = if n.owner {
            Trigger::Owner
        } else {
            Trigger::Nomination
        };
        let mut job = new_job(&mut batch, n.target, trigger, &who.name, n.evidence)?;
        (job.port, job.approved, job.remote) = (n.port, n.decides || n.owner, n.remote);
        (job.names, job.only) = (n.names, n.only);
        schedule(&batch, &settings, &mut job)?;
        if job.remote {
            // A deferred remote job is not stored, so that it cannot block others. The reporter
            // retries.
            settings
                .allows_any_test(job.target)
                .map_err(RelayError::Refused)?;
            if let (JobState::Deferred, Some(why)) = (job.state, &job.waiting_for) {
                let pause = Seconds(job.not_before.0.saturating_sub(now.0));
                return Err(RelayError::LimitReached(why.clone(), pause));
            }
        }
        save(&mut batch, &job)?;
        audit_nomination(&mut batch, who, &job, format!("job {}", job.id));
        self.write(batch)?;
        Ok(job)
    }

    /// Merges a nomination into a waiting job of the same host, so that a waiting job cannot keep
    /// out new evidence or more tests. `needs_no_approval` is about the new reporter.
    fn merge_nomination(
        &self,
        mut batch: RelayBatch<'_>,
        who: &Actor,
        job: &Job,
        n: Nomination,
        needs_no_approval: bool,
    ) -> Result<Job, RelayError> {
        let mut merged = job.clone();
        if !n.remote && job.begun.is_none() && job.state.is_waiting() {
            let host = batch.get_or_default(HOSTS, &n.target)?;
            // The evidence that leads to an earlier test is kept; of two equal ones, the newer.
            let time = |g: &EvidenceSummary| {
                let at = host.nomination_time(g.fingerprint(), false, batch.now);
                (at, std::cmp::Reverse(g.at))
            };
            if time(&n.evidence) < time(&job.evidence) {
                merged.evidence = n.evidence;
            }
            // The job keeps its first reporter, unless it would need approval without the new one.
            let reporter = batch.get_or_default(REPORTERS, &job.by)?;
            if needs_no_approval && !job.approved && reporter.needs_approval() {
                merged.by.clone_from(&who.name);
            }
            merged.approved |= needs_no_approval;
            if job.trigger == Trigger::Owner && !n.owner && needs_no_approval {
                // Unlike a request of the owner, a nomination by a third party also counts against
                // outputs.
                (merged.trigger, merged.by) = (Trigger::Nomination, who.name.clone());
            }
            let new_names = n.names.into_iter().filter(|name| !job.names.contains(name));
            merged.names.extend(new_names);
            merged.names.truncate(MAX_NAMES);
            if job.only.is_empty() || n.only.is_empty() {
                merged.only.clear();
            } else {
                let new_tests = n.only.into_iter().filter(|t| !job.only.contains(t));
                merged.only.extend(new_tests);
            }
            schedule(&batch, &self.settings(), &mut merged)?;
        }
        if merged != *job {
            save(&mut batch, &merged)?;
            let detail = format!("job {}, merged", job.id);
            audit_nomination(&mut batch, who, &merged, detail);
            self.write(batch)?;
        }
        Ok(merged)
    }

    /// Approves a waiting job (`run`), or cancels it.
    pub fn decide(&self, who: &Actor, id: u64, run: bool, now: Time) -> Result<Job, RelayError> {
        let settings = self.settings();
        let _guard = self.lock();
        let mut batch = self.batch(now);
        let mut job = self.find_job(&batch, id)?;
        if !job.state.is_waiting() {
            return Err(RelayError::Refused(
                "the job is running or has ended".into(),
            ));
        }
        if run {
            job.approved = true;
            schedule(&batch, &settings, &mut job)?;
        } else {
            cancel(&mut job, "refused by an editor", now)?;
            withdraw(&mut batch, &job)?;
        }
        save(&mut batch, &job)?;
        let what = if run { "job.approve" } else { "job.refuse" };
        batch.audit(who, what, &job.target, format!("job {id}"), None);
        self.write(batch)?;
        Ok(job)
    }

    /// Returns a job.
    pub fn job(&self, id: u64) -> Result<Job, RelayError> {
        self.find_job(&self.batch(self.now()), id)
    }

    /// Returns jobs with numbers below `before`, the newest first, at most `most`; with `open`,
    /// only those that have not ended.
    pub fn jobs(
        &self,
        before: Option<u64>,
        open: bool,
        most: usize,
    ) -> Result<Vec<Job>, RelayError> {
        let batch = self.batch(self.now());
        let table = if open { OPEN_JOBS.all() } else { JOBS.all() };
        batch
            .scan_numbers_desc(&table, before.unwrap_or(u64::MAX), most)?
            .into_iter()
            .map(|n| self.find_job(&batch, n))
            .collect()
    }

    /// Returns the transcript of a job.
    pub fn transcript(&self, id: u64) -> Result<Vec<TranscriptLine>, RelayError> {
        let text = self.batch(self.now()).get_or_default(TRANSCRIPTS, &id)?;
        Ok(parse_transcript(&text))
    }
}

fn audit_nomination(batch: &mut RelayBatch<'_>, who: &Actor, job: &Job, detail: String) {
    let why = job.evidence.text.chars().take(500).collect();
    batch.audit(who, "nominate", &job.target, detail, Some(why));
}
