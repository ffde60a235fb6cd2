//! The tester's socket: runs the messages of a job against one host, one session at a time, and
//! keeps the transcript. What is said stands in [`crate::smtp::client`].

use std::{
    fmt::Write as _,
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
};
use crate::smtp::{
    Envelope, Outcome, SmtpPort, Stage,
    client::{ClientAction, ClientSession, ConnectionState},
    reply::{Reader, Reply},
};

/// Closed doors, or silences, in a row, after which a port is left alone.
const GIVE_UP: usize = 3;
/// How much longer than its spread a whole test may take.
pub const LONGEST: Duration = Duration::from_secs(3600);
/// A message that takes longer is slow, and after so many of them the rest is left: nobody holds a
/// place of ours for hours.
const SLOW: (Duration, usize) = (Duration::from_secs(120), 5);
/// The longest transcript, in bytes; what comes after it is not written down.
const MAX_TRANSCRIPT: usize = 128 * 1024;
/// Bytes read at a time.
const READ: usize = 4096;

/// How a host is talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TesterSettings {
    /// The ports of SMTP, submission, and submission under TLS.
    pub ports: [u16; 3],
    /// The least pause between two messages.
    pub pause: Duration,
    /// How long the whole set takes at least.
    pub spread: Duration,
    /// How long to wait for a connection, and for each reply.
    pub step: Duration,
    /// The addresses that connections come from: of those of the target's family the first.
    pub source: Vec<IpAddr>,
    /// How much longer than its spread a whole test may take.
    pub limit: Duration,
}

impl TesterSettings {
    /// The settings of a test that its owner asked for (safety rule S4): a short pause, and no
    /// minimum duration. It comes from one address, where that is said.
    #[must_use]
    pub fn for_job(&self, by_owner: bool, source: Option<IpAddr>) -> TesterSettings {
        let mut out = self.clone();
        if by_owner {
            (out.pause, out.spread) = (out.pause.min(OWNER_PAUSE), Duration::ZERO);
        }
        if let Some(source) = source {
            out.source = vec![source];
        }
        out
    }

    /// The settings of a part of a test's messages: as large a part of its duration.
    #[must_use]
    pub fn share(&self, part: usize, all: usize) -> TesterSettings {
        let of = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        TesterSettings {
            spread: self.spread * of(part) / of(all).max(1),
            ..self.clone()
        }
    }
}

/// The pause between two messages of a test that the host's owner asked for.
pub const OWNER_PAUSE: Duration = Duration::from_secs(2);

/// What a run of messages came to.
#[derive(Debug, Clone, Default)]
pub struct RunReport {
    /// What became of each message.
    pub ran: Vec<MessageResult>,
    /// The sessions that carried controls.
    pub controls: Vec<ControlSession>,
    /// All that was said.
    pub transcript: String,
}

impl RunReport {
    /// Adds what a later run came to.
    pub fn append(&mut self, next: RunReport) {
        self.ran.extend(next.ran);
        self.controls.extend(next.controls);
        self.transcript.push_str(&next.transcript);
    }
}

/// What is told while it runs: who says it (`S`, `C` or `-`), and the line.
pub type ProgressSink<'a> = &'a mut (dyn FnMut(char, &str) + Send);

/// Whether to go on, asked before each message.
pub type ContinueCheck<'a> = &'a mut (dyn FnMut() -> bool + Send);

/// Runs messages against a host. `port` takes the place of 25. Messages with a control share a
/// session, which has a control before its first message and after its last one.
pub async fn run(
    target: IpAddr,
    port: Option<u16>,
    messages: &[PreparedMessage],
    settings: &TesterSettings,
    told: ProgressSink<'_>,
    go: ContinueCheck<'_>,
) -> RunReport {
    let until = Instant::now() + settings.spread + settings.limit;
    // As many pauses as there are messages, but for one.
    let spread =
        settings.spread / u32::try_from(messages.len().saturating_sub(1).max(1)).unwrap_or(1);
    let pause = settings.pause.max(spread);
    let mut run = TestRun {
        target,
        port,
        settings,
        connection: None,
        script: String::new(),
        told,
        last: None,
        controls: Vec::new(),
    };
    let mut out: Vec<MessageResult> = Vec::with_capacity(messages.len());
    let mut before: Vec<(SmtpPort, Outcome)> = Vec::new();
    let mut slow = 0;
    for (n, m) in messages.iter().enumerate() {
        let port = m.envelope.port;
        // A port that refuses everybody at its door is not knocked at fifty times.
        let lately: Vec<&Outcome> = before
            .iter()
            .rev()
            .filter(|(p, _)| *p == port)
            .take(GIVE_UP)
            .map(|(_, o)| o)
            .collect();
        if !go() {
            run.close().await;
            break;
        }
        run.leave(m.control.as_ref().map(|c| c.session)).await;
        let outcome = match &lately[..] {
            _ if Instant::now() > until || slow >= SLOW.1 => {
                Outcome::inconclusive("the whole test took too long")
            }
            [last, ..] if lately.len() == GIVE_UP && lately.iter().all(|o| is_shut(o)) => {
                (*last).clone()
            }
            _ => {
                if n > 0 {
                    sleep(pause).await;
                }
                let begun = Instant::now();
                let outcome = run.message(m).await;
                slow += usize::from(begun.elapsed() > SLOW.0);
                outcome
            }
        };
        before.push((port, outcome.clone()));
        out.push(MessageResult {
            place: m.place,
            outcome,
        });
    }
    run.leave(None).await;
    run.close().await;
    RunReport {
        ran: out,
        controls: run.controls,
        transcript: run.script,
    }
}

