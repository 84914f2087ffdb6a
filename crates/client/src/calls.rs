//! The calls of the API, one function each.

use reqwest::Method;
use serde_json::Value;
use tollgate_api::{
    AuditPage, CheckAnswer, CheckBody, CreateKeyBody, CreatedKey, Key, KeyPage, KeyStatus, LimitBody, NodeList, Owner, PatchKeyBody,
    PutOwnerBody, Readiness, RevokeKeyBody,
};

use crate::{Client, ClientError, IdempotencyKey, client::Call, retry::Repeat};

/// Which keys to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListKeys {
    /// Only this owner's.
    pub owner: Option<String>,
    /// Only those of this status.
    pub status: Option<KeyStatus>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Keys of a page at most, 1 to 1000.
    pub page_size: Option<u32>,
}

/// Which changes to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListAudit {
    /// Only what concerns this owner.
    pub owner: Option<String>,
    /// Only what concerns this key.
    pub key_id: Option<String>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Changes of a page at most, 1 to 1000.
    pub page_size: Option<u32>,
}

/// How a node says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthAnswer {
    /// 200 or 503.
    pub status: u16,
    /// What it says, as far as every page of health says it.
    pub readiness: Readiness,
    /// All that it says.
    pub body: Value,
}

impl Client {
    /// Makes a key; its api key is in the answer this once.
    pub async fn create_key(&self, body: &CreateKeyBody) -> Result<CreatedKey, ClientError> {
        self.send(Call::new(Method::POST, &["v1", "keys"]).body(body)).await
    }

    /// The same under a name, so that it is sent again where its answer was lost. An answer that is
    /// `replayed` has no api key: it was lost with the first answer, so rotate the key.
    pub async fn create_key_once(&self, body: &CreateKeyBody, key: &IdempotencyKey) -> Result<CreatedKey, ClientError> {
        self.send(Call::new(Method::POST, &["v1", "keys"]).body(body).named(key)).await
    }

    /// One page of keys.
    pub async fn list_keys(&self, list: &ListKeys) -> Result<KeyPage, ClientError> {
        let mut call = Call::new(Method::GET, &["v1", "keys"]);
        call.query.extend(list.owner.clone().map(|owner| ("owner", owner)));
        call.query.extend(list.status.map(|status| ("status", status_name(status).to_owned())));
        call.query.extend(list.cursor.clone().map(|cursor| ("cursor", cursor)));
        call.query.extend(list.page_size.map(|count| ("page_size", count.to_string())));
        self.send(call).await
    }

    /// One key.
    pub async fn key(&self, key_id: &str) -> Result<Key, ClientError> {
        self.send(Call::new(Method::GET, &["v1", "keys", key_id])).await
    }

    /// Changes a key; only if it still has the generation `if_generation`, where one is given.
    pub async fn patch_key(&self, key_id: &str, if_generation: Option<u64>, body: &PatchKeyBody) -> Result<Key, ClientError> {
        let path = ["v1", "keys", key_id];
        let call = Call { if_generation, ..Call::new(Method::PATCH, &path) };
        self.send(call.body(body)).await
    }

    /// Revokes a key for ever.
    pub async fn revoke_key(&self, key_id: &str, body: &RevokeKeyBody) -> Result<Key, ClientError> {
        self.send(Call::new(Method::POST, &["v1", "keys", key_id, "revoke"]).body(body)).await
    }

    /// One page of changes, newest first.
    pub async fn audit(&self, list: &ListAudit) -> Result<AuditPage, ClientError> {
        let mut call = Call::new(Method::GET, &["v1", "audit"]);
        call.query.extend(list.owner.clone().map(|owner| ("owner", owner)));
        call.query.extend(list.key_id.clone().map(|key_id| ("key_id", key_id)));
        call.query.extend(list.cursor.clone().map(|cursor| ("cursor", cursor)));
        call.query.extend(list.page_size.map(|count| ("page_size", count.to_string())));
        self.send(call).await
    }

    /// One owner.
    pub async fn owner(&self, owner: &str) -> Result<Owner, ClientError> {
        self.send(Call::new(Method::GET, &["v1", "owners", owner])).await
    }

    /// Sets an owner's limit.
    pub async fn put_owner(&self, owner: &str, body: &PutOwnerBody) -> Result<Owner, ClientError> {
        self.send(Call::new(Method::PUT, &["v1", "owners", owner]).body(body)).await
    }

    /// Asks whether a key may spend, and charges it.
    pub async fn check(&self, body: &CheckBody) -> Result<CheckAnswer, ClientError> {
        self.send(Call::new(Method::POST, &["v1", "check"]).body(body).repeat(charging(body.peek))).await
    }

    /// Limits a named thing.
    pub async fn limit(&self, body: &LimitBody) -> Result<CheckAnswer, ClientError> {
        self.send(Call::new(Method::POST, &["v1", "limit"]).body(body).repeat(charging(body.peek))).await
    }

    /// Whether there is a node at all; needs no credential.
    pub async fn live(&self) -> Result<(), ClientError> {
        let answer = self.ask(Call::new(Method::GET, &["health", "live"]).repeat(Repeat::Once)).await?;
        if answer.is_success() { Ok(()) } else { Err(answer.refusal()) }
    }

    /// The nodes that serve together, and how each is.
    pub async fn nodes(&self) -> Result<NodeList, ClientError> {
        self.send(Call::new(Method::GET, &["v1", "nodes"])).await
    }

    /// Whether the node should be sent requests; needs no credential.
    pub async fn ready(&self) -> Result<HealthAnswer, ClientError> {
        self.readiness(&["health", "ready"]).await
    }

    /// How the node and what it depends on are.
    pub async fn health(&self) -> Result<HealthAnswer, ClientError> {
        self.readiness(&["health", "full"]).await
    }

    async fn readiness(&self, path: &[&str]) -> Result<HealthAnswer, ClientError> {
        let answer = self.ask(Call::new(Method::GET, path).repeat(Repeat::Once)).await?;
        if !matches!(answer.status, 200 | 503) || answer.is_problem() {
            return Err(answer.refusal());
        }
        Ok(HealthAnswer { status: answer.status, readiness: answer.decode()?, body: answer.decode()? })
    }
}

fn charging(peek: bool) -> Repeat {
    if peek { Repeat::Harmless } else { Repeat::Charges }
}

fn status_name(status: KeyStatus) -> &'static str {
    match status {
        KeyStatus::Active => "active",
        KeyStatus::Suspended => "suspended",
        KeyStatus::Revoked => "revoked",
        KeyStatus::Expired => "expired",
    }
}
