//! Keys on the move: written as lines of JSON, and brought into another store from such lines.
//!
//! A line is a key, an owner with rules or a signing key. An export holds hashes and signing keys,
//! never a secret; it is to be kept like a backup. Bringing lines in twice is as good as once: what
//! is there stays as it is.

mod export;
mod import;
mod line;

pub use export::{ExportCount, ExportError, export};
pub use import::{ImportError, ImportErrorKind, ImportReport, Importer};
pub use line::SigningKeyLine;
