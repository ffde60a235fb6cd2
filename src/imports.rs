//! Imports list files into the ledger, for the HTTP API and for feeds.

mod allowance;
mod bounds;

use std::io::{self, Read};

pub use allowance::ErrorAllowance;
use bounds::{Bounds, LineCounter, Meter, TimedReader};

use crate::{
    index::{Families, Snapshot, ZoneView},
    ledger::{
        Import, ImportError, ImportResult, Ledger, LedgerError,
        guard::{Guard, GuardTrip, ListLimits, ListRefusal},
    },
    lists::{self, ListReport, Options, ReasonMapping},
    model::{
        EntryText, Subject, Time, ZoneAddresses, subject::HostBits, text::counted, time::Seconds,
    },
    store::{
        schema::{AuditRecord, FeedEntry, ListShape},
        stage::Mode,
    },
};

/// A request to import a list. Texts are as the user has written them; an empty one is not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportRequest {
    /// The name of the source.
    pub source: String,
    /// The format; an empty one is recognised from the file.
    pub format: String,
    /// The reason of all subjects, or a zone whose codes give the reasons.
    pub reasons: Reasons,
    /// How the list is applied to the present entries of the source; by default it replaces them.
    pub mode: Option<Mode>,
    /// Whether to report the changes without making them.
    pub dry_run: bool,
    /// How the list is read and checked.
    pub list: ListSettings,
    /// Whether to accept a list of which no zone publishes anything.
    pub unpublished: bool,
    /// The time after which the source expires unless it is imported again.
    pub max_age: Option<Seconds>,
    /// The audit record of a request; `None` for an import by the source itself.
    pub audit: Option<AuditRecord>,
}

/// How a list is read, and how far it may differ from the last one of its source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListSettings {
    /// The column of the subject in a table.
    pub column: Option<String>,
    /// The origin of a master file that does not name it.
    pub origin: Option<String>,
    /// See [`Options::dataset`].
    pub dataset: Option<String>,
    /// See [`Options::subzone`].
    pub subzone: Option<String>,
    /// Whether to clear host bits of prefixes instead of refusing them.
    pub clear_host_bits: bool,
    /// The number of lines with errors that the list may have. The other lines are imported.
    pub skip_errors: ErrorAllowance,
    /// Whether to accept special-purpose ranges.
    pub special: bool,
    /// Whether its single IPv6 addresses are exact: never published as the networks around them.
    pub exact: bool,
    /// Whether to accept a well-formed empty list.
    pub allow_empty: bool,
    /// See [`Options::allow_suffixes`].
    pub allow_suffixes: Vec<String>,
    /// How far the list may differ from the last one of its source.
    pub limits: ListLimits,
}

/// The origin of the reasons of a list. One of the fields is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Reasons {
    /// One reason for all lines.
    pub reason: Option<String>,
    /// The zone, by origin or short name, whose codes give the reasons.
    pub code_zone: Option<String>,
}

/// The result of an import.
#[derive(Debug)]
pub struct ImportOutcome {
    /// The format of the last file.
    pub format: String,
    /// How the list was applied.
    pub mode: Mode,
    /// The commit and the changes.
    pub result: ImportResult,
    /// The report of the reader.
    pub report: ListReport,
}

/// Why an import has changed nothing, by what the caller can do.
#[derive(Debug)]
pub enum ImportFailure {
    /// The request is invalid.
    Invalid(String),
    /// There is no such zone or feed.
    NotFound(String),
    /// The ledger refused it.
    Ledger(LedgerError),
    /// The import is not possible: another one is running, or the source is not a feed.
    Busy(String),
    /// The list cannot be read, or must not replace the last one whatever the options.
    List(String),
    /// A guard stopped the list; an option can permit it.
    Guard(Box<GuardTrip>),
}

impl ImportFailure {
    /// Classifies an error of the ledger; `source` is the name of the source.
    pub fn of(e: ImportError, ledger: &Ledger, source: &str) -> ImportFailure {
        let text = |e: &ImportError| e.text(&ledger.store.dictionary());
        match e {
            ImportError::Ledger(r) => ImportFailure::Ledger(r),
            ImportError::List(ListRefusal::Guard(trip)) => ImportFailure::Guard(trip),
            ImportError::List(refusal) => ImportFailure::List(refusal.describe(source)),
            ImportError::Input(_) | ImportError::Expired(_) => ImportFailure::List(text(&e)),
            _ => ImportFailure::Busy(text(&e)),
        }
    }

