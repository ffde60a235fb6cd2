//! Outgoing transfers: a thread of low priority renders the zone into messages and sends them, as
//! fast as its mirror receives them. So neither rendering nor sending nor TLS takes time from
//! threads that answer queries.
//!
//! The connection's task watches the thread. The transfer to a mirror that stalls is aborted, and a
//! slow mirror holds a snapshot for a limited time. Differences are cached, since mirrors request
//! the same one after each NOTIFY.

use std::{
    collections::VecDeque,
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    runtime::Handle,
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{Mirrors, mirrors::TransferRequest, sys};
use crate::{
    clock::wall,
    dns::{
        Peer,
        query::{NameBuf, Query},
        transfer::{self, Grant, MessageWriter, TransferDecision, ZoneDifference, decide},
        tsig::{self, TsigSession},
    },
    index::{Snapshot, ZoneView, difference::View},
    ledger::Ledger,
    model::Serial,
};

/// Bytes that are rendered and then sent at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// How long a mirror may take to receive one chunk.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a transfer may take. It holds the snapshot that it started with for this time.
const MAX_TRANSFER_TIME: Duration = Duration::from_secs(3600);
/// The most differences that are cached.
const MAX_CACHED_DIFFS: usize = 32;
/// The most bytes of cached differences.
const MAX_CACHED_BYTES: usize = 32 << 20;

/// A finished transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The serial that the mirror had; `None` after a whole transfer.
    pub from: Option<Serial>,
    /// The serial that it has now.
    pub to: Serial,
    /// Records.
    pub records: u64,
    /// Bytes of messages.
    pub bytes: u64,
}

/// The state that all transfers share.
pub struct Transfers {
    ledger: Ledger,
    /// Records the requests and transfers of mirrors.
    mirrors: Option<Arc<Mirrors>>,
    cached: Mutex<VecDeque<CachedDiff>>,
}

/// A difference that is cached for other mirrors.
struct CachedDiff {
    zone: Box<str>,
    /// The zone's hash, which tells a zone of the same name with other records apart.
    hash: u64,
    view: View,
    difference: Arc<ZoneDifference>,
}

/// A transfer that was written to its end.
struct CompletedTransfer {
    sent: Sent,
    zone: Box<str>,
    /// The key that signed the request.
    key: Option<String>,
    /// Whether the client may transfer by its key or its certificate, not only by its address.
    is_identified: bool,
}

/// A transfer that has to be written.
struct TransferPlan {
    snapshot: Arc<Snapshot>,
    /// The index of the zone in the snapshot.
    number: usize,
    content: TransferContent,
}

/// The content of a transfer.
enum TransferContent {
    Axfr(View),
    Ixfr(Arc<ZoneDifference>),
    CurrentSoa,
}

impl Transfers {
    /// Creates the transfers of a ledger's zones.
    pub fn new(ledger: Ledger, mirrors: Option<Arc<Mirrors>>) -> Transfers {
        Transfers {
            ledger,
            mirrors,
            cached: Mutex::default(),
        }
    }

