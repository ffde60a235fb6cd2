//! The socket of the tester: sends the messages of a job to one host, one session at a time, and
//! records the transcript. [`crate::smtp::client`] implements the protocol.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use super::{
    control::{ControlCheck, ControlSession},
    messages::{MessageResult, PreparedMessage},
    transcript::{Speaker, TranscriptLine},
};
use crate::{
    model::text::replace_controls,
    smtp::{
        Envelope, MessageOutcome, SmtpPort, SmtpStage,
        client::{ClientAction, ClientSession, ConnectionInfo},
        outcome::RecipientReply,
        reply::{ReplyReader, SmtpReply},
    },
};

/// After so many attempts in a row without a session, a port is not tried again.
const MAX_FAILED_ATTEMPTS: usize = 3;
/// How much longer than its minimum duration a test may take.
pub const MAX_EXTRA: Duration = Duration::from_secs(3600);
/// A message that takes longer than this time is slow. After this number of slow messages the rest
/// is not sent, so that a host cannot occupy a test slot for hours.
const SLOW_MESSAGES: (Duration, usize) = (Duration::from_secs(120), 5);
/// The longest transcript, in bytes. Later lines are dropped.
const MAX_TRANSCRIPT_BYTES: usize = 128 * 1024;
/// The longest line of a transcript, in characters.
const MAX_LINE_CHARS: usize = 1000;
/// Bytes read at a time.
const READ_BYTES: usize = 4096;

/// The settings of the tester.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TesterSettings {
    /// The ports of SMTP, submission, and submission under TLS.
    pub ports: [u16; 3],
    /// The minimum pause between two messages.
    pub pause: Duration,
    /// The minimum duration of a whole test.
    pub min_duration: Duration,
    /// The timeout of a connection and of each reply.
    pub timeout: Duration,
    /// The source addresses. The first one of the target's family is used.
    pub source: Vec<IpAddr>,
    /// How much longer than its minimum duration a test may take.
    pub max_extra: Duration,
}

impl TesterSettings {
    /// Returns the settings for one job. A test that the owner of the host requested has a short
    /// pause and no minimum duration (safety rule S4). `source` is the source address of the job,
    /// if it has one.
    #[must_use]
    pub fn for_job(&self, by_owner: bool, source: Option<IpAddr>) -> TesterSettings {
        let mut out = self.clone();
        if by_owner {
            (out.pause, out.min_duration) = (out.pause.min(OWNER_PAUSE), Duration::ZERO);
        }
        if let Some(source) = source {
            out.source = vec![source];
        }
        out
    }
}

/// The pause between two messages of a test that the owner of the host requested.
pub const OWNER_PAUSE: Duration = Duration::from_secs(2);

/// The report of a run of messages.
#[derive(Debug, Clone, Default)]
pub struct RunReport {
    /// The result of each message.
    pub results: Vec<MessageResult>,
    /// The sessions that carried controls.
    pub controls: Vec<ControlSession>,
    /// The transcript.
    pub transcript: Vec<TranscriptLine>,
}

/// Follows a run of messages.
pub trait RunObserver: Send {
    /// Returns whether to continue. It is called before each message.
    fn may_continue(&mut self) -> bool {
        true
    }

    /// Receives each line of the transcript as it is written.
    fn transcript_line(&mut self, _line: &TranscriptLine) {}

    /// Receives all results and sessions so far, after each message and after each last control.
    fn progress(&mut self, _results: &[MessageResult], _controls: &[ControlSession]) {}
}

