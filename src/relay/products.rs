//! Which mail server a tested host runs, from the transcript of a test.

use super::transcript::{Speaker, TranscriptLine};
use crate::advice::{Recognised, SessionPart, recognise_lines};

/// What separates the lines of one reply in a transcript.
const LINE_SEPARATOR: &str = " / ";

/// Returns the products that the replies of a tested host show, the surest first.
pub fn products_of(lines: &[TranscriptLine]) -> Vec<Recognised> {
    let replies = host_replies(lines);
    recognise_lines(replies.iter().map(|(part, line)| (*part, line.as_str())))
}

/// Returns the lines that a tested host has sent, each with its reply code and its part of the
/// session. Lines before the first command are the greeting; the lines after `EHLO` and `HELP` are
/// their replies.
pub fn host_replies(lines: &[TranscriptLine]) -> Vec<(SessionPart, String)> {
    let mut part = SessionPart::Greeting;
    let mut replies = Vec::new();
    for line in lines {
        match line.speaker {
            Some(Speaker::Tester) if line.text.starts_with("connecting to ") => {
                part = SessionPart::Greeting;
            }
            Some(Speaker::Client) => {
                let command = line.text.split(' ').next().unwrap_or_default();
                part = match command.to_ascii_uppercase().as_str() {
                    "EHLO" => SessionPart::Ehlo,
                    "HELP" => SessionPart::Help,
                    _ => SessionPart::Reply,
                };
            }
            Some(Speaker::Server) => {
                replies.extend(split_reply(&line.text).into_iter().map(|l| (part, l)));
                // A reply of one line can contain the separator.
                replies.push((part, line.text.clone()));
            }
            Some(Speaker::Tester) | None => {}
        }
    }
    replies
}

/// Splits a reply of several lines, which a transcript shows as one, into the lines that were sent:
/// `250-one` and `250 two`. Returns none for a reply of one line.
fn split_reply(text: &str) -> Vec<String> {
    let Some((code, rest)) = text
        .split_once(' ')
        .filter(|_| text.contains(LINE_SEPARATOR))
    else {
        return Vec::new();
    };
    let parts: Vec<&str> = rest.split(LINE_SEPARATOR).collect();
    let last = parts.len() - 1;
    let sign = |i: usize| if i == last { ' ' } else { '-' };
    let lines = parts.iter().enumerate();
    lines
        .map(|(i, l)| format!("{code}{}{l}", sign(i)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::transcript::parse_transcript, *};

    #[test]
    fn product_is_recognised_by_its_greeting_and_its_refusals() {
        let text = "  0.000 - connecting to 192.0.2.1:25\n  0.200 S 220 mail.example.com ESMTP Postfix (Debian/GNU)\n  \
                    0.000 C EHLO tester.example\n  0.010 S 250 mail.example.com\n";
        let found = products_of(&parse_transcript(text));
        assert_eq!(found[0].product.id, "postfix");
        let text = "  0.000 - connecting to 192.0.2.1:25\n  0.200 S 220 mail.example.com ESMTP\n  \
                    0.000 C MAIL FROM:<a@example.org>\n  0.010 S 250 2.1.0 Ok\n  0.000 C RCPT TO:<b@example.org>\n  \
                    0.010 S 554 5.7.1 <b@example.org>: Relay access denied\n";
        let found = products_of(&parse_transcript(text));
        assert_eq!(found[0].product.id, "postfix", "by its refusal");
        let text = "  0.000 C RCPT TO:<220 x ESMTP Postfix@example.org>\n  0.010 S 550 no\n";
        assert!(
            products_of(&parse_transcript(text)).is_empty(),
            "lines of the tester do not count"
        );
    }

    #[test]
    fn each_line_of_a_long_reply_counts() {
        let text = "  0.000 - connecting to 192.0.2.1:25\n  0.200 S 220 mail.example.com ESMTP\n  \
                    0.000 C EHLO tester.example\n  0.010 S 250 mail.example.com Ok. / XVERP=Courier / DSN\n";
        let found = products_of(&parse_transcript(text));
        assert_eq!(found[0].product.id, "courier", "by its reply to EHLO");
        let text = "  0.000 - connecting to 192.0.2.1:25\n  0.200 S 220 mail.example.com ESMTP Postfix / mail.example.com ESMTP Postfix\n";
        let found = products_of(&parse_transcript(text));
        let ids: Vec<&str> = found.iter().map(|r| r.product.id.as_str()).collect();
        assert!(ids.contains(&"postscreen"), "by its two greetings: {ids:?}");
    }
}