    /// Answers a request for a transfer that [`crate::dns::respond`] has granted, on a stream.
    /// Returns the stream again. An error ends the connection, and the mirror keeps its version.
    pub async fn stream<S: AsyncWrite + Unpin + Send + 'static>(
        self: &Arc<Self>,
        query: &[u8],
        peer: Peer<'_>,
        stop: &Arc<AtomicBool>,
        stream: S,
    ) -> io::Result<(S, Sent)> {
        let started = Instant::now();
        let progress = Arc::new(Progress::new(started));
        let (tx, mut rx) = oneshot::channel();
        let sender = TransferSender {
            stream,
            runtime: Handle::current(),
            stop: stop.clone(),
            progress: progress.clone(),
            result: tx,
        };
        let (all, query, names, addr) = (
            self.clone(),
            query.to_vec(),
            peer.certificate_names.to_vec(),
            peer.addr,
        );
        let thread = std::thread::Builder::new().name("transfer".into());
        let work = thread.spawn(move || {
            sys::lower_priority();
            let peer = Peer {
                certificate_names: &names,
                ..Peer::tcp(addr)
            };
            sender.run(|send| all.write(&query, peer, send));
        });
        work?;
        // If this returns or is dropped before the result is there, the thread ends.
        let ended = loop {
            match timeout_at(progress.deadline(), &mut rx).await {
                Ok(ended) => break ended,
                Err(_) if progress.deadline() > Instant::now() => {}
                Err(_) => {
                    let too_slow = "the mirror receives too slowly";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, too_slow));
                }
            }
        };
        let (stream, completed) = ended.map_err(|_| unfinished())?;
        let completed = completed?;
        self.record(&completed, addr, started.elapsed());
        Ok((stream, completed.sent))
    }

    /// Records a completed transfer in the state of its mirror.
    fn record(&self, completed: &CompletedTransfer, addr: IpAddr, took: Duration) {
        let Some(mirrors) = &self.mirrors else { return };
        let CompletedTransfer {
            sent, zone, key, ..
        } = completed;
        if completed.is_identified {
            mirrors.record_completed(addr);
        }
        if sent.records > 1 {
            let key = key.as_deref();
            mirrors.record_transfer(zone, addr, key, sent.from, sent.to, sent.bytes, took);
        }
    }

    /// The whole answer to an IXFR as one datagram, if it fits in `limit` bytes. It can block.
    pub fn datagram(&self, query: &[u8], peer: Peer<'_>, limit: usize) -> Option<Vec<u8>> {
        let mut name_buf = NameBuf::default();
        let parsed = Query::parse(query, &mut name_buf).ok()?;
        let mut session = self.verify(query)?;
        let key = session.as_ref().map(|s| s.key().to_string());
        let plan = self.plan(&parsed, peer, key.as_deref())?;
        let TransferContent::Ixfr(difference) = &plan.content else {
            return None;
        };
        let mut out = Vec::new();
        let mut take = |m: &mut Vec<u8>| {
            let fits = out.is_empty() && sign(&mut session, m) && m.len() <= limit;
            out = std::mem::take(m);
            fits
        };
        let mut writer =
            MessageWriter::new(query, parsed.question_end, parsed.edns.is_some(), &mut take);
        transfer::ixfr(plan.zone(), difference, &mut writer).then_some(out)
    }

    /// Writes the messages of an answer, each after its length, in chunks. Returns `None` if `send`
    /// returned false.
    fn write(
        &self,
        query: &[u8],
        peer: Peer<'_>,
        send: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Option<CompletedTransfer> {
        let mut name_buf = NameBuf::default();
        let parsed = Query::parse(query, &mut name_buf).ok()?;
        let mut session = self.verify(query)?;
        let key = session.as_ref().map(|s| s.key().to_string());
        let plan = self.plan(&parsed, peer, key.as_deref())?;
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + transfer::FULL * 2);
        let mut take = |m: &mut Vec<u8>| {
            if !sign(&mut session, m) {
                return false;
            }
            // A message has at most 65,535 bytes.
            chunk.extend((m.len() as u16).to_be_bytes());
            chunk.extend(&*m);
            if chunk.len() < CHUNK_BYTES {
                return true;
            }
            let is_sent = send(&chunk);
            chunk.clear();
            is_sent
        };
        let mut writer =
            MessageWriter::new(query, parsed.question_end, parsed.edns.is_some(), &mut take);
        let (snapshot, number) = (&*plan.snapshot, plan.number);
        let serial = transfer::serial(snapshot, number);
        let (done, from, to) = match &plan.content {
            TransferContent::Axfr(view) => (
                transfer::axfr(snapshot, number, *view, &mut writer),
                None,
                serial,
            ),
            TransferContent::Ixfr(d) => (
                transfer::ixfr(plan.zone(), d, &mut writer),
                Some(d.from),
                d.to,
            ),
            TransferContent::CurrentSoa => (
                transfer::current(snapshot, number, &mut writer),
                None,
                serial,
            ),
        };
        let sent = Sent {
            from,
            to,
            records: writer.records,
            bytes: writer.bytes,
        };
        let zone = plan.zone();
        let is_identified = zone.allows_transfer_to(key.as_deref(), peer.certificate_names);
        let zone = zone.name.clone();
        (done && (chunk.is_empty() || send(&chunk))).then_some(CompletedTransfer {
            sent,
            zone,
            key,
            is_identified,
        })
    }

    /// Plans the answer to a request by the current snapshot, which may differ from the one that
    /// granted it.
    fn plan(&self, query: &Query, peer: Peer<'_>, key: Option<&str>) -> Option<TransferPlan> {
        let snapshot = self.ledger.published.snapshot();
        let (number, origin_at) = snapshot.zones.find(query.labels.name, |at| {
            query.labels.starts.contains(&(at as u8))
        })?;
        let below = &query.labels.name[..origin_at];
        let (decision, view) = (
            decide(&snapshot, number, query, below, peer, key),
            transfer::view_of(below)?,
        );
        let whole = self
            .mirrors
            .as_ref()
            .filter(|_| !matches!(decision, TransferDecision::Refused(..)))
            .is_some_and(|mirrors| {
                mirrors.record_request(&TransferRequest {
                    zone: &snapshot.zones.all()[number].name,
                    addr: peer.addr,
                    key,
                    serial: transfer::client_serial(query),
                    proved: !peer.is_datagram() || key.is_some(),
                    current: transfer::serial(&snapshot, number),
                })
            });
        let content = match decision {
            TransferDecision::Refused(..) => return None,
            TransferDecision::CurrentSoa => TransferContent::CurrentSoa,
            // If `whole`, the mirror's copy differs from ours at that serial.
            TransferDecision::Granted(Grant::Ixfr(from)) if !whole => {
                match self.difference(view, from, &snapshot, number) {
                    Some(plan) => return Some(plan),
                    None => TransferContent::Axfr(view),
                }
            }
            TransferDecision::Granted(_) => TransferContent::Axfr(view),
        };
        Some(TransferPlan {
            snapshot,
            number,
            content,
        })
    }

    /// The difference of a zone from a serial to the snapshot or a later one. `None` if a whole
    /// transfer is needed.
    fn difference(
        &self,
        view: View,
        from: Serial,
        snapshot: &Arc<Snapshot>,
        number: usize,
    ) -> Option<TransferPlan> {
        let zone = &snapshot.zones.all()[number];
        let plan = |snapshot, number, difference| TransferPlan {
            snapshot,
            number,
            content: TransferContent::Ixfr(difference),
        };
        let cached = || self.cached.lock();
        let to = transfer::serial(snapshot, number);
        let is_this = |c: &&CachedDiff| {
            *c.zone == *zone.name
                && (c.hash, c.view) == (zone.hash, view)
                && (c.difference.from, c.difference.to) == (from, to)
        };
        if let Some(c) = cached().iter().find(is_this) {
            return Some(plan(snapshot.clone(), number, c.difference.clone()));
        }
        let both = match self.ledger.diff_since(&zone.name, from) {
            Ok(both) => both?,
            Err(e) => {
                tracing::warn!(error = ?e, zone = %zone.name, "the journal cannot be read; the zone is transferred as a whole");
                return None;
            }
        };
        let number = both.new.zones.by_name(&zone.name)?;
        let difference =
            ZoneDifference::new(&both.old, from, &both.new, number, view, &both.subjects)?;
        let difference = Arc::new(difference);
        let mut all = cached();
        all.push_front(CachedDiff {
            zone: zone.name.clone(),
            hash: both.new.zones.all()[number].hash,
            view,
            difference: difference.clone(),
        });
        let mut bytes = 0;
        let fits = all.iter().take(MAX_CACHED_DIFFS).take_while(|c| {
            bytes += c.difference.size();
            bytes <= MAX_CACHED_BYTES
        });
        let fits = fits.count();
        all.truncate(fits);
        Some(plan(both.new, number, difference))
    }

    /// The session that signs the answer to a request; `None` inside if the request is not signed.
    fn verify(&self, query: &[u8]) -> Option<Option<TsigSession>> {
        let keys = self.ledger.published.load().keys.clone();
        tsig::verify(&keys, query, wall()).ok()
    }
}

