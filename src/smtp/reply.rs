//! An incremental parser of SMTP replies (RFC 5321 section 4.2).

/// The longest line of a reply that is accepted, in bytes. RFC 5321 section 4.5.3.1.5 allows 512.
pub const MAX_LINE: usize = 2048;
/// The most lines of one reply.
pub const MAX_LINES: usize = 100;

/// A reply with all its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpReply {
    /// The code: 200 to 599.
    pub code: u16,
    /// The text of each line without the code. Bytes that are not UTF-8 are replaced.
    pub lines: Vec<String>,
}

impl SmtpReply {
    /// Whether the command succeeded (2xx).
    pub fn is_success(&self) -> bool {
        self.code / 100 == 2
    }
    /// Whether the server waits for more (3xx).
    pub fn is_intermediate(&self) -> bool {
        self.code / 100 == 3
    }
    /// Whether a reply to EHLO offers an extension (RFC 5321 section 4.1.1.1).
    pub fn offers(&self, keyword: &str) -> bool {
        let mut words = self
            .lines
            .iter()
            .skip(1)
            .filter_map(|l| l.split_whitespace().next());
        words.any(|w| w.eq_ignore_ascii_case(keyword))
    }
    /// The reply in one line, for people.
    pub fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" / "))
    }
}

/// The reason why bytes are not a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReply {
    /// A line is longer than [`MAX_LINE`].
    #[error("a line of the reply is longer than {MAX_LINE} bytes")]
    LongLine,
    /// The reply has more than [`MAX_LINES`] lines.
    #[error("the reply has more than {MAX_LINES} lines")]
    ManyLines,
    /// A line does not begin with a reply code.
    #[error("not an SMTP reply")]
    NoCode,
    /// The lines have different codes.
    #[error("the lines of the reply have different codes")]
    Mixed,
}

/// Parses replies from a stream. A bare LF ends a line too, because old servers send it.
#[derive(Debug, Default)]
pub struct ReplyReader {
    line: Vec<u8>,
    code: Option<u16>,
    lines: Vec<String>,
}

impl ReplyReader {
    /// Parses bytes. Returns how many were consumed, and the reply once it is complete. After an
    /// error the connection cannot be used any more.
    pub fn feed(&mut self, bytes: &[u8]) -> (usize, Result<Option<SmtpReply>, InvalidReply>) {
        for (i, b) in bytes.iter().enumerate() {
            if *b != b'\n' {
                self.line.push(*b);
                if self.line.len() > MAX_LINE {
                    return (i + 1, Err(InvalidReply::LongLine));
                }
                continue;
            }
            match self.end_line() {
                Ok(None) => {}
                end => return (i + 1, end),
            }
        }
        (bytes.len(), Ok(None))
    }

    fn end_line(&mut self) -> Result<Option<SmtpReply>, InvalidReply> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let (code, last, text) = split_line(line).ok_or(InvalidReply::NoCode)?;
        if self.code.is_some_and(|c| c != code) {
            return Err(InvalidReply::Mixed);
        }
        self.code = Some(code);
        self.lines.push(String::from_utf8_lossy(text).into_owned());
        if self.lines.len() > MAX_LINES {
            return Err(InvalidReply::ManyLines);
        }
        Ok(last.then(|| {
            self.code = None;
            SmtpReply {
                code,
                lines: std::mem::take(&mut self.lines),
            }
        }))
    }
}

/// Splits a line into the code, whether it is the last line, and the text.
fn split_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    if !digits.iter().all(u8::is_ascii_digit) || !(b'2'..=b'5').contains(&digits[0]) {
        return None;
    }
    let code = digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0'));
    match rest {
        [] => Some((code, true, &[])),
        [b' ', text @ ..] => Some((code, true, text)),
        [b'-', text @ ..] => Some((code, false, text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<Vec<SmtpReply>, InvalidReply> {
        let (mut r, mut at, mut out) = (ReplyReader::default(), 0, Vec::new());
        while at < bytes.len() {
            let (n, reply) = r.feed(&bytes[at..]);
            at += n;
            out.extend(reply?);
        }
        Ok(out)
    }

    #[test]
    fn replies_of_one_or_many_lines_are_parsed_and_others_are_errors() {
        let one = |code, lines: &[&str]| SmtpReply {
            code,
            lines: lines.iter().map(|l| l.to_string()).collect(),
        };
        assert_eq!(read(b"220 ESMTP\r\n").unwrap(), [one(220, &["ESMTP"])]);
        assert_eq!(
            read(b"250-a\r\n250-SIZE 1\n250 STARTTLS\r\n354\r\n").unwrap(),
            [one(250, &["a", "SIZE 1", "STARTTLS"]), one(354, &[""])]
        );
        assert!(read(b"250-a\r\n250-SIZE 1\r\n250 starttls\r\n").unwrap()[0].offers("STARTTLS"));
        assert_eq!(read(b"250-a\r\n550 b\r\n"), Err(InvalidReply::Mixed));
        assert_eq!(read(b"HTTP/1.1 400\r\n"), Err(InvalidReply::NoCode));
        assert_eq!(read(b"199 x\r\n"), Err(InvalidReply::NoCode));
        assert_eq!(read(b"25\r\n"), Err(InvalidReply::NoCode));
        assert_eq!(read(&[b'2'; MAX_LINE + 1]), Err(InvalidReply::LongLine));
        assert_eq!(
            read(&b"250-x\r\n".repeat(MAX_LINES + 1)),
            Err(InvalidReply::ManyLines)
        );
    }

    proptest! {
        /// The replies do not depend on how the bytes are divided, and buffers stay within their
        /// limits.
        #[test]
        fn result_does_not_depend_on_how_bytes_are_divided(bytes in proptest::collection::vec(prop_oneof![Just(b'2'), Just(b'5'), Just(b'0'), Just(b' '), Just(b'-'), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..200), cuts in proptest::collection::vec(1usize..9, 1..40)) {
            let whole = read(&bytes);
            let (mut r, mut out, mut rest, mut cut) = (ReplyReader::default(), Ok(Vec::new()), &bytes[..], cuts.iter().cycle());
            while !rest.is_empty() && out.is_ok() {
                let part = &rest[..(*cut.next().unwrap()).min(rest.len())];
                let (n, reply) = r.feed(part);
                rest = &rest[n..];
                match reply {
                    Ok(one) => out.as_mut().unwrap().extend(one),
                    Err(e) => out = Err(e),
                }
                prop_assert!(r.line.len() <= MAX_LINE && r.lines.len() <= MAX_LINES);
            }
            prop_assert_eq!(out, whole);
        }
    }
}
