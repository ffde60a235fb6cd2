//! Parses the header of a message.

/// The header fields of a message, unfolded, and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedMail<'a> {
    /// The name in lower case and the value of each field.
    pub fields: Vec<(String, String)>,
    /// The bytes after the empty line.
    pub body: &'a [u8],
}

/// The most header fields that are read.
const MAX_FIELDS: usize = 500;

/// Parses a message. Lines that are not header fields are skipped, so there is no error.
pub fn parse_mail(message: &[u8]) -> ParsedMail<'_> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let newline = rest.iter().position(|b| *b == b'\n');
        let (line, after) = rest.split_at(newline.map_or(rest.len(), |i| i + 1));
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
    /// Returns the value of the first field with a name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// Returns how many hosts have received the message: its `Received` fields.
    pub fn hops(&self) -> usize {
        self.fields.iter().filter(|(n, _)| n == "received").count()
    }

    /// Whether this is a report about a message (RFC 3462, RFC 3834), or a reply to it.
    pub fn is_report(&self) -> bool {
        let lower = |name| self.field(name).unwrap_or("").to_ascii_lowercase();
        let (kind, auto, from) = (
            lower("content-type"),
            lower("auto-submitted"),
            lower("from"),
        );
        // A person who got the message replies to it.
        let is_reply = self.field("in-reply-to").is_some() || self.field("references").is_some();
        is_reply
            || kind.starts_with("multipart/report")
            || kind.starts_with("message/delivery-status")
            || auto.starts_with("auto-replied")
            || from.contains("mailer-daemon")
    }
}