/// Sends messages to a host. `port` replaces the SMTP port of the settings. Messages with a control
/// share a session, which has a control before its first and after its last message.
pub async fn run(
    target: IpAddr,
    port: Option<u16>,
    messages: &[PreparedMessage],
    settings: &TesterSettings,
    observer: &mut dyn RunObserver,
) -> RunReport {
    let until = Instant::now() + settings.min_duration + settings.max_extra;
    // There is one pause fewer than messages.
    let spread =
        settings.min_duration / u32::try_from(messages.len().saturating_sub(1).max(1)).unwrap_or(1);
    let pause = settings.pause.max(spread);
    let mut run = TestRun {
        target,
        port,
        settings,
        connection: None,
        transcript: Vec::new(),
        transcript_bytes: 0,
        observer,
        last: None,
        controls: Vec::new(),
    };
    let mut out: Vec<MessageResult> = Vec::with_capacity(messages.len());
    let mut attempts: Vec<(SmtpPort, Attempt)> = Vec::new();
    let mut slow = 0;
    for (n, m) in messages.iter().enumerate() {
        let port = m.envelope.port;
        // A port that accepts no sessions is not tried again for each message.
        let same_port = attempts.iter().rev().filter(|(p, _)| *p == port);
        let last: Vec<&Attempt> = same_port
            .take(MAX_FAILED_ATTEMPTS)
            .map(|(_, a)| a)
            .collect();
        if !run.observer.may_continue() {
            run.close().await;
            break;
        }
        if run.end_session(m.control.as_ref().map(|c| c.session)).await {
            run.observer.progress(&out, &run.controls);
        }
        let attempt = match &last[..] {
            _ if Instant::now() > until || slow >= SLOW_MESSAGES.1 => {
                MessageOutcome::inconclusive("the test took too long").into()
            }
            [newest, ..]
                if last.len() == MAX_FAILED_ATTEMPTS && last.iter().all(|a| a.is_shut_out()) =>
            {
                (*newest).clone()
            }
            _ => {
                if n > 0 {
                    sleep(pause).await;
                }
                let begun = Instant::now();
                let attempt = run.message(m).await;
                slow += usize::from(begun.elapsed() > SLOW_MESSAGES.0);
                attempt
            }
        };
        out.push(MessageResult {
            place: m.place,
            outcome: attempt.outcome.clone(),
        });
        attempts.push((port, attempt));
        run.observer.progress(&out, &run.controls);
    }
    if run.end_session(None).await {
        run.observer.progress(&out, &run.controls);
    }
    run.close().await;
    RunReport {
        results: out,
        controls: run.controls,
        transcript: run.transcript,
    }
}

/// Returns the line of a transcript that begins a test.
fn header(test: &str, envelope: &Envelope) -> String {
    format!(
        "test {test}: MAIL FROM:{} RCPT TO:{}",
        envelope.from,
        envelope.to.get(envelope.probe).map_or("", String::as_str)
    )
}

/// A failure of the connection, because of which a message has no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionFailure {
    /// No connection was made.
    NotConnected,
    /// The server did not reply in time.
    NoReply,
    /// The connection was closed, or the server broke the protocol.
    Broken,
}

/// The result of one attempt to send a message.
#[derive(Debug, Clone)]
struct Attempt {
    outcome: MessageOutcome,
    failure: Option<ConnectionFailure>,
}

impl Attempt {
    fn not_connected(why: impl Into<String>) -> Attempt {
        Attempt {
            outcome: MessageOutcome::inconclusive(why),
            failure: Some(ConnectionFailure::NotConnected),
        }
    }

    /// Whether the host accepts no sessions.
    fn is_shut_out(&self) -> bool {
        use ConnectionFailure::{NoReply, NotConnected};
        match self.outcome.refused_at() {
            Some(stage) => stage == SmtpStage::Connect,
            None => matches!(self.failure, Some(NotConnected | NoReply)),
        }
    }

    /// Whether another session may give the message an outcome, because this one was closed early.
    fn is_worth_repeating(&self) -> bool {
        match &self.outcome {
            MessageOutcome::Inconclusive { .. } => {
                self.failure != Some(ConnectionFailure::NotConnected)
            }
            MessageOutcome::TempFail {
                stage, code: 421, ..
            } => *stage > SmtpStage::Connect,
            _ => false,
        }
    }
}

