//! Handles messages that reach the collector: what each proves, and which host is listed for it.

use std::net::IpAddr;

use super::{
    batch::RelayBatch,
    claims,
    message::{self, MessageMatch},
    policy::{EvidenceOrigin, EvidenceSummary, Job, JobState, RelayPath, Trigger},
    proof::{
        Arrival, IssuedToken, Proof, ProofKind, ProofOutcome, RejectedProof, evaluate_arrival,
    },
    queue::{new_job, open_job, opted_out, save, schedule},
    service::{INPUT_REASONS, RelayError, RelayService},
    settings::RelaySettings,
    tables::{
        HOSTS, INPUT_PROOFS, JOBS, LAST_ID, LISTING_PROOFS, OUTPUT_PROOFS, OUTPUTS, PROOFS,
        REPORTERS, TOKENS,
    },
    token::{TokenId, TokenKind, hex},
};
use crate::{
    ledger::LedgerError,
    model::{
        EventKind, EvidenceKind, Time,
        text::{needs_escape, replace_controls},
    },
    smtp::{MessageOutcome, mail::parse_mail, session::ReceivedMessage},
};

/// The most bytes of a message that are stored.
const MAX_STORED_BYTES: usize = 16 * 1024;
/// The most outputs that are listed for one token.
const MAX_OUTPUTS: usize = 20;
/// The most arrivals of one token that are stored.
const MAX_ARRIVALS: usize = 40;
/// How many arrivals of one token are stored with the message; the first that lists a host
/// always is.
const MAX_MESSAGES: usize = 3;
/// The most outputs that are stored of one host.
const MAX_OUTPUTS_OF_HOST: usize = 200;
/// The longest address that is stored, in bytes.
const MAX_ADDRESS: usize = 256;

/// The outcome of a message that reached the collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArrivalOutcome {
    /// The message is stored as the proof with this number.
    Recorded(u64),
    /// The same host delivered the message before; it is stored as the proof with this number.
    Duplicate(u64),
    /// The message has no valid token.
    NoToken,
}

impl RelayService {
    /// Handles a message that `output` delivered to the collector. When this returns, the proof and
    /// the listing are durable. A message lists no host if it has no valid token, was sent before
    /// the last release of the host, or was delivered by the same output before.
    pub fn arrived(
        &self,
        incoming: &ReceivedMessage,
        output: IpAddr,
        now: Time,
    ) -> Result<ArrivalOutcome, RelayError> {
        let settings = self.settings();
        // The message is searched before the lock is taken, because it can have thousands of words
        // that look like a token.
        let Some(matched) = message::match_tokens(&settings.tokens, &incoming.to, &incoming.data)
        else {
            return Ok(ArrivalOutcome::NoToken);
        };
        let health = self.lock();
        if self.problem_in(&health).is_some() {
            return Err(RelayError::Refused(
                "messages cannot be evaluated now; try again later".into(),
            ));
        }
        let (MessageMatch::Probe(id) | MessageMatch::Bounce(id)) = matched;
        let mut batch = self.batch(now);
        let Some(mut issued) = batch.get(TOKENS, &id)? else {
            return Ok(ArrivalOutcome::NoToken);
        };
        // A reporter who is no longer trusted is not trusted for older tokens either.
        let is_trusted = |t| settings.trusted_reporters.contains(t);
        issued.trusted &= issued.tester.as_ref().is_some_and(is_trusted);
        let token = (TokenKind::Probe, id);
        let mut recipients = incoming.to.iter().map(|t| t.as_bytes());
        let direct = recipients.any(|t| settings.tokens.find(t).contains(&token));
        // A report has the null sender, which a probe has only if it was sent with it.
        let back =
            matches!(matched, MessageMatch::Bounce(_)) || incoming.from.is_empty() && !issued.null;
        // If sender and recipient of the probe are the same address, a message without a token in
        // its own header is a report.
        let back = back
            || issued.same && !message::is_probe(&settings.tokens, &parse_mail(&incoming.data));
        let arrival = Arrival {
            output,
            at: now,
            direct,
            back,
        };
        if let Some(earlier) = earlier_proof(&issued, &arrival) {
            return Ok(ArrivalOutcome::Duplicate(earlier));
        }
        let host = batch.get_or_default(HOSTS, &issued.target)?;
        let released = host.released.max(self.last_removal(issued.target)?);
        let mut verdict = evaluate_arrival(&issued, &arrival, released, settings.is_ours(output));
        if issued.outputs.len() >= MAX_OUTPUTS {
            verdict = Err(RejectedProof::TooManyOutputs);
        }
        if verdict.is_ok() && is_refused_by_host(&batch, &issued, &id)? {
            verdict = Err(RejectedProof::RefusedByHost);
        }
        if verdict.is_ok() && opted_out(&batch, issued.target)?.is_some() {
            verdict = Err(RejectedProof::OptedOut);
        }
        let counts = matches!(verdict, Ok(_) | Err(RejectedProof::BeforeRelease));
        if counts && is_self_test(&batch, &issued)? {
            verdict = Err(RejectedProof::SelfTest);
        }
        let number = batch.next_number(LAST_ID)?;
        record_result(&mut batch, &issued, &id, &arrival, verdict.is_ok())?;
        issued.seen.push((arrival, number));
        let outcome = match verdict {
            Ok(kind) => {
                self.list(&mut batch, &issued, kind, output, number)?;
                issued.outputs.push(output);
                batch.put(LISTING_PROOFS, &(issued.target, number), &());
                if output != issued.target {
                    batch.put(LISTING_PROOFS, &(output, number), &());
                }
                // A message of an untrusted reporter does not fail a claim.
                if kind != ProofKind::Unconfirmed {
                    claims::fail_refuted(&mut batch, &issued)?;
                }
                ProofOutcome::Listed(kind)
            }
            Err(why) => {
                // A message of an untrusted reporter does not lead to a test.
                if why == RejectedProof::BeforeRelease
                    && (issued.tester.is_none() || issued.trusted)
                {
                    review(&mut batch, &settings, &issued)?;
                }
                ProofOutcome::NotListed(why.to_string())
            }
        };
        let proof = proof(number, &issued, &id, incoming, &arrival, outcome);
        put_proof(&mut batch, &id, &issued, &proof);
        self.commit_proof(batch, proof, &id, issued)?;
        Ok(ArrivalOutcome::Recorded(number))
    }

