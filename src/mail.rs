//! Mail through the configured smart host, which does everything else that mail needs.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};

/// How long one message may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);

/// Settings: `[mail]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailSettings {
    /// The smart host, `NAME` or `NAME:PORT`; empty: no mail is sent.
    pub smarthost: String,
    /// The sender of the mail.
    pub from: String,
    /// Whether STARTTLS is required.
    pub tls: bool,
}

/// Sends mail.
pub struct Mail {
    from: Mailbox,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

/// Whether a text is a mail address.
pub fn check(address: &str) -> Result<(), String> {
    address
        .parse::<Mailbox>()
        .map(drop)
        .map_err(|e| format!("`{address}` is no address of mail: {e}"))
}

/// Divides a smart host, `NAME`, `NAME:PORT`, `ADDRESS` or `[ADDRESS]:PORT`, into its host and
/// port. The default port is 587 with TLS, and 25 without.
///
/// # Errors
///
/// The text names no host, or no port.
pub fn parse_smarthost(text: &str, tls: bool) -> Result<(String, u16), String> {
    let bad = || {
        format!(
            "`{text}` is not a host, such as mx.example.org, mx.example.org:587 or [2001:db8::1]:587"
        )
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
        return address
            .parse::<Ipv6Addr>()
            .map(|a| (a.to_string(), port))
            .map_err(|_| bad());
    }
    let is_label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let is_host = host.len() <= 253
        && host
            .strip_suffix('.')
            .unwrap_or(host)
            .split('.')
            .all(is_label);
    if is_host {
        Ok((host.into(), port))
    } else {
        Err(bad())
    }
}

impl Mail {
    /// Creates a sender for a smart host; `None` if none is configured.
    pub fn new(settings: &MailSettings) -> Result<Option<Mail>, String> {
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
        Ok(Some(Mail {
            from,
            transport: builder.port(port).timeout(Some(SEND_TIMEOUT)).build(),
        }))
    }

    /// Sends a text to a recipient; returns when the smart host has accepted it.
    pub async fn send(&self, to: &str, subject: &str, text: String) -> Result<(), String> {
        let to: Mailbox = to.parse().map_err(|e| format!("`{to}`: {e}"))?;
        let builder = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(subject)
            .header(ContentType::TEXT_PLAIN);
        // An automatic message gets no automatic reply (RFC 3834 section 5).
        let message = builder
            .header(AutoSubmitted)
            .body(text)
            .map_err(|e| e.to_string())?;
        self.transport
            .send(message)
            .await
            .map(drop)
            .map_err(|e| format!("the smart host: {e}"))
    }
}

/// `Auto-Submitted: auto-generated`.
#[derive(Clone)]
struct AutoSubmitted;

impl lettre::message::header::Header for AutoSubmitted {
    fn name() -> lettre::message::header::HeaderName {
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }
    fn parse(_: &str) -> Result<AutoSubmitted, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }
    fn display(&self) -> lettre::message::header::HeaderValue {
        lettre::message::header::HeaderValue::new(Self::name(), "auto-generated".into())
    }
}
