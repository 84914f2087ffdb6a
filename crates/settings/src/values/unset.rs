//! TOML has no word for "not set": an empty text stands for it.

use serde::{Deserialize, Deserializer};
use std::path::PathBuf;

/// A text, or `None` where it is empty.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// A path, or `None` where it is empty.
pub(crate) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(text(deserializer)?.map(PathBuf::from))
}
