//! What keys were used for.

use reqwest::Method;
use tollgate_api::{KeyUsage, TopUsage, TopWindow, UsageStep};

use crate::{Client, ClientError, client::Call};

/// Which keys to list as the most limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListTop {
    /// Only this owner's.
    pub owner: Option<String>,
    /// For how long a time; the last hour where absent.
    pub window: Option<TopWindow>,
    /// So many at most, 1 to 100; 10 where absent.
    pub count: Option<u32>,
}

impl Client {
    /// What a key was used for lately, with a point for every minute of the last hour or for every
    /// hour of the last day.
    pub async fn key_usage(&self, key_id: &str, step: UsageStep) -> Result<KeyUsage, ClientError> {
        let path = ["v1", "keys", key_id, "usage"];
        let mut call = Call::new(Method::GET, &path);
        let step = match step {
            UsageStep::Minute => "minute",
            UsageStep::Hour => "hour",
        };
        call.query.push(("step", step.to_owned()));
        self.send(call).await
    }

    /// The keys that limits have refused most.
    pub async fn top_usage(&self, list: &ListTop) -> Result<TopUsage, ClientError> {
        let mut call = Call::new(Method::GET, &["v1", "usage", "top"]);
        let window = list.window.map(|window| match window {
            TopWindow::Hour => "hour",
            TopWindow::Day => "day",
        });
        call.query.extend(list.owner.clone().map(|owner| ("owner", owner)));
        call.query.extend(window.map(|window| ("window", window.to_owned())));
        call.query.extend(list.count.map(|count| ("count", count.to_string())));
        self.send(call).await
    }
}
