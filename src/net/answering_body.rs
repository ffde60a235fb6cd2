//! HTTP bodies that tell the limiter of their connection how far a request or an answer is.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use super::{AnswerGuard, ConnectionPermit};

/// One request and its answer on a connection. Clones share it.
#[derive(Clone)]
struct Exchange {
    permit: Arc<ConnectionPermit>,
    answer: Arc<Mutex<Option<AnswerGuard>>>,
}

impl Exchange {
    /// The request is there as a whole.
    fn received(&self) {
        let mut answer = self.answer.lock();
        if answer.is_none() {
            *answer = self.permit.begin_answer();
        }
    }
}

/// The body of a request. Until its end the connection waits for a request.
pub struct RequestBody<B> {
    body: B,
    exchange: Exchange,
}

impl<B: Body> RequestBody<B> {
    /// A request has begun on the connection.
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

    /// The body itself. How much more of it is read does not matter to the limiter.
    pub fn into_inner(self) -> B {
        self.body
    }

    /// Makes the body of the answer to this request.
    pub fn answer<A>(&self) -> impl FnOnce(A) -> AnsweringBody<A> + use<A, B> {
        let exchange = self.exchange.clone();
        move |body| {
            // What was not read of the request is not waited for any more.
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

/// The body of an answer. The connection answers until it is dropped, which is when the last of it
/// is taken.
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
        // Asked for the next part, the connection has room: the client has taken some of what was
        // before.
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
