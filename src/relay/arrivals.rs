//! A message reaches the collector: what it proves, and who is listed for it.

use std::net::IpAddr;

use super::{
    claims,
    message::{self, MessageMatch},
    outcome::TestResult,
    policy::{
        EvidenceSummary, HostRecord, Job, JobState, OutputRecord, RelayPath, ReporterRecord,
        Trigger,
    },
    proof::{Arrival, IssuedToken, ProofKind, RejectedProof, evaluate_arrival},
    proofs::Proof,
    queue::{new_job, open_job, opted_out, place, save},
    rows::{RelayBatch, key},
    service::{REASONS, RelayError, RelayService},
    settings::RelaySettings,
    token::{TokenId, TokenKind, hex},
};
use crate::{
    ledger::Refused,
    model::{
        EvidenceKind, SourceId, Subject, Time, What,
        history::Ask,
        text::{cleaned, needs_escape},
    },
    smtp::{Outcome, mail::parse_mail, session::ReceivedMessage},
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

/// What the collector says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArrivalOutcome {
    /// It is kept, under this number.
    Recorded(u64),
    /// It came before, by the same way, and is kept under this number.
    Duplicate(u64),
    /// It has no token of ours.
    NoToken,
}

impl RelayService {
    /// Takes a message that was handed to the collector by `output`. When this returns, what
    /// follows from it is true. Nobody is listed for a message without a token of ours, with one
    /// that came before the last release, or twice for the same way.
    pub fn arrived(
        &self,
        incoming: &ReceivedMessage,
        output: IpAddr,
        now: Time,
    ) -> Result<ArrivalOutcome, RelayError> {
        let settings = self.settings();
        // Read before it is anybody's turn: a message can hold thousands of words that look like a
        // token.
        let Some(seen) = message::match_tokens(&settings.tokens, &incoming.to, &incoming.data)
        else {
            return Ok(ArrivalOutcome::NoToken);
        };
        let health = self.turn();
        if self.why(&health).is_some() {
            return Err(RelayError::No(
                "the collector cannot judge now; try again later".into(),
            ));
        }
        let (MessageMatch::Probe(id) | MessageMatch::Bounce(id)) = seen;
        let mut sheet = self.sheet(now);
        let Some(mut issued) = sheet.get::<IssuedToken>(&key::token(&id))? else {
            return Ok(ArrivalOutcome::NoToken);
        };
        // Whoever lost our trust has lost it for what he was given before, too.
        issued.trusted &= issued
            .tester
            .as_ref()
            .is_some_and(|t| settings.trusted.contains(t));
        let direct = incoming.to.iter().any(|t| {
            settings
                .tokens
                .find(t.as_bytes())
                .contains(&(TokenKind::Probe, id))
        });
        // A report has the null sender, and no probe but one that began with it.
        let back =
            matches!(seen, MessageMatch::Bounce(_)) || incoming.from.is_empty() && !issued.null;
        // So does one that went to the address that it came from, and is not the message itself.
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
        let host: HostRecord = sheet
            .get(&key::host(b'H', issued.target))?
            .unwrap_or_default();
        let released = host.released.max(self.removed(issued.target)?);
        let mut found =
            evaluate_arrival(&issued, &arrival, released, settings.is_ours(output)).map_err(said);
        if issued.outputs.len() >= MAX_OUTPUTS {
            found = Err("too many hosts have handed in the same message");
        }
        if found.is_ok() && refused(&sheet, &issued, &id)? {
            found = Err("the host refused this very message: it cannot have carried it");
        }
        if found.is_ok() && opted_out(&sheet, issued.target)?.is_some() {
            found = Err("its owner asked not to be tested");
        }
        let number = sheet.number()?;
        result(&mut sheet, &issued, &id, &arrival, found.is_ok())?;
        issued.seen.push((arrival, number));
        let outcome = match found {
            Ok(finding) => {
                let reason = self.list(&mut sheet, &issued, (finding, output), number)?;
                issued.outputs.push(output);
                sheet.put(key::both(b'G', issued.target, number), &());
                if output != issued.target {
                    sheet.put(key::both(b'G', output, number), &());
                }
                // An untrusted reporter's word fails nobody's claim.
                if finding != ProofKind::Unconfirmed {
                    claims::failed(&mut sheet, &issued)?;
                }
                reason.to_string()
            }
            Err(why) => {
                // The word of others leads to no test.
                if why == said(RejectedProof::BeforeRelease)
                    && (issued.tester.is_none() || issued.trusted)
                {
                    review(&mut sheet, &settings, &issued)?;
                }
                why.to_string()
            }
        };
        let proof = proof(number, &issued, &id, incoming, &arrival, outcome);
        sheet.put(key::token(&id), &issued);
        sheet.put(key::number(b'P', number), &proof);
        sheet.put(key::both(b'I', issued.target, number), &());
        sheet.put(key::both(b'Y', output, number), &());
        match self.write_or_keep(sheet, (number, &proof), &id, issued) {
            Ok(()) => Ok(ArrivalOutcome::Recorded(number)),
            Err(e) => Err(e),
        }
    }