    /// The message for users.
    pub fn text(&self, ledger: &Ledger) -> String {
        match self {
            ImportFailure::Invalid(why)
            | ImportFailure::NotFound(why)
            | ImportFailure::Busy(why)
            | ImportFailure::List(why) => why.clone(),
            ImportFailure::Ledger(r) => r.text(&ledger.store.dictionary()),
            ImportFailure::Guard(trip) => {
                let option = match trip.guard {
                    Guard::Shrink => "--allow-shrink",
                    Guard::Growth => "--allow-growth",
                };
                format!(
                    "{}\nIf the change is intended, import the list with {option}",
                    trip.describe()
                )
            }
        }
    }
}

/// Several files that are read one after the other.
pub trait Files: Read {
    /// Goes to the next file and returns its name; `None` after the last. The unread rest of the
    /// previous file is skipped.
    fn next_file(&mut self) -> io::Result<Option<String>>;
}

/// Checks the name of a format. An empty name is valid: the format is then recognised.
///
/// # Errors
///
/// Names the known formats.
pub fn check_format(format: &str) -> Result<(), String> {
    match format.is_empty() || lists::is_read(format) {
        true => Ok(()),
        false => {
            let names = lists::format_names();
            Err(format!("there is no format `{format}`; use one of {names}"))
        }
    }
}

/// Imports files, which together are one list. Blocks.
///
/// # Errors
///
/// See [`ImportFailure`]; nothing has changed then.
pub fn run(
    ledger: &Ledger,
    request: &ImportRequest,
    files: &mut dyn Files,
) -> Result<ImportOutcome, ImportFailure> {
    check_format(&request.format).map_err(ImportFailure::Invalid)?;
    let options = options(ledger, request)?;
    let known = ledger.store.dictionary().sources.get(&request.source);
    let source = match known {
        // A dry run stores nothing, not even the name of the source.
        None if request.dry_run => None,
        _ => {
            let source = ledger.source(&request.source);
            Some(source.map_err(ImportFailure::Ledger)?)
        }
    };
    if request.max_age == Some(Seconds(0)) {
        return Err(ImportFailure::Invalid(
            "max_age: it is 0, and the list would expire at once; use a longer time".into(),
        ));
    }
    let mut report = ListReport::default();
    let families = families(ledger, &options);
    let mut import = Import {
        mode: request.mode.unwrap_or(Mode::Replace),
        dry_run: request.dry_run,
        max_age: request.max_age,
        audit: request.audit.clone(),
        limits: Some(request.list.limits),
        ..Import::replace(source)
    };
    let mut format = request.format.clone();
    let mut names = FileNames::default();
    let result = ledger.import_with(&mut import, |import, sink| {
        format = read_files(
            files,
            &request.format,
            &options,
            &mut report,
            &mut |file| names.add(file),
            &mut |e| {
                let (subject, row) = row(e, request.list.exact);
                sink(subject, row)
            },
        )?;
        import.expires = report.expires;
        let shape = &report.shape;
        import.shape = ListShape {
            ipv4: shape.ipv4,
            ipv6: shape.ipv6,
            names: shape.names,
            digests: shape.digests,
            exclusions: shape.exclusions,
            final_record: shape.final_record,
        };
        report.unpublished = unpublished(&families, &import.shape);
        check_complete_list(request, import.mode, &report, &families)
            .map_err(|why| format!("{}{names}: {why}", findings(&report)))
    });
    let result =
        result.map_err(|e| names.prepend_to(ImportFailure::of(e, ledger, &request.source)))?;
    Ok(ImportOutcome {
        format,
        mode: import.mode,
        result,
        report,
    })
}

