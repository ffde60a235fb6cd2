//! Tables: values separated by commas, semicolons or tabs (RFC 4180), with a header line, a header
//! in a comment (abuse.ch), or without one.

use csv_core::ReadFieldResult;

use super::{
    Input,
    columns::{self, Column},
    list,
};

/// The most lines of one record.
const MAX_JOINED: usize = 64;
/// How many records are searched for further columns with addresses or names.
const MAX_CHECKED: u32 = 20;

/// A field of a record, and its position.
struct Field {
    line: u64,
    column: usize,
    text: String,
}

/// Reads a table. The subject's column is the chosen one, or the first with a usual name. A table
/// without a header and without a chosen column is read like a plain list.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    let mut records = Records {
        reader: csv_core::Reader::new(),
        delimiter: b',',
        chosen: false,
        comment: None,
        taken: 0,
    };
    let mut plan = None;
    let mut checked = 0;
    while let Some((raw, fields)) = records.next(input)? {
        let plan = match &plan {
            Some(plan) => plan,
            None => {
                let (new, is_header) = make_plan(input, &records, &fields)?;
                let plan = plan.insert(new);
                if is_header {
                    continue;
                }
                &*plan
            }
        };
        records.taken += 1;
        let Some(plan) = plan else {
            // Without quotes, the columns of errors are those of the line.
            let text = match raw.contains('"') {
                true => fields
                    .iter()
                    .map(|f| f.text.trim())
                    .collect::<Vec<_>>()
                    .join(","),
                false => raw[..raw.find(['#', ';']).unwrap_or(raw.len())].into(),
            };
            list::entry_line(input, &text)?;
            continue;
        };
        if !plan.certain() && checked < MAX_CHECKED {
            checked += 1;
            check_others(input, plan, &fields)?;
        }
        take(input, plan, &fields)?;
    }
    if let Some(Some(plan)) = plan.filter(|_| records.taken == 0) {
        input.warn(&format!(
            "the table has a header and no rows: {}",
            plan.header.join(", ")
        ));
    }
    Ok(())
}

/// The columns that are read.
struct Plan {
    subject: usize,
    /// Columns that belong to the subject, and their meanings.
    parts: Vec<(usize, Column)>,
    header: Vec<String>,
    /// The caller named the column.
    chosen: bool,
}

impl Plan {
    /// Whether no other column can hold the subject: the caller chose the column, or there are
    /// columns for both ends of a range.
    fn certain(&self) -> bool {
        self.chosen || self.parts.iter().any(|p| p.1 == Column::Last)
    }
}

fn take(input: &mut Input, plan: &Plan, fields: &[Field]) -> Result<(), String> {
    let after = input.line;
    let Some(field) = fields.get(plan.subject) else {
        input.problem(
            1,
            &format!(
                "the line has {} columns, but the subject is in column {}",
                fields.len(),
                plan.subject + 1
            ),
        );
        return Ok(());
    };
    input.line = field.line;
    let parts: Vec<(Column, &str)> = plan
        .parts
        .iter()
        .filter_map(|(at, c)| fields.get(*at).map(|f| (*c, f.text.trim())))
        .collect();
    let text = field.text.trim();
    let result = match columns::join(text, &parts, plan.chosen) {
        Ok(whole) => input.take_word(&whole, false, None, None, field.column),
        Err(why) => {
            input.problem_of("columns that disagree", field.column, &why);
            Ok(())
        }
    };
    input.line = after;
    result
}