/// The line of a transcript that begins a test.
fn header(test: &str, envelope: &Envelope) -> String {
    format!(
        "test {test}: MAIL FROM:{} RCPT TO:{}",
        envelope.from,
        envelope.to.get(envelope.probe).map_or("", String::as_str)
    )
}

/// Whether an outcome says that nobody is let in.
fn is_shut(o: &Outcome) -> bool {
    match o {
        Outcome::Refused { stage, .. } | Outcome::TempFail { stage, .. } => {
            *stage == Stage::Connect
        }
        Outcome::Inconclusive { why, .. } => {
            why.starts_with(NO_CONNECTION) || why.starts_with(SILENCE)
        }
        _ => false,
    }
}

const NO_CONNECTION: &str = "no connection";
const SILENCE: &str = "no reply came in time";

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection that can take another test.
struct Connection {
    stream: Box<dyn Stream>,
    reader: Reader,
    waiting: Vec<u8>,
    link: ConnectionState,
    port: SmtpPort,
    hello: Option<String>,
    /// The address of ours that it comes from.
    source: Option<IpAddr>,
    /// The session with controls that it carries, and the envelope of that session's control.
    control: Option<(u32, Envelope)>,
}

struct TestRun<'a> {
    target: IpAddr,
    port: Option<u16>,
    settings: &'a TesterSettings,
    connection: Option<Connection>,
    script: String,
    told: ProgressSink<'a>,
    last: Option<Instant>,
    controls: Vec<ControlSession>,
}

/// The name of a control in a transcript.
const CONTROL: &str = "(control)";

