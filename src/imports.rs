//! Imports: the one function by which the HTTP API and the feeds read list files into the ledger.

mod allowance;
mod bounds;

use std::io::{self, Read};

pub use allowance::ErrorAllowance;
use bounds::{Bounds, Counted, Meter, Waiting};

use crate::{
    index::{Families, Snapshot, ZoneView},
    ledger::{
        Import, ImportError, ImportResult, Ledger, LedgerError,
        guard::{Guard, GuardTrip, ListLimits, ListRefusal},
    },
    lists::{self, Options, Reasoning, Report},
    model::{EntryText, ReasonId, Subject, Time, subject::HostBits, time::Seconds},
    store::{
        schema::{AuditRecord, FeedEntry, ListShape},
        stage::Mode,
    },
};

/// A list and how it is imported; texts as people write them, empty if not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The source's name.
    pub source: String,
    /// The format; if empty, it is recognised.
    pub format: String,
    /// The reason of its subjects, or a zone whose codes give the reasons.
    pub reasons: Reasons,
    /// How present entries of the source are treated; by default they are replaced.
    pub mode: Option<Mode>,
    /// Only report what would change.
    pub dry_run: bool,
    /// Accept an empty list.
    pub allow_empty: bool,
    /// How many lines with errors the list may have; the others are imported.
    pub skip_errors: ErrorAllowance,
    /// How far the list may differ from the last one of its source.
    pub limits: ListLimits,
    /// Clear host bits.
    pub host_bits: bool,
    /// Accept special-purpose ranges.
    pub special: bool,
    /// Accept a list of which no zone publishes anything.
    pub unpublished: bool,
    /// See [`Options::allow_suffixes`].
    pub allow_suffixes: Vec<String>,
    /// The column of the subject in a table.
    pub column: Option<String>,
    /// The origin of a master file that does not name it.
    pub origin: Option<String>,
    /// See [`Options::dataset`].
    pub dataset: Option<String>,
    /// See [`Options::subzone`].
    pub subzone: Option<String>,
    /// When the source's lifetime ends unless it is imported again.
    pub max_age: Option<Seconds>,
    /// The audit record of a request; `None` for an import by the source itself.
    pub asked: Option<AuditRecord>,
}

/// Where the reasons of a list come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Reasons {
    /// One reason for all lines.
    pub reason: Option<String>,
    /// The zone, by origin or file, whose codes give the reasons.
    pub codes: Option<String>,
}

/// The result of an import.
#[derive(Debug)]
pub struct Done {
    /// The format that the last file had.
    pub format: String,
    /// How present entries were treated.
    pub mode: Mode,
    /// What changed.
    pub result: ImportResult,
    /// The report of the reader.
    pub report: Report,
}

/// Why nothing was changed.
#[derive(Debug)]
pub enum Failed {
    /// The request is invalid.
    Invalid(String),
    /// There is no such zone or feed.
    NotFound(String),
    /// The ledger refused it.
    Ledger(LedgerError),
    /// The import is not possible: another one is running, or the source is not a feed.
    Busy(String),
    /// The list cannot be read, or must not replace the last one whatever is allowed.
    List(String),
    /// A guard stopped the list; an option may allow it.
    Guard(Box<GuardTrip>),
}

impl Failed {
    /// Classifies an import's error by what the caller can do; `source` is the source's name.
    pub fn of(e: ImportError, ledger: &Ledger, source: &str) -> Failed {
        let text = |e: &ImportError| e.text(&ledger.store.dictionary());
        match e {
            ImportError::Ledger(r) => Failed::Ledger(r),
            ImportError::List(ListRefusal::Guard(trip)) => Failed::Guard(trip),
            ImportError::List(refusal) => Failed::List(refusal.describe(source)),
            ImportError::Input(_) | ImportError::Over(_) => Failed::List(text(&e)),
            _ => Failed::Busy(text(&e)),
        }
    }

    /// The error as text for people.
    pub fn text(&self, ledger: &Ledger) -> String {
        match self {
            Failed::Invalid(why)
            | Failed::NotFound(why)
            | Failed::Busy(why)
            | Failed::List(why) => why.clone(),
            Failed::Ledger(r) => r.text(&ledger.store.dictionary()),
            Failed::Guard(trip) => {
                let option = match trip.guard {
                    Guard::Shrink => "--allow-shrink",
                    Guard::Growth => "--allow-growth",
                };
                format!(
                    "{}\nIf that is meant, import it with {option}",
                    trip.describe()
                )
            }
        }
    }
}

/// Files one after the other, each read to its end.
pub trait Files: Read {
    /// The next file's name; `None` after the last. The unread rest of the previous file is
    /// skipped.
    fn next_file(&mut self) -> io::Result<Option<String>>;
}

