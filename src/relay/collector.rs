//! The collector's socket: receives test messages that were relayed, and has the service handle
//! each before it replies. The protocol is [`crate::smtp::session`].

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
    message::recorded,
    service::{RelayError, RelayService},
    token::TokenId,
};
use crate::{
    net::{Client, ConnectionLimiter, ConnectionPermit},
    smtp::session::{ReceivedMessage, ReceiverSettings, ServerAction, ServerSession},
};

/// Messages to addresses with a token of ours that are received at the same time. Each is held whole
/// until it is handled, so this bounds their memory.
const MAX_MESSAGES_WITH_TOKEN: usize = 1024;
/// Messages to other addresses of the domain that are received at the same time: a host may have
/// changed the address, and the token is in the message. They take no place of one with a token.
const MAX_OTHER_MESSAGES: usize = 128;
/// Messages with one token that are received at the same time, so that one token does not take all
/// places. As many sessions that have named it are closed after all others.
const MAX_USES_PER_TOKEN: usize = 4;
/// How long a client may be silent.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the transfer of a message may take.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a session may last.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(900);
/// The pause after a connection that could not be accepted.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Bytes read at a time.
const READ_BYTES: usize = 4096;

/// Returns the TLS configuration that is in use.
pub type TlsSource = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// Handles a message that a host delivered, and returns the reply. It may block.
pub type MessageHandler = Arc<dyn Fn(&ReceivedMessage, IpAddr) -> String + Send + Sync>;

/// Returns the number of the token that a recipient has.
pub type TokenLookup = Arc<dyn Fn(&str) -> Option<TokenId> + Send + Sync>;

/// A collector: the SMTP server for test messages.
#[derive(Clone)]
pub struct Collector {
    /// Its name, its domain and its addresses.
    pub receiver: Arc<ReceiverSettings>,
    /// The source of the TLS configuration; none: no STARTTLS.
    pub tls: Option<TlsSource>,
    /// What handles the messages.
    pub handler: MessageHandler,
    /// The limit of sessions.
    pub limiter: ConnectionLimiter,
    /// Places of messages that name a token.
    pub with_token: Arc<Semaphore>,
    /// Places of messages that name none.
    pub others: Arc<Semaphore>,
    /// Finds the token of a recipient.
    pub token_of: TokenLookup,
    /// How many messages of each token are being received.
    pub receiving: TokenUses,
    /// How many sessions that have named each token are closed after all others.
    pub preferred: TokenUses,
    /// Where health checks come from: their sessions have a place of their own.
    pub health_checks: HealthChecks,
    /// Whether a message was deferred since the last check, because too many were being received.
    pub has_deferred: Arc<AtomicBool>,
}

/// The addresses and ports of health checks that are under way.
pub type HealthChecks = Arc<Mutex<HashSet<SocketAddr>>>;

/// How often each token is used at the moment.
pub type TokenUses = Arc<Mutex<HashMap<TokenId, usize>>>;

/// One use of a token; it ends with this value.
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

/// The place of a message while it is received.
struct MessagePermit {
    _permit: OwnedSemaphorePermit,
    named: Option<TokenUse>,
}

impl Collector {
    /// A collector without TLS, which knows no token.
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

    /// A place for a message; none where too many are being received.
    fn begin_message(&self, to: &[String]) -> Option<MessagePermit> {
        let (all, named) = match to.iter().find_map(|to| (self.token_of)(to)) {
            None => (&self.others, None),
            Some(id) => (
                &self.with_token,
                Some(TokenUse::begin(&self.receiving, id)?),
            ),
        };
        let permit = all
            .clone()
            .try_acquire_owned()
            .inspect_err(|_| self.has_deferred.store(true, Relaxed));
        Some(MessagePermit {
            _permit: permit.ok()?,
            named,
        })
    }

    /// Whether sessions were closed or refused, or messages deferred, for lack of places since the
    /// count `before`, which is updated.
    pub(super) fn was_loaded(&self, before: &mut u64) -> bool {
        let stats = self.limiter.stats();
        let turned_away = stats.shed + stats.refused;
        let more = turned_away > std::mem::replace(before, turned_away);
        self.has_deferred.swap(false, Relaxed) || more
    }

    fn client(&self, from: SocketAddr) -> Client {
        let checks = self.health_checks.lock();
        match checks
            .iter()
            .any(|c| (c.ip().to_canonical(), c.port()) == (from.ip().to_canonical(), from.port()))
        {
            true => Client::HealthCheck,
            false => Client::Ordinary,
        }
    }
}