    /// Writes what was decided; where a rule of the list says no, the proof is kept and says so.
    fn write_or_keep(
        &self,
        sheet: RelayBatch<'_>,
        (number, proof): (u64, &Proof),
        id: &TokenId,
        mut issued: IssuedToken,
    ) -> Result<(), RelayError> {
        let now = sheet.now;
        match self.write(sheet, None) {
            Ok(_) => Ok(()),
            Err(RelayError::Ledger(
                e @ (Refused::Rule(_) | Refused::Unlistable(_) | Refused::Settings(_)),
            )) => {
                let mut kept = self.sheet(now);
                let outcome = format!("not listed: {}", e.text(&self.ledger.store.vocabulary()));
                kept.put(key::NUMBER, &number);
                issued.outputs.retain(|o| *o != proof.output);
                kept.put(key::token(id), &issued);
                kept.put(
                    key::number(b'P', number),
                    &Proof {
                        outcome,
                        ..proof.clone()
                    },
                );
                kept.put(key::both(b'I', proof.input, number), &());
                kept.put(key::both(b'Y', proof.output, number), &());
                self.write(kept, None).map(drop)
            }
            Err(e) => Err(e),
        }
    }

    /// When a person last took off what tests had listed, or held it down. The desk's own releases
    /// are known by the host's row.
    fn removed(&self, target: IpAddr) -> Result<Option<Time>, RelayError> {
        let history = self.ledger.store.history(&Subject::host(target))?;
        let v = self.ledger.store.vocabulary();
        let ours: Vec<_> = REASONS[..3]
            .iter()
            .filter_map(|r| v.reasons.get(r))
            .collect();
        let one = |e: &crate::model::Event| match e.what {
            What::Held { reason, .. } | What::Delisted { reason, .. } => {
                ours.contains(&reason)
                    && e.evidence
                        .as_ref()
                        .is_none_or(|e| e.kind != EvidenceKind::Probe)
            }
            _ => false,
        };
        Ok(history.iter().filter(|e| one(e)).map(|e| e.at).max())
    }

    /// Lists the host that was tested, and takes note of who delivered for it.
    fn list(
        &self,
        sheet: &mut RelayBatch<'_>,
        issued: &IssuedToken,
        (finding, output): (ProofKind, IpAddr),
        proof: u64,
    ) -> Result<&'static str, RelayError> {
        let name = match finding {
            ProofKind::Relay => REASONS[0],
            ProofKind::Input => REASONS[1],
            ProofKind::Unconfirmed => REASONS[2],
        };
        let subject = Subject::host(issued.target);
        let before = sheet.verdict(&subject)?;
        let place = key::host(b'H', issued.target);
        let mut host: HostRecord = sheet.get(&place)?.unwrap_or_default();
        let job: Option<Job> = sheet.get(&key::number(b'J', issued.job))?;
        let new = !before.entries.iter().any(|e| e.source == SourceId::PROBER);
        // A claim is tested where it was proved; the word of others does not change that.
        if finding != ProofKind::Unconfirmed || new {
            host.port = job.as_ref().and_then(|j| j.port);
        }
        if new {
            // A new listing: claims against the last one count no more.
            (host.failed, host.blocked) = Default::default();
        }
        // So many that it makes no difference: a host that has its messages handed in from
        // everywhere fills no store.
        if finding == ProofKind::Input
            && (host.outputs.contains(&output) || host.outputs.len() < MAX_OUTPUTS_OF_HOST)
        {
            let fed = RelayPath {
                input: issued.target,
                by: job.map_or(String::new(), |j| j.by),
                owner: issued.owner,
                at: sheet.now,
            };
            let key = key::host(b'X', output);
            let mut row: OutputRecord = sheet.get(&key)?.unwrap_or_default();
            row.add(fed);
            sheet.put(key, &row);
            if !host.outputs.contains(&output) {
                host.outputs.push(output);
            }
        }
        sheet.put(place, &host);
        let reason = self.reason(name)?;
        let ask = Ask::List {
            reason,
            source: SourceId::PROBER,
            until: None,
            text: None,
        };
        let text = format!(
            "relay test `{}`: given to [{}], came from [{output}]; proof {proof}",
            issued.test, issued.target
        );
        // A hold gives way to what our own tester has proved, and not to the word of others.
        sheet.change(
            subject,
            issued.tester.as_deref().unwrap_or("tester"),
            ask,
            text,
            finding != ProofKind::Unconfirmed,
        );
        Ok(name)
    }
}

