//! Runs the engine: asks DNS, reads candidates from the store, and commits changes.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::{
    engine::{GenericNameCounters, GenericNameEngine},
    host::ListedName,
    lookup::{AssessedNames, NameDns, assess_address},
    ranges::extent,
    settings::GenericNameSettings,
};
use crate::{
    ledger::{Import, Ledger},
    model::{EntryText, Subject, Verdict, reason::GENERIC_NAME_SOURCE},
    query_sample::QuerySample,
    random::Random,
    store::{
        StoreError,
        journal::ChangedSince,
        schema::FeedEntry,
        stage::{Mode, ROW_COMMIT_MAX},
    },
};

/// How long a look-up may take, with the check of mail exchanges.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// The shortest and the longest pause between two rounds.
const MIN_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_millis(400);
/// How often the resolver is checked, and how soon again after a check that has failed.
const CHECK_INTERVAL: Duration = Duration::from_secs(300);
const CHECK_RETRY: Duration = Duration::from_secs(30);
/// The time between two commits, before each of which the resolver is checked.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);
/// The most addresses of the ranges that one round takes.
const WALK_STEPS: usize = 1000;
/// The most subjects of the store that one round reads.
const READ_STEPS: usize = 500;

/// The state of listings by generic names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GenericNameStatus {
    /// Whether names are looked up.
    pub enabled: bool,
    /// Why no names are looked up although they should be.
    pub problem: Option<String>,
    /// The numbers.
    pub counters: GenericNameCounters,
}

struct Inner {
    settings: ArcSwap<GenericNameSettings>,
    changed: Notify,
    /// `None` if this machine has no resolver; the text says why.
    dns: Result<Arc<dyn NameDns>, String>,
    random: Random,
    status: Mutex<GenericNameStatus>,
}

/// The service. Clones share the state.
#[derive(Clone)]
pub struct GenericNameService(Arc<Inner>);

impl GenericNameService {
    /// Makes the service. It looks up names only in [`GenericNameService::run`].
    pub fn new(
        settings: GenericNameSettings,
        dns: Result<Arc<dyn NameDns>, String>,
        random: Random,
    ) -> GenericNameService {
        GenericNameService(Arc::new(Inner {
            settings: ArcSwap::from_pointee(settings),
            changed: Notify::new(),
            dns,
            random,
            status: Mutex::default(),
        }))
    }

    /// Applies new settings.
    pub fn configure(&self, settings: GenericNameSettings) {
        if **self.0.settings.load() != settings {
            self.0.settings.store(Arc::new(settings));
            self.0.changed.notify_one();
        }
    }

    /// The settings.
    pub fn settings(&self) -> Arc<GenericNameSettings> {
        self.0.settings.load_full()
    }

    /// The state.
    pub fn status(&self) -> GenericNameStatus {
        self.0.status.lock().clone()
    }

    /// Looks up the names of an address now, and assesses them. Changes nothing.
    ///
    /// # Errors
    ///
    /// No server has answered in time.
    pub async fn assess(&self, addr: IpAddr) -> Result<AssessedNames, String> {
        let dns = self.0.dns.clone()?;
        let settings = self.settings();
        look_up(&*dns, addr.to_canonical(), &settings).await
    }

    /// Looks up names and keeps the listings current until `stop` is set. `sample` has the addresses
    /// that mail servers have asked about.
    pub async fn run(self, ledger: Ledger, sample: QuerySample, mut stop: watch::Receiver<bool>) {
        loop {
            let settings = self.settings();
            let work = async {
                match settings.is_enabled() {
                    true => self.work(&ledger, &sample, &settings).await,
                    false => std::future::pending().await,
                }
            };
            self.0.status.lock().enabled = settings.is_enabled();
            tokio::select! {
                () = work => {}
                () = self.0.changed.notified() => {}
                _ = stop.wait_for(|s| *s) => return,
            }
            *self.0.status.lock() = GenericNameStatus::default();
        }
    }

    fn report(&self, problem: Option<String>) {
        let mut status = self.0.status.lock();
        if let Some(why) = problem
            .as_ref()
            .filter(|why| status.problem.as_ref() != Some(*why))
        {
            tracing::warn!(error = why, "no generic names are looked up");
        }
        status.problem = problem;
    }

