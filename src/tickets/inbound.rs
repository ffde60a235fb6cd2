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
    AuthenticatedMessage, DkimResult, MessageAuthenticator, SpfResult, common::crypto::Algorithm,
    dkim::Signature, spf::verify::SpfParameters,
};
use mail_parser::{Header, HeaderName, Message, MessageParser, PartType};
use tokio::time::timeout;

use super::{
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
    model::{Subject, Time, domain::registered_domain},
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
/// The most DKIM signatures of a message that are checked.
const MAX_SIGNATURES: usize = 4;

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
    /// The message has not exactly one author, or no mail can be sent to them.
    #[error("550 5.6.0 the message needs one From field with one mail address in ASCII; use {0}")]
    NoAuthor(String),
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
    /// The request is refused, or the author has had the answer of this day.
    #[error("550 5.7.1 {0}")]
    Refused(String),
    /// A limit is reached, so that the server that sent the message tries again.
    #[error("451 4.7.1 {0}")]
    Later(String),
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
        let signed = AuthenticatedMessage::parse(&message.data);
        let (Some(parsed), Some(signed)) = (parsed, signed) else {
            return Err(RejectedMail::NoAuthor(site));
        };
        let Some(author) = author(&parsed, &signed) else {
            return Err(RejectedMail::NoAuthor(site));
        };
        // This limit comes before everything that takes long. Many authors can share a client, so
        // the limit of their domain, which is lower, counts authenticated messages alone.
        self.tickets
            .count_request(LimitedRequest::Mail, Some(client))
            .map_err(refused)?;
        let addressed = addressed_fields(&parsed, &signed, &self.address);
        match self
            .authenticate(message, signed, &addressed, client, &author)
            .await
        {
            Ok(true) => {}
            Ok(false) => return Err(RejectedMail::NotAuthenticated(site)),
            Err(()) => return Err(RejectedMail::NotChecked),
        }
        self.tickets
            .limits
            .count_author(&author, now)
            .map_err(refused)?;
        let request = MailRequest {
            subjects: (self.find_subjects)(&text_of(&parsed)),
            language: language(message),
            answers: parsed.message_id().map(|id| format!("<{id}>")),
            author,
        };
        let tickets = self.tickets.clone();
        let opened = tokio::task::spawn_blocking(move || request.open(&tickets, now));
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
        signed: AuthenticatedMessage<'_>,
        addressed: &[&str],
        client: IpAddr,
        author: &str,
    ) -> Result<bool, ()> {
        let checked = async {
            let spf = self.check_spf(message, client, author).await;
            match spf {
                Ok(true) => spf,
                _ => either(spf, self.check_dkim(signed, addressed, author).await),
            }
        };
        let checked = timeout(AUTHENTICATION_TIMEOUT, checked).await;
        checked.map_err(drop)?
    }

    /// Whether SPF permits the client to send for a sender that is aligned with the author.
    async fn check_spf(
        &self,
        message: &ReceivedMessage,
        client: IpAddr,
        author: &str,
    ) -> Result<bool, ()> {
        let domain = message.from.rsplit_once('@').map_or("", |(_, d)| d);
        if !is_aligned(domain, author) {
            return Ok(false);
        }
        let spf =
            SpfParameters::verify_mail_from(client, &message.hello, &self.host_name, &message.from);
        match self.authenticator.verify_spf(spf).await.result() {
            SpfResult::Pass => Ok(true),
            SpfResult::TempError => Err(()),
            _ => Ok(false),
        }
    }

    /// Whether a message has a valid signature that is aligned with the author. Other signatures
    /// are not looked at: each costs a look-up of a name that a stranger has chosen.
    async fn check_dkim(
        &self,
        mut signed: AuthenticatedMessage<'_>,
        addressed: &[&str],
        author: &str,
    ) -> Result<bool, ()> {
        let headers = &mut signed.dkim_headers;
        headers.retain(|h| is_usable(&h.header, addressed) && is_aligned(&h.header.d, author));
        headers.truncate(MAX_SIGNATURES);
        let mut out = Ok(false);
        for output in self.authenticator.verify_dkim(&signed).await {
            let is_valid = match output.result() {
                DkimResult::Pass => Ok(true),
                DkimResult::TempError(_) => Err(()),
                _ => Ok(false),
            };
            out = either(out, is_valid);
        }
        out
    }
}

