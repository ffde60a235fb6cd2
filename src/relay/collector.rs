//! The socket of the collector: receives relayed test messages, and lets the service handle each
//! before it replies. [`crate::smtp::session`] implements the protocol.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use super::{
    arrivals::ArrivalOutcome,
    message::proof_reply,
    service::{RelayError, RelayService},
    token::TokenId,
};
use crate::{
    net::{ClientKind, ConnectionLimiter, ConnectionPermit},
    smtp::session::{ReceivedMessage, ReceiverSettings, ServerAction, ServerSession},
};

/// The most messages to addresses with a valid token that are received at the same time. Each is
/// held in memory until it is handled.
const MAX_MESSAGES_WITH_TOKEN: usize = 1024;
/// The most messages to other addresses of the domain that are received at the same time. A host
/// may have changed the address while the token is in the message. They are counted apart from
/// those with a token.
const MAX_OTHER_MESSAGES: usize = 128;
/// The most messages with the same token that are received at the same time, so that one token
/// cannot use up [`MAX_MESSAGES_WITH_TOKEN`]. As many sessions that have named a token are closed
/// after all others.
const MAX_USES_PER_TOKEN: usize = 4;
/// How long a client may be idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the transfer of a message may take.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a session may last.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(900);
/// The pause after a connection that could not be accepted.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Bytes read at a time.
const READ_BYTES: usize = 4096;

/// Returns the current TLS configuration.
pub type TlsSource = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// Handles a delivered message and returns the reply. It may block.
pub type MessageHandler = Arc<dyn Fn(&ReceivedMessage, IpAddr) -> String + Send + Sync>;

/// Returns the identifier of the token in a recipient.
pub type TokenLookup = Arc<dyn Fn(&str) -> Option<TokenId> + Send + Sync>;

/// The collector: the SMTP server for test messages.
#[derive(Clone)]
pub struct Collector {
    /// The name, the domain and the addresses of the collector.
    pub receiver: Arc<ReceiverSettings>,
    /// The source of the TLS configuration; `None`: STARTTLS is not offered.
    pub tls: Option<TlsSource>,
    /// The handler of the messages.
    pub handler: MessageHandler,
    /// The limiter of sessions.
    pub limiter: ConnectionLimiter,
    /// Permits for messages that name a token.
    pub with_token: Arc<Semaphore>,
    /// Permits for messages that name none.
    pub others: Arc<Semaphore>,
    /// Finds the token of a recipient.
    pub token_of: TokenLookup,
    /// How many messages of each token are being received.
    pub receiving: TokenUses,
    /// How many sessions that have named each token are closed after all others.
    pub preferred: TokenUses,
    /// The sources of health checks, whose sessions have a slot of their own.
    pub health_checks: HealthChecks,
    /// Whether a message was deferred since the last check because too many were being received.
    pub has_deferred: Arc<AtomicBool>,
}

/// The addresses and ports of the health checks in progress.
pub type HealthChecks = Arc<Mutex<HashSet<SocketAddr>>>;

/// How often each token is in use.
pub type TokenUses = Arc<Mutex<HashMap<TokenId, usize>>>;

/// One use of a token. It ends when this value is dropped.
struct TokenUse(TokenUses, TokenId);

impl TokenUse {
    fn begin(all: &TokenUses, id: TokenId) -> Option<TokenUse> {
        let mut uses = all.lock();
        let n = uses.entry(id).or_default();
        if *n >= MAX_USES_PER_TOKEN {
            return None;
        }
        *n += 1;
        Some(TokenUse(all.clone(), id))
    }
}

impl Drop for TokenUse {
    fn drop(&mut self) {
        let mut all = self.0.lock();
        if let Some(n) = all.get_mut(&self.1) {
            *n -= 1;
            if *n == 0 {
                all.remove(&self.1);
            }
        }
    }
}

/// The permit of a message while it is received.
struct MessagePermit {
    _permit: OwnedSemaphorePermit,
    token_use: Option<TokenUse>,
}

