//! The tester's socket: runs the messages of a job against one host, one session at a time, and keeps the transcript. What is
//! said stands in [`crate::smtp::relay_test`].

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

use crate::{
    ledger::desk::{Ran, Ready},
    model::probing::{Outcome, Stage},
    smtp::{
        catalogue::Port,
        relay_test::{Link, Next, Talk},
        reply::{Reader, Reply},
    },
};

/// Closed doors, or silences, in a row, after which a port is left alone.
const GIVE_UP: usize = 3;
/// How much longer than its spread a whole test may take.
pub const LONGEST: Duration = Duration::from_secs(3600);
/// A message that takes longer is slow, and after so many of them the rest is left: nobody holds a place of ours for hours.
const SLOW: (Duration, usize) = (Duration::from_secs(120), 5);
/// The longest transcript, in bytes; what comes after it is not written down.
const MAX_TRANSCRIPT: usize = 128 * 1024;
/// Bytes read at a time.
const READ: usize = 4096;

/// How a host is talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The ports of SMTP, submission, and submission under TLS.
    pub ports: [u16; 3],
    /// The least pause between two messages.
    pub pause: Duration,
    /// How long the whole set takes at least.
    pub spread: Duration,
    /// How long to wait for a connection, and for each reply.
    pub step: Duration,
    /// The addresses that connections come from.
    pub source: Vec<IpAddr>,
}

/// What is told while it runs: who says it (`S`, `C` or `-`), and the line.
pub type Told<'a> = &'a mut (dyn FnMut(char, &str) + Send);

/// Whether to go on, asked before each message.
pub type Go<'a> = &'a mut (dyn FnMut() -> bool + Send);

