//! Nominations of hosts, and decisions about jobs.

use std::net::IpAddr;

use super::{
    batch::RelayBatch,
    claims::forget,
    keys::{RelayKey, RelayRange, RelayTable},
    policy::{EVIDENCE_LIFE, EvidenceSummary, HostRecord, Job, JobState, ReporterRecord, Trigger},
    queue::{cancel, new_job, open_job, opted_out, save, schedule},
    service::{Actor, MAX_OPEN_JOBS, RelayError, RelayService, audit_record},
    transcript::{TranscriptLine, parse_transcript},
};
use crate::model::{Time, time::Seconds};

/// A request to test a host, and the reason.
#[derive(Debug, Clone)]
pub struct Nomination {
    /// One host.
    pub target: IpAddr,
    /// Instead of 25.
    pub port: Option<u16>,
    /// What was seen.
    pub grounds: EvidenceSummary,
    /// The caller is an editor or more, whose nominations need no approval.
    pub decides: bool,
    /// The caller has proved to own the host.
    pub owner: bool,
    /// The caller sends the messages.
    pub remote: bool,
    /// Names that the host may have, from the evidence.
    pub names: Vec<String>,
    /// Only these tests.
    pub only: Vec<String>,
}

/// The most names of a job.
const MAX_NAMES: usize = 10;
/// When to try again where too many jobs wait.
const FULL_RETRY_AFTER: Seconds = Seconds(3600);
/// How far in the future a time may lie, for clocks that differ.
const MAX_CLOCK_SKEW: Seconds = Seconds(300);

impl RelayService {
    /// Accepts a nomination. Returns its job, or the open job of the host that it joins.
    pub fn nominate(&self, who: &Actor, n: Nomination, now: Time) -> Result<Job, RelayError> {
        let settings = self.settings();
        let n = Nomination {
            port: settings.other_port(n.port),
            ..n
        };
        let _guard = self.lock();
        if n.grounds.text.trim().is_empty() {
            return Err(RelayError::Invalid(
                "evidence: a message's id, a line of a log, or the owner's request is what leads to a test".into(),
            ));
        }
        if n.grounds.at.plus(EVIDENCE_LIFE) < now {
            return Err(RelayError::Invalid(
                "at: evidence older than 14 days leads to no test".into(),
            ));
        }
        if n.grounds.at > now.plus(MAX_CLOCK_SKEW) {
            return Err(RelayError::Invalid("at: that has not happened yet".into()));
        }
        if let Some(name) = n.only.iter().find(|o| settings.catalogue.get(o).is_none()) {
            return Err(RelayError::Invalid(format!(
                "tests: there is no test `{name}`; /v1/tests shows all"
            )));
        }
        let mut batch = self.batch(now);
        if let Some(out) = opted_out(&batch, n.target)? {
            return Err(RelayError::Refused(format!("{out} asked not to be tested")));
        }
        let mut agrees = n.decides || n.owner;
        if !agrees {
            let name = RelayKey::Reporter(who.name.clone());
            let mut reporter: ReporterRecord = batch.get(&name)?.unwrap_or_default();
            if !reporter.count(settings.nominations_per_day, now) {
                let most = settings.nominations_per_day;
                return Err(RelayError::LimitReached(
                    format!("{most} nominations a day are taken from one reporter"),
                    reporter.next_day(now),
                ));
            }
            agrees = !reporter.is_watched();
            batch.put(&name, &reporter);
        }
        let claim = |j: &Job| !matches!(j.cause, Trigger::Nomination | Trigger::Owner);
        // A test of another port is another test; and a recheck is made of a few forms alone.
        let same = |j: &Job| {
            j.remote == n.remote
                && j.cause != Trigger::Recheck
                && settings.other_port(j.port) == n.port
        };
        if let Some(job) = open_job(&batch, n.target, same)? {
            if n.remote && job.by != who.name {
                // Tokens are for one reporter alone.
                return Err(RelayError::Refused(
                    "another reporter tests this host now; try again later".into(),
                ));
            }
            // A claim's or a review's test is made as it is.
            return if claim(&job) {
                Ok(job)
            } else {
                self.join(batch, who, &job, (n, agrees))
            };
        }
        if batch
            .scan(RelayRange::All(RelayTable::OpenJobs), MAX_OPEN_JOBS)?
            .len()
            >= MAX_OPEN_JOBS
        {
            return Err(RelayError::LimitReached(
                format!("{MAX_OPEN_JOBS} jobs wait already"),
                FULL_RETRY_AFTER,
            ));
        }
        let cause = if n.owner {
            Trigger::Owner
        } else {
            Trigger::Nomination
        };
        let mut job = new_job(&mut batch, n.target, cause, &who.name, n.grounds)?;
        (job.port, job.approved, job.remote) = (n.port, n.decides || n.owner, n.remote);
        (job.names, job.only) = (n.names, n.only);
        schedule(&batch, &settings, &mut job)?;
        if job.remote {
            // A deferred remote job is not stored, so that it cannot block others; the reporter
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
            Some(job.grounds.text.chars().take(500).collect()),
            now,
        );
        self.write(batch, Some(record))?;
        Ok(job)
    }

