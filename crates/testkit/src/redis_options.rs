//! How a throwaway Redis is set up.

use crate::{Port, TestCertificate};

/// Settings of a throwaway Redis; without any it keeps nothing on disk and asks for no password.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    lines: Vec<String>,
    pub(crate) users: Vec<String>,
    pub(crate) password: Option<String>,
    pub(crate) cluster: bool,
    pub(crate) sentinel: bool,
    pub(crate) tls: Option<RedisTls>,
    append_only: bool,
}

/// What a Redis shows on a port of its own, beside the plain one.
#[derive(Debug, Clone)]
pub(crate) struct RedisTls {
    pub(crate) port: u16,
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) authority: String,
}

impl RedisTls {
    fn lines(&self, folder: &str) -> String {
        let files = format!("tls-cert-file {folder}/tls.crt\ntls-key-file {folder}/tls.key\ntls-ca-cert-file {folder}/ca.pem\n");
        format!("tls-port {}\n{files}tls-auth-clients no\ntls-cluster yes\ntls-replication yes\n", self.port)
    }
}

impl RedisOptions {
    /// One line of `redis.conf`, e.g. `maxmemory 4mb`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.into());
        self
    }

    /// The default user needs this password.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Keeps what is written over [`crate::TestRedis::restart`].
    #[must_use]
    pub fn append_only(mut self) -> Self {
        self.append_only = true;
        self
    }

    /// Loads an ACL file with this line, e.g. `user node on >secret ~tg:* +@all`.
    #[must_use]
    pub fn user(mut self, line: &str) -> Self {
        self.users.push(line.into());
        self
    }

    /// Speaks TLS on this port as well; nodes of a Cluster and replicas speak it among themselves.
    #[must_use]
    pub fn tls(mut self, port: &Port, certificate: &TestCertificate) -> Self {
        let (chain, key) = (certificate.chain().to_owned(), certificate.key());
        self.tls = Some(RedisTls { port: port.number(), chain, key, authority: certificate.authority().to_owned() });
        self
    }

    /// Runs as a node of a Cluster.
    #[must_use]
    pub fn cluster(mut self) -> Self {
        self.cluster = true;
        self
    }

    /// Runs as a sentinel: what it looks after is told by lines.
    #[must_use]
    pub fn sentinel(mut self) -> Self {
        self.sentinel = true;
        self
    }

    /// The text of the ACL file; with one, `requirepass` is not read.
    pub(crate) fn acl_file(&self) -> Option<String> {
        if self.users.is_empty() {
            return None;
        }
        let default = match &self.password {
            Some(password) => format!("user default on >{password} ~* &* +@all\n"),
            None => "user default on nopass ~* &* +@all\n".into(),
        };
        Some(self.users.iter().fold(default, |text, line| text + line + "\n"))
    }

    /// The text of `redis.conf`.
    pub(crate) fn file(&self, port: u16, (data, folder): (&str, &str), acl: Option<&str>) -> String {
        let mut text = format!("port {port}\nbind 127.0.0.1\ndir {data}\ndaemonize no\n");
        if !self.sentinel {
            let append = if self.append_only { "yes" } else { "no" };
            text.extend(["save \"\"\nappendonly ", append, "\n"]);
        }
        text.extend(self.tls.as_ref().map(|tls| tls.lines(folder)));
        if self.cluster {
            text += "cluster-enabled yes\ncluster-node-timeout 2000\ncluster-announce-ip 127.0.0.1\n";
        }
        let secured = match (acl, &self.password) {
            (Some(path), _) => format!("aclfile {path}"),
            (None, Some(password)) => format!("requirepass {password}"),
            (None, None) => String::new(),
        };
        std::iter::once(&secured).chain(&self.lines).fold(text, |text, line| text + line + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_to_the_acl_file_if_there_is_one() {
        let plain = RedisOptions::default().password("p");
        assert!(plain.acl_file().is_none());
        assert!(plain.file(1, ("/d", "/f"), None).contains("requirepass p\n"));
        let users = plain.user("user node on >n ~* +@all");
        assert_eq!(users.acl_file().unwrap(), "user default on >p ~* &* +@all\nuser node on >n ~* +@all\n");
        let file = users.file(1, ("/d", "/f"), Some("/a"));
        assert!(file.contains("aclfile /a\n") && !file.contains("requirepass"));
    }

    #[test]
    fn own_lines_come_last_and_so_win() {
        assert!(RedisOptions::default().line("appendonly yes").file(1, ("/d", "/f"), None).ends_with("appendonly yes\n"));
    }
}
