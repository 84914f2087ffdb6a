//! The calls, one entry each.

mod data;
mod health;
mod keys;
mod owners;
mod usage;
mod watching;

use super::parameters::Parameter;

/// One call of the surface.
#[derive(Debug)]
pub(super) struct Operation {
    /// Under which heading it stands.
    pub(super) tag: &'static str,
    /// Its path, as the router has it, but for the star of a rest.
    pub(super) path: &'static str,
    pub(super) method: Method,
    /// A name for it that is no other's.
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) about: &'static str,
    pub(super) needs: Needs,
    pub(super) parameters: &'static [Parameter],
    pub(super) body: Body,
    pub(super) answers: &'static [Answer],
    /// The statuses of its problems, beside those that every call of its kind has.
    pub(super) problems: &'static [u16],
}

/// How it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Patch,
    /// All of them, and all the same.
    Any,
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Anybody.
    Nothing,
    /// Anybody; the key that is asked about may be shown in the headers or in the body.
    KeyAnywhere,
    /// Whoever has a key.
    Key,
    /// Whoever has a key with this scope.
    Scope(&'static str),
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// Nothing is read.
    Ignored,
    /// Nothing, or an empty object.
    Empty,
    /// This schema, or nothing.
    Optional(&'static str),
    /// This schema.
    Required(&'static str),
}

/// What comes back where nothing is wrong.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) about: &'static str,
    pub(super) content: Content,
    /// Headers beside those that every answer of a call of its kind carries.
    pub(super) headers: &'static [&'static str],
}

/// The body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// None.
    Nothing,
    /// JSON of this schema.
    Json(&'static str),
    /// Any text of this type.
    Text(&'static str),
}

impl Method {
    /// The methods by their names in the document.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Get => &["get"],
            Self::Post => &["post"],
            Self::Put => &["put"],
            Self::Patch => &["patch"],
            Self::Any => &["get", "put", "post", "delete", "options", "head", "patch", "trace"],
        }
    }
}

impl Operation {
    /// The statuses of all problems that it can come to, in order.
    pub(super) fn problem_statuses(&self) -> Vec<u16> {
        let of_caller: &[u16] = match self.needs {
            Needs::Nothing => &[],
            Needs::KeyAnywhere => &[400, 422, 429, 503],
            Needs::Key | Needs::Scope(_) => &[400, 401, 403, 429, 503],
        };
        let of_body: &[u16] = if self.body == Body::Ignored { &[] } else { &[400, 408, 413, 415, 422] };
        let mut all = [of_caller, of_body, self.problems, &[500]].concat();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether its answers tell how the caller's limits stand.
    pub(super) fn tells_limits(&self) -> bool {
        self.needs != Needs::Nothing
    }
}

/// Every call, in the order of the page.
pub(super) fn all() -> impl Iterator<Item = &'static Operation> {
    data::CALLS.iter().chain(keys::CALLS).chain(owners::CALLS).chain(usage::CALLS).chain(watching::CALLS).chain(health::CALLS)
}
