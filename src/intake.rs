//! Lists on their way into the ledger, whoever brings them: the HTTP API and the feeds read files by this one function.

use std::io::{self, Read};

use crate::{
    format::{self, Options, Reasoning, Report},
    index::{Snapshot, ZoneView},
    ledger::{Import, ImportError, ImportResult, Ledger, Refused, now},
    model::{SourceId, Subject, Time, subject::HostBits, time::Seconds},
    store::{
        schema::{Audit, FeedEntry},
        stage::Mode,
    },
};

/// The number that no source has: whose name is only tried out.
const UNKNOWN: SourceId = SourceId(u16::MAX);

/// What a list is and what becomes of it; texts as people write them, empty for what they did not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Whose it is.
    pub source: String,
    /// Its format; guessed where it is not said.
    pub format: String,
    /// Why its subjects are listed: a reason, or a zone whose codes give the reasons.
    pub reasons: Reasons,
    /// How what is there is treated; replaced where it is not said.
    pub mode: Option<Mode>,
    /// Only tell what would change.
    pub dry_run: bool,
    /// An empty list is meant to be empty.
    pub allow_empty: bool,
    /// Take the lines that can be read although others can not.
    pub skip_errors: bool,
    /// Clear host bits.
    pub host_bits: bool,
    /// Take special ranges.
    pub special: bool,
    /// The column of the subject in a table.
    pub column: Option<String>,
    /// The origin of a master file that does not say it.
    pub origin: Option<String>,
    /// See [`Options::dataset`].
    pub dataset: Option<String>,
    /// See [`Options::subzone`].
    pub subzone: Option<String>,
    /// When the source's life ends unless it comes again.
    pub max_age: Option<Seconds>,
    /// Who asks for it, where it is not the source itself: a line for the audit log.
    pub asked: Option<Audit>,
}

/// Where the reasons of a list come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Reasons {
    /// One for all lines.
    pub reason: Option<String>,
    /// The zone, by origin or file, whose codes tell them.
    pub codes: Option<String>,
}

/// What an import did.
#[derive(Debug)]
pub struct Done {
    /// The format that the last file had.
    pub format: String,
    /// How it was treated.
    pub mode: Mode,
    /// What changed.
    pub result: ImportResult,
    /// What reading has shown.
    pub report: Report,
}

/// Why nothing was changed.
#[derive(Debug)]
pub enum Failed {
    /// What was asked for makes no sense, or the list can not be read.
    Invalid(String),
    /// There is no such zone.
    NoZone(String),
    /// The ledger said no.
    Refused(Refused),
    /// The import could not be: another one is under way, or the source is no feed.
    Busy(String),
}

impl Failed {
    /// An import's error by what the caller can do.
    pub fn of(e: ImportError, ledger: &Ledger) -> Failed {
        let text = |e: &ImportError| e.text(&ledger.store.vocabulary());
        match e {
            ImportError::Refused(r) => Failed::Refused(r),
            ImportError::Input(_) | ImportError::Over(_) => Failed::Invalid(text(&e)),
            _ => Failed::Busy(text(&e)),
        }
    }

    /// In words for people.
    pub fn text(&self, ledger: &Ledger) -> String {
        match self {
            Failed::Invalid(why) | Failed::NoZone(why) | Failed::Busy(why) => why.clone(),
            Failed::Refused(r) => r.text(&ledger.store.vocabulary()),
        }
    }
}

/// Files one after the other, each read to its end.
pub trait Files: Read {
    /// The next file's name; `None` when there is none any more. What was not read of the one before is passed over.
    fn next_file(&mut self) -> io::Result<Option<String>>;
}

