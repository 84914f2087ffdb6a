//! Times, sizes and URLs for any input.

use proptest::prelude::*;
use tollgate_settings::{ByteSize, LoadFrom, Network, SecretUrl, Settings, TimeSpan};

proptest! {
    #[test]
    fn a_time_reads_back_as_it_is_shown(number in 0..200_000_000_u32, unit in prop::sample::select(vec!["us", "ms", "s", "m", "h", "d"])) {
        let span: TimeSpan = format!("{number}{unit}").parse().unwrap();
        prop_assert_eq!(span.to_string().parse(), Ok(span));
    }

    #[test]
    fn a_size_reads_back_as_it_is_shown(number in any::<u32>(), unit in prop::sample::select(vec!["B", "KiB", "MiB", "GiB"])) {
        let size: ByteSize = format!("{number}{unit}").parse().unwrap();
        prop_assert_eq!(size.to_string().parse(), Ok(size));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        prop_assert!(text.parse::<TimeSpan>().is_err() || text.ends_with(['s', 'm', 'h', 'd']));
        prop_assert!(text.parse::<ByteSize>().is_err() || text.ends_with('B'));
        prop_assert!(text.parse::<Network>().is_err() || text.contains(['.', ':']));
    }

    /// Even one that was not percent-encoded and so ends early, and that looks like a port.
    #[test]
    fn no_password_is_shown(user in "[a-z]{0,4}", tail in "[a-z0-9:@/?#!$&*+=%\\[\\]{}|^~.-]{0,8}", scheme in prop::sample::select(vec!["redis", "rediss-cluster", "postgres"])) {
        let url = SecretUrl::new(format!("{scheme}://{user}:4711{tail}@host:1/0"));
        prop_assert!(!format!("{url} {url:?}").contains("4711"), "{url}");
        let from = LoadFrom { overrides: vec![("redis.url".into(), url.expose().into()), ("mode".into(), "cluster".into())], ..LoadFrom::default() };
        let refused = Settings::load(&from).unwrap_err();
        prop_assert!(!format!("{refused} {refused:?}").contains("4711"), "{refused}");
    }

    #[test]
    fn any_file_loads_or_names_its_problems(text in "[a-z._]{1,12} = [a-z0-9\"\\[\\]]{1,6}") {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, text).unwrap();
        match Settings::load(&LoadFrom { config_file: Some(path), ..LoadFrom::default() }) {
            Ok(settings) => prop_assert!(!settings.show().is_empty()),
            Err(error) => prop_assert!(!error.problems().is_empty()),
        }
    }
}
