//! Sends mail through the configured smart host, which queues and delivers it.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    address::Envelope,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
};

/// How long the smart host may take to accept a message.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);

/// The `[mail]` section of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailSettings {
    /// The smart host, see [`parse_smarthost`]; if empty, no mail is sent.
    pub smarthost: String,
    /// The address that mail is sent from.
    pub from: String,
    /// Whether STARTTLS is required.
    pub tls: bool,
}

/// A message that a program writes to a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AutomaticMail {
    /// The address of the recipient.
    pub to: String,
    /// The subject. Control characters are removed.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The `Message-ID` of the message that it answers; `None` if it is not an answer.
    pub answers: Option<String>,
    /// The URL that ends such mail to the recipient (RFC 8058); `None` if there is only this one.
    pub unsubscribe: Option<String>,
}

/// Why the smart host has not accepted a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The message or its recipient is refused, so that another attempt fails too.
    #[error("{0}")]
    Permanent(String),
    /// The smart host cannot be reached, or accepts nothing now.
    #[error("{0}")]
    Temporary(String),
}

/// Whether a reply code of the smart host refuses a message for good (RFC 5321 section 4.2). Lower
/// codes of 5yz are about the session: its commands, and authentication (RFC 4954 section 6).
fn refuses_message(code: u16) -> bool {
    (540..=599).contains(&code)
}

/// The longest mail address, in bytes (RFC 5321 section 4.5.3.1.3).
const MAX_ADDRESS_BYTES: usize = 254;

/// Reads an address that a stranger has written: one address without a name, in ASCII, at a domain
/// with a dot. An internationalised domain is returned in its ASCII form.
///
/// # Errors
///
/// The text is not such an address; the error says what is accepted.
pub fn read_address(text: &str) -> Result<String, String> {
    let bad = || "it is not a mail address, such as postmaster@example.org".to_string();
    let text = text.trim();
    let (local, domain) = text.rsplit_once('@').ok_or_else(bad)?;
    let is_atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
    if !local.is_ascii() {
        return Err("only ASCII characters are supported before the @".into());
    }
    let domain = idna::domain_to_ascii(domain).map_err(|_| bad())?;
    let is_label = |l: &str| {
        let is_inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&l.len()) && !l.starts_with('-') && l.bytes().all(is_inner)
    };
    let is_domain = domain.contains('.')
        && domain.split('.').all(is_label)
        && domain.parse::<IpAddr>().is_err();
    let is_valid = !local.is_empty() && local.bytes().all(is_atom) && is_domain;
    let address = format!("{local}@{domain}");
    if !is_valid || address.len() > MAX_ADDRESS_BYTES || address.parse::<Address>().is_err() {
        return Err(bad());
    }
    Ok(address)
}

/// Whether a text of a stranger can be written into `In-Reply-To`.
fn is_message_id(text: &str) -> bool {
    let inner = text.strip_prefix('<').and_then(|t| t.strip_suffix('>'));
    inner.is_some_and(|t| {
        (3..=250).contains(&t.len())
            && t.contains('@')
            && t.bytes()
                .all(|b| b.is_ascii_graphic() && !b"<>".contains(&b))
    })
}

/// Builds a message with its envelope. The envelope has no sender, so that no bounce can answer it,
/// and the header tells programs not to (RFC 3834 section 5).
fn build(from: &Mailbox, mail: &AutomaticMail) -> Result<(Envelope, Vec<u8>), String> {
    let to: Address = read_address(&mail.to)?
        .parse()
        .map_err(|e| format!("the recipient is not a mail address: {e}"))?;
    let subject: String = mail.subject.chars().filter(|c| !c.is_control()).collect();
    let answers = mail.answers.as_deref().filter(|id| is_message_id(id));
    let kind = match mail.answers {
        Some(_) => "auto-replied",
        None => "auto-generated",
    };
    let mut headers = vec![
        ("Auto-Submitted", kind.to_string()),
        ("X-Auto-Response-Suppress", "All".into()),
    ];
    for name in ["In-Reply-To", "References"] {
        headers.extend(answers.map(|id| (name, id.to_string())));
    }
    if let Some(url) = &mail.unsubscribe {
        if !url
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"<>".contains(&b))
        {
            return Err("the URL that ends mail has characters that a URL cannot have".into());
        }
        headers.push(("List-Unsubscribe", format!("<{url}>")));
        // One click needs an HTTPS URL (RFC 8058 section 3.1).
        if url.starts_with("https://") {
            headers.push(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".into()));
        }
    }
    let envelope = Envelope::new(None, vec![to.clone()]).map_err(|e| e.to_string())?;
    let mut builder = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(subject)
        .header(ContentType::TEXT_PLAIN);
    for (name, value) in headers {
        builder = builder.raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str(name),
            value,
        ));
    }
    let message = builder
        .envelope(envelope.clone())
        .body(mail.text.clone())
        .map_err(|e| e.to_string())?;
    Ok((envelope, message.formatted()))
}

