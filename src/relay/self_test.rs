//! Tests that the holder of a host asks for, to see what the host delivers. They list no host.

use std::net::IpAddr;

use super::{
    actor::Actor,
    policy::{EvidenceOrigin, EvidenceSummary, Job, JobState, Trigger},
    queue::{new_job, open_job, opted_out, save, schedule},
    service::{MAX_OPEN_JOBS, REASONS, RelayError, RelayService},
    tables::{HOSTS, OPEN_JOBS},
};
use crate::model::{Time, time::Seconds};

/// When a client should retry if too many jobs wait.
const FULL_RETRY_AFTER: Seconds = Seconds(3600);

impl RelayService {
    /// Starts a test of all forms for the holder of a host, or returns the one that waits or runs.
    /// The caller has checked that the request comes from the holder.
    ///
    /// # Errors
    ///
    /// The host may not be tested: its owner has opted out, it is in a range that is never tested,
    /// or no tester is configured; or a limit is reached: one test an hour, three a day.
    pub fn self_test(&self, who: &Actor, target: IpAddr, now: Time) -> Result<Job, RelayError> {
        self.check_self_test(target, now)?;
        let settings = self.settings();
        let _guard = self.lock();
        let mut batch = self.batch(now);
        let is_same = |j: &Job| j.trigger == Trigger::SelfTest;
        if let Some(job) = open_job(&batch, target, is_same)? {
            return Ok(job);
        }
        let mut host = batch.get_or_default(HOSTS, &target)?;
        let at = host.self_test_time(now);
        if at > now {
            return Err(RelayError::LimitReached(
                format!("{target} is tested once an hour and three times a day"),
                Seconds(at.0 - now.0),
            ));
        }
        if batch.scan(&OPEN_JOBS.all(), MAX_OPEN_JOBS)?.len() >= MAX_OPEN_JOBS {
            let why = format!("{MAX_OPEN_JOBS} jobs are waiting");
            return Err(RelayError::LimitReached(why, FULL_RETRY_AFTER));
        }
        let evidence = EvidenceSummary {
            origin: EvidenceOrigin::Owner,
            text: "the holder of the host asked for the test".into(),
            at: now,
        };
        let mut job = new_job(&mut batch, target, Trigger::SelfTest, &who.name, evidence)?;
        job.names.clone_from(&host.names);
        schedule(&batch, &settings, &mut job)?;
        if let (JobState::Held, Some(why)) = (job.state, &job.waiting_for) {
            return Err(RelayError::Refused(why.clone()));
        }
        host.note_self_test(now);
        batch.put(HOSTS, &target, &host);
        save(&mut batch, &job)?;
        let detail = format!("job {}", job.id);
        batch.audit(who, "self-test", &target, detail, None);
        self.write(batch)?;
        Ok(job)
    }

    /// Returns when the holder of a host may have it tested again.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn self_test_time(&self, target: IpAddr, now: Time) -> Result<Time, RelayError> {
        let host = self.batch(now).get_or_default(HOSTS, &target)?;
        Ok(host.self_test_time(now))
    }

    /// Checks that the holder of a host could have it tested.
    ///
    /// # Errors
    ///
    /// As [`RelayService::self_test`], without the limits.
    pub fn check_self_test(&self, target: IpAddr, now: Time) -> Result<(), RelayError> {
        if let Some(out) = opted_out(&self.batch(now), target)? {
            return Err(RelayError::Refused(format!(
                "the owner of {out} asked not to be tested; end the opt-out first"
            )));
        }
        let allowed = self.settings().allows_our_test(target);
        allowed.map_err(RelayError::Refused)
    }

    /// Whether a request from the host itself proves that its sender holds the host: the host is
    /// listed for a relay test, or nominated. Of other addresses, tenants, VPN exits and build
    /// machines are not the holders.
    pub fn is_listed_or_nominated(&self, target: IpAddr) -> Result<bool, RelayError> {
        let batch = self.batch(self.now());
        let verdict = batch.verdict(target)?;
        if REASONS.iter().any(|r| self.is_listed(&verdict, r)) {
            return Ok(true);
        }
        let is_nominated =
            |j: &Job| !j.remote && matches!(j.trigger, Trigger::Nomination | Trigger::Review);
        Ok(open_job(&batch, target, is_nominated)?.is_some())
    }
}
