//! Replies of an SMTP server (RFC 5321 section 4.2), read as bytes come in.

/// The longest line of a reply that is taken, in bytes. RFC 5321 section 4.5.3.1.5 allows 512.
pub const MAX_LINE: usize = 2048;
/// The most lines of one reply.
pub const MAX_LINES: usize = 100;

/// A whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The code: 200 to 599.
    pub code: u16,
    /// The text of each line, without code; bytes that are no text are replaced.
    pub lines: Vec<String>,
}

impl Reply {
    /// Done: 2xx.
    pub fn done(&self) -> bool {
        self.code / 100 == 2
    }
    /// Go on: 3xx.
    pub fn more(&self) -> bool {
        self.code / 100 == 3
    }
    /// Whether it offers an extension (RFC 5321 section 4.1.1.1), in the answer to EHLO.
    pub fn offers(&self, keyword: &str) -> bool {
        self.lines.iter().skip(1).any(|l| {
            l.split_whitespace()
                .next()
                .is_some_and(|w| w.eq_ignore_ascii_case(keyword))
        })
    }
    /// In one line, for people.
    pub fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" / "))
    }
}

/// Why bytes are not a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidReply {
    /// A line is longer than [`MAX_LINE`].
    LongLine,
    /// More than [`MAX_LINES`] lines.
    ManyLines,
    /// A line that does not begin with the code of a reply.
    NoCode,
    /// The lines have different codes.
    Mixed,
}

impl std::fmt::Display for InvalidReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            InvalidReply::LongLine => {
                write!(f, "a line of the reply is longer than {MAX_LINE} bytes")
            }
            InvalidReply::ManyLines => write!(f, "the reply has more than {MAX_LINES} lines"),
            InvalidReply::NoCode => f.write_str("that is no SMTP reply"),
            InvalidReply::Mixed => f.write_str("the lines of the reply have different codes"),
        }
    }
}

/// Reads replies out of a stream. A bare LF ends a line too: old servers send it.
#[derive(Debug, Default)]
pub struct ReplyReader {
    line: Vec<u8>,
    code: Option<u16>,
    lines: Vec<String>,
}

impl ReplyReader {
    /// Reads bytes. Returns how many it has consumed, and the reply when it is complete. After an
    /// error the connection is of no use.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, Result<Option<Reply>, InvalidReply>) {
        for (i, b) in bytes.iter().enumerate() {
            if *b != b'\n' {
                self.line.push(*b);
                if self.line.len() > MAX_LINE {
                    return (i + 1, Err(InvalidReply::LongLine));
                }
                continue;
            }
            match self.line_done() {
                Ok(None) => {}
                end => return (i + 1, end),
            }
        }
        (bytes.len(), Ok(None))
    }

    fn line_done(&mut self) -> Result<Option<Reply>, InvalidReply> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let (code, last, text) = parts(line).ok_or(InvalidReply::NoCode)?;
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
            Reply {
                code,
                lines: std::mem::take(&mut self.lines),
            }
        }))
    }
}

/// Code, whether it is the last line, text.
fn parts(line: &[u8]) -> Option<(u16, bool, &[u8])> {
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

    fn read(bytes: &[u8]) -> Result<Vec<Reply>, InvalidReply> {
        let (mut r, mut at, mut out) = (ReplyReader::default(), 0, Vec::new());
        while at < bytes.len() {
            let (n, reply) = r.take(&bytes[at..]);
            at += n;
            out.extend(reply?);
        }
        Ok(out)
    }

    #[test]
    fn one_line_many_lines_and_what_is_none() {
        let one = |code, lines: &[&str]| Reply {
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
        /// However the bytes are cut, the replies are the same, and nothing grows without end.
        #[test]
        fn cuts_do_not_matter(bytes in proptest::collection::vec(prop_oneof![Just(b'2'), Just(b'5'), Just(b'0'), Just(b' '), Just(b'-'), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..200), cuts in proptest::collection::vec(1usize..9, 1..40)) {
            let whole = read(&bytes);
            let (mut r, mut out, mut rest, mut cut) = (ReplyReader::default(), Ok(Vec::new()), &bytes[..], cuts.iter().cycle());
            while !rest.is_empty() && out.is_ok() {
                let part = &rest[..(*cut.next().unwrap()).min(rest.len())];
                let (n, reply) = r.take(part);
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