    /// Works with the same settings until the state has to be read from the store again.
    async fn work(
        &self,
        ledger: &Ledger,
        sample: &QuerySample,
        settings: &Arc<GenericNameSettings>,
    ) {
        let dns = match &self.0.dns {
            Ok(dns) => dns.clone(),
            Err(why) => {
                self.report(Some(why.clone()));
                return std::future::pending().await;
            }
        };
        let loaded = {
            let (ledger, settings) = (ledger.clone(), settings.clone());
            let engine = GenericNameEngine::new((*settings).clone(), self.0.random.clone());
            blocking(move || restore_listings(&ledger, engine)).await
        };
        let engine = match loaded {
            Ok(engine) => Arc::new(Mutex::new(engine)),
            Err(why) => {
                self.report(Some(format!("the listings cannot be read: {why}")));
                return tokio::time::sleep(CHECK_RETRY).await;
            }
        };
        let mut round = Round {
            service: self,
            ledger,
            sample,
            dns,
            engine,
            start: Instant::now(),
            hosts: ListedHosts::default(),
            is_resolver_good: false,
            next_check: Duration::ZERO,
            next_commit: Duration::ZERO,
        };
        while round.run().await {
            let next = round.engine.lock().next_at();
            let pause = next.map_or(MAX_PAUSE, |at| at.saturating_sub(round.now()));
            tokio::time::sleep(pause.clamp(MIN_PAUSE, MAX_PAUSE)).await;
        }
    }
}

/// The state of the work with the same settings.
struct Round<'a> {
    service: &'a GenericNameService,
    ledger: &'a Ledger,
    sample: &'a QuerySample,
    dns: Arc<dyn NameDns>,
    engine: Arc<Mutex<GenericNameEngine>>,
    start: Instant,
    hosts: ListedHosts,
    /// Whether the last check of the resolver has succeeded.
    is_resolver_good: bool,
    next_check: Duration,
    next_commit: Duration,
}

impl Round<'_> {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Does what is due. Returns whether the state is still that of the store.
    async fn run(&mut self) -> bool {
        if self.now() >= self.next_check {
            self.check().await;
        }
        if self.is_resolver_good {
            self.take_queried();
            self.read_hosts().await;
            self.start_look_ups();
        }
        if self.now() >= self.next_commit && !self.commit().await {
            return false;
        }
        let counters = self.engine.lock().counters();
        self.service.0.status.lock().counters = counters;
        true
    }

    /// Checks the resolver with questions whose answers are known.
    async fn check(&mut self) {
        let result = check_resolver(&*self.dns, &self.service.0.random).await;
        let now = self.now();
        self.is_resolver_good = result.is_ok();
        self.next_check = now
            + if result.is_ok() {
                CHECK_INTERVAL
            } else {
                CHECK_RETRY
            };
        self.service.report(result.err());
    }

    /// Offers addresses that mail servers have asked about.
    fn take_queried(&self) {
        let now = self.now();
        let mut engine = self.engine.lock();
        while engine.takes_queried()
            && let Some(addr) = self.sample.take_candidate()
        {
            engine.offer_queried(addr, now);
        }
    }

    /// Offers hosts that others have listed, while the queue is almost empty.
    async fn read_hosts(&mut self) {
        let now = self.now();
        {
            let mut engine = self.engine.lock();
            engine.walk(now, WALK_STEPS);
            if !engine.settings().listed_hosts || !engine.is_idle() {
                return;
            }
        }
        let (ledger, mut hosts) = (self.ledger.clone(), std::mem::take(&mut self.hosts));
        let read = blocking(move || {
            let found = hosts.read(&ledger)?;
            Ok((hosts, found))
        });
        match read.await {
            Ok((hosts, found)) => {
                self.hosts = hosts;
                let mut engine = self.engine.lock();
                for addr in found {
                    engine.offer(addr, now);
                }
            }
            Err(error) => {
                tracing::warn!(error, "listed hosts cannot be read for look-ups of names");
            }
        }
    }

    fn start_look_ups(&self) {
        loop {
            let Some(addr) = self.engine.lock().start_next(self.now()) else {
                return;
            };
            let (engine, dns, start) = (self.engine.clone(), self.dns.clone(), self.start);
            let settings = self.service.settings();
            tokio::spawn(async move {
                let found = look_up(&*dns, addr, &settings).await;
                if let Err(error) = &found {
                    tracing::debug!(%addr, error, "reverse name not found");
                }
                engine.lock().finish(addr, found, start.elapsed());
            });
        }
    }

    /// Commits the changes. Before that, the resolver is checked again: if it invents answers, the
    /// changes are dropped, and the state is read from the store. Returns whether it is still that
    /// of the store.
    async fn commit(&mut self) -> bool {
        self.next_commit = self.now() + COMMIT_INTERVAL;
        if !self.engine.lock().has_changes() {
            return true;
        }
        self.check().await;
        if !self.is_resolver_good {
            return false;
        }
        let changes = self.engine.lock().take_changes(ROW_COMMIT_MAX / 2);
        let (ledger, reason) = (self.ledger.clone(), self.service.settings().reason.clone());
        let done = blocking(move || {
            let result = commit(&ledger, &reason, &changes);
            Ok((result, changes))
        });
        match done.await {
            Ok((Ok(()), _)) => true,
            Ok((Err(error), changes)) => {
                tracing::warn!(error, "listings by reverse names not stored; will retry");
                self.engine.lock().return_changes(changes);
                true
            }
            Err(error) => {
                tracing::error!(error, "listings by reverse names not stored");
                false
            }
        }
    }
}

