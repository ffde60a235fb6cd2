//! The rows of jobs: which are open, when each is looked at next, and whether one may run.

use std::net::IpAddr;

use super::{
    networks::net,
    policy::{
        BETWEEN, Budget, BudgetKind, EVIDENCE_LIFE, EvidenceSummary, HostRecord, Job, JobState,
        OptOut, ReporterRecord, Trigger,
    },
    rows::{RelayBatch, key},
    settings::RelaySettings,
};
use crate::{
    model::{Subject, Time, time::Seconds},
    store::StoreError,
};

/// A job that runs for longer has lost its tester.
pub(super) const LONGEST: Seconds = Seconds(86_400);
/// Hosts of a net whose proved claims are tested in a day.
const PROVED: usize = 256;
/// Why those who opted out are not tested.
pub(super) const ASKED: &str = "its owner asked not to be tested";

/// A hash of what was seen, to know it again.
pub(super) fn hash(g: &EvidenceSummary) -> u64 {
    let mut h = rustc_hash::FxHasher::default();
    std::hash::Hash::hash(&(&g.kind, &g.text), &mut h);
    std::hash::Hasher::finish(&h)
}

/// The opt-out that covers a host.
pub(super) fn opted_out(
    sheet: &RelayBatch<'_>,
    target: IpAddr,
) -> Result<Option<String>, StoreError> {
    let host = Subject::host(target);
    for subject in std::iter::once(host.clone()).chain(host.wider()) {
        if sheet.get::<OptOut>(&key::opt_out(&subject))?.is_some() {
            return Ok(Some(subject.to_string()));
        }
    }
    Ok(None)
}

