//! `orbsd compare`.

use std::{
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use hyper::Method;

use super::{
    CliError, Common,
    client::{Client, bytes, escape, with_query},
    import::{FormFile, bar, open, upload},
    text::some,
};
use crate::{
    api::{
        ComparisonCounts, ComparisonFileResponse, ComparisonQuery, ComparisonResponse,
        CoverageResponse, OverlapResponse, ShareResponse,
    },
    exports::replace,
    model::text::counted,
};

/// Compare another list with a zone, or the own sources with each other
#[derive(Debug, Args)]
pub(super) struct Compare {
    /// Other list: FILE (`-` is standard input), axfr:SERVER/ZONE, or source:NAME
    #[arg(
        long,
        value_name = "LIST",
        required_unless_present = "overlap",
        conflicts_with = "overlap"
    )]
    with: Option<String>,
    /// Results of tests: an address and `open` or `closed` on each line
    #[arg(long, value_name = "FILE", requires = "with")]
    tested: Option<PathBuf>,
    /// Own zone: its origin, or its short name [default: the only zone]
    #[arg(long, requires = "with")]
    zone: Option<String>,
    /// Short name of the other list [default: that of the file, zone or source]
    #[arg(long, requires = "with")]
    name: Option<String>,
    /// Name of the own list in the names of files [default: the short name of the zone]
    #[arg(long, value_name = "NAME", requires = "with")]
    us: Option<String>,
    /// Folder in which NAMElist.txt, NAME-vs-US.txt and NAME-vs-US-ok.txt are written
    #[arg(long, value_name = "DIR", requires = "with")]
    write: Option<PathBuf>,
    /// Format of the file, as of `orbsd import` [default: recognised]
    #[arg(long, requires = "with")]
    format: Option<String>,
    /// Column of the subject: name, number from 1, or keys (data.ipAddress) [default: recognised]
    #[arg(long, requires = "with")]
    column: Option<String>,
    /// Origin of a master file that does not name it
    #[arg(long, requires = "with")]
    origin: Option<String>,
    /// Data set type of an rbldnsd file, such as ip4set or dnset [default: recognised by line]
    #[arg(long, requires = "with")]
    dataset: Option<String>,
    /// Sub-zone of a combined rbldnsd file [default: @, the zone itself]
    #[arg(long, requires = "with")]
    subzone: Option<String>,
    /// Show which own source lists what first, and which never drops entries
    #[arg(long)]
    overlap: bool,
}

/// Runs the command.
pub(super) fn run(common: &Common, c: &Compare) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    let Some(with) = &c.with else {
        let overlap: OverlapResponse = client.get("/v1/overlap")?;
        return common.print(&overlap, print_overlap);
    };
    let is_file = !["axfr:", "source:"]
        .iter()
        .any(|kind| with.starts_with(kind));
    let text = |option: &Option<String>| option.clone().unwrap_or_default();
    let query = ComparisonQuery {
        with: if is_file { String::new() } else { with.clone() },
        file: if is_file { with.clone() } else { String::new() },
        name: text(&c.name),
        zone: text(&c.zone),
        us: text(&c.us),
        format: text(&c.format),
        column: c.column.clone(),
        origin: c.origin.clone(),
        dataset: c.dataset.clone(),
        subzone: c.subzone.clone(),
    };
    let (mut files, mut total) = (Vec::new(), 0);
    // The results of tests come first: the daemon needs them when it reads the list.
    let list = is_file.then(|| Path::new(with));
    for (field, path) in [("tested", c.tested.as_deref()), ("file", list)] {
        if let Some(path) = path {
            let (file, bytes) = open(path)?;
            total += bytes;
            files.push(FormFile { field, file });
        }
    }
    let path = with_query("/v1/comparisons", &query);
    let compared: ComparisonResponse = match files.is_empty() {
        true => client.post(&path)?,
        false => upload(&mut client, &path, files, &bar(total), "comparing")?,
    };
    if let Some(folder) = &c.write {
        std::fs::create_dir_all(folder)
            .map_err(|e| CliError::Refused(format!("{}: {e}", folder.display())))?;
        for file in &compared.files {
            write_file(&mut client, folder, &compared.name, file)?;
        }
    }
    common.print(&compared, |compared| {
        print(compared);
        for file in compared.files.iter().filter(|_| c.write.is_some()) {
            println!("{} in {}", counted(file.entries, "entry"), file.file);
        }
    })
}