/// A request by mail whose author is authenticated.
pub(super) struct MailRequest {
    /// The subjects that the message names, the likeliest first.
    pub subjects: Vec<Subject>,
    /// The address of the author.
    pub author: String,
    /// The language of the answer.
    pub language: Language,
    /// The `Message-ID` of the message.
    pub answers: Option<String>,
}

impl MailRequest {
    /// Opens a ticket for the first listed subject, and queues the answer in the same commit, so
    /// that somebody has the link of its page. Returns the number of the ticket.
    ///
    /// # Errors
    ///
    /// Nothing is listed, a limit is reached, or the request cannot be stored.
    pub fn open(self, tickets: &TicketService, now: Time) -> Result<u64, RejectedMail> {
        let subject = listed_subject(tickets, &self.subjects).map_err(refused)?;
        let site = &tickets.settings().control.base_url;
        let subject = subject.ok_or_else(|| RejectedMail::NoSubject(site.clone()))?;
        let limit = limit_key("answer", &self.author);
        let why = "one request a day by mail is accepted from this address; use the link of the first answer";
        // Such a request is not counted for its subject.
        let checked = check_daily(&tickets.batch(now), limit, MAX_ANSWERS, why);
        checked.map_err(|e| refused(final_limit(e)))?;
        let request = NewTicket {
            policy: first_policy(tickets, &subject).map_err(refused)?,
            subject,
            message: String::new(),
            language: self.language.tag().into(),
            client: None,
        };
        let opened = tickets.open_with(&request, now, |batch, ticket| {
            count_daily(batch, limit, MAX_ANSWERS, why).map_err(final_limit)?;
            let mail = QueuedMail {
                ticket,
                kind: MailKind::Answer,
                to: self.author,
                answers: self.answers,
                tries: 0,
                next_at: now,
                queued_at: now,
            };
            tickets.queue_mail(batch, &mail)
        });
        opened.map(|ticket| ticket.number).map_err(refused)
    }
}

/// Whether one of two checks has passed; an error if none has and one could not be made.
fn either(a: Result<bool, ()>, b: Result<bool, ()>) -> Result<bool, ()> {
    match (a, b) {
        (Ok(true), _) | (_, Ok(true)) => Ok(true),
        (Err(()), _) | (_, Err(())) => Err(()),
        (Ok(false), Ok(false)) => Ok(false),
    }
}

/// Whether a signature can show who has sent a message here: it has to cover the author (RFC 6376
/// section 6.1.1), the removal address, because anybody could send a message to others here again
/// (RFC 6376 section 8.6), and the whole body, to which anybody could add, and not to use SHA-1
/// (RFC 8301). `addressed` has the fields that name the removal address.
fn is_usable(signature: &Signature, addressed: &[&str]) -> bool {
    let covers = |name: &str| signature.h.iter().any(|h| h.eq_ignore_ascii_case(name));
    signature.l == 0
        && signature.a != Algorithm::RsaSha1
        && covers("from")
        && addressed.iter().any(|name| covers(name))
}

