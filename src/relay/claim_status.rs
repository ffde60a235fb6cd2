//! The status of a claim: its test with the outcomes so far, and what follows from it.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    advice::RepairAdvice,
    claims::second_before,
    control::{ClaimOutcome, ControlCheck, ControlSession, DecisionRow, ProvedForms, decision_row},
    messages::form_name,
    outcome::{MAX_TRIES, TestResult},
    policy::{ClaimState, HostRecord, Job, JobState, WAITING_PERIOD},
    service::{RelayError, RelayService},
    settings::RelaySettings,
    tables::HOSTS,
};
use crate::{
    model::{Time, time::Seconds},
    smtp::MessageOutcome,
};

/// The status of a claim that a host is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimStatus {
    /// The state of the claim. A claim is `failed` as soon as a test message was delivered, also if
    /// the host was released before.
    pub state: ClaimState,
    /// Whether the claimant has proved to speak for the host.
    pub proved: bool,
    /// The test, with its results so far. Results are stored as they come, at most once a second.
    pub job: Job,
    /// The decision row of the test; `None` while it is not known.
    pub row: Option<DecisionRow>,
    /// Whether `row` is not final: it applies if the host goes on to defer (4xx) the test messages
    /// in the tries that are left.
    pub is_preliminary: bool,
    /// When the host is released if no test message is delivered until then. For a preliminary
    /// row: at the latest.
    pub release: Option<Time>,
    /// Whether the waiting period is paused now, so that it ends later than `release`.
    pub paused: bool,
    /// When the test begins, or when it sends the deferred messages again; `None` while it runs and
    /// after its end.
    pub next_try: Option<Time>,
    /// When a new claim of the same kind is tested. While deferred messages wait: when they are sent
    /// again if the host is claimed to be closed now.
    pub retry_at: Time,
    /// Which setting to change, so that a test decides at once.
    pub advice: Option<RepairAdvice>,
}

impl ClaimStatus {
    /// Whether the form of a result had been delivered before the claim, so that it is tried first.
    pub fn had_passed(&self, result: &TestResult) -> bool {
        self.job
            .proved_forms
            .iter()
            .any(|test| *test == form_name(&result.test))
    }

    /// Returns the name of the test in the catalogue whose form a result is about.
    pub fn form(result: &TestResult) -> &str {
        form_name(&result.test)
    }
}

impl RelayService {
    /// Returns when a claim that is made `now` is tested.
    pub fn claim_time(&self, target: IpAddr, proved: bool, now: Time) -> Result<Time, RelayError> {
        let sources = self.settings().sources(target);
        let host = self.batch(now).get_or_default(HOSTS, &target)?;
        Ok(host.claim_time(proved, &sources, now))
    }

    /// Whether a claim would be tested from an address of ours that the host has not blocked since
    /// it was listed.
    pub fn has_untried_source(&self, target: IpAddr, proved: bool) -> Result<bool, RelayError> {
        let sources = self.settings().sources(target);
        let host = self.batch(self.now()).get_or_default(HOSTS, &target)?;
        let blocked = &host.blocked[usize::from(proved)].sources;
        Ok(sources.iter().any(|s| !blocked.contains(s)))
    }

