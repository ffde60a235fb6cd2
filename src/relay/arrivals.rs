//! A message reaches the collector: what it proves, and who is listed for it.

use std::net::IpAddr;

use super::{
    batch::RelayBatch,
    claims,
    keys::RelayKey,
    message::{self, MessageMatch},
    outcome::TestResult,
    policy::{
        EvidenceOrigin, EvidenceSummary, HostRecord, Job, JobState, OutputRecord, RelayPath,
        ReporterRecord, Trigger,
    },
    proof::{Arrival, IssuedToken, ProofKind, RejectedProof, evaluate_arrival},
    proofs::{Proof, ProofOutcome},
    queue::{new_job, open_job, opted_out, save, schedule},
    service::{INPUT_REASONS, RelayError, RelayService},
    settings::RelaySettings,
    token::{TokenId, TokenKind, hex},
};
use crate::{
    ledger::LedgerError,
    model::{
        EventKind, EvidenceKind, SourceId, Subject, Time,
        history::Command,
        text::{cleaned, needs_escape},
    },
    smtp::{MessageOutcome, mail::parse_mail, session::ReceivedMessage},
};

/// The most of a message that is kept, in bytes.
const MAX_KEPT: usize = 16 * 1024;
/// The most (input, output) pairs of one token.
const MAX_OUTPUTS: usize = 20;
/// The most ways of one token that are written down.
const MAX_SEEN: usize = 40;
/// Of so many ways of one token the message is kept, and of the first that lists.
const MAX_MESSAGES: usize = 3;
/// The most outputs of one host.
const MAX_OUTPUTS_OF_HOST: usize = 200;
/// The longest address that is kept, in bytes.
const MAX_ADDRESS: usize = 256;

/// What became of a message at the collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArrivalOutcome {
    /// It is kept under this number.
    Recorded(u64),
    /// It was delivered before by the same host, and is kept under this number.
    Duplicate(u64),
    /// It has no token of ours.
    NoToken,
}

