//! UDP workers: one thread and one SO_REUSEPORT socket each, `recvmmsg` → [`crate::dns`] → `sendmmsg`.
//!
//! Workers share only the published snapshot, which each loads once for a batch. All `unsafe` code
//! of the data path is in this file.

use std::{
    io,
    mem::{size_of, zeroed},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    ptr::{addr_of, addr_of_mut, null_mut},
    sync::atomic::Ordering,
};

use libc::{cmsghdr, iovec, mmsghdr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t};
use socket2::{Domain, Socket, Type};

use super::{
    context::{ServerContext, count, query_time, sample_query},
    sys::set_option as set,
};
use crate::{
    dns::{AnswerKind, Peer, PendingQuery, UDP_SIZE, notify, prefetch, query::NameBuf},
    metrics::{MAX_ZONES, Totals},
};

/// The most datagrams of one system call.
const BATCH: usize = 64;
/// The most bytes of a query. A longer datagram is cut off and answered with FORMERR. An odd number
/// of cache lines, so that the buffers are spread over the sets of the cache.
const MAX_QUERY_BYTES: usize = 21 * 64;
/// Bytes of the packet information that comes with a datagram: that of IPv6 and its header.
const CONTROL_BYTES: usize = 64;
/// The size of the kernel buffers, in bytes: they hold what arrives while a batch is answered.
const SOCKET_BUFFER_BYTES: libc::c_int = 4 << 20;
/// The most deferred replies that wait. A request beyond them gets the current SOA.
const MAX_DEFERRED: usize = 64;
/// How long a worker waits for a datagram before it checks whether to stop.
const READ_TIMEOUT: std::time::Duration = std::time::Duration::from_millis(250);
/// How long a worker pauses after an error of its socket; twice as long after each further one, up
/// to [`READ_TIMEOUT`].
const MIN_ERROR_PAUSE: std::time::Duration = std::time::Duration::from_micros(100);
/// Consecutive errors after which one is logged.
const ERRORS_BEFORE_LOG: u32 = 16;