/// The proof of the same message by the same way, which was told before; where there are too many
/// ways, the last.
fn known(issued: &IssuedToken, arrival: &Arrival) -> Option<u64> {
    let way = |a: &Arrival| (a.output, a.direct, a.back);
    let same = issued.seen.iter().find(|(a, _)| way(a) == way(arrival));
    same.or_else(|| issued.seen.last().filter(|_| issued.seen.len() >= MAX_SEEN))
        .map(|(_, proof)| *proof)
}

/// Why there is no listing, for people.
fn said(why: RejectedProof) -> &'static str {
    match why {
        RejectedProof::Late => "too late: the token was older than 14 days",
        RejectedProof::BeforeRelease => "sent before the host was released: it is tested again",
        RejectedProof::Duplicate => "known already",
        RejectedProof::Bounced => "bounced: it came back to the sender",
        RejectedProof::Forwarded => "a user of the host may have passed it on",
        RejectedProof::OwnAddress => "it came from ourselves",
        RejectedProof::ThirdParty => {
            "a reporter sent it, and another host than the tested one handed it in"
        }
    }
}

/// Whether our own tester was told no to a message.
fn refused(sheet: &RelayBatch<'_>, issued: &IssuedToken, id: &TokenId) -> Result<bool, RelayError> {
    let job = sheet
        .get::<Job>(&key::number(b'J', issued.job))?
        .filter(|j| !j.remote);
    let token = hex(id);
    let result = job
        .as_ref()
        .and_then(|j| j.results.iter().find(|r| r.token == token));
    Ok(result.is_some_and(|r| matches!(r.outcome, Outcome::Refused { .. })))
}

/// Writes an arrival into its job's results; where it `lists`, whoever brought the host was right.
fn result(
    sheet: &mut RelayBatch<'_>,
    issued: &IssuedToken,
    id: &TokenId,
    arrival: &Arrival,
    lists: bool,
) -> Result<(), RelayError> {
    let Some(mut job) = sheet.get::<Job>(&key::number(b'J', issued.job))? else {
        return Ok(());
    };
    let outcome = match arrival.back {
        true => Outcome::Bounced { at: arrival.at },
        false => Outcome::Delivered {
            output: arrival.output,
            at: arrival.at,
        },
    };
    let token = hex(id);
    let remote = job.remote;
    let refused = |o: &Outcome| !remote && matches!(o, Outcome::Refused { .. });
    let open = |r: &&mut TestResult| r.outcome.superseded_by(&outcome) && !refused(&r.outcome);
    if let Some(r) = job
        .results
        .iter_mut()
        .find(|r| r.token == token)
        .filter(open)
    {
        r.outcome = outcome.clone();
        save(sheet, &job)?;
    }
    // Who sends himself may send himself what he likes: it makes nobody's name.
    if lists && job.cause == Trigger::Nomination && !job.remote && job.state == JobState::Done {
        let name = key::reporter(&job.by);
        let mut reporter: ReporterRecord = sheet.get(&name)?.unwrap_or_default();
        reporter.note(job.id, true);
        sheet.put(name, &reporter);
    }
    Ok(())
}

/// The host is tested again, for a message from before its release.
fn review(
    sheet: &mut RelayBatch<'_>,
    settings: &RelaySettings,
    issued: &IssuedToken,
) -> Result<(), RelayError> {
    let host: HostRecord = sheet
        .get(&key::host(b'H', issued.target))?
        .unwrap_or_default();
    // One that waits for a person, or knocks at another door, is none in its place.
    let same = |j: &Job| {
        !j.remote
            && j.state != JobState::Held
            && j.cause != Trigger::Recheck
            && settings.other_port(j.port) == settings.other_port(host.port)
    };
    if open_job(sheet, issued.target, same)?.is_some() || opted_out(sheet, issued.target)?.is_some()
    {
        return Ok(());
    }
    let grounds = EvidenceSummary {
        kind: "review".into(),
        text: format!("a message of test `{}` came after the release", issued.test),
        at: sheet.now,
    };
    let mut job = new_job(sheet, issued.target, Trigger::Review, "tester", grounds)?;
    (job.names, job.port) = (host.names, host.port);
    place(sheet, settings, &mut job)?;
    save(sheet, &job)?;
    Ok(())
}

fn proof(
    number: u64,
    issued: &IssuedToken,
    id: &TokenId,
    incoming: &ReceivedMessage,
    arrival: &Arrival,
    outcome: String,
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
    let lists = REASONS.contains(&outcome.as_str()) && issued.outputs.len() <= 1;
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