/// Returns which of the fields To and Cc name an address. Of several fields of a name a signature
/// can cover one alone, so such fields do not count. Both parsers have to find the same number.
fn addressed_fields(
    message: &Message<'_>,
    signed: &AuthenticatedMessage<'_>,
    address: &str,
) -> Vec<&'static str> {
    let names_address = |name: &str, field: HeaderName<'_>| {
        let mut fields = message.headers().iter().filter(|h| h.name == field);
        let first = fields.next().and_then(|h| h.value.as_address());
        let is_name =
            |(n, _): &&(&[u8], &[u8])| n.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        let is_only = fields.next().is_none() && signed.headers.iter().filter(is_name).count() == 1;
        let is_it = |to: &str| to.trim_end_matches('.').eq_ignore_ascii_case(address);
        is_only && first.is_some_and(|list| list.iter().any(|a| a.address().is_some_and(is_it)))
    };
    let fields = [("to", HeaderName::To), ("cc", HeaderName::Cc)];
    let named = fields
        .into_iter()
        .filter(|(name, field)| names_address(name, field.clone()));
    named.map(|(name, _)| name).collect()
}

fn refused(e: TicketError) -> RejectedMail {
    match e {
        TicketError::Ledger(_) => RejectedMail::NotStored,
        TicketError::LimitReached(why, _) => RejectedMail::Later(why),
        TicketError::Invalid(why) | TicketError::Refused(why) | TicketError::NotFound(why) => {
            RejectedMail::Refused(why)
        }
    }
}

