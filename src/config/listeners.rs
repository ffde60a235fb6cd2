//! Checks of the listeners: no two have the same address, and each HTTP listener with proxies defines
//! how they name their clients.

use std::net::SocketAddr;

use super::{
    HttpListener,
    document::{Place, Report},
    tables::File,
};
use crate::{http, model::Subject};

/// An address of a listener, with the key that sets it.
struct ListenAddress<'f> {
    place: &'f Place,
    name: &'static str,
    key: &'static str,
    addr: SocketAddr,
}

/// Reports addresses that cannot be read, and addresses that two listeners have.
pub(super) fn check(file: &File, report: &mut Report) {
    let mut tcp: Vec<ListenAddress<'_>> = Vec::new();
    let mut add = |place, name, key, all: &[SocketAddr]| {
        tcp.extend(all.iter().map(|addr| ListenAddress {
            place,
            name,
            key,
            addr: *addr,
        }));
    };
    add(&file.dns.place, "dns.listen", "listen", &file.dns.listen);
    add(&file.tls.place, "tls.listen", "listen", &file.tls.listen);
    add(&file.tls.place, "tls.https", "https", &file.tls.https);
    for (place, name, text) in [
        (&file.admin.place, "admin.listen", &file.admin.listen),
        (&file.web.place, "web.listen", &file.web.listen),
        (&file.proofs.place, "proofs.listen", &file.proofs.listen),
    ] {
        match text.parse() {
            Ok(addr) => add(place, name, "listen", &[addr]),
            Err(_) => report.of(place).error_if(
                !text.is_empty(),
                "listen",
                format_args!("`{text}` is not an address with a port, such as 127.0.0.1:8053"),
            ),
        }
    }
    let collector = &file.collector;
    add(
        &collector.place,
        "collector.listen",
        "listen",
        &collector.listen,
    );
    // A rejected key has its default here, which must not conflict with another key.
    tcp.retain(|w| !w.place.is_rejected(w.key));
    for (i, w) in tcp.iter().enumerate() {
        if let Some(other) = tcp[..i].iter().find(|o| same(o.addr, w.addr)) {
            let text = format_args!("{} is already used by {}", w.addr, other.name);
            report.of(w.place).error(w.key, text);
        }
    }
    check_udp(file, &tcp, report);
}

/// Reports the addresses of QUIC and HTTP/3 that another UDP listener has. Errors of `dns.listen`
/// were reported with the TCP listeners.
fn check_udp(file: &File, tcp: &[ListenAddress<'_>], report: &mut Report) {
    let dns = tcp.iter().filter(|w| w.name == "dns.listen");
    let mut used: Vec<(&str, SocketAddr)> = dns.map(|w| (w.name, w.addr)).collect();
    let mut table = report.of(&file.tls.place);
    for (name, key, addrs) in [
        ("tls.quic", "quic", &file.tls.quic),
        ("tls.h3", "h3", &file.tls.h3),
    ] {
        for addr in addrs {
            if let Some((other, _)) = used.iter().find(|(_, a)| same(*a, *addr)) {
                table.error(key, format_args!("{addr} is already used by {other}"));
            }
            used.push((name, *addr));
        }
    }
}

/// The settings of a listener of HTTP. [`check`] has reported a text that is not an address, and
/// [`check_proxies`] each proxy that is not one.
pub(super) fn http_listener(
    listen: &str,
    tls: bool,
    proxies: &[String],
    forwarded: Option<bool>,
) -> HttpListener {
    HttpListener {
        listen: listen.parse().ok(),
        tls,
        trusted_proxies: http::TrustedProxies {
            addresses: proxies.iter().filter_map(|t| t.parse().ok()).collect(),
            forwarded: forwarded == Some(true),
        },
    }
}

/// Reports proxies that are not addresses, and a listener with proxies that does not define how
/// they name their clients: most proxies pass on a `Forwarded` header that the client itself wrote.
pub(super) fn check_proxies(file: &File, report: &mut Report) {
    let (a, w) = (&file.admin, &file.web);
    for (table, place, listen, proxies, forwarded) in [
        (
            "admin",
            &a.place,
            &a.listen,
            &a.trusted_proxies,
            a.forwarded_header,
        ),
        (
            "web",
            &w.place,
            &w.listen,
            &w.trusted_proxies,
            w.forwarded_header,
        ),
    ] {
        let mut report = report.of(place);
        for e in proxies.iter().filter_map(|t| t.parse::<Subject>().err()) {
            report.error("trusted_proxies", e);
        }
        // A rejected value was reported already.
        let is_known = forwarded.is_some() || place.is_rejected("forwarded_header");
        let listen = match listen.as_str() {
            "" => "ADDRESS:PORT",
            listen => listen,
        };
        report.error_if(
            !proxies.is_empty() && !is_known,
            "trusted_proxies",
            unnamed_clients(table, listen),
        );
    }
}

/// The error about proxies that may not name their clients: the lines to add to the table, with
/// those for the proxy.
fn unnamed_clients(table: &str, listen: &str) -> String {
    format!(
        r#"the proxies of `trusted_proxies` have to name their clients in a way that a client cannot forge; add one of two lines to [{table}]:
  forwarded_header = false
      each connection of a proxy starts with a PROXY v2 header, and `Forwarded` is not read.
      HAProxy, in `backend`:  server orbsd {listen} send-proxy-v2
      nginx of Debian 12 cannot send this header: use the other line.
  forwarded_header = true
      each proxy replaces the `Forwarded` header of every request with its own.
      nginx, in `http`:       map $remote_addr $forwarded_for {{ ~: "for=\"[$remote_addr]\""; default "for=$remote_addr"; }}
      nginx, in `location`:   proxy_set_header Forwarded $forwarded_for;
      HAProxy, in `backend`:  http-request set-header Forwarded "for=%[src]" unless {{ src -m sub : }}
                              http-request set-header Forwarded "for=\"[%[src]]\"" if {{ src -m sub : }}"#
    )
}

/// Whether two listeners cannot be opened at the same time.
fn same(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && covers
}
