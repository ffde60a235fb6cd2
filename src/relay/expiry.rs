//! What time does: waiting periods end, claims that nobody tested are granted, outputs are listed
//! after their notice, and what is old is forgotten.

use std::net::IpAddr;

use super::{
    claims::{before, waiting_since},
    policy::{Budget, HostRecord, Job, JobState, OutputRecord, ReporterRecord},
    proof::{IssuedToken, TOKEN_LIFE},
    proofs::Proof,
    queue::{end, opted_out, save},
    rows::{RelayBatch, key},
    service::{REASONS, RelayError, RelayService, is_listed},
    settings::RelaySettings,
};
use crate::model::{
    SourceId, Subject, Time, What,
    history::{Ask, HoldFor},
    time::Seconds,
};

/// How long evidence is kept after a listing has ended (safety rule S12).
const KEPT: Seconds = Seconds(90 * 86_400);
/// How long jobs are remembered.
const JOBS: Seconds = Seconds(365 * 86_400);
/// How often it is written down that somebody is at work.
const ALIVE_EVERY: Seconds = Seconds(60);
/// How long a host is remembered that is listed no more, and a reporter who brings nothing.
const KNOWN: Seconds = Seconds(400 * 86_400);
/// The most rows that one round of forgetting looks at.
const ROUND: usize = 10_000;
/// Claims, and outputs, that are looked at in one go.
const SOME: usize = 1000;

impl RelayService {
    /// Does what is due. Each host is a batch of its own: one that is refused holds nobody else up.
    pub fn tick(&self, now: Time) -> Result<(), RelayError> {
        let settings = self.settings();
        let clock = self.turn().wrong.iter().any(|(door, _)| *door == "clock");
        let alive: Option<Time> = self.sheet(now).get(key::ALIVE)?;
        if alive.is_none_or(|t| t.plus(ALIVE_EVERY) <= now || t > now) {
            let mut sheet = self.sheet(now);
            sheet.put(key::ALIVE, &now);
            self.write(sheet, None)?;
        }
        let one = |what: &str, addr: IpAddr, done: Result<(), RelayError>| {
            if let Err(e) = done {
                tracing::warn!(%addr, error = ?e, "what is due could not be done: {what}");
            }
        };
        // By a clock that has jumped everything would be over.
        let sheet = self.sheet(now);
        let claims = if clock {
            Vec::new()
        } else {
            self.round(&sheet, b"C", SOME)?
        };
        let outputs = self.round(&sheet, b"X", SOME)?;
        for target in claims.iter().filter_map(|k| key::addr(k)) {
            one("a claim", target, self.claim_due(target, now));
        }
        for addr in outputs.iter().filter_map(|k| key::addr(k)) {
            one("an output", addr, self.output_due(&settings, addr, now));
        }
        Ok(())
    }

    fn claim_due(&self, target: IpAddr, now: Time) -> Result<(), RelayError> {
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        let host: HostRecord = sheet.get(&key::host(b'H', target))?.unwrap_or_default();
        let Some(claim) = &host.claim else {
            sheet.drop_row(key::host(b'C', target));
            return self.write(sheet, None).map(drop);
        };
        let verdict = sheet.verdict(&Subject::host(target))?;
        if !REASONS[..3].iter().any(|r| is_listed(self, &verdict, r)) {
            // It ended in another way.
            return self.forget_claim(sheet, target, host);
        }
        if opted_out(&sheet, target)?.is_some() {
            // Nothing that comes counts any more, so that nothing would speak against it.
            return self.forget_claim(sheet, target, host);
        }
        if let Some(release) = claim.release {
            // The waiting period stands still while nothing could have come.
            if now
                < release.plus(Self::waiting_paused(
                    &sheet,
                    claim.at,
                    waiting_since(release),
                    now,
                )?)
            {
                return Ok(());
            }
            // What the claim's own test has sent still counts.
            self.release(
                &mut sheet,
                target,
                (
                    "not every test was refused, and nothing was delivered in five days",
                    false,
                ),
                before(claim.at),
            )?;
            return self.write(sheet, None).map(drop);
        }
        let job: Option<Job> = sheet.get(&key::number(b'J', claim.job))?;
        let state = job.as_ref().map_or(JobState::Done, |j| j.state);
        if state == JobState::Done {
            return self.forget_claim(sheet, target, host);
        }
        let at = claim.at;
        let paused = Self::grant_paused(&sheet, at, claim.due)?;
        if now
            < claim
                .granted(job.as_ref().and_then(|j| j.begun))
                .plus(paused)
            || state == JobState::Running
        {
            return Ok(());
        }
        if let Some(mut job) = job.filter(|j| j.open() && j.state != JobState::Running) {
            end(
                &mut job,
                "granted on request: it was not tested within two days",
                now,
            );
            save(&mut sheet, &job)?;
        }
        self.release(
            &mut sheet,
            target,
            ("it was not tested within two days", true),
            at,
        )?;
        self.write(sheet, None).map(drop)
    }