/// When the thread of a transfer began to send a chunk. The connection's task reads it.
struct Progress {
    started: Instant,
    /// Milliseconds from `started`, plus one; 0 while no chunk is sent.
    sending_since: AtomicU64,
}

impl Progress {
    fn new(started: Instant) -> Progress {
        Progress {
            started,
            sending_since: AtomicU64::new(0),
        }
    }

    fn set(&self, sending: bool) {
        let since = self.started.elapsed().as_millis() as u64 + 1;
        self.sending_since
            .store(if sending { since } else { 0 }, Ordering::Relaxed);
    }

    /// The time at which the transfer is aborted if it does not go on. Only the time counts for
    /// which a mirror lets a chunk wait, and the time of the whole transfer.
    fn deadline(&self) -> Instant {
        let since = match self.sending_since.load(Ordering::Relaxed) {
            0 => Instant::now(),
            since => self.started + Duration::from_millis(since - 1),
        };
        (since + WRITE_TIMEOUT).min(self.started + MAX_TRANSFER_TIME)
    }
}

/// Sends the chunks of a transfer from the thread that renders them.
struct TransferSender<S> {
    stream: S,
    /// The runtime with the stream's socket. It reports when the socket can be written again; the
    /// stream itself is used by this thread.
    runtime: Handle,
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
    result: oneshot::Sender<(S, io::Result<CompletedTransfer>)>,
}