/// Opens a worker's socket. Several sockets can have one address (SO_REUSEPORT).
pub fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, None)?;
    socket.set_reuse_port(true)?;
    socket.set_read_timeout(Some(READ_TIMEOUT))?;
    // With the capability CAP_NET_ADMIN, the size may exceed the system's limit.
    for (force, plain) in [
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    ] {
        let _ = set(&socket, libc::SOL_SOCKET, force, SOCKET_BUFFER_BYTES)
            .or_else(|_| set(&socket, libc::SOL_SOCKET, plain, SOCKET_BUFFER_BYTES));
    }
    // Replies may be fragmented, and ignore the path MTU that a forged ICMP message claims.
    let (level, discover, omit, packet_info) = if addr.is_ipv4() {
        (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_OMIT,
            libc::IP_PKTINFO,
        )
    } else {
        socket.set_only_v6(true)?;
        (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_OMIT,
            libc::IPV6_RECVPKTINFO,
        )
    };
    set(&socket, level, discover, omit)?;
    if addr.ip().is_unspecified() {
        set(&socket, level, packet_info, 1)?;
    }
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// The client's address. `None` for an unknown family.
fn peer_of(from: &sockaddr_storage) -> Option<IpAddr> {
    match libc::c_int::from(from.ss_family) {
        libc::AF_INET => {
            // SAFETY: the kernel wrote an address of this family here.
            let a = unsafe { &*addr_of!(*from).cast::<sockaddr_in>() };
            Some(Ipv4Addr::from(a.sin_addr.s_addr.to_ne_bytes()).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let a = unsafe { &*addr_of!(*from).cast::<sockaddr_in6>() };
            Some(Ipv6Addr::from(a.sin6_addr.s6_addr).to_canonical())
        }
        _ => None,
    }
}

/// A buffer for control messages, aligned as the kernel requires.
#[repr(align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// A worker's buffers, one of each kind for each message of a batch. The message headers point into
/// the other fields, which never grow, so that they never move on the heap (a `Box` would claim
/// that it has the only pointer to its value).
struct Incoming {
    queries: Vec<[u8; MAX_QUERY_BYTES]>,
    from: Vec<sockaddr_storage>,
    control: Vec<Control>,
    vectors: Vec<iovec>,
    headers: Vec<mmsghdr>,
    /// Whether control messages are read and sent back: on wildcard addresses.
    info: bool,
}

/// The same for answers.
struct Outgoing {
    answers: Vec<[u8; UDP_SIZE]>,
    vectors: Vec<iovec>,
    headers: Vec<mmsghdr>,
}

/// An empty vector of bytes and an empty message header.
fn empty() -> (iovec, mmsghdr) {
    // SAFETY: all zeros is a valid value of these plain C structures.
    unsafe { (zeroed(), zeroed()) }
}

impl Incoming {
    fn new(info: bool) -> Incoming {
        let (vector, header) = empty();
        // SAFETY: all zeros is a valid value of this plain C structure.
        let storage = unsafe { zeroed() };
        let mut b = Incoming {
            queries: vec![[0; MAX_QUERY_BYTES]; BATCH],
            from: vec![storage; BATCH],
            control: vec![Control([0; CONTROL_BYTES]); BATCH],
            vectors: vec![vector; BATCH],
            headers: vec![header; BATCH],
            info,
        };
        for i in 0..BATCH {
            b.vectors[i] = iovec {
                iov_base: b.queries[i].as_mut_ptr().cast(),
                iov_len: MAX_QUERY_BYTES,
            };
            let h = &mut b.headers[i].msg_hdr;
            h.msg_name = addr_of_mut!(b.from[i]).cast();
            h.msg_iov = &mut b.vectors[i];
            h.msg_iovlen = 1;
            b.rearm(i);
        }
        b
    }

    /// Makes slot `i` ready to receive again, since the kernel has changed its lengths.
    #[inline]
    fn rearm(&mut self, i: usize) {
        let h = &mut self.headers[i].msg_hdr;
        h.msg_namelen = size_of::<sockaddr_storage>() as socklen_t;
        if self.info {
            h.msg_control = self.control[i].0.as_mut_ptr().cast();
            h.msg_controllen = CONTROL_BYTES as _;
        }
    }

    /// The datagram in slot `i`.
    #[inline]
    fn query(&self, i: usize) -> &[u8] {
        &self.queries[i][..(self.headers[i].msg_len as usize).min(MAX_QUERY_BYTES)]
    }
}

impl Outgoing {
    fn new() -> Outgoing {
        let (vector, header) = empty();
        Outgoing {
            answers: vec![[0; UDP_SIZE]; BATCH],
            vectors: vec![vector; BATCH],
            headers: vec![header; BATCH],
        }
    }

    /// Prepares the answer to slot `i` of `incoming` as message `n` of the batch.
    #[inline]
    fn prepare(&mut self, n: usize, len: usize, incoming: &Incoming, i: usize) {
        let v = &mut self.vectors[n];
        *v = iovec {
            iov_base: self.answers[n].as_mut_ptr().cast(),
            iov_len: len,
        };
        let from = incoming.headers[i].msg_hdr;
        let h = &mut self.headers[n].msg_hdr;
        h.msg_iov = v;
        h.msg_iovlen = 1;
        (h.msg_name, h.msg_namelen) = (from.msg_name, from.msg_namelen);
        if incoming.info {
            (h.msg_control, h.msg_controllen) = (from.msg_control, from.msg_controllen);
            keep_source(h);
        }
    }
}

/// Keeps the packet information, so that the answer is sent from the address that the query was
/// sent to, but not the interface, which routing decides.
fn keep_source(h: &mut libc::msghdr) {
    // SAFETY: the kernel wrote well-formed control messages of `msg_controllen` bytes, and the
    // macros stay inside them.
    unsafe {
        let c: *mut cmsghdr = libc::CMSG_FIRSTHDR(h);
        if c.is_null() {
            return;
        }
        match ((*c).cmsg_level, (*c).cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let info = libc::CMSG_DATA(c).cast::<libc::in_pktinfo>();
                (*info).ipi_ifindex = 0;
                (*info).ipi_spec_dst = (*info).ipi_addr;
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let info = libc::CMSG_DATA(c).cast::<libc::in6_pktinfo>();
                let link_local = (*info).ipi6_addr.s6_addr[0] == 0xfe
                    && (*info).ipi6_addr.s6_addr[1] & 0xc0 == 0x80;
                if !link_local {
                    (*info).ipi6_ifindex = 0;
                }
            }
            _ => (h.msg_control, h.msg_controllen) = (null_mut(), 0),
        }
    }
}

/// A request for a difference, which is answered from the store, or a NOTIFY. `plain` is the reply
/// that is sent if those have none: the current SOA alone, or NOTIMP.
struct DeferredReply {
    query: Vec<u8>,
    plain: Vec<u8>,
    addr: IpAddr,
    from: sockaddr_storage,
    from_len: socklen_t,
    control: Control,
    control_len: usize,
}

impl DeferredReply {
    fn new(b: &Incoming, i: usize, plain: &[u8], addr: IpAddr) -> DeferredReply {
        let h = &b.headers[i].msg_hdr;
        let control_len = if b.info {
            h.msg_controllen.min(CONTROL_BYTES)
        } else {
            0
        };
        DeferredReply {
            query: b.query(i).into(),
            plain: plain.into(),
            addr,
            from: b.from[i],
            from_len: h.msg_namelen,
            control: b.control[i],
            control_len,
        }
    }

