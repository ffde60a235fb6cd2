//! "File your server closed": claims, and the release that follows.

use std::net::IpAddr;

use super::{
    AHEAD, Asker, Denied, Desk, Proof, REASONS, Sheet,
    jobs::{end, line, new_job, open_job, opted_out, place, save, spend},
    key,
    run::PLAIN,
};
use crate::{
    ledger::Receipt,
    model::{
        SourceId, Subject, Time,
        history::{Ask, HoldFor},
        probing::{HELO, Issued, Judgement, Outcome, Stage, Tried},
        retest::{BETWEEN, Cause, Claim, Grounds, Host, Job, Output, State, WAITING},
        time::Seconds,
    },
};

/// Proofs of a listing that are held against a claim's test.
const MOST_PROOFS: usize = 1000;

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its test.
    pub job: Job,
    /// When the host is released if nothing comes until then.
    pub release: Option<Time>,
}

impl Desk {
    /// Takes a claim that a host is closed. The first is tested at once; each one that failed makes the next of its kind wait.
    pub fn claim(&self, who: &Asker, target: IpAddr, proved: bool, now: Time) -> Result<Claimed, Denied> {
        let settings = self.settings();
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        let verdict = sheet.verdict(&Subject::host(target))?;
        let listed: Vec<&str> = REASONS.into_iter().filter(|r| is_listed(self, &verdict, r)).collect();
        if listed.is_empty() {
            return Err(Denied::Unknown(format!("{target} is not listed for a relay test; other listings end in other ways")));
        }
        if listed == [REASONS[3]] {
            let row: Output = sheet.get(&key::host(b'X', target))?.unwrap_or_default();
            let inputs: Vec<String> = row.inputs.iter().map(|f| f.input.to_string()).collect();
            return Err(Denied::No(format!(
                "{target} is listed for delivering what open hosts took: {}. It is released when they are closed, or by an operator",
                inputs.join(", ")
            )));
        }
        if let Some(out) = opted_out(&sheet, target)? {
            // Who lets nobody look can not say that it is closed: else an open host was let out for good that way.
            return Err(Denied::No(format!(
                "{out} asked not to be tested: what was proved before stays until it ends. Take the opt-out back, and claim it then"
            )));
        }
        let slot = key::host(b'H', target);
        let mut host: Host = sheet.get(&slot)?.unwrap_or_default();
        if let Some(claim) = &host.claim {
            let job: Option<Job> = sheet.get(&key::number(b'J', claim.job))?;
            if let Some(job) = job.filter(|_| claim.proved || !proved) {
                return Ok(Claimed { job, release: claim.release });
            }
        }
        if !proved && self.unproved(&sheet)? >= settings.unproved {
            let why = "too many claims wait; claim it from the address itself, or try again tomorrow";
            return Err(Denied::TooMany(why.into(), BETWEEN));
        }
        // A proved claim takes the place of an unproved one. What others have brought waits on.
        let meant = |j: &Job| j.state != State::Running && matches!(j.cause, Cause::Claim { .. });
        if let Some(mut old) = open_job(&sheet, target, meant)? {
            end(&mut old, "a claim took its place", now);
            save(&mut sheet, &old)?;
        }
        let grounds = Grounds { kind: "claim".into(), text: format!("{} says that it is closed", who.name), at: now };
        let mut job = new_job(&mut sheet, target, Cause::Claim { proved }, &who.name, grounds)?;
        (job.not_before, job.names, job.port) = (host.claim_time(proved, now), host.names.clone(), host.port);
        place(&sheet, &settings, &mut job)?;
        let due = host.claim_time(proved, now);
        if !proved && matches!(job.state, State::Queued | State::Deferred) {
            // What nobody tests is granted: a claim is taken only where there is a place for its test.
            let at = job.not_before.max(now);
            if at > due.plus(AHEAD) {
                let again = Time(at.0.saturating_sub(AHEAD.0));
                let why = format!("too many claims of its network wait; claim it from the address itself, or after {again}");
                return Err(Denied::TooMany(why, Seconds(again.0.saturating_sub(now.0))));
            }
            spend(&mut sheet, &settings, &job, at)?;
        }
        save(&mut sheet, &job)?;
        // A waiting period that runs already runs on: whoever proves that he speaks for the host is no worse off.
        let runs = host.claim.as_ref().filter(|c| c.release.is_some());
        let (release, since) = (runs.and_then(|c| c.release), runs.map(|c| c.since.unwrap_or(c.at)));
        host.claim = Some(Claim { at: now, by: who.name.clone(), proved, job: job.id, due, release, since });
        sheet.put(slot, &host);
        sheet.put(key::host(b'C', target), &!proved);
        let how = if proved { "proved" } else { "not proved" };
        self.write(sheet, Some(line(who, "claim", &target, format!("job {}, {how}", job.id), None, now)))?;
        Ok(Claimed { job, release })
    }

