//! Makes a comparison: reads the other list and ours, and stores the result.

use std::{
    io::{self, BufReader, Read, Write},
    sync::Arc,
};

use super::{busy, unwritable};
use crate::{
    api::{ComparisonQuery, ProblemCode, ProblemDetails},
    comparison::{
        ComparisonFile, ComparisonLines, EntrySet, StoredComparison, TestedHosts, TestedState,
        TransferSettings, check_name, compare, short_name,
    },
    http::{
        App,
        import_body::{ImportBody, LIST_FIELD},
    },
    imports::{self, Files},
    index::{Snapshot, ZoneView},
    lists::{ListReport, Options, ReasonMapping, write::Export},
    model::{Mask, ReasonId, SourceId, Time, Verdict, subject::HostBits},
    relay::outcome::Assessment,
    store::StoreError,
};

/// The form's field of files with results of tests.
const TESTED_FIELD: &str = "tested";
/// The longest file with results of tests, in bytes.
const MAX_TESTED_BYTES: u64 = 64 << 20;
/// How many errors of the other list are kept.
const MAX_PROBLEMS: usize = 10;

/// Where the other list comes from.
enum OtherList {
    /// The body of the request.
    Body,
    /// A transfer.
    Zone(TransferSettings),
    /// One of the own sources.
    Source(SourceId, String),
}

/// What a request asks for, before anything is read.
pub(super) struct Plan {
    query: ComparisonQuery,
    list: OtherList,
    name: String,
    us: String,
    snapshot: Arc<Snapshot>,
    /// The number of our zone in the snapshot.
    zone: usize,
}

impl Plan {
    /// Reads a request.
    pub(super) fn new(app: &App, query: &ComparisonQuery) -> Result<Plan, ProblemDetails> {
        let query = query.clone();
        let invalid = |field: &'static str| {
            move |why: String| ProblemDetails::invalid(format!("{field}: {why}"))
        };
        imports::check_format(&query.format).map_err(invalid("format"))?;
        let (list, default_name) = other_list(app, &query.with)?;
        let name = match (&list, default_name) {
            // The table has the time of the last transfer, which no other name may avoid.
            (OtherList::Zone(_), Some(table)) if !["", &table].contains(&query.name.as_str()) => {
                return Err(invalid("name")(format!(
                    "the list is `{table}` by its [[comparison]] table; leave the name out"
                )));
            }
            (_, Some(name)) if query.name.is_empty() => name,
            (_, None) if query.name.is_empty() => short_name(&query.file),
            _ => query.name.clone(),
        };
        check_name(&name).map_err(invalid("name"))?;
        let table = super::settings(app, &name);
        let snapshot = app.ledger.published.snapshot();
        let zone = match (&query.zone, &table.against) {
            (zone, _) if !zone.is_empty() => zone,
            (_, against) => against,
        };
        let zone = find_zone(&snapshot, zone)?;
        let view = &snapshot.zones.all()[zone];
        let us = match query.us.is_empty() {
            true => short_name(&view.spec.short_name),
            false => query.us.clone(),
        };
        check_name(&us).map_err(invalid("us"))?;
        Ok(Plan {
            query,
            list,
            name,
            us,
            zone,
            snapshot,
        })
    }

    /// The short name of the other list.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where the other list comes from.
    pub(super) fn describe(&self) -> String {
        match &self.list {
            OtherList::Body if self.query.file.is_empty() => "-".into(),
            OtherList::Body => self.query.file.clone(),
            OtherList::Zone(t) => format!("axfr:{}/{}", t.server, t.zone),
            OtherList::Source(_, name) => format!("source:{name}"),
        }
    }

    fn view(&self) -> &ZoneView {
        &self.snapshot.zones.all()[self.zone]
    }
}

/// The list that `with` names, and its short name.
fn other_list(app: &App, with: &str) -> Result<(OtherList, Option<String>), ProblemDetails> {
    if with.is_empty() {
        return Ok((OtherList::Body, None));
    }
    if let Some(name) = with.strip_prefix("source:") {
        let source = app.ledger.store.dictionary().sources.get(name);
        let source = source.ok_or_else(|| {
            ProblemDetails::not_found(format!("with: there is no source `{name}`"))
        })?;
        return Ok((
            OtherList::Source(source, name.into()),
            Some(short_name(name)),
        ));
    }
    let zone = with.strip_prefix("axfr:").and_then(|z| z.rsplit_once('/'));
    let (server, zone) = zone.ok_or_else(|| {
        ProblemDetails::invalid(format!(
            "with: `{with}` is neither axfr:SERVER/ZONE nor source:NAME; a file is sent in the body"
        ))
    })?;
    let (settings, transfer) = app
        .comparisons
        .transfer_of(server, zone)
        .map_err(|why| ProblemDetails::forbidden(format!("with: {why}")))?;
    Ok((OtherList::Zone(transfer), Some(settings.name)))
}

