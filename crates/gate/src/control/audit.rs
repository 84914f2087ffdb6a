//! Who changed what, as operators and tenants may read it.

use tollgate_api::AuditPage;
use tollgate_keys::{KeyId, OwnerName};

use super::{ControlError, Operator, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use crate::{Gate, config::ConfigError, ports::AuditQuery, verdict::Identity, view::audit_view};

/// Filters of a reading of the audit log, as they are written.
#[derive(Debug, Clone, Default)]
pub struct ListAudit {
    /// Only this owner's and its keys'.
    pub owner: Option<String>,
    /// Only this key's.
    pub key_id: Option<String>,
    /// Where to go on.
    pub cursor: Option<String>,
    /// 1 to [`PAGE_SIZE_MAX`]; 100 where absent.
    pub page_size: Option<u32>,
}

impl Gate {
    /// One page of the audit log, newest first. A tenant sees what concerns his own keys.
    pub async fn audit(&self, operator: &Operator, list: ListAudit) -> Result<AuditPage, ControlError> {
        let Some(query) = query_of(&operator.identity, list)? else {
            return Ok(AuditPage { entries: Vec::new(), next_cursor: None });
        };
        let read = self.shared.keys.audit(query).await?;
        let next_cursor = read.next_before.map(|before| before.to_string());
        Ok(AuditPage { entries: read.rows.into_iter().map(audit_view).collect(), next_cursor })
    }
}

/// What to read; none where the caller may see nothing of it.
fn query_of(identity: &Identity, list: ListAudit) -> Result<Option<AuditQuery>, ConfigError> {
    let ListAudit { owner, key_id, cursor, page_size } = list;
    let asked = owner.as_deref().map(OwnerName::parse).transpose();
    let asked = asked.map_err(|error| ConfigError::invalid("/owner", error.to_string()))?;
    let key_id = key_id.as_deref().map(KeyId::parse).transpose();
    let key_id = key_id.map_err(|error| ConfigError::invalid("/key_id", error.to_string()))?;
    let before = cursor.as_deref().map(str::parse).transpose();
    let before = before.map_err(|_| ConfigError::invalid("/cursor", "cursor is what next_cursor gave"))?;
    let count_max = page_size.unwrap_or(PAGE_SIZE_DEFAULT);
    if !(1..=PAGE_SIZE_MAX).contains(&count_max) {
        return Err(ConfigError::invalid("/page_size", format!("page_size is 1 to {PAGE_SIZE_MAX}")));
    }
    let is_anothers = identity.owner.is_some() && asked.is_some() && identity.owner != asked;
    let owner = identity.owner.clone().or(asked);
    Ok((!is_anothers).then_some(AuditQuery { owner, key_id, before, count_max }))
}
