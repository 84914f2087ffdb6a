//! Colour for people: only on a terminal, and not where they want none (`NO_COLOR`, `TERM=dumb`).
//!
//! Texts are made without it. What is painted is found by its place and its word, so that a text is
//! the same with it and without.

use std::{borrow::Cow, env, io::IsTerminal};

const BOLD: &str = "\u{1b}[1m";
const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const PLAIN: &str = "\u{1b}[0m";

/// Words that a cell of a table may consist of, and how they are painted.
const STATES: [(&str, &[&str]); 3] = [
    (GREEN, &["ok", "active", "allowed", "yes"]),
    (YELLOW, &["degraded", "suspended", "limited", "draining"]),
    (RED, &["down", "revoked", "expired", "denied", "no"]),
];
/// What a word to the person begins with.
const BEGINNINGS: [(&str, &str); 3] = [(RED, "error:"), (YELLOW, "warning:"), (BOLD, "help:")];

/// Whether what is written there is to be painted.
pub(crate) fn is_wanted(stream: &impl IsTerminal) -> bool {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !is_set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A table: headings bold, states in their colour.
pub(crate) fn table(text: &str) -> String {
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// What is said beside results.
pub(crate) fn note(text: &str) -> String {
    let painted = |line: &str| {
        let found = BEGINNINGS.iter().find_map(|(paint, word)| Some((paint, word, line.strip_prefix(word)?)));
        found.map_or_else(|| line.to_owned(), |(paint, word, rest)| format!("{paint}{word}{PLAIN}{rest}"))
    };
    text.split('\n').map(painted).collect::<Vec<_>>().join("\n")
}

fn line(line: &str) -> Cow<'_, str> {
    if is_heading(line) {
        return format!("{BOLD}{line}{PLAIN}").into();
    }
    // Cells are two spaces apart, or more.
    let cells = line.split("  ").map(|cell| state(cell).map_or(Cow::Borrowed(cell), Cow::Owned));
    cells.collect::<Vec<_>>().join("  ").into()
}

/// Headings are the only lines in capitals.
fn is_heading(line: &str) -> bool {
    line.chars().filter(char::is_ascii_uppercase).count() > 1
        && line.chars().all(|one| one == ' ' || one == '/' || one.is_ascii_uppercase())
}

fn state(cell: &str) -> Option<String> {
    let word = cell.trim();
    let (paint, _) = STATES.iter().find(|(_, words)| words.contains(&word))?;
    Some(cell.replacen(word, &format!("{paint}{word}{PLAIN}"), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text without what paints it.
    fn bare(text: &str) -> String {
        [BOLD, RED, GREEN, YELLOW, PLAIN].iter().fold(text.to_owned(), |text, paint| text.replace(paint, ""))
    }

    #[test]
    fn headings_are_bold_and_states_have_colours() {
        let text = "KEY ID  STATUS     NAME\ntk_1    active     no way\ntk_2    suspended  x\n\nstate  down";
        let painted = table(text);
        assert_eq!(
            painted,
            format!(
                "{BOLD}KEY ID  STATUS     NAME{PLAIN}\ntk_1    {GREEN}active{PLAIN}     no way\n\
                 tk_2    {YELLOW}suspended{PLAIN}  x\n\nstate  {RED}down{PLAIN}"
            )
        );
        assert_eq!(bare(&painted), text);
    }

    #[test]
    fn what_is_wrong_stands_out() {
        let text = "error: it is down\nhelp: try again";
        assert_eq!(note(text), format!("{RED}error:{PLAIN} it is down\n{BOLD}help:{PLAIN} try again"));
        assert_eq!((bare(&note(text)).as_str(), note("no error: here").as_str()), (text, "no error: here"));
    }

    #[test]
    fn a_file_is_never_painted() {
        let file = tempfile::tempfile().expect("a file");
        assert!(!is_wanted(&file));
    }
}
