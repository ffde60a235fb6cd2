//! The collector's socket: takes test messages that came through, and has the desk judge each before it says so. What is
//! said stands in [`crate::smtp::session`].

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use crate::{
    ledger::{
        desk::{Arrived, Denied, Desk},
        now,
    },
    model::Subject,
    smtp::{
        message::recorded,
        session::{Act, Incoming, Receiver, Session},
    },
};

/// Sessions at the same time.
pub const SESSIONS: usize = 8192;
/// Sessions of one address at the same time.
const EACH: usize = 50;
/// How long a client may be silent.
const IDLE: Duration = Duration::from_secs(120);
/// How long a session may last.
const TOTAL: Duration = Duration::from_secs(900);
/// Bytes read at a time.
const READ: usize = 4096;
/// How often the collector looks whether it can be reached.
const LOOK: Duration = Duration::from_secs(30);
/// How long it may take to answer itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Gives the certificate that is in use.
pub type Tls = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// Judges a message that a host handed in; what it says is the reply. May block.
pub type Judge = Arc<dyn Fn(&Incoming, IpAddr) -> String + Send + Sync>;

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
    /// How many each address has.
    pub each: Arc<Mutex<HashMap<IpAddr, usize>>>,
    /// Ranges whose hosts may have more than a few sessions: a laboratory's.
    pub crowds: Vec<Subject>,
}

struct Place(Arc<Mutex<HashMap<IpAddr, usize>>>, IpAddr);

impl Drop for Place {
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

impl Collector {
    fn place(&self, addr: IpAddr) -> Option<Place> {
        let most = if self.crowds.iter().any(|c| c.covers(&Subject::host(addr))) { usize::MAX } else { EACH };
        // Of IPv6 a /64 is one client.
        let addr = match addr {
            IpAddr::V6(a) => IpAddr::V6((u128::from(a) >> 64 << 64).into()),
            a => a,
        };
        let mut all = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        let n = all.entry(addr).or_default();
        if *n >= most {
            return None;
        }
        *n += 1;
        Some(Place(self.each.clone(), addr))
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
    loop {
        let n = timeout(IDLE, stream.read(&mut buffer)).await??;
        if n == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..n];
        while !rest.is_empty() {
            let (taken, act) = session.take(rest);
            rest = &rest[taken..];
            match act {
                Act::More => {}
                Act::Reply(text) => say(&mut stream, &text).await?,
                Act::Close(text) => {
                    say(&mut stream, &text).await?;
                    return stream.shutdown().await;
                }
                Act::Message(incoming) => {
                    let verdict = judge(incoming, addr, collector).await;
                    session.judged();
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
    Arc::new(move |incoming, from| match desk.arrived(incoming, from, now()) {
        Ok(Arrived::Recorded(id)) => {
            tracing::info!(%from, proof = id, "a test message came");
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

/// What is said to a message without a token of ours.
pub const STRANGER: &str = "550 5.7.1 this is no test message of ours; we take no other mail";

/// Looks, as long as it runs, whether each address of the collector answers, and tells the desk.
pub async fn watch(addresses: Vec<SocketAddr>, desk: Desk) {
    loop {
        let mut wrong = None;
        for addr in &addresses {
            if let Err(e) = answers(*addr).await {
                wrong = Some(format!("{addr} does not answer: {e}"));
            }
        }
        if let Some(why) = desk.ledger_wrong() {
            wrong = Some(why);
        }
        let told = desk.clone();
        let said = tokio::task::spawn_blocking(move || told.well("collector", wrong.map(|w| (w, now())), now())).await;
        if let Ok(Err(e)) = said {
            tracing::warn!(error = ?e, "the state of the collector could not be written down");
        }
        sleep(LOOK).await;
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
