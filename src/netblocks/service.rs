//! The service of netblocks. A lock serialises decisions, so that each sees the rows of the
//! previous one; the ledger commits an entry and its listing together.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{
    Collateral, ContactAnswer, KnownSenders, Netblock, NetblockAuthor, NetblockContact,
    NetblockError, NetblockState, NewNetblock, collateral,
    tables::{ENTRIES, NetblockBatch},
};
use crate::{
    ledger::Ledger,
    model::{
        Change, Evidence, ReasonId, SourceId, Subject, Time, Verdict,
        history::{Command, HoldFor},
        retention::ERASED,
        special::unlistable,
    },
    query_sample::QuerySample,
    store::schema::{AuditRecord, revision},
};

/// How often entries that have ended are settled.
pub const SETTLE_INTERVAL: Duration = Duration::from_secs(10);
/// The most entries that are kept.
const MAX_ENTRIES: usize = 10_000;
/// The author of changes that happen at the end of an entry.
const SETTLER: &str = "expiry";

/// The service of netblocks. Clones share the state. Its functions wait for the writer of the
/// ledger, so they run on threads that may block.
#[derive(Clone)]
pub struct NetblockService {
    /// The ledger.
    pub ledger: Ledger,
    /// The sample of queried addresses.
    pub query_sample: QuerySample,
    known_senders: Arc<ArcSwap<KnownSenders>>,
    /// Locked during each decision.
    lock: Arc<Mutex<()>>,
}

impl NetblockService {
    /// Creates a service on a ledger.
    pub fn new(
        ledger: Ledger,
        known_senders: KnownSenders,
        query_sample: QuerySample,
    ) -> NetblockService {
        NetblockService {
            ledger,
            query_sample,
            known_senders: Arc::new(ArcSwap::from_pointee(known_senders)),
            lock: Arc::default(),
        }
    }

    /// Applies a new list of known senders.
    pub fn configure(&self, known_senders: KnownSenders) {
        self.known_senders.store(Arc::new(known_senders));
    }

    /// Returns the trusted time.
    pub fn now(&self) -> Time {
        self.ledger.now()
    }

    /// Returns the name of the reason of netblocks.
    pub fn reason_name(&self) -> String {
        self.ledger.settings().netblocks.reason.clone()
    }

    fn reason(&self) -> Result<ReasonId, NetblockError> {
        let name = self.reason_name();
        let found = self.ledger.store.dictionary().reasons.get(&name);
        found.ok_or_else(|| {
            NetblockError::Refused(format!(
                "reason `{name}` is missing; add it to config.toml, or name another one in [netblocks] reason"
            ))
        })
    }