    /// Returns the status of the claim that a job tests. If another claim has replaced it, that
    /// claim is followed.
    pub fn claim_status(
        &self,
        target: IpAddr,
        job: u64,
        now: Time,
    ) -> Result<ClaimStatus, RelayError> {
        let settings = self.settings();
        let batch = self.batch(now);
        let job = self.find_job(&batch, job)?;
        if job.target != target || !job.is_claim() {
            let id = job.id;
            return Err(RelayError::NotFound(format!(
                "job {id} does not test a claim of {target}"
            )));
        }
        let host = batch.get_or_default(HOSTS, &target)?;
        let claim = host.claim.as_ref().filter(|c| {
            // A later claim replaces one that waits for its test, or for the end of its period.
            c.is_tested_by(job.id) || job.id < c.job && !job.has_decided()
        });
        let job = match claim {
            Some(c) if c.job != job.id => self.find_job(&batch, c.job)?,
            _ => job,
        };
        let proved = claim.map_or(job.is_proved_claim(), |c| c.proved);
        let sources = settings.sources(target);
        let next_try = (job.state != JobState::Running && job.is_open()).then_some(job.not_before);
        let mut status = ClaimStatus {
            state: ClaimState::Withdrawn,
            proved,
            row: job.row,
            is_preliminary: false,
            release: None,
            paused: false,
            next_try,
            retry_at: match job.is_open() {
                true => job.early_try_time().unwrap_or(job.not_before).max(now),
                false => host.claim_time(proved, &sources, now),
            },
            advice: job.advice,
            job,
        };
        let Some(claim) = claim else {
            status.decide(&host);
            return Ok(status);
        };
        status.state = claim.state();
        if let Some((release, paused)) = Self::waiting_end(&batch, claim)? {
            (status.release, status.paused) = (Some(release), paused);
            status.retry_at = status.retry_at.max(status.job.retest_time());
        } else {
            status.foretell(&settings, now);
        }
        Ok(status)
    }
}

impl ClaimStatus {
    /// Completes the status of a claim that has ended.
    fn decide(&mut self, host: &HostRecord) {
        let job = &self.job;
        let is_delivered = job.results.iter().any(|r| r.outcome.is_delivered());
        let mut blocked = host.blocked.iter().flat_map(|b| &b.jobs);
        let is_blocked = blocked.any(|id| *id == job.id);
        self.state = if is_delivered || job.row == Some(DecisionRow::Delivered) {
            ClaimState::Failed
        } else if is_blocked || job.row_outcome() == Some(ClaimOutcome::Blocked) {
            ClaimState::Blocked
        } else if host.released.is_some_and(|t| t >= second_before(job.at)) {
            ClaimState::Released
        } else {
            ClaimState::Withdrawn
        };
    }

    /// Foretells the consequence for a host that defers (4xx) the proved forms: it is known after
    /// the first session of the first try that the waiting period follows if the host goes on so.
    fn foretell(&mut self, settings: &RelaySettings, now: Time) {
        let job = &self.job;
        if !job.is_open() || !job.results.iter().any(|r| r.outcome.is_deferred()) {
            return;
        }
        let (forms, sessions) = ended_forms(job);
        let row = decision_row(&job.results, &forms, &sessions);
        if forms.tests.is_empty() || row != DecisionRow::DeferredControlAccepted {
            return;
        }
        let (begins, tries) = match job.state {
            JobState::Running => (now, job.tries),
            _ => (job.not_before.max(now), job.tries + 1),
        };
        let delays = &settings.retry_delays;
        let later = (tries..MAX_TRIES)
            .map(|n| delays[usize::from(n.saturating_sub(1)).min(delays.len() - 1)].0);
        let end = begins.plus(Seconds(later.sum::<u64>()));
        (self.row, self.is_preliminary) = (Some(row), true);
        self.release = Some(end.plus(WAITING_PERIOD));
    }
}

/// Returns the proved forms whose sessions have ended, and those sessions.
fn ended_forms(job: &Job) -> (ProvedForms, Vec<ControlSession>) {
    let has_ended = |s: &&ControlSession| s.after != ControlCheck::default();
    let sessions: Vec<ControlSession> = job.controls.iter().filter(has_ended).cloned().collect();
    let is_open = |(place, r): &(usize, &TestResult)| {
        !sessions.iter().any(|s| s.places.contains(place))
            && !matches!(r.outcome, MessageOutcome::Skipped { .. })
    };
    let places = job.results.iter().enumerate();
    let open: BTreeSet<&str> = places
        .filter(is_open)
        .map(|(_, r)| r.test.as_str())
        .collect();
    let all = job.proved_forms.iter();
    let tests = all.filter(|test| !open.contains(test.as_str())).cloned();
    let forms = ProvedForms {
        tests: tests.collect(),
        other_port: false,
    };
    (forms, sessions)
}
