//! URLs of stores that lie in files: orchestrators hand out secrets that way, and neither the environment
//! of a process nor a settings file then holds a password.

use super::entry::{Entry, Given};
use crate::Problem;
use figment::value::Value;
use std::{fs::File, io::Read as _};

/// A setting that names a file, and the setting that the file holds.
const PAIRS: [(&str, &str); 2] = [("redis.url_file", "redis.url"), ("postgres.url_file", "postgres.url")];

/// No URL is longer; what is longer is another file.
const BYTES_MAX: u64 = 16 * 1024;

/// The URLs that the files named in `given` hold.
pub(super) fn entries(given: &[Entry], problems: &mut Vec<Problem>) -> Vec<Entry> {
    let urls = PAIRS.iter().filter_map(|(file, url)| from_file(given, file, url));
    urls.filter_map(|result| result.map_err(|problem| problems.push(problem)).ok()).collect()
}

/// `None` where no file is named.
fn from_file(given: &[Entry], file: &str, url: &str) -> Option<Result<Entry, Problem>> {
    let (named, path) = last(given, file)?;
    if let Some((other, _)) = last(given, url) {
        return Some(Err(named.problem(format!("is set, and so is {url} ({}): set one of the two", other.origin))));
    }
    // Not the path: the URL itself may have been put in its place.
    let read = read(path).map_err(|what| named.problem(format!("names a file that {what}")));
    Some(read.map(|text| Entry { name: url.to_owned(), value: Given::Typed(Value::from(text)), origin: format!("file {path}") }))
}

/// The entry that wins, where its text is not empty.
fn last<'a>(given: &'a [Entry], name: &str) -> Option<(&'a Entry, &'a str)> {
    let entry = given.iter().rfind(|entry| entry.name == name)?;
    match &entry.value {
        Given::Typed(value) => value.as_str().filter(|text| !text.is_empty()).map(|text| (entry, text)),
        Given::Text(_) => None,
    }
}

/// What a file holds, without white space around it, or what is wrong with it: never any of its content.
fn read(path: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    // One byte more than there may be: whoever stops at the bound takes the beginning for the whole.
    let file = File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    let length = file.map_err(|error| format!("cannot be read: {error}"))?;
    if u64::try_from(length).is_ok_and(|length| length > BYTES_MAX) {
        return Err(format!("is longer than {BYTES_MAX} bytes: name the file that holds the URL and nothing else"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "is no text: name the file that holds the URL and nothing else".to_owned())?;
    match text.trim() {
        "" => Err("is empty".to_owned()),
        url if url.contains(char::is_whitespace) => {
            Err("has white space or a line break inside the URL: put the URL alone into it, on one line, spaces as %20".to_owned())
        }
        url => Ok(url.to_owned()),
    }
}
