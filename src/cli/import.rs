//! `orbsd import`.

use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, ValueEnum};
use hyper::{Method, body::Bytes};
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::{
    CliError, Common,
    client::{Client, pieces, with_query},
    text::join,
};

use crate::{
    api::{ImportMode, ImportQuery, ImportResponse},
    imports::ErrorAllowance,
    model::text::counted,
};

/// The size of the pieces in which a file is sent, in bytes.
const PIECE: usize = 128 * 1024;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    Replace,
    Add,
    Remove,
}

/// Import list files as one list of a source
#[derive(Debug, Args)]
pub(super) struct Import {
    /// Files, plain or packed by gzip, bzip2, xz or zstd; `-` is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Source of the list
    #[arg(long)]
    source: String,
    /// Reason of all entries
    #[arg(
        long,
        required_unless_present = "code_zone",
        conflicts_with = "code_zone"
    )]
    reason: Option<String>,
    /// Zone whose codes give the reasons of the file's A values
    #[arg(long, value_name = "ZONE")]
    code_zone: Option<String>,
    /// Format: rbldnsd, list, csv, json, master, hosts, adblock, rpz, … [default: recognised]
    #[arg(long, default_value = "", hide_default_value = true)]
    format: String,
    /// Effect on the present list: replace it, add to it, or remove from it
    #[arg(long, value_enum, default_value = "replace")]
    mode: Mode,
    /// Show the changes, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Accept an empty list, which ends all listings of the source
    #[arg(long)]
    allow_empty: bool,
    /// Accept N lines with errors, or P% of the entries [default: none; without a value: 5 %, at least 3]
    #[arg(long, value_name = "N|P%", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = error_allowance)]
    skip_errors: Option<String>,
    /// Accept a list that is much shorter than the last one
    #[arg(long)]
    allow_shrink: bool,
    /// Accept a list that is much longer than the last one
    #[arg(long)]
    allow_growth: bool,
    /// Accept names at or above these public suffixes, separated by commas
    #[arg(long, value_name = "SUFFIXES")]
    allow_suffix: Option<String>,
    /// Accept a list of which no zone publishes anything
    #[arg(long)]
    allow_unpublished: bool,
    /// Clear host bits of prefixes instead of refusing them
    #[arg(long)]
    clear_host_bits: bool,
    /// Accept special-purpose ranges
    #[arg(long)]
    allow_special_ranges: bool,
    /// Publish single IPv6 addresses as they are, never as the networks around them
    #[arg(long)]
    exact: bool,
    /// Data set type of an rbldnsd file, such as ip4set or dnset [default: recognised by line]
    #[arg(long)]
    dataset: Option<String>,
    /// Sub-zone of a combined rbldnsd file [default: @, the zone itself]
    #[arg(long)]
    subzone: Option<String>,
    /// Column of the subject: name, number from 1, or keys (data.ipAddress) [default: recognised]
    #[arg(long)]
    column: Option<String>,
    /// Origin of a master file that does not name it
    #[arg(long)]
    origin: Option<String>,
    /// End all listings if the list is not imported again for this time [default: never]
    #[arg(long)]
    max_age: Option<String>,
}

/// The boundary between files: 128 random bits, so that no list contains it.
fn boundary() -> Result<String, CliError> {
    let bits: [u8; 16] = crate::random::Random::system()
        .bytes()
        .map_err(std::io::Error::from)?;
    Ok(bits.iter().map(|b| format!("{b:02x}")).collect())
}

/// The longest encoded name of a file, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// The name of a file for the header of its part, percent-encoded (RFC 7578 section 2). Only the end
/// of a long name is sent.
fn encoded_name(path: &str) -> String {
    let encode = |c: char| match c {
        '"' | '%' | '\\' => format!("%{:02X}", u32::from(c)),
        c if c.is_ascii_control() => format!("%{:02X}", u32::from(c)),
        c => c.to_string(),
    };
    let mut length = 0;
    let fits = |part: &String| {
        length += part.len();
        length <= MAX_NAME_BYTES
    };
    let mut parts: Vec<String> = path.chars().rev().map(encode).take_while(fits).collect();
    parts.reverse();
    parts.concat()
}

