//! Tables: values separated by commas, semicolons or tabs (RFC 4180), with a header line, a header
//! in a comment (abuse.ch), or without one.

use csv_core::ReadFieldResult;

use super::{
    Input,
    columns::{self, Column},
    input::is_subject,
    list,
};

/// The most lines of one record.
const MAX_JOINED: usize = 64;
/// How many records are searched for further columns with addresses or names.
const MAX_CHECKED: u64 = 20;

/// A field of a record, and its position.
struct Field {
    line: u64,
    column: usize,
    text: String,
}

/// Reads a table. The subject's column is the chosen one, or the first with a usual name. A table
/// without a header and without a chosen column is read like a plain list.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    let mut records = Records::default();
    let Some(first) = records.next(input)? else {
        return Ok(());
    };
    let (plan, is_header) = make_plan(input, &records, &first.1)?;
    let mut next = match is_header {
        true => records.next(input)?,
        false => Some(first),
    };
    if next.is_none() {
        let header = plan.as_ref().map_or(String::new(), |p| p.header.join(", "));
        input.warn(&format!("the table has a header and no rows: {header}"));
    }
    while let Some((raw, fields)) = next {
        records.count += 1;
        match &plan {
            Some(plan) => {
                if !plan.certain() && records.count <= MAX_CHECKED {
                    check_others(input, plan, &fields)?;
                }
                take(input, plan, &fields)?;
            }
            // Without quotes, the columns of errors are those of the line.
            None if raw.contains('"') => {
                let row: Vec<&str> = fields.iter().map(|f| f.text.trim()).collect();
                list::entry_line(input, &row.join(","))?;
            }
            None => list::entry_line(input, raw.split(['#', ';']).next().unwrap_or(""))?,
        }
        next = records.next(input)?;
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
        let (columns, subject) = (fields.len(), plan.subject + 1);
        let what =
            format!("the line has {columns} columns, but the subject is in column {subject}");
        input.problem(1, &what);
        return Ok(());
    };
    input.line = field.line;
    let parts: Vec<(Column, &str)> = plan
        .parts
        .iter()
        .filter_map(|(at, c)| fields.get(*at).map(|f| (*c, f.text.trim())))
        .collect();
    let text = field.text.trim();
    if let Some(whole) = input.valid(field.column, columns::join(text, &parts, plan.chosen)) {
        input.list_word(&whole, field.column)?;
    }
    input.line = after;
    Ok(())
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
    if let Some(subject) = subject {
        let parts = columns::parts(&names, subject);
        let chosen = wanted.is_some();
        return Ok((
            Some(Plan {
                subject,
                parts,
                header,
                chosen,
            }),
            is_header,
        ));
    }
    let first = fields.first().map_or("", |f| f.text.trim());
    if wanted.is_none() && header.is_empty() && is_subject(first) {
        return Ok((None, false));
    }
    let columns = fields.len();
    let shown: Vec<&str> = header
        .iter()
        .map(String::as_str)
        .filter(|n| !n.is_empty())
        .collect();
    let shown = shown.join(", ");
    Err(input.located(match wanted {
        Some(w) if header.is_empty() => format!(
            "the table has no header, so there is no column `{w}`; give its number: --column 1 to {columns}"
        ),
        Some(w) => format!("there is no column `{w}`; the columns are {shown}"),
        None if header.is_empty() => format!(
            "the table has no header, and its first column, `{first}`, is not an address or a name; choose one with --column 1 to {columns}"
        ),
        None => format!(
            "no column has a known name for addresses or names; choose one with --column: {shown}"
        ),
    }))
}

/// Refuses a table whose other columns also hold addresses or names.
fn check_others(input: &Input, plan: &Plan, fields: &[Field]) -> Result<(), String> {
    let known = |at: &usize| *at == plan.subject || plan.parts.iter().any(|p| p.0 == *at);
    let mut all = vec![plan.header.get(plan.subject).cloned().unwrap_or_default()];
    let others = fields
        .iter()
        .enumerate()
        .filter(|(at, f)| !known(at) && columns::holds_subject(f.text.trim()));
    all.extend(others.map(|(at, _)| {
        plan.header
            .get(at)
            .cloned()
            .unwrap_or_else(|| (at + 1).to_string())
    }));
    match all.len() {
        1 => Ok(()),
        _ => Err(input.located(columns::several("columns", &all))),
    }
}

