//! Outgoing transfers: a thread renders and fills messages, and the connection sends them as fast as
//! its mirror receives them.
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
        query::{NameBuf, Query},
        transfer::{self, Grant, MessageWriter, TransferDecision, ZoneDifference, decide},
        tsig,
    },
    index::{Snapshot, ZoneView, difference::View},
    ledger::Ledger,
    model::Serial,
};

/// Bytes that the renderer hands to the connection at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that wait for the connection.
const MAX_QUEUED_CHUNKS: usize = 3;
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
    /// The serial that the mirror had, where it got a difference.
    pub from: Option<Serial>,
    /// The serial that it has now.
    pub to: Serial,
    /// Records.
    pub records: u64,
    /// Bytes of messages.
    pub bytes: u64,
}

/// What all transfers share.
pub struct Transfers {
    ledger: Ledger,
    /// Records what mirrors request and get.
    mirrors: Option<Arc<Mirrors>>,
    cached: Mutex<VecDeque<CachedDiff>>,
}

/// A difference that is kept for other mirrors.
struct CachedDiff {
    zone: Box<str>,
    /// The zone's hash: a zone of the same name with other records has differences of its own.
    hash: u64,
    view: View,
    difference: Arc<ZoneDifference>,
}

/// A transfer that was written as a whole.
struct Completed {
    sent: Sent,
    zone: Box<str>,
    /// The key that signed the request.
    key: Option<String>,
    /// The client may transfer by its key or its certificate, not only by its address.
    is_identified: bool,
}

/// What is written.
enum TransferPlan {
    Axfr(Arc<Snapshot>, usize, View),
    Ixfr(Arc<Snapshot>, usize, Arc<ZoneDifference>),
    CurrentSoa(Arc<Snapshot>, usize),
}

