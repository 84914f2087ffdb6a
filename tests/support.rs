//! What the whole-system tests ask nodes with. Every answer is checked as it is read
//! ([`Answer`]), whatever the test itself looks at.

mod answer;
mod api;
mod cluster;
mod collector;
mod load;
mod needles;
mod raw;
mod stream;
mod tags;
mod told;

pub(crate) use answer::Answer;
pub(crate) use api::{Api, Call, in_the_end};
pub(crate) use cluster::{Cluster, NewKey, metric};
pub(crate) use collector::{Collector, SentSpan};
pub(crate) use load::{Load, Shot, admitted, costs_admitted};
pub(crate) use needles::Needles;
pub(crate) use raw::Wire;
pub(crate) use stream::Stream;
pub(crate) use tags::{TAGS, owner_of};
pub(crate) use told::{Field, Told, over_http1, over_http2};
