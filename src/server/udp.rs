//! UDP workers: one thread and one SO_REUSEPORT socket each, `recvmmsg` → [`respond`] → `sendmmsg`.
//!
//! A worker shares nothing but the published snapshot, which it loads once for a batch. All
//! `unsafe` code of the data path is in this file.

use std::{
    io,
    mem::{size_of, zeroed},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd, FromRawFd},
    ptr::{addr_of, addr_of_mut, null_mut},
    sync::atomic::Ordering,
};

use libc::{cmsghdr, iovec, mmsghdr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t};

use super::{Shared, count, sys::set_option as set};
use crate::{
    dns::{Kind, Peer, UDP_SIZE, notify, query::peek, respond},
    metrics::{MAX_ZONES, Totals},
};

/// Datagrams of one system call.
const BATCH: usize = 64;
/// Room for a query; a longer datagram is cut and answered FORMERR. An odd number of cache lines,
/// so that the buffers do not crowd into the same few sets of the cache.
const QUERY: usize = 21 * 64;
/// Room for the packet information that comes with a datagram: an IPv6 one and its header.
const CONTROL: usize = 64;
/// Kernel buffers, in bytes: what arrives while a batch is answered.
const BUFFER: libc::c_int = 4 << 20;
/// Requests for differences that wait; those that find no place get the current SOA.
const LATER: usize = 64;
/// How long a worker waits for a datagram before it looks whether to stop.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(250);
/// How long a worker pauses after an error of its socket; twice as long after each further one, up
/// to [`PATIENCE`].
const FIRST_PAUSE: std::time::Duration = std::time::Duration::from_micros(100);
/// Errors in a row after which the log says so.
const LASTING_ERRORS: u32 = 16;