/// Runs work that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(e.to_string()))
}

async fn look_up(
    dns: &dyn NameDns,
    addr: IpAddr,
    settings: &GenericNameSettings,
) -> Result<AssessedNames, String> {
    let found = assess_address(dns, addr, &settings.allow);
    tokio::time::timeout(LOOKUP_TIMEOUT, found)
        .await
        .unwrap_or_else(|_| {
            let seconds = LOOKUP_TIMEOUT.as_secs();
            Err(format!("{addr}: no answer within {seconds} s"))
        })
}

/// Asks for names that cannot exist: that of an address for documentation (RFC 5737), and one below
/// `example`, which has no names (RFC 2606); the resolver itself answers for `invalid`.
///
/// # Errors
///
/// The resolver does not answer, or invents answers.
pub(super) async fn check_resolver(dns: &dyn NameDns, random: &Random) -> Result<(), String> {
    let check = async {
        let [host, label @ ..] = random.bytes::<9>()?;
        let addr = IpAddr::from([192, 0, 2, host]);
        let (names, _) = dns.reverse_names(addr).await?;
        if let Some(name) = names.first() {
            return Err(format!(
                "the resolver invents answers: it has the name {name} for {addr}, which is an address for documentation; name another one in `resolvers` of [http_client]"
            ));
        }
        let name = format!("{:016x}.example", u64::from_be_bytes(label));
        match dns.addresses(&name).await?.first() {
            Some(found) => Err(format!(
                "the resolver invents answers: it has the address {found} for {name}, which cannot exist; name another one in `resolvers` of [http_client]"
            )),
            None => Ok(()),
        }
    };
    tokio::time::timeout(LOOKUP_TIMEOUT, check)
        .await
        .unwrap_or_else(|_| Err("the resolver does not answer".into()))
}

/// Reads the listings of the source into an engine.
fn restore_listings(
    ledger: &Ledger,
    mut engine: GenericNameEngine,
) -> Result<GenericNameEngine, String> {
    let dictionary = ledger.store.dictionary();
    let Some(source) = dictionary.sources.get(GENERIC_NAME_SOURCE) else {
        return Ok(engine);
    };
    let generation = dictionary
        .records
        .get(usize::from(source.0))
        .map_or(0, |r| r.generation);
    let reason = dictionary.reasons.get(&engine.settings().reason);
    let read = ledger.store.feed_scan(
        source,
        generation,
        &mut |subject, entries: Vec<FeedEntry>| {
            if let (Some(addr), Some(entry)) = (host(&subject), entries.first()) {
                let text = entry.text.as_deref().unwrap_or_default();
                let name = ListedName {
                    name: entry.note.as_deref().unwrap_or_default().into(),
                    text: text.into(),
                };
                engine.restore(addr, name, Some(entry.reason) != reason, Duration::ZERO);
            }
            Ok::<bool, StoreError>(true)
        },
    );
    read.map_err(|e| e.to_string())?;
    Ok(engine)
}

