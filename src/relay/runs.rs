//! A job is run: its messages are made, sent by a door, and what came of them is written down.

use std::collections::{HashSet, VecDeque};

use super::{
    control::ControlSession,
    host_names::HostNames,
    messages::{MessageResult, PreparedMessage, again_plain, is_unsent, messages},
    outcome::{Assessment, TRIES, TestResult},
    plan,
    policy::{HostRecord, Job, JobState, ReporterRecord, Trigger},
    proofs::Proof,
    queue::{HELD, LINES, charge, end, hash, place, save},
    rows::{RelayBatch, key},
    service::{Actor, REASONS, RelayError, RelayService, audit_record},
    settings::RelaySettings,
    token::TokenId,
};
use crate::{
    model::{Time, text::cleaned, time::Seconds},
    smtp::{Outcome, Stage, outcome::names_blocklist},
};

/// The longest transcript of a job that is kept, in bytes.
const MAX_TRANSCRIPT: usize = 256 * 1024;
impl RelayService {
    /// Jobs that may run now, the oldest first; at most `most`. Those that waited for a time or a
    /// switch are looked at again.
    pub fn due(&self, most: usize, now: Time) -> Result<Vec<Job>, RelayError> {
        let settings = self.settings();
        let health = self.turn();
        if self.why(&health).is_some() {
            return Ok(Vec::new());
        }
        let mut sheet = self.sheet(now);
        // What is ripe, and some of those that are held: their turn comes.
        let ripe = sheet.whens(LINES[2] + 1, now.0, RIPE)?;
        let held = self.round(&sheet, &key::number(b'W', HELD), SOME)?;
        for k in ripe.iter().chain(&held) {
            let Some(mut job) = sheet.get::<Job>(&key::number(b'J', key::tail(k)))? else {
                continue;
            };
            let before = job.clone();
            if job.state == JobState::Running {
                self.cut_off(
                    &mut sheet,
                    &mut job,
                    &settings,
                    "it ran for a day without a result",
                )?;
            } else {
                place(&sheet, &settings, &mut job)?;
            }
            if job != before {
                save(&mut sheet, &job)?;
            }
        }
        // Those that are ready now stand in line from here on.
        self.write(sheet, None)?;
        let mut sheet = self.sheet(now);
        let mut lines: Vec<VecDeque<Job>> = Vec::new();
        for line in LINES {
            let mut waiting = VecDeque::new();
            for k in sheet.whens(line, line, most + SOME)? {
                let Some(mut job) = sheet.get::<Job>(&key::number(b'J', key::tail(&k)))? else {
                    continue;
                };
                if settings.ready(job.target).is_err() {
                    place(&sheet, &settings, &mut job)?;
                    save(&mut sheet, &job)?;
                } else if waiting.len() < most {
                    waiting.push_back(job);
                }
            }
            lines.push(waiting);
        }
        self.write(sheet, None)?;
        // Every second turn is a proved claim's; those without a proof and all others share the
        // rest, so that nobody starves another.
        let mut out: Vec<Job> = Vec::new();
        // One place comes free at a time as a rule: whose turn it is changes with the second.
        for turn in now.0.. {
            out.extend(
                TURNS[(turn % 4) as usize]
                    .iter()
                    .find_map(|line| lines[*line].pop_front()),
            );
            if out.len() >= most || lines.iter().all(VecDeque::is_empty) {
                break;
            }
        }
        Ok(out)
    }

