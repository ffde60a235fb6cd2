//! The transcript of a test: the lines that both sides sent, with times.

use std::{fmt, time::Duration};

use crate::model::text::replace_controls;

/// The origin of a line of a transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The tester, as the client.
    Client,
    /// The tested host.
    Server,
    /// A remark of the tester.
    Tester,
}

impl Speaker {
    /// The sign of the speaker in the text of a transcript.
    pub fn sign(self) -> char {
        match self {
            Speaker::Client => 'C',
            Speaker::Server => 'S',
            Speaker::Tester => '-',
        }
    }

    fn of_sign(sign: &str) -> Option<Speaker> {
        [Speaker::Client, Speaker::Server, Speaker::Tester]
            .into_iter()
            .find(|s| sign.chars().eq([s.sign()]))
    }
}

/// One line of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscriptLine {
    /// The time since the previous line.
    pub elapsed: Option<Duration>,
    /// The origin of the line; `None` if the transcript of a reporter does not state it.
    pub speaker: Option<Speaker>,
    /// The text, without line breaks.
    pub text: String,
}

/// The text between the name of a test and its envelope in the line that begins it.
const ENVELOPE: &str = ": MAIL FROM:";

impl TranscriptLine {
    /// Returns the name of the test that begins with this line.
    pub fn begins_test(&self) -> Option<&str> {
        if self.speaker != Some(Speaker::Tester) {
            return None;
        }
        let rest = self.text.strip_prefix("test ")?;
        rest.split_once(ENVELOPE).map(|(name, _)| name)
    }

    /// Returns the code if this line is a reply.
    pub fn reply_code(&self) -> Option<u16> {
        if self.speaker != Some(Speaker::Server) {
            return None;
        }
        self.text.get(..3)?.parse().ok()
    }

    /// Parses one line of a transcript. Control characters become replacement characters.
    fn parse(line: &str) -> TranscriptLine {
        let line = replace_controls(line);
        let timed = line.trim_start().split_once(' ').and_then(|(time, rest)| {
            let elapsed = Duration::try_from_secs_f32(time.parse().ok()?).ok()?;
            Some((Some(elapsed), rest))
        });
        let (elapsed, rest) = timed.unwrap_or((None, &line));
        let spoken = rest
            .split_once(' ')
            .and_then(|(sign, text)| Some((Speaker::of_sign(sign)?, text)));
        let read = match spoken {
            Some((speaker, text)) => TranscriptLine {
                elapsed,
                speaker: Some(speaker),
                text: text.into(),
            },
            None => TranscriptLine::unsigned(&line),
        };
        // A line that would be written differently is kept as it is.
        if read.to_string() == line {
            read
        } else {
            TranscriptLine::unsigned(&line)
        }
    }

    fn unsigned(text: &str) -> TranscriptLine {
        TranscriptLine {
            elapsed: None,
            speaker: None,
            text: text.into(),
        }
    }
}

impl fmt::Display for TranscriptLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(elapsed) = self.elapsed {
            write!(f, "{:>7.3} ", elapsed.as_secs_f32())?;
        }
        if let Some(speaker) = self.speaker {
            write!(f, "{} ", speaker.sign())?;
        }
        f.write_str(&self.text)
    }
}

/// Parses the text of a transcript.
pub fn parse_transcript(text: &str) -> Vec<TranscriptLine> {
    text.lines().map(TranscriptLine::parse).collect()
}

/// Renders a transcript as text, each line with a line break.
pub fn render_transcript(lines: &[TranscriptLine]) -> String {
    lines.iter().map(|l| format!("{l}\n")).collect()
}

/// Returns the lines of a transcript that belong to one test.
pub fn section<'a>(lines: &'a [TranscriptLine], test: &str) -> Vec<&'a TranscriptLine> {
    let mut inside = false;
    lines
        .iter()
        .filter(|line| {
            if let Some(name) = line.begins_test() {
                inside = name == test;
            }
            inside
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "  0.000 - test plain: MAIL FROM:<a@b.example> RCPT TO:<c@d.example>\n  \
                        0.012 - connecting to 192.0.2.1:25\n  0.200 S 220 x ESMTP\n  0.000 C EHLO x\n \
                        12.500 S 550 no\n  0.000 - test plain: refused\n  0.000 - test other: MAIL \
                        FROM:<> RCPT TO:<e@f.example>\n  0.001 S 250 ok\n";

    #[test]
    fn parsed_transcript_renders_to_the_same_text() {
        let lines = parse_transcript(TEXT);
        assert_eq!(render_transcript(&lines), TEXT);
        assert_eq!(lines[2].speaker, Some(Speaker::Server));
        assert_eq!(lines[4].elapsed, Some(Duration::from_millis(12_500)));
        assert_eq!(lines[0].begins_test(), Some("plain"));
        assert_eq!(lines[5].begins_test(), None);
    }

    #[test]
    fn section_ends_where_another_test_begins() {
        let lines = parse_transcript(TEXT);
        let codes = |test| -> Vec<u16> {
            section(&lines, test)
                .iter()
                .filter_map(|l| l.reply_code())
                .collect()
        };
        assert_eq!(codes("plain"), [220, 550]);
        assert_eq!(codes("other"), [250]);
        assert!(codes("none").is_empty());
    }

    proptest! {
        /// Transcripts of reporters are stored without changes.
        #[test]
        fn any_printable_line_keeps_its_text(line in "[ -~]{0,40}") {
            let text = format!("{line}\n");
            prop_assert_eq!(render_transcript(&parse_transcript(&text)), text);
        }
    }
}