/// Makes a limit final: the author has the answer to the first request, and the server that sent
/// the message need not try again.
fn final_limit(e: TicketError) -> TicketError {
    match e {
        TicketError::LimitReached(why, _) => TicketError::Refused(why),
        other => other,
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
    // A field that occurs twice counts whichever of the two says so.
    let has = |name: &str, says_so: &dyn Fn(&str) -> bool| {
        let mut fields = header.fields.iter().filter(|(n, _)| n == name);
        fields.any(|(_, value)| says_so(&value.trim().to_ascii_lowercase()))
    };
    // A comment or a parameter may follow the first word (RFC 3834 section 5).
    let first_word = |value: &str| {
        let end = value.find(|c: char| c.is_whitespace() || "(;".contains(c));
        value[..end.unwrap_or(value.len())].to_string()
    };
    let local = message
        .from
        .split('@')
        .next()
        .unwrap_or("")
        .to_ascii_lowercase();
    message.from.is_empty()
        || has("auto-submitted", &|v| {
            !["", "no"].contains(&&*first_word(v))
        })
        || has("precedence", &|v| {
            ["bulk", "list", "junk", "auto_reply"].contains(&&*first_word(v))
        })
        || [
            "list-id",
            "list-unsubscribe",
            "feedback-id",
            "x-loop",
            "x-auto-response-suppress",
        ]
        .iter()
        .any(|name| has(name, &|_| true))
        || has("content-type", &|v| v.starts_with("multipart/report"))
        || ["mailer-daemon", "postmaster-noreply", "noreply", "no-reply"].contains(&local.as_str())
}

/// The only author of a message, if the address can get mail. Of several From fields a signature
/// covers the last one alone, so such a message has none. Both parsers have to find the same author.
fn author(message: &Message<'_>, signed: &AuthenticatedMessage<'_>) -> Option<String> {
    let is_from = |header: &&Header<'_>| header.name == HeaderName::From;
    let mut fields = message.headers().iter().filter(is_from);
    let mut froms = fields.next()?.value.as_address()?.iter();
    let first = froms.next()?.address()?;
    let is_only = fields.next().is_none() && froms.next().is_none();
    let is_same = signed.froms() == [first.to_lowercase()];
    let address = read_address(first).ok()?;
    (is_only && is_same).then_some(address)
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
        assert!(!is_automatic(&message(
            "anna@example.org",
            "Auto-Submitted: No (a person wrote this)"
        )));
        assert!(is_automatic(&message("", "Subject: x")), "a null sender");
        for header in [
            "Auto-Submitted: auto-replied",
            "auto-submitted: auto-generated (x)",
            "Auto-Submitted: no\r\nAuto-Submitted: auto-replied",
            "Auto-Submitted :\r\n auto-replied",
            "Precedence: bulk",
            "Precedence: LIST",
            "Precedence: first-class\r\nPrecedence: bulk (x)",
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
            let signed = AuthenticatedMessage::parse(data.as_bytes()).unwrap();
            author(&parsed, &signed)
        };
        assert_eq!(
            of("Anna <anna@example.org>").as_deref(),
            Some("anna@example.org")
        );
        for from in [
            "\"ben@evil.example\" <anna@example.org>",
            "ben@evil.example <anna@example.org>",
            "=?utf-8?q?ben=40evil=2Eexample?= <anna@example.org>",
            "anna@example.org (ben@evil.example)",
            "Anna\r\n <anna@example.org>\r\nReply-To: ben@evil.example",
        ] {
            assert_eq!(of(from).as_deref(), Some("anna@example.org"), "{from}");
        }
        for from in [
            "anna@example.org, ben@evil.example",
            "group: anna@example.org, ben@evil.example;",
            "anna",
            "",
            "anna@[192.0.2.1]",
            "\u{e4}nna@example.org",
            "<anna@example.org> <ben@evil.example>",
            "Anna <anna@example.org>\r\nFrom: Ben <ben@evil.example>",
            "Anna <anna@example.org>\r\nfrom : Ben <ben@evil.example>",
        ] {
            assert_eq!(of(from), None, "{from}");
        }
    }

    #[test]
    fn signature_that_does_not_cover_the_removal_address_shows_nothing() {
        let is_usable = |covered: &str, fields: &str| {
            let data = format!(
                "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.org; s=s; h={covered}; \
                 bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n\
                 From: anna@example.org\r\n{fields}\r\n\r\nx\r\n"
            );
            let parsed = MessageParser::default().parse(data.as_bytes()).unwrap();
            let signed = AuthenticatedMessage::parse(data.as_bytes()).unwrap();
            let addressed = addressed_fields(&parsed, &signed, "removal@probe.example");
            is_usable(&signed.dkim_headers[0].header, &addressed)
        };
        for (covered, fields) in [
            ("from:to", "To: removal@probe.example"),
            (
                "From:To",
                "To: Ben <ben@example.net>, X <Removal@Probe.example.>",
            ),
            (
                "from:cc",
                "To: ben@example.net\r\nCc: removal@probe.example",
            ),
            (
                "from:to",
                "To: removal@probe.example\r\nCc: a@example.net\r\nCc: b@example.net",
            ),
        ] {
            assert!(is_usable(covered, fields), "{covered} {fields}");
        }
        for (covered, fields) in [
            ("from:to", "To: ben@example.net"),
            ("from:to", "Subject: removal@probe.example"),
            ("from:to", "To: \"removal@probe.example\" <ben@example.net>"),
            ("from:subject", "To: removal@probe.example"),
            ("to:subject", "To: removal@probe.example"),
            (
                "from:to",
                "To: ben@example.net\r\nCc: removal@probe.example",
            ),
            (
                "from:to",
                "To: removal@probe.example\r\nTo: ben@example.net",
            ),
            (
                "from:to",
                "To: removal@probe.example\r\nto : ben@example.net",
            ),
            (
                "from:to",
                "To: ben@example.net\r\nTo: removal@probe.example",
            ),
        ] {
            assert!(!is_usable(covered, fields), "{covered} {fields}");
        }
    }

    #[test]
    fn limit_is_a_temporary_failure_unless_it_is_final() {
        let limit =
            || TicketError::LimitReached("come again".into(), crate::model::time::Seconds(9));
        assert_eq!(refused(limit()).to_string(), "451 4.7.1 come again");
        assert_eq!(
            refused(final_limit(limit())).to_string(),
            "550 5.7.1 come again"
        );
        let other = TicketError::Refused("no".into());
        assert_eq!(refused(other).to_string(), "550 5.7.1 no");
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
