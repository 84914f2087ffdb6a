//! What a gateway may say about a request it forwards.

use crate::{load::Check, values::text};

/// Settings `forward_auth.*`: names of headers, in lower case.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardAuthSettings {
    /// The header that the cost is taken from, if any.
    #[serde(deserialize_with = "text")]
    pub cost_header: Option<String>,
    /// The header that the scope is taken from, if any.
    #[serde(deserialize_with = "text")]
    pub scope_header: Option<String>,
}

/// Headers that clients set for other purposes, secrets among them.
const TAKEN: [&str; 4] = ["authorization", "x-api-key", "cookie", "host"];

impl ForwardAuthSettings {
    /// Both must be names of headers, each its own.
    pub(crate) fn validate(&self, check: &mut Check<'_>) {
        for (setting, header) in [("forward_auth.cost_header", &self.cost_header), ("forward_auth.scope_header", &self.scope_header)] {
            if header.as_ref().is_some_and(|name| !is_header_name(name) || TAKEN.contains(&name.as_str())) {
                check.refuse(
                    setting,
                    "must be the name of a header in lower case, such as \"x-tollgate-cost\", and none that carries credentials",
                );
            }
        }
        if self.cost_header.is_some() && self.cost_header == self.scope_header {
            check.refuse("forward_auth.scope_header", "must not be the header of forward_auth.cost_header");
        }
    }
}

/// A token of RFC 9110, section 5.6.2, without capitals.
fn is_header_name(name: &str) -> bool {
    name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
