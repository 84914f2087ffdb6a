//! `tollgate keys …`

use std::time::Duration;

use time::{OffsetDateTime, format_description::well_known::Rfc3339 as Rfc3339Form};
use tollgate_api::{
    CreateKeyBody, CreatedKey, Key, KeyKindName, KeyPage, KeyStatus, OutageModeName, Patch, PatchKeyBody, RateLimitSpec, RevokeKeyBody,
    Rfc3339,
};
use tollgate_client::Client;

use super::{
    lifecycle::{self, Step},
    usage,
};
use crate::{
    cli::{CreateKey, KeysCommand, ListKeys, RevokeKey, UpdateKey},
    exit::{Exit, Failure},
    output::Output,
    table,
};

pub(crate) async fn run(client: &Client, command: KeysCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        KeysCommand::Create(args) => create(client, args, output).await?,
        KeysCommand::List(args) => list(client, args, output).await?,
        KeysCommand::Show { key_id } => output.result(&client.key(&key_id).await?, key_table)?,
        KeysCommand::Usage(args) => usage::key(client, args, output).await?,
        KeysCommand::Update(args) => update(client, args, output).await?,
        KeysCommand::Rotate(args) => lifecycle::rotate(client, args, output).await?,
        KeysCommand::Suspend(key) => lifecycle::step(client, key, Step::Suspend, output).await?,
        KeysCommand::Resume(key) => lifecycle::step(client, key, Step::Resume, output).await?,
        KeysCommand::Reset(key) => lifecycle::step(client, key, Step::Reset, output).await?,
        KeysCommand::Revoke(args) => revoke(client, args, output).await?,
        // These speak to no node.
        KeysCommand::Import(_) | KeysCommand::Export(_) => {}
    }
    Ok(Exit::Done)
}

async fn create(client: &Client, args: CreateKey, output: Output) -> Result<(), Failure> {
    let body = CreateKeyBody {
        rate_limit: args.limit.patch(),
        name: args.name,
        owner: args.owner,
        scopes: args.scopes,
        expires_at: args.expires_in.map(from_now),
        kind: args.unsigned.then_some(KeyKindName::Unsigned),
        outage_mode: args.outage_mode.map(Into::into),
        ..CreateKeyBody::default()
    };
    let created = client.create_key(&body).await?;
    warn_unless_propagated(created.key.propagated, output);
    output.result(&created, created_table)
}

async fn list(client: &Client, args: ListKeys, output: Output) -> Result<(), Failure> {
    let status = args.status.map(KeyStatus::from);
    let mut query = tollgate_client::ListKeys { owner: args.owner, status, cursor: args.cursor, page_size: args.page_size };
    let mut page = client.list_keys(&query).await?;
    while let Some(cursor) = page.next_cursor.take_if(|_| args.all) {
        query.cursor = Some(cursor);
        let next = client.list_keys(&query).await?;
        page.keys.extend(next.keys);
        page.next_cursor = next.next_cursor;
    }
    if let Some(cursor) = &page.next_cursor {
        output.note(&format!("there are more: --cursor {cursor}, or --all"));
    }
    output.result(&page, page_table)
}

async fn update(client: &Client, args: UpdateKey, output: Output) -> Result<(), Failure> {
    let expires_at = match args.expires_in {
        Some(life) => Patch::Set(Rfc3339(from_now(life))),
        None if args.no_expiry => Patch::Clear,
        None => Patch::Keep,
    };
    let scopes = (args.no_scopes || !args.scopes.is_empty()).then_some(args.scopes);
    let outage_mode = match args.outage_mode {
        Some(mode) => Patch::Set(mode.into()),
        None if args.no_outage_mode => Patch::Clear,
        None => Patch::Keep,
    };
    let rate_limit = args.limit.patch();
    let body = PatchKeyBody { name: args.name, scopes, rate_limit, expires_at, outage_mode, ..PatchKeyBody::default() };
    let key = client.patch_key(&args.key_id, args.if_generation, &body).await?;
    warn_unless_propagated(key.propagated, output);
    output.result(&key, key_table)
}

async fn revoke(client: &Client, args: RevokeKey, output: Output) -> Result<(), Failure> {
    let key = client.revoke_key(&args.key_id, &RevokeKeyBody { reason: args.reason }).await?;
    warn_unless_propagated(key.propagated, output);
    output.result(&key, key_table)
}

/// A change that stands but could not be fenced at once.
pub(crate) fn warn_unless_propagated(propagated: Option<bool>, output: Output) {
    if propagated == Some(false) {
        output.note("warning: Redis could not be told; the change stands, and nodes learn of it within seconds");
    }
}

/// Lives are bounded by 100 years, so the sum is an instant.
fn from_now(life: Duration) -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    let then = time::Duration::try_from(life).ok().and_then(|life| now.checked_add(life)).unwrap_or(now);
    then.replace_nanosecond(0).unwrap_or(then)
}

