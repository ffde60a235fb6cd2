//! Lists in and out, streaming. One file for each format, and one line in the table.

pub mod csv;
mod input;
pub mod json;
pub mod list;
pub mod master;
pub mod rbldnsd;
#[cfg(test)]
mod tests;
pub mod write;

use std::io::Read;

use input::Input;
pub use input::{Entry, MAX_PROBLEMS, Options, Problem, Reasoning, Report, Sink, guess, plain};

/// A format of lists.
pub struct Format {
    /// Its name on the command line.
    pub name: &'static str,
    /// Reads a file.
    read: fn(&mut Input) -> Result<(), String>,
    /// What it is, in a few words.
    pub what: &'static str,
}

/// All formats that are read.
pub const FORMATS: [Format; 5] = [
    Format {
        name: "rbldnsd",
        read: rbldnsd::read,
        what: "rbldnsd data files of every type (ip4set, ip4trie, ip4tset, ip6trie, ip6tset, dnset, combined)",
    },
    Format {
        name: "list",
        read: list::read,
        what: "one address, prefix, range or domain a line, with comments and further columns (IPsum, FireHOL, DROP)",
    },
    Format { name: "csv", read: csv::read, what: "comma-separated values with a header; --column names the subject's column" },
    Format {
        name: "json",
        read: json::read,
        what: "JSON lines or one array: strings, or objects with cidr, ip, prefix, domain or subject",
    },
    Format { name: "master", read: master::read, what: "a zone's master file: owner names with A and TXT records" },
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
    let lines = plain(input).map_err(|e| format!("{file}: {e}"))?;
    let mut input = Input::new(lines, file, options, report, sink);
    (format.read)(&mut input)
}