/// Reads files, which together are one list, within the limits of one list. `on_file` gets the name
/// of each file before it is read. Returns the format of the last one.
///
/// # Errors
///
/// A file cannot be read to its end, its format is refused, a limit is reached, or the sink has
/// failed. The message names the file.
pub fn read_files(
    files: &mut dyn Files,
    format: &str,
    options: &Options,
    report: &mut ListReport,
    on_file: &mut dyn FnMut(&str),
    sink: lists::Sink<'_>,
) -> Result<String, String> {
    let meter = Meter::new(Bounds::default());
    let mut last = format.to_string();
    while let Some(file) = files.next_file().map_err(|e| e.to_string())? {
        on_file(&file);
        let named = |e: io::Error| format!("{file}: {e}");
        let timed = TimedReader {
            inner: &mut *files,
            meter: &meter,
        };
        let inner = lists::plain(Box::new(timed)).map_err(named)?;
        let mut lines = LineCounter {
            inner,
            meter: &meter,
            ahead: 0,
        };
        let name = match format {
            "" => lists::guess(io::BufRead::fill_buf(&mut lines).map_err(named)?)
                .map_err(|why| format!("{file}: {why}"))?,
            name => name,
        };
        last = name.into();
        lists::read(name, Box::new(lines), &file, options, report, &mut |e| {
            meter.entry();
            sink(e)
        })?;
    }
    Ok(last)
}

/// The kinds of subjects that the zones of a list's reasons publish.
fn families(ledger: &Ledger, options: &Options) -> Families {
    let snapshot = ledger.published.snapshot();
    let families = options
        .reasoning
        .reasons()
        .map(|r| snapshot.zones.published(r));
    families.fold(Families::default(), Families::or)
}

/// The number of entries of a list that no zone publishes.
fn unpublished(families: &Families, shape: &ListShape) -> lists::UnpublishedCounts {
    let count = |published: bool, n: u64| if published { 0 } else { n };
    lists::UnpublishedCounts {
        addresses: count(families.ip4, shape.ipv4) + count(families.ip6, shape.ipv6),
        names: count(families.names, shape.names),
        digests: count(families.digest.is_some(), shape.digests),
    }
}

/// The names of the files of a list, for messages.
#[derive(Default)]
struct FileNames {
    first: String,
    more: usize,
}

impl FileNames {
    fn add(&mut self, file: &str) {
        match self.first.is_empty() {
            true => self.first = file.into(),
            false => self.more += 1,
        }
    }

    /// Adds the file names to an error about the whole list; other errors name their file already.
    fn prepend_to(&self, e: ImportFailure) -> ImportFailure {
        match e {
            ImportFailure::List(why) if !why.contains(&self.first) => {
                ImportFailure::List(format!("{self}: {why}"))
            }
            ImportFailure::Guard(trip) => ImportFailure::Guard(Box::new(GuardTrip {
                reason: format!("{self}: {}", trip.reason),
                ..*trip
            })),
            e => e,
        }
    }
}

impl std::fmt::Display for FileNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.more {
            0 => f.write_str(&self.first),
            n => write!(f, "{} and {}", self.first, counted(n, "more file")),
        }
    }
}

/// The findings of the reader, one on each line.
fn findings(report: &ListReport) -> String {
    let problems = report.problems.iter().map(ToString::to_string);
    problems
        .chain(report.notes())
        .chain(report.warnings.iter().cloned())
        .map(|l| l + "\n")
        .collect()
}

/// Checks a complete list by itself, without comparing it with the last one of its source.
fn check_complete_list(
    request: &ImportRequest,
    mode: Mode,
    report: &ListReport,
    families: &Families,
) -> Result<(), String> {
    let list = &request.list;
    let allowed = list.skip_errors.allowed(report.accepted + report.errors);
    if report.errors > allowed {
        let more = match list.skip_errors {
            ErrorAllowance::None => "none is allowed (--skip-errors allows some)".to_string(),
            _ => format!("{allowed} are allowed (--skip-errors=N or --skip-errors=P% allows more)"),
        };
        return Err(format!(
            "{} lines with errors, and {more}; nothing was changed",
            report.errors
        ));
    }
    // A failed download must not remove a whole list.
    let listed = report.shape.ipv4 + report.shape.ipv6 + report.shape.names + report.shape.digests;
    if listed == 0 && (report.errors > 0 || (!report.left_out.is_empty() && !list.allow_empty)) {
        return Err("the list has no valid entry; nothing was changed".into());
    }
    if mode == Mode::Replace && listed == 0 && report.shape.exclusions > 0 {
        return Err("the list has only exclusions and no listings; nothing was changed".into());
    }
    if listed == 0 && mode == Mode::Replace && !list.allow_empty {
        return Err("the list has no entries; nothing was changed (use --allow-empty to end all listings of the source)".into());
    }
    let lost = report.unpublished.addresses + report.unpublished.names + report.unpublished.digests;
    if listed > 0 && lost == listed && mode == Mode::Replace && !request.unpublished {
        return Err(format!(
            "nothing in the list would be published: the zones of its reasons publish {families}; nothing was changed \
             (use --allow-unpublished if a zone will publish it later)"
        ));
    }
    Ok(())
}