/// The job of a host that runs.
pub(super) fn running_job(
    sheet: &RelayBatch<'_>,
    target: IpAddr,
    but: u64,
) -> Result<bool, StoreError> {
    for k in sheet
        .keys(&key::host(b'L', target), usize::MAX)?
        .iter()
        .rev()
        .filter(|k| key::tail(k) != but)
    {
        if sheet
            .get::<Job>(&key::number(b'J', key::tail(k)))?
            .is_some_and(|j| j.state == JobState::Running && !j.remote)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The job of a host that is open, of those that are meant.
pub(super) fn open_job(
    sheet: &RelayBatch<'_>,
    target: IpAddr,
    meant: impl Fn(&Job) -> bool,
) -> Result<Option<Job>, StoreError> {
    for k in sheet
        .keys(&key::host(b'L', target), usize::MAX)?
        .iter()
        .rev()
    {
        if let Some(job) = sheet
            .get::<Job>(&key::number(b'J', key::tail(k)))?
            .filter(|j| j.open() && meant(j))
        {
            return Ok(Some(job));
        }
    }
    Ok(None)
}

pub(super) fn new_job(
    sheet: &mut RelayBatch<'_>,
    target: IpAddr,
    cause: Trigger,
    by: &str,
    grounds: EvidenceSummary,
) -> Result<Job, StoreError> {
    let id = sheet.number()?;
    sheet.put(key::both(b'L', target, id), &());
    Ok(Job {
        id,
        target,
        port: None,
        cause,
        by: by.into(),
        grounds,
        at: sheet.now,
        state: JobState::Queued,
        waiting_for: None,
        not_before: sheet.now,
        approved: true,
        remote: false,
        names: Vec::new(),
        only: Vec::new(),
        tries: 0,
        interruptions: 0,
        begun: None,
        ended: None,
        results: Vec::new(),
        source: None,
        second: false,
        controls: Vec::new(),
        row: None,
    })
}

pub(super) fn end(job: &mut Job, why: &str, now: Time) {
    (job.state, job.waiting_for, job.ended) = (JobState::Done, Some(why.into()), Some(now));
}

/// Where jobs stand in line that wait for nothing but a turn: whoever has proved that he speaks for
/// a host is not kept waiting by those who have not. These lie before all times.
pub(super) const LINES: [u64; 3] = [0, 1, 2];
/// Behind all times: they wait for somebody's word.
pub(super) const HELD: u64 = 1 << 63;

/// When an open job is looked at next.
fn look(job: &Job) -> u64 {
    let line = match job.budget_kind() {
        BudgetKind::Claims => LINES[0],
        BudgetKind::Unproved => LINES[1],
        BudgetKind::Tests | BudgetKind::Remote => LINES[2],
    };
    match job.state {
        JobState::Queued if job.remote => job.grounds.at.plus(EVIDENCE_LIFE).0 + 1,
        JobState::Queued => line,
        JobState::Deferred => job.not_before.0.clamp(LINES[2] + 1, HELD - 1),
        JobState::Running => job.begun.unwrap_or(job.at).plus(LONGEST).0 + 1,
        JobState::Held | JobState::Done => HELD,
    }
}

/// Writes a job, whether it is open, and when it is looked at next.
pub(super) fn save(sheet: &mut RelayBatch<'_>, job: &Job) -> Result<(), StoreError> {
    let slot = key::number(b'J', job.id);
    if let Some(old) = sheet.get::<Job>(&slot)?.filter(Job::open) {
        sheet.drop_row(key::when(look(&old), job.id));
    }
    sheet.put(slot, job);
    if job.open() {
        sheet.put(key::number(b'Q', job.id), &());
        sheet.put(key::when(look(job), job.id), &());
    } else {
        sheet.drop_row(key::number(b'Q', job.id));
    }
    Ok(())
}

/// The budgets that a host's tests count in: its net's, and its network's, with how many hosts of
/// each are tested in a day.
fn budgets(
    settings: &RelaySettings,
    target: IpAddr,
    kind: BudgetKind,
) -> Vec<(Vec<u8>, usize, String)> {
    let net = key::host(b'N', net(target));
    // Of proved claims a whole /24's: what is not tested in time is granted, and a crowd is no
    // reason for that.
    let most = if kind == BudgetKind::Claims {
        settings.per_net.max(PROVED)
    } else {
        settings.per_net
    };
    let mut out = vec![(net, most, "its net".to_string())];
    // Who has proved that he speaks for a host asked for it.
    if kind != BudgetKind::Claims {
        let network = settings.networks.of(target).to_string();
        out.push((
            [b"A", network.as_bytes()].concat(),
            settings.per_network,
            network,
        ));
    }
    out
}

/// Counts a test of a host at a time, which may lie ahead.
pub(super) fn charge(
    sheet: &mut RelayBatch<'_>,
    settings: &RelaySettings,
    job: &Job,
    at: Time,
) -> Result<(), StoreError> {
    let kind = job.budget_kind();
    for (slot, ..) in budgets(settings, job.target, kind) {
        let mut budget: Budget = sheet.get(&slot)?.unwrap_or_default();
        budget.count(job.target, kind, at, sheet.now);
        sheet.put(slot, &budget);
    }
    Ok(())
}

/// Says where a job that does not run stands: whether it may, and when.
pub(super) fn place(
    sheet: &RelayBatch<'_>,
    settings: &RelaySettings,
    job: &mut Job,
) -> Result<(), StoreError> {
    let now = sheet.now;
    if matches!(job.cause, Trigger::Nomination | Trigger::Owner)
        && job.begun.is_none()
        && job.grounds.at.plus(EVIDENCE_LIFE) < now
    {
        end(job, "its evidence is older than 14 days", now);
        return Ok(());
    }
    if opted_out(sheet, job.target)?.is_some() {
        (job.state, job.waiting_for) = (JobState::Held, Some(ASKED.into()));
        return Ok(());
    }
    if !job.remote && running_job(sheet, job.target, job.id)? {
        (job.state, job.not_before) = (JobState::Deferred, now.plus(Seconds(60)));
        job.waiting_for = Some("another test of the same host".into());
        return Ok(());
    }
    let mut held = |why: String| (job.state, job.waiting_for) = (JobState::Held, Some(why));
    if let Err(why) = if job.remote {
        settings.may(job.target)
    } else {
        settings.ready(job.target)
    } {
        held(why);
        return Ok(());
    }
    if !job.approved {
        let reporter: ReporterRecord = sheet.get(&key::reporter(&job.by))?.unwrap_or_default();
        if reporter.is_watched() {
            held(format!(
                "a person: too few of what {} has brought were open",
                job.by
            ));
            return Ok(());
        }
    }
    // What is run again has its time already.
    let (mut at, mut why) = (
        job.not_before.max(now),
        "the pause between tries".to_string(),
    );
    if job.begun.is_none() {
        let host: HostRecord = sheet.get(&key::host(b'H', job.target))?.unwrap_or_default();
        let own = match job.cause {
            Trigger::Claim { .. } | Trigger::Recheck => job.not_before.max(now),
            Trigger::Nomination => host.nomination_time(hash(&job.grounds), job.remote, now),
            Trigger::Owner | Trigger::Review => {
                host.tested.map_or(now, |t| t.plus(BETWEEN)).max(now)
            }
        };
        (at, why) = (own, "the pause since its last test".into());
        for (slot, most, name) in budgets(settings, job.target, job.budget_kind()) {
            let budget: Budget = sheet.get(&slot)?.unwrap_or_default();
            let free = budget.time(job.target, job.budget_kind(), most, now);
            if free > at {
                (at, why) = (
                    free,
                    format!("{name}: a few hosts of one are tested in a day"),
                );
            }
        }
    }
    match at > now {
        true => {
            (job.not_before, job.state, job.waiting_for) =
                (at, JobState::Deferred, Some(format!("{why}, until {at}")));
        }
        false => (job.state, job.waiting_for) = (JobState::Queued, None),
    }
    Ok(())
}
