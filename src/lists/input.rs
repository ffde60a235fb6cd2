//! The input of a format's reader: the lines of a file, and the receivers of its entries, problems
//! and warnings.

use std::{
    io::{BufRead, Read, empty},
    net::Ipv4Addr,
};

use super::{
    ListReport, Options,
    entry::{self, EntryError, PublicSuffix, Rules},
    report::{Omission, Remark},
    text,
};
use crate::model::{
    FeedPath, ReasonId, Subject,
    special::{Unlistable, unlistable},
    verdict::own_text,
};

/// The longest line; a longer one is an error.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// The A value of an entry that has none.
pub(super) const DEFAULT_CODE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

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

impl ListEntry {
    /// An exclusion without a note, of this store.
    pub(super) fn exclusion(subject: Subject, reason: ReasonId, implied: bool) -> ListEntry {
        ListEntry {
            subject,
            reason,
            exclusion: true,
            implied,
            text: None,
            path: FeedPath::Own,
            note: None,
        }
    }
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
        let (file, line) = (self.file, self.line + 1);
        self.lines
            .fill_buf()
            .map_err(|e| format!("{file}:{line}: {e}"))
    }

    /// A message about the current line that ends the reading.
    pub(super) fn located(&self, message: impl std::fmt::Display) -> String {
        format!("{}:{}: {message}", self.file, self.line)
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
            match self.head()?.first().copied() {
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
            let n = (&mut self.lines)
                .take(MAX_LINE_BYTES as u64 + 1)
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
                if self.unended {
                    self.lines.skip_until(b'\n').map_err(|e| e.to_string())?;
                }
                continue;
            }
            while self.buffer.last().is_some_and(|b| b"\r\n\x1a".contains(b)) {
                self.buffer.pop();
            }
            if self.buffer.contains(&0) {
                return Err(
                    self.located("there is a NUL byte: the file is not text; nothing was changed")
                );
            }
            let text = String::from_utf8_lossy(&self.buffer);
            let clean = entry::without_marks(&text);
            if clean.len() < text.len() {
                let place = || format!("{}:{}", self.file, self.line);
                self.report.remark(Remark::InvisibleCharacter, place);
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
    pub(super) fn entry_problem(&mut self, column: usize, e: &EntryError) {
        self.problem_of(e.class, column, &e.text);
    }

    /// The value of a result; its error is recorded as a problem in the current line.
    pub(super) fn valid<T>(
        &mut self,
        column: usize,
        result: Result<T, impl Into<EntryError>>,
    ) -> Option<T> {
        result
            .map_err(|e| self.entry_problem(column, &e.into()))
            .ok()
    }

    /// Records a problem of a class.
    pub(super) fn problem_of(&mut self, class: &str, column: usize, message: &str) {
        let separator = if self.owner.is_empty() { "" } else { ": " };
        let message = &format!("{}{separator}{message}", self.owner);
        self.report
            .problem(self.file, self.line, column, class, message);
    }

    /// Counts an entry or rule in the current line that is left out.
    pub(super) fn leave_out(&mut self, kind: Omission, column: usize, found: &str) {
        self.report.leave_out(kind, || {
            format!("{}:{}:{column}: {found}", self.file, self.line)
        });
    }

    /// Leaves out a line that is not a rule of the format. A line that starts with an address is an
    /// error.
    pub(super) fn other_line(&mut self, column: usize, line: &str) {
        let word = line.split([' ', '\t', ';', ',']).next().unwrap_or("");
        if entry::starts_with_address(word) {
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
        self.report.remark(kind, || {
            format!("{}:{}:{column}: {found}", self.file, self.line)
        });
    }

    /// Records a warning about the current line.
    pub(super) fn warn(&mut self, message: &str) {
        self.report.warn(self.located(message));
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
        let options = self.options;
        let listed = match &options.reasoning {
            mapping if mapping.is_by_code() && exclusion => 0,
            mapping => match mapping.reasons_of(code.unwrap_or(DEFAULT_CODE)) {
                Ok(reasons) => reasons,
                Err(what) => {
                    self.problem(column, &what);
                    return Ok(());
                }
            },
        };
        self.report.accepted += 1;
        self.count(&subject, exclusion);
        // The longest match decides for all reasons, so other reasons are excluded here.
        if !self.alone {
            let codes = options.reasoning.codes().iter();
            for (_, other) in codes.filter(|c| c.1.bit() & listed == 0) {
                (self.sink)(ListEntry::exclusion(subject.clone(), *other, !exclusion))?;
            }
        }
        let mut reasons = ReasonId::all_of(listed);
        let Some(reason) = reasons.next() else {
            return Ok(());
        };
        let entry = ListEntry {
            subject,
            reason,
            exclusion,
            implied: false,
            text,
            path: self.path.clone(),
            note: self.note.clone(),
        };
        for reason in reasons {
            (self.sink)(ListEntry {
                reason,
                ..entry.clone()
            })?;
        }
        (self.sink)(entry)
    }

    /// Accepts an implied exclusion for every reason.
    pub(super) fn take_implied(&mut self, subject: &Subject) -> Result<(), String> {
        let mut reasons = self.options.reasoning.reasons();
        reasons.try_for_each(|r| (self.sink)(ListEntry::exclusion(subject.clone(), r, true)))
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
            Subject::Domain(d) if self.options.digest.is_some_and(|form| form.publishes(d)) => {
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
        match entry::public_suffix(subject, &self.options.allow_suffixes)? {
            PublicSuffix::Icann => Some(Omission::PublicSuffix),
            PublicSuffix::PrivateTree => {
                self.remark(Remark::PrivateSuffix, 1, &subject.to_string());
                None
            }
        }
    }

    /// Lists the subjects of a text that is one entry, without a code and a text of its own.
    pub(super) fn list_word(&mut self, word: &str, column: usize) -> Result<(), String> {
        self.take_word(word, false, None, None, column)
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
        let Some(entry) = self.valid(column, entry::first(word, &self.rules())) else {
            return Ok(());
        };
        if entry.used < word.len() || entry.last_column {
            let more = word[entry.used..].trim();
            let message = format!(
                "`{word}`: an entry is one address, prefix, range or name; remove `{more}`"
            );
            self.problem_of("more than one entry", column, &message);
            return Ok(());
        }
        if entry.subjects.len() > 1 {
            self.report.range(word, &entry.subjects);
        }
        self.take_entry(entry, exclusion, code, text, column)
    }

    /// Accepts an entry that was parsed.
    pub(super) fn take_entry(
        &mut self,
        entry: entry::EntryStart,
        exclusion: bool,
        code: Option<Ipv4Addr>,
        text: Option<&str>,
        column: usize,
    ) -> Result<(), String> {
        if let Some(port) = entry.port {
            let address = entry
                .subjects
                .first()
                .map_or(String::new(), ToString::to_string);
            self.remark(Remark::Port, column, &format!("{address}, port {port}"));
        }
        entry
            .subjects
            .into_iter()
            .try_for_each(|s| self.take(s, exclusion, code, text, column))
    }
}

/// Whether a word can be a subject.
pub(super) fn is_subject(word: &str) -> bool {
    let rules = Rules {
        host_bits: crate::model::subject::HostBits::Clear,
        digest: None,
    };
    entry::first(word, &rules).is_ok_and(|e| e.used == word.len())
}