    /// Claims without a proof that wait for their test.
    pub(super) fn unproved(&self, sheet: &Sheet<'_>) -> Result<usize, Denied> {
        let mut n = 0;
        sheet.each(b"C", &mut |waits: Option<bool>| n += usize::from(waits == Some(true)))?;
        Ok(n)
    }

    /// A claim's test has ended.
    pub(super) fn claim_tested(&self, sheet: &mut Sheet<'_>, job: &Job) -> Result<(), Denied> {
        let slot = key::host(b'H', job.target);
        let mut host: Host = sheet.get(&slot)?.unwrap_or_default();
        // One whose message came has failed already.
        let Some(claim) = host.claim.as_mut().filter(|c| c.job == job.id) else { return Ok(()) };
        match job.judgement() {
            Judgement::Closed if self.tried_what_proved(job, host.released, refused)? => {
                let at = claim.at;
                return self.release(sheet, job.target, ("every test was refused", false), at);
            }
            // A test that once came through could not be made again: the waiting period tells.
            Judgement::Closed | Judgement::Accepted => wait(claim, sheet.now),
            // Not every test has an outcome, but what had come through was refused, or put off each time: Postfix as Debian ships
            // it says 454 to strangers for good.
            Judgement::Inconclusive
                if nothing_taken(job) || job.results.iter().any(not_taken) && self.tried_what_proved(job, host.released, not_taken)? =>
            {
                wait(claim, sheet.now);
            }
            // It says nothing new: what was accepted before, and does not come, counts.
            Judgement::Blocked | Judgement::Inconclusive | Judgement::Untestable if claim.release.is_some() => {}
            Judgement::Open | Judgement::Blocked | Judgement::Inconclusive | Judgement::Untestable => {
                let kind = usize::from(claim.proved);
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

    /// Whether every test that has proved the host open since its last release was made again, and what it came to: whoever
    /// takes a name away takes the tests with it that use the name.
    fn tried_what_proved(&self, job: &Job, released: Option<Time>, came_to: fn(&Tried) -> bool) -> Result<bool, Denied> {
        let plain = |t: &str| t.strip_suffix(PLAIN).unwrap_or(t).to_string();
        // Each of its forms.
        let tried = |test: &str| {
            let mut forms = job.results.iter().filter(|r| r.test == test).peekable();
            forms.peek().is_some() && forms.all(came_to)
        };
        let since = |p: &Proof| p.input == job.target && released.is_none_or(|r| p.issued > r);
        // The word of others names no test that has to be made again where there is one of ours.
        let mut listing = self.listing(job.target, MOST_PROOFS, |p| since(p) && REASONS[..2].contains(&p.outcome.as_str()))?;
        if listing.is_empty() {
            listing = self.listing(job.target, MOST_PROOFS, since)?;
        }
        // What came through at one port is not tried at another.
        let settings = self.settings();
        for p in &listing {
            let proved: Option<Job> = self.sheet(Time(0)).get(&key::number(b'J', p.job))?;
            if proved.is_some_and(|j| settings.other_port(j.port) != settings.other_port(job.port)) {
                return Ok(false);
            }
        }
        // Jobs of only a few tests are answered by the same few, and by more.
        Ok(listing.iter().map(|p| plain(&p.test)).all(|test| tried(&test)))
    }

    /// Takes a host off for good: what was sent before `since` lists it no more. On request: nobody has tested it.
    pub(super) fn release(
        &self,
        sheet: &mut Sheet<'_>,
        target: IpAddr,
        (why, on_request): (&str, bool),
        since: Time,
    ) -> Result<(), Denied> {
        let slot = key::host(b'H', target);
        let mut host: Host = sheet.get(&slot)?.unwrap_or_default();
        let by = host.claim.as_ref().map_or_else(|| "tester".to_string(), |c| c.by.clone());
        let verdict = sheet.verdict(&Subject::host(target))?;
        let text = if on_request { format!("on-request: {why}") } else { why.to_string() };
        for name in &REASONS[..3] {
            if is_listed(self, &verdict, name) {
                // What nobody has tested says nothing against the word of others.
                let source = on_request.then_some(SourceId::PROBER);
                let ask = Ask::Delist { reason: Some(self.reason(name)?), source, hold: HoldFor::Usual };
                sheet.change(Subject::host(target), &by, ask, text.clone(), false);
            }
        }
        for output in std::mem::take(&mut host.outputs) {
            let key = key::host(b'X', output);
            let mut row: Output = sheet.get(&key)?.unwrap_or_default();
            row.inputs.retain(|f| f.input != target);
            sheet.put(key, &row);
        }
        (host.released, host.claim, host.failed) = (Some(since), None, Default::default());
        sheet.put(slot, &host);
        sheet.drop_row(key::host(b'C', target));
        Ok(())
    }

    /// An operator releases a host after he has looked.
    pub fn review(&self, who: &Asker, target: IpAddr, why: &str, now: Time) -> Result<Option<Receipt>, Denied> {
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        let verdict = sheet.verdict(&Subject::host(target))?;
        if !REASONS.iter().any(|r| is_listed(self, &verdict, r)) {
            return Err(Denied::Unknown(format!("{target} is not listed for a relay test")));
        }
        // Whoever has looked has looked at what was sent before, too.
        self.release(&mut sheet, target, (why, false), now)?;
        if is_listed(self, &verdict, REASONS[3]) {
            // Whoever has looked is not asked again by the next message.
            let ask = Ask::Delist { reason: Some(self.reason(REASONS[3])?), source: None, hold: HoldFor::Usual };
            sheet.change(Subject::host(target), &who.name, ask, why.into(), false);
            sheet.drop_row(key::host(b'X', target));
        }
        self.write(sheet, Some(line(who, "review", &target, "released".into(), Some(why.into()), now)))
    }
}

/// The waiting period begins, where none runs.
fn wait(claim: &mut Claim, now: Time) {
    claim.release.get_or_insert(now.plus(WAITING));
}

/// The first stage at which a no is about the test, and not about us.
fn first(r: &Tried) -> Stage {
    if r.class == HELO { Stage::Hello } else { Stage::Mail }
}

/// It was refused for good, behind the greeting.
fn refused(r: &Tried) -> bool {
    matches!(r.outcome, Outcome::Refused { stage, .. } if stage >= first(r))
}

/// The same, or refused for now in every try.
fn not_taken(r: &Tried) -> bool {
    refused(r) || matches!(r.outcome, Outcome::Inconclusive { put_off: Some(stage), .. } if stage >= first(r))
}

/// Whatever could be tried was not taken.
fn nothing_taken(job: &Job) -> bool {
    let mut tried = job.results.iter().filter(|r| !matches!(r.outcome, Outcome::Skipped { .. })).peekable();
    tried.peek().is_some() && tried.all(not_taken)
}

/// Whether the tester's findings list a host for a reason.
pub(super) fn is_listed(desk: &Desk, verdict: &crate::model::Verdict, reason: &str) -> bool {
    let reason = desk.ledger.store.vocabulary().reasons.get(reason);
    reason.is_some_and(|r| verdict.entry(r, SourceId::PROBER).is_some_and(|e| !e.hole) && !verdict.held(r, SourceId::PROBER))
}

/// A claim whose job has ended without a test is none any more.
pub(super) fn forget(sheet: &mut Sheet<'_>, job: &Job) -> Result<(), Denied> {
    let slot = key::host(b'H', job.target);
    let mut host: Host = sheet.get(&slot)?.unwrap_or_default();
    if host.claim.take_if(|c| c.job == job.id).is_some() {
        sheet.put(slot, &host);
        sheet.drop_row(key::host(b'C', job.target));
    }
    Ok(())
}

/// A message came that was sent after the claim: it was wrong.
pub(super) fn failed(sheet: &mut Sheet<'_>, issued: &Issued) -> Result<(), Denied> {
    let slot = key::host(b'H', issued.target);
    let mut host: Host = sheet.get(&slot)?.unwrap_or_default();
    let Some(claim) = host.claim.take_if(|c| c.is_refuted(issued.at)) else { return Ok(()) };
    let kind = usize::from(claim.proved);
    host.failed[kind] = (host.failed[kind].0 + 1, Some(sheet.now));
    sheet.put(slot, &host);
    sheet.drop_row(key::host(b'C', issued.target));
    Ok(())
}
