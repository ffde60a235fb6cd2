//! A list being read: its lines, what they list, and what is told of them.

use std::{
    io::{BufRead, Read, empty},
    net::Ipv4Addr,
};

use super::{Options, Problem, Reasoning, Report, guess::BOM, report::MAX_PROBLEMS, text};
use crate::model::{
    ReasonId, Subject,
    special::{Unlistable, unlistable},
    subject::HostBits,
    verdict::own_text,
};

/// The longest line that is read; a longer one is an error.
const MAX_LINE: usize = 64 * 1024;

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
    /// What the list says about it, for operators; never published.
    pub note: Option<Box<str>>,
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
    /// Bytes of the line to come that were already read.
    column: usize,
    /// The last line had no end.
    pub(super) unended: bool,
    /// The owner before, in a master file.
    pub(super) seen: Option<String>,
    /// Each entry stands for itself: no exceptions follow from values.
    pub(super) alone: bool,
    /// Whose records are read, where there are no lines to name.
    pub(super) owner: String,
}

impl<'a> Input<'a> {
    /// Starts to read a file.
    pub(super) fn new(
        mut lines: Box<dyn BufRead + 'a>,
        file: &'a str,
        options: &'a Options,
        report: &'a mut Report,
        sink: Sink<'a>,
    ) -> Input<'a> {
        if lines.fill_buf().is_ok_and(|b| b.starts_with(BOM.as_bytes())) {
            lines.consume(BOM.len());
        }
        Input {
            lines,
            file,
            options,
            report,
            sink,
            buffer: Vec::new(),
            line: 0,
            column: 0,
            unended: false,
            seen: None,
            alone: false,
            owner: String::new(),
        }
    }

    /// The first byte that is no white space, which stays to be read; `None` at the end of the file.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, String> {
        loop {
            let first = self.lines.fill_buf().map_err(|e| format!("{}:{}: {e}", self.file, self.line + 1))?.first().copied();
            match first {
                Some(b'\n') => {
                    (self.line, self.column) = (self.line + 1, 0);
                    self.report.lines += 1;
                }
                Some(b' ' | b'\t' | b'\r') => self.column += 1,
                other => return Ok(other),
            }
            self.lines.consume(1);
        }
    }

    /// How many bytes of the line to come were already read.
    pub(super) fn column(&self) -> usize {
        self.column
    }

    /// Hands out the rest of the file, for a reader that does not go by lines.
    pub(super) fn lend(&mut self) -> Box<dyn BufRead + 'a> {
        std::mem::replace(&mut self.lines, Box::new(empty()))
    }

    /// Takes back what that reader left; it stands behind `column` of a line.
    pub(super) fn give_back(&mut self, rest: Box<dyn BufRead + 'a>, column: usize) {
        (self.lines, self.column) = (rest, column);
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
            self.column = 0;
            self.unended = !self.buffer.ends_with(b"\n");
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
            let what = if self.owner.is_empty() { what } else { &format!("{}: {what}", self.owner) };
            self.report.problems.push(Problem { file: self.file.into(), line: self.line, column, what: what.into() });
        }
    }

    /// Tells something that was read over, or that may surprise, in the current line.
    pub(super) fn warn(&mut self, what: &str) {
        self.report.warn(format!("{}:{}: {what}", self.file, self.line));
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
            let whole = text::harmless(t);
            let kept = text::cut(&whole);
            self.report.cut_texts += u64::from(kept.len() < whole.len());
            own_text(kept, &subject).into()
        });
        self.report.taken += 1;
        match &self.options.reasoning {
            Reasoning::One(reason) => (self.sink)(Entry { subject, reason: *reason, hole, weak: false, text, note: None }),
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
                let others = if self.alone { &[][..] } else { &codes[..] };
                for (_, other) in others.iter().filter(|c| Some(*c) != listed && listed.is_none_or(|l| l.1 != c.1)) {
                    (self.sink)(Entry { subject: subject.clone(), reason: *other, hole: true, weak: !hole, text: None, note: None })?;
                }
                match listed {
                    Some((_, reason)) => (self.sink)(Entry { subject, reason: *reason, hole: false, weak: false, text, note: None }),
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
            .try_for_each(|reason| (self.sink)(Entry { subject: subject.clone(), reason, hole: true, weak: true, text: None, note: None }))
    }

    /// Hands an entry on as it is.
    pub(super) fn hand(&mut self, entry: Entry) -> Result<(), String> {
        (self.sink)(entry)
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

/// Whether a word can be a subject.
pub(super) fn is_subject(word: &str) -> bool {
    subjects(word, HostBits::Clear).is_ok()
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
