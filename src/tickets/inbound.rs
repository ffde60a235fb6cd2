//! Requests by mail: a message to the removal address of the collector opens the same ticket as the
//! site, and the answer has the link of its page.
//!
//! The answer goes to the author of the message, and only if SPF or DKIM shows that the message
//! comes from the author's domain. Every other message is refused in the SMTP session, so that the
//! server that sent it tells its user, and no mail goes to a stranger.
//!
//! A message is never a proof of control: an open relay sends for everybody.

use std::{net::IpAddr, sync::Arc, time::Duration};

use mail_auth::{
    AuthenticatedMessage, DkimResult, MessageAuthenticator, SpfResult, spf::verify::SpfParameters,
};
use mail_parser::{Message, MessageParser, PartType};
use tokio::time::timeout;

use super::{
    control::registered_domain,
    error::TicketError,
    limits::LimitedRequest,
    mail_rows::{QueuedMail, limit_key},
    mail_text::MailKind,
    outbox::{check_daily, count_daily},
    requests::NewTicket,
    service::TicketService,
    state::RemovalPolicy,
};
use crate::{
    bounce::{self, OwnNames},
    ledger::Ledger,
    mail::read_address,
    model::Subject,
    smtp::{mail::parse_mail, session::ReceivedMessage},
    texts::Language,
};

/// The most bytes of text in which subjects are searched.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// The most subjects of a message that are looked up.
const MAX_SUBJECTS: usize = 20;
/// The most answers to an address in a day.
const MAX_ANSWERS: usize = 1;
/// How long SPF and DKIM may take.
const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(20);

/// Finds the subjects that a text names, the likeliest first.
pub type SubjectFinder = Arc<dyn Fn(&str) -> Vec<Subject> + Send + Sync>;

/// Returns a finder that reads bounces, logs and headers. `site` is the URL of the site.
pub fn subject_finder(ledger: &Ledger, site: &str) -> SubjectFinder {
    let host = site.split_once("://").map_or("", |(_, rest)| rest);
    let host = host
        .split(['/', ':'])
        .next()
        .unwrap_or("")
        .to_ascii_lowercase();
    let ledger = ledger.clone();
    Arc::new(move |text| {
        let snapshot = ledger.published.snapshot();
        let is_zone = |name: &str| {
            let mut zones = snapshot.zones.all().iter();
            zones.any(|z| {
                z.spec
                    .origin
                    .trim_end_matches('.')
                    .eq_ignore_ascii_case(name)
            })
        };
        let own = OwnNames {
            is_zone: &is_zone,
            is_host: &|name| name == host,
        };
        let found = bounce::read(text, own).subjects.into_iter();
        found.map(|f| f.subject).collect()
    })
}

/// Why a message opens no ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RejectedMail {
    /// A program has sent the message.
    #[error("550 5.7.1 automatic messages are not read here; use {0}")]
    Automatic(String),
    /// Neither SPF nor DKIM shows that the author has sent the message.
    #[error(
        "550 5.7.1 neither SPF nor DKIM shows that the domain in From sent this message; use {0}"
    )]
    NotAuthenticated(String),
    /// SPF and DKIM cannot be checked now.
    #[error("451 4.4.3 SPF and DKIM cannot be checked now; try again later")]
    NotChecked,
    /// The message names no subject that is listed.
    #[error("550 5.6.0 the message names no address or domain that is listed here; use {0}")]
    NoSubject(String),
    /// The request is refused, or a limit is reached.
    #[error("550 5.7.1 {0}")]
    Refused(String),
    /// The ledger cannot store the request.
    #[error("451 4.3.0 the request could not be stored; try again later")]
    NotStored,
}

/// Receives requests by mail.
#[derive(Clone)]
pub struct RemovalMail {
    /// The address that accepts requests, in lower case.
    pub address: String,
    /// The service of tickets.
    pub tickets: TicketService,
    /// Checks SPF and DKIM.
    pub authenticator: Arc<MessageAuthenticator>,
    /// The name of this server, for SPF.
    pub host_name: String,
    /// Finds the subjects in a message.
    pub find_subjects: SubjectFinder,
}

impl RemovalMail {
    /// Whether a message is for the removal address.
    pub fn accepts(&self, message: &ReceivedMessage) -> bool {
        let is_own = |to: &String| to.trim_end_matches('.').eq_ignore_ascii_case(&self.address);
        message.to.iter().any(is_own)
    }