/// Sends mail.
pub struct Mailer {
    from: Mailbox,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

/// Checks that a text is a mail address.
pub fn check_address(address: &str) -> Result<(), String> {
    address
        .parse::<Mailbox>()
        .map(drop)
        .map_err(|e| format!("`{address}` is not a mail address: {e}"))
}

/// Parses a smart host (`NAME`, `NAME:PORT`, `ADDRESS` or `[ADDRESS]:PORT`) into its host and port.
/// The default port is 587 with TLS, and 25 without.
///
/// # Errors
///
/// The text is not a host, or its port is not valid.
pub fn parse_smarthost(text: &str, tls: bool) -> Result<(String, u16), String> {
    let bad = || {
        let examples = "mx.example.org, mx.example.org:587 or [2001:db8::1]:587";
        format!("`{text}` is not a host, such as {examples}")
    };
    let default = if tls { 587 } else { 25 };
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok((address.to_string(), default));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|p| *p != 0).ok_or_else(bad)?),
        None => (text, default),
    };
    if let Some(address) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| bad())?;
        return Ok((address.to_string(), port));
    }
    let in_label = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    let is_label = |l: &str| (1..=63).contains(&l.len()) && l.bytes().all(in_label);
    let mut labels = host.strip_suffix('.').unwrap_or(host).split('.');
    let is_host = host.len() <= 253 && labels.all(is_label);
    if is_host {
        Ok((host.into(), port))
    } else {
        Err(bad())
    }
}