    fn answer(mut self, fd: libc::c_int, shared: &ServerContext) {
        let mut name_buf = crate::dns::query::NameBuf::default();
        let limit = crate::dns::query::Query::parse(&self.query, &mut name_buf)
            .map_or(0, |q| q.udp_limit());
        let whole = match notify::is_notify(&self.query) {
            true => shared.acknowledge_notify(&self.query, self.addr),
            false => shared
                .transfers
                .as_ref()
                .and_then(|t| t.datagram(&self.query, Peer::udp(self.addr), limit)),
        };
        let mut reply = whole.unwrap_or_else(|| std::mem::take(&mut self.plain));
        let mut v = iovec {
            iov_base: reply.as_mut_ptr().cast(),
            iov_len: reply.len(),
        };
        // SAFETY: all zeros is a valid value of this plain C structure.
        let mut h: libc::msghdr = unsafe { zeroed() };
        (h.msg_name, h.msg_namelen) = (addr_of_mut!(self.from).cast(), self.from_len);
        (h.msg_iov, h.msg_iovlen) = (&mut v, 1);
        if self.control_len > 0 {
            (h.msg_control, h.msg_controllen) =
                (self.control.0.as_mut_ptr().cast(), self.control_len as _);
            keep_source(&mut h);
        }
        // SAFETY: the header points to values that live longer than the call.
        unsafe { libc::sendmsg(fd, &h, 0) };
    }
}

/// Answers the queries of a socket until the server stops.
pub fn run(socket: &UdpSocket, shared: &ServerContext, name: &str) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    std::thread::scope(|s| {
        // Differences come from the store, and queries for listings must not wait for them.
        let (deferred, waiting) = std::sync::mpsc::sync_channel::<DeferredReply>(MAX_DEFERRED);
        s.spawn(move || {
            super::sys::lower_priority();
            waiting
                .into_iter()
                .for_each(|reply| reply.answer(fd, shared));
        });
        work(socket, shared, name, &deferred)
    })
}

fn work(
    socket: &UdpSocket,
    shared: &ServerContext,
    name: &str,
    deferred: &std::sync::mpsc::SyncSender<DeferredReply>,
) -> io::Result<()> {
    let (counters, sampler) = (shared.metrics.worker(name), shared.sample.worker());
    let info = socket.local_addr()?.ip().is_unspecified();
    let (mut incoming, mut outgoing) = (Incoming::new(info), Outgoing::new());
    let mut names: Vec<NameBuf> = (0..BATCH).map(|_| NameBuf::default()).collect();
    let mut totals = [Totals::default(); MAX_ZONES + 1];
    let mut used = [false; MAX_ZONES + 1];
    let fd = socket.as_raw_fd();
    let mut errors = ReceiveErrors::default();
    while !shared.stop.load(Ordering::Relaxed) {
        // SAFETY: every header points into the buffers of `incoming`, which live longer than the
        // call.
        let received = unsafe {
            libc::recvmmsg(
                fd,
                incoming.headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_WAITFORONE,
                null_mut(),
            )
        };
        if received <= 0 {
            errors.wait(&io::Error::last_os_error(), name);
            continue;
        }
        errors.count = 0;
        let received = received as usize;
        let snapshot = shared.published.load();
        let now = query_time(&snapshot);
        let mut pending = [const { None }; BATCH];
        for (i, name_buf) in names.iter_mut().take(received).enumerate() {
            pending[i] = Some(PendingQuery::read(&snapshot, incoming.query(i), name_buf));
        }
        prefetch(&snapshot, pending.iter().flatten());
        let mut n = 0;
        for (i, query) in pending.iter_mut().enumerate().take(received) {
            let (Some(query), Some(addr)) = (query.take(), peer_of(&incoming.from[i])) else {
                continue;
            };
            let answer = &mut outgoing.answers[n];
            let outcome = query.answer(&snapshot, Peer::udp(addr), now, answer);
            let slot = outcome.zone.map_or(0, |z| z.min(MAX_ZONES - 1) + 1);
            count(
                &mut totals[slot],
                &outcome,
                incoming.headers[i].msg_len as usize,
            );
            used[slot] = true;
            sample_query(&sampler, &snapshot, incoming.query(i), &outcome);
            if outcome.kind == AnswerKind::Transfer
                || outcome.kind == AnswerKind::Malformed && notify::is_notify(incoming.query(i))
            {
                let reply = DeferredReply::new(&incoming, i, &answer[..outcome.len], addr);
                if deferred.try_send(reply).is_ok() {
                    continue;
                }
            }
            if outcome.len > 0 {
                outgoing.prepare(n, outcome.len, &incoming, i);
                n += 1;
            }
        }
        drop(snapshot);
        send(fd, &mut outgoing.headers[..n]);
        (0..received).for_each(|i| incoming.rearm(i));
        for slot in (0..=MAX_ZONES).filter(|p| used[*p]) {
            counters.of(slot.checked_sub(1)).add(&totals[slot]);
            totals[slot] = Totals::default();
        }
        used = [false; MAX_ZONES + 1];
    }
    Ok(())
}

