//! Requests to web pages.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http_body_util::Empty;
use hyper::{Request, body::Bytes, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpSocket,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

use super::context::in_time;
use crate::{cli::client::roots, resolver::Resolver, webhooks::parse_url};

/// Where and how a page is requested.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Route {
    /// The address to connect to, instead of that of the host.
    pub(super) to: Option<SocketAddr>,
    /// The address to connect from.
    pub(super) from: Option<IpAddr>,
}

/// Requests a page and returns the status of the response.
///
/// # Errors
///
/// The URL is wrong, its host has no address, or there is no response.
pub(super) async fn status(resolver: &Resolver, url: &str, route: Route) -> Result<u16, String> {
    let (is_encrypted, host, port, path) = parse_url(url)?;
    let address = match route.to {
        Some(address) => address,
        None => {
            let addresses = in_time(resolver.addresses(&host)).await?;
            let first = addresses.iter().find(|a| a.is_ipv4()).or(addresses.first());
            let first = first.ok_or_else(|| format!("{host} has no address"))?;
            SocketAddr::new(*first, port)
        }
    };
    let request = Request::get(path)
        .header("host", authority(&host, port, is_encrypted))
        .header("user-agent", concat!("orbsd/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|e| e.to_string())?;
    in_time(async {
        let text = |e: std::io::Error| format!("{address}: {e}");
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }
        .map_err(text)?;
        if let Some(from) = route.from {
            socket.bind((from, 0).into()).map_err(text)?;
        }
        let stream = socket.connect(address).await.map_err(text)?;
        if !is_encrypted {
            return exchange(stream, request).await;
        }
        let roots = roots(None).map_err(|(_, e)| e)?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.clone()).map_err(|e| e.to_string())?;
        let secured = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let secured = secured.await.map_err(|e| format!("{address}: TLS: {e}"))?;
        exchange(secured, request).await
    })
    .await
}

/// The header `Host` (RFC 9110 section 7.2).
fn authority(host: &str, port: u16, is_encrypted: bool) -> String {
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_string(),
    };
    match (port, is_encrypted) {
        (443, true) | (80, false) => host,
        (port, _) => format!("{host}:{port}"),
    }
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<u16, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let text = |e: hyper::Error| e.to_string();
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(text)?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(text);
    connection.abort();
    Ok(response?.status().as_u16())
}