impl Collector {
    /// Creates a collector without TLS and without tokens.
    pub fn new(
        receiver: ReceiverSettings,
        handler: MessageHandler,
        limiter: ConnectionLimiter,
    ) -> Collector {
        Collector {
            receiver: Arc::new(receiver),
            tls: None,
            handler,
            limiter,
            with_token: Arc::new(Semaphore::new(MAX_MESSAGES_WITH_TOKEN)),
            others: Arc::new(Semaphore::new(MAX_OTHER_MESSAGES)),
            token_of: Arc::new(|_| None),
            receiving: Arc::default(),
            preferred: Arc::default(),
            health_checks: Arc::default(),
            has_deferred: Arc::default(),
        }
    }

    /// Takes the permit for a message; `None` if too many are being received.
    fn begin_message(&self, to: &[String]) -> Option<MessagePermit> {
        let (all, token_use) = match to.iter().find_map(|to| (self.token_of)(to)) {
            None => (&self.others, None),
            Some(id) => {
                let token_use = TokenUse::begin(&self.receiving, id)?;
                (&self.with_token, Some(token_use))
            }
        };
        let permit = all.clone().try_acquire_owned();
        if permit.is_err() {
            self.has_deferred.store(true, Relaxed);
        }
        Some(MessagePermit {
            _permit: permit.ok()?,
            token_use,
        })
    }

    /// Whether sessions were closed or refused, or messages deferred, for lack of slots since the
    /// last call. `before` is the count of the last call, and is updated.
    pub(super) fn was_loaded(&self, before: &mut u64) -> bool {
        let stats = self.limiter.stats();
        let turned_away = stats.shed + stats.refused;
        let more = turned_away > std::mem::replace(before, turned_away);
        self.has_deferred.swap(false, Relaxed) || more
    }

    fn client(&self, from: SocketAddr) -> ClientKind {
        let checks = self.health_checks.lock();
        let key = |a: &SocketAddr| (a.ip().to_canonical(), a.port());
        if checks.iter().any(|c| key(c) == key(&from)) {
            ClientKind::HealthCheck
        } else {
            ClientKind::Ordinary
        }
    }
}

