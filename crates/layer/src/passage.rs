//! A request that may pass: what the app is told of it, and its client of the app's answer.

use http::{HeaderMap, HeaderName, HeaderValue, Response, request::Parts};
use tollgate_api::{AuthContext, KEY_ID_HEADER, OWNER_HEADER, REQUEST_ID_HEADER, SCOPES_HEADER};
use tollgate_client::{Authorized, GateHeaders, RequestId};

use crate::gate::CREDENTIALS;

const REQUEST_ID: HeaderName = HeaderName::from_static(REQUEST_ID_HEADER);
const KEY_ID: HeaderName = HeaderName::from_static(KEY_ID_HEADER);
const OWNER: HeaderName = HeaderName::from_static(OWNER_HEADER);
const SCOPES: HeaderName = HeaderName::from_static(SCOPES_HEADER);

/// How a request came through.
#[derive(Debug)]
pub(crate) struct Passage {
    request_id: RequestId,
    is_asked: bool,
    context: Option<AuthContext>,
    headers: GateHeaders,
}

impl Passage {
    /// A node has let it in.
    pub(crate) fn known(request_id: RequestId, authorized: Authorized) -> Self {
        Self { request_id, is_asked: true, context: Some(authorized.context), headers: authorized.headers }
    }

    /// No node could be asked, and it passes all the same.
    pub(crate) fn unknown(request_id: RequestId) -> Self {
        Self { request_id, is_asked: true, context: None, headers: GateHeaders::default() }
    }

    /// Nothing is demanded of it.
    pub(crate) fn unasked(request_id: RequestId) -> Self {
        Self { request_id, is_asked: false, context: None, headers: GateHeaders::default() }
    }

    /// Tells the app who it is, in place of whatever the client said of that.
    pub(crate) fn prepare(&self, parts: &mut Parts, keeps_credential: bool) {
        let headers = &mut parts.headers;
        remove(headers, |name| name.starts_with("x-tollgate-"));
        if self.is_asked && !keeps_credential {
            remove(headers, |name| CREDENTIALS.iter().any(|credential| name == credential.as_str()));
        }
        let context = self.context.as_ref();
        let scopes = context.map(|context| context.scopes.join(" ")).unwrap_or_default();
        headers.insert(KEY_ID, value(context.map(|context| context.key_id.as_str())));
        headers.insert(OWNER, value(context.and_then(|context| context.owner.as_deref())));
        headers.insert(SCOPES, value(Some(&scopes)));
        headers.insert(REQUEST_ID, value(Some(self.request_id.as_str())));
        parts.extensions.remove::<AuthContext>();
        if let Some(context) = context {
            parts.extensions.insert(context.clone());
        }
    }

    /// Tells the client how its limits stand. What is there already is of a layer further in, which
    /// asked later.
    pub(crate) fn mark<B>(&self, response: &mut Response<B>) {
        let headers = response.headers_mut();
        let kept = self.headers.as_map();
        for name in kept.keys().filter(|name| !headers.contains_key(*name)).cloned().collect::<Vec<_>>() {
            for value in kept.get_all(&name) {
                headers.append(&name, value.clone());
            }
        }
        headers.insert(REQUEST_ID, value(Some(self.request_id.as_str())));
    }
}

/// Removes the headers that `is_it` says, also where a name has `_` or `.` for `-`: some software
/// reads such a name as the same.
fn remove(headers: &mut HeaderMap, is_it: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_it(&name.as_str().replace(['_', '.'], "-"))).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Ids, names and scopes are visible ASCII; what is not says nothing.
fn value(text: Option<&str>) -> HeaderValue {
    text.and_then(|text| HeaderValue::from_str(text).ok()).unwrap_or(HeaderValue::from_static(""))
}
