//! The output of commands. Control characters are escaped here, so that one record is one line,
//! whatever text it contains.
//!
//! In this module tree `println!` and `eprintln!` are the macros below: a command cannot avoid
//! them, and `tests/tidy.rs` refuses other ways to standard output and standard error.

use std::{
    fmt::Arguments,
    io::{self, ErrorKind, IsTerminal, Write},
};

use serde::Serialize;

use super::error::OUTPUT_FAILED;
use crate::model::text::escape;

/// Prints one line on standard output; unsafe characters in it are escaped, line breaks too.
macro_rules! println {
    () => { $crate::cli::output::line(format_args!("")) };
    ($($text:tt)*) => { $crate::cli::output::line(format_args!($($text)*)) };
}

/// Prints one line on standard error; unsafe characters in it are escaped, line breaks too.
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::cli::output::error_line(format_args!($($text)*)) };
}

/// See `println!`.
pub(super) fn line(text: Arguments<'_>) {
    write_line(&mut io::stdout().lock(), &escape(&text.to_string()));
}

/// See `eprintln!`.
pub(super) fn error_line(text: Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{}", escape(&text.to_string()));
}

/// Prints a question on standard error; the answer is typed on the same line.
pub(super) fn prompt(question: &str) {
    let mut out = io::stderr().lock();
    let _ = write!(out, "{}", escape(question)).and_then(|()| out.flush());
}

/// Prints one line in a colour (SGR code) where standard output is a terminal.
pub(super) fn coloured_line(code: &str, text: Arguments<'_>) {
    if !io::stdout().is_terminal() {
        return line(text);
    }
    let coloured = format!("\x1b[{code}m{}\x1b[0m", escape(&text.to_string()));
    write_line(&mut io::stdout().lock(), &coloured);
}

/// Prints a text of several lines with an indent; in each line unsafe characters are escaped, but
/// for tabs.
pub(super) fn block(indent: &str, text: &str) {
    let mut out = io::stdout().lock();
    let lines = text.lines().map(escape_all_but_tabs);
    lines.for_each(|l| write_line(&mut out, &format!("{indent}{l}")));
}

/// Prints a value as JSON on one line.
pub(super) fn json_line(value: &impl Serialize) {
    let json = serde_json::to_string(value).unwrap_or_default();
    line(format_args!("{json}"));
}

/// Prints a value as JSON of several lines.
pub(super) fn json(value: &impl Serialize) {
    block("", &serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Standard output for a file's content: the bytes as they are, or, on a terminal, escaped line by
/// line.
pub(super) fn content() -> Box<dyn Write> {
    match io::stdout().is_terminal() {
        true => Box::new(EscapingWriter {
            line: Vec::new(),
            out: StandardOutput(io::stdout()),
        }),
        false => Box::new(StandardOutput(io::stdout())),
    }
}

fn escape_all_but_tabs(line: &str) -> String {
    line.split('\t').map(escape).collect::<Vec<_>>().join("\t")
}

/// Ends the process where standard output could not be written: quietly if its reader has had
/// enough (`orbsd … | head`), else with a message and a code of its own. The signal for the first
/// stays ignored: it would also end a command whose daemon went away.
pub(super) fn written<T>(result: io::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(e) if e.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => {
            error_line(format_args!(
                "orbsd: standard output: {e}; the output is not complete"
            ));
            std::process::exit(OUTPUT_FAILED.into())
        }
    }
}

fn write_line(out: &mut impl Write, line: &str) {
    written(writeln!(out, "{line}"));
}

/// Standard output, whose errors end the process.
struct StandardOutput(io::Stdout);

impl Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(written(self.0.write(bytes)))
    }

    fn flush(&mut self) -> io::Result<()> {
        written(self.0.flush());
        Ok(())
    }
}

/// Escapes what is written to it, line by line.
struct EscapingWriter<W: Write> {
    line: Vec<u8>,
    out: W,
}

impl<W: Write> EscapingWriter<W> {
    fn end_line(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        self.out
            .write_all(escape_all_but_tabs(&String::from_utf8_lossy(&line)).as_bytes())
    }
}

impl<W: Write> Write for EscapingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            match piece.strip_suffix(b"\n") {
                None => self.line.extend(piece),
                Some(rest) => {
                    self.line.extend(rest);
                    self.end_line()?;
                    self.out.write_all(b"\n")?;
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.end_line()?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_on_a_terminal_is_escaped_line_by_line() {
        let mut out = EscapingWriter {
            line: Vec::new(),
            out: Vec::new(),
        };
        for piece in [&b"a\t\x1b[2J\xe2\x80"[..], b"\xaeb\r\nc\xff", b"d"] {
            out.write_all(piece).unwrap();
        }
        out.flush().unwrap();
        assert_eq!(
            String::from_utf8(out.out).unwrap(),
            "a\t\\u001b[2J\\u202eb\\r\nc\u{fffd}d"
        );
    }
}
