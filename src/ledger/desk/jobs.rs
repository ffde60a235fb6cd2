//! Jobs come in, wait, and are looked at; opt-outs.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Asker, Denied, Desk, MAX_OPEN, NOTEST, Settings, Sheet, key, run::LONGEST};
use crate::{
    model::{
        Change, Evidence, SourceId, Subject, Time,
        history::{Ask, HoldFor},
        retest::{self, Budget, BudgetKind, EvidenceSummary, Host, Job, Reporter, State, Trigger},
        time::Seconds,
    },
    store::{StoreError, schema::Audit},
};

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

/// Somebody asked not to be tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptOut {
    /// What is not to be tested.
    pub subject: String,
    /// Since when.
    pub at: Time,
    /// Who wrote it down.
    pub by: String,
    /// How control was proved.
    pub proof: String,
}

/// Why those who opted out are not tested.
const ASKED: &str = "its owner asked not to be tested";

/// A hash of what was seen, to know it again.
pub(super) fn hash(g: &EvidenceSummary) -> u64 {
    let mut h = rustc_hash::FxHasher::default();
    std::hash::Hash::hash(&(&g.kind, &g.text), &mut h);
    std::hash::Hasher::finish(&h)
}

/// Names that are taken along for a job.
const MAX_NAMES: usize = 10;
/// Hosts of a net whose proved claims are tested in a day.
const PROVED: usize = 256;
/// When it is worth trying again where too many jobs wait.
const FULL: Seconds = Seconds(3600);
/// How far in the future a time may lie, for clocks that differ.
const SKEW: Seconds = Seconds(300);

pub(super) fn line(
    who: &Asker,
    what: &str,
    about: &dyn ToString,
    detail: String,
    why: Option<String>,
    now: Time,
) -> Audit {
    Audit {
        at: now,
        who: who.name.clone(),
        from: who.from.clone(),
        what: what.into(),
        about: about.to_string(),
        detail,
        why,
        once: who.once,
        ..Audit::default()
    }
}