    /// Commits the decision. If a rule of the ledger refuses the listing, the proof is stored with
    /// that reason.
    fn commit_proof(
        &self,
        batch: RelayBatch<'_>,
        mut proof: Proof,
        id: &TokenId,
        mut issued: IssuedToken,
    ) -> Result<(), RelayError> {
        let now = batch.now;
        match self.write(batch) {
            Err(RelayError::Ledger(
                e @ (LedgerError::Rule(_) | LedgerError::Unlistable(_) | LedgerError::Invalid(_)),
            )) => {
                let mut proof_only = self.batch(now);
                let why = format!("not listed: {}", e.text(&self.ledger.store.dictionary()));
                proof.outcome = ProofOutcome::NotListed(why);
                issued.outputs.retain(|o| *o != proof.output);
                proof_only.put(LAST_ID, &(), &proof.id);
                put_proof(&mut proof_only, id, &issued, &proof);
                self.write(proof_only).map(drop)
            }
            written => written.map(drop),
        }
    }

    /// Returns when a person last removed or suppressed a listing of a relay test. Releases by
    /// the service are in the row of the host.
    fn last_removal(&self, target: IpAddr) -> Result<Option<Time>, RelayError> {
        self.last_event(target, &INPUT_REASONS, |e| {
            matches!(e.kind, EventKind::Held { .. } | EventKind::Delisted { .. })
                && e.evidence
                    .as_ref()
                    .is_none_or(|e| e.kind != EvidenceKind::Probe)
        })
    }

    /// Lists the tested host, and notes the host that delivered for it.
    fn list(
        &self,
        batch: &mut RelayBatch<'_>,
        issued: &IssuedToken,
        kind: ProofKind,
        output: IpAddr,
        proof: u64,
    ) -> Result<(), RelayError> {
        let mut host = batch.get_or_default(HOSTS, &issued.target)?;
        let job = batch.get(JOBS, &issued.job)?;
        let is_new = !batch.has_listing(issued.target)?;
        // A claim is tested at the port that was proved open. A message of an untrusted reporter
        // does not change that port.
        if kind != ProofKind::Unconfirmed || is_new {
            host.port = job.as_ref().and_then(|j| j.port);
        }
        if is_new {
            // Claims that failed under an earlier listing do not count for a new one.
            (host.failed, host.blocked) = Default::default();
        }
        // The limit keeps a host with very many outputs from filling the store. It does not affect
        // the listing.
        if kind == ProofKind::Input
            && (host.outputs.contains(&output) || host.outputs.len() < MAX_OUTPUTS_OF_HOST)
        {
            let path = RelayPath {
                input: issued.target,
                by: job.map_or(String::new(), |j| j.by),
                owner: issued.owner,
                at: batch.now,
            };
            batch.update(OUTPUTS, &output, |row| row.add(path))?;
            if !host.outputs.contains(&output) {
                host.outputs.push(output);
            }
        }
        batch.put(HOSTS, &issued.target, &host);
        let reason = self.reason(kind.reason())?;
        let text = format!(
            "relay test `{}`: sent to [{}], delivered by [{output}]; proof {proof}",
            issued.test, issued.target
        );
        let author = issued.tester.as_deref().unwrap_or("tester");
        // A message of our own tester breaks a hold; one of an untrusted reporter does not.
        let breaks_hold = kind != ProofKind::Unconfirmed;
        batch.list(issued.target, reason, author, text, breaks_hold);
        Ok(())
    }
}

