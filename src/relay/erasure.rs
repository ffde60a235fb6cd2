//! Texts of relay tests that name a person: they are found, and erased on request.

use std::net::IpAddr;

use super::{
    policy::{HostRecord, Job, OptOut, OutputRecord},
    proof::{IssuedToken, Proof},
    service::{RelayError, RelayService},
    tables::{HOSTS, JOBS, OPT_OUTS, OUTPUTS, PROOFS, TOKENS, TRANSCRIPTS},
};
use crate::model::{Subject, retention::ERASED, text::counted};

/// A stored text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayText {
    /// The kind of the data, as the data file of privacy names it.
    pub kind: &'static str,
    /// Where it is stored.
    pub place: String,
    /// The text.
    pub text: String,
}

/// Whether a text names the person.
pub type Mentions<'a> = &'a dyn Fn(&str) -> bool;

/// Erases a text that names the person. Returns whether it did.
fn erase(text: &mut String, mentions: Mentions<'_>) -> bool {
    let named = mentions(text);
    if named {
        *text = ERASED.into();
    }
    named
}

/// The parts of a message that can name a person.
fn parts(p: &mut Proof) -> impl Iterator<Item = &mut String> {
    [&mut p.hello, &mut p.from, &mut p.message]
        .into_iter()
        .chain(&mut p.to)
}

impl RelayService {
    /// Returns the stored texts that name a person.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn find_texts(&self, mentions: Mentions<'_>) -> Result<Vec<RelayText>, RelayError> {
        let batch = self.batch(self.now());
        let mut out = Vec::new();
        let mut jobs = Vec::new();
        let mut add = |kind, place, text: String| {
            if mentions(&text) {
                out.push(RelayText { kind, place, text });
            }
        };
        batch.each(JOBS, &mut |job: Job| {
            jobs.push(job.id);
            add(
                "reporter-texts",
                format!("job {}", job.id),
                job.evidence.text,
            );
        })?;
        batch.each(PROOFS, &mut |mut p: Proof| {
            let place = format!("message {}", p.id);
            for part in parts(&mut p) {
                add("relay-evidence", place.clone(), part.clone());
            }
        })?;
        batch.each(OPT_OUTS, &mut |o: OptOut| {
            add("opt-outs", format!("opt-out of {}", o.subject), o.proof);
        })?;
        for id in jobs {
            let text = batch.get_or_default(TRANSCRIPTS, &id)?;
            add("relay-evidence", format!("transcript of job {id}"), text);
        }
        Ok(out)
    }

    /// Returns the records of a host, those of hosts with a name that names a person, and the test
    /// messages that were sent to the host.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn find_records(
        &self,
        host: Option<IpAddr>,
        mentions: Mentions<'_>,
    ) -> Result<Vec<RelayText>, RelayError> {
        let batch = self.batch(self.now());
        let mut out = Vec::new();
        let mut add = |kind, place, text| out.push(RelayText { kind, place, text });
        for addr in batch.scan(&HOSTS.all(), usize::MAX)? {
            let record: HostRecord = batch.get_or_default(HOSTS, &addr)?;
            if host == Some(addr) || record.names.iter().any(|name| mentions(name)) {
                let tested = record.tested.map_or("never".into(), |at| at.to_string());
                let text = format!("last tested: {tested}; names: {}", record.names.join(", "));
                add("relay-hosts", format!("record of {addr}"), text);
            }
        }
        let Some(host) = host else {
            return Ok(out);
        };
        if let Some(output) = batch.get::<_, OutputRecord>(OUTPUTS, &host)? {
            let text = format!("delivers for {}", counted(output.inputs.len(), "host"));
            add("relay-hosts", format!("output {host}"), text);
        }
        batch.each(TOKENS, &mut |token: IssuedToken| {
            if token.target == host {
                let text = format!("test message of job {}, sent at {}", token.job, token.at);
                add("relay-tokens", format!("token for {host}"), text);
            }
        })?;
        Ok(out)
    }

    /// Erases the stored texts that name a person. Returns their number.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the ledger refuses the commit.
    pub fn erase_texts(&self, mentions: Mentions<'_>) -> Result<u64, RelayError> {
        let _guard = self.lock();
        let mut batch = self.batch(self.now());
        let (mut jobs, mut proofs, mut opt_outs) = (Vec::new(), Vec::new(), Vec::new());
        batch.each(JOBS, &mut |job: Job| jobs.push(job))?;
        batch.each(PROOFS, &mut |p: Proof| proofs.push(p))?;
        batch.each(OPT_OUTS, &mut |o: OptOut| opt_outs.push(o))?;
        let mut erased = 0;
        for mut job in jobs {
            let mut transcript = batch.get_or_default(TRANSCRIPTS, &job.id)?;
            if erase(&mut transcript, mentions) {
                batch.delete(TRANSCRIPTS, &job.id);
                erased += 1;
            }
            if erase(&mut job.evidence.text, mentions) {
                batch.put(JOBS, &job.id, &job);
                erased += 1;
            }
        }
        for mut proof in proofs {
            let n = parts(&mut proof).filter_map(|p| erase(p, mentions).then_some(()));
            let n = n.count() as u64;
            if n > 0 {
                batch.put(PROOFS, &proof.id, &proof);
                erased += n;
            }
        }
        for mut out in opt_outs {
            if let Ok(subject) = out.subject.parse::<Subject>()
                && erase(&mut out.proof, mentions)
            {
                batch.put(OPT_OUTS, &subject, &out);
                erased += 1;
            }
        }
        self.write(batch)?;
        Ok(erased)
    }
}
