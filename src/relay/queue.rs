//! The queue of jobs: which are open, when each is checked next, and whether one may run.

use std::net::IpAddr;

use super::{
    batch::RelayBatch,
    keys::{Due, Queue, RelayKey, RelayRange, RelayTable},
    networks::prefix_of,
    policy::{
        Budget, BudgetKind, EvidenceSummary, HostRecord, InvalidTransition, Job, JobEvent,
        JobState, MAX_EVIDENCE_AGE, MIN_TEST_INTERVAL, OptOut, ReporterRecord, Trigger,
    },
    service::RelayError,
    settings::RelaySettings,
};
use crate::{
    model::{Subject, Time, time::Seconds},
    store::StoreError,
};

/// The longest run of a job. After it, the tester is assumed to be lost.
pub(super) const MAX_RUN: Seconds = Seconds(86_400);
/// The most hosts of a prefix that are tested in a day for proved claims: a whole /24. It is high
/// because claims that are not tested in time are granted.
const MAX_PROVED_CLAIMS_PER_PREFIX: usize = 256;
/// How long a job waits while another test of its host runs.
const BUSY_HOST_DELAY: Seconds = Seconds(60);
/// The reason why hosts of an opt-out are not tested.
pub(super) const OPTED_OUT: &str = "its owner asked not to be tested";

/// Returns the subject of the opt-out that covers a host, if there is one.
pub(super) fn opted_out(
    batch: &RelayBatch<'_>,
    target: IpAddr,
) -> Result<Option<String>, StoreError> {
    let host = Subject::host(target);
    for subject in std::iter::once(host.clone()).chain(host.wider()) {
        if batch
            .get::<OptOut>(&RelayKey::OptOut(subject.clone()))?
            .is_some()
        {
            return Ok(Some(subject.to_string()));
        }
    }
    Ok(None)
}

/// Returns the newest job of a host that `wanted` selects.
fn find_host_job(
    batch: &RelayBatch<'_>,
    target: IpAddr,
    wanted: impl Fn(&Job) -> bool,
) -> Result<Option<Job>, StoreError> {
    let jobs = RelayRange::OfHost(RelayTable::HostJobs, target);
    for key in batch.scan(jobs, usize::MAX)?.iter().rev() {
        let job = batch.get::<Job>(&RelayKey::Job(key.id()))?;
        if let Some(job) = job.filter(&wanted) {
            return Ok(Some(job));
        }
    }
    Ok(None)
}

/// Returns the newest open job of a host that `wanted` selects.
pub(super) fn open_job(
    batch: &RelayBatch<'_>,
    target: IpAddr,
    wanted: impl Fn(&Job) -> bool,
) -> Result<Option<Job>, StoreError> {
    find_host_job(batch, target, |j| j.is_open() && wanted(j))
}

/// Creates a job with a new number.
pub(super) fn new_job(
    batch: &mut RelayBatch<'_>,
    target: IpAddr,
    trigger: Trigger,
    by: &str,
    evidence: EvidenceSummary,
) -> Result<Job, StoreError> {
    let id = batch.next_id()?;
    batch.put(&RelayKey::HostJob(target, id), &());
    Ok(Job::new(id, target, trigger, by, evidence, batch.now))
}

/// Cancels a job.
pub(super) fn cancel(job: &mut Job, why: &str, now: Time) -> Result<(), InvalidTransition> {
    job.apply(JobEvent::Cancel)?;
    (job.waiting_for, job.ended) = (Some(why.into()), Some(now));
    Ok(())
}

/// Returns when an open job is checked next.
fn next_due(job: &Job) -> Due {
    let queue = match job.budget_kind() {
        BudgetKind::Claims => Queue::ProvedClaims,
        BudgetKind::Unproved => Queue::UnprovedClaims,
        BudgetKind::Tests | BudgetKind::Remote => Queue::Others,
    };
    let after = |time: Time, period: Seconds| Due::At(time.plus(period).plus(Seconds(1)));
    match job.state {
        JobState::Queued if job.remote => after(job.evidence.at, MAX_EVIDENCE_AGE),
        JobState::Queued => Due::Queued(queue),
        JobState::Deferred => Due::At(job.not_before),
        JobState::Running => after(job.begun.unwrap_or(job.at), MAX_RUN),
        JobState::Held | JobState::Done => Due::Held,
    }
}

/// Stores a job and its entries in the queue.
pub(super) fn save(batch: &mut RelayBatch<'_>, job: &Job) -> Result<(), StoreError> {
    let key = RelayKey::Job(job.id);
    if let Some(old) = batch.get::<Job>(&key)?.filter(Job::is_open) {
        batch.delete(&RelayKey::DueJob(next_due(&old), job.id));
    }
    batch.put(&key, job);
    if job.is_open() {
        batch.put(&RelayKey::OpenJob(job.id), &());
        batch.put(&RelayKey::DueJob(next_due(job), job.id), &());
    } else {
        batch.delete(&RelayKey::OpenJob(job.id));
    }
    Ok(())
}

