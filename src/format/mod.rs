//! Lists in and out, streaming. One file for each format, and one line in the table.

pub mod csv;
mod guess;
mod input;
pub mod json;
pub mod list;
pub mod master;
mod options;
pub mod patch;
pub mod rbldnsd;
pub mod records;
mod report;
mod rows;
#[cfg(test)]
mod tests;
mod text;
pub mod write;

use std::io::Read;

pub use guess::{guess, plain};
use input::Input;
pub use input::{Entry, Sink};
pub use options::{Options, Reasoning};
pub use report::{MAX_PROBLEMS, Problem, Report, Shape};

/// A format of lists.
pub struct Format {
    /// Its name on the command line.
    pub name: &'static str,
    /// Reads a file.
    read: fn(&mut Input) -> Result<(), String>,
    /// Whether its lines can have A values, which a zone's codes turn into reasons.
    pub codes: bool,
    /// What it is, in a few words.
    pub what: &'static str,
}

/// All formats that are read.
pub const FORMATS: [Format; 5] = [
    Format {
        name: "rbldnsd",
        read: rbldnsd::read,
        codes: true,
        what: "rbldnsd data files of every type (ip4set, ip4trie, ip4tset, ip6trie, ip6tset, dnset, generic, combined)",
    },
    Format {
        name: "list",
        read: list::read,
        codes: false,
        what: "one address, prefix, range or domain a line, with comments and further columns (IPsum, FireHOL, DROP)",
    },
    Format {
        name: "csv",
        read: csv::read,
        codes: false,
        what: "comma-separated values; --column names the subject's column, or numbers it from 1",
    },
    Format {
        name: "json",
        read: json::read,
        codes: false,
        what: "JSON lines or arrays: strings, or objects with cidr, ip, prefix, domain or subject",
    },
    Format { name: "master", read: master::read, codes: true, what: "a zone's master file: owner names with A and TXT records" },
];

/// Reads one file in a format; gzip is unpacked on the way. Problems are in the report; the error is one that ends everything.
pub fn read<'a>(
    format: &str,
    input: Box<dyn Read + 'a>,
    file: &'a str,
    options: &'a Options,
    report: &'a mut Report,
    sink: Sink<'a>,
) -> Result<(), String> {
    let known = FORMATS.iter().find(|f| f.name == format);
    let format = known.ok_or_else(|| format!("there is no format `{format}`; it is one of {}", FORMATS.map(|f| f.name).join(", ")))?;
    if !format.codes && matches!(options.reasoning, Reasoning::Codes(_)) {
        let with: Vec<&str> = FORMATS.iter().filter(|f| f.codes).map(|f| f.name).collect();
        return Err(format!(
            "{file}: the format `{}` has no A values for codes; say a reason. Formats with codes: {}",
            format.name,
            with.join(", ")
        ));
    }
    if format.name != "rbldnsd" && (options.dataset.is_some() || options.subzone.is_some()) {
        return Err(format!("{file}: data set types and sub-zones belong to the format rbldnsd, and this is read as `{}`", format.name));
    }
    let lines = plain(input).map_err(|e| format!("{file}: {e}"))?;
    let mut input = Input::new(lines, file, options, report, sink);
    (format.read)(&mut input)
}
