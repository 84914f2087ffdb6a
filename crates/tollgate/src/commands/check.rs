//! `tollgate check`

use tollgate_api::{CheckAnswer, CheckBody, VerdictName};

use super::session::Session;
use crate::{
    api_key_input,
    cli::CheckArgs,
    exit::{Exit, Failure},
    output::Output,
    table,
};

pub(crate) async fn run(session: &Session<'_>, args: &CheckArgs, output: Output) -> Result<Exit, Failure> {
    // A request carries one credential: that of the caller, or the one to check.
    let (client, checked) = match args.checked_key_file.as_deref() {
        Some(path) => (super::client_of(session, None, output)?, Some(api_key_input::from_file(path)?)),
        None => (super::client(session, output)?, None),
    };
    let api_key = checked.map(|key| key.expose().into());
    let body = CheckBody { api_key, cost: args.cost, scope: args.scope.clone(), peek: args.peek };
    let answer = client.check(&body).await?;
    output.result(&answer, answer_table)?;
    let exit = exit_of(&answer);
    if let Some(remedy) = remedy(&answer) {
        output.note(&format!("help: {remedy} (request id {})", session.id));
    }
    Ok(exit)
}

/// One line on what to do about a verdict.
fn remedy(answer: &CheckAnswer) -> Option<String> {
    let told = match (exit_of(answer), answer.code.as_str()) {
        (Exit::Done, _) => return None,
        (Exit::Limited, _) => {
            let retry_ms = answer.retry_after_ms.unwrap_or(0);
            format!("rate limited: try again in {} s", retry_ms.div_ceil(1000).max(1))
        }
        (Exit::Unauthenticated, _) => "the key may be unknown, mistyped, revoked, suspended or expired: ask for one that is good".into(),
        (Exit::ScopeMissing, _) => "use a key that has the scope, or have an operator add it: tollgate keys update --scope".into(),
        (_, "cost_exceeds_burst") => "a cost above the burst of a limit never passes: ask for less, or have the limit raised".into(),
        _ => "look for the request id in the node's log".into(),
    };
    Some(told)
}

/// What the verdict is to a script.
fn exit_of(answer: &CheckAnswer) -> Exit {
    match (answer.verdict, answer.code.as_str()) {
        (VerdictName::Allowed, _) => Exit::Done,
        (VerdictName::Limited, _) => Exit::Limited,
        (VerdictName::Denied, "unauthenticated") => Exit::Unauthenticated,
        (VerdictName::Denied, "scope_missing") => Exit::ScopeMissing,
        (VerdictName::Denied, _) => Exit::Refused,
    }
}

fn answer_table(answer: &CheckAnswer) -> String {
    let verdict = match answer.verdict {
        VerdictName::Allowed => "allowed",
        VerdictName::Limited => "limited",
        VerdictName::Denied => "denied",
    };
    let mut rows = vec![("verdict", verdict.to_owned()), ("code", answer.code.clone())];
    rows.extend(answer.limit.clone().map(|limit| ("refused by", limit)));
    rows.extend(answer.key_id.clone().map(|id| ("key id", id)));
    rows.extend(answer.owner.clone().map(|owner| ("owner", owner)));
    rows.extend(answer.remaining.map(|tokens| ("remaining", tokens.to_string())));
    rows.extend(answer.retry_after_ms.filter(|ms| *ms > 0).map(|ms| ("retry after", format!("{ms} ms"))));
    rows.extend(answer.reset_after_ms.map(|ms| ("full after", format!("{ms} ms"))));
    table::fields(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(verdict: &str, code: &str) -> CheckAnswer {
        serde_json::from_value(serde_json::json!({ "verdict": verdict, "code": code, "remaining": 3 })).expect("an answer")
    }

    #[test]
    fn verdicts_have_exits() {
        for (verdict, code, exit) in [
            ("allowed", "allowed", 0),
            ("limited", "limited", 7),
            ("denied", "unauthenticated", 3),
            ("denied", "scope_missing", 4),
            ("denied", "cost_exceeds_burst", 6),
        ] {
            assert_eq!(exit_of(&answer(verdict, code)).code(), exit, "{verdict} {code}");
        }
    }

    #[test]
    fn the_table_leaves_out_what_is_not_known() {
        assert_eq!(answer_table(&answer("allowed", "allowed")), "verdict    allowed\ncode       allowed\nremaining  3");
    }
}
