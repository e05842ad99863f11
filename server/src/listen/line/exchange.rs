//! One request and its answer: what moves of them, and what is held for them until the last byte has left.

use std::any::Any;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::HttpBody;
use bytes::{Buf, Bytes};
use futures::task::AtomicWaker;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio_util::sync::CancellationToken;

use super::Line;
use crate::listen::pace::{Pace, Rate};

/// A request counts as at least so old: what moves in its first moments says little.
const JUDGED_OVER: Duration = Duration::from_secs(1);
/// Below this rate all are alike.
const LEAST_BYTES_PER_S: f64 = 512.0;
/// What an HTTP/2 connection is given of an answer at once.
const PIECE_BYTES: usize = 16 << 10;

/// A request that is under way, until its answer has left this process or was given up.
#[derive(Debug)]
pub(crate) struct Exchange {
    line: Arc<Line>,
    number: AtomicU64,
    begun: Instant,
    /// Ends this request: its connection, or its stream of one that has several.
    cut: CancellationToken,
    reading: Pace,
    writing: Pace,
    /// Bytes that the connection was given to write.
    given: AtomicU64,
    taken: AtomicU64,
    /// Woken when all that was given has been written.
    left: AtomicWaker,
    answered: AtomicBool,
    kept: Mutex<Vec<Box<dyn Any + Send>>>,
}

impl Exchange {
    pub(in crate::listen) fn begin(line: &Arc<Line>, cut: CancellationToken) -> Arc<Self> {
        Self::begun_at(line, cut, Instant::now())
    }

    pub(in crate::listen) fn begun_at(line: &Arc<Line>, cut: CancellationToken, begun: Instant) -> Arc<Self> {
        let exchange = Arc::new(Self {
            line: Arc::clone(line),
            number: AtomicU64::new(0),
            begun,
            cut,
            reading: Pace::default(),
            writing: Pace::of_taking(),
            given: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            left: AtomicWaker::new(),
            answered: AtomicBool::new(false),
            kept: Mutex::default(),
        });
        exchange.number.store(line.begin(&exchange), Ordering::Relaxed);
        exchange
    }

    /// The connection that it came on.
    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    /// Holds something until the answer has left.
    pub(crate) fn keep(&self, held: impl Any + Send) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(held));
    }

    pub(in crate::listen) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Ends it for another.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }

    /// How much has moved of it on average.
    pub(in crate::listen) fn bytes_per_s(&self) -> f64 {
        (self.reading.total() + self.writing.total()) as f64 / self.begun.elapsed().max(JUDGED_OVER).as_secs_f64()
    }

    /// How fast it is, for who has to give way: see [`level`].
    pub(crate) fn level(&self) -> u32 {
        level(self.bytes_per_s())
    }

    /// Whether its body is waited for.
    pub(in crate::listen) fn is_read(&self) -> bool {
        self.reading.is_waiting()
    }

    fn has_left(&self) -> bool {
        self.given.load(Ordering::Acquire) == self.taken.load(Ordering::Acquire)
    }

    /// Ends it if its caller is too slow. What came for others does for its body where they share a slow link.
    pub(in crate::listen) fn look(&self, line_is_waited_for: bool, came_for_others: f64, rate: Rate, passed: Duration) {
        // Where the connection itself does not take more, its own pace counts: those who share a slow link are not to blame.
        let stuck = !line_is_waited_for && !self.has_left();
        if stuck {
            self.writing.wait();
        } else {
            self.writing.rest();
        }
        self.reading.excuse(came_for_others);
        if self.reading.is_too_slow(rate, passed) || self.writing.is_too_slow(rate, passed) {
            tracing::debug!(peer = %self.line.peer(), "a request is too slow, and is cut");
            self.cut.cancel();
        }
    }
}