    /// Opens a ticket for a message, and queues the answer. Returns the SMTP reply: 250 after both
    /// are stored. Waits for DNS and the ledger.
    pub async fn receive(&self, message: &ReceivedMessage, client: IpAddr) -> String {
        match self.open(message, client).await {
            Ok(number) => {
                tracing::info!(ticket = number, "ticket opened by mail");
                format!("250 2.0.0 request {number} is open; the answer has its link")
            }
            Err(rejected) => {
                let reply = rejected.to_string();
                let code = reply.get(..9).unwrap_or_default();
                tracing::info!(%client, code, "request by mail rejected");
                one_line(&reply)
            }
        }
    }

    async fn open(&self, message: &ReceivedMessage, client: IpAddr) -> Result<u64, RejectedMail> {
        let site = self.tickets.settings().control.base_url.clone();
        let now = self.tickets.now();
        if is_automatic(message) {
            return Err(RejectedMail::Automatic(site));
        }
        let parsed = MessageParser::default().parse(&message.data);
        let (Some(parsed), Some(author)) = (&parsed, parsed.as_ref().and_then(author)) else {
            return Err(RejectedMail::NotAuthenticated(site));
        };
        // The limit comes before everything that takes long.
        self.tickets
            .count_request(LimitedRequest::Open, Some(client))
            .map_err(refused)?;
        match self.authenticate(message, client, &author).await {
            Ok(true) => {}
            Ok(false) => return Err(RejectedMail::NotAuthenticated(site)),
            Err(()) => return Err(RejectedMail::NotChecked),
        }
        let subjects = (self.find_subjects)(&text_of(parsed));
        let language = language(message);
        let answers = parsed.message_id().map(|id| format!("<{id}>"));
        let tickets = self.tickets.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let subject = listed_subject(&tickets, &subjects).map_err(refused)?;
            let subject = subject.ok_or(RejectedMail::NoSubject(site))?;
            let limit = limit_key("answer", &author);
            let why = "one request a day by mail is accepted from this address; use the link of the first answer";
            check_daily(&tickets.batch(now), limit, MAX_ANSWERS, why).map_err(refused)?;
            let policy = first_policy(&tickets, &subject).map_err(refused)?;
            let request = NewTicket {
                subject,
                policy,
                message: String::new(),
                language: language.tag().into(),
                client: None,
            };
            let ticket = tickets.open(&request, now).map_err(refused)?;
            let mail = QueuedMail {
                ticket: ticket.number,
                kind: MailKind::Answer,
                to: author,
                answers,
                tries: 0,
                next_at: now,
                queued_at: now,
            };
            let queued = tickets.decide(now, |batch| {
                count_daily(batch, limit, MAX_ANSWERS, why)?;
                tickets.queue_mail(batch, &mail)
            });
            queued.map_err(refused)?;
            Ok(ticket.number)
        });
        let number = opened.await.map_err(|_| RejectedMail::NotStored)??;
        let tickets = self.tickets.clone();
        tokio::spawn(async move { tickets.look_up_facts(number).await });
        Ok(number)
    }

    /// Whether SPF or DKIM shows that the domain of the author has sent a message. The error: DNS
    /// does not answer.
    async fn authenticate(
        &self,
        message: &ReceivedMessage,
        client: IpAddr,
        author: &str,
    ) -> Result<bool, ()> {
        let checked = timeout(AUTHENTICATION_TIMEOUT, self.domains(message, client)).await;
        let (domains, has_failed) = checked.map_err(drop)?;
        match domains.iter().any(|d| is_aligned(d, author)) {
            true => Ok(true),
            false if has_failed => Err(()),
            false => Ok(false),
        }
    }

    /// The domains that SPF or DKIM shows to have sent a message, and whether a check could not be
    /// made.
    async fn domains(&self, message: &ReceivedMessage, client: IpAddr) -> (Vec<String>, bool) {
        let mut out = Vec::new();
        let spf =
            SpfParameters::verify_mail_from(client, &message.hello, &self.host_name, &message.from);
        let spf = self.authenticator.verify_spf(spf).await;
        let mut has_failed = spf.result() == SpfResult::TempError;
        if spf.result() == SpfResult::Pass {
            let domain = message.from.rsplit_once('@').map(|(_, d)| d.to_string());
            out.extend(domain);
        }
        if let Some(signed) = AuthenticatedMessage::parse(&message.data) {
            for output in self.authenticator.verify_dkim(&signed).await {
                match output.result() {
                    // A signature of a part of the body allows anybody to add to it.
                    DkimResult::Pass => {
                        let whole = output.signature().filter(|s| s.l == 0);
                        out.extend(whole.map(|s| s.d.clone()));
                    }
                    DkimResult::TempError(_) => has_failed = true,
                    _ => {}
                }
            }
        }
        (out, has_failed)
    }
}