    fn forget_claim(
        &self,
        mut sheet: RelayBatch<'_>,
        target: IpAddr,
        host: HostRecord,
    ) -> Result<(), RelayError> {
        sheet.put(
            key::host(b'H', target),
            &HostRecord {
                claim: None,
                ..host
            },
        );
        sheet.drop_row(key::host(b'C', target));
        self.write(sheet, None).map(drop)
    }

    /// Inputs that are closed feed nobody; an output is listed after its notice, and goes with its
    /// last input.
    fn output_due(
        &self,
        settings: &RelaySettings,
        addr: IpAddr,
        now: Time,
    ) -> Result<(), RelayError> {
        let health = self.turn();
        let mut sheet = self.sheet(now);
        let slot = key::host(b'X', addr);
        let Some(before) = sheet.get::<OutputRecord>(&slot)? else {
            return Ok(());
        };
        let mut row = before.clone();
        let mut open = Vec::new();
        for f in row.inputs.drain(..) {
            if is_listed(self, &sheet.verdict(&Subject::host(f.input))?, REASONS[1]) {
                open.push(f);
            }
        }
        row.inputs = open;
        let verdict = sheet.verdict(&Subject::host(addr))?;
        let listed = is_listed(self, &verdict, REASONS[3]);
        if row.listed && !listed {
            // It has ended, or somebody has taken it off: only what comes from now on counts.
            row = OutputRecord::default();
        }
        let ripe = row.proved().is_some_and(|t| t.plus(settings.notice) <= now)
            && self.why(&health).is_none();
        if listed && row.inputs.is_empty() {
            let ask = Ask::Delist {
                reason: Some(self.reason(REASONS[3])?),
                source: Some(SourceId::PROBER),
                hold: HoldFor::Nothing,
            };
            sheet.change(
                Subject::host(addr),
                "tester",
                ask,
                "all hosts that it delivered for are closed".into(),
                false,
            );
            row.listed = false;
        } else if ripe
            && opted_out(&sheet, addr)?.is_none()
            && !row.listed
            && !verdict.held(self.reason(REASONS[3])?, SourceId::PROBER)
        {
            let inputs: Vec<String> = row
                .inputs
                .iter()
                .map(|f| format!("[{}]", f.input))
                .collect();
            let ask = Ask::List {
                reason: self.reason(REASONS[3])?,
                source: SourceId::PROBER,
                until: None,
                text: None,
            };
            sheet.change(
                Subject::host(addr),
                "tester",
                ask,
                format!("delivers what open hosts take: {}", inputs.join(", ")),
                false,
            );
            row.listed = true;
        }
        match row.inputs.is_empty() {
            true => sheet.drop_row(slot),
            false if row != before => sheet.put(slot, &row),
            false if sheet.changes.is_empty() => return Ok(()),
            false => {}
        }
        self.write(sheet, None).map(drop)
    }

