//! The problems that calls can come to, as [`crate::problem::Failure`] writes them.

/// One kind of problem.
#[derive(Debug)]
pub(super) struct ProblemKind {
    pub(super) status: u16,
    pub(super) uri: &'static str,
    /// When it comes.
    pub(super) about: &'static str,
}

const fn kind(status: u16, uri: &'static str, about: &'static str) -> ProblemKind {
    ProblemKind { status, uri, about }
}

const QUOTA: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const ABNORMAL: &str = "https://iana.org/assignments/http-problem-types#abnormal-usage-detected";
const REDUCED: &str = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

/// All of them, by status.
pub(super) const ALL: &[ProblemKind] = &[
    kind(400, "urn:tollgate:problem:duplicate-credential", "more than one credential"),
    kind(400, "urn:tollgate:problem:credential-in-query", "a credential in the query string: revoke it"),
    kind(400, "urn:tollgate:problem:malformed-header", "a header that cannot be read"),
    kind(400, "urn:tollgate:problem:invalid-parameter", "a query parameter is unknown, doubled or out of range"),
    kind(400, "urn:tollgate:problem:malformed-body", "the body is not JSON, or broke off"),
    kind(401, "urn:tollgate:problem:unauthenticated", "no usable key: missing, unknown, wrong, revoked, expired"),
    kind(403, "urn:tollgate:problem:scope-missing", "the key lacks the scope"),
    kind(403, "urn:tollgate:problem:forbidden", "this key may not do that"),
    kind(403, QUOTA, "limited, where limited_status=403 asks for it"),
    kind(403, ABNORMAL, "too many unknown credentials, where limited_status=403 asks for it"),
    kind(404, "urn:tollgate:problem:not-found", "nothing there, or nothing that this key may see"),
    kind(405, "urn:tollgate:problem:method-not-allowed", "other methods, see Allow"),
    kind(408, "urn:tollgate:problem:body-too-slow", "the body did not arrive in time"),
    kind(409, "urn:tollgate:problem:conflict", "not in this state: a revoked key never changes"),
    kind(412, "urn:tollgate:problem:generation-mismatch", "changed since it was read"),
    kind(413, "urn:tollgate:problem:body-too-large", "above http.body_bytes_max"),
    kind(415, "urn:tollgate:problem:unsupported-media-type", "not application/json"),
    kind(422, "urn:tollgate:problem:invalid-field", "a field or parameter is out of its range or form; pointer names it"),
    kind(422, "urn:tollgate:problem:cost-exceeds-burst", "can never pass"),
    kind(429, QUOTA, "limited; wait for Retry-After"),
    kind(429, ABNORMAL, "too many credentials that nobody knows; wait for Retry-After"),
    kind(500, "urn:tollgate:problem:internal", "a fault of Tollgate's: report the request id"),
    kind(503, "urn:tollgate:problem:too-many-streams", "as many event streams are open as there may be; try again after Retry-After"),
    kind(503, REDUCED, "a store does not answer; try again after Retry-After"),
];

/// Those of one status.
pub(super) fn of(status: u16) -> impl Iterator<Item = &'static ProblemKind> {
    ALL.iter().filter(move |kind| kind.status == status)
}
