//! The input of a format's reader: the lines of a file, and the receivers of its entries, problems
//! and warnings.

use std::{
    io::{BufRead, Read, empty},
    net::Ipv4Addr,
};

use super::{
    ListReport, Options, Reasoning,
    report::{Omission, Remark},
    text,
    word::{self, PublicSuffix, Rules, WordError},
};
use crate::model::{
    FeedPath, ReasonId, Subject,
    special::{Unlistable, unlistable},
    verdict::own_text,
};

/// The longest line; a longer one is an error.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEntry {
    /// The subject.
    pub subject: Subject,
    /// The reason.
    pub reason: ReasonId,
    /// An exclusion from a wider listing of the same source.
    pub exclusion: bool,
    /// The exclusion follows from the value of another line; a listing of the same subject
    /// overrides it.
    pub implied: bool,
    /// Its own text; `$` is replaced by the subject.
    pub text: Option<Box<str>>,
    /// The stores that it came through.
    pub path: FeedPath,
    /// A note for operators, such as the publisher's case number; never published.
    pub note: Option<Box<str>>,
}

/// Receives entries. An error ends the reading.
pub type Sink<'a> = &'a mut dyn FnMut(ListEntry) -> Result<(), String>;

/// A file that is being read.
pub struct Input<'a> {
    lines: Box<dyn BufRead + 'a>,
    pub(super) file: &'a str,
    pub(super) options: &'a Options,
    pub(super) report: &'a mut ListReport,
    sink: Sink<'a>,
    buffer: Vec<u8>,
    pub(super) line: u64,
    /// How many bytes of the next line were already read.
    column: usize,
    /// The last line had no line end.
    pub(super) unended: bool,
    /// The previous owner, in a master file.
    pub(super) previous_owner: Option<String>,
    /// Entries are independent: their values imply no exclusions.
    pub(super) alone: bool,
    /// The current owner of a followed zone, which messages name instead of a line.
    pub(super) owner: String,
    /// The note of the next entries.
    pub(super) note: Option<Box<str>>,
    /// The path of the next entries.
    pub(super) path: FeedPath,
}

