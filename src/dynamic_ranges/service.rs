//! The service of dynamic ranges. A lock serialises decisions, so that each sees the rows of the
//! previous one; the ledger commits an edit and its change of a listing together.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{
    edit::{self, ENTRY_PERIOD, EditAction, ProvidedEntry, ProviderEdit},
    provider::{KEPT_PERIOD, ProofResult, ProviderEnd, ProviderState, RangeProvider, check_range},
    tables::{EDITS, ENTRIES, LAST_NUMBER, PROVIDERS, RangeBatch, SECRETS},
};
use crate::{
    ledger::Ledger,
    model::{
        Change, Evidence, ReasonId, Subject, Time, Verdict,
        history::{Command, IdempotencyKey},
        prefix::{Prefix4, Prefix6},
        special::unlistable,
        time::Seconds,
    },
    random::Random,
    store::schema::{AuditRecord, revision},
    tickets::{TicketError, TicketSecret, TicketService, limits::LimitedRequest},
};

/// The most entries of a range that are in force.
pub const MAX_ENTRIES: usize = 1000;
/// The most edits of a provider in a day.
const MAX_DAILY_EDITS: usize = 500;
/// The most edits that a page shows, the newest first.
const MAX_SHOWN_EDITS: usize = 100;
/// The most edits of a provider that are kept, and can be undone.
const MAX_KEPT_EDITS: u64 = 1000;
/// The most providers that are kept, requests included.
const MAX_PROVIDERS: usize = 10_000;
/// The most requests without a proof. A further one replaces the oldest.
const MAX_REQUESTS: usize = 1000;
/// The most providers in a /16, or in a /32 of IPv6, that have proved their range.
const MAX_PROVED_OF_NETWORK: usize = 500;
/// The most look-ups of records at the same time.
const MAX_CHECKS: usize = 4;
/// The most look-ups of zone cuts at the same time.
const MAX_CUTS: usize = 8;
/// Where edits come from, in the audit log.
const FROM: &str = "site";
const DAY: Seconds = Seconds(86_400);

/// A provider with its entries and its last edits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderDetail {
    /// The provider.
    pub provider: RangeProvider,
    /// The state now.
    pub state: ProviderState,
    /// The ranges that are listed, and the hosts that are taken out.
    pub entries: Vec<ProvidedEntry>,
    /// The last edits of this provider, the newest first.
    pub edits: Vec<ProviderEdit>,
}

/// The service of dynamic ranges. Clones share the state. Its functions wait for the writer of the
/// ledger, so those that are not `async` run on threads that may block.
#[derive(Clone)]
pub struct DynamicRangeService {
    /// The ledger.
    pub ledger: Ledger,
    /// The service of tickets, whose limits and resolver count for providers too.
    pub(super) tickets: TicketService,
    /// The name of the reason; empty: no range is accepted.
    reason: Arc<ArcSwap<String>>,
    random: Random,
    /// Locked during each decision.
    lock: Arc<Mutex<()>>,
    /// Permits for look-ups of records.
    pub(super) checks: Arc<Semaphore>,
    /// Permits for look-ups of zone cuts, so that those of records keep no edit waiting.
    pub(super) cuts: Arc<Semaphore>,
    /// The providers that are being looked up.
    pub(super) looked_up: Arc<Mutex<HashSet<u64>>>,
}

impl DynamicRangeService {
    /// Creates a service beside that of tickets. `reason` is the name of the reason of dynamic
    /// ranges; if it is empty, no range is accepted.
    pub fn new(tickets: TicketService, reason: String, random: Random) -> DynamicRangeService {
        DynamicRangeService {
            ledger: tickets.ledger.clone(),
            tickets,
            reason: Arc::new(ArcSwap::from_pointee(reason)),
            random,
            lock: Arc::default(),
            checks: Arc::new(Semaphore::new(MAX_CHECKS)),
            cuts: Arc::new(Semaphore::new(MAX_CUTS)),
            looked_up: Arc::default(),
        }
    }