/// Imports files, which together are one list. Blocks.
pub fn run(ledger: &Ledger, asked: &Asked, files: &mut dyn Files) -> Result<Done, Failed> {
    let options = options(ledger, asked)?;
    let known = ledger.store.vocabulary().sources.get(&asked.source);
    let source = match known {
        // A dry run leaves nothing behind, not even a name.
        None if asked.dry_run => UNKNOWN,
        _ => ledger.source(&asked.source).map_err(Failed::Refused)?,
    };
    if asked.max_age == Some(Seconds(0)) {
        return Err(Failed::Invalid("max_age: the list would end at once".into()));
    }
    let mut report = Report::default();
    // Only values that are several reasons, and names as a master file has them, make exceptions.
    let exceptions = asked.reasons.codes.is_some() || matches!(asked.format.as_str(), "" | "master");
    let mut what = Import {
        mode: asked.mode.unwrap_or(Mode::Replace),
        dry_run: asked.dry_run,
        max_age: asked.max_age,
        asked: asked.asked.clone(),
        exceptions,
        ..Import::replace(source)
    };
    let mut format = asked.format.clone();
    let result = ledger.import_with(&mut what, |what, sink| {
        while let Some(file) = files.next_file().map_err(|e| e.to_string())? {
            let mut lines = format::plain(Box::new(&mut *files)).map_err(|e| format!("{file}: {e}"))?;
            let name = match asked.format.as_str() {
                "" => format::guess(io::BufRead::fill_buf(&mut lines).map_err(|e| format!("{file}: {e}"))?),
                name => name,
            };
            format = name.into();
            format::read(name, Box::new(lines), &file, &options, &mut report, &mut |e| {
                let (subject, row) = row(e);
                sink(subject, row)
            })?;
        }
        what.expires = report.expires;
        // A download that failed must not take a whole list away.
        if report.taken == 0 && report.errors == 0 && what.mode == Mode::Replace && !asked.allow_empty {
            return Err("the list has no entries; nothing was changed (--allow-empty, if all of it is meant to end)".into());
        }
        if report.errors > 0 && !asked.skip_errors {
            let shown: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
            return Err(format!("{}\n{} lines with errors; nothing was changed", shown.join("\n"), report.errors));
        }
        Ok(())
    });
    let result = result.map_err(|e| Failed::of(e, ledger))?;
    Ok(Done { format, mode: what.mode, result, report })
}

/// An entry as a feed's row has it.
pub fn row(e: format::Entry) -> (Subject, FeedEntry) {
    (e.subject, FeedEntry { reason: e.reason, hole: e.hole, weak: e.weak, since: Time(0), text: e.text })
}

/// How the list is read.
pub fn options(ledger: &Ledger, asked: &Asked) -> Result<Options, Failed> {
    let v = ledger.store.vocabulary();
    let snapshot = ledger.published.snapshot();
    let reasoning = match (&asked.reasons.reason, &asked.reasons.codes) {
        (Some(r), None) => {
            let settings = ledger.settings();
            let known: Vec<&str> = settings.reasons.iter().map(|r| r.name.as_str()).collect();
            let found = v.reasons.get(r).filter(|_| known.contains(&r.as_str()));
            let unknown = || Failed::Invalid(format!("reason: `{r}` is not in config.toml; there are {}", known.join(", ")));
            Reasoning::One(found.ok_or_else(unknown)?)
        }
        (None, Some(zone)) => {
            let found = find_zone(&snapshot, zone).map_err(Failed::NoZone)?;
            Reasoning::Codes(found.publish.iter().map(|p| (p.code.into(), p.reason)).collect())
        }
        _ => return Err(Failed::Invalid("say either a reason for all lines, or a zone whose codes give the reasons".into())),
    };
    Ok(Options {
        reasoning,
        host_bits: if asked.host_bits { HostBits::Clear } else { HostBits::Refuse },
        special: asked.special,
        allowed: ledger.settings().special.clone(),
        column: asked.column.clone(),
        origin: asked.origin.clone(),
        dataset: asked.dataset.clone(),
        subzone: asked.subzone.clone(),
        now: now(),
    })
}

/// A zone by its origin or its file's stem; the error names those that there are.
pub fn find_zone<'s>(snapshot: &'s Snapshot, name: &str) -> Result<&'s ZoneView, String> {
    let all = snapshot.zones.all();
    let by_name = snapshot.zones.by_name(name).map(|i| &all[i]);
    by_name.or_else(|| all.iter().find(|z| z.spec.stem == name)).ok_or_else(|| {
        let known: Vec<String> = all.iter().map(|z| z.name.to_string()).collect();
        format!("there is no zone `{name}`; there are {}", known.join(", "))
    })
}
