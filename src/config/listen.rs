//! Where the parts listen: no two of them at the same place; and which proxies name the clients of
//! HTTP listeners, and how.

use std::net::SocketAddr;

use super::{
    document::{Place, Report},
    tables::File,
};
use crate::{http, model::Subject};

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
    let mut add = |place, name, key, all: &[SocketAddr]| {
        tcp.extend(all.iter().map(|addr| Wanted {
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
        &file.collect.place,
        "collect.listen",
        "listen",
        &file.collect.listen,
    );
    // The default of a key that was rejected is nobody's wish.
    tcp.retain(|w| !w.place.is_rejected(w.key));
    for (i, w) in tcp.iter().enumerate() {
        if let Some(other) = tcp[..i].iter().find(|o| same(o.addr, w.addr)) {
            report.error(
                w.place,
                w.key,
                format_args!("{} is taken by {}", w.addr, other.name),
            );
        }
    }
    check_udp(file, &tcp, report);
}

/// Reports the addresses of QUIC and HTTP/3 that another UDP listener has. A fault of `dns.listen`
/// itself was reported for TCP.
fn check_udp(file: &File, tcp: &[Wanted<'_>], report: &mut Report) {
    let mut used: Vec<(&str, SocketAddr)> = tcp
        .iter()
        .filter(|w| w.name == "dns.listen")
        .map(|w| (w.name, w.addr))
        .collect();
    let wanted = [
        ("tls.quic", "quic", &file.tls.quic),
        ("tls.h3", "h3", &file.tls.h3),
    ];
    for (name, key, addrs) in wanted {
        for addr in addrs {
            if let Some((other, _)) = used.iter().find(|(_, a)| same(*a, *addr)) {
                report.error(
                    &file.tls.place,
                    key,
                    format_args!("{addr} is taken by {other}"),
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

/// Reports proxies that are not addresses, and proxies of which nobody said how they name their
/// clients: before there was `forwarded`, the `Forwarded` header that a client wrote itself was
/// believed behind most of them.
pub(super) fn check_proxies(file: &File, report: &mut Report) {
    let (admin, web) = (&file.admin, &file.web);
    for (table, place, listen, trust, forwarded) in [
        (
            "admin",
            &admin.place,
            &admin.listen,
            &admin.trust,
            admin.forwarded,
        ),
        ("web", &web.place, &web.listen, &web.trust, web.forwarded),
    ] {
        trust
            .iter()
            .filter_map(|t| t.parse::<Subject>().err())
            .for_each(|e| report.error(place, "trust", e));
        // A value that is not true or false is reported by itself.
        if trust.is_empty() || forwarded.is_some() || place.is_rejected("forwarded") {
            continue;
        }
        report.error(
            place,
            "trust",
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
        r#"the proxies of `trust` have to name their clients in a way that a client cannot forge; add one of two lines to [{table}]:
  forwarded = false
      each connection of a proxy starts with a PROXY v2 header, and `Forwarded` is not read.
      HAProxy, in `backend`:  server orbsd {listen} send-proxy-v2
      nginx of Debian 12 cannot send this header: use the other line.
  forwarded = true
      each proxy replaces the `Forwarded` header of every request with its own.
      nginx, in `http`:       map $remote_addr $forwarded_for {{ ~: "for=\"[$remote_addr]\""; default "for=$remote_addr"; }}
      nginx, in `location`:   proxy_set_header Forwarded $forwarded_for;
      HAProxy, in `backend`:  http-request set-header Forwarded "for=%[src]" unless {{ src -m sub : }}
                              http-request set-header Forwarded "for=\"[%[src]]\"" if {{ src -m sub : }}"#
    )
}

/// Whether a machine cannot give both.
fn same(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && covers
}
