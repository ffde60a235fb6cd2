//! The listeners of this machine, and connections from it to mail servers.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
};

use hickory_resolver::proto::rr::RecordType;
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinSet};

use super::{
    context::{Context, in_time},
    finding::{Area, Examination, Finding},
    query::{Protocol, ask},
    sample::origin,
};
use crate::{config::Config, mail, model::ZoneKind};

/// What to do about a listener that does not answer.
const REMEDY: &str =
    "look in the daemon's log for why it does not listen, and in the firewall of this machine";

/// The address at which this machine reaches one of its listeners.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Checks each listener of the configuration, and the mail servers that this machine sends to.
pub(super) async fn check(context: Arc<Context>) -> Vec<Finding> {
    let Ok(config) = &context.config else {
        return vec![context.without_config(Area::Listeners)];
    };
    let mut tasks: JoinSet<Vec<Finding>> = JoinSet::new();
    let zones = config.ledger.zones.iter();
    let zone = zones
        .filter(|z| z.kind != ZoneKind::Catalog)
        .map(origin)
        .next();
    for listen in config.dns.listen.iter().copied() {
        tasks.spawn(dns_listener(listen, zone.clone()));
    }
    for (key, listen) in streams(config) {
        tasks.spawn(async move { vec![stream_listener(key, listen).await] });
    }
    let datagrams = [("tls.quic", &config.tls.quic), ("tls.h3", &config.tls.h3)];
    for (key, all) in datagrams {
        let all = all.clone();
        tasks.spawn(async move {
            let one = |listen: &SocketAddr| datagram_listener(key, *listen);
            all.iter().map(one).collect()
        });
    }
    let own = context.clone();
    tasks.spawn(async move { outbound(&own).await });
    tasks.join_all().await.into_iter().flatten().collect()
}

/// The listeners of TCP besides `dns.listen`, with their keys.
fn streams(config: &Config) -> Vec<(&'static str, SocketAddr)> {
    let one = |key, all: &[SocketAddr]| -> Vec<(&'static str, SocketAddr)> {
        all.iter().map(|listen| (key, *listen)).collect()
    };
    [
        one("tls.listen", &config.tls.listen),
        one("tls.https", &config.tls.https),
        one("admin.listen", config.admin.listen.as_slice()),
        one("web.listen", config.web.listen.as_slice()),
        one("proofs.listen", config.proofs.listen.as_slice()),
        match config.probe.relay.enabled {
            true => one("collector.listen", &config.probe.listen),
            false => Vec::new(),
        },
    ]
    .concat()
}

/// Whether a listener of DNS answers over UDP and TCP.
async fn dns_listener(listen: SocketAddr, zone: Option<String>) -> Vec<Finding> {
    let Some(zone) = zone else {
        return vec![stream_listener("dns.listen", listen).await];
    };
    let server = reachable(listen);
    let one = |protocol, check, name| {
        let zone = zone.clone();
        async move {
            let examination =
                Examination::new(Area::Listeners, check, format!("dns.listen {listen}"));
            match ask(server, protocol, &zone, RecordType::SOA, true).await {
                Ok(_) => examination.good(format!("it answers over {name}")),
                Err(e) => examination.fault(
                    format!("it does not answer over {name}: {}", e.text()),
                    REMEDY,
                ),
            }
        }
    };
    let (udp, tcp) = tokio::join!(
        one(Protocol::Udp, "udp", "UDP"),
        one(Protocol::Tcp, "tcp", "TCP"),
    );
    vec![udp, tcp]
}

/// Whether a listener of TCP accepts a connection.
async fn stream_listener(key: &str, listen: SocketAddr) -> Finding {
    let examination = Examination::new(Area::Listeners, "tcp", format!("{key} {listen}"));
    match connect(reachable(listen)).await {
        Ok(_) => examination.good("it accepts a connection"),
        Err(e) => examination.fault(format!("it accepts no connection: {e}"), REMEDY),
    }
}

