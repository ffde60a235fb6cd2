//! Claims that a host is closed, and the release that follows.

use std::net::IpAddr;

use super::{
    actor::Actor,
    batch::RelayBatch,
    control::{self, ClaimOutcome, DecisionRow, ProvedForms, SecondSource},
    messages::form_name,
    policy::{
        Claim, ClaimEvent, ClaimState, EvidenceOrigin, EvidenceSummary, HostRecord, Job, JobState,
        MIN_TEST_INTERVAL, RECHECK_PERIOD, Trigger, WAITING_PERIOD,
    },
    proof::{IssuedToken, Proof, ProofKind, ProofOutcome},
    queue::{cancel, charge, defer, new_job, open_job, opted_out, save, schedule},
    service::{INPUT_REASONS, LOOKAHEAD, OUTPUT_REASON, REASONS, RelayError, RelayService},
    settings::RelaySettings,
    tables::{CLAIMS, HOSTS, JOBS, OUTPUTS},
};
use crate::{
    ledger::Receipt,
    model::{SourceId, Subject, Time, history::HoldFor, text::replace_controls, time::Seconds},
    smtp::{MessageOutcome, outcome::RecipientReply},
};

/// The most proofs of a listing that are compared with the test of a claim.
const MAX_PROOFS: usize = 1000;

/// What an operator found when they reviewed a listed host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewFinding {
    /// The host does not relay any more.
    Closed,
    /// The listing was an error.
    ListedInError,
}

impl ReviewFinding {
    /// The finding of a review that states whether the listing was an error.
    pub fn of(listed_in_error: bool) -> ReviewFinding {
        match listed_in_error {
            true => ReviewFinding::ListedInError,
            false => ReviewFinding::Closed,
        }
    }
}

/// The receipt of an accepted claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimReceipt {
    /// The test of the claim.
    pub job: Job,
    /// The end of the waiting period, at which the host is released if no message is delivered
    /// until then.
    pub release: Option<Time>,
    /// The decision row of the test that began the waiting period, if it is known.
    pub row: Option<DecisionRow>,
    /// Whether the waiting period is paused now, so that it ends later than `release`.
    pub paused: bool,
}

