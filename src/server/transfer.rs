//! Transfers on their way out: one thread renders and fills messages, the connection takes them as
//! fast as its mirror does.
//!
//! What lies between the two is a few chunks; a mirror that stalls is cut off, and one that is slow
//! holds a snapshot for a limited time. Differences are kept for a while, since mirrors ask for the
//! same one after each NOTIFY.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::{Instant, timeout},
};

use super::{Mirrors, mirrors::TransferRequest, sys};
use crate::{
    clock::wall,
    dns::{
        Peer,
        query::{Query, Room},
        transfer::{self, Decision, Difference, Writer, decide},
        tsig,
    },
    index::{Snapshot, ZoneView, difference::Face},
    ledger::Ledger,
    model::Serial,
};

/// Bytes that are handed from the renderer to the connection at a time.
const CHUNK: usize = 64 * 1024;
/// Chunks on their way.
const WAITING: usize = 3;
/// How long a mirror may take for one chunk.
const STALL: Duration = Duration::from_secs(30);
/// How long a transfer may take: for so long it holds the snapshot that it started with.
const WHOLE: Duration = Duration::from_secs(3600);
/// Differences that are kept.
const KEPT: usize = 32;
/// Bytes of differences that are kept.
const KEPT_BYTES: usize = 32 << 20;

/// What a transfer was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The serial that the mirror had, where it got what changed since then.
    pub from: Option<Serial>,
    /// The serial that it has now.
    pub to: Serial,
    /// Records.
    pub records: u64,
    /// Bytes of messages.
    pub bytes: u64,
}

/// All that transfers share.
pub struct Transfers {
    ledger: Ledger,
    /// Who is told what mirrors ask for and get.
    mirrors: Option<Arc<Mirrors>>,
    kept: Mutex<VecDeque<Kept>>,
}

/// A zone's hash, so that a zone of the same name that renders otherwise has differences of its
/// own; and a difference.
type Kept = (Box<str>, u64, Face, Arc<Difference>);

/// A transfer that was written as a whole.
struct Completed {
    sent: Sent,
    zone: Box<str>,
    /// The key that signed the request.
    key: Option<String>,
    /// The client may transfer by its key or its certificate, not only by its address.
    is_identified: bool,
}

/// What is going to be written.
enum Plan {
    All(Arc<Snapshot>, usize, Face),
    Part(Arc<Snapshot>, usize, Arc<Difference>),
    Current(Arc<Snapshot>, usize),
}

impl Transfers {
    /// For the zones of a ledger.
    pub fn new(ledger: Ledger, mirrors: Option<Arc<Mirrors>>) -> Transfers {
        Transfers {
            ledger,
            mirrors,
            kept: Mutex::default(),
        }
    }

    /// Answers a request for a transfer that [`crate::dns::respond`] has granted, on a stream. An
    /// error ends the connection: the mirror keeps what it has.
    pub async fn stream<S: AsyncWrite + Unpin>(
        self: &Arc<Self>,
        query: &[u8],
        peer: Peer<'_>,
        stop: &Arc<AtomicBool>,
        stream: &mut S,
    ) -> io::Result<Sent> {
        let cut = |why: &str| io::Error::new(io::ErrorKind::TimedOut, why.to_string());
        let begun = Instant::now();
        let (tx, mut rx) = mpsc::channel::<Vec<u8>>(WAITING);
        let thread = std::thread::Builder::new().name("transfer".into());
        let (all, query, names, addr) =
            (self.clone(), query.to_vec(), peer.names.to_vec(), peer.addr);
        let stopped = stop.clone();
        let work = thread.spawn(move || {
            sys::lower_priority();
            let peer = Peer {
                names: &names,
                ..Peer::tcp(addr)
            };
            all.write(&query, peer, &mut |chunk| {
                !stopped.load(Ordering::Relaxed) && tx.blocking_send(chunk).is_ok()
            })
        })?;
        while let Some(chunk) = rx.recv().await {
            match timeout(
                STALL.min(WHOLE.saturating_sub(begun.elapsed())),
                stream.write_all(&chunk),
            )
            .await
            {
                Ok(written) => written?,
                Err(_) => return Err(cut("the mirror takes too long")),
            }
        }
        stream.flush().await?;
        // The channel is closed, so the thread is at its end.
        let Ok(Some(Completed {
            sent,
            zone,
            key,
            is_identified,
        })) = work.join()
        else {
            return Err(io::Error::other("the transfer was not finished"));
        };
        if let Some(mirrors) = self.mirrors.as_ref().filter(|_| is_identified) {
            mirrors.completed(addr);
        }
        if let Some(mirrors) = self.mirrors.as_ref().filter(|_| sent.records > 1) {
            mirrors.transferred(
                &zone,
                addr,
                key.as_deref(),
                sent.from,
                sent.to,
                sent.bytes,
                begun.elapsed(),
            );
        }
        Ok(sent)
    }

