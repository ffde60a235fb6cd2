//! "File your server closed": claims, and the release that follows.

use std::net::IpAddr;

use super::{
    control::{self, CameThrough, ClaimOutcome, DecisionRow, SecondSource},
    messages::PLAIN,
    policy::{
        BETWEEN, Claim, EvidenceSummary, HostRecord, Job, JobState, OutputRecord, RECHECK_WITHIN,
        Trigger, WAITING,
    },
    proof::IssuedToken,
    proofs::Proof,
    queue::{charge, end, new_job, open_job, opted_out, place, save},
    rows::{RelayBatch, key},
    service::{AHEAD, Actor, REASONS, RelayError, RelayService, audit_record, is_listed},
    settings::RelaySettings,
};
use crate::{
    ledger::Receipt,
    model::{
        SourceId, Subject, Time,
        history::{Ask, HoldFor},
        time::Seconds,
    },
    smtp::{Outcome, Stage, outcome::RecipientReply},
};

/// Proofs of a listing that are held against a claim's test.
const MOST_PROOFS: usize = 1000;

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimReceipt {
    /// Its test.
    pub job: Job,
    /// When the host is released if nothing comes until then: the end of its waiting period.
    pub release: Option<Time>,
    /// The row that the test which began the waiting period came to, where it is known.
    pub row: Option<DecisionRow>,
    /// The waiting period stands still now, so that it ends later than `release`.
    pub paused: bool,
}

impl RelayService {
    /// Takes a claim that a host is closed. The first is tested at once; each one that failed makes
    /// the next of its kind wait.
    pub fn claim(
        &self,
        who: &Actor,
        target: IpAddr,
        proved: bool,
        now: Time,
    ) -> Result<ClaimReceipt, RelayError> {
        let settings = self.settings();
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        let verdict = sheet.verdict(&Subject::host(target))?;
        let listed: Vec<&str> = REASONS
            .into_iter()
            .filter(|r| is_listed(self, &verdict, r))
            .collect();
        if listed.is_empty() {
            return Err(RelayError::Unknown(format!(
                "{target} is not listed for a relay test; other listings end in other ways"
            )));
        }
        if listed == [REASONS[3]] {
            let row: OutputRecord = sheet.get(&key::host(b'X', target))?.unwrap_or_default();
            let inputs: Vec<String> = row.inputs.iter().map(|f| f.input.to_string()).collect();
            return Err(RelayError::No(format!(
                "{target} is listed for delivering what open hosts took: {}. It is released when they are closed, or by an operator",
                inputs.join(", ")
            )));
        }
        if let Some(out) = opted_out(&sheet, target)? {
            // Who lets nobody look cannot say that it is closed: else an open host was let out for
            // good that way.
            return Err(RelayError::No(format!(
                "{out} asked not to be tested: what was proved before stays until it ends. Take the opt-out back, and claim it then"
            )));
        }
        let slot = key::host(b'H', target);
        let mut host: HostRecord = sheet.get(&slot)?.unwrap_or_default();
        if let Some(claim) = &host.claim {
            let job: Option<Job> = sheet.get(&key::number(b'J', claim.job))?;
            if let Some(job) = job.filter(|_| claim.proved || !proved) {
                return self.claimed(&sheet, claim, job);
            }
        }
        if !proved && self.unproved(&sheet)? >= settings.unproved {
            let why =
                "too many claims wait; claim it from the address itself, or try again tomorrow";
            return Err(RelayError::TooMany(why.into(), BETWEEN));
        }
        // A proved claim takes the place of an unproved one. What others have brought waits on.
        let meant =
            |j: &Job| j.state != JobState::Running && matches!(j.cause, Trigger::Claim { .. });
        if let Some(mut old) = open_job(&sheet, target, meant)? {
            end(&mut old, "a claim took its place", now);
            save(&mut sheet, &old)?;
        }
        let grounds = EvidenceSummary {
            kind: "claim".into(),
            text: format!("{} says that it is closed", who.name),
            at: now,
        };
        let mut job = new_job(
            &mut sheet,
            target,
            Trigger::Claim { proved },
            &who.name,
            grounds,
        )?;
        let sources = settings.sources(target);
        let due = host.claim_time(proved, &sources, now);
        (job.not_before, job.names, job.port) = (due, host.names.clone(), host.port);
        job.source = host.blocked[usize::from(proved)].next_source(&sources);
        place(&sheet, &settings, &mut job)?;
        if !proved && matches!(job.state, JobState::Queued | JobState::Deferred) {
            // What nobody tests is granted: a claim is taken only where there is a place for its
            // test.
            let at = job.not_before.max(now);
            if at > due.plus(AHEAD) {
                let again = Time(at.0.saturating_sub(AHEAD.0));
                let why = format!(
                    "too many claims of its network wait; claim it from the address itself, or after {again}"
                );
                return Err(RelayError::TooMany(
                    why,
                    Seconds(again.0.saturating_sub(now.0)),
                ));
            }
            charge(&mut sheet, &settings, &job, at)?;
        }
        save(&mut sheet, &job)?;
        // A waiting period that runs already runs on: whoever proves that he speaks for the host is
        // no worse off.
        let runs = host.claim.as_ref().filter(|c| c.release.is_some());
        let (release, since) = (
            runs.and_then(|c| c.release),
            runs.map(|c| c.since.unwrap_or(c.at)),
        );
        let claim = Claim {
            at: now,
            by: who.name.clone(),
            proved,
            job: job.id,
            due,
            release,
            since,
            second_job: None,
        };
        let claimed = self.claimed(&sheet, &claim, job.clone())?;
        host.claim = Some(claim);
        sheet.put(slot, &host);
        sheet.put(key::host(b'C', target), &!proved);
        let how = if proved { "proved" } else { "not proved" };
        self.write(
            sheet,
            Some(audit_record(
                who,
                "claim",
                &target,
                format!("job {}, {how}", job.id),
                None,
                now,
            )),
        )?;
        Ok(claimed)
    }

