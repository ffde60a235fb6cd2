//! Handles messages that reach the collector: what each proves, and which host is listed for it.

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
        let Some(mut issued) = batch.get::<IssuedToken>(&RelayKey::Token(id))? else {
            return Ok(ArrivalOutcome::NoToken);
        };
        // A reporter who is no longer trusted is not trusted for older tokens either.
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
        let host: HostRecord = batch
            .get(&RelayKey::Host(issued.target))?
            .unwrap_or_default();
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
        let number = batch.next_id()?;
        record_result(&mut batch, &issued, &id, &arrival, verdict.is_ok())?;
        issued.seen.push((arrival, number));
        let outcome = match verdict {
            Ok(kind) => {
                self.list(&mut batch, &issued, (kind, output), number)?;
                issued.outputs.push(output);
                batch.put(&RelayKey::ListingProof(issued.target, number), &());
                if output != issued.target {
                    batch.put(&RelayKey::ListingProof(output, number), &());
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
        batch.put(&RelayKey::Token(id), &issued);
        batch.put(&RelayKey::Proof(number), &proof);
        batch.put(&RelayKey::InputProof(issued.target, number), &());
        batch.put(&RelayKey::OutputProof(output, number), &());
        match self.commit_proof(batch, (number, &proof), &id, issued) {
            Ok(()) => Ok(ArrivalOutcome::Recorded(number)),
            Err(e) => Err(e),
        }
    }

    /// Commits the decision. If a rule of the ledger refuses the listing, the proof is stored with
    /// that reason.
    fn commit_proof(
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
                let mut proof_only = self.batch(now);
                let why = format!("not listed: {}", e.text(&self.ledger.store.dictionary()));
                let outcome = ProofOutcome::NotListed(why);
                proof_only.put(&RelayKey::LastId, &number);
                issued.outputs.retain(|o| *o != proof.output);
                proof_only.put(&RelayKey::Token(*id), &issued);
                proof_only.put(
                    &RelayKey::Proof(number),
                    &Proof {
                        outcome,
                        ..proof.clone()
                    },
                );
                proof_only.put(&RelayKey::InputProof(proof.input, number), &());
                proof_only.put(&RelayKey::OutputProof(proof.output, number), &());
                self.write(proof_only, None).map(drop)
            }
            Err(e) => Err(e),
        }
    }

    /// Returns when a person last removed or suppressed a listing of a relay test. Releases by
    /// the service are in the row of the host.
    fn last_removal(&self, target: IpAddr) -> Result<Option<Time>, RelayError> {
        let history = self.ledger.store.history(&Subject::host(target))?;
        let v = self.ledger.store.dictionary();
        let ours: Vec<_> = INPUT_REASONS
            .iter()
            .filter_map(|r| v.reasons.get(r))
            .collect();
        let is_removal = |e: &crate::model::Event| match e.what {
            EventKind::Held { reason, .. } | EventKind::Delisted { reason, .. } => {
                ours.contains(&reason)
                    && e.evidence
                        .as_ref()
                        .is_none_or(|e| e.kind != EvidenceKind::Probe)
            }
            _ => false,
        };
        Ok(history.iter().filter(|e| is_removal(e)).map(|e| e.at).max())
    }

    /// Lists the tested host, and notes the host that delivered for it.
    fn list(
        &self,
        batch: &mut RelayBatch<'_>,
        issued: &IssuedToken,
        (kind, output): (ProofKind, IpAddr),
        proof: u64,
    ) -> Result<(), RelayError> {
        let name = kind.reason();
        let subject = Subject::host(issued.target);
        let before = batch.verdict(&subject)?;
        let place = RelayKey::Host(issued.target);
        let mut host: HostRecord = batch.get(&place)?.unwrap_or_default();
        let job: Option<Job> = batch.get(&RelayKey::Job(issued.job))?;
        let is_new = !before.entries.iter().any(|e| e.source == SourceId::PROBER);
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
            let key = RelayKey::Output(output);
            let mut row: OutputRecord = batch.get(&key)?.unwrap_or_default();
            row.add(path);
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
            "relay test `{}`: sent to [{}], delivered by [{output}]; proof {proof}",
            issued.test, issued.target
        );
        // A message of our own tester breaks a hold; one of an untrusted reporter does not.
        batch.change(
            subject,
            issued.tester.as_deref().unwrap_or("tester"),
            ask,
            text,
            kind != ProofKind::Unconfirmed,
        );
        Ok(())
    }
}

/// Returns the earlier proof of the same message from the same output. If the token has too many
/// arrivals, the last proof counts as the earlier one.
fn earlier_proof(issued: &IssuedToken, arrival: &Arrival) -> Option<u64> {
    let key = |a: &Arrival| (a.output, a.direct, a.back);
    let same = issued.seen.iter().find(|(a, _)| key(a) == key(arrival));
    same.or_else(|| {
        issued
            .seen
            .last()
            .filter(|_| issued.seen.len() >= MAX_ARRIVALS)
    })
    .map(|(_, proof)| *proof)
}

/// Whether the host refused this message when our own tester sent it.
fn is_refused_by_host(
    batch: &RelayBatch<'_>,
    issued: &IssuedToken,
    id: &TokenId,
) -> Result<bool, RelayError> {
    let job = batch
        .get::<Job>(&RelayKey::Job(issued.job))?
        .filter(|j| !j.remote);
    let token = hex(id);
    let result = job
        .as_ref()
        .and_then(|j| j.results.iter().find(|r| r.token == token));
    Ok(result.is_some_and(|r| matches!(r.outcome, MessageOutcome::Refused { .. })))
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
    let is_refused_by_host =
        |o: &MessageOutcome| !remote && matches!(o, MessageOutcome::Refused { .. });
    let open =
        |r: &&mut TestResult| r.outcome.superseded_by(&outcome) && !is_refused_by_host(&r.outcome);
    if let Some(r) = job
        .results
        .iter_mut()
        .find(|r| r.token == token)
        .filter(open)
    {
        r.outcome = outcome.clone();
        save(batch, &job)?;
    }
    // A reporter who sends the messages could also deliver them, so such a delivery does not count.
    if lists && job.trigger == Trigger::Nomination && !job.remote && job.state == JobState::Done {
        let name = RelayKey::Reporter(job.by.clone());
        let mut reporter: ReporterRecord = batch.get(&name)?.unwrap_or_default();
        reporter.note(job.id, true);
        batch.put(&name, &reporter);
    }
    Ok(())
}

/// Tests a released host again, because a message that was sent before the release was delivered.
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
            && j.trigger != Trigger::Recheck
            && settings.other_port(j.port) == settings.other_port(host.port)
    };
    if open_job(batch, issued.target, same)?.is_some() || opted_out(batch, issued.target)?.is_some()
    {
        return Ok(());
    }
    let evidence = EvidenceSummary {
        origin: EvidenceOrigin::Review,
        text: format!(
            "a message of test `{}` was delivered after the release",
            issued.test
        ),
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
    let message = match lists || issued.seen.len() <= MAX_MESSAGES {
        true => {
            String::from_utf8_lossy(&incoming.data[..incoming.data.len().min(MAX_STORED_BYTES)])
                .chars()
                .map(plain)
                .collect()
        }
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