/// Converts an entry of a list to a row of a feed. The listings of single IPv6 addresses are `exact`
/// or not.
pub fn row(e: lists::ListEntry, exact: bool) -> (Subject, FeedEntry) {
    let entry = FeedEntry {
        reason: e.reason,
        exclusion: e.exclusion,
        implied: e.implied,
        since: Time(0),
        text: EntryText {
            text: e.text,
            path: e.path,
            exact: exact && !e.exclusion && e.subject.is_ipv6_address(),
        },
        note: e.note,
    };
    (e.subject, entry)
}

/// The options with which the list is read.
///
/// # Errors
///
/// The reason or the zone does not exist, or the request names none or both.
pub fn options(ledger: &Ledger, request: &ImportRequest) -> Result<Options, ImportFailure> {
    let list = request.list.clone();
    let v = ledger.store.dictionary();
    let snapshot = ledger.published.snapshot();
    let (reasoning, digest) = match (&request.reasons.reason, &request.reasons.code_zone) {
        (Some(r), None) => {
            let settings = ledger.settings();
            let known: Vec<&str> = settings.reasons.iter().map(|r| r.name.as_str()).collect();
            let found = v.reasons.get(r).filter(|_| known.contains(&r.as_str()));
            let unknown = || {
                ImportFailure::Invalid(format!(
                    "reason: `{r}` is not in config.toml; there are {}",
                    known.join(", ")
                ))
            };
            let reason = found.ok_or_else(unknown)?;
            (
                ReasonMapping::One(reason),
                snapshot.zones.digests(Some(reason)).first().copied(),
            )
        }
        (None, Some(zone)) => {
            let found = find_zone(&snapshot, zone).map_err(ImportFailure::NotFound)?;
            let codes = found.publish.iter();
            let codes = codes.filter_map(|p| Some((p.code.into(), p.listing_reason()?)));
            let mapping = match found.spec.bitmask {
                true => ReasonMapping::Bits,
                false => ReasonMapping::Codes,
            };
            (mapping(codes.collect()), found.spec.digest)
        }
        _ => {
            return Err(ImportFailure::Invalid(
                "name either a reason for all lines, or a zone whose codes give the reasons".into(),
            ));
        }
    };
    let rule = ledger.settings().netblocks.clone();
    if rule.required
        && reasoning
            .reasons()
            .any(|r| v.reasons.name(r) == rule.reason)
    {
        return Err(ImportFailure::Invalid(format!(
            "reason: `{0}` needs an entry for each prefix ([netblocks] required = true), so no list is imported for it; \
             use another reason, or `orbsd netblock propose`",
            rule.reason
        )));
    }
    let addresses = reasoning
        .reasons()
        .map(|r| snapshot.zones.domain_addresses(r))
        .fold(ZoneAddresses::None, ZoneAddresses::or);
    Ok(Options {
        reasoning,
        digest,
        addresses,
        followed: false,
        untraced: false,
        store: ledger.store.store_id(),
        host_bits: if list.clear_host_bits {
            HostBits::Clear
        } else {
            HostBits::Refuse
        },
        special: list.special,
        allowed: ledger.settings().special.clone(),
        allow_suffixes: list.allow_suffixes,
        column: list.column,
        origin: list.origin,
        dataset: list.dataset,
        subzone: list.subzone,
        now: ledger.now(),
    })
}

/// Finds a zone by its origin or short name.
///
/// # Errors
///
/// Names the zones that exist.
pub fn find_zone<'s>(snapshot: &'s Snapshot, name: &str) -> Result<&'s ZoneView, String> {
    let all = snapshot.zones.all();
    let by_name = snapshot.zones.by_name(name).map(|i| &all[i]);
    by_name
        .or_else(|| all.iter().find(|z| z.spec.short_name == name))
        .ok_or_else(|| {
            let known: Vec<String> = all.iter().map(|z| z.name.to_string()).collect();
            format!("there is no zone `{name}`; there are {}", known.join(", "))
        })
}