    /// Applies the name of the reason.
    pub fn configure(&self, reason: String) {
        self.reason.store(Arc::new(reason));
    }

    /// Returns the name of the reason; empty if no range is accepted.
    pub fn reason_name(&self) -> String {
        String::clone(&self.reason.load())
    }

    /// Returns the trusted time.
    pub fn now(&self) -> Time {
        self.ledger.now()
    }

    /// Counts a request of a client together with those about tickets.
    ///
    /// # Errors
    ///
    /// A limit is reached; the error says when to come again.
    pub fn count_request(
        &self,
        kind: LimitedRequest,
        client: Option<IpAddr>,
    ) -> Result<(), TicketError> {
        self.tickets.count_request(kind, client)
    }

    fn reason(&self) -> Result<ReasonId, TicketError> {
        let name = self.reason_name();
        let found = self.ledger.store.dictionary().reasons.get(&name);
        found.filter(|_| !name.is_empty()).ok_or_else(|| {
            TicketError::Refused("this server accepts no dynamic ranges of providers".into())
        })
    }

    fn batch(&self, now: Time) -> RangeBatch<'_> {
        RangeBatch::new(&self.ledger.store, now)
    }

    /// Decides: `decision` fills a batch, which is committed when it returns. No other decision
    /// happens meanwhile.
    fn decide<T>(
        &self,
        now: Time,
        decision: impl FnOnce(&mut RangeBatch<'_>) -> Result<T, TicketError>,
    ) -> Result<T, TicketError> {
        let _guard = self.lock.lock();
        let mut batch = self.batch(now);
        let out = decision(&mut batch)?;
        self.ledger.commit_feature_rows(batch.into_rows()?)?;
        Ok(out)
    }

    /// Requests a range. Nothing can be edited before its record is found in DNS.
    ///
    /// # Errors
    ///
    /// The range cannot be proved or listed, a limit is reached, or an operator has ended the edits
    /// of providers in it.
    pub fn open(&self, range: Subject, now: Time) -> Result<RangeProvider, TicketError> {
        self.reason()?;
        check_range(&range)?;
        if let Some(why) = unlistable(&range, &self.ledger.settings().special) {
            return Err(TicketError::Refused(format!(
                "range: {range} cannot be listed: {why}"
            )));
        }
        self.tickets.count_subject(&range, now)?;
        self.decide(now, |batch| {
            check_not_removed(batch, &range)?;
            make_room(batch, &range)?;
            let number = batch.next_number(LAST_NUMBER)?;
            let secret = TicketSecret::new(&self.random)?;
            let provider = RangeProvider::new(number, range, secret, now);
            batch.put(SECRETS, &provider.secret.key(), &number);
            batch.put(PROVIDERS, &number, &provider);
            audit(batch, &provider, "request");
            Ok(provider)
        })
    }

    /// Returns the provider with the secret part of a path.
    ///
    /// # Errors
    ///
    /// There is no such provider, or the store cannot be read.
    pub fn find(&self, text: &str) -> Result<RangeProvider, TicketError> {
        let batch = self.batch(self.now());
        let key = TicketSecret::key_of(text);
        let number = key.map(|key| batch.get(SECRETS, &key)).transpose()?;
        let provider = number.flatten().map(|n| batch.get(PROVIDERS, &n));
        provider.transpose()?.flatten().ok_or_else(|| {
            TicketError::NotFound(
                "there is no provider at this address; requests without a record are erased after 7 days"
                    .into(),
            )
        })
    }

    /// Returns the provider with a number.
    ///
    /// # Errors
    ///
    /// There is no such provider, or the store cannot be read.
    pub fn get(&self, number: u64) -> Result<RangeProvider, TicketError> {
        get(&self.batch(self.now()), number)
    }

    /// Returns the providers in the order of their numbers; only those in a state, if one is named.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn list(&self, state: Option<ProviderState>) -> Result<Vec<RangeProvider>, TicketError> {
        let now = self.now();
        let mut all = providers(&self.batch(now))?;
        all.retain(|p| state.is_none_or(|s| s == p.state(now)));
        Ok(all)
    }

    /// Returns a provider with its entries and its last edits.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn detail(&self, provider: RangeProvider) -> Result<ProviderDetail, TicketError> {
        let now = self.now();
        let batch = self.batch(now);
        let numbers =
            batch.scan_numbers_desc(&EDITS.of(&provider.number), u64::MAX, MAX_SHOWN_EDITS)?;
        let mut edits = Vec::new();
        for number in numbers {
            edits.extend(batch.get(EDITS, &(provider.number, number))?);
        }
        // Before a proof, entries of the range are those of others.
        let entries = match provider.proved_at {
            Some(_) => self.entries_in_force(&batch, &provider.range)?,
            None => Vec::new(),
        };
        Ok(ProviderDetail {
            state: provider.state(now),
            entries,
            edits,
            provider,
        })
    }

    /// The entries of the providers of a range that are in force; none without a reason.
    fn entries_in_force(
        &self,
        batch: &RangeBatch<'_>,
        range: &Subject,
    ) -> Result<Vec<ProvidedEntry>, TicketError> {
        let Ok(reason) = self.reason() else {
            return Ok(Vec::new());
        };
        let mut out = entries_of(batch, range)?;
        let mut failed = None;
        out.retain(|e| match batch.store().verdict(&e.subject) {
            Ok(verdict) => e.is_in_force(reason, &verdict),
            Err(error) => {
                failed = Some(error);
                false
            }
        });
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(out),
        }
    }

    /// Makes an edit whose subject DNS has been asked about. `reverts` is the edit that it reverts.
    pub(super) fn apply(
        &self,
        number: u64,
        action: EditAction,
        subject: &Subject,
        reverts: Option<u64>,
        now: Time,
    ) -> Result<RangeProvider, TicketError> {
        let reason = self.reason()?;
        self.decide(now, |batch| {
            let mut provider = get(batch, number)?;
            provider.check_may_edit(now)?;
            edit::check_bounds(&provider.range, action, subject)?;
            // An operator may have ended the edits of a wider or a narrower range.
            if action.makes_entry() {
                check_not_removed(batch, subject)?;
            }
            check_daily_edits(batch, number)?;
            if action.makes_entry()
                && self.entries_in_force(batch, &provider.range)?.len() >= MAX_ENTRIES
            {
                return Err(TicketError::Refused(format!(
                    "{} has {MAX_ENTRIES} entries, which is the limit; remove some, or list wider ranges",
                    provider.range
                )));
            }
            let verdict = batch.store().verdict(subject)?;
            let stored = batch.get(ENTRIES, subject)?;
            let mine = stored.filter(|e| e.range == provider.range);
            // The end counts from the last proof, as that of a renewal does.
            let until = provider.proved_at.unwrap_or(now).plus(ENTRY_PERIOD);
            let command = edit::decide(action, reason, &verdict, mine.as_ref(), until)?;
            provider.last_edit += 1;
            if let Some(reverted) = reverts {
                mark_reverted(batch, &provider, reverted)?;
            }
            match action.makes_entry() {
                true => {
                    let entry = ProvidedEntry {
                        subject: subject.clone(),
                        range: provider.range.clone(),
                        provider: number,
                        at: now,
                        until,
                    };
                    batch.put(ENTRIES, subject, &entry);
                }
                false => batch.delete(ENTRIES, subject),
            }
            let edit = ProviderEdit {
                number: provider.last_edit,
                at: now,
                action,
                subject: subject.clone(),
                reverts,
                reverted_by: None,
            };
            batch.put(EDITS, &(number, edit.number), &edit);
            if let Some(old) = edit.number.checked_sub(MAX_KEPT_EDITS) {
                batch.delete(EDITS, &(number, old));
            }
            batch.put(PROVIDERS, &number, &provider);
            let what: &str = action.into();
            let why = format!("{what} by {}, which has proved {}", provider.author(), provider.range);
            batch.changes.push(change(subject, &provider.author(), command, &verdict, &why));
            audit(batch, &provider, what);
            if let Some(record) = &mut batch.audit {
                record.target = subject.to_string();
            }
            Ok(provider)
        })
    }

    /// Returns an edit of a provider that can be reverted.
    ///
    /// # Errors
    ///
    /// There is no such edit, it is reverted already, or the store cannot be read.
    pub(super) fn revertible(&self, number: u64, edit: u64) -> Result<ProviderEdit, TicketError> {
        let found = self.batch(self.now()).get(EDITS, &(number, edit))?;
        let found =
            found.ok_or_else(|| TicketError::NotFound(format!("edit: you have no edit {edit}")))?;
        match found.reverted_by {
            Some(by) => Err(TicketError::Refused(format!(
                "edit {edit} is undone already, by edit {by}"
            ))),
            None => Ok(found),
        }
    }

    /// Records what a look-up of the record of a provider has found. Its entries are renewed if the
    /// record is there.
    pub(super) fn record_check(
        &self,
        number: u64,
        result: &ProofResult,
        now: Time,
    ) -> Result<RangeProvider, TicketError> {
        let provider = self.decide(now, |batch| {
            let mut provider = get(batch, number)?;
            if provider.ended.is_some() {
                return Ok(provider);
            }
            let before = provider.state(now);
            provider.record_check(result, now);
            batch.put(PROVIDERS, &number, &provider);
            if provider.state(now) != before {
                audit(batch, &provider, "prove");
            }
            Ok(provider)
        })?;
        if matches!(result, ProofResult::Found(_)) && provider.ended.is_none() {
            self.renew(&provider, now)?;
        }
        Ok(provider)
    }

    /// Renews the entries of a range that end soon, and forgets those that are not in force.
    fn renew(&self, provider: &RangeProvider, now: Time) -> Result<(), TicketError> {
        let Ok(reason) = self.reason() else {
            return Ok(());
        };
        self.decide(now, |batch| {
            for mut entry in entries_of(batch, &provider.range)? {
                let verdict = batch.store().verdict(&entry.subject)?;
                if !entry.is_in_force(reason, &verdict) {
                    if entry.is_forgotten(now) {
                        batch.delete(ENTRIES, &entry.subject);
                    }
                    continue;
                }
                let until = now.plus(ENTRY_PERIOD);
                let command = match entry.is_renewal_due(now) {
                    true => edit::renewal(&entry, reason, &verdict, until),
                    false => None,
                };
                if let Some(command) = command {
                    entry.until = until;
                    let why = format!("renewed: {} is still proved", provider.range);
                    let author = provider.author();
                    let change = change(&entry.subject, &author, command, &verdict, &why);
                    batch.changes.push(change);
                    batch.put(ENTRIES, &entry.subject, &entry);
                }
            }
            Ok(())
        })
    }

    /// Ends the edits of all providers of a range, named by one of them. With `keep`, what they have
    /// listed and taken out stays until its end; else it ends now.
    ///
    /// # Errors
    ///
    /// There is no such provider, an operator has ended its edits already, or the ledger refuses
    /// the commit.
    pub fn remove(
        &self,
        number: u64,
        keep: bool,
        operator: (&str, &str, Option<IdempotencyKey>),
        now: Time,
    ) -> Result<RangeProvider, TicketError> {
        let (author, from, idempotency) = operator;
        self.decide(now, |batch| {
            let mut removed = get(batch, number)?;
            if removed.ended.is_some() {
                return Err(TicketError::Refused(format!(
                    "an operator has ended the edits of provider {number} already"
                )));
            }
            let end = ProviderEnd {
                at: now,
                author: author.into(),
            };
            for mut other in providers(batch)? {
                if other.range == removed.range && other.ended.is_none() {
                    other.ended = Some(end.clone());
                    batch.put(PROVIDERS, &other.number, &other);
                }
            }
            removed.ended = Some(end);
            if !keep {
                let reason = self.reason()?;
                for entry in self.entries_in_force(batch, &removed.range)? {
                    let verdict = batch.store().verdict(&entry.subject)?;
                    let command = edit::end_command(&entry, reason);
                    let why = format!("the edits of {} are ended", removed.author());
                    let mut change = change(&entry.subject, author, command, &verdict, &why);
                    change.preconditions.from = from.into();
                    batch.changes.push(change);
                }
            }
            audit(batch, &removed, "remove");
            if let Some(record) = &mut batch.audit {
                (record.author, record.from) = (author.into(), from.into());
                record.target = removed.author();
                record.idempotency = idempotency;
            }
            Ok(removed)
        })
    }

    /// Erases the rows that are not kept any more.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the ledger refuses the commit.
    pub fn tick(&self, now: Time) -> Result<(), TicketError> {
        let all = providers(&self.batch(now))?;
        for over in all.iter().filter(|p| p.is_over(now)) {
            self.decide(now, |batch| {
                // A look-up may have found its record since it was read.
                let provider = get(batch, over.number)?;
                match provider.is_over(now) {
                    true => {
                        let all = providers(batch)?;
                        erase(batch, &provider, &all)
                    }
                    false => Ok(()),
                }
            })?;
        }
        Ok(())
    }
}