impl Desk {
    /// Takes a nomination: the job that it became, or that there was already.
    pub fn nominate(&self, who: &Asker, n: Nomination, now: Time) -> Result<Job, Denied> {
        let settings = self.settings();
        let n = Nomination {
            port: settings.other_port(n.port),
            ..n
        };
        let _turn = self.turn();
        if n.grounds.text.trim().is_empty() {
            return Err(Denied::Invalid(
                "evidence: a message's id, a line of a log, or the owner's request is what leads to a test".into(),
            ));
        }
        if n.grounds.at.plus(retest::EVIDENCE_LIFE) < now {
            return Err(Denied::Invalid(
                "at: evidence older than 14 days leads to no test".into(),
            ));
        }
        if n.grounds.at > now.plus(SKEW) {
            return Err(Denied::Invalid("at: that has not happened yet".into()));
        }
        if let Some(name) = n.only.iter().find(|o| settings.catalogue.get(o).is_none()) {
            return Err(Denied::Invalid(format!(
                "tests: there is no test `{name}`; /v1/tests shows all"
            )));
        }
        let mut sheet = self.sheet(now);
        if let Some(out) = opted_out(&sheet, n.target)? {
            return Err(Denied::No(format!("{out} asked not to be tested")));
        }
        let mut agrees = n.decides || n.owner;
        if !agrees {
            let name = key::reporter(&who.name);
            let mut reporter: Reporter = sheet.get(&name)?.unwrap_or_default();
            if !reporter.count(settings.quota, now) {
                let most = settings.quota;
                return Err(Denied::TooMany(
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
                return Err(Denied::No(
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
            return Err(Denied::TooMany(
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
            settings.may(job.target).map_err(Denied::No)?;
            if let (State::Deferred, Some(why)) = (job.state, &job.waiting_for) {
                return Err(Denied::TooMany(
                    why.clone(),
                    Seconds(job.not_before.0.saturating_sub(now.0)),
                ));
            }
        }
        save(&mut sheet, &job)?;
        let line = line(
            who,
            "nominate",
            &job.target,
            format!("job {}", job.id),
            Some(job.grounds.text.chars().take(500).collect()),
            now,
        );
        self.write(sheet, Some(line))?;
        Ok(job)
    }

    /// A nomination of a host whose job still waits: nobody's job keeps the evidence of another
    /// out, nor fewer tests more. `agrees` says that no person has to be asked for whoever brings
    /// it.
    fn join(
        &self,
        mut sheet: Sheet<'_>,
        who: &Asker,
        job: &Job,
        (n, agrees): (Nomination, bool),
    ) -> Result<Job, Denied> {
        let mut joined = job.clone();
        if !n.remote
            && job.begun.is_none()
            && matches!(job.state, State::Held | State::Deferred | State::Queued)
        {
            let host: Host = sheet.get(&key::host(b'H', n.target))?.unwrap_or_default();
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
            let reporter: Reporter = sheet.get(&key::reporter(&job.by))?.unwrap_or_default();
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
            let line = line(
                who,
                "nominate",
                &job.target,
                format!("job {}, which waited", job.id),
                Some(text),
                sheet.now,
            );
            self.write(sheet, Some(line))?;
        }
        Ok(joined)
    }

    /// A person decides about a held job: it is run, or ends here.
    pub fn decide(&self, who: &Asker, id: u64, run: bool, now: Time) -> Result<Job, Denied> {
        let settings = self.settings();
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        let mut job = self.need(&sheet, id)?;
        if !matches!(job.state, State::Held | State::Deferred | State::Queued) {
            return Err(Denied::No("it runs already, or has ended".into()));
        }
        if run {
            job.approved = true;
            place(&sheet, &settings, &mut job)?;
        } else {
            end(&mut job, "turned down", now);
            super::claim::forget(&mut sheet, &job)?;
        }
        save(&mut sheet, &job)?;
        self.write(
            sheet,
            Some(line(
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

    fn need(&self, sheet: &Sheet<'_>, id: u64) -> Result<Job, Denied> {
        sheet
            .get(&key::number(b'J', id))?
            .ok_or_else(|| Denied::Unknown(format!("there is no job {id}")))
    }

    /// A job.
    pub fn job(&self, id: u64) -> Result<Job, Denied> {
        self.need(&self.sheet(self.now()), id)
    }

    /// The newest jobs first, from before `before` on.
    pub fn jobs(&self, before: Option<u64>, open: bool, most: usize) -> Result<Vec<Job>, Denied> {
        let sheet = self.sheet(self.now());
        let numbers = sheet.numbers_below(
            if open { b"Q" } else { b"J" },
            before.unwrap_or(u64::MAX),
            most,
        )?;
        numbers.into_iter().map(|n| self.need(&sheet, n)).collect()
    }

    /// A job's transcript.
    pub fn transcript(&self, id: u64) -> Result<String, Denied> {
        Ok(self
            .sheet(self.now())
            .get(&key::number(b'S', id))?
            .unwrap_or_default())
    }

    /// Takes an opt-out: what it covers is not tested from now on, and jobs that wait end.
    pub fn opt_out(
        &self,
        who: &Asker,
        subject: &Subject,
        proof: &str,
        now: Time,
    ) -> Result<OptOut, Denied> {
        if !subject.is_address() {
            return Err(Denied::Invalid(
                "subject: an address or a prefix is what can be tested".into(),
            ));
        }
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        let out = OptOut {
            subject: subject.to_string(),
            at: now,
            by: who.name.clone(),
            proof: proof.chars().take(500).collect(),
        };
        sheet.put(key::opt_out(subject), &out);
        for k in sheet.keys(b"Q", usize::MAX)? {
            let mut job = self.need(&sheet, key::tail(&k))?;
            if subject.covers(&Subject::host(job.target)) || *subject == Subject::host(job.target) {
                end(&mut job, ASKED, now);
                super::claim::forget(&mut sheet, &job)?;
                save(&mut sheet, &job)?;
            }
        }
        if let Some(reason) = self.ledger.store.vocabulary().reasons.get(NOTEST) {
            let ask = Ask::List {
                reason,
                source: SourceId::OPERATOR,
                until: None,
                text: None,
            };
            let mut change = Change::new(subject.clone(), who.name.clone(), ask);
            (change.evidence, change.terms.from, change.terms.breaks_hold) = (
                Some(Evidence::word(out.proof.clone())),
                who.from.clone().into(),
                true,
            );
            sheet.changes.push(change);
        }
        self.write(
            sheet,
            Some(line(
                who,
                "optout",
                subject,
                String::new(),
                Some(out.proof.clone()),
                now,
            )),
        )?;
        Ok(out)
    }

    /// Takes an opt-out back.
    pub fn opt_in(&self, who: &Asker, subject: &Subject, now: Time) -> Result<(), Denied> {
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        if sheet.get::<OptOut>(&key::opt_out(subject))?.is_none() {
            return Err(Denied::Unknown(format!("{subject} did not opt out itself")));
        }
        sheet.drop_row(key::opt_out(subject));
        let listed = self.ledger.store.vocabulary().reasons.get(NOTEST);
        if let Some(reason) = listed.filter(|r| {
            sheet
                .verdict(subject)
                .is_ok_and(|v| v.entry(*r, SourceId::OPERATOR).is_some())
        }) {
            let ask = Ask::Delist {
                reason: Some(reason),
                source: Some(SourceId::OPERATOR),
                hold: HoldFor::Nothing,
            };
            sheet.change(subject.clone(), &who.name, ask, "opted in".into(), false);
        }
        self.write(
            sheet,
            Some(line(who, "optin", subject, String::new(), None, now)),
        )?;
        Ok(())
    }

    /// All opt-outs.
    pub fn opt_outs(&self) -> Result<Vec<OptOut>, Denied> {
        let mut out = Vec::new();
        self.sheet(self.now())
            .each(b"O", &mut |o: OptOut| out.push(o))?;
        Ok(out)
    }
}

/// The opt-out that covers a host.
pub(super) fn opted_out(sheet: &Sheet<'_>, target: IpAddr) -> Result<Option<String>, StoreError> {
    let host = Subject::host(target);
    for subject in std::iter::once(host.clone()).chain(host.wider()) {
        if sheet.get::<OptOut>(&key::opt_out(&subject))?.is_some() {
            return Ok(Some(subject.to_string()));
        }
    }
    Ok(None)
}

/// The job of a host that runs.
pub(super) fn running_job(sheet: &Sheet<'_>, target: IpAddr, but: u64) -> Result<bool, StoreError> {
    for k in sheet
        .keys(&key::host(b'L', target), usize::MAX)?
        .iter()
        .rev()
        .filter(|k| key::tail(k) != but)
    {
        if sheet
            .get::<Job>(&key::number(b'J', key::tail(k)))?
            .is_some_and(|j| j.state == State::Running && !j.remote)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The job of a host that is open, of those that are meant.
pub(super) fn open_job(
    sheet: &Sheet<'_>,
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
    sheet: &mut Sheet<'_>,
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
        state: State::Queued,
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
    (job.state, job.waiting_for, job.ended) = (State::Done, Some(why.into()), Some(now));
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
        State::Queued if job.remote => job.grounds.at.plus(retest::EVIDENCE_LIFE).0 + 1,
        State::Queued => line,
        State::Deferred => job.not_before.0.clamp(LINES[2] + 1, HELD - 1),
        State::Running => job.begun.unwrap_or(job.at).plus(LONGEST).0 + 1,
        State::Held | State::Done => HELD,
    }
}

/// Writes a job, whether it is open, and when it is looked at next.
pub(super) fn save(sheet: &mut Sheet<'_>, job: &Job) -> Result<(), StoreError> {
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
fn budgets(settings: &Settings, target: IpAddr, kind: BudgetKind) -> Vec<(Vec<u8>, usize, String)> {
    let net = key::host(b'N', crate::model::probing::net(target));
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
    sheet: &mut Sheet<'_>,
    settings: &Settings,
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
    sheet: &Sheet<'_>,
    settings: &Settings,
    job: &mut Job,
) -> Result<(), StoreError> {
    let now = sheet.now;
    if matches!(job.cause, Trigger::Nomination | Trigger::Owner)
        && job.begun.is_none()
        && job.grounds.at.plus(retest::EVIDENCE_LIFE) < now
    {
        end(job, "its evidence is older than 14 days", now);
        return Ok(());
    }
    if opted_out(sheet, job.target)?.is_some() {
        (job.state, job.waiting_for) = (State::Held, Some(ASKED.into()));
        return Ok(());
    }
    if !job.remote && running_job(sheet, job.target, job.id)? {
        (job.state, job.not_before) = (State::Deferred, now.plus(Seconds(60)));
        job.waiting_for = Some("another test of the same host".into());
        return Ok(());
    }
    let mut held = |why: String| (job.state, job.waiting_for) = (State::Held, Some(why));
    if let Err(why) = if job.remote {
        settings.may(job.target)
    } else {
        settings.ready(job.target)
    } {
        held(why);
        return Ok(());
    }
    if !job.approved {
        let reporter: Reporter = sheet.get(&key::reporter(&job.by))?.unwrap_or_default();
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
        let host: Host = sheet.get(&key::host(b'H', job.target))?.unwrap_or_default();
        let own = match job.cause {
            Trigger::Claim { .. } | Trigger::Recheck => job.not_before.max(now),
            Trigger::Nomination => host.nomination_time(hash(&job.grounds), job.remote, now),
            Trigger::Owner | Trigger::Review => host
                .tested
                .map_or(now, |t| t.plus(retest::BETWEEN))
                .max(now),
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
                (at, State::Deferred, Some(format!("{why}, until {at}")));
        }
        false => (job.state, job.waiting_for) = (State::Queued, None),
    }
    Ok(())
}
