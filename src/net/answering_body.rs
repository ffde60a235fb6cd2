//! HTTP bodies that report the progress of a request and its answer to the connection limiter.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use super::{AnswerGuard, ConnectionPermit};

/// One request and its answer on a connection. Clones share the state.
#[derive(Clone)]
struct Exchange {
    permit: Arc<ConnectionPermit>,
    answer: Arc<Mutex<Option<AnswerGuard>>>,
}

impl Exchange {
    /// Notes that the whole request has been received.
    fn received(&self) {
        let mut answer = self.answer.lock();
        if answer.is_none() {
            *answer = self.permit.begin_answer();
        }
    }
}

/// The body of a request. Until it ends, the connection counts as waiting for a request.
pub struct RequestBody<B> {
    body: B,
    exchange: Exchange,
}

impl<B: Body> RequestBody<B> {
    /// Wraps the body of a request that has begun on the connection.
    pub fn new(body: B, permit: &Arc<ConnectionPermit>) -> RequestBody<B> {
        let exchange = Exchange {
            permit: permit.clone(),
            answer: Arc::default(),
        };
        match body.is_end_stream() {
            true => exchange.received(),
            false => permit.await_request(),
        }
        RequestBody { body, exchange }
    }

    /// Returns the wrapped body. Reads of it are no longer reported to the limiter.
    pub fn into_inner(self) -> B {
        self.body
    }

    /// Returns a function that wraps the body of the answer to this request.
    pub fn answer<A>(&self) -> impl FnOnce(A) -> AnsweringBody<A> + use<A, B> {
        let exchange = self.exchange.clone();
        move |body| {
            // An answer ends the request, even if its body was not read to the end.
            exchange.received();
            AnsweringBody { body, exchange }
        }
    }
}

impl<B: Body + Unpin> Body for RequestBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || frame.is_ready() && self.body.is_end_stream() {
            self.exchange.received();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer. The connection counts as answering until this value is dropped, which is
/// after the client has taken the last part.
pub struct AnsweringBody<B> {
    body: B,
    exchange: Exchange,
}

impl<B: Body + Unpin> Body for AnsweringBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        // hyper polls for the next part once the connection has room, so the client has taken some
        // of the previous parts.
        if let Some(answer) = &*self.exchange.answer.lock() {
            answer.progress();
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for AnsweringBody<B> {
    fn drop(&mut self) {
        self.exchange.answer.lock().take();
    }
}
