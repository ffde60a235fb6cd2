//! Nominations of hosts, and decisions about jobs.

use std::net::IpAddr;

use super::{
    claims::forget,
    policy::{EVIDENCE_LIFE, EvidenceSummary, HostRecord, Job, JobState, ReporterRecord, Trigger},
    queue::{end, hash, new_job, open_job, opted_out, place, save},
    rows::{RelayBatch, key},
    service::{Actor, MAX_OPEN, RelayError, RelayService, audit_record},
};
use crate::model::{Time, time::Seconds};

/// What is asked to be tested, and why.
#[derive(Debug, Clone)]
pub struct Nomination {
    /// One host.
    pub target: IpAddr,
    /// Instead of 25.
    pub port: Option<u16>,
    /// What was seen.
    pub grounds: EvidenceSummary,
    /// He decides for himself: an editor or more.
    pub decides: bool,
    /// He has proved that the host is his.
    pub owner: bool,
    /// He sends the tests himself.
    pub remote: bool,
    /// Names that the host may have, from the evidence.
    pub names: Vec<String>,
    /// Only these tests.
    pub only: Vec<String>,
}

/// Names that are taken along for a job.
const MAX_NAMES: usize = 10;
/// When it is worth trying again where too many jobs wait.
const FULL: Seconds = Seconds(3600);
/// How far in the future a time may lie, for clocks that differ.
const SKEW: Seconds = Seconds(300);

impl RelayService {
    /// Takes a nomination: the job that it became, or that there was already.
    pub fn nominate(&self, who: &Actor, n: Nomination, now: Time) -> Result<Job, RelayError> {
        let settings = self.settings();
        let n = Nomination {
            port: settings.other_port(n.port),
            ..n
        };
        let _turn = self.turn();
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
        if n.grounds.at > now.plus(SKEW) {
            return Err(RelayError::Invalid("at: that has not happened yet".into()));
        }
        if let Some(name) = n.only.iter().find(|o| settings.catalogue.get(o).is_none()) {
            return Err(RelayError::Invalid(format!(
                "tests: there is no test `{name}`; /v1/tests shows all"
            )));
        }
        let mut sheet = self.sheet(now);
        if let Some(out) = opted_out(&sheet, n.target)? {
            return Err(RelayError::No(format!("{out} asked not to be tested")));
        }
        let mut agrees = n.decides || n.owner;
        if !agrees {
            let name = key::reporter(&who.name);
            let mut reporter: ReporterRecord = sheet.get(&name)?.unwrap_or_default();
            if !reporter.count(settings.quota, now) {
                let most = settings.quota;
                return Err(RelayError::TooMany(
                    format!("{most} nominations a day are taken from one reporter"),
                    reporter.next_day(now),
                ));
            }
            agrees = !reporter.is_watched();
            sheet.put(name, &reporter);
        }
        let claim = |j: &Job| !matches!(j.cause, Trigger::Nomination | Trigger::Owner);
        // A test of another port is another test; and a recheck is made of a few forms alone.
        let same = |j: &Job| {
            j.remote == n.remote
                && j.cause != Trigger::Recheck
                && settings.other_port(j.port) == n.port
        };
        if let Some(job) = open_job(&sheet, n.target, same)? {
            if n.remote && job.by != who.name {
                // Tokens are for one reporter alone.
                return Err(RelayError::No(
                    "another reporter tests this host now; try again later".into(),
                ));
            }
            // A claim's or a review's test is made as it is.
            return if claim(&job) {
                Ok(job)
            } else {
                self.join(sheet, who, &job, (n, agrees))
            };
        }
        if sheet.keys(b"Q", MAX_OPEN)?.len() >= MAX_OPEN {
            return Err(RelayError::TooMany(
                format!("{MAX_OPEN} jobs wait already"),
                FULL,
            ));
        }
        let cause = if n.owner {
            Trigger::Owner
        } else {
            Trigger::Nomination
        };
        let mut job = new_job(&mut sheet, n.target, cause, &who.name, n.grounds)?;
        (job.port, job.approved, job.remote) = (n.port, n.decides || n.owner, n.remote);
        (job.names, job.only) = (n.names, n.only);
        place(&sheet, &settings, &mut job)?;
        if job.remote {
            // Nobody's job that waits keeps others out: he comes again.
            settings.may(job.target).map_err(RelayError::No)?;
            if let (JobState::Deferred, Some(why)) = (job.state, &job.waiting_for) {
                return Err(RelayError::TooMany(
                    why.clone(),
                    Seconds(job.not_before.0.saturating_sub(now.0)),
                ));
            }
        }
        save(&mut sheet, &job)?;
        let record = audit_record(
            who,
            "nominate",
            &job.target,
            format!("job {}", job.id),
            Some(job.grounds.text.chars().take(500).collect()),
            now,
        );
        self.write(sheet, Some(record))?;
        Ok(job)
    }

