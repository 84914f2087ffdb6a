//! Forward authentication: may the bearer of a credential do this now?

use reqwest::{
    Method,
    header::{HeaderMap, HeaderName},
};
use tollgate_api::{AuthContext, KEY_ID_HEADER, OWNER_HEADER, SCOPES_HEADER};

use crate::{Client, ClientError, ErrorKind, GateHeaders, client::Call, retry::Repeat};

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorize {
    /// Tokens to spend; 1 where absent.
    pub cost: Option<u64>,
    /// A scope that the key must have.
    pub scope: Option<String>,
}

/// Allowed, and charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorized {
    /// Whose key it is and what it may do.
    pub context: AuthContext,
    /// How its limits stand, as the node told it.
    pub headers: GateHeaders,
}

impl Client {
    /// Spends tokens of this client's own key. A limit that refuses is an error with status 429,
    /// after the retries that the policy allows.
    pub async fn authorize(&self, ask: &Authorize) -> Result<Authorized, ClientError> {
        self.authorized(ask, None).await
    }

    /// The same for somebody else, who has shown the credential in `shown`: headers that are sent
    /// as they are, in place of this client's credential.
    pub async fn authorize_bearer(&self, ask: &Authorize, shown: &HeaderMap) -> Result<Authorized, ClientError> {
        self.authorized(ask, Some(shown)).await
    }

    async fn authorized(&self, ask: &Authorize, shown: Option<&HeaderMap>) -> Result<Authorized, ClientError> {
        let mut call = Call { shown, ..Call::new(Method::GET, &["v1", "authorize"]) }.repeat(Repeat::Charges);
        call.query.extend(ask.cost.map(|cost| ("cost", cost.to_string())));
        call.query.extend(ask.scope.clone().map(|scope| ("scope", scope)));
        let answer = self.ask(call).await?;
        if !answer.is_success() {
            return Err(answer.refusal());
        }
        let context = answer.identity.clone().ok_or_else(|| {
            // Somebody before the node, or no node at all, has said yes.
            let why = format!("it has no header {KEY_ID_HEADER}");
            ClientError { kind: ErrorKind::Undecodable(why), request_id: answer.request_id.clone() }
        })?;
        Ok(Authorized { context, headers: answer.headers })
    }
}

/// Who the headers of an answer say it was; none without a key id.
pub(crate) fn identity(headers: &HeaderMap, request_id: &str) -> Option<AuthContext> {
    let text = |name: &'static str| headers.get(HeaderName::from_static(name)).and_then(|value| value.to_str().ok());
    let key_id = text(KEY_ID_HEADER).filter(|id| !id.is_empty())?.to_owned();
    let owner = text(OWNER_HEADER).filter(|owner| !owner.is_empty()).map(str::to_owned);
    let scopes = text(SCOPES_HEADER).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    Some(AuthContext { key_id, owner, scopes, request_id: request_id.to_owned() })
}
