//! Where the parts listen: no two of them at the same place; and which proxies name the clients of HTTP listeners, and how.

use std::net::SocketAddr;

use super::{File, web};
use crate::model::Subject;

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
    let (admin, web) = (&file.admin, &file.web);
    check_proxies("admin", &admin.listen, &admin.trust, admin.forwarded, wrong);
    check_proxies("web", &web.listen, &web.trust, web.forwarded, wrong);
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

/// The proxies of a listener; what is not an address was refused by [`check`].
pub(super) fn trusted(trust: &[String], forwarded: Option<bool>) -> web::TrustedProxies {
    web::TrustedProxies { addresses: trust.iter().filter_map(|t| t.parse().ok()).collect(), forwarded: forwarded == Some(true) }
}

/// Reports proxies that are not addresses, and proxies of which nobody said how they name their clients: before there was
/// `forwarded`, the `Forwarded` header that a client wrote itself was believed behind most of them.
fn check_proxies(table: &str, listen: &str, trust: &[String], forwarded: Option<bool>, wrong: &mut dyn FnMut(String)) {
    trust.iter().filter_map(|t| t.parse::<Subject>().err()).for_each(|e| wrong(format!("{table}.trust: {e}")));
    if trust.is_empty() || forwarded.is_some() {
        return;
    }
    let to = if listen.is_empty() { "ADDRESS:PORT" } else { listen };
    wrong(format!(
        r#"{table}.trust: the proxies of `trust` have to name their clients in a way that a client cannot forge; add one of two lines to [{table}]:
  forwarded = false
      each connection of a proxy starts with a PROXY v2 header, and `Forwarded` is not read.
      HAProxy, in `backend`:  server orbsd {to} send-proxy-v2
      nginx of Debian 12 cannot send this header: use the other line.
  forwarded = true
      each proxy replaces the `Forwarded` header of every request with its own.
      nginx, in `http`:       map $remote_addr $forwarded_for {{ ~: "for=\"[$remote_addr]\""; default "for=$remote_addr"; }}
      nginx, in `location`:   proxy_set_header Forwarded $forwarded_for;
      HAProxy, in `backend`:  http-request set-header Forwarded "for=%[src]" unless {{ src -m sub : }}
                              http-request set-header Forwarded "for=\"[%[src]]\"" if {{ src -m sub : }}"#
    ));
}

/// Whether a machine can not give both.
fn same(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && covers
}
