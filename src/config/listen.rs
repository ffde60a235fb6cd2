//! Where the parts listen: no two of them at the same place.

use std::net::SocketAddr;

use super::File;

/// Says which addresses can not be read, and which two parts want.
pub(super) fn check(file: &File, wrong: &mut dyn FnMut(String)) {
    let mut tcp: Vec<(&str, SocketAddr)> = Vec::new();
    let mut add = |key, all: &[SocketAddr]| tcp.extend(all.iter().map(|a| (key, *a)));
    add("dns.listen", &file.dns.listen);
    add("tls.listen", &file.tls.listen);
    add("tls.https", &file.tls.https);
    for (key, text) in [("admin.listen", &file.admin.listen), ("web.listen", &file.web.listen)] {
        match text.parse() {
            Ok(addr) => add(key, &[addr]),
            Err(_) if text.is_empty() => {}
            Err(_) => wrong(format!("{key}: `{text}` is not an address with a port, such as 127.0.0.1:8053")),
        }
    }
    add("collect.listen", &file.collect.listen);
    doubles(&tcp, wrong);
    // Of UDP a fault of `dns.listen` was told above.
    let dns = file.dns.listen.iter().map(|a| ("dns.listen", *a));
    for addr in &file.tls.quic {
        let other = dns.clone().find(|(_, o)| same(*o, *addr));
        other.into_iter().for_each(|(key, _)| wrong(format!("tls.quic: {addr} is taken by {key}")));
    }
}

fn doubles(all: &[(&str, SocketAddr)], wrong: &mut dyn FnMut(String)) {
    for (i, (key, addr)) in all.iter().enumerate() {
        if let Some((other, _)) = all[..i].iter().find(|(_, o)| same(*o, *addr)) {
            wrong(format!("{key}: {addr} is taken by {other}"));
        }
    }
}

/// Whether a machine can not give both.
fn same(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && covers
}