impl RelayService {
    /// Accepts a claim that a host is closed. The first claim is tested at once; after a failed
    /// claim the next one of its kind waits.
    pub fn claim(
        &self,
        who: &Actor,
        target: IpAddr,
        proved: bool,
        now: Time,
    ) -> Result<ClaimReceipt, RelayError> {
        let settings = self.settings();
        let _guard = self.lock();
        let mut batch = self.batch(now);
        let verdict = batch.verdict(target)?;
        let listed: Vec<&str> = REASONS
            .into_iter()
            .filter(|r| self.is_listed(&verdict, r))
            .collect();
        if listed.is_empty() {
            return Err(RelayError::NotFound(format!(
                "{target} is not listed for a relay test; a claim does not end other listings"
            )));
        }
        if listed == [OUTPUT_REASON] {
            let row = batch.get_or_default(OUTPUTS, &target)?;
            let inputs: Vec<String> = row.inputs.iter().map(|f| f.input.to_string()).collect();
            return Err(RelayError::Refused(format!(
                "{target} is listed because it delivers messages of open relays: {}; it is released when they are closed, or by an operator",
                inputs.join(", ")
            )));
        }
        if let Some(out) = opted_out(&batch, target)? {
            // A host that refuses testing cannot claim to be closed; otherwise an open relay could
            // be released so.
            return Err(RelayError::Refused(format!(
                "{out} asked not to be tested, so its listing stays until it expires; revoke the opt-out, then claim again"
            )));
        }
        let mut host = batch.get_or_default(HOSTS, &target)?;
        if let Some(claim) = host.claim.clone() {
            let job = batch.get(JOBS, &claim.job)?;
            if let Some(mut job) = job.filter(|_| claim.proved || !proved)
                && !may_retest(&batch, &settings, &host, &job, proved)?
            {
                if bring_forward(&batch, &settings, &mut job)? {
                    save(&mut batch, &job)?;
                    let detail = format!("job {}, next try brought forward", job.id);
                    batch.audit(who, "claim", &target, detail, None);
                    self.write(batch)?;
                    batch = self.batch(now);
                }
                return Self::receipt(&batch, &claim, job);
            }
        }
        if !proved && self.count_unproved(&batch)? >= settings.max_unproved_claims {
            let why =
                "too many claims are waiting; claim from the address itself, or try again tomorrow";
            return Err(RelayError::LimitReached(why.into(), MIN_TEST_INTERVAL));
        }
        // A proved claim replaces an unproved one. Nominations by reporters stay.
        let is_replaced =
            |j: &Job| j.state != JobState::Running && matches!(j.trigger, Trigger::Claim { .. });
        if let Some(mut old) = open_job(&batch, target, is_replaced)? {
            cancel(&mut old, "replaced by a new claim", now)?;
            save(&mut batch, &old)?;
        }
        let evidence = EvidenceSummary {
            origin: EvidenceOrigin::Claim,
            text: format!("{} claims that the host is closed", who.name),
            at: now,
        };
        let trigger = Trigger::Claim { proved };
        let mut job = new_job(&mut batch, target, trigger, &who.name, evidence)?;
        let sources = settings.sources(target);
        let due = host.claim_time(proved, &sources, now);
        (job.not_before, job.names, job.port) = (due, host.names.clone(), host.port);
        job.source = host.blocked[usize::from(proved)].next_source(&sources);
        schedule(&batch, &settings, &mut job)?;
        if !proved && matches!(job.state, JobState::Queued | JobState::Deferred) {
            // A claim that is not tested is granted. So a claim is accepted only if its test fits
            // into the budget.
            let at = job.not_before.max(now);
            if at > due.plus(LOOKAHEAD) {
                let retry_at = Time(at.0.saturating_sub(LOOKAHEAD.0));
                let why = format!(
                    "too many claims of its network are waiting; claim from the address itself, or after {retry_at}"
                );
                let pause = Seconds(retry_at.0.saturating_sub(now.0));
                return Err(RelayError::LimitReached(why, pause));
            }
            charge(&mut batch, &settings, &job, at)?;
        }
        save(&mut batch, &job)?;
        // A waiting period that has begun goes on, so that a proved claim does not wait longer than
        // an unproved one.
        let waiting = host.claim.as_ref().filter(|c| c.release.is_some());
        let claim = Claim {
            at: now,
            by: who.name.clone(),
            proved,
            job: job.id,
            due,
            release: waiting.and_then(|c| c.release),
            since: waiting.map(|c| c.since.unwrap_or(c.at)),
            second_job: None,
        };
        let receipt = Self::receipt(&batch, &claim, job.clone())?;
        host.claim = Some(claim);
        batch.put(HOSTS, &target, &host);
        batch.put(CLAIMS, &target, &Some(!proved));
        let standing = if proved { "proved" } else { "not proved" };
        let detail = format!("job {}, {standing}", job.id);
        batch.audit(who, "claim", &target, detail, None);
        self.write(batch)?;
        Ok(receipt)
    }

    /// Makes the receipt of a claim. Pauses of the waiting period move its end; the end is never in
    /// the past.
    fn receipt(
        batch: &RelayBatch<'_>,
        claim: &Claim,
        job: Job,
    ) -> Result<ClaimReceipt, RelayError> {
        let end = Self::waiting_end(batch, claim)?;
        let row = job.row.filter(|_| end.is_some());
        Ok(ClaimReceipt {
            job,
            release: end.map(|(at, _)| at),
            row,
            paused: end.is_some_and(|(_, paused)| paused),
        })
    }

    /// Returns the end of a claim's waiting period, if it has begun, and whether the period is
    /// paused now.
    pub(super) fn waiting_end(
        batch: &RelayBatch<'_>,
        claim: &Claim,
    ) -> Result<Option<(Time, bool)>, RelayError> {
        let Some(release) = claim.release else {
            return Ok(None);
        };
        let paused_until =
            |to: Time| Self::waiting_paused(batch, claim.at, waiting_since(release), to);
        let until_now = paused_until(batch.now)?;
        let until_next = paused_until(batch.now.plus(Seconds(1)))?;
        let end = release.plus(until_now).max(batch.now);
        Ok(Some((end, until_next > until_now)))
    }

