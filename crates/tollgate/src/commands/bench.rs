//! `tollgate bench`

use zeroize::Zeroizing;

use super::session::Session;
use crate::{
    api_key_input,
    bench::{self, Asked, Load, MadeKeys, Report, Requests, Target, Told},
    cli::BenchArgs,
    exit::{Exit, Failure},
    output::Output,
    progress::Progress,
    signals::Signals,
};

pub(super) async fn run(session: &Session<'_>, args: BenchArgs, output: Output) -> Result<Exit, Failure> {
    let (target, mut signals) = (target(session, &args)?, Signals::listen()?);
    if let Some(count) = args.keys {
        let client = super::client(session, output)?;
        let load = args.warm_up + args.duration + args.timeout;
        let made = MadeKeys::make(&client, count, load, &mut signals).await?;
        let report = measure(target, &args, &made.keys, &mut signals).await;
        let told = report.and_then(|report| told(&report, output));
        // Whatever came of the load: nobody needs them any more.
        made.revoke(&client).await?;
        return told;
    }
    let keys = keys(session, &args)?;
    if !keys.is_empty() && target.is_elsewhere() {
        output.note("warning: api keys travel in plain text to another machine");
    }
    told(&measure(target, &args, &keys, &mut signals).await?, output)
}

fn target(session: &Session<'_>, args: &BenchArgs) -> Result<Target, Failure> {
    args.target.clone().map_or_else(
        || {
            let url = format!("{}/v1/authorize", session.global.url.trim_end_matches('/'));
            Target::parse(&url).map_err(|why| refused(format!("--url {why}")))
        },
        Ok,
    )
}

fn refused(what: String) -> Failure {
    Failure::usage(what, "see tollgate bench --help")
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

async fn measure(target: Target, args: &BenchArgs, keys: &[Zeroizing<String>], signals: &mut Signals) -> Result<Report, Failure> {
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
    let tell = |told: Told| progress.reached(millis(told.elapsed.min(all)), format!("{} answers", told.answered));
    let report = bench::run(load, signals, tell).await?;
    Ok(Report { load: asked.with_mix(&args.cost, args.skew, args.wrong_keys), ..report })
}

fn told(report: &Report, output: Output) -> Result<Exit, Failure> {
    if report.interrupted && report.requests == 0 {
        return Err(Failure::other("told to stop before anything was measured", "let it go on beyond --warm-up"));
    }
    if report.answered == 0 {
        let why: Vec<_> = report.failures.iter().map(|(why, count)| format!("{why}: {count}")).collect();
        let what = format!("{} has answered nothing ({})", report.load.target, why.join(", "));
        return Err(Failure::new(Exit::Unreachable, what, "is it running there? check the target, or --url"));
    }
    output.result(report, Report::table)?;
    Ok(Exit::Done)
}