/// The provider with a number.
fn get(batch: &RangeBatch<'_>, number: u64) -> Result<RangeProvider, TicketError> {
    batch.get(PROVIDERS, &number)?.ok_or_else(|| {
        TicketError::NotFound(format!(
            "there is no provider {number}; `orbsd provider list` shows all"
        ))
    })
}

fn providers(batch: &RangeBatch<'_>) -> Result<Vec<RangeProvider>, TicketError> {
    let mut all = Vec::new();
    batch.each(PROVIDERS, &mut |p| all.push(p))?;
    Ok(all)
}

/// The entries that were made by the providers of exactly this range, whether they are in force or
/// not. Keys of hosts and of prefixes are apart, and each kind is in the order of its addresses.
fn entries_of(batch: &RangeBatch<'_>, range: &Subject) -> Result<Vec<ProvidedEntry>, TicketError> {
    let first_host = match range {
        Subject::V4(p) => Some(Subject::host4(p.first())),
        _ => None,
    };
    let mut subjects = Vec::new();
    for start in std::iter::once(range.clone()).chain(first_host) {
        let from = ENTRIES.encode(&start);
        let kind = from.get(1).copied();
        batch.visit_keys(&ENTRIES.all(), &from, &mut |bytes, subject| {
            let is_inside = bytes.get(1).copied() == kind && range.covers(&subject);
            if is_inside {
                subjects.push(subject);
            }
            is_inside
        })?;
    }
    let mut out: Vec<ProvidedEntry> = Vec::new();
    for subject in &subjects {
        out.extend(batch.get(ENTRIES, subject)?);
    }
    out.retain(|e| e.range == *range);
    Ok(out)
}

