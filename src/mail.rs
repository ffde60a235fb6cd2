//! Sends mail through the configured smart host, which queues and delivers it.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
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