/// A budget that the tests of a host count in, and its limit.
struct BudgetLimit {
    key: RelayKey,
    /// The most hosts that are tested in a day.
    most: usize,
    /// The name of the budget in texts for people.
    name: String,
}

/// Returns the budgets that the tests of a host count in: that of its prefix and that of its
/// network.
fn budgets(settings: &RelaySettings, target: IpAddr, kind: BudgetKind) -> Vec<BudgetLimit> {
    let most = if kind == BudgetKind::Claims {
        settings
            .max_hosts_per_prefix
            .max(MAX_PROVED_CLAIMS_PER_PREFIX)
    } else {
        settings.max_hosts_per_prefix
    };
    let mut out = vec![BudgetLimit {
        key: RelayKey::PrefixBudget(prefix_of(target)),
        most,
        name: "its prefix".into(),
    }];
    // A test that the verified owner requested does not count in the budget of the network.
    if kind != BudgetKind::Claims {
        let name = settings.asn_table.of(target).to_string();
        out.push(BudgetLimit {
            key: RelayKey::NetworkBudget(name.clone()),
            most: settings.max_hosts_per_asn,
            name,
        });
    }
    out
}

/// Counts a test of a host at a time, which may be in the future.
pub(super) fn charge(
    batch: &mut RelayBatch<'_>,
    settings: &RelaySettings,
    job: &Job,
    at: Time,
) -> Result<(), StoreError> {
    let kind = job.budget_kind();
    for limit in budgets(settings, job.target, kind) {
        let mut budget: Budget = batch.get(&limit.key)?.unwrap_or_default();
        budget.count(job.target, kind, at, batch.now);
        batch.put(&limit.key, &budget);
    }
    Ok(())
}

/// Decides whether a waiting job may run, and when.
pub(super) fn schedule(
    batch: &RelayBatch<'_>,
    settings: &RelaySettings,
    job: &mut Job,
) -> Result<(), RelayError> {
    let now = batch.now;
    if matches!(job.trigger, Trigger::Nomination | Trigger::Owner)
        && job.begun.is_none()
        && job.evidence.at.plus(MAX_EVIDENCE_AGE) < now
    {
        return Ok(cancel(job, "its evidence is older than 14 days", now)?);
    }
    if opted_out(batch, job.target)?.is_some() {
        return hold(job, OPTED_OUT.into());
    }
    let is_running = |j: &Job| j.id != job.id && j.state == JobState::Running && !j.remote;
    if !job.remote && find_host_job(batch, job.target, is_running)?.is_some() {
        let why = "another test of the same host";
        return defer(job, now.plus(BUSY_HOST_DELAY), why.into());
    }
    if let Err(why) = if job.remote {
        settings.allows_any_test(job.target)
    } else {
        settings.allows_our_test(job.target)
    } {
        return hold(job, why);
    }
    if !job.approved {
        let reporter: ReporterRecord = batch
            .get(&RelayKey::Reporter(job.by.clone()))?
            .unwrap_or_default();
        if reporter.needs_approval() {
            return hold(
                job,
                format!("approval: too few nominations of {} were right", job.by),
            );
        }
    }
    let (at, why) = earliest_time(batch, settings, job)?;
    if at > now {
        return defer(job, at, format!("{why}, until {at}"));
    }
    job.apply(JobEvent::Enqueue)?;
    job.waiting_for = None;
    Ok(())
}

fn hold(job: &mut Job, why: String) -> Result<(), RelayError> {
    job.apply(JobEvent::Hold)?;
    job.waiting_for = Some(why);
    Ok(())
}

/// Makes a job wait until a time.
pub(super) fn defer(job: &mut Job, until: Time, why: String) -> Result<(), RelayError> {
    job.apply(JobEvent::Defer)?;
    (job.not_before, job.waiting_for) = (until, Some(why));
    Ok(())
}

/// Returns when a job may run, and what it waits for until then.
fn earliest_time(
    batch: &RelayBatch<'_>,
    settings: &RelaySettings,
    job: &Job,
) -> Result<(Time, String), StoreError> {
    let now = batch.now;
    let not_before = job.not_before.max(now);
    // A job that is run again has its time set.
    if job.begun.is_some() {
        return Ok((not_before, "the pause between tries".into()));
    }
    let host: HostRecord = batch.get(&RelayKey::Host(job.target))?.unwrap_or_default();
    let mut at = match job.trigger {
        Trigger::Claim { .. } | Trigger::Recheck => not_before,
        Trigger::Nomination => host.nomination_time(job.evidence.fingerprint(), job.remote, now),
        Trigger::Owner | Trigger::Review => host
            .tested
            .map_or(now, |t| t.plus(MIN_TEST_INTERVAL))
            .max(now),
    };
    let mut why = "the pause since its last test".to_string();
    for limit in budgets(settings, job.target, job.budget_kind()) {
        let budget: Budget = batch.get(&limit.key)?.unwrap_or_default();
        let free = budget.time(job.target, job.budget_kind(), limit.most, now);
        if free > at {
            (at, why) = (free, format!("{}: daily limit of tested hosts", limit.name));
        }
    }
    Ok((at, why))
}
