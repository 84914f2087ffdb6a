//! Header values that are made anew for each answer.
//!
//! They are written one after the other into one buffer, which all of them share: an allocation or two
//! for all of an answer, and no formatting machinery.

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Writes values into the headers of one answer.
#[derive(Debug)]
pub(crate) struct Values<'a> {
    headers: &'a mut HeaderMap,
    buffer: BytesMut,
}

/// The value that is being written.
#[derive(Debug)]
pub(crate) struct Value<'a>(&'a mut BytesMut);

impl<'a> Values<'a> {
    /// Room for about so many bytes of values.
    pub(crate) fn with_capacity(headers: &'a mut HeaderMap, bytes: usize) -> Self {
        Self { headers, buffer: BytesMut::with_capacity(bytes) }
    }

    /// Sets a header to what `write` writes; to nothing at all where that cannot be a value.
    pub(crate) fn insert(&mut self, name: HeaderName, write: impl FnOnce(&mut Value<'_>)) {
        write(&mut Value(&mut self.buffer));
        let value = HeaderValue::from_maybe_shared(self.buffer.split().freeze());
        self.headers.insert(name, value.unwrap_or(HeaderValue::from_static("")));
    }
}

impl Value<'_> {
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.0.put_slice(text.as_bytes());
        self
    }

    pub(crate) fn number(&mut self, number: impl itoa::Integer) -> &mut Self {
        self.text(itoa::Buffer::new().format(number))
    }

    /// Nothing has been written yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_share_a_buffer_and_keep_apart_beyond_its_room() {
        let mut headers = HeaderMap::new();
        let mut values = Values::with_capacity(&mut headers, 16);
        values.insert(HeaderName::from_static("a"), |value| {
            value.text("one").number(u64::MAX);
        });
        values.insert(HeaderName::from_static("b"), |_| {});
        values.insert(HeaderName::from_static("c"), |value| {
            value.text("a\nb");
        });
        values.insert(HeaderName::from_static("a2"), |value| {
            value.number(0_u32);
        });
        let told: Vec<_> = ["a", "b", "c", "a2"].iter().map(|name| headers[*name].to_str().expect("text")).collect();
        assert_eq!(told, ["one18446744073709551615", "", "", "0"]);
    }
}