/// Checks that a format is one that is read; empty for one that is recognised.
pub fn known_format(format: &str) -> Result<(), String> {
    match format.is_empty() || lists::is_read(format) {
        true => Ok(()),
        false => Err(format!(
            "there is no format `{format}`; it is one of {}",
            lists::known()
        )),
    }
}

/// Imports files, which together are one list. Blocks.
pub fn run(ledger: &Ledger, asked: &Asked, files: &mut dyn Files) -> Result<Done, Failed> {
    known_format(&asked.format).map_err(Failed::Invalid)?;
    let options = options(ledger, asked)?;
    let known = ledger.store.dictionary().sources.get(&asked.source);
    let source = match known {
        // A dry run leaves nothing behind, not even a name.
        None if asked.dry_run => None,
        _ => Some(ledger.source(&asked.source).map_err(Failed::Ledger)?),
    };
    if asked.max_age == Some(Seconds(0)) {
        return Err(Failed::Invalid(
            "max_age: the list would end at once".into(),
        ));
    }
    let mut report = Report::default();
    let families = families(ledger, &options);
    // Only values that become several reasons, and the names of a master file, make exclusions.
    let exceptions =
        asked.reasons.codes.is_some() || matches!(asked.format.as_str(), "" | "master");
    let mut what = Import {
        mode: asked.mode.unwrap_or(Mode::Replace),
        dry_run: asked.dry_run,
        max_age: asked.max_age,
        asked: asked.asked.clone(),
        exceptions,
        limits: Some(asked.limits),
        ..Import::replace(source)
    };
    let mut format = asked.format.clone();
    let mut names = FileNames::default();
    let meter = Meter::new(Bounds::default());
    let result = ledger.import_with(&mut what, |what, sink| {
        while let Some(file) = files.next_file().map_err(|e| e.to_string())? {
            names.add(&file);
            let named = |e: io::Error| format!("{file}: {e}");
            let inner = lists::plain(Box::new(Waiting {
                inner: &mut *files,
                meter: &meter,
            }))
            .map_err(named)?;
            let mut lines = Counted {
                inner,
                meter: &meter,
                ahead: 0,
            };
            let name = match asked.format.as_str() {
                "" => lists::guess(io::BufRead::fill_buf(&mut lines).map_err(named)?)
                    .map_err(|why| format!("{file}: {why}"))?,
                name => name,
            };
            format = name.into();
            lists::read(
                name,
                Box::new(lines),
                &file,
                &options,
                &mut report,
                &mut |e| {
                    meter.entry();
                    let (subject, row) = row(e);
                    sink(subject, row)
                },
            )?;
        }
        what.expires = report.expires;
        let lists::Shape {
            ipv4,
            ipv6,
            names: named,
            digests,
            exclusions,
            final_record,
        } = report.shape;
        what.shape = ListShape {
            ipv4,
            ipv6,
            names: named,
            digests,
            exclusions,
            final_record,
        };
        report.unpublished = unpublished(&families, &what.shape);
        acceptable(asked, what.mode, &report, &families)
            .map_err(|why| format!("{}{names}: {why}", findings(&report)))
    });
    let result = result.map_err(|e| names.before(Failed::of(e, ledger, &asked.source)))?;
    Ok(Done {
        format,
        mode: what.mode,
        result,
        report,
    })
}

/// What the zones of a list's reasons publish.
fn families(ledger: &Ledger, options: &Options) -> Families {
    let snapshot = ledger.published.snapshot();
    let reasons: Vec<ReasonId> = match &options.reasoning {
        Reasoning::One(reason) => vec![*reason],
        Reasoning::Codes(codes) => codes.iter().map(|c| c.1).collect(),
    };
    reasons
        .into_iter()
        .map(|r| snapshot.zones.published(r))
        .fold(Families::default(), |all, one| Families {
            addresses: all.addresses || one.addresses,
            names: all.names || one.names,
            digest: all.digest.or(one.digest),
        })
}