impl Transfers {
    /// For the zones of a ledger.
    pub fn new(ledger: Ledger, mirrors: Option<Arc<Mirrors>>) -> Transfers {
        Transfers {
            ledger,
            mirrors,
            cached: Mutex::default(),
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
        let started = Instant::now();
        let (tx, mut rx) = mpsc::channel::<Vec<u8>>(MAX_QUEUED_CHUNKS);
        let thread = std::thread::Builder::new().name("transfer".into());
        let (all, query, names, addr) = (
            self.clone(),
            query.to_vec(),
            peer.certificate_names.to_vec(),
            peer.addr,
        );
        let stopped = stop.clone();
        let work = thread.spawn(move || {
            sys::lower_priority();
            let peer = Peer {
                certificate_names: &names,
                ..Peer::tcp(addr)
            };
            all.write(&query, peer, &mut |chunk| {
                !stopped.load(Ordering::Relaxed) && tx.blocking_send(chunk).is_ok()
            })
        })?;
        while let Some(chunk) = rx.recv().await {
            match timeout(
                WRITE_TIMEOUT.min(MAX_TRANSFER_TIME.saturating_sub(started.elapsed())),
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
            mirrors.record_transfer(
                &zone,
                addr,
                key.as_deref(),
                sent.from,
                sent.to,
                sent.bytes,
                started.elapsed(),
            );
        }
        Ok(sent)
    }

    /// The whole answer to an IXFR as one datagram of at most `limit` bytes, where it fits. Blocks.
    pub fn datagram(&self, query: &[u8], peer: Peer<'_>, limit: usize) -> Option<Vec<u8>> {
        let mut name_buf = NameBuf::default();
        let parsed = Query::parse(query, &mut name_buf).ok()?;
        let mut signer = MessageSigner::new(self, &parsed)?;
        let key = signer.key().map(String::from);
        let TransferPlan::Ixfr(snapshot, zone, difference) =
            self.plan(&parsed, peer, key.as_deref())?
        else {
            return None;
        };
        let mut out = Vec::new();
        let mut take = |m: &mut Vec<u8>| {
            let fits = out.is_empty() && signer.sign(m) && m.len() <= limit;
            out = std::mem::take(m);
            fits
        };
        let mut writer =
            MessageWriter::new(query, parsed.question_end, parsed.edns.is_some(), &mut take);
        transfer::ixfr(&snapshot.zones.all()[zone], &difference, &mut writer).then_some(out)
    }

    /// Writes the messages of an answer, framed, in chunks. `None` where `give` returned false.
    fn write(
        &self,
        query: &[u8],
        peer: Peer<'_>,
        give: &mut dyn FnMut(Vec<u8>) -> bool,
    ) -> Option<Completed> {
        let mut name_buf = NameBuf::default();
        let parsed = Query::parse(query, &mut name_buf).ok()?;
        let mut signer = MessageSigner::new(self, &parsed)?;
        let key = signer.key().map(String::from);
        let plan = self.plan(&parsed, peer, key.as_deref())?;
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + transfer::FULL * 2);
        let mut take = |m: &mut Vec<u8>| {
            if !signer.sign(m) {
                return false;
            }
            // A message has at most 65,535 bytes.
            chunk.extend((m.len() as u16).to_be_bytes());
            chunk.extend(&*m);
            chunk.len() < CHUNK_BYTES
                || give(std::mem::replace(
                    &mut chunk,
                    Vec::with_capacity(CHUNK_BYTES + transfer::FULL * 2),
                ))
        };
        let mut writer =
            MessageWriter::new(query, parsed.question_end, parsed.edns.is_some(), &mut take);
        let (done, from, to) = match &plan {
            TransferPlan::Axfr(s, zone, view) => (
                transfer::axfr(s, *zone, *view, &mut writer),
                None,
                transfer::serial(s, *zone),
            ),
            TransferPlan::Ixfr(s, zone, d) => (
                transfer::ixfr(&s.zones.all()[*zone], d, &mut writer),
                Some(d.from),
                d.to,
            ),
            TransferPlan::CurrentSoa(s, zone) => (
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
            TransferPlan::Axfr(s, zone, _)
            | TransferPlan::Ixfr(s, zone, _)
            | TransferPlan::CurrentSoa(s, zone) => &s.zones.all()[*zone],
        };
        let is_identified = zone.allows_transfer_to(key.as_deref(), peer.certificate_names);
        let zone = zone.name.clone();
        (done && (chunk.is_empty() || give(chunk))).then_some(Completed {
            sent,
            zone,
            key,
            is_identified,
        })
    }

    /// The plan for a request, from the current snapshot, which may differ from the one that granted it.
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
            .filter(|_| !matches!(decision, TransferDecision::Refused { .. }))
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
        match decision {
            TransferDecision::Refused { .. } => None,
            // The mirror's copy differs from ours at that serial.
            TransferDecision::Granted(Grant::Ixfr(_)) if whole => {
                Some(TransferPlan::Axfr(snapshot, number, view))
            }
            TransferDecision::CurrentSoa => Some(TransferPlan::CurrentSoa(snapshot, number)),
            TransferDecision::Granted(Grant::Axfr) => {
                Some(TransferPlan::Axfr(snapshot, number, view))
            }
            TransferDecision::Granted(Grant::Ixfr(from)) => {
                let found = self.difference(
                    (&snapshot.zones.all()[number], view),
                    from,
                    &snapshot,
                    number,
                );
                Some(match found {
                    Some((snapshot, number, d)) => TransferPlan::Ixfr(snapshot, number, d),
                    None => TransferPlan::Axfr(snapshot, number, view),
                })
            }
        }
    }

    /// The difference of a zone from a serial to the snapshot or a later one. `None` where a whole
    /// transfer is needed.
    fn difference(
        &self,
        (zone, view): (&ZoneView, View),
        from: Serial,
        snapshot: &Arc<Snapshot>,
        number: usize,
    ) -> Option<(Arc<Snapshot>, usize, Arc<ZoneDifference>)> {
        let cached = || self.cached.lock();
        let to = transfer::serial(snapshot, number);
        let is_this = |c: &&CachedDiff| {
            *c.zone == *zone.name
                && (c.hash, c.view) == (zone.hash, view)
                && (c.difference.from, c.difference.to) == (from, to)
        };
        if let Some(c) = cached().iter().find(is_this) {
            return Some((snapshot.clone(), number, c.difference.clone()));
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
        Some((both.new, number, difference))
    }
}

/// Signs the messages of an answer, where its query was signed.
struct MessageSigner(Option<tsig::TsigSession>);

impl MessageSigner {
    fn new(all: &Transfers, query: &Query) -> Option<MessageSigner> {
        let keys = all.ledger.published.load().keys.clone();
        if query.signed {
            tsig::verify(&keys, query.message, wall())
                .ok()
                .map(MessageSigner)
        } else {
            Some(MessageSigner(None))
        }
    }

    fn key(&self) -> Option<&str> {
        self.0.as_ref().map(tsig::TsigSession::key)
    }

    /// Signs a message. False where that is impossible.
    fn sign(&mut self, message: &mut Vec<u8>) -> bool {
        self.0
            .as_mut()
            .is_none_or(|session| session.sign_message(message, wall()))
    }
}
