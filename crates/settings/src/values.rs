//! The types of single values: times, sizes, networks, URLs with passwords.

mod byte_size;
mod endpoint;
mod kind_end;
mod network;
mod range;
mod secret_url;
mod time_span;
mod unset;

pub use byte_size::{ByteSize, ByteSizeError};
pub(crate) use endpoint::{Endpoint, http_endpoint, is_redis_over_tls, postgres_endpoint, redis_endpoint};
pub use kind_end::{KindEnd, KindEndError};
pub use network::{Network, NetworkError};
pub(crate) use range::{Bound, size, time, whole};
pub use secret_url::SecretUrl;
pub use time_span::{TimeSpan, TimeSpanError};
pub(crate) use unset::{path, text};
