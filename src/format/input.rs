//! A list being read: its lines, what they list, and what is told of them.

use std::{
    io::{self, BufRead, Read},
    net::Ipv4Addr,
};

use crate::model::{
    ReasonId, Subject, Time,
    special::{Unlistable, unlistable},
    subject::HostBits,
    verdict::{MAX_TEXT, own_text},
};

/// The longest line that is read; a longer one is an error.
const MAX_LINE: usize = 64 * 1024;
/// How many problems are told; the rest is only counted.
pub const MAX_PROBLEMS: usize = 20;

/// How a file's values become reasons.
#[derive(Debug, Clone)]
pub enum Reasoning {
    /// Every line has this one.
    One(ReasonId),
    /// By the A record's value; the codes of a zone.
    Codes(Vec<(Ipv4Addr, ReasonId)>),
}

/// How a list is read.
#[derive(Debug, Clone)]
pub struct Options {
    /// The reasons.
    pub reasoning: Reasoning,
    /// What to do with host bits in a prefix.
    pub host_bits: HostBits,
    /// Take special ranges.
    pub special: bool,
    /// Special ranges that are taken anyway.
    pub allowed: Vec<Subject>,
    /// The column of the subject in a table.
    pub column: Option<String>,
    /// The origin of a master file, where it has no `$ORIGIN`.
    pub origin: Option<String>,
}

/// A line's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is about.
    pub subject: Subject,
    /// Why.
    pub reason: ReasonId,
    /// An exception from a wider listing of the same source.
    pub hole: bool,
    /// The exception follows from another line's value and yields to a listing of the very same subject.
    pub weak: bool,
    /// Its own text, `$` standing for the subject.
    pub text: Option<Box<str>>,
}

/// A problem with its place.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column in bytes, from 1.
    pub column: usize,
    /// What was expected.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.what)
    }
}

/// What reading files has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// Lines read.
    pub lines: u64,
    /// Entries taken.
    pub taken: u64,
    /// Skipped: in a special range.
    pub special: u64,
    /// Skipped: wider than a list may be.
    pub too_wide: u64,
    /// Dropped: test points, which every zone has.
    pub test_points: u64,
    /// Texts that were cut: a TXT string has at most 255 bytes.
    pub cut_texts: u64,
    /// Lines with errors.
    pub errors: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
    /// Things that were read over.
    pub warnings: Vec<String>,
    /// When the file says that it ends.
    pub expires: Option<Time>,
}

/// Where entries go. An error ends the reading.
pub type Sink<'a> = &'a mut dyn FnMut(Entry) -> Result<(), String>;

/// A file being read: its lines, and where its entries and problems go.
pub struct Input<'a> {
    lines: Box<dyn BufRead + 'a>,
    pub(super) file: &'a str,
    pub(super) options: &'a Options,
    pub(super) report: &'a mut Report,
    sink: Sink<'a>,
    buffer: Vec<u8>,
    pub(super) line: u64,
    /// The owner before, in a master file.
    pub(super) seen: Option<String>,
}

/// Bytes as they are, or unpacked where they start as gzip does.
pub fn plain<'a>(input: Box<dyn Read + 'a>) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut input = io::BufReader::with_capacity(1 << 17, input);
    if input.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(io::BufReader::with_capacity(1 << 17, flate2::bufread::MultiGzDecoder::new(input))));
    }
    Ok(Box::new(input))
}

/// Guesses a format from a file's first bytes.
pub fn guess(head: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let special = |l: &str| {
        ["$SOA", "$NS", "$TTL ", "$TIMESTAMP", "$DATASET", "$MAXRANGE4", "$="]
            .iter()
            .any(|s| l.trim_start_matches(['#', ';', ':']).starts_with(s))
    };
    if lines.clone().any(|l| l.starts_with("$ORIGIN") || l.split_whitespace().any(|w| w == "SOA")) {
        return "master";
    }
    if lines.clone().any(|l| special(l) || l.starts_with(':') || l.starts_with('!') || l.contains(":127.0.")) {
        return "rbldnsd";
    }
    let first = lines.find(|l| !l.starts_with(['#', ';'])).unwrap_or("");
    match first.chars().next() {
        Some('{' | '[' | '"') if !first.contains("]:") => "json",
        _ if first.contains(',') => "csv",
        _ => "list",
    }
}