/// Refuses a range in which an operator has ended the edits of providers.
fn check_not_removed(batch: &RangeBatch<'_>, range: &Subject) -> Result<(), TicketError> {
    let overlaps = |p: &RangeProvider| p.range.covers(range) || range.covers(&p.range);
    for provider in providers(batch)? {
        if let Some(end) = provider.ended.as_ref().filter(|_| overlaps(&provider)) {
            return Err(TicketError::Refused(format!(
                "an operator has ended the edits of providers in {}; ask again after {}, or write to the operator of this site",
                provider.range,
                end.at.plus(KEPT_PERIOD)
            )));
        }
    }
    Ok(())
}

/// Refuses a request if there are too many providers. The oldest request without a proof makes room
/// for a new one, so that strangers cannot use all places up.
fn make_room(batch: &mut RangeBatch<'_>, range: &Subject) -> Result<(), TicketError> {
    let all = providers(batch)?;
    let network = network_of(range);
    let is_near = |p: &&RangeProvider| p.proved_at.is_some() && network_of(&p.range) == network;
    if all.iter().filter(is_near).count() >= MAX_PROVED_OF_NETWORK {
        return Err(TicketError::LimitReached(
            format!("{MAX_PROVED_OF_NETWORK} providers in {network} are kept, which is the limit"),
            DAY,
        ));
    }
    let mut requests = all
        .iter()
        .filter(|p| p.proved_at.is_none() && p.ended.is_none());
    let oldest = requests.next();
    if requests.count() + 1 >= MAX_REQUESTS
        && let Some(oldest) = oldest
    {
        return erase(batch, oldest, &all);
    }
    match all.len() >= MAX_PROVIDERS {
        true => Err(TicketError::LimitReached(
            format!("{MAX_PROVIDERS} providers are kept, which is the limit"),
            DAY,
        )),
        false => Ok(()),
    }
}