/// Consecutive errors of `recvmmsg`. An error can belong to an earlier answer. A socket that always
/// fails must not keep a core busy; it is tried again, since the fault may pass.
#[derive(Default)]
struct ReceiveErrors {
    count: u32,
}

impl ReceiveErrors {
    #[cold]
    fn wait(&mut self, e: &io::Error, name: &str) {
        // A timeout or a signal is not an error.
        if matches!(
            e.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
        ) {
            return;
        }
        self.count = self.count.saturating_add(1);
        if self.count == ERRORS_BEFORE_LOG {
            tracing::error!(error = %e, worker = name, "UDP socket cannot be read; retrying four times a second");
        }
        let pause = MIN_ERROR_PAUSE.saturating_mul(1 << self.count.saturating_sub(1).min(16));
        std::thread::sleep(pause.min(READ_TIMEOUT));
    }
}

/// Sends a batch. A datagram that cannot be sent is dropped, as the network may do.
fn send(fd: libc::c_int, mut messages: &mut [mmsghdr]) {
    while !messages.is_empty() {
        // SAFETY: every header points into the worker's buffers, which live longer than the call.
        let sent = unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), messages.len() as u32, 0) };
        let done = usize::try_from(sent).unwrap_or(0).max(1);
        messages = &mut messages[done..];
    }
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, sync::Arc, time::Duration};

    use super::*;
    use crate::{index::Published, metrics::Metrics};

    /// The queries fill more than one batch, on a specific and on a wildcard address.
    #[test]
    fn answer_goes_to_the_client_that_asked() {
        for addr in ["127.0.0.1:0", "0.0.0.0:0"] {
            let shared = ServerContext {
                published: Arc::new(Published::default()),
                metrics: Arc::new(Metrics::default()),
                sample: Default::default(),
                transfers: None,
                on_notify: None,
                stop: Arc::default(),
            };
            let socket = bind(addr.parse().unwrap()).unwrap();
            let to = SocketAddr::from(([127, 0, 0, 1], socket.local_addr().unwrap().port()));
            let worker = std::thread::spawn({
                let shared = shared.clone();
                move || run(&socket, &shared, "udp-0")
            });
            let clients: Vec<_> = (0..4)
                .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
                .collect();
            for (c, client) in clients.iter().enumerate() {
                client
                    .set_read_timeout(Some(Duration::from_secs(5)))
                    .unwrap();
                for id in 0..40 {
                    client
                        .send_to(
                            &[
                                c as u8, id, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'x', 0, 0, 1, 0, 1,
                            ],
                            to,
                        )
                        .unwrap();
                }
            }
            for (c, client) in clients.iter().enumerate() {
                let mut ids: Vec<u8> = (0..40)
                    .map(|_| {
                        let mut buf = [0; 512];
                        let (n, from) = client.recv_from(&mut buf).unwrap();
                        assert_eq!((n, from, buf[0], buf[3] & 15), (19, to, c as u8, 5));
                        buf[1]
                    })
                    .collect();
                ids.sort_unstable();
                assert!(ids.into_iter().eq(0..40));
            }
            shared.stop.store(true, Ordering::Relaxed);
            worker.join().unwrap().unwrap();
            assert_eq!(shared.metrics.zone(None).refused, 160);
        }
    }

    #[test]
    fn unreadable_socket_does_not_keep_a_core_busy() {
        let shared = ServerContext {
            published: Arc::new(Published::default()),
            metrics: Arc::new(Metrics::default()),
            sample: Default::default(),
            transfers: None,
            on_notify: None,
            stop: Arc::default(),
        };
        // A listening TCP socket has an address, but each receive fails with ENOTCONN.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::from(std::os::fd::OwnedFd::from(listener));
        let worker = std::thread::spawn({
            let shared = shared.clone();
            move || {
                run(&socket, &shared, "udp-0").unwrap();
                let mut t = libc::timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                };
                // SAFETY: `t` is a valid place for the result.
                unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
                Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
            }
        });
        std::thread::sleep(Duration::from_millis(1500));
        shared.stop.store(true, Ordering::Relaxed);
        let busy = worker.join().unwrap();
        assert!(busy < Duration::from_millis(300), "{busy:?} of 1.5 s");
    }
}