impl<'a> Input<'a> {
    /// Starts to read a file.
    pub(super) fn new(
        lines: Box<dyn BufRead + 'a>,
        file: &'a str,
        options: &'a Options,
        report: &'a mut Report,
        sink: Sink<'a>,
    ) -> Input<'a> {
        Input { lines, file, options, report, sink, buffer: Vec::new(), line: 0, seen: None }
    }

    /// The next line without its end; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<String>, String> {
        loop {
            self.buffer.clear();
            let mut limited = (&mut self.lines).take(MAX_LINE as u64 + 1);
            let n = limited.read_until(b'\n', &mut self.buffer).map_err(|e| format!("{}:{}: {e}", self.file, self.line + 1))?;
            if n == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.report.lines += 1;
            if n > MAX_LINE {
                self.problem(1, &format!("the line is longer than {MAX_LINE} bytes"));
                while !self.buffer.ends_with(b"\n") {
                    self.buffer.clear();
                    let mut limited = (&mut self.lines).take(MAX_LINE as u64);
                    if limited.read_until(b'\n', &mut self.buffer).map_err(|e| e.to_string())? == 0 {
                        break;
                    }
                }
                continue;
            }
            while self.buffer.last().is_some_and(|b| b"\r\n".contains(b)) {
                self.buffer.pop();
            }
            return Ok(Some(String::from_utf8_lossy(&self.buffer).into_owned()));
        }
    }

    /// Notes a problem in the current line.
    pub(super) fn problem(&mut self, column: usize, what: &str) {
        self.report.errors += 1;
        if self.report.problems.len() < MAX_PROBLEMS {
            self.report.problems.push(Problem { file: self.file.into(), line: self.line, column, what: what.into() });
        }
    }

    /// Takes a subject with what the line says of it: its code, or none, and its text.
    pub(super) fn take(
        &mut self,
        subject: Subject,
        hole: bool,
        code: Option<Ipv4Addr>,
        text: Option<&str>,
        column: usize,
    ) -> Result<(), String> {
        match unlistable(&subject, &self.options.allowed) {
            None => {}
            Some(Unlistable::Special) if self.options.special => {}
            Some(Unlistable::TestPoint | Unlistable::Never) => {
                self.report.test_points += 1;
                return Ok(());
            }
            Some(Unlistable::Special | Unlistable::HoldsNever) => {
                self.report.special += 1;
                return Ok(());
            }
            Some(Unlistable::TooWide) => {
                self.report.too_wide += 1;
                return Ok(());
            }
        }
        let text = text.filter(|t| !hole && !t.is_empty()).map(|t| {
            if t.len() > MAX_TEXT {
                self.report.cut_texts += 1;
            }
            own_text(t, &subject).into()
        });
        self.report.taken += 1;
        match &self.options.reasoning {
            Reasoning::One(reason) => (self.sink)(Entry { subject, reason: *reason, hole, weak: false, text }),
            Reasoning::Codes(codes) => {
                let code = code.unwrap_or(Ipv4Addr::new(127, 0, 0, 2));
                let listed = codes.iter().find(|(c, _)| *c == code).filter(|_| !hole);
                if listed.is_none() && !hole {
                    self.report.taken -= 1;
                    let known: Vec<String> = codes.iter().map(|(c, _)| c.to_string()).collect();
                    self.problem(column, &format!("{code} is no code of the zone; it has {}", known.join(", ")));
                    return Ok(());
                }
                // The longest match decides with its whole value: here nothing else is listed.
                for (_, other) in codes.iter().filter(|c| Some(*c) != listed && listed.is_none_or(|l| l.1 != c.1)) {
                    (self.sink)(Entry { subject: subject.clone(), reason: *other, hole: true, weak: !hole, text: None })?;
                }
                match listed {
                    Some((_, reason)) => (self.sink)(Entry { subject, reason: *reason, hole: false, weak: false, text }),
                    None => Ok(()),
                }
            }
        }
    }

    /// An exception for every reason, which yields to a listing of the very same subject.
    pub(super) fn take_weak(&mut self, subject: &Subject) -> Result<(), String> {
        let reasons: Vec<ReasonId> = match &self.options.reasoning {
            Reasoning::One(r) => vec![*r],
            Reasoning::Codes(codes) => codes.iter().map(|c| c.1).collect(),
        };
        reasons
            .into_iter()
            .try_for_each(|reason| (self.sink)(Entry { subject: subject.clone(), reason, hole: true, weak: true, text: None }))
    }

    /// Takes the subject that a word spells: an address, a prefix, a range, a domain.
    pub(super) fn take_word(
        &mut self,
        word: &str,
        hole: bool,
        code: Option<Ipv4Addr>,
        text: Option<&str>,
        column: usize,
    ) -> Result<(), String> {
        match subjects(word, self.options.host_bits) {
            Ok(subjects) => subjects.into_iter().try_for_each(|s| self.take(s, hole, code, text, column)),
            Err(why) => {
                self.problem(column, &why);
                Ok(())
            }
        }
    }
}

/// The subjects of a word: one, or the fewest prefixes of a range `first-last`.
fn subjects(word: &str, host_bits: HostBits) -> Result<Vec<Subject>, String> {
    use crate::model::{Prefix4, Prefix6};
    if let Some((a, b)) = word.split_once('-') {
        use std::net::Ipv6Addr;
        if let (Ok(a), Ok(b)) = (a.trim().parse::<Ipv4Addr>(), b.trim().parse::<Ipv4Addr>()) {
            if a > b {
                return Err(format!("`{word}`: a range goes from the lower address to the higher"));
            }
            return Ok(Prefix4::cover(a.to_bits(), b.to_bits()).map(Subject::V4).collect());
        }
        if let (Ok(a), Ok(b)) = (a.trim().parse::<Ipv6Addr>(), b.trim().parse::<Ipv6Addr>()) {
            if a > b {
                return Err(format!("`{word}`: a range goes from the lower address to the higher"));
            }
            return Ok(Prefix6::cover(a.to_bits(), b.to_bits()).map(Subject::V6).collect());
        }
    }
    Subject::parse(word, host_bits).map(|s| vec![s])
}