impl RelayService {
    /// Handles a message that `output` delivered to the collector. When this returns, what follows
    /// from the message is durable. A message lists no host where it has no token of ours, where it
    /// was sent before the last release, or where the same output has delivered it before.
    pub fn arrived(
        &self,
        incoming: &ReceivedMessage,
        output: IpAddr,
        now: Time,
    ) -> Result<ArrivalOutcome, RelayError> {
        let settings = self.settings();
        // Read before the lock is taken: a message can have thousands of words that look like a
        // token.
        let Some(seen) = message::match_tokens(&settings.tokens, &incoming.to, &incoming.data)
        else {
            return Ok(ArrivalOutcome::NoToken);
        };
        let health = self.lock();
        if self.problem_in(&health).is_some() {
            return Err(RelayError::Refused(
                "the collector cannot judge now; try again later".into(),
            ));
        }
        let (MessageMatch::Probe(id) | MessageMatch::Bounce(id)) = seen;
        let mut batch = self.batch(now);
        let Some(mut issued) = batch.get::<IssuedToken>(&RelayKey::Token(id))? else {
            return Ok(ArrivalOutcome::NoToken);
        };
        // A reporter who is not trusted any more is not trusted with older tokens either.
        issued.trusted &= issued
            .tester
            .as_ref()
            .is_some_and(|t| settings.trusted_reporters.contains(t));
        let direct = incoming.to.iter().any(|t| {
            settings
                .tokens
                .find(t.as_bytes())
                .contains(&(TokenKind::Probe, id))
        });
        // A report has the null sender, and no probe but one that began with it.
        let back =
            matches!(seen, MessageMatch::Bounce(_)) || incoming.from.is_empty() && !issued.null;
        // So is one that went to its own sender's address and is not the message itself.
        let back = back
            || issued.same && !message::is_itself(&settings.tokens, &parse_mail(&incoming.data));
        let arrival = Arrival {
            output,
            at: now,
            direct,
            back,
        };
        if let Some(known) = known(&issued, &arrival) {
            return Ok(ArrivalOutcome::Duplicate(known));
        }
        let host: HostRecord = batch
            .get(&RelayKey::Host(issued.target))?
            .unwrap_or_default();
        let released = host.released.max(self.removed(issued.target)?);
        let mut found = evaluate_arrival(&issued, &arrival, released, settings.is_ours(output));
        if issued.outputs.len() >= MAX_OUTPUTS {
            found = Err(RejectedProof::TooManyOutputs);
        }
        if found.is_ok() && refused(&batch, &issued, &id)? {
            found = Err(RejectedProof::RefusedByHost);
        }
        if found.is_ok() && opted_out(&batch, issued.target)?.is_some() {
            found = Err(RejectedProof::OptedOut);
        }
        let number = batch.next_id()?;
        result(&mut batch, &issued, &id, &arrival, found.is_ok())?;
        issued.seen.push((arrival, number));
        let outcome = match found {
            Ok(finding) => {
                self.list(&mut batch, &issued, (finding, output), number)?;
                issued.outputs.push(output);
                batch.put(&RelayKey::ListingProof(issued.target, number), &());
                if output != issued.target {
                    batch.put(&RelayKey::ListingProof(output, number), &());
                }
                // A message of an untrusted reporter fails no claim.
                if finding != ProofKind::Unconfirmed {
                    claims::failed(&mut batch, &issued)?;
                }
                ProofOutcome::Listed(finding)
            }
            Err(why) => {
                // A message of an untrusted reporter leads to no test.
                if why == RejectedProof::BeforeRelease
                    && (issued.tester.is_none() || issued.trusted)
                {
                    review(&mut batch, &settings, &issued)?;
                }
                ProofOutcome::NotListed(why.to_string())
            }
        };
        let proof = proof(number, &issued, &id, incoming, &arrival, outcome);
        batch.put(&RelayKey::Token(id), &issued);
        batch.put(&RelayKey::Proof(number), &proof);
        batch.put(&RelayKey::InputProof(issued.target, number), &());
        batch.put(&RelayKey::OutputProof(output, number), &());
        match self.write_or_keep(batch, (number, &proof), &id, issued) {
            Ok(()) => Ok(ArrivalOutcome::Recorded(number)),
            Err(e) => Err(e),
        }
    }

    /// Commits the decision. Where a rule refuses the listing, the proof is kept with that reason.
    fn write_or_keep(
        &self,
        batch: RelayBatch<'_>,
        (number, proof): (u64, &Proof),
        id: &TokenId,
        mut issued: IssuedToken,
    ) -> Result<(), RelayError> {
        let now = batch.now;
        match self.write(batch, None) {
            Ok(_) => Ok(()),
            Err(RelayError::Ledger(
                e @ (LedgerError::Rule(_) | LedgerError::Unlistable(_) | LedgerError::Invalid(_)),
            )) => {
                let mut kept = self.batch(now);
                let why = format!("not listed: {}", e.text(&self.ledger.store.dictionary()));
                let outcome = ProofOutcome::NotListed(why);
                kept.put(&RelayKey::LastId, &number);
                issued.outputs.retain(|o| *o != proof.output);
                kept.put(&RelayKey::Token(*id), &issued);
                kept.put(
                    &RelayKey::Proof(number),
                    &Proof {
                        outcome,
                        ..proof.clone()
                    },
                );
                kept.put(&RelayKey::InputProof(proof.input, number), &());
                kept.put(&RelayKey::OutputProof(proof.output, number), &());
                self.write(kept, None).map(drop)
            }
            Err(e) => Err(e),
        }
    }