    /// Forgets what is old: tokens, jobs with their transcripts, and evidence of listings that
    /// ended 90 days ago.
    pub fn forget(&self, now: Time) -> Result<(), RelayError> {
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        for k in self.round(&sheet, b"T", ROUND)? {
            if sheet
                .get::<IssuedToken>(&k)?
                .is_some_and(|i| i.at.plus(TOKEN_LIFE).plus(Seconds(86_400)) < now)
            {
                sheet.drop_row(k);
            }
        }
        let before = Time(now.0.saturating_sub(KEPT.0));
        let listed = |a: IpAddr| -> Result<bool, RelayError> {
            Ok(self
                .ledger
                .store
                .verdict(&Subject::host(a))?
                .entries
                .iter()
                .any(|e| e.source == SourceId::PROBER))
        };
        for k in self.round(&sheet, b"P", ROUND)? {
            let Some(proof) = sheet.get::<Proof>(&k)? else {
                continue;
            };
            let gone = proof.at.plus(KEPT) < now && !listed(proof.input)? && !listed(proof.output)?;
            if gone
                && self.ended_before(proof.input, before)?
                && self.ended_before(proof.output, before)?
            {
                sheet.drop_row(key::both(b'I', proof.input, proof.id));
                sheet.drop_row(key::both(b'Y', proof.output, proof.id));
                sheet.drop_row(key::both(b'G', proof.input, proof.id));
                sheet.drop_row(key::both(b'G', proof.output, proof.id));
                sheet.drop_row(key::number(b'S', proof.job));
                sheet.drop_row(k);
            }
        }
        for k in self.round(&sheet, b"J", ROUND)? {
            let Some(job) = sheet
                .get::<Job>(&k)?
                .filter(|j| j.ended.is_some_and(|t| t.plus(KEPT) < now))
            else {
                continue;
            };
            // What was said goes before the job does; that of a proof goes with the proof.
            let script = key::number(b'S', job.id);
            if !listed(job.target)?
                && !sheet.keys(&script, 1)?.is_empty()
                && self.ended_before(job.target, before)?
            {
                sheet.drop_row(script);
            }
            if job.ended.is_none_or(|t| t.plus(JOBS) >= now) {
                continue;
            }
            sheet.drop_row(key::both(b'L', job.target, job.id));
            sheet.drop_row(key::number(b'S', job.id));
            sheet.drop_row(k);
        }
        self.forget_who(&mut sheet)?;
        self.write(sheet, None).map(drop)
    }

    /// Forgets hosts, nets and reporters that nothing was heard of for long.
    fn forget_who(&self, sheet: &mut RelayBatch<'_>) -> Result<(), RelayError> {
        let now = sheet.now;
        let is_old = |t: Option<Time>| t.is_none_or(|t| t.plus(KNOWN) < now);
        for k in self.round(sheet, b"H", ROUND)? {
            let (Some(host), Some(addr)) = (sheet.get::<HostRecord>(&k)?, key::addr(&k)) else {
                continue;
            };
            let times = [
                host.tested,
                host.released,
                host.unproved,
                host.remote.iter().map(|g| g.0).max(),
            ];
            let quiet = host.claim.is_none() && times.into_iter().all(is_old);
            if quiet
                && sheet
                    .verdict(&Subject::host(addr))?
                    .entries
                    .iter()
                    .all(|e| e.source != SourceId::PROBER)
            {
                sheet.drop_row(k);
            }
        }
        for letter in [b"N", b"A"] {
            for k in self.round(sheet, letter, ROUND)? {
                if sheet.get::<Budget>(&k)?.is_some_and(|b| b.is_over(now)) {
                    sheet.drop_row(k);
                }
            }
        }
        for k in self.round(sheet, b"R", ROUND)? {
            if sheet
                .get::<ReporterRecord>(&k)?
                .is_some_and(|r| is_old(Some(r.last())))
            {
                sheet.drop_row(k);
            }
        }
        Ok(())
    }

    /// Whether a host's last listing by a relay test ended before a time. What feeds say of it
    /// keeps no evidence.
    fn ended_before(&self, target: IpAddr, time: Time) -> Result<bool, RelayError> {
        let history = self.ledger.store.history(&Subject::host(target))?;
        let v = self.ledger.store.vocabulary();
        let ours: Vec<_> = REASONS.iter().filter_map(|r| v.reasons.get(r)).collect();
        let is_ours = |what: &What| {
            what.about().is_some_and(|(reason, source)| {
                ours.contains(&reason) && [SourceId::PROBER, SourceId::ALL].contains(&source)
            })
        };
        Ok(history
            .iter()
            .filter(|e| is_ours(&e.what))
            .map(|e| e.at)
            .max()
            .is_none_or(|t| t < time))
    }
}