    /// The whole answer to an IXFR as one datagram of at most `limit` bytes, where it fits. Blocks.
    pub fn datagram(&self, query: &[u8], peer: Peer<'_>, limit: usize) -> Option<Vec<u8>> {
        let mut room = Room::default();
        let parsed = Query::parse(query, &mut room).ok()?;
        let mut seal = Seal::new(self, &parsed)?;
        let key = seal.key().map(String::from);
        let Plan::Part(snapshot, zone, difference) = self.plan(&parsed, peer, key.as_deref())?
        else {
            return None;
        };
        let mut out = Vec::new();
        let mut take = |m: &mut Vec<u8>| {
            let fits = out.is_empty() && seal.put(m) && m.len() <= limit;
            out = std::mem::take(m);
            fits
        };
        let mut writer = Writer::new(query, parsed.question_end, parsed.edns.is_some(), &mut take);
        transfer::ixfr(&snapshot.zones.all()[zone], &difference, &mut writer).then_some(out)
    }

    /// Writes the messages of an answer, framed, in chunks. `None` where `give` said that nobody
    /// wants more.
    fn write(
        &self,
        query: &[u8],
        peer: Peer<'_>,
        give: &mut dyn FnMut(Vec<u8>) -> bool,
    ) -> Option<Completed> {
        let mut room = Room::default();
        let parsed = Query::parse(query, &mut room).ok()?;
        let mut seal = Seal::new(self, &parsed)?;
        let key = seal.key().map(String::from);
        let plan = self.plan(&parsed, peer, key.as_deref())?;
        let mut chunk = Vec::with_capacity(CHUNK + transfer::FULL * 2);
        let mut take = |m: &mut Vec<u8>| {
            if !seal.put(m) {
                return false;
            }
            // A message has at most 65,535 bytes.
            chunk.extend((m.len() as u16).to_be_bytes());
            chunk.extend(&*m);
            chunk.len() < CHUNK
                || give(std::mem::replace(
                    &mut chunk,
                    Vec::with_capacity(CHUNK + transfer::FULL * 2),
                ))
        };
        let mut writer = Writer::new(query, parsed.question_end, parsed.edns.is_some(), &mut take);
        let (done, from, to) = match &plan {
            Plan::All(s, zone, face) => (
                transfer::axfr(s, *zone, *face, &mut writer),
                None,
                transfer::serial(s, *zone),
            ),
            Plan::Part(s, zone, d) => (
                transfer::ixfr(&s.zones.all()[*zone], d, &mut writer),
                Some(d.from),
                d.to,
            ),
            Plan::Current(s, zone) => (
                transfer::current(s, *zone, &mut writer),
                None,
                transfer::serial(s, *zone),
            ),
        };
        let sent = Sent {
            from,
            to,
            records: writer.records,
            bytes: writer.bytes,
        };
        let zone = match &plan {
            Plan::All(s, zone, _) | Plan::Part(s, zone, _) | Plan::Current(s, zone) => {
                &s.zones.all()[*zone]
            }
        };
        let is_identified = zone.allows_transfer_to(key.as_deref(), peer.names);
        let zone = zone.name.clone();
        (done && (chunk.is_empty() || give(chunk))).then_some(Completed {
            sent,
            zone,
            key,
            is_identified,
        })
    }