    /// When a person last removed or suppressed a listing of a relay test. The service's own releases
    /// are in the host's row.
    fn removed(&self, target: IpAddr) -> Result<Option<Time>, RelayError> {
        let history = self.ledger.store.history(&Subject::host(target))?;
        let v = self.ledger.store.dictionary();
        let ours: Vec<_> = INPUT_REASONS
            .iter()
            .filter_map(|r| v.reasons.get(r))
            .collect();
        let one = |e: &crate::model::Event| match e.what {
            EventKind::Held { reason, .. } | EventKind::Delisted { reason, .. } => {
                ours.contains(&reason)
                    && e.evidence
                        .as_ref()
                        .is_none_or(|e| e.kind != EvidenceKind::Probe)
            }
            _ => false,
        };
        Ok(history.iter().filter(|e| one(e)).map(|e| e.at).max())
    }

    /// Lists the host that was tested, and notes the host that delivered for it.
    fn list(
        &self,
        batch: &mut RelayBatch<'_>,
        issued: &IssuedToken,
        (finding, output): (ProofKind, IpAddr),
        proof: u64,
    ) -> Result<(), RelayError> {
        let name = finding.reason();
        let subject = Subject::host(issued.target);
        let before = batch.verdict(&subject)?;
        let place = RelayKey::Host(issued.target);
        let mut host: HostRecord = batch.get(&place)?.unwrap_or_default();
        let job: Option<Job> = batch.get(&RelayKey::Job(issued.job))?;
        let is_new = !before.entries.iter().any(|e| e.source == SourceId::PROBER);
        // A claim is tested at the port that was proved; a message of an untrusted reporter does
        // not change it.
        if finding != ProofKind::Unconfirmed || is_new {
            host.port = job.as_ref().and_then(|j| j.port);
        }
        if is_new {
            // A new listing: claims of the last one do not count any more.
            (host.failed, host.blocked) = Default::default();
        }
        // A limit that makes no difference to the listing: a host whose messages are delivered from
        // everywhere cannot fill the store.
        if finding == ProofKind::Input
            && (host.outputs.contains(&output) || host.outputs.len() < MAX_OUTPUTS_OF_HOST)
        {
            let fed = RelayPath {
                input: issued.target,
                by: job.map_or(String::new(), |j| j.by),
                owner: issued.owner,
                at: batch.now,
            };
            let key = RelayKey::Output(output);
            let mut row: OutputRecord = batch.get(&key)?.unwrap_or_default();
            row.add(fed);
            batch.put(&key, &row);
            if !host.outputs.contains(&output) {
                host.outputs.push(output);
            }
        }
        batch.put(&place, &host);
        let reason = self.reason(name)?;
        let ask = Command::List {
            reason,
            source: SourceId::PROBER,
            until: None,
            text: None,
        };
        let text = format!(
            "relay test `{}`: given to [{}], came from [{output}]; proof {proof}",
            issued.test, issued.target
        );
        // A delivery of our own tester's message breaks a hold, and one of an untrusted reporter's
        // does not.
        batch.change(
            subject,
            issued.tester.as_deref().unwrap_or("tester"),
            ask,
            text,
            finding != ProofKind::Unconfirmed,
        );
        Ok(())
    }
}

/// The earlier proof of the same message from the same output; where there are too many, the last
/// one.
fn known(issued: &IssuedToken, arrival: &Arrival) -> Option<u64> {
    let way = |a: &Arrival| (a.output, a.direct, a.back);
    let same = issued.seen.iter().find(|(a, _)| way(a) == way(arrival));
    same.or_else(|| issued.seen.last().filter(|_| issued.seen.len() >= MAX_SEEN))
        .map(|(_, proof)| *proof)
}

/// Whether the host refused a message of our own tester.
fn refused(batch: &RelayBatch<'_>, issued: &IssuedToken, id: &TokenId) -> Result<bool, RelayError> {
    let job = batch
        .get::<Job>(&RelayKey::Job(issued.job))?
        .filter(|j| !j.remote);
    let token = hex(id);
    let result = job
        .as_ref()
        .and_then(|j| j.results.iter().find(|r| r.token == token));
    Ok(result.is_some_and(|r| matches!(r.outcome, MessageOutcome::Refused { .. })))
}