impl Mailer {
    /// Creates a mailer for the configured smart host; `None` if none is configured.
    pub fn new(settings: &MailSettings) -> Result<Option<Mailer>, String> {
        if settings.smarthost.is_empty() {
            return Ok(None);
        }
        let from = settings
            .from
            .parse()
            .map_err(|e| format!("mail.from: `{}`: {e}", settings.from))?;
        let (host, port) = parse_smarthost(&settings.smarthost, settings.tls)
            .map_err(|e| format!("mail.smarthost: {e}"))?;
        let builder = match settings.tls {
            true => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(&host)
                .map_err(|e| format!("mail.smarthost: {e}"))?,
            false => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&host),
        };
        Ok(Some(Mailer {
            from,
            transport: builder.port(port).timeout(Some(SEND_TIMEOUT)).build(),
        }))
    }

    /// Sends a message of a program, and returns once the smart host has accepted it.
    ///
    /// # Errors
    ///
    /// The message cannot be built, or the smart host does not accept it.
    pub async fn send_automatic(&self, mail: &AutomaticMail) -> Result<(), MailError> {
        let (envelope, bytes) = build(&self.from, mail).map_err(MailError::Permanent)?;
        let sent = self.transport.send_raw(&envelope, &bytes).await;
        sent.map(drop).map_err(|e| {
            let text = format!("smart host: {e}");
            match e.status().map(u16::from) {
                Some(code) if refuses_message(code) => MailError::Permanent(text),
                _ => MailError::Temporary(text),
            }
        })
    }

    /// Sends a text to a recipient, and returns once the smart host has accepted it.
    pub async fn send(&self, to: &str, subject: &str, text: String) -> Result<(), String> {
        let to: Mailbox = to.parse().map_err(|e| format!("`{to}`: {e}"))?;
        // The header marks the message as automatic, so that it gets no automatic reply (RFC 3834
        // section 5).
        let automatic = HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".into(),
        );
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .raw_header(automatic)
            .body(text)
            .map_err(|e| e.to_string())?;
        self.transport
            .send(message)
            .await
            .map(drop)
            .map_err(|e| format!("smart host: {e}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(mail: &AutomaticMail) -> Result<(Envelope, String), String> {
        let from = "Lists <lists@lists.example>".parse().unwrap();
        let (envelope, bytes) = build(&from, mail)?;
        Ok((envelope, String::from_utf8(bytes).unwrap()))
    }

    fn mail() -> AutomaticMail {
        AutomaticMail {
            to: "anna@example.org".into(),
            subject: "192.0.2.1: delisted".into(),
            text: "It was delisted.\n".into(),
            answers: None,
            unsubscribe: Some("https://lists.example/tickets/abc/unsubscribe".into()),
        }
    }

    /// The names of the header fields, and the number of lines that begin with one.
    fn fields(text: &str) -> Vec<&str> {
        let (header, _) = text.split_once("\r\n\r\n").unwrap();
        let lines = header.split("\r\n").filter(|l| !l.starts_with([' ', '\t']));
        lines.map(|l| l.split_once(':').unwrap().0).collect()
    }

    #[test]
    fn only_a_reply_about_the_message_refuses_it_for_good() {
        for code in [550, 551, 552, 553, 554, 555, 556] {
            assert!(refuses_message(code), "{code}");
        }
        for code in [421, 450, 451, 452, 455, 500, 503, 521, 530, 534, 535, 538] {
            assert!(!refuses_message(code), "{code}");
        }
    }

    #[test]
    fn automatic_mail_cannot_be_answered_by_programs() {
        let (envelope, text) = written(&mail()).unwrap();
        assert_eq!(envelope.from(), None);
        assert!(
            text.contains("Auto-Submitted: auto-generated\r\n"),
            "{text}"
        );
        assert!(
            text.contains("List-Unsubscribe: <https://lists.example/tickets/abc/unsubscribe>\r\n"),
            "{text}"
        );
        assert!(text.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"));
        let plain = AutomaticMail {
            unsubscribe: Some("http://lists.example/tickets/abc/unsubscribe".into()),
            ..mail()
        };
        let (_, text) = written(&plain).unwrap();
        assert!(text.contains("List-Unsubscribe: <http://") && !text.contains("One-Click"));
        let answer = AutomaticMail {
            answers: Some("<1@example.org>".into()),
            unsubscribe: None,
            ..mail()
        };
        let (_, text) = written(&answer).unwrap();
        assert!(text.contains("Auto-Submitted: auto-replied\r\n"), "{text}");
        assert!(text.contains("In-Reply-To: <1@example.org>\r\n"), "{text}");
        assert!(!text.contains("List-Unsubscribe"));
    }

    #[test]
    fn no_field_can_add_a_header_or_a_recipient() {
        let usual = fields(&written(&mail()).unwrap().1).len();
        for evil in [
            "\r\nBcc: x@evil.example\r\n\r\nbody",
            "\nBcc: x@evil.example",
            "\rBcc: x@evil.example",
            "\u{85}Bcc: x@evil.example",
            "\u{2028}Bcc: \u{e4}@evil.example",
        ] {
            let subject = AutomaticMail {
                subject: format!("192.0.2.1{evil}"),
                ..mail()
            };
            let (envelope, text) = written(&subject).unwrap();
            assert_eq!(fields(&text).len(), usual, "{text}");
            assert!(!fields(&text).contains(&"Bcc"), "{text}");
            assert_eq!(envelope.to().len(), 1);
            let body = AutomaticMail {
                text: evil.into(),
                ..mail()
            };
            let (_, text) = written(&body).unwrap();
            assert!(!fields(&text).contains(&"Bcc"), "{text}");
            let to = AutomaticMail {
                to: format!("anna@example.org{evil}"),
                ..mail()
            };
            assert!(written(&to).is_err(), "{evil:?}");
            let unsubscribe = AutomaticMail {
                unsubscribe: Some(format!("https://lists.example/{evil}")),
                ..mail()
            };
            assert!(written(&unsubscribe).is_err(), "{evil:?}");
            let answers = AutomaticMail {
                answers: Some(format!("<1@example.org>{evil}")),
                unsubscribe: None,
                ..mail()
            };
            let (_, text) = written(&answers).unwrap();
            assert!(
                !text.contains("In-Reply-To") && !text.contains("Bcc"),
                "{text}"
            );
        }
    }

    #[test]
    fn address_of_a_stranger_is_one_plain_address() {
        for (text, expected) in [
            ("anna@example.org", "anna@example.org"),
            (" a.b+c@mail.example.org ", "a.b+c@mail.example.org"),
            ("anna@b\u{fc}cher.example", "anna@xn--bcher-kva.example"),
        ] {
            assert_eq!(read_address(text).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "anna",
            "@example.org",
            "anna@",
            "anna@localhost",
            "Anna <anna@example.org>",
            "anna@example.org, ben@example.org",
            "a b@example.org",
            "anna@[192.0.2.1]",
            "anna@192.0.2.1",
            "\"a b\"@example.org",
            "\u{e4}nna@example.org",
            "a@b@example.org",
            "anna@example..org",
            "anna@-example.org",
            ".anna@example.org",
            "a@example.org\r\nx",
        ] {
            assert!(read_address(text).is_err(), "{text}");
        }
        assert!(read_address(&format!("{}@example.org", "a".repeat(300))).is_err());
    }
}
