//! How far something is, for a person who waits: drawn on standard error where that is a terminal, and
//! nowhere else.

use std::borrow::Cow;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Times a second that it is drawn at most.
const DRAWN_HZ: u8 = 10;
const KNOWN: &str = "{msg}  [{bar:40}] {percent:>3}%  {eta} left";
const UNKNOWN: &str = "{msg}  {spinner}  {elapsed}";
const BAR: &str = "=> ";

/// One line that is drawn over and over. Gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Towards `total`, in whatever unit; without one it only shows that something goes on.
    pub(crate) fn towards(total: Option<u64>) -> Self {
        Self::drawn_on(ProgressDrawTarget::stderr_with_hz(DRAWN_HZ), total)
    }

    fn drawn_on(target: ProgressDrawTarget, total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, target);
        // Both are fixed texts, and good ones.
        let style = ProgressStyle::with_template(if total.is_some() { KNOWN } else { UNKNOWN });
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars(BAR));
        Self(bar)
    }

    /// So much of it is done, and this is to be said of that.
    pub(crate) fn reached(&self, position: u64, text: impl Into<Cow<'static, str>>) {
        self.0.set_message(text);
        self.0.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_can_be_drawn() {
        for template in [KNOWN, UNKNOWN] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
        for total in [Some(10), None] {
            let progress = Progress::drawn_on(ProgressDrawTarget::hidden(), total);
            progress.reached(4, "4 lines");
            assert_eq!((progress.0.position(), progress.0.message().as_str()), (4, "4 lines"));
        }
    }
}
