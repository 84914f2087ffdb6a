//! Why a call failed, and whether it may have been carried out.

use std::sync::Arc;

use fred::error::{Error, ErrorKind};
use tollgate_gate::ports::BucketError;
use tollgate_telemetry::RedisErrorKind;

use crate::plain;

/// A call that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: RedisErrorKind,
    /// The server has not run the script, and another attempt may help: it may be sent again.
    pub(crate) is_unsent: bool,
    text: Arc<str>,
}

impl Failure {
    pub(crate) fn other(text: &str) -> Self {
        Self { kind: RedisErrorKind::Other, is_unsent: false, text: text.into() }
    }

    /// No answer in time; the script may have been run.
    pub(crate) fn timed_out() -> Self {
        Self { kind: RedisErrorKind::TimedOut, is_unsent: false, text: "no answer in time".into() }
    }

    /// Whether a key holds another type than the script takes it for.
    pub(crate) fn is_wrong_type(&self) -> bool {
        self.text.contains("WRONGTYPE")
    }

    /// What went wrong, in words.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn into_error(self) -> BucketError {
        match self.kind {
            RedisErrorKind::TimedOut => BucketError::Deadline,
            _ => BucketError::Unreachable(self.text),
        }
    }
}

impl From<Error> for Failure {
    /// Only answers that belong to one command alone say that it was not carried out. `CLUSTERDOWN`
    /// and `READONLY` make fred end the connection with that error for *every* call on its way,
    /// carried out or not, so they prove nothing.
    fn from(error: Error) -> Self {
        let details = error.details();
        let says = |word: &str| details.starts_with(word);
        let (kind, is_unsent) = if says("NOSCRIPT") {
            (RedisErrorKind::NoScript, true)
        } else if says("TRYAGAIN") || says("ASK ") || says("MOVED ") || details == "Too many redirections." {
            (RedisErrorKind::Redirected, true)
        } else if says("LOADING") || says("MASTERDOWN") {
            (RedisErrorKind::Loading, true)
        } else if says("CLUSTERDOWN") || *error.kind() == ErrorKind::Cluster {
            (RedisErrorKind::Redirected, false)
        } else if says("OOM") {
            (RedisErrorKind::OutOfMemory, false)
        } else if says("NOPERM") || says("NOAUTH") || *error.kind() == ErrorKind::Auth {
            (RedisErrorKind::Refused, false)
        } else {
            match error.kind() {
                ErrorKind::Timeout => (RedisErrorKind::TimedOut, false),
                ErrorKind::IO | ErrorKind::Canceled | ErrorKind::Routing | ErrorKind::Tls => (RedisErrorKind::Disconnected, false),
                _ => (RedisErrorKind::Other, false),
            }
        };
        Self { kind, is_unsent, text: worded(&error).into() }
    }
}

/// What `rustls` has against a server, as its `Debug` form begins, and how people read it.
const TLS_TROUBLES: [(&str, &str); 6] = [
    ("InvalidCertificate(UnknownIssuer", "the certificate of Redis is not signed by an authority that is trusted here (redis.ca_file)"),
    ("InvalidCertificate(NotValidForName", "the certificate of Redis is for another name than the one that was connected to"),
    ("InvalidCertificate(Expired", "the certificate of Redis has expired"),
    ("InvalidCertificate(NotValidYet", "the certificate of Redis is not valid yet"),
    ("InvalidCertificate(", "the certificate of Redis cannot be trusted"),
    ("InvalidMessage(", "what answers for Redis does not speak TLS there"),
];

/// An error as people read it: fred tells those of the system and of TLS by their `Debug` form.
pub(crate) fn worded(error: &Error) -> String {
    let details = error.details();
    if details.starts_with(plain::REFUSED) {
        return details.to_owned();
    }
    if let Some((_, words)) = TLS_TROUBLES.iter().find(|(beginning, _)| details.contains(beginning)) {
        return format!("no TLS connection: {words}");
    }
    let message = details.split("message: \"").nth(1).and_then(|rest| rest.split('"').next());
    message.map_or_else(|| error.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_are_worded() {
        let refused = std::io::Error::from_raw_os_error(111);
        assert_eq!(worded(&Error::from(refused)), "Connection refused");
        assert_eq!(worded(&Error::new(ErrorKind::Timeout, "late")), "Timeout Error: late");
        let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let refused = std::io::Error::new(std::io::ErrorKind::InvalidData, refused);
        assert!(worded(&Error::from(refused)).ends_with("is not signed by an authority that is trusted here (redis.ca_file)"));
    }

    #[test]
    fn only_what_a_server_answers_to_one_call_may_be_sent_again() {
        let unsent = |kind, text: &'static str| Failure::from(Error::new(kind, text)).is_unsent;
        for text in
            ["NOSCRIPT No matching script.", "TRYAGAIN Multiple keys", "LOADING Redis is loading", "MASTERDOWN Link with MASTER is down"]
        {
            assert!(unsent(ErrorKind::Unknown, text), "{text}");
        }
        assert!(unsent(ErrorKind::Routing, "Too many redirections."));
        for (kind, text) in [
            (ErrorKind::IO, "Connection closed."),
            (ErrorKind::Canceled, "Canceled."),
            (ErrorKind::Timeout, "Request timed out."),
            (ErrorKind::Cluster, "CLUSTERDOWN Hash slot not served"),
            (ErrorKind::Unknown, "READONLY You can't write against a read only replica."),
            (ErrorKind::Unknown, "OOM command not allowed when used memory > 'maxmemory'."),
            (ErrorKind::Unknown, "ERR unknown"),
        ] {
            assert!(!unsent(kind, text), "{text}");
        }
    }
}
