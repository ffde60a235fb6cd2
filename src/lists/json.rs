//! JSON: values one after another, one a line (as in Spamhaus DROP) or over several lines. The
//! items of an array are read one by one, so it may have any size.

use std::{
    cell::Cell,
    io::{self, Read},
};

use serde::de::DeserializeSeed;

use super::Input;

mod limited;
mod position;
mod walk;

use position::{Position, PositionReader};
use walk::Walk;

/// Reads JSON values. A line that is one value is parsed separately, so that an error affects only
/// that line. An array, or an object over several lines, is read as a stream.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    let state = walk::FileState::default();
    loop {
        if input.peek()? == Some(b'[') {
            stream(input, String::new(), &state)?;
            continue;
        }
        let before = input.column();
        let Some(line) = input.next()? else {
            return Ok(());
        };
        let text = line.trim();
        if text.is_empty() || text == "," {
            continue;
        }
        let text = text.strip_suffix(',').unwrap_or(text);
        let position = Position {
            at: Cell::new((input.line, before)),
            line: Some(&line),
        };
        let walk = Walk::new(&mut *input, &position, &state);
        let mut json = serde_json::Deserializer::from_str(text);
        let result = (&walk).deserialize(&mut json).and_then(|()| json.end());
        if let Some(why) = walk.into_fatal() {
            return Err(why);
        }
        match result {
            Ok(()) => {}
            Err(e) if e.is_eof() && text.starts_with('{') => stream(input, line, &state)?,
            Err(e) => {
                let column = before + e.column() + line.len() - line.trim_start().len();
                input.problem(column, &format!("this is not a JSON value: {}", bare(&e)));
            }
        }
    }
}

/// Reads one value from the stream; `head` is its first line if that was already read.
///
/// # Errors
///
/// After an error in a value the rest of the file cannot be parsed, so the file is refused.
fn stream(input: &mut Input, head: String, state: &walk::FileState) -> Result<(), String> {
    let (began, column) = match head.as_str() {
        "" => (input.line + 1, input.column()),
        _ => (input.line, 0),
    };
    let mut rest = input.lend();
    let position = Position {
        at: Cell::new((began, column)),
        line: None,
    };
    let end = if head.is_empty() || input.unended {
        ""
    } else {
        "\n"
    };
    let inner = io::Cursor::new(head + end).chain(&mut rest);
    let mut counted = PositionReader {
        inner,
        position: &position,
    };
    let walk = Walk::new(&mut *input, &position, state);
    let result = (&walk).deserialize(&mut serde_json::Deserializer::from_reader(&mut counted));
    let fatal = walk.into_fatal();
    let (line, at) = position.at.get();
    if let Err(e) = &result {
        input.report.lines += line - input.line;
        input.line = line;
        let place = format!("{}:{line}:{}", input.file, at.max(1));
        return Err(match fatal {
            Some(why) => why,
            None if e.is_io() => input.located(e),
            None if e.is_eof() => format!(
                "{place}: the JSON value that starts in line {began} does not end: the file is truncated; nothing was changed"
            ),
            None => format!(
                "{place}: this is not a JSON value: {}; the rest of the file cannot be read; nothing was changed",
                bare(e)
            ),
        });
    }
    // The rest of the line is read next and counted as a line.
    input.report.lines += (line - 1).saturating_sub(input.line);
    input.line = line - 1;
    input.give_back(rest, at);
    Ok(())
}

/// The text of an error without its position, which is shown separately.
fn bare(e: &serde_json::Error) -> String {
    let text = e.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_string()
}
