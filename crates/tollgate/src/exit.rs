//! What the exit status says, and what is said with it.

use std::fmt;

use tollgate_client::{ClientError, ErrorKind};
use tollgate_gate::{
    MintError, SigningError,
    config::{ConfigError, ConfigErrorKind},
    ports::KeyStoreError,
    transfer::{ImportError, ImportErrorKind},
};

/// The exit statuses: a contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done; allowed.
    Done = 0,
    /// Anything that has no status of its own.
    Other = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// Not authenticated (401).
    Unauthenticated = 3,
    /// A scope is missing (403).
    ScopeMissing = 4,
    /// Not found (404).
    NotFound = 5,
    /// The input is refused (400, 409, 412, 413, 415, 422).
    Refused = 6,
    /// Rate limited (429).
    Limited = 7,
    /// The node or the store cannot be reached, or cannot answer (503, time-out).
    Unreachable = 8,
    /// The settings are invalid.
    Settings = 64,
}

/// A command that came to nothing: what happened, and one line on what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) what: String,
    pub(crate) remedy: String,
    pub(crate) request_id: Option<String>,
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// What an HTTP status says that is no success. A balancer that finds no node (502, 504) is as
    /// good as no node.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthenticated,
            403 => Self::ScopeMissing,
            404 => Self::NotFound,
            400 | 409 | 412 | 413 | 415 | 422 => Self::Refused,
            429 => Self::Limited,
            408 | 502..=504 => Self::Unreachable,
            _ => Self::Other,
        }
    }
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { exit, what: what.into(), remedy: remedy.into(), request_id: None }
    }

    pub(crate) fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what, remedy)
    }

    pub(crate) fn other(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Exit::Other, what, remedy)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\nhelp: {}", self.what, self.remedy)?;
        self.request_id.as_ref().map_or(Ok(()), |id| write!(f, " (request id {id})"))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error.kind {
            ErrorKind::Problem(refusal) => Exit::of_status(refusal.problem.status),
            ErrorKind::Status(status) => Exit::of_status(*status),
            ErrorKind::Unreachable(_) | ErrorKind::Broken(_) | ErrorKind::Timeout => Exit::Unreachable,
            ErrorKind::Undecodable(_) => Exit::Other,
        };
        let request_id = Some(error.request_id.clone());
        Self { exit, what: error.to_string(), remedy: remedy(exit, &error), request_id }
    }
}

/// One line on what to do.
fn remedy(exit: Exit, error: &ClientError) -> String {
    let again = error.retry_after_s().map_or_else(|| "later".to_owned(), |seconds| format!("in {seconds} s"));
    match (exit, error.status()) {
        (Exit::Unauthenticated, _) => {
            "give a key that is good: --api-key-file or TOLLGATE_API_KEY; it may be unknown, mistyped, revoked or expired".into()
        }
        (Exit::ScopeMissing, _) => "use a key that has the scope, or have an operator add it: tollgate keys update --scope".into(),
        (Exit::NotFound, _) => "check the id and the URL; a key with an owner sees that owner's keys only".into(),
        (Exit::Refused, Some(409)) => "it is not in a state that allows this: look at it first, such as with `tollgate keys show`".into(),
        (Exit::Refused, Some(412)) => "it was changed meanwhile: read it again and repeat with its generation".into(),
        (Exit::Refused, _) => "mend the input and try again".into(),
        (Exit::Limited, _) => format!("try again {again}"),
        (Exit::Unreachable, Some(_)) => format!("the node cannot answer now: see `tollgate health`, and try again {again}"),
        (Exit::Unreachable, None) => way_to_a_node(&error.kind).into(),
        (Exit::Done | Exit::Other | Exit::Usage | Exit::Settings, Some(500..)) => "look for the request id in the node's log".into(),
        (Exit::Done | Exit::Other | Exit::Usage | Exit::Settings, _) => "check that --url is a Tollgate node of this version".into(),
    }
}

/// What to do where there is no answer. The libraries below tell in words alone what went wrong; words
/// that are not known get the remedy that fits all.
fn way_to_a_node(kind: &ErrorKind) -> &'static str {
    let told = |words: &[&str]| matches!(kind, ErrorKind::Unreachable(why) | ErrorKind::Broken(why) if words.iter().any(|word| why.contains(word)));
    if told(&["dns error", "failed to lookup address"]) {
        "nobody knows that name: check --url or TOLLGATE_URL"
    } else if told(&["certificate", "corrupt message", "tls", "TLS"]) {
        "check that --url is an https address of a node, and name the authority of its certificate with --ca-file"
    } else {
        "is a node running there? set --url or TOLLGATE_URL, and see its log"
    }
}

impl From<KeyStoreError> for Failure {
    fn from(error: KeyStoreError) -> Self {
        let what = error.to_string();
        match error {
            KeyStoreError::Unreachable(_) => Self::new(Exit::Unreachable, what, "check that the store runs and that the settings name it"),
            KeyStoreError::Unusable(_) => Self::new(
                Exit::Unreachable,
                what,
                "the store is there, but not as this version needs it: see `tollgate migrate` and the settings",
            ),
            KeyStoreError::NotFound => Self::new(Exit::NotFound, what, "check the id"),
            KeyStoreError::Refused(refused) => refused.into(),
            KeyStoreError::Exists(_) | KeyStoreError::Repeated => Self::new(Exit::Refused, what, "nothing was changed"),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let exit = match error.kind {
            ConfigErrorKind::Forbidden => Exit::ScopeMissing,
            ConfigErrorKind::Invalid | ConfigErrorKind::Conflict | ConfigErrorKind::GenerationMismatch => Exit::Refused,
        };
        Self::new(exit, error.to_string(), "mend the input and try again")
    }
}

impl From<SigningError> for Failure {
    fn from(error: SigningError) -> Self {
        let what = error.to_string();
        match error {
            SigningError::Store(error) => error.into(),
            SigningError::MasterKeyForm | SigningError::Unopened(_) => {
                Self::new(Exit::Settings, what, "set keys.master_key_file to the file that all nodes of this store use")
            }
            SigningError::Unmade(_) => Self::other(what, "try again"),
            SigningError::Full => Self::new(Exit::Refused, what, "no more signing keys can be made in this store"),
        }
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        let line = error.line;
        let failure: Self = match error.kind {
            ImportErrorKind::Refused(refused) => refused.into(),
            ImportErrorKind::Store(error) => error.into(),
            ImportErrorKind::Signing(error) => error.into(),
        };
        let remedy = format!("{}; then bring in the whole again: what is there stays as it is", failure.remedy);
        Self { what: format!("line {line}: {}", failure.what), remedy, ..failure }
    }
}

impl From<MintError> for Failure {
    fn from(error: MintError) -> Self {
        let what = error.to_string();
        match error {
            MintError::Store(error) => error.into(),
            MintError::Signing(error) => error.into(),
            MintError::Randomness(_) | MintError::Hashing(_) | MintError::SignsSoon => Self::other(what, "try again"),
            MintError::NothingSigns => Self::new(Exit::Refused, what, "run `tollgate signing-keys add`"),
        }
    }
}

#[cfg(test)]
mod tests;