    /// A nomination of a host whose job still waits: nobody's job keeps the evidence of another
    /// out, nor fewer tests more. `agrees` says that no person has to be asked for whoever brings
    /// it.
    fn join(
        &self,
        mut sheet: RelayBatch<'_>,
        who: &Actor,
        job: &Job,
        (n, agrees): (Nomination, bool),
    ) -> Result<Job, RelayError> {
        let mut joined = job.clone();
        if !n.remote
            && job.begun.is_none()
            && matches!(
                job.state,
                JobState::Held | JobState::Deferred | JobState::Queued
            )
        {
            let host: HostRecord = sheet.get(&key::host(b'H', n.target))?.unwrap_or_default();
            // Whichever evidence leads to a test sooner, and of two the newer.
            let time = |g: &EvidenceSummary| {
                (
                    host.nomination_time(hash(g), false, sheet.now),
                    std::cmp::Reverse(g.at),
                )
            };
            if time(&n.grounds) < time(&job.grounds) {
                joined.grounds = n.grounds;
            }
            // It is his who brought it, unless it would wait for a person without the other.
            let reporter: ReporterRecord = sheet.get(&key::reporter(&job.by))?.unwrap_or_default();
            if agrees && !job.approved && reporter.is_watched() {
                joined.by.clone_from(&who.name);
            }
            joined.approved |= agrees;
            if job.cause == Trigger::Owner && !n.owner && agrees {
                // A stranger's word counts against outputs too.
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
            place(&sheet, &self.settings(), &mut joined)?;
        }
        if joined != *job {
            save(&mut sheet, &joined)?;
            let text = joined.grounds.text.chars().take(500).collect();
            let record = audit_record(
                who,
                "nominate",
                &job.target,
                format!("job {}, which waited", job.id),
                Some(text),
                sheet.now,
            );
            self.write(sheet, Some(record))?;
        }
        Ok(joined)
    }

    /// A person decides about a held job: it is run, or ends here.
    pub fn decide(&self, who: &Actor, id: u64, run: bool, now: Time) -> Result<Job, RelayError> {
        let settings = self.settings();
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        let mut job = self.need(&sheet, id)?;
        if !matches!(
            job.state,
            JobState::Held | JobState::Deferred | JobState::Queued
        ) {
            return Err(RelayError::No("it runs already, or has ended".into()));
        }
        if run {
            job.approved = true;
            place(&sheet, &settings, &mut job)?;
        } else {
            end(&mut job, "turned down", now);
            forget(&mut sheet, &job)?;
        }
        save(&mut sheet, &job)?;
        self.write(
            sheet,
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
        self.need(&self.sheet(self.now()), id)
    }

    /// The newest jobs first, from before `before` on.
    pub fn jobs(
        &self,
        before: Option<u64>,
        open: bool,
        most: usize,
    ) -> Result<Vec<Job>, RelayError> {
        let sheet = self.sheet(self.now());
        let numbers = sheet.numbers_below(
            if open { b"Q" } else { b"J" },
            before.unwrap_or(u64::MAX),
            most,
        )?;
        numbers.into_iter().map(|n| self.need(&sheet, n)).collect()
    }

    /// A job's transcript.
    pub fn transcript(&self, id: u64) -> Result<String, RelayError> {
        Ok(self
            .sheet(self.now())
            .get(&key::number(b'S', id))?
            .unwrap_or_default())
    }
}
