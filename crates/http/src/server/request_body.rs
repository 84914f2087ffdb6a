//! The body of a request that tells its connection when it has been read.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::activity::Activity;

/// A body and whom to tell; nobody where there is nothing to read.
#[derive(Debug)]
pub(super) struct RequestBody<B> {
    inner: B,
    activity: Option<Arc<Activity>>,
}

impl<B: Body<Data = Bytes> + Unpin> RequestBody<B> {
    pub(super) fn new(inner: B, activity: &Arc<Activity>) -> Self {
        let activity = (!inner.is_end_stream()).then(|| Arc::clone(activity));
        Self { inner, activity }
    }

    fn tell_end(&mut self) {
        if let Some(activity) = self.activity.take() {
            activity.read_body();
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.inner).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || this.inner.is_end_stream() {
            this.tell_end();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
