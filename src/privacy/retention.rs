//! The job that erases data whose retention is over: at the start, before a listener opens, and
//! then daily.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    erase::ErasedCounts,
    report::{PersonalData, relay_failure, ticket_failure},
};
use crate::{
    ledger::{AccountChange, Ledger, LedgerError},
    model::{Retention, Time, time::Seconds},
    store::AuditErasure,
};

/// The time between two runs.
const INTERVAL: Seconds = Seconds(86_400);
/// How long the run of a start reads the audit log. The next run continues there.
const START_BUDGET: Duration = Duration::from_secs(20);

/// A run of the job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionRun {
    /// When it began.
    pub at: Time,
    /// How long it took.
    pub took: Duration,
    /// How much it erased, by the key of `[retention]`.
    pub erased: BTreeMap<&'static str, u64>,
    /// Why it did not complete.
    pub problem: Option<String>,
    /// Whether it stopped before the end of the audit log, so that another run follows at once.
    pub is_partial: bool,
}

/// The last run of the job, and what all runs since the start have erased.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// The last run; `None` before the first one.
    pub last: Option<RetentionRun>,
    /// How much was erased since the start, by the key of `[retention]`.
    pub total: BTreeMap<&'static str, u64>,
}

/// The job. Clones share its report.
#[derive(Clone)]
pub struct RetentionJob {
    data: PersonalData,
    report: Arc<Mutex<RetentionReport>>,
}

impl RetentionJob {
    /// Creates the job, which has not run.
    pub fn new(data: PersonalData) -> RetentionJob {
        RetentionJob {
            data,
            report: Arc::default(),
        }
    }

    /// What the job erases.
    pub fn data(&self) -> &PersonalData {
        &self.data
    }

    fn ledger(&self) -> &Ledger {
        &self.data.ledger
    }

    /// The last run, and the totals.
    pub fn report(&self) -> RetentionReport {
        self.report.lock().clone()
    }

    /// Runs the job before a listener opens. Reading a long audit log for the first time takes a
    /// while, so that this part has a time limit. May block.
    ///
    /// # Errors
    ///
    /// Erasures on request that the store does not have cannot be repeated, so that the store may
    /// have what was erased; the text is for operators. Other problems are in the report.
    pub fn run_at_start(&self) -> Result<RetentionRun, String> {
        let repeated = self.data.repeat_erasures()?;
        Ok(self.run_after(Ok(repeated), Some(Instant::now() + START_BUDGET)))
    }

    /// Whether the job has to run now.
    pub fn is_due(&self) -> bool {
        let report = self.report.lock();
        report.last.as_ref().is_none_or(|last| {
            let is_old = last.at.plus(INTERVAL) <= self.ledger().now();
            // After an error, once an hour.
            let is_failed =
                last.problem.is_some() && last.at.plus(Seconds(3600)) <= self.ledger().now();
            last.is_partial || is_old || is_failed
        })
    }

    /// Runs the job. `until` limits how long it reads the audit log. May block.
    pub fn run(&self, until: Option<Instant>) -> RetentionRun {
        // What a restored backup has brought back is erased again first.
        self.run_after(self.data.repeat_erasures(), until)
    }

    /// Runs the job after the erasures on request were repeated.
    fn run_after(
        &self,
        repeated: Result<ErasedCounts, String>,
        until: Option<Instant>,
    ) -> RetentionRun {
        let began = Instant::now();
        let mut run = RetentionRun {
            at: self.ledger().now(),
            ..RetentionRun::default()
        };
        if let Err(why) = self.erase_all(&mut run, repeated, until) {
            tracing::warn!(why, "erasing old data failed; retrying in an hour");
            run.problem = Some(why);
        }
        run.took = began.elapsed();
        let erased: u64 = run.erased.values().sum();
        tracing::info!(erased, took = ?run.took, "data whose retention is over was erased");
        let mut report = self.report.lock();
        for (key, n) in &run.erased {
            *report.total.entry(key).or_default() += n;
        }
        report.last = Some(run.clone());
        run
    }

