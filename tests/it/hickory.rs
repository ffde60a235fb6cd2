//! hickory's clients of the encrypted transports, as a check that is independent of our code.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_net::{
    h2::HttpsClientStream,
    h3::H3ClientStream,
    quic::QuicClientStream,
    runtime::{RuntimeProvider, Spawn, TokioRuntimeProvider},
    tls::tls_exchange,
    xfer::{DnsExchange, DnsHandle, DnsRequestSender, FirstAnswer},
};
use hickory_proto::op::{DnsRequest, DnsRequestOptions, Message};
use tokio_rustls::rustls::ClientConfig;

const SERVER: &str = "ns.orbs.example";
const PATH: &str = "/dns-query";
const TIMEOUT: Duration = Duration::from_secs(10);

/// An encrypted transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tls,
    Https,
    Quic,
    Http3,
}

impl Transport {
    pub const ALL: [Transport; 4] = [
        Transport::Tls,
        Transport::Https,
        Transport::Quic,
        Transport::Http3,
    ];

    /// The protocol name of TLS (ALPN).
    pub fn alpn(self) -> &'static str {
        match self {
            Transport::Tls => "dot",
            Transport::Https => "h2",
            Transport::Quic => "doq",
            Transport::Http3 => "h3",
        }
    }
}

/// A connection. Its background task ends with the provider.
pub struct Client {
    exchange: DnsExchange<TokioRuntimeProvider>,
    _provider: TokioRuntimeProvider,
}

impl Client {
    /// Connects and completes the handshakes.
    ///
    /// # Errors
    ///
    /// The server does not complete them within the five seconds that hickory waits.
    pub async fn connect(
        transport: Transport,
        to: SocketAddr,
        config: &ClientConfig,
    ) -> Result<Client, String> {
        let mut config = config.clone();
        config.alpn_protocols = vec![transport.alpn().into()];
        let provider = TokioRuntimeProvider::default();
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let exchange = match transport {
            Transport::Tls => {
                let name = SERVER.try_into().unwrap();
                tls_exchange(to, name, config, TIMEOUT, None, provider.clone()).await
            }
            Transport::Https => {
                let builder = HttpsClientStream::builder(Arc::new(config), provider.clone());
                builder.exchange(to, SERVER.into(), PATH.into()).await
            }
            Transport::Quic => {
                let builder = QuicClientStream::builder()
                    .crypto_config(config)
                    .bind_addr(from);
                builder
                    .build(to, SERVER.into())
                    .await
                    .map(|s| spawned(s, &provider))
            }
            Transport::Http3 => {
                let builder = H3ClientStream::builder()
                    .crypto_config(config)
                    .bind_addr(from);
                builder
                    .build(to, SERVER.into(), PATH.into())
                    .await
                    .map(|s| spawned(s, &provider))
            }
        };
        Ok(Client {
            exchange: exchange.map_err(|e| format!("{transport:?}: {e}"))?,
            _provider: provider,
        })
    }

    /// The reply to a message, with the ID of the message: the clients choose their own IDs.
    ///
    /// # Errors
    ///
    /// The connection ends without a reply, or the answer is not a reply to the message.
    pub async fn ask(&self, message: &Message) -> Result<Message, String> {
        let request = DnsRequest::new(message.clone(), DnsRequestOptions::default());
        let reply = tokio::time::timeout(TIMEOUT, self.exchange.send(request).first_answer());
        let reply = reply.await.map_err(|e| e.to_string())?;
        let mut reply = reply.map_err(|e| e.to_string())?.into_message();
        reply.metadata.id = message.metadata.id;
        Ok(reply)
    }
}

/// The exchange of a stream, which a task of its own drives.
fn spawned(
    stream: impl DnsRequestSender,
    provider: &TokioRuntimeProvider,
) -> DnsExchange<TokioRuntimeProvider> {
    let (exchange, background) = DnsExchange::from_stream(stream);
    provider.create_handle().spawn_bg(background);
    exchange
}