impl TestRun<'_> {
    /// One message. A session that was cut gets one more; then nothing can be said.
    async fn message(&mut self, m: &PreparedMessage) -> Outcome {
        self.note('-', &header(&m.test, &m.envelope));
        let mut outcome = self.once(m).await;
        let cut = match &outcome {
            Outcome::Inconclusive { why, .. } => !why.starts_with(NO_CONNECTION),
            // It closes after so many errors, whatever this one was.
            Outcome::TempFail {
                stage, code: 421, ..
            } => *stage > Stage::Connect,
            _ => false,
        };
        if cut {
            self.note('-', "once more, in a new session");
            sleep(self.settings.pause).await;
            outcome = self.once(m).await;
        }
        self.note('-', &format!("test {}: {}", m.test, outcome.word()));
        outcome
    }

    async fn once(&mut self, m: &PreparedMessage) -> Outcome {
        let session = m.control.as_ref().map(|c| c.session);
        let fits = |c: &Connection| {
            c.port == m.envelope.port
                && c.hello == m.envelope.hello
                && !c.link.over
                && c.control.as_ref().map(|c| c.0) == session
        };
        if !self.connection.as_ref().is_some_and(fits) {
            self.close().await;
            match self.connect(m).await {
                Ok(c) => self.connection = Some(c),
                Err(e) => {
                    let why = format!("{NO_CONNECTION}: {e}");
                    self.note('-', &why);
                    // Most hosts have no submission port, and need none.
                    return match m.envelope.port {
                        SmtpPort::Smtp => Outcome::inconclusive(why),
                        SmtpPort::Submission | SmtpPort::Submissions => Outcome::Skipped { why },
                    };
                }
            }
            if let Some(outcome) = self.begin_session(m).await {
                return outcome;
            }
        }
        let Some(mut c) = self.connection.take() else {
            return Outcome::inconclusive(NO_CONNECTION);
        };
        let mut link = std::mem::take(&mut c.link);
        let (mut talk, next) = ClientSession::new(&m.envelope, &m.message, &mut link);
        let outcome = self.talk(&mut talk, next, &mut c).await;
        c.link = link;
        if let Some(session) = self.controls.last_mut().filter(|_| c.control.is_some()) {
            session.ehlo |= c.link.ehlo;
            session.auth |= c.link.auth;
            if !session.places.contains(&m.place) {
                session.places.push(m.place);
            }
        }
        if !c.link.over {
            self.connection = Some(c);
        }
        outcome
    }

    /// Makes the first control of a session, where the message has one. Returns the message's
    /// outcome where the server ended the session at the control: the message would have come to
    /// the same, as far as the sender.
    async fn begin_session(&mut self, m: &PreparedMessage) -> Option<Outcome> {
        let plan = m.control.as_ref()?;
        let (greeting, to) = (
            m.envelope.hello.clone().unwrap_or_default(),
            plan.recipients.clone(),
        );
        let c = self.connection.as_mut()?;
        c.control = Some((
            plan.session,
            Envelope {
                test: CONTROL.into(),
                to,
                probe: 0,
                ..m.envelope.clone()
            },
        ));
        self.controls.push(ControlSession {
            source: c.source,
            greeting,
            ..ControlSession::default()
        });
        let (check, outcome) = self.control().await?;
        let session = self.controls.last_mut()?;
        session.before = check;
        if self.connection.is_some() {
            self.note('-', &header(&m.test, &m.envelope));
            return None;
        }
        session.places.push(m.place);
        Some(match outcome {
            Outcome::Refused { stage, .. } | Outcome::TempFail { stage, .. }
                if stage > Stage::Mail =>
            {
                Outcome::inconclusive("the session was cut at its control")
            }
            Outcome::Accepted { .. } => Outcome::inconclusive("the session was cut at its control"),
            outcome => outcome,
        })
    }

    /// Makes the last control of the session that the connection carries, unless what comes next is
    /// of that session.
    async fn leave(&mut self, next: Option<u32>) {
        let Some(own) = self
            .connection
            .as_ref()
            .and_then(|c| c.control.as_ref())
            .map(|c| c.0)
        else {
            return;
        };
        if next == Some(own) {
            return;
        }
        if let Some((check, _)) = self.control().await
            && let Some(session) = self.controls.last_mut()
        {
            session.after = check;
        }
        self.close().await;
    }

    /// A control on the connection; the connection is gone afterwards where the server ended it.
    async fn control(&mut self) -> Option<(ControlCheck, Outcome)> {
        let mut c = self.connection.take()?;
        let (_, envelope) = c.control.clone()?;
        self.note('-', &header(CONTROL, &envelope));
        let mut link = std::mem::take(&mut c.link);
        let (mut talk, next) = ClientSession::control(&envelope, &mut link);
        let outcome = self.talk(&mut talk, next, &mut c).await;
        let replies = talk.recipient_replies().to_vec();
        let failure = match &outcome {
            Outcome::Accepted { .. } => None,
            Outcome::Refused { stage, code, text } | Outcome::TempFail { stage, code, text } => {
                Some(format!("{code} {text} ({})", stage.name()))
            }
            Outcome::Inconclusive { why, .. } | Outcome::Skipped { why } => Some(why.clone()),
            Outcome::Delivered { .. } | Outcome::Bounced { .. } => None,
        };
        c.link = link;
        // Here too: a server that ends the session at the control has no other chance to show it.
        if let Some(session) = self.controls.last_mut() {
            session.ehlo |= c.link.ehlo;
            session.auth |= c.link.auth;
        }
        if !c.link.over {
            self.connection = Some(c);
        }
        Some((ControlCheck { replies, failure }, outcome))
    }

    async fn talk(
        &mut self,
        talk: &mut ClientSession<'_>,
        mut next: ClientAction,
        c: &mut Connection,
    ) -> Outcome {
        loop {
            match next {
                ClientAction::Done(outcome) => return outcome,
                ClientAction::Read => {}
                ClientAction::Send(bytes) => {
                    match bytes.ends_with(b"\r\n.\r\n") {
                        true => self.note('C', &format!("({} bytes of message)", bytes.len())),
                        false => self.note('C', &String::from_utf8_lossy(&bytes)),
                    }
                    match timeout(self.settings.step, send(&mut c.stream, &bytes)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(e)) => return talk.broken(&format!("the connection was cut: {e}")),
                        Err(_) => return talk.broken("it took nothing any more"),
                    }
                }
                ClientAction::StartTls => {
                    if !c.waiting.is_empty() {
                        return talk.broken("it went on before TLS");
                    }
                    let stream = std::mem::replace(&mut c.stream, Box::new(tokio::io::empty()));
                    match timeout(self.settings.step, secure(stream, self.target)).await {
                        Ok(Ok(s)) => {
                            (c.stream, c.reader) = (s, Reader::default());
                            self.note('-', "TLS");
                            next = talk.secured();
                            continue;
                        }
                        Ok(Err(e)) => return talk.broken(&format!("TLS failed: {e}")),
                        Err(_) => return talk.broken("TLS took too long"),
                    }
                }
            }
            match timeout(self.settings.step, read(c)).await {
                Ok(Ok(reply)) => {
                    self.note('S', &reply.text());
                    next = talk.reply(&reply);
                }
                Ok(Err(e)) => return talk.broken(&e),
                Err(_) => return talk.broken(SILENCE),
            }
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
        self.note('-', &format!("connecting to {addr}"));
        let connecting = connect(addr, &self.settings.source);
        let stream = timeout(self.settings.step, connecting)
            .await
            .map_err(|_| "it took too long".to_string())?
            .map_err(|e| e.to_string())?;
        let _ = stream.set_nodelay(true);
        let source = stream.local_addr().ok().map(|a| a.ip().to_canonical());
        let mut link = ConnectionState::default();
        let stream: Box<dyn Stream> = match m.envelope.port {
            SmtpPort::Submissions => {
                let secured =
                    timeout(self.settings.step, secure(Box::new(stream), self.target)).await;
                link.tls = true;
                secured
                    .map_err(|_| "TLS took too long".to_string())?
                    .map_err(|e| format!("TLS failed: {e}"))?
            }
            _ => Box::new(stream),
        };
        let (reader, waiting, hello) = (Reader::default(), Vec::new(), m.envelope.hello.clone());
        Ok(Connection {
            stream,
            reader,
            waiting,
            link,
            port: m.envelope.port,
            hello,
            source,
            control: None,
        })
    }

    /// Says goodbye, and does not wait for long.
    async fn close(&mut self) {
        let Some(mut c) = self.connection.take() else {
            return;
        };
        self.note('C', "QUIT");
        let bye = async {
            send(&mut c.stream, b"QUIT\r\n").await.ok()?;
            read(&mut c).await.ok()
        };
        if let Ok(Some(reply)) = timeout(self.settings.step.min(Duration::from_secs(5)), bye).await
        {
            self.note('S', &reply.text());
        }
        let _ = c.stream.shutdown().await;
    }

    fn note(&mut self, who: char, text: &str) {
        let text: String = text
            .trim_end()
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .take(1000)
            .collect();
        (self.told)(who, &text);
        let now = Instant::now();
        let waited = self.last.replace(now).map_or(Duration::ZERO, |l| now - l);
        if self.script.len() < MAX_TRANSCRIPT {
            let _ = writeln!(self.script, "{:>7.3} {who} {text}", waited.as_secs_f32());
        }
    }
}