/// The number of a zone by its name; without a name, that of the only zone.
fn find_zone(snapshot: &Snapshot, name: &str) -> Result<usize, ProblemDetails> {
    let all = snapshot.zones.all();
    let name = match (name, all) {
        ("", [only]) => &only.name,
        ("", _) => {
            let known: Vec<&str> = all.iter().map(|z| z.spec.short_name.as_str()).collect();
            return Err(ProblemDetails::invalid(format!(
                "zone: name the own zone that the list is compared with; there are {}",
                known.join(", ")
            )));
        }
        (name, _) => {
            &imports::find_zone(snapshot, name)
                .map_err(ProblemDetails::not_found)?
                .name
        }
    };
    let number = snapshot.zones.by_name(name);
    number.ok_or_else(|| ProblemDetails::not_found("the zone was removed"))
}

fn refused(why: impl Into<String>) -> ProblemDetails {
    ProblemDetails::new(ProblemCode::ListRefused, why.into())
}

/// The problem of a list that cannot be sorted.
#[allow(clippy::needless_pass_by_value)] // it is a function of `map_err`
fn unsortable(e: io::Error) -> ProblemDetails {
    refused(e.to_string())
}

/// Makes a comparison, and stores its result. Blocks.
pub(super) fn run(
    app: &App,
    plan: Plan,
    mut body: ImportBody,
) -> Result<StoredComparison, ProblemDetails> {
    let comparisons = app.comparisons.clone();
    let _running = comparisons.begin().ok_or_else(busy)?;
    let now = app.ledger.now();
    comparisons.folder.remove_old(now).map_err(unwritable)?;
    let mut tested = own_tests(app)?;
    read_tested(&mut body, &mut tested).map_err(|why| problem(&mut body, why))?;
    let mut report = ListReport::default();
    let mut read_at = now;
    let (theirs, ours) = match &plan.list {
        OtherList::Source(source, _) => {
            no_list(&mut body, &plan)?;
            source_and_others(app, &plan, *source)?
        }
        OtherList::Body => {
            let format = &plan.query.format;
            let mut files = ListFiles(&mut body);
            let read = || read_list(app, &plan, &mut files, format, &mut report);
            let (theirs, ours) = beside(|| published(app, &plan), read);
            (theirs.map_err(|why| problem(&mut body, why))?, ours?)
        }
        OtherList::Zone(transfer) => {
            no_list(&mut body, &plan)?;
            let (mut zone, at) = zone_list(app, &plan, transfer, now)?;
            read_at = at;
            let format = zone.format;
            let read = || read_list(app, &plan, &mut zone, format, &mut report);
            let (theirs, ours) = beside(|| published(app, &plan), read);
            (theirs.map_err(refused)?, ours?)
        }
    };
    let new = comparisons.folder.begin(&plan.name).map_err(unwritable)?;
    let create = |file| new.create(file).map_err(unwritable);
    let mut files = [
        create(ComparisonFile::List)?,
        create(ComparisonFile::OnlyTheirs)?,
        create(ComparisonFile::Closed)?,
        create(ComparisonFile::ClosedByUs)?,
    ];
    let [list, only_theirs, closed, closed_by_us] = &mut files;
    let lines = ComparisonLines {
        list,
        only_theirs,
        closed,
        closed_by_us,
    };
    let compared = compare(&theirs, &ours, &tested, lines).map_err(unwritable)?;
    let flushed = files.iter_mut().try_for_each(Write::flush);
    flushed.map_err(unwritable)?;
    if compared.figures.total().theirs == 0 {
        return Err(refused(format!(
            "{}: the list has no entries that can be compared; check the file and its format",
            plan.describe()
        )));
    }
    let problems = report.problems.iter().map(ToString::to_string);
    let result = StoredComparison {
        with: plan.describe(),
        zone: plan.view().name.to_string(),
        compared_at: now,
        read_at,
        errors: report.errors,
        problems: problems.take(MAX_PROBLEMS).collect(),
        left_out: report.left_out.iter().map(|t| t.count).sum(),
        figures: compared.figures,
        samples: compared.samples,
        closed_by_us: compared.closed_by_us,
        name: plan.name,
        us: plan.us,
    };
    new.finish(&result).map_err(unwritable)?;
    Ok(result)
}