    /// Counts the unproved claims that wait for their test.
    pub(super) fn count_unproved(&self, batch: &RelayBatch<'_>) -> Result<usize, RelayError> {
        let mut n = 0;
        batch.each(CLAIMS, &mut |waits| n += usize::from(waits == Some(true)))?;
        Ok(n)
    }

    /// Decides a claim whose test has ended, by the table of [`control::DecisionRow`].
    pub(super) fn decide_tested_claim(
        &self,
        batch: &mut RelayBatch<'_>,
        job: &mut Job,
    ) -> Result<(), RelayError> {
        let settings = self.settings();
        let mut host = batch.get_or_default(HOSTS, &job.target)?;
        let proved_forms = self
            .proved_forms(batch, job.target, job.port)?
            .unwrap_or_default();
        let row = control::decision_row(&job.results, &proved_forms, &job.controls);
        // The claim may have ended before: failed by a delivery, or granted by an early release.
        let Some(claim) = host.claim.as_mut().filter(|c| c.is_tested_by(job.id)) else {
            let delivered = Some(row).filter(|r| *r == DecisionRow::Delivered);
            job.row = job.row.or(delivered);
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
        let outcome = row.outcome(claim.proved, second);
        match claim.state().after(ClaimEvent::Tested(outcome)) {
            Some(ClaimState::Released) => return self.release_tested(batch, job, &proved_forms),
            Some(ClaimState::WaitingForSecondSource)
                if outcome == ClaimOutcome::WaitingForSecondSource =>
            {
                claim.begin_waiting(batch.now);
                claim.second_job = self.ask_second_source(batch, &settings, job, &proved_forms)?;
            }
            Some(ClaimState::Waiting | ClaimState::WaitingForSecondSource) => {
                claim.begin_waiting(batch.now);
            }
            Some(ClaimState::Blocked) => {
                host.blocked[kind].note(job.id, job.source_used(), batch.now);
                host.claim = None;
            }
            Some(ClaimState::Failed) => {
                fail_claim(&mut host, kind, batch.now);
            }
            Some(ClaimState::Testing | ClaimState::Withdrawn) | None => {}
        }
        if host.claim.is_some() {
            batch.put(CLAIMS, &job.target, &Some(false));
        } else {
            batch.delete(CLAIMS, &job.target);
        }
        batch.put(HOSTS, &job.target, &host);
        Ok(())
    }

    /// Releases a host early if the first groups of its claim's messages suffice for it. The rest
    /// of the test goes on; only a delivery lists the host again.
    pub(super) fn release_early(
        &self,
        batch: &mut RelayBatch<'_>,
        job: &mut Job,
    ) -> Result<(), RelayError> {
        let host = batch.get_or_default(HOSTS, &job.target)?;
        let Some(claim) = host.claim.as_ref().filter(|c| c.job == job.id) else {
            return Ok(());
        };
        let proved_forms = self
            .proved_forms(batch, job.target, job.port)?
            .unwrap_or_default();
        let row = control::decision_row(&job.results, &proved_forms, &job.controls);
        if row.outcome(claim.proved, SecondSource::Unavailable) != ClaimOutcome::Released {
            return Ok(());
        }
        job.row = Some(row);
        self.release_tested(batch, job, &proved_forms)
    }

    /// Releases a host that its test found closed. Messages of that test still count. A recheck
    /// sends the same forms once more at a random time, from another source address if there is
    /// one.
    fn release_tested(
        &self,
        batch: &mut RelayBatch<'_>,
        job: &Job,
        proved_forms: &ProvedForms,
    ) -> Result<(), RelayError> {
        let settings = self.settings();
        let host = batch.get_or_default(HOSTS, &job.target)?;
        let claimed = host.claim.as_ref().map_or(job.at, |c| c.at);
        let why = "every test was refused";
        self.release(batch, job.target, why, false, second_before(claimed))?;
        let text = format!("released after job {}", job.id);
        let evidence = EvidenceSummary {
            origin: EvidenceOrigin::Recheck,
            text,
            at: batch.now,
        };
        let mut recheck = new_job(batch, job.target, Trigger::Recheck, "tester", evidence)?;
        (recheck.names, recheck.port) = (host.names, job.port);
        recheck.only = proved_forms.tests.iter().cloned().collect();
        let used_source = job.source_used();
        let sources = settings.sources(job.target);
        let other_source = sources.iter().find(|s| Some(**s) != used_source);
        recheck.source = other_source
            .copied()
            .or(used_source.filter(|s| sources.contains(s)));
        let delay = 1 + (settings.random)(RECHECK_PERIOD.0);
        let at = batch.now.plus(Seconds(delay));
        let why = "a random time within 72 hours after the release";
        defer(&mut recheck, at, why.into())?;
        save(batch, &recheck)?;
        Ok(())
    }

    /// Makes a job that sends the proved forms from a second source address during the waiting
    /// period.
    fn ask_second_source(
        &self,
        batch: &mut RelayBatch<'_>,
        settings: &RelaySettings,
        job: &Job,
        proved_forms: &ProvedForms,
    ) -> Result<Option<u64>, RelayError> {
        let source = settings.second_source(job.target, job.source_used());
        let text = format!("the forms of job {}, sent from a second address", job.id);
        let evidence = EvidenceSummary {
            origin: EvidenceOrigin::Claim,
            text,
            at: batch.now,
        };
        let mut second = new_job(batch, job.target, job.trigger, &job.by, evidence)?;
        (second.names, second.port) = (job.names.clone(), job.port);
        second.only = proved_forms.tests.iter().cloned().collect();
        (second.source, second.second) = (source, true);
        schedule(batch, settings, &mut second)?;
        save(batch, &second)?;
        Ok(Some(second.id))
    }

    /// Returns the forms that have proved a host open since its last release; `None` if there is no
    /// proof. Forms are identified by their test, because an owner who removes a name of the host
    /// also removes the forms that use it. `port` is the port that is tested now.
    pub(super) fn proved_forms(
        &self,
        batch: &RelayBatch<'_>,
        target: IpAddr,
        port: Option<u16>,
    ) -> Result<Option<ProvedForms>, RelayError> {
        let settings = self.settings();
        let host = batch.get_or_default(HOSTS, &target)?;
        let is_current =
            |p: &Proof| p.input == target && host.released.is_none_or(|r| p.issued > r);
        let is_confirmed = |p: &Proof| {
            use ProofKind::{Input, Relay};
            is_current(p) && matches!(p.outcome, ProofOutcome::Listed(Relay | Input))
        };
        let proofs = self.listing(target, MAX_PROOFS, is_confirmed)?;
        if proofs.is_empty() {
            // Messages of untrusted reporters do not prove a form, so all forms count.
            let is_any = !self.listing(target, 1, is_current)?.is_empty();
            return Ok(is_any.then(ProvedForms::default));
        }
        // A form that was proved at one port is not tested at another.
        let mut other_port = false;
        for p in &proofs {
            let job = batch.get(JOBS, &p.job)?;
            other_port |=
                job.is_some_and(|j| settings.other_port(j.port) != settings.other_port(port));
        }
        let tests = proofs.iter().map(|p| form_name(&p.test).into()).collect();
        Ok(Some(ProvedForms { tests, other_port }))
    }

    /// Returns the replies to our addresses in the blocked claims of a host, the newest first.
    pub fn blocked_replies(&self, target: IpAddr) -> Result<Vec<SourceReplies>, RelayError> {
        let batch = self.batch(Time(0));
        let host = batch.get_or_default(HOSTS, &target)?;
        let mut jobs = host.blocked.map(|b| b.jobs).concat();
        jobs.sort_unstable_by_key(|n| std::cmp::Reverse(*n));
        let mut out = Vec::new();
        for id in jobs {
            out.extend(batch.get(JOBS, &id)?.as_ref().map(SourceReplies::of));
        }
        Ok(out)
    }

    /// Releases a host: messages that were sent before `since` no longer list it. `on_request`
    /// marks a release without a test.
    pub(super) fn release(
        &self,
        batch: &mut RelayBatch<'_>,
        target: IpAddr,
        why: &str,
        on_request: bool,
        since: Time,
    ) -> Result<(), RelayError> {
        let mut host = batch.get_or_default(HOSTS, &target)?;
        let by = host.claim.as_ref().map_or("tester", |c| c.by.as_str());
        let verdict = batch.verdict(target)?;
        let text = if on_request {
            format!("on-request: {why}")
        } else {
            why.to_string()
        };
        // Without a test the listings of other sources are not refuted.
        let source = on_request.then_some(SourceId::PROBER);
        for name in INPUT_REASONS {
            if self.is_listed(&verdict, name) {
                let listing = (self.reason(name)?, source);
                let host = Subject::host(target);
                batch.delist(host, listing, HoldFor::Usual, by, text.clone());
            }
        }
        for output in std::mem::take(&mut host.outputs) {
            batch.update(OUTPUTS, &output, |row| {
                row.inputs.retain(|f| f.input != target);
            })?;
        }
        (host.released, host.claim) = (Some(since), None);
        (host.failed, host.blocked) = Default::default();
        batch.put(HOSTS, &target, &host);
        batch.delete(CLAIMS, &target);
        Ok(())
    }

    /// Releases a host after an operator has reviewed it and considers it closed.
    pub fn review(
        &self,
        who: &Actor,
        target: IpAddr,
        why: &str,
        now: Time,
    ) -> Result<Option<Receipt>, RelayError> {
        self.review_as(who, target, why, ReviewFinding::Closed, now)
    }

    /// Releases a host after an operator has reviewed it.
    pub fn review_as(
        &self,
        who: &Actor,
        target: IpAddr,
        why: &str,
        finding: ReviewFinding,
        now: Time,
    ) -> Result<Option<Receipt>, RelayError> {
        let _guard = self.lock();
        let mut batch = self.batch(now);
        let verdict = batch.verdict(target)?;
        if !REASONS.iter().any(|r| self.is_listed(&verdict, r)) {
            return Err(RelayError::NotFound(format!(
                "{target} is not listed for a relay test"
            )));
        }
        // All messages that were sent before the review are covered by it.
        self.release(&mut batch, target, why, false, now)?;
        if self.is_listed(&verdict, OUTPUT_REASON) {
            // The hold keeps the next message from listing the host at once.
            let listing = (self.reason(OUTPUT_REASON)?, None);
            let host = Subject::host(target);
            batch.delist(host, listing, HoldFor::Usual, &who.name, why.into());
            batch.delete(OUTPUTS, &target);
        }
        if finding == ReviewFinding::ListedInError {
            batch.mark_listed_in_error();
        }
        batch.audit(who, "review", &target, "released".into(), Some(why.into()));
        self.write(batch)
    }
}

/// Whether a claim in its waiting period is tested again: its last test has ended some time ago, and
/// the pauses between claims of its kind are over.
fn may_retest(
    batch: &RelayBatch<'_>,
    settings: &RelaySettings,
    host: &HostRecord,
    job: &Job,
    proved: bool,
) -> Result<bool, RelayError> {
    let waiting = host.claim.as_ref().filter(|c| c.release.is_some());
    let Some(claim) = waiting.filter(|c| c.proved == proved) else {
        return Ok(false);
    };
    let second = match claim.second_job {
        Some(id) => batch.get(JOBS, &id)?,
        None => None,
    };
    let is_tested = !job.is_open() && !second.is_some_and(|j| j.is_open());
    let at = host.claim_time(proved, &settings.sources(job.target), batch.now);
    Ok(is_tested && job.retest_time() <= batch.now && at <= batch.now)
}

/// Brings the next try of deferred messages forward. The try does not count as one of the three, so
/// that claims in quick succession do not hide a server that defers unknown clients for a while.
/// Returns whether the job has changed.
fn bring_forward(
    batch: &RelayBatch<'_>,
    settings: &RelaySettings,
    job: &mut Job,
) -> Result<bool, RelayError> {
    let at = job.early_try_time().map(|at| at.max(batch.now));
    let Some(at) = at.filter(|at| *at < job.not_before) else {
        return Ok(false);
    };
    (job.early_tries, job.tries) = (job.early_tries + 1, job.tries.saturating_sub(1));
    job.not_before = at;
    schedule(batch, settings, job)?;
    Ok(true)
}

/// Returns when the waiting period that ends at `release` began.
pub(super) fn waiting_since(release: Time) -> Time {
    Time(release.0.saturating_sub(WAITING_PERIOD.0))
}

/// Returns the second before a claim. A release that dates from it leaves messages in force that
/// were sent with the claim or later.
pub(super) fn second_before(claimed: Time) -> Time {
    Time(claimed.0.saturating_sub(1))
}

/// The replies to one of our addresses in the test of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceReplies {
    /// Our address; `None` if the system chose it and no connection was made.
    pub source: Option<IpAddr>,
    /// When the test ended.
    pub at: Option<Time>,
    /// The decision row of the test.
    pub row: Option<DecisionRow>,
    /// Pairs of what was sent and the reply.
    pub replies: Vec<(String, String)>,
}

