//! What this surface is, for machines (`GET /openapi.json`, OpenAPI 3.1) and for people (`GET /docs`).
//!
//! Both are made once, from the tables in `openapi/`: the calls (`operations.rs`), what they are told
//! by (`parameters.rs`), what comes back (`answers.rs`, `problems.rs`) and what bodies look like
//! (`schemas.rs`). Nothing here decides anything. Tests hold the tables to the routes, to the types of
//! the wire and to what a node really answers.

mod answers;
mod document;
mod handlers;
mod operations;
mod page;
mod parameters;
mod problems;
mod schemas;

use bytes::Bytes;

pub(crate) use handlers::{docs, openapi};

/// The document in both of its forms.
#[derive(Debug)]
pub(crate) struct Documents {
    json: Bytes,
    html: Bytes,
}

impl Documents {
    /// Writes them for this version of the product.
    pub(crate) fn of(version: &str) -> Self {
        Self { json: document::write(version).to_string().into(), html: page::write(version).into() }
    }
}

/// The path of the calls that `path` is one of, such as `/v1/keys/{key_id}`.
pub(crate) fn route_of(path: &str) -> Option<&'static str> {
    operations::all().map(|operation| operation.path).find(|route| is_of(route, path))
}

fn is_of(route: &str, path: &str) -> bool {
    if let Some(before) = route.strip_suffix("{rest}") {
        return path.starts_with(before);
    }
    let (mut route, mut path) = (route.split('/'), path.split('/'));
    loop {
        match (route.next(), path.next()) {
            (None, None) => return true,
            (Some(name), Some(part)) if name == part || (name.starts_with('{') && !part.is_empty()) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests;