/// Puts an arrival into its job's results. Where it `lists`, the reporter of the host was right.
fn result(
    batch: &mut RelayBatch<'_>,
    issued: &IssuedToken,
    id: &TokenId,
    arrival: &Arrival,
    lists: bool,
) -> Result<(), RelayError> {
    let Some(mut job) = batch.get::<Job>(&RelayKey::Job(issued.job))? else {
        return Ok(());
    };
    let outcome = match arrival.back {
        true => MessageOutcome::Bounced { at: arrival.at },
        false => MessageOutcome::Delivered {
            output: arrival.output,
            at: arrival.at,
        },
    };
    let token = hex(id);
    let remote = job.remote;
    let refused = |o: &MessageOutcome| !remote && matches!(o, MessageOutcome::Refused { .. });
    let open = |r: &&mut TestResult| r.outcome.superseded_by(&outcome) && !refused(&r.outcome);
    if let Some(r) = job
        .results
        .iter_mut()
        .find(|r| r.token == token)
        .filter(open)
    {
        r.outcome = outcome.clone();
        save(batch, &job)?;
    }
    // A reporter who sends the messages can deliver them too, so that is no credit.
    if lists && job.cause == Trigger::Nomination && !job.remote && job.state == JobState::Done {
        let name = RelayKey::Reporter(job.by.clone());
        let mut reporter: ReporterRecord = batch.get(&name)?.unwrap_or_default();
        reporter.note(job.id, true);
        batch.put(&name, &reporter);
    }
    Ok(())
}

/// Tests the host again, because of a message from before its release.
fn review(
    batch: &mut RelayBatch<'_>,
    settings: &RelaySettings,
    issued: &IssuedToken,
) -> Result<(), RelayError> {
    let host: HostRecord = batch
        .get(&RelayKey::Host(issued.target))?
        .unwrap_or_default();
    // A held job, or one on a different port, does not count.
    let same = |j: &Job| {
        !j.remote
            && j.state != JobState::Held
            && j.cause != Trigger::Recheck
            && settings.other_port(j.port) == settings.other_port(host.port)
    };
    if open_job(batch, issued.target, same)?.is_some() || opted_out(batch, issued.target)?.is_some()
    {
        return Ok(());
    }
    let grounds = EvidenceSummary {
        origin: EvidenceOrigin::Review,
        text: format!("a message of test `{}` came after the release", issued.test),
        at: batch.now,
    };
    let mut job = new_job(batch, issued.target, Trigger::Review, "tester", grounds)?;
    (job.names, job.port) = (host.names, host.port);
    schedule(batch, settings, &mut job)?;
    save(batch, &job)?;
    Ok(())
}

fn proof(
    number: u64,
    issued: &IssuedToken,
    id: &TokenId,
    incoming: &ReceivedMessage,
    arrival: &Arrival,
    outcome: ProofOutcome,
) -> Proof {
    let short = |text: &str| cleaned(&text[..text.floor_char_boundary(MAX_ADDRESS)]);
    // What a host sends may be anything: it fills no store, and no terminal.
    let plain = |c: char| {
        if needs_escape(c) && !matches!(c, '\n' | '\r' | '\t') {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    let lists = matches!(outcome, ProofOutcome::Listed(_)) && issued.outputs.len() <= 1;
    let message = match lists || issued.seen.len() <= MAX_MESSAGES {
        true => String::from_utf8_lossy(&incoming.data[..incoming.data.len().min(MAX_KEPT)])
            .chars()
            .map(plain)
            .collect(),
        false => String::new(),
    };
    Proof {
        id: number,
        input: issued.target,
        output: arrival.output,
        test: issued.test.clone(),
        job: issued.job,
        token: hex(id),
        issued: issued.at,
        at: arrival.at,
        hello: short(&incoming.hello),
        from: short(&incoming.from),
        to: incoming.to.iter().map(|t| short(t)).collect(),
        message,
        outcome,
    }
}
