//! Sockets that close without losing the last answer.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// How long a client may go on sending after the answer is complete.
const MAX_LINGER: Duration = Duration::from_secs(2);
/// How long the client may pause after the answer is complete. It is short, so that idle
/// connections close soon and do not delay a shutdown.
const MAX_SILENCE: Duration = Duration::from_millis(500);
/// How many bytes of the client are discarded after the answer is complete.
const MAX_DISCARDED_BYTES: usize = 8 * 1024 * 1024;

/// A stream socket whose shutdown reads what the client still sends, for a limited time.
///
/// An answer can be complete before its request is, for example if an upload is refused. The kernel
/// resets a socket that is closed with unread data, and the client may lose the answer (RFC 9112
/// section 9.6). So a shutdown closes the sending side first, and then discards received data until
/// the client closes too, within [`MAX_LINGER`], [`MAX_SILENCE`] and [`MAX_DISCARDED_BYTES`].
#[derive(Debug)]
pub struct LingeringStream<S> {
    socket: S,
    closing: Option<LingeringClose>,
}

/// The state after the sending side was closed, while received data is discarded.
#[derive(Debug)]
struct LingeringClose {
    deadline: Instant,
    silence: Pin<Box<Sleep>>,
    discarded: usize,
}

impl<S> LingeringStream<S> {
    /// Wraps a socket.
    pub fn new(socket: S) -> LingeringStream<S> {
        LingeringStream {
            socket,
            closing: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LingeringStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, buf)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
        }
        let now = Instant::now();
        let closing = this.closing.get_or_insert_with(|| LingeringClose {
            deadline: now + MAX_LINGER,
            silence: Box::pin(tokio::time::sleep(MAX_SILENCE)),
            discarded: 0,
        });
        let mut bytes = [0; 8192];
        while closing.discarded < MAX_DISCARDED_BYTES
            && closing.silence.as_mut().poll(cx).is_pending()
        {
            let mut buf = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut this.socket).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => closing.discarded += buf.filled().len(),
                // The client has closed or reset the connection.
                _ => break,
            }
            closing
                .silence
                .as_mut()
                .reset(closing.deadline.min(now + MAX_SILENCE));
        }
        Poll::Ready(Ok(()))
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, server) = tokio::join!(
            TcpStream::connect(listener.local_addr().unwrap()),
            listener.accept()
        );
        (client.unwrap(), server.unwrap().0)
    }

    /// Once, a client whose upload was refused before it was read got a reset and no answer.
    #[tokio::test]
    async fn answer_reaches_a_client_that_is_still_sending() {
        let (client, server) = pair().await;
        let server = tokio::spawn(async move {
            let mut server = LingeringStream::new(server);
            server.write_all(b"refused").await.unwrap();
            server.shutdown().await.unwrap();
        });
        let (mut reader, mut writer) = client.into_split();
        let upload = tokio::spawn(async move {
            writer.write_all(&vec![7; 4 * 1024 * 1024]).await.unwrap();
        });
        upload.await.unwrap();
        let mut answer = String::new();
        reader.read_to_string(&mut answer).await.unwrap();
        drop(reader);
        assert_eq!(answer, "refused");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn linger_is_limited_in_time_and_bytes() {
        for busy in [false, true] {
            let (mut client, server) = pair().await;
            let start = Instant::now();
            let sender = tokio::spawn(async move {
                while busy && client.write_all(&[7; 65_536]).await.is_ok() {}
                client
            });
            let mut server = LingeringStream::new(server);
            server.shutdown().await.unwrap();
            drop(server);
            assert!(start.elapsed() < MAX_LINGER * 2, "{busy}");
            assert!(busy || start.elapsed() >= MAX_SILENCE, "a client may pause");
            sender.await.unwrap();
        }
    }
}