/// The problem of a body that could not be read, or of a list that is refused.
fn problem(body: &mut ImportBody, why: String) -> ProblemDetails {
    body.take_problem().unwrap_or_else(|| refused(why))
}

/// What our own tests found.
fn own_tests(app: &App) -> Result<TestedHosts, ProblemDetails> {
    let hosts = app
        .relay
        .tested_hosts()
        .map_err(|e| ProblemDetails::of_relay_error(e, &app.ledger.store.dictionary()))?;
    let mut tested = TestedHosts::default();
    tested.add_own(hosts.into_iter().map(|(host, found)| match found {
        Assessment::Open => (host, TestedState::Open),
        _ => (host, TestedState::Closed),
    }));
    Ok(tested)
}

/// Reads the files with results of tests, which come before those of the list.
fn read_tested(body: &mut ImportBody, tested: &mut TestedHosts) -> Result<(), String> {
    while body.next_field().map_err(|e| e.to_string())? == Some(TESTED_FIELD) {
        let file = body.next_file().map_err(|e| e.to_string())?;
        let file = file.unwrap_or_default();
        let mut text = String::new();
        let read = body.take(MAX_TESTED_BYTES + 1).read_to_string(&mut text);
        read.map_err(|e| format!("{file}: {e}"))?;
        if text.len() as u64 > MAX_TESTED_BYTES {
            return Err(format!(
                "{file}: it is longer than {} MiB; divide it",
                MAX_TESTED_BYTES >> 20
            ));
        }
        tested.add_file(&file, &text)?;
    }
    Ok(())
}

/// Refuses a body with a list, if the list comes from elsewhere.
fn no_list(body: &mut ImportBody, plan: &Plan) -> Result<(), ProblemDetails> {
    let read = || -> io::Result<u64> {
        let mut bytes = 0;
        while body.next_file()?.is_some() {
            bytes += io::copy(&mut body.take(1), &mut io::sink())?;
        }
        Ok(bytes)
    };
    match { read }() {
        Ok(0) => Ok(()),
        Ok(_) => Err(ProblemDetails::invalid(format!(
            "with: the list is {}, so the body must not have another one",
            plan.describe()
        ))),
        Err(e) => Err(problem(body, e.to_string())),
    }
}

/// The files of a list in the body of a request.
struct ListFiles<'b>(&'b mut ImportBody);

impl Files for ListFiles<'_> {
    fn next_file(&mut self) -> io::Result<Option<String>> {
        match self.0.next_field()? {
            None | Some(LIST_FIELD) => self.0.next_file(),
            Some(other) => Err(io::Error::other(format!(
                "the body has a field `{other}` after the list; send `{TESTED_FIELD}` first, then `{LIST_FIELD}`"
            ))),
        }
    }
}

impl Read for ListFiles<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

/// A list that is one file.
struct OneList {
    name: Option<String>,
    format: &'static str,
    text: Box<dyn Read + Send>,
}

impl Files for OneList {
    fn next_file(&mut self) -> io::Result<Option<String>> {
        Ok(self.name.take())
    }
}

impl Read for OneList {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.text.read(buf)
    }
}

/// The zone of another operator: it is asked for, at most once a day; until then, it is the list of
/// the last transfer.
fn zone_list(
    app: &App,
    plan: &Plan,
    transfer: &TransferSettings,
    now: Time,
) -> Result<(OneList, Time), ProblemDetails> {
    let comparisons = &app.comparisons;
    let next = comparisons.next_transfer(&plan.name, now);
    let name = Some(plan.describe());
    let Some(next) = next.map_err(ProblemDetails::internal)? else {
        let noted = comparisons.folder.note_transfer(&plan.name, now);
        noted.map_err(unwritable)?;
        let text = (comparisons.transfer)(transfer).map_err(refused)?;
        let format = "master";
        return Ok((OneList { name, format, text }, now));
    };
    let last = comparisons.folder.get(&plan.name);
    let last = last.map_err(ProblemDetails::internal)?;
    match last.filter(|c| c.with == plan.describe()) {
        Some(last) => {
            let file = comparisons.folder.open(&plan.name, ComparisonFile::List);
            let text = Box::new(BufReader::new(file.map_err(ProblemDetails::internal)?));
            let format = "list";
            Ok((OneList { name, format, text }, last.read_at))
        }
        None => Err(refused(format!(
            "{}: the zone was asked for less than a day ago, and there is no list of it; it can be asked for again at {next}",
            plan.describe()
        ))),
    }
}

