//! Checks of the listeners: no two have the same address; and each HTTP listener knows how its
//! proxies name their clients.

use std::net::SocketAddr;

use super::{
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
    ] {
        match text.parse() {
            Ok(addr) => add(place, name, "listen", &[addr]),
            Err(_) if text.is_empty() => {}
            Err(_) => report.error(
                place,
                "listen",
                format_args!("`{text}` is not an address with a port, such as 127.0.0.1:8053"),
            ),
        }
    }
    add(
        &file.collector.place,
        "collector.listen",
        "listen",
        &file.collector.listen,
    );
    // The default of a rejected key does not count.
    tcp.retain(|w| !w.place.is_rejected(w.key));
    for (i, w) in tcp.iter().enumerate() {
        if let Some(other) = tcp[..i].iter().find(|o| same(o.addr, w.addr)) {
            report.error(
                w.place,
                w.key,
                format_args!("{} is already used by {}", w.addr, other.name),
            );
        }
    }
    check_udp(file, &tcp, report);
}

/// Reports the addresses of QUIC and HTTP/3 that another UDP listener has. A fault of `dns.listen`
/// itself was reported for TCP.
fn check_udp(file: &File, tcp: &[ListenAddress<'_>], report: &mut Report) {
    let mut used: Vec<(&str, SocketAddr)> = tcp
        .iter()
        .filter(|w| w.name == "dns.listen")
        .map(|w| (w.name, w.addr))
        .collect();
    let udp = [
        ("tls.quic", "quic", &file.tls.quic),
        ("tls.h3", "h3", &file.tls.h3),
    ];
    for (name, key, addrs) in udp {
        for addr in addrs {
            if let Some((other, _)) = used.iter().find(|(_, a)| same(*a, *addr)) {
                report.error(
                    &file.tls.place,
                    key,
                    format_args!("{addr} is already used by {other}"),
                );
            }
            used.push((name, *addr));
        }
    }
}

/// The proxies of a listener; what is not an address is rejected by [`check_proxies`].
pub(super) fn trusted(trust: &[String], forwarded: Option<bool>) -> http::TrustedProxies {
    http::TrustedProxies {
        addresses: trust.iter().filter_map(|t| t.parse().ok()).collect(),
        forwarded: forwarded == Some(true),
    }
}

/// Reports proxies that are not addresses, and a listener with proxies that does not define how
/// they name their clients: most proxies pass on a `Forwarded` header that the client itself wrote.
pub(super) fn check_proxies(file: &File, report: &mut Report) {
    let (admin, web) = (&file.admin, &file.web);
    for (table, place, listen, trust, forwarded) in [
        (
            "admin",
            &admin.place,
            &admin.listen,
            &admin.trusted_proxies,
            admin.forwarded_header,
        ),
        (
            "web",
            &web.place,
            &web.listen,
            &web.trusted_proxies,
            web.forwarded_header,
        ),
    ] {
        trust
            .iter()
            .filter_map(|t| t.parse::<Subject>().err())
            .for_each(|e| report.error(place, "trusted_proxies", e));
        // A value that is neither true nor false was reported already.
        if trust.is_empty() || forwarded.is_some() || place.is_rejected("forwarded_header") {
            continue;
        }
        report.error(
            place,
            "trusted_proxies",
            unnamed_clients(
                table,
                if listen.is_empty() {
                    "ADDRESS:PORT"
                } else {
                    listen
                },
            ),
        );
    }
}

/// What an operator has to add to `trust`, with the lines for the proxy.
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

/// Whether one machine cannot open both addresses.
fn same(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && covers
}