    /// What a claimant is told. A waiting period that stood still ends later by as much, and never
    /// in the past.
    fn claimed(
        &self,
        sheet: &RelayBatch<'_>,
        claim: &Claim,
        job: Job,
    ) -> Result<ClaimReceipt, RelayError> {
        let Some(release) = claim.release else {
            return Ok(ClaimReceipt {
                job,
                release: None,
                row: None,
                paused: false,
            });
        };
        let stood_still =
            |to: Time| Self::waiting_paused(sheet, claim.at, waiting_since(release), to);
        let (until_now, until_next) = (
            stood_still(sheet.now)?,
            stood_still(sheet.now.plus(Seconds(1)))?,
        );
        let paused = until_next > until_now;
        let end = release.plus(until_now).max(sheet.now);
        let row = job.row;
        Ok(ClaimReceipt {
            job,
            release: Some(end),
            row,
            paused,
        })
    }

    /// Claims without a proof that wait for their test.
    pub(super) fn unproved(&self, sheet: &RelayBatch<'_>) -> Result<usize, RelayError> {
        let mut n = 0;
        sheet.each(b"C", &mut |waits: Option<bool>| {
            n += usize::from(waits == Some(true));
        })?;
        Ok(n)
    }

    /// A claim's test has ended: the table of [`control::DecisionRow`] says what follows.
    pub(super) fn claim_tested(
        &self,
        sheet: &mut RelayBatch<'_>,
        job: &mut Job,
    ) -> Result<(), RelayError> {
        let settings = self.settings();
        let slot = key::host(b'H', job.target);
        let mut host: HostRecord = sheet.get(&slot)?.unwrap_or_default();
        let came = self
            .came_through(sheet, job.target, job.port)?
            .unwrap_or_default();
        let row = control::decision_row(&job.results, &came, &job.controls);
        // One whose message came has failed already; and one that was released early is over.
        let Some(claim) = host.claim.as_mut().filter(|c| c.is_tested_by(job.id)) else {
            job.row = job
                .row
                .or(Some(row).filter(|r| *r == DecisionRow::Delivered));
            return Ok(());
        };
        job.row = Some(row);
        let is_second = claim.second_job == Some(job.id);
        let second = match settings.second_source(job.target, job.source_used()) {
            _ if is_second && row.confirms_refusal() => SecondSource::Agrees,
            Some(_) if !is_second => SecondSource::Available,
            _ => SecondSource::Unavailable,
        };
        let kind = usize::from(claim.proved);
        match row.outcome(claim.proved, second) {
            ClaimOutcome::Released => return self.release_tested(sheet, job, &came),
            ClaimOutcome::WaitingForSecondSource => {
                wait(claim, sheet.now);
                claim.second_job = self.ask_second_source(sheet, &settings, job, &came)?;
            }
            ClaimOutcome::Waiting => wait(claim, sheet.now),
            // It says nothing new: what was accepted before, and does not come, counts.
            ClaimOutcome::Blocked if claim.release.is_some() => {}
            ClaimOutcome::Blocked => {
                host.blocked[kind].note(job.id, job.source_used(), sheet.now);
                host.claim = None;
                sheet.drop_row(key::host(b'C', job.target));
            }
            ClaimOutcome::Failed => {
                host.failed[kind] = (host.failed[kind].0 + 1, Some(sheet.now));
                host.claim = None;
                sheet.drop_row(key::host(b'C', job.target));
            }
        }
        if host.claim.is_some() {
            sheet.put(key::host(b'C', job.target), &false);
        }
        sheet.put(slot, &host);
        Ok(())
    }

