//! The collector's socket: takes test messages that came through, and has the desk judge each
//! before it says so. What is said stands in [`crate::smtp::session`].

use std::{
    collections::{HashMap, HashSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use crate::{
    ledger::desk::{Arrived, COLLECTOR, Denied, Desk},
    model::Time,
    net::{Client, ConnectionLimiter, ConnectionPermit},
    smtp::{
        message::recorded,
        session::{Act, Incoming, Receiver, Session},
        token::Id,
    },
};

/// Messages to a token of ours that come in at the same time. Each is read whole before it is
/// judged: this bounds what they hold together.
const MESSAGES: usize = 1024;
/// The same of those to other addresses of the domain: a host may have changed the address, and the
/// token stands inside. Whoever fills these places keeps nobody out who has a token.
const OTHERS: usize = 128;
/// Messages of one token that come in at the same time: whoever was given some does not take all
/// places with them. As many sessions that have named it are closed after all others.
const SAME: usize = 4;
/// How long a client may be silent.
const IDLE: Duration = Duration::from_secs(120);
/// How long a message may take to come in.
const MESSAGE: Duration = Duration::from_secs(120);
/// How long a session may last.
const TOTAL: Duration = Duration::from_secs(900);
/// Bytes read at a time.
const READ: usize = 4096;
/// How often the collector looks whether it can be reached.
const LOOK: Duration = Duration::from_secs(30);
/// How often it looks whether DNS sends the probe domain's mail to it.
const LOOK_OUTSIDE: Duration = Duration::from_secs(600);
/// How long nobody may answer that question.
const UNANSWERED: Duration = Duration::from_secs(3600);
/// How long after the last sign of load the collector still counts as under load.
const LOAD_LASTS: Duration = Duration::from_secs(300);
/// How long it may take to answer itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Gives the certificate that is in use.
pub type Tls = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// Judges a message that a host handed in; what it says is the reply. May block.
pub type Judge = Arc<dyn Fn(&Incoming, IpAddr) -> String + Send + Sync>;

/// The number of the token that a recipient has.
pub type Known = Arc<dyn Fn(&str) -> Option<Id> + Send + Sync>;

/// Looks whether DNS sends the probe domain's mail here: what is wrong with it, or an error where
/// nobody answers.
pub type Outside = Arc<
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<Option<String>, String>> + Send>> + Send + Sync,
>;

/// What a collector works with.
#[derive(Clone)]
pub struct Collector {
    /// Its name and its domain.
    pub receiver: Arc<Receiver>,
    /// What TLS is spoken with; none: it is not.
    pub tls: Option<Tls>,
    /// Who judges.
    pub judge: Judge,
    /// How many sessions there may be.
    pub limiter: ConnectionLimiter,
    /// Places of messages that come in.
    pub room: Arc<Semaphore>,
    /// Places of those that name no token.
    pub others: Arc<Semaphore>,
    /// Tells which recipients have a token.
    pub known: Known,
    /// How many messages of each token come in.
    pub named: Tokens,
    /// How many sessions that have named each token are closed after all others.
    pub preferred: Tokens,
    /// Whence the collector looks whether it answers: these sessions have a place of their own.
    pub health_checks: HealthChecks,
    /// Whether a message was put off because too many came in, since somebody looked last.
    pub put_off: Arc<AtomicBool>,
}

/// The addresses and ports of health checks that are under way.
pub type HealthChecks = Arc<Mutex<HashSet<SocketAddr>>>;

/// Messages that name a token, by its number.
pub type Tokens = Arc<Mutex<HashMap<Id, usize>>>;

/// One of the few uses of a token at the same time.
struct TokenUse(Tokens, Id);

impl TokenUse {
    fn begin(all: &Tokens, id: Id) -> Option<TokenUse> {
        let mut uses = all.lock().unwrap_or_else(PoisonError::into_inner);
        let n = uses.entry(id).or_default();
        if *n >= SAME {
            return None;
        }
        *n += 1;
        Some(TokenUse(all.clone(), id))
    }
}

impl Drop for TokenUse {
    fn drop(&mut self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = all.get_mut(&self.1) {
            *n -= 1;
            if *n == 0 {
                all.remove(&self.1);
            }
        }
    }
}

/// The room that a message has while it comes in.
struct Room {
    _permit: OwnedSemaphorePermit,
    _named: Option<TokenUse>,
}

impl Collector {
    /// Without TLS, and no recipient is known to have a token.
    pub fn new(receiver: Receiver, judge: Judge, limiter: ConnectionLimiter) -> Collector {
        Collector {
            receiver: Arc::new(receiver),
            tls: None,
            judge,
            limiter,
            room: Arc::new(Semaphore::new(MESSAGES)),
            others: Arc::new(Semaphore::new(OTHERS)),
            known: Arc::new(|_| None),
            named: Arc::default(),
            preferred: Arc::default(),
            health_checks: Arc::default(),
            put_off: Arc::default(),
        }
    }

    /// Room for a message; none where too many come in.
    fn room(&self, to: &[String]) -> Option<Room> {
        let (all, named) = match to.iter().find_map(|to| (self.known)(to)) {
            None => (&self.others, None),
            Some(id) => (&self.room, Some(TokenUse::begin(&self.named, id)?)),
        };
        let permit = all
            .clone()
            .try_acquire_owned()
            .inspect_err(|_| self.put_off.store(true, Relaxed));
        Some(Room {
            _permit: permit.ok()?,
            _named: named,
        })
    }

    /// Whether sessions were closed or refused for want of places, or messages put off, since
    /// `before`; `before` is set to now.
    fn was_loaded(&self, before: &mut u64) -> bool {
        let stats = self.limiter.stats();
        let turned_away = stats.shed + stats.refused;
        let more = turned_away > std::mem::replace(before, turned_away);
        self.put_off.swap(false, Relaxed) || more
    }

    fn client(&self, from: SocketAddr) -> Client {
        let checks = self
            .health_checks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match checks
            .iter()
            .any(|c| (c.ip().to_canonical(), c.port()) == (from.ip().to_canonical(), from.port()))
        {
            true => Client::HealthCheck,
            false => Client::Ordinary,
        }
    }
}

/// Takes connections until the task is dropped.
pub async fn run(listener: TcpListener, collector: Collector) {
    loop {
        collector.limiter.settled().await;
        let (stream, from) = match listener.accept().await {
            Ok(c) => c,
            Err(e) => {
                tracing::warn!(error = %e, "the collector could not take a connection");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let addr = from.ip().to_canonical();
        let Some(permit) = collector.limiter.admit_as(addr, collector.client(from)) else {
            continue;
        };
        let collector = collector.clone();
        tokio::spawn(async move {
            let served =
                async { drop(timeout(TOTAL, session(stream, addr, &collector, &permit)).await) };
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
    let mut session = Session::new(&collector.receiver);
    say(&mut stream, &session.greeting()).await?;
    let mut buffer = vec![0; READ];
    let (mut room, mut until) = (None, Instant::now());
    let mut preferred = None;
    loop {
        let patience = if room.is_some() {
            IDLE.min(until.saturating_duration_since(Instant::now()))
        } else {
            IDLE
        };
        let n = timeout(patience, stream.read(&mut buffer)).await??;
        if n == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..n];
        while !rest.is_empty() {
            let (taken, act) = session.take(rest);
            rest = &rest[taken..];
            match act {
                Act::More => {}
                Act::Reply(text) => {
                    drop(room.take());
                    if preferred.is_none() {
                        preferred = prefer(session.recipients(), collector, permit);
                    }
                    say(&mut stream, &text).await?;
                }
                Act::Data(text) => {
                    // Whoever sends a message has said what he wants; until then he waits with a
                    // place that others may need.
                    drop(permit.begin_answer());
                    (room, until) = (
                        collector.room(session.recipients()),
                        Instant::now() + MESSAGE,
                    );
                    if room.is_none() {
                        session.judged();
                    }
                    say(&mut stream, if room.is_some() { &text } else { FULL }).await?;
                }
                Act::Close(text) => {
                    say(&mut stream, &text).await?;
                    return stream.shutdown().await;
                }
                Act::Message(incoming) => {
                    let answering = permit.begin_answer();
                    let verdict = judge(incoming, addr, collector).await;
                    session.judged();
                    drop(room.take());
                    say(&mut stream, &verdict).await?;
                    drop(answering);
                }
                Act::Tls(text) => {
                    let Some(tls) = &collector.tls else {
                        return Ok(());
                    };
                    say(&mut stream, &text).await?;
                    let accepted = timeout(IDLE, TlsAcceptor::from(tls()).accept(stream)).await??;
                    stream = Box::new(accepted);
                    session.secured();
                }
            }
        }
    }
}

/// A session that has named a valid token is closed after all others.
fn prefer(
    recipients: &[String],
    collector: &Collector,
    permit: &ConnectionPermit,
) -> Option<TokenUse> {
    let id = recipients.last().and_then(|to| (collector.known)(to))?;
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
    timeout(IDLE, sent).await?
}

/// The last word about a message: 250 when what follows from it is true.
async fn judge(incoming: Incoming, from: IpAddr, collector: &Collector) -> String {
    let judge = collector.judge.clone();
    let judged = tokio::task::spawn_blocking(move || judge(&incoming, from)).await;
    judged.unwrap_or_else(|_| "451 4.3.0 it could not be judged now; try again later".into())
}

/// Has a desk judge.
pub fn by_desk(desk: Desk) -> Judge {
    Arc::new(
        move |incoming, from| match desk.arrived(incoming, from, desk.now()) {
            Ok(Arrived::Recorded(id)) => {
                tracing::info!(%from, proof = id, "a test message came");
                recorded(&id.to_string(), from)
            }
            Ok(Arrived::Known(id)) => {
                tracing::debug!(%from, proof = id, "a test message came again");
                recorded(&id.to_string(), from)
            }
            Ok(Arrived::Stranger) => STRANGER.into(),
            Err(Denied::No(why)) => format!("451 4.3.0 {why}"),
            Err(e) => {
                tracing::error!(error = ?e, %from, "a test message could not be recorded");
                "451 4.3.0 it could not be recorded now; try again later".into()
            }
        },
    )
}

/// What is said where too many messages come in.
const FULL: &str = "452 4.3.1 too many messages come in now; try again later";

/// What is said to a message without a token of ours.
pub const STRANGER: &str = "550 5.7.1 this is no test message of ours; we take no other mail";

/// Looks, as long as it runs, whether each address of the collector answers, and whether mail is
/// sent there, and tells the desk.
pub async fn watch(addresses: Vec<SocketAddr>, outside: Outside, collector: Collector, desk: Desk) {
    let (mut elsewhere, mut next, mut answered, mut asked) =
        (None, Instant::now(), None::<Instant>, false);
    let (mut load, mut turned_away) = (Load::default(), 0);
    loop {
        // From a reload on it counts, or does not: what was known before does not hold.
        let number = desk.look();
        let asks = desk.settings().is_outside();
        if asks != asked || desk.is_unseen() {
            (asked, answered, next) = (asks, None, Instant::now());
        }
        if Instant::now() >= next {
            match outside().await {
                Ok(wrong) => (elsewhere, answered) = (wrong, Some(Instant::now())),
                // Others cannot find it either, for long; or nobody has ever known.
                Err(e) if answered.is_none_or(|t| t.elapsed() > UNANSWERED) => {
                    elsewhere = Some(format!("nobody can say where its mail goes: {e}"));
                }
                // What was known last holds.
                Err(e) => {
                    tracing::warn!(error = %e, "where the mail of the probe domain goes could not be looked up");
                }
            }
            // Whoever mends it does not wait for long.
            next = Instant::now()
                + if elsewhere.is_some() {
                    LOOK
                } else {
                    LOOK_OUTSIDE
                };
        }
        let mut wrong = elsewhere.clone();
        for addr in &addresses {
            if let Err(e) = answers(*addr, &collector.health_checks).await {
                wrong = Some(format!("{addr} does not answer: {e}"));
            }
        }
        if let Some(why) = desk.ledger_wrong() {
            wrong = Some(why);
        }
        let told = desk.clone();
        let loaded = load.look(
            collector.was_loaded(&mut turned_away),
            Instant::now(),
            told.now(),
        );
        let said = tokio::task::spawn_blocking(move || {
            // Whether the store fails is noted in any case.
            let noted = told.loaded(loaded, told.now());
            told.well(COLLECTOR, wrong.map(|w| (w, told.now())), told.now())
                .and(noted)
        });
        let said = said.await;
        match said {
            Ok(Ok(())) => desk.looked(number),
            Ok(Err(e)) => {
                tracing::warn!(error = ?e, "the state of the collector could not be written down");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = desk.asked() => {}
        }
    }
}

/// Whether, and since when, the collector is under load: it closes or refuses sessions for want of
/// places, or puts messages off. What was sent to it then may not have come.
#[derive(Debug, Default)]
struct Load {
    since: Option<Time>,
    last_sign: Option<Instant>,
    last_look: Option<Time>,
}

impl Load {
    /// Takes what was seen since the last look; since when it is under load, if it is.
    fn look(&mut self, is_loaded: bool, instant: Instant, time: Time) -> Option<Time> {
        if is_loaded {
            self.last_sign = Some(instant);
            self.since = self.since.or(self.last_look).or(Some(time));
        } else if self.last_sign.is_none_or(|l| instant - l >= LOAD_LASTS) {
            self.since = None;
        }
        self.last_look = Some(time);
        self.since
    }
}

/// A health check's address and port, while it is under way.
struct HealthCheck<'a>(&'a HealthChecks, SocketAddr);

impl Drop for HealthCheck<'_> {
    fn drop(&mut self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.1);
    }
}

async fn answers(addr: SocketAddr, checks: &HealthChecks) -> io::Result<()> {
    let greeted = async {
        let mut addr = addr;
        if addr.ip().is_unspecified() {
            addr.set_ip(if addr.is_ipv4() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                Ipv6Addr::LOCALHOST.into()
            });
        }
        // The port is known before anybody can see the connection, so that nobody else has its
        // place.
        let socket = if addr.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        let mut source = addr;
        source.set_port(0);
        socket.bind(source)?;
        let source = socket.local_addr()?;
        checks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(source);
        let _check = HealthCheck(checks, source);
        let mut stream = socket.connect(addr).await?;
        let mut buffer = [0; 3];
        stream.read_exact(&mut buffer).await?;
        stream.write_all(b"QUIT\r\n").await?;
        if &buffer == b"220" {
            Ok(())
        } else {
            Err(io::Error::other("it does not greet"))
        }
    };
    timeout(PATIENCE, greeted).await?
}

#[cfg(test)]
mod tests {
    use super::*;

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
    async fn what_messages_hold_together_has_an_end() {
        let receiver = Receiver {
            hello: "c.example".into(),
            domain: "probe.example".into(),
            addresses: vec![],
            tls: false,
        };
        let others = Arc::new(Semaphore::new(1));
        let known: Known = Arc::new(|to| to.strip_prefix("token").map(|_| [1; 8]));
        let collector = Collector {
            others,
            known,
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
        for n in 0..=SAME {
            let mut s = begin_to("token").await;
            talk(
                &mut s,
                "DATA\r\n",
                if n < SAME { "354" } else { "452 4.3.1" },
            )
            .await;
            named.push(s);
        }
        talk(&mut begin().await, "DATA\r\n", "452 4.3.1").await;
        talk(&mut named[0], "x\r\n.\r\n", "250 ok").await;
        talk(
            &mut named[SAME],
            "MAIL FROM:<>\r\nRCPT TO:<token@probe.example>\r\nDATA\r\n",
            "354",
        )
        .await;
    }

    fn collector(limiter: ConnectionLimiter) -> Collector {
        let receiver = Receiver {
            hello: "c.example".into(),
            domain: "probe.example".into(),
            addresses: vec![],
            tls: false,
        };
        let known: Known = Arc::new(|to| to.strip_prefix("token").map(|_| [1; 8]));
        Collector {
            known,
            ..Collector::new(receiver, Arc::new(|_, _| "250 ok".into()), limiter)
        }
    }

    /// Idle sessions of strangers held all places, the health check found none, and the tester
    /// stopped.
    #[tokio::test]
    async fn under_load_the_health_check_is_answered_and_sessions_with_a_token_go_on() {
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
        assert!(collector.health_checks.lock().unwrap().is_empty());
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
                .unwrap()
                .values()
                .copied()
                .collect::<Vec<_>>(),
            [SAME]
        );
    }

    #[test]
    fn load_lasts_from_the_look_before_its_first_sign_until_five_minutes_after_the_last() {
        let begun = Instant::now();
        let at = |s: u64| (begun + Duration::from_secs(s), Time(1000 + s));
        let mut load = Load::default();
        let mut look = |loaded, s| load.look(loaded, at(s).0, at(s).1);
        assert_eq!(look(false, 0), None);
        assert_eq!(look(true, 30), Some(Time(1000)));
        assert_eq!(look(false, 60), Some(Time(1000)));
        assert_eq!(look(true, 90), Some(Time(1000)));
        assert_eq!(look(false, 389), Some(Time(1000)));
        assert_eq!(look(false, 390), None);
    }
}
