//! A panic in the log: its place, and no more of its words than are known to be harmless.

use std::{any::Any, panic};

/// Logs every panic of the process from now on, in place of the message on standard error.
///
/// A message that was put together while running (`unwrap` on an error, an index out of bounds)
/// may hold anything, a secret too, and is left out; one that stands in the program's text is
/// logged. The place tells a developer the rest.
pub fn install_panic_hook() {
    panic::set_hook(Box::new(|info| {
        let (place, message) = (info.location().map(ToString::to_string), message(info.payload()));
        tracing::error!(place = place.as_deref().unwrap_or("unknown"), message, "panic");
    }));
}

/// The message if it is part of the program's text.
fn message(payload: &dyn Any) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("(withheld: it may hold a secret)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LogFormat, logs::tests::logged};

    #[test]
    fn a_panic_is_logged_with_its_place_and_without_its_payload() {
        install_panic_hook();
        let secret = String::from("hunter2");
        let log = logged(LogFormat::Json, "info", || {
            assert!(panic::catch_unwind(|| panic!("the words of the program")).is_err());
            assert!(panic::catch_unwind(|| panic!("key {secret}")).is_err());
            assert!(panic::catch_unwind(|| secret.parse::<u8>().map_err(|_| &secret).unwrap()).is_err());
        });
        assert_eq!(log.matches("crates/telemetry/src/panics.rs:").count(), 3, "{log}");
        assert_eq!(log.matches("the words of the program").count(), 1, "{log}");
        assert_eq!(log.matches("(withheld").count(), 2, "{log}");
        assert!(!log.contains("hunter2"), "{log}");
    }
}
