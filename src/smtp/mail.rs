//! Reads the header of a message.

/// What is read from a message: its header fields, unfolded, and where its body begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedMail<'a> {
    /// Name in lower case, and value.
    pub fields: Vec<(String, String)>,
    /// What follows the empty line.
    pub body: &'a [u8],
}

/// The most header fields that are looked at.
const MAX_FIELDS: usize = 500;

/// Parses a message. Lines that are not header fields are skipped, so there is no error.
pub fn parse_mail(message: &[u8]) -> ParsedMail<'_> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let end = rest
            .iter()
            .position(|b| *b == b'\n')
            .map_or(rest.len(), |i| i + 1);
        let (line, after) = rest.split_at(end);
        rest = after;
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() {
            break;
        }
        let text = String::from_utf8_lossy(text);
        if text.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(text.trim());
            }
        } else if let Some((name, value)) =
            text.split_once(':').filter(|_| fields.len() < MAX_FIELDS)
        {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_string()));
        }
    }
    ParsedMail { fields, body: rest }
}

impl ParsedMail<'_> {
    /// The first field of a name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// How many hosts have received it, by its header.
    pub fn hops(&self) -> usize {
        self.fields.iter().filter(|(n, _)| n == "received").count()
    }

    /// Whether it is a report about a message (RFC 3462, RFC 3834), and not the message.
    pub fn is_report(&self) -> bool {
        let kind = self
            .field("content-type")
            .unwrap_or("")
            .to_ascii_lowercase();
        let auto = self
            .field("auto-submitted")
            .unwrap_or("")
            .to_ascii_lowercase();
        let from = self.field("from").unwrap_or("").to_ascii_lowercase();
        // A reply to the message comes from a person who has it.
        let answer = self.field("in-reply-to").is_some() || self.field("references").is_some();
        answer
            || kind.starts_with("multipart/report")
            || kind.starts_with("message/delivery-status")
            || auto.starts_with("auto-replied")
            || from.contains("mailer-daemon")
    }
}
