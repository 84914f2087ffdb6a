//! Where the operator's own credential comes from: a file, the environment or a prompt, never the
//! command line.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, IsTerminal as _, Read as _},
    path::Path,
};

use tollgate_client::Credential;
use tollgate_telemetry::scrub;
use zeroize::Zeroizing;

use crate::exit::Failure;

const VARIABLE: &str = "TOLLGATE_API_KEY";
/// No api key is longer; what is longer is another file.
const FILE_BYTES_MAX: u64 = 4096;
const WAYS: &str = "put key_id:secret into TOLLGATE_API_KEY, or into a file and name it with --api-key-file";

/// Refuses a command line that gives an api key, before anything repeats it.
pub(crate) fn refuse_in_arguments(arguments: &[OsString]) -> Result<(), Failure> {
    let is_refused = |argument: &OsString| {
        let text = argument.to_string_lossy();
        let clean = scrub(&text);
        text == "--api-key" || text.starts_with("--api-key=") || ["tks_***", "tku_***"].iter().any(|hidden| clean.contains(hidden))
    };
    if !arguments.iter().any(is_refused) {
        return Ok(());
    }
    let why = "an api key must not stand on the command line: every user of this machine can read it there, and shells keep it";
    Err(Failure::usage(why, format!("{WAYS}; if that key is in use, revoke it and make another")))
}

/// A text of the parser's without those arguments that may be api keys in the wrong place.
pub(crate) fn without_credentials(text: &str, arguments: &[OsString]) -> String {
    let arguments = arguments.iter().filter_map(|argument| argument.to_str());
    let values = arguments.flat_map(|argument| [Some(argument), argument.split_once('=').map(|(_, value)| value)]).flatten();
    let credentials = values.filter(|value| Credential::parse(value).is_ok());
    credentials.fold(text.to_owned(), |text, credential| text.replace(credential, "***"))
}

/// The operator's credential, its form checked.
pub(crate) fn credential(file: Option<&Path>) -> Result<Credential, Failure> {
    let (text, from) = match file {
        Some(path) => (read_file(path)?, path.display().to_string()),
        None => match std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            Some(value) => (Zeroizing::new(value.into_string().map_err(|_| malformed(VARIABLE, "it is not text"))?), VARIABLE.to_owned()),
            None => (prompt()?, "the prompt".to_owned()),
        },
    };
    parse(&text, &from)
}

/// An api key that is to be checked, from a file.
pub(crate) fn from_file(path: &Path) -> Result<Credential, Failure> {
    parse(&read_file(path)?, &path.display().to_string())
}

fn parse(text: &str, from: &str) -> Result<Credential, Failure> {
    Credential::parse(text).map_err(|error| malformed(from, &error.to_string()))
}

fn malformed(from: &str, why: &str) -> Failure {
    Failure::usage(format!("{from}: {why}"), "a credential is key_id:secret, as it was shown when the key was made")
}

/// The content of a file without the end of its line; `-` is standard input.
fn read_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let cannot = |error: io::Error| {
        let is_a_key = path.to_str().is_some_and(|text| Credential::parse(text).is_ok());
        let what = if is_a_key {
            "where a file was to be named stands an api key itself".to_owned()
        } else {
            format!("cannot read {}: {error}", path.display())
        };
        Failure::usage(what, WAYS)
    };
    let mut text = Zeroizing::new(String::new());
    if path == Path::new("-") {
        io::stdin().lock().take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(cannot)?;
    } else {
        File::open(path).map_err(cannot)?.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(cannot)?;
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Zeroizing::new(line.strip_suffix('\r').unwrap_or(line).to_owned()))
}

fn prompt() -> Result<Zeroizing<String>, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("no credential was given", WAYS));
    }
    let typed = rpassword::prompt_password("api key (not shown): ");
    typed.map(Zeroizing::new).map_err(|error| Failure::usage(format!("cannot ask for the api key: {error}"), WAYS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn an_api_key_among_the_arguments_is_refused_unrepeated() {
        let secret = format!("tks_{}", "A".repeat(67));
        let whole = format!("tk_1:{secret}");
        for words in [&["tollgate", "keys", "show", &whole][..], &["tollgate", "--api-key", "keys"], &["tollgate", "--api-key=mine:secret"]]
        {
            let failure = refuse_in_arguments(&arguments(words)).expect_err("a secret");
            assert!(failure.exit == crate::exit::Exit::Usage && !failure.to_string().contains(&secret), "{failure}");
        }
        assert!(refuse_in_arguments(&arguments(&["tollgate", "keys", "list", "--api-key-file", "key"])).is_ok());
    }

    #[test]
    fn what_may_be_an_api_key_is_not_repeated() {
        let given = arguments(&["tollgate", "mine:secret", "--url=mine:other"]);
        assert_eq!(without_credentials("'mine:secret' or 'mine:other' of tollgate", &given), "'***' or '***' of tollgate");
    }

    #[test]
    fn one_line_end_is_no_part_of_the_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        for (content, good) in [("mine:secret", true), ("mine:secret\n", true), ("mine:secret\r\n", true), ("mine:secret\n\n", false)] {
            std::fs::write(&path, content).expect("written");
            assert_eq!(from_file(&path).map(|key| key.expose().to_owned()).ok(), good.then(|| "mine:secret".to_owned()), "{content:?}");
        }
    }
}