impl<S: AsyncWrite + Unpin> TransferSender<S> {
    /// Calls `write` with a function that sends a chunk, and passes the stream and the result back.
    fn run(self, write: impl FnOnce(&mut dyn FnMut(&[u8]) -> bool) -> Option<CompletedTransfer>) {
        let TransferSender {
            mut stream,
            runtime,
            stop,
            progress,
            mut result,
        } = self;
        // These futures have no timers, which would panic if the runtime has been shut down.
        let mut send = |closed: &mut oneshot::Sender<_>, chunk: Option<&[u8]>| {
            progress.set(true);
            let sent = runtime.block_on(async {
                let write = async {
                    match chunk {
                        Some(chunk) => stream.write_all(chunk).await,
                        None => stream.flush().await,
                    }
                };
                tokio::select! {
                    biased;
                    () = closed.closed() => Err(unfinished()),
                    written = write => written,
                }
            });
            progress.set(false);
            sent
        };
        let mut failure = None;
        let completed = write(&mut |chunk| {
            let sent = match stop.load(Ordering::Relaxed) {
                true => Err(unfinished()),
                false => send(&mut result, Some(chunk)),
            };
            failure = sent.err();
            failure.is_none()
        });
        let completed = match completed {
            Some(completed) => send(&mut result, None).map(|()| completed),
            None => Err(failure.unwrap_or_else(unfinished)),
        };
        let _ = result.send((stream, completed));
    }
}

impl TransferPlan {
    fn zone(&self) -> &ZoneView {
        &self.snapshot.zones.all()[self.number]
    }
}

/// The error of a transfer that the server itself did not finish.
fn unfinished() -> io::Error {
    io::Error::other("the transfer was not finished")
}

/// Signs a message if its query was signed. Returns false if it is too long.
fn sign(session: &mut Option<TsigSession>, message: &mut Vec<u8>) -> bool {
    session
        .as_mut()
        .is_none_or(|session| session.sign_message(message, wall()))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn completed() -> CompletedTransfer {
        CompletedTransfer {
            sent: Sent {
                from: None,
                to: Serial(7),
                records: 2,
                bytes: 64,
            },
            zone: "bl.example".into(),
            key: None,
            is_identified: false,
        }
    }

    type Lent<S> = oneshot::Receiver<(S, io::Result<CompletedTransfer>)>;

    /// A sender on this runtime, and what it passes back.
    fn sender<S>(stream: S) -> (TransferSender<S>, Lent<S>) {
        let (result, passed_back) = oneshot::channel();
        let sender = TransferSender {
            stream,
            runtime: Handle::current(),
            stop: Arc::default(),
            progress: Arc::new(Progress::new(Instant::now())),
            result,
        };
        (sender, passed_back)
    }

    #[tokio::test]
    async fn stream_is_passed_back_after_the_last_chunk() {
        let (stream, mut mirror) = tokio::io::duplex(16);
        let (sender, passed_back) = sender(stream);
        std::thread::spawn(move || {
            sender.run(|send| (send(&[1; 64]) && send(&[2; 64])).then(completed));
        });
        let mut received = [0; 128];
        mirror.read_exact(&mut received).await.unwrap();
        let (mut stream, completed) = passed_back.await.unwrap();
        assert_eq!(completed.unwrap().sent.to, Serial(7));
        stream.write_all(b"more").await.unwrap();
        assert_eq!(received[63..65], [1, 2]);
    }

    #[tokio::test]
    async fn error_of_the_stream_is_passed_back() {
        let (stream, mirror) = tokio::io::duplex(16);
        let (sender, passed_back) = sender(stream);
        drop(mirror);
        std::thread::spawn(move || sender.run(|send| send(&[1; 64]).then(completed)));
        let error = passed_back.await.unwrap().1.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn thread_ends_with_its_connection() {
        let (stream, _stalled_mirror) = tokio::io::duplex(16);
        let (sender, passed_back) = sender(stream);
        let (ended, end) = oneshot::channel();
        std::thread::spawn(move || {
            let mut is_sent = None;
            sender.run(|send| {
                is_sent = Some(send(&[1; 64]));
                None
            });
            let _ = ended.send(is_sent);
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(passed_back);
        assert_eq!(end.await, Ok(Some(false)));
    }

    #[test]
    fn only_the_time_for_which_a_chunk_waits_counts_for_the_deadline() {
        let second = Duration::from_secs(1);
        let progress = Progress::new(Instant::now() - 100 * second);
        let is_far = |p: &Progress| p.deadline() > Instant::now() + WRITE_TIMEOUT - second;
        assert!(is_far(&progress), "it renders");
        progress.set(true);
        assert!(is_far(&progress), "it has just begun to send");
        progress.sending_since.store(1, Ordering::Relaxed);
        assert!(progress.deadline() < Instant::now(), "it sends for 100 s");
        progress.set(false);
        assert!(is_far(&progress), "it has sent the chunk");
        let old = Progress::new(Instant::now() - MAX_TRANSFER_TIME - second);
        assert!(old.deadline() < Instant::now());
    }
}
