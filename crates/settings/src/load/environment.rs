//! Settings from environment variables.

use super::entry::{self, Entry};

/// What the names of Tollgate's variables begin with.
pub(super) const PREFIX: &str = "TOLLGATE_";

/// Variables that are no settings: those of the command line, of the tests and of the stack.
const NOT_SETTINGS: [&str; 9] = ["URL", "API_KEY", "API_KEY_FILE", "CA_FILE", "CONFIG", "OUTPUT", "BIN", "RELEASE_BIN", "IMAGE"];
const TESTS: &str = "TEST_";

/// The settings among `variables`: `TOLLGATE_REDIS__URL` is `redis.url`. A section may be a table in one line, as
/// `TOLLGATE_KEYS__DEFAULT_RATE_LIMIT={burst=5,per_seconds=60}`.
pub(super) fn entries(variables: &[(String, String)]) -> impl Iterator<Item = Entry> {
    let given = variables.iter().filter_map(|(variable, value)| {
        let name = variable.strip_prefix(PREFIX)?;
        let other = NOT_SETTINGS.contains(&name) || name.starts_with(TESTS) || is_service_link(name, value);
        let setting = name.to_ascii_lowercase().replace("__", ".");
        (!other).then(|| entry::from_text(&setting, value, format!("environment variable {variable}")))
    });
    given.flatten()
}

/// Kubernetes puts the address of every service into the environment of every container: for one
/// that is called `tollgate` or `tollgate-redis`, `TOLLGATE_PORT=tcp://10.0.0.1:80`,
/// `TOLLGATE_REDIS_SERVICE_HOST` and so on. They must not keep a node from starting.
fn is_service_link(name: &str, value: &str) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    let has = |first: &str, second: &str| words.windows(2).any(|pair| pair == [first, second]);
    let service = has("SERVICE", "HOST") || has("SERVICE", "PORT");
    let port = words.contains(&"PORT") && (words.contains(&"TCP") || words.contains(&"UDP") || words.contains(&"SCTP"));
    let address = words.last() == Some(&"PORT") && value.contains("://");
    !name.contains("__") && (service || port || address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(variables: &[(&str, &str)]) -> Vec<String> {
        let variables: Vec<(String, String)> = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        entries(&variables).map(|entry| entry.name).collect()
    }

    #[test]
    fn double_underscores_are_dots() {
        let given = [("TOLLGATE_MODE", "cluster"), ("TOLLGATE_KEYS__DEFAULT_RATE_LIMIT__BURST", "1"), ("PATH", "/bin"), ("TOLLGATES", "")];
        assert_eq!(names(&given), ["mode", "keys.default_rate_limit.burst"]);
    }

    #[test]
    fn a_table_in_one_line_is_a_section() {
        let given = [("TOLLGATE_KEYS__DEFAULT_RATE_LIMIT", "{burst=5,per_seconds=60}"), ("TOLLGATE_NODE", "{a")];
        assert_eq!(names(&given), ["keys.default_rate_limit.burst", "keys.default_rate_limit.per_seconds", "node"]);
    }

    #[test]
    fn variables_of_the_command_line_and_of_tests_are_no_settings() {
        let given = [
            ("TOLLGATE_URL", "x"),
            ("TOLLGATE_API_KEY", "x"),
            ("TOLLGATE_CONFIG", "x"),
            ("TOLLGATE_TEST_BACKEND", "local"),
            ("TOLLGATE_BIN", "x"),
        ];
        assert!(names(&given).is_empty());
    }

    #[test]
    fn addresses_of_services_are_no_settings() {
        let given = [
            ("TOLLGATE_PORT", "tcp://10.0.0.1:80"),
            ("TOLLGATE_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("TOLLGATE_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("TOLLGATE_SERVICE_HOST", "10.0.0.1"),
            ("TOLLGATE_SERVICE_PORT_HTTP", "80"),
            ("TOLLGATE_REDIS_SERVICE_HOST", "10.0.0.1"),
            ("TOLLGATE_REDIS_PORT_6379_TCP_PROTO", "tcp"),
        ];
        assert!(names(&given).is_empty());
        assert_eq!(names(&[("TOLLGATE_PORT", "80"), ("TOLLGATE_REDIS__PORT", "tcp://x")]), ["port", "redis.port"]);
    }
}