/// Checks an allowance of errors before anything is sent. The daemon parses it again.
fn error_allowance(text: &str) -> Result<String, String> {
    text.parse::<ErrorAllowance>().map(|_| text.to_string())
}

/// Imports the files.
pub(super) fn run(common: &Common, c: Import) -> Result<(), CliError> {
    let mut readers: Readers = Vec::new();
    let mut total = 0;
    for path in &c.files {
        let (file, bytes) = open(path)?;
        total += bytes;
        readers.push(file);
    }
    let (dry_run, query) = (c.dry_run, query(c));
    let done = send(common, &query, readers, &bar(total))?;
    common.print(&done, |done| print(done, dry_run))
}

/// A file: its name and its reader.
pub(super) type NamedReader = (String, Box<dyn Read + Send>);
/// The files of one list.
pub(super) type Readers = Vec<NamedReader>;

/// Opens a file; `-` is standard input. Returns its length too, as far as it is known.
pub(super) fn open(path: &Path) -> Result<(NamedReader, u64), CliError> {
    let name = path.display().to_string();
    if name == "-" {
        return Ok(((name, Box::new(std::io::stdin())), 0));
    }
    let file_error = |e| CliError::Usage(format!("{name}: {e}"));
    let file = File::open(path).map_err(file_error)?;
    let metadata = file.metadata().map_err(file_error)?;
    if metadata.is_dir() {
        return Err(CliError::Usage(format!(
            "{name} is a directory; name the files in it"
        )));
    }
    Ok(((name, Box::new(file)), metadata.len()))
}

/// A file as a field of a form.
pub(super) struct FormFile {
    /// The name of the field.
    pub field: &'static str,
    /// The file.
    pub file: NamedReader,
}

/// Sends the files of a list, and returns what the import did.
pub(super) fn send(
    common: &Common,
    query: &ImportQuery,
    readers: Readers,
    bar: &ProgressBar,
) -> Result<ImportResponse, CliError> {
    let mut client = Client::open(common)?;
    let field = |file| FormFile {
        field: "file",
        file,
    };
    let files = readers.into_iter().map(field).collect();
    let path = with_query("/v1/imports", query);
    let result = upload(&mut client, &path, files, bar, "committing");
    if result.is_ok() {
        client.warn_of_clock(query.max_age.as_deref());
    }
    result
}

/// Sends files as parts of one body (RFC 7578). `working` is what the daemon does after it has read
/// them.
pub(super) fn upload<T: DeserializeOwned>(
    client: &mut Client,
    path: &str,
    files: Vec<FormFile>,
    bar: &ProgressBar,
    working: &'static str,
) -> Result<T, CliError> {
    let boundary = boundary()?;
    let kind = format!("multipart/form-data; boundary={boundary}");
    let (tx, rx) = mpsc::channel(4);
    let unread = Arc::new(Mutex::new(None));
    let (found, display) = (unread.clone(), bar.clone());
    std::thread::spawn(move || {
        let sent = send_parts(files, &boundary, &tx, &display, &found);
        sent.into_iter().for_each(|()| display.set_message(working));
    });
    let body = client.request(Method::POST, path, ("content-type", &kind), pieces(rx));
    let result = body.and_then(|body| client.read(body));
    bar.finish_and_clear();
    match unread.lock().take() {
        Some(why) => Err(CliError::Usage(why)),
        None => result,
    }
}

/// Sends the parts of the body, until the request ends. The error about a file that cannot be read
/// is written to `unread` before the request fails by it.
fn send_parts(
    files: Vec<FormFile>,
    boundary: &str,
    tx: &mpsc::Sender<io::Result<Bytes>>,
    display: &ProgressBar,
    unread: &Mutex<Option<String>>,
) -> Option<()> {
    let send = |piece: Bytes| tx.blocking_send(Ok(piece)).ok();
    for FormFile {
        field,
        file: (path, mut reader),
    } in files
    {
        let name = encoded_name(&path);
        let head = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\r\n"
        );
        send(head.into())?;
        loop {
            let mut piece = vec![0; PIECE];
            match reader.read(&mut piece) {
                Ok(0) => break,
                Ok(n) => {
                    piece.truncate(n);
                    display.inc(n as u64);
                    send(piece.into())?;
                }
                Err(e) => {
                    *unread.lock() = Some(format!("{path}: {e}; nothing was changed"));
                    return tx.blocking_send(Err(e)).ok();
                }
            }
        }
        send("\r\n".into())?;
    }
    send(format!("--{boundary}--\r\n").into())
}