/// Accepts connections until the task is dropped.
pub async fn run(listener: TcpListener, collector: Collector) {
    loop {
        collector.limiter.wait_for_closing().await;
        let (stream, from) = match listener.accept().await {
            Ok(c) => c,
            Err(e) => {
                tracing::warn!(error = %e, "collector connection not accepted");
                sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        let addr = from.ip().to_canonical();
        let Some(permit) = collector.limiter.admit_as(addr, collector.client(from)) else {
            continue;
        };
        let collector = collector.clone();
        tokio::spawn(async move {
            let served = async {
                let session = session(stream, addr, &collector, &permit);
                let _ = timeout(MAX_CONNECTION_AGE, session).await;
            };
            permit.run(served).await;
        });
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn session(
    stream: TcpStream,
    addr: IpAddr,
    collector: &Collector,
    permit: &Arc<ConnectionPermit>,
) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    let mut stream: Box<dyn Stream> = Box::new(stream);
    let mut session = ServerSession::new(&collector.receiver);
    send_reply(&mut stream, &session.greeting()).await?;
    let mut buffer = vec![0; READ_BYTES];
    let (mut permit_of_message, mut until) = (None, Instant::now());
    let mut preferred = None;
    loop {
        let read_timeout = if permit_of_message.is_some() {
            IDLE_TIMEOUT.min(until.saturating_duration_since(Instant::now()))
        } else {
            IDLE_TIMEOUT
        };
        let n = timeout(read_timeout, stream.read(&mut buffer)).await??;
        if n == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..n];
        while !rest.is_empty() {
            let (consumed, action) = session.feed(rest);
            rest = &rest[consumed..];
            match action {
                ServerAction::More => {}
                ServerAction::Reply(text) => {
                    drop(permit_of_message.take());
                    if preferred.is_none() {
                        preferred = prefer(session.recipients(), collector, permit);
                    }
                    send_reply(&mut stream, &text).await?;
                }
                ServerAction::Data(text) => {
                    permit_of_message = collector.begin_message(session.recipients());
                    until = Instant::now() + MESSAGE_TIMEOUT;
                    if permit_of_message.is_none() {
                        session.end_message();
                        send_reply(&mut stream, TOO_MANY_MESSAGES).await?;
                        continue;
                    }
                    if has_token(permit_of_message.as_ref()) {
                        // This client has named a token. Until then other sessions come first.
                        drop(permit.begin_answer());
                    }
                    send_reply(&mut stream, &text).await?;
                }
                ServerAction::Close(text) => {
                    send_reply(&mut stream, &text).await?;
                    return stream.shutdown().await;
                }
                ServerAction::Message(incoming) => {
                    let has_token = has_token(permit_of_message.as_ref());
                    let answering = permit.begin_answer();
                    let reply = handle(incoming, addr, collector).await;
                    session.end_message();
                    drop(permit_of_message.take());
                    send_reply(&mut stream, &reply).await?;
                    drop(answering);
                    if !has_token {
                        permit.await_request();
                    }
                }
                ServerAction::Tls(text) => {
                    let Some(tls) = &collector.tls else {
                        return Ok(());
                    };
                    send_reply(&mut stream, &text).await?;
                    let accepted =
                        timeout(IDLE_TIMEOUT, TlsAcceptor::from(tls()).accept(stream)).await??;
                    stream = Box::new(accepted);
                    session.tls_established();
                }
            }
        }
    }
}

/// Whether the message that is being received names a valid token.
fn has_token(permit_of_message: Option<&MessagePermit>) -> bool {
    permit_of_message.is_some_and(|p| p.token_use.is_some())
}

/// Marks a session that has named a valid token, so that it is closed after all others.
fn prefer(
    recipients: &[String],
    collector: &Collector,
    permit: &ConnectionPermit,
) -> Option<TokenUse> {
    let id = recipients.last().and_then(|to| (collector.token_of)(to))?;
    let token_use = TokenUse::begin(&collector.preferred, id)?;
    permit.prefer();
    Some(token_use)
}

async fn send_reply(stream: &mut Box<dyn Stream>, text: &str) -> io::Result<()> {
    let line = format!("{text}\r\n");
    let sent = async {
        stream.write_all(line.as_bytes()).await?;
        stream.flush().await
    };
    timeout(IDLE_TIMEOUT, sent).await?
}

/// Handles a message and returns the reply: 250 once its effects are durable.
async fn handle(incoming: ReceivedMessage, from: IpAddr, collector: &Collector) -> String {
    let handler = collector.handler.clone();
    let reply = tokio::task::spawn_blocking(move || handler(&incoming, from)).await;
    reply.unwrap_or_else(|_| "451 4.3.0 message could not be handled; try again later".into())
}

/// Returns a handler that passes each message to the service.
pub fn by_service(service: RelayService) -> MessageHandler {
    Arc::new(
        move |incoming, from| match service.arrived(incoming, from, service.now()) {
            Ok(ArrivalOutcome::Recorded(id)) => {
                tracing::info!(%from, proof = id, "test message received");
                proof_reply(&id.to_string(), from)
            }
            Ok(ArrivalOutcome::Duplicate(id)) => {
                tracing::debug!(%from, proof = id, "test message received again");
                proof_reply(&id.to_string(), from)
            }
            Ok(ArrivalOutcome::NoToken) => NO_TOKEN.into(),
            Err(RelayError::Refused(why)) => format!("451 4.3.0 {why}"),
            Err(e) => {
                tracing::error!(error = ?e, %from, "test message not recorded");
                "451 4.3.0 message could not be recorded; try again later".into()
            }
        },
    )
}

/// The reply while too many messages are being received.
const TOO_MANY_MESSAGES: &str = "452 4.3.1 too many messages are being received; try again later";

/// The reply to a message without a valid token.
pub const NO_TOKEN: &str = "550 5.7.1 not a test message of this host; other mail is not accepted";

#[cfg(test)]
mod tests {
    use tokio::net::TcpSocket;

    use super::{super::health::check_answers, *};

    /// Sends text and reads until a line begins with `until`.
    async fn exchange(stream: &mut TcpStream, commands: &str, until: &str) {
        stream.write_all(commands.as_bytes()).await.unwrap();
        let (mut all, mut buffer) = (String::new(), [0; 512]);
        while !all.lines().any(|l| l.starts_with(until)) {
            let n = stream.read(&mut buffer).await.unwrap();
            assert!(n > 0, "{commands}: {all}");
            all += &String::from_utf8_lossy(&buffer[..n]);
        }
    }

    #[tokio::test]
    async fn messages_being_received_are_limited_by_token_and_in_all() {
        let receiver = ReceiverSettings {
            hello: "c.example".into(),
            domain: "probe.example".into(),
            addresses: vec![],
            tls: false,
        };
        let others = Arc::new(Semaphore::new(1));
        let token_of: TokenLookup = Arc::new(|to| to.strip_prefix("token").map(|_| [1; 8]));
        let collector = Collector {
            others,
            token_of,
            ..Collector::new(
                receiver,
                Arc::new(|_, _| "250 ok".into()),
                ConnectionLimiter::new(8192, &crate::net::Shares::default()),
            )
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(run(listener, collector));
        let begin_to = async |to: &str| {
            let mut s = TcpStream::connect(addr).await.unwrap();
            exchange(&mut s, "", "220").await;
            exchange(&mut s, "EHLO x\r\n", "250 8BITMIME").await;
            exchange(&mut s, "MAIL FROM:<>\r\n", "250").await;
            exchange(&mut s, &format!("RCPT TO:<{to}@probe.example>\r\n"), "250").await;
            s
        };
        let begin = async || begin_to("a").await;
        let (mut first, mut second) = (begin().await, begin().await);
        exchange(&mut first, "DATA\r\n", "354").await;
        exchange(&mut second, "DATA\r\n", "452 4.3.1").await;
        exchange(&mut second, "NOOP\r\n", "250").await;
        // The permit is free again after a message, after a refused one, and after a closed
        // connection.
        exchange(&mut first, "x\r\n.\r\n", "250 ok").await;
        for end in ["x\n.\r\n\r\n.\r\n", ""] {
            let mut other = begin().await;
            exchange(&mut other, "DATA\r\n", "354").await;
            if !end.is_empty() {
                exchange(&mut other, end, "550 5.6.0").await;
            }
            drop(other);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Messages without a token do not keep out those with one, and one token cannot use up the
        // permits of all tokens.
        let mut stranger = begin().await;
        exchange(&mut stranger, "DATA\r\n", "354").await;
        let mut sessions = Vec::new();
        for n in 0..=MAX_USES_PER_TOKEN {
            let mut s = begin_to("token").await;
            exchange(
                &mut s,
                "DATA\r\n",
                if n < MAX_USES_PER_TOKEN {
                    "354"
                } else {
                    "452 4.3.1"
                },
            )
            .await;
            sessions.push(s);
        }
        exchange(&mut begin().await, "DATA\r\n", "452 4.3.1").await;
        exchange(&mut sessions[0], "x\r\n.\r\n", "250 ok").await;
        exchange(
            &mut sessions[MAX_USES_PER_TOKEN],
            "MAIL FROM:<>\r\nRCPT TO:<token@probe.example>\r\nDATA\r\n",
            "354",
        )
        .await;
    }

    fn collector(limiter: ConnectionLimiter) -> Collector {
        let receiver = ReceiverSettings {
            hello: "c.example".into(),
            domain: "probe.example".into(),
            addresses: vec![],
            tls: false,
        };
        let token_of: TokenLookup = Arc::new(|to| to.strip_prefix("token").map(|_| [1; 8]));
        Collector {
            token_of,
            ..Collector::new(receiver, Arc::new(|_, _| "250 ok".into()), limiter)
        }
    }

    /// Once, idle sessions of other clients occupied all slots, the health check got none, and the
    /// tester stopped.
    #[tokio::test]
    async fn health_check_and_sessions_with_a_token_survive_load() {
        let shares = crate::net::Shares {
            address: 1,
            network: 1,
            wide_network: 1,
            reserved: 16,
        };
        let collector = collector(ConnectionLimiter::new(16, &shares));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(run(listener, collector.clone()));
        let from = async |n: u8| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(([127, n, 0, 1], 0).into()).unwrap();
            socket.connect(addr).await.unwrap()
        };
        let mut turned_away = 0;
        let mut mine = from(9).await;
        exchange(&mut mine, "", "220").await;
        let name_token = async |s: &mut TcpStream| {
            exchange(s, "EHLO x\r\n", "250 8BITMIME").await;
            exchange(
                s,
                "MAIL FROM:<>\r\nRCPT TO:<token@probe.example>\r\n",
                "250 2.1.5",
            )
            .await;
        };
        name_token(&mut mine).await;
        assert!(!collector.was_loaded(&mut turned_away));
        let mut strangers = Vec::new();
        for n in 10..60 {
            let mut s = from(n).await;
            exchange(&mut s, "", "220").await;
            strangers.push(s);
        }
        assert!(
            collector.was_loaded(&mut turned_away),
            "shed sessions count as load"
        );
        for _ in 0..3 {
            check_answers(addr, &collector.health_checks).await.unwrap();
        }
        exchange(&mut mine, "DATA\r\n", "354").await;
        exchange(&mut mine, "x\r\n.\r\n", "250 ok").await;
        assert!(
            !collector.was_loaded(&mut turned_away),
            "a health check does not count as load"
        );
        assert!(collector.health_checks.lock().is_empty());
        // One token protects only a few sessions.
        let mut same = Vec::new();
        for n in 100..130 {
            let mut s = from(n).await;
            exchange(&mut s, "", "220").await;
            name_token(&mut s).await;
            same.push(s);
        }
        assert_eq!(
            collector
                .preferred
                .lock()
                .values()
                .copied()
                .collect::<Vec<_>>(),
            [MAX_USES_PER_TOKEN]
        );
    }

    /// Once, each session that had sent DATA counted as idle, and was closed after those that had
    /// not named a recipient yet.
    #[tokio::test]
    async fn message_without_a_token_does_not_protect_its_session() {
        let shares = crate::net::Shares {
            address: 1,
            network: 1,
            wide_network: 1,
            reserved: 16,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(run(listener, collector(ConnectionLimiter::new(2, &shares))));
        let from = async |n: u8| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(([127, n, 0, 1], 0).into()).unwrap();
            let mut s = socket.connect(addr).await.unwrap();
            exchange(&mut s, "", "220").await;
            s
        };
        let mut stranger = from(1).await;
        exchange(&mut stranger, "EHLO x\r\n", "250 8BITMIME").await;
        exchange(
            &mut stranger,
            "MAIL FROM:<>\r\nRCPT TO:<a@probe.example>\r\n",
            "250 2.1.5",
        )
        .await;
        let mut slow = from(2).await;
        exchange(&mut stranger, "DATA\r\n", "354").await;
        sleep(Duration::from_millis(1200)).await;
        let _newcomer = from(3).await;
        exchange(&mut slow, "EHLO x\r\n", "250 8BITMIME").await;
        assert_eq!(
            timeout(Duration::from_secs(10), stranger.read(&mut [0; 64]))
                .await
                .unwrap()
                .unwrap_or(0),
            0
        );
    }
}
