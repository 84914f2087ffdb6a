//! `tollgate keys import` and `tollgate keys export`, straight into the store and out of it.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, IsTerminal as _, Read, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use tollgate_gate::{
    Clock as _, SystemClock,
    ports::ChangeContext,
    transfer::{ExportError, ImportReport, Importer, export as export_lines},
};

use tollgate_settings::Mode;

use super::session::Session;
use crate::{
    cli::{ExportKeys, ImportKeys},
    exit::{Exit, Failure},
    output::Output,
    progress::Progress,
    store::{Keys, rules},
    table,
};

/// No line is longer; what is longer is another file.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Lines from one word of progress to the next.
const TOLD_EVERY: u64 = 100;

/// How long a node that is due to read the change log takes to, with room.
const LEARNED_WITHIN: Duration = Duration::from_millis(500);

/// How long a node takes a ring that it has read for all there is.
const RING_KNOWN_WITHIN: Duration = Duration::from_secs(4);

/// Brings in lines one by one. When it is done, every node that reaches the store knows the keys.
pub(super) async fn import(session: &Session<'_>, args: &ImportKeys, output: Output) -> Result<Exit, Failure> {
    let settings = super::settings(&args.settings, Vec::new())?;
    let (rules, keys) = (rules(&settings)?, Keys::open(&settings)?.port());
    let (mut lines, bytes_all) = open(&args.file)?;
    // A store that is not there is told before the first line is waited for.
    keys.head().await?;
    let request_id = session.id.to_string();
    let context =
        ChangeContext { actor: "import".to_owned(), request_id, action: "keys.import", now_ms: SystemClock.unix_ms(), once: None };
    let mut importer = Importer::new(&*keys, &rules.config, rules.master_key.as_ref(), context);
    let (mut line, mut lines_read, mut bytes_read) = (String::new(), 0, 0);
    let progress = Progress::towards(bytes_all);
    while read_line(&mut *lines, &mut line)? {
        importer.take(&line).await?;
        lines_read += 1;
        bytes_read += line.len() as u64;
        if lines_read % TOLD_EVERY == 0 {
            progress.reached(bytes_read, format!("{lines_read} lines"));
        }
    }
    let report = importer.finish().await?;
    drop(progress);
    if settings.mode == Mode::Cluster && report.keys_made + report.signing_keys_made > 0 {
        output.note("all is in the store; waiting until the nodes have read it");
        let read_within = settings.change_log.poll_interval.get();
        let known_within = if report.signing_keys_made > 0 { read_within.max(RING_KNOWN_WITHIN) } else { read_within };
        tokio::time::sleep(known_within + LEARNED_WITHIN).await;
    }
    if report.keys_differing > 0 {
        output.note(&format!(
            "warning: {} keys were there with another secret or owner than their line says, and stayed as they are",
            report.keys_differing
        ));
    }
    output.result(&report, report_table)?;
    Ok(Exit::Done)
}

/// Writes all there is.
pub(super) async fn export(args: &ExportKeys, output: Output) -> Result<Exit, Failure> {
    let settings = super::settings(&args.settings, Vec::new())?;
    let keys = Keys::open(&settings)?.port();
    let mut out: Box<dyn Write + Send> = match &args.to {
        Some(path) => Box::new(BufWriter::new(create(path)?)),
        None if io::stdout().is_terminal() => return Err(not_on_a_terminal()),
        None => Box::new(BufWriter::new(io::stdout())),
    };
    let (progress, mut lines) = (Progress::towards(None), 0);
    let mut write = |line: &str| {
        lines += 1;
        if lines % TOLD_EVERY == 0 {
            progress.reached(lines, format!("{lines} lines"));
        }
        writeln!(out, "{line}")
    };
    let count = export_lines(&*keys, &mut write).await.map_err(broken_off)?;
    out.flush().map_err(|error| broken_off(error.into()))?;
    drop(progress);
    output.note(&format!("{} keys, {} owners with limits and {} signing keys", count.keys, count.owners, count.signing_keys));
    Ok(Exit::Done)
}

/// Signing keys that no master key seals are secrets, and a screen is read by others.
fn not_on_a_terminal() -> Failure {
    Failure::usage("an export holds hashes and signing keys: it is not shown on a terminal", "name a file by --to, or use a pipe")
}

fn broken_off(error: ExportError) -> Failure {
    match error {
        ExportError::Store(error) => error.into(),
        ExportError::Write(_) => Failure::other(error.to_string(), "check where the export goes, and begin again"),
    }
}

/// The lines to read, and how many bytes they are, where that is known.
fn open(path: &Path) -> Result<(Box<dyn BufRead>, Option<u64>), Failure> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    match File::open(path) {
        Ok(file) => {
            let bytes = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|file| file.len());
            Ok((Box::new(BufReader::new(file)), bytes))
        }
        Err(error) => {
            Err(Failure::usage(format!("cannot read {}: {error}", path.display()), "name a file of JSON lines, or - for standard input"))
        }
    }
}

/// A file that was not there before: an export is never written over another one.
fn create(path: &Path) -> Result<File, Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(|error| Failure::usage(format!("cannot make {}: {error}", path.display()), "name a file that is not there yet"))
}

/// The next line; false at the end.
fn read_line(lines: &mut dyn BufRead, line: &mut String) -> Result<bool, Failure> {
    line.clear();
    let read = lines.take(LINE_BYTES_MAX).read_line(line);
    let count = read.map_err(|error| Failure::new(Exit::Refused, format!("cannot read the lines: {error}"), "give JSON lines in UTF-8"))?;
    if count as u64 == LINE_BYTES_MAX && !line.ends_with('\n') {
        return Err(Failure::new(
            Exit::Refused,
            format!("a line is longer than {LINE_BYTES_MAX} bytes"),
            "give one JSON object on each line",
        ));
    }
    Ok(count > 0)
}

fn report_table(report: &ImportReport) -> String {
    let made = |made: u64, kept: u64| format!("{made} made, {kept} were there");
    let mut text = table::fields(&[
        ("keys", made(report.keys_made, report.keys_kept)),
        ("owners with limits", made(report.owners_made, report.owners_kept)),
        ("signing keys", made(report.signing_keys_made, report.signing_keys_kept)),
    ]);
    if !report.ids.is_empty() {
        let rows: Vec<[String; 2]> = report.ids.iter().map(|(line, key_id)| [line.to_string(), key_id.clone()]).collect();
        text = format!("{text}\n\n{}", table::columns(["LINE", "KEY ID"], &rows));
    }
    text
}