/// The most replies of one test that are returned.
const MAX_REPLIES: usize = 40;

impl SourceReplies {
    fn of(job: &Job) -> SourceReplies {
        let controls = job.controls.iter().flat_map(|s| [&s.before, &s.after]);
        let replied = |r: &RecipientReply| {
            let sent = format!("control: RCPT TO:{}", r.recipient);
            (sent, format!("{} {}", r.code, r.text))
        };
        let control = controls.flat_map(|c| {
            let failure = c.failure.iter().map(|f| ("control".into(), f.clone()));
            c.replies.iter().map(replied).chain(failure)
        });
        let forms = job.results.iter().filter_map(|r| {
            let stage = r.outcome.refused_at();
            let stage = stage.map_or_else(String::new, |s| format!(": {}", s.name()));
            let reply = match &r.outcome {
                MessageOutcome::Refused { code, text, .. }
                | MessageOutcome::TempFail { code, text, .. } => format!("{code} {text}"),
                MessageOutcome::Inconclusive { why, .. } => why.clone(),
                _ => return None,
            };
            Some((format!("test {}{stage}", r.test), reply))
        });
        // The text of a reply can contain anything, and terminals display it.
        let replies = control
            .chain(forms)
            .map(|(sent, reply)| (sent, replace_controls(&reply)))
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

/// Withdraws a claim whose job has ended without a test.
pub(super) fn withdraw(batch: &mut RelayBatch<'_>, job: &Job) -> Result<(), RelayError> {
    let mut host = batch.get_or_default(HOSTS, &job.target)?;
    if host.claim.take_if(|c| c.job == job.id).is_some() {
        batch.put(HOSTS, &job.target, &host);
        batch.delete(CLAIMS, &job.target);
    }
    Ok(())
}

/// Fails the claim of a host if a message that was sent after it was delivered.
pub(super) fn fail_refuted(
    batch: &mut RelayBatch<'_>,
    issued: &IssuedToken,
) -> Result<(), RelayError> {
    let mut host = batch.get_or_default(HOSTS, &issued.target)?;
    let refuted = host.claim.as_ref().filter(|c| c.is_refuted(issued.at));
    if let Some(kind) = refuted.map(|c| usize::from(c.proved)) {
        fail_claim(&mut host, kind, batch.now);
        batch.put(HOSTS, &issued.target, &host);
        batch.delete(CLAIMS, &issued.target);
    }
    Ok(())
}

/// Ends a claim that was wrong. `kind` is 0 for an unproved claim and 1 for a proved one.
fn fail_claim(host: &mut HostRecord, kind: usize, now: Time) {
    host.failed[kind] = (host.failed[kind].0 + 1, Some(now));
    host.claim = None;
}