/// Whether a socket is bound to the address of a listener of QUIC.
fn datagram_listener(key: &str, listen: SocketAddr) -> Finding {
    let examination = Examination::new(Area::Listeners, "udp", format!("{key} {listen}"));
    match UdpSocket::bind(listen) {
        Err(e) if e.kind() == ErrorKind::AddrInUse => examination.good("a socket is bound to it"),
        Ok(_) => examination.fault("no socket is bound to it", REMEDY),
        Err(e) => examination.not_seen(
            format!("it cannot be checked: {e}"),
            "run this as root on the machine of the daemon",
        ),
    }
}

/// Connects to an address.
async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    in_time(async { TcpStream::connect(address).await.map_err(|e| e.to_string()) }).await
}

/// Whether the mail servers answer that this machine sends to: the smart host, and for relay tests
/// on the Internet one beyond this machine.
async fn outbound(context: &Context) -> Vec<Finding> {
    let Ok(config) = &context.config else {
        return Vec::new();
    };
    let mut out = Vec::new();
    if let Ok((host, port)) = mail::parse_smarthost(&config.mail.smarthost, config.mail.tls)
        && !config.mail.smarthost.is_empty()
    {
        let examination =
            Examination::new(Area::Listeners, "smarthost", config.mail.smarthost.clone());
        let remedy = format!(
            "let this machine connect to TCP port {port} of {host}, or name another [mail] smarthost"
        );
        out.push(greeting(context, examination, &[host], port, &remedy).await);
    }
    let relay = &config.probe.relay;
    if relay.enabled && relay.public {
        let domain = relay.tester.contact.rsplit_once('@').map_or("", |(_, d)| d);
        let examination = Examination::new(
            Area::Listeners,
            "outbound-port-25",
            format!("mail servers of {domain}"),
        );
        let exchanges = match &context.resolver {
            Ok(resolver) => in_time(resolver.exchanges(&format!("{domain}."))).await,
            Err(why) => Err(why.clone()),
        };
        out.push(match exchanges {
            Ok(hosts) if !hosts.is_empty() => {
                greeting(
                    context,
                    examination,
                    &hosts,
                    25,
                    "ask the provider of this machine to open outbound TCP port 25; without it relay tests have no verdict",
                )
                .await
            }
            Ok(_) => examination.not_seen(
                "the domain of [probe] contact has no MX that could be tried",
                "add an MX for it, which hosts that are tested need too",
            ),
            Err(why) => examination.not_seen(
                format!("its mail servers were not found: {why}"),
                "ask another resolver with `--from`",
            ),
        });
    }
    out
}

/// Whether one of these mail servers greets.
async fn greeting(
    context: &Context,
    examination: Examination,
    hosts: &[String],
    port: u16,
    remedy: &str,
) -> Finding {
    let Ok(resolver) = &context.resolver else {
        return examination.not_seen("there is no resolver", "name one with `--from`");
    };
    let mut last = String::from("no address was found");
    for host in hosts.iter().take(2) {
        let addresses = match in_time(resolver.addresses(host)).await {
            Ok(addresses) => addresses,
            Err(e) => {
                last = e;
                continue;
            }
        };
        for address in addresses.into_iter().take(2) {
            match read_greeting((address, port).into()).await {
                Ok(()) => return examination.good(format!("{address} greets")),
                Err(e) => last = format!("{address}: {e}"),
            }
        }
    }
    examination.fault(format!("no mail server greets: {last}"), remedy)
}

/// Reads the greeting of a mail server (RFC 5321 section 3.1).
async fn read_greeting(address: SocketAddr) -> Result<(), String> {
    let read = async {
        let mut stream = TcpStream::connect(address)
            .await
            .map_err(|e| e.to_string())?;
        let mut code = [0; 3];
        stream
            .read_exact(&mut code)
            .await
            .map_err(|e| e.to_string())?;
        match &code {
            b"220" => Ok(()),
            code => Err(format!("it greets with {}", String::from_utf8_lossy(code))),
        }
    };
    in_time(read).await
}