/// Whether a row is a header: it has words, and no entries, numbers or dates.
fn looks_like_header(row: &[String]) -> bool {
    let word =
        |f: &String| f.is_empty() || f.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let data = |f: &String| f.contains(['.', ':']) && is_subject(f);
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
#[derive(Default)]
struct Records {
    /// The delimiter of the first record, and a reader for it; `None` before that record.
    format: Option<(u8, csv_core::Reader)>,
    /// The names in the last comment before the first record.
    comment: Option<Vec<String>>,
    /// How many records without the header were read.
    count: u64,
}

impl Records {
    /// The next record: its text, and its fields. Comments are skipped.
    fn next(&mut self, input: &mut Input) -> Result<Option<(String, Vec<Field>)>, String> {
        while let Some(line) = input.next()? {
            if let Some(comment) = line.trim_start().strip_prefix('#') {
                self.comment(input, comment)?;
            } else if !line.trim().is_empty() {
                let format = self.format.get_or_insert_with(|| format_of(&line));
                return record(input, line, format).map(Some);
            }
        }
        Ok(None)
    }

    /// A comment: names of columns before the first record, or the count at the end (`# END 2
    /// entries`).
    fn comment(&mut self, input: &mut Input, text: &str) -> Result<(), String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        if let ["END", count, ..] = words[..]
            && let Ok(claimed) = count.trim_matches(['(', ')']).parse::<u64>()
        {
            let count = self.count;
            if claimed != count {
                return Err(input.located(format_args!(
                    "the last line claims {claimed} entries, but the file has {count}: the file is not complete"
                )));
            }
            input.report.shape.final_record = true;
        }
        if self.count == 0 && text.contains([',', ';', '\t']) {
            let (fields, _) = parse(&mut format_of(text), text.trim(), input.line);
            let names: Vec<String> = fields.iter().map(|f| f.text.trim().to_string()).collect();
            self.comment = Some(names)
                .filter(|n| looks_like_header(n))
                .or(self.comment.take());
        }
        Ok(())
    }
}

/// Reads the record that starts in a line.
fn record(
    input: &mut Input,
    line: String,
    format: &mut (u8, csv_core::Reader),
) -> Result<(String, Vec<Field>), String> {
    let (file, first, mut text) = (input.file, input.line, line);
    for _ in 0..MAX_JOINED {
        let (fields, whole) = parse(format, &text, first);
        if whole {
            return Ok((text, fields));
        }
        let more = input.next()?.ok_or_else(|| {
            format!(
                "{file}:{first}: a quote is not closed: the file is truncated; nothing was changed"
            )
        })?;
        text = format!("{text}\n{more}");
    }
    Err(format!(
        "{file}:{first}: a quote is not closed in the next {MAX_JOINED} lines"
    ))
}

/// The delimiter of a line, which is the most frequent candidate, and a reader for it.
fn format_of(line: &str) -> (u8, csv_core::Reader) {
    let count = |d: &u8| line.bytes().filter(|b| b == d).count();
    // `max_by_key` returns the last of several maxima, so the comma is preferred.
    let delimiter = b";\t,".iter().copied().max_by_key(count).unwrap_or(b',');
    (
        delimiter,
        csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
    )
}

/// The fields of a record with their positions; false if a quote is still open at its end.
fn parse(
    (delimiter, reader): &mut (u8, csv_core::Reader),
    text: &str,
    first: u64,
) -> (Vec<Field>, bool) {
    reader.reset();
    let mut fields = Vec::new();
    let bytes = [text.as_bytes(), b"\n"].concat();
    let mut at = 0;
    let mut buffer = vec![0; bytes.len() + 1];
    loop {
        // Some programs write blanks before a quote; they are not part of the field.
        let blanks = bytes[at..]
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t') && *b != delimiter)
            .count();
        let start = at
            + if bytes.get(at + blanks) == Some(&b'"') {
                blanks
            } else {
                0
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
