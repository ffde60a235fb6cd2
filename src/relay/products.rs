//! Which mail server a tested host runs, from the transcript of a test.

use super::transcript::{Speaker, TranscriptLine};
use crate::advice::{Recognised, SessionPart, recognise_lines};

/// Returns the products that the replies of a tested host show, the surest first. Lines before the
/// first command are the greeting; the lines after `EHLO` and `HELP` are their replies.
pub fn products_of(lines: &[TranscriptLine]) -> Vec<Recognised> {
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
            Some(Speaker::Server) => replies.push((part, line.text.as_str())),
            Some(Speaker::Tester) | None => {}
        }
    }
    recognise_lines(replies)
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
}
