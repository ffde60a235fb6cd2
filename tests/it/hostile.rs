//! Hostile and faulty clients.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use crate::lab::{Folder, Lab, query, read_tcp, shown, tcp, udp};

fn frame(q: &[u8]) -> Vec<u8> {
    [&(q.len() as u16).to_be_bytes()[..], q].concat()
}

#[test]
fn many_queries_on_one_connection_are_answered_in_order() {
    let lab = Lab::new(Folder::new());
    let mut s = TcpStream::connect(lab.addr).unwrap();
    s.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut all = Vec::new();
    for i in 0..500u16 {
        let mut q = query("2.0.0.127.bl.orbs.example", 1, true);
        q[..2].copy_from_slice(&i.to_be_bytes());
        all.extend(frame(&q));
    }
    // Send the bytes in pieces of any length.
    for piece in all.chunks(777) {
        s.write_all(piece).unwrap();
    }
    for i in 0..500u16 {
        let reply = read_tcp(&mut s).unwrap();
        assert_eq!(reply[..2], i.to_be_bytes());
    }
    // The keepalive option states how long a connection may be idle (RFC 7828), over TCP only.
    let mut q = query("bl.orbs.example", 6, true);
    let at = q.len() - 1;
    q[at] = 4;
    q.extend([0, 11, 0, 0]);
    s.write_all(&frame(&q)).unwrap();
    assert!(
        read_tcp(&mut s)
            .unwrap()
            .windows(6)
            .any(|w| w == [0, 11, 0, 2, 0, 100])
    );
    assert!(
        !udp(lab.addr, &q, Duration::from_secs(5))
            .unwrap()
            .windows(4)
            .any(|w| w == [0, 11, 0, 2])
    );
}

#[test]
fn slow_half_open_and_oversized_clients_are_closed_and_others_served() {
    let lab = Lab::new(Folder::new());
    let mut slow = TcpStream::connect(lab.addr).unwrap();
    slow.write_all(&[0]).unwrap();
    let mut huge = TcpStream::connect(lab.addr).unwrap();
    huge.write_all(&[0xff, 0xff]).unwrap();
    huge.write_all(&vec![0; 65_535]).ok();
    let mut noise = TcpStream::connect(lab.addr).unwrap();
    noise.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    for s in [&mut huge, &mut noise] {
        s.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        let mut buf = [0; 100];
        assert!(matches!(s.read(&mut buf), Ok(0) | Err(_)), "closed");
    }
    let begun = Instant::now();
    slow.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    assert!(matches!(slow.read(&mut [0; 10]), Ok(0) | Err(_)));
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "a stalled client is closed"
    );
    assert!(tcp(lab.addr, &query("2.0.0.127.bl.orbs.example", 1, false)).is_some());
}

#[test]
fn one_client_cannot_take_all_connections() {
    let lab = Lab::new(Folder::new());
    let held: Vec<TcpStream> = (0..300)
        .filter_map(|_| TcpStream::connect_timeout(&lab.addr, Duration::from_secs(2)).ok())
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    let open = held
        .iter()
        .filter(|s| {
            s.set_nonblocking(true).unwrap();
            let mut s: &TcpStream = s;
            matches!(s.read(&mut [0; 1]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
        })
        .count();
    assert!(open <= 64, "{open} of one client");
    // Another client is served, from another address of the loopback network.
    let socket = std::net::SocketAddr::from(([127, 0, 0, 9], 0));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let stream = runtime.block_on(async {
        let s = tokio::net::TcpSocket::new_v4().unwrap();
        s.bind(socket).unwrap();
        s.connect(lab.addr).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut stream = stream;
    stream
        .write_all(&frame(&query("2.0.0.127.bl.orbs.example", 1, false)))
        .unwrap();
    assert!(read_tcp(&mut stream).is_some());
}

#[test]
fn datagrams_of_every_length_are_handled() {
    let lab = Lab::new(Folder::new());
    let s = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut x = 1u32;
    for len in (0..1500).chain([4000, 9000, 60_000]) {
        let bytes: Vec<u8> = (0..len)
            .map(|_| {
                x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (x >> 24) as u8
            })
            .collect();
        s.send_to(&bytes, lab.addr).unwrap();
    }
    let mut q = query("2.0.0.127.bl.orbs.example", 1, false);
    assert_eq!(
        shown(&udp(lab.addr, &q, Duration::from_secs(5)).unwrap()),
        "NOERROR 127.0.0.2 127.0.0.3"
    );
    q[11] = 9; // more records than there are
    assert_eq!(
        udp(lab.addr, &q, Duration::from_secs(5)).unwrap()[3] & 15,
        1
    );
}

/// On a wildcard bind the answer leaves from the address that was asked.
#[test]
fn wildcard_listener_answers_from_the_queried_address() {
    let lab = Lab::new(Folder::new());
    for (bind, asked) in [
        ("0.0.0.0:0", ["127.0.0.5", "127.0.0.77"]),
        ("[::]:0", ["::1", "::1"]),
    ] {
        let Ok(socket) = orbsd::server::udp::bind(bind.parse().unwrap()) else {
            continue;
        };
        let port = socket.local_addr().unwrap().port();
        let shared = lab.shared.clone();
        let thread = std::thread::spawn(move || orbsd::server::udp::run(&socket, &shared, "wild"));
        for ip in asked {
            let to = SocketAddr::new(ip.parse().unwrap(), port);
            let s = UdpSocket::bind(if to.is_ipv4() {
                (Ipv4Addr::LOCALHOST, 0).into()
            } else {
                SocketAddr::new("::1".parse().unwrap(), 0)
            })
            .unwrap();
            s.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            s.send_to(&query("2.0.0.127.bl.orbs.example", 1, true), to)
                .unwrap();
            let mut buf = [0; 2000];
            let (_, from) = s.recv_from(&mut buf).unwrap();
            assert_eq!(from, to);
        }
        lab.shared
            .stop
            .store(true, std::sync::atomic::Ordering::Relaxed);
        thread.join().unwrap().unwrap();
        lab.shared
            .stop
            .store(false, std::sync::atomic::Ordering::Relaxed);
    }
}