/// Determines, from the first record, which columns are read and whether that record is a header.
/// `None` if the table is read like a plain list.
fn make_plan(
    input: &Input,
    records: &Records,
    fields: &[Field],
) -> Result<(Option<Plan>, bool), String> {
    let row: Vec<String> = fields.iter().map(|f| f.text.trim().to_string()).collect();
    let is_header = looks_like_header(&row);
    let header = match (&records.comment, is_header) {
        (_, true) => row,
        (Some(names), false) if names.len() >= fields.len() => names.clone(),
        _ => Vec::new(),
    };
    let names: Vec<String> = header.iter().map(|n| n.to_ascii_lowercase()).collect();
    let wanted = input.options.column.as_deref();
    let subject = match wanted.map(|w| (w, w.parse::<usize>())) {
        Some((_, Ok(number))) if number > 0 => Some(number - 1),
        Some((name, _)) => names.iter().position(|n| n.eq_ignore_ascii_case(name)),
        None => columns::subject(&names),
    };
    let place = format!("{}:{}", input.file, input.line);
    let shown = |names: &[String]| {
        names
            .iter()
            .filter(|n| !n.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (subject, wanted) {
        (Some(subject), _) => {
            let parts = columns::parts(&names, subject);
            Ok((
                Some(Plan {
                    subject,
                    parts,
                    header,
                    chosen: wanted.is_some(),
                }),
                is_header,
            ))
        }
        (None, Some(w)) if header.is_empty() => Err(format!(
            "{place}: the table has no header, so there is no column `{w}`; give its number: --column 1 to {}",
            fields.len()
        )),
        (None, Some(w)) => Err(format!(
            "{place}: there is no column `{w}`; the columns are {}",
            shown(&header)
        )),
        (None, None) if !header.is_empty() => Err(format!(
            "{place}: no column has a known name for addresses or names; choose one with --column: {}",
            shown(&header)
        )),
        (None, None)
            if fields
                .first()
                .is_some_and(|f| super::input::is_subject(f.text.trim())) =>
        {
            Ok((None, false))
        }
        (None, None) => Err(format!(
            "{place}: the table has no header, and its first column, `{}`, is not an address or a name; choose one with --column 1 to {}",
            fields.first().map_or("", |f| f.text.trim()),
            fields.len()
        )),
    }
}

/// Refuses a table whose other columns also hold addresses or names.
fn check_others(input: &Input, plan: &Plan, fields: &[Field]) -> Result<(), String> {
    let known = |at: &usize| *at == plan.subject || plan.parts.iter().any(|p| p.0 == *at);
    let others: Vec<String> = fields
        .iter()
        .enumerate()
        .filter(|(at, f)| !known(at) && columns::holds_subject(f.text.trim()))
        .map(|(at, _)| {
            plan.header
                .get(at)
                .cloned()
                .unwrap_or_else(|| (at + 1).to_string())
        })
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    let read = plan.header.get(plan.subject).cloned().unwrap_or_default();
    let all: Vec<String> = std::iter::once(read).chain(others).collect();
    Err(format!(
        "{}:{}: {}",
        input.file,
        input.line,
        columns::several("columns", &all)
    ))
}

/// Whether a row is a header: it has words, and no entries, numbers or dates.
fn looks_like_header(row: &[String]) -> bool {
    let word =
        |f: &String| f.is_empty() || f.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let data = |f: &String| f.contains(['.', ':']) && super::input::is_subject(f);
    row.iter().any(|f| !f.is_empty())
        && row
            .iter()
            .all(|f| word(f) && !data(f) && !list::is_number(f))
}

/// If a line is a header with a column of subjects, returns the delimiter of its columns.
pub(super) fn is_header(line: &str) -> Option<u8> {
    b",;\t".iter().copied().find(|d| {
        let names: Vec<String> = line
            .split(char::from(*d))
            .map(|n| n.trim().trim_matches('"').to_ascii_lowercase())
            .collect();
        names.len() > 1 && columns::subject(&names).is_some() && looks_like_header(&names)
    })
}

/// The records of a table.
struct Records {
    reader: csv_core::Reader,
    delimiter: u8,
    /// The delimiter was recognised from the first record.
    chosen: bool,
    /// The names in the last comment before the first record.
    comment: Option<Vec<String>>,
    /// How many records were read.
    taken: u64,
}

impl Records {
    /// The next record: its text, and its fields. Comments are skipped.
    fn next(&mut self, input: &mut Input) -> Result<Option<(String, Vec<Field>)>, String> {
        loop {
            let Some(line) = input.next()? else {
                return Ok(None);
            };
            if line.trim().is_empty() {
                continue;
            }
            if let Some(comment) = line.trim_start().strip_prefix('#') {
                self.comment(input, comment)?;
                continue;
            }
            if !self.chosen {
                self.delimiter = delimiter(&line);
                self.reader = csv_core::ReaderBuilder::new()
                    .delimiter(self.delimiter)
                    .build();
                self.chosen = true;
            }
            return self.record(input, line).map(Some);
        }
    }

    /// A comment: names of columns before the first record, or the count at the end (`# END 2
    /// entries`).
    fn comment(&mut self, input: &mut Input, text: &str) -> Result<(), String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        if let ["END", count, ..] = words[..]
            && let Ok(claimed) = count.trim_matches(['(', ')']).parse::<u64>()
        {
            if claimed != self.taken {
                let place = format!("{}:{}", input.file, input.line);
                return Err(format!(
                    "{place}: the last line claims {claimed} entries, but the file has {}: the file is not complete",
                    self.taken
                ));
            }
            input.report.shape.final_record = true;
        }
        if self.taken == 0 && text.contains([',', ';', '\t']) {
            let d = delimiter(text);
            let mut reader = csv_core::ReaderBuilder::new().delimiter(d).build();
            let (fields, _) = parse(&mut reader, d, text.trim(), input.line);
            let names: Vec<String> = fields
                .into_iter()
                .map(|f| f.text.trim().to_string())
                .collect();
            if looks_like_header(&names) {
                self.comment = Some(names);
            }
        }
        Ok(())
    }

    fn record(&mut self, input: &mut Input, line: String) -> Result<(String, Vec<Field>), String> {
        let (first, mut text) = (input.line, line);
        for _ in 0..MAX_JOINED {
            self.reader.reset();
            let (fields, whole) = parse(&mut self.reader, self.delimiter, &text, first);
            if whole {
                return Ok((text, fields));
            }
            let Some(more) = input.next()? else {
                return Err(format!(
                    "{}:{first}: a quote is not closed: the file is truncated; nothing was changed",
                    input.file
                ));
            };
            text = format!("{text}\n{more}");
        }
        Err(format!(
            "{}:{first}: a quote is not closed in the next {MAX_JOINED} lines",
            input.file
        ))
    }
}

/// The delimiter of a line: the most frequent candidate.
fn delimiter(line: &str) -> u8 {
    let count = |d: &u8| line.bytes().filter(|b| b == d).count();
    // `max_by_key` returns the last of several maxima, so the comma is preferred.
    [b';', b'\t', b',']
        .into_iter()
        .max_by_key(count)
        .unwrap_or(b',')
}

/// The fields of a record with their positions; false if a quote is still open at its end.
fn parse(
    reader: &mut csv_core::Reader,
    delimiter: u8,
    text: &str,
    first: u64,
) -> (Vec<Field>, bool) {
    let mut fields = Vec::new();
    let bytes = [text.as_bytes(), b"\n"].concat();
    let mut at = 0;
    let mut buffer = vec![0; bytes.len() + 1];
    loop {
        // Some programs write blanks before a quote; they are not part of the field.
        let blanks = bytes[at..]
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t') && **b != delimiter)
            .count();
        let start = if bytes.get(at + blanks) == Some(&b'"') {
            at + blanks
        } else {
            at
        };
        let (result, read, written) = reader.read_field(&bytes[start..], &mut buffer);
        let before = &text[..start.min(text.len())];
        let line = first + before.matches('\n').count() as u64;
        let column = before.len() - before.rfind('\n').map_or(0, |i| i + 1) + 1;
        let field = |end: usize| Field {
            line,
            column,
            text: String::from_utf8_lossy(&buffer[..end]).into_owned(),
        };
        match result {
            ReadFieldResult::Field { record_end } => {
                fields.push(field(written));
                at = start + read;
                if record_end || at >= bytes.len() {
                    return (fields, true);
                }
            }
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => return (fields, false),
            ReadFieldResult::End => return (fields, true),
        }
    }
}