    /// The first groups of a claim's messages have been sent: where they suffice for a release, the
    /// host is released now. The rest runs on, and lists the host again by a delivery alone.
    pub(super) fn release_early(
        &self,
        sheet: &mut RelayBatch<'_>,
        job: &mut Job,
    ) -> Result<(), RelayError> {
        let host: HostRecord = sheet.get(&key::host(b'H', job.target))?.unwrap_or_default();
        let Some(claim) = host.claim.as_ref().filter(|c| c.job == job.id) else {
            return Ok(());
        };
        let came = self
            .came_through(sheet, job.target, job.port)?
            .unwrap_or_default();
        let row = control::decision_row(&job.results, &came, &job.controls);
        if row.outcome(claim.proved, SecondSource::Unavailable) != ClaimOutcome::Released {
            return Ok(());
        }
        job.row = Some(row);
        self.release_tested(sheet, job, &came)
    }

    /// Releases a host whose test says that it is closed. What that test has sent still counts; and
    /// the same forms are sent once more at a time that nobody can know, from another address of
    /// ours where there is one.
    fn release_tested(
        &self,
        sheet: &mut RelayBatch<'_>,
        job: &Job,
        came: &CameThrough,
    ) -> Result<(), RelayError> {
        let settings = self.settings();
        let host: HostRecord = sheet.get(&key::host(b'H', job.target))?.unwrap_or_default();
        let claimed = host.claim.as_ref().map_or(job.at, |c| c.at);
        self.release(
            sheet,
            job.target,
            ("every test was refused", false),
            before(claimed),
        )?;
        let text = format!("released after job {}", job.id);
        let grounds = EvidenceSummary {
            kind: "recheck".into(),
            text,
            at: sheet.now,
        };
        let mut recheck = new_job(sheet, job.target, Trigger::Recheck, "tester", grounds)?;
        (recheck.names, recheck.port, recheck.only) =
            (host.names, job.port, came.tests.iter().cloned().collect());
        let used = job.source_used();
        let sources = settings.sources(job.target);
        recheck.source = sources
            .iter()
            .copied()
            .find(|s| Some(*s) != used)
            .or(used)
            .filter(|s| sources.contains(s));
        let at = sheet
            .now
            .plus(Seconds(1 + (settings.random)(RECHECK_WITHIN.0)));
        (recheck.state, recheck.not_before) = (JobState::Deferred, at);
        // When it comes is nobody's to know.
        recheck.waiting_for = Some("a random time within 72 hours after the release".into());
        save(sheet, &recheck)?;
        Ok(())
    }

    /// Has a second source address send the forms that had come through, while the waiting period
    /// runs.
    fn ask_second_source(
        &self,
        sheet: &mut RelayBatch<'_>,
        settings: &RelaySettings,
        job: &Job,
        came: &CameThrough,
    ) -> Result<Option<u64>, RelayError> {
        let source = settings.second_source(job.target, job.source_used());
        let text = format!("what job {} has seen, from a second address", job.id);
        let grounds = EvidenceSummary {
            kind: "claim".into(),
            text,
            at: sheet.now,
        };
        let mut second = new_job(sheet, job.target, job.cause, &job.by, grounds)?;
        (second.names, second.port, second.only) = (
            job.names.clone(),
            job.port,
            came.tests.iter().cloned().collect(),
        );
        (second.source, second.second) = (source, true);
        place(sheet, settings, &mut second)?;
        save(sheet, &second)?;
        Ok(Some(second.id))
    }