/// Runs messages against a host: what became of each, and the transcript. `port` takes the place of 25.
pub async fn run(
    target: IpAddr,
    port: Option<u16>,
    messages: &[Ready],
    settings: &Settings,
    told: Told<'_>,
    go: Go<'_>,
) -> (Vec<Ran>, String) {
    let until = Instant::now() + settings.spread + LONGEST;
    // As many pauses as there are messages, but for one.
    let spread = settings.spread / u32::try_from(messages.len().saturating_sub(1).max(1)).unwrap_or(1);
    let pause = settings.pause.max(spread);
    let mut run = Run { target, port, settings, connection: None, script: String::new(), told, last: None };
    let mut out: Vec<Ran> = Vec::with_capacity(messages.len());
    let mut before: Vec<(Port, Outcome)> = Vec::new();
    let mut slow = 0;
    for (n, m) in messages.iter().enumerate() {
        let port = m.envelope.port;
        // A port that refuses everybody at its door is not knocked at fifty times.
        let lately: Vec<&Outcome> = before.iter().rev().filter(|(p, _)| *p == port).take(GIVE_UP).map(|(_, o)| o).collect();
        if !go() {
            break;
        }
        let outcome = match &lately[..] {
            _ if Instant::now() > until || slow >= SLOW.1 => Outcome::inconclusive("the whole test took too long"),
            [last, ..] if lately.len() == GIVE_UP && lately.iter().all(|o| is_shut(o)) => (*last).clone(),
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
        out.push(Ran { place: m.place, outcome });
    }
    run.close().await;
    (out, run.script)
}

/// Whether an outcome says that nobody is let in.
fn is_shut(o: &Outcome) -> bool {
    match o {
        Outcome::Refused { stage, .. } | Outcome::Later { stage, .. } => *stage == Stage::Connect,
        Outcome::Inconclusive { why, .. } => why.starts_with(NO_CONNECTION) || why.starts_with(SILENCE),
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
    link: Link,
    port: Port,
    hello: Option<String>,
}

struct Run<'a> {
    target: IpAddr,
    port: Option<u16>,
    settings: &'a Settings,
    connection: Option<Connection>,
    script: String,
    told: Told<'a>,
    last: Option<Instant>,
}

impl Run<'_> {
    /// One message. A session that was cut gets one more; then nothing can be said.
    async fn message(&mut self, m: &Ready) -> Outcome {
        self.note('-', &format!("test {}: MAIL FROM:{} RCPT TO:{}", m.test, m.envelope.from, m.envelope.to[m.envelope.probe]));
        let mut outcome = self.once(m).await;
        let cut = match &outcome {
            Outcome::Inconclusive { why, .. } => !why.starts_with(NO_CONNECTION),
            // It closes after so many errors, whatever this one was.
            Outcome::Later { stage, code: 421, .. } => *stage > Stage::Connect,
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

    async fn once(&mut self, m: &Ready) -> Outcome {
        let fits = |c: &Connection| c.port == m.envelope.port && c.hello == m.envelope.hello && !c.link.over;
        if !self.connection.as_ref().is_some_and(fits) {
            self.close().await;
            match self.connect(m).await {
                Ok(c) => self.connection = Some(c),
                Err(e) => {
                    let why = format!("{NO_CONNECTION}: {e}");
                    self.note('-', &why);
                    // Most hosts have no submission port, and need none.
                    return match m.envelope.port {
                        Port::Smtp => Outcome::inconclusive(why),
                        Port::Submission | Port::Submissions => Outcome::Skipped { why },
                    };
                }
            }
        }
        let Some(mut c) = self.connection.take() else { return Outcome::inconclusive(NO_CONNECTION) };
        let mut link = std::mem::take(&mut c.link);
        let outcome = self.talk(m, &mut link, &mut c).await;
        c.link = link;
        if !c.link.over {
            self.connection = Some(c);
        }
        outcome
    }

    async fn talk(&mut self, m: &Ready, link: &mut Link, c: &mut Connection) -> Outcome {
        let (mut talk, mut next) = Talk::new(&m.envelope, &m.message, link);
        loop {
            match next {
                Next::Done(outcome) => return outcome,
                Next::Read => {}
                Next::Send(bytes) => {
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
                Next::StartTls => {
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

    async fn connect(&mut self, m: &Ready) -> Result<Connection, String> {
        let port = match (m.envelope.port, self.port) {
            (Port::Smtp, Some(p)) => p,
            (Port::Smtp, None) => self.settings.ports[0],
            (Port::Submission, _) => self.settings.ports[1],
            (Port::Submissions, _) => self.settings.ports[2],
        };
        let addr = SocketAddr::new(self.target, port);
        self.note('-', &format!("connecting to {addr}"));
        let connecting = connect(addr, &self.settings.source);
        let stream =
            timeout(self.settings.step, connecting).await.map_err(|_| "it took too long".to_string())?.map_err(|e| e.to_string())?;
        let _ = stream.set_nodelay(true);
        let mut link = Link::default();
        let stream: Box<dyn Stream> = match m.envelope.port {
            Port::Submissions => {
                let secured = timeout(self.settings.step, secure(Box::new(stream), self.target)).await;
                link.tls = true;
                secured.map_err(|_| "TLS took too long".to_string())?.map_err(|e| format!("TLS failed: {e}"))?
            }
            _ => Box::new(stream),
        };
        let (reader, waiting, hello) = (Reader::default(), Vec::new(), m.envelope.hello.clone());
        Ok(Connection { stream, reader, waiting, link, port: m.envelope.port, hello })
    }

    /// Says goodbye, and does not wait for long.
    async fn close(&mut self) {
        let Some(mut c) = self.connection.take() else { return };
        self.note('C', "QUIT");
        let bye = async {
            send(&mut c.stream, b"QUIT\r\n").await.ok()?;
            read(&mut c).await.ok()
        };
        if let Ok(Some(reply)) = timeout(self.settings.step.min(Duration::from_secs(5)), bye).await {
            self.note('S', &reply.text());
        }
        let _ = c.stream.shutdown().await;
    }

    fn note(&mut self, who: char, text: &str) {
        let text: String = text.trim_end().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(1000).collect();
        (self.told)(who, &text);
        let now = Instant::now();
        let waited = self.last.replace(now).map_or(Duration::ZERO, |l| now - l);
        if self.script.len() < MAX_TRANSCRIPT {
            let _ = writeln!(self.script, "{:>7.3} {who} {text}", waited.as_secs_f32());
        }
    }
}

async fn connect(addr: SocketAddr, source: &[IpAddr]) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
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
    let config = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth();
    let name = ServerName::IpAddress(target.into());
    Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
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
