//! What redis-macros derives, for fred.
//!
//! The derives are made for redis-rs. [`Wire`] carries such a type over fred in both directions,
//! in the very same bytes, so that redis-rs can be the independent witness in the tests.

use fred::{
    error::{Error, ErrorKind},
    types::{FromValue, Value},
};

/// A value as its derived Redis form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire<T>(pub T);

impl<T: redis::FromRedisValue> FromValue for Wire<T> {
    fn from_value(value: Value) -> Result<Self, Error> {
        let value = match value {
            Value::Bytes(bytes) => redis::Value::BulkString(bytes.to_vec()),
            Value::String(text) => redis::Value::BulkString(text.as_bytes().to_vec()),
            _ => return Err(Error::new(ErrorKind::Parse, "not a string")),
        };
        // The reason is dropped: redis-macros puts the whole payload into its text.
        T::from_redis_value(value).map(Wire).map_err(|_| Error::new(ErrorKind::Parse, "not of the expected form"))
    }
}

impl<T: redis::ToSingleRedisArg> From<Wire<T>> for Value {
    fn from(wire: Wire<T>) -> Self {
        Value::Bytes(wire.0.to_redis_args().pop().unwrap_or_default().into())
    }
}