    /// Erases each kind. A kind that fails does not keep the others from being erased.
    fn erase_all(
        &self,
        run: &mut RetentionRun,
        repeated: Result<ErasedCounts, String>,
        until: Option<Instant>,
    ) -> Result<(), String> {
        let (now, periods) = (run.at, self.ledger().settings().retention);
        let before = |period: Seconds| Time(now.0.saturating_sub(period.0));
        let mut problems = Vec::new();
        let mut note = |key: &'static str, n: Result<u64, String>| match n {
            Ok(n) => *run.erased.entry(key).or_default() += n,
            Err(why) => problems.push(format!("{key}: {why}")),
        };
        let text = |e: LedgerError| e.text(&self.ledger().store.dictionary());
        note("on_request", repeated.map(|erased| erased.values().sum()));
        self.erase_tickets(now, &mut note);
        let relay = self.data.relay.forget(now);
        match relay.map_err(|e| text(relay_failure(e))) {
            Ok(relay) => {
                note("relay_evidence", Ok(relay.evidence));
                note("reporter_texts", Ok(relay.texts));
                note("relay_jobs", Ok(relay.jobs));
                note("relay_hosts", Ok(relay.hosts));
                note("relay_tokens", Ok(relay.tokens));
            }
            Err(why) => note("relay_evidence", Err(why)),
        }
        match self.ledger().forget_reports_and_messages().map_err(text) {
            Ok((reports, messages)) => {
                note("import_reports", Ok(reports));
                note("webhook_messages", Ok(messages));
            }
            Err(why) => note("import_reports", Err(why)),
        }
        note(
            "proposals",
            self.erase_proposals(now, &periods).map_err(text),
        );
        let names = self
            .data
            .reverse_names
            .forget(before(periods.reverse_names));
        note("reverse_names", Ok(names));
        note(
            "erasures",
            self.data.erasures.forget(before(periods.erasures)),
        );
        let mut is_partial = false;
        for (key, erasure, period) in [
            (
                "reporter_texts",
                AuditErasure::ReporterTexts,
                periods.reporter_texts,
            ),
            (
                "audit_addresses",
                AuditErasure::Addresses,
                periods.audit_addresses,
            ),
        ] {
            let erased = self.erase_in_audit(erasure, before(period), until);
            is_partial |= erased.as_ref().is_ok_and(|(_, is_partial)| *is_partial);
            note(key, erased.map(|(n, _)| n).map_err(text));
        }
        let trimmed = self.ledger().trim().map_err(text);
        problems.extend(trimmed.err());
        run.is_partial = is_partial;
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems.join("; ")),
        }
    }

    /// Erases closed tickets, and old rows about the others.
    fn erase_tickets(&self, now: Time, note: &mut impl FnMut(&'static str, Result<u64, String>)) {
        let tickets = &self.data.tickets;
        let text = |e| ticket_failure(e).text(&self.ledger().store.dictionary());
        let closed = tickets.erase_due(now);
        note("tickets", closed.map(|n| n as u64).map_err(text));
        note("ticket_mail", tickets.forget_mail(now).map_err(text));
        note("ticket_codes", tickets.forget_codes(now).map_err(text));
        note("mail_counts", tickets.forget_mail_counts(now).map_err(text));
    }

    /// Deletes proposals that no person has decided about. Returns their number.
    fn erase_proposals(&self, now: Time, periods: &Retention) -> Result<u64, LedgerError> {
        let old = self.ledger().accounts().proposals.all().into_iter();
        let old = old.filter(|p| p.at.plus(periods.proposals) < now);
        let old: Vec<String> = old.map(|p| p.id.clone()).collect();
        let erased = old.len() as u64;
        if erased > 0 {
            let change = AccountChange::DeleteProposals(old);
            self.ledger().change_accounts_blocking(change, None)?;
        }
        Ok(erased)
    }

    /// Erases a part of old audit records. Returns their number, and whether more are left.
    fn erase_in_audit(
        &self,
        erasure: AuditErasure,
        before: Time,
        until: Option<Instant>,
    ) -> Result<(u64, bool), LedgerError> {
        let mut all = 0;
        loop {
            let (erased, more) = self.ledger().erase_in_audit(erasure, before)?;
            all += erased;
            if !more {
                return Ok((all, false));
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok((all, true));
            }
        }
    }
}