    /// What a request gets, from what is published now: it may have changed since the request was
    /// granted.
    fn plan(&self, query: &Query, peer: Peer<'_>, key: Option<&str>) -> Option<Plan> {
        let snapshot = self.ledger.published.snapshot();
        let (number, origin_at) = snapshot.zones.find(query.labels.name, |at| {
            query.labels.starts.contains(&(at as u8))
        })?;
        let below = &query.labels.name[..origin_at];
        let (decision, face) = (
            decide(&snapshot, number, query, below, peer, key),
            transfer::face(below)?,
        );
        let whole = self
            .mirrors
            .as_ref()
            .filter(|_| !matches!(decision, Decision::No(..)))
            .is_some_and(|mirrors| {
                mirrors.asked(&TransferRequest {
                    zone: &snapshot.zones.all()[number].name,
                    addr: peer.addr,
                    key,
                    serial: transfer::client_serial(query),
                    proved: peer.stream || key.is_some(),
                    current: transfer::serial(&snapshot, number),
                })
            });
        match decision {
            Decision::No(..) => None,
            // Its copy is another one than ours was at that serial.
            Decision::Run(Some(_)) if whole => Some(Plan::All(snapshot, number, face)),
            Decision::Current => Some(Plan::Current(snapshot, number)),
            Decision::Run(None) => Some(Plan::All(snapshot, number, face)),
            Decision::Run(Some(from)) => {
                let found = self.difference(
                    (&snapshot.zones.all()[number], face),
                    from,
                    &snapshot,
                    number,
                );
                Some(match found {
                    Some((snapshot, number, d)) => Plan::Part(snapshot, number, d),
                    None => Plan::All(snapshot, number, face),
                })
            }
        }
    }

    /// What changed in a zone since a serial, up to the snapshot or a later one; `None` where a
    /// full transfer is due.
    fn difference(
        &self,
        (zone, face): (&ZoneView, Face),
        from: Serial,
        snapshot: &Arc<Snapshot>,
        number: usize,
    ) -> Option<(Arc<Snapshot>, usize, Arc<Difference>)> {
        let kept = || self.kept.lock();
        let to = transfer::serial(snapshot, number);
        let same = |(name, hash, f, d): &&Kept| {
            **name == *zone.name && (*hash, *f) == (zone.hash, face) && (d.from, d.to) == (from, to)
        };
        if let Some((.., d)) = kept().iter().find(same) {
            return Some((snapshot.clone(), number, d.clone()));
        }
        let both = match self.ledger.diff_since(&zone.name, from) {
            Ok(both) => both?,
            Err(e) => {
                tracing::warn!(error = ?e, zone = %zone.name, "the journal cannot be read; the zone is transferred as a whole");
                return None;
            }
        };
        let number = both.new.zones.by_name(&zone.name)?;
        let difference = Difference::new(&both.old, from, &both.new, number, face, &both.subjects)?;
        let difference = Arc::new(difference);
        let mut all = kept();
        all.push_front((
            zone.name.clone(),
            both.new.zones.all()[number].hash,
            face,
            difference.clone(),
        ));
        let mut bytes = 0;
        let fits = all.iter().take(KEPT).take_while(|(.., d)| {
            bytes += d.size();
            bytes <= KEPT_BYTES
        });
        let fits = fits.count();
        all.truncate(fits);
        Some((both.new, number, difference))
    }
}

/// The signatures under the messages of an answer, where its query was signed.
struct Seal(Option<tsig::Session>);

impl Seal {
    fn new(all: &Transfers, query: &Query) -> Option<Seal> {
        let keys = all.ledger.published.load().keys.clone();
        if query.signed {
            tsig::verify(&keys, query.message, wall()).ok().map(Seal)
        } else {
            Some(Seal(None))
        }
    }

    fn key(&self) -> Option<&str> {
        self.0.as_ref().map(tsig::Session::key)
    }

    /// Signs a message. False where that cannot be.
    fn put(&mut self, message: &mut Vec<u8>) -> bool {
        self.0
            .as_mut()
            .is_none_or(|session| session.seal_message(message, wall()))
    }
}