impl<'a> Input<'a> {
    /// Creates the input of a file.
    pub(super) fn new(
        lines: Box<dyn BufRead + 'a>,
        file: &'a str,
        options: &'a Options,
        report: &'a mut ListReport,
        sink: Sink<'a>,
    ) -> Input<'a> {
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
            previous_owner: None,
            alone: false,
            owner: String::new(),
            note: None,
            path: if options.untraced {
                FeedPath::Untraced
            } else {
                FeedPath::Own
            },
        }
    }

    /// The next bytes, without consuming them; at the start of a file these are its head.
    pub(super) fn head(&mut self) -> Result<&[u8], String> {
        self.lines
            .fill_buf()
            .map_err(|e| format!("{}:{}: {e}", self.file, self.line + 1))
    }

    /// The rules for words of this list.
    pub(super) fn rules(&self) -> Rules {
        Rules {
            host_bits: self.options.host_bits,
            digest: self.options.digest,
        }
    }

    /// The first byte that is not white space, without consuming it; `None` at the end of the file.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, String> {
        loop {
            let first = self
                .lines
                .fill_buf()
                .map_err(|e| format!("{}:{}: {e}", self.file, self.line + 1))?
                .first()
                .copied();
            match first {
                Some(b'\n') => {
                    (self.line, self.column) = (self.line + 1, 0);
                    self.report.lines += 1;
                }
                // Concatenated files can have a byte order mark at the start of each, and old files
                // a ^Z at their end.
                Some(b' ' | b'\t' | b'\r' | 0xef | 0xbb | 0xbf | 0x1a) => self.column += 1,
                other => return Ok(other),
            }
            self.lines.consume(1);
        }
    }

    /// How many bytes of the next line were already read.
    pub(super) fn column(&self) -> usize {
        self.column
    }

    /// Takes the rest of the file for a reader that does not read lines.
    pub(super) fn lend(&mut self) -> Box<dyn BufRead + 'a> {
        std::mem::replace(&mut self.lines, Box::new(empty()))
    }

    /// Takes back what that reader has not read, which begins after `column` of a line.
    pub(super) fn give_back(&mut self, rest: Box<dyn BufRead + 'a>, column: usize) {
        (self.lines, self.column) = (rest, column);
    }

    /// The next line without its end; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<String>, String> {
        loop {
            self.buffer.clear();
            let mut limited = (&mut self.lines).take(MAX_LINE_BYTES as u64 + 1);
            let n = limited
                .read_until(b'\n', &mut self.buffer)
                .map_err(|e| format!("{}:{}: {e}", self.file, self.line + 1))?;
            if n == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.report.lines += 1;
            self.column = 0;
            self.unended = !self.buffer.ends_with(b"\n");
            if n > MAX_LINE_BYTES {
                self.problem(
                    1,
                    &format!("the line is longer than {MAX_LINE_BYTES} bytes"),
                );
                while !self.buffer.ends_with(b"\n") {
                    self.buffer.clear();
                    let mut limited = (&mut self.lines).take(MAX_LINE_BYTES as u64);
                    if limited
                        .read_until(b'\n', &mut self.buffer)
                        .map_err(|e| e.to_string())?
                        == 0
                    {
                        break;
                    }
                }
                continue;
            }
            while self.buffer.last().is_some_and(|b| b"\r\n\x1a".contains(b)) {
                self.buffer.pop();
            }
            if self.buffer.contains(&0) {
                return Err(format!(
                    "{}:{}: there is a NUL byte: the file is not text; nothing was changed",
                    self.file, self.line
                ));
            }
            let text = String::from_utf8_lossy(&self.buffer);
            let clean = word::without_marks(&text);
            if clean.len() < text.len() {
                let (file, line) = (self.file, self.line);
                self.report
                    .remark(Remark::InvisibleCharacter, || format!("{file}:{line}"));
            }
            return Ok(Some(clean.into_owned()));
        }
    }

    /// Records a problem in the current line. Problems whose texts differ only in numbers and in
    /// the parts in backticks are of one class.
    pub(super) fn problem(&mut self, column: usize, message: &str) {
        self.problem_of("", column, message);
    }

    /// Records that a word in the current line is not an entry.
    pub(super) fn word_problem(&mut self, column: usize, e: &WordError) {
        self.problem_of(e.class, column, &e.text);
    }

    /// Records a problem of a class.
    pub(super) fn problem_of(&mut self, class: &str, column: usize, message: &str) {
        let message = if self.owner.is_empty() {
            message
        } else {
            &format!("{}: {message}", self.owner)
        };
        self.report
            .problem(self.file, self.line, column, class, message);
    }

    /// Counts an entry or rule in the current line that is left out.
    pub(super) fn leave_out(&mut self, kind: Omission, column: usize, found: &str) {
        let (file, line) = (self.file, self.line);
        self.report
            .leave_out(kind, || place(file, line, column, found));
    }

    /// Leaves out a line that is not a rule of the format. A line that starts with an address is an
    /// error.
    pub(super) fn other_line(&mut self, column: usize, line: &str) {
        let word = line.split([' ', '\t', ';', ',']).next().unwrap_or("");
        if word
            .split('/')
            .next()
            .is_some_and(|a| a.parse::<std::net::IpAddr>().is_ok())
        {
            let message = format!(
                "`{line}` is not a rule of this format; to read one address a line, use --format list"
            );
            self.problem_of("an address without a rule", column, &message);
        } else {
            self.leave_out(Omission::OtherLine, column, line);
        }
    }

    /// Counts an entry in the current line that is accepted with a remark.
    pub(super) fn remark(&mut self, kind: Remark, column: usize, found: &str) {
        let (file, line) = (self.file, self.line);
        self.report
            .remark(kind, || place(file, line, column, found));
    }

    /// Records a warning about the current line.
    pub(super) fn warn(&mut self, message: &str) {
        self.report
            .warn(format!("{}:{}: {message}", self.file, self.line));
    }

    /// Accepts a subject with its code (if it has one) and its text.
    pub(super) fn take(
        &mut self,
        subject: Subject,
        exclusion: bool,
        code: Option<Ipv4Addr>,
        text: Option<&str>,
        column: usize,
    ) -> Result<(), String> {
        if let Some(kind) = self.omission(&subject, exclusion) {
            self.leave_out(kind, column, &subject.to_string());
            return Ok(());
        }
        let text = text.filter(|t| !exclusion && !t.is_empty()).map(|t| {
            let whole = text::harmless(t);
            let kept = text::cut(&whole);
            if kept.len() < whole.len() {
                self.remark(Remark::CutText, column, &subject.to_string());
            }
            if *whole != *t {
                self.remark(Remark::ReplacedText, column, &subject.to_string());
            }
            own_text(kept, &subject).into()
        });
        let (note, path) = (self.note.clone(), self.path.clone());
        self.report.taken += 1;
        match &self.options.reasoning {
            Reasoning::One(reason) => {
                self.count(&subject, exclusion);
                (self.sink)(ListEntry {
                    subject,
                    reason: *reason,
                    exclusion,
                    implied: false,
                    text,
                    path,
                    note,
                })
            }
            Reasoning::Codes(codes) => {
                let code = code.unwrap_or(Ipv4Addr::new(127, 0, 0, 2));
                let listed = codes
                    .iter()
                    .find(|(c, _)| *c == code)
                    .filter(|_| !exclusion);
                if listed.is_none() && !exclusion {
                    self.report.taken -= 1;
                    let known: Vec<String> = codes.iter().map(|(c, _)| c.to_string()).collect();
                    self.problem(
                        column,
                        &format!(
                            "`{code}` is not a code of the zone; its codes are {}",
                            known.join(", ")
                        ),
                    );
                    return Ok(());
                }
                self.count(&subject, exclusion);
                // The longest match decides for all reasons, so other reasons are excluded here.
                let others = if self.alone { &[][..] } else { &codes[..] };
                for (_, other) in others
                    .iter()
                    .filter(|c| Some(*c) != listed && listed.is_none_or(|l| l.1 != c.1))
                {
                    (self.sink)(ListEntry {
                        subject: subject.clone(),
                        reason: *other,
                        exclusion: true,
                        implied: !exclusion,
                        text: None,
                        path: FeedPath::Own,
                        note: None,
                    })?;
                }
                match listed {
                    Some((_, reason)) => (self.sink)(ListEntry {
                        subject,
                        reason: *reason,
                        exclusion: false,
                        implied: false,
                        text,
                        path,
                        note,
                    }),
                    None => Ok(()),
                }
            }
        }
    }

    /// Accepts an implied exclusion for every reason.
    pub(super) fn take_implied(&mut self, subject: &Subject) -> Result<(), String> {
        let reasons: Vec<ReasonId> = match &self.options.reasoning {
            Reasoning::One(r) => vec![*r],
            Reasoning::Codes(codes) => codes.iter().map(|c| c.1).collect(),
        };
        reasons.into_iter().try_for_each(|reason| {
            (self.sink)(ListEntry {
                subject: subject.clone(),
                reason,
                exclusion: true,
                implied: true,
                text: None,
                path: FeedPath::Own,
                note: None,
            })
        })
    }

    /// Passes an entry on unchanged.
    pub(super) fn emit(&mut self, entry: ListEntry) -> Result<(), String> {
        (self.sink)(entry)
    }

    /// Counts an accepted entry.
    fn count(&mut self, subject: &Subject, exclusion: bool) {
        let shape = &mut self.report.shape;
        let counter = match subject {
            _ if exclusion => &mut shape.exclusions,
            Subject::V4(_) => &mut shape.ipv4,
            Subject::V6(_) => &mut shape.ipv6,
            Subject::Domain(d)
                if self
                    .options
                    .digest
                    .is_some_and(|digest| digest.publishes(d)) =>
            {
                &mut shape.digests
            }
            Subject::Domain(_) => &mut shape.names,
        };
        *counter += 1;
    }

    /// Why a rule leaves a subject out; `None` if none does. The public suffix list does not apply
    /// to zones that are followed.
    fn omission(&mut self, subject: &Subject, exclusion: bool) -> Option<Omission> {
        match unlistable(subject, &self.options.allowed) {
            None => {}
            Some(Unlistable::Special) if self.options.special => {}
            Some(Unlistable::TestPoint | Unlistable::Never) => return Some(Omission::TestPoint),
            Some(Unlistable::Special) => return Some(Omission::SpecialRange),
            Some(Unlistable::ContainsNever) => return Some(Omission::Loopback),
            Some(Unlistable::TooWide) => return Some(Omission::TooWide),
        }
        if exclusion || self.options.followed {
            return None;
        }
        match word::public_suffix(subject, &self.options.allow_suffixes)? {
            PublicSuffix::Icann => Some(Omission::PublicSuffix),
            PublicSuffix::PrivateTree => {
                self.remark(Remark::PrivateSuffix, 1, &subject.to_string());
                None
            }
        }
    }

    /// Accepts the subjects of a text that is one entry, such as a field of a table.
    pub(super) fn take_word(
        &mut self,
        word: &str,
        exclusion: bool,
        code: Option<Ipv4Addr>,
        text: Option<&str>,
        column: usize,
    ) -> Result<(), String> {
        match word::first(word, &self.rules()) {
            Ok(e) if e.used == word.len() && !e.last_column => {
                if e.subjects.len() > 1 {
                    self.report.range(word, &e.subjects);
                }
                self.take_entry(e, exclusion, code, text, column)
            }
            Ok(e) => {
                let more = word[e.used..].trim();
                let message = format!(
                    "`{word}`: an entry is one address, prefix, range or name; remove `{more}`"
                );
                self.problem_of("more than one entry", column, &message);
                Ok(())
            }
            Err(e) => {
                self.word_problem(column, &e);
                Ok(())
            }
        }
    }

    /// Accepts an entry that was parsed.
    pub(super) fn take_entry(
        &mut self,
        entry: word::EntryStart,
        exclusion: bool,
        code: Option<Ipv4Addr>,
        text: Option<&str>,
        column: usize,
    ) -> Result<(), String> {
        if let Some(port) = entry.port {
            let found = entry
                .subjects
                .first()
                .map_or(String::new(), |s| format!("{s}, port {port}"));
            self.remark(Remark::Port, column, &found);
        }
        entry
            .subjects
            .into_iter()
            .try_for_each(|s| self.take(s, exclusion, code, text, column))
    }
}

/// A position and the text found there.
fn place(file: &str, line: u64, column: usize, found: &str) -> String {
    format!("{file}:{line}:{column}: {found}")
}

/// Whether a word can be a subject.
pub(super) fn is_subject(word: &str) -> bool {
    let rules = Rules {
        host_bits: crate::model::subject::HostBits::Clear,
        digest: None,
    };
    word::first(word, &rules).is_ok_and(|e| e.used == word.len())
}