/// How much of a list no zone publishes.
fn unpublished(families: &Families, shape: &ListShape) -> lists::Unpublished {
    let count = |published: bool, n: u64| if published { 0 } else { n };
    lists::Unpublished {
        addresses: count(families.addresses, shape.ipv4 + shape.ipv6),
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
    fn before(&self, e: Failed) -> Failed {
        match e {
            Failed::List(why) if !why.contains(&self.first) => {
                Failed::List(format!("{self}: {why}"))
            }
            Failed::Guard(trip) => Failed::Guard(Box::new(GuardTrip {
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
            1 => write!(f, "{} and 1 more file", self.first),
            n => write!(f, "{} and {n} more files", self.first),
        }
    }
}

/// The findings of the reader, one a line.
fn findings(report: &Report) -> String {
    let problems = report.problems.iter().map(ToString::to_string);
    problems
        .chain(report.notes())
        .chain(report.warnings.iter().cloned())
        .map(|l| l + "\n")
        .collect()
}

/// Checks a list that was read to its end by itself, without comparing it with the source's last
/// one.
fn acceptable(
    asked: &Asked,
    mode: Mode,
    report: &Report,
    families: &Families,
) -> Result<(), String> {
    let allowed = asked.skip_errors.allowed(report.taken + report.errors);
    if report.errors > allowed {
        let more = match asked.skip_errors {
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
    if listed == 0 && (report.errors > 0 || (!report.left_out.is_empty() && !asked.allow_empty)) {
        return Err("nothing in the list can be taken; nothing was changed".into());
    }
    if mode == Mode::Replace && listed == 0 && report.shape.exclusions > 0 {
        return Err("the list has only exclusions: they list nothing; nothing was changed".into());
    }
    if listed == 0 && mode == Mode::Replace && !asked.allow_empty {
        return Err("the list has no entries; nothing was changed (--allow-empty, if all of it is meant to end)".into());
    }
    let lost = report.unpublished.addresses + report.unpublished.names + report.unpublished.digests;
    if listed > 0 && lost == listed && mode == Mode::Replace && !asked.unpublished {
        return Err(format!(
            "nothing in the list would be published: the zones of its reasons publish {families}; nothing was changed \
             (--allow-unpublished, if a zone is to publish it later)"
        ));
    }
    Ok(())
}

/// An entry as a row of a feed.
pub fn row(e: lists::Entry) -> (Subject, FeedEntry) {
    let text = EntryText {
        text: e.text,
        path: e.path,
    };
    (
        e.subject,
        FeedEntry {
            reason: e.reason,
            exclusion: e.exclusion,
            implied: e.implied,
            since: Time(0),
            text,
            note: e.note,
        },
    )
}

/// How the list is read.
pub fn options(ledger: &Ledger, asked: &Asked) -> Result<Options, Failed> {
    let v = ledger.store.dictionary();
    let snapshot = ledger.published.snapshot();
    let reasoning = match (&asked.reasons.reason, &asked.reasons.codes) {
        (Some(r), None) => {
            let settings = ledger.settings();
            let known: Vec<&str> = settings.reasons.iter().map(|r| r.name.as_str()).collect();
            let found = v.reasons.get(r).filter(|_| known.contains(&r.as_str()));
            let unknown = || {
                Failed::Invalid(format!(
                    "reason: `{r}` is not in config.toml; there are {}",
                    known.join(", ")
                ))
            };
            Reasoning::One(found.ok_or_else(unknown)?)
        }
        (None, Some(zone)) => {
            let found = find_zone(&snapshot, zone).map_err(Failed::NotFound)?;
            Reasoning::Codes(
                found
                    .publish
                    .iter()
                    .map(|p| (p.code.into(), p.reason))
                    .collect(),
            )
        }
        _ => {
            return Err(Failed::Invalid(
                "say either a reason for all lines, or a zone whose codes give the reasons".into(),
            ));
        }
    };
    let digest = match &reasoning {
        Reasoning::One(reason) => snapshot.zones.digests(Some(*reason)).first().copied(),
        Reasoning::Codes(_) => asked
            .reasons
            .codes
            .as_ref()
            .and_then(|zone| find_zone(&snapshot, zone).ok()?.spec.digest),
    };
    Ok(Options {
        reasoning,
        digest,
        followed: false,
        untraced: false,
        store: ledger.store.store_id(),
        host_bits: if asked.host_bits {
            HostBits::Clear
        } else {
            HostBits::Refuse
        },
        special: asked.special,
        allowed: ledger.settings().special.clone(),
        allow_suffixes: asked.allow_suffixes.clone(),
        column: asked.column.clone(),
        origin: asked.origin.clone(),
        dataset: asked.dataset.clone(),
        subzone: asked.subzone.clone(),
        now: ledger.now(),
    })
}

/// A zone by its origin or short name; the error names those that exist.
pub fn find_zone<'s>(snapshot: &'s Snapshot, name: &str) -> Result<&'s ZoneView, String> {
    let all = snapshot.zones.all();
    let by_name = snapshot.zones.by_name(name).map(|i| &all[i]);
    by_name
        .or_else(|| all.iter().find(|z| z.spec.stem == name))
        .ok_or_else(|| {
            let known: Vec<String> = all.iter().map(|z| z.name.to_string()).collect();
            format!("there is no zone `{name}`; there are {}", known.join(", "))
        })
}
