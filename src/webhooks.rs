//! Delivery of webhooks: takes messages from the outbox in order, signs them, and sends each until
//! it is accepted.
//!
//! A host name is resolved, checked and connected to in one step, so that it cannot mean another
//! address afterwards. Special-purpose ranges and this machine are refused unless `[outgoing]
//! allow` names them; no redirect is followed; time and size are limited.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Uri, body::Bytes, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;
use ring::hmac;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};

use crate::{
    clock::wall,
    ledger::{
        Ledger,
        outbox::{DeliveryResult, Message, Webhook, messages},
    },
    model::{Subject, special},
};

/// How long one message may take, from the resolution of the name to the response.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest response body that is read.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;
/// How often the outbox is read if no commit wakes the sender.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Messages of a webhook that are read at a time.
const MESSAGE_BATCH: usize = 64;

/// The prefix of a mail URL.
pub const MAILTO: &str = "mailto:";

/// Settings: `[outgoing]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboundSettings {
    /// Special-purpose ranges that may be connected to.
    pub allow: Vec<Subject>,
    /// DNS resolvers to use; empty: those of this machine.
    pub resolvers: Vec<SocketAddr>,
}

/// The future of a function that is passed in.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;

/// What this module needs from others.
#[derive(Clone)]
pub struct Outbound {
    /// Special-purpose ranges that may be connected to.
    pub allow: Vec<Subject>,
    /// Resolves a host name.
    pub names: Arc<dyn Fn(String) -> BoxFuture<Vec<IpAddr>> + Send + Sync>,
    /// Sends mail: recipient, subject, text.
    pub mail: Arc<dyn Fn(String, String, String) -> BoxFuture<()> + Send + Sync>,
}

/// Sends what is queued until `stop` is true: all webhooks in parallel, each in order.
pub async fn run(ledger: Ledger, outbound: Outbound, mut stop: watch::Receiver<bool>) {
    let (outbound, mut commits) = (Arc::new(outbound), ledger.commits.clone());
    let mut busy: Vec<(String, tokio::task::JoinHandle<()>)> = Vec::new();
    loop {
        busy.retain(|(_, task)| !task.is_finished());
        for hook in ledger
            .accounts()
            .webhooks
            .values()
            .filter(|h| h.paused.is_none())
        {
            if !busy.iter().any(|(id, _)| *id == hook.id) {
                let task = tokio::spawn(send_all(ledger.clone(), hook.clone(), outbound.clone()));
                busy.push((hook.id.clone(), task));
            }
        }
        tokio::select! {
            _ = stop.wait_for(|s| *s) => break,
            _ = tokio::time::sleep(POLL_INTERVAL) => {}
            changed = commits.changed() => if changed.is_err() { break },
        }
    }
    busy.iter().for_each(|(_, task)| task.abort());
}

/// Sends what is due for a webhook, until a delivery fails or the queue is empty.
async fn send_all(ledger: Ledger, hook: Webhook, outbound: Arc<Outbound>) {
    loop {
        let (store, id) = (ledger.store.clone(), hook.id.clone());
        let Ok(Ok(waiting)) =
            tokio::task::spawn_blocking(move || messages(&store, &id, MESSAGE_BATCH)).await
        else {
            return;
        };
        // In order: a message that waits for its next attempt holds back those after it. Dead
        // letters do not.
        let Some(message) = waiting.into_iter().find(|m| !m.dead) else {
            return;
        };
        if message.next > ledger.now() {
            return;
        }
        let sent = match timeout(DELIVERY_TIMEOUT, send(&hook, &message, &outbound)).await {
            Ok(sent) => sent,
            Err(_) => Err(format!(
                "it was not accepted within {} s",
                DELIVERY_TIMEOUT.as_secs()
            )),
        };
        let (result, go) = match sent {
            Ok(()) => (DeliveryResult::Delivered, true),
            Err(why) => {
                tracing::warn!(
                    webhook = hook.id,
                    commit = message.commit,
                    why,
                    "webhook delivery failed; it is tried again"
                );
                (DeliveryResult::Failed(why), false)
            }
        };
        if ledger
            .record_delivery(&hook.id, message.commit, result)
            .await
            .is_err()
            || !go
        {
            return;
        }
    }
}

/// Splits a URL into scheme, host, port and path. The error says what is wrong with it.
pub fn target(url: &str) -> Result<(bool, String, u16, String), String> {
    let uri: Uri = url
        .parse()
        .map_err(|e| format!("`{url}` is no address: {e}"))?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(format!("`{url}` is not http:// or https://")),
    };
    let authority = uri
        .authority()
        .ok_or_else(|| format!("`{url}` names no host"))?;
    if authority.as_str().contains('@') {
        return Err("an address with a password in it is not taken; messages are signed".into());
    }
    let after = authority.as_str().rsplit(']').next().unwrap_or_default();
    if after.contains(':') && authority.port_u16().is_none() {
        return Err(format!("`{url}` names no port that can be one"));
    }
    let host = authority.host().trim_matches(['[', ']']).to_string();
    let path = uri
        .path_and_query()
        .map_or("/".to_string(), ToString::to_string);
    Ok((
        tls,
        host,
        authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
        path,
    ))
}