fn refused(e: TicketError) -> RejectedMail {
    match e {
        TicketError::Ledger(_) => RejectedMail::NotStored,
        TicketError::Invalid(why)
        | TicketError::LimitReached(why, _)
        | TicketError::Refused(why)
        | TicketError::NotFound(why) => RejectedMail::Refused(why),
    }
}

/// A reply as one line of SMTP.
fn one_line(reply: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_graphic() || c == ' ' {
            c
        } else {
            '?'
        }
    };
    reply.chars().take(480).map(plain).collect()
}

/// Whether two domains are under the same registered domain (relaxed alignment, RFC 7489 section
/// 3.1).
fn is_aligned(domain: &str, author: &str) -> bool {
    let bare = |d: &str| d.trim_end_matches('.').to_ascii_lowercase();
    let (_, author) = author.rsplit_once('@').unwrap_or_default();
    let (domain, author) = (bare(domain), bare(author));
    !author.is_empty() && registered_domain(&domain) == registered_domain(&author)
}

/// Whether a program has sent a message: no sender, or a header that says so (RFC 3834). An answer
/// to it could start a loop.
fn is_automatic(message: &ReceivedMessage) -> bool {
    let header = parse_mail(&message.data);
    let field = |name: &str| header.field(name).unwrap_or("").trim().to_ascii_lowercase();
    let auto = field("auto-submitted");
    let local = message
        .from
        .split('@')
        .next()
        .unwrap_or("")
        .to_ascii_lowercase();
    message.from.is_empty()
        || !auto.is_empty() && auto != "no"
        || ["bulk", "list", "junk", "auto_reply"].contains(&field("precedence").as_str())
        || [
            "list-id",
            "list-unsubscribe",
            "feedback-id",
            "x-loop",
            "x-auto-response-suppress",
        ]
        .iter()
        .any(|name| header.field(name).is_some())
        || field("content-type").starts_with("multipart/report")
        || ["mailer-daemon", "postmaster-noreply", "noreply", "no-reply"].contains(&local.as_str())
}

/// The only author of a message, if the address can get mail.
fn author(message: &Message<'_>) -> Option<String> {
    let mut froms = message.from()?.iter();
    let first = froms.next()?.address()?;
    let address = read_address(first).ok()?;
    froms.next().is_none().then_some(address)
}

/// All texts of a message, its subject first.
fn text_of(message: &Message<'_>) -> String {
    let mut out = String::from(message.subject().unwrap_or(""));
    add_parts(message, &mut out, 0);
    out.truncate(out.floor_char_boundary(MAX_TEXT_BYTES));
    out
}

fn add_parts(message: &Message<'_>, out: &mut String, depth: usize) {
    for part in &message.parts {
        if out.len() > MAX_TEXT_BYTES {
            return;
        }
        out.push('\n');
        match &part.body {
            PartType::Text(text) => out.push_str(text),
            PartType::Html(html) => {
                out.push_str(&mail_parser::decoders::html::html_to_text(html));
            }
            PartType::Message(inner) if depth < 3 => {
                let header = &inner.raw_message[..inner.raw_message.len().min(MAX_TEXT_BYTES)];
                out.push_str(&String::from_utf8_lossy(header));
                add_parts(inner, out, depth + 1);
            }
            PartType::Binary(data) | PartType::InlineBinary(data) => {
                // The report of a bounce (RFC 3464) is text.
                if let Ok(text) = std::str::from_utf8(data) {
                    out.push_str(text);
                }
            }
            PartType::Message(_) | PartType::Multipart(_) => {}
        }
    }
}

/// The language that a message asks for.
fn language(message: &ReceivedMessage) -> Language {
    let header = parse_mail(&message.data);
    let asked = header
        .field("accept-language")
        .or_else(|| header.field("content-language"));
    Language::negotiate(asked.unwrap_or(""))
}

