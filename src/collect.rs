//! The collector's socket: takes test messages that came through, and has the desk judge each before it says so. What is
//! said stands in [`crate::smtp::session`].

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use crate::{
    ledger::desk::{Arrived, COLLECTOR, Denied, Desk},
    model::Subject,
    places::{Place, Places},
    smtp::{
        message::recorded,
        session::{Act, Incoming, Receiver, Session},
        token::Id,
    },
};

/// Sessions at the same time.
const SESSIONS: usize = 8192;
/// Messages to a token of ours that come in at the same time. Each is read whole before it is judged: this bounds what they hold
/// together.
const MESSAGES: usize = 1024;
/// The same of those to other addresses of the domain: a host may have changed the address, and the token stands inside. Whoever
/// fills these places keeps nobody out who has a token.
const OTHERS: usize = 128;
/// Messages of one token that come in at the same time: whoever was given some does not take all places with them.
const SAME: usize = 4;
/// Sessions of one address (IPv6: a /64), and of one net (/24, IPv6: /48), at the same time.
const EACH: [usize; 2] = [50, 200];
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
/// How long it may take to answer itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Gives the certificate that is in use.
pub type Tls = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// Judges a message that a host handed in; what it says is the reply. May block.
pub type Judge = Arc<dyn Fn(&Incoming, IpAddr) -> String + Send + Sync>;

/// The number of the token that a recipient has.
pub type Known = Arc<dyn Fn(&str) -> Option<Id> + Send + Sync>;

/// Looks whether DNS sends the probe domain's mail here: what is wrong with it, or an error where nobody answers.
pub type Outside = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Option<String>, String>> + Send>> + Send + Sync>;

/// What a collector works with.
#[derive(Clone)]
pub struct Collector {
    /// Its name and its domain.
    pub receiver: Arc<Receiver>,
    /// What TLS is spoken with; none: it is not.
    pub tls: Option<Tls>,
    /// Who judges.
    pub judge: Judge,
    /// Places of sessions.
    pub places: Arc<Semaphore>,
    /// Places of messages that come in.
    pub room: Arc<Semaphore>,
    /// Places of those that name no token.
    pub others: Arc<Semaphore>,
    /// Tells which recipients have a token.
    pub known: Known,
    /// How many each address and each net has.
    pub each: Places,
    /// How many messages of each token come in.
    pub named: Tokens,
    /// Ranges whose hosts may have more than a few sessions: a laboratory's.
    pub crowds: Vec<Subject>,
}

/// Messages that name a token, by its number.
pub type Tokens = Arc<Mutex<HashMap<Id, usize>>>;

/// The room that a message has while it comes in.
struct Room {
    _permit: OwnedSemaphorePermit,
    named: Option<(Tokens, Id)>,
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some((all, id)) = &self.named {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(n) = all.get_mut(id) {
                *n -= 1;
                if *n == 0 {
                    all.remove(id);
                }
            }
        }
    }
}

impl Collector {
    /// Without TLS and crowds, and no recipient is known to have a token.
    pub fn new(receiver: Receiver, judge: Judge) -> Collector {
        Collector {
            receiver: Arc::new(receiver),
            tls: None,
            judge,
            places: Arc::new(Semaphore::new(SESSIONS)),
            room: Arc::new(Semaphore::new(MESSAGES)),
            others: Arc::new(Semaphore::new(OTHERS)),
            known: Arc::new(|_| None),
            each: Places::new(EACH),
            named: Arc::default(),
            crowds: Vec::new(),
        }
    }

    fn place(&self, addr: IpAddr) -> Option<Place> {
        self.each.take(addr, self.crowds.iter().any(|c| c.covers(&Subject::host(addr))))
    }

    /// Room for a message; none where too many come in.
    fn room(&self, to: &[String]) -> Option<Room> {
        match to.iter().find_map(|to| (self.known)(to)) {
            None => Some(Room { _permit: self.others.clone().try_acquire_owned().ok()?, named: None }),
            Some(id) => {
                let mut all = self.named.lock().unwrap_or_else(PoisonError::into_inner);
                let n = all.get(&id).copied().unwrap_or(0);
                let permit = self.room.clone().try_acquire_owned().ok().filter(|_| n < SAME)?;
                all.insert(id, n + 1);
                Some(Room { _permit: permit, named: Some((self.named.clone(), id)) })
            }
        }
    }
}