    /// Joins a nomination with a job of the same host that waits: a waiting job cannot keep out
    /// another's evidence, or more tests. `agrees` means that the new reporter needs no approval.
    fn join(
        &self,
        mut batch: RelayBatch<'_>,
        who: &Actor,
        job: &Job,
        (n, agrees): (Nomination, bool),
    ) -> Result<Job, RelayError> {
        let mut joined = job.clone();
        if !n.remote && job.begun.is_none() && job.state.is_waiting() {
            let host: HostRecord = batch.get(&RelayKey::Host(n.target))?.unwrap_or_default();
            // The evidence that leads to a test sooner, and of two the newer one.
            let time = |g: &EvidenceSummary| {
                (
                    host.nomination_time(g.fingerprint(), false, batch.now),
                    std::cmp::Reverse(g.at),
                )
            };
            if time(&n.grounds) < time(&job.grounds) {
                joined.grounds = n.grounds;
            }
            // The job stays with its first reporter, unless it would need approval without the new
            // one.
            let reporter: ReporterRecord = batch
                .get(&RelayKey::Reporter(job.by.clone()))?
                .unwrap_or_default();
            if agrees && !job.approved && reporter.is_watched() {
                joined.by.clone_from(&who.name);
            }
            joined.approved |= agrees;
            if job.cause == Trigger::Owner && !n.owner && agrees {
                // A nomination by a third party counts against outputs too.
                (joined.cause, joined.by) = (Trigger::Nomination, who.name.clone());
            }
            joined
                .names
                .extend(n.names.into_iter().filter(|name| !job.names.contains(name)));
            joined.names.truncate(MAX_NAMES);
            match job.only.is_empty() || n.only.is_empty() {
                true => joined.only.clear(),
                false => joined
                    .only
                    .extend(n.only.into_iter().filter(|t| !job.only.contains(t))),
            }
            schedule(&batch, &self.settings(), &mut joined)?;
        }
        if joined != *job {
            save(&mut batch, &joined)?;
            let text = joined.grounds.text.chars().take(500).collect();
            let record = audit_record(
                who,
                "nominate",
                &job.target,
                format!("job {}, which waited", job.id),
                Some(text),
                batch.now,
            );
            self.write(batch, Some(record))?;
        }
        Ok(joined)
    }

    /// Approves a job that waits, or ends it.
    pub fn decide(&self, who: &Actor, id: u64, run: bool, now: Time) -> Result<Job, RelayError> {
        let settings = self.settings();
        let _guard = self.lock();
        let mut batch = self.batch(now);
        let mut job = self.find_job(&batch, id)?;
        if !job.state.is_waiting() {
            return Err(RelayError::Refused("it runs already, or has ended".into()));
        }
        if run {
            job.approved = true;
            schedule(&batch, &settings, &mut job)?;
        } else {
            cancel(&mut job, "turned down", now)?;
            forget(&mut batch, &job)?;
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

    /// A job.
    pub fn job(&self, id: u64) -> Result<Job, RelayError> {
        self.find_job(&self.batch(self.now()), id)
    }

    /// The newest jobs first, from before `before` on.
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

    /// A job's transcript.
    pub fn transcript(&self, id: u64) -> Result<Vec<TranscriptLine>, RelayError> {
        let text: Option<String> = self.batch(self.now()).get(&RelayKey::Transcript(id))?;
        Ok(parse_transcript(&text.unwrap_or_default()))
    }
}