/// The first subject that is listed.
fn listed_subject(
    tickets: &TicketService,
    subjects: &[Subject],
) -> Result<Option<Subject>, TicketError> {
    for subject in subjects.iter().take(MAX_SUBJECTS) {
        if !tickets.listings(subject)?.is_empty() {
            return Ok(Some(subject.clone()));
        }
    }
    Ok(None)
}

/// The policy of a ticket by mail, in which nobody can choose one: that of the first listing.
fn first_policy(
    tickets: &TicketService,
    subject: &Subject,
) -> Result<Option<RemovalPolicy>, TicketError> {
    Ok(tickets.listings(subject)?.first().map(|l| l.policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(from: &str, header: &str) -> ReceivedMessage {
        ReceivedMessage {
            hello: "mail.example.org".into(),
            from: from.into(),
            to: vec!["removal@probe.example".into()],
            data: format!("{header}\r\nFrom: Anna <anna@example.org>\r\n\r\n192.0.2.1\r\n")
                .into_bytes(),
        }
    }

    #[test]
    fn automatic_messages_get_no_answer() {
        assert!(!is_automatic(&message("anna@example.org", "Subject: x")));
        assert!(!is_automatic(&message(
            "anna@example.org",
            "Auto-Submitted: no"
        )));
        assert!(is_automatic(&message("", "Subject: x")), "a null sender");
        for header in [
            "Auto-Submitted: auto-replied",
            "auto-submitted: auto-generated (x)",
            "Precedence: bulk",
            "Precedence: LIST",
            "List-Id: <x.example.org>",
            "X-Auto-Response-Suppress: All",
            "Content-Type: multipart/report; report-type=delivery-status",
        ] {
            assert!(
                is_automatic(&message("anna@example.org", header)),
                "{header}"
            );
        }
        assert!(is_automatic(&message(
            "MAILER-DAEMON@example.org",
            "Subject: x"
        )));
    }

    #[test]
    fn alignment_is_by_registered_domain() {
        for (domain, author, expected) in [
            ("example.org", "anna@example.org", true),
            ("Mail.Example.org.", "anna@example.org", true),
            ("bounce.example.co.uk", "anna@mail.example.co.uk", true),
            ("other.co.uk", "anna@example.co.uk", false),
            ("evil.example", "anna@example.org", false),
            ("a.github.io", "anna@b.github.io", false),
            ("org", "anna@example.org", false),
            ("", "anna@example.org", false),
        ] {
            assert_eq!(is_aligned(domain, author), expected, "{domain} {author}");
        }
    }

    #[test]
    fn message_with_several_authors_has_none() {
        let of = |from: &str| {
            let data = format!("From: {from}\r\n\r\nx\r\n");
            let parsed = MessageParser::default().parse(data.as_bytes()).unwrap();
            author(&parsed)
        };
        assert_eq!(
            of("Anna <anna@example.org>").as_deref(),
            Some("anna@example.org")
        );
        for from in [
            "anna@example.org, ben@evil.example",
            "group: anna@example.org, ben@evil.example;",
            "anna",
            "",
            "anna@[192.0.2.1]",
        ] {
            assert_eq!(of(from), None, "{from}");
        }
    }

    #[test]
    fn texts_of_all_parts_are_searched() {
        let data = "From: anna@example.org\r\nSubject: about 192.0.2.1\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nplain 192.0.2.2\r\n\
            --b\r\nContent-Type: text/html\r\n\r\n<p>html 192.0.2.3</p>\r\n\
            --b\r\nContent-Type: message/delivery-status\r\n\r\nDiagnostic-Code: smtp; 192.0.2.4 blocked\r\n\
            --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner 192.0.2.5\r\n--b--\r\n";
        let parsed = MessageParser::default().parse(data.as_bytes()).unwrap();
        let text = text_of(&parsed);
        for n in 1..=5 {
            assert!(text.contains(&format!("192.0.2.{n}")), "{n}: {text}");
        }
    }

    #[test]
    fn reply_is_one_line_of_ascii() {
        let reply = RejectedMail::Refused("a\r\n250 ok\u{e4}".into()).to_string();
        assert_eq!(one_line(&reply), "550 5.7.1 a??250 ok?");
    }
}