    fn batch(&self, now: Time) -> NetblockBatch<'_> {
        NetblockBatch::new(&self.ledger.store, now)
    }

    /// Settles an entry. Returns the verdict on its prefix, and whether the entry has changed.
    fn settle(&self, entry: &mut Netblock, now: Time) -> Result<(Verdict, bool), NetblockError> {
        let verdict = self.ledger.store.verdict(&entry.prefix)?;
        let reasons = &self.ledger.store.dictionary().reasons;
        let reason = reasons.get(&self.reason_name());
        let listing = reason.and_then(|r| verdict.entry(r, SourceId::OPERATOR));
        let has_changed = entry.settle(listing.filter(|e| !e.exclusion), now);
        Ok((verdict, has_changed))
    }

    /// Decides: `decision` changes the entry of a prefix in a batch, and the batch is committed when
    /// it returns. No other decision happens meanwhile.
    fn decide(
        &self,
        prefix: &Subject,
        author: &NetblockAuthor,
        action: &str,
        now: Time,
        decision: impl FnOnce(&mut Netblock, &Verdict) -> Result<Option<Change>, NetblockError>,
    ) -> Result<Netblock, NetblockError> {
        let _guard = self.lock.lock();
        let mut batch = self.batch(now);
        let found = batch.get(ENTRIES, prefix)?;
        let mut entry = found.ok_or_else(|| no_entry(prefix))?;
        let (verdict, _) = self.settle(&mut entry, now)?;
        batch.changes.extend(decision(&mut entry, &verdict)?);
        self.commit(batch, &entry, author, action)?;
        Ok(entry)
    }

    /// Commits an entry with its audit record, which has no private text.
    fn commit(
        &self,
        mut batch: NetblockBatch<'_>,
        entry: &Netblock,
        author: &NetblockAuthor,
        action: &str,
    ) -> Result<(), NetblockError> {
        batch.put(ENTRIES, &entry.prefix, entry);
        batch.audit = Some(AuditRecord {
            at: batch.now,
            author: author.name.clone(),
            from: author.from.clone(),
            action: format!("netblock.{action}"),
            target: entry.prefix.to_string(),
            detail: entry.text.kind().into(),
            idempotency: author.idempotency,
            ..AuditRecord::default()
        });
        self.ledger.commit_feature_rows(batch.into_rows()?)?;
        Ok(())
    }

    /// Proposes an entry. Nothing is listed before another person approves it.
    ///
    /// # Errors
    ///
    /// A field is invalid, the network cannot be listed, or it has an open entry.
    pub fn propose(
        &self,
        new: NewNetblock,
        author: &NetblockAuthor,
        now: Time,
    ) -> Result<Netblock, NetblockError> {
        self.reason()?;
        let allowed = &self.ledger.settings().special;
        if let Some(why) = unlistable(&new.prefix, allowed) {
            return Err(NetblockError::Refused(format!(
                "prefix: {} cannot be listed: {why}",
                new.prefix
            )));
        }
        let _guard = self.lock.lock();
        let mut batch = self.batch(now);
        let mut earlier = batch.get(ENTRIES, &new.prefix)?;
        match &mut earlier {
            Some(entry) => {
                let (verdict, has_ended) = self.settle(entry, now)?;
                if has_ended && entry.is_public() {
                    batch.changes.extend(self.delisting(entry, &verdict)?);
                }
            }
            None if batch.keys(ENTRIES, None, MAX_ENTRIES)?.len() >= MAX_ENTRIES => {
                return Err(NetblockError::Refused(format!(
                    "{MAX_ENTRIES} entries are kept, which is the limit; an entry is kept for 365 days after its end"
                )));
            }
            None => {}
        }
        let entry = Netblock::propose(new, earlier, author, now)?;
        self.commit(batch, &entry, author, "propose")?;
        Ok(entry)
    }

    /// Approves the proposal of another person, so that the network is listed; or the renewal of
    /// another person, so that it is listed for longer.
    ///
    /// # Errors
    ///
    /// There is no entry, nothing waits, the same person proposed it, or the ledger refuses the
    /// listing.
    pub fn approve(
        &self,
        prefix: &Subject,
        author: &NetblockAuthor,
        now: Time,
    ) -> Result<Netblock, NetblockError> {
        let reason = self.reason()?;
        self.decide(prefix, author, "approve", now, |entry, verdict| {
            let proposer = entry.renewal.as_ref().map(|r| &r.proposed);
            let proposer = proposer.unwrap_or(&entry.proposed).name.clone();
            entry.approve(author, now)?;
            let command = Command::List {
                reason,
                source: SourceId::OPERATOR,
                until: Some(entry.until),
                text: Default::default(),
            };
            let note = format!("{} (approved by {})", entry.text.english(), author.name);
            let mut change = Change::new(entry.prefix.clone(), proposer, command);
            change.evidence = Some(Evidence::statement(note));
            change.preconditions.from = author.from.as_str().into();
            // It must not list again what was delisted meanwhile.
            change.preconditions.expect = Some(revision(verdict));
            Ok(Some(change))
        })
    }

    /// Proposes a later end of a listed entry.
    ///
    /// # Errors
    ///
    /// There is no listed entry, another renewal waits, or the end is not valid.
    pub fn renew(
        &self,
        prefix: &Subject,
        until: Time,
        author: &NetblockAuthor,
        now: Time,
    ) -> Result<Netblock, NetblockError> {
        self.decide(prefix, author, "renew", now, |entry, _| {
            entry.renew(until, author, now).map(|()| None)
        })
    }

    /// Refuses what waits about a network: its proposal or its renewal.
    ///
    /// # Errors
    ///
    /// There is no entry, or nothing waits.
    pub fn refuse(
        &self,
        prefix: &Subject,
        author: &NetblockAuthor,
        now: Time,
    ) -> Result<Netblock, NetblockError> {
        self.decide(prefix, author, "refuse", now, |entry, _| {
            entry.refuse(author, now).map(|()| None)
        })
    }

    /// Records what the owner of a network was asked.
    ///
    /// # Errors
    ///
    /// There is no open entry, or a field is invalid.
    pub fn add_contact(
        &self,
        prefix: &Subject,
        contact: NetblockContact,
        author: &NetblockAuthor,
        now: Time,
    ) -> Result<Netblock, NetblockError> {
        self.decide(prefix, author, "contact", now, |entry, _| {
            entry.add_contact(contact, now).map(|()| None)
        })
    }

    /// Records what came back to a contact, by its number from 1.
    ///
    /// # Errors
    ///
    /// There is no open entry or no such contact, or the time is invalid.
    pub fn answer_contact(
        &self,
        prefix: &Subject,
        number: usize,
        (answer, answered_at): (ContactAnswer, Option<Time>),
        author: &NetblockAuthor,
        now: Time,
    ) -> Result<Netblock, NetblockError> {
        self.decide(prefix, author, "contact", now, |entry, _| {
            entry
                .answer_contact(number, answer, answered_at, author, now)
                .map(|()| None)
        })
    }

    /// Returns the entry of a prefix as it is now.
    ///
    /// # Errors
    ///
    /// There is no entry, or the store cannot be read.
    pub fn get(&self, prefix: &Subject, now: Time) -> Result<Netblock, NetblockError> {
        let found = self.batch(now).get(ENTRIES, prefix)?;
        let mut entry = found.ok_or_else(|| no_entry(prefix))?;
        self.settle(&mut entry, now)?;
        Ok(entry)
    }

    /// Whether a prefix has an entry with a public page.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn has_public_page(&self, prefix: &Subject) -> Result<bool, NetblockError> {
        let found = self.batch(self.now()).get(ENTRIES, prefix)?;
        Ok(found.is_some_and(|entry| entry.is_public()))
    }

    /// Returns the entries as they are now, in the order of their prefixes; only those in a state,
    /// if one is named.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn list(
        &self,
        state: Option<NetblockState>,
        now: Time,
    ) -> Result<Vec<Netblock>, NetblockError> {
        let mut all = self.stored(now)?;
        for entry in &mut all {
            self.settle(entry, now)?;
        }
        all.retain(|e| state.is_none_or(|s| s == e.state));
        Ok(all)
    }

    fn stored(&self, now: Time) -> Result<Vec<Netblock>, NetblockError> {
        let mut all = Vec::new();
        self.batch(now).each(ENTRIES, &mut |e| all.push(e))?;
        Ok(all)
    }

    /// Returns what the listing of a prefix would cover, or covers.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn collateral(&self, prefix: &Subject) -> Result<Collateral, NetblockError> {
        let known = self.known_senders.load();
        Ok(Collateral {
            queried: self.query_sample.count(prefix),
            ..collateral::read(&self.ledger.store, prefix, &known)?
        })
    }

    /// Returns the private texts that `named` accepts, each with the prefix of its entry.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn find_texts(
        &self,
        named: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<(Subject, String)>, NetblockError> {
        let mut out = Vec::new();
        for entry in self.stored(self.now())? {
            let texts = entry.private_texts().filter(|text| named(text));
            out.extend(texts.map(|text| (entry.prefix.clone(), text.clone())));
        }
        Ok(out)
    }

    /// Erases the private texts that `named` accepts. Returns how many there were.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the ledger refuses a commit.
    pub fn erase_texts(&self, named: &dyn Fn(&str) -> bool) -> Result<u64, NetblockError> {
        let _guard = self.lock.lock();
        let now = self.now();
        let (mut batch, mut erased) = (self.batch(now), 0);
        for mut entry in self.stored(now)? {
            let mut is_changed = false;
            for text in entry.private_texts_mut().filter(|text| named(text)) {
                *text = ERASED.into();
                is_changed = true;
                erased += 1;
            }
            if is_changed {
                batch.put(ENTRIES, &entry.prefix, &entry);
            }
        }
        self.ledger.commit_feature_rows(batch.into_rows()?)?;
        Ok(erased)
    }

    /// Stores what has ended, delists a network that is listed beyond the end of its entry, and
    /// erases what is not kept.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the ledger refuses a commit.
    pub fn tick(&self, now: Time) -> Result<(), NetblockError> {
        for entry in self.stored(now)? {
            let _guard = self.lock.lock();
            // Another decision may have changed it since it was read.
            let mut batch = self.batch(now);
            if let Some(entry) = batch.get(ENTRIES, &entry.prefix)? {
                self.tick_entry(&mut batch, entry, now)?;
                self.ledger.commit_feature_rows(batch.into_rows()?)?;
            }
        }
        Ok(())
    }

    fn tick_entry(
        &self,
        batch: &mut NetblockBatch<'_>,
        mut entry: Netblock,
        now: Time,
    ) -> Result<(), NetblockError> {
        if entry.is_over(now) {
            batch.delete(ENTRIES, &entry.prefix);
            return Ok(());
        }
        let (verdict, has_ended) = self.settle(&mut entry, now)?;
        if has_ended && entry.is_public() {
            batch.changes.extend(self.delisting(&entry, &verdict)?);
        }
        if entry.erase_private_parts(now) || has_ended {
            batch.put(ENTRIES, &entry.prefix, &entry);
        }
        Ok(())
    }

    /// The change that delists the network of an entry that has ended, if it is still listed.
    fn delisting(
        &self,
        entry: &Netblock,
        verdict: &Verdict,
    ) -> Result<Option<Change>, NetblockError> {
        let reason = self.reason()?;
        if !verdict.lists(reason, SourceId::OPERATOR) {
            return Ok(None);
        }
        let command = Command::Delist {
            reason: Some(reason),
            source: Some(SourceId::OPERATOR),
            hold: HoldFor::Nothing,
        };
        let mut change = Change::new(entry.prefix.clone(), SETTLER, command);
        change.evidence = Some(Evidence::statement("its entry has ended"));
        Ok(Some(change))
    }
}

fn no_entry(prefix: &Subject) -> NetblockError {
    NetblockError::NotFound(format!(
        "there is no entry of {prefix}; `orbsd netblock list` shows all"
    ))
}