impl From<MessageOutcome> for Attempt {
    fn from(outcome: MessageOutcome) -> Attempt {
        Attempt {
            outcome,
            failure: None,
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection that can carry another message.
struct Connection {
    transport: Transport,
    link: ConnectionInfo,
    port: SmtpPort,
    hello: Option<String>,
    /// Our address.
    source: Option<IpAddr>,
    /// The number of the session with controls that the connection carries, and the envelope of its
    /// control.
    control: Option<(u32, Envelope)>,
}

/// The bytes of a connection.
struct Transport {
    stream: Box<dyn Stream>,
    reader: ReplyReader,
    unread: Vec<u8>,
}

impl Transport {
    fn new(stream: Box<dyn Stream>) -> Transport {
        Transport {
            stream,
            reader: ReplyReader::default(),
            unread: Vec::new(),
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Reads the next reply. Bytes after it are kept.
    async fn read(&mut self) -> Result<SmtpReply, String> {
        loop {
            let (n, reply) = self.reader.feed(&self.unread);
            self.unread.drain(..n);
            if let Some(reply) = reply.map_err(|e| e.to_string())? {
                return Ok(reply);
            }
            let mut buffer = [0; READ_BYTES];
            match self.stream.read(&mut buffer).await {
                Ok(0) => return Err("the connection was closed".into()),
                Ok(n) => self.unread.extend(&buffer[..n]),
                Err(e) => return Err(format!("the connection was closed: {e}")),
            }
        }
    }
}

struct TestRun<'a> {
    target: IpAddr,
    port: Option<u16>,
    settings: &'a TesterSettings,
    connection: Option<Connection>,
    transcript: Vec<TranscriptLine>,
    transcript_bytes: usize,
    observer: &'a mut dyn RunObserver,
    last: Option<Instant>,
    controls: Vec<ControlSession>,
}

/// The name of a control in a transcript.
const CONTROL: &str = "(control)";

impl TestRun<'_> {
    /// Sends one message. If the session is closed early, it tries once more in a new
    /// one.
    async fn message(&mut self, m: &PreparedMessage) -> Attempt {
        self.note(Speaker::Tester, &header(&m.test, &m.envelope));
        let mut attempt = self.attempt_message(m).await;
        if attempt.is_worth_repeating() {
            self.note(Speaker::Tester, "retrying in a new session");
            sleep(self.settings.pause).await;
            attempt = self.attempt_message(m).await;
        }
        self.note(
            Speaker::Tester,
            &format!("test {}: {}", m.test, attempt.outcome.as_str()),
        );
        attempt
    }

    async fn attempt_message(&mut self, m: &PreparedMessage) -> Attempt {
        let session = m.control.as_ref().map(|c| c.session);
        let fits = |c: &Connection| {
            c.port == m.envelope.port
                && c.hello == m.envelope.hello
                && !c.link.closed
                && c.control.as_ref().map(|c| c.0) == session
        };
        if !self.connection.as_ref().is_some_and(fits) {
            self.close().await;
            match self.connect(m).await {
                Ok(c) => self.connection = Some(c),
                Err(e) => {
                    let why = format!("no connection: {e}");
                    self.note(Speaker::Tester, &why);
                    // Most hosts have no submission port, so the test is skipped.
                    return match m.envelope.port {
                        SmtpPort::Smtp => Attempt::not_connected(why),
                        SmtpPort::Submission | SmtpPort::Submissions => {
                            MessageOutcome::Skipped { why }.into()
                        }
                    };
                }
            }
            if let Some(attempt) = self.begin_session(m).await {
                return attempt;
            }
        }
        let Some(c) = self.connection.take() else {
            return Attempt::not_connected("no connection");
        };
        let has_control = c.control.is_some();
        let (attempt, _) = self.run_session(c, &m.envelope, Some(&m.message)).await;
        if let Some(session) = self.controls.last_mut().filter(|_| has_control)
            && !session.places.contains(&m.place)
        {
            session.places.push(m.place);
        }
        attempt
    }

    /// Sends the first control of a session, if the message has one. If the server ends the session
    /// at MAIL or before, the message gets the same result.
    async fn begin_session(&mut self, m: &PreparedMessage) -> Option<Attempt> {
        let plan = m.control.as_ref()?;
        let c = self.connection.as_mut()?;
        let envelope = Envelope {
            test: CONTROL.into(),
            to: plan.recipients.clone(),
            probe: 0,
            ..m.envelope.clone()
        };
        c.control = Some((plan.session, envelope));
        self.controls.push(ControlSession {
            source: c.source,
            greeting: m.envelope.hello.clone().unwrap_or_default(),
            ..ControlSession::default()
        });
        let (check, attempt) = self.control().await?;
        let session = self.controls.last_mut()?;
        session.before = check;
        if self.connection.is_some() {
            self.note(Speaker::Tester, &header(&m.test, &m.envelope));
            return None;
        }
        session.places.push(m.place);
        let is_after_mail = match attempt.outcome.refused_at() {
            Some(stage) => stage > SmtpStage::Mail,
            None => attempt.outcome.is_accepted(),
        };
        Some(if is_after_mail {
            MessageOutcome::inconclusive("the server closed the session at its control").into()
        } else {
            attempt
        })
    }

    /// Ends the session with controls that the connection carries, with its last control, unless
    /// the next message is in the same session. Returns whether a session has ended.
    async fn end_session(&mut self, next: Option<u32>) -> bool {
        let control = self.connection.as_ref().and_then(|c| c.control.as_ref());
        if control.is_none_or(|(own, _)| next == Some(*own)) {
            return false;
        }
        if let Some((check, _)) = self.control().await
            && let Some(session) = self.controls.last_mut()
        {
            session.after = check;
        }
        self.close().await;
        true
    }

    /// Sends a control on the connection. If the server ends the session, the connection is
    /// dropped.
    async fn control(&mut self) -> Option<(ControlCheck, Attempt)> {
        let c = self.connection.take()?;
        let (_, envelope) = c.control.clone()?;
        self.note(Speaker::Tester, &header(CONTROL, &envelope));
        let (attempt, replies) = self.run_session(c, &envelope, None).await;
        let failure = match &attempt.outcome {
            MessageOutcome::Refused { stage, code, text }
            | MessageOutcome::TempFail { stage, code, text } => {
                Some(format!("{code} {text} ({})", stage.name()))
            }
            MessageOutcome::Inconclusive { why, .. } | MessageOutcome::Skipped { why } => {
                Some(why.clone())
            }
            _ => None,
        };
        Some((ControlCheck { replies, failure }, attempt))
    }

    /// Sends a message, or without one a control, and returns its result with the replies to the
    /// recipients of a control. The connection is kept unless it was closed.
    async fn run_session(
        &mut self,
        mut c: Connection,
        envelope: &Envelope,
        message: Option<&[u8]>,
    ) -> (Attempt, Vec<RecipientReply>) {
        let (mut client, next) = match message {
            Some(message) => ClientSession::new(envelope, message, &mut c.link),
            None => ClientSession::control(envelope, &mut c.link),
        };
        let attempt = match self.exchange(&mut client, next, &mut c.transport).await {
            Ok(outcome) => outcome.into(),
            Err((why, failure)) => {
                let outcome = client.broken(&why);
                let is_open = matches!(outcome, MessageOutcome::Inconclusive { .. });
                let failure = is_open.then_some(failure);
                Attempt { outcome, failure }
            }
        };
        let replies = client.recipient_replies().to_vec();
        // The extensions are also noted for a control, because the server may end the session at
        // it.
        if let Some(session) = self.controls.last_mut().filter(|_| c.control.is_some()) {
            session.ehlo |= c.link.ehlo;
            session.auth |= c.link.auth;
        }
        if !c.link.closed {
            self.connection = Some(c);
        }
        (attempt, replies)
    }

    /// Exchanges commands and replies until the session has an outcome. The error states why it
    /// has none.
    async fn exchange(
        &mut self,
        client: &mut ClientSession<'_>,
        mut next: ClientAction,
        transport: &mut Transport,
    ) -> Result<MessageOutcome, (String, ConnectionFailure)> {
        let limit = self.settings.timeout;
        let broken = |why: String| (why, ConnectionFailure::Broken);
        let late = |why: &'static str| move |_| broken(why.into());
        loop {
            match next {
                ClientAction::Done(outcome) => return Ok(outcome),
                ClientAction::Read => {}
                ClientAction::Send(bytes) => {
                    if bytes.ends_with(b"\r\n.\r\n") {
                        let text = format!("(message of {} bytes)", bytes.len());
                        self.note(Speaker::Client, &text);
                    } else {
                        self.note(Speaker::Client, &String::from_utf8_lossy(&bytes));
                    }
                    timeout(limit, transport.send(&bytes))
                        .await
                        .map_err(late("the server did not accept more data in time"))?
                        .map_err(|e| broken(format!("the connection was closed: {e}")))?;
                }
                ClientAction::StartTls => {
                    if !transport.unread.is_empty() {
                        return Err(broken("the server sent data before TLS began".into()));
                    }
                    let plain =
                        std::mem::replace(&mut transport.stream, Box::new(tokio::io::empty()));
                    let secured = timeout(limit, secure(plain, self.target))
                        .await
                        .map_err(late("the TLS handshake timed out"))?
                        .map_err(|e| broken(format!("TLS failed: {e}")))?;
                    *transport = Transport::new(secured);
                    self.note(Speaker::Tester, "TLS");
                    next = client.tls_established();
                    continue;
                }
            }
            let reply = timeout(limit, transport.read())
                .await
                .map_err(|_| ("no reply in time".to_string(), ConnectionFailure::NoReply))?
                .map_err(broken)?;
            self.note(Speaker::Server, &reply.text());
            next = client.reply(&reply);
        }
    }

    async fn connect(&mut self, m: &PreparedMessage) -> Result<Connection, String> {
        let port = match (m.envelope.port, self.port) {
            (SmtpPort::Smtp, Some(p)) => p,
            (SmtpPort::Smtp, None) => self.settings.ports[0],
            (SmtpPort::Submission, _) => self.settings.ports[1],
            (SmtpPort::Submissions, _) => self.settings.ports[2],
        };
        let addr = SocketAddr::new(self.target, port);
        self.note(Speaker::Tester, &format!("connecting to {addr}"));
        let connecting = connect(addr, &self.settings.source);
        let stream = timeout(self.settings.timeout, connecting)
            .await
            .map_err(|_| "timed out".to_string())?
            .map_err(|e| e.to_string())?;
        let _ = stream.set_nodelay(true);
        let source = stream.local_addr().ok().map(|a| a.ip().to_canonical());
        let mut link = ConnectionInfo::default();
        let mut stream: Box<dyn Stream> = Box::new(stream);
        if m.envelope.port == SmtpPort::Submissions {
            stream = timeout(self.settings.timeout, secure(stream, self.target))
                .await
                .map_err(|_| "the TLS handshake timed out".to_string())?
                .map_err(|e| format!("TLS failed: {e}"))?;
            link.tls = true;
        }
        Ok(Connection {
            transport: Transport::new(stream),
            link,
            port: m.envelope.port,
            hello: m.envelope.hello.clone(),
            source,
            control: None,
        })
    }

    /// Sends QUIT and waits briefly for the reply.
    async fn close(&mut self) {
        let Some(mut c) = self.connection.take() else {
            return;
        };
        self.note(Speaker::Client, "QUIT");
        let bye = async {
            c.transport.send(b"QUIT\r\n").await.ok()?;
            c.transport.read().await.ok()
        };
        let limit = self.settings.timeout.min(Duration::from_secs(5));
        if let Ok(Some(reply)) = timeout(limit, bye).await {
            self.note(Speaker::Server, &reply.text());
        }
        let _ = c.transport.stream.shutdown().await;
    }

    fn note(&mut self, who: Speaker, text: &str) {
        let text = text
            .trim_end()
            .chars()
            .take(MAX_LINE_CHARS)
            .collect::<String>();
        let text = replace_controls(&text);
        let now = Instant::now();
        let elapsed = self.last.replace(now).map_or(Duration::ZERO, |l| now - l);
        let line = TranscriptLine {
            elapsed: Some(elapsed),
            speaker: Some(who),
            text,
        };
        self.observer.transcript_line(&line);
        if self.transcript_bytes < MAX_TRANSCRIPT_BYTES {
            self.transcript_bytes += line.to_string().len() + 1;
            self.transcript.push(line);
        }
    }
}

async fn connect(addr: SocketAddr, source: &[IpAddr]) -> io::Result<TcpStream> {
    let socket = tcp_socket(addr)?;
    if let Some(from) = source.iter().find(|s| s.is_ipv4() == addr.is_ipv4()) {
        socket.bind(SocketAddr::new(*from, 0))?;
    }
    socket.connect(addr).await
}

/// Creates a socket of the family of an address.
pub(super) fn tcp_socket(addr: SocketAddr) -> io::Result<TcpSocket> {
    if addr.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }
}

/// Begins TLS without verifying the certificate, because the test is about relaying and not about
/// names.
async fn secure(stream: Box<dyn Stream>, target: IpAddr) -> io::Result<Box<dyn Stream>> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let config = config
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate(provider)))
        .with_no_client_auth();
    let name = ServerName::IpAddress(target.into());
    let connector = TlsConnector::from(Arc::new(config));
    Ok(Box::new(connector.connect(name, stream).await?))
}

