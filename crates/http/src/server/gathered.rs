//! Answers to requests that came together leave together.
//!
//! hyper flushes after every answer. A client that sends many requests at once (pipelining) would cost
//! a system call for each; so nothing is sent until the connection has nothing more to do at once.
//! hyper's own `pipeline_flush` waits for an empty buffer of requests instead, and never sends the 400
//! or 431 of a head that it cannot read, as bytes of that head are still there.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};

/// Bytes that may be held back; with as many the socket is waited for.
const HELD_MAX: usize = 64 * 1024;
/// A buffer that has grown beyond this is given back once it is empty.
const KEPT_MAX: usize = 8 * 1024;

/// A stream that sends when it is told to ([`Gathered::poll_while`]). Both handles of a connection are
/// used by its one task, so nobody ever waits for the lock.
#[derive(Debug)]
pub(crate) struct Gathered<S>(Arc<Mutex<Held<S>>>);

#[derive(Debug)]
struct Held<S> {
    inner: S,
    unsent: BytesMut,
    /// Whether all that `inner` was given has left it: TLS has a buffer of its own.
    flushed: bool,
}

impl<S> Clone for Gathered<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Gathered<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self(Arc::new(Mutex::new(Held { inner, unsent: BytesMut::new(), flushed: true })))
    }

    fn held(&self) -> MutexGuard<'_, Held<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Write + Unpin> Gathered<S> {
    /// Polls the connection that writes to this stream, and sends what it has written.
    pub(crate) fn poll_while<C>(&self, connection: Pin<&mut C>, cx: &mut Context<'_>) -> Poll<()>
    where
        C: Future + ?Sized,
    {
        let ended = connection.poll(cx).is_ready();
        // A client that does not read is waited for by whoever watches the connection.
        let lost = matches!(self.held().poll_send(cx), Poll::Ready(Err(_)));
        if ended || lost { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<S: Write + Unpin> Held<S> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unsent.is_empty() && self.flushed {
            return Poll::Ready(Ok(()));
        }
        while !self.unsent.is_empty() {
            self.flushed = false;
            let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(sent);
        }
        // Its capacity does not tell: what was sent is no part of it.
        if self.unsent.try_reclaim(KEPT_MAX + 1) {
            self.unsent = BytesMut::new();
        }
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.flushed = true;
        Poll::Ready(Ok(()))
    }
}

impl<S: Read + Unpin> Read for Gathered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.held().inner).poll_read(cx, buffer)
    }
}

impl<S: Write + Unpin> Write for Gathered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut held = self.held();
        if held.unsent.len() >= HELD_MAX {
            ready!(held.poll_send(cx))?;
        }
        let mut room = HELD_MAX;
        for slice in slices {
            let taken = slice.get(..room.min(slice.len())).unwrap_or_default();
            held.unsent.extend_from_slice(taken);
            room -= taken.len();
        }
        Poll::Ready(Ok(HELD_MAX - room))
    }

    /// Or hyper would copy each answer into a buffer of its own first, and keep that.
    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing: what is held is sent as soon as the connection has done all it can.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = self.held();
        ready!(held.poll_send(cx))?;
        Pin::new(&mut held.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// A socket with so much room, which notes how much each write brought.
    #[derive(Default)]
    struct Socket {
        room: usize,
        writes: Vec<usize>,
        /// Flushes that come to nothing before one succeeds.
        stuck: usize,
        flushes: usize,
    }

    impl Write for Socket {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            if self.room == 0 {
                return Poll::Pending;
            }
            let taken = bytes.len().min(self.room);
            self.room -= taken;
            self.writes.push(taken);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.stuck > 0 {
                self.stuck -= 1;
                return Poll::Pending;
            }
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn socket(room: usize) -> Gathered<Socket> {
        Gathered::new(Socket { room, ..Socket::default() })
    }

    /// Writes as hyper does, a flush after each answer; tells how much was taken.
    fn answer(mut stream: Gathered<Socket>, answers: usize, length: usize, cx: &mut Context<'_>) -> usize {
        let bytes = vec![b'a'; length];
        let mut taken = 0;
        for _ in 0..answers {
            let Poll::Ready(written) = Pin::new(&mut stream).poll_write(cx, &bytes) else { break };
            taken += written.unwrap();
            assert!(Pin::new(&mut stream).poll_flush(cx).is_ready());
        }
        taken
    }

    #[tokio::test]
    async fn answers_that_are_there_together_are_one_write() {
        let stream = socket(1000);
        poll_fn(|cx| {
            let mut connection = poll_fn(|cx| {
                answer(stream.clone(), 16, 10, cx);
                assert!(stream.held().inner.writes.is_empty(), "nothing is sent before the connection rests");
                Poll::<()>::Pending
            });
            assert!(stream.poll_while(Pin::new(&mut connection), cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(stream.held().inner.writes, [160]);
    }

    #[tokio::test]
    async fn what_a_stream_below_has_not_let_go_is_flushed_the_next_time() {
        let stream = socket(1000);
        stream.held().inner.stuck = 2;
        poll_fn(|cx| {
            answer(stream.clone(), 1, 10, cx);
            for flushes in [0, 0, 1, 1] {
                let mut idle = std::future::pending::<()>();
                assert!(stream.poll_while(Pin::new(&mut idle), cx).is_pending());
                assert_eq!(stream.held().inner.flushes, flushes);
            }
            Poll::Ready(())
        })
        .await;
        assert_eq!(stream.held().inner.writes, [10]);
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_held_no_more_than_the_bound() {
        let stream = socket(0);
        let taken = poll_fn(|cx| Poll::Ready(answer(stream.clone(), 1000, 1000, cx))).await;
        assert!((HELD_MAX..HELD_MAX + 1000).contains(&taken), "{taken}");
        stream.held().inner.room = usize::MAX;
        poll_fn(|cx| Pin::new(&mut stream.clone()).poll_shutdown(cx)).await.unwrap();
        assert_eq!(stream.held().inner.writes, [taken], "the end sends the rest");
        assert_eq!(stream.held().unsent.capacity(), 0, "a large buffer is given back");
    }

    #[tokio::test]
    async fn a_buffer_that_one_large_answer_has_filled_is_given_back() {
        for (length, is_kept) in [(KEPT_MAX / 2, true), (5 * KEPT_MAX, false), (HELD_MAX, false)] {
            let stream = socket(usize::MAX);
            poll_fn(|cx| {
                answer(stream.clone(), 1, length, cx);
                let mut idle = std::future::pending::<()>();
                assert!(stream.poll_while(Pin::new(&mut idle), cx).is_pending());
                Poll::Ready(())
            })
            .await;
            let mut held = stream.held();
            assert_eq!(held.inner.writes, [length]);
            assert_eq!(held.unsent.try_reclaim(1), is_kept, "{length}");
        }
    }

    #[tokio::test]
    async fn an_answer_larger_than_the_bound_is_taken_in_parts() {
        let stream = socket(usize::MAX);
        let taken = poll_fn(|cx| Poll::Ready(answer(stream.clone(), 1, 10 * HELD_MAX, cx))).await;
        assert_eq!(taken, HELD_MAX);
    }
}
