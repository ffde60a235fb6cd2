//! Delivers webhooks: takes messages from the outbox in order, signs them, and sends each until it
//! is accepted.
//!
//! A host name is resolved once, and the connection goes to an address that was checked, so that a
//! second look-up cannot lead elsewhere. Special-purpose ranges and this machine are refused unless
//! `[http_client] allow_special_ranges` names them. Redirects are not followed. Time and size are
//! limited.

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

/// The timeout of one delivery, from the resolution of the name to the response.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest response body that is read, in bytes.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;
/// How often the outbox is read without a commit.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The most messages of a webhook that are read at a time.
const BATCH: usize = 64;

/// The prefix of a `mailto:` URL.
pub const MAILTO: &str = "mailto:";

/// The `[http_client]` section of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpClientSettings {
    /// Special-purpose ranges that may be connected to.
    pub allow: Vec<Subject>,
    /// The DNS servers to ask; if empty, those of `/etc/resolv.conf`.
    pub resolvers: Vec<SocketAddr>,
}

/// The boxed future of a function that the caller provides.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;

/// The means of delivery that the caller provides.
#[derive(Clone)]
pub struct Outbound {
    /// Special-purpose ranges that may be connected to.
    pub allow: Vec<Subject>,
    /// Resolves a host name.
    pub names: Arc<dyn Fn(String) -> BoxFuture<Vec<IpAddr>> + Send + Sync>,
    /// Sends mail. The arguments are recipient, subject and text.
    pub mail: Arc<dyn Fn(String, String, String) -> BoxFuture<()> + Send + Sync>,
}

/// Delivers the outbox until `stop` is true: all webhooks in parallel, the messages of each in
/// order.
pub async fn run(ledger: Ledger, outbound: Outbound, mut stop: watch::Receiver<bool>) {
    let (outbound, mut commits) = (Arc::new(outbound), ledger.commits.clone());
    let mut busy: Vec<(String, tokio::task::JoinHandle<()>)> = Vec::new();
    loop {
        busy.retain(|(_, task)| !task.is_finished());
        for hook in ledger.accounts().webhooks.values() {
            if hook.paused.is_none() && !busy.iter().any(|(id, _)| *id == hook.id) {
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

/// Delivers the due messages of a webhook, until a delivery fails or the queue is empty.
async fn send_all(ledger: Ledger, hook: Webhook, outbound: Arc<Outbound>) {
    loop {
        let (store, id) = (ledger.store.clone(), hook.id.clone());
        let read = tokio::task::spawn_blocking(move || messages(&store, &id, BATCH));
        let Ok(Ok(waiting)) = read.await else {
            return;
        };
        // A message that waits for its next attempt holds back those after it. Dead letters do not.
        let Some(message) = waiting.into_iter().find(|m| !m.dead) else {
            return;
        };
        if message.next > ledger.now() {
            return;
        }
        let sent = timeout(DELIVERY_TIMEOUT, send(&hook, &message, &outbound)).await;
        let seconds = DELIVERY_TIMEOUT.as_secs();
        let sent = sent.unwrap_or_else(|_| Err(format!("not accepted within {seconds} s")));
        let failed = sent.is_err();
        let result = match sent {
            Ok(()) => DeliveryResult::Delivered,
            Err(why) => {
                tracing::warn!(
                    webhook = hook.id,
                    commit = message.commit,
                    why,
                    "webhook delivery failed; it will be retried"
                );
                DeliveryResult::Failed(why)
            }
        };
        let recorded = ledger.record_delivery(&hook.id, message.commit, result);
        if recorded.await.is_err() || failed {
            return;
        }
    }
}

/// Parses a webhook URL into whether it uses TLS, its host, its port and its path.
///
/// # Errors
///
/// The URL is not valid for a webhook; the text states why.
pub fn parse_url(url: &str) -> Result<(bool, String, u16, String), String> {
    let uri: Uri = url
        .parse()
        .map_err(|e| format!("`{url}` is not a URL: {e}"))?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(format!("`{url}` is not http:// or https://")),
    };
    let authority = uri
        .authority()
        .ok_or_else(|| format!("`{url}` has no host"))?;
    if authority.as_str().contains('@') {
        return Err("the URL contains a password; remove it: messages are signed instead".into());
    }
    let after = authority.as_str().rsplit(']').next().unwrap_or_default();
    if after.contains(':') && authority.port_u16().is_none() {
        return Err(format!(
            "the port of `{url}` is not a number from 0 to 65535"
        ));
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

/// Checks that an address may be connected to.
fn check_address(addr: IpAddr, allow: &[Subject]) -> Result<(), String> {
    let subject = Subject::host(addr);
    match special::unlistable(&subject, allow) {
        None => Ok(()),
        // Loopback addresses can never be listed, but they can be allowed as a target.
        Some(_) if allow.iter().any(|a| a.covers(&subject)) => Ok(()),
        Some(_) => Err(format!(
            "{addr} is in a special range; to allow it, add it to `allow_special_ranges` of [http_client]"
        )),
    }
}

async fn send(hook: &Webhook, message: &Message, outbound: &Outbound) -> Result<(), String> {
    if let Some(to) = hook.url.strip_prefix(MAILTO) {
        let subject = format!("orbsd: commit {}", message.commit);
        return (outbound.mail)(to.into(), subject, message.body.clone() + "\n").await;
    }
    let (tls, host, port, path) = parse_url(&hook.url)?;
    let addrs = match host.parse::<IpAddr>() {
        Ok(a) => vec![a],
        Err(_) => (outbound.names)(host.clone()).await?,
    };
    let first = addrs.first().copied();
    let addr = first.ok_or_else(|| format!("{host} has no address"))?;
    // Every address has to be allowed: a name with an internal address among others is an attack.
    let allow = &outbound.allow;
    addrs.iter().try_for_each(|a| check_address(*a, allow))?;
    let addr = SocketAddr::from((addr, port));
    let stream = TcpStream::connect(addr).await;
    let stream = stream.map_err(|e| format!("{addr}: {e}"))?;
    let is_own = stream.local_addr().is_ok_and(|l| l.ip() == addr.ip());
    if is_own && !allow.iter().any(|a| a.covers(&Subject::host(addr.ip()))) {
        return Err(format!(
            "{addr} is this machine; to allow it, add it to `allow_special_ranges` of [http_client]"
        ));
    }
    let at = wall().0;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &hook.secret);
    let tag = hmac::sign(&key, format!("{at}.{}", message.body).as_bytes());
    let signature = data_encoding::HEXLOWER.encode(tag.as_ref());
    let authority = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let request = Request::post(path)
        .header("host", authority)
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
    let text = |e: hyper::Error| e.to_string();
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(text)?;
    let connection = tokio::spawn(connection);
    let answer = async {
        let response = sender.send_request(request).await.map_err(text)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES);
        let read = body.collect().await;
        read.map_err(|e| format!("response: {e}"))?;
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("the response was {status}"))
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
            parse_url("https://hooks.example/a?b=c"),
            Ok((true, "hooks.example".into(), 443, "/a?b=c".into()))
        );
        assert_eq!(
            parse_url("http://[2001:db8::1]:8080"),
            Ok((false, "2001:db8::1".into(), 8080, "/".into()))
        );
        for bad in [
            "ftp://x.example/",
            "/a",
            "http://a:b@x.example/",
            "http://",
            "x",
        ] {
            assert!(parse_url(bad).is_err(), "{bad}");
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