    /// The forms that have proved a host open since its last release: whoever takes a name away
    /// takes the tests with it that use the name. None where there is no proof. `port` is where
    /// they are tried now.
    pub(super) fn came_through(
        &self,
        sheet: &RelayBatch<'_>,
        target: IpAddr,
        port: Option<u16>,
    ) -> Result<Option<CameThrough>, RelayError> {
        let settings = self.settings();
        let host: HostRecord = sheet.get(&key::host(b'H', target))?.unwrap_or_default();
        let since = |p: &Proof| p.input == target && host.released.is_none_or(|r| p.issued > r);
        let ours = self.listing(target, MOST_PROOFS, |p| {
            since(p) && REASONS[..2].contains(&p.outcome.as_str())
        })?;
        if ours.is_empty() {
            // The word of others names no form: all of them count.
            let is_any = !self.listing(target, 1, since)?.is_empty();
            return Ok(is_any.then(CameThrough::default));
        }
        // What came through at one port is not tried at another.
        let mut other_port = false;
        for p in &ours {
            let proved: Option<Job> = sheet.get(&key::number(b'J', p.job))?;
            other_port |=
                proved.is_some_and(|j| settings.other_port(j.port) != settings.other_port(port));
        }
        let tests = ours
            .iter()
            .map(|p| p.test.strip_suffix(PLAIN).unwrap_or(&p.test).to_string())
            .collect();
        Ok(Some(CameThrough { tests, other_port }))
    }

    /// What our addresses were answered in the blocked claims of a host, the last one first.
    pub fn blocked(&self, target: IpAddr) -> Result<Vec<SourceReplies>, RelayError> {
        let sheet = self.sheet(Time(0));
        let host: HostRecord = sheet.get(&key::host(b'H', target))?.unwrap_or_default();
        let mut jobs: Vec<u64> = host
            .blocked
            .iter()
            .flat_map(|b| b.jobs.iter().copied())
            .collect();
        jobs.sort_unstable_by_key(|n| std::cmp::Reverse(*n));
        let mut out = Vec::new();
        for id in jobs {
            out.extend(
                sheet
                    .get::<Job>(&key::number(b'J', id))?
                    .as_ref()
                    .map(SourceReplies::of),
            );
        }
        Ok(out)
    }

    /// Takes a host off for good: what was sent before `since` lists it no more. On request: nobody
    /// has tested it.
    pub(super) fn release(
        &self,
        sheet: &mut RelayBatch<'_>,
        target: IpAddr,
        (why, on_request): (&str, bool),
        since: Time,
    ) -> Result<(), RelayError> {
        let slot = key::host(b'H', target);
        let mut host: HostRecord = sheet.get(&slot)?.unwrap_or_default();
        let by = host
            .claim
            .as_ref()
            .map_or_else(|| "tester".to_string(), |c| c.by.clone());
        let verdict = sheet.verdict(&Subject::host(target))?;
        let text = if on_request {
            format!("on-request: {why}")
        } else {
            why.to_string()
        };
        for name in &REASONS[..3] {
            if is_listed(self, &verdict, name) {
                // What nobody has tested says nothing against the word of others.
                let source = on_request.then_some(SourceId::PROBER);
                let ask = Ask::Delist {
                    reason: Some(self.reason(name)?),
                    source,
                    hold: HoldFor::Usual,
                };
                sheet.change(Subject::host(target), &by, ask, text.clone(), false);
            }
        }
        for output in std::mem::take(&mut host.outputs) {
            let key = key::host(b'X', output);
            let mut row: OutputRecord = sheet.get(&key)?.unwrap_or_default();
            row.inputs.retain(|f| f.input != target);
            sheet.put(key, &row);
        }
        (host.released, host.claim) = (Some(since), None);
        (host.failed, host.blocked) = Default::default();
        sheet.put(slot, &host);
        sheet.drop_row(key::host(b'C', target));
        Ok(())
    }

    /// An operator releases a host after he has looked.
    pub fn review(
        &self,
        who: &Actor,
        target: IpAddr,
        why: &str,
        now: Time,
    ) -> Result<Option<Receipt>, RelayError> {
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        let verdict = sheet.verdict(&Subject::host(target))?;
        if !REASONS.iter().any(|r| is_listed(self, &verdict, r)) {
            return Err(RelayError::Unknown(format!(
                "{target} is not listed for a relay test"
            )));
        }
        // Whoever has looked has looked at what was sent before, too.
        self.release(&mut sheet, target, (why, false), now)?;
        if is_listed(self, &verdict, REASONS[3]) {
            // Whoever has looked is not asked again by the next message.
            let ask = Ask::Delist {
                reason: Some(self.reason(REASONS[3])?),
                source: None,
                hold: HoldFor::Usual,
            };
            sheet.change(Subject::host(target), &who.name, ask, why.into(), false);
            sheet.drop_row(key::host(b'X', target));
        }
        self.write(
            sheet,
            Some(audit_record(
                who,
                "review",
                &target,
                "released".into(),
                Some(why.into()),
                now,
            )),
        )
    }
}