fn page_table(page: &KeyPage) -> String {
    let row = |key: &Key| {
        [
            key.key_id.clone(),
            key.name.clone(),
            key.owner.clone().unwrap_or_default(),
            status_text(key.status).to_owned(),
            limit_text(key.rate_limit.as_ref()),
            key.scopes.join(" "),
            key.expires_at.map(instant).unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = page.keys.iter().map(row).collect();
    table::columns(["KEY ID", "NAME", "OWNER", "STATUS", "RATE LIMIT", "SCOPES", "EXPIRES"], &rows)
}

pub(super) fn created_table(created: &CreatedKey) -> String {
    let api_key = created.api_key.clone().unwrap_or_else(|| "was shown when the key was made".to_owned());
    let mut rows = key_rows(&created.key);
    rows.push(("api key", api_key));
    format!("{}\n\nThe api key is shown this once and cannot be had again: keep it now.", table::fields(&rows))
}

pub(super) fn key_table(key: &Key) -> String {
    table::fields(&key_rows(key))
}

fn key_rows(key: &Key) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("key id", key.key_id.clone()),
        ("name", key.name.clone()),
        ("owner", key.owner.clone().unwrap_or_else(|| "none (an operator's)".to_owned())),
        ("status", status_text(key.status).to_owned()),
        ("rate limit", limit_text(key.rate_limit.as_ref())),
        ("scopes", if key.scopes.is_empty() { "none".to_owned() } else { key.scopes.join(" ") }),
        ("created", instant(key.created_at)),
        ("expires", key.expires_at.map_or_else(|| "never".to_owned(), instant)),
    ];
    rows.push(("last used", key.last_used_at.map_or_else(|| "never".to_owned(), instant)));
    rows.extend(key.previous_secret_until.map(|at| ("old secret good until", instant(at))));
    rows.extend(key.revoked_at.map(|at| ("revoked", instant(at))));
    rows.extend(key.revoke_reason.clone().map(|reason| ("reason", reason)));
    if !key.metadata.is_empty() {
        rows.push(("metadata", serde_json::Value::Object(key.metadata.clone()).to_string()));
    }
    rows.extend(key.outage_mode.map(|mode| ("in an outage", outage_mode_text(mode).to_owned())));
    rows.push(("generation", key.generation.to_string()));
    rows
}

pub(super) fn instant(at: OffsetDateTime) -> String {
    at.format(&Rfc3339Form).unwrap_or_else(|_| at.to_string())
}

fn status_text(status: KeyStatus) -> &'static str {
    match status {
        KeyStatus::Active => "active",
        KeyStatus::Suspended => "suspended",
        KeyStatus::Revoked => "revoked",
        KeyStatus::Expired => "expired",
    }
}

fn outage_mode_text(mode: OutageModeName) -> &'static str {
    match mode {
        OutageModeName::Local => "local",
        OutageModeName::Open => "open",
        OutageModeName::Closed => "closed",
    }
}

/// A rate limit in words.
pub(crate) fn limit_text(limit: Option<&RateLimitSpec>) -> String {
    match limit {
        None => "unlimited".to_owned(),
        Some(RateLimitSpec::One(limit)) => format!("{} per {} s", limit.burst, limit.per_seconds),
        Some(RateLimitSpec::Many(limits)) => {
            limits.iter().map(|limit| format!("{}: {} per {} s", limit.name, limit.burst, limit.per_seconds)).collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key {
            key_id: "tk_1".into(),
            name: "ci\n".into(),
            owner: None,
            kind: KeyKindName::Signed,
            status: KeyStatus::Active,
            scopes: vec![],
            rate_limit: None,
            generation: 7,
            created_at: OffsetDateTime::UNIX_EPOCH,
            expires_at: None,
            previous_secret_until: None,
            last_used_at: None,
            revoked_at: None,
            revoke_reason: None,
            metadata: serde_json::Map::new(),
            outage_mode: None,
            propagated: None,
        }
    }

    #[test]
    fn a_created_key_shows_its_api_key_and_that_it_is_shown_once() {
        let text = created_table(&CreatedKey { api_key: Some("tk_1:secret".into()), replayed: false, key: key() });
        assert!(text.contains("api key     tk_1:secret\n") && text.contains("shown this once"), "{text}");
        assert!(text.contains("name        ci\u{fffd}\n") && text.contains("created     1970-01-01T00:00:00Z\n"), "{text}");
    }

    #[test]
    fn a_replayed_creation_says_that_the_secret_is_gone() {
        let text = created_table(&CreatedKey { api_key: None, replayed: true, key: key() });
        assert!(text.contains("was shown when the key was made"), "{text}");
    }

    #[test]
    fn limits_are_told_in_words() {
        let limit = |text: &str| limit_text(serde_json::from_str::<Option<RateLimitSpec>>(text).expect("a limit").as_ref());
        assert_eq!(limit("null"), "unlimited");
        assert_eq!(limit(r#"{"burst":5,"per_seconds":60}"#), "5 per 60 s");
        assert_eq!(
            limit(r#"[{"name":"a","burst":1,"per_seconds":2},{"name":"b","burst":3,"per_seconds":4}]"#),
            "a: 1 per 2 s, b: 3 per 4 s"
        );
    }

    #[test]
    fn a_page_has_a_row_per_key() {
        let text = page_table(&KeyPage { keys: vec![key(), key()], next_cursor: None });
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.starts_with("KEY ID  NAME  OWNER  STATUS  RATE LIMIT  SCOPES  EXPIRES\n"), "{text}");
    }
}