/// A rate as a power of two. It is so coarse that nobody stays before others by a byte: among equals the eldest gives way, so that
/// whoever keeps places with little has to be faster than who has just come.
pub(in crate::listen) fn level(bytes_per_s: f64) -> u32 {
    bytes_per_s.max(LEAST_BYTES_PER_S).log2() as u32
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.line.end(*self.number.get_mut(), *self.answered.get_mut());
    }
}

/// A request's body on its way in.
#[derive(Debug)]
pub(crate) struct Received {
    body: Incoming,
    exchange: Arc<Exchange>,
}

impl Received {
    pub(in crate::listen) fn new(body: Incoming, exchange: Arc<Exchange>) -> Self {
        Self { body, exchange }
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Pending => self.exchange.reading.wait(),
            Poll::Ready(Some(Ok(frame))) => self.exchange.reading.moved(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Ready(_) => self.exchange.reading.rest(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.exchange.reading.rest();
    }
}

/// An answer's body on its way out.
///
/// hyper hands a whole piece of a body to an HTTP/2 connection as soon as one byte of it may be sent, and is done with the stream when that
/// was the last: what the caller does not take would stay there, and nobody could end it. So pieces are small there, and the body ends
/// when the last of them has left.
pub(in crate::listen) struct Answer<B> {
    body: Pin<Box<B>>,
    exchange: Arc<Exchange>,
    /// In HTTP/2.
    in_stream: bool,
    rest: Bytes,
    /// The body has said that there is no more, and is not asked again.
    ended: bool,
}

impl<B> Answer<B> {
    pub(in crate::listen) fn new(body: B, exchange: Arc<Exchange>, in_stream: bool) -> Self {
        Self { body: Box::pin(body), exchange, in_stream, rest: Bytes::new(), ended: false }
    }

    fn piece(&mut self) -> Frame<Counted> {
        let length = if self.in_stream { self.rest.len().min(PIECE_BYTES) } else { self.rest.len() };
        Frame::data(Counted::new(self.rest.split_to(length), Arc::clone(&self.exchange)))
    }
}

impl<B: HttpBody<Data = Bytes>> HttpBody for Answer<B> {
    type Data = Counted;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, B::Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        let next = if self.ended { None } else { std::task::ready!(self.body.as_mut().poll_frame(context)) };
        match next {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    self.rest = data;
                    Poll::Ready(Some(Ok(self.piece())))
                }
                // Trailers: they have no data to map.
                Err(frame) => {
                    Poll::Ready(Some(Ok(frame.map_data(|data| Counted::new(data, Arc::clone(&self.exchange))))))
                }
            },
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None if self.in_stream => {
                self.ended = true;
                self.exchange.left.register(context.waker());
                if self.exchange.has_left() { Poll::Ready(None) } else { Poll::Pending }
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream() && (!self.in_stream || self.exchange.has_left())
    }

    fn size_hint(&self) -> SizeHint {
        // It is asked for before the first piece.
        if self.rest.is_empty() { self.body.size_hint() } else { SizeHint::default() }
    }
}

/// A piece of an answer, which says how much of it has been written.
#[derive(Debug)]
pub(in crate::listen) struct Counted {
    data: Bytes,
    exchange: Arc<Exchange>,
}

impl Counted {
    fn new(data: Bytes, exchange: Arc<Exchange>) -> Self {
        exchange.given.fetch_add(data.remaining() as u64, Ordering::Relaxed);
        Self { data, exchange }
    }

    fn took(&self, bytes: usize) {
        self.exchange.taken.fetch_add(bytes as u64, Ordering::AcqRel);
        self.exchange.writing.moved(bytes);
        if self.exchange.has_left() {
            self.exchange.left.wake();
        }
    }
}

impl Buf for Counted {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        self.data.chunks_vectored(slices)
    }

    fn advance(&mut self, bytes: usize) {
        self.data.advance(bytes);
        self.took(bytes);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let left = self.data.remaining();
        if left > 0 {
            self.took(left);
        }
    }
}
