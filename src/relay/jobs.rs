//! Accepts nominations of hosts, and decisions about jobs.

use std::net::IpAddr;

use super::{
    batch::RelayBatch,
    claims::withdraw,
    keys::{RelayKey, RelayRange, RelayTable},
    policy::{
        EvidenceSummary, HostRecord, Job, JobState, MAX_EVIDENCE_AGE, ReporterRecord, Trigger,
    },
    queue::{cancel, new_job, open_job, opted_out, save, schedule},
    service::{Actor, MAX_OPEN_JOBS, RelayError, RelayService, audit_record},
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
            let name = RelayKey::Reporter(who.name.clone());
            let mut reporter: ReporterRecord = batch.get(&name)?.unwrap_or_default();
            if !reporter.count(settings.nominations_per_day, now) {
                let most = settings.nominations_per_day;
                return Err(RelayError::LimitReached(
                    format!("{most} nominations a day are accepted from one reporter"),
                    reporter.next_day(now),
                ));
            }
            needs_no_approval = !reporter.needs_approval();
            batch.put(&name, &reporter);
        }
        let is_not_nominated = |j: &Job| !matches!(j.trigger, Trigger::Nomination | Trigger::Owner);
        // A test of another port is a different test, and a recheck sends only a few forms.
        let is_same_test = |j: &Job| {
            j.remote == n.remote
                && j.trigger != Trigger::Recheck
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
                self.merge_nomination(batch, who, &job, (n, needs_no_approval))
            };
        }
        if batch
            .scan(RelayRange::All(RelayTable::OpenJobs), MAX_OPEN_JOBS)?
            .len()
            >= MAX_OPEN_JOBS
        {
            return Err(RelayError::LimitReached(
                format!("{MAX_OPEN_JOBS} jobs are waiting"),
                FULL_RETRY_AFTER,
            ));
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
                return Err(RelayError::LimitReached(
                    why.clone(),
                    Seconds(job.not_before.0.saturating_sub(now.0)),
                ));
            }
        }
        save(&mut batch, &job)?;
        let record = audit_record(
            who,
            "nominate",
            &job.target,
            format!("job {}", job.id),
            Some(job.evidence.text.chars().take(500).collect()),
            now,
        );
        self.write(batch, Some(record))?;
        Ok(job)
    }

    /// Merges a nomination into a waiting job of the same host, so that a waiting job cannot keep
    /// out new evidence or more tests. `needs_no_approval` is about the new reporter.
    fn merge_nomination(
        &self,
        mut batch: RelayBatch<'_>,
        who: &Actor,
        job: &Job,
        (n, needs_no_approval): (Nomination, bool),
    ) -> Result<Job, RelayError> {
        let mut merged = job.clone();
        if !n.remote && job.begun.is_none() && job.state.is_waiting() {
            let host: HostRecord = batch.get(&RelayKey::Host(n.target))?.unwrap_or_default();
            // The evidence that leads to an earlier test is kept; of two equal ones, the newer.
            let time = |g: &EvidenceSummary| {
                (
                    host.nomination_time(g.fingerprint(), false, batch.now),
                    std::cmp::Reverse(g.at),
                )
            };
            if time(&n.evidence) < time(&job.evidence) {
                merged.evidence = n.evidence;
            }
            // The job keeps its first reporter, unless it would need approval without the new one.
            let reporter: ReporterRecord = batch
                .get(&RelayKey::Reporter(job.by.clone()))?
                .unwrap_or_default();
            if needs_no_approval && !job.approved && reporter.needs_approval() {
                merged.by.clone_from(&who.name);
            }
            merged.approved |= needs_no_approval;
            if job.trigger == Trigger::Owner && !n.owner && needs_no_approval {
                // Unlike a request of the owner, a nomination by a third party also counts against
                // outputs.
                (merged.trigger, merged.by) = (Trigger::Nomination, who.name.clone());
            }
            merged
                .names
                .extend(n.names.into_iter().filter(|name| !job.names.contains(name)));
            merged.names.truncate(MAX_NAMES);
            match job.only.is_empty() || n.only.is_empty() {
                true => merged.only.clear(),
                false => merged
                    .only
                    .extend(n.only.into_iter().filter(|t| !job.only.contains(t))),
            }
            schedule(&batch, &self.settings(), &mut merged)?;
        }
        if merged != *job {
            save(&mut batch, &merged)?;
            let text = merged.evidence.text.chars().take(500).collect();
            let record = audit_record(
                who,
                "nominate",
                &job.target,
                format!("job {}, merged", job.id),
                Some(text),
                batch.now,
            );
            self.write(batch, Some(record))?;
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
        self.write(
            batch,
            Some(audit_record(
                who,
                if run { "job.approve" } else { "job.refuse" },
                &job.target,
                format!("job {id}"),
                None,
                now,
            )),
        )?;
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
        let numbers = batch.scan_ids_desc(
            RelayRange::All(if open {
                RelayTable::OpenJobs
            } else {
                RelayTable::Jobs
            }),
            before.unwrap_or(u64::MAX),
            most,
        )?;
        numbers
            .into_iter()
            .map(|n| self.find_job(&batch, n))
            .collect()
    }

    /// Returns the transcript of a job.
    pub fn transcript(&self, id: u64) -> Result<Vec<TranscriptLine>, RelayError> {
        let text: Option<String> = self.batch(self.now()).get(&RelayKey::Transcript(id))?;
        Ok(parse_transcript(&text.unwrap_or_default()))
    }
}