    /// Begins a job: its messages, with their tokens. `names` are what is known of the host; `id`
    /// makes numbers of tokens.
    pub fn begin(
        &self,
        id: u64,
        names: &HostNames,
        fresh: &mut dyn FnMut() -> TokenId,
        now: Time,
    ) -> Result<(Job, Vec<PreparedMessage>), RelayError> {
        let settings = self.settings();
        let health = self.turn();
        if let Some(why) = self.why(&health) {
            return Err(RelayError::No(format!(
                "no tests are made now: {why}; try again later"
            )));
        }
        let mut sheet = self.sheet(now);
        let mut job: Job = sheet
            .get(&key::number(b'J', id))?
            .ok_or_else(|| RelayError::Unknown(format!("there is no job {id}")))?;
        if job.state == JobState::Queued || job.state == JobState::Deferred && job.not_before <= now
        {
            place(&sheet, &settings, &mut job)?;
        }
        if job.state != JobState::Queued {
            save(&mut sheet, &job)?;
            self.write(sheet, None)?;
            return Err(RelayError::No(format!(
                "job {id} does not wait for a turn: {}",
                job.waiting_for.as_deref().unwrap_or("it runs or has ended")
            )));
        }
        let first = job.begun.is_none();
        if first {
            job.results = Vec::new();
        }
        job.source = job
            .source
            .filter(|s| settings.sources(job.target).contains(s));
        let hello = settings.hello_from(job.target, job.source);
        let names = &HostNames {
            hello,
            ..names.clone()
        };
        let out = messages(&mut sheet, &settings, &mut job, names, fresh);
        // First what has proved it: a host that takes its time is left after a while, and a claim
        // rests on these.
        let came = self.came_through(&sheet, job.target, job.port)?;
        // After a release nothing counts as come through, and a recheck has the forms alone that
        // had.
        let came = if job.is_claim() || job.cause == Trigger::Recheck {
            Some(came.unwrap_or_default())
        } else {
            came
        };
        let out = plan::arrange(&settings, &mut job, (names, came.as_ref(), now), out);
        // What a reporter sends himself, and what sends nothing, delays no test of ours.
        match job.remote {
            true if first => {
                let place = key::host(b'H', job.target);
                let mut host: HostRecord = sheet.get(&place)?.unwrap_or_default();
                HostRecord::note(&mut host.remote, hash(&job.grounds), now);
                sheet.put(place, &host);
                charge(&mut sheet, &settings, &job, now)?;
            }
            false if first && !out.is_empty() => count(&mut sheet, &settings, &job, names)?,
            _ => {}
        }
        (job.state, job.begun, job.waiting_for) = (JobState::Running, Some(now), None);
        job.tries += 1;
        save(&mut sheet, &job)?;
        self.write(sheet, None)?;
        Ok((job, out))
    }

    /// Takes what the first groups of a claim's messages came to; the host is released now where
    /// that suffices.
    pub fn progress(
        &self,
        id: u64,
        ran: Vec<MessageResult>,
        controls: Vec<ControlSession>,
        now: Time,
    ) -> Result<(), RelayError> {
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        let Some(mut job) = sheet
            .get::<Job>(&key::number(b'J', id))?
            .filter(|j| j.state == JobState::Running)
        else {
            return Ok(());
        };
        note_results(&mut job, ran);
        job.add_controls(controls);
        save(&mut sheet, &job)?;
        self.release_early(&mut sheet, &mut job)?;
        save(&mut sheet, &job)?;
        self.write(sheet, None).map(drop)
    }

    /// Writes down what became of a job's messages. What was put off is tried again later; else the
    /// job ends.
    pub fn finish(
        &self,
        id: u64,
        ran: Vec<MessageResult>,
        controls: Vec<ControlSession>,
        transcript: &str,
        now: Time,
    ) -> Result<Job, RelayError> {
        let settings = self.settings();
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        let mut job: Job = sheet
            .get(&key::number(b'J', id))?
            .ok_or_else(|| RelayError::Unknown(format!("there is no job {id}")))?;
        if job.state != JobState::Running {
            return Err(RelayError::No(format!("job {id} does not run")));
        }
        // What was to be sent and has no word about it was cut off.
        let told: HashSet<usize> = ran.iter().map(|r| r.place).collect();
        let to_send =
            |r: &TestResult| is_unsent(r) || matches!(r.outcome, Outcome::TempFail { .. });
        let is_cut = !job.remote
            && job
                .results
                .iter()
                .enumerate()
                .any(|(place, r)| to_send(r) && !told.contains(&place));
        note_results(&mut job, ran);
        job.add_controls(controls);
        append(&mut sheet, id, transcript)?;
        let put_off = job
            .results
            .iter()
            .any(|r| matches!(r.outcome, Outcome::TempFail { .. }));
        if is_cut {
            // It was switched off meanwhile: what was not sent says nothing about the host.
            self.cut_off(
                &mut sheet,
                &mut job,
                &settings,
                "the tester was switched off while it ran",
            )?;
        } else if job.remote {
            // The reporter's own words are no outcome of ours: only what arrives counts.
            end(&mut job, "sent by the reporter", now);
            job.waiting_for = None;
        } else if put_off && job.tries < TRIES {
            let pause = settings.retry
                [usize::from(job.tries.saturating_sub(1)).min(settings.retry.len() - 1)];
            (job.state, job.not_before) = (JobState::Deferred, now.plus(pause));
            job.waiting_for = Some(format!(
                "some tests were put off; tried again at {}",
                job.not_before
            ));
        } else {
            put_off_for_good(&mut job);
            if again_plain(&settings, &mut job) {
                (job.state, job.not_before, job.tries) =
                    (JobState::Deferred, now.plus(Seconds(1)), 0);
                job.waiting_for = Some(
                    "the forms that came through are sent once more, from our own domain".into(),
                );
            } else {
                (job.state, job.ended, job.waiting_for) = (JobState::Done, Some(now), None);
                save(&mut sheet, &job)?;
                self.over(&mut sheet, &mut job)?;
            }
        }
        save(&mut sheet, &job)?;
        let record = (job.state == JobState::Done).then(|| {
            let who = Actor {
                name: "tester".into(),
                from: job.by.clone(),
                once: None,
            };
            let said = serde_json::to_value(job.assessment()).ok();
            let row = job
                .row
                .map_or_else(String::new, |r| format!(" ({})", r.name()));
            let detail = format!(
                "job {id}: {}{row}",
                said.as_ref().and_then(|v| v.as_str()).unwrap_or("")
            );
            audit_record(&who, "test", &job.target, detail, None, now)
        });
        self.write(sheet, record)?;
        Ok(job)
    }