/// The waiting period begins, where none runs.
fn wait(claim: &mut Claim, now: Time) {
    claim.release.get_or_insert(now.plus(WAITING));
}

/// When a waiting period began that ends at `release`.
pub(super) fn waiting_since(release: Time) -> Time {
    Time(release.0.saturating_sub(WAITING.0))
}

/// The moment before a claim: what was sent with the claim or after it still lists the host after
/// its release.
pub(super) fn before(claimed: Time) -> Time {
    Time(claimed.0.saturating_sub(1))
}

/// What an address of ours was answered when it tested a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceReplies {
    /// The address; none where the system chose it and no connection was made.
    pub source: Option<IpAddr>,
    /// When the test ended.
    pub at: Option<Time>,
    /// The row of the table that the test came to.
    pub row: Option<DecisionRow>,
    /// What was sent, and what was answered.
    pub replies: Vec<(String, String)>,
}

/// The most replies of one test that are shown.
const MAX_REPLIES: usize = 40;

impl SourceReplies {
    fn of(job: &Job) -> SourceReplies {
        let controls = job.controls.iter().flat_map(|s| [&s.before, &s.after]);
        let replied = |r: &RecipientReply| {
            (
                format!("control: RCPT TO:{}", r.recipient),
                format!("{} {}", r.code, r.text),
            )
        };
        let control = controls.flat_map(|c| {
            c.replies
                .iter()
                .map(replied)
                .chain(c.failure.iter().map(|f| ("control".into(), f.clone())))
        });
        let forms = job.results.iter().filter_map(|r| {
            let sent = |stage: Option<Stage>| {
                format!(
                    "test {}{}",
                    r.test,
                    stage.map_or_else(String::new, |s| format!(": {}", s.name()))
                )
            };
            match &r.outcome {
                Outcome::Refused { stage, code, text }
                | Outcome::TempFail { stage, code, text } => {
                    Some((sent(Some(*stage)), format!("{code} {text}")))
                }
                Outcome::Inconclusive {
                    why, deferred_at, ..
                } => Some((sent(*deferred_at), why.clone())),
                _ => None,
            }
        });
        // What a server says may be anything: it reaches terminals.
        let printable = |text: String| {
            text.chars()
                .map(|c| {
                    if c.is_control() {
                        char::REPLACEMENT_CHARACTER
                    } else {
                        c
                    }
                })
                .collect()
        };
        let replies = control
            .chain(forms)
            .map(|(sent, answered)| (sent, printable(answered)))
            .take(MAX_REPLIES)
            .collect();
        SourceReplies {
            source: job.source_used(),
            at: job.ended,
            row: job.row,
            replies,
        }
    }
}

/// A claim whose job has ended without a test is none any more.
pub(super) fn forget(sheet: &mut RelayBatch<'_>, job: &Job) -> Result<(), RelayError> {
    let slot = key::host(b'H', job.target);
    let mut host: HostRecord = sheet.get(&slot)?.unwrap_or_default();
    if host.claim.take_if(|c| c.job == job.id).is_some() {
        sheet.put(slot, &host);
        sheet.drop_row(key::host(b'C', job.target));
    }
    Ok(())
}

/// A message came that was sent after the claim: it was wrong.
pub(super) fn failed(sheet: &mut RelayBatch<'_>, issued: &IssuedToken) -> Result<(), RelayError> {
    let slot = key::host(b'H', issued.target);
    let mut host: HostRecord = sheet.get(&slot)?.unwrap_or_default();
    let Some(claim) = host.claim.take_if(|c| c.is_refuted(issued.at)) else {
        return Ok(());
    };
    let kind = usize::from(claim.proved);
    host.failed[kind] = (host.failed[kind].0 + 1, Some(sheet.now));
    sheet.put(slot, &host);
    sheet.drop_row(key::host(b'C', issued.target));
    Ok(())
}
