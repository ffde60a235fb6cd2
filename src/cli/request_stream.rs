//! A connection whose response is read although the request could not be written to its end.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose failed writes wait for the response.
///
/// A daemon can refuse an upload before its end: it responds and closes the connection. Writing then
/// fails, perhaps before the response was read. So a write that fails because the other side has
/// closed stays pending, and the connection ends with the response, or with a read error.
#[derive(Debug)]
pub(super) struct RequestStream<S>(pub S);

/// Whether the other side has closed the connection.
fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

/// The result of a write; pending if the other side has closed the connection.
fn wait_for_answer<T>(written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    match written {
        Poll::Ready(Err(e)) if is_closed(&e) => Poll::Pending,
        written => written,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RequestStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RequestStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        wait_for_answer(Pin::new(&mut self.0).poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        wait_for_answer(Pin::new(&mut self.0).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::{Request, client::conn::http1::handshake};
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
        sync::mpsc,
        time::{sleep, timeout},
    };

    use super::*;
    use crate::cli::client::pieces;

    #[tokio::test]
    async fn response_is_read_after_a_failed_write_of_the_body() {
        for answers in [true, false] {
            let (client, mut server) = UnixStream::pair().unwrap();
            tokio::spawn(async move {
                server.read_exact(&mut [0; 100]).await.unwrap();
                // From here on every write of the client fails.
                let server = server.into_std().unwrap();
                server.shutdown(std::net::Shutdown::Read).unwrap();
                sleep(Duration::from_millis(100)).await;
                let mut server = UnixStream::from_std(server).unwrap();
                if answers {
                    server
                        .write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n")
                        .await
                        .unwrap();
                }
            });
            let (mut sender, connection) = handshake(TokioIo::new(RequestStream(client)))
                .await
                .unwrap();
            tokio::spawn(connection);
            let (tx, rx) = mpsc::channel(4);
            tokio::spawn(
                async move { while tx.send(Ok(vec![b'x'; 65_536].into())).await.is_ok() {} },
            );
            let request = Request::builder()
                .method("POST")
                .uri("/v1/imports")
                .header("host", "orbsd")
                .body(pieces(rx))
                .unwrap();
            let response = timeout(Duration::from_secs(5), sender.send_request(request))
                .await
                .unwrap();
            assert_eq!(
                response.map(|r| r.status().as_u16()).ok(),
                answers.then_some(413)
            );
        }
    }
}