    /// Proofs of a store of an earlier version do not say which of them list.
    fn mark(&self, sheet: &mut RelayBatch<'_>) -> Result<(), RelayError> {
        if sheet.get::<bool>(key::MARKED)?.is_some() {
            return Ok(());
        }
        for k in sheet.keys(b"P", usize::MAX)? {
            let Some(p) = sheet
                .get::<Proof>(&k)?
                .filter(|p| REASONS.contains(&p.outcome.as_str()))
            else {
                continue;
            };
            sheet.put(key::both(b'G', p.input, p.id), &());
            sheet.put(key::both(b'G', p.output, p.id), &());
        }
        sheet.put(key::MARKED, &true);
        Ok(())
    }

    /// A job lost its tester by our doing. Where it ends by that, what has come counts for whoever
    /// brought the host, and what has not does not count against him.
    fn cut_off(
        &self,
        sheet: &mut RelayBatch<'_>,
        job: &mut Job,
        settings: &RelaySettings,
        why: &str,
    ) -> Result<(), RelayError> {
        cut(job, settings, why, sheet.now);
        if job.assessment() == Assessment::Open {
            self.over(sheet, job)
        } else {
            Ok(())
        }
    }

    /// What follows from a job that has ended.
    fn over(&self, sheet: &mut RelayBatch<'_>, job: &mut Job) -> Result<(), RelayError> {
        if job.open() || job.remote {
            return Ok(());
        }
        if job.cause == Trigger::Nomination {
            let name = key::reporter(&job.by);
            let mut reporter: ReporterRecord = sheet.get(&name)?.unwrap_or_default();
            // What could not be tested says nothing about him.
            if job.assessment() != Assessment::Untestable {
                reporter.note(job.id, job.assessment() == Assessment::Open);
                sheet.put(name, &reporter);
            }
        }
        if job.is_claim() {
            self.claim_tested(sheet, job)?;
        }
        Ok(())
    }

    /// Jobs that ran when the daemon was stopped wait for another turn.
    pub fn resume(&self, now: Time) -> Result<(), RelayError> {
        let settings = self.settings();
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        // A store of an earlier version does not say when its jobs are looked at.
        let known: HashSet<u64> = sheet
            .keys(b"W", usize::MAX)?
            .iter()
            .map(|k| key::tail(k))
            .collect();
        for k in sheet.keys(b"Q", usize::MAX)? {
            let Some(mut job) = sheet.get::<Job>(&key::number(b'J', key::tail(&k)))? else {
                continue;
            };
            let cut_off = job.state == JobState::Running && !job.remote;
            if cut_off {
                self.cut_off(
                    &mut sheet,
                    &mut job,
                    &settings,
                    "the daemon was stopped while it ran",
                )?;
            }
            if cut_off || !known.contains(&job.id) {
                save(&mut sheet, &job)?;
            }
        }
        self.mark(&mut sheet)?;
        // Nothing could arrive while nobody was here, and an outage that a stop has cut is over.
        let alive: Option<Time> = sheet.get(key::ALIVE)?;
        let away = alive.filter(|t| t.plus(AWAY) < now).map(|t| (t, Some(now)));
        self.outage(&mut sheet, away)?;
        RelayService::end_load(&mut sheet, alive)?;
        self.write(sheet, None).map(drop)
    }
}