/// The query of the request.
fn query(c: Import) -> ImportQuery {
    ImportQuery {
        source: c.source,
        format: c.format,
        reason: c.reason,
        code_zone: c.code_zone,
        mode: match c.mode {
            Mode::Replace => ImportMode::Replace,
            Mode::Add => ImportMode::Add,
            Mode::Remove => ImportMode::Remove,
        },
        dry_run: c.dry_run,
        allow_empty: c.allow_empty,
        skip_errors: c.skip_errors,
        allow_shrink: c.allow_shrink,
        allow_growth: c.allow_growth,
        allow_suffix: c.allow_suffix.unwrap_or_default(),
        unpublished: c.allow_unpublished,
        clear_host_bits: c.clear_host_bits,
        special: c.allow_special_ranges,
        exact: c.exact,
        column: c.column,
        origin: c.origin,
        dataset: c.dataset,
        subzone: c.subzone,
        max_age: c.max_age,
        file: String::new(),
    }
}

/// A progress bar with rate and remaining time, on a terminal.
pub(super) fn bar(total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let display = if total > 0 {
        "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left {msg}"
    } else {
        "{spinner} {bytes} {bytes_per_sec} {msg}"
    };
    let style = ProgressStyle::with_template(display);
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Prints what an import read, and what it changed or would change; listings and exclusions apart.
pub(super) fn print(done: &ImportResponse, dry_run: bool) {
    let d = done.difference.clone().unwrap_or_default();
    let report = done.report.clone().unwrap_or_default();
    println!(
        "{}: {} read as {}",
        done.source,
        counted(report.lines, "line"),
        done.format.as_deref().unwrap_or_default()
    );
    let [add, change, remove] = match dry_run {
        true => ["to add", "to change", "to remove"],
        false => ["added", "changed", "removed"],
    };
    println!(
        "listings: {} {add}, {} {change}, {} {remove}, {} unchanged",
        d.added.saturating_sub(d.excluded_added),
        d.changed,
        d.removed.saturating_sub(d.excluded_removed),
        d.same.saturating_sub(d.excluded_same)
    );
    if d.excluded_added + d.excluded_removed + d.excluded_same > 0 {
        println!(
            "exclusions: {} {add}, {} {remove}, {} unchanged",
            d.excluded_added, d.excluded_removed, d.excluded_same
        );
    }
    if d.held > 0 {
        println!(
            "held: {} stay unlisted, since a removal was granted",
            d.held
        );
    }
    if report.errors > 0 {
        println!("errors: {} not read", counted(report.errors, "line"));
    }
    report.problems.iter().for_each(|p| println!("  {p}"));
    report.notes().iter().for_each(|n| println!("{n}"));
    for warning in &report.warnings {
        println!("warning: {warning}");
    }
    if report.more_warnings > 0 {
        println!("and {}", counted(report.more_warnings, "more warning"));
    }
    if dry_run {
        for (sample, sign) in [(&d.sample_added, '+'), (&d.sample_removed, '-')] {
            sample.iter().for_each(|s| println!("  {sign} {s}"));
        }
        report.ranges.iter().for_each(|r| println!("  {r}"));
    }
    if let Some(r) = &done.receipt {
        let serials = r.serials.iter().map(|(z, s)| format!("{z} serial {s}"));
        println!("commit {} {}", r.commit, join(serials));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_is_percent_encoded() {
        assert_eq!(encoded_name("lists/é.txt"), "lists/é.txt");
        assert_eq!(
            encoded_name("fi\u{1b}[31m\nle\"100%\\.txt"),
            "fi%1B[31m%0Ale%22100%25%5C.txt"
        );
        let long = encoded_name(&("\n".repeat(200) + "end"));
        assert!(
            long.len() <= MAX_NAME_BYTES && long.starts_with("%0A") && long.ends_with("%0Aend"),
            "{long}"
        );
    }
}