/// The /16, or the /32 of IPv6, in which a range lies.
fn network_of(range: &Subject) -> Subject {
    match range {
        Subject::V4(p) => Subject::V4(Prefix4::new(p.first(), 16)),
        Subject::V6(p) => Subject::V6(Prefix6::new(p.first(), 32)),
        Subject::Domain(_) => range.clone(),
    }
}

/// Removes the rows of a provider. The rows of its range go with its last provider.
fn erase(
    batch: &mut RangeBatch<'_>,
    provider: &RangeProvider,
    all: &[RangeProvider],
) -> Result<(), TicketError> {
    batch.delete(PROVIDERS, &provider.number);
    batch.delete(SECRETS, &provider.secret.key());
    for key in batch.scan(&EDITS.of(&provider.number), usize::MAX)? {
        batch.delete(EDITS, &key);
    }
    let is_last = !all
        .iter()
        .any(|p| p.range == provider.range && p.number != provider.number);
    if is_last {
        for entry in entries_of(batch, &provider.range)? {
            batch.delete(ENTRIES, &entry.subject);
        }
    }
    Ok(())
}

/// Refuses an edit if the provider has made too many in a day.
fn check_daily_edits(batch: &RangeBatch<'_>, number: u64) -> Result<(), TicketError> {
    let last = batch.scan_numbers_desc(&EDITS.of(&number), u64::MAX, MAX_DAILY_EDITS)?;
    let Some(oldest) = last.get(MAX_DAILY_EDITS - 1) else {
        return Ok(());
    };
    let oldest = batch.get(EDITS, &(number, *oldest))?;
    match oldest.map(|e| e.at.plus(DAY)).filter(|at| *at > batch.now) {
        None => Ok(()),
        Some(at) => Err(TicketError::LimitReached(
            format!("{MAX_DAILY_EDITS} edits a day are accepted; come again after {at}"),
            Seconds(at.0 - batch.now.0),
        )),
    }
}