/// The address of a subject that is one.
fn host(subject: &Subject) -> Option<IpAddr> {
    extent(subject)
        .filter(|(_, count)| *count == 1)
        .map(|(addr, _)| addr)
}

/// Commits changes in one import, which changes only the rows of these addresses.
fn commit(
    ledger: &Ledger,
    reason: &str,
    changes: &[(IpAddr, Option<ListedName>)],
) -> Result<(), String> {
    let text = |e: crate::ledger::LedgerError| e.text(&ledger.store.dictionary());
    let source = ledger.source(GENERIC_NAME_SOURCE).map_err(text)?;
    let reason_id = ledger.store.dictionary().reasons.get(reason);
    let reason = reason_id.ok_or_else(|| format!("there is no reason `{reason}`"))?;
    let mut touched: Vec<Subject> = changes
        .iter()
        .map(|(addr, _)| Subject::host(*addr))
        .collect();
    touched.sort();
    let mut import = Import {
        mode: Mode::Patch,
        touched,
        ..Import::replace(source)
    };
    let since = ledger.now();
    let result = ledger.import_with(&mut import, |_, sink| {
        let listed = changes
            .iter()
            .filter_map(|(addr, name)| Some((addr, name.as_ref()?)));
        for (addr, name) in listed {
            let entry = FeedEntry {
                reason,
                exclusion: false,
                implied: false,
                since,
                text: EntryText::from(name.text.as_str()),
                note: Some(name.name.as_str().into()),
            };
            sink(Subject::host(*addr), entry)?;
        }
        Ok(())
    });
    result
        .map(drop)
        .map_err(|e| e.text(&ledger.store.dictionary()))
}

/// The hosts that people, relay tests and traps have listed, read in the order of their addresses,
/// and after that by the commits that change them.
#[derive(Debug, Default)]
struct ListedHosts {
    /// The last subject that was read.
    after: Option<Subject>,
    /// Whether all were read once.
    is_complete: bool,
    /// The last commit whose changes were read.
    commit: u64,
}

impl ListedHosts {
    fn read(&mut self, ledger: &Ledger) -> Result<Vec<IpAddr>, String> {
        let read = match self.is_complete {
            true => self.read_commits(ledger),
            false => self.read_all(ledger),
        };
        read.map_err(|e| e.to_string())
    }

    fn read_all(&mut self, ledger: &Ledger) -> Result<Vec<IpAddr>, StoreError> {
        if self.after.is_none() {
            self.commit = ledger.store.seq()?;
        }
        let (mut out, mut steps, mut last) = (Vec::new(), 0, self.after.clone());
        self.is_complete = ledger
            .store
            .decided(self.after.as_ref(), &mut |subject, verdict| {
                out.extend(host(&subject).filter(|_| is_listed(&verdict)));
                last = Some(subject);
                steps += 1;
                Ok(steps < READ_STEPS)
            })?;
        self.after = last;
        Ok(out)
    }

    fn read_commits(&mut self, ledger: &Ledger) -> Result<Vec<IpAddr>, StoreError> {
        let commit = ledger.store.seq()?;
        if commit == self.commit {
            return Ok(Vec::new());
        }
        match ledger.store.changed_since(self.commit)? {
            ChangedSince::Everything => {
                *self = ListedHosts::default();
                Ok(Vec::new())
            }
            ChangedSince::Subjects(subjects) => {
                self.commit = commit;
                let mut out = Vec::new();
                for subject in subjects {
                    if let Some(addr) = host(&subject)
                        && is_listed(&ledger.store.verdict(&subject)?)
                    {
                        out.push(addr);
                    }
                }
                Ok(out)
            }
        }
    }
}

/// Whether a source other than a feed lists a subject.
fn is_listed(verdict: &Verdict) -> bool {
    let mut entries = verdict.entries.iter();
    entries.any(|e| !e.exclusion && !e.source.is_feed())
}
