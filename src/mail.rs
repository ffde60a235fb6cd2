//! Mail through the configured smart host, which does everything else that mail needs.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};

/// How long one message may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Settings: `[mail]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
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

impl Mail {
    /// Creates a sender for a smart host; `None` if none is configured.
    pub fn new(settings: &Settings) -> Result<Option<Mail>, String> {
        if settings.smarthost.is_empty() {
            return Ok(None);
        }
        let from = settings
            .from
            .parse()
            .map_err(|e| format!("mail.from: `{}`: {e}", settings.from))?;
        let (host, port) = match settings.smarthost.rsplit_once(':') {
            Some((h, p)) => (
                h,
                p.parse()
                    .map_err(|_| format!("mail.smarthost: `{p}` is no port"))?,
            ),
            None => (
                settings.smarthost.as_str(),
                if settings.tls { 587 } else { 25 },
            ),
        };
        let builder = match settings.tls {
            true => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host)
                .map_err(|e| format!("mail.smarthost: {e}"))?,
            false => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host),
        };
        Ok(Some(Mail {
            from,
            transport: builder.port(port).timeout(Some(PATIENCE)).build(),
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
