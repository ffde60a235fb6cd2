//! The queue of jobs: which are open, when each is checked next, and whether one may run.

use std::net::IpAddr;

use super::{
    batch::RelayBatch,
    networks::prefix_of,
    policy::{
        Budget, BudgetKind, EvidenceSummary, InvalidTransition, Job, JobEvent, JobState,
        MAX_EVIDENCE_AGE, MIN_TEST_INTERVAL, Trigger,
    },
    service::RelayError,
    settings::RelaySettings,
    tables::{
        DUE_JOBS, Due, HOST_JOBS, HOSTS, JOBS, LAST_ID, NETWORK_BUDGETS, OPEN_JOBS, OPT_OUTS,
        PREFIX_BUDGETS, Queue, REPORTERS,
    },
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
        if batch.get(OPT_OUTS, &subject)?.is_some() {
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
    for (_, id) in batch.scan(&HOST_JOBS.of(&target), usize::MAX)?.iter().rev() {
        if let Some(job) = batch.get(JOBS, id)?.filter(&wanted) {
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
    let id = batch.next_number(LAST_ID)?;
    batch.put(HOST_JOBS, &(target, id), &());
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
    if let Some(old) = batch.get(JOBS, &job.id)?.filter(Job::is_open) {
        batch.delete(DUE_JOBS, &(next_due(&old), job.id));
    }
    batch.put(JOBS, &job.id, job);
    if job.is_open() {
        batch.put(OPEN_JOBS, &job.id, &());
        batch.put(DUE_JOBS, &(next_due(job), job.id), &());
    } else {
        batch.delete(OPEN_JOBS, &job.id);
    }
    Ok(())
}

/// Returns the network in whose budget a job counts. A test that the verified owner requested does
/// not count in the budget of the network.
fn budget_network(settings: &RelaySettings, job: &Job) -> Option<String> {
    let counts = job.budget_kind() != BudgetKind::Claims;
    counts.then(|| settings.asn_table.of(job.target).to_string())
}

/// Counts a test of a host in the budgets of its prefix and its network, at a time which may be in
/// the future.
pub(super) fn charge(
    batch: &mut RelayBatch<'_>,
    settings: &RelaySettings,
    job: &Job,
    at: Time,
) -> Result<(), StoreError> {
    let now = batch.now;
    let count = |budget: &mut Budget| budget.count(job.target, job.budget_kind(), at, now);
    batch.update(PREFIX_BUDGETS, &prefix_of(job.target), count)?;
    match budget_network(settings, job) {
        Some(network) => batch.update(NETWORK_BUDGETS, &network, count),
        None => Ok(()),
    }
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
    let allowed = if job.remote {
        settings.allows_any_test(job.target)
    } else {
        settings.allows_our_test(job.target)
    };
    if let Err(why) = allowed {
        return hold(job, why);
    }
    if !job.approved && batch.get_or_default(REPORTERS, &job.by)?.needs_approval() {
        let why = format!("approval: too few nominations of {} were right", job.by);
        return hold(job, why);
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
    let host = batch.get_or_default(HOSTS, &job.target)?;
    let mut at = match job.trigger {
        Trigger::Claim { .. } | Trigger::Recheck | Trigger::SelfTest => not_before,
        Trigger::Nomination => host.nomination_time(job.evidence.fingerprint(), job.remote, now),
        Trigger::Owner | Trigger::Review => host
            .tested
            .map_or(now, |t| t.plus(MIN_TEST_INTERVAL))
            .max(now),
    };
    let mut why = "the pause since its last test".to_string();
    let kind = job.budget_kind();
    let prefix = batch.get_or_default(PREFIX_BUDGETS, &prefix_of(job.target))?;
    let most = match kind {
        BudgetKind::Claims => MAX_PROVED_CLAIMS_PER_PREFIX.max(settings.max_hosts_per_prefix),
        _ => settings.max_hosts_per_prefix,
    };
    let mut budgets = vec![(prefix, most, "its prefix".into())];
    if let Some(name) = budget_network(settings, job) {
        let network = batch.get_or_default(NETWORK_BUDGETS, &name)?;
        budgets.push((network, settings.max_hosts_per_asn, name));
    }
    for (budget, most, name) in budgets {
        let free = budget.time(job.target, kind, most, now);
        if free > at {
            (at, why) = (free, format!("{name}: daily limit of tested hosts"));
        }
    }
    Ok((at, why))
}
