//! Receipts in Redis: 32 bytes under a name of their own, with an end.

use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use tokio::time::Instant;
use tollgate_gate::ports::{BoxFuture, ReceiptError, ReceiptName, ReceiptStore, StoredReceipts};
use tollgate_telemetry::Step;

use crate::{RedisBuckets, connection, failure::Failure};

impl ReceiptStore for RedisBuckets {
    fn find(&self, names: Vec<ReceiptName>, deadline: Instant) -> BoxFuture<'_, Result<StoredReceipts, ReceiptError>> {
        Box::pin(async move {
            // All names are of one key, so they share a slot where there are slots.
            let keys: Vec<Bytes> = names.iter().map(|name| self.names().receipt(name)).collect();
            let found = self.command("MGET", keys.into_iter().map(Value::Bytes).collect(), deadline).await?;
            Ok(found.into_array().into_iter().map(|value| value.into_bytes().map(|bytes| bytes.as_ref().into())).collect())
        })
    }

    fn leave(&self, name: ReceiptName, receipt: [u8; 32], ttl: Duration, deadline: Instant) -> BoxFuture<'_, Result<(), ReceiptError>> {
        Box::pin(async move {
            let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
            let args = [self.names().receipt(&name), Bytes::copy_from_slice(&receipt), Bytes::from_static(b"PX")];
            let args = args.into_iter().map(Value::Bytes).chain([Value::Integer(ttl_ms)]).collect();
            self.command("SET", args, deadline).await.map(drop)
        })
    }
}

impl RedisBuckets {
    /// One command on the first of its arguments, at most once.
    async fn command(&self, name: &'static str, args: Vec<Value>, deadline: Instant) -> Result<Value, ReceiptError> {
        let timing = Step::RedisReceipt.begin();
        let told = match connection::usable(self.connections()) {
            Some(connection) => connection.command(name, args, deadline.saturating_duration_since(Instant::now())).await,
            None => Err(Failure::other("no connection")),
        };
        timing.end(told.is_ok());
        told.map_err(|failure| ReceiptError(failure.into_error().to_string().into()))
    }
}