fn put_proof(batch: &mut RelayBatch<'_>, id: &TokenId, issued: &IssuedToken, proof: &Proof) {
    batch.put(TOKENS, id, issued);
    batch.put(PROOFS, &proof.id, proof);
    batch.put(INPUT_PROOFS, &(proof.input, proof.id), &());
    batch.put(OUTPUT_PROOFS, &(proof.output, proof.id), &());
}

/// Returns the earlier proof of the same message from the same output. If the token has too many
/// arrivals, the last proof counts as the earlier one.
fn earlier_proof(issued: &IssuedToken, arrival: &Arrival) -> Option<u64> {
    let key = |a: &Arrival| (a.output, a.direct, a.back);
    let same = issued.seen.iter().find(|(a, _)| key(a) == key(arrival));
    let is_full = issued.seen.len() >= MAX_ARRIVALS;
    same.or_else(|| issued.seen.last().filter(|_| is_full))
        .map(|(_, proof)| *proof)
}

/// Whether the host refused this message when our own tester sent it.
fn is_refused_by_host(
    batch: &RelayBatch<'_>,
    issued: &IssuedToken,
    id: &TokenId,
) -> Result<bool, RelayError> {
    let job = batch.get(JOBS, &issued.job)?.filter(|j| !j.remote);
    let token = hex(id);
    let is_refused = |job: Job| {
        let result = job.results.iter().find(|r| r.token == token);
        result.is_some_and(|r| r.outcome.is_refused())
    };
    Ok(job.is_some_and(is_refused))
}

/// Whether the holder of the host has asked for the test of this message.
fn is_self_test(batch: &RelayBatch<'_>, issued: &IssuedToken) -> Result<bool, RelayError> {
    let job = batch.get(JOBS, &issued.job)?;
    Ok(job.is_some_and(|j| j.trigger == Trigger::SelfTest))
}

/// Records an arrival in the results of its job. If it `lists` the host, it counts for the
/// reporter.
fn record_result(
    batch: &mut RelayBatch<'_>,
    issued: &IssuedToken,
    id: &TokenId,
    arrival: &Arrival,
    lists: bool,
) -> Result<(), RelayError> {
    let Some(mut job) = batch.get(JOBS, &issued.job)? else {
        return Ok(());
    };
    let Arrival { output, at, .. } = *arrival;
    let outcome = match arrival.back {
        true => MessageOutcome::Bounced { at },
        false => MessageOutcome::Delivered { output, at },
    };
    let (token, remote) = (hex(id), job.remote);
    let result = job.results.iter_mut().find(|r| r.token == token);
    if let Some(r) =
        result.filter(|r| r.outcome.superseded_by(&outcome) && (remote || !r.outcome.is_refused()))
    {
        r.outcome = outcome;
        save(batch, &job)?;
    }
    // A reporter who sends the messages could also deliver them, so such a delivery does not count.
    if lists && job.trigger == Trigger::Nomination && !job.remote && job.state == JobState::Done {
        batch.update(REPORTERS, &job.by, |r| r.note(job.id, true))?;
    }
    Ok(())
}

/// Tests a released host again, because a message that was sent before the release was delivered.
fn review(
    batch: &mut RelayBatch<'_>,
    settings: &RelaySettings,
    issued: &IssuedToken,
) -> Result<(), RelayError> {
    let host = batch.get_or_default(HOSTS, &issued.target)?;
    // A held job, or one on a different port, does not count.
    let same = |j: &Job| {
        !j.remote
            && j.state != JobState::Held
            && !matches!(j.trigger, Trigger::Recheck | Trigger::SelfTest)
            && settings.other_port(j.port) == settings.other_port(host.port)
    };
    if open_job(batch, issued.target, same)?.is_some() || opted_out(batch, issued.target)?.is_some()
    {
        return Ok(());
    }
    let test = &issued.test;
    let evidence = EvidenceSummary {
        origin: EvidenceOrigin::Review,
        text: format!("a message of test `{test}` was delivered after the release"),
        at: batch.now,
    };
    let mut job = new_job(batch, issued.target, Trigger::Review, "tester", evidence)?;
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
    let short = |text: &str| replace_controls(&text[..text.floor_char_boundary(MAX_ADDRESS)]);
    // Text from a host is shortened, and characters that could control a terminal are replaced.
    let plain = |c: char| {
        if needs_escape(c) && !matches!(c, '\n' | '\r' | '\t') {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    let lists = matches!(outcome, ProofOutcome::Listed(_)) && issued.outputs.len() <= 1;
    let stored = &incoming.data[..incoming.data.len().min(MAX_STORED_BYTES)];
    let message = if lists || issued.seen.len() <= MAX_MESSAGES {
        String::from_utf8_lossy(stored).chars().map(plain).collect()
    } else {
        String::new()
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