/// Accepts connections until the task is dropped.
pub async fn run(listener: TcpListener, collector: Collector) {
    loop {
        collector.limiter.settled().await;
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
    say(&mut stream, &session.greeting()).await?;
    let mut buffer = vec![0; READ_BYTES];
    let (mut place, mut until) = (None, Instant::now());
    let mut preferred = None;
    loop {
        let read_timeout = if place.is_some() {
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
            let (taken, act) = session.take(rest);
            rest = &rest[taken..];
            match act {
                ServerAction::More => {}
                ServerAction::Reply(text) => {
                    drop(place.take());
                    if preferred.is_none() {
                        preferred = prefer(session.recipients(), collector, permit);
                    }
                    say(&mut stream, &text).await?;
                }
                ServerAction::Data(text) => {
                    (place, until) = (
                        collector.begin_message(session.recipients()),
                        Instant::now() + MESSAGE_TIMEOUT,
                    );
                    if place.is_none() {
                        session.end_message();
                    } else if has_token(place.as_ref()) {
                        // This client has named a token; until then other sessions may need the
                        // place.
                        drop(permit.begin_answer());
                    }
                    let reply = if place.is_some() {
                        &text
                    } else {
                        TOO_MANY_MESSAGES
                    };
                    say(&mut stream, reply).await?;
                }
                ServerAction::Close(text) => {
                    say(&mut stream, &text).await?;
                    return stream.shutdown().await;
                }
                ServerAction::Message(incoming) => {
                    let has_token = has_token(place.as_ref());
                    let answering = permit.begin_answer();
                    let reply = handle(incoming, addr, collector).await;
                    session.end_message();
                    drop(place.take());
                    say(&mut stream, &reply).await?;
                    drop(answering);
                    if !has_token {
                        permit.await_request();
                    }
                }
                ServerAction::Tls(text) => {
                    let Some(tls) = &collector.tls else {
                        return Ok(());
                    };
                    say(&mut stream, &text).await?;
                    let accepted =
                        timeout(IDLE_TIMEOUT, TlsAcceptor::from(tls()).accept(stream)).await??;
                    stream = Box::new(accepted);
                    session.secured();
                }
            }
        }
    }
}

/// Whether the message that is received is for a valid token.
fn has_token(place: Option<&MessagePermit>) -> bool {
    place.is_some_and(|p| p.named.is_some())
}

/// A session that has named a valid token is closed after all others.
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

async fn say(stream: &mut Box<dyn Stream>, text: &str) -> io::Result<()> {
    let line = format!("{text}\r\n");
    let sent = async {
        stream.write_all(line.as_bytes()).await?;
        stream.flush().await
    };
    timeout(IDLE_TIMEOUT, sent).await?
}

/// The reply to a message: 250 once what follows from it is durable.
async fn handle(incoming: ReceivedMessage, from: IpAddr, collector: &Collector) -> String {
    let handler = collector.handler.clone();
    let reply = tokio::task::spawn_blocking(move || handler(&incoming, from)).await;
    reply.unwrap_or_else(|_| "451 4.3.0 it could not be judged now; try again later".into())
}

/// Has the service handle each message.
pub fn by_service(service: RelayService) -> MessageHandler {
    Arc::new(
        move |incoming, from| match service.arrived(incoming, from, service.now()) {
            Ok(ArrivalOutcome::Recorded(id)) => {
                tracing::info!(%from, proof = id, "test message received");
                recorded(&id.to_string(), from)
            }
            Ok(ArrivalOutcome::Duplicate(id)) => {
                tracing::debug!(%from, proof = id, "test message received again");
                recorded(&id.to_string(), from)
            }
            Ok(ArrivalOutcome::NoToken) => NO_TOKEN.into(),
            Err(RelayError::Refused(why)) => format!("451 4.3.0 {why}"),
            Err(e) => {
                tracing::error!(error = ?e, %from, "test message not recorded");
                "451 4.3.0 it could not be recorded now; try again later".into()
            }
        },
    )
}

/// The reply where too many messages are being received.
const TOO_MANY_MESSAGES: &str = "452 4.3.1 too many messages come in now; try again later";

/// The reply to a message without a token of ours.
pub const NO_TOKEN: &str = "550 5.7.1 this is no test message of ours; we take no other mail";

#[cfg(test)]
mod tests {
    use tokio::net::TcpSocket;

    use super::{super::health::answers, *};

    /// Talks until a reply begins with something.
    async fn talk(stream: &mut TcpStream, say: &str, until: &str) {
        stream.write_all(say.as_bytes()).await.unwrap();
        let (mut all, mut buffer) = (String::new(), [0; 512]);
        while !all.lines().any(|l| l.starts_with(until)) {
            let n = stream.read(&mut buffer).await.unwrap();
            assert!(n > 0, "{say}: {all}");
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
            talk(&mut s, "", "220").await;
            talk(&mut s, "EHLO x\r\n", "250 8BITMIME").await;
            talk(&mut s, "MAIL FROM:<>\r\n", "250").await;
            talk(&mut s, &format!("RCPT TO:<{to}@probe.example>\r\n"), "250").await;
            s
        };
        let begin = async || begin_to("a").await;
        let (mut first, mut second) = (begin().await, begin().await);
        talk(&mut first, "DATA\r\n", "354").await;
        talk(&mut second, "DATA\r\n", "452 4.3.1").await;
        talk(&mut second, "NOOP\r\n", "250").await;
        // Whoever is done, has said nothing of use, or is gone gives his place back.
        talk(&mut first, "x\r\n.\r\n", "250 ok").await;
        for end in ["x\n.\r\n\r\n.\r\n", ""] {
            let mut other = begin().await;
            talk(&mut other, "DATA\r\n", "354").await;
            if !end.is_empty() {
                talk(&mut other, end, "550 5.6.0").await;
            }
            drop(other);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Strangers who hold all places keep nobody out who has a token, and one token does not
        // take all of those.
        let mut stranger = begin().await;
        talk(&mut stranger, "DATA\r\n", "354").await;
        let mut named = Vec::new();
        for n in 0..=MAX_USES_PER_TOKEN {
            let mut s = begin_to("token").await;
            talk(
                &mut s,
                "DATA\r\n",
                if n < MAX_USES_PER_TOKEN {
                    "354"
                } else {
                    "452 4.3.1"
                },
            )
            .await;
            named.push(s);
        }
        talk(&mut begin().await, "DATA\r\n", "452 4.3.1").await;
        talk(&mut named[0], "x\r\n.\r\n", "250 ok").await;
        talk(
            &mut named[MAX_USES_PER_TOKEN],
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

    /// Idle sessions of strangers held all places, the health check found none, and the tester
    /// stopped.
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
        talk(&mut mine, "", "220").await;
        let name_token = async |s: &mut TcpStream| {
            talk(s, "EHLO x\r\n", "250 8BITMIME").await;
            talk(
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
            talk(&mut s, "", "220").await;
            strangers.push(s);
        }
        assert!(
            collector.was_loaded(&mut turned_away),
            "so it counts for claims"
        );
        for _ in 0..3 {
            answers(addr, &collector.health_checks).await.unwrap();
        }
        talk(&mut mine, "DATA\r\n", "354").await;
        talk(&mut mine, "x\r\n.\r\n", "250 ok").await;
        assert!(
            !collector.was_loaded(&mut turned_away),
            "the health check is no load"
        );
        assert!(collector.health_checks.lock().is_empty());
        // One token does not make all sessions such that go last.
        let mut same = Vec::new();
        for n in 100..130 {
            let mut s = from(n).await;
            talk(&mut s, "", "220").await;
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

    /// Every session that said DATA counted as idle, and was closed after those that had not named
    /// their recipient yet.
    #[tokio::test]
    async fn a_message_without_a_token_does_not_protect_its_session() {
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
            talk(&mut s, "", "220").await;
            s
        };
        let mut stranger = from(1).await;
        talk(&mut stranger, "EHLO x\r\n", "250 8BITMIME").await;
        talk(
            &mut stranger,
            "MAIL FROM:<>\r\nRCPT TO:<a@probe.example>\r\n",
            "250 2.1.5",
        )
        .await;
        let mut slow = from(2).await;
        talk(&mut stranger, "DATA\r\n", "354").await;
        sleep(Duration::from_millis(1200)).await;
        let _newcomer = from(3).await;
        talk(&mut slow, "EHLO x\r\n", "250 8BITMIME").await;
        assert_eq!(
            timeout(Duration::from_secs(10), stranger.read(&mut [0; 64]))
                .await
                .unwrap()
                .unwrap_or(0),
            0
        );
    }
}
