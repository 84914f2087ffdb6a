//! What keys were used for.

use serde_json::{Map, Value, json};

use super::{answer, instant, instant_or_null, list, named, of, text, text_or_null, whole, word, yes_or_no};

const FIGURES: [(&str, &str); 4] = [
    ("allowed", "Decisions that allowed."),
    ("limited", "Decisions that a limit refused."),
    ("denied", "Decisions that the key itself refused: its status, its secret, a scope that it lacks, a cost above its burst."),
    ("cost", "Tokens that the allowed ones cost."),
];

pub(super) fn all() -> Map<String, Value> {
    named([
        ("KeyUsage", key_usage()),
        ("UsageWindows", windows()),
        ("UsageWindow", counted("Counts since an instant.", "from", "The beginning of the first minute (of a day: hour) that is counted.")),
        ("UsagePoint", counted("Counts of one minute or hour.", "at", "Its beginning.")),
        ("UsageStep", word("From one point of a series to the next.", &["minute", "hour"])),
        ("TopUsage", top_usage()),
        ("LimitedKey", limited_key()),
        ("TopWindow", word("The ten minutes under way and 60 before, or the hour under way and 23 before.", &["hour", "day"])),
    ])
}

fn key_usage() -> Value {
    let fields = json!({
        "key_id": text("The key's public id."),
        "owner": text_or_null("The tenant that holds it."),
        "last_used_at": instant_or_null("When it was last used, give or take a minute; null for never."),
        "as_of": instant("When this was read. What nodes have counted since they last told each other is not in it."),
        "windows": of("UsageWindows"),
        "step": of("UsageStep"),
        "series": list("Every minute of the last hour, or every hour of the last day, oldest first.", &of("UsagePoint")),
    });
    answer("What a key was used for lately.", &["key_id", "owner", "last_used_at", "as_of", "windows", "step", "series"], fields)
}

fn windows() -> Value {
    let fields = json!({"minute": of("UsageWindow"), "hour": of("UsageWindow"), "day": of("UsageWindow")});
    let about = "The minute under way and the one before; the minute under way and the 59 before; the hour under way and the 23 before.";
    answer(about, &["minute", "hour", "day"], fields)
}

/// The four counts, and an instant.
fn counted(about: &str, at: &str, about_at: &str) -> Value {
    let figures = FIGURES.map(|(name, about)| (name.to_owned(), whole(about)));
    let fields: Map<_, _> = figures.into_iter().chain([(at.to_owned(), instant(about_at))]).collect();
    answer(about, &[at, "allowed", "limited", "denied", "cost"], fields.into())
}

fn top_usage() -> Value {
    let fields = json!({
        "window": of("TopWindow"),
        "from": instant("Its beginning."),
        "as_of": instant("When this was read. What nodes have counted since they last told each other is not in it."),
        "owner": text_or_null("Whose keys: null for all."),
        "limited": whole("Decisions on all these keys that a limit refused."),
        "keys": list("The most limited first.", &of("LimitedKey")),
        "others_limited_at_most": whole("No key that is not listed was limited more often."),
        "complete": yes_or_no("False where a node had no room to count everything: the bounds are then of what was counted."),
    });
    let required = ["window", "from", "as_of", "owner", "limited", "keys", "others_limited_at_most", "complete"];
    answer("The keys that limits have refused most.", &required, fields)
}

fn limited_key() -> Value {
    let fields = json!({
        "key_id": text("The key's public id."),
        "owner": text_or_null("The tenant that holds it."),
        "limited_at_least": whole("So many decisions at least were refused by a limit."),
        "limited_at_most": whole("And so many at most."),
    });
    answer("A key that was limited often.", &["key_id", "owner", "limited_at_least", "limited_at_most"], fields)
}