/// Takes connections until the task is dropped.
pub async fn run(listener: TcpListener, collector: Collector) {
    loop {
        let Ok(permit) = collector.places.clone().acquire_owned().await else { return };
        let (stream, addr) = match listener.accept().await {
            Ok(c) => c,
            Err(e) => {
                tracing::warn!(error = %e, "the collector could not take a connection");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let addr = addr.ip().to_canonical();
        let Some(place) = collector.place(addr) else { continue };
        let collector = collector.clone();
        tokio::spawn(async move {
            let _ = timeout(TOTAL, session(stream, addr, &collector)).await;
            drop((permit, place));
        });
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn session(stream: TcpStream, addr: IpAddr, collector: &Collector) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    let mut stream: Box<dyn Stream> = Box::new(stream);
    let mut session = Session::new(&collector.receiver);
    say(&mut stream, &session.greeting()).await?;
    let mut buffer = vec![0; READ];
    let (mut room, mut until) = (None, Instant::now());
    loop {
        let patience = if room.is_some() { IDLE.min(until.saturating_duration_since(Instant::now())) } else { IDLE };
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
                    say(&mut stream, &text).await?;
                }
                Act::Data(text) => {
                    (room, until) = (collector.room(session.recipients()), Instant::now() + MESSAGE);
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
                    let verdict = judge(incoming, addr, collector).await;
                    session.judged();
                    drop(room.take());
                    say(&mut stream, &verdict).await?;
                }
                Act::Tls(text) => {
                    let Some(tls) = &collector.tls else { return Ok(()) };
                    say(&mut stream, &text).await?;
                    let accepted = timeout(IDLE, TlsAcceptor::from(tls()).accept(stream)).await??;
                    stream = Box::new(accepted);
                    session.secured();
                }
            }
        }
    }
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
    Arc::new(move |incoming, from| match desk.arrived(incoming, from, desk.now()) {
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
    })
}

/// What is said where too many messages come in.
const FULL: &str = "452 4.3.1 too many messages come in now; try again later";

/// What is said to a message without a token of ours.
pub const STRANGER: &str = "550 5.7.1 this is no test message of ours; we take no other mail";

/// Looks, as long as it runs, whether each address of the collector answers, and whether mail is sent there, and tells the
/// desk.
pub async fn watch(addresses: Vec<SocketAddr>, outside: Outside, room: Arc<Semaphore>, desk: Desk) {
    let (mut elsewhere, mut next, mut answered, mut asked) = (None, Instant::now(), None::<Instant>, false);
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
                // Others can not find it either, for long; or nobody has ever known.
                Err(e) if answered.is_none_or(|t| t.elapsed() > UNANSWERED) => {
                    elsewhere = Some(format!("nobody can say where its mail goes: {e}"));
                }
                // What was known last holds.
                Err(e) => tracing::warn!(error = %e, "where the mail of the probe domain goes could not be looked up"),
            }
            // Whoever mends it does not wait for long.
            next = Instant::now() + if elsewhere.is_some() { LOOK } else { LOOK_OUTSIDE };
        }
        let mut wrong = elsewhere.clone();
        for addr in &addresses {
            if let Err(e) = answers(*addr).await {
                wrong = Some(format!("{addr} does not answer: {e}"));
            }
        }
        if room.available_permits() == 0 {
            wrong = Some("as many messages come in as it has places for: others are put off".into());
        }
        if let Some(why) = desk.ledger_wrong() {
            wrong = Some(why);
        }
        let told = desk.clone();
        let said = tokio::task::spawn_blocking(move || told.well(COLLECTOR, wrong.map(|w| (w, told.now())), told.now())).await;
        match said {
            Ok(Ok(())) => desk.looked(number),
            Ok(Err(e)) => tracing::warn!(error = ?e, "the state of the collector could not be written down"),
            Err(_) => {}
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = desk.asked() => {}
        }
    }
}

async fn answers(addr: SocketAddr) -> io::Result<()> {
    let greeted = async {
        let mut addr = addr;
        if addr.ip().is_unspecified() {
            addr.set_ip(if addr.is_ipv4() { std::net::Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
        }
        let mut stream = TcpStream::connect(addr).await?;
        let mut buffer = [0; 3];
        stream.read_exact(&mut buffer).await?;
        stream.write_all(b"QUIT\r\n").await?;
        if &buffer == b"220" { Ok(()) } else { Err(io::Error::other("it does not greet")) }
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
        let receiver = Receiver { hello: "c.example".into(), domain: "probe.example".into(), addresses: vec![], tls: false };
        let others = Arc::new(Semaphore::new(1));
        let known: Known = Arc::new(|to| to.strip_prefix("token").map(|_| [1; 8]));
        let collector = Collector { others, known, ..Collector::new(receiver, Arc::new(|_, _| "250 ok".into())) };
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
        // Strangers who hold all places keep nobody out who has a token, and one token does not take all of those.
        let mut stranger = begin().await;
        talk(&mut stranger, "DATA\r\n", "354").await;
        let mut named = Vec::new();
        for n in 0..=SAME {
            let mut s = begin_to("token").await;
            talk(&mut s, "DATA\r\n", if n < SAME { "354" } else { "452 4.3.1" }).await;
            named.push(s);
        }
        talk(&mut begin().await, "DATA\r\n", "452 4.3.1").await;
        talk(&mut named[0], "x\r\n.\r\n", "250 ok").await;
        talk(&mut named[SAME], "MAIL FROM:<>\r\nRCPT TO:<token@probe.example>\r\nDATA\r\n", "354").await;
    }
}