async fn connect(addr: SocketAddr, source: &[IpAddr]) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(from) = source.iter().find(|s| s.is_ipv4() == addr.is_ipv4()) {
        socket.bind(SocketAddr::new(*from, 0))?;
    }
    socket.connect(addr).await
}

async fn send(stream: &mut (impl AsyncWrite + Unpin + ?Sized), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// The next reply; what came behind it waits.
async fn read(c: &mut Connection) -> Result<Reply, String> {
    loop {
        let (n, reply) = c.reader.take(&c.waiting);
        c.waiting.drain(..n);
        match reply {
            Ok(Some(r)) => return Ok(r),
            Ok(None) => {}
            Err(e) => return Err(e.to_string()),
        }
        let mut buffer = [0; READ];
        match c.stream.read(&mut buffer).await {
            Ok(0) => return Err("the connection was cut".into()),
            Ok(n) => c.waiting.extend(&buffer[..n]),
            Err(e) => return Err(format!("the connection was cut: {e}")),
        }
    }
}

/// TLS with whoever is there: relaying is what is tested, and not names.
async fn secure(stream: Box<dyn Stream>, target: IpAddr) -> io::Result<Box<dyn Stream>> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let config = config
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let name = ServerName::IpAddress(target.into());
    Ok(Box::new(
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?,
    ))
}

/// Takes every certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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

    /// S4, and its amendment.
    #[test]
    fn an_owners_test_pauses_two_seconds_and_has_no_minimum_duration() {
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
            spread,
            step,
            source: source.clone(),
            limit: LONGEST,
        };
        let own = usual.for_job(true, Some(source[1]));
        assert_eq!(
            (own.pause, own.spread, own.source),
            (Duration::from_secs(2), Duration::ZERO, vec![source[1]])
        );
        assert_eq!(
            usual.for_job(false, None),
            usual,
            "others are tested as slowly as ever"
        );
        let hasty = TesterSettings {
            pause: Duration::ZERO,
            ..usual.clone()
        };
        assert_eq!(
            hasty.for_job(true, None).pause,
            Duration::ZERO,
            "the operator's own hosts"
        );
        assert_eq!(
            usual.share(20, 80).spread + usual.share(60, 80).spread,
            spread,
            "two parts take as long as the whole"
        );
    }
}