/// Whose turn it is, of [`LINES`], and who follows where nobody of those waits.
const TURNS: [[usize; 3]; 4] = [[0, 1, 2], [1, 2, 0], [0, 2, 1], [2, 1, 0]];
/// Jobs whose time has come that are looked at in one go.
const RIPE: usize = 1000;
/// Jobs that wait for something else that are looked at in one go.
const SOME: usize = 64;
/// Whoever was not at work for longer was away.
const AWAY: Seconds = Seconds(180);
/// How often a job may be cut off until it ends.
const CUTS: u8 = 20;

/// A job that lost its tester by our doing: that is none of its tries, and says nothing about the
/// host, the owner's claim or the reporter. What was not sent is sent later; a job that is cut off
/// again and again ends, but for a claim, which is granted in time.
fn cut(job: &mut Job, settings: &RelaySettings, why: &str, now: Time) {
    if job.remote {
        end(job, "its reporter told nothing", now);
        return;
    }
    (job.interruptions, job.tries) = (
        job.interruptions.saturating_add(1),
        job.tries.saturating_sub(1),
    );
    let again = job.interruptions < CUTS || matches!(job.cause, Trigger::Claim { .. });
    for r in job
        .results
        .iter_mut()
        .filter(|r| is_unsent(r) || !again && matches!(r.outcome, Outcome::TempFail { .. }))
    {
        let (stage, text) = (Stage::Connect, why.to_string());
        r.outcome = if again {
            Outcome::TempFail {
                stage,
                code: 421,
                text,
            }
        } else {
            Outcome::inconclusive(text)
        };
    }
    if again {
        let pause = settings.retry[usize::from(job.interruptions > TRIES)];
        (job.state, job.not_before) = (JobState::Deferred, now.plus(pause));
        job.waiting_for = Some(why.into());
    } else {
        end(job, why, now);
    }
}

/// What was put off in every try is put off for good.
fn put_off_for_good(job: &mut Job) {
    for r in &mut job.results {
        if let Outcome::TempFail { stage, code, text } = &r.outcome {
            // Without its words: servers repeat tokens, and this is shown to readers.
            let why = format!("put off {} times, last with {code}", TRIES);
            let blocklist = names_blocklist(text);
            r.outcome = Outcome::Inconclusive {
                why,
                deferred_at: Some(*stage),
                blocklist,
            };
        }
    }
}

/// The names that are remembered of a host.
const MAX_NAMES: usize = 5;

/// Counts a test that begins, for the host and its net.
fn count(
    sheet: &mut RelayBatch<'_>,
    settings: &RelaySettings,
    job: &Job,
    names: &HostNames,
) -> Result<(), RelayError> {
    let now = sheet.now;
    let place = key::host(b'H', job.target);
    let mut host: HostRecord = sheet.get(&place)?.unwrap_or_default();
    host.tested = Some(now);
    for name in names.relay.iter().chain(&names.hosted) {
        if !host.names.contains(name) && host.names.len() < MAX_NAMES {
            host.names.push(name.clone());
        }
    }
    if job.cause == Trigger::Nomination {
        HostRecord::note(&mut host.grounds, hash(&job.grounds), now);
    }
    if job.cause == (Trigger::Claim { proved: false }) {
        host.unproved = Some(now);
    }
    sheet.put(place, &host);
    Ok(charge(sheet, settings, job, now)?)
}

/// Writes what messages came to into a job's results.
fn note_results(job: &mut Job, ran: Vec<MessageResult>) {
    for r in ran {
        if let Some(t) = job
            .results
            .get_mut(r.place)
            .filter(|t| t.outcome.superseded_by(&r.outcome))
        {
            t.outcome = r.outcome;
        }
    }
}

fn append(sheet: &mut RelayBatch<'_>, id: u64, transcript: &str) -> Result<(), RelayError> {
    if transcript.is_empty() {
        return Ok(());
    }
    let place = key::number(b'S', id);
    let mut all: String = sheet.get(&place)?.unwrap_or_default();
    let room = MAX_TRANSCRIPT.saturating_sub(all.len());
    // Its lines are typed, one for each thing said; what a host says in one is no other.
    let transcript = transcript
        .lines()
        .map(|l| cleaned(l) + "\n")
        .collect::<String>();
    let cut = transcript
        .char_indices()
        .map(|(i, c)| i + c.len_utf8())
        .take_while(|i| *i <= room)
        .last()
        .unwrap_or(0);
    all.push_str(&transcript[..cut]);
    sheet.put(place, &all);
    Ok(())
}