/// Whether an address may be connected to.
fn check_address(addr: IpAddr, allow: &[Subject]) -> Result<(), String> {
    let subject = Subject::host(addr);
    match special::unlistable(&subject, allow) {
        None => Ok(()),
        // Loopback can never be listed, but it can be allowed here.
        Some(_) if allow.iter().any(|a| a.covers(&subject)) => Ok(()),
        Some(_) => Err(format!(
            "{addr} is in a special range; name it in `allow` of [outgoing] if that is meant"
        )),
    }
}

async fn send(hook: &Webhook, message: &Message, outbound: &Outbound) -> Result<(), String> {
    if let Some(to) = hook.url.strip_prefix(MAILTO) {
        let subject = format!("orbsd: commit {}", message.commit);
        return (outbound.mail)(to.into(), subject, message.body.clone() + "\n").await;
    }
    let (tls, host, port, path) = target(&hook.url)?;
    let resolved = match host.parse::<IpAddr>() {
        Ok(a) => vec![a],
        Err(_) => (outbound.names)(host.clone()).await?,
    };
    let addrs: Vec<SocketAddr> = resolved.into_iter().map(|a| (a, port).into()).collect();
    let addr = addrs
        .first()
        .copied()
        .ok_or_else(|| format!("{host} has no address"))?;
    // Every address has to be allowed: a name that has an internal address among others is an
    // attack.
    addrs
        .iter()
        .try_for_each(|a| check_address(a.ip(), &outbound.allow))?;
    let stream = TcpStream::connect(addr)
        .await
        .map_err(|e| format!("{addr}: {e}"))?;
    let is_own_address = stream.local_addr().is_ok_and(|l| l.ip() == addr.ip());
    if is_own_address
        && !outbound
            .allow
            .iter()
            .any(|a| a.covers(&Subject::host(addr.ip())))
    {
        return Err(format!(
            "{addr} is this machine; name it in `allow` of [outgoing] if that is meant"
        ));
    }
    let at = wall().0;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &hook.secret);
    let tag = hmac::sign(&key, format!("{at}.{}", message.body).as_bytes());
    let signature: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    let host_header = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let request = Request::post(path)
        .header("host", host_header)
        .header("content-type", "application/json")
        .header("user-agent", concat!("orbsd/", env!("CARGO_PKG_VERSION")))
        .header("orbsd-delivery", format!("{}-{}", hook.id, message.commit))
        .header("orbsd-signature", format!("t={at},v1={signature}"))
        .body(Full::new(Bytes::from(message.body.clone())))
        .map_err(|e| e.to_string())?;
    if !tls {
        return exchange(stream, request).await;
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host).map_err(|e| e.to_string())?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|e| format!("TLS: {e}"))?;
    exchange(stream, request).await
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<(), String> {
    let (mut sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|e| e.to_string())?;
    let connection = tokio::spawn(connection);
    let answer = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|e| e.to_string())?;
        let status = response.status();
        Limited::new(response.into_body(), MAX_RESPONSE_BYTES)
            .collect()
            .await
            .map_err(|e| format!("its answer: {e}"))?;
        match status.is_success() {
            true => Ok(()),
            false => Err(format!("it answered {status}")),
        }
    };
    let answer = answer.await;
    connection.abort();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhook_urls_are_split_and_invalid_ones_refused() {
        assert_eq!(
            target("https://hooks.example/a?b=c"),
            Ok((true, "hooks.example".into(), 443, "/a?b=c".into()))
        );
        assert_eq!(
            target("http://[2001:db8::1]:8080"),
            Ok((false, "2001:db8::1".into(), 8080, "/".into()))
        );
        for bad in [
            "ftp://x.example/",
            "/a",
            "http://a:b@x.example/",
            "http://",
            "x",
        ] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn special_ranges_are_refused_unless_allowed() {
        let allow: Vec<Subject> = vec!["127.0.0.0/8".parse().unwrap()];
        for bad in [
            "127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ] {
            assert!(check_address(bad.parse().unwrap(), &[]).is_err(), "{bad}");
        }
        assert_eq!(check_address("127.0.0.1".parse().unwrap(), &allow), Ok(()));
        assert!(check_address("10.0.0.1".parse().unwrap(), &allow).is_err());
        assert_eq!(check_address("45.1.1.1".parse().unwrap(), &[]), Ok(()));
    }
}