/// Opens a worker's socket.
pub fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
    let family = if addr.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // SAFETY: plain system calls; the descriptor is owned by the socket at once and so closed on
    // every way out.
    let socket = unsafe {
        let fd = libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        UdpSocket::from_raw_fd(fd)
    };
    set(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // With the privilege (CAP_NET_ADMIN) past the system's limit, else up to it.
    for (force, plain) in [
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    ] {
        let _ = set(&socket, libc::SOL_SOCKET, force, BUFFER)
            .or_else(|_| set(&socket, libc::SOL_SOCKET, plain, BUFFER));
    }
    if addr.is_ipv4() {
        // Replies may be fragmented rather than shrink to what a forged ICMP message says.
        set(
            &socket,
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_OMIT,
        )?;
        if addr.ip().is_unspecified() {
            set(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        }
    } else {
        set(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        set(
            &socket,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_OMIT,
        )?;
        if addr.ip().is_unspecified() {
            set(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        }
    }
    let (storage, len) = to_storage(addr);
    // SAFETY: `storage` is a valid address of `len` bytes.
    if unsafe { libc::bind(socket.as_raw_fd(), addr_of!(storage).cast(), len) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

fn to_storage(addr: SocketAddr) -> (sockaddr_storage, socklen_t) {
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut storage: sockaddr_storage = unsafe { zeroed() };
    match addr {
        SocketAddr::V4(a) => {
            // SAFETY: the storage is large and aligned enough for every address family, by its
            // definition.
            let to = unsafe { &mut *addr_of_mut!(storage).cast::<sockaddr_in>() };
            to.sin_family = libc::AF_INET as libc::sa_family_t;
            to.sin_port = a.port().to_be();
            to.sin_addr.s_addr = u32::from_ne_bytes(a.ip().octets());
            (storage, size_of::<sockaddr_in>() as socklen_t)
        }
        SocketAddr::V6(a) => {
            // SAFETY: as above.
            let to = unsafe { &mut *addr_of_mut!(storage).cast::<sockaddr_in6>() };
            to.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            to.sin6_port = a.port().to_be();
            to.sin6_addr.s6_addr = a.ip().octets();
            to.sin6_scope_id = a.scope_id();
            (storage, size_of::<sockaddr_in6>() as socklen_t)
        }
    }
}

/// The client's address; `None` for a family that cannot be.
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

/// Room for control messages, aligned as the kernel wants it.
#[repr(align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// A worker's buffers, one of a kind for each message of a batch. The message headers point into
/// the other fields, which never grow, so that their places on the heap never move (a `Box` would
/// claim that nobody else points into it).
struct Buffers {
    queries: Vec<[u8; QUERY]>,
    answers: Vec<[u8; UDP_SIZE]>,
    from: Vec<sockaddr_storage>,
    control: Vec<Control>,
    vectors: Vec<iovec>,
    incoming: Vec<mmsghdr>,
    outgoing: Vec<mmsghdr>,
    /// Whether control messages are read and sent back: on wildcard addresses.
    info: bool,
}

impl Buffers {
    fn new(info: bool) -> Buffers {
        // SAFETY: all zeros is a valid value of these plain C structures.
        let (storage, vector, header) =
            unsafe { (zeroed(), zeroed::<iovec>(), zeroed::<mmsghdr>()) };
        let mut b = Buffers {
            queries: vec![[0; QUERY]; BATCH],
            answers: vec![[0; UDP_SIZE]; BATCH],
            from: vec![storage; BATCH],
            control: vec![Control([0; CONTROL]); BATCH],
            vectors: vec![vector; 2 * BATCH],
            incoming: vec![header; BATCH],
            outgoing: vec![header; BATCH],
            info,
        };
        for i in 0..BATCH {
            b.vectors[i] = iovec {
                iov_base: b.queries[i].as_mut_ptr().cast(),
                iov_len: QUERY,
            };
            let h = &mut b.incoming[i].msg_hdr;
            h.msg_name = addr_of_mut!(b.from[i]).cast();
            h.msg_iov = &mut b.vectors[i];
            h.msg_iovlen = 1;
            b.rearm(i);
        }
        b
    }

    /// Makes slot `i` ready to receive again: the kernel has shortened its lengths.
    #[inline]
    fn rearm(&mut self, i: usize) {
        let h = &mut self.incoming[i].msg_hdr;
        h.msg_namelen = size_of::<sockaddr_storage>() as socklen_t;
        if self.info {
            h.msg_control = self.control[i].0.as_mut_ptr().cast();
            h.msg_controllen = CONTROL as _;
        }
    }

    /// Readies the answer to slot `i` as message `n` of the batch.
    #[inline]
    fn ready(&mut self, n: usize, i: usize, len: usize) {
        let v = &mut self.vectors[BATCH + n];
        *v = iovec {
            iov_base: self.answers[n].as_mut_ptr().cast(),
            iov_len: len,
        };
        let from = self.incoming[i].msg_hdr;
        let h = &mut self.outgoing[n].msg_hdr;
        h.msg_iov = v;
        h.msg_iovlen = 1;
        (h.msg_name, h.msg_namelen) = (from.msg_name, from.msg_namelen);
        if self.info {
            (h.msg_control, h.msg_controllen) = (from.msg_control, from.msg_controllen);
            keep_source(h);
        }
    }
}

/// Leaves the packet information as it came, so that the answer leaves from the address that was
/// asked; but not the interface, which routing decides.
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

/// A request for a difference, to be answered from the store, or a NOTIFY; and its reply where that
/// is not to be had: the current SOA alone, or NOTIMP.
struct Later {
    query: Vec<u8>,
    plain: Vec<u8>,
    addr: IpAddr,
    from: sockaddr_storage,
    from_len: socklen_t,
    control: Control,
    control_len: usize,
}

impl Later {
    fn new(b: &Buffers, i: usize, query: &[u8], plain: &[u8], addr: IpAddr) -> Later {
        let h = &b.incoming[i].msg_hdr;
        let control_len = if b.info {
            h.msg_controllen.min(CONTROL)
        } else {
            0
        };
        Later {
            query: query.into(),
            plain: plain.into(),
            addr,
            from: b.from[i],
            from_len: h.msg_namelen,
            control: b.control[i],
            control_len,
        }
    }

    fn answer(mut self, fd: libc::c_int, shared: &Shared) {
        let mut room = crate::dns::query::Room::default();
        let limit =
            crate::dns::query::Query::parse(&self.query, &mut room).map_or(0, |q| q.udp_limit());
        let whole = match notify::is_one(&self.query) {
            true => shared.notify(&self.query, self.addr),
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

/// Answers what comes in on a socket until it is time to stop.
pub fn run(socket: &UdpSocket, shared: &Shared, name: &str) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    std::thread::scope(|s| {
        // Differences come from the store: nobody who asks for a listing waits for them.
        let (later, waiting) = std::sync::mpsc::sync_channel::<Later>(LATER);
        s.spawn(move || {
            super::sys::lower_priority();
            waiting.into_iter().for_each(|l| l.answer(fd, shared));
        });
        work(socket, shared, name, &later)
    })
}

fn work(
    socket: &UdpSocket,
    shared: &Shared,
    name: &str,
    later: &std::sync::mpsc::SyncSender<Later>,
) -> io::Result<()> {
    let counters = shared.metrics.worker(name);
    let info = socket.local_addr()?.ip().is_unspecified();
    let mut b = Buffers::new(info);
    let mut totals = [Totals::default(); MAX_ZONES + 1];
    let mut used = [false; MAX_ZONES + 1];
    let fd = socket.as_raw_fd();
    let mut errors = ReceiveErrors::default();
    while !shared.stop.load(Ordering::Relaxed) {
        // SAFETY: every header points into the buffers of `b`, which live longer than the call.
        let got = unsafe {
            libc::recvmmsg(
                fd,
                b.incoming.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_WAITFORONE,
                null_mut(),
            )
        };
        if got <= 0 {
            errors.wait(&io::Error::last_os_error(), name);
            continue;
        }
        errors.count = 0;
        let got = got as usize;
        let snapshot = shared.published.load();
        let now = crate::clock::wall();
        let mut addrs = [0; BATCH];
        let mut known = 0;
        for i in 0..got {
            if let Some(a) = peek(&b.queries[i][..(b.incoming[i].msg_len as usize).min(QUERY)]) {
                addrs[known] = a;
                known += 1;
            }
        }
        snapshot.tables.ip4.warm(&addrs[..known]);
        let mut n = 0;
        for i in 0..got {
            let len = b.incoming[i].msg_len as usize;
            let Some(addr) = peer_of(&b.from[i]) else {
                continue;
            };
            let outcome = respond(
                &snapshot,
                &b.queries[i][..len.min(QUERY)],
                Peer::udp(addr),
                now,
                &mut b.answers[n][..],
            );
            let place = outcome.zone.map_or(0, |z| z.min(MAX_ZONES - 1) + 1);
            count(&mut totals[place], &outcome, len);
            used[place] = true;
            if outcome.kind == Kind::Transfer
                || outcome.kind == Kind::Malformed
                    && notify::is_one(&b.queries[i][..len.min(QUERY)])
            {
                let query = &b.queries[i][..len.min(QUERY)];
                if later
                    .try_send(Later::new(&b, i, query, &b.answers[n][..outcome.len], addr))
                    .is_ok()
                {
                    continue;
                }
            }
            if outcome.len > 0 {
                b.ready(n, i, outcome.len);
                n += 1;
            }
        }
        drop(snapshot);
        send(fd, &mut b.outgoing[..n]);
        (0..got).for_each(|i| b.rearm(i));
        for place in (0..=MAX_ZONES).filter(|p| used[*p]) {
            counters.of(place.checked_sub(1)).add(&totals[place]);
            totals[place] = Totals::default();
        }
        used = [false; MAX_ZONES + 1];
    }
    Ok(())
}

/// Errors of `recvmmsg` in a row. One may be that of an earlier answer; a socket that has them all
/// the time must not keep a core busy, and is tried again all the same: the fault may pass.
#[derive(Default)]
struct ReceiveErrors {
    count: u32,
}

impl ReceiveErrors {
    #[cold]
    fn wait(&mut self, e: &io::Error, name: &str) {
        // Nothing came in time, or a signal did.
        if matches!(
            e.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
        ) {
            return;
        }
        self.count = self.count.saturating_add(1);
        if self.count == LASTING_ERRORS {
            tracing::error!(error = %e, worker = name, "a UDP socket cannot be read; it is tried again four times a second");
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.count.saturating_sub(1).min(16));
        std::thread::sleep(pause.min(PATIENCE));
    }
}

/// Sends a batch. A datagram that cannot be sent is left out, as the network would do.
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

    /// More than one batch, on a plain and on a wildcard address: every query gets the answer that
    /// belongs to it.
    #[test]
    fn answers_go_back_to_who_asked() {
        for addr in ["127.0.0.1:0", "0.0.0.0:0"] {
            let shared = Shared {
                published: Arc::new(Published::default()),
                metrics: Arc::new(Metrics::default()),
                transfers: None,
                notified: None,
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

    /// A persistent error of the socket kept a core busy.
    #[test]
    fn a_socket_that_cannot_be_read_does_not_keep_a_core_busy() {
        let shared = Shared {
            published: Arc::new(Published::default()),
            metrics: Arc::new(Metrics::default()),
            transfers: None,
            notified: None,
            stop: Arc::default(),
        };
        // A socket that listens for TCP has an address, and nothing can be received from it:
        // ENOTCONN, each time.
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
