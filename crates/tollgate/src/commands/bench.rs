//! `tollgate bench`

use zeroize::Zeroizing;

use super::session::Session;
use crate::{
    api_key_input,
    bench::{self, Asked, Load, MadeKeys, Report, Requests, Target},
    cli::BenchArgs,
    exit::{Exit, Failure},
    output::Output,
    progress::Progress,
};

pub(super) async fn run(session: &Session<'_>, args: BenchArgs, output: Output) -> Result<Exit, Failure> {
    if let Some(count) = args.keys {
        let client = super::client(session, output)?;
        let made = MadeKeys::make(&client, count).await?;
        let report = measure(session, &args, &made.keys).await;
        // Whatever came of the load: nobody needs them any more.
        made.revoke(&client).await?;
        return told(&report?, output);
    }
    let keys = keys(session, &args)?;
    told(&measure(session, &args, &keys).await?, output)
}

/// Keys that are there already.
fn keys(session: &Session<'_>, args: &BenchArgs) -> Result<Vec<Zeroizing<String>>, Failure> {
    match (&args.keys_file, &args.target) {
        (Some(path), _) => bench::read_keys(path),
        // Nobody else is shown an operator's key.
        (None, Some(_)) => Ok(Vec::new()),
        (None, None) => {
            let own = api_key_input::credential(session.global.api_key_file.as_deref())?;
            Ok(vec![Zeroizing::new(own.expose().to_owned())])
        }
    }
}

async fn measure(session: &Session<'_>, args: &BenchArgs, keys: &[Zeroizing<String>]) -> Result<Report, Failure> {
    let refused = |what: String| Failure::usage(what, "see tollgate bench --help");
    let target = match &args.target {
        Some(target) => target.clone(),
        None => Target::parse(&format!("{}/v1/authorize", session.global.url.trim_end_matches('/')))
            .map_err(|why| refused(format!("--url {why}")))?,
    };
    let requests = Requests::new(&target, &args.headers, keys, (&args.cost, args.skew, args.wrong_keys)).map_err(refused)?;
    let asked = Asked {
        target: target.to_string(),
        kind: if args.rate.is_some() { "open" } else { "closed" },
        rate: args.rate,
        connections: args.connections,
        threads: args.threads.min(args.connections),
        keys: keys.len(),
        ..Asked::default()
    };
    let load = Load {
        target,
        requests,
        connections: args.connections,
        threads: asked.threads,
        rate: args.rate,
        warm_up: args.warm_up,
        duration: args.duration,
        timeout: args.timeout,
    };
    let all = args.warm_up + args.duration;
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let progress = Progress::towards(Some(millis(all)));
    let report = bench::run(load, |told| progress.reached(millis(told.elapsed.min(all)), format!("{} answers", told.answered))).await?;
    Ok(Report { load: asked.with_mix(&args.cost, args.skew, args.wrong_keys), ..report })
}

fn told(report: &Report, output: Output) -> Result<Exit, Failure> {
    if report.answered == 0 {
        let why: Vec<_> = report.failures.iter().map(|(why, count)| format!("{why}: {count}")).collect();
        let what = format!("{} has answered nothing ({})", report.load.target, why.join(", "));
        return Err(Failure::new(Exit::Unreachable, what, "is it running there? check the target, or --url"));
    }
    output.result(report, Report::table)?;
    Ok(Exit::Done)
}
