//! Where the parts listen: no two of them at the same place.

use std::net::SocketAddr;

use super::{
    document::{Place, Report},
    tables::File,
};

/// An address that a key of a table wants.
struct Wanted<'f> {
    place: &'f Place,
    name: &'static str,
    key: &'static str,
    addr: SocketAddr,
}

/// Reports the addresses that cannot be read, and those that two parts want.
pub(super) fn check(file: &File, report: &mut Report) {
    let mut tcp: Vec<Wanted<'_>> = Vec::new();
    let mut add = |place, name, key, all: &[SocketAddr]| tcp.extend(all.iter().map(|addr| Wanted { place, name, key, addr: *addr }));
    add(&file.dns.place, "dns.listen", "listen", &file.dns.listen);
    add(&file.tls.place, "tls.listen", "listen", &file.tls.listen);
    add(&file.tls.place, "tls.https", "https", &file.tls.https);
    for (place, name, text) in [(&file.admin.place, "admin.listen", &file.admin.listen), (&file.web.place, "web.listen", &file.web.listen)]
    {
        match text.parse() {
            Ok(addr) => add(place, name, "listen", &[addr]),
            Err(_) if text.is_empty() => {}
            Err(_) => report.error(place, "listen", format_args!("`{text}` is not an address with a port, such as 127.0.0.1:8053")),
        }
    }
    add(&file.collect.place, "collect.listen", "listen", &file.collect.listen);
    // The default of a key that was rejected is nobody's wish.
    tcp.retain(|w| !w.place.is_rejected(w.key));
    for (i, w) in tcp.iter().enumerate() {
        if let Some(other) = tcp[..i].iter().find(|o| same(o.addr, w.addr)) {
            report.error(w.place, w.key, format_args!("{} is taken by {}", w.addr, other.name));
        }
    }
    // Of UDP a fault of `dns.listen` was reported above.
    for addr in &file.tls.quic {
        if let Some(other) = tcp.iter().find(|w| w.name == "dns.listen" && same(w.addr, *addr)) {
            report.error(&file.tls.place, "quic", format_args!("{addr} is taken by {}", other.name));
        }
    }
}

/// Whether a machine can not give both.
fn same(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && covers
}
