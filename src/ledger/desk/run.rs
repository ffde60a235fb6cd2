//! A job is run: its messages are made, sent by a door, and what came of them is written down.

use std::collections::{HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::{
    Asker, Denied, Desk, Settings, Sheet,
    jobs::{HELD, LINES, charge, end, hash, line, place, save},
    key,
    plan::{self, Phase},
};
use crate::{
    model::{
        Time,
        control::{self, ControlSession},
        probing::{self, Assessment, Issued, Outcome, Tried},
        retest::{Host, Job, Reporter, State, Trigger},
        text::cleaned,
        time::Seconds,
    },
    smtp::{
        Envelope, Names, Test, Way,
        catalogue::{Group, Run},
        control::ControlPlan,
        message,
        token::Id,
    },
};

/// The longest transcript of a job that is kept, in bytes.
const MAX_TRANSCRIPT: usize = 256 * 1024;
/// What a result says while its message was not sent.
const UNSENT: &str = "not sent yet";
/// What a form is called that is sent again from our own domain.
pub(super) const PLAIN: &str = "+plain-sender";

/// A message that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Its place among the job's results.
    pub place: usize,
    /// The test.
    pub test: String,
    /// What is sent.
    pub envelope: Envelope,
    /// The message, with CRLF.
    pub message: Vec<u8>,
    /// The session that it shares, and the control of that session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<ControlPlan>,
    /// Its group, by which the tester of a claim reports early.
    #[serde(default)]
    pub phase: Phase,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// Its place among the job's results.
    pub place: usize,
    /// What became of it.
    pub outcome: Outcome,
}

