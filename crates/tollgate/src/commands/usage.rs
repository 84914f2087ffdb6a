//! `tollgate keys usage` and `tollgate usage top`

use tollgate_api::{KeyUsage, LimitedKey, TopUsage, UsageFigures, UsagePoint, UsageWindow};
use tollgate_client::{Client, ListTop};

use super::keys::instant;
use crate::{
    cli::{KeyUsageArgs, TopArgs, UsageCommand},
    exit::{Exit, Failure},
    output::Output,
    table,
};

pub(crate) async fn run(client: &Client, command: UsageCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        UsageCommand::Top(args) => top(client, args, output).await?,
    }
    Ok(Exit::Done)
}

pub(super) async fn key(client: &Client, args: KeyUsageArgs, output: Output) -> Result<(), Failure> {
    let usage = client.key_usage(&args.key_id, args.step.into()).await?;
    output.result(&usage, key_table)
}

async fn top(client: &Client, args: TopArgs, output: Output) -> Result<(), Failure> {
    let list = ListTop { owner: args.owner, window: Some(args.window.into()), count: args.count };
    let top = client.top_usage(&list).await?;
    if !top.complete {
        output.note("warning: nodes had no room to count everything (tollgate_usage_dropped_total): keys may be missing");
    }
    output.result(&top, top_table)
}

/// Totals, and then the minutes or hours in which there was anything.
fn key_table(usage: &KeyUsage) -> String {
    let who = table::fields(&[
        ("key id", usage.key_id.clone()),
        ("owner", usage.owner.clone().unwrap_or_else(|| "none (an operator's)".to_owned())),
        ("last used", usage.last_used_at.map_or_else(|| "never".to_owned(), instant)),
        ("as of", instant(usage.as_of)),
    ]);
    let total = |name: &str, window: &UsageWindow| row(name.to_owned(), instant(window.from), &window.figures);
    let windows = &usage.windows;
    let totals = [total("minute", &windows.minute), total("hour", &windows.hour), total("day", &windows.day)];
    let totals = table::columns(["LAST", "SINCE", "ALLOWED", "LIMITED", "DENIED", "COST"], &totals);
    let used = |point: &&UsagePoint| point.figures != UsageFigures::default();
    let points: Vec<_> = usage.series.iter().filter(used).map(|point| numbers(instant(point.at), &point.figures)).collect();
    if points.is_empty() {
        return format!("{who}\n\n{totals}");
    }
    format!("{who}\n\n{totals}\n\n{}", table::columns(["AT", "ALLOWED", "LIMITED", "DENIED", "COST"], &points))
}

fn row(name: String, since: String, figures: &UsageFigures) -> [String; 6] {
    let [since, allowed, limited, denied, cost] = numbers(since, figures);
    [name, since, allowed, limited, denied, cost]
}

fn numbers(at: String, figures: &UsageFigures) -> [String; 5] {
    let UsageFigures { allowed, limited, denied, cost } = figures;
    [at, allowed.to_string(), limited.to_string(), denied.to_string(), cost.to_string()]
}

fn top_table(top: &TopUsage) -> String {
    let row = |key: &LimitedKey| [key.key_id.clone(), key.owner.clone().unwrap_or_default(), times(key)];
    let rows: Vec<_> = top.keys.iter().map(row).collect();
    let summary = table::fields(&[
        ("since", instant(top.from)),
        ("limited in all", top.limited.to_string()),
        ("any other key", format!("at most {}", top.others_limited_at_most)),
    ]);
    format!("{}\n\n{summary}", table::columns(["KEY ID", "OWNER", "LIMITED"], &rows))
}

/// How often, as exactly as it is known.
fn times(key: &LimitedKey) -> String {
    if key.limited_at_least == key.limited_at_most {
        return key.limited_at_most.to_string();
    }
    format!("{} to {}", key.limited_at_least, key.limited_at_most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::OffsetDateTime;
    use tollgate_api::{TopWindow, UsageStep, UsageWindows};

    const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[test]
    fn a_key_shows_totals_and_the_minutes_with_anything_in_them() {
        let figures = UsageFigures { allowed: 11, limited: 22, denied: 33, cost: 44 };
        let (window, none) = (UsageWindow { from: AT, figures }, UsageFigures::default());
        let usage = KeyUsage {
            key_id: "tk_1".into(),
            owner: Some("acme".into()),
            last_used_at: None,
            as_of: AT,
            windows: UsageWindows { minute: UsageWindow { from: AT, figures: none }, hour: window, day: window },
            step: UsageStep::Minute,
            series: vec![UsagePoint { at: AT, figures: none }, UsagePoint { at: AT, figures }],
        };
        let text = key_table(&usage);
        assert!(text.contains("owner      acme\n") && text.contains("last used  never\n"), "{text}");
        assert!(text.contains("\nminute  1970-01-01T00:00:00Z  0        0        0       0\n"), "{text}");
        assert!(text.contains("\nhour    1970-01-01T00:00:00Z  11       22       33      44\n"), "{text}");
        assert_eq!(text.lines().last(), Some("1970-01-01T00:00:00Z  11       22       33      44"), "{text}");
        assert_eq!(text.matches("1970-01-01T00:00:00Z  11").count(), 3, "{text}");
        let unused = KeyUsage { series: Vec::new(), ..usage };
        assert!(!key_table(&unused).contains("AT  "), "no empty table");
    }

    #[test]
    fn the_most_limited_keys_show_their_bounds() {
        let key =
            |key_id: &str, least, most| LimitedKey { key_id: key_id.into(), owner: None, limited_at_least: least, limited_at_most: most };
        let keys = vec![key("tk_1", 90, 90), key("tk_2", 5, 7)];
        let top = TopUsage {
            window: TopWindow::Hour,
            from: AT,
            as_of: AT,
            owner: None,
            limited: 100,
            keys,
            others_limited_at_most: 3,
            complete: true,
        };
        let text = top_table(&top);
        assert!(text.starts_with("KEY ID  OWNER  LIMITED\ntk_1           90\ntk_2           5 to 7\n"), "{text}");
        assert!(text.contains("limited in all  100\n") && text.ends_with("any other key   at most 3"), "{text}");
    }
}