/// Marks an edit as reverted by the last edit of its provider. An edit that itself reverted another
/// one leaves that one in force again.
fn mark_reverted(
    batch: &mut RangeBatch<'_>,
    provider: &RangeProvider,
    reverted: u64,
) -> Result<(), TicketError> {
    let key = (provider.number, reverted);
    if let Some(mut edit) = batch.get(EDITS, &key)? {
        if edit.reverted_by.is_some() {
            return Err(TicketError::Refused(format!(
                "edit {reverted} is undone already"
            )));
        }
        edit.reverted_by = Some(provider.last_edit);
        batch.put(EDITS, &key, &edit);
    }
    Ok(())
}

/// A change that expects the verdict which its decision has read.
fn change(
    subject: &Subject,
    author: &str,
    command: Command,
    verdict: &Verdict,
    why: &str,
) -> Change {
    let mut change = Change::new(subject.clone(), author, command);
    change.evidence = Some(Evidence::statement(why));
    change.preconditions.from = FROM.into();
    change.preconditions.expect = Some(revision(verdict));
    change
}

/// Sets the audit record of a batch.
fn audit(batch: &mut RangeBatch<'_>, provider: &RangeProvider, action: &str) {
    batch.audit = Some(AuditRecord {
        at: batch.now,
        author: provider.author(),
        from: FROM.into(),
        action: format!("provider.{action}"),
        target: provider.range.to_string(),
        detail: format!("range {}", provider.range),
        ..AuditRecord::default()
    });
}