/// Accepts every certificate.
#[derive(Debug)]
struct AcceptAnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S4, with its rule for tests that the owner requested.
    #[test]
    fn owners_test_pauses_two_seconds_and_has_no_minimum_duration() {
        let source: Vec<IpAddr> = vec![
            "192.0.2.1".parse().unwrap(),
            "198.51.100.1".parse().unwrap(),
        ];
        let (pause, spread, step) = (
            Duration::from_secs(5),
            Duration::from_secs(600),
            Duration::from_secs(60),
        );
        let usual = TesterSettings {
            ports: [25, 587, 465],
            pause,
            min_duration: spread,
            timeout: step,
            source: source.clone(),
            max_extra: MAX_EXTRA,
        };
        let own = usual.for_job(true, Some(source[1]));
        assert_eq!(
            (own.pause, own.min_duration, own.source),
            (Duration::from_secs(2), Duration::ZERO, vec![source[1]])
        );
        assert_eq!(
            usual.for_job(false, None),
            usual,
            "other tests have the usual pauses"
        );
        let hasty = TesterSettings {
            pause: Duration::ZERO,
            ..usual.clone()
        };
        assert_eq!(
            hasty.for_job(true, None).pause,
            Duration::ZERO,
            "a shorter pause in the configuration is kept"
        );
    }
}