/// Reads the other list. Its entries are accepted as published; only test points and prefixes that
/// are too wide are left out.
fn read_list(
    app: &App,
    plan: &Plan,
    files: &mut dyn Files,
    format: &str,
    report: &mut ListReport,
) -> Result<EntrySet, String> {
    let query = plan.query.clone();
    let zone = &plan.view().spec;
    let options = Options {
        reasoning: ReasonMapping::One(ReasonId(0)),
        host_bits: HostBits::Clear,
        special: true,
        followed: true,
        digest: zone.digest,
        addresses: zone.addresses,
        column: query.column,
        origin: match &plan.list {
            OtherList::Zone(transfer) => Some(transfer.zone.clone()),
            _ => query.origin,
        },
        dataset: query.dataset,
        subzone: query.subzone,
        store: app.ledger.store.store_id(),
        now: app.ledger.now(),
        ..Options::default()
    };
    let folder = &app.comparisons.folder;
    let mut set = folder.entry_set().map_err(|e| e.to_string())?;
    imports::read_files(files, format, &options, report, &mut |_| (), &mut |entry| {
        // An implied exclusion ends one reason where another entry gives another one. A
        // comparison does not distinguish reasons.
        match entry.implied {
            true => Ok(()),
            false => set
                .push(&entry.subject, !entry.exclusion)
                .map_err(|e| e.to_string()),
        }
    })?;
    set.finish().map_err(|e| e.to_string())
}

/// Reads our list on a thread of its own while the other list is read. Returns the other list, and
/// ours.
fn beside<T, U: Send>(ours: impl FnOnce() -> U + Send, theirs: impl FnOnce() -> T) -> (T, U) {
    std::thread::scope(|scope| {
        let ours = scope.spawn(ours);
        let theirs = theirs();
        match ours.join() {
            Ok(ours) => (theirs, ours),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// The entries that our zone publishes.
fn published(app: &App, plan: &Plan) -> Result<EntrySet, ProblemDetails> {
    let export = Export::new("list", "", &plan.snapshot, plan.zone);
    let export = export.map_err(|why| ProblemDetails::invalid(format!("zone: {why}")))?;
    let mut set = app.comparisons.folder.entry_set().map_err(unwritable)?;
    let visited = export.entries(&mut |subject, listed| set.push(subject, listed));
    visited.map_err(unsortable)?;
    set.finish().map_err(unsortable)
}

/// The entries of a source, and those that all other sources list for the reasons of our zone.
fn source_and_others(
    app: &App,
    plan: &Plan,
    source: SourceId,
) -> Result<(EntrySet, EntrySet), ProblemDetails> {
    let store = &app.ledger.store;
    let reasons = plan.view().mask;
    let empty = || app.comparisons.folder.entry_set().map_err(unwritable);
    let (mut theirs, mut ours) = (empty()?, empty()?);
    let io = |e: io::Error| StoreError::Io(e.to_string());
    store.scan(&store.dictionary(), &mut |subject, verdict| {
        if let Some(listed) = lists_by(&verdict, source) {
            theirs.push(&subject, listed).map_err(io)?;
        }
        if let Some(listed) = lists_by_others(&verdict, source, reasons) {
            ours.push(&subject, listed).map_err(io)?;
        }
        Ok(())
    })?;
    Ok((
        theirs.finish().map_err(unsortable)?,
        ours.finish().map_err(unsortable)?,
    ))
}

/// Whether a source lists a subject; `None` if it has no entry for it.
fn lists_by(verdict: &Verdict, source: SourceId) -> Option<bool> {
    let own = verdict.entries.iter().filter(|e| e.source == source);
    own.map(|e| !e.exclusion).max()
}

/// Whether another source lists a subject for one of some reasons; `None` if it is neither listed
/// nor excluded from a wider listing.
fn lists_by_others(verdict: &Verdict, source: SourceId, reasons: Mask) -> Option<bool> {
    if verdict.exempt.is_some() {
        return Some(false);
    }
    let is_other = |s: SourceId, r: ReasonId| s != source && reasons & r.bit() != 0;
    let mut in_force = verdict.in_force();
    if in_force.any(|e| is_other(e.source, e.reason)) {
        return Some(true);
    }
    let others = verdict
        .entries
        .iter()
        .filter(|e| is_other(e.source, e.reason));
    let is_held = !verdict.holds.is_empty();
    let is_excluded = is_held || others.into_iter().any(|e| e.exclusion);
    is_excluded.then_some(false)
}