impl Desk {
    /// Jobs that may run now, the oldest first; at most `most`. Those that waited for a time or a
    /// switch are looked at again.
    pub fn due(&self, most: usize, now: Time) -> Result<Vec<Job>, Denied> {
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
            if job.state == State::Running {
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
        names: &Names,
        fresh: &mut dyn FnMut() -> Id,
        now: Time,
    ) -> Result<(Job, Vec<Ready>), Denied> {
        let settings = self.settings();
        let health = self.turn();
        if let Some(why) = self.why(&health) {
            return Err(Denied::No(format!(
                "no tests are made now: {why}; try again later"
            )));
        }
        let mut sheet = self.sheet(now);
        let mut job: Job = sheet
            .get(&key::number(b'J', id))?
            .ok_or_else(|| Denied::Unknown(format!("there is no job {id}")))?;
        if job.state == State::Queued || job.state == State::Deferred && job.not_before <= now {
            place(&sheet, &settings, &mut job)?;
        }
        if job.state != State::Queued {
            save(&mut sheet, &job)?;
            self.write(sheet, None)?;
            return Err(Denied::No(format!(
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
        let names = &Names {
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
                let mut host: Host = sheet.get(&place)?.unwrap_or_default();
                Host::note(&mut host.remote, hash(&job.grounds), now);
                sheet.put(place, &host);
                charge(&mut sheet, &settings, &job, now)?;
            }
            false if first && !out.is_empty() => count(&mut sheet, &settings, &job, names)?,
            _ => {}
        }
        (job.state, job.begun, job.waiting_for) = (State::Running, Some(now), None);
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
        ran: Vec<Ran>,
        controls: Vec<ControlSession>,
        now: Time,
    ) -> Result<(), Denied> {
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        let Some(mut job) = sheet
            .get::<Job>(&key::number(b'J', id))?
            .filter(|j| j.state == State::Running)
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
        ran: Vec<Ran>,
        controls: Vec<ControlSession>,
        transcript: &str,
        now: Time,
    ) -> Result<Job, Denied> {
        let settings = self.settings();
        let _turn = self.turn();
        let mut sheet = self.sheet(now);
        let mut job: Job = sheet
            .get(&key::number(b'J', id))?
            .ok_or_else(|| Denied::Unknown(format!("there is no job {id}")))?;
        if job.state != State::Running {
            return Err(Denied::No(format!("job {id} does not run")));
        }
        // What was to be sent and has no word about it was cut off.
        let told: HashSet<usize> = ran.iter().map(|r| r.place).collect();
        let to_send = |r: &Tried| is_unsent(r) || matches!(r.outcome, Outcome::TempFail { .. });
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
        } else if put_off && job.tries < probing::TRIES {
            let pause = settings.retry
                [usize::from(job.tries.saturating_sub(1)).min(settings.retry.len() - 1)];
            (job.state, job.not_before) = (State::Deferred, now.plus(pause));
            job.waiting_for = Some(format!(
                "some tests were put off; tried again at {}",
                job.not_before
            ));
        } else {
            put_off_for_good(&mut job);
            if again_plain(&settings, &mut job) {
                (job.state, job.not_before, job.tries) = (State::Deferred, now.plus(Seconds(1)), 0);
                job.waiting_for = Some(
                    "the forms that came through are sent once more, from our own domain".into(),
                );
            } else {
                (job.state, job.ended, job.waiting_for) = (State::Done, Some(now), None);
                save(&mut sheet, &job)?;
                self.over(&mut sheet, &mut job)?;
            }
        }
        save(&mut sheet, &job)?;
        let line = (job.state == State::Done).then(|| {
            let who = Asker {
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
            line(&who, "test", &job.target, detail, None, now)
        });
        self.write(sheet, line)?;
        Ok(job)
    }

    /// Proofs of a store of an earlier version do not say which of them list.
    fn mark(&self, sheet: &mut Sheet<'_>) -> Result<(), Denied> {
        if sheet.get::<bool>(key::MARKED)?.is_some() {
            return Ok(());
        }
        for k in sheet.keys(b"P", usize::MAX)? {
            let Some(p) = sheet
                .get::<super::Proof>(&k)?
                .filter(|p| super::REASONS.contains(&p.outcome.as_str()))
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
        sheet: &mut Sheet<'_>,
        job: &mut Job,
        settings: &Settings,
        why: &str,
    ) -> Result<(), Denied> {
        cut(job, settings, why, sheet.now);
        if job.assessment() == Assessment::Open {
            self.over(sheet, job)
        } else {
            Ok(())
        }
    }

    /// What follows from a job that has ended.
    fn over(&self, sheet: &mut Sheet<'_>, job: &mut Job) -> Result<(), Denied> {
        if job.open() || job.remote {
            return Ok(());
        }
        if job.cause == Trigger::Nomination {
            let name = key::reporter(&job.by);
            let mut reporter: Reporter = sheet.get(&name)?.unwrap_or_default();
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
    pub fn resume(&self, now: Time) -> Result<(), Denied> {
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
            let cut_off = job.state == State::Running && !job.remote;
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
        Desk::end_load(&mut sheet, alive)?;
        self.write(sheet, None).map(drop)
    }
}

/// Whose turn it is, of [`LINES`], and who follows where nobody of those waits.
const TURNS: [[usize; 3]; 4] = [[0, 1, 2], [1, 2, 0], [0, 2, 1], [2, 1, 0]];
/// A job that runs for longer has lost its tester.
pub(super) const LONGEST: Seconds = Seconds(86_400);
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
fn cut(job: &mut Job, settings: &Settings, why: &str, now: Time) {
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
        let (stage, text) = (probing::Stage::Connect, why.to_string());
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
        let pause = settings.retry[usize::from(job.interruptions > probing::TRIES)];
        (job.state, job.not_before) = (State::Deferred, now.plus(pause));
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
            let why = format!("put off {} times, last with {code}", probing::TRIES);
            let blocklist = control::names_blocklist(text);
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
    sheet: &mut Sheet<'_>,
    settings: &Settings,
    job: &Job,
    names: &Names,
) -> Result<(), Denied> {
    let now = sheet.now;
    let place = key::host(b'H', job.target);
    let mut host: Host = sheet.get(&place)?.unwrap_or_default();
    host.tested = Some(now);
    for name in names.relay.iter().chain(&names.hosted) {
        if !host.names.contains(name) && host.names.len() < MAX_NAMES {
            host.names.push(name.clone());
        }
    }
    if job.cause == Trigger::Nomination {
        Host::note(&mut host.grounds, hash(&job.grounds), now);
    }
    if job.cause == (Trigger::Claim { proved: false }) {
        host.unproved = Some(now);
    }
    sheet.put(place, &host);
    Ok(charge(sheet, settings, job, now)?)
}

/// The messages of a job's turn: all of them at first, later those that were put off or are new.
fn messages(
    sheet: &mut Sheet<'_>,
    settings: &Settings,
    job: &mut Job,
    names: &Names,
    fresh: &mut dyn FnMut() -> Id,
) -> Vec<Ready> {
    let mut out = Vec::new();
    if job.results.is_empty() {
        let own = settings
            .special
            .iter()
            .any(|s| s.covers(&crate::model::Subject::host(job.target)));
        let tests: Vec<Test> = settings
            .catalogue
            .chosen(job.target, &settings.chosen, &job.only, own)
            .into_iter()
            .cloned()
            .collect();
        for (turn, test) in tests.iter().enumerate() {
            make(
                sheet,
                settings,
                job,
                (names, test, turn, false),
                fresh,
                &mut out,
            );
        }
        return out;
    }
    // Forms that came through, from our own domain.
    let plain: Vec<String> = job
        .results
        .iter()
        .filter(|r| is_unsent(r))
        .filter_map(|r| r.test.strip_suffix(PLAIN).map(String::from))
        .collect();
    job.results
        .retain(|r| !(is_unsent(r) && r.test.ends_with(PLAIN)));
    for name in plain {
        if let Some(test) = settings.catalogue.get(&name) {
            make(
                sheet,
                settings,
                job,
                (names, test, 0, true),
                fresh,
                &mut out,
            );
        }
    }
    // What was put off goes with the same token.
    let said = said(job);
    for (place, r) in job
        .results
        .iter_mut()
        .enumerate()
        .filter(|(_, r)| matches!(r.outcome, Outcome::TempFail { .. }))
    {
        let Some((token, envelope)) = again(settings, names, r) else {
            r.outcome = Outcome::inconclusive(
                "put off, and the names that it takes are no longer the host's",
            );
            continue;
        };
        let message = message::probe(
            names,
            &envelope,
            &token,
            &settings.operator,
            &said,
            sheet.now,
        );
        out.push(Ready {
            place,
            test: r.test.clone(),
            envelope,
            message,
            control: None,
            phase: Phase::Rest,
        });
    }
    out
}

/// A message that was put off, as it was.
fn again(settings: &Settings, names: &Names, r: &Tried) -> Option<(String, Envelope)> {
    let test = settings
        .catalogue
        .get(r.test.strip_suffix(PLAIN).unwrap_or(&r.test))?;
    let id = token_id(&r.token)?;
    let tokens = (
        settings.tokens.text(Way::Probe, &id),
        settings.tokens.text(Way::Return, &id),
    );
    let forms = names.envelopes(test, 0, true, || tokens.clone()).ok()?;
    let (token, mut envelope) = forms
        .into_iter()
        .find(|(_, e)| e.to.get(e.probe) == Some(&r.envelope.1))?;
    // The sender is the one that it had.
    envelope.from.clone_from(&r.envelope.0);
    Some((token, envelope))
}

/// Writes what messages came to into a job's results.
fn note_results(job: &mut Job, ran: Vec<Ran>) {
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

fn is_unsent(r: &Tried) -> bool {
    matches!(&r.outcome, Outcome::Inconclusive { why, .. } if why == UNSENT)
}

pub(super) fn said(job: &Job) -> String {
    format!("job {} ({})", job.id, job.grounds.kind)
}

/// Makes the messages of one test, and the rows of their tokens.
fn make(
    sheet: &mut Sheet<'_>,
    settings: &Settings,
    job: &mut Job,
    (names, test, turn, plain): (&Names, &Test, usize, bool),
    fresh: &mut dyn FnMut() -> Id,
    out: &mut Vec<Ready>,
) {
    let mut ids = Vec::new();
    let name = if plain {
        format!("{}{PLAIN}", test.name)
    } else {
        test.name.clone()
    };
    let mut tokens = || {
        let id = fresh();
        ids.push(id);
        (
            settings.tokens.text(Way::Probe, &id),
            settings.tokens.text(Way::Return, &id),
        )
    };
    let made = match names.envelopes(test, turn, plain, &mut tokens) {
        Ok(made) => made,
        Err(why) => {
            let outcome = Outcome::Skipped { why: why.into() };
            job.results.push(Tried {
                test: name,
                class: test.class.clone(),
                token: String::new(),
                envelope: Default::default(),
                outcome,
            });
            return;
        }
    };
    for ((token, envelope), id) in made.into_iter().zip(ids) {
        let issued = Issued {
            target: job.target,
            test: name.clone(),
            job: job.id,
            at: sheet.now,
            tester: job.remote.then(|| job.by.clone()),
            trusted: settings.trusted.contains(&job.by),
            strict: test.run == Run::OptIn,
            null: envelope.from.starts_with("<>"),
            // A claim's or a review's test is no stranger's word against who delivers.
            owner: job.cause != Trigger::Nomination,
            same: envelope.from.contains(&token),
            outputs: Vec::new(),
            seen: Vec::new(),
        };
        sheet.put(key::token(&id), &issued);
        let message = message::probe(
            names,
            &envelope,
            &token,
            &settings.operator,
            &said(job),
            sheet.now,
        );
        job.results.push(Tried {
            test: name.clone(),
            class: test.class.clone(),
            token: hex(&id),
            envelope: (envelope.from.clone(), envelope.to[envelope.probe].clone()),
            outcome: Outcome::inconclusive(UNSENT),
        });
        let place = job.results.len() - 1;
        out.push(Ready {
            place,
            test: name.clone(),
            envelope,
            message,
            control: None,
            phase: Phase::Rest,
        });
    }
}

/// Adds forms that came through with a sender of the host's own, to be sent once more from our
/// domain; whether there are any.
fn again_plain(settings: &Settings, job: &mut Job) -> bool {
    let is_new = |job: &Job, name: &str| !job.results.iter().any(|r| r.test == name);
    let came: Vec<(String, String)> = job
        .results
        .iter()
        .filter(|r| matches!(r.outcome, Outcome::Delivered { .. }))
        .filter(|r| {
            settings
                .catalogue
                .get(&r.test)
                .is_some_and(|t| t.group == Group::Recipient && t.from.is_none())
        })
        .map(|r| (format!("{}{PLAIN}", r.test), r.class.clone()))
        .filter(|(name, _)| is_new(job, name))
        .collect();
    let any = !came.is_empty();
    for (test, class) in came {
        if is_new(job, &test) {
            let outcome = Outcome::inconclusive(UNSENT);
            job.results.push(Tried {
                test,
                class,
                token: String::new(),
                envelope: Default::default(),
                outcome,
            });
        }
    }
    any
}

fn append(sheet: &mut Sheet<'_>, id: u64, transcript: &str) -> Result<(), Denied> {
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

/// A token's number as text.
pub(super) fn hex(id: &Id) -> String {
    id.iter().map(|b| format!("{b:02x}")).collect()
}

pub(super) fn token_id(text: &str) -> Option<Id> {
    u64::from_str_radix(text, 16)
        .ok()
        .filter(|_| text.len() == 16)
        .map(u64::to_be_bytes)
}