/// Writes a list of a comparison to a folder. The file is replaced when it is complete.
fn write_file(
    client: &mut Client,
    folder: &Path,
    name: &str,
    file: &ComparisonFileResponse,
) -> Result<(), CliError> {
    let path = format!("/v1/comparisons/{}/{}", escape(name), escape(&file.file));
    let mut body = client.request(Method::GET, &path, ("accept", "text/plain"), bytes(""))?;
    let to = folder.join(&file.file);
    replace(&to, super::umask::user_file_mode(&to), |out| {
        let mut out = BufWriter::new(out);
        while let Some(piece) = client.piece(&mut body)? {
            out.write_all(&piece)?;
        }
        Ok::<(), CliError>(out.flush()?)
    })
}

fn print(c: &ComparisonResponse) {
    println!(
        "{}{} compared with {} at {}",
        c.name,
        c.with.as_ref().map_or(String::new(), |w| format!(" ({w})")),
        c.zone,
        c.compared_at
    );
    if c.read_at != c.compared_at {
        println!("the list was transferred at {}", c.read_at);
    }
    println!(
        "{:<16}{:>14}{:>14}{:>14}{:>14}{:>14}",
        "", "theirs", "ours", "both", "only theirs", "only ours"
    );
    print_counts("entries", &c.total);
    let kinds = [
        ("  ipv4", &c.ipv4),
        ("  ipv6", &c.ipv6),
        ("  names", &c.names),
    ];
    let is_mixed = kinds.iter().filter(|(_, n)| n.theirs + n.ours > 0).count() > 1;
    for (kind, counts) in kinds.into_iter().filter(|_| is_mixed) {
        print_counts(kind, counts);
    }
    print_coverage("ipv4 addresses", &c.ipv4_addresses);
    print_coverage("ipv6 addresses", &c.ipv6_addresses);
    println!(
        "of those only theirs: {} tested open, {} tested closed, {} untested; {} partly ours",
        c.total.tested_open, c.total.tested_closed, c.total.untested, c.total.partly_ours
    );
    c.shares.iter().for_each(print_share);
    for group in &c.samples {
        let samples = group.samples.join(", ");
        println!(
            "only theirs in {}: {}, such as {samples}",
            group.group, group.entries
        );
    }
    if c.left_out > 0 {
        let entries = counted(c.left_out, "entry");
        println!("left out: {entries} of the other list");
    }
    if c.errors > 0 {
        println!("not read: {} of the other list", counted(c.errors, "line"));
    }
    c.problems.iter().for_each(|p| println!("  {p}"));
}

fn print_counts(kind: &str, n: &ComparisonCounts) {
    println!(
        "{kind:<16}{:>14}{:>14}{:>14}{:>14}{:>14}",
        n.theirs, n.ours, n.both, n.only_theirs, n.only_ours
    );
}

fn print_coverage(kind: &str, n: &CoverageResponse) {
    if n.theirs == "0" && n.ours == "0" {
        return;
    }
    println!(
        "{kind:<16}{:>14}{:>14}{:>14}{:>14}{:>14}",
        n.theirs, n.ours, n.both, n.only_theirs, n.only_ours
    );
}

fn print_share(share: &ShareResponse) {
    println!(
        "{:>5.1} %: {} {} of {} {}",
        share.percent,
        share.part_entries,
        share.part.describe(),
        share.whole_entries,
        share.whole.describe()
    );
}

fn print_overlap(overlap: &OverlapResponse) {
    for s in &overlap.sources {
        println!(
            "{}: {}, {} in no other source",
            s.source,
            counted(s.entries, "entry"),
            s.alone
        );
        if let Some(entry) = &s.oldest_alone {
            println!(
                "  the oldest of these: {} since {}",
                entry.subject, entry.since
            );
        }
        if let Some(entry) = &s.oldest_dropped_by_others {
            println!(
                "  not dropped: {} since {}{}{}",
                entry.subject,
                entry.since,
                some(", dropped by ", entry.dropped_by.as_ref()),
                some(" at ", entry.dropped_at.as_ref())
            );
        }
    }
    for pair in &overlap.pairs {
        let [a, b] = &pair.sides;
        println!(
            "{} and {}: {} in both, {} only in {}, {} only in {}",
            a.source, b.source, pair.both, a.only, a.source, b.only, b.source
        );
        for side in [a, b].into_iter().filter(|s| s.first > 0) {
            println!(
                "  {} was first {}{}",
                side.source,
                counted(side.first, "time"),
                some(
                    ", by a median of ",
                    side.median_lead.map(|s| format!("{s} s"))
                )
            );
        }
    }
}
